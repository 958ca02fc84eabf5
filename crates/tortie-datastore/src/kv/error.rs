//! What can go wrong with a store, and what the reader can do about it.

use std::fmt;

use tortie_api::ResourceKey;

use super::Revision;

/// Why a call to a store failed.
#[derive(Debug, thiserror::Error)]
pub enum KvError {
    /// The history asked for is no longer kept: read everything anew.
    #[error("revision {from} was compacted, history begins after revision {trimmed}")]
    Compacted {
        /// The first revision that was asked for.
        from: Revision,
        /// The newest revision that is no longer kept.
        trimmed: Revision,
    },
    /// The store answered with an older revision than it had before: a restored backup. Read everything anew.
    #[error("store `{store}` went back from revision {seen} to revision {found}: it was restored from a backup")]
    WentBack {
        /// The place of the store.
        store: String,
        /// The newest revision seen before.
        seen: Revision,
        /// The revision it has now.
        found: Revision,
    },
    /// The store's files are gone while in use.
    #[error("store `{store}` was removed while in use: restore it, or make a new one with `tortie datastore init`")]
    Removed {
        /// The place of the store.
        store: String,
    },
    /// Another store lies where the store was. Read everything anew.
    #[error("store `{store}` was replaced by another one while in use")]
    Replaced {
        /// The place of the store.
        store: String,
    },
    /// Two operations of one transaction name one key.
    #[error("key `{key}` occurs twice in one transaction")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The store could not do it, for a reason outside of it.
    #[error("store `{store}`: cannot {action}: {kind}")]
    Fault {
        /// The place of the store.
        store: String,
        /// What was being done.
        action: &'static str,
        /// Why, and what to do about it.
        kind: FaultKind,
        /// The failing call's own words.
        #[source]
        cause: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

/// The reason of a fault; each text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// No space left.
    #[error("the disk is full; nothing was changed; free some space and try again")]
    DiskFull,
    /// The file or its file system cannot be written.
    #[error("it is read-only here; write as root, or on a file system mounted for writing")]
    ReadOnly,
    /// Somebody else held the lock for longer than the busy time-out.
    #[error("another process is writing to it for more than {waited_s} seconds; try again, or look for a hung process")]
    Busy {
        /// How long was waited, in seconds.
        waited_s: u64,
    },
    /// The file is damaged.
    #[error("it is damaged; restore a backup, and take the `-wal` and `-shm` files beside it away")]
    Corrupt,
    /// The file holds nothing any more.
    #[error("it is empty, and held a store before; restore a backup, or remove it to begin with a new store")]
    Emptied,
    /// There is none, and there was one.
    #[error("it is missing, and was there before; restore it, or make a new one with `tortie datastore init`")]
    Missing,
    /// The operating system does not allow it.
    #[error("permission denied; {hint}")]
    PermissionDenied {
        /// What would help, naming the group where that is it.
        hint: String,
    },
    /// The file is something else.
    #[error("this file is not a store of Tortie; name another file")]
    NotAStore,
    /// The file was written by a newer version.
    #[error("it has schema version {found}, this program knows up to {known}; use a newer tortie")]
    NewerSchema {
        /// The version in the file.
        found: u64,
        /// The newest version that this program knows.
        known: u64,
    },
    /// The file was written by an older version and only a writer may change that.
    #[error("it has schema version {found}, this program reads {known}; any command that writes brings it up to date")]
    OlderSchema {
        /// The version in the file.
        found: u64,
        /// The version that this program reads.
        known: u64,
    },
    /// Locks and shared memory do not work there.
    #[error("it lies on {file_system}, where several processes cannot share it safely; use a local disk, or etcd")]
    NetworkFileSystem {
        /// The type of the file system.
        file_system: &'static str,
    },
    /// The folder for a new store does not exist.
    #[error("folder `{folder}` does not exist; make it, or name another place")]
    NoFolder {
        /// The missing folder.
        folder: String,
    },
    /// The thing to be written exists.
    #[error("file `{file}` exists; name a new file")]
    Exists {
        /// The existing file.
        file: String,
    },
    /// It was opened for reading only.
    #[error("it was opened for reading only")]
    OpenedForReading,
    /// The store did not accept the password or the certificate of who asks.
    #[error("it does not accept who asks; {hint}")]
    Unauthenticated {
        /// What would help.
        hint: String,
    },
    /// Whoever answers at the store's address cannot be trusted to be the store.
    #[error("its certificate is not trusted; check its certificate, and the authority that is to have signed it")]
    Untrusted,
    /// More was asked for at once than the store takes.
    #[error("this is too much for one transaction; {limits}; nothing was changed")]
    TooLarge {
        /// What the store takes.
        limits: &'static str,
    },
    /// The store may not grow any further.
    #[error(
        "its space is used up; nothing was changed; compact and defragment it, then disarm its alarm (`etcdctl alarm disarm`)"
    )]
    QuotaExceeded,
    /// The configuration names something that cannot be used.
    #[error("its configuration is of no use; {hint}")]
    BadSettings {
        /// What is wrong, and where.
        hint: String,
    },
    /// The server refused what was to be written, or how it was asked.
    #[error("the server refuses it: {message}; correct what it names, and try again")]
    Refused {
        /// The server's own words.
        message: String,
    },
    /// Fields that were to be applied belong to other field managers.
    #[error("fields of {id} belong to others: {}", .fields.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    FieldsOwned {
        /// The object.
        id: Box<ResourceKey>,
        /// The fields.
        fields: Vec<OwnedField>,
    },
    /// The server has no definition of the kind.
    #[error("the server has no definition of `{resource}`; install it with `tortie datastore init --crds`")]
    NoDefinition {
        /// The plural and the group.
        resource: String,
    },
    /// A store without transactions did a part, and could not take it back.
    #[error("{done} of {all} changes were made and could not be undone; look what is stored, and try again")]
    HalfDone {
        /// The changes that were made.
        done: usize,
        /// Those of the commit.
        all: usize,
    },
    /// The store cannot be reached at the moment.
    #[error("it does not answer; try again later")]
    Unavailable,
    /// Anything else; the cause says more.
    #[error("the operation failed")]
    Other,
}

/// A field that somebody else wrote and looks after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedField {
    /// Its path, such as `spec.order`.
    pub path: String,
    /// The name of its manager.
    pub manager: String,
}

impl fmt::Display for OwnedField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to `{}`", self.path, self.manager)
    }
}

impl KvError {
    /// Whether the history or the identity of the store is not what it was, so that only a full read helps.
    pub fn needs_full_read(&self) -> bool {
        matches!(self, KvError::Compacted { .. } | KvError::WentBack { .. } | KvError::Replaced { .. })
    }

    /// Whether the operating system or the store refused because of who asks.
    pub fn is_unauthorized(&self) -> bool {
        matches!(
            self,
            KvError::Fault { kind: FaultKind::PermissionDenied { .. } | FaultKind::Unauthenticated { .. }, .. }
        )
    }

    /// Whether the changes of a failed transaction may have been made after all.
    pub fn is_indefinite(&self) -> bool {
        matches!(self, KvError::Fault { kind: FaultKind::Unavailable | FaultKind::HalfDone { .. }, .. })
    }

    /// The reason of a fault.
    pub fn fault(&self) -> Option<&FaultKind> {
        match self {
            KvError::Fault { kind, .. } => Some(kind),
            _ => None,
        }
    }
}
