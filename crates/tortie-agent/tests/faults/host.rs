//! A host in the namespace of the present thread: a store, and agents with a wire that can be tapped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tortie_agent::{Agent, AgentError, Config};
use tortie_api::ResourceKey;
use tortie_calc::Settings;
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources};
use tortie_nftables::{Kernel, Tap};
use tortie_rules::plan;

use crate::log::Lines;
use crate::support::{self, AgentThread, PATIENCE};
use crate::worlds::{Object, ruleset};

pub(crate) struct Host {
    path: PathBuf,
    store: Arc<Embedded>,
    _folder: Option<TempDir>,
}

/// An agent, and what it logs.
pub(crate) struct Running {
    _thread: AgentThread,
    pub(crate) lines: Lines,
}

impl Host {
    pub(crate) fn new() -> Host {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::at(folder.path());
        Resources::new(&*host.store).ensure_initialised().unwrap();
        Host { _folder: Some(folder), ..host }
    }

    /// The host of another process.
    pub(crate) fn at(path: &Path) -> Host {
        let store = Arc::new(Embedded::open(&path.join("store.db"), Access::Write).unwrap());
        Host { path: path.to_owned(), store, _folder: None }
    }

    pub(crate) fn backup(&self, to: &Path) {
        self.store.backup(to).unwrap();
    }

    pub(crate) fn embedded(&self) -> Arc<Embedded> {
        self.store.clone()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the store hold exactly these objects.
    pub(crate) fn store(&self, objects: &[Object], gone: &[Object]) {
        let apply = objects.iter().map(|object| change(object, Mode::Apply));
        Resources::new(&*self.store).write(&apply.collect::<Vec<_>>()).unwrap();
        for (kind, name, ..) in gone {
            let key = ResourceKey::global(*kind, *name);
            tortie_datastore::Kv::delete(&*self.store, &tortie_datastore::keys::key(&key)).unwrap();
        }
    }

    pub(crate) fn config(&self, is_once: bool) -> Config {
        Config {
            node: "n1".to_owned(),
            store: self.store.clone(),
            socket: self.socket(),
            environment: Default::default(),
            planner: None,
            file: Default::default(),
            state_dir: self.path.join("state"),
            is_once,
            set_log: Box::new(|_| Ok(())),
            fault: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.path.join("agent.sock")
    }

    /// Runs an agent until everything stored is programmed.
    pub(crate) fn once(&self) -> Result<(), AgentError> {
        Agent::prepare(self.config(true))?.run()
    }

    pub(crate) fn agent(&self, kernel: Arc<dyn Tap>, events: Arc<dyn Tap>) -> Running {
        self.agent_with(self.config(false), kernel, events)
    }

    pub(crate) fn agent_with(&self, config: Config, kernel: Arc<dyn Tap>, events: Arc<dyn Tap>) -> Running {
        let mut agent = Agent::prepare(config).unwrap();
        agent.set_taps(kernel, events);
        let lines = Lines::default();
        let there = lines.clone();
        let thread = AgentThread::start(agent.stopper(), move || {
            let _guard = there.listen();
            agent.run().unwrap();
        });
        Running { _thread: thread, lines }
    }

    /// The status once everything stored is dealt with.
    pub(crate) fn settled(&self) -> Value {
        support::settled(&self.socket())
    }

    /// What the kernel lacks of what these objects ask for; empty when it holds exactly that.
    pub(crate) fn lacks(&self, objects: &[Object]) -> String {
        let settings = Settings { node: "n1".to_owned(), ..Settings::default() };
        let actual = Kernel::open().unwrap().read().unwrap().ruleset;
        let left = plan(&ruleset(&settings, objects), actual.as_ref()).unwrap();
        if left.is_empty() { String::new() } else { format!("{left:#?}") }
    }

    /// Waits until the kernel holds exactly what these objects ask for.
    pub(crate) fn wait_for(&self, what: &str, objects: &[Object]) {
        self.wait_until(what, || self.lacks(objects).is_empty());
    }

    /// Waits for what comes by an event that nobody outside can hear of.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what} does not happen");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn change((kind, name, labels, spec): &Object, mode: Mode) -> Change {
    let value: Map<String, Value> =
        json!({"metadata": {"name": name, "labels": labels}, "spec": spec}).as_object().unwrap().clone();
    Change { mode, key: ResourceKey::global(*kind, *name), value, resource_version: None }
}
