//! What it takes to compile a list and to plan a change of it, by shape and size (C-9, C-10).
//!
//! `cargo bench -p tortie-rules --bench compile`: milliseconds, the median of five, and what comes of it. As a list
//! (`linear`) is the baseline of the same run.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a bench is about time")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tortie_api::model::{Action, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::ResolvedRule;
use tortie_rules::{Classes, Compiler, Ruleset, compile_with, plan};

#[path = "../tests/shapes/mod.rs"]
mod shapes;

use shapes::{Ends, both, host, policy, rule, weight};

fn main() {
    println!(
        "{:40} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9}",
        "", "linear ms", "class ms", "again ms", "chains", "elements", "plan ms", "change"
    );
    for size in [10, 100, 1_000, 10_000] {
        row(&format!("{size} policies, a selector and port each"), &|changed| by_selector(size, changed));
    }
    for size in [1_000, 10_000] {
        row(&format!("{size} rules of 50 overlapping sets"), &|changed| mixed(size, 50, changed));
    }
    row("10000 rules of 500 overlapping sets", &|changed| mixed(10_000, 500, changed));
    for size in [1_000, 10_000] {
        let both = |what: &str, ends: fn(usize) -> Ends| {
            row(&format!("{size} rules {what}"), &|changed| both(size, ends, changed));
        };
        both("from a set to a set", |number| (Some(number), Some(number)));
        both("to one set", |number| (Some(number), Some(0)));
        both("from one set", |number| (Some(0), Some(number)));
        both("from everywhere", |number| (None, Some(number)));
        both("from sets and everywhere", |number| ((number % 2 == 0).then_some(number), Some(number)));
        both("between 50 sets", |number| (Some(number % 50), Some(number * 7 % 50)));
        both("from sets or to sets", |number| match number % 2 {
            0 => (Some(number), None),
            _ => (None, Some(number)),
        });
    }
}

fn row(what: &str, shape: &dyn Fn(bool) -> HostPolicy) {
    let (before, after) = (shape(false), shape(true));
    let linear = median(|| drop(compile_with(&before, Classes::Never)));
    let classes = median(|| drop(compile_with(&before, Classes::ByCost)));
    let desired = compile_with(&before, Classes::ByCost);
    let changed = compile_with(&after, Classes::ByCost);
    let elements: usize = desired.sets.values().map(|set| set.elements.len()).sum();
    // With what is remembered of the form before: each is the change of the other.
    let mut compiler = Compiler::with(Classes::ByCost);
    let mut forms = [&after, &before].into_iter().cycle();
    let again = median(|| drop(compiler.compile(forms.next().unwrap())));
    let mut kernel = Ruleset::default();
    kernel.record_all(&plan(&desired, None).unwrap());
    let planned = median(|| drop(plan(&changed, Some(&kernel)).unwrap()));
    let ops: usize = plan(&changed, Some(&kernel)).unwrap().transactions.iter().flat_map(|t| &t.ops).map(weight).sum();
    let chains = desired.chains.len();
    println!("{what:40} {linear:9.2} {classes:9.2} {again:9.2} {chains:8} {elements:9} {planned:9.2} {ops:9}");
}

fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[2]
}

/// A policy each of one rule, a set of its own and a port.
fn by_selector(size: usize, is_changed: bool) -> HostPolicy {
    let mut sets = BTreeMap::new();
    let rules = (0..size).map(|number| {
        let members: Vec<String> = vec![
            format!("10.{}.{}.7/32", 64 + number / 256, number % 256),
            format!("10.{}.{}.128/25", 64 + number / 256, number % 256),
        ];
        let port = if is_changed && number == size / 2 { 9 } else { 1024 + (number % 30_000) as u16 };
        rule(&mut sets, number, &members, Action::Allow, Protocol::TCP, (port, port))
    });
    let policies = rules.collect::<Vec<_>>().into_iter().enumerate().map(|(number, rule)| policy(number, vec![rule]));
    host(policies.collect(), sets)
}

/// Interleaved verdicts, port ranges and overlapping sets, in policies of 20 rules.
fn mixed(size: usize, count: usize, is_changed: bool) -> HostPolicy {
    let mut state = 1u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % end
    };
    let members: Vec<Vec<String>> = (0..count)
        .map(|_| (0..20).map(|_| below(count * 20)).map(|n| format!("10.{}.{}.0/24", 64 + n / 256, n % 256)).collect())
        .collect();
    let mut sets = BTreeMap::new();
    let rules: Vec<Arc<ResolvedRule>> = (0..size)
        .map(|number| {
            let set = below(count);
            let first = [53, 80, 443, 8000, 1000, 900, 2000, 5000][below(8)] + below(5) as u16;
            let last = first + [0, 0, 0, 10, 100, 1000][below(6)];
            let protocol = [Protocol::TCP, Protocol::UDP][below(2)];
            let deny = below(2) == 0 || is_changed && number == size / 2;
            let action = if deny { Action::Deny } else { Action::Allow };
            rule(&mut sets, set, &members[set], action, protocol, (first, last))
        })
        .collect();
    let policies = rules.chunks(20).enumerate().map(|(number, rules)| policy(number, rules.to_vec()));
    host(policies.collect(), sets)
}
