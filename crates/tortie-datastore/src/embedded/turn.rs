//! The turn of a writer: who waits comes before who has just written.
//!
//! SQLite's lock goes to whoever looks at the right moment, and who waits looks less and less often. Somebody who writes one
//! transaction after the other leaves it free for a moment only, so that others look in vain until their time is out.
//! Therefore a writer takes the turn first, which is a lock on the bell, and gives it back as soon as it has SQLite's lock.
//! The next to write is then the one who has the turn, and who has just written looks for it like everybody else. What is
//! stored is guarded by SQLite's lock alone: who cannot get the turn goes without.

use std::fs::File;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{bell, fault};

/// Between two looks at a lock. A transaction takes longer: it waits for the disk.
const PAUSE: Duration = Duration::from_millis(1);

/// Begins a transaction that writes, when its turn has come.
pub(super) fn begin<'c>(connection: &'c mut Connection, file: &Path) -> rusqlite::Result<Transaction<'c>> {
    let _turn = take(file);
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// Takes the turn, until this is dropped; `None` when there is no bell, or somebody keeps the turn for too long.
pub(super) fn take(file: &Path) -> Option<Flock<File>> {
    let mut bell = File::open(bell::path(file)).ok()?;
    let deadline = deadline();
    loop {
        match Flock::lock(bell, FlockArg::LockExclusiveNonblock) {
            Ok(turn) => return Some(turn),
            Err((same, Errno::EWOULDBLOCK | Errno::EINTR)) if pause(deadline) => bell = same,
            Err(_) => return None,
        }
    }
}

/// Makes a connection look for SQLite's locks as often as for the turn.
pub(super) fn set_busy_handler(connection: &mut Connection) -> rusqlite::Result<()> {
    let mut until = deadline();
    connection.busy_handler(Some(move |looks: i32| {
        if looks == 0 {
            until = deadline();
        }
        pause(until)
    }))
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(fault::BUSY_TIMEOUT_S)
}

/// Waits until the next look; `false` when the time is out.
fn pause(until: Instant) -> bool {
    let is_early = Instant::now() < until;
    if is_early {
        thread::sleep(PAUSE);
    }
    is_early
}
