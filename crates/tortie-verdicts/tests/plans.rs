//! Plans: whatever a kernel holds, they lead to what is desired, and no packet ever meets half of a change.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use tortie_api::model::Resource;
use tortie_api::packet::Packet;
use tortie_rules::interpret::Outcome;
use tortie_rules::plan::{Op, Phase, Transaction, plan};
use tortie_rules::ruleset::{ClassId, Data, Element, End, Name};
use tortie_rules::{Classes, Ruleset, compile_with, interpret};
use tortie_testkit::generators::{Random, World, packet, peerwise, world};
use tortie_verdicts::roads;

/// A world and the same one after some of its objects were taken from another.
fn two_states(seed: u64) -> (World, Ruleset, Ruleset) {
    let draw = if seed.is_multiple_of(2) { world } else { peerwise };
    let (first, other) = (draw(seed), draw(seed + 1_000_000));
    let mut random = Random::new(seed);
    let mut changed: Vec<Resource> = first.resources.iter().filter(|_| !random.one_in(4)).cloned().collect();
    for resource in &other.resources {
        if random.one_in(3) {
            changed.retain(|old| old.key() != resource.key());
            changed.push(resource.clone());
        }
    }
    let before = roads::ruleset(&first, Classes::Always);
    let after = compile_with(roads::engine(&first, &changed, false).policy(), Classes::Always);
    (first, before, after)
}

fn verdict(ruleset: &Ruleset, packet: &Packet) -> (Outcome, String) {
    let outcome = interpret(ruleset, packet).unwrap();
    let reason = outcome.origin.as_ref().map(|origin| origin.comment()).unwrap_or_default();
    (outcome, reason)
}

/// What a kernel that holds nothing holds after a plan for `desired`.
fn programmed(desired: &Ruleset) -> Ruleset {
    let mut kernel = Ruleset::default();
    for transaction in plan(desired, None).unwrap().transactions {
        kernel.record(&transaction);
    }
    kernel
}

#[test]
fn each_packet_meets_the_old_policy_or_the_new_one_after_every_transaction_d10() {
    let mut turns = 0;
    for seed in 0..400 {
        let (_, before, after) = two_states(seed);
        let mut kernel = programmed(&before);
        let plan = plan(&after, Some(&kernel)).unwrap();
        let mut random = Random::new(seed ^ 0xabc);
        let packets: Vec<Packet> = (0..40).map(|_| packet(&mut random)).collect();
        let is_turning = |transaction: &Transaction| transaction.phase == Phase::Turn;
        assert!(plan.transactions.iter().filter(|t| is_turning(t)).count() <= 1, "seed {seed}: one turn at most");
        turns += plan.transactions.iter().filter(|t| is_turning(t)).count();
        for transaction in &plan.transactions {
            kernel.record(transaction);
            for packet in &packets {
                let now = verdict(&kernel, packet);
                let (old, new) = (verdict(&before, packet), verdict(&after, packet));
                let is_whole = now.0.verdict == old.0.verdict && now.1 == old.1
                    || now.0.verdict == new.0.verdict && now.1 == new.1;
                // Members that change in place may come a transaction before the turn, in programs that do not turn.
                assert!(
                    is_whole,
                    "seed {seed} after {:?}: {packet:?}\nnow {now:?}\nold {old:?}\nnew {new:?}",
                    transaction.phase
                );
            }
        }
        for packet in &packets {
            assert_eq!(verdict(&kernel, packet).1, verdict(&after, packet).1, "seed {seed}");
        }
    }
    assert!(turns > 100, "hardly anything ever turned: {turns}");
}

#[test]
fn a_plan_leaves_nothing_to_do_and_nothing_behind() {
    for seed in 0..300 {
        let (_, before, after) = two_states(seed);
        let mut kernel = programmed(&before);
        for transaction in plan(&after, Some(&kernel)).unwrap().transactions {
            kernel.record(&transaction);
        }
        assert!(plan(&after, Some(&kernel)).unwrap().is_empty(), "seed {seed}");
        let logical = |ruleset: &Ruleset| -> BTreeSet<String> {
            ruleset.chains.keys().chain(ruleset.sets.keys()).map(|name| name.logical().to_owned()).collect()
        };
        assert_eq!(logical(&kernel), logical(&after), "seed {seed}");
        assert_eq!(kernel.chains.len() + kernel.sets.len(), logical(&kernel).len(), "seed {seed}: one instance each");
    }
}

#[test]
fn a_plan_that_was_cut_off_is_taken_up_by_the_next_one_a6() {
    for seed in 0..200 {
        let (_, before, after) = two_states(seed);
        let transactions = plan(&after, Some(&programmed(&before))).unwrap().transactions;
        for cut in 0..transactions.len() {
            let mut kernel = programmed(&before);
            for transaction in &transactions[..cut] {
                kernel.record(transaction);
            }
            // The next start may want either of the two.
            for desired in [&before, &after] {
                let mut kernel = kernel.clone();
                for transaction in plan(desired, Some(&kernel)).unwrap().transactions {
                    kernel.record(&transaction);
                }
                assert!(plan(desired, Some(&kernel)).unwrap().is_empty(), "seed {seed}, cut after {cut}");
            }
        }
    }
}

/// The chain or set that an operation removes.
fn removes(op: &Op) -> Option<&Name> {
    match op {
        Op::DeleteChain { name } | Op::DeleteSet { name } => Some(name),
        _ => None,
    }
}

/// Whether a packet may find `element` of `set`: always, but for maps under classes, where an address needs the class.
fn leads_to(kernel: &Ruleset, set: &Name, element: &Element) -> bool {
    let class = |bytes: &[u8]| bytes.first_chunk().map(|class| Data::Class(ClassId(u64::from_be_bytes(*class))));
    let is_held =
        |classes: &Name, bytes: &[u8]| kernel.sets[classes].elements.values().any(|data| *data == class(bytes));
    let mut rules = kernel.chains.values().flat_map(|chain| &chain.rules);
    !kernel.sets[set].is_by_class()
        || rules.any(|rule| match &rule.end {
            End::Class { classes, other, map, .. } if map == set => {
                is_held(classes, &element.first)
                    && other.as_ref().is_none_or(|other| is_held(&other.classes, &element.first[8..]))
            }
            _ => false,
        })
}

/// The laws of `docs/design.md` section 3 that a plan alone can break.
#[test]
fn plans_keep_the_laws_k3_k4_k5_k14() {
    for seed in 0..300 {
        let (_, before, after) = two_states(seed);
        let mut kernel = programmed(&before);
        for transaction in plan(&after, Some(&kernel)).unwrap().transactions {
            let mut deleted_chain = BTreeSet::new();
            let removed: BTreeSet<&Name> = transaction.ops.iter().filter_map(removes).collect();
            let is_used = |name: &Name| {
                let users = kernel.chains.iter().filter(|(user, _)| !removed.contains(user));
                let mut rules = users.flat_map(|(_, chain)| &chain.rules);
                let maps = kernel.sets.iter().filter(|(map, _)| !removed.contains(map));
                let mut verdicts = maps.flat_map(|(_, map)| map.elements.values()).flatten();
                rules.any(|rule| rule.target() == Some(name) || rule.sets().any(|set| set == name))
                    || verdicts.any(|verdict| verdict.target() == Some(name))
            };
            for op in &transaction.ops {
                match (transaction.phase, op) {
                    // What was built and never turned to goes before more is built.
                    (Phase::Build, Op::FlushChain { name } | Op::DeleteChain { name } | Op::DeleteSet { name }) => {
                        assert!(!is_used(name), "seed {seed}: {name} is in use")
                    }
                    // K-3: a base chain is made when a stage is needed first, and is never made again while it is.
                    (Phase::Build, Op::AddChain { name, base: Some(_) }) => {
                        assert!(!kernel.chains.contains_key(name), "seed {seed}: base chain {name} is made again");
                    }
                    (Phase::Remove, Op::FlushChain { name } | Op::DeleteChain { name }) => {
                        let is_needed = after.chains.get(name).is_some_and(|chain| chain.base.is_some());
                        assert!(!is_needed, "seed {seed}: base chain {name} is deleted");
                        deleted_chain.insert(name.clone());
                    }
                    // Its rules are exchanged in the turn, where another stage comes or goes.
                    (Phase::Turn, Op::FlushChain { name: chain } | Op::AddRule { chain, .. }) => {
                        assert!(kernel.chains[chain].base.is_some(), "seed {seed}: {chain} is edited in place");
                        assert_ne!(kernel.chains[chain].rules, after.chains[chain].rules, "seed {seed}");
                    }
                    // K-4: what is filled is not used yet, so rules are built before the turn and never in it.
                    (Phase::Build, Op::AddRule { .. } | Op::AddSet { .. } | Op::AddChain { .. }) => {}
                    // C-9: what comes and goes under classes in maps that stay is what no address leads to.
                    (Phase::Build, Op::AddElements { set, elements, .. }) if kernel.sets.contains_key(set) => {
                        let in_use = elements.keys().find(|element| leads_to(&kernel, set, element));
                        assert_eq!(in_use, None, "seed {seed}: {set} gets what packets find at once");
                    }
                    (Phase::Build, Op::AddElements { .. }) => {}
                    (Phase::Build | Phase::Remove, Op::DeleteElements { set, elements, .. }) => {
                        let mut left = kernel.clone();
                        left.chains.retain(|name, _| !deleted_chain.contains(name));
                        let in_use = elements.iter().find(|element| leads_to(&left, set, element));
                        assert_eq!(in_use, None, "seed {seed}: {set} loses what packets find");
                    }
                    // K-5: members change in a transaction of their own.
                    (Phase::Members | Phase::Turn, Op::AddElements { .. } | Op::DeleteElements { .. }) => {}
                    // K-14: chains are emptied before what they used is deleted.
                    (Phase::Remove, Op::DeleteSet { name }) => {
                        let users = kernel
                            .chains
                            .iter()
                            .filter(|(_, chain)| chain.rules.iter().any(|rule| rule.sets().any(|set| set == name)));
                        for (user, _) in users {
                            assert!(
                                deleted_chain.contains(user),
                                "seed {seed}: {name} is deleted before {user} is empty"
                            );
                        }
                    }
                    (phase, op) => panic!("seed {seed}: {op:?} in {phase:?}"),
                }
            }
            kernel.record(&transaction);
        }
    }
}
