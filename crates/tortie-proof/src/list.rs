//! The first-match lists of policy, read as enforcement.md sections 2 and 3 say.
//!
//! Lists are read from their end: what a rule does that matches, else what the rest of the list does.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, Family, IcmpMatch, PortRange, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, Direction, Peer, PolicyId, ProfileRules, ResolvedRule, SetId, SetMembers, TierEnd,
};
use tortie_rules::ruleset::Origin;

use crate::diagram::Node;
use crate::logic::{Logic, Made};
use crate::outcome::{Decision, Effect};
use crate::space::{Dimension, Range, Ranges, number};
use crate::texts::{log_prefix, note};

/// What the actions of a list do at one stage.
pub(crate) struct Actions<'a> {
    pub(crate) direction: Direction,
    /// What a deny does (E-610).
    pub(crate) deny: Decision,
    /// What an allow for this reason does.
    pub(crate) allow: &'a dyn Fn(&mut Logic<'_>, Rc<str>) -> Made,
}

/// Reads lists of policy.
pub(crate) struct Lists<'a> {
    pub(crate) policy: &'a HostPolicy,
    /// Sets with more members than the kernel is to hold (E-351).
    too_large: HashSet<(&'a SetId, Family)>,
    /// Addresses of the sets in one family.
    nets: HashMap<(&'a SetId, Family), Ranges>,
    /// Addresses of named ports in one family, by protocol and port.
    ports: HashMap<(&'a SetId, Family), Named>,
}

/// The addresses that have a port, for each protocol and port.
type Named = Rc<[((Protocol, u16), Ranges)]>;

/// One end of the packet: the packet's own in both directions (E-302).
#[derive(Clone, Copy)]
enum PacketEnd {
    Source,
    Destination,
}

impl<'a> Lists<'a> {
    pub(crate) fn new(policy: &'a HostPolicy) -> Self {
        let max = policy.settings.set_size_max;
        let each = policy.sets.iter().filter(|(_, members)| members.len() > max);
        let each = each.flat_map(|(id, members)| Family::BOTH.map(|family| (id, family, members.len_in(family))));
        let too_large = each.filter(|(.., len)| *len > max).map(|(id, family, _)| (id, family)).collect();
        Self { policy, too_large, nets: HashMap::new(), ports: HashMap::new() }
    }

    /// Tiers in order (E-221 to E-224); `end` is what happens behind the last one.
    pub(crate) fn tiers(
        &mut self,
        logic: &mut Logic<'_>,
        class: &'a ClassPolicy,
        actions: &Actions<'_>,
        end: Node,
    ) -> Made {
        let direction = actions.direction;
        let mut next = end;
        for tier in class.tiers.iter().rev() {
            let mut node = match tier.end {
                TierEnd::Pass => next,
                TierEnd::Deny => {
                    let origin = Origin::TierEnd { tier: Arc::from(tier.name.as_str()), direction };
                    logic.decided(actions.deny, origin.comment().into())?
                }
            };
            // Staged policies have no verdict and no log (E-206).
            for policy in tier.policies.iter().rev().filter(|policy| !policy.is_staged) {
                let id = Arc::new(policy.id.clone());
                let origin = |position: usize, note| Origin::Policy {
                    id: id.clone(),
                    direction,
                    rule: position,
                    part: 0,
                    is_staged: false,
                    note,
                };
                node = self.rules(logic, &policy.rules, actions, &policy.id, &origin, next, node)?;
            }
            next = node;
        }
        Ok(next)
    }

    /// Profiles in order (E-225, E-230); `end` is what happens behind the last one.
    pub(crate) fn profiles(
        &mut self,
        logic: &mut Logic<'_>,
        profiles: &'a [Arc<ProfileRules>],
        actions: &Actions<'_>,
        end: Node,
    ) -> Made {
        let mut next = end;
        for profile in profiles.iter().rev() {
            let name: Arc<str> = Arc::from(profile.name.as_str());
            let Some(rules) = &profile.rules else {
                next = logic.decided(actions.deny, Origin::ProfileMissing { name }.comment().into())?;
                continue;
            };
            let id = PolicyId { kind: Kind::Profile, namespace: None, name: profile.name.clone(), tier: String::new() };
            let direction = actions.direction;
            let origin = |position: usize, note| Origin::Profile {
                name: name.clone(),
                direction,
                rule: position,
                part: 0,
                note,
            };
            // `Pass` ends this profile only.
            next = self.rules(logic, rules, actions, &id, &origin, next, next)?;
        }
        Ok(next)
    }

    /// Rules in order; `passed` is where `Pass` goes, `end` what happens when none decided (E-222).
    #[expect(clippy::too_many_arguments, reason = "a list is read with all that its rules may do")]
    fn rules(
        &mut self,
        logic: &mut Logic<'_>,
        rules: &'a [Arc<ResolvedRule>],
        actions: &Actions<'_>,
        id: &PolicyId,
        origin: &dyn Fn(usize, Arc<str>) -> Origin,
        passed: Node,
        end: Node,
    ) -> Made {
        let mut node = end;
        for (position, rule) in rules.iter().enumerate().rev() {
            if rule.never.is_some() {
                continue; // E-349, E-358
            }
            let matches = self.matches(logic, rule)?;
            let reason = origin(position, note(rule)).comment().into();
            let does = match rule.action {
                Action::Allow => (actions.allow)(logic, reason)?,
                Action::Deny => logic.decided(actions.deny, reason)?,
                Action::Pass => passed,
                Action::Log => self.logged(logic, id, node)?,
            };
            node = logic.choose(matches, does, node)?;
        }
        Ok(node)
    }

    /// `node` behind a log line (E-355, E-356).
    fn logged(&self, logic: &mut Logic<'_>, id: &PolicyId, node: Node) -> Made {
        let settings = &self.policy.settings;
        let node = logic.with_effect(node, &Effect::Log(log_prefix(&settings.log_prefix, id)))?;
        match settings.log_rate {
            None => Ok(node),
            Some(rate) => {
                // The kernel takes 5 for none.
                let burst = if rate.burst == 0 { 5 } else { rate.burst };
                logic.with_effect(node, &Effect::Limit(rate.lines, rate.unit_s, burst))
            }
        }
    }

    /// Where a rule matches: all of its criteria hold (E-301), in a family in which it exists.
    fn matches(&mut self, logic: &mut Logic<'_>, rule: &'a ResolvedRule) -> Made {
        let mut all = Node::FALSE;
        for family in Family::BOTH {
            if !exists_in(rule, family) {
                continue;
            }
            let in_family = logic.is_family(family)?;
            let holds = self.criteria(logic, rule, family)?;
            let holds = logic.and(in_family, holds)?;
            all = logic.or(all, holds)?;
        }
        Ok(all)
    }

    fn criteria(&mut self, logic: &mut Logic<'_>, rule: &'a ResolvedRule, family: Family) -> Made {
        let mut all = Node::TRUE;
        if let Some(protocol) = rule.protocol {
            let holds = is_protocol(logic, protocol)?;
            all = logic.and(all, holds)?;
        }
        if let Some(protocol) = rule.not_protocol {
            let fails = is_protocol(logic, protocol)?;
            let holds = logic.not(fails)?;
            all = logic.and(all, holds)?;
        }
        if let Some(icmp) = rule.icmp {
            let holds = is_icmp(logic, icmp, family)?;
            all = logic.and(all, holds)?;
        }
        if let Some(icmp) = rule.not_icmp {
            let fails = is_icmp(logic, icmp, family)?;
            let holds = logic.not(fails)?;
            all = logic.and(all, holds)?;
        }
        for (peer, end) in [(&rule.source, PacketEnd::Source), (&rule.destination, PacketEnd::Destination)] {
            let holds = self.peer(logic, rule.action, peer, end, family)?;
            all = logic.and(all, holds)?;
        }
        Ok(all)
    }

    /// The criteria on one end of the packet (E-303).
    fn peer(&mut self, logic: &mut Logic<'_>, action: Action, peer: &'a Peer, end: PacketEnd, family: Family) -> Made {
        let address = end.address(family);
        let mut all = Node::TRUE;
        if !peer.nets.is_empty() {
            let ranges = logic.pool.ranges(nets(&peer.nets, family));
            let holds = logic.is_in(address, ranges)?;
            all = logic.and(all, holds)?;
        }
        if !peer.not_nets.is_empty() {
            let ranges = logic.pool.ranges(nets(&peer.not_nets, family));
            let fails = logic.is_in(address, ranges)?;
            let holds = logic.not(fails)?;
            all = logic.and(all, holds)?;
        }
        for (id, is_negated) in [(&peer.set, false), (&peer.not_set, true)] {
            let Some(id) = id else { continue };
            let ranges = self.addresses(logic, id, family);
            let mut holds = logic.is_in(address, ranges)?;
            if is_negated {
                holds = logic.not(holds)?;
            }
            holds = self.unless_too_large(action, [id], family, holds);
            all = logic.and(all, holds)?;
        }
        if !peer.ports.is_empty() || !peer.named_ports.is_empty() {
            // One list: numbers or names (E-326).
            let mut any = is_port(logic, end, &peer.ports)?;
            for id in &peer.named_ports {
                let named = self.has_named_port(logic, id, end, family)?;
                any = logic.or(any, named)?;
            }
            let holds = self.unless_too_large(action, &peer.named_ports, family, any);
            all = logic.and(all, holds)?;
        }
        let fails = is_port(logic, end, &peer.not_ports)?;
        let holds = logic.not(fails)?;
        all = logic.and(all, holds)?;
        for id in &peer.not_named_ports {
            let fails = self.has_named_port(logic, id, end, family)?;
            let holds = logic.not(fails)?;
            let holds = self.unless_too_large(action, [id], family, holds);
            all = logic.and(all, holds)?;
        }
        Ok(all)
    }

    /// A criterion that looks into sets of which one is too large holds for `Deny` and for nothing else (E-351).
    fn unless_too_large<'b>(
        &self,
        action: Action,
        sets: impl IntoIterator<Item = &'b SetId>,
        family: Family,
        holds: Node,
    ) -> Node {
        let is_too_large = sets.into_iter().any(|id| self.too_large.contains(&(id, family)));
        if is_too_large { Node::of(action == Action::Deny) } else { holds }
    }

    fn addresses(&mut self, logic: &mut Logic<'_>, id: &'a SetId, family: Family) -> Ranges {
        let members = self.policy.sets.get(id);
        *self.nets.entry((id, family)).or_insert_with(|| match members.map(Arc::as_ref) {
            Some(SetMembers::Nets(members)) => logic.pool.ranges(nets(members, family)),
            _ => logic.pool.ranges([]),
        })
    }

    /// Where address, protocol and port of one end are together in a set (E-327).
    fn has_named_port(&mut self, logic: &mut Logic<'_>, id: &'a SetId, end: PacketEnd, family: Family) -> Made {
        let members = self.policy.sets.get(id);
        let named = self.ports.entry((id, family)).or_insert_with(|| {
            let mut named: BTreeMap<(Protocol, u16), Vec<Range>> = BTreeMap::new();
            if let Some(SetMembers::Ports(members)) = members.map(Arc::as_ref) {
                for (address, protocol, port) in members.iter().filter(|(ip, ..)| Family::of(*ip) == family) {
                    let value = number(*address);
                    named.entry((*protocol, *port)).or_default().push((value, value));
                }
            }
            named.into_iter().map(|(port, addresses)| (port, logic.pool.ranges(addresses))).collect()
        });
        let named = named.clone();
        let mut any = Node::FALSE;
        for ((protocol, port), addresses) in named.iter() {
            let is_address = logic.is_in(end.address(family), *addresses)?;
            let is_port = has_port(logic, *protocol, end.port(), *port)?;
            let holds = logic.and(is_address, is_port)?;
            any = logic.or(any, holds)?;
        }
        Ok(any)
    }
}

impl PacketEnd {
    fn address(self, family: Family) -> Dimension {
        match self {
            PacketEnd::Source => Dimension::source(family),
            PacketEnd::Destination => Dimension::destination(family),
        }
    }

    fn port(self) -> Dimension {
        match self {
            PacketEnd::Source => Dimension::SourcePort,
            PacketEnd::Destination => Dimension::DestinationPort,
        }
    }
}

/// Whether a rule exists in a family (E-314, E-315, E-316).
fn exists_in(rule: &ResolvedRule, family: Family) -> bool {
    let other = match family {
        Family::V4 => Protocol::ICMPV6,
        Family::V6 => Protocol::ICMP,
    };
    if rule.ip_version.is_some_and(|version| version != family) || rule.protocol == Some(other) {
        return false;
    }
    let lists = [&rule.source.nets, &rule.source.not_nets, &rule.destination.nets, &rule.destination.not_nets];
    lists.into_iter().all(|list| list.is_empty() || list.iter().any(|net| Family::of_net(*net) == family))
}

/// The addresses of the networks of one family (E-319).
pub(crate) fn nets<'b>(nets: impl IntoIterator<Item = &'b IpNet>, family: Family) -> Vec<Range> {
    let own = nets.into_iter().filter(|net| Family::of_net(**net) == family);
    own.map(|net| (number(net.network()), number(net.broadcast()))).collect()
}

/// The addresses of one network.
pub(crate) fn net(net: IpNet) -> Range {
    let last: IpAddr = net.broadcast();
    (number(net.network()), number(last))
}

pub(crate) fn is_protocol(logic: &mut Logic<'_>, protocol: Protocol) -> Made {
    logic.is_value(Dimension::Protocol, u128::from(protocol.0))
}

/// Where the packet is of this protocol and has this port.
pub(crate) fn has_port(logic: &mut Logic<'_>, protocol: Protocol, end: Dimension, port: u16) -> Made {
    let is_protocol = is_protocol(logic, protocol)?;
    let is_port = logic.is_value(end, u128::from(port))?;
    logic.and(is_protocol, is_port)
}

/// Where one end has one of these ports: only packets of TCP, UDP and SCTP have any (E-325).
fn is_port(logic: &mut Logic<'_>, end: PacketEnd, ranges: &[PortRange]) -> Made {
    if ranges.is_empty() {
        return Ok(Node::FALSE);
    }
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP].map(|protocol| u128::from(protocol.0));
    let has_ports = logic.is_any_of(Dimension::Protocol, &protocols)?;
    let ranges = ranges.iter().map(|range| (u128::from(range.first()), u128::from(range.last())));
    let ranges = logic.pool.ranges(ranges);
    let is_port = logic.is_in(end.port(), ranges)?;
    logic.and(has_ports, is_port)
}

/// Where the packet is ICMP of its family, of this type and, where one is given, this code (E-312).
fn is_icmp(logic: &mut Logic<'_>, icmp: IcmpMatch, family: Family) -> Made {
    let own = match family {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    };
    let is_own = is_protocol(logic, own)?;
    let is_type = logic.is_value(Dimension::IcmpType, u128::from(icmp.icmp_type))?;
    let mut all = logic.and(is_own, is_type)?;
    if let Some(code) = icmp.code {
        let is_code = logic.is_value(Dimension::IcmpCode, u128::from(code))?;
        all = logic.and(all, is_code)?;
    }
    Ok(all)
}
