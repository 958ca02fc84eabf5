//! What is dropped early over random worlds, against the interpreter of the compiled ruleset: nothing that S1 would not
//! drop (E-480, E-481, E-483).
#![allow(clippy::unwrap_used, reason = "a test that cannot make its world has failed")]

mod support;

use std::sync::Arc;

use support::{MAC, frames, model};
use tortie_api::model::{Action, Entity, PolicyClass, PolicyKind, Resource, Rule};
use tortie_api::packet::Route;
use tortie_rules::interpret::Decision;
use tortie_rules::{compile, interpret};
use tortie_testkit::generators::{Random, World, aimed, world};
use tortie_verdicts::roads::engine;
use tortie_xdp::guards;

const WORLDS: u64 = 3000;
const PACKETS_A_GUARD: usize = 100;

/// The world with most of its policies before connection tracking, and many rules by source alone.
fn untracked(seed: u64, random: &mut Random) -> World {
    let mut world = world(seed);
    for resource in &mut world.resources {
        let Resource::Policy(policy) = resource else { continue };
        if policy.kind == PolicyKind::Namespaced {
            continue;
        }
        if !random.one_in(4) {
            policy.class = PolicyClass::Untracked;
        }
        for rule in &mut policy.ingress {
            if random.one_in(2) {
                *rule = Arc::new(by_source(rule, random));
            }
        }
    }
    world
}

/// A rule with the same action, or a denial, that asks for little more than the source.
fn by_source(rule: &Rule, random: &mut Random) -> Rule {
    let mut plain = Rule { source: rule.source.clone(), ..rule.clone() };
    plain.destination = Entity::default();
    plain.source.ports.clear();
    plain.source.not_ports.clear();
    (plain.protocol, plain.not_protocol, plain.icmp, plain.not_icmp) = (None, None, None, None);
    plain.action = if random.one_in(3) { rule.action } else { Action::Deny };
    plain
}

fn in_interface(route: &Route) -> Option<&String> {
    match route {
        Route::Delivered { in_interface } | Route::Forwarded { in_interface, .. } => Some(in_interface),
        Route::Generated { .. } => None,
    }
}

#[test]
fn what_is_dropped_early_is_dropped_by_s1_as_well_e480_e481_e483() {
    let (mut dropped, mut late, mut guarded) = (0, 0, 0);
    for seed in 0..WORLDS {
        let mut random = Random::new(seed);
        let world = untracked(seed, &mut random);
        let engine = engine(&world, &world.resources, false);
        let guards = guards(engine.policy());
        if guards.values().all(Result::is_err) {
            continue;
        }
        let ruleset = compile(engine.policy());
        for _ in 0..PACKETS_A_GUARD {
            let packet = aimed(&world, &mut random);
            let Some(Ok(guard)) = in_interface(&packet.route).and_then(|name| guards.get(name)) else { continue };
            guarded += 1;
            let outcome = interpret(&ruleset, &packet).unwrap();
            let by_s1 = outcome.verdict == Decision::Drop
                && outcome.base.as_ref().is_some_and(|base| base.as_str() == "raw-prerouting");
            let is_dropped = model::drops(MAC, guard, &frames::of_packet(&packet));
            assert!(by_s1 || !is_dropped, "seed {seed}: {packet:?}\n{outcome:?}\n{guard:?}");
            // A rule before it wrote a line: such packets are left to the rules (E-355).
            assert!(outcome.log.is_empty() || !is_dropped, "seed {seed}: {packet:?}\n{outcome:?}");
            dropped += u64::from(is_dropped);
            late += u64::from(by_s1 && !is_dropped);
        }
    }
    assert!(guarded > 10_000 && dropped > 2_000, "{guarded} packets met a guard, {dropped} were dropped early");
    // Not a law, but what the effort is for.
    assert!(dropped > late / 4, "{dropped} dropped early, {late} late");
}
