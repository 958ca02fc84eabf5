//! Care for an embedded store: check, backup, compact (`tortie datastore check | backup | compact`).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Access, Embedded, connection, fault, log, sql, turn};
use crate::kv::{FaultKind, KvError, Revision};

/// What a check of a store found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The store's revision.
    pub revision: Revision,
    /// The newest revision that the log no longer holds.
    pub trimmed: Revision,
    /// Number of keys.
    pub keys: u64,
    /// What is wrong, one sentence each; empty for a sound store.
    pub problems: Vec<String>,
}

/// What table and log must have in common; each query gives the things that offend.
const AGREEMENTS: &[(&str, &str)] = &[
    (
        "key `{}` differs from the last entry of the log",
        "SELECT kv.key FROM kv JOIN (SELECT key, max(rev) AS rev FROM log GROUP BY key) AS last USING (key)
         JOIN log ON log.key = kv.key AND log.rev = last.rev
         WHERE log.op <> 'put' OR log.rev <> kv.mod_rev OR log.value IS NOT kv.value LIMIT 20",
    ),
    (
        "key `{}` is missing, though the log says that it was written last",
        "SELECT log.key FROM log JOIN (SELECT key, max(rev) AS rev FROM log GROUP BY key) AS last USING (key, rev)
         WHERE log.op = 'put' AND log.key NOT IN (SELECT key FROM kv) LIMIT 20",
    ),
    (
        "key `{}` changed at a revision that the log should hold and does not",
        "SELECT key FROM kv WHERE mod_rev > (SELECT v FROM meta WHERE k = 'trimmed')
         AND key NOT IN (SELECT key FROM log WHERE log.rev = kv.mod_rev) LIMIT 20",
    ),
    (
        "key `{}` is newer than the store's revision",
        "SELECT key FROM kv WHERE mod_rev > (SELECT v FROM meta WHERE k = 'revision') LIMIT 20",
    ),
    (
        "revision {} of the log is newer than the store's",
        "SELECT DISTINCT rev FROM log WHERE rev > (SELECT v FROM meta WHERE k = 'revision') LIMIT 20",
    ),
    (
        "revision {} of the log should have been trimmed",
        "SELECT DISTINCT rev FROM log WHERE rev <= (SELECT v FROM meta WHERE k = 'trimmed') LIMIT 20",
    ),
    (
        "the log lacks {} revisions",
        // Revision 1 is that of an empty store; in older files it is a change.
        "SELECT lacking FROM (SELECT max((SELECT v FROM meta WHERE k = 'revision'), 1)
         - max((SELECT v FROM meta WHERE k = 'trimmed'), 1)
         - (SELECT count(DISTINCT rev) FROM log WHERE rev > 1) AS lacking) WHERE lacking <> 0",
    ),
];

impl Embedded {
    /// Checks the file itself, and that table and log agree. A store that is missing is sound and empty.
    ///
    /// # Errors
    /// When the store cannot be read at all; damage that can be described is in the report.
    pub fn check(&self) -> Result<CheckReport, KvError> {
        let report = self.inner.with_connection("check it", |connection| {
            let transaction = connection.transaction()?;
            let mut problems: Vec<String> = transaction
                .prepare("PRAGMA integrity_check")?
                .query_map([], |row| row.get::<_, String>(0))?
                .filter(|line| !line.as_ref().is_ok_and(|line| line == "ok"))
                .collect::<rusqlite::Result<_>>()?;
            for (sentence, query) in AGREEMENTS {
                let mut statement = transaction.prepare(query)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let culprit = sql::text(row, 0)?;
                    problems.push(sentence.replace("{}", &culprit));
                }
            }
            let keys: Revision = transaction.query_row("SELECT count(*) FROM kv", [], |row| row.get(0))?;
            Ok(CheckReport {
                revision: sql::meta_revision(&transaction, sql::REVISION)?,
                trimmed: sql::meta_revision(&transaction, sql::TRIMMED)?,
                keys: keys.0,
                problems,
            })
        })?;
        Ok(report.unwrap_or(CheckReport {
            revision: Revision::ZERO,
            trimmed: Revision::ZERO,
            keys: 0,
            problems: Vec::new(),
        }))
    }

    /// Copies the store, as it is at one moment, to a new file of mode 0600. Others go on reading and writing.
    ///
    /// # Errors
    /// [`FaultKind::Exists`] when the file is there already, else [`KvError::Fault`].
    pub fn backup(&self, to: &Path) -> Result<(), KvError> {
        let none = || KvError::Removed { store: self.inner.describe() };
        connection::open_existing(&self.inner.file, Access::Read)?.ok_or_else(none)?;
        // Not a reader's connection: SQLite counts the copy as writing.
        let connection = connection::open(&self.inner.file, Access::Write)
            .map_err(|error| fault::classify(&self.inner.file, "back it up", error))?;
        copy_to(&connection, to)
    }

    /// Forgets the history up to and with `through`, and gives unused space back to the file system. A watch from a
    /// forgotten revision answers [`KvError::Compacted`].
    ///
    /// # Errors
    /// As [`crate::Kv::txn`].
    pub fn compact(&self, through: Revision) -> Result<(), KvError> {
        self.inner.with_writer("compact it", |connection| {
            let _turn = turn::take(&self.inner.file);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let newest = sql::meta_revision(&transaction, sql::REVISION)?;
            log::trim_through(&transaction, through.min(newest))?;
            transaction.commit()?;
            connection.execute_batch("VACUUM")?;
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })?;
        super::bell::ring(&self.inner.file);
        Ok(())
    }
}

/// Writes a copy of the database to a new file that survives loss of power; a copy that fails is removed.
pub(super) fn copy_to(connection: &Connection, to: &Path) -> Result<(), KvError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(to) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let file = to.display().to_string();
            return Err(fault::fault(to, "write the copy", FaultKind::Exists { file }));
        }
        Err(error) => return Err(fault::classify_io(to, "write the copy", error)),
    }
    let copied = connection
        .execute("VACUUM INTO ?1", [to.to_string_lossy()])
        .map_err(|error| fault::classify(to, "write the copy", error))
        .and_then(|_| {
            File::open(to).and_then(|file| file.sync_all()).map_err(|e| fault::classify_io(to, "write the copy", e))
        });
    if copied.is_err() {
        // The error that is reported is the one that matters.
        let _ = fs::remove_file(to);
    }
    copied
}
