//! What was told of one collection: names and revisions, never the objects.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::ResourceKey;
use tortie_datastore::syncer::{Aliases, Update, named};

use super::Entry;
use crate::source::{Id, Source};

/// What was told of each object of a collection.
pub(super) struct Known {
    source: Source,
    entries: BTreeMap<Id, Seen>,
    aliases: Aliases<Id>,
}

struct Seen {
    /// Empty when it must be told again.
    revision: String,
    uid: String,
    object: Object,
}

/// Which object of ours it is.
enum Object {
    /// The one of its own name.
    Own,
    /// This one.
    Other(ResourceKey),
    /// None.
    Nothing,
}

impl Known {
    pub(super) fn new(source: Source) -> Known {
        Known { source, entries: BTreeMap::new(), aliases: Aliases::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The revision of each object.
    pub(super) fn revisions(&self) -> impl Iterator<Item = (&Id, &str)> {
        self.entries.iter().map(|(id, seen)| (id, seen.revision.as_str()))
    }

    pub(super) fn revision_of(&self, id: &Id) -> Option<&str> {
        self.entries.get(id).map(|seen| seen.revision.as_str())
    }

    fn own_key(&self, id: &Id) -> ResourceKey {
        ResourceKey { kind: self.source.kind(), namespace: id.namespace.clone(), name: id.name.clone() }
    }

    /// The object that lies at a name.
    fn key_of(&self, id: &Id) -> Option<ResourceKey> {
        match &self.entries.get(id)?.object {
            Object::Own => Some(self.own_key(id)),
            Object::Other(key) => Some(key.clone()),
            Object::Nothing => None,
        }
    }

    /// Where an object is taken from when it lies at several names.
    fn place_of(&self, key: &ResourceKey) -> Option<Id> {
        let own = Id { namespace: key.namespace.clone(), name: key.name.clone() };
        let own = Some(own).filter(|own| matches!(self.entries.get(own), Some(Seen { object: Object::Own, .. })));
        self.aliases.in_force(key, own.as_ref()).cloned()
    }

    /// Whether an object is taken from this name; reports the other names where it lies.
    fn counts(&mut self, key: &ResourceKey, id: &Id) -> bool {
        let Some(place) = self.place_of(key) else { return false };
        self.aliases.report(key, &place);
        place == *id
    }

    fn insert(&mut self, id: Id, revision: String, uid: String, key: Option<&ResourceKey>) {
        let object = match key {
            None => Object::Nothing,
            Some(key) if *key == self.own_key(&id) => Object::Own,
            Some(key) => {
                self.aliases.insert(key.clone(), id.clone());
                Object::Other(key.clone())
            }
        };
        self.entries.insert(id, Seen { revision, uid, object });
    }

    fn remove(&mut self, id: &Id) {
        if let Some(Seen { object: Object::Other(key), .. }) = self.entries.remove(id) {
            self.aliases.remove(&key, id);
        }
    }

    fn is_same(&self, entry: &Entry) -> bool {
        let is_same = |seen: &Seen| seen.revision == entry.revision && seen.uid == entry.uid;
        self.entries.get(&entry.id).is_some_and(is_same)
    }

    /// Takes one changed object; `true` when the whole collection must be listed to know what is in force now.
    pub(super) fn put(&mut self, entry: Entry, updates: &mut Vec<Update>) -> bool {
        if self.is_same(&entry) {
            return false;
        }
        let before = self.key_of(&entry.id).filter(|key| self.place_of(key).as_ref() == Some(&entry.id));
        let had = self.key_of(&entry.id);
        let key = entry.object.as_ref().map(|found| named(found.at.clone(), &found.content, had.as_ref()));
        self.remove(&entry.id);
        self.insert(entry.id.clone(), entry.revision, entry.uid, key.as_ref());
        let mut is_to_list = false;
        if let Some(before) = before.filter(|before| Some(before) != key.as_ref()) {
            is_to_list = self.leave(before, updates);
        }
        if let (Some(key), Some(found)) = (key, entry.object)
            && self.counts(&key, &entry.id)
        {
            updates.push(Update { key, value: Some(found.content) });
        }
        is_to_list
    }

    /// Takes the end of an object; as [`Known::put`].
    pub(super) fn gone(&mut self, id: &Id, updates: &mut Vec<Update>) -> bool {
        let before = self.key_of(id).filter(|key| self.place_of(key).as_ref() == Some(id));
        self.remove(id);
        before.is_some_and(|before| self.leave(before, updates))
    }

    /// An object is no longer where it was in force from.
    fn leave(&mut self, key: ResourceKey, updates: &mut Vec<Update>) -> bool {
        let Some(seen) = self.place_of(&key).and_then(|other| self.entries.get_mut(&other)) else {
            updates.push(Update { key, value: None });
            return false;
        };
        // As if it had never been told: the next list tells it.
        seen.revision.clear();
        true
    }

    /// Takes the whole collection; tells what of it is new, changed or gone.
    pub(super) fn list(&mut self, entries: Vec<Entry>) -> Vec<Update> {
        let emptied = Known { aliases: self.aliases.emptied(), ..Known::new(self.source) };
        let before = std::mem::replace(self, emptied);
        let mut found = Vec::new();
        for entry in entries {
            let is_same = before.is_same(&entry);
            let had = before.key_of(&entry.id);
            let key = entry.object.as_ref().map(|found| named(found.at.clone(), &found.content, had.as_ref()));
            self.insert(entry.id.clone(), entry.revision, entry.uid, key.as_ref());
            if let (Some(key), Some(object)) = (key, entry.object) {
                found.push((entry.id, key, object.content, is_same));
            }
        }
        let mut updates = Vec::new();
        for (id, key, content, is_same) in found {
            let was_in_force = is_same && before.place_of(&key).as_ref() == Some(&id);
            if self.counts(&key, &id) && !was_in_force {
                updates.push(Update { key, value: Some(content) });
            }
        }
        let gone: BTreeSet<ResourceKey> = before.entries.keys().filter_map(|id| before.key_of(id)).collect();
        let gone = gone.into_iter().filter(|key| self.place_of(key).is_none());
        updates.extend(gone.map(|key| Update { key, value: None }));
        updates
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tortie_api::Kind;
    use tortie_datastore::syncer::Content;

    use super::super::Found;
    use super::*;

    const POLICIES: Source = Source::Resources(Kind::GlobalNetworkPolicy);

    fn entry(at: &str, revision: &str, name: Result<&str, &str>) -> Entry {
        let value = match name {
            Ok(name) => Ok(json!({"metadata": {"name": name}, "from": at}).as_object().cloned().unwrap()),
            Err(error) => Err(error.to_owned()),
        };
        Entry {
            id: Id { namespace: None, name: at.to_owned() },
            revision: revision.to_owned(),
            uid: format!("uid of {at}"),
            object: Some(Found {
                at: ResourceKey::global(Kind::GlobalNetworkPolicy, at),
                content: Content::shown(value),
            }),
        }
    }

    /// Updates as text: name, and from where it comes.
    fn said(updates: &[Update]) -> Vec<String> {
        let said = |update: &Update| match update.object() {
            None => format!("-{}", update.key.name),
            Some(Ok(value)) => format!("{} from {}", update.key.name, value["from"].as_str().unwrap_or_default()),
            Some(Err(error)) => format!("{}: {error}", update.key.name),
        };
        updates.iter().map(said).collect()
    }

    fn put(known: &mut Known, entry: Entry) -> (Vec<String>, bool) {
        let mut updates = Vec::new();
        let is_to_list = known.put(entry, &mut updates);
        (said(&updates), is_to_list)
    }

    fn gone(known: &mut Known, at: &str) -> (Vec<String>, bool) {
        let mut updates = Vec::new();
        let is_to_list = known.gone(&Id { namespace: None, name: at.to_owned() }, &mut updates);
        (said(&updates), is_to_list)
    }

    #[test]
    fn a_list_tells_what_is_new_changed_or_gone() {
        let mut known = Known::new(POLICIES);
        let first = known.list(vec![entry("a", "1", Ok("a")), entry("b", "2", Ok("b")), entry("c", "3", Ok("c"))]);
        assert_eq!(said(&first), ["a from a", "b from b", "c from c"]);
        let second = known.list(vec![entry("a", "1", Ok("a")), entry("b", "9", Ok("b"))]);
        assert_eq!(said(&second), ["b from b", "-c"]);
        let mut again = entry("a", "1", Ok("a"));
        again.uid = "made anew".to_owned();
        assert_eq!(said(&known.list(vec![again, entry("b", "9", Ok("b"))])), ["a from a"]);
    }

    #[test]
    fn an_event_that_is_known_is_not_told() {
        let mut known = Known::new(POLICIES);
        assert_eq!(put(&mut known, entry("a", "1", Ok("a"))), (vec!["a from a".to_owned()], false));
        assert_eq!(put(&mut known, entry("a", "1", Ok("a"))), (vec![], false));
        assert_eq!(gone(&mut known, "a"), (vec!["-a".to_owned()], false));
        assert_eq!(gone(&mut known, "a"), (vec![], false));
    }

    #[test]
    fn the_place_of_its_own_name_wins_in_any_order() {
        for name in ["web", "abc"] {
            let old = format!("default.{name}");
            let in_force = [format!("{name} from {name}")];
            for is_reversed in [false, true] {
                let mut entries = vec![entry(name, "1", Ok(name)), entry(&old, "2", Ok(name))];
                if is_reversed {
                    entries.reverse();
                }
                assert_eq!(said(&Known::new(POLICIES).list(entries)), in_force);
            }
            let mut known = Known::new(POLICIES);
            assert_eq!(put(&mut known, entry(&old, "1", Ok(name))).0, [format!("{name} from {old}")]);
            assert_eq!(put(&mut known, entry(name, "2", Ok(name))).0, in_force);
            assert_eq!(put(&mut known, entry(&old, "3", Ok(name))), (vec![], false), "the older one is not in force");
            assert_eq!(gone(&mut known, name), (vec![], true), "the older one must be read");
            let listed = known.list(vec![entry(&old, "3", Ok(name))]);
            assert_eq!(said(&listed), [format!("{name} from {old}")]);
            assert_eq!(gone(&mut known, &old).0, [format!("-{name}")]);
        }
    }

    #[test]
    fn a_policy_that_is_renamed_in_place_leaves_its_old_name() {
        let mut known = Known::new(POLICIES);
        put(&mut known, entry("default.a", "1", Ok("a")));
        assert_eq!(put(&mut known, entry("default.a", "2", Ok("b"))).0, ["-a", "b from default.a"]);
    }

    #[test]
    fn an_object_that_became_invalid_keeps_its_name() {
        let mut known = Known::new(POLICIES);
        put(&mut known, entry("x", "1", Ok("a")));
        assert_eq!(put(&mut known, entry("x", "2", Err("broken"))).0, ["a: broken"]);
        assert_eq!(put(&mut known, entry("default.y", "2", Err("broken"))).0, ["y: broken"]);
    }

    #[test]
    fn what_is_no_object_of_ours_is_known_but_not_told() {
        let mut known = Known::new(Source::Pods);
        let pod = |revision: &str| Entry { object: None, ..entry("pod", revision, Ok("")) };
        assert_eq!(put(&mut known, pod("1")), (vec![], false));
        assert_eq!(known.revisions().map(|(_, revision)| revision).collect::<Vec<_>>(), ["1"]);
        assert_eq!(gone(&mut known, "pod"), (vec![], false));
        assert!(known.is_empty());
    }
}
