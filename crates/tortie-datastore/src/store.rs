//! A store of resources as programs see it, whatever lies behind (datastore.md section 1).
//!
//! [`Resources`](crate::Resources) and [`Syncer`] stand on this trait alone. Every [`Kv`] is a store by the keys and values
//! of section 2; a Kubernetes API server is one by itself. Revisions are opaque text here: one number counts the whole of a
//! key-value store, but each kind of an API server has its own.

mod over_kv;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey};

use crate::keys;
use crate::kv::{Kv, KvError, Revision, TxnLimits, Watch};
use crate::resources::Mode;
use crate::syncer::{SyncEvent, Syncer};

pub use over_kv::REPORT_PREFIX;

/// Which objects a read asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one at this key, if there is one.
    Object(ResourceKey),
    /// All of a kind, of one namespace if given.
    Kind(Kind, Option<String>),
}

/// What one [`Select`] found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// The objects, sorted by key.
    pub items: Vec<Item>,
    /// The store's revision of the list.
    pub revision: String,
}

/// One stored object.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key it lies at, which may name it otherwise than the value does (section 2.4).
    pub at: ResourceKey,
    /// The revision of its last change.
    pub revision: String,
    /// The object as users see it, or a sentence on why what is stored is none.
    pub value: Result<Map<String, Value>, String>,
    /// What lies in the store.
    pub raw: Raw,
}

/// An object in the form of its store.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// The bytes of a key-value store.
    Bytes(Vec<u8>),
    /// The object of an API server.
    Json(Value),
}

/// One change of a commit. Each has a condition: what was read must not have changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Writes an object that does not exist.
    Create {
        /// Where it is to lie.
        key: ResourceKey,
        /// The object as users see it.
        value: Map<String, Value>,
    },
    /// Writes over an object, wherever it lies.
    Update {
        /// What was read.
        before: Item,
        /// The object as users see it.
        value: Map<String, Value>,
    },
    /// Removes an object.
    Delete {
        /// What was read.
        before: Item,
    },
    /// Merges what one manager wants of an object into it, or makes it: only where the store [knows](Store::merges) who
    /// manages which field. What others changed meanwhile is no hindrance, unless the revision is pinned.
    Merge {
        /// Where it lies, or is to lie.
        key: ResourceKey,
        /// What was read.
        before: Option<Item>,
        /// The fields, as their manager wrote them, without defaults.
        value: Map<String, Value>,
        /// Who wants them.
        manager: FieldManager,
        /// Whether what was read must not have changed.
        is_pinned: bool,
    },
}

/// Somebody who manages fields of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldManager {
    /// The name by which others see who it is.
    pub name: String,
    /// Whether fields that others manage are taken over.
    pub is_forced: bool,
}

impl Step {
    /// The bytes of the value that is written, as a key-value store keeps it.
    pub fn len(&self) -> usize {
        match self {
            Step::Create { value, .. } | Step::Update { value, .. } | Step::Merge { value, .. } => {
                keys::to_bytes(self.at().kind, value).len()
            }
            Step::Delete { .. } => 0,
        }
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        matches!(self, Step::Delete { .. })
    }

    /// The key that changes.
    pub fn at(&self) -> &ResourceKey {
        match self {
            Step::Create { key, .. } | Step::Merge { key, .. } => key,
            Step::Update { before, .. } | Step::Delete { before } => &before.at,
        }
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Everything was done; the revision of each step.
    Done(Vec<String>),
    /// The condition of this step did not hold, and nothing is changed.
    Refused {
        /// Its position.
        step: usize,
    },
}

/// What a syncer is to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The kinds that the consumer needs at first ([`Syncer::widen`]). A store that reads all of them at no more cost may
    /// deliver others too.
    pub kinds: Vec<Kind>,
    /// Of nodes only this one.
    pub node: Option<String>,
    /// Whether the consumer has what this store held before. An empty one has lost it then, and is told as lost: taken at
    /// its word it would open hosts.
    pub is_known: bool,
}

/// The newest revision of each kind that a consumer has; empty where one revision counts the whole store.
pub type KindRevisions = BTreeMap<Kind, String>;

/// Where a syncer delivers. It must not block for long.
pub type Deliver = Box<dyn FnMut(SyncEvent) + Send>;

/// One agent's report, or that there is none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    /// The node.
    pub node: String,
    /// The report's bytes; `None` when its time ran out.
    pub report: Option<Vec<u8>>,
}

/// Where reports are delivered: those that are there, then each change. The error that ended it comes last.
pub type ReportSink = Box<dyn FnMut(Result<Reported, KvError>) -> ControlFlow<()> + Send>;

/// A store of resources. Every call blocks, and must not be made from asynchronous code.
///
/// Implementations: every [`Kv`], and the Kubernetes store.
pub trait Store: Send + Sync {
    /// The place of the store as a user would name it; without quotes.
    fn place(&self) -> String;

    /// Where the store listens, as far as it is reached across a network: the addresses that its clients need, sorted
    /// (E-467). May change while it is used.
    fn peers(&self) -> Vec<SocketAddr> {
        Vec::new()
    }

    /// Sentences about the store for whoever looks after it, from what is known already: never waits.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// What is wrong with the store as a whole, in sentences for whoever changes it; asks the store.
    ///
    /// # Errors
    /// As [`Store::select`].
    fn warnings(&self) -> Result<Vec<String>, KvError> {
        Ok(Vec::new())
    }

    /// Reads several selections, one list for each; from one moment where [`Store::is_atomic`]. A kind that the store does not
    /// have is empty.
    ///
    /// # Errors
    /// [`KvError::Fault`] and others that say what to do.
    fn select(&self, what: &[Select]) -> Result<Vec<List>, KvError>;

    /// Makes all changes or none. Where the store has no transactions they come one after the other, checked before the
    /// first and undone when a later one fails. No key may occur twice.
    ///
    /// # Errors
    /// As [`Store::select`]. After [`KvError::is_indefinite`] errors the changes may or may not have been made.
    fn commit(&self, steps: &[Step]) -> Result<Commit, KvError>;

    /// Does everything that [`Store::commit`] does, but for the writing: conditions, rights, and what the server refuses.
    /// An object that would stay as it is has the revision that it has.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn rehearse(&self, steps: &[Step]) -> Result<Commit, KvError>;

    /// Whether the store keeps who manages which field of such an object, so that [`Step::Merge`] can be done.
    ///
    /// # Errors
    /// Why not.
    fn merges(&self, _key: &ResourceKey) -> Result<(), &'static str> {
        Err("only a Kubernetes API server knows who manages which field")
    }

    /// The object as it was written at this revision, where the store still has it.
    ///
    /// # Errors
    /// As [`Store::select`].
    fn written_at(&self, _key: &ResourceKey, _revision: &str) -> Result<Option<Item>, KvError> {
        Ok(None)
    }

    /// Whether a commit is one transaction, and a read one moment.
    fn is_atomic(&self) -> bool;

    /// What one commit takes.
    fn commit_limits(&self) -> TxnLimits {
        TxnLimits::NONE
    }

    /// Whether writing `value` over an object would change nothing that the store keeps.
    fn is_same(&self, item: &Item, value: &Map<String, Value>) -> bool;

    /// Why this store never does this to such an object; the rules of every store are checked before.
    fn refuses(&self, _mode: Mode, _key: &ResourceKey) -> Option<&'static str> {
        None
    }

    /// The word that this store adds to the cluster's types (section 2.8).
    fn cluster_type(&self) -> Option<&'static str> {
        None
    }

    /// Delivers all objects, then every change, for ever (section 5). Dropping the syncer ends it.
    ///
    /// # Errors
    /// When no thread can be made; trouble with the store is delivered.
    fn sync(self: Arc<Self>, scope: Scope, deliver: Deliver) -> io::Result<Syncer>;

    /// The revision, as [`SyncEvent`] counts it, with which a consumer of this handle's [`Store::sync`] has everything that is
    /// stored at this moment, read afresh (D-14). May wait until the syncer has it.
    ///
    /// # Errors
    /// As [`Store::select`].
    fn present(&self) -> Result<Revision, KvError>;

    /// The keys below the resources, where the store has such: status keys of section 2.7 go there.
    fn keys(&self) -> Option<&dyn Kv> {
        None
    }

    /// Writes an agent's report, which vanishes unless it is renewed within `ttl` (D-14).
    ///
    /// # Errors
    /// As [`Store::commit`]; agents must do without where it is not allowed (section 2.9).
    fn report(&self, node: &str, report: &[u8], ttl: Duration) -> Result<(), KvError>;

    /// Delivers all reports, then each change, on a thread of the watch.
    ///
    /// # Errors
    /// When no watch can be made.
    fn watch_reports(&self, sink: ReportSink) -> Result<Watch, KvError>;

    /// Takes the lease `name` for `holder`, or renews it; whether `holder` has it now. It is free again after `ttl`.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, KvError>;

    /// Gives the lease back, if `holder` has it.
    ///
    /// # Errors
    /// As [`Store::commit`].
    fn release(&self, name: &str, holder: &str) -> Result<(), KvError>;
}
