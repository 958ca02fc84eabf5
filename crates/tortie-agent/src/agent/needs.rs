//! Kinds that are read only when something needs them (datastore.md section 4.1).

use std::collections::BTreeSet;

use tortie_api::Kind;
use tortie_calc::LAZY;
use tortie_datastore::store::Scope;

use super::Loop;

/// The kinds that no host needs.
const NEVER: [Kind; 4] = [
    Kind::NetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::KubeControllersConfiguration,
];

impl Loop {
    /// What is read at first.
    pub(super) fn scope(&self) -> Scope {
        let kinds = Kind::all().filter(|kind| !NEVER.contains(kind) && !LAZY.contains(kind));
        // Before a store is initialised it has no identity, and may hold nothing again.
        let is_known = self.saved.as_ref().is_some_and(|saved| saved.cluster.is_some());
        Scope { kinds: kinds.collect(), node: Some(self.config.node.clone()), is_known }
    }

    /// Whether the store has told everything that what was calculated needs. What is missing is asked for.
    pub(super) fn has_what_it_needs(&mut self) -> bool {
        let is_missing = |kind: &Kind| !self.kinds.contains_key(kind);
        // Where one revision counts the whole store, all kinds are told together; elsewhere by now all may have been.
        if self.kinds.is_empty() || !LAZY.iter().any(is_missing) {
            self.awaited.clear();
            return true;
        }
        let missing: Vec<Kind> = self.engine.needs().into_iter().filter(is_missing).collect();
        if missing != self.awaited && !missing.is_empty() {
            tracing::info!("what is in the store needs {}: reading them first", plurals(&missing));
        }
        self.awaited = missing;
        if self.awaited.is_empty() {
            return true;
        }
        if let Some(syncer) = &mut self.syncer {
            syncer.widen(&self.awaited);
        }
        if self.store.state == "in-sync" {
            let awaited = plurals(&self.awaited);
            self.store.message = Some(format!("changes need {awaited}, which are being read: what is enforced stays"));
        }
        false
    }

    /// Everything that is needed is there, for the first time.
    pub(super) fn enter_sync(&mut self) {
        if self.is_in_sync {
            return;
        }
        self.is_in_sync = true;
        self.saved = None;
        self.stand_in = None;
        self.kernel.stand_in = None;
        self.observe.progress(|progress| progress.is_in_sync = true);
    }

    /// While something that is needed was not told: what the kernel took last stays in force, on the links of now.
    pub(super) fn hold_back(&mut self) {
        if !self.is_in_sync {
            return self.stand_in_for_store();
        }
        // Every change of the store comes here, while the kernel needs nothing.
        let Some(revision) = self.kernel.revision.filter(|_| self.has_host_changed) else { return };
        let pending = self.hold.pending();
        let forms = self.forms(&pending);
        let mut changed: BTreeSet<_> = pending.iter().cloned().collect();
        self.set_changed(&forms, &mut changed, &[]);
        self.engine.flush();
        let desired = self.compiled();
        match self.programmer.program(&desired) {
            Ok(outcome) => {
                self.count(outcome, revision);
                self.kernel.error = None;
                self.failures = 0;
            }
            Err(error) => self.failed(&error),
        }
        self.set_changed(&forms, &mut changed, &pending);
        self.desired = None;
    }
}

/// Kinds as users name them.
fn plurals(kinds: &[Kind]) -> String {
    kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(", ")
}
