//! Where cut flows are held (E-731).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use tortie_api::flow::Tuple;
use tortie_api::model::{Family, Protocol};
use tortie_rules::Ruleset;
use tortie_rules::compile::cut;
use tortie_rules::plan::{Op, plan};
use tortie_rules::ruleset::{BaseChain, Chain, End, Hook, Name, Origin, Rule, Verdict};

/// Chains at hooks and priorities, each with one rule.
fn ruleset() -> Ruleset {
    let rule = Rule {
        matches: Vec::new(),
        statements: Vec::new(),
        end: End::Verdict(Verdict::Accept),
        origin: Origin::Frame("own"),
    };
    let mut ruleset = Ruleset::default();
    for (name, hook, priority) in [
        ("input", Hook::Input, 0),
        ("output", Hook::Output, 0),
        ("forward", Hook::Forward, 0),
        ("raw", Hook::Output, -300),
        ("prerouting", Hook::Prerouting, 0),
    ] {
        let base = Some(BaseChain { hook, priority });
        ruleset.chains.insert(Name::new(name), Arc::new(Chain { base, rules: vec![rule.clone()] }));
    }
    ruleset
}

#[test]
fn filter_chains_ask_before_anything_else_e731() {
    let mut ruleset = ruleset();
    cut::add(&mut ruleset);
    for (name, expected) in [("input", 3), ("output", 3), ("forward", 3), ("raw", 1), ("prerouting", 1)] {
        let rules = &ruleset.chains[name].rules;
        assert_eq!(rules.len(), expected, "{name}");
        assert_eq!(rules.last().unwrap().origin, Origin::Frame("own"), "{name}");
    }
    assert!(Family::BOTH.iter().all(|family| ruleset.sets[&cut::set_name(*family)].elements.is_empty()));
}

#[test]
fn a_plan_lets_elements_with_a_timeout_be_e731() {
    let mut desired = ruleset();
    cut::add(&mut desired);
    let mut kernel = Ruleset::default();
    for transaction in plan(&desired, None).unwrap().transactions {
        kernel.record(&transaction);
    }
    let (_, element) = cut::element(&tuple("192.0.2.1", "192.0.2.2", Protocol::TCP)).unwrap();
    Arc::make_mut(kernel.sets.get_mut("cut4").unwrap()).elements.insert(element, None);
    assert!(plan(&desired, Some(&kernel)).unwrap().is_empty());
    // Without Recheck the sets go, whatever they hold.
    let ops: Vec<Op> = plan(&ruleset(), Some(&kernel))
        .unwrap()
        .transactions
        .into_iter()
        .flat_map(|transaction| transaction.ops)
        .collect();
    assert!(ops.contains(&Op::DeleteSet { name: Name::new("cut4") }), "{ops:?}");
    assert!(!ops.iter().any(|op| matches!(op, Op::DeleteElements { .. })), "{ops:?}");
}

#[test]
fn tuples_with_ports_are_held_and_others_are_not_e731() {
    let element = |source, destination, protocol| cut::element(&tuple(source, destination, protocol));
    let (family, v4) = element("192.0.2.1", "192.0.2.2", Protocol::TCP).unwrap();
    let expected: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 6, 0x0f, 0xa0, 0, 80];
    assert_eq!((family, &*v4.first, &*v4.last), (Family::V4, expected, expected));
    let (family, v6) = element("fd00::1", "fd00::2", Protocol::UDP).unwrap();
    assert_eq!((family, v6.first.len()), (Family::V6, 37));
    assert!(element("192.0.2.1", "192.0.2.2", Protocol::SCTP).is_some());
    assert!(element("192.0.2.1", "192.0.2.2", Protocol::ICMP).is_none());
    assert!(element("fd00::1", "fd00::2", Protocol::ICMPV6).is_none());
}

fn tuple(source: &str, destination: &str, protocol: Protocol) -> Tuple {
    Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol,
        source_port: 4000,
        destination_port: 80,
        icmp_type: 0,
        icmp_code: 0,
        icmp_id: 0,
    }
}
