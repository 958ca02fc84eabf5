//! The signals that end a daemon.

use nix::sys::signal::{SigSet, Signal};

use crate::exit::{Code, Failure};

/// SIGTERM and SIGINT, kept from every thread but the one that waits for them.
pub(crate) struct Signals(SigSet);

impl Signals {
    /// Keeps the signals from this thread and from all that it will start, so it comes before any thread is started.
    pub(crate) fn block() -> Result<Self, Failure> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTERM);
        signals.add(Signal::SIGINT);
        signals
            .thread_block()
            .map_err(|error| Failure::new(Code::General, format!("cannot block signals: {error}")))?;
        Ok(Self(signals))
    }

    /// Calls `stop` at the first of them, on a thread of its own.
    pub(crate) fn then(self, stop: impl Fn() + Send + 'static) -> Result<(), Failure> {
        let wait = move || {
            if let Ok(signal) = self.0.wait() {
                tracing::info!("received {signal}");
                stop();
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(wait)
            .map(drop)
            .map_err(|error| Failure::new(Code::General, format!("cannot wait for signals: {error}")))
    }
}
