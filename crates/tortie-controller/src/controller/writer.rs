//! Writes changes, and remembers which have not been seen in the store yet and which failed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tortie_api::{ResourceKey, with_causes};
use tortie_datastore::kv::{FaultKind, KvError};
use tortie_datastore::resources::{Change, Done, Written};
use tortie_datastore::{ResourceError, Resources, Store};

/// Changes that are written together. etcd takes 128 operations in one transaction.
const BATCH_LEN: usize = 64;
/// The longest pause before a write that failed is tried again.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Times that a write is tried by a controller that runs once.
const ONCE_TRIES: u32 = 4;

pub(super) struct Writer {
    retry: Duration,
    /// Written, and not delivered by the store yet: what is known of them is old.
    pending: BTreeSet<ResourceKey>,
    failing: BTreeMap<ResourceKey, Failing>,
}

struct Failing {
    times: u32,
    /// When it is tried again; `None` once that has begun.
    at: Option<Instant>,
    why: String,
}

impl Writer {
    pub(super) fn new(retry: Duration) -> Self {
        Self { retry, pending: BTreeSet::new(), failing: BTreeMap::new() }
    }

    /// The store delivered an object as it is now.
    pub(super) fn seen(&mut self, key: &ResourceKey) {
        self.pending.remove(key);
    }

    /// The store delivered everything, or everything is to be looked at again.
    pub(super) fn see_all(&mut self) {
        self.pending.clear();
        // What is still wrong fails again.
        self.failing.clear();
    }

    pub(super) fn is_pending(&self, key: &ResourceKey) -> bool {
        self.pending.contains(key)
    }

    /// Whether nothing that was written is to be waited for, and nothing that failed is worth another try.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.failing.values().all(|failing| failing.times >= ONCE_TRIES)
    }

    /// What failed and was not done since.
    pub(super) fn failures(&self) -> Vec<String> {
        self.failing.iter().map(|(key, failing)| format!("{key}: {}", failing.why)).collect()
    }

    /// When something is to be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.failing.values().filter_map(|failing| failing.at).min()
    }

    /// What is to be tried again now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ResourceKey> {
        let due = self.failing.iter_mut().filter(|(_, failing)| failing.at.is_some_and(|at| at <= now));
        due.map(|(key, failing)| {
            failing.at = None;
            key.clone()
        })
        .collect()
    }

    /// Writes changes of different objects, in batches; `goes_on` is asked before each. Whether it went on to the end.
    pub(super) fn write(&mut self, store: &dyn Store, changes: &[Change], mut goes_on: impl FnMut() -> bool) -> bool {
        let mut is_there = true;
        for batch in changes.chunks(BATCH_LEN) {
            if is_there && !goes_on() {
                return false;
            }
            // A store that does not answer is not asked for each of the others, which may take a while each.
            match is_there {
                true => is_there = self.write_batch(store, batch),
                false => batch.iter().for_each(|change| self.fail(&change.key, "the store did not answer".to_owned())),
            }
        }
        true
    }

    /// Writes a batch together, and each change by itself when one of them stands in the way; whether the store answers.
    fn write_batch(&mut self, store: &dyn Store, batch: &[Change]) -> bool {
        let resources = Resources::new(store);
        let failures = match resources.write(batch) {
            Ok(written) => {
                self.done(batch, &written);
                return true;
            }
            Err(failures) => failures,
        };
        if let Some(error) = failures.iter().find_map(|(_, error)| unavailable(error)) {
            let why = with_causes(error);
            batch.iter().for_each(|change| self.fail(&change.key, why.clone()));
            return false;
        }
        if batch.len() == 1 {
            failures.iter().for_each(|(key, error)| self.failed(key, error));
            return true;
        }
        batch.chunks(1).all(|one| self.write_batch(store, one))
    }

    fn done(&mut self, changes: &[Change], written: &[Written]) {
        for (change, written) in changes.iter().zip(written) {
            let what = match written.done {
                Done::Created => "created",
                Done::Configured => "updated",
                Done::Deleted => "deleted",
                Done::Unchanged => continue,
            };
            tracing::info!("{} {what}", change.key);
            self.failing.remove(&change.key);
            self.pending.insert(change.key.clone());
        }
    }

    fn failed(&mut self, key: &ResourceKey, error: &ResourceError) {
        let why = with_causes(error);
        match error {
            // Somebody else was faster: what they wrote is on its way here.
            ResourceError::AlreadyExists(_) | ResourceError::DoesNotExist(_) | ResourceError::Conflict(_) => {
                tracing::debug!("{key}: {why}");
            }
            _ if !self.failing.contains_key(key) => tracing::warn!("{key} cannot be written: {why}: trying again"),
            _ => tracing::debug!("{key} cannot be written: {why}"),
        }
        self.fail(key, why);
    }

    fn fail(&mut self, key: &ResourceKey, why: String) {
        let times = self.failing.get(key).map_or(0, |failing| failing.times) + 1;
        let pause = self.retry.saturating_mul(1 << (times - 1).min(16)).min(RETRY_MAX);
        self.failing.insert(key.clone(), Failing { times, at: Some(Instant::now() + pause), why });
    }
}

/// The store's own trouble, which is not that of an object.
fn unavailable(error: &ResourceError) -> Option<&KvError> {
    let ResourceError::Store(error) = error else { return None };
    matches!(error.fault(), Some(FaultKind::Unavailable | FaultKind::Busy { .. })).then_some(error)
}
