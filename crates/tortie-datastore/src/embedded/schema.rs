//! The tables of the store, their version, and the way from older versions to this one (section 7.1 rule 11).

use std::fs;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use super::{fault, place, sql};
use crate::kv::{FaultKind, KvError, Revision};

/// The version that this program writes.
pub(super) const VERSION: u64 = 1;

/// What leads from the version before to `to`, in one transaction.
pub(super) struct Step {
    /// The version that the file has afterwards.
    pub(super) to: u64,
    /// The statements.
    pub(super) sql: &'static str,
}

/// The steps from version 1 on. There is none yet.
pub(super) const STEPS: &[Step] = &[];

const TABLES: &str = "
CREATE TABLE meta (k TEXT PRIMARY KEY, v);
CREATE TABLE kv (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, create_rev INTEGER NOT NULL, mod_rev INTEGER NOT NULL,
    version INTEGER NOT NULL, expires_at INTEGER
) WITHOUT ROWID;
CREATE INDEX kv_expires ON kv (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE log (
    rev INTEGER NOT NULL, seq INTEGER NOT NULL, key TEXT NOT NULL, op TEXT NOT NULL, value BLOB, prev BLOB,
    at INTEGER NOT NULL, PRIMARY KEY (rev, seq)
) WITHOUT ROWID;
";

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing yet: an empty file.
    Empty,
    /// Tables of this version.
    Version(u64),
    /// A database of somebody else.
    Foreign,
}

/// Looks at the tables of a file.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<Found> {
    let count = |filter: &str| {
        let text = format!("SELECT count(*) FROM sqlite_master {filter}");
        connection.query_row(&text, [], |row| row.get::<_, i64>(0))
    };
    if count("WHERE type = 'table' AND name IN ('meta', 'kv', 'log')")? < 3 {
        return Ok(if count("")? == 0 { Found::Empty } else { Found::Foreign });
    }
    let columns: i64 =
        connection.query_row("SELECT count(*) FROM pragma_table_info('meta') WHERE name IN ('k', 'v')", [], |row| {
            row.get(0)
        })?;
    if columns != 2 {
        return Ok(Found::Foreign);
    }
    let version = sql::meta::<Revision>(connection, sql::SCHEMA)?;
    Ok(version.map_or(Found::Foreign, |version| Found::Version(version.0)))
}

/// Makes the tables in an empty file, unless somebody else just did.
pub(super) fn initialise(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if find(&transaction)? == Found::Empty {
        transaction.execute_batch(TABLES)?;
        let store_id = uuid::Uuid::new_v4().simple().to_string();
        // As in etcd the first change is revision 2: 1 is that of what is never stored.
        for (name, value) in [(sql::SCHEMA, VERSION), (sql::REVISION, 1), (sql::TRIMMED, 0)] {
            sql::set_meta(&transaction, name, Revision(value))?;
        }
        sql::set_meta(&transaction, sql::STORE_ID, store_id)?;
    }
    transaction.commit()
}

/// Checks the version, and for a writer brings an older file to `known` by `steps`, after a backup copy beside it.
pub(super) fn bring_up_to_date(
    connection: &mut Connection,
    file: &Path,
    may_write: bool,
    known: u64,
    steps: &[Step],
) -> Result<(), KvError> {
    let classify = |error| fault::classify(file, "migrate it", error);
    let found = match find(connection).map_err(|error| fault::classify(file, "open it", error))? {
        Found::Version(found) => found,
        Found::Empty | Found::Foreign => return Err(fault::fault(file, "open it", FaultKind::NotAStore)),
    };
    if found > known {
        return Err(fault::fault(file, "open it", FaultKind::NewerSchema { found, known }));
    }
    if found == known {
        return Ok(());
    }
    if !may_write {
        return Err(fault::fault(file, "read it", FaultKind::OlderSchema { found, known }));
    }
    let copy = place::beside(file, &format!(".schema-{found}"));
    if copy.exists() {
        // A migration that was cut short left its copy; the file is still the old one, so a new copy is as good.
        fs::remove_file(&copy).map_err(|error| fault::classify_io(&copy, "remove an unfinished copy", error))?;
    }
    super::admin::copy_to(connection, &copy)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(classify)?;
    // Another process may have migrated while this one made its copy.
    let now: Revision = sql::meta(&transaction, sql::SCHEMA).map_err(classify)?.unwrap_or_default();
    for step in steps.iter().filter(|step| step.to > now.0 && step.to <= known) {
        transaction.execute_batch(step.sql).map_err(classify)?;
        transaction
            .execute("UPDATE meta SET v = ?2 WHERE k = ?1", params![sql::SCHEMA, Revision(step.to)])
            .map_err(classify)?;
    }
    transaction.commit().map_err(classify)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST_STEPS: &[Step] = &[
        Step { to: 2, sql: "ALTER TABLE kv ADD COLUMN extra TEXT" },
        Step { to: 3, sql: "CREATE TABLE more (a); INSERT INTO more VALUES (1)" },
    ];

    fn store(folder: &tempfile::TempDir) -> (Connection, std::path::PathBuf) {
        let file = folder.path().join("store.db");
        let mut connection = Connection::open(&file).unwrap();
        initialise(&mut connection).unwrap();
        (connection, file)
    }

    #[test]
    fn an_older_file_is_migrated_in_one_transaction_after_a_copy() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, file) = store(&folder);
        bring_up_to_date(&mut connection, &file, true, 3, TEST_STEPS).unwrap();
        assert_eq!(find(&connection).unwrap(), Found::Version(3));
        connection.query_row("SELECT count(extra) + (SELECT a FROM more) FROM kv", [], |_| Ok(())).unwrap();
        let copy = Connection::open(place::beside(&file, ".schema-1")).unwrap();
        assert_eq!(find(&copy).unwrap(), Found::Version(1));
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, file) = store(&folder);
        let steps = [Step { to: 2, sql: "CREATE TABLE more (a)" }, Step { to: 3, sql: "CREATE TABLE more (a)" }];
        bring_up_to_date(&mut connection, &file, true, 3, &steps).unwrap_err();
        assert_eq!(find(&connection).unwrap(), Found::Version(1));
        assert!(connection.query_row("SELECT 1 FROM more", [], |_| Ok(())).is_err());
        // And again, over the copy that the first attempt left.
        bring_up_to_date(&mut connection, &file, true, 3, TEST_STEPS).unwrap();
    }

    #[test]
    fn a_reader_does_not_migrate_and_nobody_opens_a_newer_file() {
        let folder = tempfile::tempdir().unwrap();
        let (mut connection, file) = store(&folder);
        let error = bring_up_to_date(&mut connection, &file, false, 2, TEST_STEPS).unwrap_err();
        assert_eq!(error.fault(), Some(&FaultKind::OlderSchema { found: 1, known: 2 }));
        let error = bring_up_to_date(&mut connection, &file, true, 0, &[]).unwrap_err();
        assert_eq!(error.fault(), Some(&FaultKind::NewerSchema { found: 1, known: 0 }));
    }
}
