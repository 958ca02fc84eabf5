//! The order in which policies are evaluated, as numbers that compare as their places do.

use std::cmp::Ordering;

use super::policies::PolicyNumber;

/// How far ranks are from each other where all are given anew.
const STEP: u64 = 1 << 32;
/// One in how many policies has to be new for all to be sorted again.
const FEW: usize = 16;

/// All policies in evaluated order.
#[derive(Debug, Default)]
pub(super) struct Order {
    sequence: Vec<PolicyNumber>,
    /// By number. Those of policies that are not in the sequence mean nothing.
    ranks: Vec<u64>,
}

impl Order {
    /// Policies with the smaller rank are evaluated first.
    pub(super) fn rank(&self, number: PolicyNumber) -> u64 {
        self.ranks[number as usize]
    }

    /// Adds policies by a comparison that holds for those that are there.
    pub(super) fn insert(&mut self, added: &[PolicyNumber], compare: impl Fn(PolicyNumber, PolicyNumber) -> Ordering) {
        if added.len() > 1 + self.sequence.len() / FEW {
            self.sequence.extend(added);
            return self.sort(compare);
        }
        for &number in added {
            let at = self.sequence.partition_point(|&other| compare(other, number) == Ordering::Less);
            self.sequence.insert(at, number);
            match self.between(at) {
                Some(rank) => self.set_rank(number, rank),
                None => self.number_all(),
            }
        }
    }

    /// Takes another comparison for all.
    pub(super) fn sort(&mut self, compare: impl Fn(PolicyNumber, PolicyNumber) -> Ordering) {
        self.sequence.sort_by(|&one, &other| compare(one, other));
        self.number_all();
    }

    pub(super) fn remove(&mut self, number: PolicyNumber) {
        let at = self.sequence.binary_search_by_key(&self.rank(number), |&other| self.rank(other));
        self.sequence.remove(at.expect("what is removed was added"));
    }

    /// Whether a policy is where it belongs.
    pub(super) fn is_in_place(
        &self,
        number: PolicyNumber,
        compare: impl Fn(PolicyNumber, PolicyNumber) -> Ordering,
    ) -> bool {
        let at = self.sequence.binary_search_by_key(&self.rank(number), |&other| self.rank(other));
        let around = at.map_or(0, |at| at.saturating_sub(1))..at.map_or(0, |at| self.sequence.len().min(at + 2));
        self.sequence[around].is_sorted_by(|&one, &other| compare(one, other) != Ordering::Greater)
    }

    /// A rank between those of the neighbours, if there is one.
    fn between(&self, at: usize) -> Option<u64> {
        let before = at.checked_sub(1).map_or(0, |before| self.rank(self.sequence[before]));
        let rank = match self.sequence.get(at + 1) {
            Some(&after) => before + (self.rank(after) - before) / 2,
            None => before.checked_add(STEP)?,
        };
        (rank > before).then_some(rank)
    }

    fn number_all(&mut self) {
        for (at, number) in (1..).zip(std::mem::take(&mut self.sequence)) {
            self.set_rank(number, at * STEP);
            self.sequence.push(number);
        }
    }

    fn set_rank(&mut self, number: PolicyNumber, rank: u64) {
        let at = number as usize;
        if self.ranks.len() <= at {
            self.ranks.resize(at + 1, 0);
        }
        self.ranks[at] = rank;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_compare_as_places_do_however_often_one_place_is_taken() {
        let mut order = Order::default();
        // The later a number, the nearer to the first one.
        let compare = |one: u32, other: u32| match (one, other) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            _ => other.cmp(&one),
        };
        for number in 0..200 {
            order.insert(&[number], compare);
            assert!(order.sequence.is_sorted_by_key(|&other| order.rank(other)), "{number}");
            assert!(order.is_in_place(number, compare));
        }
        order.remove(100);
        assert_eq!(order.sequence.len(), 199);
        order.insert(&[100], compare);
        assert!(order.rank(101) < order.rank(100) && order.rank(100) < order.rank(99));
        assert!(!order.is_in_place(100, |one, other| compare(other, one)));
    }
}
