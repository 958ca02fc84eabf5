//! The test program again, as a process that writes until it is killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use tortie_testkit::sandbox::die_with_parent;

use crate::fixture::open_place;
use crate::{put, write};

const NAME: &str = "TORTIE_TEST_WRITER";
const PLACE: &str = "TORTIE_TEST_PLACE";

/// What the process does. A file of tests that uses [`Writer`] has a test `writes_until_killed` that calls this, and that
/// does nothing by itself.
pub fn run() {
    let (Some(name), Some(place)) = (std::env::var_os(NAME), std::env::var_os(PLACE)) else { return };
    let (name, place) = (name.to_string_lossy(), place.to_string_lossy());
    let kv = open_place(&place);
    for number in 0.. {
        let ops = vec![put(&format!("{name}/a/{number}"), "1"), put(&format!("{name}/b/{number}"), "1")];
        let revision = write(&*kv, ops);
        println!("acknowledged {number} {revision}");
    }
}

/// Such a process; it ends when this is dropped.
pub struct Writer(Child);

impl Writer {
    pub fn start(place: &str, name: &str) -> Writer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "writes_until_killed", "--nocapture"]).env(NAME, name).env(PLACE, place);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Writer(die_with_parent(&mut command).spawn().unwrap())
    }

    /// Waits until it has written a number of times; the revisions.
    pub fn acknowledged(&mut self, count: usize) -> Vec<u64> {
        let lines = BufReader::new(self.0.stdout.as_mut().unwrap()).lines();
        let revisions = lines.filter_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("acknowledged ")?;
            Some(rest.split_once(' ').unwrap().1.trim().parse().unwrap())
        });
        let revisions: Vec<u64> = revisions.take(count).collect();
        assert_eq!(revisions.len(), count, "the writer goes on");
        revisions
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended by a failure, which its reader has noticed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
