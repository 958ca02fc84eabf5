//! Changes of classes that a packet could meet in part.
//!
//! A packet looks the class of an address up again for each rule that asks for it, and each lookup sees the sets as they are
//! at that moment. Where a change gives one of these lookups alone another answer, the packet meets the old policy or the new
//! one. Where it gives two of them another one, it could meet a mixture.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::by_class::{are_ends_torn, do_overlap, moves};
use super::{Choice, has_same_elements};
use crate::ruleset::{ClassId, Data, Element, End, Field, Name, Ruleset, Set};

/// Whether a packet could find what neither the policy of now nor the new one says, if classes changed in place.
pub(super) fn are_torn(desired: &Ruleset, actual: &Ruleset, chosen: &Choice) -> bool {
    if are_ends_torn(desired, actual, chosen) {
        return true;
    }
    // What is asked in the chains of one list: by a name that all its sets share.
    let mut lists: BTreeMap<&str, BTreeMap<Way<'_>, Vec<&Name>>> = BTreeMap::new();
    for rule in desired.chains.values().flat_map(|chain| &chain.rules) {
        if let End::Class { address, classes, other, map, .. } = &rule.end {
            let way = Way { address: *address, classes, other: other.as_ref().map(|other| &other.classes) };
            lists.entry(classes.whole()).or_default().entry(way).or_default().push(map);
        }
    }
    let look = Look { desired, actual, chosen };
    lists.values().any(|ways| look.is_torn(ways))
}

/// How rules ask for a class, or for a pair of them.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Way<'a> {
    address: Field,
    classes: &'a Name,
    other: Option<&'a Name>,
}

struct Look<'a> {
    desired: &'a Ruleset,
    actual: &'a Ruleset,
    chosen: &'a Choice,
}

/// A set as it will be and as it is.
type Change<'a> = (&'a Set, &'a Set);

impl<'a> Look<'a> {
    /// Whether the ways of one list, each with the maps that are asked by it, are torn.
    fn is_torn(&self, ways: &BTreeMap<Way<'_>, Vec<&Name>>) -> bool {
        let is_changed =
            |way: &Way<'_>| [Some(way.classes), way.other].into_iter().flatten().any(|end| self.change(end).is_some());
        let changed: Vec<(&Way<'_>, &Vec<&Name>)> = ways.iter().filter(|(way, _)| is_changed(way)).collect();
        // The same address may have changed by one of two ways alone.
        let is_apart = |one: &Way<'_>, other: &Way<'_>| {
            let [first, second] = [one, other].map(|way| self.change(way.classes).filter(|_| way.other.is_none()));
            one.address == other.address && first.zip(second).is_some_and(|(one, other)| !do_overlap(one, other))
        };
        let are_apart =
            (0..changed.len()).all(|number| changed[..number].iter().all(|(one, _)| is_apart(one, changed[number].0)));
        !are_apart || changed.iter().any(|(way, maps)| self.is_way_torn(way, maps))
    }

    /// Whether a packet that asks these maps by a way that changes may find something in two of them. Pairs are looked at
    /// one rule at a time, elsewhere.
    fn is_way_torn(&self, way: &Way<'_>, maps: &[&Name]) -> bool {
        let Some((new, old)) = self.change(way.classes).filter(|_| way.other.is_none()) else { return false };
        let sets = || maps.iter().filter_map(|name| self.desired.sets.get(*name).map(|set| (*name, set.as_ref())));
        moves(new, old).into_iter().any(|(from, to)| {
            are_several(sets().filter(|(name, set)| self.differ((name, set), from, to)).map(|(_, set)| set))
        })
    }

    fn change(&self, name: &Name) -> Option<Change<'a>> {
        let there = self.there(name)?;
        self.desired
            .sets
            .get(name)
            .filter(|set| !has_same_elements(there, set))
            .map(|set| (set.as_ref(), there.as_ref()))
    }

    /// What stands for a set now, where that stays.
    fn there(&self, name: &Name) -> Option<&'a Arc<Set>> {
        self.chosen.there(self.actual, name)
    }

    /// Whether a map says something else of one class now than of another one after the change.
    fn differ(&self, (name, new): (&Name, &Set), from: Option<ClassId>, to: Option<ClassId>) -> bool {
        let before = self.there(name).zip(from).map(|(set, class)| said(set, class, Option::clone)).unwrap_or_default();
        let after = to.map(|class| said(new, class, |data| self.chosen.data(data))).unwrap_or_default();
        before != after
    }
}

/// What a map says under a class that stands first in its key.
fn said(
    set: &Set,
    class: ClassId,
    data: impl Fn(&Option<Data>) -> Option<Data>,
) -> BTreeSet<(Vec<u8>, Vec<u8>, Option<Data>)> {
    let prefix = class.0.to_be_bytes();
    let from = set.elements.range(Element::exact(prefix)..);
    let under = from.take_while(|(element, _)| element.first.starts_with(&prefix));
    let behind = |key: &[u8]| key.get(prefix.len()..).unwrap_or_default().to_vec();
    under.map(|(element, found)| (behind(&element.first), behind(&element.last), data(found))).collect()
}

/// Whether one packet may find something in two of these maps: no packet has both ports and a type of ICMP.
fn are_several<'a>(maps: impl Iterator<Item = &'a Set>) -> bool {
    let (mut ports, mut icmp, mut others) = (0, 0, 0);
    for map in maps {
        let asks = |field| map.key.iter().any(|asked| asked.as_key() == field);
        match (asks(Field::SourcePort), asks(Field::IcmpType)) {
            (true, _) => ports += 1,
            (_, true) => icmp += 1,
            _ => others += 1,
        }
    }
    ports.max(icmp) + others > 1
}
