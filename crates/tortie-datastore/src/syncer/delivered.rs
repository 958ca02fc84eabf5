//! What the consumer of a syncer has, by the keys of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use tortie_api::ResourceKey;

use super::places::{Aliases, named};
use super::{Content, Update};
use crate::keys;
use crate::kv::{Event, Revision};

/// What a store holds: the revision and the value of each key.
pub(super) type Found = BTreeMap<String, (Revision, Vec<u8>)>;

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
    object: Object,
}

/// Which object lies at a key.
enum Object {
    /// The one that the key names.
    Own,
    /// This one.
    Other(Box<ResourceKey>),
    /// None: the key is none of ours.
    Nothing,
}

impl Object {
    fn new(object: Option<&ResourceKey>, key: &str) -> Object {
        match object {
            None => Object::Nothing,
            Some(object) if keys::key(object) == key => Object::Own,
            Some(object) => Object::Other(Box::new(object.clone())),
        }
    }

    /// The object of the key at which it lies.
    fn at(&self, key: &str) -> Option<ResourceKey> {
        match self {
            Object::Own => keys::parse(key),
            Object::Other(object) => Some((**object).clone()),
            Object::Nothing => None,
        }
    }
}

fn hash(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Delivered {
    /// Takes all that the store holds; gives what of it the consumer does not have yet. With `anew` that is everything.
    pub(super) fn snapshot(&mut self, found: Found, anew: bool) -> Vec<Update> {
        let emptied = Delivered { keys: BTreeMap::new(), aliases: self.aliases.emptied() };
        let before = std::mem::replace(self, emptied);
        let is_all_new = anew || before.keys.is_empty();
        let mut updates = Vec::with_capacity(if is_all_new { found.len() } else { 0 });
        for (key, (revision, bytes)) in found {
            let value = hash(&bytes);
            let known = before.keys.get(&key);
            let had = known.and_then(|known| known.object.at(&key));
            let is_same = !anew && known.is_some_and(|known| (known.revision, known.value) == (revision, value));
            if is_same && had.as_ref().is_none_or(|object| before.is_in_force(object, &key)) {
                self.insert(key, revision, value, had.as_ref());
                continue;
            }
            // What is not in force may come into force by the end of another.
            let update = update(&key, bytes, revision, had.as_ref());
            self.insert(key, revision, value, update.as_ref().map(|update| &update.key));
            updates.extend(update);
        }
        // Where nothing lies elsewhere than at its own name, all of it counts.
        if !self.aliases.is_empty() {
            updates.retain(|update| self.counts(&update.key, &place(update)));
        }
        let gone: BTreeSet<ResourceKey> = before.keys.iter().filter_map(|(key, known)| known.object.at(key)).collect();
        updates.extend(gone.into_iter().filter(|object| self.place_of(object).is_none()).map(deletion));
        updates
    }

    /// Takes one change, and tells it; `true` when an object went that another key holds as well, so that everything must
    /// be read again.
    pub(super) fn change(&mut self, event: Event, revision: Revision, updates: &mut Vec<Update>) -> bool {
        let key = &event.key;
        let had = self.keys.get(key).and_then(|known| known.object.at(key));
        let was_in_force = had.as_ref().is_some_and(|object| self.is_in_force(object, key));
        self.remove(key);
        let mut told = None;
        if let Some(bytes) = event.value {
            let value = hash(&bytes);
            told = update(key, bytes, revision, had.as_ref());
            self.insert(key.clone(), revision, value, told.as_ref().map(|update| &update.key));
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

    fn insert(&mut self, key: String, revision: Revision, value: u64, object: Option<&ResourceKey>) {
        let object = Object::new(object, &key);
        if let Object::Other(object) = &object {
            self.aliases.insert((**object).clone(), key.clone());
        }
        self.keys.insert(key, Known { revision, value, object });
    }

    fn remove(&mut self, key: &String) {
        if let Some(Known { object: Object::Other(object), .. }) = self.keys.remove(key) {
            self.aliases.remove(&object, key);
        }
    }

    /// The key from which an object is taken.
    fn place_of(&self, object: &ResourceKey) -> Option<String> {
        let own = Some(keys::key(object)).filter(|own| {
            let known = self.keys.get(own);
            known.is_some_and(|known| matches!(known.object, Object::Own))
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

/// The key of the store that an update is from.
fn place(update: &Update) -> String {
    keys::key(update.value.as_ref().and_then(Content::at).unwrap_or(&update.key))
}

fn deletion(key: ResourceKey) -> Update {
    Update { key, value: None }
}

/// The object in a value. Where that does not tell the name of a policy, it is the one that it had `before`.
fn update(key: &str, bytes: Vec<u8>, revision: Revision, before: Option<&ResourceKey>) -> Option<Update> {
    let at = keys::parse(key)?;
    let content = Content::stored(at.clone(), bytes, revision);
    Some(Update { key: named(at, &content, before), value: Some(content) })
}

#[cfg(test)]
mod tests;
