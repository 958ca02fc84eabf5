//! Key-value stores: what a [`Kv`] must do (datastore.md sections 1, 2.6 and 7.1).
//!
//! A case is a function of a [`Fixture`]; [`kv_suite`](crate::kv_suite) makes a test of each case for one store.

pub mod newest;
pub mod ranges;
pub mod transactions;
pub mod ttl;
pub mod watches;

use std::time::Instant;

use tortie_datastore::Kv;
use tortie_datastore::kv::{Compare, Entry, EventBatch, FaultKind, Op, Revision, Txn, TxnOutcome, WatchReceiver};

use crate::{Fixture, PATIENCE};

pub fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.to_owned(), value: value.as_bytes().to_vec(), ttl: None }
}

pub fn delete(key: &str) -> Op {
    Op::Delete { key: key.to_owned() }
}

/// Makes changes whose compares hold.
pub fn committed(kv: &dyn Kv, compares: Vec<Compare>, ops: Vec<Op>) -> Revision {
    match unless_busy(kv, &Txn { compares, ops }) {
        TxnOutcome::Committed { revision, .. } => revision,
        TxnOutcome::Failed { compare, current } => panic!("compare {compare} failed: {current:?}"),
    }
}

/// The outcome of a transaction. One that was refused because the disk kept another writer for longer than a store waits has
/// changed nothing, and is tried again.
fn unless_busy(kv: &dyn Kv, txn: &Txn) -> TxnOutcome {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match kv.txn(txn) {
            Err(error) if matches!(error.fault(), Some(FaultKind::Busy { .. })) && Instant::now() < deadline => {}
            outcome => return outcome.unwrap(),
        }
    }
}

/// Makes changes without compares.
pub fn write(kv: &dyn Kv, ops: Vec<Op>) -> Revision {
    committed(kv, Vec::new(), ops)
}

/// Tries to make a change one of whose compares does not hold: which, and what its key holds.
pub fn failed(kv: &dyn Kv, compares: Vec<Compare>) -> (usize, Option<Entry>) {
    match kv.txn(&Txn { compares, ops: vec![put("never", "1")] }).unwrap() {
        TxnOutcome::Committed { .. } => panic!("it was committed"),
        TxnOutcome::Failed { compare, current } => (compare, current),
    }
}

/// The next batch of a watch.
pub fn batch(watch: &WatchReceiver) -> EventBatch {
    watch.next_batch(PATIENCE).unwrap().expect("the watch delivers")
}

/// A batch as text: `key=value<previous`, with `-` for what does not exist.
pub fn shown(batch: &EventBatch) -> Vec<String> {
    let text = |bytes: &Option<Vec<u8>>| match bytes {
        Some(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        None => "-".to_owned(),
    };
    batch.events.iter().map(|event| format!("{}={}<{}", event.key, text(&event.value), text(&event.previous))).collect()
}
