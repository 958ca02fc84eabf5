//! An embedded store, and controllers that run on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tortie_api::{Kind, ResourceKey};
use tortie_controller::hostendpoints::Environment;
use tortie_controller::{Config, Controller, ControllerError, LEASE, Timing, holder};
use tortie_datastore::kv::{FaultKind, Kv, KvError, RESOURCE_PREFIX, Revision, Snapshot, Span};
use tortie_datastore::kv::{Txn, TxnOutcome, Watch, WatchSink, watch_receiver};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources, Store};

/// Everything below happens sooner; only a broken build waits this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Full passes are far away, so that what happens is done because of an event.
const TIMING: Timing = Timing {
    full_pass: Duration::from_secs(3600),
    lease: Duration::from_millis(1500),
    retry: Duration::from_millis(20),
};

pub(crate) struct Rig {
    folder: TempDir,
    pub(crate) store: Arc<Embedded>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the store");
        let store = open(&folder);
        Resources::new(&*store).ensure_initialised().expect("the store can be initialised");
        Self { folder, store }
    }

    /// A store with settings; `autoCreate` is Enabled.
    pub(crate) fn enabled() -> Self {
        let rig = Self::new();
        rig.settings(json!({"autoCreate": "Enabled"}));
        rig
    }

    /// Another handle of the same store.
    pub(crate) fn handle(&self) -> Arc<Embedded> {
        open(&self.folder)
    }

    pub(crate) fn write(&self, mode: Mode, kind: Kind, name: &str, value: Value) {
        let key = ResourceKey::global(kind, name);
        let value = value.as_object().cloned().unwrap_or_default();
        let change = Change { mode, key, value, resource_version: None };
        Resources::new(&*self.store).write(&[change]).expect("a test may write");
    }

    pub(crate) fn settings(&self, host_endpoint: Value) {
        let spec = json!({"controllers": {"node": {"hostEndpoint": host_endpoint}}});
        let value = json!({"metadata": {"name": "default"}, "spec": spec, "status": {}});
        self.write(Mode::Apply, Kind::KubeControllersConfiguration, "default", value);
    }

    pub(crate) fn node(&self, name: &str, labels: Value, address: &str) {
        let spec = json!({"bgp": {"ipv4Address": address}});
        let value = json!({"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {}});
        self.write(Mode::Apply, Kind::Node, name, value);
    }

    pub(crate) fn delete(&self, kind: Kind, name: &str) {
        self.write(Mode::Delete, kind, name, Value::Null);
    }

    pub(crate) fn get(&self, kind: Kind, name: &str) -> Option<Map<String, Value>> {
        let found = Resources::new(&*self.store).get(&ResourceKey::global(kind, name));
        found.ok().map(|object| object.value)
    }

    pub(crate) fn endpoint(&self, name: &str) -> Option<Map<String, Value>> {
        self.get(Kind::HostEndpoint, name)
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        let (found, _) = Resources::new(&*self.store).list(Kind::HostEndpoint, None).expect("a test may read");
        found.into_iter().map(|object| object.key.name).collect()
    }

    /// Asks again after each change of the store until there is an answer.
    pub(crate) fn until<T>(&self, what: &str, mut ask: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let seen = self.store.resource_revision().expect("a test may read");
        let watch =
            watch_receiver(&*self.store, &[RESOURCE_PREFIX, "/tortie/"], seen.next()).expect("a test may watch");
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "in vain: {what}; endpoints: {:?}", self.endpoints());
            watch.next(left);
        }
    }

    pub(crate) fn until_endpoints(&self, names: &[&str]) {
        self.until(&format!("the endpoints are {names:?}"), |rig| (rig.endpoints() == names).then_some(()));
    }

    /// Waits until whoever acts has seen everything up to now: a node that was added last has its endpoint, and goes again.
    pub(crate) fn barrier(&self) {
        self.node("zz-barrier", json!({}), "192.0.2.99");
        self.until("the barrier has come", |rig| rig.endpoint("zz-barrier-auto-hep"));
        self.delete(Kind::Node, "zz-barrier");
        self.until("the barrier is gone", |rig| rig.endpoint("zz-barrier-auto-hep").is_none().then_some(()));
    }

    pub(crate) fn config(&self, store: Arc<dyn Store>) -> Config {
        Config {
            store,
            environment: Environment::default(),
            is_standalone: false,
            cluster: None,
            is_once: false,
            holder: holder("test"),
            timing: TIMING,
        }
    }

    pub(crate) fn start(&self) -> Running {
        Running::start(self.config(self.handle()))
    }

    /// Runs a controller until nothing is left to do.
    pub(crate) fn once(&self, is_standalone: bool) -> Result<(), ControllerError> {
        Controller::new(Config { is_standalone, is_once: true, ..self.config(self.handle()) }).run()
    }

    /// Who has the lease.
    pub(crate) fn leader(&self) -> Option<String> {
        let entry = Kv::get(&*self.store, &format!("/tortie/v1/leases/{LEASE}")).expect("a test may read");
        entry.map(|entry| String::from_utf8(entry.value).expect("a holder is text"))
    }
}

fn open(folder: &TempDir) -> Arc<Embedded> {
    Arc::new(Embedded::open(&folder.path().join("store.db"), Access::Write).expect("the store can be opened"))
}

/// A controller on a thread; dropping it stops it and gives the lease back.
pub(crate) struct Running {
    pub(crate) holder: String,
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<Result<(), ControllerError>>>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let holder = config.holder.clone();
        let controller = Controller::new(config);
        let stop = Box::new(controller.stopper());
        Self { holder, stop, thread: Some(std::thread::spawn(move || controller.run())) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        (self.stop)();
        let result = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(result, Some(Ok(Ok(())))), "a controller ends when it is stopped, and not by itself");
        }
    }
}

/// A store that does not let through everything.
pub(crate) struct Gate {
    inner: Arc<Embedded>,
    /// Nothing gets through, as for a host that has died.
    pub(crate) is_cut: AtomicBool,
    /// Nothing below `/tortie/` is written (datastore.md section 2.9).
    pub(crate) has_no_keys: bool,
    /// While this is set, no transaction gets through that writes a key with this end.
    pub(crate) refused: Mutex<Option<&'static str>>,
    /// Resources that were written through it.
    pub(crate) written: AtomicUsize,
    /// While this is set, the store is locked behind the first resources that are written, and its one follower knows that
    /// before these are done.
    pub(crate) is_locking: AtomicBool,
    /// Watches that were begun; a syncer begins one when it has told what it read.
    watches: AtomicUsize,
}

impl Gate {
    pub(crate) fn new(inner: Arc<Embedded>, has_no_keys: bool) -> Self {
        Self {
            inner,
            is_cut: AtomicBool::new(false),
            has_no_keys,
            refused: Mutex::new(None),
            written: AtomicUsize::new(0),
            is_locking: AtomicBool::new(false),
            watches: AtomicUsize::new(0),
        }
    }

    fn check(&self) -> Result<(), KvError> {
        if self.is_cut.load(Ordering::SeqCst) { Err(self.fault(FaultKind::Unavailable)) } else { Ok(()) }
    }

    fn lock(&self) {
        // What was told before its first watch made somebody write.
        self.until_watches(1);
        Resources::new(&*self.inner).set_ready(false).expect("a test may lock");
        self.until_watches(2);
    }

    fn until_watches(&self, least: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.watches.load(Ordering::SeqCst) < least {
            assert!(Instant::now() < deadline, "nobody follows the store");
            std::thread::yield_now();
        }
    }

    fn fault(&self, kind: FaultKind) -> KvError {
        KvError::Fault { store: self.describe(), action: "ask it", kind, cause: None }
    }
}

impl Kv for Gate {
    fn read(&self, spans: &[Span]) -> Result<Snapshot, KvError> {
        self.check().and_then(|()| self.inner.read(spans))
    }

    fn txn(&self, txn: &Txn) -> Result<TxnOutcome, KvError> {
        self.check()?;
        if self.has_no_keys && txn.ops.iter().any(|op| op.key().starts_with("/tortie/")) {
            return Err(self.fault(FaultKind::PermissionDenied { hint: "ask for the right".to_owned() }));
        }
        let refused = *self.refused.lock().expect("no test panics while it has the lock");
        if refused.is_some_and(|end| txn.ops.iter().any(|op| op.key().ends_with(end))) {
            return Err(self.fault(FaultKind::Other));
        }
        let written = txn.ops.iter().filter(|op| op.key().starts_with(RESOURCE_PREFIX)).count();
        self.written.fetch_add(written, Ordering::SeqCst);
        let outcome = self.inner.txn(txn);
        if written > 0 && self.is_locking.swap(false, Ordering::SeqCst) {
            self.lock();
        }
        outcome
    }

    fn watch(&self, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError> {
        self.check()?;
        let watch = self.inner.watch(prefixes, from, sink);
        self.watches.fetch_add(1, Ordering::SeqCst);
        watch
    }

    fn resource_revision(&self) -> Result<Revision, KvError> {
        self.check().and_then(|()| self.inner.resource_revision())
    }

    fn describe(&self) -> String {
        "gate".to_owned()
    }
}
