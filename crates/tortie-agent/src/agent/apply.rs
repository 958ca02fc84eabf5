//! From what is in force to the kernel, around what the kernel does not take (E-711, E-712).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tortie_api::{Kind, ResourceKey, with_causes};
use tortie_calc::settings::operation::OnTighten;
use tortie_rules::Ruleset;
use tortie_rules::compile::cut;

use super::Loop;
use crate::health::Phase;
use crate::hold::{Form, Told};
use crate::isolate::{Found, search};
use crate::program::{Outcome, ProgramError};
use crate::report::now;

/// The pause after a second failure in a row; it doubles. The first retry, after reading the kernel again, has none.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause (E-712).
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Pending objects: the form that changed, and the one that the kernel took last.
type Forms = BTreeMap<ResourceKey, (Option<Form>, Option<Form>)>;

impl Loop {
    /// Brings the kernel up to date, once store and links are known (E-701).
    pub(super) fn program(&mut self) {
        if !self.needs_programming || self.retry_at.is_some() {
            self.answer_waiters();
            return;
        }
        if !self.has_snapshot {
            self.stand_in_for_store();
            return;
        }
        if self.links.is_none() {
            return;
        }
        self.needs_programming = false;
        match self.apply() {
            Ok(Some(outcome)) => self.applied(outcome),
            Ok(None) => self.hold_back(),
            Err(error) => self.failed(&error),
        }
        self.observe.enter(Phase::Calculating);
        self.tell();
        self.answer_waiters();
    }

    /// Notes what programming did, of which revision.
    pub(super) fn count(&mut self, outcome: Outcome, revision: u64) {
        let is_change = outcome.transactions > 0 || self.kernel.revision.is_none();
        let took = is_change.then(|| Duration::from_micros(outcome.took_us));
        self.observe.programmed(&self.engine.policy().dispatch, took);
        if is_change {
            self.tidy_later();
            self.kernel.applies += 1;
            self.kernel.transactions += outcome.transactions as u64;
            self.kernel.operations += outcome.ops as u64;
            self.kernel.last_apply = Some(now());
            self.kernel.last_apply_us = outcome.took_us;
            self.kernel.last_apply_transactions = outcome.transactions;
            self.kernel.last_apply_generation = self.programmer.generation();
            tracing::info!(
                "programmed revision {revision} in {} transactions and {} us: in force after {} us, {} us in the kernel",
                outcome.transactions,
                outcome.took_us,
                outcome.enforced_us,
                outcome.kernel_us
            );
        }
        self.needs_recheck |= outcome.transactions > 0;
        self.has_host_changed = false;
    }

    /// The kernel has everything that is in force.
    fn applied(&mut self, outcome: Outcome) {
        self.early.after(self.resolved.operation.xdp);
        self.count(outcome, self.revision.0);
        self.kernel.revision = Some(self.revision.0);
        self.enforced_kinds.clone_from(&self.kinds);
        self.kernel.error = None;
        self.hold.accept();
        // What came and became invalid in one go is in force only now.
        if self.hold.take_newly_held() {
            self.save_now();
        }
        self.recheck();
        if self.kernel.error.is_none() {
            self.failures = 0;
        }
    }

    /// Ends open flows that new rules deny; nothing unless the setting says so, which the ruleset tells.
    fn recheck(&mut self) {
        let (Some(links), Some(ruleset), true) = (&self.links, &self.desired, self.needs_recheck) else { return };
        match self.programmer.recheck(ruleset, links) {
            Ok(counts) => {
                self.needs_recheck = false;
                if counts.cut + counts.released + counts.offloaded > 0 {
                    tracing::info!(
                        "open flows: {} cut, {} let go, {} kept, {} not judged",
                        counts.cut,
                        counts.released,
                        counts.kept,
                        counts.unjudged
                    );
                }
                if counts.offloaded > 0 {
                    tracing::warn!(
                        "{} denied flows stay: they are in a flow table of another program",
                        counts.offloaded
                    );
                }
                if counts.unheld > 0 {
                    tracing::warn!("{} flows were cut but are not held: too many at once", counts.unheld);
                }
            }
            Err(error) => {
                let text = format!("open flows were not rechecked: {}", with_causes(&error));
                self.pause(text, "the new rules are in force");
            }
        }
    }

    /// The old rules stay, unless it is only that they cannot be removed.
    pub(super) fn failed(&mut self, error: &ProgramError) {
        self.pause(with_causes(error), error.in_force());
        self.programmer.forget();
        self.has_host_changed = true;
    }

    /// Tries again after a pause, which any event that changes something ends.
    fn pause(&mut self, text: String, rules: &str) {
        self.kernel.failures += 1;
        let pause = pause_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        tracing::error!("{text}; {rules}, next try in {} ms", pause.as_millis());
        self.kernel.error = Some(text);
        self.retry_at = Some(Instant::now() + pause);
    }

    /// Programs what is in force. An object that the kernel does not take is put back to its last good form first. `None`
    /// when something is needed that the store has not told yet: then nothing is done.
    fn apply(&mut self) -> Result<Option<Outcome>, ProgramError> {
        loop {
            // What is held must be known to the next process before anything relies on it (D-11).
            if self.hold.take_newly_held() {
                self.save_now();
            }
            self.observe.enter(Phase::Calculating);
            let start = Instant::now();
            if !self.engine.flush().is_empty() {
                self.desired = None;
            }
            if !self.has_what_it_needs() {
                return Ok(None);
            }
            self.enter_sync();
            // A repair wants the same as before.
            let desired = match self.desired.take() {
                Some(desired) => desired,
                None => {
                    self.early.calculate(self.engine.policy(), self.resolved.operation.xdp);
                    self.compiled()
                }
            };
            self.observe.calculated(start.elapsed());
            self.observe.enter(Phase::Programming);
            if let Some(links) = &self.links {
                self.early.before(links);
            }
            let programmed = self.programmer.program(&desired);
            self.desired = Some(desired);
            let error = match programmed {
                Ok(outcome) => return Ok(Some(outcome)),
                Err(error) => error,
            };
            // Each round puts at least one more object back, so there is an end.
            if !error.is_refusal() || !self.isolate(&error)? {
                return Err(error);
            }
        }
    }

    /// What the calculation gives now, compiled.
    pub(super) fn compiled(&mut self) -> Ruleset {
        let mut ruleset = self.compiler.compile(self.engine.policy());
        if self.resolved.operation.on_tighten == OnTighten::Recheck {
            cut::add(&mut ruleset);
        }
        ruleset
    }

    /// Finds what the kernel does not take, and puts it back; `false` when nothing that changed is to blame.
    fn isolate(&mut self, error: &ProgramError) -> Result<bool, ProgramError> {
        let message = with_causes(error);
        if let Some((key, rule)) = error.object() {
            // The second time it is the old form that is not taken any more.
            let told = match self.hold.refused().get(key).map(|refused| refused.is_held) {
                None => self.hold.refuse(key, Some(rule.clone()), message),
                Some(true) => self.hold.refuse_old(key),
                Some(false) => return Ok(false),
            };
            self.tell_engine(told);
            return Ok(true);
        }
        let refused = self.hold.refused();
        let suspects: Vec<ResourceKey> =
            self.hold.pending().into_iter().filter(|key| !refused.contains_key(key)).collect();
        tracing::warn!("{message}: searching {} changed objects for the cause", suspects.len());
        let forms = self.forms(&suspects);
        // The calculation is driven to and fro below.
        self.desired = None;
        let mut changed: BTreeSet<ResourceKey> = suspects.iter().cloned().collect();
        let found = search(&suspects, |set| {
            self.set_changed(&forms, &mut changed, set);
            self.engine.flush();
            let desired = self.compiled();
            match self.programmer.check(&desired) {
                Ok(()) => Ok(true),
                Err(error) if error.is_refusal() => Ok(false),
                Err(error) => Err(error),
            }
        });
        self.set_changed(&forms, &mut changed, &suspects);
        match found? {
            Found::Offenders(offenders) => {
                for key in &offenders {
                    let told = self.hold.refuse(key, None, message.clone());
                    self.tell_engine(told);
                }
                Ok(!offenders.is_empty())
            }
            Found::NotTheChanges => Ok(false),
        }
    }

    /// The changed and the last good form of pending objects.
    pub(super) fn forms(&self, pending: &[ResourceKey]) -> Forms {
        pending.iter().map(|key| (key.clone(), self.hold.forms(key))).collect()
    }

    /// Puts exactly the objects of `set` into their changed form, and the other pending ones into their last good one.
    pub(super) fn set_changed(&mut self, forms: &Forms, changed: &mut BTreeSet<ResourceKey>, set: &[ResourceKey]) {
        let wanted: BTreeSet<ResourceKey> = set.iter().cloned().collect();
        let flips: Vec<ResourceKey> = wanted.symmetric_difference(changed).cloned().collect();
        for key in flips {
            let (new, good) = &forms[&key];
            let form = if wanted.contains(&key) { new } else { good };
            let told = self.hold.switch(&key, form.clone());
            self.tell_engine(told);
        }
        *changed = wanted;
    }

    fn tell_engine(&mut self, (key, resource): Told) {
        let touches_settings = matches!(key.kind, Kind::FelixConfiguration | Kind::Node);
        self.engine.update(key, resource);
        if touches_settings {
            self.resolve_settings();
        }
    }
}

/// The pause before the next try, after `failures` failures in a row before this one.
pub(crate) fn pause_after(failures: u32) -> Duration {
    PAUSE_MIN.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_seconds_e712() {
        let pauses: Vec<u128> = (0..9).map(|failures| pause_after(failures).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pause_after(u32::MAX), PAUSE_MAX);
    }
}
