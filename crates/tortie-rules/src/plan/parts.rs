//! Changes of one list of networks whose parts are several sets.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::elements::Difference;
use super::{Choice, has_same_elements};
use crate::ruleset::{Element, Holds, Match, Name, Ruleset, Set};

/// Elements that go and come, each with each, which are compared. Where there are more, most is new.
const PAIRS_MAX: usize = 10_000_000;

/// A part that changes: its name, what it is and what it will be.
type Part<'a> = (&'a Name, &'a Arc<Set>, &'a Arc<Set>);

/// Whether an address may leave one part of a list for another one. A packet asks for the parts one after the other, and each
/// as it is at that moment: between the two lookups the address could be in neither.
pub(super) fn are_torn(desired: &Ruleset, actual: &Ruleset, chosen: &Choice) -> bool {
    let mut lists: BTreeMap<&str, Vec<Part<'_>>> = BTreeMap::new();
    for (name, set) in desired.sets.iter().filter(|(_, set)| set.holds == Holds::Nothing && set.timeout_s.is_none()) {
        if let Some(there) = chosen.there(actual, name).filter(|there| !has_same_elements(there, set)) {
            lists.entry(name.whole()).or_default().push((name, there, set));
        }
    }
    lists.retain(|_, parts| parts.len() > 1);
    if lists.is_empty() {
        return false;
    }
    let masks = masks(desired);
    lists.values().any(|parts| {
        let changes: Vec<Difference> =
            parts.iter().map(|(_, there, set)| Difference::of(&there.elements, &set.elements)).collect();
        let areas = |number: usize, element: &Element| area(element, masks.get(parts[number].0).copied());
        let moves = |from: usize, to: usize| {
            let (gone, added) = (&changes[from].gone, &changes[to].added);
            gone.len().saturating_mul(added.len()) > PAIRS_MAX
                || gone.iter().any(|gone| {
                    let (first, last) = areas(from, gone);
                    added.keys().map(|added| areas(to, added)).any(|(from, to)| first <= to && from <= last)
                })
        };
        let all = 0..parts.len();
        all.clone().any(|from| all.clone().any(|to| from != to && moves(from, to)))
    })
}

/// The bits with which sets are asked.
fn masks(desired: &Ruleset) -> BTreeMap<&Name, &[u8]> {
    let rules = desired.chains.values().flat_map(|chain| &chain.rules);
    let masked = rules.flat_map(|rule| &rule.matches).filter_map(|criterion| match criterion {
        Match::LookupMasked { mask, set, .. } => Some((set, &mask[..])),
        _ => None,
    });
    masked.collect()
}

/// The first and the last value for which an element is found.
fn area(element: &Element, mask: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let bits = |byte: usize| mask.map_or(0, |mask| !mask.get(byte).copied().unwrap_or(0));
    let last = element.last.iter().enumerate().map(|(number, byte)| byte | bits(number));
    (element.first.to_vec(), last.collect())
}
