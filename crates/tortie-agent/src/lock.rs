//! One agent per network namespace (D-13).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Where locks lie: a folder that only root can enter, so that nobody else can take one.
const FOLDER: &str = "/run/tortie/lock";

/// Proof that this process is the only agent of its network namespace; it ends with the process.
///
/// Dropping it removes the lock file as well, so that namespaces that are gone leave nothing behind.
#[derive(Debug)]
pub struct NamespaceLock {
    path: PathBuf,
    file: Flock<File>,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has it.
    #[error("another agent runs in this network namespace already")]
    Taken,
    /// The lock file cannot be used.
    #[error("cannot lock `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl NamespaceLock {
    /// Takes the lock of the network namespace of the calling thread.
    ///
    /// `fallback` is a folder of the caller's, for callers that are root in a user namespace only: nobody outside can
    /// program their network namespace anyway.
    ///
    /// # Errors
    /// [`LockError::Taken`] when another agent runs.
    pub fn take(fallback: &Path) -> Result<NamespaceLock, LockError> {
        let namespace = std::fs::metadata("/proc/thread-self/ns/net")
            .map_err(|source| LockError::Io { path: PathBuf::from("/proc/thread-self/ns/net"), source })?;
        let folder = Path::new(FOLDER);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let folder = if made.is_ok() { folder } else { fallback };
        let path = folder.join(format!("netns-{}-{}.lock", namespace.dev(), namespace.ino()));
        let to_error = |source: io::Error| LockError::Io { path: path.clone(), source };
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            match Flock::lock(file.map_err(to_error)?, FlockArg::LockExclusiveNonblock) {
                Ok(file) => {
                    let lock = NamespaceLock { path: path.clone(), file };
                    if lock.is_in_place() {
                        return Ok(lock);
                    }
                    // Its former owner removed it between our two calls: the next one makes a new file.
                }
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Err(LockError::Taken),
                Err((_, errno)) => return Err(to_error(errno.into())),
            }
        }
    }

    /// Whether the locked file is the one that others find.
    fn is_in_place(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(ours), Ok(found)) => (ours.dev(), ours.ino()) == (found.dev(), found.ino()),
            _ => false,
        }
    }
}

impl Drop for NamespaceLock {
    fn drop(&mut self) {
        // Before it is unlocked, and only ours. One that stays harms nobody: the next owner locks it.
        if self.is_in_place() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_at_a_time_and_no_file_stays_d13() {
        let inside = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let first = NamespaceLock::take(folder.path()).unwrap();
            let path = first.path.clone();
            assert!(path.exists());
            assert!(matches!(NamespaceLock::take(folder.path()), Err(LockError::Taken)));
            drop(first);
            assert!(!path.exists());
            // One that a killed agent left.
            std::fs::write(&path, "").unwrap();
            let second = NamespaceLock::take(folder.path()).unwrap();
            // Somebody's hands: what others find is not ours any more, and not ours to remove.
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "").unwrap();
            drop(second);
            assert!(path.exists());
            drop(NamespaceLock::take(folder.path()).unwrap());
            assert!(!path.exists());
        });
        inside.join().unwrap();
    }
}
