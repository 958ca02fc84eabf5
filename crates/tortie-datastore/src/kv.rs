//! The key-value contract of a store, in the shape of etcd (datastore.md sections 2.6 and 7.1).
//!
//! One revision counts the write transactions of the whole store. Every call blocks; every type may be sent to another
//! thread. Nothing in this module knows resources, except for the one prefix whose newest change D-14 asks for.

mod error;
mod watch;

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

pub use error::{FaultKind, KvError, OwnedField};
pub use watch::{Event, EventBatch, Watch, WatchEvent, WatchReceiver, WatchSink, watch_receiver};

/// The prefix of every resource. Only changes below it count as the store's present resource revision (D-14).
pub const RESOURCE_PREFIX: &str = "/calico/resources/v3/projectcalico.org/";

/// A point in the history of one store. Zero is the store in which nothing was ever written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision before the first write.
    pub const ZERO: Revision = Revision(0);

    /// The one after this.
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads `metadata.resourceVersion`: decimal digits only.
impl FromStr for Revision {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Revision)
    }
}

/// One key with its value and history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key, by bytes.
    pub key: String,
    /// The value, opaque to the store.
    pub value: Vec<u8>,
    /// The revision at which the key came into being.
    pub create_rev: Revision,
    /// The revision of its last change.
    pub mod_rev: Revision,
    /// Number of writes since it came into being, 1 for the first.
    pub version: u64,
}

/// Which keys one part of a read asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Exactly this key.
    Key(String),
    /// Every key that begins with this text.
    Prefix(String),
    /// At most the first key that begins with this text; tells cheaply whether there is any.
    First(String),
}

/// Several spans as they were at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The store's revision at that moment.
    pub revision: Revision,
    /// Which store answered; `None` while there is none, which an embedded store reads as empty.
    pub store: Option<String>,
    /// One list for each span asked for, in that order, each sorted by key.
    pub spans: Vec<Vec<Entry>>,
}

/// A condition of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compare {
    /// The key does not exist.
    Absent(String),
    /// The key exists.
    Present(String),
    /// The key exists and was last changed at this revision.
    Unchanged(String, Revision),
    /// No key with this prefix was put after this revision. Deletions are not looked at.
    NoPutSince(String, Revision),
}

/// A change of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Writes a value whatever was there.
    Put {
        /// The key.
        key: String,
        /// The new value.
        value: Vec<u8>,
        /// After this time the key is deleted, unless written again. It counts anew with every put; a put without it
        /// makes the key stay.
        ttl: Option<Duration>,
    },
    /// Removes a key. A key that does not exist is left alone and moves no revision.
    Delete {
        /// The key.
        key: String,
    },
}

impl Op {
    /// The key that the operation changes.
    pub fn key(&self) -> &str {
        match self {
            Op::Put { key, .. } | Op::Delete { key } => key,
        }
    }
}

/// Changes that happen together, at one revision, if all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Txn {
    /// Every one must hold, judged before the first change.
    pub compares: Vec<Compare>,
    /// The changes; no key twice.
    pub ops: Vec<Op>,
}

impl Txn {
    /// Checks that no key is changed twice.
    ///
    /// # Errors
    /// [`KvError::DuplicateKey`].
    pub fn check_keys(&self) -> Result<(), KvError> {
        let mut keys: Vec<&str> = self.ops.iter().map(Op::key).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(KvError::DuplicateKey { key: pair[0].to_owned() }),
            None => Ok(()),
        }
    }
}

/// What one transaction takes. It takes one operation whatever its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxnLimits {
    /// The number of operations.
    pub ops: usize,
    /// The bytes of their values.
    pub bytes: usize,
}

impl TxnLimits {
    /// Any number of anything.
    pub const NONE: TxnLimits = TxnLimits { ops: usize::MAX, bytes: usize::MAX };

    /// Divides what is written one after the other into transactions, each as full as may be. `ops` and `bytes` tell how
    /// much one item takes; bytes are counted only where they are limited.
    pub fn divide<T>(
        self,
        items: impl IntoIterator<Item = T>,
        ops: impl Fn(&T) -> usize,
        bytes: impl Fn(&T) -> usize,
    ) -> Vec<Vec<T>> {
        let mut groups: Vec<Vec<T>> = Vec::new();
        let mut full = (0, 0);
        for item in items {
            let more = (ops(&item), if self.bytes == usize::MAX { 0 } else { bytes(&item) });
            let has_room = full.0 + more.0 <= self.ops && full.1 + more.1 <= self.bytes;
            match groups.last_mut().filter(|_| has_room || full.0 == 0) {
                Some(group) => group.push(item),
                None => {
                    groups.push(vec![item]);
                    full = (0, 0);
                }
            }
            full = (full.0 + more.0, full.1 + more.1);
        }
        groups
    }
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TxnOutcome {
    /// All changes were made.
    Committed {
        /// The revision of the changes; the store's present one when nothing changed.
        revision: Revision,
        /// For each operation the entry it replaced or removed.
        previous: Vec<Option<Entry>>,
    },
    /// A condition did not hold and nothing was changed.
    Failed {
        /// The position of the first such compare.
        compare: usize,
        /// What its key (for a prefix: the first offending key) holds.
        current: Option<Entry>,
    },
}

/// A store.
///
/// Implementations: [`crate::Embedded`], and `Etcd` of crate `tortie-etcd`. The suite of crate `tortie-storetest` says what
/// each must do.
pub trait Kv: Send + Sync {
    /// Reads several spans from one snapshot: no reader ever sees half of a transaction.
    ///
    /// # Errors
    /// [`KvError::Fault`] and [`KvError::Removed`]. A store across a network tells once, by [`KvError::WentBack`] or
    /// [`KvError::Replaced`], that it is not the one that this handle has seen before; the next read is as good as any.
    fn read(&self, spans: &[Span]) -> Result<Snapshot, KvError>;

    /// Checks the compares and makes the changes, all or nothing. On success they survive loss of power.
    ///
    /// # Errors
    /// [`KvError::DuplicateKey`] when two operations name one key, else as [`Kv::read`]. After
    /// [`KvError::is_indefinite`] errors of a store across a network the changes may or may not have been made.
    fn txn(&self, txn: &Txn) -> Result<TxnOutcome, KvError>;

    /// Delivers every change from revision `from` on of keys with one of `prefixes`, in order, one batch for each
    /// revision. `sink` runs on a thread of the watch. It is called until it answers `Break`, until the watch is
    /// dropped, or until [`WatchEvent::End`], which is the last it hears.
    ///
    /// A revision in the future just waits. A revision that was trimmed ends the watch with [`KvError::Compacted`].
    ///
    /// # Errors
    /// When no thread or notifier can be made; everything later comes through [`WatchEvent::End`].
    fn watch(&self, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError>;

    /// The revision of the newest change, deletes included, below [`RESOURCE_PREFIX`] (D-14), read afresh; zero when
    /// there never was one. Other keys, such as heartbeats and reports, never move it.
    ///
    /// # Errors
    /// As [`Kv::read`].
    fn resource_revision(&self) -> Result<Revision, KvError>;

    /// The value that was written to a key at this revision, where it is still kept; not one that was there before and
    /// stayed.
    ///
    /// # Errors
    /// As [`Kv::read`]; a revision that is not kept, or never was, is none.
    fn value_at(&self, _key: &str, _revision: Revision) -> Result<Option<Vec<u8>>, KvError> {
        Ok(None)
    }

    /// The place of the store as a user would name it, for messages and status; without quotes.
    fn describe(&self) -> String;

    /// Where the store listens, as far as it is reached across a network: the addresses that its clients need (E-467).
    fn peers(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// What one transaction takes.
    fn txn_limits(&self) -> TxnLimits {
        TxnLimits::NONE
    }

    /// Reads one key.
    ///
    /// # Errors
    /// As [`Kv::read`].
    fn get(&self, key: &str) -> Result<Option<Entry>, KvError> {
        let mut snapshot = self.read(&[Span::Key(key.to_owned())])?;
        Ok(snapshot.spans.pop().and_then(|mut entries| entries.pop()))
    }

    /// Reads every key with a prefix, and the revision at which it was so.
    ///
    /// # Errors
    /// As [`Kv::read`].
    fn range(&self, prefix: &str) -> Result<(Vec<Entry>, Revision), KvError> {
        let mut snapshot = self.read(&[Span::Prefix(prefix.to_owned())])?;
        Ok((snapshot.spans.pop().unwrap_or_default(), snapshot.revision))
    }

    /// Writes one key whatever it held: for status keys, never for resources.
    ///
    /// # Errors
    /// As [`Kv::txn`].
    fn put(&self, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<Revision, KvError> {
        let op = Op::Put { key: key.to_owned(), value: value.to_vec(), ttl };
        match self.txn(&Txn { compares: Vec::new(), ops: vec![op] })? {
            TxnOutcome::Committed { revision, .. } => Ok(revision),
            TxnOutcome::Failed { .. } => unreachable!("a transaction without compares cannot fail one"),
        }
    }

    /// Removes one key and gives back what it held.
    ///
    /// # Errors
    /// As [`Kv::txn`].
    fn delete(&self, key: &str) -> Result<Option<Entry>, KvError> {
        let op = Op::Delete { key: key.to_owned() };
        match self.txn(&Txn { compares: Vec::new(), ops: vec![op] })? {
            TxnOutcome::Committed { mut previous, .. } => Ok(previous.pop().flatten()),
            TxnOutcome::Failed { .. } => unreachable!("a transaction without compares cannot fail one"),
        }
    }
}
