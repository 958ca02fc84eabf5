//! One mistake in a ruleset.

use std::sync::Arc;

use tortie_rules::Ruleset;
use tortie_rules::ruleset::{
    Chain, Data, Element, End, Field, Holds, Key, Match, Name, Ranges, Rule, Set, Statement, Verdict,
};
use tortie_testkit::generators::Random;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    DropElement,
    StaleElement,
    WidenElement,
    DropMapElement,
    ChangeMapTarget,
    SwapEnds,
    WidenRange,
    SwapRules,
    DropRule,
    ChangeVerdict,
    ReturnAccepts,
    WrongFamily,
    WrongMarkBit,
    DropStatement,
    InvertMatch,
    DropMatch,
    WrongValue,
    ExactInsteadOfPrefix,
    GotoInsteadOfJump,
    DropAddress,
    ChangeClass,
    MoveAddressEnd,
    DropUnderClass,
    ChangeUnderClass,
    MoveEndUnderClass,
}

use Kind::{
    ChangeClass, ChangeMapTarget, ChangeUnderClass, ChangeVerdict, DropAddress, DropElement, DropMapElement, DropMatch,
    DropRule, DropStatement, DropUnderClass, ExactInsteadOfPrefix, GotoInsteadOfJump, InvertMatch, MoveAddressEnd,
    MoveEndUnderClass, ReturnAccepts, StaleElement, SwapEnds, SwapRules, WidenElement, WidenRange, WrongFamily,
    WrongMarkBit, WrongValue,
};

pub(crate) const KINDS: &[Kind] = &[
    DropElement,
    StaleElement,
    WidenElement,
    DropMapElement,
    ChangeMapTarget,
    SwapEnds,
    WidenRange,
    SwapRules,
    DropRule,
    ChangeVerdict,
    ReturnAccepts,
    WrongFamily,
    WrongMarkBit,
    DropStatement,
    InvertMatch,
    DropMatch,
    WrongValue,
    ExactInsteadOfPrefix,
    GotoInsteadOfJump,
    DropAddress,
    ChangeClass,
    MoveAddressEnd,
    DropUnderClass,
    ChangeUnderClass,
    MoveEndUnderClass,
];

/// The ruleset with a mistake of this kind at a place that `random` chooses; `None` when it has no place for it.
pub(crate) fn mutate(ruleset: &Ruleset, kind: Kind, random: &mut Random) -> Option<Ruleset> {
    match kind {
        DropElement | StaleElement | WidenElement | DropMapElement | ChangeMapTarget => {
            one_set(ruleset, random, &|set, random| in_set(set, kind, random))
        }
        DropAddress | ChangeClass | MoveAddressEnd | DropUnderClass | ChangeUnderClass | MoveEndUnderClass => {
            one_set(ruleset, random, &|set, random| in_classes(set, kind, random))
        }
        SwapRules | DropRule => one_chain(ruleset, random, &|chain, random| in_chain(chain, kind, random)),
        _ => one_chain(ruleset, random, &|chain, random| {
            let rules: Vec<usize> = shuffled(chain.rules.len(), random);
            rules.into_iter().find_map(|position| {
                let mut rule = chain.rules[position].clone();
                in_rule(&mut rule, kind, random).then(|| {
                    let mut chain = chain.clone();
                    chain.rules[position] = rule;
                    chain
                })
            })
        }),
    }
}

fn shuffled(len: usize, random: &mut Random) -> Vec<usize> {
    let mut all: Vec<usize> = (0..len).collect();
    for last in (1..len).rev() {
        all.swap(last, random.below(last + 1));
    }
    all
}

fn one_chain(
    ruleset: &Ruleset,
    random: &mut Random,
    change: &dyn Fn(&Chain, &mut Random) -> Option<Chain>,
) -> Option<Ruleset> {
    let names: Vec<&Name> = ruleset.chains.keys().collect();
    shuffled(names.len(), random).into_iter().find_map(|position| {
        let chain = change(&ruleset.chains[names[position]], random)?;
        let mut wrong = ruleset.clone();
        wrong.chains.insert(names[position].clone(), Arc::new(chain));
        (wrong != *ruleset).then_some(wrong)
    })
}

fn one_set(
    ruleset: &Ruleset,
    random: &mut Random,
    change: &dyn Fn(&Set, &mut Random) -> Option<Set>,
) -> Option<Ruleset> {
    let names: Vec<&Name> = ruleset.sets.keys().collect();
    shuffled(names.len(), random).into_iter().find_map(|position| {
        let set = change(&ruleset.sets[names[position]], random)?;
        let mut wrong = ruleset.clone();
        wrong.sets.insert(names[position].clone(), Arc::new(set));
        (wrong != *ruleset).then_some(wrong)
    })
}

fn in_set(set: &Set, kind: Kind, random: &mut Random) -> Option<Set> {
    let is_for_maps = matches!(kind, DropMapElement | ChangeMapTarget);
    if set.elements.is_empty() || (set.holds == Holds::Verdicts) != is_for_maps || set.holds == Holds::Classes {
        return None;
    }
    let (element, verdict) = set.elements.iter().nth(random.below(set.elements.len()))?;
    let mut wrong = set.clone();
    match kind {
        DropElement | DropMapElement => {
            wrong.elements.remove(element);
        }
        StaleElement => {
            let mut last = element.last.clone();
            *last.last_mut()? ^= 1;
            let stale = Element::exact(last);
            let overlaps = set.ranges != Ranges::None
                && set.elements.keys().any(|e| e.first <= stale.last && stale.first <= e.last);
            if overlaps || set.elements.contains_key(&stale) {
                return None;
            }
            wrong.elements.insert(stale, verdict.clone());
        }
        WidenElement => {
            let next = successor(&element.last)?;
            if set.ranges != Ranges::OfKey
                || set.key.len() > 1
                || set.elements.keys().any(|e| *e.first <= *next && next <= e.last)
            {
                return None;
            }
            wrong.elements.remove(element);
            wrong.elements.insert(Element { first: element.first.clone(), last: next }, None);
        }
        ChangeMapTarget => {
            let others: Vec<_> = set.elements.values().filter(|other| *other != verdict).collect();
            let other = match others.as_slice() {
                [] => Some(Data::Verdict(Verdict::Drop)),
                others => (*random.pick(others)).clone(),
            };
            wrong.elements.insert(element.clone(), other);
        }
        _ => return None,
    }
    Some(wrong)
}

/// A mistake in what addresses have, or in what stands under it.
fn in_classes(set: &Set, kind: Kind, random: &mut Random) -> Option<Set> {
    let is_of_addresses = matches!(kind, DropAddress | ChangeClass | MoveAddressEnd);
    let fits = if is_of_addresses { set.holds == Holds::Classes } else { set.is_by_class() };
    if !fits || set.elements.is_empty() {
        return None;
    }
    let (element, data) = set.elements.iter().nth(random.below(set.elements.len()))?;
    let mut wrong = set.clone();
    match kind {
        DropAddress | DropUnderClass => {
            wrong.elements.remove(element);
        }
        ChangeClass | ChangeUnderClass => {
            let others: Vec<_> = set.elements.values().filter(|other| *other != data).collect();
            let other = match (others.as_slice(), data) {
                ([], Some(Data::Verdict(Verdict::Drop))) => Some(Data::Verdict(Verdict::Accept)),
                ([], Some(Data::Verdict(_))) => Some(Data::Verdict(Verdict::Drop)),
                ([], _) => return None,
                (others, _) => (*random.pick(others)).clone(),
            };
            wrong.elements.insert(element.clone(), other);
        }
        _ if set.ranges == Ranges::OfKey => {
            let moved = match random.below(2) {
                0 if element.first < element.last => predecessor(&element.last)?,
                _ => successor(&element.last)?,
            };
            let is_taken = |e: &Element| e != element && e.first <= moved && element.first <= e.last;
            if set.elements.keys().any(is_taken) {
                return None;
            }
            wrong.elements.remove(element);
            let moved = Element { first: element.first.clone(), last: moved };
            if let Some(origins) = wrong.origins.remove(element) {
                wrong.origins.insert(moved.clone(), origins);
            }
            wrong.elements.insert(moved, data.clone());
        }
        _ => return None,
    }
    Some(wrong)
}

fn predecessor(value: &[u8]) -> Option<Key> {
    neighbour(value, u8::overflowing_sub)
}

fn successor(value: &[u8]) -> Option<Key> {
    neighbour(value, u8::overflowing_add)
}

/// The big-endian number one step away; `None` where there is none.
fn neighbour(value: &[u8], step: fn(u8, u8) -> (u8, bool)) -> Option<Key> {
    let mut next = Key::from(value);
    for byte in next.iter_mut().rev() {
        let (stepped, is_carried) = step(*byte, 1);
        *byte = stepped;
        if !is_carried {
            return Some(next);
        }
    }
    None
}

fn in_chain(chain: &Chain, kind: Kind, random: &mut Random) -> Option<Chain> {
    let mut wrong = chain.clone();
    match kind {
        SwapRules if chain.rules.len() >= 2 => {
            let first = random.below(chain.rules.len() - 1);
            wrong.rules.swap(first, first + 1);
        }
        DropRule if !chain.rules.is_empty() => {
            wrong.rules.remove(random.below(chain.rules.len()));
        }
        _ => return None,
    }
    Some(wrong)
}

fn in_rule(rule: &mut Rule, kind: Kind, random: &mut Random) -> bool {
    match kind {
        ChangeVerdict => match &mut rule.end {
            End::Verdict(verdict @ Verdict::Accept) => *verdict = Verdict::Drop,
            End::Verdict(verdict @ (Verdict::Drop | Verdict::Reject)) => *verdict = Verdict::Accept,
            _ => return false,
        },
        ReturnAccepts => match &mut rule.end {
            End::Verdict(verdict @ Verdict::Return) => *verdict = Verdict::Accept,
            _ => return false,
        },
        GotoInsteadOfJump => match &mut rule.end {
            End::Verdict(verdict) => match verdict.clone() {
                Verdict::Jump(target) => *verdict = Verdict::Goto(target),
                Verdict::Goto(target) => *verdict = Verdict::Jump(target),
                _ => return false,
            },
            _ => return false,
        },
        DropStatement => {
            let len = rule.statements.len();
            rule.statements.retain(|statement| {
                !matches!(statement, Statement::NoTrack | Statement::SetMark { .. } | Statement::Log { .. })
            });
            return rule.statements.len() < len;
        }
        WrongMarkBit => return wrong_mark_bit(rule),
        _ => {
            let positions = shuffled(rule.matches.len(), random);
            let changed = positions.into_iter().find_map(|position| {
                let mut matches = rule.matches.clone();
                if kind == DropMatch {
                    matches.remove(position);
                    return Some(matches);
                }
                in_match(&mut matches[position], kind).then_some(matches)
            });
            match changed {
                Some(matches) => rule.matches = matches,
                None => return false,
            }
        }
    }
    true
}

fn wrong_mark_bit(rule: &mut Rule) -> bool {
    for statement in &mut rule.statements {
        if let Statement::SetMark { mask, value } = statement {
            (*mask, *value) = (mask.rotate_left(1), value.rotate_left(1));
            return true;
        }
    }
    for criterion in &mut rule.matches {
        if let Match::Masked { field: Field::Mark, mask, .. } = criterion {
            let bits = u32::from_be_bytes([mask[0], mask[1], mask[2], mask[3]]);
            *mask = bits.rotate_left(1).to_be_bytes().to_vec();
            return true;
        }
    }
    false
}

fn in_match(criterion: &mut Match, kind: Kind) -> bool {
    match (kind, criterion) {
        (
            InvertMatch,
            Match::Equals { invert, .. }
            | Match::Masked { invert, .. }
            | Match::Range { invert, .. }
            | Match::Lookup { invert, .. },
        ) => *invert = !*invert,
        (SwapEnds, Match::Equals { field, .. } | Match::Masked { field, .. } | Match::Range { field, .. }) => {
            match other_end(*field) {
                Some(other) => *field = other,
                None => return false,
            }
        }
        (SwapEnds, Match::Lookup { key, .. }) => {
            let swapped: Vec<Field> = key.iter().map(|field| other_end(*field).unwrap_or(*field)).collect();
            let is_changed = swapped != *key;
            *key = swapped;
            return is_changed;
        }
        (WidenRange, Match::Range { last, .. }) => match successor(last) {
            Some(next) => *last = next.to_vec(),
            None => return false,
        },
        // A network of twice the size.
        (WidenRange, Match::Masked { field, mask, value, .. }) if other_end(*field).is_some() => {
            let Some(at) = mask.iter().rposition(|byte| *byte != 0) else { return false };
            let lowest = mask[at] & mask[at].wrapping_neg();
            (mask[at], value[at]) = (mask[at] & !lowest, value[at] & !lowest);
        }
        (WrongFamily, Match::Equals { field: Field::NfProto, value, .. }) => value[0] = 12 - value[0],
        (
            WrongValue,
            Match::Equals {
                field: Field::L4Proto | Field::SourcePort | Field::DestinationPort | Field::IcmpType,
                value,
                ..
            },
        ) => match value.last_mut() {
            Some(byte) => *byte ^= 1,
            None => return false,
        },
        (
            ExactInsteadOfPrefix,
            Match::Equals { field: field @ (Field::InInterface | Field::OutInterface), value, .. },
        ) if value.len() < field.width() => value.resize(field.width(), 0),
        _ => return false,
    }
    true
}

fn other_end(field: Field) -> Option<Field> {
    Some(match field {
        Field::SourceV4 => Field::DestinationV4,
        Field::DestinationV4 => Field::SourceV4,
        Field::SourceV6 => Field::DestinationV6,
        Field::DestinationV6 => Field::SourceV6,
        Field::SourcePort => Field::DestinationPort,
        Field::DestinationPort => Field::SourcePort,
        Field::InInterface => Field::OutInterface,
        Field::OutInterface => Field::InInterface,
        _ => return None,
    })
}
