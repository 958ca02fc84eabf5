//! What the consumer of a syncer has, by the keys of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tortie_api::ResourceKey;

use super::Update;
use super::places::{Aliases, named};
use crate::keys;
use crate::kv::{Event, Revision};

/// What was delivered of each key.
#[derive(Default)]
pub(super) struct Delivered {
    keys: BTreeMap<String, Known>,
    aliases: Aliases<String>,
}

/// What was delivered of one key. A store that was restored from a backup and written to again may have the same revision
/// for another value, so the revision alone does not tell.
struct Known {
    /// Zero, which no key has, when the value must be told again.
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
        let emptied = Delivered { keys: BTreeMap::new(), aliases: self.aliases.emptied() };
        let before = std::mem::replace(self, emptied);
        let mut changed = Vec::new();
        for (key, (revision, bytes)) in found {
            let known = before.keys.get(&key);
            let object = match known.filter(|known| !anew && known.is_same(revision, &bytes)) {
                Some(Known { object, .. }) if object.as_ref().is_none_or(|object| before.is_in_force(object, &key)) => {
                    object.clone()
                }
                // What is not in force may come into force by the end of another.
                _ => {
                    let update = update(&key, &bytes, revision, known.and_then(|known| known.object.as_ref()));
                    let object = update.as_ref().map(|update| update.key.clone());
                    changed.extend(update.map(|update| (key.clone(), update)));
                    object
                }
            };
            self.insert(key, Known { revision, value: hash(&bytes), object });
        }
        let mut updates = Vec::with_capacity(changed.len());
        updates
            .extend(changed.into_iter().filter_map(|(key, update)| self.counts(&update.key, &key).then_some(update)));
        let gone: BTreeSet<ResourceKey> = before.keys.into_values().filter_map(|known| known.object).collect();
        updates.extend(gone.into_iter().filter(|object| self.place_of(object).is_none()).map(deletion));
        updates
    }

    /// Takes one change, and tells it; `true` when an object went that another key holds as well, so that everything must
    /// be read again.
    pub(super) fn change(&mut self, event: &Event, revision: Revision, updates: &mut Vec<Update>) -> bool {
        let key = &event.key;
        let had = self.keys.get(key).and_then(|known| known.object.clone());
        let was_in_force = had.as_ref().is_some_and(|object| self.is_in_force(object, key));
        self.remove(key);
        let mut told = None;
        if let Some(value) = &event.value {
            told = update(key, value, revision, had.as_ref());
            let object = told.as_ref().map(|update| update.key.clone());
            self.insert(key.clone(), Known { revision, value: hash(value), object });
        }
        let mut is_to_read = false;
        if let Some(gone) = had.filter(|had| was_in_force && told.as_ref().is_none_or(|update| update.key != *had)) {
            match self.place_of(&gone).and_then(|other| self.keys.get_mut(&other)) {
                Some(other) => {
                    // As if it had never been delivered: the next snapshot tells it.
                    other.revision = Revision::ZERO;
                    is_to_read = true;
                }
                None => updates.push(deletion(gone)),
            }
        }
        updates.extend(told.filter(|update| self.counts(&update.key, key)));
        is_to_read
    }

    fn insert(&mut self, key: String, known: Known) {
        if let Some(object) = known.object.as_ref().filter(|object| keys::key(object) != key) {
            self.aliases.insert(object.clone(), key.clone());
        }
        self.keys.insert(key, known);
    }

    fn remove(&mut self, key: &String) {
        if let Some(Known { object: Some(object), .. }) = self.keys.remove(key) {
            self.aliases.remove(&object, key);
        }
    }

    /// The key from which an object is taken.
    fn place_of(&self, object: &ResourceKey) -> Option<String> {
        let own = Some(keys::key(object)).filter(|own| {
            let known = self.keys.get(own);
            known.is_some_and(|known| known.object.as_ref() == Some(object))
        });
        self.aliases.in_force(object, own.as_ref()).cloned()
    }

    fn is_in_force(&self, object: &ResourceKey, key: &str) -> bool {
        self.place_of(object).is_some_and(|place| place == key)
    }

    /// Whether an object is taken from this key; reports the other keys that hold it.
    fn counts(&mut self, object: &ResourceKey, key: &str) -> bool {
        let Some(place) = self.place_of(object) else { return false };
        self.aliases.report(object, &place);
        place == key
    }
}

fn deletion(key: ResourceKey) -> Update {
    Update { key, value: None }
}

/// The object in a value. Where that does not tell the name of a policy, it is the one that it had `before`.
fn update(key: &str, value: &[u8], revision: Revision, before: Option<&ResourceKey>) -> Option<Update> {
    let at = keys::parse(key)?;
    let value = keys::from_bytes_at(&at, value, revision);
    Some(Update { key: named(&at, &value, before), value: Some(value) })
}

#[cfg(test)]
mod tests;
