//! What each event changes in the loop. Nothing here programs the kernel.

use tortie_api::Kind;
use tortie_api::facts::Links;
use tortie_datastore::SyncEvent;
use tortie_datastore::syncer::Update;

use super::state::identity;
use super::{Loop, Waiter};
use crate::event::{Event, Request};
use crate::report::now;
use crate::status::Sets;
use crate::view;

impl Loop {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Store(event) => self.take_store(event),
            Event::Links(tortie_netmon::Event::Links(links)) => self.take_links(links),
            Event::Links(tortie_netmon::Event::Failed(error)) => tracing::warn!("cannot list links: {error}"),
            Event::Kernel(event) => self.take_kernel(&event),
            Event::KernelDeaf(error) => {
                tracing::error!("ruleset events ended, only the timer repairs now: {error}");
                self.observe.deaf = Some(error);
            }
            // Callers may have gone: then nobody needs the answer.
            Event::Request(Request::Status { with_counters, saves: false, reply }) => {
                let _ = reply.send(self.status(with_counters));
            }
            // What was taken before it is in force by then.
            Event::Request(Request::Status { with_counters, saves: true, reply }) => {
                self.waiters_for_state.push((with_counters, reply));
            }
            Event::Request(Request::Counters(reply)) => {
                let _ = reply.send(self.counters());
            }
            Event::Request(Request::Sets(reply)) => {
                let sets = view::sets(self.engine.policy(), self.engine.contributions());
                let _ = reply.send(Sets { sets });
            }
            Event::Request(Request::Measure(reply)) => {
                let _ = reply.send(self.numbers());
            }
            Event::Request(Request::Wait { revision, links, with_counters, reply }) => {
                // The links of that moment are programmed before the answer.
                self.take_links(links);
                // Callers that gave up need no answer; while nothing can be programmed, they would gather here.
                self.waiters.retain(|waiter| !waiter.reply.is_closed());
                self.waiters.push(Waiter { revision, with_counters, reply });
            }
            Event::Saved(error) => self.take_saved(error),
            Event::Shutdown => {}
        }
    }

    fn take_store(&mut self, event: SyncEvent) {
        if self.follow_peers() {
            self.read_settings();
        }
        match event {
            SyncEvent::Updates { updates, revision, is_snapshot, kinds } => {
                // An object of another store has no last valid form here.
                let has_history = if is_snapshot {
                    self.recognise(&updates, revision.0)
                } else {
                    // A store that was empty gets its identity while it is followed.
                    self.cluster = identity(&updates).or(self.cluster.take());
                    true
                };
                let is_setting = |update: &Update| matches!(update.key.kind, Kind::FelixConfiguration | Kind::Node);
                let (settings, others): (Vec<_>, Vec<_>) = updates.into_iter().partition(is_setting);
                // First what decides how invalid objects are taken.
                if is_snapshot || !settings.is_empty() {
                    let holds = self.is_holding();
                    for update in settings {
                        // A configuration that became invalid never loosens an agent, whatever the mode (D-12).
                        let holds = has_history && (holds || update.key.kind == Kind::FelixConfiguration);
                        self.take_update(update, holds);
                    }
                    self.read_settings();
                }
                let holds = has_history && self.is_holding();
                others.into_iter().for_each(|update| self.take_update(update, holds));
                if is_snapshot && revision < self.revision {
                    tracing::warn!("the store went back from revision {} to {revision}", self.revision);
                }
                self.revision = revision;
                self.kinds = kinds;
                self.is_unsaved = true;
                self.has_snapshot |= is_snapshot;
                if self.has_snapshot {
                    // Of a kind that is not read yet the last valid forms may still be needed.
                    let kinds = &self.kinds;
                    self.hold.forget_remembered(|kind| kinds.is_empty() || kinds.contains_key(&kind));
                }
                if is_snapshot {
                    // Written after each snapshot, at once.
                    self.saved_at = None;
                }
                self.observe.totals.resyncs += u64::from(is_snapshot);
                self.observe.progress(|progress| progress.is_locked = false);
                self.wants_programming();
                self.store.revision = revision.0;
                "in-sync".clone_into(&mut self.store.state);
                self.store.message = None;
                self.store.stale_since = None;
            }
            SyncEvent::Locked => {
                tracing::warn!("the store is locked (datastoreReady is not true): what is enforced stays");
                "locked".clone_into(&mut self.store.state);
                // Why it was lost before is over.
                self.store.message = Some("`datastoreReady` is not true: what is enforced stays".to_owned());
                self.observe.progress(|progress| progress.is_locked = true);
                self.needs_programming |= !self.is_in_sync;
            }
            SyncEvent::Lost(error) => {
                if self.store.state != "lost" {
                    tracing::warn!("{error}: what is enforced stays");
                    self.store.stale_since = Some(now());
                }
                "lost".clone_into(&mut self.store.state);
                self.needs_programming |= !self.is_in_sync;
                self.store.message = Some(error);
            }
        }
    }

    fn take_update(&mut self, update: Update, holds: bool) {
        if let Some((key, resource)) = self.hold.update(update, holds) {
            self.engine.update(key, resource);
        }
    }

    fn take_links(&mut self, links: Links) {
        if self.links.as_ref() != Some(&links) {
            self.engine.set_links(links.clone());
            self.links = Some(links);
            self.observe.progress(|progress| progress.has_links = true);
            self.is_unsaved = true;
            self.has_host_changed = true;
            self.wants_programming();
        }
    }

    fn take_kernel(&mut self, event: &tortie_nftables::Event) {
        if event.port == self.programmer.port() && event.port != 0 {
            return;
        }
        if !event.touches_ours {
            self.programmer.moved_on(event.generation);
            return;
        }
        self.programmer.forget();
        self.has_host_changed = true;
        self.wants_programming();
        if event.is_lost() {
            tracing::warn!("events of rulesets were lost, there were too many at once: reading the kernel again");
            return;
        }
        let author = event.author.as_ref().map(|(pid, name)| format!("{name} (process {pid})"));
        tracing::warn!("our table was changed by {}: repairing", author.as_deref().unwrap_or("somebody"));
        self.kernel.repairs += 1;
        self.kernel.last_repair_author = author;
    }
}
