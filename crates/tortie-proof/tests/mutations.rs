//! A compiled ruleset with one mistake in it: each that a packet can meet is found, and shown by such a packet.
//!
//! `TORTIE_WORLDS=N` draws N worlds instead of the default.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "how much is drawn is said from outside")]

use std::collections::BTreeMap;

use tortie_api::packet::Packet;
use tortie_proof::{Budget, Decision, Difference, Disagreement, Effect, Finding, prove};
use tortie_rules::interpret::{Outcome, interpret_marked};
use tortie_rules::ruleset::{Hook, Origin};
use tortie_rules::{Classes, Ruleset, compile_with};
use tortie_testkit::generators::{Random, packet, peerwise, with_many_tiers, world};
use tortie_verdicts::roads;

mod mutate;

use mutate::{KINDS, Kind, mutate};

/// Packets that are tried where nothing was found.
const PACKETS: usize = 150;

#[test]
fn every_mistake_that_a_packet_can_meet_is_found_with_such_a_packet() {
    let worlds = std::env::var("TORTIE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut found: BTreeMap<Kind, [usize; 2]> = BTreeMap::new();
    for seed in 0..worlds {
        let (world, form) = match seed % 6 {
            5 => (with_many_tiers(world(seed)), Classes::Never),
            1 | 4 => (peerwise(seed), Classes::Always),
            _ => (world(seed), roads::form(seed)),
        };
        let engine = roads::engine(&world, &world.resources, false);
        let right = compile_with(engine.policy(), form);
        for (number, kind) in KINDS.iter().enumerate() {
            let mut random = Random::new(seed << 8 | number as u64);
            let Some(wrong) = mutate(&right, *kind, &mut random) else { continue };
            let context = format!("seed {seed}, {kind:?}");
            let counts = found.entry(*kind).or_default();
            match prove(engine.policy(), &wrong, Budget::default()) {
                Ok(proof) => {
                    assert!(proof.is_complete(), "{context}");
                    counts[1] += 1;
                    for _ in 0..PACKETS {
                        let packet = packet(&mut random);
                        let mark = [0, u32::MAX, random.bits() as u32][random.below(3)];
                        let (a, b) = (judge(&right, &packet, mark), judge(&wrong, &packet, mark));
                        assert_eq!(a, b, "{context}: not found, and {packet:?} with mark {mark:#x} meets it");
                    }
                }
                Err(Disagreement::Differs(difference)) => {
                    counts[0] += 1;
                    assert!(is_met(&right, &wrong, &difference), "{context}: {difference:#?}");
                    assert!(is_told(&right, &difference, &difference.expected), "{context}: {difference:#?}");
                    assert!(is_told(&wrong, &difference, &difference.found), "{context}: {difference:#?}");
                }
                Err(broken) => panic!("{context}: {broken}"),
            }
        }
    }
    println!("found and without effect: {found:?}");
    for kind in KINDS {
        let [met, _] = found.get(kind).copied().unwrap_or_default();
        assert!(met > 0, "{kind:?} was never met: {found:?}");
    }
}

/// What a ruleset says, without the part of a rule that said it.
fn judge(ruleset: &Ruleset, packet: &Packet, mark: u32) -> Outcome {
    let mut outcome = interpret_marked(ruleset, packet, mark).unwrap();
    if let Some(Origin::Policy { part, .. } | Origin::Profile { part, .. }) = &mut outcome.origin {
        *part = 0;
    }
    outcome
}

/// Whether the two rulesets judge the witness in two ways, as the disagreement says.
fn is_met(right: &Ruleset, wrong: &Ruleset, difference: &Difference) -> bool {
    let witness = &difference.witness;
    assert_eq!(witness.status, 0, "no criterion of ours needs another bit");
    let differs = |right: &Ruleset, wrong: &Ruleset| {
        judge(right, &witness.packet, witness.mark) != judge(wrong, &witness.packet, witness.mark)
    };
    // A verdict of a base chain may be hidden behind that of a later one.
    differs(right, wrong)
        || differs(&up_to(right, difference.chain), &up_to(wrong, difference.chain))
        // An answer to what is dropped shows in no verdict.
        || [difference.expected.decision, difference.found.decision].iter().filter(|d| **d == Decision::Reject).count() == 1
        // No verdict shows these: a packet that is not tracked, and a bit of others that was written (E-403).
        || difference.expected.is_no_track != difference.found.is_no_track
        || difference.found.effects.contains(&Effect::ForeignMark)
}

/// Whether a ruleset says in that base chain of the witness what is told of it.
fn is_told(ruleset: &Ruleset, difference: &Difference, told: &Finding) -> bool {
    let witness = &difference.witness;
    let outcome = judge(&up_to(ruleset, difference.chain), &witness.packet, witness.mark);
    let is_here = outcome.base.as_ref().is_some_and(|base| base.as_str() == difference.chain);
    let verdict = match told.decision {
        Decision::Undecided => return !is_here,
        Decision::Accept => tortie_rules::interpret::Decision::Accept,
        Decision::Drop | Decision::Reject => tortie_rules::interpret::Decision::Drop,
    };
    is_here && outcome.verdict == verdict && outcome.origin.map(|origin| origin.comment()) == told.reason
}

/// The ruleset without the base chains that come after one of them.
fn up_to(ruleset: &Ruleset, last: &str) -> Ruleset {
    let order = |hook: Hook, priority: i32| match hook {
        Hook::Prerouting => (0, priority),
        Hook::Output => (0, priority),
        Hook::Input | Hook::Forward => (1, priority),
        Hook::Postrouting => (2, priority),
    };
    let mut cut = ruleset.clone();
    let Some(end) = ruleset.chains.get(last).and_then(|chain| chain.base) else { return cut };
    let end = order(end.hook, end.priority);
    cut.chains.retain(|_, chain| chain.base.is_none_or(|base| order(base.hook, base.priority) <= end));
    cut
}
