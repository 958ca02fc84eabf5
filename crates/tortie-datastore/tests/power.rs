//! Loss of power on the embedded store (datastore.md section 7.1 rule 5).
//!
//! A store is written to, and its files are copied after each transaction. From two copies that follow each other come the
//! images that a disk may hold when the power is cut between them: what was synced, and any part of what was not, sector
//! by sector. Each must open as one of the two states, whole, and with everything that was acknowledged.
//!
//! A run takes a sample of all images. `TORTIE_FAULTS=all` takes every one, `TORTIE_FAULTS=N` the sample of another seed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;
use tortie_datastore::kv::{Op, Revision, Txn, TxnOutcome};
use tortie_datastore::{Access, Embedded, Kv};

/// What a disk writes as a whole.
const SECTOR_LEN: usize = 512;
/// Of SQLite's write-ahead log: what describes the frames behind it, which is synced before any of them is written.
const LOG_HEADER_LEN: usize = 32;
/// Transactions that are written.
const TRANSACTIONS: u64 = 60;
/// Transactions between two copyings of the log into the database.
const CHECKPOINT_EVERY: u64 = 9;
/// Images of a cut that a run takes, where it does not take all.
const SAMPLE: usize = 150;
/// Places of damage that a run takes, where it does not take all.
const SAMPLE_OF_DAMAGE: usize = 60;

type Contents = BTreeMap<String, Vec<u8>>;

/// The files of a store at one moment.
#[derive(Clone, Default, PartialEq)]
struct Files {
    database: Vec<u8>,
    log: Vec<u8>,
    memory: Vec<u8>,
}

impl Files {
    fn read(store: &Path) -> Files {
        let file = |suffix: &str| std::fs::read(beside(store, suffix)).unwrap_or_default();
        Files { database: file(""), log: file("-wal"), memory: file("-shm") }
    }

    /// Writes them; the shared memory is what a disk has of it: nothing, something old, or zeros.
    fn write(&self, store: &Path, memory: Option<&[u8]>) {
        std::fs::write(store, &self.database).unwrap();
        std::fs::write(beside(store, "-wal"), &self.log).unwrap();
        let _ = std::fs::remove_file(beside(store, "-shm"));
        if let Some(memory) = memory {
            std::fs::write(beside(store, "-shm"), memory).unwrap();
        }
    }
}

/// The store after one acknowledged transaction.
struct Moment {
    files: Files,
    revision: Revision,
    contents: Contents,
}

fn beside(store: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", store.display()))
}

/// A folder in memory, where there is one: nothing here is about this machine's own disk.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// How many of all points are taken, and in which order.
fn sample<T: Clone>(points: &[T], some: usize) -> Vec<T> {
    let text = std::env::var("TORTIE_FAULTS").unwrap_or_default();
    if text == "all" {
        return points.to_vec();
    }
    let mut random = Random(text.parse::<u64>().unwrap_or(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut left = points.to_vec();
    (0..some.min(left.len())).map(|_| left.swap_remove(random.below(left.len()))).collect()
}

/// Writes transactions of all sizes, enough of them that the log is emptied into the database and begun anew.
fn history() -> Vec<Moment> {
    let folder = folder();
    let store = folder.path().join("store.db");
    let kv = Embedded::open(&store, Access::Write).unwrap();
    let mut random = Random(7);
    let mut contents = Contents::new();
    let mut moments = vec![Moment { files: Files::read(&store), revision: Revision::ZERO, contents: contents.clone() }];
    for number in 0..TRANSACTIONS {
        let mut ops = Vec::new();
        for key in 0..=random.below(3) {
            let name = format!("/k/{key}/{}", random.below(12));
            if contents.contains_key(&name) && random.below(4) == 0 {
                contents.remove(&name);
                ops.push(Op::Delete { key: name });
            } else {
                // Some fill many pages, so that one transaction is written in many parts.
                let len = [10, 200, 1_500, 9_000][random.below(4)];
                let value = format!("{number} ").into_bytes().into_iter().cycle().take(len).collect::<Vec<u8>>();
                contents.insert(name.clone(), value.clone());
                ops.push(Op::Put { key: name, value, ttl: None });
            }
        }
        let TxnOutcome::Committed { revision, .. } = kv.txn(&Txn { compares: vec![], ops }).unwrap() else {
            panic!("nothing stands against it")
        };
        moments.push(Moment { files: Files::read(&store), revision, contents: contents.clone() });
        // As SQLite does by itself, though only after a thousand pages.
        if number % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1 {
            let connection = rusqlite::Connection::open(&store).unwrap();
            connection.pragma_update(None, "synchronous", "FULL").unwrap();
            let left: i64 = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(0)).unwrap();
            assert_eq!(left, 0, "nobody is in its way");
            moments.push(Moment { files: Files::read(&store), revision, contents: contents.clone() });
        }
    }
    moments
}

/// Where two forms of a file differ, in sectors.
fn differing(old: &[u8], new: &[u8]) -> Vec<usize> {
    let sector = |bytes: &[u8], at: usize| {
        bytes.get(at * SECTOR_LEN..bytes.len().min((at + 1) * SECTOR_LEN)).unwrap_or_default().to_vec()
    };
    let count = old.len().max(new.len()).div_ceil(SECTOR_LEN);
    (0..count).filter(|at| sector(old, *at) != sector(new, *at)).collect()
}

/// `old`, with some sectors of `new`. What was never written within the length reads as zeros.
fn mixed(old: &[u8], new: &[u8], sectors: &[usize]) -> Vec<u8> {
    let mut bytes = old.to_vec();
    for at in sectors {
        let (start, end) = (at * SECTOR_LEN, new.len().min((at + 1) * SECTOR_LEN));
        if start < end {
            bytes.resize(bytes.len().max(end), 0);
            bytes[start..end].copy_from_slice(&new[start..end]);
        }
    }
    bytes
}

/// Which part of what was not synced a disk holds: all orders of writing are possible.
#[derive(Clone, Copy, Debug)]
enum Written {
    /// The first so many sectors.
    First(usize),
    /// The last so many.
    Last(usize),
    /// Any of them.
    Some(u64),
}

impl Written {
    fn of(self, sectors: &[usize]) -> Vec<usize> {
        match self {
            Written::First(count) => sectors[..count].to_vec(),
            Written::Last(count) => sectors[sectors.len() - count..].to_vec(),
            Written::Some(seed) => {
                let mut random = Random(seed | 1);
                sectors.iter().copied().filter(|_| random.below(2) == 0).collect()
            }
        }
    }

    fn all(count: usize) -> Vec<Written> {
        let cuts = (0..=count).flat_map(|n| [Written::First(n), Written::Last(n)]);
        cuts.chain((1..9).map(|seed| Written::Some(seed * 0x1234_5677))).collect()
    }
}

/// One image of a disk: the transaction that was on its way, which file was being written, and how much of it was.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// The transaction after this moment.
    after: usize,
    file: File,
    written: Written,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    /// The log, which holds the transaction once it is whole.
    Log,
    /// The header of a log that is begun anew.
    LogHeader,
    /// The database, into which the log is copied after it was synced.
    Database,
}

/// The log as it is when the first frame of a transaction is written: with its new header, if it is begun anew.
fn log_before_frames(old: &Files, new: &Files) -> Vec<u8> {
    let mut log = old.log.clone();
    if let Some(header) = new.log.get(..LOG_HEADER_LEN) {
        log.resize(log.len().max(LOG_HEADER_LEN), 0);
        log[..LOG_HEADER_LEN].copy_from_slice(header);
    }
    log
}

fn cuts(moments: &[Moment]) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for (after, pair) in moments.windows(2).enumerate() {
        let (old, new) = (&pair[0].files, &pair[1].files);
        let log = differing(&log_before_frames(old, new), &new.log).len();
        cuts.extend(Written::all(log).into_iter().map(|written| Cut { after, file: File::Log, written }));
        if old.log.get(..LOG_HEADER_LEN) != new.log.get(..LOG_HEADER_LEN) {
            cuts.push(Cut { after, file: File::LogHeader, written: Written::First(0) });
        }
        let database = differing(&old.database, &new.database).len();
        if database > 0 {
            cuts.extend(Written::all(database).into_iter().map(|written| Cut { after, file: File::Database, written }));
        }
    }
    cuts
}

fn image(moments: &[Moment], cut: Cut) -> Files {
    let (old, new) = (&moments[cut.after].files, &moments[cut.after + 1].files);
    match cut.file {
        File::LogHeader => old.clone(),
        File::Log => {
            let base = log_before_frames(old, new);
            let log = mixed(&base, &new.log, &cut.written.of(&differing(&base, &new.log)));
            Files { log, ..old.clone() }
        }
        File::Database => {
            let sectors = cut.written.of(&differing(&old.database, &new.database));
            Files { database: mixed(&old.database, &new.database, &sectors), ..new.clone() }
        }
    }
}

/// Revision and contents of a store, once it was found sound.
fn open(store: &Path) -> Result<(Revision, Contents), String> {
    let text = |error: tortie_datastore::KvError| tortie_api::with_causes(&error);
    let kv = Embedded::open(store, Access::Write).map_err(text)?;
    let (entries, revision) = kv.range("").map_err(text)?;
    let report = kv.check().map_err(text)?;
    if !report.problems.is_empty() {
        return Err(format!("check of `{}`: {}", store.display(), report.problems.join("; ")));
    }
    Ok((revision, entries.into_iter().map(|entry| (entry.key, entry.value)).collect()))
}

#[test]
fn power_cut_at_any_write_loses_nothing_acknowledged_and_leaves_no_half_transaction() {
    let start = Instant::now();
    let moments = history();
    let all = cuts(&moments);
    let of = |file: File| all.iter().filter(|cut| cut.file == file).count();
    // Both ends of the log, the copying into the database, and a log begun anew are among them.
    assert!(of(File::Log) > 5_000 && of(File::Database) > 2_000 && of(File::LogHeader) >= 1, "{}", all.len());
    let taken = sample(&all, SAMPLE);
    let folder = folder();
    let store = folder.path().join("store.db");
    let mut forward = 0;
    for (number, cut) in taken.iter().enumerate() {
        let files = image(&moments, *cut);
        let zeros = vec![0; 32_768];
        let memory = [None, Some(&moments[cut.after].files.memory), Some(&zeros)][number % 3];
        files.write(&store, memory.map(Vec::as_slice));
        let (revision, contents) = open(&store).unwrap_or_else(|error| panic!("{cut:?}: {error}"));
        let moment = [&moments[cut.after], &moments[cut.after + 1]].into_iter().find(|m| m.revision == revision);
        let moment =
            moment.unwrap_or_else(|| panic!("{cut:?}: revision {revision} of {}", moments[cut.after].revision));
        assert!(contents == moment.contents, "{cut:?}: half a transaction");
        let is_on_disk = cut.file == File::Database;
        assert!(!is_on_disk || revision == moments[cut.after + 1].revision, "{cut:?}: the log was synced");
        forward += usize::from(revision == moments[cut.after + 1].revision);
        // It goes on from there.
        let kv = Embedded::open(&store, Access::Write).unwrap();
        kv.put("/k/next", b"x", None).unwrap();
        assert_eq!(kv.range("/k/next").unwrap().1, revision.next(), "{cut:?}");
    }
    assert!(forward > 0 && forward < taken.len(), "{forward} of {}", taken.len());
    println!("{} of {} images, {forward} with the last transaction, in {:?}", taken.len(), all.len(), start.elapsed());
    assert!(taken.len() == all.len() || taken.len() == SAMPLE);
}

/// What a disk does to a file that was synced, which no order of writing explains.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// A page of the database reads as zeros.
    Zeros(usize),
    /// One bit of a page is another.
    Bit(usize),
    /// The database ends here.
    End(usize),
}

/// The length of SQLite's pages.
const PAGE_LEN: usize = 4096;

#[test]
fn damage_is_said_with_the_file_and_what_to_do_and_never_read_as_something_else() {
    let moments = history();
    let last = moments.last().unwrap();
    // As after the last process has left: everything in the database, and an empty log.
    let folder = folder();
    let store = folder.path().join("store.db");
    drop(Embedded::open(&store, Access::Write).unwrap());
    last.files.write(&store, None);
    drop(open(&store).unwrap());
    let sound = Files { log: Vec::new(), ..Files::read(&store) };
    let pages = sound.database.len() / PAGE_LEN;
    let all: Vec<Damage> =
        (0..pages).flat_map(|page| [Damage::Zeros(page), Damage::Bit(page), Damage::End(page)]).collect();
    let (mut said, mut harmless) = (0, 0);
    // The end of all is always among them: nothing is left, and that is no new store.
    for damage in [vec![Damage::End(0)], sample(&all, SAMPLE_OF_DAMAGE)].concat() {
        let mut files = sound.clone();
        match damage {
            Damage::Zeros(page) => files.database[page * PAGE_LEN..][..PAGE_LEN].fill(0),
            Damage::Bit(page) => files.database[page * PAGE_LEN + 1000] ^= 0x10,
            Damage::End(page) => files.database.truncate(page * PAGE_LEN),
        }
        files.write(&store, None);
        match open(&store) {
            // A page that nothing is in.
            Ok((revision, contents)) => {
                assert!(revision == last.revision && contents == last.contents, "{damage:?} is not noticed");
                harmless += 1;
            }
            Err(text) => {
                assert!(text.contains(&store.display().to_string()), "{damage:?}: {text}");
                said += 1;
            }
        }
        // Nor does it trouble who reads only.
        if let Err(error) = Embedded::open(&store, Access::Read).and_then(|kv| kv.range("")) {
            let text = error.to_string();
            assert!(text.contains("restore a backup") || text.contains("name another file"), "{damage:?}: {text}");
        }
    }
    println!("{said} of {} damages are said, {harmless} are harmless", said + harmless);
    assert!(said > harmless);
}
