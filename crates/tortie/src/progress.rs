//! One line on standard error that says how far a long command is (cli.md section 2.8).

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Global;

/// Redraws for each second.
const RATE: u8 = 10;

/// A line that is cleared when this is dropped; nothing where nobody watches.
pub(crate) struct Progress(ProgressBar);

impl Global {
    /// Begins a line that counts to `all`, and guesses how long that will take.
    pub(crate) fn progress(&self, past: &'static str, all: usize) -> Progress {
        self.line("{wide_bar} {pos}/{len} {msg}, {eta} left", past, all)
    }

    /// Begins a line that counts to `all` by what others do.
    pub(crate) fn waiting(&self, what: &'static str, all: usize) -> Progress {
        self.line("{wide_bar} {pos}/{len} {msg}", what, all)
    }

    fn line(&self, template: &str, message: &'static str, all: usize) -> Progress {
        let is_shown = !self.no_progress && !self.quiet && std::io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr_with_hz(RATE) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(all as u64), target).with_message(message);
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(1_000 / u64::from(RATE)));
        Progress(bar)
    }
}

impl Progress {
    /// How many of all there are by now.
    pub(crate) fn reach(&self, count: usize) {
        self.0.set_position(count as u64);
    }

    pub(crate) fn step(&self, count: usize) {
        self.0.inc(count as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
