//! One agent per network namespace (D-13).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

/// Where locks lie: a folder that only root can enter, so that nobody else can take one.
const FOLDER: &str = "/run/tortie/lock";

/// Proof that this process is the only agent of its network namespace; it ends with the process.
#[derive(Debug)]
pub struct NamespaceLock {
    _file: Flock<File>,
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
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(to_error)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(NamespaceLock { _file: file }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(LockError::Taken),
            Err((_, errno)) => Err(to_error(errno.into())),
        }
    }
}
