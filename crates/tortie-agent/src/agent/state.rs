//! The saved state in the loop: when it is written, and when it stands in for the store (datastore.md section 6.3, E-708).

use std::time::{Duration, Instant};

use tortie_api::Kind;
use tortie_api::model::Resource;
use tortie_datastore::syncer::Update;

use super::Loop;
use crate::report::now;
use crate::restore::stand_in;
use crate::saved::Saved;

/// The shortest time between two writings of the state, except where something relies on it.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);

impl Loop {
    /// When the state is to be written next. Never before the first programming: until then nothing new is known to be
    /// good.
    pub(super) fn save_at(&self) -> Option<Instant> {
        (self.is_unsaved && self.kernel.revision.is_some())
            .then(|| self.saved_at.map_or_else(Instant::now, |saved| saved + SAVE_INTERVAL))
    }

    /// Hands the state over to be written, if it is time.
    pub(super) fn save_if_due(&mut self) {
        if self.save_at().is_some_and(|at| at <= Instant::now()) {
            let state = self.state();
            self.saver.save(state);
        }
    }

    /// Writes the state before it returns.
    pub(super) fn save_now(&mut self) {
        let state = self.state();
        self.saver.save_now(state);
    }

    /// Answers those who asked for the state to be written first.
    pub(super) fn answer_after_saving(&mut self) {
        for (with_counters, reply) in std::mem::take(&mut self.waiters_for_state) {
            if self.save_at().is_some() {
                self.save_now();
            }
            // The caller may have gone.
            let _ = reply.send(self.status(with_counters));
        }
    }

    /// Writes what is not written yet, at the end.
    pub(super) fn save_at_end(&mut self) {
        if self.save_at().is_some() {
            self.save_now();
        }
    }

    fn state(&mut self) -> Saved {
        self.is_unsaved = false;
        self.saved_at = Some(Instant::now());
        Saved {
            node: self.config.node.clone(),
            cluster: self.cluster.clone(),
            revision: self.revision.0,
            time: now(),
            settings: self.resolved.remembered.clone(),
            peers: self.peers.clone(),
            links: self.links.clone().unwrap_or_default(),
            objects: self.hold.forms_to_save(),
        }
    }

    /// How the last writing went.
    pub(super) fn take_saved(&mut self, error: Option<String>) {
        self.tidy_later();
        if let Some(error) = &error
            && self.state_error.as_ref() != Some(error)
        {
            tracing::error!("saved state: {error}: a restart would not know what is in force now");
        }
        // Tried again in time.
        self.is_unsaved |= error.is_some();
        self.state_error = error;
    }

    /// A snapshot of the store is about to be taken: is it the store whose state was saved, or that of the last snapshot?
    ///
    /// `false` when it is another one, whose invalid objects have no history here.
    pub(super) fn recognise(&mut self, updates: &[Update], revision: u64) -> bool {
        let before = self.cluster.take();
        let known = || {
            self.hold.of_kind(Kind::ClusterInformation).find_map(|resource| match &**resource {
                Resource::ClusterInformation(cluster) => Some(cluster.cluster_guid.clone()),
                _ => None,
            })
        };
        self.cluster = identity(updates).or_else(known).filter(|guid| !guid.is_empty());
        let name = |cluster: &Option<String>| cluster.clone().unwrap_or_else(|| "none".to_owned());
        let Some(saved) = self.saved.take() else {
            let is_same = before.is_none() || before == self.cluster;
            if !is_same {
                let (before, found) = (name(&before), name(&self.cluster));
                tracing::error!("this is another store (cluster {found}, it was {before}): taking what it says");
                self.resolved.remembered.clear();
            }
            return is_same;
        };
        let is_same = saved.cluster.is_some() && saved.cluster == self.cluster;
        if !is_same {
            tracing::warn!(
                "the saved state is that of another store (cluster {}, this is {}): it is not used",
                name(&saved.cluster),
                name(&self.cluster)
            );
            self.hold.forget_remembered(|_| true);
            return true;
        }
        if revision < saved.revision {
            tracing::warn!("the store went back from revision {} to {revision} since the last run", saved.revision);
        }
        self.resolved.remembered.clone_from(&saved.settings);
        // It stands in until everything that is needed is there.
        self.saved = Some(saved);
        true
    }

    /// Whether the store is known to tell nothing now.
    pub(super) fn is_store_missing(&self) -> bool {
        matches!(self.store.state.as_str(), "lost" | "locked")
    }

    /// While the store has not told everything: fills an empty kernel, and keeps what it filled in (E-708). Rules that a
    /// former process left stay untouched (E-702).
    pub(super) fn stand_in_for_store(&mut self) {
        if !self.is_store_missing() {
            return;
        }
        self.needs_programming = false;
        if self.stand_in.is_none() {
            match self.programmer.has_rules() {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => return self.failed(&error.into()),
            }
            match stand_in(&self.config.boot(), self.saved.as_ref(), self.links.as_ref()) {
                Ok(stand_in) => self.stand_in = Some(stand_in),
                Err(reason) => {
                    if self.kernel.stand_in.is_none() {
                        let text = format!("nothing: {reason}; the host is open until the store can be read");
                        tracing::warn!("in place of the store stands {text}");
                        self.kernel.stand_in = Some(text);
                    }
                    return;
                }
            }
        }
        let Some(stand_in) = &mut self.stand_in else { return };
        if let Some(links) = &self.links {
            stand_in.engine.set_links(links.clone());
            // What a former process dropped early is not known to go with these rules: it is held.
            self.early.before(links);
        }
        match stand_in.program(&mut self.programmer) {
            Ok(()) => {
                self.observe.progress(|progress| progress.has_restored = true);
                if self.kernel.stand_in.as_ref() != Some(&stand_in.what) {
                    tracing::warn!("in place of the store stands: {}", stand_in.what);
                    self.kernel.stand_in = Some(stand_in.what.clone());
                }
                self.kernel.error = None;
                self.failures = 0;
            }
            Err(error) => self.failed(&error),
        }
    }
}

/// The identity of the store, where these updates tell it.
pub(super) fn identity(updates: &[Update]) -> Option<String> {
    let told = updates.iter().filter(|update| update.key.kind == Kind::ClusterInformation).find_map(|update| {
        let object = update.object()?.ok()?;
        object.get("spec")?.get("clusterGUID")?.as_str().map(str::to_owned)
    });
    told.filter(|guid| !guid.is_empty())
}
