//! The store of etcd, by version 3 of its API: [`Etcd`] is a [`Kv`] like the embedded store (datastore.md section 2).
//!
//! A small runtime of its own drives the connection; every call blocks, as [`Kv`] says, and must not be made from inside
//! of asynchronous code. One member is talked to at a time, and another one when that is gone.
//!
//! No request is wider than the keys or prefixes that the caller names, so that the narrow roles of existing installations
//! suffice (section 2.9). Nothing here compacts a store, manages its members, or knows resources beyond their prefix.
#![forbid(unsafe_code)]

mod address;
mod fault;
mod link;
mod memory;
mod newest;
mod peers;
mod proto;
mod range;
mod read;
mod rpc;
mod settings;
mod txn;
mod watch;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Handle, Runtime};
use tortie_datastore::kv::{
    FaultKind, Kv, KvError, Revision, Snapshot, Span, Txn, TxnLimits, TxnOutcome, Watch, WatchSink,
};

use self::link::Link;
use self::memory::{Mark, Memory};
use self::proto::Header;
pub use self::settings::{Settings, Source, Tls};

/// Operations in one transaction: one less than etcd takes (`--max-txn-ops`), for a rehearsal has a condition more.
const OPS_MAX: usize = 127;

/// A handle on the etcd that settings name. Clones share one connection, and what was seen of the store.
#[derive(Clone)]
pub struct Etcd {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    link: Link,
    memory: Mutex<Memory>,
    /// Present until the handle is dropped.
    runtime: Option<Runtime>,
}

impl Etcd {
    /// Connects to the first member that answers.
    ///
    /// # Errors
    /// [`KvError::Fault`], of a kind that says what to do, within the time-outs.
    pub fn connect(settings: &Settings) -> Result<Etcd, KvError> {
        let link = Link::new(settings.clone());
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("etcd").enable_all().build();
        let runtime =
            runtime.map_err(|error| link.faults.fault("connect to it", FaultKind::Other, error.to_string()))?;
        let inner = Inner { link, memory: Mutex::default(), runtime: Some(runtime) };
        inner.handle().block_on(inner.link.connection("connect to it"))?;
        Ok(Etcd { inner: Arc::new(inner) })
    }
}

impl Inner {
    fn handle(&self) -> Handle {
        self.runtime.as_ref().expect("it is taken when the handle is dropped, not before").handle().clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change of it is one assignment.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, header: Option<Header>, before: Mark) -> Result<Revision, KvError> {
        self.memory().note(header, before, &self.link.faults.place)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last handle may go anywhere; waiting for the runtime would panic inside of another one.
            runtime.shutdown_background();
        }
    }
}

impl Kv for Etcd {
    /// As [`Kv::read`]. When the store is older than this handle has seen it, or another one, that is told once.
    fn read(&self, spans: &[Span]) -> Result<Snapshot, KvError> {
        self.inner.handle().block_on(read::read(&self.inner, spans))
    }

    fn txn(&self, txn: &Txn) -> Result<TxnOutcome, KvError> {
        self.inner.handle().block_on(txn::txn(&self.inner, txn))
    }

    fn watch(&self, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError> {
        watch::start(Arc::clone(&self.inner), prefixes, from, sink)
    }

    fn resource_revision(&self) -> Result<Revision, KvError> {
        self.inner.handle().block_on(newest::resource_revision(&self.inner))
    }

    fn value_at(&self, key: &str, revision: Revision) -> Result<Option<Vec<u8>>, KvError> {
        self.inner.handle().block_on(read::value_at(&self.inner, key, revision))
    }

    fn describe(&self) -> String {
        self.inner.link.faults.place.clone()
    }

    /// The members' addresses, as their names were resolved for the last connection. One whose name was not keeps those that
    /// it had before.
    fn peers(&self) -> Vec<SocketAddr> {
        self.inner.link.peers()
    }

    /// Below what etcd takes unless its operator said otherwise: 1.5 MiB with conditions and keys.
    fn txn_limits(&self) -> TxnLimits {
        TxnLimits { ops: OPS_MAX, bytes: 1 << 20 }
    }
}
