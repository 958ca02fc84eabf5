//! What one handle has seen of its store: enough to notice that a backup was restored, or another store put in its place,
//! and which changes of resources it knows.

use std::hash::{DefaultHasher, Hash, Hasher};

use tortie_datastore::kv::{KvError, RESOURCE_PREFIX, Revision};

use crate::proto::{Header, KeyValue};

/// What was seen up to now.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    mark: Mark,
    witness: Option<Witness>,
    resources: Resources,
}

/// How far a store was seen to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// etcd's id of its cluster; `None` before the first answer.
    pub(crate) cluster: Option<u64>,
    /// The newest revision seen.
    pub(crate) revision: u64,
    /// Number of times that the store turned out to be another one or an older one.
    pub(crate) losses: u64,
}

/// The newest change that was seen, to ask for again: a store that went back and on again may have reached the same
/// revision with another history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) key: Vec<u8>,
    pub(crate) revision: u64,
    value: u64,
}

/// What is known of changes below the resource prefix (D-14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    /// The newest change known.
    pub(crate) newest: u64,
    /// There is no newer one up to this revision.
    pub(crate) known_to: u64,
}

impl Witness {
    fn new(kv: &KeyValue) -> Self {
        let mut hasher = DefaultHasher::new();
        kv.value.hash(&mut hasher);
        Self { key: kv.key.clone(), revision: unsigned(kv.mod_revision), value: hasher.finish() }
    }

    /// Whether a key holds what was seen.
    pub(crate) fn is(&self, kv: &KeyValue) -> bool {
        *self == Witness::new(kv)
    }
}

impl Memory {
    /// How far the store was seen to be; taken before a request is sent.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    pub(crate) fn witness(&self) -> Option<Witness> {
        self.witness.clone()
    }

    pub(crate) fn resources(&self) -> Resources {
        self.resources
    }

    /// Takes the head of an answer to a request that was sent at `before`.
    ///
    /// # Errors
    /// [`KvError::Replaced`] and [`KvError::WentBack`]; from then on the store counts as it is now.
    pub(crate) fn note(&mut self, header: Option<Header>, before: Mark, place: &str) -> Result<Revision, KvError> {
        let header = header.unwrap_or_default();
        let (cluster, found) = (header.cluster_id, unsigned(header.revision));
        let store = || place.to_owned();
        let error = if before.losses != self.mark.losses {
            // Somebody else noticed while this answer was on its way; which store it is from cannot be told.
            return Ok(Revision(found));
        } else if before.cluster.is_some_and(|seen| seen != cluster) {
            KvError::Replaced { store: store() }
        } else if found < before.revision {
            KvError::WentBack { store: store(), seen: Revision(before.revision), found: Revision(found) }
        } else {
            self.mark.cluster = Some(cluster);
            self.mark.revision = self.mark.revision.max(found);
            return Ok(Revision(found));
        };
        self.lose(cluster, found);
        Err(error)
    }

    /// Forgets everything: the store has another history than was thought.
    pub(crate) fn lose(&mut self, cluster: u64, revision: u64) {
        let losses = self.mark.losses + 1;
        *self = Memory { mark: Mark { cluster: Some(cluster), revision, losses }, ..Memory::default() };
    }

    /// Takes a key that was read, or was put.
    pub(crate) fn saw(&mut self, kv: &KeyValue) {
        self.witnessed(kv);
        if kv.key.starts_with(RESOURCE_PREFIX.as_bytes()) {
            self.changed(unsigned(kv.mod_revision));
        }
    }

    /// As [`Memory::saw`] for a change that is not delivered yet.
    pub(crate) fn witnessed(&mut self, kv: &KeyValue) {
        if self.witness.as_ref().is_none_or(|witness| witness.revision < unsigned(kv.mod_revision)) {
            self.witness = Some(Witness::new(kv));
        }
    }

    /// A resource was changed at this revision.
    pub(crate) fn changed(&mut self, revision: u64) {
        self.resources.newest = self.resources.newest.max(revision);
    }

    /// All changes of resources up to this revision are known.
    pub(crate) fn knows_to(&mut self, revision: u64) {
        self.resources.known_to = self.resources.known_to.max(revision);
    }
}

/// Revisions of etcd are signed and never negative.
pub(crate) fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

/// The other way: no store gets as far as half of the numbers.
pub(crate) fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(cluster_id: u64, revision: i64) -> Option<Header> {
        Some(Header { cluster_id, revision })
    }

    #[test]
    fn an_older_revision_or_another_cluster_is_told_once() {
        let mut memory = Memory::default();
        let start = memory.mark();
        assert_eq!(memory.note(header(1, 10), start, "x").unwrap(), Revision(10));
        let late = memory.mark();
        // An answer that was overtaken by another one is no sign.
        assert_eq!(memory.note(header(1, 9), start, "x").unwrap(), Revision(9));
        let error = memory.note(header(1, 9), late, "x").unwrap_err();
        assert!(matches!(error, KvError::WentBack { seen: Revision(10), found: Revision(9), .. }), "{error}");
        let now = memory.mark();
        assert_eq!((now.revision, now.losses), (9, 1));
        assert!(memory.note(header(1, 9), now, "x").is_ok());
        assert!(matches!(memory.note(header(2, 99), now, "x"), Err(KvError::Replaced { .. })));
    }

    #[test]
    fn a_witness_knows_its_value() {
        let mut memory = Memory::default();
        let kv = |value: &str, mod_revision| KeyValue {
            key: b"k".to_vec(),
            value: value.into(),
            mod_revision,
            ..KeyValue::default()
        };
        memory.saw(&kv("1", 5));
        memory.saw(&kv("0", 4));
        let witness = memory.witness().unwrap();
        assert!(witness.is(&kv("1", 5)));
        assert!(!witness.is(&kv("2", 5)) && !witness.is(&kv("1", 6)));
    }
}
