//! A store that could not be opened when the agent started, and is opened as soon as it can be (E-703).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tortie_api::with_causes;
use tortie_datastore::kv::{Revision, Snapshot, Span, Txn, TxnLimits, TxnOutcome, Watch, WatchSink};
use tortie_datastore::{Kv, KvError, Resources, Store};

/// Opens the store once more.
type Open<K> = Box<dyn Fn() -> Result<K, KvError> + Send + Sync>;

/// A store behind a door that may be locked now. Every call tries it until it opens once.
pub(crate) struct Late<K> {
    place: String,
    open: Open<K>,
    store: Mutex<Option<Arc<K>>>,
}

impl<K: Kv + 'static> Late<K> {
    pub(crate) fn new(place: String, open: Open<K>) -> Self {
        Self { place, open, store: Mutex::new(None) }
    }

    fn store(&self) -> Result<Arc<K>, KvError> {
        // Whoever panicked while it had the lock left either a store or none.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = &*store {
            return Ok(store.clone());
        }
        let opened = Arc::new((self.open)()?);
        Ok(store.insert(opened).clone())
    }
}

/// Whoever opens a missing store makes and initialises it (D-13).
pub(crate) fn initialise(store: &dyn Store) {
    if let Err(error) = Resources::new(store).ensure_initialised() {
        // A store that can be read is enforced, even when nothing can be written to it now.
        tracing::warn!("cannot initialise the store: {}", with_causes(&error));
    }
}

impl<K: Kv + 'static> Kv for Late<K> {
    fn read(&self, spans: &[Span]) -> Result<Snapshot, KvError> {
        self.store()?.read(spans)
    }

    fn txn(&self, txn: &Txn) -> Result<TxnOutcome, KvError> {
        self.store()?.txn(txn)
    }

    fn watch(&self, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError> {
        self.store()?.watch(prefixes, from, sink)
    }

    fn resource_revision(&self) -> Result<Revision, KvError> {
        self.store()?.resource_revision()
    }

    fn describe(&self) -> String {
        self.place.clone()
    }

    fn peers(&self) -> Vec<SocketAddr> {
        // Never waits for a connection that is being made.
        let store = self.store.try_lock().ok().and_then(|store| store.clone());
        store.map(|store| Kv::peers(&*store)).unwrap_or_default()
    }

    fn txn_limits(&self) -> TxnLimits {
        self.store().map_or(TxnLimits::NONE, |store| store.txn_limits())
    }
}
