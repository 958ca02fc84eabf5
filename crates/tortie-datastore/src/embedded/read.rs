//! Reading keys from one snapshot.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::sql;
use crate::kv::{Entry, Revision, Snapshot, Span};

const COLUMNS: &str = "key, value, create_rev, mod_rev, version";

/// Reads all spans in one transaction. A key whose time ran out reads as deleted, though nobody may have swept it yet.
pub(super) fn read(connection: &mut Connection, spans: &[Span], now_ms: i64) -> rusqlite::Result<Snapshot> {
    let transaction = connection.transaction()?;
    let revision = sql::meta_revision(&transaction, sql::REVISION)?;
    let store = sql::meta(&transaction, sql::STORE_ID)?;
    let spans = spans.iter().map(|span| read_span(&transaction, span, now_ms)).collect::<rusqlite::Result<_>>()?;
    transaction.commit()?;
    Ok(Snapshot { revision, store, spans })
}

fn read_span(connection: &Connection, span: &Span, now_ms: i64) -> rusqlite::Result<Vec<Entry>> {
    let (prefix, limit) = match span {
        Span::Key(key) => return Ok(get(connection, key, now_ms)?.into_iter().collect()),
        Span::Prefix(prefix) => (prefix, -1_i64),
        Span::First(prefix) => (prefix, 1),
    };
    let text = format!(
        "SELECT {COLUMNS} FROM kv WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)
         AND (expires_at IS NULL OR expires_at > ?3) ORDER BY key LIMIT ?4"
    );
    connection
        .prepare_cached(&text)?
        .query_map(params![prefix, sql::after_prefix(prefix), now_ms, limit], entry)?
        .collect()
}

/// One key, unless its time ran out.
pub(super) fn get(connection: &Connection, key: &str, now_ms: i64) -> rusqlite::Result<Option<Entry>> {
    let text = format!("SELECT {COLUMNS} FROM kv WHERE key = ?1 AND (expires_at IS NULL OR expires_at > ?2)");
    connection.prepare_cached(&text)?.query_row(params![key, now_ms], entry).optional()
}

/// The first key with `prefix` that was put after `revision`.
pub(super) fn first_put_since(
    connection: &Connection,
    prefix: &str,
    revision: Revision,
) -> rusqlite::Result<Option<Entry>> {
    let text = format!(
        "SELECT {COLUMNS} FROM kv WHERE key >= ?1 AND (?2 IS NULL OR key < ?2) AND mod_rev > ?3 ORDER BY key LIMIT 1"
    );
    connection.prepare_cached(&text)?.query_row(params![prefix, sql::after_prefix(prefix), revision], entry).optional()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: sql::text(row, 0)?,
        value: sql::bytes(row, 1)?.unwrap_or_default(),
        create_rev: row.get(2)?,
        mod_rev: row.get(3)?,
        version: row.get::<_, Revision>(4)?.0,
    })
}
