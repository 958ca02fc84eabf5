//! Writers of an embedded store that want to write at the same time (datastore.md section 7.1, rule 6).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::mpsc::channel;

use tortie_datastore::kv::{FaultKind, Op, Txn, TxnOutcome};
use tortie_datastore::{Access, Embedded, Kv};

fn open(file: &Path) -> Embedded {
    Embedded::open(file, Access::Write).unwrap()
}

/// Writes, and gives the revision. Revisions are counted, not seconds: on a disk that stalls the time may be out.
fn write(kv: &Embedded, key: &str) -> u64 {
    let put = Op::Put { key: key.to_owned(), value: b"x".to_vec(), ttl: None };
    let txn = Txn { compares: vec![], ops: vec![put] };
    loop {
        match kv.txn(&txn) {
            Ok(TxnOutcome::Committed { revision, .. }) => return revision.0,
            Ok(TxnOutcome::Failed { .. }) => panic!("nothing was compared"),
            Err(error) => assert!(matches!(error.fault(), Some(FaultKind::Busy { .. })), "{error}"),
        }
    }
}

#[test]
fn a_writer_has_its_turn_however_much_another_one_writes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let (greedy, patient) = (open(&file), open(&file));
    let (sender, revisions) = channel();
    let passed: Vec<u64> = std::thread::scope(|scope| {
        // Until nobody listens any more.
        scope.spawn(move || while sender.send(write(&greedy, "greedy")).is_ok() {});
        let revisions = revisions;
        let passed = (0..15).map(|_| {
            let newest = revisions.recv().unwrap();
            let newest = revisions.try_iter().last().unwrap_or(newest);
            write(&patient, "patient") - newest
        });
        passed.collect()
    });
    // Two or three for each, and more where this thread sleeps on its way to the turn; without turns it is hundreds.
    assert!(passed.iter().sum::<u64>() <= 300, "revisions until a writer had its turn: {passed:?}");
}
