//! Changes of maps under classes (C-9).

use std::collections::BTreeSet;

use super::{Choice, Op, element_ops};
use crate::ruleset::{ClassId, Data, Element, End, Name, Ruleset, Set};

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
        let in_use = classes_in(actual);
        for (name, set) in desired.sets.iter().filter(|(_, set)| set.is_by_class()) {
            let Some((kept, there)) = chosen.kept.get(name).and_then(|kept| actual.sets.get_key_value(kept)) else {
                continue;
            };
            let wanted = chosen.elements(set);
            // What addresses of now still lead to stays until they have turned. A class that stays is whole already: what
            // else stands under it was put there by foreign hands.
            let stay: BTreeSet<ClassId> = wanted.keys().filter_map(class_of).collect();
            let is_passing = |element: &Element| {
                class_of(element).is_some_and(|class| in_use.contains(&class) && !stay.contains(&class))
            };
            let passing: Vec<Element> = there.elements.keys().filter(|element| is_passing(element)).cloned().collect();
            let mut first = wanted;
            first.extend(passing.iter().map(|element| (element.clone(), there.elements[element].clone())));
            before.extend(element_ops(kept, set, Some(&there.elements), &first));
            if !passing.is_empty() {
                after.push(Op::DeleteElements { set: kept.clone(), shape: set.clone(), elements: passing });
            }
        }
        Self { before, after }
    }
}

/// Whether a packet that looks the classes of both its ends up, one before addresses move and the other after it, could
/// find a pair of which neither policy speaks.
///
/// The class of a peer speaks of all classes there are at the other end. So nothing is torn where one of the two sets
/// stays, or the classes of the other end do.
pub(super) fn are_torn(desired: &Ruleset, actual: &Ruleset, chosen: &Choice) -> bool {
    let ends = |end: &End| match end {
        End::Class { classes, own: Some(own), .. } => Some((classes.clone(), own.classes.clone())),
        _ => None,
    };
    let asked: BTreeSet<(Name, Name)> =
        desired.chains.values().flat_map(|chain| &chain.rules).filter_map(|rule| ends(&rule.end)).collect();
    let both = |name: &Name| -> Option<(&Set, &Set)> {
        let there = chosen.kept.get(name).and_then(|kept| actual.sets.get(kept))?;
        desired.sets.get(name).map(|set| (set.as_ref(), there.as_ref()))
    };
    asked
        .iter()
        .filter_map(|(peers, own)| both(peers).zip(both(own)))
        .any(|(peers, own)| peers.0.elements != peers.1.elements && classes_of(own.0) != classes_of(own.1))
}

/// The classes that addresses have.
fn classes_in(ruleset: &Ruleset) -> BTreeSet<ClassId> {
    ruleset.sets.values().flat_map(|set| classes_of(set)).collect()
}

/// The classes that the addresses of a set have.
fn classes_of(set: &Set) -> BTreeSet<ClassId> {
    let data = set.elements.values().flatten();
    data.filter_map(|data| if let Data::Class(class) = data { Some(*class) } else { None }).collect()
}

/// The class under which an element stands.
fn class_of(element: &Element) -> Option<ClassId> {
    Some(ClassId(u64::from_be_bytes(*element.first.first_chunk()?)))
}
