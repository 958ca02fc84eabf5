//! A store with policies, and an agent that follows it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources, Store};
use tortie_testkit::etcd::{Etcd, Options, Version};

use crate::agent::{Agent, Programmed};

/// Objects that are written at once.
const AT_ONCE: usize = 100;

/// A store for an agent, and one beside it that nobody follows.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    store: Arc<dyn Store>,
    place: String,
    plain: Arc<dyn Store>,
    // After the stores, which speak to it.
    _etcd: Vec<Etcd>,
}

impl World {
    /// With a host endpoint on `eth0`, whose other end is there too.
    pub(crate) fn new(on_etcd: bool) -> World {
        for arguments in
            ["link set lo up", "link add eth0 type veth peer name peer0", "link set eth0 up", "link set peer0 up"]
        {
            assert!(std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap().success());
        }
        let folder = tempfile::tempdir().unwrap();
        let etcd: Vec<Etcd> =
            (0..if on_etcd { 2 } else { 0 }).map(|_| Etcd::start(Options::plain(Version::Recent))).collect();
        let (store, place, plain) = match &etcd[..] {
            [one, other] => (connect(one), one.address().replace("http://", "etcd://"), connect(other)),
            _ => {
                let path = folder.path().join("store.db");
                let place = format!("embedded:{}", path.display());
                (open(&path), place, open(&folder.path().join("plain.db")))
            }
        };
        let world = World { folder, store, place, plain, _etcd: etcd };
        for store in [&world.store, &world.plain] {
            Resources::new(&**store).ensure_initialised().unwrap();
        }
        let endpoint = json!({"node": "n1", "interfaceName": "eth0"});
        let labels = json!({"role": "web"});
        world.write(&[object(Kind::HostEndpoint, "h", &labels, &endpoint)]);
        world
    }

    pub(crate) fn agent(&self) -> Agent {
        Agent::start(self.folder.path(), &self.place)
    }

    /// Writes objects; the revision of the last.
    pub(crate) fn write(&self, changes: &[Change]) -> u64 {
        write(&*self.store, changes)
    }

    /// Writes the same to the store that nobody follows; how long that takes.
    pub(crate) fn write_plain(&self, changes: &[Change]) -> Duration {
        let start = Instant::now();
        write(&*self.plain, changes);
        start.elapsed()
    }

    /// Writes objects and waits until they are in force: how long it took from the beginning of the write, from its end,
    /// and in the kernel.
    pub(crate) fn change(&self, agent: &Agent, changes: &[Change]) -> Cost {
        let start = Instant::now();
        let revision = self.write(changes);
        let written = Instant::now();
        let Programmed { in_force, kernel, .. } = agent.wait(revision);
        Cost { all: in_force - start, after_write: in_force.saturating_duration_since(written), kernel }
    }
}

/// What a change took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From the beginning of the write until it is in force.
    pub(crate) all: Duration,
    /// From the end of the write.
    pub(crate) after_write: Duration,
    /// In the kernel.
    pub(crate) kernel: Duration,
}

fn open(path: &std::path::Path) -> Arc<dyn Store> {
    Arc::new(Embedded::open(path, Access::Write).unwrap())
}

fn connect(etcd: &Etcd) -> Arc<dyn Store> {
    Arc::new(tortie_etcd::Etcd::connect(&tortie_etcd::Settings::at([etcd.address()])).unwrap())
}

fn write(store: &dyn Store, changes: &[Change]) -> u64 {
    let resources = Resources::new(store);
    let mut last = 0;
    for some in changes.chunks(AT_ONCE) {
        let written = resources.write(some).unwrap();
        last = written.last().unwrap().revision.parse().unwrap();
    }
    last
}

fn object(kind: Kind, name: &str, labels: &Value, spec: &Value) -> Change {
    let value = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
    change(kind, name, value)
}

fn change(kind: Kind, name: &str, value: Value) -> Change {
    let value: Map<String, Value> = value.as_object().unwrap().clone();
    Change { mode: Mode::Apply, key: ResourceKey::global(kind, name), value, resource_version: None }
}

/// A rule that allows TCP from a network to a port, both by number; another `form` is another port.
pub(crate) fn rule(number: usize, form: usize) -> Value {
    let net = format!("10.{}.{}.0/24", number / 256, number % 256);
    let port = 1_000 + number % 20_000 + form * 20_000;
    json!({"action": "Allow", "protocol": "TCP", "source": {"nets": [net]}, "destination": {"ports": [port]}})
}

pub(crate) fn policy(name: &str, order: usize, rules: &[Value]) -> Change {
    let spec = json!({
        "tier": "default", "order": order, "selector": "role == 'web'", "types": ["Ingress"], "ingress": rules,
    });
    object(Kind::GlobalNetworkPolicy, name, &json!({}), &spec)
}

/// `count` policies of one rule each.
pub(crate) fn policies(count: usize) -> Vec<Change> {
    (0..count).map(|number| policy(&format!("p{number}"), number, &[rule(number, 0)])).collect()
}

/// A network set of the list `list`.
pub(crate) fn set(name: &str, list: &str, nets: &[String]) -> Change {
    object(Kind::GlobalNetworkSet, name, &json!({"list": list}), &json!({"nets": nets}))
}

/// `count` networks without neighbours, each the beginning of a block of 16 addresses, in sets of `each`.
pub(crate) fn sets(list: &str, count: usize, each: usize) -> Vec<Change> {
    let nets: Vec<String> = (0..count).map(|number| network(number, 0, 29)).collect();
    let parts = nets.chunks(each).enumerate();
    parts.map(|(number, nets)| set(&format!("{list}-{number}"), list, nets)).collect()
}

/// A network of the block with this number that is none of [`sets`].
pub(crate) fn network_behind(number: usize) -> String {
    network(number, 8, 30)
}

/// In the block of 16 addresses with this number, above 64.0.0.0.
fn network(number: usize, offset: usize, prefix_len: u8) -> String {
    let address = std::net::Ipv4Addr::from(u32::try_from((64usize << 24) + number * 16 + offset).unwrap());
    format!("{address}/{prefix_len}")
}

/// A policy that denies what comes from a list, before all others.
pub(crate) fn deny(list: &str) -> Change {
    let rule = json!({"action": "Deny", "source": {"selector": format!("list == '{list}'")}});
    policy(&format!("deny-{list}"), 0, &[rule])
}

pub(crate) fn deletion(kind: Kind, name: &str) -> Change {
    Change { mode: Mode::Delete, key: ResourceKey::global(kind, name), value: Map::new(), resource_version: None }
}
