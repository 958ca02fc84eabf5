//! The header space: what a packet may be, cut into the regions that policy or ruleset tell apart.
//!
//! Each dimension (a protocol, a port, an address of one family, the name of an interface) is cut at the edges of every
//! range that either side asks for. Values that lie in the same of those ranges form a *class*; no criterion tells them
//! apart, so a diagram decides on the number of the class and not on 128 bits of an address. This loses nothing: the
//! classes cover the dimension.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use tortie_api::model::Family;
use tortie_rules::ruleset::ct_state;

use crate::names;

/// Values from the first to the last; lists of them are sorted, apart, and do not touch.
pub(crate) type Range = (u128, u128);

/// One thing that is known of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dimension {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    Family,
    /// What connection tracking says: a bit of [`ct_state`].
    State,
    InInterface,
    OutInterface,
    /// 0, 1, 2: the route back goes by the interface of arrival, by another one, nowhere.
    WayBack,
    Source4,
    Source6,
    Destination4,
    Destination6,
    Protocol,
    DestinationPort,
    SourcePort,
    IcmpType,
    IcmpCode,
    HopLimit,
}

impl Dimension {
    /// All of them, in the order in which diagrams ask: what leads to a program first, then ports, for each of which few
    /// rules are left to ask for addresses.
    pub(crate) const ALL: [Dimension; 15] = [
        Dimension::Family,
        Dimension::State,
        Dimension::InInterface,
        Dimension::OutInterface,
        Dimension::WayBack,
        Dimension::Protocol,
        Dimension::DestinationPort,
        Dimension::SourcePort,
        Dimension::IcmpType,
        Dimension::IcmpCode,
        Dimension::HopLimit,
        Dimension::Source4,
        Dimension::Source6,
        Dimension::Destination4,
        Dimension::Destination6,
    ];

    pub(crate) const fn source(family: Family) -> Dimension {
        match family {
            Family::V4 => Dimension::Source4,
            Family::V6 => Dimension::Source6,
        }
    }

    pub(crate) const fn destination(family: Family) -> Dimension {
        match family {
            Family::V4 => Dimension::Destination4,
            Family::V6 => Dimension::Destination6,
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Dimension::InInterface | Dimension::OutInterface | Dimension::Source6 | Dimension::Destination6 => 128,
            Dimension::Source4 | Dimension::Destination4 => 32,
            Dimension::DestinationPort | Dimension::SourcePort => 16,
            _ => 8,
        }
    }

    /// Every value there is.
    fn domain(self) -> Vec<Range> {
        let single = |values: &[u128]| values.iter().map(|value| (*value, *value)).collect();
        match self {
            Dimension::Family => single(&[NFPROTO_IPV4, NFPROTO_IPV6]),
            Dimension::State => single(&STATES.map(u128::from)),
            Dimension::WayBack => single(&[0, 1, 2]),
            other => vec![(0, u128::MAX >> (128 - other.bits()))],
        }
    }

    /// The value that stands for the rest in a witness where any will do.
    fn usual(self) -> u128 {
        match self {
            Dimension::Family => NFPROTO_IPV4,
            Dimension::State => u128::from(ct_state::NEW),
            Dimension::WayBack => 0,
            Dimension::InInterface => names::value("in0"),
            Dimension::OutInterface => names::value("out0"),
            Dimension::Source4 => u128::from(Ipv4Addr::new(192, 0, 2, 1).to_bits()),
            Dimension::Destination4 => u128::from(Ipv4Addr::new(198, 51, 100, 1).to_bits()),
            Dimension::Source6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 1).to_bits(),
            Dimension::Destination6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 1).to_bits(),
            Dimension::Protocol => 6,
            Dimension::DestinationPort => 8080,
            Dimension::SourcePort => 40_000,
            Dimension::IcmpType => 8,
            Dimension::IcmpCode => 0,
            Dimension::HopLimit => 64,
        }
    }

    const fn is_interface(self) -> bool {
        matches!(self, Dimension::InInterface | Dimension::OutInterface)
    }
}

/// `NFPROTO_IPV4` of `linux/netfilter.h`.
pub(crate) const NFPROTO_IPV4: u128 = 2;
/// `NFPROTO_IPV6` of `linux/netfilter.h`.
pub(crate) const NFPROTO_IPV6: u128 = 10;

/// The states of a packet, the usual one first.
pub(crate) const STATES: [u32; 5] =
    [ct_state::NEW, ct_state::ESTABLISHED, ct_state::RELATED, ct_state::INVALID, ct_state::UNTRACKED];

pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Numbers of classes from the first to before the last.
pub(crate) type Run = (u32, u32);

/// A list of ranges that the whole proof knows by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ranges(u32);

/// All lists of ranges that were asked for, each once.
#[derive(Default)]
pub(crate) struct Pool {
    lists: Vec<Rc<[Range]>>,
    known: HashMap<Rc<[Range]>, Ranges>,
    asked: BTreeSet<(Dimension, Ranges)>,
}

impl Pool {
    /// The number of a list, whose ranges may come in any order and overlap.
    pub(crate) fn ranges(&mut self, ranges: impl IntoIterator<Item = Range>) -> Ranges {
        let mut sorted: Vec<Range> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut joined: Vec<Range> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match joined.last_mut() {
                // The last address of IPv6 has no successor.
                Some(before) if first <= before.1 || first - before.1 == 1 => before.1 = before.1.max(last),
                _ => joined.push((first, last)),
            }
        }
        let list: Rc<[Range]> = joined.into();
        if let Some(known) = self.known.get(&list) {
            return *known;
        }
        let number = Ranges(self.lists.len() as u32);
        self.lists.push(list.clone());
        self.known.insert(list, number);
        number
    }

    pub(crate) fn list(&self, ranges: Ranges) -> Rc<[Range]> {
        self.lists[ranges.0 as usize].clone()
    }

    /// Notes that a side tells these values of a dimension from the others.
    pub(crate) fn ask(&mut self, dimension: Dimension, ranges: Ranges) {
        self.asked.insert((dimension, ranges));
    }
}

/// The dimensions, cut into classes, with a place in the order of variables.
pub(crate) struct Space {
    dimensions: BTreeMap<Dimension, Classes>,
    end: u32,
}

/// One dimension.
pub(crate) struct Classes {
    /// Its first variable: the highest bit of the number of the class.
    pub(crate) level: u32,
    /// How many variables it has.
    pub(crate) bits: u32,
    /// A value of each class.
    pub(crate) members: Vec<u128>,
    /// The classes inside each list of ranges.
    inside: HashMap<Ranges, Vec<u32>>,
}

impl Space {
    /// Cuts every dimension at the edges of what `pool` was asked for; variables begin at `level`.
    pub(crate) fn new(pool: &Pool, mut level: u32) -> Self {
        let mut dimensions = BTreeMap::new();
        for dimension in Dimension::ALL {
            let asked = pool.asked.range((dimension, Ranges(0))..=(dimension, Ranges(u32::MAX)));
            let classes = Classes::new(pool, dimension, asked.map(|(_, ranges)| *ranges), level);
            level += classes.bits;
            dimensions.insert(dimension, classes);
        }
        Self { dimensions, end: level }
    }

    /// The first level behind all variables.
    pub(crate) const fn end(&self) -> u32 {
        self.end
    }

    pub(crate) fn of(&self, dimension: Dimension) -> &Classes {
        &self.dimensions[&dimension]
    }

    /// Whether a variable belongs to a dimension.
    pub(crate) fn is_of(&self, dimension: Dimension, level: u32) -> bool {
        let classes = self.of(dimension);
        (classes.level..classes.level + classes.bits).contains(&level)
    }

    /// A value of the dimension that goes with values of variables; those not given are false.
    pub(crate) fn value(&self, dimension: Dimension, values: &BTreeMap<u32, bool>) -> u128 {
        let classes = self.of(dimension);
        let class = (0..classes.bits).fold(0, |class, bit| {
            class << 1 | usize::from(values.get(&(classes.level + bit)).copied().unwrap_or_default())
        });
        // Numbers beyond the last class stand for the first one.
        classes.members.get(class).copied().unwrap_or(classes.members[0])
    }
}

impl Classes {
    fn new(pool: &Pool, dimension: Dimension, asked: impl Iterator<Item = Ranges>, level: u32) -> Self {
        let asked: Vec<Ranges> = asked.collect();
        // What begins and ends at each place, in order.
        let mut edges: Vec<(u128, bool, u32)> = Vec::new();
        for ranges in &asked {
            for (first, last) in pool.list(*ranges).iter() {
                edges.push((*first, true, ranges.0));
                if let Some(after) = last.checked_add(1) {
                    edges.push((after, false, ranges.0));
                }
            }
        }
        edges.sort_unstable();
        let domain = dimension.domain();
        let cuts: BTreeSet<u128> = domain.iter().map(|(first, _)| *first).collect();
        let mut places: Vec<u128> = edges.iter().map(|(place, ..)| *place).chain(cuts).collect();
        places.sort_unstable();
        places.dedup();

        let mut active: BTreeSet<u32> = BTreeSet::new();
        let mut classes: Vec<(Vec<u32>, u128)> = Vec::new();
        let mut class_of: HashMap<Vec<u32>, usize> = HashMap::new();
        let mut edge = edges.iter().peekable();
        for (position, place) in places.iter().enumerate() {
            while let Some((_, begins, ranges)) = edge.next_if(|(at, ..)| at == place) {
                if *begins {
                    active.insert(*ranges);
                } else {
                    active.remove(ranges);
                }
            }
            let last = places.get(position + 1).map_or(u128::MAX, |next| next - 1);
            for (low, high) in &domain {
                let piece = ((*place).max(*low), last.min(*high));
                let Some(member) = member(dimension, piece) else { continue };
                let signature: Vec<u32> = active.iter().copied().collect();
                let class = *class_of.entry(signature.clone()).or_insert_with(|| {
                    classes.push((signature, member));
                    classes.len() - 1
                });
                if member == dimension.usual() {
                    classes[class].1 = member;
                }
            }
        }
        // The usual class first: where any will do, a witness takes the first.
        if let Some(usual) = classes.iter().position(|(_, member)| *member == dimension.usual()) {
            classes.swap(0, usual);
        }
        let mut inside: HashMap<Ranges, Vec<u32>> = asked.iter().map(|ranges| (*ranges, Vec::new())).collect();
        for (number, (signature, _)) in classes.iter().enumerate() {
            for ranges in signature {
                inside.entry(Ranges(*ranges)).or_default().push(number as u32);
            }
        }
        let bits = classes.len().next_power_of_two().trailing_zeros();
        Self { level, bits, members: classes.into_iter().map(|(_, member)| member).collect(), inside }
    }

    /// The numbers, of all that the variables can form, whose class lies inside: in order, and apart.
    pub(crate) fn runs(&self, ranges: Ranges) -> Option<Vec<Run>> {
        let inside = self.inside.get(&ranges)?;
        // Numbers beyond the last class stand for the first one.
        let beyond = (self.members.len() as u32, 1 << self.bits);
        let beyond = (inside.first() == Some(&0) && beyond.0 < beyond.1).then_some(beyond);
        let mut runs: Vec<Run> = Vec::new();
        for (first, end) in inside.iter().map(|class| (*class, class + 1)).chain(beyond) {
            match runs.last_mut() {
                Some(before) if before.1 == first => before.1 = end,
                _ => runs.push((first, end)),
            }
        }
        Some(runs)
    }
}

/// A value of the dimension inside a range; the usual one if it is there, `None` when the range has none.
fn member(dimension: Dimension, (first, last): Range) -> Option<u128> {
    if first > last {
        return None;
    }
    if (first..=last).contains(&dimension.usual()) {
        return Some(dimension.usual());
    }
    if dimension.is_interface() {
        return names::within(first, last);
    }
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_no_range_tells_apart_share_a_class() {
        let mut pool = Pool::default();
        let web = pool.ranges([(80, 80), (443, 443)]);
        let low = pool.ranges([(0, 1023)]);
        let none = pool.ranges([]);
        let usual = pool.ranges([(8080, 8080), (1024, u16::MAX.into())]);
        for ranges in [web, low, none, usual] {
            pool.ask(Dimension::DestinationPort, ranges);
        }
        let space = Space::new(&pool, 5);
        let classes = space.of(Dimension::DestinationPort);
        assert_eq!(classes.members, [8080, 80, 0], "the usual one first");
        assert_eq!((classes.bits, space.of(Dimension::SourcePort).bits), (2, 0));
        assert_eq!(classes.runs(web), Some(vec![(1, 2)]));
        assert_eq!(classes.runs(low), Some(vec![(1, 3)]));
        assert_eq!(classes.runs(none), Some(vec![]));
        assert_eq!(classes.runs(usual), Some(vec![(0, 1), (3, 4)]), "what no class has is of the first one");
    }

    #[test]
    fn ranges_are_one_list_however_they_were_given() {
        let mut pool = Pool::default();
        let joined = pool.ranges([(5, 9), (0, 3), (4, 4), (2, 7)]);
        assert_eq!(*pool.list(joined), [(0, 9)]);
        let all = pool.ranges([(0, u128::MAX), (u128::MAX, u128::MAX)]);
        assert_eq!(*pool.list(all), [(0, u128::MAX)]);
    }

    #[test]
    fn interfaces_are_told_by_name_and_by_prefix() {
        let mut pool = Pool::default();
        let eth0 = pool.ranges([names::exact("eth0")]);
        let cali = pool.ranges([names::prefix("cali")]);
        for ranges in [eth0, cali] {
            pool.ask(Dimension::InInterface, ranges);
        }
        let space = Space::new(&pool, 0);
        let members: Vec<String> =
            space.of(Dimension::InInterface).members.iter().map(|value| names::text(*value)).collect();
        assert_eq!(members, ["in0", "cali", "eth0"].map(String::from).to_vec());
    }
}
