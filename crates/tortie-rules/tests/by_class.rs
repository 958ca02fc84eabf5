//! Plans for maps by class (C-9): what no address has comes before the change and goes after it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_rules::Ruleset;
use tortie_rules::plan::{Op, Phase, Plan, plan};
use tortie_rules::ruleset::{
    BaseChain, Chain, ClassId, Data, Element, End, Field, Holds, Hook, Name, Origin, Ranges, Rule, Set, Verdict,
};

/// What stands under a class: ports and verdicts.
type Says<'a> = &'a [(u16, Verdict)];

fn rule(end: End) -> Rule {
    Rule { matches: Vec::new(), statements: Vec::new(), end, origin: Origin::Frame("test") }
}

fn under(class: u64, port: u16) -> Element {
    let mut bytes = class.to_be_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    Element::exact(bytes)
}

fn address(number: u8) -> Element {
    Element::exact([10, 0, 0, number])
}

/// Addresses and their classes.
fn holders(ranges: Ranges, classes: impl Iterator<Item = (Element, u64)>) -> Set {
    let elements = classes.map(|(element, class)| (element, Some(Data::Class(ClassId(class)))));
    Set { key: vec![Field::SourceV4], ranges, holds: Holds::Classes, elements: elements.collect(), ..Set::default() }
}

/// One chain that asks for the class of an address; addresses and their classes, and what stands under each class.
fn ruleset(addresses: &[(u8, u64)], classes: &[(u64, Says<'_>)]) -> Ruleset {
    let mut map =
        Set { key: vec![Field::Class, Field::SourcePort], holds: Holds::Verdicts, is_counted: true, ..Set::default() };
    for (class, says) in classes {
        for (port, verdict) in *says {
            map.elements.insert(under(*class, *port), Some(Data::Verdict(verdict.clone())));
            let origin = Origin::Comment(format!("{class} {port}").into());
            map.origins.insert(under(*class, *port), Arc::new([origin, Origin::Frame("before it")]));
        }
    }
    let holders = holders(Ranges::None, addresses.iter().map(|(number, class)| (address(*number), *class)));
    let ask = End::Class {
        address: Field::SourceV4,
        classes: Name::new("in4/h/addresses"),
        other: None,
        key: vec![Field::DestinationPort],
        map: Name::new("in4/h/ports"),
    };
    let go = |to: &str| rule(End::Verdict(Verdict::Goto(Name::new(to))));
    let base = Some(BaseChain { hook: Hook::Input, priority: 0 });
    let log = vec![rule(End::Verdict(Verdict::Drop))];
    Ruleset {
        chains: [
            (Name::new("input"), Arc::new(Chain { base, rules: vec![go("in4/h")] })),
            (Name::new("in4/h"), Arc::new(Chain { base: None, rules: vec![rule(ask)] })),
            (Name::new("log"), Arc::new(Chain { base: None, rules: log })),
        ]
        .into(),
        sets: [(Name::new("in4/h/ports"), Arc::new(map)), (Name::new("in4/h/addresses"), Arc::new(holders))].into(),
    }
}

const ONE: (u64, Says<'_>) = (1, &[(80, Verdict::Accept), (443, Verdict::Drop)]);
const TWO: (u64, Says<'_>) = (2, &[(80, Verdict::Drop)]);
const THREE: (u64, Says<'_>) = (3, &[(22, Verdict::Accept)]);

fn record(kernel: &mut Ruleset, plan: &Plan) {
    plan.transactions.iter().for_each(|transaction| kernel.record(transaction));
}

/// What a kernel holds after a plan for `desired`.
fn programmed(desired: &Ruleset) -> Ruleset {
    let mut kernel = Ruleset::default();
    record(&mut kernel, &plan(desired, None).unwrap());
    assert!(plan(desired, Some(&kernel)).unwrap().is_empty());
    kernel
}

/// The changes of elements of a plan, by transaction.
fn changes(plan: &Plan) -> Vec<(Phase, Vec<String>)> {
    let text = |op: &Op| match op {
        Op::AddElements { set, elements, .. } => format!("+{} {set}", elements.len()),
        Op::DeleteElements { set, elements, .. } => format!("-{} {set}", elements.len()),
        other => format!("{other:?}"),
    };
    plan.transactions.iter().map(|t| (t.phase, t.ops.iter().map(text).collect())).collect()
}

fn of(phase: Phase, ops: &[&str]) -> (Phase, Vec<String>) {
    (phase, ops.iter().map(|op| (*op).to_owned()).collect())
}

#[test]
fn a_class_comes_before_its_addresses_turn_and_goes_after_them() {
    let mut kernel = programmed(&ruleset(&[(1, 1), (2, 2)], &[ONE, TWO]));
    let desired = ruleset(&[(1, 3), (2, 2)], &[TWO, THREE]);
    let plan = plan(&desired, Some(&kernel)).unwrap();
    assert_eq!(
        changes(&plan),
        [
            of(Phase::Build, &["+1 in4/h/ports..1"]),
            of(Phase::Members, &["-1 in4/h/addresses..1", "+1 in4/h/addresses..1"]),
            of(Phase::Remove, &["-2 in4/h/ports..1"]),
        ]
    );
    record(&mut kernel, &plan);
    assert!(tortie_rules::plan::plan(&desired, Some(&kernel)).unwrap().is_empty());
}

#[test]
fn an_address_that_moves_between_classes_that_are_there_is_two_operations() {
    let kernel = programmed(&ruleset(&[(1, 1), (2, 2)], &[ONE, TWO]));
    let plan = plan(&ruleset(&[(1, 2), (2, 1)], &[ONE, TWO]), Some(&kernel)).unwrap();
    assert_eq!(changes(&plan), [of(Phase::Members, &["-2 in4/h/addresses..1", "+2 in4/h/addresses..1"])]);
}

/// Killed between any two transactions, the next plan leads to what is desired then, and leaves nothing behind.
/// The same with a map of protocols beside that of ports, and one of networks beside that of addresses.
fn wider(
    addresses: &[(u8, u64)],
    networks: &[((u8, u8), u64)],
    ports: &[(u64, Says<'_>)],
    all: &[(u64, Verdict)],
) -> Ruleset {
    let mut found = ruleset(addresses, ports);
    let elements = all.iter().map(|(class, verdict)| {
        (Element::exact([&class.to_be_bytes()[..], &[6]].concat()), Some(Data::Verdict(verdict.clone())))
    });
    let protocols = Set {
        key: vec![Field::Class, Field::L4Proto],
        holds: Holds::Verdicts,
        elements: elements.collect(),
        ..Set::default()
    };
    let of = |(first, last): (u8, u8)| Element::range([10, 0, 0, first], [10, 0, 0, last]);
    let networks = holders(Ranges::OfKey, networks.iter().map(|(span, class)| (of(*span), *class)));
    let ask = |classes: &str, key: Field, map: &str| {
        let (classes, map) = (Name::new(classes), Name::new(map));
        rule(End::Class { address: Field::SourceV4, classes, other: None, key: vec![key], map })
    };
    let rules = vec![
        ask("in4/h/addresses", Field::DestinationPort, "in4/h/ports"),
        ask("in4/h/addresses", Field::L4Proto, "in4/h/protocols"),
        ask("in4/h/networks", Field::DestinationPort, "in4/h/ports"),
        ask("in4/h/networks", Field::L4Proto, "in4/h/protocols"),
    ];
    found.chains.insert(Name::new("in4/h"), Arc::new(Chain { base: None, rules }));
    found.sets.insert(Name::new("in4/h/protocols"), Arc::new(protocols));
    found.sets.insert(Name::new("in4/h/networks"), Arc::new(networks));
    found
}

#[test]
fn what_a_packet_could_meet_in_part_turns_with_the_rules_k4() {
    let all = [(1, Verdict::Drop), (2, Verdict::Drop), (4, Verdict::Accept)];
    let ports = [ONE, TWO, THREE];
    let before = wider(&[(7, 1)], &[((20, 29), 3)], &ports, &all);
    for (what, after, in_place) in [
        ("other ports, the same protocols", wider(&[(7, 2)], &[((20, 29), 3)], &ports, &all), true),
        ("other ports and other protocols", wider(&[(7, 3)], &[((20, 29), 3)], &ports, &all), false),
        ("what has no class gets one with both", wider(&[(7, 1), (8, 2)], &[((20, 29), 3)], &ports, &all), false),
        ("what has no class gets one with ports", wider(&[(7, 1), (8, 3)], &[((20, 29), 3)], &ports, &all), true),
        ("two addresses, each by one way", wider(&[(7, 2)], &[((20, 25), 3)], &ports, &all), true),
        ("one address by two ways", wider(&[(7, 2)], &[((7, 7), 3), ((20, 29), 3)], &ports, &all), false),
    ] {
        let plan = plan(&after, Some(&programmed(&before))).unwrap();
        let phases: Vec<Phase> = plan.transactions.iter().map(|transaction| transaction.phase).collect();
        let turns = phases.contains(&Phase::Turn);
        assert_eq!((turns, phases.contains(&Phase::Members)), (!in_place, in_place), "{what}: {phases:?}");
    }
}

#[test]
fn what_a_turn_that_never_came_had_left_goes_first_d10() {
    let before = ruleset(&[(1, 1)], &[ONE]);
    let interrupted = ruleset(&[(1, 2)], &[TWO]);
    let mut kernel = programmed(&before);
    kernel.record(&plan(&interrupted, Some(&kernel)).unwrap().transactions[0]);
    let desired = ruleset(&[(1, 3)], &[THREE]);
    let next = plan(&desired, Some(&kernel)).unwrap();
    assert_eq!(
        changes(&next),
        [
            of(Phase::Build, &["-1 in4/h/ports..1", "+1 in4/h/ports..1"]),
            of(Phase::Members, &["-1 in4/h/addresses..1", "+1 in4/h/addresses..1"]),
            of(Phase::Remove, &["-2 in4/h/ports..1"]),
        ]
    );
    // Back to where it was: only the rest goes.
    assert_eq!(changes(&plan(&before, Some(&kernel)).unwrap()), [of(Phase::Build, &["-1 in4/h/ports..1"])]);
    record(&mut kernel, &next);
    assert_eq!(kernel.sets["in4/h/ports..1"].elements.len(), 1);
    assert!(plan(&desired, Some(&kernel)).unwrap().is_empty());
}

/// A class that addresses have and keep is put right at once: its number says what stands under it.
#[test]
fn what_foreign_hands_put_under_a_class_in_use_goes_first_e721() {
    let desired = ruleset(&[(1, 1), (2, 2)], &[ONE, TWO]);
    let mut kernel = programmed(&desired);
    let map = Arc::make_mut(kernel.sets.get_mut("in4/h/ports..1").unwrap());
    map.elements.insert(under(1, 22), Some(Data::Verdict(Verdict::Accept)));
    map.elements.insert(under(1, 80), Some(Data::Verdict(Verdict::Drop)));
    map.elements.remove(&under(2, 80));
    let plan = plan(&desired, Some(&kernel)).unwrap();
    assert_eq!(changes(&plan), [of(Phase::Build, &["-2 in4/h/ports..1", "+2 in4/h/ports..1"])]);
    record(&mut kernel, &plan);
    assert_eq!(kernel.sets["in4/h/ports..1"].elements, desired.sets["in4/h/ports"].elements);
}

#[test]
fn a_map_that_leads_to_a_renewed_chain_is_renewed_k4() {
    let log = || Verdict::Goto(Name::new("log"));
    let says = [(80, log())];
    let desired = ruleset(&[(1, 1)], &[(1, &says)]);
    let mut kernel = programmed(&desired);
    assert_eq!(
        kernel.sets["in4/h/ports..1"].elements[&under(1, 80)].as_ref().unwrap().target().unwrap().as_str(),
        "log..1"
    );
    let mut changed = desired.clone();
    changed.chains.insert(Name::new("log"), Arc::new(Chain { base: None, rules: vec![] }));
    let turn = plan(&changed, Some(&kernel)).unwrap();
    let phases: Vec<Phase> = turn.transactions.iter().map(|t| t.phase).collect();
    assert_eq!(phases, [Phase::Build, Phase::Turn, Phase::Remove]);
    // No element leads to a chain that is not there yet.
    for transaction in &turn.transactions {
        kernel.record(transaction);
        let targets = kernel.sets.values().flat_map(|set| set.elements.values().flatten()).filter_map(Data::target);
        for target in targets {
            assert!(kernel.chains.contains_key(target), "{target} after {:?}", transaction.phase);
        }
    }
    assert_eq!(kernel.sets.keys().map(Name::as_str).collect::<Vec<_>>(), ["in4/h/addresses..1", "in4/h/ports..2"]);
    assert!(plan(&changed, Some(&kernel)).unwrap().is_empty());
    // With a turn beside it, addresses move with the turn as well.
    let both = ruleset(&[(1, 2)], &[(2, &says)]);
    let plan = plan(&both, Some(&kernel)).unwrap();
    let at = |phase| plan.transactions.iter().position(|t| t.phase == phase).unwrap();
    assert!(at(Phase::Build) < at(Phase::Turn) && at(Phase::Turn) < at(Phase::Remove));
    assert!(plan.transactions.iter().all(|t| t.phase != Phase::Members), "{:?}", changes(&plan));
}

/// In one transaction chains are made before the elements that lead to them, in constant sets as well.
#[test]
fn elements_come_behind_the_chains_that_they_lead_to() {
    let says = [(80, Verdict::Jump(Name::new("log")))];
    let desired = ruleset(&[(1, 1)], &[(1, &says)]);
    let plan = plan(&desired, None).unwrap();
    let mut made = Vec::new();
    for op in plan.transactions.iter().flat_map(|t| &t.ops) {
        match op {
            Op::AddChain { name, .. } => made.push(name.clone()),
            Op::AddElements { elements, .. } => {
                let mut targets = elements.values().flatten().filter_map(Data::target);
                assert!(targets.all(|target| made.contains(target)), "{op:?}");
            }
            _ => {}
        }
    }
}

/// What is known of a kernel without reading it: elements with data and origins, those of elements that are gone too.
#[test]
fn a_record_keeps_origins_beside_their_elements() {
    let mut kernel = programmed(&ruleset(&[(1, 1), (2, 2)], &[ONE, TWO]));
    let desired = ruleset(&[(1, 3), (2, 2)], &[TWO, THREE]);
    let plan = plan(&desired, Some(&kernel)).unwrap();
    record(&mut kernel, &plan);
    let (map, wanted) = (&kernel.sets["in4/h/ports..1"], &desired.sets["in4/h/ports"]);
    assert_eq!((&map.elements, &map.origins), (&wanted.elements, &wanted.origins));
    assert!(map.is_counted && map.holds == Holds::Verdicts);
    let plain: BTreeMap<_, _> = kernel.sets["in4/h/addresses..1"].elements.clone();
    assert_eq!(plain, desired.sets["in4/h/addresses"].elements);
}

#[test]
fn a_set_that_counts_is_another_one_than_one_that_does_not() {
    let desired = ruleset(&[(1, 1)], &[ONE]);
    let mut kernel = programmed(&desired);
    Arc::make_mut(kernel.sets.get_mut("in4/h/ports..1").unwrap()).is_counted = false;
    let plan = plan(&desired, Some(&kernel)).unwrap();
    record(&mut kernel, &plan);
    assert!(kernel.sets["in4/h/ports..2"].is_counted && !kernel.sets.contains_key("in4/h/ports..1"));
}
