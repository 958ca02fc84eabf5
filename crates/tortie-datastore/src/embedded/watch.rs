//! A watch: one thread that listens to the bell, reads the log and hands it on.

use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rusqlite::Connection;

use super::bell::Listener;
use super::{Access, Inner, connection, fault, log, now_ms, write};
use crate::kv::{KvError, Revision, Watch, WatchEvent, WatchSink};

/// How often a watch looks although no bell rang: a writer may have been killed between its commit and the bell.
const SAFETY_INTERVAL: Duration = Duration::from_secs(1);
/// Number of revisions read in one go.
const STRETCH_LEN_MAX: u64 = 500;

/// Starts a watch. The database, if there is one, is opened before this returns: from then on its removal or
/// replacement is noticed.
pub(super) fn start(inner: Arc<Inner>, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError> {
    let failed = |error: std::io::Error| fault::classify_io(&inner.file, "watch it", error);
    let listener = Listener::new(&inner.file).map_err(failed)?;
    let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK).map_err(|e| failed(e.into()))?;
    let stop = Arc::new(stop);
    let mut watcher = Watcher {
        prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
        connection: connection::open_existing(&inner.file, Access::Read)?,
        data_version: None,
        after: Revision(from.0.saturating_sub(1)),
        seen: Revision::ZERO,
        next_expiry_ms: None,
        sweep_not_before: Instant::now(),
        listener,
        stop: Arc::clone(&stop),
        sink,
        inner: Arc::clone(&inner),
    };
    let thread = thread::Builder::new().name("store-watch".to_owned()).spawn(move || watcher.run()).map_err(failed)?;
    Ok(Watch::new(move || {
        // A counter of 64 bits that is written once cannot be full.
        let _ = stop.write(1);
        // A sink that panicked has been reported by its thread; there is nothing left to stop.
        let _ = thread.join();
    }))
}

struct Watcher {
    inner: Arc<Inner>,
    prefixes: Vec<String>,
    connection: Option<Connection>,
    /// `PRAGMA data_version` at the last look; it changes with every commit of another connection.
    data_version: Option<i64>,
    /// Everything up to this revision was delivered, or was not asked for.
    after: Revision,
    /// The newest revision that the store was seen to have.
    seen: Revision,
    next_expiry_ms: Option<i64>,
    sweep_not_before: Instant,
    listener: Listener,
    stop: Arc<EventFd>,
    sink: WatchSink,
}

/// Why a watch stops.
enum Stop {
    Asked,
    Failed(KvError),
}

impl From<KvError> for Stop {
    fn from(error: KvError) -> Self {
        Stop::Failed(error)
    }
}

impl Watcher {
    fn run(&mut self) {
        loop {
            self.listener.listen();
            let turn = self.look().and_then(|()| {
                self.sweep();
                self.wait()
            });
            match turn {
                Ok(()) => {}
                Err(Stop::Asked) => return,
                Err(Stop::Failed(error)) => {
                    // It is the last event; whether the sink wants more is no longer of interest.
                    let _ = (self.sink)(WatchEvent::End(error));
                    return;
                }
            }
        }
    }

    /// Delivers whatever is new.
    fn look(&mut self) -> Result<(), Stop> {
        if self.connection.as_ref().is_some_and(connection::has_moved) {
            let store = self.inner.describe();
            let lost = if self.inner.file.exists() { KvError::Replaced { store } } else { KvError::Removed { store } };
            return Err(lost.into());
        }
        if self.connection.is_none() {
            self.connection = connection::open_existing(&self.inner.file, Access::Read)?;
        }
        let file = self.inner.file.clone();
        let failed = |error| Stop::Failed(fault::classify(&file, "watch it", error));
        let Some(connection) = self.connection.as_mut() else { return Ok(()) };
        let version = connection.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(failed)?;
        if self.data_version == Some(version) {
            return Ok(());
        }
        loop {
            let connection = self.connection.as_mut().expect("it was opened above");
            let stretch = log::read(connection, &self.prefixes, self.after, STRETCH_LEN_MAX).map_err(failed)?;
            self.deliver(&stretch)?;
            if self.after >= stretch.revision {
                break;
            }
            self.check_stop()?;
        }
        let connection = self.connection.as_mut().expect("it was opened above");
        self.next_expiry_ms = write::next_expiry(connection).map_err(failed)?;
        // Read before the log was, so that a commit in between leads to another look.
        self.data_version = Some(version);
        Ok(())
    }

    fn deliver(&mut self, stretch: &log::Stretch) -> Result<(), Stop> {
        if stretch.revision < self.seen {
            let store = self.inner.describe();
            return Err(KvError::WentBack { store, seen: self.seen, found: stretch.revision }.into());
        }
        self.seen = stretch.revision;
        if self.after < stretch.trimmed {
            return Err(KvError::Compacted { from: self.after.next(), trimmed: stretch.trimmed }.into());
        }
        if self.after >= stretch.through {
            return Ok(());
        }
        for batch in &stretch.batches {
            self.send(WatchEvent::Batch(batch.clone()))?;
        }
        self.after = stretch.through;
        if stretch.batches.last().is_none_or(|batch| batch.revision < stretch.through) {
            self.send(WatchEvent::Progress(stretch.through))?;
        }
        Ok(())
    }

    fn send(&mut self, event: WatchEvent) -> Result<(), Stop> {
        match (self.sink)(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Stop::Asked),
        }
    }

    /// Deletes keys whose time ran out, if this handle may write.
    fn sweep(&mut self) {
        let is_due = self.next_expiry_ms.is_some_and(|due| due <= now_ms());
        if self.inner.access != Access::Write || !is_due || Instant::now() < self.sweep_not_before {
            return;
        }
        if let Err(error) = self.inner.sweep() {
            tracing::warn!(%error, "cannot delete keys whose time ran out");
            self.sweep_not_before = Instant::now() + SAFETY_INTERVAL;
        }
    }

    fn check_stop(&self) -> Result<(), Stop> {
        match self.stop.read() {
            Ok(_) => Err(Stop::Asked),
            Err(_) => Ok(()),
        }
    }

    /// Sleeps until the bell rings, a key's time runs out, the safety interval is over, or the watch is to stop.
    fn wait(&self) -> Result<(), Stop> {
        let mut timeout = SAFETY_INTERVAL;
        if self.inner.access == Access::Write
            && Instant::now() >= self.sweep_not_before
            && let Some(due) = self.next_expiry_ms
        {
            let until = u64::try_from(due.saturating_sub(now_ms())).unwrap_or(0);
            timeout = timeout.min(Duration::from_millis(until.saturating_add(1)));
        }
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        let mut descriptors =
            [PollFd::new(self.stop.as_fd(), PollFlags::POLLIN), PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(fault::classify_io(&self.inner.file, "watch it", errno.into()).into()),
        }
        self.listener.drain();
        self.check_stop()
    }
}
