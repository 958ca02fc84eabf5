//! What the consumer of a syncer has, by the keys of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tortie_api::ResourceKey;

use super::Update;
use crate::keys;
use crate::kv::{Event, Revision};

/// What was delivered of each key.
#[derive(Default)]
pub(super) struct Delivered {
    keys: BTreeMap<String, Known>,
}

/// What was delivered of one key. A store that was restored from a backup and written to again may have the same revision
/// for another value, so the revision alone does not tell.
#[derive(Clone, PartialEq, Eq)]
struct Known {
    revision: Revision,
    /// The hash of the value.
    value: u64,
    /// The object, which may have another name than the key; `None` for keys that are none of ours.
    object: Option<ResourceKey>,
}

impl Known {
    fn is_same(&self, revision: Revision, value: &[u8]) -> bool {
        (self.revision, self.value) == (revision, hash(value))
    }
}

fn hash(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Delivered {
    /// Takes all that the store holds; gives what of it the consumer does not have yet. With `anew` that is everything.
    pub(super) fn snapshot(&mut self, found: BTreeMap<String, (Revision, Vec<u8>)>, anew: bool) -> Vec<Update> {
        let mut updates = Vec::new();
        let mut keys = BTreeMap::new();
        for (key, (revision, value)) in found {
            let before = self.keys.get(&key);
            let known = match before.filter(|known| !anew && known.is_same(revision, &value)) {
                Some(known) => known.clone(),
                None => {
                    let update = update(&key, &value, revision, before.and_then(|known| known.object.as_ref()));
                    let object = update.as_ref().map(|update| update.key.clone());
                    updates.extend(update);
                    Known { revision, value: hash(&value), object }
                }
            };
            keys.insert(key, known);
        }
        let before = std::mem::replace(&mut self.keys, keys);
        let there: BTreeSet<&ResourceKey> = self.keys.values().filter_map(|known| known.object.as_ref()).collect();
        let gone: BTreeSet<ResourceKey> = before.into_values().filter_map(|known| known.object).collect();
        updates.extend(gone.into_iter().filter(|object| !there.contains(object)).map(deletion));
        updates
    }

    /// Takes one change, and tells it; `true` when an object went that another key holds as well, so that everything must
    /// be read again.
    pub(super) fn change(&mut self, event: &Event, revision: Revision, updates: &mut Vec<Update>) -> bool {
        let before = self.keys.remove(&event.key).and_then(|known| known.object);
        let mut object = None;
        let mut told = None;
        if let Some(value) = &event.value {
            told = update(&event.key, value, revision, before.as_ref());
            object = told.as_ref().map(|update| update.key.clone());
            let known = Known { revision, value: hash(value), object: object.clone() };
            self.keys.insert(event.key.clone(), known);
        }
        let mut is_to_read = false;
        if let Some(gone) = before.filter(|before| Some(before) != object.as_ref()) {
            match self.key_of(&gone) {
                Some(other) => {
                    // As if it had never been delivered: the next snapshot tells it.
                    self.keys.remove(&other);
                    is_to_read = true;
                }
                None => updates.push(deletion(gone)),
            }
        }
        updates.extend(told);
        is_to_read
    }

    /// A key under which an object lies.
    fn key_of(&self, object: &ResourceKey) -> Option<String> {
        let keys = std::iter::once(object.clone()).chain(keys::legacy(object)).map(|key| keys::key(&key));
        let mut holding =
            keys.filter(|key| self.keys.get(key).is_some_and(|known| known.object.as_ref() == Some(object)));
        holding.next()
    }
}

fn deletion(key: ResourceKey) -> Update {
    Update { key, value: None }
}

/// The object in a value. Where that does not tell the name of a policy, it is the one that it had `before`.
fn update(key: &str, value: &[u8], revision: Revision, before: Option<&ResourceKey>) -> Option<Update> {
    let found = keys::parse(key)?;
    let value = keys::from_bytes_at(&found, value, revision);
    if !found.kind.is_tiered_policy() {
        return Some(Update { key: found, value: Some(value) });
    }
    let told = value.as_ref().ok().and_then(|value| value["metadata"]["name"].as_str()).map(str::to_owned);
    let named = |name: String| ResourceKey { name, ..found.clone() };
    let short = || found.name.strip_prefix("default.").map(str::to_owned);
    let key = told.map(named).or_else(|| before.cloned()).or_else(|| short().map(named)).unwrap_or(found.clone());
    Some(Update { key, value: Some(value) })
}
