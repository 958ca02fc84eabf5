//! The loop.

mod apply;
mod gather;
mod needs;
mod settings;
mod state;
mod take;

pub(crate) use apply::pause_after;
pub use settings::settings_of_environment;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use tokio::sync::oneshot;
use tortie_api::Kind;
use tortie_api::facts::Links;
use tortie_api::model::Labels;
use tortie_calc::settings::operation::Log;
use tortie_calc::settings::{Local, Remembered, Resolved, Sources, resolve};
use tortie_calc::{Engine, Settings};
use tortie_datastore::kv::Revision;
use tortie_datastore::store::KindRevisions;
use tortie_datastore::{Store, Syncer};
use tortie_netmon::Monitor;
use tortie_nftables::{Events, Kernel, OpenError, Tap};
use tortie_rules::{Compiler, Ruleset};

use crate::api;
use crate::early::Early;
use crate::event::Event;
use crate::health::Phase;
use crate::hold::Hold;
use crate::lock::{LockError, NamespaceLock};
use crate::notify;
use crate::observe::Observe;
use crate::program::{Fault, Planner, Programmer};
use crate::report::Reporter;
use crate::restore::{Boot, StandIn, read_saved};
use crate::saved::Saved;
use crate::saver::Saver;
use crate::status::{KernelStatus, LintStatus, Status, StoreStatus};

/// The quiet after which memory is given back: what comes sooner may use it again.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// Follows settings of logging.
pub type SetLog = Box<dyn Fn(&Log) -> Result<(), String> + Send>;

/// How an agent runs.
pub struct Config {
    /// The node whose host endpoints it enforces.
    pub node: String,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The Unix socket of the local API.
    pub socket: PathBuf,
    /// Settings of the environment, names in lower case without prefix.
    pub environment: Local,
    /// Settings of the file, likewise.
    pub file: Local,
    /// The folder of the saved state (D-13).
    pub state_dir: PathBuf,
    /// Program once and end.
    pub is_once: bool,
    /// Takes the settings of logging whenever they change (E-629); a sentence when they cannot be followed.
    pub set_log: SetLog,
    /// For tests: answers in the kernel's place.
    pub fault: Option<Fault>,
    /// For tests: makes plans in the planner's place.
    pub planner: Option<Planner>,
}

impl Config {
    fn boot(&self) -> Boot<'_> {
        Boot {
            node: Some(&self.node),
            environment: &self.environment,
            file: &self.file,
            state_dir: &self.state_dir,
            fault: self.fault.clone(),
        }
    }
}

/// Why an agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Another one runs.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// nf_tables cannot be used.
    #[error(transparent)]
    Kernel(#[from] OpenError),
    /// A setting of environment or file must not be guessed (E-604).
    #[error("setting {name} of the {origin}: {message}")]
    Setting {
        /// The setting.
        name: String,
        /// Where it stands.
        origin: String,
        /// What is wrong.
        message: String,
    },
    /// The local API cannot be served.
    #[error("cannot serve the local API at `{}`", .socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A part of the agent cannot be started.
    #[error("cannot start to {what}")]
    Start {
        /// What it does.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// With `--once`: the kernel refused.
    #[error("cannot program the kernel: {0}")]
    Program(String),
}

/// A prepared agent: it holds the lock of its network namespace.
pub struct Agent {
    config: Config,
    lock: NamespaceLock,
    kernel: Kernel,
    events: Events,
    sender: Sender<Event>,
    receiver: Receiver<Event>,
}

impl Agent {
    /// Takes the lock and opens the kernel; changes nothing yet.
    ///
    /// # Errors
    /// [`AgentError`] when another agent runs, the kernel cannot be used, or a local setting is bad.
    pub fn prepare(config: Config) -> Result<Agent, AgentError> {
        let fallback = config.socket.parent().map_or_else(|| PathBuf::from("."), PathBuf::from);
        if !fallback.as_os_str().is_empty() {
            std::fs::create_dir_all(&fallback)
                .map_err(|source| AgentError::Socket { socket: config.socket.clone(), source })?;
        }
        // Opened first: who may not program the kernel is told so, and not about locks.
        let mut kernel = Kernel::open()?;
        let lock = NamespaceLock::take(&fallback)?;
        // Listening starts before the first read, so that no change is missed.
        let events = Events::open().map_err(|source| AgentError::Start { what: "listen to rulesets", source })?;
        kernel.set_heard_by(events.membership());
        let sources = Sources {
            node: &config.node,
            node_labels: &Labels::new(),
            environment: &config.environment,
            file: &config.file,
            stored: &[],
            remembered: &Remembered::new(),
        };
        let fatal: Vec<_> = resolve(&sources).problems.into_iter().filter(|problem| problem.is_fatal).collect();
        for problem in fatal.iter().skip(1) {
            tracing::error!("setting {} of the {}: {}", problem.name, problem.source, problem.message);
        }
        if let Some(problem) = fatal.into_iter().next() {
            return Err(AgentError::Setting { name: problem.name, origin: problem.source, message: problem.message });
        }
        let (sender, receiver) = channel();
        Ok(Agent { config, lock, kernel, events, sender, receiver })
    }

    /// Puts something between the agent and the kernel: `kernel` where it programs and reads, `events` where it hears of
    /// changes. For tests.
    pub fn set_taps(&mut self, kernel: Arc<dyn Tap>, events: Arc<dyn Tap>) {
        self.kernel.set_tap(kernel);
        self.events.set_tap(events);
    }

    /// A function that makes [`Agent::run`] return, for signal handlers' threads.
    pub fn stopper(&self) -> impl Fn() + Send + 'static {
        let sender = self.sender.clone();
        move || {
            // The loop may have ended already.
            let _ = sender.send(Event::Shutdown);
        }
    }

    /// Runs until it is stopped. Rules stay in the kernel (E-706).
    ///
    /// # Errors
    /// [`AgentError`] when a part cannot be started.
    pub fn run(self) -> Result<(), AgentError> {
        let Agent { config, lock: _lock, kernel, events, sender, receiver } = self;
        let (store_events, link_events, kernel_events) = (sender.clone(), sender.clone(), sender.clone());
        let monitor = Monitor::start(move |event| forward(&link_events, Event::Links(event)))
            .map_err(|source| AgentError::Start { what: "watch links", source })?;
        listen(events, kernel_events).map_err(|source| AgentError::Start { what: "listen to rulesets", source })?;
        let reporter = Reporter::start(config.store.clone())
            .map_err(|source| AgentError::Start { what: "report to the store", source })?;
        let saver_events = sender.clone();
        let saver = Saver::start(config.state_dir.clone(), move |error| forward(&saver_events, Event::Saved(error)))
            .map_err(|source| AgentError::Start { what: "save the state", source })?;
        let (observe, served) = Observe::new(reporter, sender.clone());
        let socket = config.socket.clone();
        let store = config.store.clone();
        let mut agent = Loop::new(config, kernel, observe, saver, monitor);
        let deliver = Box::new(move |event| forward(&store_events, Event::Store(event)));
        let syncer = store
            .clone()
            .sync(agent.scope(), deliver)
            .map_err(|source| AgentError::Start { what: "read the store", source })?;
        agent.syncer = Some(syncer);
        // Only now: a store that nobody follows asks for every kind, when it is asked for the present revision.
        api::serve(&socket, sender, store, served)
            .map_err(|source| AgentError::Socket { socket: socket.clone(), source })?;
        let result = agent.run(&receiver);
        notify::stopping();
        // Whoever asks next is told at once that nobody is there.
        let _ = std::fs::remove_file(socket);
        result
    }
}

fn forward(sender: &Sender<Event>, event: Event) {
    // The loop has ended: nobody needs the event.
    let _ = sender.send(event);
}

/// Hands ruleset events to the loop.
fn listen(mut events: Events, sender: Sender<Event>) -> std::io::Result<()> {
    let run = move || {
        loop {
            let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN)];
            let polled = poll(&mut fds, PollTimeout::NONE);
            let drained = match polled {
                Ok(_) | Err(nix::errno::Errno::EINTR) => events.drain(),
                Err(error) => Err(error.into()),
            };
            match drained {
                Ok(list) => {
                    for event in list {
                        if sender.send(Event::Kernel(event)).is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    forward(&sender, Event::KernelDeaf(error.to_string()));
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("ruleset".to_owned()).spawn(run).map(|_| ())
}

struct Waiter {
    revision: Revision,
    with_counters: bool,
    reply: oneshot::Sender<Status>,
}

struct Loop {
    config: Config,
    engine: Engine,
    hold: Hold,
    programmer: Programmer,
    monitor: Monitor,
    observe: Observe,
    compiler: Compiler,
    /// What the calculation gave last, compiled.
    desired: Option<Ruleset>,
    early: Early,
    saver: Saver,
    /// Reads the store, once the loop runs.
    syncer: Option<Syncer>,
    /// The state of the last run, until the store has told everything that is needed.
    saved: Option<Saved>,
    /// What stands in for the store, until it has told everything (E-708).
    stand_in: Option<StandIn>,
    /// The identity of the store: `clusterGUID`.
    cluster: Option<String>,
    /// Whether something changed since the state was written.
    is_unsaved: bool,
    saved_at: Option<Instant>,
    /// Why the state could not be read or written.
    state_error: Option<String>,
    store: StoreStatus,
    kernel: KernelStatus,
    /// Settings in force, and what is to be told of them.
    resolved: Resolved,
    /// Whether the store has told all of the kinds that are always read.
    has_snapshot: bool,
    /// Whether it has told everything that is needed.
    is_in_sync: bool,
    /// Kinds that are needed, and that the store has not told yet.
    awaited: Vec<Kind>,
    links: Option<Links>,
    /// The revision that the engine has.
    revision: Revision,
    /// The newest revision of each kind that the engine has all of, where no number counts the whole store.
    kinds: KindRevisions,
    /// Where the store listens (E-467).
    peers: Vec<SocketAddr>,
    /// The same of what the kernel has.
    enforced_kinds: KindRevisions,
    needs_programming: bool,
    /// Whether links or rulesets changed since the kernel was last brought up to date.
    has_host_changed: bool,
    /// Whether rules came since open flows were last judged by them (E-731). True at first: a former process may have
    /// ended between the two.
    needs_recheck: bool,
    retry_at: Option<Instant>,
    /// Failed tries to program in a row.
    failures: u32,
    /// When everything of ours was last read, or is known to be due.
    refreshed_at: Instant,
    /// When all links were last asked for.
    relisted_at: Instant,
    /// When memory that changes have freed goes back to the system: once there has been quiet for a while.
    tidy_at: Option<Instant>,
    waiters: Vec<Waiter>,
    /// Requests that are answered once the state is saved: with counters or without.
    waiters_for_state: Vec<(bool, oneshot::Sender<Status>)>,
    /// Lints of what is in force; `None` after something changed.
    lints: Option<Vec<LintStatus>>,
}

impl Loop {
    fn new(config: Config, kernel: Kernel, observe: Observe, saver: Saver, monitor: Monitor) -> Self {
        let (saved, state_error) = read_saved(&config.state_dir);
        let mut hold = Hold::default();
        hold.remember(saved.iter().flat_map(|saved| saved.objects.iter().cloned()));
        let store =
            StoreStatus { place: config.store.place(), state: "connecting".to_owned(), ..StoreStatus::default() };
        let mut this = Self {
            engine: Engine::new(Settings { node: config.node.clone(), ..Settings::default() }),
            programmer: Programmer::new(kernel, config.fault.clone()).with_planner(config.planner.clone()),
            monitor,
            compiler: Compiler::default(),
            desired: None,
            early: Early::new(),
            config,
            hold,
            observe,
            saver,
            syncer: None,
            saved,
            stand_in: None,
            cluster: None,
            is_unsaved: false,
            saved_at: None,
            state_error,
            store,
            kernel: KernelStatus::default(),
            resolved: Resolved::default(),
            has_snapshot: false,
            is_in_sync: false,
            awaited: Vec::new(),
            links: None,
            revision: Revision::ZERO,
            kinds: KindRevisions::new(),
            peers: Vec::new(),
            enforced_kinds: KindRevisions::new(),
            needs_programming: true,
            has_host_changed: true,
            needs_recheck: true,
            retry_at: None,
            failures: 0,
            refreshed_at: Instant::now(),
            relisted_at: Instant::now(),
            tidy_at: None,
            waiters: Vec::new(),
            waiters_for_state: Vec::new(),
            lints: None,
        };
        this.follow_peers();
        this.read_settings();
        this
    }

    fn run(mut self, receiver: &Receiver<Event>) -> Result<(), AgentError> {
        loop {
            self.observe.enter(Phase::Waiting);
            let early_at = self.early.refresh_at(&self.resolved.operation);
            let due = [self.retry_at, self.refresh_at(), self.relist_at(), self.save_at(), self.tidy_at, early_at];
            let received = match due.into_iter().flatten().min() {
                Some(at) => receiver.recv_timeout(at.saturating_duration_since(Instant::now())),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.observe.enter(Phase::Calculating);
            match received {
                Ok(event) => {
                    // What has gathered is taken together: many updates, one apply.
                    for event in std::iter::once(event).chain(receiver.try_iter()) {
                        if let Event::Shutdown = event {
                            self.save_at_end();
                            tracing::info!("ending; rules stay in the kernel");
                            return Ok(());
                        }
                        self.take(event);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.look_at_timers();
            self.program();
            self.observe.notify(&self.summary());
            self.save_if_due();
            self.answer_after_saving();
            if self.config.is_once && self.kernel.revision.is_some() {
                self.save_at_end();
                return Ok(());
            }
            if let (true, true, Some(error)) = (self.config.is_once, self.is_in_sync, &self.kernel.error) {
                return Err(AgentError::Program(error.clone()));
            }
        }
    }

    /// When everything of ours in the kernel is to be read again, if ever (E-619, E-620). Sets are read with the rest.
    fn refresh_at(&self) -> Option<Instant> {
        self.resolved.operation.ruleset_refresh().and_then(|interval| self.refreshed_at.checked_add(interval))
    }

    /// When all links are to be listed again, if ever (E-620).
    fn relist_at(&self) -> Option<Instant> {
        self.resolved.operation.interface_refresh.and_then(|interval| self.relisted_at.checked_add(interval))
    }

    fn look_at_timers(&mut self) {
        let now = Instant::now();
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.needs_programming = true;
            self.has_host_changed = true;
        }
        if self.refresh_at().is_some_and(|at| at <= now) {
            self.refreshed_at = now;
            self.programmer.forget();
            self.needs_programming = true;
            self.has_host_changed = true;
        }
        if self.early.refresh_at(&self.resolved.operation).is_some_and(|at| at <= now) {
            self.early.doubt();
            self.needs_programming = true;
        }
        if self.tidy_at.is_some_and(|at| at <= now) {
            self.tidy_at = None;
            tortie_memory::give_back();
        }
        if self.relist_at().is_some_and(|at| at <= now) {
            self.relisted_at = now;
            self.monitor.list_again();
        }
    }

    /// Something changed: no reason to sit out the pause of a failure.
    fn wants_programming(&mut self) {
        self.lints = None;
        self.needs_programming = true;
        self.retry_at = None;
    }

    /// Something large may have been freed.
    fn tidy_later(&mut self) {
        self.tidy_at = Some(Instant::now() + TIDY_AFTER);
    }

    fn answer_waiters(&mut self) {
        let is_settled = self.is_in_sync && self.kernel.error.is_none() && self.store.state == "in-sync";
        let Some(enforced) = self.kernel.revision.filter(|_| is_settled && !self.needs_programming) else { return };
        let (ready, waiting): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiters)
            .into_iter()
            .filter(|waiter| !waiter.reply.is_closed())
            .partition(|waiter| waiter.revision.0 <= enforced);
        self.waiters = waiting;
        if ready.is_empty() {
            return;
        }
        let status = self.status(ready.iter().any(|waiter| waiter.with_counters));
        for waiter in ready {
            // The caller may have gone.
            let _ = waiter.reply.send(status.clone());
        }
    }
}
