//! What it takes to compile a list and to plan a change of it, by shape and size (C-9, C-10).
//!
//! `cargo bench -p tortie-rules --bench compile`: milliseconds, the median of five, and what comes of it. As a list
//! (`linear`) is the baseline of the same run.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a bench is about time")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, PortRange, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, EndpointPolicy, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd, TierPolicies,
};
use tortie_rules::plan::Op;
use tortie_rules::{Classes, Ruleset, compile_with, plan};

fn main() {
    println!(
        "{:34} {:>9} {:>9} {:>8} {:>9} {:>9} {:>9}",
        "", "linear ms", "class ms", "chains", "elements", "plan ms", "change"
    );
    for size in [10, 100, 1_000, 10_000] {
        row(&format!("{size} policies, a selector and port each"), &|changed| by_selector(size, changed));
    }
    for size in [1_000, 10_000] {
        row(&format!("{size} rules of 50 overlapping sets"), &|changed| mixed(size, 50, changed));
    }
    row("10000 rules of 500 overlapping sets", &|changed| mixed(10_000, 500, changed));
    for size in [1_000, 10_000] {
        let from = Some;
        row(&format!("{size} rules, a set at each end"), &|changed| both(size, from, |number| number, changed));
        row(&format!("{size} rules to one set"), &|changed| both(size, from, |_| 0, changed));
        row(&format!("{size} rules from one set"), &|changed| both(size, |_| Some(0), |number| number, changed));
        row(&format!("{size} rules from everywhere"), &|changed| both(size, |_| None, |number| number, changed));
        let every_other = |number| (number % 2 == 0).then_some(number);
        row(&format!("{size} rules, every other from everywhere"), &|changed| {
            both(size, every_other, |number| number, changed)
        });
        row(&format!("{size} rules between 50 sets"), &|changed| {
            both(size, |number| Some(number % 50), |number| number * 7 % 50, changed)
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
    let mut kernel = Ruleset::default();
    for transaction in plan(&desired, None).unwrap().transactions {
        kernel.record(&transaction);
    }
    let planned = median(|| drop(plan(&changed, Some(&kernel)).unwrap()));
    let ops: usize = plan(&changed, Some(&kernel)).unwrap().transactions.iter().flat_map(|t| &t.ops).map(weight).sum();
    let chains = desired.chains.len();
    println!("{what:34} {linear:9.2} {classes:9.2} {chains:8} {elements:9} {planned:9.2} {ops:9}");
}

/// Rules and elements that an operation carries.
fn weight(op: &Op) -> usize {
    match op {
        Op::AddElements { elements, .. } => elements.len(),
        Op::DeleteElements { elements, .. } => elements.len(),
        _ => 1,
    }
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

/// Rules from the set of one number to that of another, a port each. Every other set to which they lead has the same
/// address as well.
fn both(size: usize, from: fn(usize) -> Option<usize>, to: fn(usize) -> usize, is_changed: bool) -> HostPolicy {
    let mut sets = BTreeMap::new();
    let members = |first: usize, number: usize| {
        let (high, low) = (first + number / 256, number % 256);
        vec![format!("10.{high}.{low}.7/32"), format!("10.{high}.{low}.8/32"), format!("10.{high}.{low}.128/25")]
    };
    let rules = (0..size).map(|number| {
        let port = if is_changed && number == size / 2 { 9 } else { 1024 + (number % 30_000) as u16 };
        let peer = from(number).unwrap_or(0);
        let mut both =
            ResolvedRule::clone(&rule(&mut sets, peer, &members(64, peer), Action::Allow, Protocol::TCP, (port, port)));
        both.source.set = both.source.set.filter(|_| from(number).is_some());
        let own = to(number);
        let host = if own % 2 == 0 { Some("192.0.2.1/32".to_owned()) } else { None };
        let own_members: Vec<String> = members(128, own).into_iter().chain(host).collect();
        let of_own = rule(&mut sets, 100_000 + own, &own_members, Action::Allow, Protocol::TCP, (port, port));
        both.destination.set = of_own.source.set.clone();
        Arc::new(both)
    });
    let policies = rules.collect::<Vec<_>>().into_iter().enumerate().map(|(number, rule)| policy(number, vec![rule]));
    host(policies.collect(), sets)
}

fn rule(
    sets: &mut BTreeMap<SetId, Arc<SetMembers>>,
    set: usize,
    members: &[String],
    action: Action,
    protocol: Protocol,
    ports: (u16, u16),
) -> Arc<ResolvedRule> {
    let id = SetId::Selector(format!("set == '{set}'").into());
    let members = members.iter().map(|net| net.parse::<IpNet>().unwrap());
    sets.entry(id.clone()).or_insert_with(|| Arc::new(SetMembers::Nets(members.collect())));
    let mut rule = ResolvedRule::any(action);
    rule.protocol = Some(protocol);
    rule.source.set = Some(id);
    rule.destination.ports = vec![PortRange::new(ports.0, ports.1).unwrap()];
    Arc::new(rule)
}

fn policy(number: usize, rules: Vec<Arc<ResolvedRule>>) -> Arc<PolicyRules> {
    let name = format!("policy-{number}");
    let id = PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: None, name, tier: "default".to_owned() };
    Arc::new(PolicyRules { id, is_staged: false, rules })
}

fn host(policies: Vec<Arc<PolicyRules>>, sets: BTreeMap<SetId, Arc<SetMembers>>) -> HostPolicy {
    let tier = TierPolicies { name: "default".to_owned(), end: TierEnd::Deny, policies };
    let endpoint = EndpointPolicy {
        name: "host".to_owned(),
        normal_ingress: ClassPolicy { tiers: vec![tier] },
        ..EndpointPolicy::default()
    };
    let mut host = HostPolicy { sets, ..HostPolicy::default() };
    host.dispatch.interfaces.insert("eth0".to_owned(), "host".to_owned());
    host.endpoints.insert("host".to_owned(), Arc::new(endpoint));
    host
}
