//! The thread that delivers: it puts together what the watchers tell (datastore.md sections 5.1, 5.3 and 5.4).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::mpsc::Receiver;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::Revision;
use tortie_datastore::store::{Deliver, KindRevisions};
use tortie_datastore::syncer::{Content, EMPTIED, SyncEvent, Update, is_ready};

use super::known::Known;
use super::{Entry, Message, Question, Wanted};
use crate::source::{Id, Source};

/// A batch is over when nothing came for this long.
const BATCH_SILENCE: Duration = Duration::from_millis(20);
/// The longest batch.
const BATCH_MAX: Duration = Duration::from_millis(200);

/// An object, or that it is gone.
type Told = Option<Content>;

/// Whether the store may be followed (section 2.8).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It may.
    Ready,
    /// It says that it must not be used now.
    Locked,
    /// It holds nothing, and held something before.
    Emptied,
}

/// One collection as it was told.
struct Collection {
    known: Known,
    /// Whether all of it was told once.
    is_listed: bool,
    revision: String,
    /// Why it cannot be read at the moment.
    trouble: Option<String>,
}

impl Collection {
    fn new(source: Source) -> Collection {
        Collection { known: Known::new(source), is_listed: false, revision: String::new(), trouble: None }
    }
}

/// What is delivered, and what of it is still to be.
pub(super) struct Consumer {
    deliver: Deliver,
    relist: BTreeMap<Source, Arc<Notify>>,
    collections: BTreeMap<Source, Collection>,
    /// Changes that were not delivered yet: the last of each object.
    pending: BTreeMap<ResourceKey, Told>,
    /// Whether something moved, though no object changed for the consumer.
    is_moved: bool,
    /// Whether the next delivery completes a snapshot.
    is_snapshot: bool,
    /// The revision of the last delivery.
    delivered: Option<Revision>,
    /// The newest revision of any object or list.
    newest: u64,
    /// The ready flag, where it is read.
    flag: Option<bool>,
    standing: Standing,
    /// Whether the consumer has something of this store.
    is_known: bool,
    /// The place of the store, for messages.
    place: String,
    /// What was said of the trouble that there is.
    lost: Option<String>,
    questions: Vec<Question>,
}

impl Consumer {
    pub(super) fn new(
        deliver: Deliver,
        relist: BTreeMap<Source, Arc<Notify>>,
        place: &str,
        has_flag: bool,
        is_known: bool,
    ) -> Consumer {
        Consumer {
            deliver,
            collections: relist.keys().map(|source| (*source, Collection::new(*source))).collect(),
            relist,
            pending: BTreeMap::new(),
            is_moved: false,
            is_snapshot: true,
            delivered: None,
            newest: 0,
            flag: has_flag.then_some(false),
            standing: Standing::Ready,
            is_known,
            place: place.to_owned(),
            lost: None,
            questions: Vec::new(),
        }
    }

    /// Runs until all watchers are gone.
    pub(super) fn run(mut self, runtime: &Handle, mut messages: Receiver<Message>) {
        loop {
            self.flush();
            let Some(message) = messages.blocking_recv() else { return };
            self.take(message);
            let until = Instant::now() + BATCH_MAX;
            loop {
                let wait = BATCH_SILENCE.min(until.saturating_duration_since(Instant::now()));
                match runtime.block_on(async { tokio::time::timeout(wait, messages.recv()).await }) {
                    Ok(Some(message)) => self.take(message),
                    Ok(None) => return,
                    Err(_) => break,
                }
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Added { source, relist } => {
                self.collections.entry(source).or_insert_with(|| Collection::new(source));
                self.relist.insert(source, relist);
            }
            Message::Question(question) => self.questions.push(question),
            Message::Listed { source, entries, revision } => self.listed(source, entries, revision),
            Message::Put { source, entry } => {
                let (revision, is_ours) = (entry.revision.clone(), entry.object.is_some());
                self.changed(source, revision, is_ours, |known, updates| known.put(entry, updates));
            }
            Message::Gone { source, id, revision } => {
                self.changed(source, revision, source != Source::Pods, |known, updates| known.gone(&id, updates));
            }
            Message::Progress { source, revision } => self.changed(source, revision, false, |_, _| false),
            Message::Well { source } => self.set_trouble(source, None),
            Message::Trouble { source, sentence } => self.set_trouble(source, Some(sentence)),
        }
    }

    fn listed(&mut self, source: Source, entries: Vec<Entry>, revision: String) {
        self.see(&revision);
        let Some(collection) = self.collections.get_mut(&source) else { return };
        let updates = collection.known.list(entries);
        self.is_snapshot |= collection.is_listed && !collection.revision.is_empty();
        // Even an empty one makes its kind known.
        self.is_moved |= !collection.is_listed;
        collection.is_listed = true;
        collection.revision = revision;
        collection.trouble = None;
        updates.into_iter().for_each(|update| self.absorb(update));
    }

    /// Takes what happened at a revision; `is_ours` when it may be an object that somebody waits for.
    fn changed(
        &mut self,
        source: Source,
        revision: String,
        is_ours: bool,
        change: impl FnOnce(&mut Known, &mut Vec<Update>) -> bool,
    ) {
        self.see(&revision);
        let Some(collection) = self.collections.get_mut(&source) else { return };
        collection.revision = revision;
        collection.trouble = None;
        self.is_moved |= is_ours;
        let mut updates = Vec::new();
        let is_to_list = change(&mut collection.known, &mut updates);
        if let Some(relist) = self.relist.get(&source).filter(|_| is_to_list) {
            relist.notify_one();
        }
        updates.into_iter().for_each(|update| self.absorb(update));
    }

    fn set_trouble(&mut self, source: Source, trouble: Option<String>) {
        if let Some(collection) = self.collections.get_mut(&source) {
            collection.trouble = trouble;
        }
    }

    fn see(&mut self, revision: &str) {
        self.newest = self.newest.max(revision.parse().unwrap_or_default());
    }

    fn absorb(&mut self, update: Update) {
        let is_flag = update.key.kind == Kind::ClusterInformation && update.key.name == "default";
        if let Some(flag) = self.flag.as_mut().filter(|_| is_flag) {
            *flag = matches!(update.object(), Some(Ok(object)) if is_ready(&object));
        }
        match self.delivered {
            // What came and went before the first snapshot was never there.
            None if update.value.is_none() => self.pending.remove(&update.key),
            _ => self.pending.insert(update.key, update.value),
        };
    }

    /// Delivers what there is to deliver.
    fn flush(&mut self) {
        let trouble = self.collections.values().find_map(|collection| collection.trouble.clone());
        if self.delivered.is_some() || (self.is_listed() && trouble.is_none()) {
            self.flush_complete(trouble.is_none());
        }
        match trouble {
            Some(sentence) if self.lost.as_ref() != Some(&sentence) => {
                (self.deliver)(SyncEvent::Lost(sentence.clone()));
                self.lost = Some(sentence);
            }
            _ => {}
        }
        self.answer();
    }

    /// Whether all of each collection was told once.
    fn is_listed(&self) -> bool {
        self.collections.values().all(|collection| collection.is_listed)
    }

    fn flush_complete(&mut self, is_well: bool) {
        let is_recovered = is_well && self.lost.take().is_some();
        self.is_snapshot |= is_recovered;
        let stands = self.stands();
        let before = std::mem::replace(&mut self.standing, stands);
        if self.standing != Standing::Ready {
            if self.standing != before || is_recovered {
                (self.deliver)(match self.standing {
                    Standing::Emptied => SyncEvent::Lost(format!("store `{}` {EMPTIED}", self.place)),
                    _ => SyncEvent::Locked,
                });
            }
            return;
        }
        self.is_known |= self.has_objects();
        self.is_snapshot |= before != Standing::Ready;
        let is_snapshot = self.is_snapshot && is_well;
        let is_moved = std::mem::take(&mut self.is_moved);
        if self.pending.is_empty() && !is_moved && !is_snapshot {
            return;
        }
        self.is_snapshot &= !is_snapshot;
        let updates = std::mem::take(&mut self.pending);
        let updates = updates.into_iter().map(|(key, value)| Update { key, value }).collect();
        let revision = self.next_revision();
        self.delivered = Some(revision);
        // What is delivered while some of it cannot be read must not look as if all were well.
        self.lost = None;
        let kinds = self.kinds();
        (self.deliver)(SyncEvent::Updates { updates, revision, is_snapshot, kinds });
    }

    /// Every delivery has a greater one, whatever the kinds' own say.
    fn next_revision(&self) -> Revision {
        let next = self.delivered.map_or(Revision::ZERO, Revision::next);
        next.max(Revision(self.newest))
    }

    /// A store without any object of ours holds nothing yet (D-14), or else has lost what it held.
    fn stands(&self) -> Standing {
        match (self.flag, self.has_objects(), self.is_known) {
            (Some(false), true, _) => Standing::Locked,
            (Some(false), false, true) => Standing::Emptied,
            _ => Standing::Ready,
        }
    }

    fn has_objects(&self) -> bool {
        self.collections.iter().any(|(source, collection)| source.is_defined() && !collection.known.is_empty())
    }

    /// The newest revision of each kind that was told whole; of profiles both.
    fn kinds(&self) -> KindRevisions {
        let mut kinds = KindRevisions::new();
        for (source, collection) in &self.collections {
            kinds
                .entry(source.kind())
                .and_modify(|joined: &mut String| *joined = format!("{joined}/{}", collection.revision))
                .or_insert_with(|| collection.revision.clone());
        }
        for (source, _) in self.collections.iter().filter(|(_, collection)| !collection.is_listed) {
            kinds.remove(&source.kind());
        }
        kinds
    }

    /// Answers those who wait for what is delivered now.
    fn answer(&mut self) {
        if self.delivered.is_none() && !self.is_listed() {
            return;
        }
        let revision = match (self.standing, self.delivered) {
            (Standing::Ready, Some(delivered)) => delivered,
            (Standing::Ready, None) => return,
            // Nobody has what is locked: the delivery that follows will be that.
            _ => self.next_revision(),
        };
        let collections = &self.collections;
        let has = |source: &Source, wanted: &Wanted| {
            collections.get(source).is_some_and(|collection| collection.is_listed && has_all(collection, wanted))
        };
        let questions = std::mem::take(&mut self.questions);
        for question in questions {
            match question.wanted.iter().all(|(source, wanted)| has(source, wanted)) {
                // Who asked may have given up.
                true => drop(question.reply.send(revision)),
                false if question.reply.is_closed() => {}
                false => self.questions.push(question),
            }
        }
    }
}

/// Whether a collection as it was told is as new as what is wanted, object by object.
fn has_all(collection: &Collection, wanted: &Wanted) -> bool {
    let has = |(id, revision): (&Id, &String)| match collection.known.revision_of(id) {
        Some(known) => is_as_new(known, revision),
        // It is gone since.
        None => is_newer(&collection.revision, revision),
    };
    let is_new_or_wanted = |(id, known): (&Id, &str)| {
        // Of one that is not wanted the end must be told, unless it is newer than the question.
        wanted.names.contains_key(id) || is_newer(known, &wanted.revision)
    };
    wanted.names.iter().all(has) && collection.known.revisions().all(is_new_or_wanted)
}

fn is_as_new(known: &str, wanted: &str) -> bool {
    known == wanted || is_newer(known, wanted)
}

/// Revisions of one kind that are numbers are in order; of others nothing is known.
fn is_newer(known: &str, wanted: &str) -> bool {
    matches!((known.parse::<u64>(), wanted.parse::<u64>()), (Ok(known), Ok(wanted)) if known > wanted)
}

#[cfg(test)]
mod tests;
