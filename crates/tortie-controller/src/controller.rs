//! The loop: it watches a store, and carries out what the plan asks for (E-812).
//!
//! It is level-triggered. What is to be done follows from what the store holds, not from how it came about: a lost event, a
//! failed write and a foreign edit are all mended by the same comparison. Each write names the revision that was looked at.

mod election;
mod world;
mod writer;

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tortie_api::{Kind, ResourceKey, with_causes};
use tortie_datastore::kv::{KvError, Watch};
use tortie_datastore::resources::Mode;
use tortie_datastore::store::{Reported, Scope};
use tortie_datastore::syncer::SyncEvent;
use tortie_datastore::{Store, Syncer};
use uuid::Uuid;

use self::election::Election;
use self::world::World;
use self::writer::Writer;
use crate::hostendpoints::{Environment, Names};

/// The lease of the controller that acts, where several run.
pub const LEASE: &str = "controller";

/// Kinds that the controller reads; the flag that locks a store is in the first.
const KINDS: [Kind; 4] = [Kind::ClusterInformation, Kind::Node, Kind::HostEndpoint, Kind::KubeControllersConfiguration];

/// What a controller is started with.
pub struct Config {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What the environment says.
    pub environment: Environment,
    /// Whether hosts whose agents report get nodes (E-815).
    pub is_standalone: bool,
    /// A cluster whose nodes' labels are synced to the nodes of the store (E-813), where these lie in separate ones. Only
    /// its nodes are read.
    pub cluster: Option<Arc<dyn Store>>,
    /// Whether it ends as soon as nothing is left to do; it does not wait for another controller then.
    pub is_once: bool,
    /// Who this is among several controllers: [`holder`].
    pub holder: String,
    /// How long things take.
    pub timing: Timing,
}

/// How long things take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How often everything is looked at again (E-812).
    pub full_pass: Duration,
    /// How long the lease of a controller that died lasts. It is renewed three times as often.
    pub lease: Duration,
    /// The first pause after a write that failed; it doubles up to a minute.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { full_pass: Duration::from_secs(300), lease: Duration::from_secs(15), retry: Duration::from_millis(250) }
    }
}

/// A name for a controller on `host` that no other has, nor will have.
pub fn holder(host: &str) -> String {
    format!("{host}_{}", Uuid::new_v4())
}

/// Why a controller ended.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// A thread could not be started.
    #[error("cannot watch the store")]
    Start(#[source] io::Error),
    /// This store makes no nodes, and labels of its nodes are not the controller's.
    #[error("store `{store}` takes no nodes from a controller: {reason}")]
    NoNodes {
        /// The place of the store.
        store: String,
        /// Why.
        reason: &'static str,
    },
    /// With `is_once`: the store could not be read, or not everything could be done.
    #[error("{}", .0.join("; "))]
    Incomplete(Vec<String>),
}

/// Everything that can wake the controller.
enum Event {
    Sync(SyncEvent),
    Cluster(SyncEvent),
    Report(Result<Reported, KvError>),
    Stop,
}

/// A controller that is ready to run.
pub struct Controller {
    config: Config,
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Controller {
    /// A controller; nothing is read yet.
    pub fn new(config: Config) -> Self {
        let (sender, receiver) = channel();
        Self { config, sender, receiver }
    }

    /// What ends [`Controller::run`], from any thread.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let sender = self.sender.clone();
        // A controller that has ended needs no stopping.
        move || drop(sender.send(Event::Stop))
    }

    /// Runs until stopped; with `is_once` until nothing is left to do.
    ///
    /// # Errors
    /// [`ControllerError`]. Trouble with the store or with an object never ends it.
    pub fn run(self) -> Result<(), ControllerError> {
        let Config { store, is_standalone, cluster, .. } = &self.config;
        let writes_nodes = *is_standalone || cluster.is_some();
        if writes_nodes && let Some(reason) = store.refuses(Mode::Create, &ResourceKey::global(Kind::Node, "any")) {
            return Err(ControllerError::NoNodes { store: store.place(), reason });
        }
        // A store that holds nothing, not even its initialisation, is none to write to.
        let scope = Scope { kinds: KINDS.to_vec(), node: None, is_known: true };
        let sender = self.sender.clone();
        let is_locked = Arc::new(AtomicBool::new(false));
        let told = is_locked.clone();
        let deliver = Box::new(move |event| {
            told.store(event == SyncEvent::Locked, Ordering::Relaxed);
            // The receiver lives as long as the syncer.
            drop(sender.send(Event::Sync(event)));
        });
        let _syncer: Syncer = store.clone().sync(scope, deliver).map_err(ControllerError::Start)?;
        let _cluster = self.follow_cluster()?;
        let mut running = Loop::new(&self.config, self.sender.clone(), is_locked);
        let result = running.run(&self.receiver);
        running.election.release(&**store);
        result
    }

    /// Follows the nodes of the cluster, where there is one.
    fn follow_cluster(&self) -> Result<Option<Syncer>, ControllerError> {
        let Some(cluster) = self.config.cluster.clone() else { return Ok(None) };
        let scope = Scope { kinds: vec![Kind::Node], node: None, is_known: false };
        let sender = self.sender.clone();
        // As with the store.
        let deliver = Box::new(move |event| drop(sender.send(Event::Cluster(event))));
        cluster.sync(scope, deliver).map(Some).map_err(ControllerError::Start)
    }
}

struct Loop<'a> {
    config: &'a Config,
    sender: Sender<Event>,
    world: World,
    writer: Writer,
    election: Election,
    /// Whether a whole snapshot was read, and the store can be read now.
    is_in_sync: bool,
    /// Whether the store says by now that it must not be used: known before that event is taken.
    is_locked: Arc<AtomicBool>,
    was_leader: bool,
    full_pass_at: Instant,
    reports: Option<Watch>,
    /// When reports are to be watched again after that failed.
    reports_at: Instant,
    said: BTreeSet<String>,
}

impl<'a> Loop<'a> {
    fn new(config: &'a Config, sender: Sender<Event>, is_locked: Arc<AtomicBool>) -> Self {
        // Stores with keys are those that take names which Kubernetes does not (D-2).
        let names = if config.store.keys().is_some() { Names::Free } else { Names::Kubernetes };
        let now = Instant::now();
        Self {
            config,
            sender,
            world: World::new(config.environment.clone(), names, config.is_standalone, config.cluster.is_some()),
            writer: Writer::new(config.timing.retry),
            election: Election::new(config.holder.clone(), config.timing.lease),
            is_in_sync: false,
            is_locked,
            was_leader: false,
            full_pass_at: now + config.timing.full_pass,
            reports: None,
            reports_at: now,
            said: BTreeSet::new(),
        }
    }

    fn run(&mut self, receiver: &Receiver<Event>) -> Result<(), ControllerError> {
        loop {
            self.watch_reports();
            let wait = self.next_wake().saturating_duration_since(Instant::now());
            let first = match receiver.recv_timeout(wait) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            for event in first.into_iter().chain(receiver.try_iter()) {
                if self.take(event)?.is_break() {
                    return Ok(());
                }
            }
            if self.is_in_sync {
                self.act();
                if self.config.is_once && self.writer.is_idle() && !self.world.awaits_cluster() {
                    return self.once_result();
                }
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<ControlFlow<()>, ControllerError> {
        match event {
            Event::Stop => return Ok(ControlFlow::Break(())),
            Event::Sync(SyncEvent::Updates { updates, is_snapshot, .. }) => {
                for update in updates {
                    self.writer.seen(&update.key);
                    self.world.update(update);
                }
                if is_snapshot {
                    // Whatever was written before is part of it, or was undone since.
                    self.writer.see_all();
                    self.world.check_all();
                    self.is_in_sync = true;
                }
            }
            Event::Sync(SyncEvent::Locked) => {
                self.say("the store says that it must not be used now: waiting until it is ready".to_owned());
                self.is_in_sync = false;
                self.give_up_if_once("the store is locked")?;
            }
            Event::Sync(SyncEvent::Lost(why)) => {
                self.say(format!("the store cannot be read: {why}"));
                self.is_in_sync = false;
                self.give_up_if_once(&why)?;
            }
            Event::Cluster(event) => self.take_cluster(event),
            Event::Report(Ok(reported)) => self.world.report(reported),
            Event::Report(Err(error)) => self.lose_reports(&error),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// What the cluster tells; trouble with it holds up nothing else.
    fn take_cluster(&mut self, event: SyncEvent) {
        match event {
            SyncEvent::Updates { updates, is_snapshot, .. } => self.world.update_cluster(updates, is_snapshot),
            SyncEvent::Locked => self.world.lose_cluster("it says that it must not be used now".to_owned()),
            SyncEvent::Lost(why) => self.world.lose_cluster(why),
        }
    }

    fn give_up_if_once(&self, why: &str) -> Result<(), ControllerError> {
        match self.config.is_once {
            true => Err(ControllerError::Incomplete(vec![why.to_owned()])),
            false => Ok(()),
        }
    }

    fn once_result(&self) -> Result<(), ControllerError> {
        let mut failures = self.writer.failures();
        failures.extend(self.world.problems().iter().cloned());
        if failures.is_empty() { Ok(()) } else { Err(ControllerError::Incomplete(failures)) }
    }

    /// Does what is to be done now, as far as it goes.
    fn act(&mut self) {
        if !self.is_leader() {
            return;
        }
        let now = Instant::now();
        if self.full_pass_at <= now {
            self.full_pass_at = now + self.config.timing.full_pass;
            self.look_at_all();
        }
        for key in self.writer.take_due(now) {
            self.world.check(&key);
        }
        let writer = &self.writer;
        let changes = self.world.take_changes(|key| writer.is_pending(key));
        self.tell();
        let Self { config, writer, election, is_locked, .. } = self;
        // A controller that has lost the lease leaves the rest to the other one, and looks at all of it when it has it again;
        // so it does when the store is locked.
        let goes_on = || {
            !is_locked.load(Ordering::Relaxed) && (config.is_once || election.is_leader(&*config.store, Instant::now()))
        };
        self.was_leader = writer.write(&*config.store, &changes, goes_on);
    }

    fn is_leader(&mut self) -> bool {
        let is_leader = self.config.is_once || self.election.is_leader(&*self.config.store, Instant::now());
        if is_leader && !self.was_leader {
            // What was to be done while another one led may be done by now, or not.
            self.look_at_all();
        }
        self.was_leader = is_leader;
        is_leader
    }

    fn look_at_all(&mut self) {
        self.writer.see_all();
        self.world.check_all();
    }

    /// Problems and warnings go to the log when they come up.
    fn tell(&mut self) {
        let sentences = self.world.sentences();
        for sentence in sentences.difference(&self.said) {
            tracing::warn!("{sentence}");
        }
        self.said = sentences;
    }

    /// Says something unless it was said last.
    fn say(&mut self, sentence: String) {
        if !self.said.contains(&sentence) {
            tracing::warn!("{sentence}");
            self.said.insert(sentence);
        }
    }

    fn next_wake(&self) -> Instant {
        let reports = (self.config.is_standalone && self.reports.is_none()).then_some(self.reports_at);
        let lease = (self.is_in_sync && !self.config.is_once).then(|| self.election.next());
        let work = [self.writer.next(), Some(self.full_pass_at)].into_iter().flatten().min();
        let work = work.filter(|_| self.is_in_sync && self.was_leader);
        // A controller that is not in sync has nothing to do but to wait for the store.
        let idle = Instant::now() + self.config.timing.full_pass;
        [reports, lease, work].into_iter().flatten().min().unwrap_or(idle)
    }

    /// Watches reports, where that is wanted and not done yet.
    fn watch_reports(&mut self) {
        if !self.config.is_standalone || self.reports.is_some() || self.reports_at > Instant::now() {
            return;
        }
        self.world.forget_reports();
        let sender = self.sender.clone();
        let sink = move |reported| match sender.send(Event::Report(reported)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        match self.config.store.watch_reports(Box::new(sink)) {
            Ok(watch) => self.reports = Some(watch),
            Err(error) => self.lose_reports(&error),
        }
    }

    fn lose_reports(&mut self, error: &KvError) {
        self.say(format!("the reports of agents cannot be read: {}", with_causes(error)));
        self.reports = None;
        self.reports_at = Instant::now() + self.config.timing.lease;
    }
}
