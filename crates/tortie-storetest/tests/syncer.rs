//! The syncer on etcd: whatever happens to the server, its consumer has what the store holds in the end, and each change
//! once (datastore.md section 5).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};

use tortie_api::{Kind, ResourceKey};
use tortie_datastore::{Kv, Resources, SyncEvent, Syncer, keys};
use tortie_storetest::{EtcdStore, Fixture, PATIENCE, delete, put, write};
use tortie_testkit::etcd::Version;

/// What a consumer has, by what it was told.
struct Consumer {
    events: Receiver<SyncEvent>,
    has: BTreeMap<String, String>,
    /// Each change of a set that was told, in order.
    told: Vec<(String, Option<String>)>,
    _syncer: Syncer,
}

impl Consumer {
    fn start(store: &EtcdStore) -> Consumer {
        let (sender, events) = channel();
        let syncer = Syncer::start(store.open(), false, move |event| sender.send(event).unwrap_or_default()).unwrap();
        Consumer { events, has: BTreeMap::new(), told: Vec::new(), _syncer: syncer }
    }

    /// Takes what is told until it holds for what the consumer has.
    fn until(&mut self, mut holds: impl FnMut(&BTreeMap<String, String>) -> bool) {
        while !holds(&self.has) {
            let event = self.events.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it has {:?}", self.has));
            let SyncEvent::Updates { updates, .. } = event else { continue };
            for update in updates.into_iter().filter(|update| update.key.kind == Kind::GlobalNetworkSet) {
                let net = update.object().map(|value| value.unwrap()["spec"]["nets"][0].as_str().unwrap().to_owned());
                let name = update.key.name;
                match &net {
                    Some(net) => self.has.insert(name.clone(), net.clone()),
                    None => self.has.remove(&name),
                };
                self.told.push((name, net));
            }
        }
    }

    fn take_told(&mut self) -> Vec<(String, Option<String>)> {
        std::mem::take(&mut self.told)
    }
}

fn key(name: &str) -> String {
    keys::key(&ResourceKey::global(Kind::GlobalNetworkSet, name))
}

fn set(kv: &dyn Kv, name: &str, net: &str) {
    write(kv, vec![put(&key(name), &format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nets":["{net}"]}}}}"#))]);
}

fn told(name: &str, net: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(net.to_owned()))
}

fn a_syncer_survives_whatever_happens_to_its_store(version: Version) {
    let mut store = EtcdStore::new(version);
    let kv = store.open();
    Resources::new(&store.connect()).ensure_initialised().unwrap();
    set(&*kv, "a", "10.0.0.1");
    let mut consumer = Consumer::start(&store);
    consumer.until(|has| has.contains_key("a"));
    assert_eq!(consumer.take_told(), [told("a", "10.0.0.1")]);

    // Killed and started again, with changes on both sides of it.
    set(&*kv, "b", "10.0.0.2");
    store.server.restart();
    set(&*kv, "c", "10.0.0.3");
    consumer.until(|has| has.contains_key("c"));
    assert_eq!(consumer.take_told(), [told("b", "10.0.0.2"), told("c", "10.0.0.3")]);

    // Compacted under a syncer that has everything: it notices nothing.
    store.compact(kv.range("").unwrap().1);
    set(&*kv, "a", "10.0.1.1");
    consumer.until(|has| has["a"] == "10.0.1.1");
    assert_eq!(consumer.take_told(), [told("a", "10.0.1.1")]);

    // A backup without the last changes, and a change after it.
    store.server.save("backup");
    set(&*kv, "a", "10.0.2.1");
    write(&*kv, vec![delete(&key("b"))]);
    set(&*kv, "d", "10.0.0.4");
    consumer.until(|has| has.contains_key("d"));
    consumer.take_told();
    store.server.restore("backup");
    consumer.until(|has| !has.contains_key("d"));
    let mut back = consumer.take_told();
    back.sort();
    assert_eq!(back, [told("a", "10.0.1.1"), told("b", "10.0.0.2"), ("d".to_owned(), None)]);
    set(&*store.open(), "e", "10.0.0.5");
    consumer.until(|has| has.contains_key("e"));
    assert_eq!(consumer.take_told(), [told("e", "10.0.0.5")]);
    let names: Vec<&str> = consumer.has.keys().map(String::as_str).collect();
    assert_eq!(names, ["a", "b", "c", "e"]);
}

#[test]
fn a_syncer_survives_whatever_happens_to_etcd_3_4() {
    a_syncer_survives_whatever_happens_to_its_store(Version::Debian);
}

#[test]
fn a_syncer_survives_whatever_happens_to_a_recent_etcd() {
    a_syncer_survives_whatever_happens_to_its_store(Version::Recent);
}
