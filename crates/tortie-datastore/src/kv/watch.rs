//! Watches: what they deliver, and how they are stopped.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use super::{Kv, KvError, Revision};

/// One changed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: String,
    /// The new value; `None` when the key was deleted or its time ran out.
    pub value: Option<Vec<u8>>,
    /// What it held before; `None` when it did not exist.
    pub previous: Option<Vec<u8>>,
}

/// Everything of interest that changed at one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// The revision, which is also the mod revision of every key put in it.
    pub revision: Revision,
    /// The changes, never empty, in the order of the transaction.
    pub events: Vec<Event>,
}

/// What a watch delivers.
#[derive(Debug)]
pub enum WatchEvent {
    /// The changes of one revision.
    Batch(EventBatch),
    /// Everything up to and with this revision has been delivered.
    Progress(Revision),
    /// The watch is over; nothing follows.
    End(KvError),
}

/// Where a watch delivers. `Break` ends it.
pub type WatchSink = Box<dyn FnMut(WatchEvent) -> ControlFlow<()> + Send>;

/// A running watch. Dropping it stops its thread and waits until the sink has returned, so a sink must not drop its
/// own watch, nor block for ever.
pub struct Watch {
    stop: Option<Box<dyn FnOnce() + Send>>,
}

impl Watch {
    /// A watch that `stop` ends.
    pub fn new(stop: impl FnOnce() + Send + 'static) -> Self {
        Self { stop: Some(Box::new(stop)) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop();
        }
    }
}

/// A watch as something to read from, for callers with a thread of their own.
///
/// It holds a bounded number of events; when its reader is slow, the store's history holds the rest.
pub struct WatchReceiver {
    // Dropped before the watch, so that a sink that waits for room sees the end and lets its thread stop.
    receiver: Receiver<WatchEvent>,
    _watch: Watch,
}

/// Number of events that a [`WatchReceiver`] holds.
const RECEIVER_LEN_MAX: usize = 64;

/// Begins a watch that is read with [`WatchReceiver::next`].
///
/// # Errors
/// As [`Kv::watch`].
pub fn watch_receiver(kv: &dyn Kv, prefixes: &[&str], from: Revision) -> Result<WatchReceiver, KvError> {
    let (sender, receiver) = sync_channel(RECEIVER_LEN_MAX);
    let watch = kv.watch(prefixes, from, Box::new(move |event| forward(&sender, event)))?;
    Ok(WatchReceiver { receiver, _watch: watch })
}

fn forward(sender: &SyncSender<WatchEvent>, event: WatchEvent) -> ControlFlow<()> {
    match sender.send(event) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

impl WatchReceiver {
    /// The next event; `None` when none came within `timeout`, or none will come any more.
    pub fn next(&self, timeout: Duration) -> Option<WatchEvent> {
        self.receiver.recv_timeout(timeout).ok()
    }

    /// The next batch of changes, passing over progress.
    ///
    /// # Errors
    /// What ended the watch.
    pub fn next_batch(&self, timeout: Duration) -> Result<Option<EventBatch>, KvError> {
        loop {
            match self.next(timeout) {
                None => return Ok(None),
                Some(WatchEvent::Batch(batch)) => return Ok(Some(batch)),
                Some(WatchEvent::Progress(_)) => {}
                Some(WatchEvent::End(error)) => return Err(error),
            }
        }
    }
}
