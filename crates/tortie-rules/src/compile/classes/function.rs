//! What a first-match list does at each point of the line, resolved ahead of time (C-9).

use std::collections::BTreeMap;

use super::region::{LAST, Point, Range};
use foldhash::HashMap;

/// What becomes of a packet: an action, and the rules that it met on its way there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Fate {
    /// What is done.
    pub(super) act: Act,
    /// The rules that matched, by number: the one that decided last.
    pub(super) rules: Vec<u32>,
}

/// What is done at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Act {
    /// Accept.
    Accept,
    /// Drop.
    Drop,
    /// Go on with the section of this position.
    To(usize),
    /// Nothing: what stands behind all sections decides.
    End,
}

/// The number of a fate.
pub(super) type FateId = u32;

/// Fates by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fates {
    all: Vec<Fate>,
    known: HashMap<Fate, FateId>,
    sent: HashMap<(u32, FateId), FateId>,
}

impl Fates {
    pub(super) fn get(&self, id: FateId) -> &Fate {
        &self.all[id as usize]
    }

    pub(super) fn id(&mut self, fate: Fate) -> FateId {
        if let Some(known) = self.known.get(&fate) {
            return *known;
        }
        let id = self.all.len() as FateId;
        self.all.push(fate.clone());
        self.known.insert(fate, id);
        id
    }

    /// A fate that none is like: it names a rule or end of its own.
    pub(super) fn add(&mut self, fate: Fate) -> FateId {
        self.all.push(fate);
        self.all.len() as FateId - 1
    }

    /// Gives the positions that fates speak of other numbers; those without one are in no fate that is asked for.
    pub(super) fn renumber(&mut self, number_of: impl Fn(usize) -> Option<usize>) {
        for fate in &mut self.all {
            if let Act::To(position) = &mut fate.act
                && let Some(number) = number_of(*position)
            {
                *position = number;
            }
        }
        self.known.clear();
        self.sent.clear();
    }

    /// The fate of what `rule` sends on.
    fn behind(&mut self, rule: u32, fate: FateId) -> FateId {
        if let Some(known) = self.sent.get(&(rule, fate)) {
            return *known;
        }
        let Fate { act, rules } = self.get(fate).clone();
        let id = self.id(Fate { act, rules: [vec![rule], rules].concat() });
        self.sent.insert((rule, fate), id);
        id
    }
}

/// A fate for each point: where a step begins, and what holds until the next one. The first begins at 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Function(Vec<(Point, FateId)>);

impl Function {
    /// The same fate everywhere.
    pub(super) fn constant(fate: FateId) -> Self {
        Self(vec![(0, fate)])
    }

    /// The steps: ranges with their fates, in order and without gaps.
    pub(super) fn steps(&self) -> impl Iterator<Item = (Range, FateId)> {
        let ends = self.0.iter().skip(1).map(|(next, _)| next - 1).chain([LAST]);
        self.0.iter().zip(ends).map(|((first, fate), last)| ((*first, last), *fate))
    }

    /// The steps inside a range, cut at its ends.
    pub(super) fn within(&self, range: Range) -> impl Iterator<Item = (Range, FateId)> {
        let from = self.0.partition_point(|(first, _)| *first <= range.0) - 1;
        let steps = self.0[from..].iter().take_while(move |(first, _)| *first <= range.1);
        steps.enumerate().map(move |(offset, (first, fate))| {
            let last = self.0.get(from + offset + 1).map_or(LAST, |(next, _)| next - 1);
            (((*first).max(range.0), last.min(range.1)), *fate)
        })
    }

    /// What `one` says in these ranges, which are sorted and do not touch, and `other` everywhere else.
    pub(super) fn first_of(one: &Function, ranges: &[Range], other: &Function) -> Self {
        let mut parts: Vec<(Point, FateId)> = Vec::new();
        let mut next = Some(0);
        for (first, last) in ranges {
            if let Some(from) = next.filter(|from| from < first) {
                parts.extend(other.within((from, first - 1)).map(|((first, _), fate)| (first, fate)));
            }
            parts.extend(one.within((*first, *last)).map(|((first, _), fate)| (first, fate)));
            next = last.checked_add(1).filter(|next| *next <= LAST);
        }
        parts.extend(
            next.into_iter().flat_map(|from| other.within((from, LAST))).map(|((first, _), fate)| (first, fate)),
        );
        Self::from_parts(parts)
    }

    /// Where this one differs from another, with what this one says.
    pub(super) fn difference(&self, other: &Function) -> Vec<(Range, FateId)> {
        let mut found: Vec<(Range, FateId)> = Vec::new();
        for (range, fate) in self.steps() {
            for (part, _) in other.within(range).filter(|(_, there)| *there != fate) {
                match found.last_mut() {
                    Some((before, same)) if *same == fate && before.1 + 1 == part.0 => before.1 = part.1,
                    _ => found.push((part, fate)),
                }
            }
        }
        found
    }

    fn from_parts(mut parts: Vec<(Point, FateId)>) -> Self {
        parts.sort_unstable();
        parts.dedup_by(|next, before| next.1 == before.1);
        Self(parts)
    }
}

/// What one rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Decide.
    Decide(FateId),
    /// Go on with the section of this position; the rule is remembered.
    Pass(u32, usize),
}

/// The function of a first-match list whose rules match in their regions. `passed` is what stands at the positions to
/// which rules send packets, `end` what stands behind the list.
pub(super) fn first_match<'a, 'f>(
    rules: impl Iterator<Item = (&'a [Range], Step)>,
    passed: impl Fn(usize) -> &'f Function,
    end: &Function,
    fates: &mut Fates,
) -> Function {
    let mut free: BTreeMap<Point, Point> = BTreeMap::from([(0, LAST)]);
    let mut parts = Vec::new();
    for (region, step) in rules {
        for part in region.iter().flat_map(|range| cut(&mut free, *range)) {
            match step {
                Step::Decide(fate) => parts.push((part.0, fate)),
                Step::Pass(rule, to) => {
                    let there = passed(to).within(part);
                    parts.extend(there.map(|((first, _), fate)| (first, fates.behind(rule, fate))));
                }
            }
        }
        if free.is_empty() {
            break;
        }
    }
    for range in free {
        parts.extend(end.within(range).map(|((first, _), fate)| (first, fate)));
    }
    Function::from_parts(parts)
}

/// Takes out of `free` what lies in `range`.
fn cut(free: &mut BTreeMap<Point, Point>, range: Range) -> Vec<Range> {
    let first = free.range(..=range.0).next_back().filter(|(_, last)| **last >= range.0).map_or(range.0, |(f, _)| *f);
    let met: Vec<Range> = free.range(first..=range.1).map(|(first, last)| (*first, *last)).collect();
    for (first, last) in &met {
        free.remove(first);
        if *first < range.0 {
            free.insert(*first, range.0 - 1);
        }
        if range.1 < *last {
            free.insert(range.1 + 1, *last);
        }
    }
    met.into_iter().map(|(first, last)| (first.max(range.0), last.min(range.1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fates() -> (Fates, FateId, FateId, FateId) {
        let mut fates = Fates::default();
        let accept = fates.id(Fate { act: Act::Accept, rules: vec![1] });
        let drop = fates.id(Fate { act: Act::Drop, rules: vec![2] });
        let end = fates.id(Fate { act: Act::End, rules: vec![] });
        (fates, accept, drop, end)
    }

    #[test]
    fn the_first_rule_takes_what_it_matches() {
        let (mut fates, accept, drop, end) = fates();
        let behind = Function::constant(end);
        let rules = [(&[(10, 20)][..], Step::Decide(accept)), (&[(5, 15), (18, 30)][..], Step::Decide(drop))];
        let function = first_match(rules.into_iter(), |_| &behind, &behind, &mut fates);
        let steps = [((0, 4), end), ((5, 9), drop), ((10, 20), accept), ((21, 30), drop), ((31, LAST), end)];
        assert_eq!(function.steps().collect::<Vec<_>>(), steps);
        assert_eq!(function.within((8, 10)).collect::<Vec<_>>(), [((8, 9), drop), ((10, 10), accept)]);
    }

    #[test]
    fn what_is_passed_on_meets_the_next_list_and_remembers_the_rule() {
        let (mut fates, accept, drop, _) = fates();
        let drops = Function::constant(drop);
        let decide = [(&[(0, 9)][..], Step::Decide(accept))];
        let next = first_match(decide.into_iter(), |_| &drops, &drops, &mut fates);
        let function = first_match([(&[(5, 14)][..], Step::Pass(7, 1))].into_iter(), |_| &next, &drops, &mut fates);
        let steps: Vec<(Range, Fate)> =
            function.steps().map(|(range, fate)| (range, fates.get(fate).clone())).collect();
        let fate = |act, rules: &[u32]| Fate { act, rules: rules.to_vec() };
        let expected = [
            ((0, 4), fate(Act::Drop, &[2])),
            ((5, 9), fate(Act::Accept, &[7, 1])),
            ((10, 14), fate(Act::Drop, &[7, 2])),
            ((15, LAST), fate(Act::Drop, &[2])),
        ];
        assert_eq!(steps, expected);
    }

    #[test]
    fn a_difference_holds_each_point_at_which_two_functions_part() {
        let (_, a, b, c) = fates();
        let one = Function(vec![(0, a), (10, b), (20, a)]);
        let other = Function(vec![(0, a), (5, c), (12, b), (25, b)]);
        let expected = [((5, 9), a), ((10, 11), b), ((20, LAST), a)];
        // From 12 to 19 both say `b`; from 20 on they part whatever the other says.
        assert_eq!(one.difference(&other), expected);
        assert_eq!(one.difference(&one), []);
    }
}
