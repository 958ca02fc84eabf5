//! Changes of maps under classes (C-9).

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};

use super::elements::Difference;
use super::{Choice, Op, element_ops, has_same_elements};
use crate::ruleset::{ClassId, Data, Element, End, Holds, Name, Ruleset, Set};

/// Changes of maps by class that stay: none of them shows, because no address has a class that comes or goes.
pub(super) struct ByClass {
    /// Adds what addresses are about to turn to, and removes what a turn that never came had left.
    pub(super) before: Vec<Op>,
    /// Removes what addresses have turned away from.
    pub(super) after: Vec<Op>,
}

impl ByClass {
    pub(super) fn compare(desired: &Ruleset, actual: &Ruleset, chosen: &Choice) -> Self {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        // Asked for only where some map changes.
        let in_use = LazyCell::new(|| classes_in(actual));
        for (name, set) in desired.sets.iter().filter(|(_, set)| set.is_by_class()) {
            let Some((kept, there)) = chosen.kept.get(name).and_then(|kept| actual.sets.get_key_value(kept)) else {
                continue;
            };
            if has_same_elements(there, set) {
                continue;
            }
            let wanted = chosen.elements(set);
            // What addresses of now still lead to stays until they have turned. A class that stays is whole already: what
            // else stands under it was put there by foreign hands.
            let stay: BTreeSet<ClassId> = wanted.keys().filter_map(class_of).collect();
            let is_passing = |element: &Element| {
                class_of(element).is_some_and(|class| in_use.contains(&class) && !stay.contains(&class))
            };
            let passing: Vec<Element> = there.elements.keys().filter(|element| is_passing(element)).cloned().collect();
            let mut first = wanted.into_owned();
            first.extend(passing.iter().map(|element| (element.clone(), there.elements[element].clone())));
            before.extend(element_ops(kept, set, Some(&there.elements), &first));
            if !passing.is_empty() {
                after.push(Op::DeleteElements { set: kept.clone(), shape: set.clone(), elements: passing });
            }
        }
        Self { before, after }
    }
}

/// Whether a packet that looks the classes of both its ends up for one rule, one before addresses move and the other after it, could
/// find what neither policy says.
pub(super) fn are_ends_torn(desired: &Ruleset, actual: &Ruleset, chosen: &Choice) -> bool {
    let mut asked: BTreeMap<[&Name; 2], BTreeSet<&Name>> = BTreeMap::new();
    for rule in desired.chains.values().flat_map(|chain| &chain.rules) {
        if let End::Class { classes, other: Some(other), map, .. } = &rule.end {
            asked.entry([classes, &other.classes]).or_default().insert(map);
        }
    }
    let both = |name: &Name| -> Option<(&Set, &Set)> {
        let there = chosen.there(actual, name)?;
        desired.sets.get(name).map(|set| (set.as_ref(), there.as_ref()))
    };
    asked.iter().any(|(ends, maps)| {
        let [Some(one), Some(other)] = ends.map(both) else { return false };
        let maps: Vec<(&Set, &Set)> = maps.iter().filter_map(|map| both(map)).collect();
        let [one, other] = [one, other].map(|(new, old)| moves(new, old));
        let says = |one, other| said(&maps, chosen, one, other);
        let is_torn = |((one_old, one_new), (other_old, other_new)): (&Move, &Move)| {
            let (old, new) = (says(*one_old, *other_old), says(*one_new, *other_new));
            [says(*one_old, *other_new), says(*one_new, *other_old)].iter().any(|mixed| *mixed != old && *mixed != new)
        };
        let pairs = || one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
        one.len() * other.len() > MOVES_MAX || pairs().any(is_torn)
    })
}

/// Moves at one end for each of those at the other that are looked at. Where there are more, most is new.
const MOVES_MAX: usize = 10_000;

/// The class of an address before and after it moves.
type Move = (Option<ClassId>, Option<ClassId>);

/// How the classes of addresses change: all of what does, and some more where ranges are cut in another way.
pub(super) fn moves(new: &Set, old: &Set) -> BTreeSet<Move> {
    let [come, gone] = changed(new, old);
    let mut found = BTreeSet::new();
    for (list, others, is_gone) in [(&gone, &come, true), (&come, &gone, false)] {
        for (element, class) in list {
            let mut is_covered = false;
            let mut add = |other| found.insert(if is_gone { (*class, other) } else { (other, *class) });
            let from = others.partition_point(|(other, _)| other.last < element.first);
            for (other, theirs) in others[from..].iter().take_while(|(other, _)| other.first <= element.last) {
                is_covered |= other.first <= element.first && element.last <= other.last;
                add(*theirs);
            }
            if !is_covered {
                add(None);
            }
        }
    }
    found.retain(|(old, new)| old != new);
    found
}

/// The elements of a set with classes that come and those that go, each with its class.
fn changed(new: &Set, old: &Set) -> [Vec<(Element, Option<ClassId>)>; 2] {
    let Difference { gone, added } = Difference::of(&old.elements, &new.elements);
    let gone = gone.into_iter().map(|element| {
        let class = old.elements.get(&element).and_then(class);
        (element, class)
    });
    [added.into_iter().map(|(element, data)| (element, class(&data))).collect(), gone.collect()]
}

/// Whether an address may have moved in both of two sets, given as they will be and as they are.
pub(super) fn do_overlap(one: (&Set, &Set), other: (&Set, &Set)) -> bool {
    let [one, other] = [one, other].map(|(new, old)| changed(new, old).concat());
    let meets = |one: &Element, other: &Element| one.first <= other.last && other.first <= one.last;
    one.len() * other.len() > MOVES_MAX || one.iter().any(|(one, _)| other.iter().any(|(other, _)| meets(one, other)))
}

/// What maps say of a pair of classes while addresses move: what they said, and what they will say.
fn said<'a>(
    maps: &[(&'a Set, &'a Set)],
    chosen: &Choice,
    one: Option<ClassId>,
    other: Option<ClassId>,
) -> BTreeSet<(usize, &'a Element, Option<Data>)> {
    let Some((one, other)) = one.zip(other) else { return BTreeSet::new() };
    let prefix = [one.0.to_be_bytes(), other.0.to_be_bytes()].concat();
    let under = |set: &'a Set| {
        let from = set.elements.range(Element::exact(prefix.clone())..);
        from.take_while(|(element, _)| element.first.starts_with(&prefix))
    };
    let maps = maps.iter().enumerate();
    let all = maps.flat_map(|(number, (new, old))| {
        let new = under(new).map(move |(element, data)| (number, element, chosen.data(data)));
        new.chain(under(old).map(move |(element, data)| (number, element, data.clone())))
    });
    all.collect()
}

/// The classes that addresses have.
fn classes_in(ruleset: &Ruleset) -> BTreeSet<ClassId> {
    let sets = ruleset.sets.values().filter(|set| set.holds == Holds::Classes);
    sets.flat_map(|set| classes_of(set)).collect()
}

/// The classes that the addresses of a set have.
fn classes_of(set: &Set) -> BTreeSet<ClassId> {
    set.elements.values().filter_map(class).collect()
}

fn class(data: &Option<Data>) -> Option<ClassId> {
    if let Some(Data::Class(class)) = data { Some(*class) } else { None }
}

/// The class under which an element stands.
fn class_of(element: &Element) -> Option<ClassId> {
    Some(ClassId(u64::from_be_bytes(*element.first.first_chunk()?)))
}
