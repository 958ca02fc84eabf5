//! From a store to an agent: one consistent snapshot, then every change, for ever (datastore.md section 5).
//!
//! One thread reads and watches. Its consumer is a function that must not block: it hands on to whoever calculates.
//! Everything of one store revision is delivered at once. After trouble the whole snapshot is read again and compared
//! with what was delivered before, so that nothing is lost and nothing comes twice.

mod delivered;
mod places;
mod update;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey, with_causes};

use self::delivered::{Delivered, Found};
use crate::kv::{Event, EventBatch, Kv, KvError, RESOURCE_PREFIX, Revision, Span, WatchEvent, watch_receiver};
use crate::store::KindRevisions;
use crate::{keys, random};

pub use places::{Aliases, named};
pub use update::{Content, Update};

/// The longest first pause after trouble with the store; it doubles until the store was well for longer than this.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// What is said of a store that holds nothing, to who knows that it held something.
pub const EMPTIED: &str = "holds nothing, and held something before: restore a backup, or run `tortie datastore init`";
/// How often the thread looks whether it is to stop.
const STOP_CHECK: Duration = Duration::from_millis(200);

/// What the syncer tells.
#[derive(Clone, Debug, PartialEq)]
pub enum SyncEvent {
    /// Changes that belong together; the consumer has everything up to `revision` with them.
    Updates {
        /// The changed objects, each once. Empty when only the revision moved on.
        updates: Vec<Update>,
        /// The store's revision; where no number counts the whole store, one that grows with each delivery.
        revision: Revision,
        /// Whether this completes a snapshot: the consumer has all of the store now.
        is_snapshot: bool,
        /// The newest revision of each kind that the consumer has all of, where no number counts the whole store. Of a kind
        /// that is not here nothing is known; where this is empty all kinds are.
        kinds: KindRevisions,
    },
    /// The store is there, and says that it must not be used now (`datastoreReady` is not true).
    Locked,
    /// The store cannot be read; what was delivered stays valid.
    Lost(String),
}

/// A running syncer; dropping it ends it, and waits until nothing more is delivered.
pub struct Syncer {
    running: Box<dyn Running>,
}

/// What runs behind a [`Syncer`]. Dropping it ends it.
pub trait Running: Send {
    /// Reads these kinds too from now on, and what is delivered goes on meanwhile. A store that reads all kinds anyway has
    /// nothing to do.
    fn widen(&mut self, _kinds: &[Kind]) {}
}

/// The thread that reads a key-value store.
struct Thread {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// One that runs until `running` is dropped.
    pub fn new(running: impl Running + 'static) -> Syncer {
        Syncer { running: Box::new(running) }
    }

    /// Reads these kinds too from now on, without a wait (datastore.md section 4). [`SyncEvent::Updates`] tells by `kinds`
    /// from when on the consumer has all of one; what it has of others stays. Kinds that are read already cost nothing.
    pub fn widen(&mut self, kinds: &[Kind]) {
        self.running.widen(kinds);
    }

    /// Starts to read `kv` on a thread of its own; `is_known` is that of [`Scope`](crate::store::Scope).
    pub fn start(
        kv: Arc<dyn Kv>,
        is_known: bool,
        deliver: impl FnMut(SyncEvent) + Send + 'static,
    ) -> std::io::Result<Syncer> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut worker = Worker {
            kv,
            deliver: Box::new(deliver),
            stop: stop.clone(),
            store: None,
            delivered: Delivered::default(),
            is_known,
            is_locked: false,
            well_since: None,
        };
        let thread = std::thread::Builder::new().name("syncer".to_owned()).spawn(move || worker.run())?;
        Ok(Syncer::new(Thread { stop, thread: Some(thread) }))
    }
}

impl Running for Thread {}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
    }
}

struct Worker {
    kv: Arc<dyn Kv>,
    deliver: Box<dyn FnMut(SyncEvent) + Send>,
    stop: Arc<AtomicBool>,
    /// The store that `delivered` is from: revisions of two stores say nothing to each other.
    store: Option<String>,
    delivered: Delivered,
    /// Whether the consumer has something of a store.
    is_known: bool,
    is_locked: bool,
    /// When the present session had read everything.
    well_since: Option<Instant>,
}

impl Worker {
    fn run(&mut self) {
        let mut pause = PAUSE_MIN;
        while !self.is_stopped() {
            let session = self.session();
            // Trouble long ago is no reason to wait.
            if self.well_since.take().is_some_and(|since| since.elapsed() > PAUSE_MIN) {
                pause = PAUSE_MIN;
            }
            match session {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) if error.needs_full_read() => {
                    tracing::warn!("{error}: reading everything anew");
                    pause = PAUSE_MIN;
                }
                Err(error) => {
                    (self.deliver)(SyncEvent::Lost(with_causes(&error)));
                    // At once with all other agents of a store that is back would be too much for it.
                    self.wait(random::up_to(pause));
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn wait(&self, pause: Duration) {
        let mut left = pause;
        while !left.is_zero() && !self.is_stopped() {
            let step = left.min(STOP_CHECK);
            std::thread::sleep(step);
            left -= step;
        }
    }

    /// One snapshot, then changes until something goes wrong, or the store is locked or unlocked.
    fn session(&mut self) -> Result<(), KvError> {
        let snapshot = self.kv.read(&[Span::Prefix(RESOURCE_PREFIX.to_owned())])?;
        let revision = snapshot.revision;
        let entries = snapshot.spans.into_iter().flatten();
        let found: Found = entries.map(|entry| (entry.key, (entry.mod_rev, entry.value))).collect();
        self.is_locked = is_locked(&found, self.is_known);
        self.is_known |= !self.is_locked && !found.is_empty();
        if self.is_locked && found.is_empty() {
            (self.deliver)(SyncEvent::Lost(format!("store `{}` {EMPTIED}", self.kv.describe())));
        } else if self.is_locked {
            (self.deliver)(SyncEvent::Locked);
        } else {
            let is_same_store = self.store == snapshot.store;
            self.store = snapshot.store;
            let updates = self.delivered.snapshot(found, !is_same_store);
            (self.deliver)(SyncEvent::Updates { updates, revision, is_snapshot: true, kinds: KindRevisions::new() });
        }

        self.well_since = Some(Instant::now());
        let watch = watch_receiver(&*self.kv, &[RESOURCE_PREFIX], revision.next())?;
        while !self.is_stopped() {
            match watch.next(STOP_CHECK) {
                Some(WatchEvent::Batch(batch)) => {
                    if self.batch(batch) {
                        return Ok(());
                    }
                }
                Some(WatchEvent::Progress(_)) | None => {}
                Some(WatchEvent::End(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Delivers the changes of one revision; `true` when everything is to be read again, as after the store was locked or
    /// unlocked by them.
    fn batch(&mut self, batch: EventBatch) -> bool {
        let flag = keys::key(&ResourceKey::cluster_information());
        let turns = |event: &Event| event.key == flag && is_ready_text(event.value.as_deref()) == self.is_locked;
        // Before anything of it counts as delivered.
        if batch.events.iter().any(turns) {
            return true;
        }
        if self.is_locked {
            return false;
        }
        let mut updates = Vec::new();
        let mut is_to_read = false;
        for event in batch.events {
            is_to_read |= self.delivered.change(event, batch.revision, &mut updates);
        }
        let (revision, kinds) = (batch.revision, KindRevisions::new());
        let updates = last_of_each(updates);
        (self.deliver)(SyncEvent::Updates { updates, revision, is_snapshot: false, kinds });
        is_to_read
    }
}

/// Only the last update of each object: one that moves to another key goes and comes back at once.
fn last_of_each(mut updates: Vec<Update>) -> Vec<Update> {
    if updates.len() > 1 {
        let mut seen = BTreeSet::new();
        updates.reverse();
        updates.retain(|update| seen.insert(update.key.clone()));
        updates.reverse();
    }
    updates
}

/// An empty store is not locked: it holds nothing yet (D-14), or else has lost what it held.
fn is_locked(found: &Found, is_known: bool) -> bool {
    let flag = keys::key(&ResourceKey::cluster_information());
    (is_known || !found.is_empty()) && !is_ready_text(found.get(&flag).map(|(_, value)| value.as_slice()))
}

fn is_ready_text(value: Option<&[u8]>) -> bool {
    value.and_then(|bytes| serde_json::from_slice::<Map<String, Value>>(bytes).ok()).is_some_and(|o| is_ready(&o))
}

/// Whether ClusterInformation lets agents follow the store (section 2.8).
pub fn is_ready(cluster: &Map<String, Value>) -> bool {
    cluster.get("spec").is_some_and(|spec| spec["datastoreReady"] == Value::Bool(true))
}
