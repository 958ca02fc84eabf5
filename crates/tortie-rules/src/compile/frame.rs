//! Fourth pass: what stands around policy.
//!
//! ```text
//! input ── iifname → verdict map `in-if` ──▶ in/<endpoint> ── connection state, failsafes ──▶ in4/<endpoint>, in6/<endpoint>
//!       └─ family  → verdict map `in-any` ─▶ in-wildcard ── workload interfaces go back ──▶ in/<wildcard endpoint>
//! ```
//!
//! Base chains and dispatch maps are made once; only elements of the maps ever change while running (K-3, K-9).

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::{Family, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{Direction, EndpointPolicy};
use tortie_calc::settings::Failsafe;

use super::lower::{byte, in_net, protocol_is};
use super::names::endpoint_chain;
use super::sets::SetPool;
use crate::ruleset::{
    BaseChain, Chain, Element, End, Field, Hook, Match, Name, Origin, Rule, Ruleset, Set, Statement, Verdict, ct_state,
    ct_status,
};

/// `NFPROTO_IPV4` and `NFPROTO_IPV6` of `linux/netfilter.h`.
const NFPROTO: [(Family, u8); 2] = [(Family::V4, 2), (Family::V6, 10)];

/// Netfilter priority of the filter chains (`NF_IP_PRI_FILTER`).
const PRIORITY_FILTER: i32 = 0;

/// What differs between the two directions of local traffic.
struct Side {
    base: &'static str,
    hook: Hook,
    interface: Field,
    by_interface: &'static str,
    for_any: &'static str,
    wildcard: &'static str,
    essentials: &'static str,
}

fn side(direction: Direction) -> Side {
    match direction {
        Direction::Ingress => Side {
            base: "input",
            hook: Hook::Input,
            interface: Field::InInterface,
            by_interface: "in-if",
            for_any: "in-any",
            wildcard: "in-wildcard",
            essentials: "in-ipv6-essentials",
        },
        Direction::Egress => Side {
            base: "output",
            hook: Hook::Output,
            interface: Field::OutInterface,
            by_interface: "out-if",
            for_any: "out-any",
            wildcard: "out-wildcard",
            essentials: "out-ipv6-essentials",
        },
    }
}

/// Base chain, dispatch maps and what all endpoints of a direction share.
pub(super) fn base(ruleset: &mut Ruleset, pool: &mut SetPool<'_>, policy: &HostPolicy, direction: Direction) {
    let side = side(direction);
    let mut rules = Vec::new();
    if direction == Direction::Egress {
        // S7 judges what is not translated; a translated packet is judged after routing, in S8 (E-410, K-17).
        let dnat = ct_status::DST_NAT.to_be_bytes().to_vec();
        rules.push(Rule {
            matches: vec![Match::Masked { field: Field::CtStatus, mask: dnat, invert: true, value: vec![0; 4] }],
            ..go(Verdict::Return, "translated destination")
        });
    }
    rules.push(map_rule(vec![side.interface], side.by_interface, "interface"));
    rules.push(map_rule(vec![Field::NfProto], side.for_any, "any interface"));
    let base = BaseChain { hook: side.hook, priority: PRIORITY_FILTER };
    ruleset.chains.insert(Name::new(side.base), Arc::new(Chain { base: Some(base), rules }));

    let mut by_interface = BTreeMap::new();
    if policy.dispatch.wildcard.is_some() {
        for name in &policy.dispatch.exempt {
            by_interface.insert(Element::exact(interface_key(name)), Some(Verdict::Return));
        }
    }
    for (interface, endpoint) in &policy.dispatch.interfaces {
        let entry = endpoint_chain(direction, None, endpoint, 0);
        by_interface.insert(Element::exact(interface_key(interface)), Some(Verdict::Goto(entry)));
    }
    let mut for_any = BTreeMap::new();
    if let Some(endpoint) = &policy.dispatch.wildcard {
        for (_, number) in NFPROTO {
            for_any.insert(Element::exact([number]), Some(Verdict::Goto(Name::new(side.wildcard))));
        }
        let mut rules: Vec<Rule> = policy
            .settings
            .interface_prefixes
            .iter()
            .map(|prefix| Rule {
                matches: vec![Match::Equals {
                    field: side.interface,
                    invert: false,
                    value: prefix.as_bytes().to_vec(),
                }],
                ..go(Verdict::Return, "workload interface")
            })
            .collect();
        rules.push(go(Verdict::Goto(endpoint_chain(direction, None, endpoint, 0)), "wildcard endpoint"));
        ruleset.chains.insert(Name::new(side.wildcard), Arc::new(Chain { base: None, rules }));
    }
    for (name, key, elements) in
        [(side.by_interface, side.interface, by_interface), (side.for_any, Field::NfProto, for_any)]
    {
        let map = Set { key: vec![key], is_interval: false, is_map: true, is_constant: false, elements };
        ruleset.sets.insert(Name::new(name), Arc::new(map));
    }

    if policy.settings.allows_ipv6_essentials && !policy.endpoints.is_empty() {
        let rules = ipv6_essentials(pool, direction);
        ruleset.chains.insert(Name::new(side.essentials), Arc::new(Chain { base: None, rules }));
    }
}

/// The entry of one endpoint: connection state, failsafes, then the chains of the two families (E-402).
pub(super) fn program(
    ruleset: &mut Ruleset,
    pool: &mut SetPool<'_>,
    policy: &HostPolicy,
    endpoint: &EndpointPolicy,
    direction: Direction,
) {
    // E-420, K-8: one lookup, before everything else.
    let states = [ct_state::ESTABLISHED, ct_state::RELATED]
        .into_iter()
        .map(|state| (Element::exact(state.to_be_bytes()), Some(Verdict::Accept)))
        .collect();
    let states = pool.constant(
        "ct-state",
        Set { key: vec![Field::CtState], is_interval: false, is_map: true, is_constant: false, elements: states },
    );
    let mut rules = vec![Rule {
        matches: Vec::new(),
        statements: Vec::new(),
        end: End::Map { key: vec![Field::CtState], map: states },
        origin: Origin::ConnState,
    }];
    if policy.settings.drops_invalid {
        rules.push(Rule {
            matches: vec![Match::Equals {
                field: Field::CtState,
                invert: false,
                value: ct_state::INVALID.to_be_bytes().to_vec(),
            }],
            ..decide(Verdict::Drop, Origin::ConnState)
        });
    }
    failsafes(&mut rules, pool, policy, direction);
    for (family, number) in NFPROTO {
        rules.push(Rule {
            matches: vec![byte(Field::NfProto, number, false)],
            ..go(Verdict::Goto(endpoint_chain(direction, Some(family), &endpoint.name, 0)), "policy")
        });
    }
    let name = endpoint_chain(direction, None, &endpoint.name, 0);
    ruleset.chains.insert(name, Arc::new(Chain { base: None, rules }));
}

/// Failsafe ports of one direction: destination port equals, peer in `net` (E-504).
fn failsafes(rules: &mut Vec<Rule>, pool: &mut SetPool<'_>, policy: &HostPolicy, direction: Direction) {
    let list: &[Failsafe] = match direction {
        Direction::Ingress => &policy.settings.failsafe_inbound,
        Direction::Egress => &policy.settings.failsafe_outbound,
    };
    let for_all = list.iter().filter(|failsafe| failsafe.net.is_none());
    let elements: BTreeMap<_, _> = for_all
        .map(|failsafe| {
            let [high, low] = failsafe.port.to_be_bytes();
            (Element::exact([failsafe.protocol.0, high, low]), None)
        })
        .collect();
    if !elements.is_empty() {
        let set = pool.constant(
            "failsafe",
            Set {
                key: vec![Field::L4Proto, Field::SourcePort],
                is_interval: false,
                is_map: false,
                is_constant: false,
                elements,
            },
        );
        rules.push(Rule {
            matches: vec![Match::Lookup { key: vec![Field::L4Proto, Field::DestinationPort], invert: false, set }],
            ..decide(Verdict::Accept, Origin::Failsafe(direction))
        });
    }
    for failsafe in list {
        let Some(net) = failsafe.net else { continue };
        let family = Family::of_net(net);
        let peer = match (direction, family) {
            (Direction::Ingress, Family::V4) => Field::SourceV4,
            (Direction::Ingress, Family::V6) => Field::SourceV6,
            (Direction::Egress, Family::V4) => Field::DestinationV4,
            (Direction::Egress, Family::V6) => Field::DestinationV6,
        };
        let mut matches = vec![
            is_family(family),
            protocol_is(failsafe.protocol, false),
            Match::Equals { field: Field::DestinationPort, invert: false, value: failsafe.port.to_be_bytes().to_vec() },
        ];
        if net.prefix_len() > 0 {
            matches.push(in_net(peer, net.trunc(), false));
        }
        rules.push(Rule { matches, ..decide(Verdict::Accept, Origin::Failsafe(direction)) });
    }
}

fn is_family(family: Family) -> Match {
    let number = match family {
        Family::V4 => NFPROTO[0].1,
        Family::V6 => NFPROTO[1].1,
    };
    byte(Field::NfProto, number, false)
}

/// Neighbour discovery and MLD (E-461), DHCPv6 client (E-462). Called from chains that see IPv6 only.
fn ipv6_essentials(pool: &mut SetPool<'_>, direction: Direction) -> Vec<Rule> {
    let link_local = "fe80::/10".parse().expect("a network");
    let icmp_types = |pool: &mut SetPool<'_>, readable: &str, types: &[u8]| {
        let elements = types.iter().map(|t| (Element::exact([*t]), None)).collect();
        let set = Set { key: vec![Field::IcmpType], is_interval: false, is_map: false, is_constant: false, elements };
        Match::Lookup { key: vec![Field::IcmpType], invert: false, set: pool.constant(readable, set) }
    };
    let accept = |matches| Rule { matches, ..decide(Verdict::Accept, Origin::Ipv6Essentials) };
    let discovery = icmp_types(pool, "neighbour-discovery", &[133, 134, 135, 136, 137]);
    let mld = icmp_types(pool, "mld", &[130, 131, 132, 143]);
    let icmp = || protocol_is(Protocol::ICMPV6, false);
    let dhcp_port: u16 = match direction {
        Direction::Ingress => 546,
        Direction::Egress => 547,
    };
    let mut rules = vec![
        accept(vec![icmp(), discovery, byte(Field::HopLimit, 255, false)]),
        accept(vec![icmp(), mld.clone(), in_net(Field::SourceV6, link_local, false)]),
        accept(vec![icmp(), mld, Match::Equals { field: Field::SourceV6, invert: false, value: vec![0; 16] }]),
    ];
    // The client asks the link-local group ff02::1:2 or the server it knows; answers come to its own address.
    let peers: &[&str] = match direction {
        Direction::Ingress => &["fe80::/10"],
        Direction::Egress => &["fe80::/10", "ff02::/16"],
    };
    for peer in peers {
        let peer = peer.parse().expect("a network");
        rules.push(accept(vec![
            protocol_is(Protocol::UDP, false),
            Match::Equals { field: Field::DestinationPort, invert: false, value: dhcp_port.to_be_bytes().to_vec() },
            in_net(Field::SourceV6, link_local, false),
            in_net(Field::DestinationV6, peer, false),
        ]));
    }
    rules
}

/// The first rule of an IPv6 policy chain.
pub(super) fn jump_to_essentials(direction: Direction) -> Rule {
    go(Verdict::Jump(Name::new(side(direction).essentials)), "ipv6 essentials")
}

/// A counted verdict.
pub(super) fn decide(verdict: Verdict, origin: Origin) -> Rule {
    Rule { matches: Vec::new(), statements: vec![Statement::Counter], end: End::Verdict(verdict), origin }
}

/// A step of the frame.
pub(super) fn go(verdict: Verdict, what: &'static str) -> Rule {
    Rule { matches: Vec::new(), statements: Vec::new(), end: End::Verdict(verdict), origin: Origin::Frame(what) }
}

fn map_rule(key: Vec<Field>, map: &str, what: &'static str) -> Rule {
    Rule {
        matches: Vec::new(),
        statements: Vec::new(),
        end: End::Map { key, map: Name::new(map) },
        origin: Origin::Frame(what),
    }
}

/// An interface name as the kernel compares it: 16 bytes (`IFNAMSIZ`), zero-padded.
fn interface_key(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(Field::InInterface.width(), 0);
    key
}
