//! Large sets of networks are cut into parts (K-6), and every packet has the verdict that it had.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, PortRange, Protocol};
use tortie_api::packet::{ConnState, Packet, Route, WayBack};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, EndpointPolicy, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd, TierPolicies,
};
use tortie_rules::compile::classes::Classes;
use tortie_rules::compile::compile_with;
use tortie_rules::interpret::Decision;
use tortie_rules::plan::{Op, Phase};
use tortie_rules::ruleset::{Holds, Ranges, Set};
use tortie_rules::{Compiler, Ruleset, compile, interpret, plan};

const COUNT: u32 = 20_000;

fn id() -> SetId {
    SetId::Selector("list == 'large'".into())
}

/// The beginning of each second block of 16 addresses. One in ten is not as wide, so no length has all, and some are so few
/// that they are intervals.
fn nets() -> BTreeSet<IpNet> {
    let net = |number: u32| {
        let len = if number.is_multiple_of(10) { 30 + number / 10 % 3 } else { 29 };
        format!("{}/{len}", Ipv4Addr::from(first(number)))
    };
    (0..COUNT).map(|number| net(number).parse().unwrap()).collect()
}

fn first(number: u32) -> u32 {
    0x4000_0000 + number * 32
}

fn intervals(ruleset: &Ruleset) -> impl Iterator<Item = &Arc<Set>> {
    ruleset.sets.values().filter(|set| set.ranges == Ranges::OfKey)
}

/// Denies what comes from the set, or with `inverted` from elsewhere, and allows the rest.
fn host(members: BTreeSet<IpNet>, inverted: bool) -> HostPolicy {
    let mut deny = ResolvedRule::any(Action::Deny);
    let criterion = if inverted { &mut deny.source.not_set } else { &mut deny.source.set };
    *criterion = Some(id());
    with_rules(members, vec![deny, ResolvedRule::any(Action::Allow)])
}

/// With a policy of these rules.
fn with_rules(members: BTreeSet<IpNet>, rules: Vec<ResolvedRule>) -> HostPolicy {
    let rules = rules.into_iter().map(Arc::new).collect();
    let id_of_policy =
        PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: None, name: "p".to_owned(), tier: "default".to_owned() };
    let policies = vec![Arc::new(PolicyRules { id: id_of_policy, is_staged: false, rules })];
    let tier = TierPolicies { name: "default".to_owned(), end: TierEnd::Deny, policies };
    let endpoint = EndpointPolicy {
        name: "h".to_owned(),
        normal_ingress: ClassPolicy { tiers: vec![tier] },
        ..EndpointPolicy::default()
    };
    let mut host = HostPolicy::default();
    host.sets.insert(id(), Arc::new(SetMembers::Nets(members)));
    host.dispatch.interfaces.insert("eth0".to_owned(), "h".to_owned());
    host.endpoints.insert("h".to_owned(), Arc::new(endpoint));
    host
}

fn is_denied(ruleset: &Ruleset, source: u32) -> bool {
    let packet = Packet { source: IpAddr::V4(source.into()), ..packet() };
    interpret(ruleset, &packet).unwrap().verdict == Decision::Drop
}

/// TCP to port 9000, which no failsafe is.
fn packet() -> Packet {
    Packet {
        route: Route::Delivered { in_interface: "eth0".to_owned() },
        source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        protocol: Protocol::TCP,
        source_port: 40_000,
        destination_port: 9_000,
        icmp_type: 0,
        icmp_code: 0,
        hop_limit: 64,
        state: ConnState::New,
        dnat: None,
        way_back: WayBack::SameInterface,
    }
}

#[test]
fn verdicts_are_those_of_the_set_as_a_whole_k6() {
    for inverted in [false, true] {
        let ruleset = compile(&host(nets(), inverted));
        assert!(intervals(&ruleset).all(|set| set.elements.len() <= 6_000));
        assert!(ruleset.sets.values().any(|set| set.elements.len() == COUNT as usize * 9 / 10));
        // Inside, at both ends of networks and beside them, and at both ends of the space.
        let around = (0..COUNT).step_by(1_997).chain((0..COUNT).step_by(3_370)).flat_map(|number| {
            let first = first(number);
            [first - 1, first, first + 1, first + 2, first + 3, first + 4, first + 7, first + 8]
        });
        let nets = nets();
        for source in around.chain([0, 0x3fff_ffff, 0x8000_0000, u32::MAX]) {
            assert_eq!(is_denied(&ruleset, source), is_in(&nets, source) != inverted, "{source:x} {inverted}");
        }
    }
}

/// Whether an address is in one of these networks.
fn is_in(nets: &BTreeSet<IpNet>, address: u32) -> bool {
    (0..=32).any(|len| nets.contains(&IpNet::new_assert(IpAddr::V4(address.into()), len).trunc()))
}

#[test]
fn networks_that_lie_in_others_and_all_lengths_are_found_k6() {
    let texts =
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/1", "192.0.2.0/31", "192.0.2.2/31"];
    let nets: BTreeSet<IpNet> = texts.iter().map(|net| net.parse().unwrap()).collect();
    for (inverted, classes) in [(false, Classes::Never), (true, Classes::Never), (false, Classes::ByCost)] {
        let ruleset = compile_with(&host(nets.clone(), inverted), classes);
        for net in &nets {
            let ends = [net.network(), net.broadcast()].map(|end| match end {
                IpAddr::V4(end) => u32::from(end),
                IpAddr::V6(_) => unreachable!("all are of IPv4"),
            });
            for source in [ends[0].wrapping_sub(1), ends[0], ends[1], ends[1].wrapping_add(1)] {
                assert_eq!(is_denied(&ruleset, source), is_in(&nets, source) != inverted, "{source:x} {inverted}");
            }
        }
    }
}

#[test]
fn a_large_set_stays_out_of_the_tables_of_other_rules_c9() {
    let mut deny = ResolvedRule::any(Action::Deny);
    deny.source.set = Some(id());
    let allow = |number: u16| {
        let mut rule = ResolvedRule::any(Action::Allow);
        rule.protocol = Some(Protocol::TCP);
        rule.source.nets = vec![format!("10.0.{number}.0/24").parse().unwrap()];
        rule.destination.ports = vec![PortRange::new(9_000 + number, 9_000 + number).unwrap()];
        rule
    };
    let rules: Vec<ResolvedRule> = std::iter::once(deny).chain((0..20).map(allow)).collect();
    let ruleset = compile(&with_rules(nets(), rules));
    let classes: Vec<usize> =
        ruleset.sets.values().filter(|set| set.holds == Holds::Classes).map(|set| set.elements.len()).collect();
    assert_eq!(classes, [20], "addresses with a class");
    for (source, denied) in [(first(1), true), (0x0a00_0007, false), (0x0a00_0107, true), (first(1) + 9, true)] {
        assert_eq!(is_denied(&ruleset, source), denied, "{source:x}");
    }
}

#[test]
fn an_address_that_goes_from_one_part_to_another_turns_with_the_rules_k5() {
    let before = compile(&host(nets(), false));
    let mut kernel = Ruleset::default();
    kernel.record_all(&plan(&before, None).unwrap());
    let phases = |nets: BTreeSet<IpNet>| -> Vec<Phase> {
        let change = plan(&compile(&host(nets, false)), Some(&kernel)).unwrap();
        change.transactions.iter().map(|transaction| transaction.phase).collect()
    };
    let net = |number: u32, len: u8| IpNet::new_assert(IpAddr::V4(first(number).into()), len);
    let mut nets = nets();
    assert!(nets.remove(&net(1, 29)));
    nets.insert(net(2, 30));
    assert_eq!(phases(nets.clone()), [Phase::Members], "what comes to another part lies elsewhere");
    nets.insert(net(1, 30));
    assert_eq!(phases(nets), [Phase::Build, Phase::Turn, Phase::Remove]);
}

#[test]
fn one_member_is_one_element_of_one_small_set_k5() {
    let mut compiler = Compiler::default();
    let mut kernel = Ruleset::default();
    let first = compiler.compile(&host(nets(), false));
    kernel.record_all(&plan(&first, None).unwrap());
    let mut more = nets();
    more.insert("64.0.4.16/29".parse().unwrap());
    let policy = host(more, false);
    let second = compiler.compile(&policy);
    assert_eq!(second, compile(&policy), "as from scratch");
    let change = plan(&second, Some(&kernel)).unwrap();
    let [members] = &change.transactions[..] else { panic!("{} transactions", change.transactions.len()) };
    let [Op::AddElements { elements, .. }] = &members.ops[..] else { panic!("{} operations", members.ops.len()) };
    assert_eq!(elements.len(), 1);
    kernel.record_all(&change);
    assert!(plan(&second, Some(&kernel)).unwrap().is_empty());
    let shared = second.sets.values().filter(|set| first.sets.values().any(|before| Arc::ptr_eq(before, set)));
    assert!(shared.count() >= 1, "parts that did not change are the same");
}
