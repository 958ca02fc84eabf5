//! Resources and the syncer over a [`Store`] (datastore.md sections 1, 2.2, 2.3, 2.8 and 5).
//!
//! Names carry the prefix of their world: on an API server several cases share one store.

mod sync;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Done, Mode, Object, Written};
use tortie_datastore::store::Scope;
use tortie_datastore::{Resources, Store, SyncEvent, Syncer};

pub use crate::PATIENCE;
pub use sync::*;
pub use write::*;

/// One store and what a case needs of its surroundings.
pub struct World {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What the names of this case begin with.
    pub prefix: String,
    /// Writes something that is no object at the place of one, as another program could.
    pub spoil: Box<dyn Fn(&ResourceKey) + Send + Sync>,
    /// What keeps the store alive.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

impl World {
    fn resources(&self) -> Resources<'_> {
        Resources::new(&*self.store)
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn key(&self, kind: Kind, name: &str) -> ResourceKey {
        ResourceKey::global(kind, self.name(name))
    }

    fn change(&self, mode: Mode, kind: Kind, name: &str, spec: Value) -> Change {
        let key = self.key(kind, name);
        let Value::Object(value) = json!({"metadata": {"name": key.name}, "spec": spec}) else { unreachable!() };
        Change { mode, key, value, resource_version: None }
    }

    fn endpoint(&self, mode: Mode, name: &str, node: &str) -> Change {
        self.change(mode, Kind::HostEndpoint, name, json!({"node": node, "interfaceName": "eth0"}))
    }

    fn set(&self, mode: Mode, name: &str, nets: &[&str]) -> Change {
        self.change(mode, Kind::GlobalNetworkSet, name, json!({"nets": nets}))
    }

    fn policy(&self, mode: Mode, name: &str, tier: &str) -> Change {
        let mut change =
            self.change(mode, Kind::GlobalNetworkPolicy, name, json!({"tier": tier, "types": ["Ingress"]}));
        change.value["metadata"]["labels"] = json!({"projectcalico.org/tier": tier});
        change
    }

    /// Writes one change; the error as text.
    fn write(&self, change: Change) -> Result<Done, String> {
        self.write_all(&[change]).map(|written| written[0].done)
    }

    fn write_all(&self, changes: &[Change]) -> Result<Vec<Written>, String> {
        self.resources().write(changes).map_err(|failures| {
            let texts: Vec<String> = failures.iter().map(|(_, error)| error.to_string()).collect();
            texts.join("; ")
        })
    }

    fn get(&self, kind: Kind, name: &str) -> Map<String, Value> {
        self.resources().get(&self.key(kind, name)).unwrap().value
    }

    /// The objects of a kind that are of this case.
    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Object> {
        let (objects, _) = self.resources().list(kind, namespace).unwrap();
        objects.into_iter().filter(|object| object.key.name.starts_with(&self.prefix)).collect()
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        let objects = self.list(kind, None).into_iter();
        objects.map(|object| object.key.name[self.prefix.len()..].to_owned()).collect()
    }

    /// Initialises the store, and follows it.
    fn follow(&self) -> Follower {
        self.resources().ensure_initialised().unwrap();
        self.follow_as(false)
    }

    fn follow_as(&self, is_known: bool) -> Follower {
        let (sender, events) = channel();
        let kinds = Kind::all().collect();
        let deliver = Box::new(move |event| sender.send(event).unwrap_or_default());
        let syncer = self.store.clone().sync(Scope { kinds, node: None, is_known }, deliver).unwrap();
        Follower { events, prefix: self.prefix.clone(), objects: BTreeMap::new(), snapshots: 0, _syncer: syncer }
    }
}

/// What a consumer of a syncer has.
struct Follower {
    events: Receiver<SyncEvent>,
    prefix: String,
    /// The objects of this case, by kind and name without prefix; the sentence of one that is none.
    objects: BTreeMap<(Kind, String), Result<Map<String, Value>, String>>,
    snapshots: usize,
    _syncer: Syncer,
}

impl Follower {
    /// Takes the next event; gives the names of this case in it, a deletion with a minus.
    fn next(&mut self) -> Vec<String> {
        match self.event() {
            SyncEvent::Updates { updates, is_snapshot, .. } => {
                self.snapshots += usize::from(is_snapshot);
                let mut names = Vec::new();
                for update in updates {
                    let Some(name) = update.key.name.strip_prefix(&self.prefix).map(str::to_owned) else { continue };
                    let place = (update.key.kind, name.clone());
                    match update.object() {
                        Some(value) => {
                            names.push(name);
                            self.objects.insert(place, value);
                        }
                        None => {
                            names.push(format!("-{name}"));
                            self.objects.remove(&place);
                        }
                    }
                }
                names
            }
            other => panic!("no updates: {other:?}"),
        }
    }

    fn event(&mut self) -> SyncEvent {
        self.events.recv_timeout(PATIENCE).expect("the syncer delivers")
    }

    /// Takes events until this case's names in them are these; each once, in any order.
    fn expect(&mut self, names: &[&str]) {
        let mut left: Vec<&str> = names.to_vec();
        let deadline = Instant::now() + PATIENCE;
        while !left.is_empty() {
            assert!(Instant::now() < deadline, "in vain: {left:?}");
            for name in self.next() {
                let at = left.iter().position(|found| *found == name);
                left.remove(at.unwrap_or_else(|| panic!("`{name}` was not expected, {left:?} were")));
            }
        }
    }

    /// Takes the first snapshot.
    fn start(&mut self) {
        self.next();
        assert_eq!(self.snapshots, 1, "the first event is the snapshot");
    }
}
