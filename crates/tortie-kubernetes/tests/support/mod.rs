//! What the tests of this crate share: stores of a real API server, and a consumer of its syncer.
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Done, Mode};
use tortie_datastore::store::{KindRevisions, Scope};
use tortie_datastore::{Resources, Revision, Store as _, SyncEvent, Syncer};
use tortie_kubernetes::{Group, Kubernetes, Settings, Waits};
use tortie_testkit::apiserver::{ApiServer, User};

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Both groups; a test of one gets the server by the setting.
pub const GROUPS: [Group; 2] = [Group::Native, Group::Classic];

/// The word of `crds.sh` for a group.
pub fn word(group: Group) -> &'static str {
    match group {
        Group::Native => "native",
        Group::Classic => "classic",
    }
}

/// The server of all tests of a program, with the definitions of both groups.
pub fn shared() -> &'static ApiServer {
    static READY: OnceLock<&ApiServer> = OnceLock::new();
    READY.get_or_init(|| {
        let server = ApiServer::shared();
        GROUPS.into_iter().for_each(|group| server.apply_lax_definitions(word(group)));
        server.kubectl_ok(&["create", "namespace", "tortie-system"], "");
        server
    })
}

/// Settings for a user of a server, with short waits.
pub fn settings(server: &ApiServer, user: User, group: Option<Group>) -> Settings {
    Settings {
        kubeconfig: Some(server.kubeconfig(user).to_string_lossy().into_owned()),
        api_group: group,
        waits: Waits {
            start: Duration::ZERO,
            pause_min: Duration::from_millis(100),
            pause_max: Duration::from_secs(1),
            discovery: Duration::from_millis(200),
            ..Waits::default()
        },
        ..Settings::default()
    }
}

/// A store with these settings.
pub fn open(settings: &Settings) -> Arc<Kubernetes> {
    Arc::new(Kubernetes::open(settings).unwrap())
}

/// The administrator's store of the shared server.
pub fn admin(group: Group) -> Arc<Kubernetes> {
    open(&settings(shared(), User::Admin, Some(group)))
}

/// An object as its user writes it.
pub fn object(key: &ResourceKey, spec: Value) -> Map<String, Value> {
    let mut value = json!({"metadata": {"name": key.name}, "spec": spec});
    if let Some(namespace) = &key.namespace {
        value["metadata"]["namespace"] = json!(namespace);
    }
    value.as_object().unwrap().clone()
}

/// One change.
pub fn change(mode: Mode, key: &ResourceKey, spec: Value) -> Change {
    Change { mode, key: key.clone(), value: object(key, spec), resource_version: None }
}

/// Writes changes; errors as text.
pub fn write(store: &Kubernetes, changes: &[Change]) -> Result<Vec<Done>, Vec<String>> {
    let written = Resources::new(store).write(changes);
    let written = written.map(|written| written.iter().map(|written| written.done).collect());
    written.map_err(|failures| failures.iter().map(|(_, error)| tortie_api::with_causes(error)).collect())
}

/// A host endpoint's key.
pub fn endpoint(name: &str) -> ResourceKey {
    ResourceKey::global(Kind::HostEndpoint, name)
}

/// A global policy's key.
pub fn policy(name: &str) -> ResourceKey {
    ResourceKey::global(Kind::GlobalNetworkPolicy, name)
}

/// A spec for a host endpoint.
pub fn on(node: &str) -> Value {
    json!({"node": node, "interfaceName": "eth0"})
}

/// Makes a namespace that takes one network set: each of two is within its quota, and both are not.
pub fn quota_of_one(group: Group, namespace: &str) {
    let server = shared();
    server.kubectl_ok(&["create", "namespace", namespace], "");
    let count = format!("count/networksets.{}", group.name());
    let hard = format!("{count}=1");
    server.kubectl_ok(&["create", "quota", "one", "-n", namespace, "--hard", &hard], "");
    // What the quota controller would write.
    let status = json!({"status": {"hard": {count.as_str(): "1"}, "used": {count.as_str(): "0"}}}).to_string();
    let patch = ["patch", "quota", "one", "-n", namespace, "--subresource", "status", "--type", "merge", "-p", &status];
    server.kubectl_ok(&patch, "");
}

/// The kinds that an agent reads.
pub fn agent_kinds() -> Vec<Kind> {
    vec![
        Kind::ClusterInformation,
        Kind::FelixConfiguration,
        Kind::HostEndpoint,
        Kind::GlobalNetworkPolicy,
        Kind::StagedGlobalNetworkPolicy,
        Kind::Tier,
        Kind::Profile,
        Kind::GlobalNetworkSet,
        Kind::NetworkSet,
        Kind::Node,
        Kind::WorkloadEndpoint,
    ]
}

/// Everything that a syncer told so far.
pub struct Mirror {
    events: Receiver<SyncEvent>,
    /// The objects as the consumer has them.
    pub objects: BTreeMap<ResourceKey, Result<Map<String, Value>, String>>,
    /// Each update in order, as text.
    pub log: Vec<String>,
    /// The number of snapshots.
    pub snapshots: usize,
    /// Whether the last event was `Locked`.
    pub is_locked: bool,
    /// The sentence of the last event, when that was `Lost`.
    pub lost: Option<String>,
    /// The last revision.
    pub revision: Revision,
    /// The last revisions of each kind.
    pub kinds: KindRevisions,
    syncer: Syncer,
}

impl Mirror {
    /// Starts a syncer of the kinds.
    pub fn start(store: &Arc<Kubernetes>, kinds: Vec<Kind>) -> Mirror {
        Mirror::of(store, Scope { kinds, ..Scope::default() })
    }

    /// Starts a syncer.
    pub fn of(store: &Arc<Kubernetes>, scope: Scope) -> Mirror {
        let (sender, events) = channel();
        // A test that is over listens no more.
        let deliver = Box::new(move |event| drop(sender.send(event)));
        let syncer = store.clone().sync(scope, deliver).unwrap();
        Mirror {
            events,
            objects: BTreeMap::new(),
            log: Vec::new(),
            snapshots: 0,
            is_locked: false,
            lost: None,
            revision: Revision::ZERO,
            kinds: KindRevisions::new(),
            syncer,
        }
    }

    /// Reads more kinds.
    pub fn widen(&mut self, kinds: &[Kind]) {
        self.syncer.widen(kinds);
    }

    /// Takes events until the mirror is as wanted.
    pub fn until(&mut self, what: &str, is_wanted: impl Fn(&Mirror) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_wanted(self) {
            let left = until.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left);
            let event = event.unwrap_or_else(|_| panic!("never came: {what}; lost {:?}, {:?}", self.lost, self.log));
            self.take(event);
        }
    }

    /// Takes what is there already.
    pub fn drain(&mut self) {
        while let Ok(event) = self.events.try_recv() {
            self.take(event);
        }
    }

    fn take(&mut self, event: SyncEvent) {
        (self.is_locked, self.lost) = (event == SyncEvent::Locked, None);
        match event {
            SyncEvent::Locked => {}
            SyncEvent::Lost(sentence) => self.lost = Some(sentence),
            SyncEvent::Updates { updates, revision, is_snapshot, kinds } => {
                assert!(revision > self.revision, "revisions grow: {revision} after {}", self.revision);
                self.revision = revision;
                self.snapshots += usize::from(is_snapshot);
                self.kinds = kinds;
                for update in updates {
                    let sign = if update.value.is_some() { '+' } else { '-' };
                    self.log.push(format!("{sign}{}", update.key));
                    match update.object() {
                        Some(value) => self.objects.insert(update.key, value),
                        None => self.objects.remove(&update.key),
                    };
                }
            }
        }
    }

    /// Waits until the consumer has what is stored now.
    pub fn until_present(&mut self, store: &Kubernetes) {
        let present = store.present().unwrap();
        self.until("the present revision", |mirror| mirror.revision >= present);
    }

    /// An object's spec.
    pub fn spec(&self, key: &ResourceKey) -> Option<&Value> {
        self.objects.get(key)?.as_ref().ok()?.get("spec")
    }

    /// How often an object was told.
    pub fn times(&self, key: &ResourceKey) -> usize {
        let told = format!("+{key}");
        self.log.iter().filter(|line| **line == told).count()
    }
}
