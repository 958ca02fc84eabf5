//! Which criteria on the peer's address each address satisfies (C-9).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Signature;

/// First and last address, as numbers.
pub(super) type Span = (u128, u128);

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
    let mut turns: BTreeMap<u128, Vec<(u32, bool)>> = BTreeMap::new();
    let mut explicit: BTreeMap<u128, Vec<u32>> = BTreeMap::new();
    for (number, spans) in (0u32..).zip(criteria) {
        for (first, last) in spans {
            if first == last {
                explicit.entry(*first).or_default().push(number);
                continue;
            }
            turns.entry(*first).or_default().push((number, true));
            if let Some(behind) = last.checked_add(1) {
                turns.entry(behind).or_default().push((number, false));
            }
        }
    }
    let mut known: HashMap<Vec<u32>, Signature> = HashMap::new();
    let mut share = |list: Vec<u32>| known.entry(list.clone()).or_insert_with(|| list.into()).clone();
    let mut found = Addresses::default();
    let mut open: BTreeSet<u32> = BTreeSet::new();
    let mut size = 0;
    let mut turns = turns.into_iter().peekable();
    while let Some((first, changes)) = turns.next() {
        for (number, begins) in changes {
            if begins {
                open.insert(number);
            } else {
                open.remove(&number);
            }
        }
        size += open.len() + 1;
        if size > size_max {
            return None;
        }
        let last = turns.peek().map_or(u128::MAX, |(next, _)| next - 1);
        if !open.is_empty() {
            found.spans.insert((first, last), share(open.iter().copied().collect()));
        }
    }
    for (address, mut list) in explicit {
        let around = found.around(address);
        if list.iter().all(|number| around.binary_search(number).is_ok()) {
            continue;
        }
        list.extend(around.iter());
        list.sort_unstable();
        list.dedup();
        size += list.len();
        if size > size_max {
            return None;
        }
        found.singles.insert(address, share(list));
    }
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
