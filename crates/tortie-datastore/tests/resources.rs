//! Resources over a store, and the syncer (datastore.md sections 1, 2.8 and 5): what the cases of `tortie-storetest`, which
//! run on every store, do not have.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tortie_api::limits::STORED_LEN_MAX;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::kv::{Kv, Op, RESOURCE_PREFIX, Txn};
use tortie_datastore::resources::{Change, Done, Mode};
use tortie_datastore::syncer::Update;
use tortie_datastore::{Access, Embedded, Resources, SyncEvent, Syncer, keys};

const PATIENCE: Duration = Duration::from_secs(60);

fn store() -> (TempDir, Arc<Embedded>) {
    let folder = tempfile::tempdir().unwrap();
    let store = Embedded::open(&folder.path().join("store.db"), Access::Write).unwrap();
    Resources::new(&store).ensure_initialised().unwrap();
    (folder, Arc::new(store))
}

fn object(name: &str, spec: Value) -> Map<String, Value> {
    json!({"metadata": {"name": name}, "spec": spec}).as_object().unwrap().clone()
}

fn change(mode: Mode, kind: Kind, name: &str, spec: Value) -> Change {
    Change { mode, key: ResourceKey::global(kind, name), value: object(name, spec), resource_version: None }
}

/// Writes one change; the error as text.
fn write(kv: &Embedded, change: Change) -> Result<Done, String> {
    Resources::new(kv).write(&[change]).map(|written| written[0].done).map_err(|failures| failures[0].1.to_string())
}

fn endpoint(mode: Mode, node: &str) -> Change {
    change(mode, Kind::HostEndpoint, "a", json!({"node": node, "interfaceName": "eth0"}))
}

fn policy(mode: Mode, name: &str, tier: &str) -> Change {
    change(mode, Kind::GlobalNetworkPolicy, name, json!({"tier": tier, "types": ["Ingress"]}))
}

#[test]
fn an_object_is_written_and_read_up_to_its_limit_of_length() {
    let (_folder, kv) = store();
    let set = |len: usize| {
        let spec = json!({"nets": ["x".repeat(len)]});
        change(Mode::Apply, Kind::GlobalNetworkSet, "a", spec)
    };
    // What is around the text: names, and what creation adds.
    write(&kv, set(0)).unwrap();
    let key = ResourceKey::global(Kind::GlobalNetworkSet, "a");
    let around = kv.get(&keys::key(&key)).unwrap().unwrap().value.len();
    let len = STORED_LEN_MAX - around;
    assert_eq!(write(&kv, set(len)), Ok(Done::Configured));
    assert!(Resources::new(&*kv).get(&key).is_ok());
    let refused = format!("object too large: GlobalNetworkSet(a) has {} bytes", STORED_LEN_MAX + 1);
    assert!(write(&kv, set(len + 1)).unwrap_err().starts_with(&refused));
    // Others may write more: to a reader that is an object that cannot be understood.
    let mut bytes = kv.get(&keys::key(&key)).unwrap().unwrap().value;
    bytes.push(b' ');
    put_bytes(&kv, &key, bytes);
    let error = Resources::new(&*kv).get(&key).unwrap_err().to_string();
    assert!(error.contains(&format!("at most {STORED_LEN_MAX} are read")), "{error}");
}

fn put_bytes(kv: &Embedded, key: &ResourceKey, value: Vec<u8>) {
    kv.txn(&Txn { ops: vec![Op::Put { key: keys::key(key), value, ttl: None }], ..Txn::default() }).unwrap();
}

#[test]
fn deleting_a_node_takes_what_belongs_to_it() {
    let (_folder, kv) = store();
    write(&kv, change(Mode::Create, Kind::Node, "n", json!({}))).unwrap();
    write(&kv, endpoint(Mode::Create, "n")).unwrap();
    write(&kv, change(Mode::Create, Kind::FelixConfiguration, "node.n", json!({}))).unwrap();
    write(&kv, change(Mode::Create, Kind::FelixConfiguration, "node.other", json!({}))).unwrap();
    write(&kv, change(Mode::Delete, Kind::Node, "n", json!({}))).unwrap();
    let resources = Resources::new(&*kv);
    assert_eq!(resources.list(Kind::HostEndpoint, None).unwrap().0.len(), 0);
    assert_eq!(resources.list(Kind::FelixConfiguration, None).unwrap().0.len(), 1);
}

#[test]
fn policies_of_older_versions_are_found_by_the_name_their_users_gave() {
    let (_folder, kv) = store();
    let old = format!("{}default.foo", keys::prefix(Kind::GlobalNetworkPolicy, None));
    let value = json!({"metadata": {"name": "default.foo"}, "spec": {"types": ["Ingress"]}}).to_string();
    kv.put(&old, value.as_bytes(), None).unwrap();
    let key = ResourceKey::global(Kind::GlobalNetworkPolicy, "foo");
    assert_eq!(Resources::new(&*kv).get(&key).unwrap().value["metadata"]["name"], "foo");
    assert_eq!(write(&kv, policy(Mode::Delete, "foo", "default")), Ok(Done::Deleted));
    assert_eq!(kv.get(&old).unwrap(), None);
}

fn next(events: &Receiver<SyncEvent>) -> SyncEvent {
    events.recv_timeout(PATIENCE).expect("the syncer delivers")
}

fn names(event: &SyncEvent) -> Vec<String> {
    let SyncEvent::Updates { updates, .. } = event else { panic!("{event:?}") };
    updates
        .iter()
        .map(|update| format!("{}{}", if update.value.is_some() { "" } else { "-" }, update.key.name))
        .collect()
}

#[test]
fn a_store_that_lost_everything_is_no_empty_store() {
    let (_folder, kv) = store();
    write(&kv, endpoint(Mode::Create, "n")).unwrap();
    let (sender, events) = channel();
    let _syncer = Syncer::start(kv.clone(), false, move |event| sender.send(event).unwrap_or_default()).unwrap();
    assert!(matches!(next(&events), SyncEvent::Updates { is_snapshot: true, .. }));
    let entries = kv.range(RESOURCE_PREFIX).unwrap().0;
    let ops = entries.into_iter().map(|entry| Op::Delete { key: entry.key }).collect();
    kv.txn(&Txn { compares: vec![], ops }).unwrap();
    let is_lost = |event| matches!(event, SyncEvent::Lost(why) if why.contains("holds nothing, and held something"));
    assert!(is_lost(next(&events)));
    // An agent that starts now and knows what the store held is told the same; one that does not sees that it is empty.
    let (sender, later) = channel();
    let _later = Syncer::start(kv.clone(), true, move |event| sender.send(event).unwrap_or_default()).unwrap();
    assert!(is_lost(next(&later)));
    let (sender, new) = channel();
    let _new = Syncer::start(kv.clone(), false, move |event| sender.send(event).unwrap_or_default()).unwrap();
    assert_eq!(names(&next(&new)), [""; 0]);
    // Whoever initialises it anew means it.
    Resources::new(&*kv).ensure_initialised().unwrap();
    let expected = ["default", "default", "kube-admin", "kube-baseline", "-a"];
    assert_eq!(names(&next(&events)), expected);
    assert_eq!(names(&next(&later)), expected[..4]);
}

/// As Calico's migration does it, and the other way round: whatever comes first, the policy is told once, as it is now.
#[test]
fn a_policy_that_moves_to_another_key_is_told_once_s2_4() {
    let (_folder, kv) = store();
    let [old, new] =
        ["default.web", "web"].map(|name| keys::key(&ResourceKey::global(Kind::GlobalNetworkPolicy, name)));
    let stored = |from: &str| {
        let annotation = json!({"name": "web"}).to_string();
        let metadata = json!({"name": "web", "annotations": {keys::NAME_ANNOTATION: annotation}});
        json!({"metadata": metadata, "spec": {"selector": from}}).to_string().into_bytes()
    };
    let put = |key: &str| Op::Put { key: key.to_owned(), value: stored(key), ttl: None };
    let delete = |key: &str| Op::Delete { key: key.to_owned() };
    kv.put(&old, &stored(&old), None).unwrap();
    let (sender, events) = channel();
    let _syncer = Syncer::start(kv.clone(), false, move |event| sender.send(event).unwrap_or_default()).unwrap();
    let from = |event: SyncEvent| {
        let SyncEvent::Updates { updates, .. } = event else { panic!("{event:?}") };
        let policies = updates.into_iter().filter(|update| update.key.kind == Kind::GlobalNetworkPolicy);
        let from = |update: Update| match update.object() {
            Some(value) => value.unwrap()["spec"]["selector"].as_str().unwrap().to_owned(),
            None => "gone".to_owned(),
        };
        policies.map(from).collect::<Vec<_>>()
    };
    assert_eq!(from(next(&events)), [old.as_str()]);
    for (ops, place) in [
        (vec![delete(&old), put(&new)], &new),
        (vec![delete(&new), put(&old)], &old),
        (vec![put(&new), delete(&old)], &new),
        (vec![put(&old), delete(&new)], &old),
    ] {
        kv.txn(&Txn { compares: Vec::new(), ops }).unwrap();
        // Where all is to be read again, the change comes by that.
        let told: Vec<String> = std::iter::repeat_with(|| from(next(&events))).find(|told| !told.is_empty()).unwrap();
        assert_eq!(told, [place.as_str()]);
    }
}
