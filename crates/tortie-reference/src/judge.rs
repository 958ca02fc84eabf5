//! The way of a packet through the stages, and its verdict in each (enforcement.md section 4 and appendix A).

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};

use tortie_api::model::{Action, HostEndpoint, Policy, PolicyClass, PolicyKind, Protocol, Rule, TierAction};
use tortie_api::packet::{ConnState, Packet, Route, WayBack};
use tortie_api::{DEFAULT_ALLOW_PROFILE, REVERSE_PATH_ANNOTATION};
use tortie_selector::Selector;

use crate::matching::matches;
use crate::world::{Failsafe, HostAction, World};

/// The verdict on a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The stage and rule that decided; the last acceptance of an accepted packet. `None` for an un-owned one.
    pub reason: Option<Reason>,
    /// Policy rules that wrote a log line, in order (E-355).
    pub logs: usize,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted.
    Accept,
    /// Dropped.
    Drop,
    /// No verdict of ours: other programs' rules decide.
    Unowned,
}

/// Where and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The stage.
    pub stage: Stage,
    /// What decided in it.
    pub by: By,
}

/// The stages of enforcement.md section 4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the numbers are the specification's own")]
pub enum Stage {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// Connection state (E-420, E-421).
    ConnState,
    /// A failsafe port.
    Failsafe,
    /// Neighbour discovery, MLD, DHCPv6 (E-461, E-462).
    Ipv6Essentials,
    /// A rule of a policy.
    Policy {
        /// The policy's kind.
        kind: PolicyKind,
        /// Its name.
        name: String,
        /// Its namespace.
        namespace: Option<String>,
        /// Position of the rule in its list, from 0.
        rule: usize,
    },
    /// The end of this tier (E-223).
    TierEnd(String),
    /// A rule of a profile.
    Profile {
        /// The profile.
        name: String,
        /// Position of the rule in its list, from 0.
        rule: usize,
    },
    /// A profile that does not exist (E-230).
    ProfileMissing(String),
    /// Nothing (E-226).
    NoMatch,
    /// The endpoint has no forward policy at all (E-228).
    NoForwardPolicy,
    /// No route leads back to its source (E-466).
    ReversePath,
    /// An earlier stage accepted the packet for this one as well (E-405).
    AcceptedEarlier,
    /// Host to local workload (E-441), or workload to host (E-440).
    Workload,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

/// What one stage says.
enum Outcome {
    /// Accepted; with the mark, later stages know it.
    Accept {
        by: By,
        marks: bool,
    },
    Drop(By),
    Undecided,
}

/// Judges one packet.
pub fn judge(world: &World<'_>, packet: &Packet) -> Judgement {
    let judgement = Judgement { verdict: Verdict::Unowned, reason: None, logs: 0 };
    let mut way = Way { world, judgement, is_tracked: true };
    if packet.source.is_ipv6() && !world.settings.polices_ipv6 {
        return way.judgement; // E-618
    }
    match &packet.route {
        Route::Delivered { in_interface } => way.delivered(packet, in_interface),
        Route::Generated { out_interface } => way.generated(packet, out_interface),
        Route::Forwarded { in_interface, out_interface } => way.forwarded(packet, in_interface, out_interface),
    }
    way.judgement
}

struct Way<'a> {
    world: &'a World<'a>,
    judgement: Judgement,
    /// Not taken out of connection tracking by S1 or S6 (E-414).
    is_tracked: bool,
}

impl Way<'_> {
    /// Accepts, or where the settings say so leaves the packet to the rules of others (E-408, E-611, E-612).
    fn accept(&mut self, stage: Stage, by: By) {
        let settings = self.world.settings;
        let returns = match stage {
            Stage::S1 | Stage::S6 => false,
            Stage::S2 => settings.mangle_allow_returns,
            Stage::S3 | Stage::S4 | Stage::S5 | Stage::S7 | Stage::S8 => settings.filter_allow_returns,
        };
        if !returns {
            self.judgement.verdict = Verdict::Accept;
            self.judgement.reason = Some(Reason { stage, by });
        }
    }

    /// The packet as the later stages see it: after destination NAT, which happens to tracked packets only (E-414,
    /// E-417).
    fn translated(&self, packet: &Packet) -> Packet {
        match packet.state {
            _ if !self.is_tracked => Packet { state: ConnState::Untracked, ..packet.clone() },
            ConnState::Untracked | ConnState::Invalid => packet.clone(),
            _ => packet.after_dnat(),
        }
    }

    /// Notes what a stage says. `None` when the packet is dropped; else whether it is marked for later stages.
    fn take(&mut self, stage: Stage, outcome: Outcome) -> Option<bool> {
        match outcome {
            Outcome::Drop(by) => {
                self.judgement.verdict = Verdict::Drop;
                self.judgement.reason = Some(Reason { stage, by });
                None
            }
            Outcome::Accept { by, marks } => {
                self.accept(stage, by);
                Some(marks)
            }
            Outcome::Undecided => Some(false),
        }
    }

    fn delivered(&mut self, packet: &Packet, in_interface: &str) {
        let world = self.world;
        let Some(is_marked) = self.arriving(in_interface, packet) else { return };
        if !self.judges_workloads() && self.translated(packet).state == ConnState::Established {
            self.accept(Stage::S3, By::ConnState); // E-423
        } else if world.is_workload(in_interface) {
            self.workload_to_host(in_interface, packet);
        } else if is_marked {
            self.accept(Stage::S3, By::AcceptedEarlier);
        } else if let Some(hep) = world.governing(in_interface) {
            let outcome = self.tracked(PolicyClass::Normal, hep, Direction::Ingress, &self.translated(packet), true);
            self.take(Stage::S3, outcome);
        }
    }

    fn generated(&mut self, packet: &Packet, out_interface: &str) {
        let world = self.world;
        // Before translation the packet leaves by the interface of its first destination (E-410).
        let before = packet.dnat.as_ref().and_then(|dnat| dnat.out_interface_before.as_deref());
        let mut is_marked = false;
        if let Some(hep) = world.named(before.unwrap_or(out_interface))
            && has_class(world, PolicyClass::Untracked, hep)
        {
            let outcome = self.untracked(hep, Direction::Egress, packet);
            match self.take(Stage::S6, outcome) {
                Some(marks) => is_marked = marks,
                None => return,
            }
            self.is_tracked = !is_marked;
        }
        // What is not tracked is not translated either (E-414), and so leaves by the first interface.
        let is_tracked = !is_marked && !matches!(packet.state, ConnState::Untracked | ConnState::Invalid);
        let is_translated = packet.dnat.is_some() && is_tracked;
        let out_interface = if is_translated { out_interface } else { before.unwrap_or(out_interface) };
        if world.is_workload(out_interface) {
            return; // E-441: no verdict of ours
        }
        let stage = if is_translated { Stage::S8 } else { Stage::S7 };
        if is_marked {
            self.accept(stage, By::AcceptedEarlier);
        } else if let Some(hep) = world.governing(out_interface) {
            let outcome = self.tracked(PolicyClass::Normal, hep, Direction::Egress, &self.translated(packet), true);
            self.take(stage, outcome);
        }
    }

    fn forwarded(&mut self, packet: &Packet, in_interface: &str, out_interface: &str) {
        let world = self.world;
        let Some(is_marked) = self.arriving(in_interface, packet) else { return };
        let seen = self.translated(packet);
        let before = self.judgement.clone();
        if let Some(hep) = world.forwarding(in_interface) {
            let is_known = matches!(seen.state, ConnState::Established | ConnState::Related);
            let outcome = if is_marked {
                Outcome::Accept { by: By::AcceptedEarlier, marks: true }
            } else {
                self.tracked(PolicyClass::NormalAndForward, hep, Direction::Ingress, &seen, false)
            };
            // The accept of a known flow is already the final one (E-420).
            if self.take(Stage::S4, outcome).is_none() || is_known && !is_marked {
                return;
            }
        }
        if world.drops_unknown_workloads() {
            // E-442, in the place of workload policy (E-450).
            let is_unknown = |name: &str| world.is_workload(name) && !world.is_known_workload(name);
            if is_unknown(in_interface) || is_unknown(out_interface) {
                self.take(Stage::S5, Outcome::Drop(By::Workload));
                return;
            }
        }
        if let Some(hep) = world.forwarding(out_interface) {
            let outcome = self.tracked(PolicyClass::NormalAndForward, hep, Direction::Egress, &seen, false);
            let is_undecided = matches!(outcome, Outcome::Undecided);
            self.take(Stage::S5, outcome);
            if is_undecided {
                // What S4 accepted is left to others; what S1 or S2 said stands.
                self.judgement = Judgement { logs: self.judgement.logs, ..before };
            }
        }
    }

    /// S1 and S2 of an arriving packet: `None` when dropped, else whether ACCEPT is set.
    fn arriving(&mut self, interface: &str, packet: &Packet) -> Option<bool> {
        let world = self.world;
        if let Some(hep) = world.named(interface)
            && !has_way_back(hep, packet)
        {
            self.take(Stage::S1, Outcome::Drop(By::ReversePath));
            return None;
        }
        if let Some(hep) = world.named(interface)
            && has_class(world, PolicyClass::Untracked, hep)
        {
            let outcome = self.untracked(hep, Direction::Ingress, packet);
            if self.take(Stage::S1, outcome)? {
                self.is_tracked = false;
                return Some(true);
            }
        }
        // E-422: known flows and marked packets pass before dispatch.
        if matches!(packet.state, ConnState::Established | ConnState::Related) {
            return Some(false);
        }
        let Some(hep) = world.pre_dnat(interface) else { return Some(false) };
        let outcome = self.tracked(PolicyClass::PreDnat, hep, Direction::Ingress, packet, true);
        self.take(Stage::S2, outcome)
    }

    /// Whether what comes from workloads to the host is judged at all (E-440, E-442).
    fn judges_workloads(&self) -> bool {
        let action = self.world.settings.endpoint_to_host_action;
        self.world.drops_unknown_workloads() || matches!(action, Some(HostAction::Drop | HostAction::Accept))
    }

    /// E-440, E-442.
    fn workload_to_host(&mut self, interface: &str, packet: &Packet) {
        let action = self.world.settings.endpoint_to_host_action;
        if !self.judges_workloads() {
            return;
        }
        let is_known_flow = matches!(packet.state, ConnState::Established | ConnState::Related);
        let is_icmpv6 = packet.source.is_ipv6() && packet.protocol == Protocol::ICMPV6;
        if is_icmpv6 && matches!(packet.icmp_type, 130..=133 | 135 | 136) {
            self.accept(Stage::S3, By::Workload);
        } else if self.world.drops_unknown_workloads() && !self.world.is_known_workload(interface) {
            self.take(Stage::S3, Outcome::Drop(By::Workload));
        } else if is_known_flow {
            self.accept(Stage::S3, By::ConnState);
        } else {
            match action {
                Some(HostAction::Drop) => {
                    self.take(Stage::S3, Outcome::Drop(By::Workload));
                }
                Some(HostAction::Accept) => self.accept(Stage::S3, By::Workload),
                Some(HostAction::Return) | None => {}
            }
        }
    }

    /// One tracked stage: state, failsafes, essentials, policy, in this order (E-402).
    fn tracked(
        &mut self,
        class: PolicyClass,
        hep: &HostEndpoint,
        direction: Direction,
        packet: &Packet,
        has_failsafes: bool,
    ) -> Outcome {
        let settings = self.world.settings;
        match packet.state {
            ConnState::Established | ConnState::Related => {
                return Outcome::Accept { by: By::ConnState, marks: false };
            }
            ConnState::Invalid if settings.drops_invalid => return Outcome::Drop(By::ConnState),
            _ => {}
        }
        if has_failsafes && failsafe_hit(self.world, direction, packet) {
            return Outcome::Accept { by: By::Failsafe, marks: false };
        }
        if settings.allows_ipv6_essentials && is_ipv6_essential(direction, packet) {
            return Outcome::Accept { by: By::Ipv6Essentials, marks: false };
        }
        self.class_verdict(class, hep, direction, packet)
    }

    fn untracked(&mut self, hep: &HostEndpoint, direction: Direction, packet: &Packet) -> Outcome {
        let world = self.world;
        if failsafe_hit(world, direction, packet) || failsafe_reply(world, direction, packet) {
            return Outcome::Undecided; // E-505
        }
        if world.settings.allows_ipv6_essentials && is_ipv6_essential(direction, packet) {
            return Outcome::Undecided; // E-461
        }
        self.class_verdict(PolicyClass::Untracked, hep, direction, packet)
    }

    /// Tiers, then profiles (E-221 to E-229).
    fn class_verdict(
        &mut self,
        class: PolicyClass,
        hep: &HostEndpoint,
        direction: Direction,
        packet: &Packet,
    ) -> Outcome {
        let world = self.world;
        let mut policies: Vec<&Policy> = world
            .policies()
            .filter(|policy| is_of_class(policy, class) && governs(policy, direction) && selects(world, policy, hep))
            .collect();
        policies.sort_by(|a, b| in_order(world, a, b));
        let judges = matches!(class, PolicyClass::Normal | PolicyClass::NormalAndForward);

        let mut rest = policies.as_slice();
        'tiers: while let Some(first) = rest.first() {
            let len = rest.iter().take_while(|policy| policy.tier == first.tier).count();
            let (tier, others) = rest.split_at(len);
            rest = others;
            let real: Vec<&&Policy> = tier.iter().filter(|policy| !policy.kind.is_staged()).collect();
            for policy in &real {
                for (position, rule) in rules(policy, direction).iter().enumerate() {
                    let namespace = policy.meta.namespace.as_deref();
                    if !matches(world, rule, namespace, packet) {
                        continue;
                    }
                    let by = By::Policy {
                        kind: policy.kind,
                        name: policy.meta.name.clone(),
                        namespace: policy.meta.namespace.clone(),
                        rule: position,
                    };
                    match rule.action {
                        Action::Log => self.judgement.logs += 1,
                        Action::Allow => return Outcome::Accept { by, marks: true },
                        Action::Deny => return Outcome::Drop(by),
                        Action::Pass => continue 'tiers,
                    }
                }
            }
            // E-218: a missing tier ends with Deny.
            let action = world.tier(&first.tier).map_or(TierAction::Deny, |tier| tier.default_action);
            if judges && !real.is_empty() && action != TierAction::Pass {
                return Outcome::Drop(By::TierEnd(first.tier.clone()));
            }
        }

        match class {
            PolicyClass::Normal => self.profiles(hep, direction, packet),
            PolicyClass::NormalAndForward if !has_class(world, PolicyClass::NormalAndForward, hep) => {
                Outcome::Accept { by: By::NoForwardPolicy, marks: true }
            }
            _ => Outcome::Undecided,
        }
    }

    fn profiles(&mut self, hep: &HostEndpoint, direction: Direction, packet: &Packet) -> Outcome {
        let world = self.world;
        let allow_all = [std::sync::Arc::new(Rule::any(Action::Allow))];
        for name in &hep.profiles {
            let rules = match world.profile(name) {
                _ if name == DEFAULT_ALLOW_PROFILE => &allow_all[..],
                Some(profile) if direction == Direction::Ingress => &profile.ingress,
                Some(profile) => &profile.egress,
                None => return Outcome::Drop(By::ProfileMissing(name.clone())),
            };
            for (position, rule) in rules.iter().enumerate() {
                if !matches(world, rule, None, packet) {
                    continue;
                }
                let by = By::Profile { name: name.clone(), rule: position };
                match rule.action {
                    Action::Log => self.judgement.logs += 1,
                    Action::Allow => return Outcome::Accept { by, marks: true },
                    Action::Deny => return Outcome::Drop(by),
                    Action::Pass => break, // this profile only (E-225)
                }
            }
        }
        Outcome::Drop(By::NoMatch)
    }
}

/// Whether the packet passes the reverse-path check of the endpoint, if it has one (E-466).
fn has_way_back(hep: &HostEndpoint, packet: &Packet) -> bool {
    let check = hep.meta.annotations.get(REVERSE_PATH_ANNOTATION).map(|text| text.to_lowercase());
    match check.as_deref() {
        Some("strict") => packet.way_back == WayBack::SameInterface,
        Some("loose") => packet.way_back != WayBack::Nowhere,
        _ => true,
    }
}

/// Whether a policy selects a host endpoint (E-201, E-204, E-205).
pub(crate) fn selects(world: &World<'_>, policy: &Policy, hep: &HostEndpoint) -> bool {
    if matches!(policy.kind, PolicyKind::Namespaced | PolicyKind::StagedNamespaced) || policy.is_staged_inactive {
        return false;
    }
    let mut selector = policy.selector.clone();
    if let Some(namespaces) = &policy.namespace_selector {
        selector = selector.and(&namespaces.with_prefix("pcns."));
        selector = selector.replace_all_with(&Selector::has("projectcalico.org/namespace"));
    }
    if let Some(accounts) = &policy.service_account_selector {
        selector = selector.and(&accounts.with_prefix("pcsa."));
        selector = selector.replace_all_with(&Selector::has("projectcalico.org/serviceaccount"));
    }
    selector.matches(&world.labels(&hep.meta.labels, &hep.profiles))
}

/// E-212.
fn is_of_class(policy: &Policy, class: PolicyClass) -> bool {
    policy.class == class || class == PolicyClass::Normal && policy.class == PolicyClass::NormalAndForward
}

/// Whether any policy of a class, in any direction, selects the endpoint.
fn has_class(world: &World<'_>, class: PolicyClass, hep: &HostEndpoint) -> bool {
    world.policies().any(|policy| policy.class == class && !policy.kind.is_staged() && selects(world, policy, hep))
}

fn governs(policy: &Policy, direction: Direction) -> bool {
    match direction {
        Direction::Ingress => policy.governs_ingress,
        Direction::Egress => policy.governs_egress,
    }
}

fn rules(policy: &Policy, direction: Direction) -> &[std::sync::Arc<Rule>] {
    match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    }
}

/// E-215, E-216, E-218.
fn in_order(world: &World<'_>, a: &Policy, b: &Policy) -> Ordering {
    let order = |order: Option<f64>| order.unwrap_or(f64::INFINITY);
    let compare = |a: Option<f64>, b: Option<f64>| order(a).partial_cmp(&order(b)).unwrap_or(Ordering::Equal);
    let (tier_a, tier_b) = (world.tier(&a.tier), world.tier(&b.tier));
    let name = |policy: &Policy| {
        let namespace = policy.meta.namespace.clone().unwrap_or_default();
        format!("{}/{namespace}/{}", policy.meta.name, policy.kind.kind())
    };
    tier_a
        .is_none()
        .cmp(&tier_b.is_none())
        .then(compare(tier_a.and_then(|tier| tier.order), tier_b.and_then(|tier| tier.order)))
        .then(a.tier.cmp(&b.tier))
        .then(compare(a.order, b.order))
        .then(name(a).cmp(&name(b)))
}

/// E-504: the destination port equals, and the peer is in the network.
fn failsafe_hit(world: &World<'_>, direction: Direction, packet: &Packet) -> bool {
    let (list, peer) = match direction {
        Direction::Ingress => (&world.settings.failsafe_inbound, packet.source),
        Direction::Egress => (&world.settings.failsafe_outbound, packet.destination),
    };
    list.iter().any(|entry| is_for(entry, packet.protocol, packet.destination_port, peer))
}

/// E-505: the answer to a failsafe flow of the other direction.
fn failsafe_reply(world: &World<'_>, direction: Direction, packet: &Packet) -> bool {
    let (list, peer) = match direction {
        Direction::Ingress => (&world.settings.failsafe_outbound, packet.source),
        Direction::Egress => (&world.settings.failsafe_inbound, packet.destination),
    };
    list.iter().any(|entry| is_for(entry, packet.protocol, packet.source_port, peer))
}

fn is_for(entry: &Failsafe, protocol: Protocol, port: u16, peer: IpAddr) -> bool {
    entry.protocol == protocol && entry.port == port && entry.net.is_none_or(|net| net.contains(&peer))
}

/// E-461, E-462.
fn is_ipv6_essential(direction: Direction, packet: &Packet) -> bool {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (packet.source, packet.destination) else { return false };
    let is_link_local = |address: Ipv6Addr| address.segments()[0] & 0xffc0 == 0xfe80;
    let is_link_local_group = |address: Ipv6Addr| address.segments()[0] == 0xff02;
    if packet.protocol == Protocol::ICMPV6 {
        return match packet.icmp_type {
            133..=137 => packet.hop_limit == 255,
            130..=132 | 143 => is_link_local(source) || source.is_unspecified(),
            _ => false,
        };
    }
    // A client asks a link-local group or server, and is answered at its own link-local address.
    packet.protocol == Protocol::UDP
        && is_link_local(source)
        && match direction {
            Direction::Ingress => packet.destination_port == 546 && is_link_local(destination),
            Direction::Egress => {
                packet.destination_port == 547 && (is_link_local(destination) || is_link_local_group(destination))
            }
        }
}
