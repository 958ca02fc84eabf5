//! Sets that rules look addresses and ports up in.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::Sub;
use std::sync::Arc;

use foldhash::HashMap;
use ipnet::IpNet;
use tortie_api::model::{Family, PortRange};
use tortie_calc::policy::{SetId, SetMembers};

use super::blocks::{self, Block, Limits, Part};
use super::memo::Memory;
use super::names::{family_digit, hashed};
use crate::ruleset::{Element, Field, Name, Ranges, Set};

/// The first and the last of some values.
pub(super) type Span = (u128, u128);

/// Sets by name, made when the first rule asks for them.
pub struct SetPool<'a> {
    members: &'a BTreeMap<SetId, Arc<SetMembers>>,
    /// Sets with too many members for the kernel (E-351).
    too_large: BTreeSet<(&'a SetId, Family)>,
    sets: BTreeMap<Name, Arc<Set>>,
    /// The sets whose members were asked for, in any way, with these.
    asked: RefCell<HashMap<SetId, Option<&'a Arc<SetMembers>>>>,
    memory: Option<&'a mut Memory>,
    limits: Limits,
}

/// Where the networks of a selector are looked for.
pub(super) enum Place {
    /// In a hash of the first so many bits of the address.
    Prefixes {
        /// How many.
        len: u8,
        /// The set.
        set: Name,
    },
    /// In an interval set where the address is in this network, or anywhere; without a set is a block of which no address is
    /// a member.
    Block {
        /// The block.
        net: Option<IpNet>,
        /// The set.
        set: Option<Name>,
    },
}

impl<'a> SetPool<'a> {
    /// A pool over the present members, of which a set may have `size_max` in one family.
    pub fn new(members: &'a BTreeMap<SetId, Arc<SetMembers>>, size_max: usize) -> Self {
        let large = members.iter().filter(|(_, set)| set.len() > size_max);
        let each = large.flat_map(|(id, set)| Family::BOTH.map(|family| (id, family, set.len_in(family))));
        let too_large = each.filter(|(.., len)| *len > size_max).map(|(id, family, _)| (id, family)).collect();
        Self {
            members,
            too_large,
            sets: BTreeMap::new(),
            asked: RefCell::default(),
            memory: None,
            limits: Limits::BY_COST,
        }
    }

    /// The same, with other limits of what is cut.
    pub(super) fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The same, with a memory of sets.
    pub(super) fn remembering(
        members: &'a BTreeMap<SetId, Arc<SetMembers>>,
        size_max: usize,
        memory: &'a mut Memory,
    ) -> Self {
        Self { memory: Some(memory), ..Self::new(members, size_max) }
    }

    fn ask(&self, id: &SetId) -> Option<&'a Arc<SetMembers>> {
        let mut asked = self.asked.borrow_mut();
        if let Some(known) = asked.get(id) {
            return *known;
        }
        let members = self.members.get(id);
        asked.insert(id.clone(), members);
        members
    }

    /// Whether the set has too many members in this family (E-351).
    pub(super) fn is_too_large(&self, id: &SetId, family: Family) -> bool {
        self.ask(id);
        !self.too_large.is_empty() && self.too_large.contains(&(id, family))
    }

    /// All sets that were asked for.
    pub fn into_sets(self) -> BTreeMap<Name, Arc<Set>> {
        self.sets
    }

    /// The same, and the sets whose members they depend on.
    pub(super) fn into_parts(self) -> (BTreeMap<Name, Arc<Set>>, Vec<SetId>) {
        (self.sets, self.asked.into_inner().into_keys().collect())
    }

    /// The networks of a selector for one family, in one place or several. Their members change in place (K-5).
    pub(super) fn places(&mut self, id: &SetId, family: Family) -> Vec<Place> {
        let members = self.ask(id);
        let parts = match &mut self.memory {
            Some(memory) => memory.parts(id, family, members, self.limits),
            None => blocks::cut(family, nets_of(members), self.limits),
        };
        let name = set_name(id, family);
        let mut named = |name: Name, set: Arc<Set>| {
            self.sets.entry(name.clone()).or_insert(set);
            name
        };
        let places = parts.into_iter().map(|part| match part {
            Part::Prefixes { len, set } => Place::Prefixes { len, set: named(name.part(&format!("p{len}")), set) },
            Part::Block(Block { net, set }) => {
                let name = match net {
                    Some(net) => name.part(&format!("{:x}-{}", number(net.network()), net.prefix_len())),
                    None => name.clone(),
                };
                Place::Block { net, set: set.map(|set| named(name, set)) }
            }
        });
        places.collect()
    }

    /// The set of a named port for one family. Its members change in place (K-5).
    pub(super) fn ports(&mut self, id: &SetId, family: Family) -> Name {
        let name = set_name(id, family);
        if !self.sets.contains_key(&name) {
            let set = match self.ask(id).map(Arc::as_ref) {
                Some(SetMembers::Ports(ports)) => Arc::new(port_set(family, ports.iter().copied())),
                _ => Arc::new(port_set(family, [])),
            };
            self.sets.insert(name.clone(), set);
        }
        name
    }

    /// Whether a set has more networks of one family, single addresses aside, than one interval set may hold.
    pub(super) fn has_many_networks(&self, id: &SetId, family: Family) -> bool {
        let Some(members) = self.ask(id).filter(|members| members.len() > self.limits.len_max) else { return false };
        let is_wide = |net: &IpNet| Family::of_net(*net) == family && net.prefix_len() < net.max_prefix_len();
        nets_of(Some(members)).filter(is_wide).count() > self.limits.len_max
    }

    /// The addresses of a set of one family: single ones as they are, networks merged.
    pub(super) fn spans(&self, id: &SetId, family: Family) -> Vec<Span> {
        let Some(SetMembers::Nets(nets)) = self.ask(id).map(Arc::as_ref) else { return Vec::new() };
        let (singles, wide): (Vec<_>, Vec<_>) =
            spans_of(family, nets.iter().copied()).into_iter().partition(|(first, last)| first == last);
        [merge(wide), singles].concat()
    }

    /// A constant set of networks of one family.
    pub(super) fn constant_nets(&mut self, family: Family, nets: &[IpNet]) -> Name {
        let readable = nets.iter().map(IpNet::to_string).collect::<Vec<_>>().join("-");
        self.constant(&format!("net-{readable}"), net_set(family, nets.iter().copied()))
    }

    /// A constant set of ports.
    pub(super) fn constant_ports(&mut self, ranges: &[PortRange]) -> Name {
        let merged = merge(ranges.iter().map(|r| (u128::from(r.first()), u128::from(r.last()))));
        let readable = merged.iter().map(|(a, b)| if a == b { format!("{a}") } else { format!("{a}to{b}") });
        let readable = format!("port-{}", readable.collect::<Vec<_>>().join("-"));
        self.constant(&readable, ranges_set(Field::SourcePort, &merged))
    }

    /// A set under a name that no other has.
    pub(super) fn insert(&mut self, name: Name, set: Set) {
        self.sets.insert(name, Arc::new(set));
    }

    /// A set whose name says its content, so that it never changes.
    pub(super) fn constant(&mut self, readable: &str, mut set: Set) -> Name {
        set.is_constant = true;
        let content = format!("{:?} {:?} {:?} {:?}", set.key, set.ranges, set.holds, set.elements);
        let name = Name::new(format!("k/{}", hashed(readable, &content)));
        self.sets.entry(name.clone()).or_insert_with(|| Arc::new(set));
        name
    }
}

fn set_name(id: &SetId, family: Family) -> Name {
    let digit = family_digit(family);
    match id {
        SetId::Selector(text) => Name::new(format!("s{digit}/{}", hashed(text, text))),
        SetId::NamedPort { name, protocol, selector } => {
            let readable = match protocol {
                Some(protocol) => format!("{protocol}-{name}"),
                None => name.to_string(),
            };
            let content = format!("{name}|{protocol:?}|{selector:?}");
            Name::new(format!("p{digit}/{}", hashed(&readable, &content)))
        }
    }
}

/// The key field under which sets of this kind are made: source and destination share them.
pub(super) fn address_field(family: Family) -> Field {
    match family {
        Family::V4 => Field::SourceV4,
        Family::V6 => Field::SourceV6,
    }
}

/// First and last address of the networks of one family.
pub(super) fn spans_of(family: Family, nets: impl IntoIterator<Item = IpNet>) -> Vec<Span> {
    let nets = nets.into_iter().filter(|net| Family::of_net(*net) == family).map(|net| net.trunc());
    nets.map(|net| (number(net.network()), number(net.broadcast()))).collect()
}

/// The networks of a set that is one of networks.
pub(super) fn nets_of(members: Option<&Arc<SetMembers>>) -> impl Iterator<Item = IpNet> {
    let nets = match members.map(Arc::as_ref) {
        Some(SetMembers::Nets(nets)) => Some(nets),
        _ => None,
    };
    nets.into_iter().flatten().copied()
}

/// Networks of one family as a set: a hash when all are single addresses, merged intervals otherwise (K-6).
fn net_set(family: Family, nets: impl IntoIterator<Item = IpNet>) -> Set {
    ranges_set(address_field(family), &set_spans(family, nets))
}

/// The spans that a set of networks holds: single addresses as they are where all are single, merged otherwise.
pub(super) fn set_spans(family: Family, nets: impl IntoIterator<Item = IpNet>) -> Vec<Span> {
    let spans = spans_of(family, nets);
    if are_single(&spans) { spans } else { merge(spans) }
}

/// Whether no span is wider than one value.
pub(super) fn are_single(spans: &[Span]) -> bool {
    spans.iter().all(|(first, last)| first == last)
}

/// (address, protocol, port) of one family.
fn port_set(family: Family, ports: impl IntoIterator<Item = (IpAddr, tortie_api::model::Protocol, u16)>) -> Set {
    let field = address_field(family);
    let elements = ports
        .into_iter()
        .filter(|(address, ..)| Family::of(*address) == family)
        .map(|(address, protocol, port)| {
            let mut key = bytes(number(address), field);
            key.push(protocol.0);
            key.extend(port.to_be_bytes());
            (Element::exact(key), None)
        })
        .collect();
    Set { key: vec![field, Field::L4Proto, Field::SourcePort], elements, ..Set::default() }
}

/// A set over one field: exact when no range is wider than one value.
pub(super) fn ranges_set(field: Field, ranges: &[Span]) -> Set {
    let kind = if are_single(ranges) { Ranges::None } else { Ranges::OfKey };
    let elements =
        ranges.iter().map(|(first, last)| (Element::range(bytes(*first, field), bytes(*last, field)), None)).collect();
    Set { key: vec![field], ranges: kind, elements, ..Set::default() }
}

/// Joins ranges that overlap or touch, and sorts them.
pub(super) fn merge<T>(ranges: impl IntoIterator<Item = (T, T)>) -> Vec<(T, T)>
where
    T: Copy + Ord + Sub<Output = T> + From<u8>,
{
    let mut sorted: Vec<_> = ranges.into_iter().collect();
    sorted.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(sorted.len());
    for (first, last) in sorted {
        match merged.last_mut() {
            // No addition: the last address of IPv6 has no successor.
            Some(before) if first <= before.1 || first - before.1 == T::from(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The big-endian bytes of `value`, as many as the field has.
pub(super) fn bytes(value: u128, field: Field) -> Vec<u8> {
    value.to_be_bytes()[16 - field.width()..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(text: &[&str]) -> Vec<IpNet> {
        text.iter().map(|t| t.parse().unwrap()).collect()
    }

    #[test]
    fn ranges_are_merged_up_to_the_ends_of_the_space() {
        let max = u128::MAX;
        for (given, expected) in [
            (vec![(5, 9), (0, 3)], vec![(0, 3), (5, 9)]),
            (vec![(0, 3), (4, 9)], vec![(0, 9)]),
            (vec![(0, 10), (2, 3)], vec![(0, 10)]),
            (vec![(0, max), (max, max)], vec![(0, max)]),
        ] {
            assert_eq!(merge(given.clone()), expected, "{given:?}");
        }
    }

    #[test]
    fn single_addresses_are_hashed_and_networks_are_intervals_k6() {
        let singles = net_set(Family::V4, nets(&["10.0.0.1/32", "10.0.0.2/32", "fd00::/8"]));
        assert_eq!(singles.ranges, Ranges::None);
        assert_eq!(singles.elements.len(), 2);
        let mixed = net_set(Family::V4, nets(&["10.0.0.1/32", "10.0.0.0/24", "10.0.1.0/24"]));
        assert_eq!(mixed.ranges, Ranges::OfKey);
        let range = Element::range([10, 0, 0, 0], [10, 0, 1, 255]);
        assert_eq!(mixed.elements.keys().collect::<Vec<_>>(), [&range]);
    }
}
