//! Who may what, and how a server is reached (datastore.md sections 2.9, 3.1 and 3.6).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey, with_causes};
use tortie_datastore::kv::FaultKind;
use tortie_datastore::resources::Mode;
use tortie_datastore::store::{Scope, Select, Store as _};
use tortie_datastore::{KvError, Resources};
use tortie_kubernetes::{Group, Kubernetes, Settings};
use tortie_testkit::apiserver::{ApiServer, User};

use support::{
    GROUPS, Mirror, PATIENCE, admin, agent_kinds, change, endpoint, on, open, settings, shared, word, write,
};

const BOTH: [&str; 2] = ["projectcalico.org", "crd.projectcalico.org"];

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

/// The row of the agent in section 3.6, without what it may do without.
fn agent_rules() -> Value {
    let read = ["get", "list", "watch"];
    let kinds = [
        "hostendpoints",
        "globalnetworkpolicies",
        "stagedglobalnetworkpolicies",
        "globalnetworksets",
        "networksets",
        "tiers",
        "clusterinformations",
        "felixconfigurations",
    ];
    json!([
        rule(&BOTH, &kinds, &read),
        rule(&[""], &["nodes", "namespaces"], &read),
        rule(&["coordination.k8s.io"], &["leases"], &["get", "create", "update"])
    ])
}

/// The rows of the controller.
fn controller_rules() -> Value {
    let all = ["create", "update", "delete", "get", "list", "watch"];
    json!([
        rule(&BOTH, &["hostendpoints"], &all),
        rule(&BOTH, &["clusterinformations"], &["get", "list", "watch", "create", "update"]),
        rule(&BOTH, &["tiers"], &["create", "update"]),
        rule(
            &BOTH,
            &["kubecontrollersconfigurations", "kubecontrollersconfigurations/status"],
            &["get", "create", "update", "list", "watch"]
        ),
        rule(&[""], &["nodes"], &["get", "list", "watch"]),
        rule(&["coordination.k8s.io"], &["leases"], &["get", "create", "update"])
    ])
}

fn list(store: &Kubernetes, kind: Kind) -> Result<usize, KvError> {
    store.select(&[Select::Kind(kind, None)]).map(|lists| lists[0].items.len())
}

#[test]
fn an_agent_needs_no_more_than_the_documented_rights() {
    shared().grant(User::Agent, "agent", &agent_rules());
    for group in GROUPS {
        let admin = admin(group);
        Resources::new(&*admin).ensure_initialised().unwrap();
        write(&admin, &[change(Mode::Apply, &endpoint("of-agent"), on("n1"))]).unwrap();
        let store = open(&settings(shared(), User::Agent, Some(group)));
        let mut mirror =
            Mirror::of(&store, Scope { kinds: agent_kinds(), node: Some("n1".to_owned()), is_known: false });
        mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
        assert_eq!(mirror.spec(&endpoint("of-agent")).unwrap()["node"], "n1");
        assert!(mirror.objects.contains_key(&ResourceKey::global(Kind::Profile, "kns.default")));
        mirror.until_present(&store);
        assert_eq!(mirror.lost, None, "pods and service accounts are optional");
        store.report(&format!("n1-{}", word(group)), b"{}", Duration::from_secs(90)).unwrap();
        let error = write(&store, &[change(Mode::Apply, &endpoint("of-agent"), on("n2"))]).unwrap_err().remove(0);
        assert!(error.contains("may not `update`"), "{error}");
    }
}

#[test]
fn a_controller_needs_no_more_than_the_documented_rights() {
    shared().grant(User::Controller, "controller", &controller_rules());
    for group in GROUPS {
        let store = open(&settings(shared(), User::Controller, Some(group)));
        let key = endpoint("of-controller");
        for (mode, node) in [(Mode::Create, "n1"), (Mode::Replace, "n2"), (Mode::Delete, "")] {
            write(&store, &[change(mode, &key, on(node))]).unwrap();
        }
        let kinds = vec![Kind::ClusterInformation, Kind::HostEndpoint, Kind::Node, Kind::KubeControllersConfiguration];
        let mut mirror = Mirror::start(&store, kinds);
        mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
        mirror.until_present(&store);
        let lease = format!("controller-{}", word(group));
        assert!(store.lease(&lease, "me", Duration::from_secs(15)).unwrap());
        store.release(&lease, "me").unwrap();
        let error = list(&store, Kind::GlobalNetworkPolicy).unwrap_err();
        assert!(error.is_unauthorized(), "{error}");
    }
}

#[test]
fn nobody_is_told_which_right_is_missing() {
    let store = open(&settings(shared(), User::Nobody, Some(Group::Native)));
    let error = list(&store, Kind::Tier).unwrap_err();
    assert!(error.is_unauthorized());
    assert!(error.to_string().contains("may not `list` `tiers.projectcalico.org`"), "{error}");
}

#[test]
fn a_wrong_token_is_no_missing_right() {
    let settings = settings(shared(), User::Admin, Some(Group::Native));
    let store = open(&Settings {
        kubeconfig: None,
        api_endpoint: Some(shared().url().to_owned()),
        ca_file: Some(shared().authority()),
        token: Some("wrong".to_owned()),
        ..settings
    });
    let error = list(&store, Kind::Tier).unwrap_err();
    assert!(error.is_unauthorized() && error.to_string().contains("renew the token"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_unreachable_with_the_cause() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = settings(shared(), User::Admin, None);
    let store = open(&Settings { api_endpoint: Some(format!("https://{free}")), ..settings });
    assert_eq!((store.place(), store.peers()), (format!("https://{free}"), vec![free]));
    let error = list(&store, Kind::Tier).unwrap_err();
    assert_eq!(error.fault(), Some(&FaultKind::Unavailable));
    assert!(with_causes(&error).contains("refused"), "{}", with_causes(&error));
    assert!(store.group().is_err());
}

#[test]
fn an_unknown_authority_is_said() {
    let settings = settings(shared(), User::Admin, None);
    let folder = tempfile::tempdir().unwrap();
    let home = Some(folder.path().to_owned());
    let store = open(&Settings { kubeconfig: None, home, api_endpoint: Some(shared().url().to_owned()), ..settings });
    let error = list(&store, Kind::Tier).unwrap_err();
    assert_eq!(error.fault(), Some(&FaultKind::Untrusted), "{}", with_causes(&error));
}

#[test]
fn settings_that_lead_nowhere_say_what_to_set() {
    let nowhere = Settings { home: None, service_address: None, ..Settings::default() };
    let Err(error) = Kubernetes::open(&nowhere) else { panic!("there is no server") };
    assert!(error.to_string().contains("K8S_API_ENDPOINT"), "{error}");
    let missing = Settings { kubeconfig: Some("/no/such/file".to_owned()), ..nowhere };
    let Err(error) = Kubernetes::open(&missing) else { panic!("there is no such file") };
    assert!(with_causes(&error).contains("/no/such/file"), "{}", with_causes(&error));
}

/// A service account that may read, and a token for it.
fn token_of(server: &ApiServer, name: &str, bound_to: &str) -> String {
    let (namespace, secret) = ("tortie-system", bound_to);
    server.kubectl_ok(&["create", "secret", "generic", secret, "-n", namespace], "");
    let bound = ["--bound-object-kind", "Secret", "--bound-object-name", secret];
    let create = ["create", "token", name, "-n", namespace];
    server.kubectl_ok(&[create.as_slice(), bound.as_slice()].concat(), "").trim().to_owned()
}

#[test]
fn a_token_that_is_no_longer_good_is_read_again() {
    let server = shared();
    server.kubectl_ok(&["create", "serviceaccount", "pod", "-n", "tortie-system"], "");
    let binding = ["create", "clusterrolebinding", "pod", "--clusterrole", "cluster-admin"];
    server.kubectl_ok(&[binding.as_slice(), &["--serviceaccount", "tortie-system:pod"]].concat(), "");
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str| fs::write(place(name), text).unwrap();
    fs::copy(server.authority(), place("ca.crt")).unwrap();
    let first = token_of(server, "pod", "first");
    put("token", &first);
    put("namespace", "tortie-system");
    let settings = Settings {
        kubeconfig: None,
        home: None,
        service_address: server.url().strip_prefix("https://").map(str::to_owned),
        service_account: folder.path().to_owned(),
        ..settings(server, User::Admin, Some(Group::Native))
    };
    let store = open(&settings);
    list(&store, Kind::Tier).unwrap();
    assert!(store.lease("of-pod", "me", Duration::from_secs(15)).unwrap(), "in the namespace of the pod");
    server.kubectl_ok(&["get", "lease", "of-pod", "-n", "tortie-system"], "");

    // A token dies with the secret that it is bound to.
    put("token", &token_of(server, "pod", "second"));
    server.kubectl_ok(&["delete", "secret", "first", "-n", "tortie-system"], "");
    let with_first = open(&Settings { token: Some(first), ..settings.clone() });
    let begun = Instant::now();
    // The server remembers a good token for some seconds.
    while !list(&with_first, Kind::Tier).is_err_and(|error| error.is_unauthorized()) {
        assert!(begun.elapsed() < PATIENCE, "the first token is still good");
    }
    list(&store, Kind::Tier).unwrap();
}

#[test]
fn the_group_is_found_out_and_said() {
    let server = ApiServer::start(&[]);
    let store = || open(&settings(&server, User::Admin, None));
    let empty = store();
    let chosen = empty.group().unwrap();
    assert_eq!(chosen.group, Group::Native);
    assert!(chosen.why.contains("neither"), "{}", chosen.why);
    assert_eq!(list(&empty, Kind::HostEndpoint).unwrap(), 0, "what is not defined is empty");
    let error = write(&empty, &[change(Mode::Create, &endpoint("a"), on("n1"))]).unwrap_err().remove(0);
    assert!(error.contains("tortie datastore init --crds"), "{error}");

    server.apply_definitions(&definition(Group::Classic));
    write(&empty, &[change(Mode::Create, &endpoint("a"), on("n1"))]).unwrap();
    assert_eq!(empty.group().unwrap().group, Group::Classic, "found out again when a definition was missing");
    server.apply_definitions(&definition(Group::Native));
    assert_eq!(store().group().unwrap().group, Group::Classic, "it wins wherever it exists");
    server.kubectl_ok(&["delete", "crd", "hostendpoints.crd.projectcalico.org"], "");
    let begun = Instant::now();
    // The server tells of the group a little longer.
    while store().group().unwrap().group != Group::Native {
        assert!(begun.elapsed() < PATIENCE, "the classic group stays");
    }
    write(&empty, &[change(Mode::Create, &endpoint("a"), on("n1"))]).unwrap();
    assert_eq!(empty.group().unwrap().group, Group::Native);
}

/// The definition of host endpoints alone: the end of each takes the server seconds.
fn definition(group: Group) -> String {
    let names = json!({"plural": "hostendpoints", "singular": "hostendpoint", "kind": "HostEndpoint"});
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let version = json!({"name": group.version(), "served": true, "storage": true, "schema": schema});
    let spec = json!({"group": group.name(), "scope": "Cluster", "names": names, "versions": [version]});
    let metadata = json!({"name": format!("hostendpoints.{}", group.name())});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": metadata,
        "spec": spec})
    .to_string()
}
