//! What the syncer bears: each test has a server of its own (the table of `tools/kube-apiserver/README.md`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::Resources;
use tortie_datastore::resources::Mode;
use tortie_datastore::store::{Select, Store as _};
use tortie_kubernetes::{Group, Kubernetes, Settings, Waits};
use tortie_testkit::apiserver::{ApiServer, User};

use support::{Mirror, agent_kinds, change, endpoint, on, open, settings, word, write};

/// A server with the definitions of a group, initialised, with one host endpoint.
fn server(arguments: &[&str], group: Group) -> (ApiServer, Arc<Kubernetes>) {
    let server = ApiServer::start(arguments);
    server.apply_lax_definitions(word(group));
    let store = open(&settings(&server, User::Admin, None));
    Resources::new(&*store).ensure_initialised().unwrap();
    write(&store, &[change(Mode::Create, &endpoint("kept"), on("n1"))]).unwrap();
    (server, store)
}

fn in_sync(store: &Arc<Kubernetes>) -> Mirror {
    let mut mirror = Mirror::start(store, agent_kinds());
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    mirror
}

/// Runs etcdctl on the etcd behind a server.
fn etcdctl(server: &ApiServer, arguments: &str) {
    let script = format!(". '{}/env'; etcdctl --endpoints \"$KUBE_ETCD\" {arguments}", server.state().display());
    let output = Command::new("bash").args(["-euc", &script]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn after_a_restart_only_what_changed_is_told() {
    for group in [Group::Native, Group::Classic] {
        let (server, store) = server(&[], group);
        let (gone, changed) = (endpoint("gone"), endpoint("changed"));
        write(&store, &[change(Mode::Create, &gone, on("n1")), change(Mode::Create, &changed, on("n1"))]).unwrap();
        let mut mirror = in_sync(&store);
        server.kill();
        mirror.until("a word of the loss", |mirror| mirror.lost.is_some());
        assert!(mirror.lost.as_ref().unwrap().contains("does not answer"), "{:?}", mirror.lost);
        // Nobody tells of this one: only a list shows that it is gone.
        etcdctl(&server, &format!("del /registry/{}/hostendpoints/gone", group.name()));
        server.start_again();
        // At once, when custom resources may still be "(re)initializing".
        assert!(store.select(&[Select::Object(endpoint("kept"))]).unwrap()[0].items.len() == 1);
        write(&store, &[change(Mode::Apply, &changed, on("n2"))]).unwrap();
        mirror.until_present(&store);
        assert!(mirror.spec(&gone).is_none());
        assert_eq!(mirror.spec(&changed).unwrap()["node"], "n2");
        mirror.until("a word of the recovery", |mirror| mirror.lost.is_none() && mirror.snapshots > 1);
        for key in [endpoint("kept"), gone, ResourceKey::global(Kind::Tier, "default")] {
            assert_eq!(mirror.times(&key), 1, "{key} was told twice: {:?}", mirror.log);
        }
    }
}

#[test]
fn a_compacted_history_is_read_anew() {
    let (server, store) = server(&["--args", "--watch-cache=false"], Group::Native);
    let mut mirror = in_sync(&store);
    server.kill();
    mirror.until("a word of the loss", |mirror| mirror.lost.is_some());
    etcdctl(&server, "put /x y");
    server.compact();
    server.start_again();
    mirror.until("a word of the recovery", |mirror| mirror.lost.is_none() && mirror.snapshots > 1);
    write(&store, &[change(Mode::Create, &endpoint("new"), on("n1"))]).unwrap();
    mirror.until_present(&store);
    assert_eq!((mirror.times(&endpoint("kept")), mirror.times(&endpoint("new"))), (1, 1));
}

#[test]
fn a_server_that_falls_silent_is_noticed() {
    let (server, _) = server(&[], Group::Native);
    let short = Duration::from_secs(2);
    let usual = settings(&server, User::Admin, None);
    let waits = Waits { silence_max: short, ..usual.waits.clone() };
    let store = open(&Settings { connect_timeout: short, request_timeout: short, waits, ..usual });
    let mut mirror = in_sync(&store);
    server.pause();
    mirror.until("a word of the silence", |mirror| mirror.lost.is_some());
    assert!(store.present().is_err());
    server.resume();
    mirror.until("a word of the recovery", |mirror| mirror.lost.is_none() && mirror.snapshots > 1);
    write(&store, &[change(Mode::Create, &endpoint("new"), on("n1"))]).unwrap();
    mirror.until("the new one", |mirror| mirror.spec(&endpoint("new")).is_some());
    assert_eq!(mirror.times(&endpoint("kept")), 1);
}

#[test]
fn definitions_come_go_and_change() {
    let server = ApiServer::start(&[]);
    let store = open(&settings(&server, User::Admin, None));
    let mut mirror = in_sync(&store);
    assert!(mirror.objects.keys().all(|key| key.kind == Kind::Profile), "{:?}", mirror.objects.keys());
    assert!(!mirror.is_locked, "a store that holds nothing is not locked");

    // The classic group, which was not in use so far.
    server.apply_lax_definitions("classic");
    Resources::new(&*store).ensure_initialised().unwrap();
    let set = ResourceKey::namespaced(Kind::NetworkSet, "default", "a");
    write(&store, &[change(Mode::Create, &set, json!({})), change(Mode::Create, &endpoint("kept"), on("n1"))]).unwrap();
    mirror.until("what was defined later", |mirror| {
        mirror.spec(&set).is_some() && mirror.spec(&endpoint("kept")).is_some()
    });
    assert_eq!(store.group().unwrap().group, Group::Classic);

    server.kubectl_ok(&["delete", "crd", "networksets.crd.projectcalico.org", "--wait=false"], "");
    mirror.until("the end of its objects", |mirror| mirror.spec(&set).is_none());
    assert!(mirror.spec(&endpoint("kept")).is_some());
    let until_gone = ["wait", "--for", "delete", "--timeout", "60s", "crd/networksets.crd.projectcalico.org"];
    server.kubectl_ok(&until_gone, "");
    server.apply_lax_definitions("classic");
    write(&store, &[change(Mode::Create, &set, json!({}))]).unwrap();
    mirror.until("it again", |mirror| mirror.spec(&set).is_some());
    assert_eq!(mirror.lost, None);

    // A stricter definition leaves what is stored as it is.
    let maximum = json!([{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties",
        "value": {"node": {"type": "string", "maxLength": 1}}}]);
    let crd = "hostendpoints.crd.projectcalico.org";
    server.kubectl_ok(&["patch", "crd", crd, "--type", "json", "-p", &maximum.to_string()], "");
    let refused = endpoint("refused");
    let error = loop {
        // The server needs a moment until it serves the new definition.
        match write(&store, &[change(Mode::Create, &refused, on("long"))]) {
            Err(errors) => break errors.concat(),
            Ok(_) => drop(write(&store, &[change(Mode::Delete, &refused, json!({}))])),
        }
    };
    assert!(error.contains("the server refuses it") && error.contains("spec.node"), "{error}");
    write(&store, &[change(Mode::Create, &endpoint("short"), on("n"))]).unwrap();
    mirror.until("one that is short enough", |mirror| mirror.spec(&endpoint("short")).is_some());
    assert_eq!(mirror.spec(&endpoint("kept")).unwrap()["node"], "n1");
    assert_eq!(mirror.times(&endpoint("kept")), 1);
}

#[test]
fn a_locked_store_is_not_followed_until_it_is_ready() {
    for group in [Group::Native, Group::Classic] {
        let (_server, store) = server(&[], group);
        let resources = Resources::new(&*store);
        let mut mirror = in_sync(&store);
        resources.set_ready(false).unwrap();
        mirror.until("the lock", |mirror| mirror.is_locked);
        write(&store, &[change(Mode::Create, &endpoint("meanwhile"), on("n1"))]).unwrap();
        write(&store, &[change(Mode::Delete, &endpoint("kept"), json!({}))]).unwrap();
        let present = store.present().unwrap();
        mirror.drain();
        assert!(mirror.revision < present, "what is locked is not delivered");
        assert!(mirror.spec(&endpoint("kept")).is_some() && mirror.spec(&endpoint("meanwhile")).is_none());

        let mut locked = Mirror::start(&store, agent_kinds());
        locked.until("the lock at start", |mirror| mirror.is_locked);
        assert_eq!(locked.snapshots, 0);

        resources.set_ready(true).unwrap();
        mirror.until("a snapshot", |mirror| mirror.snapshots == 2);
        assert!(mirror.spec(&endpoint("kept")).is_none() && mirror.spec(&endpoint("meanwhile")).is_some());
        assert!(mirror.revision >= present);
        locked.until("the first snapshot", |mirror| mirror.snapshots == 1);
        assert!(locked.log.iter().all(|line| line.starts_with('+')), "nothing was there before: {:?}", locked.log);
    }
}

#[test]
fn rights_that_are_taken_away_are_told_and_what_was_read_stays() {
    let (server, admin) = server(&[], Group::Native);
    let read = |groups: &[&str], resources: &[&str]| -> Value {
        json!({"apiGroups": groups, "resources": resources, "verbs": ["get", "list", "watch"]})
    };
    let ours = json!([read(&["projectcalico.org"], &["*"]), read(&[""], &["nodes", "namespaces", "serviceaccounts"])]);
    server.grant(User::Agent, "read", &ours);
    let usual = settings(&server, User::Agent, None);
    let waits = Waits { absent: Duration::from_millis(300), ..usual.waits.clone() };
    let store = open(&Settings { waits, ..usual });
    let mut mirror = in_sync(&store);
    assert_eq!(mirror.lost, None, "pods are optional");

    server.revoke("read");
    // A watch that runs goes on; the next request is refused.
    server.kill();
    server.start_again();
    mirror.until("which right is missing", |mirror| {
        mirror.lost.as_ref().is_some_and(|sentence| sentence.contains("this user may not"))
    });
    assert!(mirror.spec(&endpoint("kept")).is_some());
    server.grant(User::Agent, "read", &ours);
    mirror.until("a word of the recovery", |mirror| mirror.lost.is_none() && mirror.snapshots > 1);
    write(&admin, &[change(Mode::Create, &endpoint("new"), on("n1"))]).unwrap();
    mirror.until("the new one", |mirror| mirror.spec(&endpoint("new")).is_some());
    assert_eq!(mirror.times(&endpoint("kept")), 1);

    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "a"}]}});
    server.kubectl_ok(&["create", "-f", "-"], &pod.to_string());
    server.grant(User::Agent, "pods", &json!([read(&[""], &["pods"])]));
    let endpoint = ResourceKey::namespaced(Kind::WorkloadEndpoint, "default", "n1-k8s-web-eth0");
    mirror.until("what may be read now", |mirror| mirror.spec(&endpoint).is_some());
}

/// For some seconds a server that was started refuses what is granted and misses what is defined.
#[test]
fn a_server_that_is_starting_is_believed_in_nothing() {
    for group in [Group::Native, Group::Classic] {
        let (server, _) = server(&[], group);
        let read = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]});
        server.grant(User::Agent, "read", &json!([read]));
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "a"}]}});
        server.kubectl_ok(&["create", "-f", "-"], &pod.to_string());
        server.kill();
        let usual = settings(&server, User::Agent, None);
        // Asked all the time, so that each moment of the start is met.
        let waits = Waits { pause_min: Duration::from_millis(5), pause_max: Duration::from_millis(20), ..usual.waits };
        let store = open(&Settings { waits, ..usual });
        let mut mirror = Mirror::start(&store, agent_kinds());
        mirror.until("a word of the loss", |mirror| mirror.lost.is_some());
        server.start_again();
        mirror.until("the first snapshot", |mirror| mirror.snapshots == 1);
        assert_eq!(store.group().unwrap().group, group);
        let web = ResourceKey::namespaced(Kind::WorkloadEndpoint, "default", "n1-k8s-web-eth0");
        for key in [web, endpoint("kept"), ResourceKey::global(Kind::Tier, "default")] {
            assert!(mirror.spec(&key).is_some(), "{key} is missing from the snapshot: {:?}", mirror.log);
        }
        mirror.until_present(&store);
        assert!(mirror.log.iter().all(|line| line.starts_with('+')), "{:?}", mirror.log);
    }
}
