//! A watch: one thread that reads one stream, on which there is a watch for each prefix, and hands on whole revisions.
//!
//! When the connection breaks, the stream is opened again after the last revision that was delivered, at another member
//! if need be: nothing is lost and nothing comes twice, and nobody has to read everything anew because a server was
//! restarted. Before that, the store is asked whether it still has the history that was seen; a restored backup, or
//! another store in its place, ends the watch. So does a store that stays away for longer than a connection may take.

mod assemble;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tonic::Streaming;
use tortie_datastore::kv::{FaultKind, KvError, RESOURCE_PREFIX, Revision, Watch, WatchEvent, WatchSink};

use self::assemble::Assembler;
use crate::Inner;
use crate::link::Connection;
use crate::memory::{Mark, Witness, signed, unsigned};
use crate::newest::{ASK_AGAIN, Changes, answers_progress, changes};
use crate::proto::{self, Range, WatchAnswer, WatchAsk, WatchRequest};
use crate::read::is_compacted;
use crate::{range, rpc};

const ACTION: &str = "watch it";
/// The first pause between attempts to open the stream again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Starts a watch.
pub(crate) fn start(inner: Arc<Inner>, prefixes: &[&str], from: Revision, sink: WatchSink) -> Result<Watch, KvError> {
    let prefixes = disjoint(prefixes);
    let start = Revision(from.0.saturating_sub(1));
    let (stop, stopped) = watch::channel(false);
    let mark = inner.memory().mark();
    let failed = |error: std::io::Error| inner.link.faults.fault(ACTION, FaultKind::Other, error.to_string());
    let mut watcher =
        Watcher { start, delivered: start, prefixes, mark, stream: None, sink, stopped, inner: Arc::clone(&inner) };
    let thread = thread::Builder::new().name("etcd-watch".to_owned()).spawn(move || watcher.run()).map_err(failed)?;
    Ok(Watch::new(move || {
        // Without a receiver the thread is over already.
        let _ = stop.send(true);
        // A sink that panicked has been reported by its thread; there is nothing left to stop.
        let _ = thread.join();
    }))
}

/// The prefixes without those that lie within another one.
fn disjoint(prefixes: &[&str]) -> Vec<String> {
    let mut sorted: Vec<&str> = prefixes.to_vec();
    sorted.sort_unstable();
    let mut kept: Vec<String> = Vec::new();
    for prefix in sorted {
        if !kept.last().is_some_and(|last| prefix.starts_with(last.as_str())) {
            kept.push(prefix.to_owned());
        }
    }
    kept
}

struct Watcher {
    inner: Arc<Inner>,
    prefixes: Vec<String>,
    /// How far the store was seen to be when this watch began, or opened its stream the last time.
    mark: Mark,
    /// The revision after which this watch began.
    start: Revision,
    /// Everything up to this revision was delivered, or was not asked for.
    delivered: Revision,
    stream: Option<Stream>,
    sink: WatchSink,
    stopped: watch::Receiver<bool>,
}

/// An open stream.
struct Stream {
    connection: Connection,
    asks: mpsc::Sender<WatchRequest>,
    answers: Streaming<WatchAnswer>,
    assembler: Assembler,
}

/// What comes of an answer.
enum Step {
    Deliver(Vec<WatchEvent>),
    /// The stream is of no more use; the store may be.
    Broken(KvError),
}

impl Watcher {
    fn run(&mut self) {
        let runtime = self.inner.handle();
        let mut stopped = self.stopped.clone();
        loop {
            // The sink may block: it never runs inside of the runtime.
            let step = runtime.block_on(async {
                tokio::select! {
                    biased;
                    // An error means that the watch was dropped without a word.
                    _ = stopped.wait_for(|stopped| *stopped) => None,
                    step = self.step() => Some(step),
                }
            });
            match step {
                None => return,
                Some(Ok(events)) => {
                    for event in events {
                        if (self.sink)(event) == ControlFlow::Break(()) {
                            return;
                        }
                    }
                }
                Some(Err(error)) => {
                    // It is the last event; whether the sink wants more is no longer of interest.
                    let _ = (self.sink)(WatchEvent::End(error));
                    return;
                }
            }
        }
    }

    /// Waits for whatever is next.
    async fn step(&mut self) -> Result<Vec<WatchEvent>, KvError> {
        let Some(stream) = self.stream.as_mut() else {
            self.stream = Some(self.open_in_time().await?);
            return Ok(Vec::new());
        };
        match stream.next(&self.inner, &self.prefixes, self.delivered).await? {
            Step::Deliver(events) => {
                self.delivered = stream.assembler.delivered();
                self.remember(&events);
                Ok(events)
            }
            Step::Broken(error) => {
                tracing::debug!("{error}: opening the watch again after revision {}", self.delivered);
                self.inner.link.failed(&stream.connection).await;
                self.stream = None;
                Ok(Vec::new())
            }
        }
    }

    /// Whoever watches all resources knows their newest change without asking (D-14).
    fn remember(&self, events: &[WatchEvent]) {
        let mut memory = self.inner.memory();
        if memory.mark().losses != self.mark.losses {
            return;
        }
        let sees_all = self.prefixes.iter().any(|prefix| RESOURCE_PREFIX.starts_with(prefix.as_str()));
        for event in events {
            if let WatchEvent::Batch(batch) = event
                && batch.events.iter().any(|event| event.key.starts_with(RESOURCE_PREFIX))
            {
                memory.changed(batch.revision.0);
            }
        }
        if sees_all && memory.resources().known_to >= self.start.0 {
            memory.knows_to(self.delivered.0);
        }
    }

    /// Opens the stream, trying again for as long as a connection may take.
    async fn open_in_time(&mut self) -> Result<Stream, KvError> {
        let deadline = Instant::now() + self.inner.link.settings().connect_timeout;
        let mut pause = PAUSE_MIN;
        loop {
            match self.open().await {
                Err(error) if error.is_indefinite() && Instant::now() + pause < deadline => {}
                done => return done,
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn open(&mut self) -> Result<Stream, KvError> {
        self.check_history().await?;
        let connection = self.inner.link.connection(ACTION).await?;
        let mut creates = self.prefixes.iter().enumerate().map(|(id, prefix)| self.create(id, prefix));
        let Some(first) = creates.next() else { return std::future::pending().await };
        let (asks, answers) = self.inner.link.watch_stream(&connection, ACTION, first).await?;
        for create in creates {
            // A stream that is gone says so with its next answer.
            let _ = asks.send(create).await;
        }
        let trusts_progress = answers_progress(connection.version.as_deref());
        let assembler = Assembler::new(self.prefixes.len(), self.delivered, trusts_progress);
        Ok(Stream { connection, asks, answers, assembler })
    }

    fn create(&self, id: usize, prefix: &str) -> WatchRequest {
        let (key, range_end) = range::of_prefix(prefix);
        WatchAsk::Create(proto::WatchCreate {
            key,
            range_end,
            start_revision: signed(self.delivered.next().0),
            progress_notify: true,
            prev_kv: true,
            // The server counts from zero as well; zero leaves the choice to it.
            watch_id: i64::try_from(id).unwrap_or(i64::MAX),
            fragment: true,
            ..proto::WatchCreate::default()
        })
        .into()
    }

    /// Asks whether the store still has the history that was seen.
    ///
    /// # Errors
    /// [`KvError::WentBack`] and [`KvError::Replaced`]; [`KvError::Compacted`] when it cannot be told any more.
    async fn check_history(&mut self) -> Result<(), KvError> {
        let (before, witness) = {
            let memory = self.inner.memory();
            (memory.mark(), memory.witness())
        };
        let place = || self.inner.link.faults.place.clone();
        if before.losses != self.mark.losses {
            let (seen, found) = (self.delivered, Revision(before.revision));
            return Err(KvError::WentBack { store: place(), seen, found });
        }
        let ask = match (&witness, self.prefixes.first()) {
            (Some(witness), _) => range::ask_key(&witness.key),
            (None, Some(prefix)) => Range { limit: 1, keys_only: true, ..range::ask(prefix) },
            (None, None) => return Ok(()),
        };
        let answer = self.inner.link.call(rpc::RANGE, ACTION, ask).await?;
        let header = answer.header;
        let found = self.inner.note(header, before)?;
        if before.losses > 0 && self.delivered > found {
            return Err(KvError::WentBack { store: place(), seen: self.delivered, found });
        }
        if let Some(witness) = witness
            && !self.has(&witness, answer.kvs.first()).await?
        {
            let header = header.unwrap_or_default();
            self.inner.memory().lose(header.cluster_id, unsigned(header.revision));
            return Err(KvError::Replaced { store: place() });
        }
        self.mark = self.inner.memory().mark();
        Ok(())
    }

    /// Whether the store has a change that was seen; `present` is what its key holds now.
    async fn has(&self, witness: &Witness, present: Option<&proto::KeyValue>) -> Result<bool, KvError> {
        match present {
            Some(kv) if unsigned(kv.mod_revision) <= witness.revision => return Ok(witness.is(kv)),
            _ => {}
        }
        let ask = Range { revision: signed(witness.revision), ..range::ask_key(&witness.key) };
        match self.inner.link.call(rpc::RANGE, ACTION, ask).await {
            Ok(answer) => Ok(answer.kvs.first().is_some_and(|kv| witness.is(kv))),
            Err(error) if is_compacted(&error) => {
                let from = self.delivered.next();
                Err(KvError::Compacted { from, trimmed: Revision(witness.revision) })
            }
            Err(error) => Err(error),
        }
    }
}

impl Stream {
    async fn next(&mut self, inner: &Inner, prefixes: &[String], delivered: Revision) -> Result<Step, KvError> {
        let answer = if self.assembler.is_waiting() {
            match timeout(ASK_AGAIN, self.answers.message()).await {
                Ok(answer) => answer,
                Err(_) => return self.ask_progress(inner, prefixes).await,
            }
        } else {
            self.answers.message().await
        };
        let faults = &inner.link.faults;
        match answer {
            Ok(Some(answer)) if answer.canceled => self.canceled(inner, &answer, delivered).await,
            Ok(Some(answer)) => {
                self.see(inner, &answer);
                Ok(Step::Deliver(self.assembler.take(answer)))
            }
            Ok(None) => {
                Ok(Step::Broken(faults.unavailable(ACTION, format!("{}: the stream ended", self.connection.address))))
            }
            Err(status) => {
                let error = faults.of(ACTION, &self.connection.address, &status);
                let may_go_on = error.is_indefinite() || crate::fault::is_stale_token(&status);
                if may_go_on { Ok(Step::Broken(error)) } else { Err(error) }
            }
        }
    }

    /// What was put last is the witness of the history that was seen.
    fn see(&self, inner: &Inner, answer: &WatchAnswer) {
        let mut memory = inner.memory();
        for event in &answer.events {
            if let Some(kv) = event.kv.as_ref().filter(|_| event.kind != proto::EVENT_DELETE) {
                memory.witnessed(kv);
            }
        }
    }

    async fn canceled(&self, inner: &Inner, answer: &WatchAnswer, delivered: Revision) -> Result<Step, KvError> {
        if answer.compact_revision > 0 {
            let trimmed = Revision(unsigned(answer.compact_revision).saturating_sub(1));
            return Err(KvError::Compacted { from: delivered.next(), trimmed });
        }
        let error = inner.link.faults.of_reason(ACTION, &self.connection.address, &answer.cancel_reason);
        if answer.cancel_reason.contains("invalid auth token") {
            inner.link.renew(&self.connection).await;
            return Ok(Step::Broken(error));
        }
        if error.is_indefinite() { Ok(Step::Broken(error)) } else { Err(error) }
    }

    /// Some watch of the stream is ahead of the others: finds out whether they have events to come.
    async fn ask_progress(&mut self, inner: &Inner, prefixes: &[String]) -> Result<Step, KvError> {
        if self.assembler.trusts_progress() {
            // A stream that is gone says so with its next answer; one that is full has been asked.
            let _ = self.asks.try_send(WatchAsk::Progress(proto::WatchProgress {}).into());
            return Ok(Step::Deliver(Vec::new()));
        }
        let to = self.assembler.newest();
        for (watch, reached) in self.assembler.behind(to) {
            match changes(inner, &prefixes[watch], reached, to).await? {
                Changes::None => self.assembler.reach(watch, to),
                // They are on their way.
                Changes::Newest(_) => {}
                Changes::Compacted => {
                    let from = self.assembler.delivered().next();
                    return Err(KvError::Compacted { from, trimmed: Revision(to) });
                }
            }
        }
        Ok(Step::Deliver(self.assembler.complete()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_within_another_needs_no_watch() {
        assert_eq!(disjoint(&["/b/c", "/a/", "/b/", "/a/"]), ["/a/", "/b/"]);
        assert_eq!(disjoint(&["x", ""]), [""]);
    }
}
