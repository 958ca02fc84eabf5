//! A store that could not be opened when the agent started, and is opened as soon as it can be (E-703).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tortie_api::with_causes;
use tortie_datastore::kv::{Revision, Snapshot, Span, Txn, TxnLimits, TxnOutcome, Watch, WatchSink};
use tortie_datastore::{Kv, KvError, Resources, Store};

/// Opens the store once more.
type Open<K> = Box<dyn Fn() -> Result<K, KvError> + Send + Sync>;

/// A store behind a door that may be locked now. Every call tries it until it opens once.
pub(crate) struct Late<K> {
    place: String,
    open: Open<K>,
    store: OnceLock<Arc<K>>,
    /// Held by the one call that opens it.
    opening: Mutex<()>,
}

impl<K: Kv + 'static> Late<K> {
    pub(crate) fn new(place: String, open: Open<K>) -> Self {
        Self { place, open, store: OnceLock::new(), opening: Mutex::default() }
    }

    fn store(&self) -> Result<Arc<K>, KvError> {
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        // Whoever panicked while it had the lock left either a store or none.
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = self.store.get() {
            return Ok(store.clone());
        }
        let opened = Arc::new((self.open)()?);
        Ok(self.store.get_or_init(|| opened).clone())
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

    fn value_at(&self, key: &str, revision: Revision) -> Result<Option<Vec<u8>>, KvError> {
        self.store()?.value_at(key, revision)
    }

    fn describe(&self) -> String {
        self.place.clone()
    }

    fn peers(&self) -> Vec<SocketAddr> {
        // Never waits for a connection that is being made.
        self.store.get().map(|store| Kv::peers(&**store)).unwrap_or_default()
    }

    fn txn_limits(&self) -> TxnLimits {
        self.store().map_or(TxnLimits::NONE, |store| store.txn_limits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store that has nothing but a place in a network.
    struct Placed;

    impl Kv for Placed {
        fn read(&self, spans: &[Span]) -> Result<Snapshot, KvError> {
            Ok(Snapshot { revision: Revision::ZERO, store: None, spans: vec![Vec::new(); spans.len()] })
        }

        fn txn(&self, _: &Txn) -> Result<TxnOutcome, KvError> {
            Ok(TxnOutcome::Committed { revision: Revision::ZERO, previous: Vec::new() })
        }

        fn watch(&self, _: &[&str], _: Revision, _: WatchSink) -> Result<Watch, KvError> {
            Ok(Watch::new(|| {}))
        }

        fn resource_revision(&self) -> Result<Revision, KvError> {
            Ok(Revision::ZERO)
        }

        fn describe(&self) -> String {
            "placed".to_owned()
        }

        fn peers(&self) -> Vec<SocketAddr> {
            vec![([192, 0, 2, 1], 2379).into()]
        }
    }

    /// An agent that saw none for a moment would close the way to its store (E-467).
    #[test]
    fn where_an_opened_store_listens_is_known_however_busy_it_is_e467() {
        let late = Late::new("placed".to_owned(), Box::new(|| Ok(Placed)));
        assert_eq!(Kv::peers(&late), [], "nobody has asked for it yet");
        late.read(&[]).unwrap();
        std::thread::scope(|scope| {
            let users: Vec<_> =
                (0..2).map(|_| scope.spawn(|| (0..50_000).for_each(|_| drop(late.resource_revision())))).collect();
            while users.iter().any(|user| !user.is_finished()) {
                assert_eq!(Kv::peers(&late), Kv::peers(&Placed));
            }
        });
    }
}
