//! The store: every call of the trait, and the runtime that its requests run on.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tortie_api::crd::Definition;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::kv::{FaultKind, Watch};
use tortie_datastore::resources::Mode;
use tortie_datastore::store::{Commit, Deliver, Item, List, Raw, ReportSink, Scope, Select, Step, Store};
use tortie_datastore::{KvError, Revision, Syncer, syncer};

use crate::body::{body, is_same};
use crate::group::{Chosen, Group};
use crate::install::{self, Installed};
use crate::lease::{self, Observed};
use crate::refuse::refuses;
use crate::report::{self, Reports};
use crate::server::Server;
use crate::settings::Settings;
use crate::sync::{self, Running, Threads};
use crate::{beside, commit, merge, read};

/// The store of a Kubernetes API server.
pub struct Kubernetes {
    server: Arc<Server>,
    runtime: Runtime,
    observed: Observed,
    /// How the syncer that was started last is asked.
    running: Mutex<Option<Running>>,
}

impl Kubernetes {
    /// Makes ready to speak to the server of the settings, and asks it nothing yet.
    ///
    /// # Errors
    /// [`FaultKind::BadSettings`] when the settings lead to no server, or their files cannot be read.
    pub fn open(settings: &Settings) -> Result<Self, KvError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kubernetes")
            .enable_all()
            .build()
            .map_err(|error| KvError::Fault {
                store: "kubernetes".to_owned(),
                action: "prepare the connection",
                kind: FaultKind::Other,
                cause: Some(Box::new(error)),
            })?;
        let server = Arc::new(runtime.block_on(Server::new(settings.clone()))?);
        Ok(Self { server, runtime, observed: Observed::default(), running: Mutex::new(None) })
    }

    /// The API group in use, and why (section 3.1).
    ///
    /// # Errors
    /// As [`Store::select`], when it is not known yet.
    pub fn group(&self) -> Result<Chosen, KvError> {
        let chosen = self.runtime.block_on(self.server.chosen());
        chosen.map_err(|failure| self.server.told(failure, "ask for the API groups", "get", "/apis".to_owned()))
    }

    /// Creates those definitions and admission policies that the server lacks, leaves those that are there as they are, and
    /// waits, no longer than `within`, until all of them are in use.
    ///
    /// # Errors
    /// As [`Store::commit`]. What was created until then stays.
    pub fn install(&self, definitions: &[Definition], within: Duration) -> Result<Vec<Installed>, KvError> {
        self.runtime.block_on(install::install(&self.server, definitions, within))
    }
}

/// A running syncer. The threads go first: they need the runtime of the store.
struct Reading {
    threads: Threads,
    _store: Arc<Kubernetes>,
}

impl syncer::Running for Reading {
    fn widen(&mut self, kinds: &[Kind]) {
        self.threads.widen(kinds);
    }
}

impl Store for Kubernetes {
    fn place(&self) -> String {
        self.server.place.clone()
    }

    fn peers(&self) -> Vec<SocketAddr> {
        self.server.peers()
    }

    fn remarks(&self) -> Vec<String> {
        self.server.remarks()
    }

    fn warnings(&self) -> Result<Vec<String>, KvError> {
        let found = self.runtime.block_on(beside::look(&self.server));
        let found =
            found.map_err(|failure| self.server.told(failure, "look at its API groups", "get", "/apis".into()))?;
        Ok(found.into_iter().collect())
    }

    fn select(&self, what: &[Select]) -> Result<Vec<List>, KvError> {
        self.runtime.block_on(read::select(&self.server, what))
    }

    fn commit(&self, steps: &[Step]) -> Result<Commit, KvError> {
        self.runtime.block_on(commit::commit(&self.server, steps))
    }

    fn rehearse(&self, steps: &[Step]) -> Result<Commit, KvError> {
        self.runtime.block_on(commit::rehearse(&self.server, steps))
    }

    fn merges(&self, key: &ResourceKey) -> Result<(), &'static str> {
        merge::refuses(key)
    }

    fn is_atomic(&self) -> bool {
        false
    }

    fn is_same(&self, item: &Item, value: &Map<String, Value>) -> bool {
        let Raw::Json(stored) = &item.raw else { return false };
        // What was read tells its group, whatever is in use by now.
        let is_classic = stored["apiVersion"] == Group::Classic.to_string();
        let group = if is_classic { Group::Classic } else { Group::Native };
        is_same(item.at.kind, stored, &body(group, &item.at, value, Some(stored)))
    }

    fn refuses(&self, mode: Mode, key: &ResourceKey) -> Option<&'static str> {
        refuses(mode, key)
    }

    fn cluster_type(&self) -> Option<&'static str> {
        Some("kdd")
    }

    fn sync(self: Arc<Self>, scope: Scope, deliver: Deliver) -> io::Result<Syncer> {
        let (running, threads) = sync::start(&self.server, self.runtime.handle(), &scope, deliver)?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        Ok(Syncer::new(Reading { threads, _store: self }))
    }

    fn present(&self) -> Result<Revision, KvError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.runtime.block_on(sync::present(&self.server, running))
    }

    fn report(&self, node: &str, report: &[u8], ttl: Duration) -> Result<(), KvError> {
        self.runtime.block_on(report::write(&self.server, node, report, ttl))
    }

    fn watch_reports(&self, sink: ReportSink) -> Result<Watch, KvError> {
        let mut reports = Reports::new(self.server.clone(), sink);
        let Some(revision) = self.runtime.block_on(reports.list())? else { return Ok(Watch::new(|| {})) };
        let (stop, stopped) = oneshot::channel();
        let runtime = self.runtime.handle().clone();
        let run = move || runtime.block_on(reports.follow(revision, stopped));
        let thread = std::thread::Builder::new().name("reports".to_owned()).spawn(run);
        let thread = thread.map_err(|error| KvError::Fault {
            store: self.place(),
            action: "watch the reports",
            kind: FaultKind::Other,
            cause: Some(Box::new(error)),
        })?;
        Ok(Watch::new(move || {
            drop(stop);
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }))
    }

    fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, KvError> {
        self.runtime.block_on(lease::take(&self.server, &self.observed, name, holder, ttl))
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), KvError> {
        self.runtime.block_on(lease::give_back(&self.server, name, holder))
    }
}
