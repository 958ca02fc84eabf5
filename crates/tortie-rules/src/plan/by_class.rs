//! Changes of maps under classes (C-9).

use std::collections::BTreeSet;

use super::{Choice, Op, element_ops};
use crate::ruleset::{ClassId, Data, Element, Ruleset};

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

/// The classes that addresses have.
fn classes_in(ruleset: &Ruleset) -> BTreeSet<ClassId> {
    let data = ruleset.sets.values().flat_map(|set| set.elements.values().flatten());
    data.filter_map(|data| if let Data::Class(class) = data { Some(*class) } else { None }).collect()
}

/// The class under which an element stands.
fn class_of(element: &Element) -> Option<ClassId> {
    Some(ClassId(u64::from_be_bytes(*element.first.first_chunk()?)))
}
