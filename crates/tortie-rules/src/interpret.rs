//! Runs a packet through a ruleset as the kernel would (`nft_do_chain` in `net/netfilter/nf_tables_core.c`).
//!
//! It works on logical and on instance names alike, so it judges what the compiler made, what a kernel was read to hold,
//! and every state between two transactions of a plan.

use std::net::IpAddr;

use tortie_api::model::Protocol;
use tortie_api::packet::{ConnState, Packet, Route, WayBack};

use crate::ruleset::{
    Chain, ClassId, Data, Element, End, Field, Hook, Match, Name, Origin, Ranges, Rule, Ruleset, Set, Statement,
    Verdict, ct_state, ct_status,
};

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The verdict of all base chains together.
    pub verdict: Decision,
    /// The rule that decided; of an accepted packet, the last one that accepted. `None` for an un-owned packet.
    pub origin: Option<Origin>,
    /// The base chain in which it was decided.
    pub base: Option<Name>,
    /// Log lines in the order in which they were written.
    pub log: Vec<String>,
}

/// The verdict on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// A rule of ours accepted it, and none dropped it.
    Accept,
    /// A rule of ours dropped it.
    Drop,
    /// No rule of ours gave a verdict: it continues to other programs' rules.
    Unowned,
}

/// A ruleset that the kernel would have refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpretError {
    /// A rule names a chain that is not there.
    #[error("rule of chain `{chain}` goes to chain `{target}`, which does not exist")]
    NoChain {
        /// The rule's chain.
        chain: Name,
        /// The missing one.
        target: Name,
    },
    /// A rule names a set that is not there.
    #[error("rule of chain `{chain}` looks up set `{set}`, which does not exist")]
    NoSet {
        /// The rule's chain.
        chain: Name,
        /// The missing one.
        set: Name,
    },
    /// Jumps are nested deeper than the kernel allows (`NFT_JUMP_STACK_SIZE`), or go round in a circle.
    #[error("jumps from base chain `{chain}` are nested too deep or circular")]
    TooDeep {
        /// The base chain.
        chain: Name,
    },
}

/// Runs `packet` through the base chains of every hook on its way.
///
/// # Errors
/// [`InterpretError`] when the ruleset refers to something that does not exist, or loops.
pub fn interpret(ruleset: &Ruleset, packet: &Packet) -> Result<Outcome, InterpretError> {
    interpret_marked(ruleset, packet, 0)
}

/// As [`interpret`], for a packet that comes with this mark: others may have set it (E-404).
///
/// # Errors
/// As [`interpret`].
pub fn interpret_marked(ruleset: &Ruleset, packet: &Packet, mark: u32) -> Result<Outcome, InterpretError> {
    let hooks: &[Hook] = match packet.route {
        Route::Delivered { .. } => &[Hook::Prerouting, Hook::Input],
        Route::Generated { .. } => &[Hook::Output, Hook::Postrouting],
        Route::Forwarded { .. } => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
    };
    let mut outcome = Outcome { verdict: Decision::Unowned, origin: None, base: None, log: Vec::new() };
    let mut skb = Buffer { mark, is_no_track: false };
    for hook in hooks {
        let mut bases: Vec<(&Name, &Chain, i32)> = ruleset
            .chains
            .iter()
            .filter_map(|(name, chain)| match chain.base {
                Some(base) if base.hook == *hook => Some((name, chain.as_ref(), base.priority)),
                _ => None,
            })
            .collect();
        bases.sort_by_key(|(name, _, priority)| (*priority, *name));
        for (name, chain, priority) in bases {
            // Destination NAT happens before the filter hooks, and never to what is not tracked (E-414).
            let is_first = matches!(hook, Hook::Prerouting | Hook::Output);
            let is_before_dnat = is_first && priority < PRIORITY_DST_NAT || !skb.is_tracked(packet);
            let seen = if is_before_dnat { packet.clone() } else { packet.after_dnat() };
            let view =
                View { packet: &seen, hook: *hook, is_before_tracking: is_first && priority < PRIORITY_CONNTRACK };
            match run(ruleset, name, chain, &view, &mut skb, &mut outcome.log)? {
                Some((Verdict::Drop | Verdict::Reject, origin)) => {
                    let (verdict, origin, base) = (Decision::Drop, Some(origin), Some(name.clone()));
                    return Ok(Outcome { verdict, origin, base, log: outcome.log });
                }
                Some((_, origin)) => {
                    outcome.verdict = Decision::Accept;
                    outcome.origin = Some(origin);
                    outcome.base = Some(name.clone());
                }
                None => {}
            }
        }
    }
    Ok(outcome)
}

/// Where destination NAT happens (`NF_IP_PRI_NAT_DST`).
const PRIORITY_DST_NAT: i32 = -100;

/// Where connection tracking looks at a packet (`NF_IP_PRI_CONNTRACK`).
const PRIORITY_CONNTRACK: i32 = -200;

/// Nested jumps the kernel allows (`NFT_JUMP_STACK_SIZE` in `nf_tables.h`).
const JUMPS_MAX: usize = 16;

/// More rules than any ruleset of ours runs for one packet; beyond it a `goto` goes round in a circle.
const STEPS_MAX: usize = 10_000_000;

struct View<'a> {
    packet: &'a Packet,
    hook: Hook,
    /// Connection tracking has not seen the packet yet.
    is_before_tracking: bool,
}

/// What the kernel keeps beside a packet on its way through the hooks (`struct sk_buff`).
struct Buffer {
    mark: u32,
    /// Taken out of connection tracking by [`Statement::NoTrack`].
    is_no_track: bool,
}

impl Buffer {
    /// Whether the packet has an entry in connection tracking.
    fn is_tracked(&self, packet: &Packet) -> bool {
        !self.is_no_track && !matches!(packet.state, ConnState::Untracked | ConnState::Invalid)
    }
}

/// Accept or drop and where it came from, or `None` when the packet fell off the end.
fn run(
    ruleset: &Ruleset,
    base: &Name,
    chain: &Chain,
    view: &View<'_>,
    skb: &mut Buffer,
    log: &mut Vec<String>,
) -> Result<Option<(Verdict, Origin)>, InterpretError> {
    let mut stack: Vec<(Name, &Chain, usize)> = Vec::new();
    let (mut name, mut chain, mut position) = (base.clone(), chain, 0);
    // What led to this chain.
    let mut before: Option<&Origin> = None;
    for _ in 0..STEPS_MAX {
        let Some(rule) = chain.rules.get(position) else {
            match stack.pop() {
                Some(caller) => (name, chain, position) = caller,
                None => return Ok(None),
            }
            continue;
        };
        position += 1;
        if !matches(ruleset, &name, rule, view, skb)? {
            continue;
        }
        for statement in &rule.statements {
            match statement {
                Statement::Log { prefix } => log.push(prefix.clone()),
                Statement::SetMark { mask, value } => skb.mark = skb.mark & !mask | value,
                Statement::NoTrack => skb.is_no_track = true,
                // One packet alone is never over a rate.
                Statement::Counter | Statement::Limit { .. } | Statement::Refresh { .. } => {}
            }
        }
        let found = match &rule.end {
            End::Next => None,
            End::Verdict(verdict) => Some((verdict, None)),
            End::Map { key, map } => {
                let set = find_set(ruleset, &name, map)?;
                view.load_all(key, skb).and_then(|value| verdict_of(set, &value))
            }
            End::Class { address, classes, other, key, map } => {
                let mut value = Some(Vec::new());
                let other = other.as_ref().map(|other| (&other.address, &other.classes));
                for (address, classes) in std::iter::once((address, classes)).chain(other) {
                    let classes = find_set(ruleset, &name, classes)?;
                    let class = view.load(*address, skb).and_then(|value| class_of(classes, &value));
                    value = value.zip(class).map(|(value, class)| [&value[..], &class.0.to_be_bytes()].concat());
                }
                let map = find_set(ruleset, &name, map)?;
                let value = value.zip(view.load_all(key, skb)).map(|(classes, rest)| [classes, rest].concat());
                value.and_then(|value| verdict_of(map, &value))
            }
        };
        let Some((verdict, origin)) = found else { continue };
        let origin = origin.unwrap_or(&rule.origin);
        let target = match verdict {
            Verdict::Accept | Verdict::Drop | Verdict::Reject => {
                let told = before.filter(|_| origin.is_as_told());
                return Ok(Some((verdict.clone(), told.unwrap_or(origin).clone())));
            }
            Verdict::Return => {
                match stack.pop() {
                    Some(caller) => (name, chain, position) = caller,
                    None => return Ok(None),
                }
                continue;
            }
            Verdict::Jump(target) => {
                stack.push((name.clone(), chain, position));
                target
            }
            Verdict::Goto(target) => target,
        };
        before = Some(origin);
        let next = ruleset
            .chains
            .get(target)
            .ok_or_else(|| InterpretError::NoChain { chain: name.clone(), target: target.clone() })?;
        (name, chain, position) = (target.clone(), next, 0);
        if stack.len() > JUMPS_MAX {
            break;
        }
    }
    Err(InterpretError::TooDeep { chain: base.clone() })
}

fn matches(
    ruleset: &Ruleset,
    chain: &Name,
    rule: &Rule,
    view: &View<'_>,
    skb: &Buffer,
) -> Result<bool, InterpretError> {
    for criterion in &rule.matches {
        let holds = match criterion {
            Match::Equals { field, invert, value } => {
                // A shorter value is a prefix: the kernel compares as many bytes as it is given.
                view.load(*field, skb).map(|loaded| loaded.starts_with(value) != *invert)
            }
            Match::Masked { field, mask, invert, value } => {
                view.load(*field, skb).map(|loaded| (masked(&loaded, mask) == *value) != *invert)
            }
            Match::Range { field, invert, first, last } => {
                view.load(*field, skb).map(|loaded| (*first <= loaded && loaded <= *last) != *invert)
            }
            Match::Lookup { key, invert, set } => {
                let set = find_set(ruleset, chain, set)?;
                view.load_all(key, skb).map(|value| element_of(set, &value).is_some() != *invert)
            }
            Match::LookupMasked { field, mask, invert, set } => {
                let set = find_set(ruleset, chain, set)?;
                let found = |loaded: Vec<u8>| element_of(set, &masked(&loaded, mask)).is_some();
                view.load(*field, skb).map(|loaded| found(loaded) != *invert)
            }
        };
        // An expression that cannot be loaded ends the rule without a match (`NFT_BREAK`), inverted or not.
        if holds != Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn find_set<'a>(ruleset: &'a Ruleset, chain: &Name, set: &Name) -> Result<&'a Set, InterpretError> {
    let found = ruleset.sets.get(set);
    found.map(AsRef::as_ref).ok_or_else(|| InterpretError::NoSet { chain: chain.clone(), set: set.clone() })
}

/// The verdict under `value`, and the rule it stands for where that is not the one that asks.
fn verdict_of<'a>(set: &'a Set, value: &[u8]) -> Option<(&'a Verdict, Option<&'a Origin>)> {
    let (element, data) = element_of(set, value)?;
    let verdict = data.as_ref()?.verdict()?;
    Some((verdict, set.origins.get(element).and_then(|origins| origins.first())))
}

/// The class of an address.
fn class_of(set: &Set, value: &[u8]) -> Option<ClassId> {
    match element_of(set, value)?.1 {
        Some(Data::Class(class)) => Some(*class),
        _ => None,
    }
}

/// The element that holds `value`.
fn masked(value: &[u8], mask: &[u8]) -> Vec<u8> {
    value.iter().zip(mask).map(|(byte, mask)| byte & mask).collect()
}

fn element_of<'a>(set: &'a Set, value: &[u8]) -> Option<(&'a Element, &'a Option<Data>)> {
    match set.ranges {
        Ranges::None => set.elements.get_key_value(&Element::exact(value)),
        Ranges::OfKey => {
            // Ranges do not overlap: the last one that starts at or before the value is the only candidate.
            let probe = Element::range(value, vec![0xff; value.len()]);
            let (element, data) = set.elements.range(..=probe).next_back()?;
            (*element.first <= *value && *value <= *element.last).then_some((element, data))
        }
        Ranges::OfFields => set.elements.iter().find(|(element, _)| is_inside(element, set, value)),
    }
}

fn is_inside(element: &Element, set: &Set, value: &[u8]) -> bool {
    let mut from = 0;
    set.key.iter().all(|field| {
        let part = from..from + field.width();
        from = part.end;
        element.first[part.clone()] <= value[part.clone()] && value[part.clone()] <= element.last[part]
    })
}

impl View<'_> {
    fn load_all(&self, key: &[Field], skb: &Buffer) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        for field in key {
            value.extend(self.load(*field, skb)?);
        }
        Some(value)
    }

    /// The big-endian value of a field, or `None` when the packet has no such thing.
    fn load(&self, field: Field, skb: &Buffer) -> Option<Vec<u8>> {
        let packet = self.packet;
        let is_icmp = matches!(packet.protocol, Protocol::ICMP | Protocol::ICMPV6);
        let has_ports = packet.protocol.has_ports() || packet.protocol == Protocol::UDPLITE;
        match field {
            Field::InInterface => self.in_interface().map(interface_value),
            Field::OutInterface => self.out_interface(skb).map(interface_value),
            Field::NfProto => Some(vec![if packet.source.is_ipv4() { 2 } else { 10 }]),
            Field::L4Proto => Some(vec![packet.protocol.0]),
            Field::SourceV4 => v4(packet.source),
            Field::DestinationV4 => v4(packet.destination),
            Field::SourceV6 => v6(packet.source),
            Field::DestinationV6 => v6(packet.destination),
            Field::SourcePort => has_ports.then(|| packet.source_port.to_be_bytes().to_vec()),
            Field::DestinationPort => has_ports.then(|| packet.destination_port.to_be_bytes().to_vec()),
            Field::IcmpType => is_icmp.then(|| vec![packet.icmp_type]),
            Field::IcmpCode => is_icmp.then(|| vec![packet.icmp_code]),
            Field::HopLimit => packet.source.is_ipv6().then(|| vec![packet.hop_limit]),
            // What has no entry in connection tracking and was not taken out of it is invalid (`nft_ct_get_eval`).
            Field::CtState => Some(match (skb.is_no_track, self.is_before_tracking) {
                (true, _) => ct_state::UNTRACKED.to_be_bytes().to_vec(),
                (false, true) => ct_state::INVALID.to_be_bytes().to_vec(),
                (false, false) => ct_state::bit(packet.state).to_be_bytes().to_vec(),
            }),
            Field::CtStatus => {
                let status = if packet.dnat.is_some() { ct_status::DST_NAT } else { 0 };
                let is_known = skb.is_tracked(packet) && !self.is_before_tracking;
                is_known.then(|| status.to_be_bytes().to_vec())
            }
            // No packet has one: it is looked up by `End::Class` alone.
            Field::Class => None,
            Field::Mark => Some(skb.mark.to_be_bytes().to_vec()),
            Field::ReversePathStrict => Some(vec![u8::from(packet.way_back == WayBack::SameInterface)]),
            Field::ReversePathLoose => Some(vec![u8::from(packet.way_back != WayBack::Nowhere)]),
        }
    }

    fn in_interface(&self) -> Option<&str> {
        match &self.packet.route {
            Route::Delivered { in_interface } => Some(in_interface),
            Route::Forwarded { in_interface, .. } => Some(in_interface),
            Route::Generated { .. } => None,
        }
    }

    fn out_interface(&self, skb: &Buffer) -> Option<&str> {
        let before = self.packet.dnat.as_ref().and_then(|dnat| dnat.out_interface_before.as_deref());
        match (&self.packet.route, self.hook) {
            (_, Hook::Prerouting | Hook::Input) => None,
            // The output hook still names the interface that was chosen before translation (E-410), and what is not
            // tracked is not translated (E-414).
            (Route::Generated { .. }, hook)
                if before.is_some() && (hook == Hook::Output || !skb.is_tracked(self.packet)) =>
            {
                before
            }
            (Route::Generated { out_interface } | Route::Forwarded { out_interface, .. }, _) => Some(out_interface),
            (Route::Delivered { .. }, _) => None,
        }
    }
}

fn interface_value(name: &str) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    value.resize(Field::InInterface.width(), 0);
    value
}

fn v4(address: IpAddr) -> Option<Vec<u8>> {
    match address {
        IpAddr::V4(v4) => Some(v4.octets().to_vec()),
        IpAddr::V6(_) => None,
    }
}

fn v6(address: IpAddr) -> Option<Vec<u8>> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(v6) => Some(v6.octets().to_vec()),
    }
}
