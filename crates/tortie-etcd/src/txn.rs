//! Writing: compares and operations as etcd's transactions (datastore.md section 2.6).

use std::collections::BTreeMap;
use std::time::Duration;

use tortie_datastore::kv::{Compare, KvError, Op, RESOURCE_PREFIX, Revision, Txn, TxnOutcome};

use crate::Inner;
use crate::memory::{signed, unsigned};
use crate::proto::{self, Answer, KeyValue, Range, Request, Target, TxnAnswer, TxnOp};
use crate::{range, rpc};

const ACTION: &str = "write";

const EQUAL: i32 = 0;
const GREATER: i32 = 1;
const LESS: i32 = 2;
const VERSION: i32 = 0;
const MOD_REVISION: i32 = 2;

/// Checks the compares and makes the changes.
pub(crate) async fn txn(inner: &Inner, txn: &Txn) -> Result<TxnOutcome, KvError> {
    txn.check_keys()?;
    let leases = leases(inner, &txn.ops).await?;
    let ask = proto::Txn {
        compare: txn.compares.iter().map(compare).collect(),
        success: txn.ops.iter().map(|op| operation(op, &leases)).collect(),
        failure: txn.compares.iter().map(|compare| Request::Range(look(compare)).into()).collect(),
    };
    let before = inner.memory().mark();
    let answer = inner.link.call(rpc::TXN, ACTION, ask).await?;
    // The changes were made: that the store is another one than before is for readers and watches to tell.
    let revision = match inner.note(answer.header, before) {
        Ok(revision) => revision,
        Err(error) => {
            tracing::warn!("{error}");
            Revision(unsigned(answer.header.unwrap_or_default().revision))
        }
    };
    if !answer.succeeded {
        return failed(inner, &txn.compares, answer);
    }
    if txn.ops.iter().any(|op| op.key().starts_with(RESOURCE_PREFIX)) {
        remember(inner, &txn.ops, &answer, revision);
    }
    Ok(TxnOutcome::Committed { revision, previous: answer.responses.into_iter().map(previous).collect() })
}

/// One lease for each time to live, granted anew for each write.
async fn leases(inner: &Inner, ops: &[Op]) -> Result<BTreeMap<Duration, i64>, KvError> {
    let mut leases = BTreeMap::new();
    for op in ops {
        if let Op::Put { ttl: Some(ttl), .. } = op
            && !leases.contains_key(ttl)
        {
            let ask = proto::LeaseGrant { ttl_s: seconds(*ttl) };
            let lease = inner.link.call(rpc::LEASE_GRANT, "get a lease from it", ask).await?;
            leases.insert(*ttl, lease.id);
        }
    }
    Ok(leases)
}

/// Leases count whole seconds, and none is shorter than one; the server makes short ones longer as its elections need it.
fn seconds(ttl: Duration) -> i64 {
    let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    signed(whole.max(1))
}

fn compare(compare: &Compare) -> proto::Compare {
    let on = |key: &str, target, result, operand| proto::Compare {
        result,
        target,
        key: key.as_bytes().to_vec(),
        operand: Some(operand),
        range_end: Vec::new(),
    };
    match compare {
        Compare::Absent(key) => on(key, VERSION, EQUAL, Target::Version(0)),
        Compare::Present(key) => on(key, VERSION, GREATER, Target::Version(0)),
        // A revision of zero would be that of a key that does not exist.
        Compare::Unchanged(key, Revision(0)) => on(key, VERSION, LESS, Target::Version(0)),
        Compare::Unchanged(key, revision) => on(key, MOD_REVISION, EQUAL, Target::ModRevision(signed(revision.0))),
        Compare::NoPutSince(prefix, revision) => {
            let (key, range_end) = range::of_prefix(prefix);
            let operand = Some(Target::ModRevision(signed(revision.next().0)));
            proto::Compare { result: LESS, target: MOD_REVISION, key, operand, range_end }
        }
    }
}

/// Asks, in case that a compare does not hold, what it stumbles over.
fn look(compare: &Compare) -> Range {
    match compare {
        Compare::Absent(key) | Compare::Present(key) | Compare::Unchanged(key, _) => range::ask_key(key.as_bytes()),
        Compare::NoPutSince(prefix, revision) => {
            Range { min_mod_revision: signed(revision.next().0), limit: 1, ..range::ask(prefix) }
        }
    }
}

fn operation(op: &Op, leases: &BTreeMap<Duration, i64>) -> TxnOp {
    match op {
        Op::Put { key, value, ttl } => {
            let lease = ttl.and_then(|ttl| leases.get(&ttl)).copied().unwrap_or(0);
            Request::Put(proto::Put { key: key.clone().into(), value: value.clone(), lease, prev_kv: true }).into()
        }
        Op::Delete { key } => Request::Delete(proto::Delete { key: key.clone().into(), prev_kv: true }).into(),
    }
}

fn previous(response: proto::OpAnswer) -> Option<tortie_datastore::kv::Entry> {
    let kv = match response.answer {
        Some(Answer::Put(put)) => put.prev_kv,
        Some(Answer::Delete(delete)) => delete.prev_kvs.into_iter().next(),
        _ => None,
    };
    kv.map(range::entry)
}

/// Finds the compare that did not hold, by what was read in the same transaction.
fn failed(inner: &Inner, compares: &[Compare], answer: TxnAnswer) -> Result<TxnOutcome, KvError> {
    let found = answer.responses.into_iter().map(|response| match response.answer {
        Some(Answer::Range(range)) => range.kvs.into_iter().next(),
        _ => None,
    });
    let mut failed = compares.iter().zip(found).enumerate().filter(|(_, (compare, kv))| !holds(compare, kv.as_ref()));
    match failed.next() {
        Some((compare, (_, kv))) => Ok(TxnOutcome::Failed { compare, current: kv.map(range::entry) }),
        None => Err(inner.link.faults.fault(
            ACTION,
            tortie_datastore::kv::FaultKind::Other,
            "it says that a condition does not hold, and every one does",
        )),
    }
}

fn holds(compare: &Compare, kv: Option<&KeyValue>) -> bool {
    match compare {
        Compare::Absent(_) | Compare::NoPutSince(..) => kv.is_none(),
        Compare::Present(_) => kv.is_some(),
        Compare::Unchanged(_, revision) => kv.is_some_and(|kv| unsigned(kv.mod_revision) == revision.0),
    }
}

/// Own changes of resources are known without asking (D-14).
fn remember(inner: &Inner, ops: &[Op], answer: &TxnAnswer, revision: Revision) {
    let is_change = |(op, response): (&Op, &proto::OpAnswer)| match (op, &response.answer) {
        (Op::Put { key, .. }, _) => key.starts_with(RESOURCE_PREFIX),
        (Op::Delete { key }, Some(Answer::Delete(delete))) => {
            key.starts_with(RESOURCE_PREFIX) && !delete.prev_kvs.is_empty()
        }
        _ => false,
    };
    if ops.iter().zip(&answer.responses).any(is_change) {
        inner.memory().changed(revision.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_never_shorter_than_asked_for() {
        assert_eq!(seconds(Duration::from_millis(50)), 1);
        assert_eq!(seconds(Duration::from_secs(90)), 90);
        assert_eq!(seconds(Duration::from_millis(90_001)), 91);
    }
}
