//! Whether the agent is ready and alive (E-750..E-752).
//!
//! The loop says what it is about to do. While it waits for events it is alive by nature; while it works it is alive as
//! long as the work does not take longer than its limit. So nothing has to be polled, and a stuck system call is seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// How long calculating may take (E-751).
pub(crate) const CALCULATION_LIMIT: Duration = Duration::from_secs(30);
/// How long programming may take, unless `dataplaneWatchdogTimeout` says otherwise (E-630).
pub(crate) const PROGRAMMING_LIMIT: Duration = Duration::from_secs(90);

/// What the loop is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing: it waits for events.
    Waiting,
    /// Taking events, calculating.
    Calculating,
    /// Talking to the kernel.
    Programming,
    /// It has ended.
    Ended,
}

/// How long each part may take; `None` is for ever (`healthTimeoutOverrides` of 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) calculation: Option<Duration>,
    pub(crate) programming: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { calculation: Some(CALCULATION_LIMIT), programming: Some(PROGRAMMING_LIMIT) }
    }
}

/// What is needed to be ready (E-751).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The store was read in full once.
    pub(crate) is_in_sync: bool,
    /// The store exists and is flagged not ready: then there is nothing to wait for.
    pub(crate) is_locked: bool,
    /// Links and addresses were listed.
    pub(crate) has_links: bool,
    /// Everything was programmed once.
    pub(crate) has_programmed: bool,
    /// The saved state is in force in place of the store (E-708): systemd may go on, though this is not ready.
    pub(crate) has_restored: bool,
}

/// The state of the loop, as its health is judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    phase: Phase,
    since: Instant,
    limits: Limits,
    progress: Progress,
}

/// One answer: the body of `/readiness` and `/liveness`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    /// Whether all is well.
    pub(crate) ok: bool,
    /// Why not, one sentence each.
    pub(crate) reasons: Vec<String>,
}

impl Answer {
    fn of(reasons: Vec<String>) -> Self {
        Self { ok: reasons.is_empty(), reasons }
    }
}

impl Health {
    pub(crate) fn new(now: Instant) -> Self {
        Self { phase: Phase::Waiting, since: now, limits: Limits::default(), progress: Progress::default() }
    }

    /// Whether each part reported within its limit. Losing the store changes nothing here (E-752).
    pub(crate) fn liveness(&self, now: Instant) -> Answer {
        let (what, limit) = match self.phase {
            Phase::Waiting => return Answer::of(Vec::new()),
            Phase::Ended => return Answer::of(vec!["the loop has ended".to_owned()]),
            Phase::Calculating => ("calculating", self.limits.calculation),
            Phase::Programming => ("programming the kernel", self.limits.programming),
        };
        let took = now.saturating_duration_since(self.since);
        let late = limit.filter(|limit| took > *limit);
        let reason = late.map(|limit| {
            format!("{what} takes {} s already, and {} s are allowed", took.as_secs(), limit.as_secs_f64())
        });
        Answer::of(reason.into_iter().collect())
    }

    /// Whether whoever waits for the start may go on.
    pub(crate) fn has_started(&self) -> bool {
        self.progress.has_restored || self.readiness().ok
    }

    /// Whether everything was enforced once. A store that is flagged not ready counts as ready.
    pub(crate) fn readiness(&self) -> Answer {
        let progress = &self.progress;
        if progress.is_locked {
            return Answer::of(Vec::new());
        }
        let reasons = [
            (progress.is_in_sync, "the store was not read in full yet"),
            (progress.has_links, "links and addresses were not listed yet"),
            (progress.has_programmed, "nothing was programmed yet"),
        ];
        Answer::of(reasons.iter().filter(|(good, _)| !good).map(|(_, text)| (*text).to_owned()).collect())
    }
}

/// [`Health`], shared between the loop, which writes it, and those who are asked for it.
#[derive(Clone)]
pub(crate) struct Board(Arc<Mutex<Health>>);

impl Board {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Health::new(Instant::now()))))
    }

    pub(crate) fn enter(&self, phase: Phase) {
        let mut health = self.lock();
        health.phase = phase;
        health.since = Instant::now();
    }

    pub(crate) fn set_limits(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    pub(crate) fn set_progress(&self, progress: Progress) {
        self.lock().progress = progress;
    }

    pub(crate) fn liveness(&self) -> Answer {
        self.lock().liveness(Instant::now())
    }

    pub(crate) fn readiness(&self) -> Answer {
        self.lock().readiness()
    }

    pub(crate) fn has_started(&self) -> bool {
        self.lock().has_started()
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        // Nothing panics while it is held, and every value of it is a whole one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alive_is_who_does_not_exceed_the_limit_of_its_work_e751() {
        let check = |phase: Phase, took_s: u64, limits: Limits, expected: bool| {
            let start = Instant::now();
            let health = Health { phase, limits, ..Health::new(start) };
            let answer = health.liveness(start + Duration::from_secs(took_s));
            assert_eq!(answer.ok, expected, "{phase:?} {took_s}: {answer:?}");
        };
        let default = Limits::default();
        check(Phase::Waiting, 1_000_000, default, true);
        check(Phase::Calculating, 30, default, true);
        check(Phase::Calculating, 31, default, false);
        check(Phase::Programming, 90, default, true);
        check(Phase::Programming, 91, default, false);
        check(Phase::Ended, 0, default, false);
        check(Phase::Programming, 1_000_000, Limits { programming: None, ..default }, true);
    }

    #[test]
    fn ready_is_who_enforced_once_or_waits_for_a_locked_store_e751() {
        let check = |is_in_sync, is_locked, has_links, has_programmed, expected: &str| {
            let has_restored = false;
            let progress = Progress { is_in_sync, is_locked, has_links, has_programmed, has_restored };
            let answer = Health { progress, ..Health::new(Instant::now()) }.readiness();
            assert_eq!(answer.reasons.join("; "), expected, "{progress:?}");
            assert_eq!(answer.ok, expected.is_empty());
        };
        check(true, false, true, true, "");
        check(false, true, false, false, "");
        check(false, false, true, false, "the store was not read in full yet; nothing was programmed yet");
        check(true, false, false, true, "links and addresses were not listed yet");
        let progress = Progress { has_restored: true, ..Progress::default() };
        let health = Health { progress, ..Health::new(Instant::now()) };
        assert!(!health.readiness().ok && health.has_started(), "a saved state is enough for systemd alone");
    }
}
