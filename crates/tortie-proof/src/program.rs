//! What one endpoint says at one stage (E-402): connection state, failsafes, IPv6 essentials, policy.

use std::rc::Rc;

use tortie_api::model::{Family, Protocol};
use tortie_calc::policy::{Direction, EndpointPolicy, ReversePath};
use tortie_calc::settings::{AllowAction, DenyAction, Failsafe};
use tortie_rules::ruleset::{Origin, ct_state, ct_status};

use crate::diagram::Node;
use crate::list::{Actions, has_port, is_protocol, net};
use crate::logic::{Logic, Made};
use crate::outcome::{Decision, Left};
use crate::place::Place;
use crate::space::{Dimension, number};
use crate::stages::{Stage, Stages, text};

impl<'a> Stages<'a> {
    /// What a deny does (E-610): an answer is sent at the filter stages only.
    pub(crate) fn deny(&self, stage: Stage) -> Decision {
        match (stage, self.policy.settings.deny_action) {
            (Stage::S3 | Stage::S4 | Stage::S5 | Stage::S7, DenyAction::Reject) => Decision::Reject,
            _ => Decision::Drop,
        }
    }

    /// An accept for this reason, or where the settings say so the rules of others (E-408, E-611, E-612).
    pub(crate) fn accepted(&self, logic: &mut Logic<'_>, stage: Stage, reason: Rc<str>) -> Made {
        let action = match stage {
            Stage::S1 | Stage::S6 => AllowAction::Accept,
            Stage::S2 => self.policy.settings.mangle_allow_action,
            _ => self.policy.settings.filter_allow_action,
        };
        match action {
            AllowAction::Accept => logic.decided(Decision::Accept, reason),
            AllowAction::Return => logic.undecided(),
        }
    }

    /// One endpoint at one stage (E-402). Of S4, `after` is what follows where it accepts and where it does not.
    pub(crate) fn program(
        &mut self,
        logic: &mut Logic<'_>,
        stage: Stage,
        endpoint: &'a EndpointPolicy,
        after: Option<(Node, Node)>,
    ) -> Made {
        let settings = &self.policy.settings;
        let direction = stage.direction();
        let undecided = after.map_or_else(|| logic.undecided(), |(_, undecided)| Ok(undecided))?;
        // What passes without a word to later stages (E-432, E-461, E-505).
        let pass = |stages: &Self, logic: &mut Logic<'_>, origin: Origin| match (stage, after) {
            (Stage::S1 | Stage::S6, _) => logic.undecided(),
            (_, Some((accepted, _))) => Ok(accepted),
            (_, None) => stages.accepted(logic, stage, text(&origin)),
        };

        let mut node = self.policy_of(logic, stage, endpoint, after, undecided)?;
        let has_policy = !matches!(stage, Stage::S1 | Stage::S6) || !stage.class(endpoint).is_empty();
        // What is forwarded is no neighbour discovery: where all passes, nothing asks for it.
        let is_open =
            matches!(stage, Stage::S4 | Stage::S5) && !endpoint.has_forward() && stage.class(endpoint).is_empty();
        if settings.allows_ipv6_essentials && has_policy && !is_open {
            let passes = pass(self, logic, Origin::Ipv6Essentials)?;
            let is_essential = is_essential(logic, direction)?;
            node = logic.choose(is_essential, passes, node)?;
        }
        if !matches!(stage, Stage::S4 | Stage::S5) && has_policy {
            let passes = pass(self, logic, Origin::Failsafe(direction))?;
            let is_failsafe = self.is_failsafe(logic, stage)?;
            node = logic.choose(is_failsafe, passes, node)?;
        }
        if matches!(stage, Stage::S1 | Stage::S6) {
            return self.reverse_path(logic, stage, endpoint, node);
        }
        let place = match stage {
            Stage::S2 => Place::ManglePrerouting,
            Stage::S3 => Place::Input,
            Stage::S7 => Place::Output,
            Stage::S8 => Place::ManglePostrouting,
            _ => Place::Forward,
        };
        if settings.drops_invalid {
            let drop = logic.decided(self.deny(stage), text(&Origin::ConnState))?;
            let is_invalid = is_state(logic, place, &[ct_state::INVALID])?;
            node = logic.choose(is_invalid, drop, node)?;
        }
        if stage == Stage::S2 {
            return Ok(node);
        }
        // E-405, E-406.
        let comes_accepted = match stage {
            Stage::S3 | Stage::S4 => self.has(Stage::S1) || self.has(Stage::S2),
            Stage::S7 | Stage::S8 => self.has(Stage::S6),
            _ => false,
        };
        if comes_accepted {
            let passes = pass(self, logic, Origin::AcceptedEarlier)?;
            let is_accepted = logic.mark_bit(self.accept_bit)?;
            node = logic.choose(is_accepted, passes, node)?;
        }
        // E-420: in S4 the last word already.
        let known = self.accepted(logic, stage, text(&Origin::ConnState))?;
        let is_known = is_known_flow(logic, place)?;
        logic.choose(is_known, known, node)
    }

    /// Tiers, profiles and what happens behind them (E-226, E-228, E-229).
    fn policy_of(
        &mut self,
        logic: &mut Logic<'_>,
        stage: Stage,
        endpoint: &'a EndpointPolicy,
        after: Option<(Node, Node)>,
        undecided: Node,
    ) -> Made {
        let direction = stage.direction();
        let accept_bit = 1 << self.accept_bit;
        let settings = self.policy.settings.clone();
        let allow = move |logic: &mut Logic<'_>, reason: Rc<str>| match (stage, after) {
            (Stage::S1 | Stage::S6, _) => {
                // E-414.
                let accept = logic.decided(Decision::Accept, reason)?;
                logic.behind(accept, Left { mask: accept_bit, value: accept_bit, is_no_track: true })
            }
            (Stage::S2, _) => {
                // E-431.
                let accept = match settings.mangle_allow_action {
                    AllowAction::Accept => logic.decided(Decision::Accept, reason)?,
                    AllowAction::Return => logic.undecided()?,
                };
                logic.behind(accept, Left { mask: accept_bit, value: accept_bit, is_no_track: false })
            }
            (_, Some((accepted, _))) => Ok(accepted),
            (_, None) => match settings.filter_allow_action {
                AllowAction::Accept => logic.decided(Decision::Accept, reason),
                AllowAction::Return => logic.undecided(),
            },
        };
        let actions = Actions { direction, deny: self.deny(stage), allow: &allow };
        let class = stage.class(endpoint);
        let end = match stage {
            Stage::S3 | Stage::S7 | Stage::S8 => {
                let profiles = match direction {
                    Direction::Ingress => &endpoint.profiles_ingress,
                    Direction::Egress => &endpoint.profiles_egress,
                };
                let drop = logic.decided(actions.deny, text(&Origin::NoMatch(direction)))?;
                self.lists.profiles(logic, profiles, &actions, drop)?
            }
            Stage::S4 | Stage::S5 if !endpoint.has_forward() => allow(logic, text(&Origin::NoForwardPolicy))?,
            _ => undecided,
        };
        self.lists.tiers(logic, class, &actions, end)
    }

    /// E-466: before everything else where a packet arrives.
    fn reverse_path(&self, logic: &mut Logic<'_>, stage: Stage, endpoint: &EndpointPolicy, node: Node) -> Made {
        let (Stage::S1, Some(check)) = (stage, endpoint.reverse_path) else { return Ok(node) };
        let ways: &[u128] = match check {
            ReversePath::Strict => &[0],
            ReversePath::Loose => &[0, 1],
        };
        let has_way = logic.is_any_of(Dimension::WayBack, ways)?;
        let drop = logic.decided(Decision::Drop, text(&Origin::ReversePath))?;
        logic.choose(has_way, node, drop)
    }

    /// Failsafe ports (E-504), and before connection tracking the answers of the other direction's (E-505).
    fn is_failsafe(&self, logic: &mut Logic<'_>, stage: Stage) -> Made {
        let settings = &self.policy.settings;
        let (own, replies) = match stage.direction() {
            Direction::Ingress => (&settings.failsafe_inbound, &settings.failsafe_outbound),
            Direction::Egress => (&settings.failsafe_outbound, &settings.failsafe_inbound),
        };
        let mut any = Node::FALSE;
        for entry in own {
            let holds = is_entry(logic, entry, stage, Dimension::DestinationPort)?;
            any = logic.or(any, holds)?;
        }
        if matches!(stage, Stage::S1 | Stage::S6) {
            for entry in replies {
                let holds = is_entry(logic, entry, stage, Dimension::SourcePort)?;
                any = logic.or(any, holds)?;
            }
        }
        Ok(any)
    }
}

/// Where a packet has the port of a failsafe entry at one end, and its peer is in the entry's network (E-503).
fn is_entry(logic: &mut Logic<'_>, entry: &Failsafe, stage: Stage, port: Dimension) -> Made {
    let mut holds = has_port(logic, entry.protocol, port, entry.port)?;
    if let Some(network) = entry.net {
        let family = Family::of_net(network);
        let peer = match stage.direction() {
            Direction::Ingress => Dimension::source(family),
            Direction::Egress => Dimension::destination(family),
        };
        let is_family = logic.is_family(family)?;
        holds = logic.and(holds, is_family)?;
        let ranges = logic.pool.ranges([net(network)]);
        let is_peer = logic.is_in(peer, ranges)?;
        holds = logic.and(holds, is_peer)?;
    }
    Ok(holds)
}

/// Where connection tracking says one of these of a packet.
pub(crate) fn is_state(logic: &mut Logic<'_>, place: Place, states: &[u32]) -> Made {
    debug_assert!(!place.is_before_tracking(), "nothing asks before connection tracking");
    let states_of: Vec<u128> = states.iter().map(|state| u128::from(*state)).collect();
    let is_said = logic.is_any_of(Dimension::State, &states_of)?;
    // E-417: what was taken out is untracked and nothing else.
    let untracked = Node::of(states.contains(&ct_state::UNTRACKED));
    let is_no_track = logic.is_no_track()?;
    logic.choose(is_no_track, untracked, is_said)
}

pub(crate) fn is_known_flow(logic: &mut Logic<'_>, place: Place) -> Made {
    is_state(logic, place, &[ct_state::ESTABLISHED, ct_state::RELATED])
}

/// Where the destination of a tracked packet is translated (E-411).
pub(crate) fn is_translated(logic: &mut Logic<'_>, place: Place) -> Made {
    debug_assert!(!place.is_before_tracking(), "nothing asks before connection tracking");
    let is_tracked = logic.is_tracked()?;
    let has_bit = logic.status_bit(ct_status::DST_NAT.trailing_zeros())?;
    logic.and(is_tracked, has_bit)
}

pub(crate) fn is_icmpv6(logic: &mut Logic<'_>, types: &[u128]) -> Made {
    let is_family = logic.is_family(Family::V6)?;
    let is_protocol = is_protocol(logic, Protocol::ICMPV6)?;
    let is_type = logic.is_any_of(Dimension::IcmpType, types)?;
    let both = logic.and(is_family, is_protocol)?;
    logic.and(both, is_type)
}

/// Neighbour discovery, multicast listeners, DHCPv6 (E-461, E-462).
fn is_essential(logic: &mut Logic<'_>, direction: Direction) -> Made {
    let link_local = net("fe80::/10".parse().expect("a network"));
    let link_local_group = net("ff02::/16".parse().expect("a network"));
    let unspecified = number(std::net::Ipv6Addr::UNSPECIFIED.into());

    let is_discovery = is_icmpv6(logic, &[133, 134, 135, 136, 137])?;
    let is_near = logic.is_value(Dimension::HopLimit, 255)?;
    let discovery = logic.and(is_discovery, is_near)?;

    let is_listener = is_icmpv6(logic, &[130, 131, 132, 143])?;
    let from = logic.pool.ranges([link_local, (unspecified, unspecified)]);
    let is_from = logic.is_in(Dimension::Source6, from)?;
    let listener = logic.and(is_listener, is_from)?;

    let (port, to) = match direction {
        Direction::Ingress => (546, vec![link_local]),
        Direction::Egress => (547, vec![link_local, link_local_group]),
    };
    let is_family = logic.is_family(Family::V6)?;
    let is_port = has_port(logic, Protocol::UDP, Dimension::DestinationPort, port)?;
    let from = logic.pool.ranges([link_local]);
    let is_from = logic.is_in(Dimension::Source6, from)?;
    let to = logic.pool.ranges(to);
    let is_to = logic.is_in(Dimension::Destination6, to)?;
    let mut dhcp = logic.and(is_family, is_port)?;
    dhcp = logic.and(dhcp, is_from)?;
    dhcp = logic.and(dhcp, is_to)?;

    let both = logic.or(discovery, listener)?;
    logic.or(both, dhcp)
}
