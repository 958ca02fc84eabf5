//! Write transactions: compares, revision, table, log, trimming and the sweep of keys whose time ran out.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::{log, read, sql, turn};
use crate::kv::{Compare, Entry, Op, RESOURCE_PREFIX, Revision, Txn, TxnOutcome};

/// Runs one transaction; the second result says whether anything changed, so that the bell is to be rung.
pub(super) fn txn(
    connection: &mut Connection,
    file: &Path,
    txn: &Txn,
    now_ms: i64,
) -> rusqlite::Result<(TxnOutcome, bool)> {
    let transaction = turn::begin(connection, file)?;
    let swept = sweep_expired(&transaction, now_ms)?;
    for (position, compare) in txn.compares.iter().enumerate() {
        if let Err(current) = check(&transaction, compare, now_ms)? {
            transaction.commit()?;
            return Ok((TxnOutcome::Failed { compare: position, current }, swept > 0));
        }
    }
    let before = sql::meta_revision(&transaction, sql::REVISION)?;
    let mut change =
        Change { connection: &transaction, revision: before.next(), seq: 0, now_ms, touches_resource: false };
    let mut previous = Vec::with_capacity(txn.ops.len());
    for op in &txn.ops {
        previous.push(match op {
            Op::Put { key, value, ttl } => change.put(key, value, *ttl)?,
            Op::Delete { key } => change.delete(key)?,
        });
    }
    let revision = change.finish(before)?;
    if revision != before {
        log::trim(&transaction, revision, now_ms)?;
    }
    transaction.commit()?;
    Ok((TxnOutcome::Committed { revision, previous }, swept > 0 || revision != before))
}

/// Deletes the keys whose time ran out; their number.
pub(super) fn sweep(connection: &mut Connection, file: &Path, now_ms: i64) -> rusqlite::Result<usize> {
    let transaction = turn::begin(connection, file)?;
    let swept = sweep_expired(&transaction, now_ms)?;
    transaction.commit()?;
    Ok(swept)
}

/// When the next key's time runs out, in milliseconds since 1970.
pub(super) fn next_expiry(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT min(expires_at) FROM kv WHERE expires_at IS NOT NULL")?
        .query_row([], |row| row.get(0))
}

/// Expiry is a delete with a revision of its own, before that of the transaction in which it is noticed.
fn sweep_expired(connection: &Connection, now_ms: i64) -> rusqlite::Result<usize> {
    let expired: Vec<String> = connection
        .prepare_cached("SELECT key FROM kv WHERE expires_at IS NOT NULL AND expires_at <= ?1 ORDER BY key")?
        .query_map([now_ms], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if expired.is_empty() {
        return Ok(0);
    }
    let before = sql::meta_revision(connection, sql::REVISION)?;
    let mut change = Change { connection, revision: before.next(), seq: 0, now_ms, touches_resource: false };
    for key in &expired {
        change.delete(key)?;
    }
    change.finish(before)?;
    Ok(expired.len())
}

/// `Err` holds what stands against the compare.
fn check(connection: &Connection, compare: &Compare, now_ms: i64) -> rusqlite::Result<Result<(), Option<Entry>>> {
    let (holds, current) = match compare {
        Compare::Absent(key) => {
            let current = read::get(connection, key, now_ms)?;
            (current.is_none(), current)
        }
        Compare::Present(key) => {
            let current = read::get(connection, key, now_ms)?;
            (current.is_some(), current)
        }
        Compare::Unchanged(key, revision) => {
            let current = read::get(connection, key, now_ms)?;
            (current.as_ref().is_some_and(|entry| entry.mod_rev == *revision), current)
        }
        Compare::NoPutSince(prefix, revision) => {
            let current = read::first_put_since(connection, prefix, *revision)?;
            (current.is_none(), current)
        }
    };
    Ok(if holds { Ok(()) } else { Err(current) })
}

/// As the present moment: every key is read, also one whose time ran out.
const EVEN_EXPIRED: i64 = i64::MIN;

/// The changes of one revision.
struct Change<'c> {
    connection: &'c Connection,
    revision: Revision,
    /// Number of changes so far.
    seq: i64,
    now_ms: i64,
    touches_resource: bool,
}

impl Change<'_> {
    fn put(&mut self, key: &str, value: &[u8], ttl: Option<Duration>) -> rusqlite::Result<Option<Entry>> {
        let previous = read::get(self.connection, key, EVEN_EXPIRED)?;
        let expires_at = ttl.map(|ttl| {
            let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
            self.now_ms.saturating_add(ttl_ms)
        });
        let (create_rev, version) =
            previous.as_ref().map_or((self.revision, 1), |entry| (entry.create_rev, entry.version + 1));
        self.connection
            .prepare_cached(
                "INSERT INTO kv (key, value, create_rev, mod_rev, version, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value, create_rev = excluded.create_rev,
                 mod_rev = excluded.mod_rev, version = excluded.version, expires_at = excluded.expires_at",
            )?
            .execute(params![key, value, create_rev, self.revision, Revision(version), expires_at])?;
        self.record(key, log::PUT, Some(value), previous.as_ref())?;
        Ok(previous)
    }

    fn delete(&mut self, key: &str) -> rusqlite::Result<Option<Entry>> {
        let Some(previous) = read::get(self.connection, key, EVEN_EXPIRED)? else { return Ok(None) };
        self.connection.prepare_cached("DELETE FROM kv WHERE key = ?1")?.execute([key])?;
        self.record(key, log::DELETE, None, Some(&previous))?;
        Ok(Some(previous))
    }

    fn record(&mut self, key: &str, op: &str, value: Option<&[u8]>, previous: Option<&Entry>) -> rusqlite::Result<()> {
        let previous = previous.map(|entry| entry.value.as_slice());
        log::append(self.connection, self.revision, self.seq, key, op, value, previous, self.now_ms)?;
        self.seq += 1;
        self.touches_resource |= key.starts_with(RESOURCE_PREFIX);
        Ok(())
    }

    /// Writes the revision, unless nothing changed; the store's revision afterwards.
    fn finish(self, before: Revision) -> rusqlite::Result<Revision> {
        if self.seq == 0 {
            return Ok(before);
        }
        sql::set_meta(self.connection, sql::REVISION, self.revision)?;
        if self.touches_resource {
            sql::set_meta(self.connection, sql::RESOURCE_REVISION, self.revision)?;
        }
        Ok(self.revision)
    }
}
