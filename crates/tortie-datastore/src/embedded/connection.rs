//! Opening a database file that exists, with the settings of datastore.md section 7.3.

use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};
use rusqlite::{Connection, FileControl, MAIN_DB, OpenFlags};

use super::schema::{self, Found};
use super::{Access, bell, fault, place, turn};
use crate::kv::{FaultKind, KvError};

/// What the write-ahead log is cut to after a checkpoint, in bytes.
const JOURNAL_SIZE_LIMIT: i64 = 16 << 20;

/// Opens the store; `None` when there is none: no file, or for a reader an empty one.
pub(super) fn open_existing(file: &Path, access: Access) -> Result<Option<Connection>, KvError> {
    match std::fs::metadata(file) {
        // SQLite would take it for a new database, and delete the log beside it. Nobody of ours ever leaves an empty file.
        Ok(about) if about.is_file() && about.len() == 0 && bell::is_there(file) => {
            return Err(fault::fault(file, "open it", FaultKind::Emptied));
        }
        Ok(about) if about.is_file() => {}
        Ok(_) => return Err(fault::fault(file, "open it", FaultKind::NotAStore)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault::classify_io(file, "open it", error)),
    }
    place::check_file_system(file)?;
    let needed = match access {
        Access::Read => AccessFlags::R_OK,
        Access::Write => AccessFlags::R_OK | AccessFlags::W_OK,
    };
    // Never by opening the file: closing it again would drop SQLite's locks of this process.
    eaccess(file, needed).map_err(|errno| fault::classify_io(file, "open it", errno.into()))?;
    let mut connection = open(file, access).map_err(|error| fault::classify(file, "open it", error))?;
    match schema::find(&connection).map_err(|error| fault::classify(file, "open it", error))? {
        Found::Empty if access == Access::Read => return Ok(None),
        Found::Empty => {
            set_wal(&connection)
                .and_then(|()| schema::initialise(&mut connection))
                .map_err(|error| fault::classify(file, "initialise it", error))?;
        }
        Found::Version(_) | Found::Foreign => {}
    }
    schema::bring_up_to_date(&mut connection, file, access == Access::Write, schema::VERSION, schema::STEPS)?;
    if access == Access::Write {
        set_wal(&connection).map_err(|error| fault::classify(file, "open it", error))?;
    }
    Ok(Some(connection))
}

/// Opens a file with the settings, whatever it holds.
pub(super) fn open(file: &Path, access: Access) -> rusqlite::Result<Connection> {
    // Also for reading: SQLite then may recover the log of a writer that died, and by itself falls back to reading.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(file, flags)?;
    turn::set_busy_handler(&mut connection)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update_and_check(None, "journal_size_limit", JOURNAL_SIZE_LIMIT, |_| Ok(()))?;
    // Log and shared memory stay when the last process leaves, so that members of the group can still read.
    let mut persist = 1;
    connection.file_control(Some(MAIN_DB), FileControl::PersistWal(&mut persist))?;
    if access == Access::Read {
        connection.pragma_update(None, "query_only", true)?;
    }
    Ok(connection)
}

/// Turns write-ahead logging on; it stays with the file.
pub(super) fn set_wal(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
}

/// Whether the file under the connection is no longer the one at its path.
pub(super) fn has_moved(connection: &Connection) -> bool {
    let mut moved = 0;
    connection.file_control(Some(MAIN_DB), FileControl::HasMoved(&mut moved)).is_ok() && moved != 0
}
