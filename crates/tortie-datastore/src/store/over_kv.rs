//! Every key-value store is a store of resources, by the keys and values of datastore.md section 2.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tortie_api::ResourceKey;

use super::{Commit, Deliver, Item, List, Raw, ReportSink, Reported, Scope, Select, Step, Store};
use crate::keys;
use crate::kv::{
    Compare, Entry, FaultKind, Kv, KvError, Op, Revision, Span, Txn, TxnLimits, TxnOutcome, Watch, WatchEvent,
};
use crate::syncer::Syncer;

/// Reports lie at this prefix and the node's name.
pub const REPORT_PREFIX: &str = "/tortie/v1/agents/";
/// Leases lie at this prefix and their name.
const LEASE_PREFIX: &str = "/tortie/v1/leases/";

impl<K: Kv + 'static> Store for K {
    fn place(&self) -> String {
        self.describe()
    }

    fn peers(&self) -> Vec<SocketAddr> {
        Kv::peers(self)
    }

    fn select(&self, what: &[Select]) -> Result<Vec<List>, KvError> {
        let spans: Vec<Span> = what
            .iter()
            .map(|select| match select {
                Select::Object(key) => Span::Key(keys::key(key)),
                Select::Kind(kind, namespace) => Span::Prefix(keys::prefix(*kind, namespace.as_deref())),
            })
            .collect();
        let snapshot = self.read(&spans)?;
        let revision = snapshot.revision.to_string();
        let list = |entries: Vec<Entry>| List {
            items: entries.into_iter().filter_map(item).collect(),
            revision: revision.clone(),
        };
        Ok(snapshot.spans.into_iter().map(list).collect())
    }

    fn commit(&self, steps: &[Step]) -> Result<Commit, KvError> {
        Ok(match self.txn(&transaction(self, steps)?)? {
            TxnOutcome::Committed { revision, .. } => Commit::Done(vec![revision.to_string(); steps.len()]),
            TxnOutcome::Failed { compare, .. } => Commit::Refused { step: compare },
        })
    }

    fn rehearse(&self, steps: &[Step]) -> Result<Commit, KvError> {
        let mut txn = transaction(self, steps)?;
        // A condition more, which never holds: everything is checked, rights and limits too, and nothing written.
        let never = txn.ops.first().map(|op| Compare::Unchanged(op.key().to_owned(), Revision::ZERO));
        txn.compares.extend(never);
        Ok(match self.txn(&txn)? {
            TxnOutcome::Failed { compare, .. } if compare < steps.len() => Commit::Refused { step: compare },
            _ => Commit::Done(vec![String::new(); steps.len()]),
        })
    }

    fn written_at(&self, key: &ResourceKey, revision: &str) -> Result<Option<Item>, KvError> {
        let Ok(revision) = revision.parse::<Revision>() else { return Ok(None) };
        // Its history counts under the key at which it lies.
        for at in std::iter::once(key.clone()).chain(keys::legacy(key)) {
            if let Some(bytes) = self.value_at(&keys::key(&at), revision)? {
                let value = keys::from_bytes(at.kind, &bytes, revision);
                return Ok(Some(Item { at, revision: revision.to_string(), value, raw: Raw::Bytes(bytes) }));
            }
        }
        Ok(None)
    }

    fn is_atomic(&self) -> bool {
        true
    }

    fn commit_limits(&self) -> TxnLimits {
        self.txn_limits()
    }

    fn is_same(&self, item: &Item, value: &Map<String, Value>) -> bool {
        let Raw::Bytes(stored) = &item.raw else { return false };
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        parse(stored).is_some_and(|stored| parse(&keys::to_bytes(item.at.kind, value)) == Some(stored))
    }

    fn sync(self: Arc<Self>, scope: Scope, deliver: Deliver) -> io::Result<Syncer> {
        // One range and one watch tell all kinds at no more cost, in one order.
        Syncer::start(self, scope.is_known, deliver)
    }

    fn present(&self) -> Result<Revision, KvError> {
        self.resource_revision()
    }

    fn keys(&self) -> Option<&dyn Kv> {
        Some(self)
    }

    fn report(&self, node: &str, report: &[u8], ttl: Duration) -> Result<(), KvError> {
        self.put(&format!("{REPORT_PREFIX}{node}"), report, Some(ttl)).map(|_| ())
    }

    fn watch_reports(&self, sink: ReportSink) -> Result<Watch, KvError> {
        let (entries, seen) = self.range(REPORT_PREFIX)?;
        let mut reports = Reports { sink };
        for entry in entries {
            if reports.tell(&entry.key, Some(entry.value)).is_break() {
                return Ok(Watch::new(|| {}));
            }
        }
        self.watch(&[REPORT_PREFIX], seen.next(), Box::new(move |event| reports.take(event)))
    }

    fn lease(&self, name: &str, holder: &str, ttl: Duration) -> Result<bool, KvError> {
        let key = format!("{LEASE_PREFIX}{name}");
        let held = self.get(&key)?;
        let compare = match &held {
            None => Compare::Absent(key.clone()),
            Some(entry) if entry.value == holder.as_bytes() => Compare::Unchanged(key.clone(), entry.mod_rev),
            Some(_) => return Ok(false),
        };
        let op = Op::Put { key, value: holder.as_bytes().to_vec(), ttl: Some(ttl) };
        let outcome = self.txn(&Txn { compares: vec![compare], ops: vec![op] })?;
        Ok(matches!(outcome, TxnOutcome::Committed { .. }))
    }

    fn release(&self, name: &str, holder: &str) -> Result<(), KvError> {
        let key = format!("{LEASE_PREFIX}{name}");
        let Some(entry) = self.get(&key)?.filter(|entry| entry.value == holder.as_bytes()) else { return Ok(()) };
        // Whoever has taken it meanwhile keeps it.
        let compare = Compare::Unchanged(key.clone(), entry.mod_rev);
        self.txn(&Txn { compares: vec![compare], ops: vec![Op::Delete { key }] }).map(|_| ())
    }
}

/// The steps as one transaction.
fn transaction(store: &impl Kv, steps: &[Step]) -> Result<Txn, KvError> {
    let mut txn = Txn::default();
    for step in steps {
        let at = keys::key(step.at());
        let put = |value| Op::Put { key: at.clone(), value: keys::to_bytes(step.at().kind, value), ttl: None };
        let (compare, op) = match step {
            Step::Create { value, .. } => (Compare::Absent(at.clone()), put(value)),
            Step::Update { before, value } => (unchanged(before), put(value)),
            Step::Delete { before } => (unchanged(before), Op::Delete { key: at.clone() }),
            Step::Merge { key, .. } => {
                let message = format!("{key} has no field managers here");
                let kind = FaultKind::Refused { message };
                return Err(KvError::Fault { store: store.describe(), action: "write", kind, cause: None });
            }
        };
        txn.compares.push(compare);
        txn.ops.push(op);
    }
    Ok(txn)
}

fn item(entry: Entry) -> Option<Item> {
    let at = keys::parse(&entry.key)?;
    let value = keys::from_bytes(at.kind, &entry.value, entry.mod_rev);
    Some(Item { at, revision: entry.mod_rev.to_string(), value, raw: Raw::Bytes(entry.value) })
}

/// The condition that an object is still what was read.
fn unchanged(before: &Item) -> Compare {
    let key = keys::key(&before.at);
    match before.revision.parse() {
        Ok(revision) => Compare::Unchanged(key, revision),
        // Not from such a store: no revision of this one is meant.
        Err(_) => Compare::Unchanged(key, Revision::ZERO),
    }
}

/// Turns changed keys into reports.
struct Reports {
    sink: ReportSink,
}

impl Reports {
    fn tell(&mut self, key: &str, report: Option<Vec<u8>>) -> ControlFlow<()> {
        let node = key.strip_prefix(REPORT_PREFIX).unwrap_or(key).to_owned();
        (self.sink)(Ok(Reported { node, report }))
    }

    fn take(&mut self, event: WatchEvent) -> ControlFlow<()> {
        match event {
            WatchEvent::Batch(batch) => {
                batch.events.into_iter().try_for_each(|event| self.tell(&event.key, event.value))
            }
            WatchEvent::Progress(_) => ControlFlow::Continue(()),
            WatchEvent::End(error) => (self.sink)(Err(error)),
        }
    }
}
