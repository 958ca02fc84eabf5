//! Who asks an agent that has just been started.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};
use tortie_datastore::kv::Watch;
use tortie_datastore::store::{Commit, Deliver, Item, List, ReportSink, Scope, Select, Step};
use tortie_datastore::{Embedded, KvError, Revision, Store, Syncer};
use tortie_testkit::sandbox::in_network_namespace;

use crate::agent::Direct;
use crate::host::Host;
use crate::worlds::base;

/// A store that notes whether the agent could be asked before it followed the store.
struct Noting {
    store: Arc<Embedded>,
    socket: PathBuf,
    is_served_early: AtomicBool,
}

impl Store for Noting {
    fn sync(self: Arc<Self>, scope: Scope, deliver: Deliver) -> io::Result<Syncer> {
        self.is_served_early.store(self.socket.exists(), Ordering::SeqCst);
        self.store.clone().sync(scope, deliver)
    }

    fn place(&self) -> String {
        self.store.place()
    }

    fn select(&self, what: &[Select]) -> Result<Vec<List>, KvError> {
        self.store.select(what)
    }

    fn commit(&self, steps: &[Step]) -> Result<Commit, KvError> {
        self.store.commit(steps)
    }

    fn rehearse(&self, steps: &[Step]) -> Result<Commit, KvError> {
        self.store.rehearse(steps)
    }

    fn is_atomic(&self) -> bool {
        self.store.is_atomic()
    }

    fn is_same(&self, item: &Item, value: &Map<String, Value>) -> bool {
        self.store.is_same(item, value)
    }

    fn present(&self) -> Result<Revision, KvError> {
        self.store.present()
    }

    fn report(&self, node: &str, report: &[u8], ttl: Duration) -> Result<(), KvError> {
        self.store.report(node, report, ttl)
    }

    fn watch_reports(&self, sink: ReportSink) -> Result<Watch, KvError> {
        self.store.watch_reports(sink)
    }

    fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, KvError> {
        self.store.lease(name, holder, ttl)
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), KvError> {
        self.store.release(name, holder)
    }
}

/// What is present is counted by what the agent follows (D-14): before, a Kubernetes server is asked for kinds that nobody
/// needs, and that the agent may have no right to (datastore.md section 4.1).
#[test]
fn nobody_asks_an_agent_for_the_present_before_it_follows_its_store_d14() {
    in_network_namespace(|| {
        let host = Host::new();
        host.store(&base(), &[]);
        let mut config = host.config(false);
        let store = Arc::new(Noting {
            store: host.embedded(),
            socket: config.socket.clone(),
            is_served_early: AtomicBool::new(false),
        });
        config.store = store.clone();
        let _agent = host.agent_with(config, Arc::new(Direct), Arc::new(Direct));
        host.settled();
        assert!(host.lacks(&base()).is_empty());
        assert!(!store.is_served_early.load(Ordering::SeqCst));
    });
}
