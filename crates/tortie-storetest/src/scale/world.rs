//! The objects of the world, and changes of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::Store;
use tortie_datastore::kv::{FaultKind, KvError, TxnLimits};
use tortie_datastore::store::{Commit, Select, Step};

/// Networks of one set.
const NETS: usize = 50;
/// Objects in one transaction, at most.
const GROUP_LEN: usize = 500;
/// Writers at the same time, where objects are written one by one.
const WRITERS: usize = 4;

/// How large a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub endpoints: usize,
    pub policies: usize,
    pub sets: usize,
}

impl Size {
    pub const FULL: Size = Size { endpoints: 10_000, policies: 2_000, sets: 500 };
    pub const SMALL: Size = Size { endpoints: 100, policies: 20, sets: 5 };

    /// How many objects that are.
    pub fn len(self) -> usize {
        self.endpoints + self.policies + self.sets
    }

    /// Whether that is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The object of this number, in its `version`.
    fn object(self, number: usize, version: usize) -> (ResourceKey, Map<String, Value>) {
        let (kind, name, spec) = if number < self.endpoints {
            (Kind::HostEndpoint, format!("host-{number:05}"), endpoint(number))
        } else if number < self.endpoints + self.policies {
            let number = number - self.endpoints;
            (Kind::GlobalNetworkPolicy, format!("policy-{number:04}"), policy(number))
        } else {
            let number = number - self.endpoints - self.policies;
            (Kind::GlobalNetworkSet, format!("set-{number:03}"), set(number))
        };
        let labels = json!({"role": format!("r{}", number % 50), "zone": format!("z{}", number % 7),
            "version": version.to_string()});
        let value = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
        (ResourceKey::global(kind, name), value.as_object().cloned().unwrap())
    }
}

fn endpoint(number: usize) -> Value {
    let address = format!("10.{}.{}.{}", number >> 16, number >> 8 & 255, number & 255);
    json!({"node": format!("node-{number:05}"), "interfaceName": "eth0", "expectedIPs": [address],
        "ports": [{"name": "metrics", "port": 9100, "protocol": "TCP"}]})
}

fn policy(number: usize) -> Value {
    json!({
        "tier": "default", "order": number, "selector": format!("role == 'r{}'", number % 50),
        "types": ["Ingress", "Egress"],
        "ingress": [
            {"action": "Allow", "protocol": "TCP", "source": {"selector": format!("zone == 'z{}'", number % 7)},
                "destination": {"ports": [80, 443, format!("{}:{}", 8000 + number, 8010 + number)]}},
            {"action": "Deny", "protocol": "UDP", "source": {"nets": ["192.0.2.0/24"]}},
        ],
        "egress": [{"action": "Allow"}],
    })
}

fn set(number: usize) -> Value {
    let net = |part: usize| format!("172.{}.{}.{}/30", 16 + number / 250, number % 250, part * 4);
    json!({"nets": (0..NETS).map(net).collect::<Vec<_>>()})
}

/// Writes the world, as much at once as the store takes; tells how many objects are written.
pub fn populate(store: &dyn Store, size: Size, progress: &(dyn Fn(usize) + Sync)) {
    let create = |number| {
        let (key, value) = size.object(number, 0);
        Step::Create { key, value }
    };
    match store.is_atomic() {
        true => in_groups(store, (0..size.len()).map(create), progress),
        false => one_by_one(store, size.len(), &create, progress),
    }
}

fn in_groups(store: &dyn Store, steps: impl Iterator<Item = Step>, progress: &(dyn Fn(usize) + Sync)) {
    let TxnLimits { ops, bytes } = store.commit_limits();
    let mut done = 0;
    for group in (TxnLimits { ops: ops.min(GROUP_LEN), bytes }).divide(steps, |_| 1, Step::len) {
        write(store, &group);
        done += group.len();
        progress(done);
    }
}

fn one_by_one(
    store: &dyn Store,
    len: usize,
    create: &(dyn Fn(usize) -> Step + Sync),
    progress: &(dyn Fn(usize) + Sync),
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= len {
                        return;
                    }
                    write(store, &[create(number)]);
                    progress(number + 1);
                }
            });
        }
    });
}

/// How often and after which pause a write is tried again while a server is not ready.
const WRITE_TRIES_MAX: usize = 200;
const WRITE_PAUSE: Duration = Duration::from_millis(50);

fn write(store: &dyn Store, steps: &[Step]) {
    // A server tells a new definition before it can store its objects.
    let mut tries = 0..WRITE_TRIES_MAX;
    let done = loop {
        match store.commit(steps) {
            Err(KvError::Fault { kind: FaultKind::Unavailable, .. }) if tries.next().is_some() => sleep(WRITE_PAUSE),
            done => break done.unwrap(),
        }
    };
    assert!(matches!(done, Commit::Done(_)), "{done:?}: somebody else writes");
}

/// One change that is ready to be made.
pub struct Edit {
    /// The object that it changes.
    pub key: ResourceKey,
    step: Step,
}

impl Edit {
    /// The change of this number: of an endpoint, of a policy, of a set, in turn.
    pub fn prepare(store: &dyn Store, size: Size, number: usize) -> Edit {
        let position = number / 3;
        let object = match number % 3 {
            0 => position % size.endpoints,
            1 => size.endpoints + position % size.policies,
            _ => size.endpoints + size.policies + position % size.sets,
        };
        let (key, value) = size.object(object, number + 1);
        let found = store.select(&[Select::Object(key.clone())]).unwrap();
        let before = found.into_iter().flat_map(|list| list.items).next().expect("the object is there");
        Edit { key, step: Step::Update { before, value } }
    }

    /// Makes it.
    pub fn make(self, store: &dyn Store) {
        write(store, &[self.step]);
    }
}
