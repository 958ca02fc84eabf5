//! The bell: a file beside the store that a writer touches after its commit, and that watchers listen to.
//!
//! The database and its log are no signal: they change before the commit can be seen (section 7.3).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::place;

pub(super) fn path(file: &Path) -> PathBuf {
    place::beside(file, "-bell")
}

/// Whether there is a bell, as there is beside every store that was ever made.
pub(super) fn is_there(file: &Path) -> bool {
    path(file).exists()
}

/// Makes the bell unless it is there.
pub(super) fn make(file: &Path, is_default: bool) -> io::Result<()> {
    let bell = path(file);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&bell) {
        Ok(_) => place::set_file_mode(&bell, is_default),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Wakes every watcher. What was committed stays committed when this fails; watchers then see it within a second.
pub(super) fn ring(file: &Path) {
    let rung = open_or_make(file).and_then(|bell| bell.write_all_at(b"\n", 0));
    if let Err(error) = rung {
        tracing::warn!(store = %file.display(), %error, "cannot ring the bell, changes are seen up to a second late");
    }
}

fn open_or_make(file: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().write(true).open(path(file));
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(file, place::is_default(file))?;
            open()
        }
        opened => opened,
    }
}

/// Listens to the bell of one store, and to the coming and going of its files.
pub(super) struct Listener {
    inotify: Inotify,
    file: PathBuf,
    has_warned: bool,
}

impl Listener {
    pub(super) fn new(file: &Path) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self { inotify, file: file.to_owned(), has_warned: false })
    }

    /// Begins to listen to the files that lie there now. Called before each look at the store, so that whatever
    /// happens after the look is heard. Listening twice to one file is listening once.
    pub(super) fn listen(&mut self) {
        let folder = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF;
        let bell = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_DELETE_SELF;
        for (path, events) in [(place::folder(&self.file).to_owned(), folder), (path(&self.file), bell)] {
            match self.inotify.add_watch(&path, events) {
                Ok(_) | Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(errno) if !self.has_warned => {
                    self.has_warned = true;
                    tracing::warn!(path = %path.display(), error = %errno, "cannot listen, changes are seen up to a second late");
                }
                Err(_) => {}
            }
        }
    }

    /// Forgets what was heard.
    pub(super) fn drain(&self) {
        // The queue is short: equal events that follow each other are one.
        while self.inotify.read_events().is_ok_and(|events| !events.is_empty()) {}
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
