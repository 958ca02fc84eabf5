//! The log of changes: appended by writers, read by watches, trimmed by writers.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::sql;
use crate::kv::{Event, EventBatch, Revision};

/// `op` of a write.
pub(super) const PUT: &str = "put";
/// `op` of a delete, by a user or because the time ran out.
pub(super) const DELETE: &str = "delete";

/// Number of revisions that are always kept.
pub(super) const KEEP_REVISIONS: u64 = 10_000;
/// Every revision younger than this is kept.
pub(super) const KEEP_TIME: Duration = Duration::from_secs(24 * 3600);
/// The least time between two trimmings.
const TRIM_INTERVAL: Duration = Duration::from_secs(60);
/// The most revisions that one trimming removes, so that no write waits long; more than are made in one interval.
const TRIM_REVISIONS_MAX: u64 = 30_000;

/// Appends one change.
#[expect(clippy::too_many_arguments, reason = "one argument for each column of the table")]
pub(super) fn append(
    connection: &Connection,
    rev: Revision,
    seq: i64,
    key: &str,
    op: &str,
    value: Option<&[u8]>,
    prev: Option<&[u8]>,
    at_ms: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO log (rev, seq, key, op, value, prev, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
        .execute(params![rev, seq, key, op, value, prev, at_ms])?;
    Ok(())
}

/// A stretch of the log, and where the store stood when it was read.
pub(super) struct Stretch {
    /// The store's revision.
    pub(super) revision: Revision,
    /// The newest revision that is no longer kept.
    pub(super) trimmed: Revision,
    /// The revision up to which `batches` is complete.
    pub(super) through: Revision,
    /// The changes, one batch for each revision that has any.
    pub(super) batches: Vec<EventBatch>,
}

/// Reads what changed after `after` in keys with one of `prefixes`, at most `revisions_max` revisions of it.
pub(super) fn read(
    connection: &mut Connection,
    prefixes: &[String],
    after: Revision,
    revisions_max: u64,
) -> rusqlite::Result<Stretch> {
    let transaction = connection.transaction()?;
    let revision = sql::meta_revision(&transaction, sql::REVISION)?;
    let trimmed = sql::meta_revision(&transaction, sql::TRIMMED)?;
    let through = Revision(revision.0.min(after.0.saturating_add(revisions_max)));
    let mut batches: Vec<EventBatch> = Vec::new();
    if after >= trimmed && after < through {
        let mut filters = Vec::new();
        let mut arguments: Vec<Box<dyn rusqlite::ToSql>> = vec![Box::new(after), Box::new(through)];
        for prefix in prefixes {
            let at = arguments.len();
            filters.push(format!("(key >= ?{} AND (?{} IS NULL OR key < ?{}))", at + 1, at + 2, at + 2));
            arguments.push(Box::new(prefix.clone()));
            arguments.push(Box::new(sql::after_prefix(prefix)));
        }
        let text = format!(
            "SELECT rev, key, value, prev FROM log WHERE rev > ?1 AND rev <= ?2 AND ({}) ORDER BY rev, seq",
            if filters.is_empty() { "FALSE".to_owned() } else { filters.join(" OR ") }
        );
        let mut statement = transaction.prepare_cached(&text)?;
        let mut rows = statement.query(params_from_iter(arguments.iter()))?;
        while let Some(row) = rows.next()? {
            let revision = row.get(0)?;
            let (value, previous) = (sql::bytes(row, 2)?, sql::bytes(row, 3)?);
            let event = Event { key: sql::text(row, 1)?, value, previous };
            match batches.last_mut() {
                Some(batch) if batch.revision == revision => batch.events.push(event),
                _ => batches.push(EventBatch { revision, events: vec![event] }),
            }
        }
    }
    transaction.commit()?;
    Ok(Stretch { revision, trimmed, through, batches })
}

/// What a key was given at a revision.
pub(super) fn value_at(connection: &Connection, key: &str, revision: Revision) -> rusqlite::Result<Option<Vec<u8>>> {
    // A user may name any number; SQLite counts no further.
    if i64::try_from(revision.0).is_err() {
        return Ok(None);
    }
    let found = connection
        .prepare_cached("SELECT value FROM log WHERE rev = ?1 AND key = ?2 ORDER BY seq DESC LIMIT 1")?
        .query_row(params![revision, key], |row| sql::bytes(row, 0))
        .optional()?;
    Ok(found.flatten())
}

/// Removes what need not be kept, at most once per minute. Runs inside of a writer's transaction.
pub(super) fn trim(connection: &Connection, revision: Revision, now_ms: i64) -> rusqlite::Result<()> {
    let last: i64 = sql::meta(connection, sql::TRIMMED_AT)?.unwrap_or(0);
    // A clock that was set back must not stop the trimming for ever.
    if (last..last.saturating_add(millis(TRIM_INTERVAL))).contains(&now_ms) {
        return Ok(());
    }
    sql::set_meta(connection, sql::TRIMMED_AT, now_ms)?;
    let trimmed = sql::meta_revision(connection, sql::TRIMMED)?;
    let newest = revision.0.saturating_sub(KEEP_REVISIONS).min(trimmed.0.saturating_add(TRIM_REVISIONS_MAX));
    // From the old end, so that the work is that of what goes.
    let first_young: Option<Revision> = connection
        .prepare_cached("SELECT rev FROM log WHERE rev <= ?1 AND at > ?2 ORDER BY rev LIMIT 1")?
        .query_row(params![Revision(newest), now_ms.saturating_sub(millis(KEEP_TIME))], |row| row.get(0))
        .optional()?;
    let through = first_young.map_or(newest, |young| young.0.saturating_sub(1));
    trim_through(connection, Revision(through))
}

/// Removes everything up to and with `through`.
pub(super) fn trim_through(connection: &Connection, through: Revision) -> rusqlite::Result<()> {
    if through <= sql::meta_revision(connection, sql::TRIMMED)? {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM log WHERE rev <= ?1")?.execute([through])?;
    sql::set_meta(connection, sql::TRIMMED, through)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::schema;

    const HOUR_MS: i64 = 3_600_000;

    /// A log of `count` revisions, one per second, the last at `now_ms`.
    fn filled(count: u64, now_ms: i64) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::initialise(&mut connection).unwrap();
        for rev in 1..=count {
            let at = now_ms - (count - rev) as i64 * 1000;
            append(&connection, Revision(rev), 0, "k", PUT, Some(b"v"), None, at).unwrap();
        }
        connection
    }

    fn after_trim(connection: &Connection, count: u64, now_ms: i64) -> (u64, i64) {
        trim(connection, Revision(count), now_ms).unwrap();
        let rows = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0)).unwrap();
        (sql::meta_revision(connection, sql::TRIMMED).unwrap().0, rows)
    }

    #[test]
    fn what_is_younger_than_a_day_or_among_the_last_ten_thousand_stays() {
        let now = 1_000 * HOUR_MS;
        let young = filled(10_500, now);
        assert_eq!(after_trim(&young, 10_500, now), (0, 10_500), "all of it is younger than a day");
        let later = now + 48 * HOUR_MS;
        assert_eq!(after_trim(&young, 10_500, later), (500, 10_000), "all of it is old, the last 10,000 stay");
        let mixed = filled(10_500, now);
        let partly = now + 24 * HOUR_MS - 10_400 * 1000;
        assert_eq!(after_trim(&mixed, 10_500, partly), (100, 10_400), "the first hundred are older than a day");
    }

    #[test]
    fn a_change_before_the_first_revision_is_left_alone() {
        // No writer makes one; a file may hold one all the same.
        let connection = filled(3, 1_000 * HOUR_MS);
        append(&connection, Revision(0), 0, "k", PUT, Some(b"v"), None, 1_000 * HOUR_MS).unwrap();
        assert_eq!(after_trim(&connection, 3, 1_000 * HOUR_MS), (0, 4));
    }

    #[test]
    fn trimming_happens_at_most_once_a_minute() {
        let now = 1_000 * HOUR_MS;
        let connection = filled(10_010, now - 48 * HOUR_MS);
        assert_eq!(after_trim(&connection, 10_005, now).0, 5);
        assert_eq!(after_trim(&connection, 10_010, now + 59_999).0, 5);
        assert_eq!(after_trim(&connection, 10_010, now + 60_000).0, 10);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_trimming() {
        let now = 1_000 * HOUR_MS;
        let connection = filled(10_010, now - 148 * HOUR_MS);
        assert_eq!(after_trim(&connection, 10_005, now).0, 5);
        assert_eq!(after_trim(&connection, 10_010, now - 100 * HOUR_MS).0, 10);
    }
}
