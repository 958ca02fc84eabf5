//! The stores that the world is written to, and what is counted of the traffic with each.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde_json::{Value, json};
use tortie_api::crd::{self, definitions};
use tortie_datastore::kv::RESOURCE_PREFIX;
use tortie_datastore::{Access, Kv, Resources, Store};
use tortie_etcd::Settings as EtcdSettings;
use tortie_kubernetes::{Group, Settings, Waits};
use tortie_testkit::apiserver::{ApiServer, User};
use tortie_testkit::etcd::Version;

use super::Size;
use crate::proxy::Proxy;
use crate::{EmbeddedStore, EtcdStore, Fixture, PATIENCE};

/// The collections that the world fills.
const FILLED: [&str; 3] = ["hostendpoints", "globalnetworkpolicies", "globalnetworksets"];

/// What was asked of a store and came from it up to a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Requests and watches of a server, system calls that read of a process.
    pub requests: u64,
    /// Bytes with the follower, both ways.
    pub bytes: u64,
}

impl Traffic {
    #[must_use]
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic { requests: self.requests - before.requests, bytes: self.bytes - before.bytes }
    }
}

/// A store that a world has for itself.
pub trait Backend: Send + Sync {
    /// As it is told apart in a report.
    fn name(&self) -> &'static str;

    /// Another one of its kind, with nothing in it.
    fn another(&self) -> Box<dyn Backend>;

    /// A handle on it.
    fn open(&self) -> Arc<dyn Store>;

    /// Waits until whoever begins to follow is given the whole world at once.
    fn settle(&self, _size: Size) {}

    /// What a [`Follower`](super::Follower) opens it by.
    fn place(&self) -> String;

    /// The traffic with a follower of this process id.
    fn traffic(&self, follower: u32) -> Traffic;

    /// Reads all of the world without our syncer; the number of bytes.
    fn plain_read(&self) -> usize;

    /// Points a command of ours to it.
    fn point(&self, command: &mut Command);
}

/// Opens what [`Backend::place`] names.
pub(super) fn open_place(place: &str) -> Arc<dyn Store> {
    if let Some(path) = place.strip_prefix("embedded:") {
        return Arc::new(tortie_datastore::Embedded::open(Path::new(path), Access::Read).unwrap());
    }
    match place.strip_prefix("kubernetes:").and_then(|rest| rest.split_once(' ')) {
        Some((kubeconfig, url)) => Arc::new(kubernetes(Path::new(kubeconfig), Some(url))),
        None => Arc::new(tortie_etcd::Etcd::connect(&EtcdSettings::at([place])).unwrap()),
    }
}

fn kubernetes(kubeconfig: &Path, url: Option<&str>) -> tortie_kubernetes::Kubernetes {
    let settings = Settings {
        kubeconfig: Some(kubeconfig.to_string_lossy().into_owned()),
        api_endpoint: url.map(str::to_owned),
        api_group: Some(Group::Native),
        // The wait that spreads many agents is not what is measured.
        waits: Waits { start: Duration::ZERO, ..Waits::default() },
        ..Settings::default()
    };
    tortie_kubernetes::Kubernetes::open(&settings).unwrap()
}

/// Every key of the resources in one range.
fn plain_range(kv: &dyn Kv) -> usize {
    let (entries, _) = kv.range(RESOURCE_PREFIX).unwrap();
    entries.iter().map(|entry| entry.key.len() + entry.value.len()).sum()
}

/// An embedded store.
pub struct Embedded(EmbeddedStore);

impl Embedded {
    #[allow(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Embedded {
        let store = EmbeddedStore::new();
        Resources::new(&*open_place_to_write(&store)).ensure_initialised().unwrap();
        Embedded(store)
    }
}

fn open_place_to_write(store: &EmbeddedStore) -> Arc<tortie_datastore::Embedded> {
    let place = store.place();
    let path = Path::new(place.strip_prefix("embedded:").unwrap_or(&place));
    Arc::new(tortie_datastore::Embedded::open(path, Access::Write).unwrap())
}

impl Backend for Embedded {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn another(&self) -> Box<dyn Backend> {
        Box::new(Embedded::new())
    }

    fn open(&self) -> Arc<dyn Store> {
        open_place_to_write(&self.0)
    }

    fn place(&self) -> String {
        self.0.place()
    }

    /// What the kernel counts (proc(5)). Pages that SQLite maps into memory do not show there.
    fn traffic(&self, follower: u32) -> Traffic {
        let counts = std::fs::read_to_string(format!("/proc/{follower}/io")).unwrap();
        let member = |name: &str| {
            let line = counts.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        Traffic { requests: member("syscr:"), bytes: member("rchar:") }
    }

    fn plain_read(&self) -> usize {
        plain_range(&*open_place_to_write(&self.0))
    }

    fn point(&self, command: &mut Command) {
        command.env("TORTIE_STORE", self.place());
    }
}

/// A recent etcd.
pub struct Etcd {
    store: EtcdStore,
    proxy: Proxy,
}

impl Etcd {
    #[allow(clippy::new_without_default, reason = "it starts a server")]
    pub fn new() -> Etcd {
        let store = EtcdStore::new(Version::Recent);
        Resources::new(&store.connect()).ensure_initialised().unwrap();
        let proxy = Proxy::new(socket(&store.place()));
        Etcd { store, proxy }
    }
}

fn socket(url: &str) -> SocketAddr {
    let (_, address) = url.split_once("://").unwrap();
    address.trim_end_matches('/').parse().unwrap()
}

impl Backend for Etcd {
    fn name(&self) -> &'static str {
        "etcd"
    }

    fn another(&self) -> Box<dyn Backend> {
        Box::new(Etcd::new())
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store.connect())
    }

    fn place(&self) -> String {
        self.proxy.address()
    }

    fn traffic(&self, _follower: u32) -> Traffic {
        let metrics = http_get(socket(&self.store.place()), "/metrics");
        Traffic { requests: sum(&metrics, "grpc_server_started_total", |_| true), bytes: self.proxy.forwarded() }
    }

    fn plain_read(&self) -> usize {
        plain_range(&self.store.connect())
    }

    fn point(&self, command: &mut Command) {
        command.env("TORTIE_STORE", self.store.place().replacen("http://", "etcd://", 1));
    }
}

/// The body of an answer that ends with its connection.
fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    body.to_owned()
}

/// The sum of a metric's lines that count.
fn sum(metrics: &str, name: &str, counts: impl Fn(&str) -> bool) -> u64 {
    let lines = metrics.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{')));
    let values = lines.filter(|line| counts(line)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum::<f64>() as u64
}

/// An API server with our own definitions.
pub struct Kubernetes {
    server: ApiServer,
    proxy: Proxy,
}

impl Kubernetes {
    #[allow(clippy::new_without_default, reason = "it starts a server")]
    pub fn new() -> Kubernetes {
        let server = ApiServer::start(&[]);
        let objects: Vec<_> = definitions(crd::Group::Native).into_iter().map(|one| one.object).collect();
        server.apply_definitions(&json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
        let proxy = Proxy::new(socket(server.url()));
        let this = Kubernetes { server, proxy };
        let store = this.open();
        Resources::new(&*store).ensure_initialised().unwrap();
        Resources::new(&*store).set_ready(true).unwrap();
        this
    }

    fn raw(&self, path: &str) -> String {
        self.server.kubectl_ok(&["get", "--raw", path], "")
    }
}

/// Whether a metric's line is about what a follower asks for.
fn is_followed(line: &str) -> bool {
    let is_ours = line.contains("group=\"projectcalico.org\"");
    let is_core = |name: &str| line.contains("group=\"\"") && line.contains(&format!("resource=\"{name}\""));
    let is_read = ["GET", "LIST", "WATCH"].iter().any(|verb| line.contains(&format!("verb=\"{verb}\"")));
    is_read && (is_ours || ["nodes", "namespaces", "serviceaccounts", "pods"].into_iter().any(is_core))
}

impl Backend for Kubernetes {
    fn name(&self) -> &'static str {
        "kubernetes"
    }

    fn another(&self) -> Box<dyn Backend> {
        Box::new(Kubernetes::new())
    }

    fn open(&self) -> Arc<dyn Store> {
        Arc::new(kubernetes(&self.server.kubeconfig(User::Admin), None))
    }

    /// A first list comes from the server's memory, which a write does not wait for.
    fn settle(&self, size: Size) {
        let deadline = Instant::now() + PATIENCE;
        for (plural, len) in FILLED.into_iter().zip([size.endpoints, size.policies, size.sets]) {
            loop {
                let list = self.raw(&format!("/apis/projectcalico.org/v3/{plural}?resourceVersion=0"));
                let list: Value = serde_json::from_str(&list).unwrap();
                if list["items"].as_array().is_some_and(|items| items.len() == len) {
                    break;
                }
                assert!(Instant::now() < deadline, "{plural} are not there");
            }
        }
    }

    fn place(&self) -> String {
        format!("kubernetes:{} https://{}", self.server.kubeconfig(User::Admin).display(), self.proxy.socket())
    }

    /// Requests that ended, and watches that run.
    fn traffic(&self, _follower: u32) -> Traffic {
        let metrics = self.raw("/metrics");
        let ended = sum(&metrics, "apiserver_request_total", is_followed);
        let watches = sum(&metrics, "apiserver_longrunning_requests", is_followed);
        Traffic { requests: ended + watches, bytes: self.proxy.forwarded() }
    }

    fn plain_read(&self) -> usize {
        FILLED.iter().map(|plural| self.raw(&format!("/apis/projectcalico.org/v3/{plural}")).len()).sum()
    }

    fn point(&self, command: &mut Command) {
        command.env("TORTIE_STORE", "kubernetes").env("KUBECONFIG", self.server.kubeconfig(User::Admin));
        command.env("CALICO_API_GROUP", "projectcalico.org/v3");
    }
}
