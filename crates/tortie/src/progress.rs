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
    /// Begins a line that counts to `all`.
    pub(crate) fn progress(&self, past: &'static str, all: usize) -> Progress {
        let is_shown = !self.no_progress && !self.quiet && std::io::stderr().is_terminal();
        let target = if is_shown { ProgressDrawTarget::stderr_with_hz(RATE) } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(all as u64), target).with_message(past);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}, {eta} left") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(1_000 / u64::from(RATE)));
        Progress(bar)
    }
}

impl Progress {
    pub(crate) fn step(&self, count: usize) {
        self.0.inc(count as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
