//! Large sets of networks are cut into blocks (K-6), and every packet has the verdict that it had.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, Protocol};
use tortie_api::packet::{ConnState, Packet, Route, WayBack};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, EndpointPolicy, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd, TierPolicies,
};
use tortie_rules::interpret::Decision;
use tortie_rules::plan::Op;
use tortie_rules::{Compiler, Ruleset, compile, interpret, plan};

const COUNT: u32 = 20_000;

fn id() -> SetId {
    SetId::Selector("list == 'large'".into())
}

/// The beginning of each second block of 16 addresses.
fn nets() -> BTreeSet<IpNet> {
    let nets = (0..COUNT).map(|number| format!("{}/29", Ipv4Addr::from(0x4000_0000 + number * 32)));
    nets.map(|net| net.parse().unwrap()).collect()
}

/// Denies what comes from the set, or with `inverted` from elsewhere, and allows the rest.
fn host(members: BTreeSet<IpNet>, inverted: bool) -> HostPolicy {
    let mut deny = ResolvedRule::any(Action::Deny);
    let criterion = if inverted { &mut deny.source.not_set } else { &mut deny.source.set };
    *criterion = Some(id());
    let rules = vec![Arc::new(deny), Arc::new(ResolvedRule::any(Action::Allow))];
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
        let largest = ruleset.sets.values().map(|set| set.elements.len()).max().unwrap();
        assert!(largest <= 6_000, "{largest}");
        // Inside, at both ends of networks and beside them, and at both ends of the space.
        let around = (0..COUNT).step_by(97).flat_map(|number| {
            let first = 0x4000_0000 + number * 32;
            [first - 1, first, first + 7, first + 8]
        });
        for source in around.chain([0, 0x3fff_ffff, 0x8000_0000, u32::MAX]) {
            assert_eq!(is_denied(&ruleset, source), is_in(source) != inverted, "{source:x} {inverted}");
        }
    }
}

/// Whether an address is in one of [`nets`].
fn is_in(address: u32) -> bool {
    address.checked_sub(0x4000_0000).is_some_and(|offset| offset < COUNT * 32 && offset % 32 < 8)
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
    assert!(shared.count() >= 2, "blocks that did not change are the same");
}
