//! A function as few pieces: what holds for everything, for a protocol, for ports.

use std::collections::BTreeSet;

use tortie_api::model::{Family, Protocol};
use tortie_calc::policy::ResolvedRule;

use super::function::{FateId, Function};
use super::region::{Point, Range, of_protocol};

/// One statement of a class. A piece of an earlier level hides those of later ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Piece {
    pub(super) level: Level,
    pub(super) range: Range,
    pub(super) fate: FateId,
}

/// What a piece speaks of, in the order in which packets ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Level {
    /// Ports of a protocol.
    Ports,
    /// ICMP types and codes.
    Icmp,
    /// A whole protocol.
    Protocol,
    /// Everything.
    Any,
}

/// The protocols that rules speak of: all others share their fate.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tracked {
    icmp: Protocol,
    protocols: BTreeSet<u8>,
}

impl Tracked {
    pub(super) fn new(family: Family) -> Self {
        Self { icmp: family.icmp(), protocols: BTreeSet::new() }
    }

    pub(super) fn add(&mut self, rule: &ResolvedRule) {
        self.protocols.extend(rule.protocol.into_iter().chain(rule.not_protocol).map(|protocol| protocol.0));
        if rule.icmp.is_some() || rule.not_icmp.is_some() {
            self.protocols.insert(self.icmp.0);
        }
    }

    /// What `function` says where `behind`, which is asked after it, says something else; without it, all of it.
    pub(super) fn pieces(&self, function: &Function, behind: Option<&Function>) -> Vec<Piece> {
        let difference = match behind {
            Some(behind) => function.difference(behind),
            None => function.steps().collect(),
        };
        if difference.is_empty() {
            return Vec::new();
        }
        let mut pieces = Vec::new();
        let other = (0..=u8::MAX).find(|protocol| !self.protocols.contains(protocol)).map(of_protocol);
        let any = other.and_then(|range| within(&difference, range).next()).map(|(_, fate)| fate);
        if let Some(fate) = any {
            pieces.push(Piece { level: Level::Any, range: (0, super::region::LAST), fate });
        }
        for protocol in &self.protocols {
            let range = of_protocol(*protocol);
            // Once something is said of everything, nothing falls through to what stands behind.
            let said: Vec<(Range, FateId)> = match any {
                Some(_) => function.within(range).collect(),
                None => within(&difference, range).collect(),
            };
            let mostly = widest(&said).or(any);
            if let Some(fate) = mostly.filter(|_| mostly != any) {
                pieces.push(Piece { level: Level::Protocol, range, fate });
            }
            let level = if *protocol == self.icmp.0 { Level::Icmp } else { Level::Ports };
            let parts = match mostly {
                Some(_) if any.is_none() => function.within(range).collect(),
                _ => said,
            };
            let parts = parts.into_iter().filter(|(_, fate)| Some(*fate) != mostly);
            pieces.extend(parts.map(|(range, fate)| Piece { level, range, fate }));
        }
        pieces.sort_unstable();
        pieces
    }
}

/// The parts of `steps` in a range, cut at its ends.
fn within(steps: &[(Range, FateId)], range: Range) -> impl Iterator<Item = (Range, FateId)> {
    let from = steps.partition_point(|((_, last), _)| *last < range.0);
    let met = steps[from..].iter().take_while(move |((first, _), _)| *first <= range.1);
    met.map(move |((first, last), fate)| (((*first).max(range.0), (*last).min(range.1)), *fate))
}

/// The fate of more than half of a protocol's points, if one has so many.
fn widest(steps: &[(Range, FateId)]) -> Option<FateId> {
    let len = |fate: FateId| -> Point {
        steps.iter().filter(|(_, other)| *other == fate).map(|((first, last), _)| last - first + 1).sum()
    };
    let longest = steps.iter().max_by_key(|((first, last), _)| last - first)?.1;
    (len(longest) > 0x8000).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::super::function::{Act, Fate, Fates, Step, first_match};
    use super::super::region::LAST;
    use super::*;

    /// What pieces say of a point: the first level that says anything.
    fn said(pieces: &[Piece], point: Point) -> Option<FateId> {
        let holds = |piece: &&Piece| piece.range.0 <= point && point <= piece.range.1;
        pieces.iter().find(holds).map(|piece| piece.fate)
    }

    /// Numbers without a pattern (a linear congruential generator of Knuth's constants).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u32) -> u32 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((self.0 >> 33) % u64::from(end)) as u32
        }

        /// A region as a rule has it: all, a protocol, all but one, or ports of TCP.
        fn region(&mut self) -> Vec<Range> {
            let protocol = of_protocol([1, 6, 17, 47][self.below(4) as usize]);
            match self.below(5) {
                0 => vec![(0, LAST)],
                1 => vec![protocol],
                2 => vec![(0, protocol.0 - 1), (protocol.1 + 1, LAST)],
                _ => {
                    let tcp = of_protocol(6).0;
                    let first = tcp + [0, 22, 80, 0x8000, 0xfff0][self.below(5) as usize];
                    vec![(first, (first + [0, 1, 15, 0x7fff][self.below(4) as usize]).min(of_protocol(6).1))]
                }
            }
        }

        fn function(&mut self, fates: &mut Fates, ends: &[FateId]) -> Function {
            let rules: Vec<(Vec<Range>, Step)> = (0..self.below(6))
                .map(|_| (self.region(), Step::Decide(ends[self.below(ends.len() as u32) as usize])))
                .collect();
            let end = Function::constant(ends[self.below(ends.len() as u32) as usize]);
            let rules = rules.iter().map(|(region, step)| (region.as_slice(), *step));
            first_match(rules, |_| unreachable!("nothing is passed on"), &end, fates)
        }
    }

    #[test]
    fn pieces_and_what_stands_behind_them_say_what_the_function_says_c9() {
        let mut fates = Fates::default();
        let ends: Vec<FateId> = (0..4).map(|rule| fates.id(Fate { act: Act::Accept, rules: vec![rule] })).collect();
        let tracked = Tracked { icmp: Protocol::ICMP, protocols: [1, 6, 17, 47].into() };
        let mut numbers = Numbers(7);
        for round in 0..2000 {
            let (function, behind) = (numbers.function(&mut fates, &ends), numbers.function(&mut fates, &ends));
            let pieces = tracked.pieces(&function, Some(&behind));
            let edges = function.steps().chain(behind.steps()).flat_map(|((first, last), _)| [first, last]);
            for point in edges {
                let of = |function: &Function| function.within((point, point)).next().map(|(_, fate)| fate);
                assert_eq!(
                    said(&pieces, point).or(of(&behind)),
                    of(&function),
                    "round {round}, {point:#x}: {pieces:?}"
                );
            }
            let all = tracked.pieces(&function, None);
            assert!(function.steps().all(|((first, _), fate)| said(&all, first) == Some(fate)), "round {round}");
            assert_eq!(tracked.pieces(&function, Some(&function)), []);
        }
    }
}
