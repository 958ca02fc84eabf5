//! One collection: list it, watch it, and come back after whatever goes wrong (datastore.md sections 3.5 and 5.2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};
use tortie_api::with_causes;
use tortie_datastore::random;
use tortie_datastore::syncer::Content;

use super::{Entry, Found, Message};
use crate::failure::{Failure, is_missing_definition};
use crate::group::{Chosen, Group};
use crate::list::{Filter, Want};
use crate::server::{Ask, Server};
use crate::source::{Id, Source};
use crate::stream::{Event, Stream};

/// Errors at one revision before everything is listed.
const ERRORS_MAX: u32 = 5;
/// The least time between two lists of one collection.
const LIST_INTERVAL_MIN: Duration = Duration::from_millis(500);

/// A watch that brings no error for this long goes well: one from a revision that is too old begins with its error.
const QUIET: Duration = Duration::from_millis(200);

/// The consumer is gone: nothing more is wanted.
struct Over;

/// One watcher.
pub(super) struct Watcher {
    server: Arc<Server>,
    source: Source,
    filter: Filter,
    messages: Sender<Message>,
    relist: Arc<Notify>,
    groups: watch::Receiver<Option<Chosen>>,
    /// Where the watch goes on, and in which group; `None` when all must be listed.
    position: Option<(Group, String)>,
    /// Whether a list was told ever.
    is_listed: bool,
    /// How fresh the next list must be.
    want: Want,
    listed_at: Option<Instant>,
    /// Errors since the position was moved last.
    errors: u32,
    /// How often the server was too busy since then.
    refusals: u32,
    pause: Duration,
    /// The right that the last request needed.
    verb: &'static str,
    /// Whether the server refused the collection, and was found to have begun its work since.
    is_refused: bool,
    /// Whether it was said that the collection is refused.
    is_warned: bool,
}

impl Watcher {
    pub(super) fn new(
        server: Arc<Server>,
        source: Source,
        filter: Filter,
        messages: Sender<Message>,
        relist: Arc<Notify>,
        want: Want,
    ) -> Watcher {
        let (groups, pause) = (server.group_changes(), server.settings.waits.pause_min);
        Watcher {
            server,
            source,
            filter,
            messages,
            relist,
            groups,
            position: None,
            is_listed: false,
            want,
            listed_at: None,
            errors: 0,
            refusals: 0,
            pause,
            verb: "list",
            is_refused: false,
            is_warned: false,
        }
    }

    /// Runs until nobody listens any more.
    pub(super) async fn run(mut self) {
        while let Ok(()) = self.round().await {}
    }

    /// A list where one is needed, then a watch until it ends.
    async fn round(&mut self) -> Result<(), Over> {
        self.groups.mark_unchanged();
        let group = match self.server.group().await {
            Ok(group) => group,
            Err(failure) => return self.trouble(Group::Native, failure).await,
        };
        let revision = match &self.position {
            Some((of, revision)) if *of == group => revision.clone(),
            _ => match self.list(group).await? {
                Ok(revision) => revision,
                Err(failure) => return self.failed(group, failure).await,
            },
        };
        self.verb = "watch";
        let mut ask = Ask::get(self.source.path(group, None));
        if let Some(name) = &self.filter.name {
            ask = ask.with("fieldSelector", format!("metadata.name={name}"));
        }
        let stream = match self.server.watch(ask, &revision).await {
            Ok(stream) => stream,
            Err(failure) => return self.failed(group, failure).await,
        };
        let begun = Instant::now();
        match self.follow(group, stream).await? {
            Ok(()) => {
                // A server that ends each watch at once is not to be asked all the time.
                let waits = &self.server.settings.waits;
                if begun.elapsed() < waits.pause_min {
                    tokio::time::sleep(random::up_to(waits.pause_min)).await;
                }
                Ok(())
            }
            Err(failure) => self.failed(group, failure).await,
        }
    }

    async fn tell(&self, message: Message) -> Result<(), Over> {
        self.messages.send(message).await.map_err(|_| Over)
    }

    /// Lists everything and tells it; the revision to watch from.
    async fn list(&mut self, group: Group) -> Result<Result<String, Failure>, Over> {
        self.verb = "list";
        let (source, prefix) = (self.source, self.server.settings.interface_prefix.as_str());
        if let Some(at) = self.listed_at {
            tokio::time::sleep(LIST_INTERVAL_MIN.saturating_sub(at.elapsed())).await;
        }
        self.listed_at = Some(Instant::now());
        let want = self.want;
        let listed =
            match self.server.list(source, group, &self.filter, want, &|raw| entry(source, group, prefix, raw)).await {
                Ok(listed) => listed,
                Err(failure) => return Ok(Err(failure)),
            };
        let (entries, revision) = (listed.objects, listed.revision.clone());
        self.tell(Message::Listed { source, entries, revision }).await?;
        self.is_listed = true;
        // What was delivered must not be followed by something older from a server's memory.
        self.want = Want::Fresh;
        self.is_warned = false;
        self.moved(group, listed.revision.clone());
        Ok(Ok(listed.revision))
    }

    fn moved(&mut self, group: Group, revision: String) {
        self.position = Some((group, revision));
        self.errors = 0;
        self.refusals = 0;
        self.is_refused = false;
        self.pause = self.server.settings.waits.pause_min;
    }

    /// Tells every event of a watch until it ends.
    async fn follow(&mut self, group: Group, mut stream: Stream) -> Result<Result<(), Failure>, Over> {
        let source = self.source;
        let mut is_well = false;
        loop {
            let event = tokio::select! {
                event = stream.next() => event,
                () = self.relist.notified() => {
                    self.position = None;
                    return Ok(Ok(()));
                }
                // Another group is in use: what is told of this one counts no more.
                Ok(()) = self.groups.changed() => return Ok(Ok(())),
                () = tokio::time::sleep(QUIET), if !is_well => {
                    is_well = true;
                    self.tell(Message::Well { source }).await?;
                    continue;
                }
            };
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(Ok(())),
                Err(failure) => return Ok(Err(failure)),
            };
            let (message, revision) = match event {
                Event::Bookmark(revision) => (Message::Progress { source, revision: revision.clone() }, revision),
                Event::Put(raw) => {
                    let Some(entry) = entry(source, group, &self.server.settings.interface_prefix, raw) else {
                        continue;
                    };
                    let revision = entry.revision.clone();
                    (Message::Put { source, entry }, revision)
                }
                Event::Gone(raw) => {
                    let Some(id) = Id::of(&raw) else { continue };
                    let revision = own_revision(&raw);
                    (Message::Gone { source, id, revision: revision.clone() }, revision)
                }
            };
            self.tell(message).await?;
            self.moved(group, revision);
        }
    }

    /// Does what a failure asks for.
    async fn failed(&mut self, group: Group, failure: Failure) -> Result<(), Over> {
        if failure.is_expired() {
            tracing::info!("{}: {failure}: listing everything", self.source.resource(group));
            self.position = None;
            return Ok(());
        }
        if let Some(wait) = failure.repeat_after() {
            return self.busy(group, failure, wait).await;
        }
        if self.source.is_defined() && matches!(&failure, Failure::Answered(answer) if is_missing_definition(answer)) {
            return self.maybe_missing(group, failure).await;
        }
        if self.source.is_optional() && failure.is_code(403) {
            return self.refused(group, failure).await;
        }
        self.trouble(group, failure).await
    }

    /// The same request is repeated when the server says; one that says so for long is in trouble.
    async fn busy(&mut self, group: Group, failure: Failure, wait: Duration) -> Result<(), Over> {
        self.refusals += 1;
        if self.refusals >= ERRORS_MAX {
            let error = self.server.told(failure, "read", self.verb, self.source.resource(group));
            self.tell(Message::Trouble { source: self.source, sentence: with_causes(&error) }).await?;
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    async fn trouble(&mut self, group: Group, failure: Failure) -> Result<(), Over> {
        self.errors += 1;
        if self.errors >= ERRORS_MAX {
            self.position = None;
        }
        let error = self.server.told(failure, "read", self.verb, self.source.resource(group));
        self.tell(Message::Trouble { source: self.source, sentence: with_causes(&error) }).await?;
        tokio::time::sleep(random::up_to(self.pause)).await;
        self.pause = (self.pause * 2).min(self.server.settings.waits.pause_max);
        Ok(())
    }

    /// A path that is not there means that the kind is not there, if the server says so itself: to take policy out of
    /// force for the answer of a server that is just starting would be worse than to wait.
    async fn maybe_missing(&mut self, group: Group, failure: Failure) -> Result<(), Over> {
        let now = match self.server.detect().await {
            Ok(chosen) => chosen.group,
            Err(failure) => return self.trouble(group, failure).await,
        };
        if now != group {
            return Ok(());
        }
        let waits = self.server.settings.waits.clone();
        // What was there before must be missing twice.
        for look in 0..if self.is_listed { 2 } else { 1 } {
            if look > 0 {
                tokio::time::sleep(waits.discovery).await;
            }
            match self.is_served(group).await {
                Ok(true) => return self.trouble(group, failure).await,
                Ok(false) => {}
                Err(failure) => return self.trouble(group, failure).await,
            }
        }
        self.empty().await?;
        self.position = None;
        let until = Instant::now() + waits.absent;
        while Instant::now() < until {
            tokio::time::sleep(waits.discovery).await;
            let is_there = self.is_served(group).await.unwrap_or(false);
            let is_other = self.server.detect().await.is_ok_and(|chosen| chosen.group != group);
            if is_there || is_other {
                break;
            }
        }
        Ok(())
    }

    /// Whether the server says that it has the kind.
    async fn is_served(&self, group: Group) -> Result<bool, Failure> {
        self.server.ready().await?;
        match self.server.fetch(&Ask::get(format!("/apis/{group}"))).await {
            Ok(resources) => {
                let resources = resources["resources"].as_array().into_iter().flatten();
                Ok(resources.into_iter().any(|resource| resource["name"] == self.source.kind().plural()))
            }
            Err(failure) if failure.is_code(404) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// An agent does without what it may not read; what it had stays.
    async fn refused(&mut self, group: Group, failure: Failure) -> Result<(), Over> {
        if !self.is_refused {
            // A server that has just been started refuses everybody: only one that has begun is believed.
            return match self.server.ready().await {
                Ok(()) => {
                    self.is_refused = true;
                    Ok(())
                }
                Err(_) => self.trouble(group, failure).await,
            };
        }
        if !self.is_warned {
            let error = self.server.told(failure, "read", self.verb, self.source.resource(group));
            tracing::warn!("{}; going on without it", with_causes(&error));
            self.is_warned = true;
        }
        match self.is_listed {
            true => self.tell(Message::Well { source: self.source }).await?,
            false => self.empty().await?,
        }
        tokio::time::sleep(self.server.settings.waits.absent).await;
        Ok(())
    }

    async fn empty(&self) -> Result<(), Over> {
        self.tell(Message::Listed { source: self.source, entries: Vec::new(), revision: String::new() }).await
    }
}

fn own_revision(raw: &Value) -> String {
    raw["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

fn entry(source: Source, group: Group, interface_prefix: &str, mut raw: Value) -> Option<Entry> {
    let id = Id::of(&raw)?;
    let (revision, uid) = (own_revision(&raw), raw["metadata"]["uid"].as_str().unwrap_or_default().to_owned());
    // No agent looks at who wrote which member, which often takes more than the object.
    if let Some(metadata) = raw["metadata"].as_object_mut() {
        metadata.shift_remove("managedFields");
    }
    let object = source
        .object(group, interface_prefix, raw)
        .map(|ours| Found { at: ours.at, content: Content::shown(ours.value) });
    Some(Entry { id, revision, uid, object })
}
