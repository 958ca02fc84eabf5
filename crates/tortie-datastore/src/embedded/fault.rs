//! From SQLite's and the system's error codes to kinds that say what to do.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::statvfs::{FsFlags, statvfs};
use rusqlite::ErrorCode;

use super::place;
use crate::kv::{FaultKind, KvError};

/// How long SQLite waits for a lock, in seconds.
pub(super) const BUSY_TIMEOUT_S: u64 = 5;

/// `SQLITE_READONLY_DBMOVED` of `sqlite3.h`: the file is no longer where it was opened.
const READONLY_DBMOVED: i32 = 8 | (4 << 8);

/// A fault without a failed call behind it.
pub(super) fn fault(file: &Path, action: &'static str, kind: FaultKind) -> KvError {
    KvError::Fault { store: file.display().to_string(), action, kind, cause: None }
}

/// The kind of a failed SQLite call.
pub(super) fn classify(file: &Path, action: &'static str, error: rusqlite::Error) -> KvError {
    let store = file.display().to_string();
    let (code, extended) = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => (failure.code, failure.extended_code),
        _ => (ErrorCode::Unknown, 0),
    };
    if extended == READONLY_DBMOVED {
        return if file.exists() { KvError::Replaced { store } } else { KvError::Removed { store } };
    }
    let kind = match code {
        // The tables hold something that this program would never write there.
        ErrorCode::Unknown if is_nonsense(&error) => FaultKind::Corrupt,
        ErrorCode::DiskFull => FaultKind::DiskFull,
        ErrorCode::ReadOnly if is_mounted_read_only(file) => FaultKind::ReadOnly,
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => permission_denied(file),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            FaultKind::Busy { waited_s: BUSY_TIMEOUT_S }
        }
        ErrorCode::DatabaseCorrupt => FaultKind::Corrupt,
        ErrorCode::NotADatabase => FaultKind::NotAStore,
        // Shared memory and log files are made and grown outside of the calls that SQLite reports as "full".
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen if is_full(file) => FaultKind::DiskFull,
        ErrorCode::CannotOpen if is_mounted_read_only(file) => FaultKind::ReadOnly,
        ErrorCode::CannotOpen => permission_denied(file),
        _ => FaultKind::Other,
    };
    KvError::Fault { store, action, kind, cause: Some(Box::new(error)) }
}

fn is_nonsense(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

/// The kind of a failed system call.
pub(super) fn classify_io(file: &Path, action: &'static str, error: io::Error) -> KvError {
    let kind = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOSPC | Errno::EDQUOT) => FaultKind::DiskFull,
        Some(Errno::EROFS) => FaultKind::ReadOnly,
        Some(Errno::EACCES | Errno::EPERM) => permission_denied(file),
        _ => FaultKind::Other,
    };
    KvError::Fault { store: file.display().to_string(), action, kind, cause: Some(Box::new(error)) }
}

fn permission_denied(file: &Path) -> FaultKind {
    let hint = if place::is_default(file) {
        format!("only root writes here, and members of group `{}` read while an agent runs", place::GROUP)
    } else {
        "run as the owner of the store, or as root".to_owned()
    };
    FaultKind::PermissionDenied { hint }
}

fn is_full(file: &Path) -> bool {
    statvfs(place::folder(file)).is_ok_and(|about| about.blocks_available() == 0 || about.files_available() == 0)
}

fn is_mounted_read_only(file: &Path) -> bool {
    statvfs(place::folder(file)).is_ok_and(|about| about.flags().contains(FsFlags::ST_RDONLY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(extended: i32) -> Option<FaultKind> {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended), None);
        classify(Path::new("/nonexistent/store.db"), "write", error).fault().cloned()
    }

    #[test]
    fn codes_of_sqlite_become_kinds() {
        use rusqlite::ffi;
        assert_eq!(kind_of(ffi::SQLITE_FULL), Some(FaultKind::DiskFull));
        assert_eq!(kind_of(ffi::SQLITE_BUSY), Some(FaultKind::Busy { waited_s: 5 }));
        assert_eq!(kind_of(ffi::SQLITE_CORRUPT), Some(FaultKind::Corrupt));
        assert_eq!(kind_of(ffi::SQLITE_NOTADB), Some(FaultKind::NotAStore));
        assert!(matches!(kind_of(ffi::SQLITE_READONLY), Some(FaultKind::PermissionDenied { .. })));
        assert_eq!(kind_of(ffi::SQLITE_NOMEM), Some(FaultKind::Other));
        assert_eq!(kind_of(READONLY_DBMOVED), None);
    }
}
