//! Reads and writes of a real API server, in both groups (datastore.md sections 1, 2.8 and 3).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Done, Mode};
use tortie_datastore::store::{Commit, Select, Step, Store as _};
use tortie_datastore::{ResourceError, Resources};
use tortie_kubernetes::{Group, Kubernetes};

use support::{GROUPS, admin, change, endpoint, object, on, policy, shared, word, write};

const ANNOTATION: &str = "projectcalico.org/metadata";

fn raw(group: Group, plural: &str, name: &str) -> Value {
    let text = shared().kubectl_ok(&["get", &format!("{plural}.{}", group.name()), name, "-o", "json"], "");
    serde_json::from_str(&text).unwrap()
}

fn get(store: &Kubernetes, key: &ResourceKey) -> Value {
    Value::Object(Resources::new(store).get(key).unwrap().value)
}

#[test]
fn objects_are_created_updated_and_deleted() {
    for group in GROUPS {
        let store = admin(group);
        let key = endpoint("crud");
        let done = |mode, node: &str| write(&store, &[change(mode, &key, on(node))]);
        assert_eq!(done(Mode::Create, "n1"), Ok(vec![Done::Created]));
        assert!(done(Mode::Create, "n1").unwrap_err()[0].starts_with("resource already exists: HostEndpoint(crud)"));
        assert_eq!(done(Mode::Apply, "n1"), Ok(vec![Done::Unchanged]), "{group}");
        assert_eq!(done(Mode::Apply, "n2"), Ok(vec![Done::Configured]));
        assert_eq!(done(Mode::Replace, "n3"), Ok(vec![Done::Configured]));
        let read = get(&store, &key);
        assert_eq!(read["spec"]["node"], "n3");
        assert_eq!((&read["kind"], &read["apiVersion"]), (&json!("HostEndpoint"), &json!("projectcalico.org/v3")));
        assert_eq!(
            read["metadata"]["resourceVersion"],
            raw(group, "hostendpoints", "crud")["metadata"]["resourceVersion"]
        );
        assert_eq!(done(Mode::Delete, ""), Ok(vec![Done::Deleted]));
        assert!(done(Mode::Delete, "").unwrap_err()[0].starts_with("resource does not exist: HostEndpoint(crud)"));
    }
}

#[test]
fn what_somebody_changed_meanwhile_is_not_written_over() {
    for group in GROUPS {
        let store = admin(group);
        let key = endpoint("conflict");
        write(&store, &[change(Mode::Create, &key, on("n1"))]).unwrap();
        let read = || store.select(&[Select::Object(key.clone())]).unwrap().remove(0).items.remove(0);
        let old = read();
        write(&store, &[change(Mode::Apply, &key, on("n2"))]).unwrap();
        let update = Step::Update { before: old.clone(), value: object(&key, on("n3")) };
        let delete = Step::Delete { before: old };
        for step in [update, delete, Step::Create { key: key.clone(), value: object(&key, on("n3")) }] {
            assert_eq!(store.commit(&[step]).unwrap(), Commit::Refused { step: 0 });
        }
        let mut named = change(Mode::Replace, &key, on("n4"));
        named.resource_version = Some("1".to_owned());
        assert!(write(&store, &[named]).unwrap_err()[0].starts_with("update conflict: HostEndpoint(conflict)"));
        let present = read();
        assert_eq!(
            store.commit(&[Step::Delete { before: present.clone() }]).unwrap(),
            Commit::Done(vec![String::new()])
        );
        let gone = Step::Update { before: present, value: object(&key, on("n3")) };
        assert_eq!(store.commit(&[gone]).unwrap(), Commit::Refused { step: 0 }, "it is gone");
    }
}

#[test]
fn several_changes_are_made_together_or_not_at_all() {
    for group in GROUPS {
        let store = admin(group);
        let (a, b, c) = (endpoint("all-a"), endpoint("all-b"), endpoint("all-c"));
        write(&store, &[change(Mode::Create, &a, on("n1")), change(Mode::Create, &b, on("n1"))]).unwrap();
        let item = |key: &ResourceKey| store.select(&[Select::Object(key.clone())]).unwrap().remove(0).items.pop();
        let (before_a, before_b) = (item(&a).unwrap(), item(&b).unwrap());
        let steps = [
            Step::Update { before: before_a.clone(), value: object(&a, on("n2")) },
            Step::Delete { before: before_b },
            Step::Create { key: c.clone(), value: object(&c, on("n1")) },
            Step::Create { key: a.clone(), value: object(&a, on("n1")) },
        ];
        assert_eq!(store.commit(&steps).unwrap(), Commit::Refused { step: 3 });
        assert_eq!(item(&a).unwrap().revision, before_a.revision, "nothing was written at all");
        assert!(item(&b).is_some() && item(&c).is_none());
        assert!(matches!(store.commit(&steps[..3]).unwrap(), Commit::Done(revisions) if revisions.len() == 3));
        assert!(item(&b).is_none() && item(&c).is_some());
    }
}

#[test]
fn what_only_fails_when_it_counts_is_undone() {
    // Each of two objects is within a quota of one.
    for group in GROUPS {
        let namespace = format!("quota-{}", word(group));
        support::quota_of_one(group, &namespace);
        let store = admin(group);
        let key = |name: &str| ResourceKey::namespaced(Kind::NetworkSet, namespace.as_str(), name);
        let create = |name: &str| Step::Create { key: key(name), value: object(&key(name), json!({})) };
        let error = tortie_api::with_causes(&store.commit(&[create("a"), create("b")]).unwrap_err());
        assert!(error.contains("exceeded quota"), "{error}");
        let listed = store.select(&[Select::Kind(Kind::NetworkSet, Some(namespace.clone()))]).unwrap();
        assert!(listed[0].items.is_empty(), "{group}: {:?}", listed[0].items);
    }
}

#[test]
fn labels_are_folded_in_the_classic_group_only() {
    for group in GROUPS {
        let store = admin(group);
        let key = policy("labelled");
        let mut policy = change(Mode::Create, &key, json!({"tier": "default", "selector": "all()"}));
        let labels = json!({"team": "a", "projectcalico.org/tier": "default"});
        policy.value["metadata"]["labels"] = labels.clone();
        policy.value["metadata"]["annotations"] = json!({"note": "x"});
        write(&store, &[policy.clone()]).unwrap();
        let own = raw(group, "globalnetworkpolicies", "labelled")["metadata"].clone();
        match group {
            Group::Native => {
                assert_eq!((&own["labels"], &own["annotations"]), (&labels, &json!({"note": "x"})));
            }
            Group::Classic => {
                assert_eq!(own["labels"], json!({"projectcalico.org/tier": "default"}));
                let folded: Value = serde_json::from_str(own["annotations"][ANNOTATION].as_str().unwrap()).unwrap();
                assert_eq!((&folded["name"], &folded["labels"]), (&json!("labelled"), &labels));
            }
        }
        let read = get(&store, &key);
        assert_eq!((&read["metadata"]["labels"], &read["metadata"]["annotations"]), (&labels, &json!({"note": "x"})));
        policy.mode = Mode::Apply;
        assert_eq!(write(&store, &[policy]), Ok(vec![Done::Unchanged]));
    }
}

#[test]
fn finalizers_and_owners_on_the_object_itself_stay() {
    for group in GROUPS {
        let store = admin(group);
        let key = endpoint("owned");
        write(&store, &[change(Mode::Create, &key, on("n1"))]).unwrap();
        let owner = json!({"apiVersion": "v1", "kind": "Namespace", "name": "default", "uid": "x"});
        let patch = json!({"metadata": {"finalizers": ["example.com/keep"], "ownerReferences": [owner]}}).to_string();
        let plural = format!("hostendpoints.{}", group.name());
        shared().kubectl_ok(&["patch", &plural, "owned", "--type", "merge", "-p", &patch], "");
        assert_eq!(write(&store, &[change(Mode::Apply, &key, on("n2"))]), Ok(vec![Done::Configured]));
        let own = &raw(group, "hostendpoints", "owned")["metadata"];
        assert_eq!(own["finalizers"], json!(["example.com/keep"]), "{group}");
        assert_eq!(own["ownerReferences"][0]["name"], "default", "{group}");
        shared()
            .kubectl_ok(&["patch", &plural, "owned", "--type", "merge", "-p", r#"{"metadata":{"finalizers":[]}}"#], "");
    }
}

#[test]
fn what_kubectl_made_is_read_and_written_over() {
    for group in GROUPS {
        let store = admin(group);
        let manifest = json!({"apiVersion": group.to_string(), "kind": "GlobalNetworkPolicy",
            "metadata": {"name": "default.kubectl", "labels": {"team": "a"}}, "spec": {"selector": "all()"}});
        shared().kubectl_ok(&["apply", "-f", "-"], &manifest.to_string());
        let key = policy("default.kubectl");
        let read = get(&store, &key);
        assert_eq!(read["metadata"]["name"], "default.kubectl", "nothing is stripped");
        assert_eq!(read["metadata"]["labels"], json!({"team": "a", "projectcalico.org/tier": "default"}));
        let own = raw(group, "globalnetworkpolicies", "default.kubectl");
        let (ours, theirs) = (read["metadata"]["uid"].as_str().unwrap(), own["metadata"]["uid"].as_str().unwrap());
        assert_eq!(ours == theirs, group == Group::Native, "the classic group converts it");
        assert_eq!(get(&store, &policy("kubectl"))["metadata"]["name"], "default.kubectl", "found by its short name");

        let mut update = change(Mode::Apply, &key, json!({"tier": "default", "selector": "all()", "order": 5}));
        update.value["metadata"]["labels"] = json!({"team": "b"});
        assert_eq!(write(&store, &[update]), Ok(vec![Done::Configured]));
        let read = get(&store, &key);
        assert_eq!((&read["metadata"]["labels"]["team"], &read["spec"]["order"]), (&json!("b"), &json!(5)));
        assert_eq!(read["metadata"]["uid"].as_str(), Some(ours), "it is still the same object");
        write(&store, &[change(Mode::Delete, &key, json!({}))]).unwrap();
    }
}

#[test]
fn an_older_name_is_shown_as_its_annotation_says() {
    let store = admin(Group::Classic);
    let manifest = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "GlobalNetworkPolicy",
        "metadata": {"name": "default.v331", "annotations": {ANNOTATION: r#"{"name":"v331"}"#}}, "spec": {}});
    shared().kubectl_ok(&["apply", "-f", "-"], &manifest.to_string());
    let found = Resources::new(&*store).get(&policy("v331")).unwrap();
    assert_eq!((found.key.name.as_str(), &found.value["metadata"]["name"]), ("default.v331", &json!("v331")));
    let broken = json!({"apiVersion": "crd.projectcalico.org/v1", "kind": "HostEndpoint",
        "metadata": {"name": "broken", "annotations": {ANNOTATION: "{"}}, "spec": {}});
    shared().kubectl_ok(&["apply", "-f", "-"], &broken.to_string());
    let error = Resources::new(&*store).get(&endpoint("broken")).unwrap_err();
    assert!(matches!(error, ResourceError::Unparsable { .. }), "{error}");
    let (listed, _) = Resources::new(&*store).list(Kind::HostEndpoint, None).unwrap();
    assert!(listed.iter().all(|object| object.key.name != "broken"), "it is left out of lists");
}

#[test]
fn lists_are_whole_however_long() {
    let namespace = "long";
    shared().kubectl_ok(&["create", "namespace", namespace], "");
    let store = admin(Group::Native);
    let items: Vec<Value> = (0..1_100)
        .map(|number| {
            json!({"apiVersion": "projectcalico.org/v3", "kind": "NetworkSet",
                "metadata": {"name": format!("set-{number:04}"), "namespace": namespace}, "spec": {}})
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    shared().kubectl_ok(&["create", "-f", "-"], &list.to_string());
    let listed = store.select(&[Select::Kind(Kind::NetworkSet, Some(namespace.to_owned()))]).unwrap().remove(0);
    let names: Vec<&str> = listed.items.iter().map(|item| item.at.name.as_str()).collect();
    assert_eq!((names.len(), names[0], names[1_099]), (1_100, "set-0000", "set-1099"));
    assert!(!listed.revision.is_empty());
    let none = store.select(&[Select::Kind(Kind::NetworkSet, Some("lon".to_owned()))]).unwrap();
    assert!(none[0].items.is_empty(), "a namespace is not a prefix");
}

#[test]
fn initialisation_is_what_the_reference_makes_of_a_kubernetes_store() {
    for group in GROUPS {
        let store = admin(group);
        Resources::new(&*store).ensure_initialised().unwrap();
        let cluster = get(&store, &ResourceKey::global(Kind::ClusterInformation, "default"));
        assert_eq!(cluster["spec"]["clusterType"], "kdd");
        assert_eq!(cluster["spec"]["datastoreReady"], true);
        assert_eq!(get(&store, &ResourceKey::global(Kind::Tier, "kube-admin"))["spec"]["defaultAction"], "Pass");
        let revision = &cluster["metadata"]["resourceVersion"];
        Resources::new(&*store).ensure_initialised().unwrap();
        let again = get(&store, &ResourceKey::global(Kind::ClusterInformation, "default"));
        assert_eq!(&again["metadata"]["resourceVersion"], revision, "nothing is written twice");
    }
}

#[test]
fn a_status_is_written_and_a_spec_without_one_leaves_it() {
    for group in GROUPS {
        let store = admin(group);
        let key = ResourceKey::global(Kind::KubeControllersConfiguration, "default");
        let with = |spec: Value, status: Value| {
            let mut change = change(Mode::Apply, &key, spec);
            change.value.insert("status".to_owned(), status);
            write(&store, &[change])
        };
        let (spec, status) = (json!({"healthChecks": "Enabled"}), json!({"running": {"a": "1"}}));
        assert_eq!(with(spec.clone(), status.clone()), Ok(vec![Done::Created]));
        assert_eq!(get(&store, &key)["status"], status, "{group}");
        assert_eq!(with(spec.clone(), status.clone()), Ok(vec![Done::Unchanged]));
        let item = store.select(&[Select::Object(key.clone())]).unwrap().remove(0).items.remove(0);
        let mut value = item.value.clone().unwrap();
        value["status"] = json!({"running": {"a": "3"}});
        let Commit::Done(revisions) = store.commit(&[Step::Update { before: item, value }]).unwrap() else {
            panic!("nobody else writes it")
        };
        let own = raw(group, "kubecontrollersconfigurations", "default");
        assert_eq!(own["metadata"]["resourceVersion"], revisions[0].as_str(), "that of the last request");
        assert_eq!(with(spec, json!({"running": {"a": "2"}})), Ok(vec![Done::Configured]));
        let disabled = change(Mode::Apply, &key, json!({"healthChecks": "Disabled"}));
        assert_eq!(write(&store, &[disabled]), Ok(vec![Done::Configured]));
        let read = get(&store, &key);
        assert_eq!((&read["spec"]["healthChecks"], &read["status"]["running"]["a"]), (&json!("Disabled"), &json!("2")));
    }
}

#[test]
fn native_objects_are_resources() {
    let manifests = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop"}},
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "labels": {"zone": "z"}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "shop"},
            "spec": {"nodeName": "node-1", "containers": [{"name": "a", "image": "a"}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "waits", "namespace": "shop"},
            "spec": {"containers": [{"name": "a", "image": "a"}]}},
    ]});
    shared().kubectl_ok(&["create", "-f", "-"], &manifests.to_string());
    let store = admin(Group::Native);
    let profile = get(&store, &ResourceKey::global(Kind::Profile, "kns.shop"));
    assert_eq!(profile["spec"]["labelsToApply"]["pcns.team"], "a");
    let account = get(&store, &ResourceKey::global(Kind::Profile, "ksa.shop.web"));
    assert!(account["metadata"]["resourceVersion"].as_str().unwrap().starts_with('/'));
    let (profiles, revision) = Resources::new(&*store).list(Kind::Profile, None).unwrap();
    assert_eq!(revision.split('/').filter(|part| !part.is_empty()).count(), 2, "{revision}");
    let names: Vec<&str> = profiles.iter().map(|object| object.key.name.as_str()).collect();
    for name in ["kns.shop", "ksa.shop.web", "projectcalico-default-allow"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let pods = store.select(&[Select::Kind(Kind::WorkloadEndpoint, Some("shop".to_owned()))]).unwrap().remove(0);
    let names: Vec<&str> = pods.items.iter().map(|item| item.at.name.as_str()).collect();
    assert_eq!(names, ["node--1-k8s-web--0-eth0"]);
    let one = store.select(&[Select::Object(pods.items[0].at.clone())]).unwrap();
    assert_eq!(one[0].items[0].value, pods.items[0].value);

    let key = ResourceKey::global(Kind::Node, "node-1");
    let mut node = change(Mode::Apply, &key, json!({"bgp": {"ipv4Address": "10.0.0.1/24"}}));
    node.value["metadata"]["labels"] = json!({"zone": "z", "rack": "7"});
    assert_eq!(write(&store, &[node]), Ok(vec![Done::Configured]));
    let read = get(&store, &key);
    assert_eq!(read["spec"]["bgp"]["ipv4Address"], "10.0.0.1/24");
    assert_eq!(read["metadata"]["labels"]["rack"], "7");
    let own: Value = serde_json::from_str(&shared().kubectl_ok(&["get", "node", "node-1", "-o", "json"], "")).unwrap();
    assert_eq!(own["metadata"]["annotations"]["projectcalico.org/IPv4Address"], "10.0.0.1/24");
    assert_eq!(own["metadata"]["labels"].get("rack"), None, "labels of the node itself are not Calico's");
}

#[test]
fn what_kubernetes_has_itself_is_refused_with_a_reason() {
    let store = admin(Group::Native);
    let refused = |mode, key: &ResourceKey| write(&store, &[change(mode, key, json!({}))]).unwrap_err().remove(0);
    let profile = refused(Mode::Create, &ResourceKey::global(Kind::Profile, "mine"));
    assert!(profile.contains("operation create is not supported on Profile(mine)"), "{profile}");
    let node = refused(Mode::Delete, &ResourceKey::global(Kind::Node, "node-9"));
    assert!(node.contains("made and removed by Kubernetes"), "{node}");
    let node = refused(Mode::Apply, &ResourceKey::global(Kind::Node, "node-9"));
    assert!(node.contains("made and removed by Kubernetes"), "{node}");
    let name = refused(Mode::Create, &endpoint("Web_1"));
    assert!(name.contains("lower-case letters"), "{name}");
}

#[test]
fn a_refusal_of_the_server_says_what_it_says() {
    let store = admin(Group::Native);
    let key = ResourceKey::namespaced(Kind::NetworkSet, "no-such-namespace", "a");
    let error = write(&store, &[change(Mode::Create, &key, json!({}))]).unwrap_err().remove(0);
    assert!(error.contains("no-such-namespace") && error.contains("the server refuses it"), "{error}");
    let error = write(&store, &[change(Mode::Create, &policy("typed"), json!({"tier": 3}))]).unwrap_err().remove(0);
    assert!(error.contains("spec.tier") && error.contains("the server refuses it"), "{error}");
}
