//! The newest change below a prefix, deletions included (D-14).
//!
//! A linearizable read tells the store's revision and the newest put. A deleted key leaves nothing that a read could
//! find, so whether there were deletions since is asked in one of two ways, both within the prefix:
//!
//! * A watch of deletions from there on, and a request for progress: a server answers it with a revision when it has sent
//!   every event up to it. No timer is waited for, and other keys play no role.
//! * Servers older than 3.4.25 and 3.5.8 answer such a request before they have sent the events. There the number of keys
//!   is read at each revision in between: the last change, if it is no put, makes it smaller.
//!
//! What this handle has seen, by its own writes and its watches, is known already. History that was compacted away before
//! it was seen tells nothing any more; whoever reads afterwards has what came of it.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tortie_datastore::kv::{KvError, RESOURCE_PREFIX, Revision};

use crate::Inner;
use crate::link::Connection;
use crate::memory::{signed, unsigned};
use crate::proto::{self, Range, WatchAnswer, WatchAsk};
use crate::{range, read, rpc};

const ACTION: &str = "read its newest revision";
/// Reads at different revisions in one transaction.
const READS_MAX: u64 = 128;
/// A server that has not sent everything yet does not answer a request for progress, so it is asked again.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What reads can tell of the changes after one revision and up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changes {
    /// There are none.
    None,
    /// The newest is this one.
    Newest(u64),
    /// History is no longer kept in full.
    Compacted,
}

/// The revision of the newest change of resources.
pub(crate) async fn resource_revision(inner: &Inner) -> Result<Revision, KvError> {
    let before = inner.memory().mark();
    let newest_put = Range {
        limit: 1,
        keys_only: true,
        sort_order: proto::DESCENDING,
        sort_target: proto::BY_MOD_REVISION,
        ..range::ask(RESOURCE_PREFIX)
    };
    let answer = inner.link.call(rpc::RANGE, ACTION, newest_put).await?;
    let revision = inner.note(answer.header, before)?.0;
    let put = answer.kvs.first().map_or(0, |kv| unsigned(kv.mod_revision));
    let known = inner.memory().resources();
    let mut newest = put.max(known.newest);
    let after = newest.max(known.known_to);
    if after < revision
        && let Some(deletion) = newest_deletion(inner, after, revision).await?
    {
        newest = deletion;
    }
    let mut memory = inner.memory();
    if memory.mark().losses == before.losses {
        memory.changed(newest);
        memory.knows_to(revision);
    }
    Ok(Revision(newest))
}

async fn newest_deletion(inner: &Inner, after: u64, to: u64) -> Result<Option<u64>, KvError> {
    let connection = inner.link.connection(ACTION).await?;
    if !answers_progress(connection.version.as_deref()) {
        return match changes(inner, RESOURCE_PREFIX, after, to).await? {
            Changes::Newest(newest) => Ok(Some(newest)),
            Changes::None | Changes::Compacted => Ok(None),
        };
    }
    let deadline = Instant::now() + inner.link.settings().request_timeout;
    match tokio::time::timeout_at(deadline, watched_deletion(inner, &connection, after, to)).await {
        Ok(done) => done,
        Err(_) => {
            inner.link.failed(&connection).await;
            Err(inner.link.faults.unavailable(ACTION, format!("{}: no answer in time", connection.address)))
        }
    }
}

/// Whether a server answers a request for progress only after all events before it
/// (etcd's changelogs of 3.4.25 and 3.5.8: "progress notification not to be sent ahead of events").
pub(crate) fn answers_progress(version: Option<&str>) -> bool {
    // Only servers that are newer than these keep their version from anybody.
    let Some(version) = version else { return true };
    let mut numbers = version.split(['.', '-', '+']).map(|part| part.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    match (next(), next(), next()) {
        (0..=2, ..) | (3, 0..=3, _) => false,
        (3, 4, patch) => patch >= 25,
        (3, 5, patch) => patch >= 8,
        _ => true,
    }
}

async fn watched_deletion(inner: &Inner, connection: &Connection, after: u64, to: u64) -> Result<Option<u64>, KvError> {
    let mut from = after + 1;
    let mut newest = None;
    loop {
        let (key, range_end) = range::of_prefix(RESOURCE_PREFIX);
        let create = proto::WatchCreate {
            key,
            range_end,
            start_revision: signed(from),
            filters: vec![proto::NO_PUT],
            ..proto::WatchCreate::default()
        };
        let first = WatchAsk::Create(create).into();
        let (asks, mut answers) = inner.link.watch_stream(connection, ACTION, first).await?;
        loop {
            let Some(answer) = next(inner, connection, &mut answers).await? else {
                // Dropped when the stream is gone, which the next answer tells.
                let _ = asks.try_send(WatchAsk::Progress(proto::WatchProgress {}).into());
                continue;
            };
            if answer.canceled && answer.compact_revision > 0 {
                from = unsigned(answer.compact_revision).max(from + 1);
                break;
            }
            if answer.canceled {
                return Err(inner.link.faults.of_reason(ACTION, &connection.address, &answer.cancel_reason));
            }
            let revisions = answer.events.iter().filter_map(|event| event.kv.as_ref());
            newest = revisions.map(|kv| unsigned(kv.mod_revision)).max().max(newest);
            if !answer.created && answer.events.is_empty() && unsigned(answer.revision()) >= to {
                return Ok(newest);
            }
        }
        if from > to {
            return Ok(newest);
        }
    }
}

/// The next answer, or `None` when it is time to ask for progress.
async fn next(
    inner: &Inner,
    connection: &Connection,
    answers: &mut Streaming<WatchAnswer>,
) -> Result<Option<WatchAnswer>, KvError> {
    match timeout(ASK_AGAIN, answers.message()).await {
        Err(_) => Ok(None),
        Ok(Ok(Some(answer))) => Ok(Some(answer)),
        Ok(Ok(None)) => {
            inner.link.failed(connection).await;
            Err(inner.link.faults.unavailable(ACTION, format!("{}: the connection was closed", connection.address)))
        }
        Ok(Err(status)) => {
            inner.link.failed(connection).await;
            Err(inner.link.faults.of(ACTION, &connection.address, &status))
        }
    }
}

/// The newest change below a prefix after one revision and up to another, by reads alone.
pub(crate) async fn changes(inner: &Inner, prefix: &str, after: u64, to: u64) -> Result<Changes, KvError> {
    let puts =
        Range { revision: signed(to), min_mod_revision: signed(after + 1), keys_only: true, ..range::ask(prefix) };
    let put = match read::ranges(inner, ACTION, vec![puts]).await {
        Ok(answer) => read::answers(answer).flat_map(|range| range.kvs).map(|kv| unsigned(kv.mod_revision)).max(),
        Err(error) if read::is_compacted(&error) => return Ok(Changes::Compacted),
        Err(error) => return Err(error),
    };
    let first = after.max(put.unwrap_or(0)).max(1);
    let mut end = to;
    let mut len = READS_MAX;
    let mut count = None;
    while end >= first {
        let begin = (end + 1).saturating_sub(len).max(first);
        let counts = match counts(inner, prefix, begin, end).await {
            Ok(counts) => counts,
            // Where history begins is found by asking for less and less.
            Err(error) if read::is_compacted(&error) && begin < end => {
                len = (end - begin).div_ceil(2);
                continue;
            }
            Err(error) if read::is_compacted(&error) => return Ok(put.map_or(Changes::Compacted, Changes::Newest)),
            Err(error) => return Err(error),
        };
        for (revision, found) in (begin..=end).rev().zip(counts) {
            if *count.get_or_insert(found) != found {
                return Ok(Changes::Newest(revision + 1));
            }
        }
        end = begin - 1;
    }
    Ok(put.map_or(Changes::None, Changes::Newest))
}

/// How many keys there were at each revision, the last one first.
async fn counts(inner: &Inner, prefix: &str, begin: u64, end: u64) -> Result<Vec<i64>, KvError> {
    let at = |revision| Range { revision: signed(revision), count_only: true, ..range::ask(prefix) };
    let answer = read::ranges(inner, ACTION, (begin..=end).rev().map(at).collect()).await?;
    Ok(read::answers(answer).map(|range| range.count).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_whose_progress_is_proof() {
        for version in ["3.4.25", "3.4.34", "3.5.8", "3.5.21", "3.6.0", "3.7.0-rc.0", "4.0.0"] {
            assert!(answers_progress(Some(version)), "{version}");
        }
        for version in ["3.4.23", "3.4.0", "3.5.7", "3.5.0-alpha.0", "3.3.27", ""] {
            assert!(!answers_progress(Some(version)), "{version}");
        }
        assert!(answers_progress(None));
    }
}
