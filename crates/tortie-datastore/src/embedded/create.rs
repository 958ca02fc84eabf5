//! Making a store that does not exist, so that nobody ever sees half of one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Access, bell, connection, fault, place, schema};
use crate::kv::{FaultKind, KvError};

/// Makes the store unless there is a file already. Of the folders only the last is made, so that a misspelt path is
/// an error. Several processes may try at once: one of them makes it, all find it whole.
pub(super) fn create_if_missing(file: &Path) -> Result<(), KvError> {
    let is_default = place::is_default(file);
    make_folder(file, is_default)?;
    if !file.exists() {
        place::check_file_system(file)?;
        make_file(file, is_default)?;
    }
    // Without the bell a watch is up to one second late; a disk that is full must not keep anybody from the store.
    if let Err(error) = bell::make(file, is_default) {
        tracing::warn!(store = %file.display(), %error, "cannot make the bell file, changes are seen up to a second late");
    }
    Ok(())
}

fn make_folder(file: &Path, is_default: bool) -> Result<(), KvError> {
    let folder = place::folder(file);
    match fs::create_dir(folder) {
        Ok(()) => {
            place::set_folder_mode(folder, is_default).map_err(|e| fault::classify_io(file, "make its folder", e))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let missing = place::folder(folder).display().to_string();
            Err(fault::fault(file, "make it", FaultKind::NoFolder { folder: missing }))
        }
        // A folder that exists on a read-only file system, or in a place where this user makes none.
        Err(_) if folder.is_dir() => Ok(()),
        Err(error) => Err(fault::classify_io(file, "make its folder", error)),
    }
}

/// A file under another name that disappears again, whatever happens.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            // Nothing is lost when one stays: nobody opens these names.
            let _ = fs::remove_file(place::beside(&self.0, suffix));
        }
    }
}

fn make_file(file: &Path, is_default: bool) -> Result<(), KvError> {
    let failed = |error| fault::classify_io(file, "make it", error);
    let new = Temporary(place::beside(file, &format!(".new-{}", uuid::Uuid::new_v4().simple())));
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new.0).map_err(failed)?;
    let made = connection::open(&new.0, Access::Write).and_then(|mut made| {
        connection::set_wal(&made)?;
        schema::initialise(&mut made)?;
        made.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        made.close().map_err(|(_, error)| error)
    });
    made.map_err(|error| fault::classify(file, "make it", error))?;
    place::set_file_mode(&new.0, is_default).map_err(failed)?;
    File::open(&new.0).and_then(|opened| opened.sync_all()).map_err(failed)?;
    // A link, unlike a rename, fails when another process was quicker, and that is as well.
    match fs::hard_link(&new.0, file) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    drop(new);
    // The name is durable when its folder is, and a folder that was just made when the one around it is.
    let folder = place::folder(file);
    let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
    sync(folder).map_err(failed)?;
    match sync(place::folder(folder)) {
        // Who may only pass through it has not made anything in it.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(failed(error)),
        _ => Ok(()),
    }
}
