//! From the answers of one stream of watches to whole revisions in order.
//!
//! A server sends all events of one watch in order, and those of one revision together, except that a large answer is cut
//! into fragments. So with one watch a revision is whole when its last fragment has come. With several watches on the stream
//! the others may have events of that revision as well: it is whole when each of them has got as far, which its own later
//! events and notes of progress tell.

use std::collections::BTreeMap;

use tortie_datastore::kv::{Event, EventBatch, Revision, WatchEvent};

use crate::memory::unsigned;
use crate::proto::{self, WatchAnswer};
use crate::range;

/// The `watch_id` of a note of progress that was asked for: it holds for every watch of the stream.
const EVERY_WATCH: i64 = -1;

/// What has come and is not delivered yet.
#[derive(Debug)]
pub(super) struct Assembler {
    /// How far each watch has got, by its id, which is its position.
    reached: Vec<u64>,
    /// Events by revision, in the order in which they came.
    pending: BTreeMap<u64, Vec<Event>>,
    /// Everything up to this revision was delivered.
    delivered: u64,
    /// Whether notes of progress that were asked for are proof that all events before them were sent.
    trusts_progress: bool,
}

impl Assembler {
    /// For `watches` watches that begin after revision `delivered`.
    pub(super) fn new(watches: usize, delivered: Revision, trusts_progress: bool) -> Self {
        let delivered = delivered.0;
        Self { reached: vec![delivered; watches], pending: BTreeMap::new(), delivered, trusts_progress }
    }

    /// The newest revision of which everything was delivered.
    pub(super) fn delivered(&self) -> Revision {
        Revision(self.delivered)
    }

    /// Whether events wait for other watches to get as far.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether notes of progress that are asked for prove anything.
    pub(super) fn trusts_progress(&self) -> bool {
        self.trusts_progress
    }

    /// The newest revision of which there are events.
    pub(super) fn newest(&self) -> u64 {
        self.pending.last_key_value().map_or(self.delivered, |(revision, _)| *revision)
    }

    /// The watches that have not got as far as a revision, and how far they have.
    pub(super) fn behind(&self, revision: u64) -> Vec<(usize, u64)> {
        self.reached.iter().copied().enumerate().filter(|(_, reached)| *reached < revision).collect()
    }

    /// A watch has no more events up to a revision.
    pub(super) fn reach(&mut self, watch: usize, revision: u64) {
        if let Some(reached) = self.reached.get_mut(watch) {
            *reached = revision.max(*reached);
        }
    }

    /// Takes one answer; gives what is complete with it.
    pub(super) fn take(&mut self, answer: WatchAnswer) -> Vec<WatchEvent> {
        let revision = unsigned(answer.header.unwrap_or_default().revision);
        let Ok(watch) = usize::try_from(answer.watch_id) else {
            if answer.watch_id == EVERY_WATCH && self.trusts_progress {
                self.reached.iter_mut().for_each(|reached| *reached = revision.max(*reached));
            }
            return self.complete();
        };
        let has_events = !answer.events.is_empty();
        let mut newest = 0;
        for event in answer.events {
            newest = self.keep(event);
        }
        let Some(reached) = self.reached.get_mut(watch) else { return Vec::new() };
        // The answer that tells that a watch was made says nothing of events; one cut off has more of its last revision.
        let sure = match (has_events, answer.fragment) {
            (true, true) => newest.saturating_sub(1),
            (true, false) => newest,
            (false, _) if answer.created => 0,
            (false, _) => revision,
        };
        *reached = sure.max(*reached);
        self.complete()
    }

    fn keep(&mut self, event: proto::Event) -> u64 {
        let Some(kv) = event.kv else { return 0 };
        let revision = unsigned(kv.mod_revision);
        if revision > self.delivered {
            let is_delete = event.kind == proto::EVENT_DELETE;
            let event = Event {
                key: range::text(kv.key),
                value: (!is_delete).then_some(kv.value),
                previous: event.prev_kv.map(|kv| kv.value),
            };
            self.pending.entry(revision).or_default().push(event);
        }
        revision
    }

    /// What has become complete.
    pub(super) fn complete(&mut self) -> Vec<WatchEvent> {
        let reached = self.reached.iter().copied().min().unwrap_or(0);
        if reached <= self.delivered {
            return Vec::new();
        }
        let later = self.pending.split_off(&(reached + 1));
        let whole = std::mem::replace(&mut self.pending, later);
        let newest = whole.last_key_value().map(|(revision, _)| *revision);
        let batch = |(revision, events)| WatchEvent::Batch(EventBatch { revision: Revision(revision), events });
        let mut told: Vec<WatchEvent> = whole.into_iter().map(batch).collect();
        if newest.is_none_or(|newest| newest < reached) {
            told.push(WatchEvent::Progress(Revision(reached)));
        }
        self.delivered = reached;
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Header, KeyValue};

    fn answer(watch_id: i64, revision: i64, events: &[(&str, i64)]) -> WatchAnswer {
        let event = |(key, mod_revision): &(&str, i64)| proto::Event {
            kv: Some(KeyValue { key: key.as_bytes().to_vec(), mod_revision: *mod_revision, ..KeyValue::default() }),
            ..proto::Event::default()
        };
        WatchAnswer {
            header: Some(Header { cluster_id: 1, revision }),
            watch_id,
            events: events.iter().map(event).collect(),
            ..WatchAnswer::default()
        }
    }

    /// `7:a,b` for a batch, `9` for progress.
    fn told(events: Vec<WatchEvent>) -> Vec<String> {
        let text = |event| match event {
            WatchEvent::Batch(batch) => {
                let keys: Vec<String> = batch.events.into_iter().map(|event| event.key).collect();
                format!("{}:{}", batch.revision, keys.join(","))
            }
            WatchEvent::Progress(revision) => revision.to_string(),
            WatchEvent::End(error) => error.to_string(),
        };
        events.into_iter().map(text).collect()
    }

    #[test]
    fn one_watch_delivers_at_once_and_counts_no_further_than_its_events() {
        let mut one = Assembler::new(1, Revision(4), true);
        assert_eq!(told(one.take(answer(0, 9, &[("a", 5), ("b", 5), ("a", 7)]))), ["5:a,b", "7:a"]);
        // The server had more than it sends at once: its revision says nothing of what was sent.
        assert_eq!(one.delivered(), Revision(7));
        assert_eq!(told(one.take(answer(0, 9, &[("a", 7), ("c", 8)]))), ["8:c"], "what came before comes once");
        assert_eq!(told(one.take(answer(0, 12, &[]))), ["12"]);
        assert_eq!(told(one.take(WatchAnswer { created: true, ..answer(0, 20, &[]) })), Vec::<String>::new());
    }

    #[test]
    fn a_revision_in_fragments_is_one_batch() {
        let mut one = Assembler::new(1, Revision(4), true);
        let part = |events: &[(&str, i64)]| WatchAnswer { fragment: true, ..answer(0, 9, events) };
        assert_eq!(told(one.take(part(&[("a", 5), ("a", 6)]))), ["5:a"]);
        assert_eq!(told(one.take(part(&[("b", 6)]))), Vec::<String>::new());
        assert_eq!(told(one.take(answer(0, 9, &[("c", 6)]))), ["6:a,b,c"]);
    }

    #[test]
    fn several_watches_wait_for_each_other() {
        let mut two = Assembler::new(2, Revision(4), true);
        assert_eq!(told(two.take(answer(0, 6, &[("a", 5), ("a", 6)]))), Vec::<String>::new());
        assert!(two.is_waiting());
        assert_eq!(told(two.take(answer(1, 6, &[("b", 5)]))), ["5:a,b"]);
        assert_eq!(told(two.take(answer(EVERY_WATCH, 6, &[]))), ["6:a"]);
        assert!(!two.is_waiting());
        assert_eq!(told(two.take(answer(EVERY_WATCH, 8, &[]))), ["8"]);
    }

    #[test]
    fn progress_that_may_overtake_events_is_no_proof() {
        let mut two = Assembler::new(2, Revision(4), false);
        two.take(answer(0, 5, &[("a", 5)]));
        assert_eq!(told(two.take(answer(EVERY_WATCH, 9, &[]))), Vec::<String>::new());
        assert_eq!(told(two.take(answer(1, 9, &[]))), ["5:a"]);
    }
}
