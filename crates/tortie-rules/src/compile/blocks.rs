//! Large sets of networks, cut into blocks of the address space.
//!
//! At each commit a kernel walks all of an interval set that changed: 20 ms for 100,000 networks, 0.2 ms for 6,000. So no
//! set holds more than about that, and a rule asks the one whose block the address is in. Where the cuts are is told by
//! the networks alone: a block with too many of them is halved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::Family;

use super::sets::{Span, address_field, are_single, ranges_set, set_spans};
use crate::ruleset::Set;

/// Networks that one set may hold before it is cut. No power of two: lists of equal networks side by side fill blocks with
/// powers of two, and would then be cut anew with the next network.
const LEN_MAX: usize = 6_000;

/// Blocks that a set is cut into, about: each costs the rules that ask it a comparison.
const COUNT: usize = 32;

/// A part of a set of networks: those in `net`, or all of them where it is `None`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Block {
    /// Where these networks lie.
    pub(super) net: Option<IpNet>,
    /// The networks; `None` where there is none in the block.
    pub(super) set: Option<Arc<Set>>,
}

/// The networks of one family as blocks that do not overlap and cover all addresses.
pub(super) fn cut(family: Family, nets: impl IntoIterator<Item = IpNet>) -> Vec<Block> {
    let spans = set_spans(family, nets);
    let field = address_field(family);
    let len_max = LEN_MAX.max(spans.len() / COUNT);
    // A hash is not walked.
    if spans.len() <= len_max || are_single(&spans) {
        return vec![Block { net: None, set: Some(Arc::new(ranges_set(field, &spans))) }];
    }
    let mut found = Vec::new();
    let all = (0, u128::MAX >> (128 - 8 * field.width()));
    halve(&spans, all, len_max, &mut |(first, last), spans| {
        let len = 8 * field.width() - (last - first + 1).trailing_zeros() as usize;
        let set = (!spans.is_empty()).then(|| Arc::new(ranges_set(field, spans)));
        found.push(Block { net: net(family, first, len as u8), set });
    });
    found
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

    fn nets(count: u32) -> Vec<IpNet> {
        (0..count).map(|n| format!("{}/29", Ipv4Addr::from(0x4000_0000 + n * 16)).parse().unwrap()).collect()
    }

    #[test]
    fn a_small_set_is_one_block() {
        let blocks = cut(Family::V4, nets(6_000));
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].net, None);
    }

    #[test]
    fn blocks_cover_all_addresses_and_hold_all_networks() {
        let wide: IpNet = "0.0.0.0/2".parse().unwrap();
        let given: Vec<IpNet> = nets(30_000).into_iter().chain([wide]).collect();
        let blocks = cut(Family::V4, given);
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
        let before = cut(Family::V4, nets(30_000));
        let more = nets(30_000).into_iter().chain(["64.0.16.8/30".parse().unwrap()]);
        let after = cut(Family::V4, more);
        assert_eq!(before.len(), after.len());
        assert_eq!(before.iter().zip(&after).filter(|(one, other)| one != other).count(), 1);
    }
}
