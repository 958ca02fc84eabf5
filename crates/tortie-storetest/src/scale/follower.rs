//! The program again, as a process that follows a store as an agent does and tells what it is told.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tortie_api::{Kind, ResourceKey};
use tortie_datastore::SyncEvent;
use tortie_datastore::store::Scope;
use tortie_datastore::syncer::Update;
use tortie_testkit::sandbox::die_with_parent;

use super::backend::open_place;
use crate::PATIENCE;

/// The place of the store, in the environment of such a process.
const PLACE: &str = "TORTIE_SCALE_PLACE";
/// What its lines begin with.
const MARK: &str = "follower: ";
/// Kinds that no rule of a host needs.
const NOT_READ: [Kind; 4] = [
    Kind::NetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::KubeControllersConfiguration,
];

/// The first snapshot, as a process got it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// From the opening of the store until it was whole.
    pub time: Duration,
    /// Objects of each kind of the world.
    pub endpoints: usize,
    pub policies: usize,
    pub sets: usize,
    /// Updates that it came in, other kinds included.
    pub updates: usize,
    /// Resident memory in KiB: before the store was opened, with all objects in hand, after they were let go.
    pub before_kib: u64,
    pub held_kib: u64,
    pub after_kib: u64,
    /// The most there ever was.
    pub peak_kib: u64,
}

/// One event that was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Nanoseconds since 1970.
    pub at_ns: i128,
    /// The objects in it, as text.
    pub objects: Vec<String>,
}

/// Follows the store that the environment names, for ever. Returns at once, `false`, where none is named. A file of tests
/// that uses [`Follower`] has a test `follows_until_killed` that calls this and does nothing by itself.
pub fn run_follower() -> bool {
    let Ok(place) = std::env::var(PLACE) else { return false };
    let before = memory("VmRSS:");
    let start = Instant::now();
    let (sender, events) = channel();
    let store = open_place(&place);
    let kinds = Kind::all().filter(|kind| !NOT_READ.contains(kind)).collect();
    let scope = Scope { kinds, node: Some("node-00000".to_owned()), is_known: false };
    let deliver = Box::new(move |event| sender.send((now_ns(), event)).unwrap_or_default());
    let _syncer = store.sync(scope, deliver).unwrap();
    let mut is_first = true;
    for (at, event) in events {
        match event {
            SyncEvent::Updates { updates, is_snapshot: true, .. } if is_first => {
                is_first = false;
                // One after the other, as an agent reads them.
                updates.iter().for_each(|update| drop(update.object()));
                tell_snapshot(start.elapsed(), before, updates);
            }
            SyncEvent::Updates { updates, .. } => {
                let objects: Vec<String> = updates.iter().map(|update| update.key.to_string()).collect();
                println!("{MARK}seen {at} {}", objects.join(" "));
            }
            other => println!("{MARK}trouble {other:?}"),
        }
    }
    true
}

fn tell_snapshot(time: Duration, before: u64, updates: Vec<Update>) {
    let (held, peak, len) = (memory("VmRSS:"), memory("VmHWM:"), updates.len());
    let keys: BTreeSet<ResourceKey> = updates.into_iter().map(|update| update.key).collect();
    let count = |kind| keys.iter().filter(|key| key.kind == kind).count();
    let (endpoints, policies) = (count(Kind::HostEndpoint), count(Kind::GlobalNetworkPolicy));
    let (sets, time) = (count(Kind::GlobalNetworkSet), time.as_nanos());
    drop(keys);
    let after = memory("VmRSS:");
    println!("{MARK}snapshot {time} {endpoints} {policies} {sets} {len} {before} {held} {after} {peak}");
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos().try_into().unwrap()
}

/// A member of this process's status, in KiB (proc(5)).
fn memory(member: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(member)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Such a process; it ends when this is dropped.
pub struct Follower {
    child: Child,
    seen: Receiver<Seen>,
    snapshots: Receiver<Snapshot>,
}

impl Follower {
    /// Starts one on the store that lies at `place`.
    pub fn start(place: &str) -> Follower {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "follows_until_killed", "--nocapture"]).env(PLACE, place);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = die_with_parent(&mut command).spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let ((sender, seen), (taker, snapshots)) = (channel(), channel());
        std::thread::spawn(move || read(out, &sender, &taker));
        Follower { child, seen, snapshots }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first snapshot.
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots.recv_timeout(PATIENCE).expect("the follower gets a snapshot")
    }

    /// The next event.
    pub fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("the follower is told")
    }

    /// What comes within a time.
    pub fn within(&self, time: Duration) -> Option<Seen> {
        self.seen.recv_timeout(time).ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // It may have ended by a failure, which its reader has noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the lines of a follower. A line that says trouble ends it, which the receivers notice.
fn read(out: ChildStdout, seen: &Sender<Seen>, snapshots: &Sender<Snapshot>) {
    for line in BufReader::new(out).lines() {
        let line = line.unwrap();
        let Some((_, text)) = line.split_once(MARK) else { continue };
        let (word, rest) = text.split_once(' ').unwrap();
        let sent = match word {
            "snapshot" => snapshots.send(snapshot(rest)).is_ok(),
            "seen" => seen.send(event(rest)).is_ok(),
            _ => panic!("the follower is in trouble: {rest}"),
        };
        if !sent {
            return;
        }
    }
}

fn event(text: &str) -> Seen {
    let mut words = text.split_whitespace();
    let at_ns = words.next().unwrap().parse().unwrap();
    Seen { at_ns, objects: words.map(str::to_owned).collect() }
}

fn snapshot(text: &str) -> Snapshot {
    let numbers: Vec<u64> = text.split(' ').map(|word| word.parse().unwrap()).collect();
    let [time, endpoints, policies, sets, updates, before_kib, held_kib, after_kib, peak_kib] = numbers[..] else {
        panic!("no snapshot: {text}")
    };
    let count = |number: u64| usize::try_from(number).unwrap();
    Snapshot {
        time: Duration::from_nanos(time),
        endpoints: count(endpoints),
        policies: count(policies),
        sets: count(sets),
        updates: count(updates),
        before_kib,
        held_kib,
        after_kib,
        peak_kib,
    }
}
