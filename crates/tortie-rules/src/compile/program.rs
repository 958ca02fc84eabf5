//! The program of one endpoint at one stage: connection state, failsafes, IPv6 essentials, then policy (E-402).

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::{Family, Protocol};
use tortie_calc::policy::{Direction, EndpointPolicy, ReversePath};
use tortie_calc::settings::Failsafe;

use super::frame::{Layout, is_open};
use super::lower::{byte, in_net, protocol_is};
use super::names::endpoint_chain;
use super::parts::{NFPROTO, decide, go, has_bit, icmp_types, insert, is_family, known_flows, peer_address};
use super::sets::SetPool;
use super::stage::Stage;
use crate::ruleset::{Chain, Element, Field, Match, Name, Origin, Rule, Ruleset, Set, Verdict, ct_state};

impl Layout<'_> {
    /// The entry of one endpoint at one stage: connection state, failsafes, then the chains of the two families (E-402).
    /// Untracked stages start with the failsafes.
    pub(super) fn program(
        &self,
        ruleset: &mut Ruleset,
        pool: &mut SetPool<'_>,
        stage: Stage,
        endpoint: &EndpointPolicy,
        families: &[Family],
    ) {
        let is_open = is_open(stage, endpoint);
        let name = self.target(stage, endpoint);
        if is_open && ruleset.chains.contains_key(&name) {
            return;
        }
        let settings = &self.policy.settings;
        let mut rules = Vec::new();
        if let (Stage::UntrackedIn, Some(check)) = (stage, endpoint.reverse_path) {
            let field = match check {
                ReversePath::Strict => Field::ReversePathStrict,
                ReversePath::Loose => Field::ReversePathLoose,
            };
            rules.push(Rule { matches: vec![byte(field, 0, false)], ..decide(Verdict::Drop, Origin::ReversePath) });
        }
        if stage.is_tracked() && stage != Stage::PreDnat {
            // E-420, K-8: one comparison, before everything else. In S4 this is the final accept already.
            rules.push(known_flows(stage.accept(settings)));
        }
        if self.may_be_accepted(stage) {
            let matches = vec![has_bit(self.mark.accept)];
            rules.push(Rule { matches, ..decide(stage.pass(settings), Origin::AcceptedEarlier) });
        }
        if stage.is_tracked() && settings.drops_invalid {
            let rule = if self.only_counts(stage, endpoint) {
                go(Verdict::Return, "staged policies alone")
            } else {
                decide(stage.deny(settings), Origin::ConnState)
            };
            let value = ct_state::INVALID.to_be_bytes().to_vec();
            let is_invalid = Match::Equals { field: Field::CtState, invert: false, value };
            rules.push(Rule { matches: vec![is_invalid], ..rule });
        }
        let verdict = self.pass(stage, endpoint);
        let has_policy = self.has_policy(stage, endpoint);
        if stage.has_failsafes() && has_policy {
            self.failsafes(&mut rules, pool, stage, &verdict, false);
            if !stage.is_tracked() {
                self.failsafes(&mut rules, pool, stage, &verdict, true);
            }
        }
        if is_open {
            rules.push(decide(stage.pass(settings), Origin::NoForwardPolicy));
        } else if has_policy {
            for (family, number) in NFPROTO.into_iter().filter(|(family, _)| families.contains(family)) {
                rules.push(Rule {
                    matches: vec![byte(Field::NfProto, number, false)],
                    ..go(Verdict::Goto(endpoint_chain(stage, Some(family), &endpoint.name, 0)), "policy")
                });
            }
        }
        ruleset.chains.insert(name, Arc::new(Chain { base: None, rules }));
    }

    /// Failsafe ports (E-504): destination port equals, peer in `net`. As `replies` (E-505) those of the other
    /// direction: source port equals.
    fn failsafes(&self, rules: &mut Vec<Rule>, pool: &mut SetPool<'_>, stage: Stage, verdict: &Verdict, replies: bool) {
        let direction = stage.direction();
        let settings = &self.policy.settings;
        let list: &[Failsafe] = match (direction, replies) {
            (Direction::Ingress, false) | (Direction::Egress, true) => &settings.failsafe_inbound,
            (Direction::Egress, false) | (Direction::Ingress, true) => &settings.failsafe_outbound,
        };
        let port = if replies { Field::SourcePort } else { Field::DestinationPort };
        let for_all = list.iter().filter(|failsafe| failsafe.net.is_none());
        let elements: BTreeMap<_, _> = for_all
            .map(|failsafe| {
                let [high, low] = failsafe.port.to_be_bytes();
                (Element::exact([failsafe.protocol.0, high, low]), None)
            })
            .collect();
        if !elements.is_empty() {
            let set = pool
                .constant("failsafe", Set { key: vec![Field::L4Proto, Field::SourcePort], elements, ..Set::default() });
            rules.push(Rule {
                matches: vec![Match::Lookup { key: vec![Field::L4Proto, port], invert: false, set }],
                ..decide(verdict.clone(), Origin::Failsafe(direction))
            });
        }
        for failsafe in list {
            let Some(net) = failsafe.net else { continue };
            let family = Family::of_net(net);
            let mut matches = vec![
                is_family(family),
                protocol_is(failsafe.protocol, false),
                Match::Equals { field: port, invert: false, value: failsafe.port.to_be_bytes().to_vec() },
            ];
            if net.prefix_len() > 0 {
                matches.push(in_net(peer_address(direction, family), net.trunc(), false));
            }
            rules.push(Rule { matches, ..decide(verdict.clone(), Origin::Failsafe(direction)) });
        }
    }
}

/// Neighbour discovery and MLD (E-461), DHCPv6 client (E-462). For chains that see IPv6 only.
fn ipv6_essentials(pool: &mut SetPool<'_>, direction: Direction, verdict: &Verdict) -> Vec<Rule> {
    let link_local = "fe80::/10".parse().expect("a network");
    let pass = |matches| Rule { matches, ..decide(verdict.clone(), Origin::Ipv6Essentials) };
    let discovery = icmp_types(pool, "neighbour-discovery", &[133, 134, 135, 136, 137]);
    let mld = icmp_types(pool, "mld", &[130, 131, 132, 143]);
    let icmp = || protocol_is(Protocol::ICMPV6, false);
    let dhcp_port: u16 = match direction {
        Direction::Ingress => 546,
        Direction::Egress => 547,
    };
    let mut rules = vec![
        pass(vec![icmp(), discovery, byte(Field::HopLimit, 255, false)]),
        pass(vec![icmp(), mld.clone(), in_net(Field::SourceV6, link_local, false)]),
        pass(vec![icmp(), mld, Match::Equals { field: Field::SourceV6, invert: false, value: vec![0; 16] }]),
    ];
    // The client asks the link-local group ff02::1:2 or the server it knows; answers come to its own address.
    let peers: &[&str] = match direction {
        Direction::Ingress => &["fe80::/10"],
        Direction::Egress => &["fe80::/10", "ff02::/16"],
    };
    for peer in peers {
        let peer = peer.parse().expect("a network");
        rules.push(pass(vec![
            protocol_is(Protocol::UDP, false),
            Match::Equals { field: Field::DestinationPort, invert: false, value: dhcp_port.to_be_bytes().to_vec() },
            in_net(Field::SourceV6, link_local, false),
            in_net(Field::DestinationV6, peer, false),
        ]));
    }
    rules
}

/// The chains that hold the IPv6 essentials of stages at which they are accepted.
pub(super) fn shared_essentials(ruleset: &mut Ruleset, pool: &mut SetPool<'_>) {
    for direction in [Direction::Ingress, Direction::Egress] {
        insert(ruleset, essentials_chain(direction), ipv6_essentials(pool, direction, &Verdict::Accept));
    }
}

fn essentials_chain(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "in-ipv6-essentials",
        Direction::Egress => "out-ipv6-essentials",
    }
}

/// The first rules of an IPv6 policy chain; `pass` is what such a packet gets. Where that does not end the base chain
/// they stand here themselves: what a called chain goes or returns to would come back.
pub(super) fn essentials(pool: &mut SetPool<'_>, direction: Direction, pass: &Verdict) -> Vec<Rule> {
    match pass {
        Verdict::Accept => vec![go(Verdict::Jump(Name::new(essentials_chain(direction))), "ipv6 essentials")],
        other => ipv6_essentials(pool, direction, other),
    }
}
