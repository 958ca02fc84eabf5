//! What systemd is told (`sd_notify(3)`): nothing at all when `NOTIFY_SOCKET` is not set.

use std::time::Duration;

use sd_notify::NotifyState;

use crate::health::Board;

/// How often systemd is asked for more time while the agent is alive and not ready: a store that cannot be reached is no
/// reason to be killed (E-703).
const PATIENCE: Duration = Duration::from_secs(20);
/// How much time it is asked for, in microseconds.
const MORE_TIME_US: u32 = 60_000_000;

/// Tells the state of the loop whenever it changes.
#[derive(Default)]
pub(crate) struct Notifier {
    has_started: bool,
    text: String,
}

impl Notifier {
    /// The present state: a line for people, and whether whoever waits for the start may go on.
    pub(crate) fn tell(&mut self, text: &str, has_started: bool) {
        // A line break would begin the next assignment.
        let text = text.replace('\n', " ");
        if has_started && !self.has_started {
            self.has_started = true;
            send(&[NotifyState::Ready, NotifyState::Status(&text)]);
        } else if text != self.text {
            send(&[NotifyState::Status(&text)]);
        }
        self.text = text;
    }
}

/// The agent is about to end.
pub(crate) fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Keeps the watchdog quiet while the agent is alive, for as long as the process runs. Ends at once without a watchdog.
pub(crate) async fn watchdog(board: Board) {
    let Some(timeout) = sd_notify::watchdog_enabled().filter(|timeout| !timeout.is_zero()) else { return };
    loop {
        let answer = board.liveness();
        if answer.ok {
            send(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("not alive, so systemd may end this process: {}", answer.reasons.join("; "));
        }
        // Half of it, as systemd recommends.
        tokio::time::sleep(timeout / 2).await;
    }
}

/// Asks for more time to start until the agent is ready, if it runs under systemd.
pub(crate) async fn ask_for_time(board: Board) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    while !board.has_started() {
        if board.liveness().ok {
            send(&[NotifyState::ExtendTimeoutUsec(MORE_TIME_US)]);
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

fn send(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!("cannot notify systemd: {error}");
    }
}
