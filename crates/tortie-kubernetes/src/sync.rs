//! From an API server to an agent: a watcher for each collection, and one thread that delivers (datastore.md section 5).

mod consumer;
mod known;
mod present;
mod watcher;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Sender, WeakSender, channel};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::Revision;
use tortie_datastore::store::{Deliver, Scope};

use self::consumer::Consumer;
use self::watcher::Watcher;
use crate::beside;
use crate::list::Filter;
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
    value: Result<Map<String, Value>, String>,
}

/// What watchers tell the consumer.
#[derive(Debug)]
enum Message {
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

/// How the running syncer of a store is asked.
#[derive(Clone)]
pub(crate) struct Running {
    sources: Arc<Vec<(Source, Filter)>>,
    messages: WeakSender<Message>,
}

/// The tasks that ask the server, and the consumer; all of it ends when this is dropped.
pub(crate) struct Threads {
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
    let sources = sources(scope);
    let relist: BTreeMap<Source, Arc<Notify>> = sources.iter().map(|(source, _)| (*source, Arc::default())).collect();
    let has_flag = scope.kinds.contains(&Kind::ClusterInformation);
    let consumer = Consumer::new(deliver, relist.clone(), &server.place, has_flag, scope.is_known);
    let (handle, messages) = (runtime.clone(), sender.downgrade());
    let consumer =
        std::thread::Builder::new().name("syncer".to_owned()).spawn(move || consumer.run(&handle, receiver))?;
    let watch = |(source, filter): &(Source, Filter)| {
        let relist = relist[source].clone();
        let watcher = Watcher::new(server.clone(), *source, filter.clone(), Sender::clone(&sender), relist);
        runtime.spawn(watcher.run()).abort_handle()
    };
    let mut watchers: Vec<AbortHandle> = sources.iter().map(watch).collect();
    watchers.push(runtime.spawn(beside::follow(server.clone())).abort_handle());
    let running = Running { sources: Arc::new(sources), messages };
    Ok((running, Threads { watchers, consumer: Some(consumer) }))
}

/// The collections of a scope.
fn sources(scope: &Scope) -> Vec<(Source, Filter)> {
    let mut sources: Vec<Source> = scope.kinds.iter().flat_map(|kind| Source::of(*kind)).copied().collect();
    sources.sort_unstable();
    sources.dedup();
    let filter = |source: Source| Filter {
        namespace: None,
        name: if source == Source::Nodes { scope.node.clone() } else { None },
    };
    sources.into_iter().map(|source| (source, filter(source))).collect()
}
