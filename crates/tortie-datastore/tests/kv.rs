//! What only an embedded store does (datastore.md section 7.1): real files, several processes, and ends by `kill -9`. What
//! every store must do is in crate `tortie-storetest`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tortie_datastore::kv::{Compare, FaultKind, KvError, Op, Revision, Txn, TxnOutcome, watch_receiver};
use tortie_datastore::{Access, Embedded, Kv};

/// Long enough for any machine; every wait ends with its event.
const PATIENCE: Duration = Duration::from_secs(60);

fn store() -> (TempDir, Embedded) {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("store.db"), Access::Write).unwrap();
    (folder, store)
}

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), ttl: None }
}

fn committed(kv: &dyn Kv, compares: Vec<Compare>, ops: Vec<Op>) -> Revision {
    match kv.txn(&Txn { compares, ops }).unwrap() {
        TxnOutcome::Committed { revision, .. } => revision,
        TxnOutcome::Failed { compare, current } => panic!("compare {compare} failed: {current:?}"),
    }
}

#[test]
fn a_watch_from_a_compacted_revision_says_so() {
    let (_folder, kv) = store();
    for number in 0..5 {
        committed(&kv, vec![], vec![put("a", &number.to_string())]);
    }
    let newest = kv.range("").unwrap().1;
    kv.compact(newest).unwrap();
    let watch = watch_receiver(&kv, &[""], Revision(1)).unwrap();
    assert!(matches!(watch.next_batch(PATIENCE), Err(KvError::Compacted { .. })));
    assert_eq!(kv.get("a").unwrap().unwrap().value, b"4");
    assert_eq!(kv.check().unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_store_that_is_missing_reads_as_empty_and_is_not_made_by_reading_d13() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let reader = Embedded::open(&file, Access::Read).unwrap();
    assert_eq!(reader.range("").unwrap(), (vec![], Revision::ZERO));
    assert!(!file.exists());
    let writer = Embedded::open(folder.path(), Access::Write).unwrap();
    assert_eq!(writer.file(), file, "a folder means store.db in it");
    committed(&writer, vec![], vec![put("a", "1")]);
    assert_eq!(reader.get("a").unwrap().unwrap().value, b"1");
    let refused = reader.txn(&Txn { compares: vec![], ops: vec![put("a", "2")] }).unwrap_err();
    assert_eq!(refused.fault(), Some(&FaultKind::OpenedForReading));
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "a shopping list\n".repeat(100)).unwrap();
    let refused = Embedded::open(&file, Access::Write).err().expect("it is refused");
    assert_eq!(refused.fault(), Some(&FaultKind::NotAStore), "{refused}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("a shopping list"));
}

#[test]
fn a_full_disk_loses_nothing_and_says_so() {
    // A small file system of its own, in a mount namespace that vanishes with its thread.
    let test = || {
        use nix::mount::{MsFlags, mount};
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("this test needs root");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let folder = tempfile::tempdir().unwrap();
        mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::empty(), Some("size=1m")).unwrap();
        let kv = Embedded::open(folder.path(), Access::Write).unwrap();
        let mut written = 0;
        let error = loop {
            let op = put(&format!("k{written}"), &"x".repeat(10_000));
            match kv.txn(&Txn { compares: vec![], ops: vec![op] }) {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
            assert!(written < 1_000, "the disk never fills");
        };
        assert_eq!(error.fault(), Some(&FaultKind::DiskFull), "{error}");
        assert!(written > 0);
        assert_eq!(kv.range("k").unwrap().0.len(), written, "what was acknowledged is there, and nothing else");
        assert_eq!(kv.check().unwrap().problems, Vec::<String>::new());
        drop(kv);
        nix::mount::umount(folder.path()).unwrap();
    };
    if let Err(panic) = std::thread::spawn(test).join() {
        std::panic::resume_unwind(panic);
    }
}

/// This test program again, as a process that writes until it is killed.
fn writer(file: &Path, name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_killed", "--nocapture"])
        .env("TORTIE_TEST_WRITER", name)
        .env("TORTIE_TEST_FILE", file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing by itself: the tests below run it in processes of their own.
#[test]
fn writes_until_killed() {
    let Some(name) = std::env::var_os("TORTIE_TEST_WRITER") else { return };
    let name = name.to_string_lossy().into_owned();
    let file = std::env::var_os("TORTIE_TEST_FILE").unwrap();
    let kv = Embedded::open(Path::new(&file), Access::Write).unwrap();
    for number in 0.. {
        let ops = vec![put(&format!("{name}/a/{number}"), "1"), put(&format!("{name}/b/{number}"), "1")];
        let revision = committed(&kv, vec![], ops);
        println!("acknowledged {number} {revision}");
    }
}

/// Numbers and revisions that a writer has acknowledged, until `count` of them have come.
fn acknowledged(child: &mut Child, count: usize) -> Vec<(u64, u64)> {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut seen = Vec::new();
    while seen.len() < count {
        let line = lines.next().expect("the writer goes on").unwrap();
        let Some((_, rest)) = line.split_once("acknowledged ") else { continue };
        let (number, revision) = rest.split_once(' ').unwrap();
        seen.push((number.parse().unwrap(), revision.trim().parse().unwrap()));
    }
    seen
}

#[test]
fn a_writer_that_is_killed_loses_nothing_it_acknowledged() {
    let rounds: usize = std::env::var("TORTIE_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let (_folder, kv) = store();
    for round in 0..rounds {
        let name = format!("r{round}");
        let mut child = writer(kv.file(), &name);
        let seen = acknowledged(&mut child, 1 + round % 7);
        child.kill().unwrap();
        child.wait().unwrap();
        let (a, b) = (kv.range(&format!("{name}/a/")).unwrap().0, kv.range(&format!("{name}/b/")).unwrap().0);
        assert_eq!(a.len(), b.len(), "round {round}: half a transaction");
        for (number, revision) in seen {
            let entry = kv
                .get(&format!("{name}/a/{number}"))
                .unwrap()
                .unwrap_or_else(|| panic!("round {round}: {number} is lost"));
            assert_eq!(entry.mod_rev, Revision(revision));
        }
        assert_eq!(kv.check().unwrap().problems, Vec::<String>::new(), "round {round}");
    }
}

#[test]
fn several_processes_write_at_once_and_a_watcher_sees_every_revision_once() {
    let (_folder, kv) = store();
    let start = kv.range("").unwrap().1;
    let watch = watch_receiver(&kv, &[""], start.next()).unwrap();
    let mut children: Vec<Child> = ["x", "y", "z"].iter().map(|name| writer(kv.file(), name)).collect();
    let mut last = start;
    for _ in 0..150 {
        let batch = watch.next_batch(PATIENCE).unwrap().expect("somebody writes");
        assert_eq!(batch.revision, last.next(), "no revision is lost or repeated");
        assert_eq!(batch.events.len(), 2, "a transaction comes as a whole");
        last = batch.revision;
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(kv.check().unwrap().problems, Vec::<String>::new());
}
