//! The embedded store: one SQLite file that several processes share (datastore.md section 7, decision D-13).
//!
//! Every process opens the file by itself; none needs another to be running. A write is one SQLite transaction that
//! bumps the revision, changes the keys and appends to a log; then the writer rings a bell, a small file beside the
//! store, and whoever watches reads the log. The log is trimmed by writers. Keys whose time ran out are deleted by
//! the next writer, or by any watch of a handle that may write.

mod admin;
mod bell;
mod connection;
mod create;
mod fault;
mod log;
mod place;
mod read;
mod schema;
mod sql;
mod turn;
mod watch;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

use crate::kv::{FaultKind, Kv, KvError, Revision, Snapshot, Span, Txn, TxnOutcome, Watch, WatchSink};

pub use admin::CheckReport;
pub use place::{DEFAULT_PATH, refused_file_system};

/// What a handle may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads only. A store that is missing reads as empty, and no file is made.
    Read,
    /// Reads and writes. A store that is missing is made when the handle is opened.
    Write,
}

/// A handle on one embedded store. Clones share one connection; watches have their own.
#[derive(Clone)]
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    access: Access,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Whether the store was ever there, so that its absence is a loss and not a beginning.
    was_open: bool,
}

impl Embedded {
    /// Opens the store that the user named: a file, or a directory that holds `store.db` (D-13).
    ///
    /// # Errors
    /// [`KvError::Fault`], of a kind that says what to do.
    pub fn open(path: &Path, access: Access) -> Result<Self, KvError> {
        let file = place::resolve(path);
        let embedded = Self { inner: Arc::new(Inner { file, access, state: Mutex::default() }) };
        if access == Access::Write {
            create::create_if_missing(&embedded.inner.file)?;
        }
        embedded.inner.with_connection("open it", |_| Ok(()))?;
        Ok(embedded)
    }

    /// Opens for writing a store that was there before. A missing one is not made anew: who enforces what it held would
    /// take that for a store that holds nothing.
    ///
    /// # Errors
    /// As [`Embedded::open`], and [`FaultKind::Missing`].
    pub fn open_known(path: &Path) -> Result<Self, KvError> {
        let file = place::resolve(path);
        match std::fs::metadata(&file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(fault::fault(&file, "open it", FaultKind::Missing))
            }
            _ => Self::open(path, Access::Write),
        }
    }

    /// The database file.
    pub fn file(&self) -> &Path {
        &self.inner.file
    }

    /// What this handle may do.
    pub fn access(&self) -> Access {
        self.inner.access
    }

    /// Deletes the keys whose time ran out; the number of keys deleted. Watches of a handle that may write do this
    /// by themselves.
    ///
    /// # Errors
    /// As [`Kv::txn`].
    pub fn sweep(&self) -> Result<usize, KvError> {
        self.inner.sweep()
    }
}

impl Inner {
    /// Runs `work` on the connection; `None` when there is no store yet.
    fn with_connection<R>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R>,
    ) -> Result<Option<R>, KvError> {
        let mut state = self.lock();
        if let Some(connection) = &state.connection
            && connection::has_moved(connection)
        {
            state.connection = None;
        }
        if state.connection.is_none() {
            state.connection = connection::open_existing(&self.file, self.access)?;
            if state.connection.is_none() && state.was_open {
                return Err(KvError::Removed { store: self.describe() });
            }
        }
        let Some(connection) = state.connection.as_mut() else { return Ok(None) };
        let done = work(connection);
        state.was_open = true;
        done.map(Some).map_err(|error| fault::classify(&self.file, action, error))
    }

    /// As [`Inner::with_connection`] for a change, which needs a store and leave to write.
    fn with_writer<R>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<R>,
    ) -> Result<R, KvError> {
        if self.access == Access::Read {
            return Err(fault::fault(&self.file, action, FaultKind::OpenedForReading));
        }
        self.with_connection(action, work)?.ok_or_else(|| KvError::Removed { store: self.describe() })
    }

    fn sweep(&self) -> Result<usize, KvError> {
        let swept = self.with_writer("delete keys whose time ran out", |c| write::sweep(c, &self.file, now_ms()))?;
        if swept > 0 {
            bell::ring(&self.file);
        }
        Ok(swept)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held cannot leave a half transaction: dropping one rolls it back.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self) -> String {
        self.file.display().to_string()
    }
}

impl Kv for Embedded {
    fn read(&self, spans: &[Span]) -> Result<Snapshot, KvError> {
        let read = self.inner.with_connection("read", |c| read::read(c, spans, now_ms()))?;
        Ok(read.unwrap_or_else(|| Snapshot {
            revision: Revision::ZERO,
            store: None,
            spans: vec![Vec::new(); spans.len()],
        }))
    }

    fn txn(&self, txn: &Txn) -> Result<TxnOutcome, KvError> {
        txn.check_keys()?;
        let (outcome, changed) = self.inner.with_writer("write", |c| write::txn(c, &self.inner.file, txn, now_ms()))?;
        if changed {
            bell::ring(&self.inner.file);
        }
        Ok(outcome)
    }

    fn watch(&self, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError> {
        watch::start(Arc::clone(&self.inner), prefixes, from, sink)
    }

    fn resource_revision(&self) -> Result<Revision, KvError> {
        let read = self.inner.with_connection("read", |c| sql::meta_revision(c, sql::RESOURCE_REVISION))?;
        Ok(read.unwrap_or(Revision::ZERO))
    }

    fn value_at(&self, key: &str, revision: Revision) -> Result<Option<Vec<u8>>, KvError> {
        Ok(self.inner.with_connection("read its log", |c| log::value_at(c, key, revision))?.flatten())
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

/// The wall clock in milliseconds since 1970, the only clock that several processes share.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
