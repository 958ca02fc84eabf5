//! Large sets of networks, in parts.
//!
//! At each commit a kernel walks all of an interval set that changed: 20 ms for 100,000 networks, 0.2 ms for 6,000; and it
//! takes 4 s to make one of a million. A hash is neither walked nor sorted, but knows single values only. So the networks of
//! the few prefix lengths that most of them have go into a hash for each such length, which is asked with as many bits of the
//! address; what is left are intervals.
//!
//! No interval set holds more than about 6,000 of them either: a rule asks the one whose block of the address space the
//! address is in. Where the cuts are is told by the networks alone: a block with too many of them is halved.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::Family;

use super::sets::{Span, address_field, are_single, bytes, number, ranges_set, set_spans};
use crate::ruleset::{Element, Set};

/// Blocks that a set is cut into, about: each costs the rules that ask it a comparison.
const COUNT: usize = 32;

/// Prefix lengths that have a hash of their own, at most: each costs a lookup.
const LENGTHS_MAX: usize = 4;

/// When a set of networks is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Networks that one interval set may hold before it is cut. No power of two: lists of equal networks side by side fill
    /// blocks with powers of two, and would then be cut anew with the next network.
    pub(super) len_max: usize,
    /// Networks of one prefix length that are worth a hash of their own.
    pub(super) hashed_min: usize,
}

impl Limits {
    /// What is cheap for a kernel.
    pub(super) const BY_COST: Limits = Limits { len_max: 6_000, hashed_min: 1_000 };
    /// All that can be cut is.
    pub(super) const ALWAYS: Limits = Limits { len_max: 2, hashed_min: 1 };
}

/// A part of a set of networks. Intervals are in one part each; addresses may be in several.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Networks of one prefix length.
    Prefixes {
        /// The length.
        len: u8,
        /// Their first addresses.
        set: Arc<Set>,
    },
    /// Intervals in a part of the address space.
    Block(Block),
}

/// Intervals in `net`, or all of them where it is `None`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    /// Where these networks lie.
    pub(super) net: Option<IpNet>,
    /// The networks; `None` where there is none in the block.
    pub(super) set: Option<Arc<Set>>,
}

/// The networks of one family in parts: first those with a hash, then blocks that do not overlap. Blocks cover all addresses
/// where there is any.
pub(super) fn cut(family: Family, nets: impl IntoIterator<Item = IpNet>, limits: Limits) -> Vec<Part> {
    let nets: Vec<IpNet> =
        nets.into_iter().filter(|net| Family::of_net(*net) == family).map(|net| net.trunc()).collect();
    let spans = set_spans(family, nets.iter().copied());
    let field = address_field(family);
    let whole = |spans: &[Span]| vec![Part::Block(Block { net: None, set: Some(Arc::new(ranges_set(field, spans))) })];
    if spans.len() <= limits.len_max || are_single(&spans) {
        return whole(&spans);
    }
    let lens = hashed(&nets, limits);
    let mut parts: Vec<Part> = lens.iter().map(|len| prefixes(family, &nets, *len)).collect();
    let spans = set_spans(family, nets.into_iter().filter(|net| !lens.contains(&net.prefix_len())));
    let len_max = limits.len_max.max(spans.len() / COUNT);
    if spans.is_empty() {
        return parts;
    }
    if spans.len() <= len_max || are_single(&spans) {
        return [parts, whole(&spans)].concat();
    }
    let all = (0, u128::MAX >> (128 - 8 * field.width()));
    halve(&spans, all, len_max, &mut |(first, last), spans| {
        let len = 8 * field.width() - (last - first + 1).trailing_zeros() as usize;
        let set = (!spans.is_empty()).then(|| Arc::new(ranges_set(field, spans)));
        parts.push(Part::Block(Block { net: net(family, first, len as u8), set }));
    });
    parts
}

/// The prefix lengths that most networks have, the longest first.
fn hashed(nets: &[IpNet], limits: Limits) -> Vec<u8> {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    nets.iter().for_each(|net| *counts.entry(net.prefix_len()).or_default() += 1);
    counts.remove(&0);
    let mut lens: Vec<(usize, u8)> =
        counts.into_iter().map(|(len, count)| (count, len)).filter(|(count, _)| *count >= limits.hashed_min).collect();
    lens.sort_unstable_by(|one, other| other.cmp(one));
    lens.truncate(LENGTHS_MAX);
    let mut lens: Vec<u8> = lens.into_iter().map(|(_, len)| len).collect();
    lens.sort_unstable_by(|one, other| other.cmp(one));
    lens
}

fn prefixes(family: Family, nets: &[IpNet], len: u8) -> Part {
    let field = address_field(family);
    let of_len = nets.iter().filter(|net| net.prefix_len() == len);
    let elements = of_len.map(|net| (Element::exact(bytes(number(net.network()), field)), None)).collect();
    Part::Prefixes { len, set: Arc::new(Set { key: vec![field], elements, ..Set::default() }) }
}

/// Halves a block until no part has more than `len_max` spans.
fn halve(spans: &[Span], (first, last): Span, len_max: usize, tell: &mut dyn FnMut(Span, &[Span])) {
    if spans.len() <= len_max {
        return tell((first, last), spans);
    }
    let middle = first + (last - first) / 2;
    let below: Vec<Span> =
        spans.iter().filter(|(from, _)| *from <= middle).map(|(a, b)| (*a, (*b).min(middle))).collect();
    let above: Vec<Span> =
        spans.iter().filter(|(_, to)| *to > middle).map(|(a, b)| ((*a).max(middle + 1), *b)).collect();
    halve(&below, (first, middle), len_max, tell);
    halve(&above, (middle + 1, last), len_max, tell);
}

fn net(family: Family, first: u128, len: u8) -> Option<IpNet> {
    let address = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(first as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(first)),
    };
    IpNet::new(address, len).ok()
}

#[cfg(test)]
mod tests {
    use super::super::sets::{merge, spans_of};
    use super::*;
    use crate::ruleset::Ranges;

    fn nets(count: u32) -> Vec<IpNet> {
        (0..count).map(|n| format!("{}/29", Ipv4Addr::from(0x4000_0000 + n * 16)).parse().unwrap()).collect()
    }

    /// The blocks of networks none of whose lengths has a hash.
    fn blocks(nets: Vec<IpNet>) -> Vec<Block> {
        let limits = Limits { hashed_min: usize::MAX, ..Limits::BY_COST };
        let parts = cut(Family::V4, nets, limits).into_iter();
        parts.map(|part| if let Part::Block(block) = part { block } else { panic!("{part:?}") }).collect()
    }

    #[test]
    fn a_small_set_is_one_block() {
        let [Part::Block(block)] = &cut(Family::V4, nets(6_000), Limits::BY_COST)[..] else { panic!("parts") };
        assert_eq!(block.net, None);
    }

    #[test]
    fn lengths_that_many_networks_have_are_hashed() {
        let others = (0..5_000).map(|n| format!("{}/{}", Ipv4Addr::from(0x8000_0000 + n * 0x4000), 18 + n % 9));
        let given: Vec<IpNet> = others.map(|net| net.parse().unwrap()).chain(nets(30_000)).collect();
        let parts = cut(Family::V4, given.clone(), Limits::BY_COST);
        let [Part::Prefixes { len: 29, set }, Part::Block(Block { net: None, set: Some(rest) })] = &parts[..] else {
            panic!("{} parts", parts.len());
        };
        assert_eq!((set.elements.len(), set.ranges), (30_000, Ranges::None));
        assert_eq!(rest.ranges, Ranges::OfKey);
        let all = cut(Family::V4, given, Limits::ALWAYS);
        let lens = all.iter().filter_map(|part| if let Part::Prefixes { len, .. } = part { Some(*len) } else { None });
        assert_eq!(lens.collect::<Vec<_>>(), [29, 22, 21, 20], "the longest of those with as many");
    }

    #[test]
    fn blocks_cover_all_addresses_and_hold_all_networks() {
        let wide: IpNet = "0.0.0.0/2".parse().unwrap();
        let given: Vec<IpNet> = nets(30_000).into_iter().chain([wide]).collect();
        let blocks = blocks(given);
        let lens: Vec<usize> =
            blocks.iter().map(|block| block.set.as_ref().map_or(0, |set| set.elements.len())).collect();
        assert!(lens.iter().all(|len| *len <= 6_000), "{lens:?}");
        assert!(lens.contains(&0) && lens.iter().sum::<usize>() >= 30_001, "{lens:?}");
        let mut covered: Vec<Span> = spans_of(Family::V4, blocks.iter().map(|block| block.net.unwrap()));
        covered.sort_unstable();
        assert_eq!(merge(covered.clone()), [(0, u128::from(u32::MAX))]);
        assert!(covered.windows(2).all(|pair| pair[0].1 < pair[1].0), "{covered:?}");
    }

    #[test]
    fn one_network_more_changes_one_block() {
        let before = blocks(nets(30_000));
        let more = nets(30_000).into_iter().chain(["64.0.16.8/30".parse().unwrap()]);
        let after = blocks(more.collect());
        assert_eq!(before.len(), after.len());
        assert_eq!(before.iter().zip(&after).filter(|(one, other)| one != other).count(), 1);
    }
}
