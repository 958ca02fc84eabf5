//! Fourth pass: the criteria of one rule and one address family become matches.
//!
//! A rule whose criteria hold an "or" across fields becomes several kernel rules with the same end, its *parts*.

use std::collections::BTreeMap;

use ipnet::IpNet;
use tortie_api::model::{Family, PortRange, Protocol};
use tortie_calc::Settings;
use tortie_calc::policy::{Peer, ResolvedRule, SetId};

use super::classes;
use super::flatten::{FlatAction, FlatRule, SectionEnd};
use super::names::{staged_chain, table_name};
use super::overflow;
use super::parts::{decide, go};
use super::sets::{self, SetPool, address_field, bytes, number};
use super::stage::{Mark, Stage};
use crate::ruleset::{Chain, Element, End, Field, Match, Name, Origin, Rule, Set, Statement, Verdict};

/// What the rules of one endpoint, stage and family have in common.
pub(super) struct Place<'a> {
    pub(super) stage: Stage,
    pub(super) family: Family,
    pub(super) endpoint: &'a str,
    pub(super) settings: &'a Settings,
    /// Whether sections are called one after the other, instead of going to one another.
    pub(super) is_called: bool,
    /// The chain of each section.
    pub(super) name_of: &'a dyn Fn(usize) -> Name,
}

impl Place<'_> {
    /// Whether an allow is told to whoever called the section by a mark.
    pub(super) fn tells_by_mark(&self) -> bool {
        self.is_called && self.stage.is_told_by_mark(self.settings)
    }

    /// What an `Allow` of policy does in a section.
    pub(super) fn allow(&self) -> (Vec<Statement>, Verdict) {
        let (mut statements, verdict) = self.stage.allow(self.settings);
        if !self.tells_by_mark() {
            return (statements, verdict);
        }
        let accept = Mark::of(self.settings).accept();
        if !statements.contains(&accept) {
            statements.push(accept);
        }
        (statements, Verdict::Return)
    }
}

/// The chains that the rules of one section become.
#[derive(Default)]
pub(super) struct Lowered {
    pub(super) rules: Vec<Rule>,
    /// Chains beside them: of staged policies, and those that elements of tables lead to.
    pub(super) chains: BTreeMap<Name, Chain>,
    /// How many staged policies there are.
    staged: usize,
    /// How many tables there are.
    tables: usize,
}

/// Appends what `flat` is in the family of `place`, in which it exists. `end` is that of its section.
pub(super) fn lower(
    lowered: &mut Lowered,
    pool: &mut SetPool<'_>,
    place: &Place<'_>,
    flat: &FlatRule,
    end: &SectionEnd,
) {
    let (statements, end) = match &flat.action {
        FlatAction::Table { table, targets } => {
            let rejects = place.stage.deny(place.settings) == Verdict::Reject;
            let name = table_name(place.stage, place.family, place.endpoint, lowered.tables, rejects);
            lowered.tables += 1;
            let Lowered { rules, chains, .. } = lowered;
            return classes::emit((rules, chains), pool, place, &name, (table, targets), end);
        }
        FlatAction::Accept => {
            let (statements, verdict) = place.allow();
            (statements, End::Verdict(verdict))
        }
        FlatAction::Drop => (vec![Statement::Counter], End::Verdict(place.stage.deny(place.settings))),
        FlatAction::Continue(_) if place.is_called => (vec![Statement::Counter], End::Verdict(Verdict::Return)),
        FlatAction::Continue(next) => (vec![Statement::Counter], End::Verdict(Verdict::Goto((place.name_of)(*next)))),
        FlatAction::Log(prefix) => {
            let limit = place.settings.log_rate.map(|rate| Statement::Limit {
                packets: rate.lines,
                unit_s: rate.unit_s,
                // The kernel takes its own default for none (`NFT_LIMIT_PKT_BURST_DEFAULT`).
                burst: if rate.burst == 0 { 5 } else { rate.burst },
            });
            let log = Statement::Log { prefix: prefix.clone() };
            ([Some(Statement::Counter), limit, Some(log)].into_iter().flatten().collect(), End::Next)
        }
        FlatAction::Count { rules, .. } => {
            let name = staged_chain(place.stage, place.family, place.endpoint, lowered.staged);
            lowered.staged += 1;
            let chain = staged(pool, place.family, rules, &flat.origin);
            let jump = go(Verdict::Jump(name.clone()), "staged policy");
            lowered.chains.insert(name, chain);
            lowered.rules.push(jump);
            return;
        }
    };
    let Some(rule) = overflow::close(&flat.rule, place.family, &|id, family| pool.is_too_large(id, family)) else {
        return;
    };
    let is_once = matches!(flat.action, FlatAction::Log(_));
    for (part, matches) in criteria(pool, &rule, place.family, is_once).into_iter().enumerate() {
        lowered.rules.push(Rule {
            matches,
            statements: statements.clone(),
            end: end.clone(),
            origin: with_part(&flat.origin, part),
        });
    }
}

/// The chain of a staged policy: its first rule that matches and is no `Log` counts, and the packet goes back (D-6).
fn staged(pool: &mut SetPool<'_>, family: Family, rules: &[FlatRule], no_match: &Origin) -> Chain {
    let mut chain = Chain::default();
    for flat in rules {
        let end = match flat.action {
            FlatAction::Log(_) => End::Next,
            _ => End::Verdict(Verdict::Return),
        };
        let Some(rule) = overflow::close(&flat.rule, family, &|id, family| pool.is_too_large(id, family)) else {
            continue;
        };
        for (part, matches) in criteria(pool, &rule, family, end == End::Next).into_iter().enumerate() {
            let origin = with_part(&flat.origin, part);
            chain.rules.push(Rule { matches, statements: vec![Statement::Counter], end: end.clone(), origin });
        }
    }
    chain.rules.push(decide(Verdict::Return, no_match.clone()));
    chain
}

fn with_part(origin: &Origin, number: usize) -> Origin {
    let mut origin = origin.clone();
    if let Origin::Policy { part, .. } | Origin::Profile { part, .. } = &mut origin {
        *part = number;
    }
    origin
}

/// The criteria as alternatives. With `is_once` at most one of them holds for any packet, so that a log line is written once
/// and each counter counts a packet once where the packet goes on to the next rule.
fn criteria(pool: &mut SetPool<'_>, rule: &ResolvedRule, family: Family, is_once: bool) -> Vec<Vec<Match>> {
    let mut all = Alternatives::one();
    if let Some(protocol) = rule.protocol {
        all.and(protocol_is(protocol, false));
    }
    if let Some(protocol) = rule.not_protocol {
        all.and(protocol_is(protocol, true));
    }
    let icmp_protocol = family.icmp();
    if let Some(icmp) = rule.icmp {
        all.and(byte(Field::IcmpType, icmp.icmp_type, false));
        if let Some(code) = icmp.code {
            all.and(byte(Field::IcmpCode, code, false));
        }
    }
    if let Some(icmp) = rule.not_icmp {
        // Not (protocol and type and code), one alternative for each way to differ (E-313). A rule of another protocol
        // meets no ICMP at all.
        let is_icmp = rule.protocol == Some(icmp_protocol);
        if is_icmp || rule.protocol.is_none() {
            let mut ways = Vec::new();
            let mut before = Vec::new();
            if !is_icmp {
                ways.push(vec![protocol_is(icmp_protocol, true)]);
                before.push(protocol_is(icmp_protocol, false));
            }
            ways.push([before.clone(), vec![byte(Field::IcmpType, icmp.icmp_type, true)]].concat());
            if let Some(code) = icmp.code {
                before.push(byte(Field::IcmpType, icmp.icmp_type, false));
                ways.push([before, vec![byte(Field::IcmpCode, code, true)]].concat());
            }
            all.or(ways);
        }
    }
    for end in [PacketEnd::Source, PacketEnd::Destination] {
        let peer = end.peer(rule);
        ports(&mut all, pool, rule, peer, end, family);
        addresses(&mut all, pool, peer, end.address(family), family, is_once);
    }
    all.0
}

/// One end of the packet: source and destination are the packet's own in both directions (E-302).
#[derive(Clone, Copy)]
enum PacketEnd {
    Source,
    Destination,
}

impl PacketEnd {
    fn peer(self, rule: &ResolvedRule) -> &Peer {
        match self {
            PacketEnd::Source => &rule.source,
            PacketEnd::Destination => &rule.destination,
        }
    }

    fn address(self, family: Family) -> Field {
        match (self, family) {
            (PacketEnd::Source, _) => address_field(family),
            (PacketEnd::Destination, Family::V4) => Field::DestinationV4,
            (PacketEnd::Destination, Family::V6) => Field::DestinationV6,
        }
    }

    fn port(self) -> Field {
        match self {
            PacketEnd::Source => Field::SourcePort,
            PacketEnd::Destination => Field::DestinationPort,
        }
    }
}

fn ports(
    all: &mut Alternatives,
    pool: &mut SetPool<'_>,
    rule: &ResolvedRule,
    peer: &Peer,
    end: PacketEnd,
    family: Family,
) {
    // Numeric and named entries of one list are or-ed (E-326).
    let mut ways: Vec<Match> = Vec::new();
    if !peer.ports.is_empty() {
        ways.push(port_in(pool, end, &peer.ports, false));
    }
    for id in &peer.named_ports {
        ways.push(named_port(pool, end, family, id, false));
    }
    if !ways.is_empty() {
        let exclusive = (0..ways.len()).map(|way| {
            let mut matches: Vec<Match> = ways[..way].iter().map(inverted).collect();
            matches.push(ways[way].clone());
            matches
        });
        all.or(exclusive.collect());
    }

    if !peer.not_ports.is_empty() {
        all.and(port_in(pool, end, &peer.not_ports, true));
    }
    if !peer.not_named_ports.is_empty() {
        let not_in: Vec<Match> =
            peer.not_named_ports.iter().map(|id| named_port(pool, end, family, id, true)).collect();
        if rule.protocol.is_some_and(Protocol::has_ports) {
            not_in.into_iter().for_each(|m| all.and(m));
        } else {
            // A packet without ports is in no set, yet the kernel cannot look up what is not there: it would end the
            // rule without a match.
            let protocols = protocols_with_ports(pool);
            let has_ports = |invert| Match::Lookup { key: vec![Field::L4Proto], invert, set: protocols.clone() };
            all.or(vec![vec![has_ports(true)], [vec![has_ports(false)], not_in].concat()]);
        }
    }
}

fn addresses(all: &mut Alternatives, pool: &mut SetPool<'_>, peer: &Peer, field: Field, family: Family, is_once: bool) {
    for (nets, invert) in [(&peer.nets, false), (&peer.not_nets, true)] {
        let nets: Vec<IpNet> = nets.iter().filter(|net| Family::of_net(**net) == family).copied().collect();
        match nets.as_slice() {
            [] => {}
            [net] if net.prefix_len() == 0 && !invert => {}
            [net] if net.prefix_len() > 0 => all.and(in_net(field, *net, invert)),
            _ => {
                let set = pool.constant_nets(family, &nets);
                all.and(Match::Lookup { key: vec![field], invert, set });
            }
        }
    }
    for (id, invert) in [(&peer.set, false), (&peer.not_set, true)] {
        if let Some(id) = id {
            in_set(all, field, pool.places(id, family), invert, is_once);
        }
    }
}

/// `field` in a set, or outside of it when inverted: each address is asked for wherever it may be.
fn in_set(all: &mut Alternatives, field: Field, places: Vec<sets::Place>, invert: bool, is_once: bool) {
    let mut prefixes = Vec::new();
    let mut ways: Vec<Vec<Match>> = Vec::new();
    let mut has_blocks = false;
    for place in places {
        match place {
            sets::Place::Prefixes { len, set } => prefixes.push(in_prefixes(field, len, set)),
            sets::Place::Block { net, set } => {
                has_blocks = true;
                if set.is_some() || invert {
                    let in_block = net.map(|net| in_net(field, net, false));
                    let in_set = set.map(|set| Match::Lookup { key: vec![field], invert, set });
                    ways.push(in_block.into_iter().chain(in_set).collect());
                }
            }
        }
    }
    let outside: Vec<Match> = prefixes.iter().map(inverted).collect();
    if invert {
        outside.into_iter().for_each(|criterion| all.and(criterion));
        if has_blocks {
            all.or(ways);
        }
        return;
    }
    // Blocks do not overlap; prefixes overlap each other and blocks.
    let before = |number: usize| if is_once { outside[..number].to_vec() } else { Vec::new() };
    let of_prefixes = prefixes.into_iter().enumerate().map(|(number, prefix)| [before(number), vec![prefix]].concat());
    let of_blocks = ways.into_iter().map(|way| [before(outside.len()), way].concat());
    all.or(of_prefixes.chain(of_blocks).collect());
}

/// The first bits of `field` in a set.
fn in_prefixes(field: Field, len: u8, set: Name) -> Match {
    let width = 8 * field.width() as u32;
    if u32::from(len) == width {
        return Match::Lookup { key: vec![field], invert: false, set };
    }
    let mask = u128::MAX >> (128 - width) & !(u128::MAX >> (128 - width) >> len);
    Match::LookupMasked { field, mask: bytes(mask, field), invert: false, set }
}

/// `field` inside one network, whose prefix is not empty.
pub(super) fn in_net(field: Field, net: IpNet, invert: bool) -> Match {
    let value = bytes(number(net.network()), field);
    if net.prefix_len() == net.max_prefix_len() {
        return Match::Equals { field, invert, value };
    }
    Match::Masked { field, mask: bytes(number(net.netmask()), field), invert, value }
}

fn port_in(pool: &mut SetPool<'_>, end: PacketEnd, ranges: &[PortRange], invert: bool) -> Match {
    let field = end.port();
    match ranges {
        [range] => in_ports(field, *range, invert),
        _ => Match::Lookup { key: vec![field], invert, set: pool.constant_ports(ranges) },
    }
}

/// A port inside one range.
pub(super) fn in_ports(field: Field, range: PortRange, invert: bool) -> Match {
    if range.first() == range.last() {
        return Match::Equals { field, invert, value: range.first().to_be_bytes().to_vec() };
    }
    Match::Range {
        field,
        invert,
        first: range.first().to_be_bytes().to_vec(),
        last: range.last().to_be_bytes().to_vec(),
    }
}

fn named_port(pool: &mut SetPool<'_>, end: PacketEnd, family: Family, id: &SetId, invert: bool) -> Match {
    let set = pool.ports(id, family);
    Match::Lookup { key: vec![end.address(family), Field::L4Proto, end.port()], invert, set }
}

fn protocols_with_ports(pool: &mut SetPool<'_>) -> Name {
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    let elements = protocols.into_iter().map(|p| (Element::exact([p.0]), None)).collect();
    pool.constant("protocols-with-ports", Set { key: vec![Field::L4Proto], elements, ..Set::default() })
}

pub(super) fn protocol_is(protocol: Protocol, invert: bool) -> Match {
    byte(Field::L4Proto, protocol.0, invert)
}

pub(super) fn byte(field: Field, value: u8, invert: bool) -> Match {
    Match::Equals { field, invert, value: vec![value] }
}

fn inverted(criterion: &Match) -> Match {
    let mut turned = criterion.clone();
    let (Match::Equals { invert, .. }
    | Match::Masked { invert, .. }
    | Match::Range { invert, .. }
    | Match::Lookup { invert, .. }
    | Match::LookupMasked { invert, .. }) = &mut turned;
    *invert = !*invert;
    turned
}

/// A criterion in disjunctive form: any of the lists, all matches of it.
struct Alternatives(Vec<Vec<Match>>);

impl Alternatives {
    fn one() -> Self {
        Self(vec![Vec::new()])
    }

    fn and(&mut self, criterion: Match) {
        for alternative in &mut self.0 {
            alternative.push(criterion.clone());
        }
    }

    fn or(&mut self, ways: Vec<Vec<Match>>) {
        self.0 = self
            .0
            .iter()
            .flat_map(|alternative| ways.iter().map(move |way| [alternative.as_slice(), way.as_slice()].concat()))
            .collect();
    }
}
