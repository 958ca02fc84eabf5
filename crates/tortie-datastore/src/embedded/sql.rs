//! Small pieces of SQL that several modules need.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::kv::Revision;

/// Row of `meta`: the store's present revision.
pub(super) const REVISION: &str = "revision";
/// Row of `meta`: the newest revision that the log no longer holds.
pub(super) const TRIMMED: &str = "trimmed";
/// Row of `meta`: when the log was last trimmed, in milliseconds since 1970.
pub(super) const TRIMMED_AT: &str = "trimmed_at";
/// Row of `meta`: the revision of the newest change under the resource prefix (D-14).
pub(super) const RESOURCE_REVISION: &str = "resource_revision";
/// Row of `meta`: the random identity of this store.
pub(super) const STORE_ID: &str = "store_id";
/// Row of `meta`: the version of the schema.
pub(super) const SCHEMA: &str = "schema";

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Revision).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Revision {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let number = i64::try_from(self.0).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        Ok(number.into())
    }
}

/// A revision of `meta`; zero when the row is missing.
pub(super) fn meta_revision(connection: &Connection, name: &str) -> rusqlite::Result<Revision> {
    Ok(meta(connection, name)?.unwrap_or_default())
}

/// A row of `meta`.
pub(super) fn meta<T: FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<Option<T>> {
    connection.prepare_cached("SELECT v FROM meta WHERE k = ?1")?.query_row([name], |row| row.get(0)).optional()
}

/// Writes a row of `meta`.
pub(super) fn set_meta(connection: &Connection, name: &str, value: impl ToSql) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO meta (k, v) VALUES (?1, ?2) ON CONFLICT (k) DO UPDATE SET v = excluded.v")?
        .execute(params![name, value])?;
    Ok(())
}

/// The bytes of a column, whatever its type; `None` for NULL. Other hands may have written text or a number where a value
/// belongs, and that affects its key only.
pub(super) fn bytes(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Vec<u8>>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(number.to_string().into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    })
}

/// The text of a column; what is no UTF-8 in it is replaced.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<String> {
    Ok(String::from_utf8_lossy(&bytes(row, column)?.unwrap_or_default()).into_owned())
}

/// The first text after all those that begin with `prefix`, by bytes; `None` when there is no such text.
pub(super) fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // The order of UTF-8 bytes is that of code points; surrogates are not characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_after_a_prefix_excludes_neighbours() {
        assert_eq!(after_prefix("/a/").as_deref(), Some("/a0"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix(""), None);
    }
}
