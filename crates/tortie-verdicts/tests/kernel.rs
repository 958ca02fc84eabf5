//! Random worlds of the testkit, compiled for all stages: the real kernel takes each of them, from whatever it held
//! before, gives it back as it was written, and what it gives back is proved to do what policy says.
//!
//! `TORTIE_WORLDS=N` draws N worlds instead of the default.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use tortie_nftables::Kernel;
use tortie_proof::{Budget, prove};
use tortie_rules::{compile_with, interpret, plan};
use tortie_testkit::generators::{Random, packet, with_many_tiers, world};
use tortie_testkit::sandbox::in_network_namespace;
use tortie_verdicts::roads;

#[test]
fn the_kernel_takes_every_world_and_gives_it_back_e709_k13() {
    let worlds = std::env::var("TORTIE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150);
    in_network_namespace(move || {
        let mut kernel = Kernel::open().unwrap();
        for seed in 0..worlds {
            let world = world(seed);
            let engine = roads::engine(&world, &world.resources, false);
            let desired = compile_with(engine.policy(), roads::form(seed));
            let mut actual = kernel.read().unwrap();
            for transaction in plan(&desired, actual.ruleset.as_ref()).unwrap().transactions {
                let done = kernel.commit(&transaction, Some(actual.generation));
                done.unwrap_or_else(|error| {
                    panic!("seed {seed}, {:?}: {error:?}\n{transaction:#?}", transaction.phase)
                });
                actual.generation = kernel.generation().unwrap();
            }
            let actual = kernel.read().unwrap().ruleset;
            let left = plan(&desired, actual.as_ref()).unwrap();
            assert!(left.is_empty(), "seed {seed}: the kernel holds something else: {left:#?}");
            // What it holds says of every packet what policy says, in the kernel's own words.
            let proof = prove(engine.policy(), &actual.unwrap(), Budget::default());
            assert!(proof.unwrap_or_else(|error| panic!("seed {seed}: {error}")).is_complete(), "seed {seed}");
            // E-401: only explicit drops deny.
            let chains = Command::new("nft").args(["list", "chains", "inet"]).output().unwrap().stdout;
            let chains = String::from_utf8(chains).unwrap();
            assert!(!chains.contains("policy drop") && chains.contains("policy accept"), "seed {seed}: {chains}");
        }
    });
}

/// The kernel follows 16 steps from chain to chain and no more, and counts a `goto` as one.
#[test]
fn any_number_of_tiers_is_taken_and_judged_c2() {
    in_network_namespace(|| {
        for seed in 0..25 {
            let world = with_many_tiers(world(seed));
            let desired = roads::ruleset(&world, roads::form(seed));
            let mut kernel = Kernel::open().unwrap();
            let actual = kernel.read().unwrap();
            for transaction in plan(&desired, actual.ruleset.as_ref()).unwrap().transactions {
                let done = kernel.commit(&transaction, None);
                done.unwrap_or_else(|error| panic!("seed {seed}, {:?}: {error:?}", transaction.phase));
            }
            let mut random = Random::new(seed);
            for _ in 0..200 {
                let packet = packet(&mut random);
                let (judged, found) = (roads::judge(&world, &packet), interpret(&desired, &packet).unwrap());
                assert!(roads::agrees(&judged, &found), "seed {seed}: {packet:?}\n{judged:?}\n{found:?}");
            }
        }
    });
}
