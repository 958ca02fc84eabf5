//! Every random world of the testkit is proved.
//!
//! `TORTIE_WORLDS=N` draws N worlds instead of the default; `TORTIE_SEED=S` begins with another one.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "how much is drawn is said from outside")]

use std::sync::Arc;

use tortie_proof::{Budget, How, prove};
use tortie_rules::ruleset::Origin;
use tortie_rules::{Ruleset, compile, compile_with};
use tortie_testkit::generators::{peerwise, with_many_tiers, world};
use tortie_verdicts::roads;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_world_is_proved() {
    let (first, count) = (number("TORTIE_SEED", 0), number("TORTIE_WORLDS", 400));
    let (mut nodes, mut reached) = (0, 0);
    for seed in first..first + count {
        let world = if seed % 4 == 3 { peerwise(seed) } else { world(seed) };
        let engine = roads::engine(&world, &world.resources, false);
        let ruleset = compile_with(engine.policy(), roads::form(seed));
        let proof = prove(engine.policy(), &ruleset, Budget::default());
        let proof = proof.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(proof.is_complete(), "seed {seed}: {proof:?}");
        // As a kernel gives it back, rules and elements have their comments only.
        assert_eq!(prove(engine.policy(), &read_back(&ruleset), Budget::default()), Ok(proof.clone()), "seed {seed}");
        nodes += proof.nodes();
        reached += proof.chains.iter().filter(|chain| chain.how == How::Reached).count();
    }
    println!("{count} worlds, {} nodes each, {reached} chains equal only for packets that come", nodes as u64 / count);
}

/// The ruleset with a comment in the place of each origin.
fn read_back(ruleset: &Ruleset) -> Ruleset {
    let mut read = ruleset.clone();
    for chain in read.chains.values_mut() {
        for rule in &mut Arc::make_mut(chain).rules {
            rule.origin = Origin::Comment(rule.origin.comment().into());
        }
    }
    for set in read.sets.values_mut() {
        for origins in Arc::make_mut(set).origins.values_mut() {
            *origins = Arc::new([Origin::Comment(origins[0].comment().into())]);
        }
    }
    read
}

#[test]
fn any_number_of_tiers_is_proved_c2() {
    for seed in 0..100 {
        let world = with_many_tiers(world(seed));
        let engine = roads::engine(&world, &world.resources, false);
        let ruleset = compile(engine.policy());
        let proof = prove(engine.policy(), &ruleset, Budget::default());
        let proof = proof.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(proof.is_complete(), "seed {seed}: {proof:?}");
    }
}
