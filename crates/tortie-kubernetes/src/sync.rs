//! From an API server to an agent: a watcher for each collection, and one thread that delivers (datastore.md section 5).

mod consumer;
mod known;
mod present;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::mpsc::{WeakSender, channel};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::store::{Deliver, Scope};
use tortie_datastore::syncer::Content;
use tortie_datastore::{Revision, random};

use self::consumer::Consumer;
use self::watcher::Watcher;
use crate::beside;
use crate::list::{Filter, Want};
use crate::server::Server;
use crate::source::{Id, Source};

pub(crate) use present::present;

/// Messages that wait for the consumer; the server's history holds the rest.
const MESSAGES_MAX: usize = 1024;

/// One object as a watcher found it.
#[derive(Debug)]
struct Entry {
    id: Id,
    revision: String,
    uid: String,
    /// The object that it is; `None` for pods that have no endpoint.
    object: Option<Found>,
}

/// An object of ours.
#[derive(Debug)]
struct Found {
    /// The key it lies at.
    at: ResourceKey,
    /// As users see it, or why it is none.
    content: Content,
}

/// What watchers tell the consumer.
#[derive(Debug)]
enum Message {
    /// A collection is read from now on.
    Added { source: Source, relist: Arc<Notify> },
    /// All of a collection.
    Listed { source: Source, entries: Vec<Entry>, revision: String },
    /// One object is new or changed.
    Put { source: Source, entry: Entry },
    /// One object is gone.
    Gone { source: Source, id: Id, revision: String },
    /// Everything of a collection up to this revision was told.
    Progress { source: Source, revision: String },
    /// A collection cannot be read, and why.
    Trouble { source: Source, sentence: String },
    /// A collection can be read.
    Well { source: Source },
    /// Somebody waits until these are delivered.
    Question(Question),
}

/// What must be delivered before a revision is answered.
#[derive(Debug)]
struct Question {
    wanted: BTreeMap<Source, Wanted>,
    reply: oneshot::Sender<Revision>,
}

/// A collection as it was at one moment.
#[derive(Debug)]
struct Wanted {
    /// The revision of each object.
    names: BTreeMap<Id, String>,
    /// That of the list.
    revision: String,
}

/// The collections that are read. A running syncer may get more of them.
type Sources = Arc<Mutex<Vec<(Source, Filter)>>>;

/// How the running syncer of a store is asked.
#[derive(Clone)]
pub(crate) struct Running {
    sources: Sources,
    messages: WeakSender<Message>,
}

impl Running {
    fn sources(&self) -> Vec<(Source, Filter)> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The tasks that ask the server, and the consumer; all of it ends when this is dropped.
pub(crate) struct Threads {
    server: Arc<Server>,
    runtime: Handle,
    /// Of nodes only this one.
    node: Option<String>,
    running: Running,
    watchers: Vec<AbortHandle>,
    consumer: Option<JoinHandle<()>>,
}

impl Drop for Threads {
    fn drop(&mut self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
        if let Some(consumer) = self.consumer.take() {
            // A panic of the thread was printed when it happened.
            let _ = consumer.join();
        }
    }
}

/// Starts to read what is in the scope.
pub(crate) fn start(
    server: &Arc<Server>,
    runtime: &Handle,
    scope: &Scope,
    deliver: Deliver,
) -> io::Result<(Running, Threads)> {
    let (sender, receiver) = channel(MESSAGES_MAX);
    let sources = sources(&scope.kinds, scope.node.as_deref());
    let relist: BTreeMap<Source, Arc<Notify>> = sources.iter().map(|(source, _)| (*source, Arc::default())).collect();
    let has_flag = scope.kinds.contains(&Kind::ClusterInformation);
    let consumer = Consumer::new(deliver, relist.clone(), &server.place, has_flag, scope.is_known);
    let (handle, messages) = (runtime.clone(), sender.downgrade());
    let consumer =
        std::thread::Builder::new().name("syncer".to_owned()).spawn(move || consumer.run(&handle, receiver))?;
    let running = Running { sources: Arc::new(Mutex::new(sources.clone())), messages };
    let mut threads = Threads {
        server: server.clone(),
        runtime: runtime.clone(),
        node: scope.node.clone(),
        running: running.clone(),
        watchers: Vec::new(),
        consumer: Some(consumer),
    };
    // One for all, so that the kinds of an agent are from about the same time.
    let delay = random::up_to(server.settings.waits.start);
    for (source, filter) in sources {
        let relist = relist[&source].clone();
        let watcher = Watcher::new(server.clone(), source, filter, sender.clone(), relist, Want::Cached);
        threads.spawn(async move {
            tokio::time::sleep(delay).await;
            watcher.run().await;
        });
    }
    threads.spawn(beside::follow(server.clone()));
    Ok((running, threads))
}

impl Threads {
    fn spawn(&mut self, watching: impl Future<Output = ()> + Send + 'static) {
        self.watchers.push(self.runtime.spawn(watching).abort_handle());
    }

    /// Reads these kinds too from now on.
    pub(crate) fn widen(&mut self, kinds: &[Kind]) {
        // Without the channel nobody reads any more.
        let Some(sender) = self.running.messages.upgrade() else { return };
        let known: BTreeSet<Source> = self.running.sources().into_iter().map(|(source, _)| source).collect();
        let mut more = sources(kinds, self.node.as_deref());
        more.retain(|(source, _)| !known.contains(source));
        self.running.sources.lock().unwrap_or_else(PoisonError::into_inner).extend(more.iter().cloned());
        // One change of policy makes all agents ask.
        let delay = random::up_to(self.server.settings.waits.start);
        for (source, filter) in more {
            let (sender, relist) = (sender.clone(), Arc::<Notify>::default());
            let added = Message::Added { source, relist: relist.clone() };
            // Who waits for what is stored now has asked before this list, and must find it there.
            let watcher = Watcher::new(self.server.clone(), source, filter, sender.clone(), relist, Want::Fresh);
            self.spawn(async move {
                if sender.send(added).await.is_ok() {
                    tokio::time::sleep(delay).await;
                    watcher.run().await;
                }
            });
        }
    }
}

/// The collections of kinds.
fn sources(kinds: &[Kind], node: Option<&str>) -> Vec<(Source, Filter)> {
    let sources: BTreeSet<Source> = kinds.iter().flat_map(|kind| Source::of(*kind)).copied().collect();
    let filter =
        |source: Source| Filter { namespace: None, name: node.filter(|_| source == Source::Nodes).map(str::to_owned) };
    sources.into_iter().map(|source| (source, filter(source))).collect()
}
