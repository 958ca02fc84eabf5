//! What the loop keeps for those who watch it: health, sums, servers, systemd and reports.

use std::sync::mpsc::Sender;
use std::time::Duration;

use tokio::sync::watch;
use tortie_calc::policy::Dispatch;
use tortie_calc::settings::operation::Log;
use tortie_nftables::{ForeignChain, MarkWriter};

use crate::event::Event;
use crate::health::{Board, Phase, Progress};
use crate::metrics::Totals;
use crate::notify::Notifier;
use crate::report::Reporter;
use crate::serve::{Complaints, Served};
use crate::watching::Watching;

/// The loop's part of observing.
pub(crate) struct Observe {
    board: Board,
    progress: Progress,
    settings: watch::Sender<Watching>,
    complaints: Complaints,
    notifier: Notifier,
    /// Writes reports to the store.
    pub(crate) reporter: Reporter,
    /// Sums since the start.
    pub(crate) totals: Totals,
    /// The dispatch that the kernel holds; `None` before the first programming.
    pub(crate) enforced: Option<Dispatch>,
    /// The settings of logging that were followed last, and why not, if they could not be.
    log: Option<(Log, Option<String>)>,
    /// What other tables hold, as long as the ruleset is of this generation.
    pub(crate) foreign: Option<(u32, Foreign)>,
    /// Why foreign changes are found by the timer only, if that is so.
    pub(crate) deaf: Option<String>,
}

/// What other tables hold that matters to us.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreign {
    /// Chains that may drop (E-409).
    pub(crate) chains: Vec<ForeignChain>,
    /// Rules that write the packet mark (T-26).
    pub(crate) mark_writers: Vec<MarkWriter>,
}

impl Observe {
    /// The loop's part, and what the servers need.
    pub(crate) fn new(reporter: Reporter, events: Sender<Event>) -> (Self, Served) {
        let (settings, receiver) = watch::channel(Watching::default());
        let (board, complaints) = (Board::new(), Complaints::default());
        let served = Served { settings: receiver, board: board.clone(), complaints: complaints.clone(), events };
        let this = Self {
            board,
            progress: Progress::default(),
            settings,
            complaints,
            notifier: Notifier::default(),
            reporter,
            totals: Totals::default(),
            enforced: None,
            foreign: None,
            log: None,
            deaf: None,
        };
        (this, served)
    }

    /// Says what the loop does from now on.
    pub(crate) fn enter(&self, phase: Phase) {
        self.board.enter(phase);
    }

    /// Takes settings as they are now: servers follow by themselves.
    pub(crate) fn set(&self, watching: Watching) {
        self.board.set_limits(watching.limits);
        self.settings.send_if_modified(|present| {
            let is_new = *present != watching;
            *present = watching;
            is_new
        });
    }

    /// Logs as the settings say, where they changed.
    pub(crate) fn log(&mut self, log: &Log, set: impl Fn(&Log) -> Result<(), String>) {
        if self.log.as_ref().is_some_and(|(present, _)| present == log) {
            return;
        }
        let complaint = set(log).err();
        if let Some(text) = &complaint {
            tracing::warn!("{text}");
        }
        self.log = Some((log.clone(), complaint));
    }

    pub(crate) fn settings(&self) -> Watching {
        self.settings.borrow().clone()
    }

    /// Changes what readiness is judged by.
    pub(crate) fn progress(&mut self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress);
        self.board.set_progress(self.progress);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.board.readiness().ok
    }

    /// Calculating took this long.
    pub(crate) fn calculated(&mut self, took: Duration) {
        self.totals.calculations.add(took);
    }

    /// The kernel holds what is wanted, with this dispatch.
    pub(crate) fn programmed(&mut self, dispatch: &Dispatch, took: Option<Duration>) {
        if let Some(took) = took {
            self.totals.applies.add(took);
        }
        if self.enforced.as_ref() != Some(dispatch) {
            self.enforced = Some(dispatch.clone());
        }
        self.progress(|progress| progress.has_programmed = true);
    }

    /// Tells systemd what the state is.
    pub(crate) fn notify(&mut self, text: &str) {
        let has_started = self.board.has_started();
        self.notifier.tell(text, has_started);
    }

    /// Warnings about servers and listeners.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let deaf = self.deaf.iter().map(|error| format!("ruleset events ended, only the timer repairs: {error}"));
        let log = self.log.iter().filter_map(|(_, complaint)| complaint.clone());
        self.complaints.list().into_iter().chain(deaf).chain(log).collect()
    }
}

impl Drop for Observe {
    fn drop(&mut self) {
        self.board.enter(Phase::Ended);
    }
}
