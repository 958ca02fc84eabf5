//! Which criteria on the peer's address each address satisfies (C-9).

use std::collections::{BTreeMap, BTreeSet};

use super::Signature;
pub(super) use crate::compile::sets::Span;
use foldhash::{HashSet, HashSetExt};

/// The address space, cut into spans that satisfy the same criteria.
///
/// Criteria are numbered; a signature is the sorted list of those that hold.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Addresses {
    /// Spans of addresses in which the same networks of more than one address hold, with all that hold. Spans in which
    /// none does are left out.
    pub(super) spans: BTreeMap<Span, Signature>,
    /// Single addresses that satisfy other criteria than the addresses around them.
    pub(super) singles: BTreeMap<u128, Signature>,
}

/// Cuts the space by the members of each criterion; `None` when the result would be larger than `size_max` numbers.
pub(super) fn cut(criteria: &[Vec<Span>], size_max: usize) -> Option<Addresses> {
    // What begins and ends where; an end stands at the first address behind it, and none behind the last one.
    let mut turns: Vec<(u128, u32, bool)> = Vec::new();
    let mut explicit: Vec<(u128, u32)> = Vec::new();
    for (number, spans) in (0u32..).zip(criteria) {
        for (first, last) in spans {
            if first == last {
                explicit.push((*first, number));
                continue;
            }
            turns.push((*first, number, true));
            if let Some(behind) = last.checked_add(1) {
                turns.push((behind, number, false));
            }
        }
    }
    turns.sort_unstable();
    explicit.sort_unstable();
    let mut known: HashSet<Signature> = HashSet::new();
    let mut share = |list: &[u32]| match known.get(list) {
        Some(signature) => signature.clone(),
        None => {
            let signature = Signature::from(list);
            known.insert(signature.clone());
            signature
        }
    };
    let mut found = Addresses::default();
    let mut open: BTreeSet<u32> = BTreeSet::new();
    let mut size = 0;
    let mut list = Vec::new();
    let mut spans = Vec::new();
    let mut at_points = turns.chunk_by(|one, other| one.0 == other.0).peekable();
    while let Some(changes) = at_points.next() {
        let first = changes[0].0;
        for (_, number, begins) in changes {
            if *begins {
                open.insert(*number);
            } else {
                open.remove(number);
            }
        }
        size += open.len() + 1;
        if size > size_max {
            return None;
        }
        let last = at_points.peek().map_or(u128::MAX, |next| next[0].0 - 1);
        if !open.is_empty() {
            list.clear();
            list.extend(&open);
            spans.push(((first, last), share(&list)));
        }
    }
    found.spans = spans.into_iter().collect();
    let mut singles = Vec::new();
    for at_address in explicit.chunk_by(|one, other| one.0 == other.0) {
        let address = at_address[0].0;
        list.clear();
        list.extend(at_address.iter().map(|(_, number)| number));
        let around = found.around(address);
        if list.iter().all(|number| around.binary_search(number).is_ok()) {
            continue;
        }
        list.extend(around);
        list.sort_unstable();
        list.dedup();
        size += list.len();
        if size > size_max {
            return None;
        }
        singles.push((address, share(&list)));
    }
    found.singles = singles.into_iter().collect();
    Some(found)
}

impl Addresses {
    /// What holds for the addresses around one.
    pub(super) fn around(&self, address: u128) -> &[u32] {
        let before = self.spans.range(..=(address, u128::MAX)).next_back();
        before.filter(|((_, last), _)| address <= *last).map_or(&[], |(_, signature)| signature)
    }

    /// Makes spans of the single addresses.
    pub(super) fn fold(&mut self) {
        for (address, signature) in std::mem::take(&mut self.singles) {
            let before = self.spans.range(..=(address, u128::MAX)).next_back();
            let around = before.filter(|((_, last), _)| address <= *last).map(|(span, held)| (*span, held.clone()));
            if let Some(((first, last), held)) = around {
                self.spans.remove(&(first, last));
                if first < address {
                    self.spans.insert((first, address - 1), held.clone());
                }
                if address < last {
                    self.spans.insert((address + 1, last), held);
                }
            }
            self.spans.insert((address, address), signature);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(list: &[u32]) -> Signature {
        list.into()
    }

    #[test]
    fn the_space_is_cut_where_a_criterion_begins_or_ends() {
        let max = u128::MAX;
        let criteria = [vec![(10, 19), (7, 7)], vec![(15, 30)], vec![(16, 16), (12, 12)], vec![(20, max)]];
        let found = cut(&criteria, 100).unwrap();
        let spans = [
            ((10, 14), signature(&[0])),
            ((15, 19), signature(&[0, 1])),
            ((20, 30), signature(&[1, 3])),
            ((31, max), signature(&[3])),
        ];
        assert_eq!(found.spans, spans.into());
        let singles = [(7, signature(&[0])), (12, signature(&[0, 2])), (16, signature(&[0, 1, 2]))];
        assert_eq!(found.singles, singles.into());
        assert_eq!(cut(&criteria, 5), None);
    }

    #[test]
    fn a_single_address_inside_a_network_of_its_own_criterion_is_none() {
        let found = cut(&[vec![(10, 19), (12, 12)]], 100).unwrap();
        assert_eq!(found.singles, BTreeMap::new());
    }

    #[test]
    fn folded_addresses_are_spans_that_others_make_room_for() {
        let mut found = cut(&[vec![(10, 19)], vec![(10, 10), (15, 15), (19, 19), (30, 30)]], 100).unwrap();
        found.fold();
        let (one, both) = (signature(&[0]), signature(&[0, 1]));
        let spans = [
            ((10, 10), both.clone()),
            ((11, 14), one.clone()),
            ((15, 15), both.clone()),
            ((16, 18), one),
            ((19, 19), both),
            ((30, 30), signature(&[1])),
        ];
        assert_eq!(found.spans, spans.into());
    }
}
