//! Objects that lie elsewhere than at their own names, as policies of older versions do (datastore.md section 2.4).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use tortie_api::ResourceKey;

use super::Content;

/// The places of objects that lie elsewhere than at their own names, and which of several places counts.
#[derive(Debug)]
pub struct Aliases<P> {
    places: BTreeMap<ResourceKey, BTreeSet<P>>,
    /// The places that were reported as not in force.
    reported: BTreeSet<P>,
}

impl<P> Default for Aliases<P> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), reported: BTreeSet::new() }
    }
}

impl<P: Ord + Clone + Display> Aliases<P> {
    /// No places, where nothing is reported that `self` has reported.
    #[must_use]
    pub fn emptied(&mut self) -> Self {
        Self { places: BTreeMap::new(), reported: std::mem::take(&mut self.reported) }
    }

    /// Whether everything lies at its own name.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// An object lies at a place that is not that of its own name.
    pub fn insert(&mut self, object: ResourceKey, place: P) {
        self.places.entry(object).or_default().insert(place);
    }

    /// It does no more.
    pub fn remove(&mut self, object: &ResourceKey, place: &P) {
        if let Some(places) = self.places.get_mut(object) {
            places.remove(place);
            if places.is_empty() {
                self.places.remove(object);
            }
        }
    }

    /// Where an object is taken from, whatever came first: the place of its own name, if it lies there, else the first
    /// of the others.
    pub fn in_force<'a>(&'a self, object: &ResourceKey, own: Option<&'a P>) -> Option<&'a P> {
        own.or_else(|| self.places.get(object)?.first())
    }

    /// Reports the places of an object that are not in force beside that which is, each once.
    pub fn report(&mut self, object: &ResourceKey, in_force: &P) {
        for place in self.unreported(object, in_force) {
            tracing::warn!(
                "{object} is stored twice: what lies at `{in_force}` is in force, what lies at `{place}`, as older \
                 versions kept it, is not; delete the latter"
            );
        }
    }

    fn unreported(&mut self, object: &ResourceKey, in_force: &P) -> Vec<P> {
        let others = self.places.get(object).into_iter().flatten().filter(|place| *place != in_force);
        let others: Vec<P> = others.filter(|place| !self.reported.contains(place)).cloned().collect();
        self.reported.extend(others.iter().cloned());
        others
    }
}

/// Which object lies at `at`: a policy has the name that its value says, and where that cannot be read the one that it had
/// `before`; any other that of its place.
pub fn named(at: ResourceKey, content: &Content, before: Option<&ResourceKey>) -> ResourceKey {
    if !at.kind.is_tiered_policy() {
        return at;
    }
    match (content.name(), before) {
        (Ok(Some(name)), _) => ResourceKey { name, ..at },
        (Ok(None), _) => at,
        (Err(_), Some(before)) => before.clone(),
        (Err(_), None) => match at.name.strip_prefix("default.").map(str::to_owned) {
            Some(name) => ResourceKey { name, ..at },
            None => at,
        },
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

    use super::*;

    #[test]
    fn what_is_not_in_force_is_reported_once() {
        let policy = ResourceKey::global(Kind::GlobalNetworkPolicy, "web");
        let mut aliases = Aliases::default();
        aliases.insert(policy.clone(), "default.web");
        assert_eq!(aliases.unreported(&policy, &"default.web"), Vec::<&str>::new(), "it is the only one");
        assert_eq!(aliases.unreported(&policy, &"web"), ["default.web"]);
        assert_eq!(aliases.unreported(&policy, &"web"), Vec::<&str>::new());
        let mut anew = aliases.emptied();
        anew.insert(policy.clone(), "default.web");
        anew.insert(policy.clone(), "x");
        assert_eq!(anew.unreported(&policy, &"web"), ["x"]);
    }
}
