//! The syncer over a real API server that does not fail, in both groups (datastore.md sections 3.5, 4 and 5).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::Resources;
use tortie_datastore::resources::Mode;
use tortie_datastore::store::{Scope, Select, Store as _};
use tortie_kubernetes::{Group, Settings, Waits};
use tortie_testkit::apiserver::User;

use support::{
    GROUPS, Mirror, PATIENCE, admin, agent_kinds, change, endpoint, on, open, policy, settings, shared, write,
};

const ANNOTATION: &str = "projectcalico.org/metadata";

fn apply(manifest: &Value) {
    shared().kubectl_ok(&["apply", "-f", "-"], &manifest.to_string());
}

#[test]
fn a_snapshot_is_followed_by_every_change_and_nothing_comes_twice() {
    for group in GROUPS {
        let store = admin(group);
        Resources::new(&*store).ensure_initialised().unwrap();
        let (kept, gone, new) = (endpoint("sync-kept"), endpoint("sync-gone"), endpoint("sync-new"));
        write(&store, &[change(Mode::Create, &kept, on("n1")), change(Mode::Create, &gone, on("n1"))]).unwrap();
        let mut mirror = Mirror::start(&store, agent_kinds());
        mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
        assert!(mirror.spec(&kept).is_some() && mirror.spec(&gone).is_some());
        assert_eq!(mirror.spec(&ResourceKey::global(Kind::Tier, "default")).unwrap()["defaultAction"], "Deny");

        write(&store, &[change(Mode::Create, &new, on("n1"))]).unwrap();
        write(&store, &[change(Mode::Apply, &new, on("n2"))]).unwrap();
        write(&store, &[change(Mode::Delete, &gone, json!({}))]).unwrap();
        mirror.until_present(&store);
        assert_eq!(mirror.spec(&new).unwrap()["node"], "n2");
        assert_eq!(mirror.spec(&gone), None);
        assert_eq!((mirror.times(&kept), mirror.times(&gone)), (1, 1));
        assert_eq!(mirror.snapshots, 1, "changes are no snapshots");

        let (listed, _) = Resources::new(&*store).list(Kind::HostEndpoint, None).unwrap();
        let newest =
            listed.iter().filter_map(|object| object.value["metadata"]["resourceVersion"].as_str()?.parse().ok());
        let newest: u64 = newest.max().unwrap();
        let told: u64 = mirror.kinds[&Kind::HostEndpoint].parse().unwrap();
        assert!(told >= newest, "{told} is older than {newest}");
        assert!(mirror.revision.0 >= newest);
        assert_eq!(mirror.kinds[&Kind::Profile].split('/').count(), 2);
    }
}

#[test]
fn the_present_revision_waits_for_what_was_just_written() {
    for group in GROUPS {
        let store = admin(group);
        Resources::new(&*store).ensure_initialised().unwrap();
        let mut mirror = Mirror::start(&store, vec![Kind::ClusterInformation, Kind::GlobalNetworkSet]);
        mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
        let key = ResourceKey::global(Kind::GlobalNetworkSet, "present");
        for number in 0..20 {
            let spec = json!({"nets": [format!("10.0.0.{number}")]});
            write(&store, &[change(Mode::Apply, &key, spec.clone())]).unwrap();
            let present = store.present().unwrap();
            mirror.drain();
            assert!(mirror.revision >= present, "it was delivered before it was answered");
            assert_eq!(mirror.spec(&key), Some(&spec));
        }
        write(&store, &[change(Mode::Delete, &key, json!({}))]).unwrap();
        let present = store.present().unwrap();
        mirror.drain();
        assert!(mirror.revision >= present && mirror.spec(&key).is_none(), "deletions count");
    }
}

#[test]
fn a_store_without_a_syncer_has_a_present_revision_too() {
    let store = admin(Group::Native);
    write(&store, &[change(Mode::Apply, &endpoint("counted"), on("n1"))]).unwrap();
    let before = store.present().unwrap();
    write(&store, &[change(Mode::Apply, &endpoint("counted"), on("n2"))]).unwrap();
    assert!(store.present().unwrap() > before);
}

#[test]
fn classic_objects_are_unfolded_and_invalid_ones_told_with_the_reason() {
    let store = admin(Group::Classic);
    Resources::new(&*store).ensure_initialised().unwrap();
    let mut mirror = Mirror::start(&store, agent_kinds());
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    let manifest = |name: &str, annotation: &str| {
        json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkPolicy",
            "metadata": {"name": name, "annotations": {ANNOTATION: annotation}}, "spec": {"order": 1}})
    };
    apply(&manifest("default.old", r#"{"name":"old","labels":{"a":"b"}}"#));
    mirror.until_present(&store);
    let told = mirror.objects[&policy("old")].as_ref().unwrap();
    assert_eq!(told["metadata"]["labels"]["a"], "b");
    assert_eq!(mirror.objects.get(&policy("default.old")), None);

    write(&store, &[change(Mode::Create, &policy("old"), json!({"tier": "default", "order": 2}))]).unwrap();
    mirror.until_present(&store);
    assert_eq!(mirror.spec(&policy("old")).unwrap()["order"], 2, "the place of its own name wins");
    shared().kubectl_ok(&["delete", "globalnetworkpolicies.crd.projectcalico.org", "old"], "");
    mirror.until("the older one again", |mirror| mirror.spec(&policy("old")).is_some_and(|spec| spec["order"] == 1));
    apply(&manifest("default.old", "{"));
    mirror.until("an invalid object", |mirror| mirror.objects.get(&policy("old")).is_some_and(Result::is_err));
    shared().kubectl_ok(&["delete", "globalnetworkpolicies.crd.projectcalico.org", "default.old"], "");
    mirror.until("its end", |mirror| !mirror.objects.contains_key(&policy("old")));
}

#[test]
fn native_objects_come_and_go_as_resources() {
    let store = admin(Group::Native);
    Resources::new(&*store).ensure_initialised().unwrap();
    let node = |name: &str| json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    apply(&node("sync-mine"));
    apply(&node("sync-other"));
    let mut mirror =
        Mirror::of(&store, Scope { kinds: agent_kinds(), node: Some("sync-mine".to_owned()), is_known: false });
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    let nodes: Vec<&str> =
        mirror.objects.keys().filter(|key| key.kind == Kind::Node).map(|key| key.name.as_str()).collect();
    assert_eq!(nodes, ["sync-mine"], "of nodes only one is read");

    apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sync-ns", "labels": {"a": "b"}}}));
    let pod = |name: &str, on_host: bool| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "sync-ns"},
            "spec": {"nodeName": "sync-mine", "hostNetwork": on_host, "containers": [{"name": "a", "image": "a"}]}})
    };
    apply(&pod("plain", false));
    apply(&pod("on-host", true));
    mirror.until_present(&store);
    let profile = mirror.spec(&ResourceKey::global(Kind::Profile, "kns.sync-ns")).unwrap();
    assert_eq!(profile["labelsToApply"]["pcns.a"], "b");
    let endpoint = ResourceKey::namespaced(Kind::WorkloadEndpoint, "sync-ns", "sync--mine-k8s-plain-eth0");
    assert!(mirror.spec(&endpoint).is_some());
    assert!(mirror.objects.keys().all(|key| !key.name.contains("host")), "those on the host's network have none");
    let delete = ["delete", "pod", "plain", "-n", "sync-ns", "--force", "--grace-period", "0"];
    shared().kubectl_ok(&delete, "");
    mirror.until_present(&store);
    assert_eq!(mirror.spec(&endpoint), None);
}

#[test]
fn a_syncer_reads_more_kinds_while_it_runs() {
    let store = admin(Group::Native);
    Resources::new(&*store).ensure_initialised().unwrap();
    let set = ResourceKey::namespaced(Kind::NetworkSet, "default", "sync-late");
    write(&store, &[change(Mode::Apply, &set, json!({"nets": ["10.0.0.1"]}))]).unwrap();
    let mut mirror = Mirror::start(&store, vec![Kind::ClusterInformation, Kind::Tier]);
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    assert_eq!(mirror.spec(&set), None);
    assert_eq!(mirror.kinds.keys().collect::<Vec<_>>(), [&Kind::Tier, &Kind::ClusterInformation]);

    let late = [Kind::NetworkSet, Kind::Profile];
    mirror.widen(&late);
    mirror.widen(&late);
    let has_all = |mirror: &Mirror| late.iter().all(|kind| mirror.kinds.contains_key(kind));
    mirror.until("the new kinds", has_all);
    assert!(mirror.spec(&set).is_some() && mirror.spec(&ResourceKey::global(Kind::Profile, "kns.default")).is_some());
    assert_eq!(mirror.times(&ResourceKey::global(Kind::Tier, "default")), 1, "what was read stays");
    assert_eq!((mirror.times(&set), mirror.snapshots), (1, 1), "each collection is read once, and that is no snapshot");

    write(&store, &[change(Mode::Apply, &set, json!({"nets": ["10.0.0.2"]}))]).unwrap();
    mirror.until_present(&store);
    assert_eq!(mirror.spec(&set).unwrap()["nets"], json!(["10.0.0.2"]), "the present revision counts them too");
}

#[test]
fn a_syncer_that_is_dropped_delivers_nothing_more() {
    let store = admin(Group::Native);
    Resources::new(&*store).ensure_initialised().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let kinds = vec![Kind::ClusterInformation, Kind::Tier];
    let deliver = Box::new(move |event| drop(sender.send(event)));
    let syncer = store.clone().sync(Scope { kinds, ..Scope::default() }, deliver).unwrap();
    receiver.recv_timeout(support::PATIENCE).unwrap();
    drop(syncer);
    while receiver.try_recv().is_ok() {}
    assert_eq!(receiver.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
    store.present().unwrap_err();
}

#[test]
fn a_watch_that_the_server_ends_goes_on_from_its_last_bookmark() {
    let short = Duration::from_secs(3);
    let usual = settings(shared(), User::Admin, Some(Group::Native));
    let store = open(&Settings { waits: Waits { watch: short, ..usual.waits.clone() }, ..usual });
    Resources::new(&*store).ensure_initialised().unwrap();
    let kinds = vec![Kind::ClusterInformation, Kind::KubeControllersConfiguration, Kind::GlobalNetworkSet];
    let mut mirror = Mirror::start(&store, kinds);
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    let quiet = |mirror: &Mirror| -> u64 { mirror.kinds[&Kind::KubeControllersConfiguration].parse().unwrap() };
    let first = quiet(&mirror);
    let key = ResourceKey::global(Kind::GlobalNetworkSet, "bookmarked");
    let (begun, mut number) = (Instant::now(), 0);
    // Of a kind that nobody changes only bookmarks tell anything.
    while quiet(&mirror) == first || begun.elapsed() < short * 2 {
        assert!(begun.elapsed() < PATIENCE, "no bookmark came");
        number += 1;
        let spec = json!({"nets": [format!("10.1.{}.{}", number / 256 % 256, number % 256)]});
        write(&store, &[change(Mode::Apply, &key, spec.clone())]).unwrap();
        mirror.until("each change", |mirror| mirror.spec(&key) == Some(&spec));
        // The server learns how far its memory of a quiet kind is when somebody wants to know what is stored now.
        store.select(&[Select::Kind(Kind::KubeControllersConfiguration, None)]).unwrap();
    }
    assert_eq!((mirror.snapshots, mirror.lost.as_ref()), (1, None), "nothing was listed again");
}
