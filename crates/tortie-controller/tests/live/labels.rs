//! Labels of a cluster's nodes on those of a separate store (E-813). The cluster is a store with nodes, as any cluster is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_controller::labels::KUBE_LABELS;
use tortie_controller::status::PROBLEMS;
use tortie_controller::{Config, Controller, ControllerError};
use tortie_datastore::Store;
use tortie_datastore::resources::Mode;

use crate::rig::{Gate, Rig, Running};

/// A node of the store that is this one of the cluster.
fn named(rig: &Rig, name: &str, labels: Value, kubernetes_name: &str) {
    let spec = json!({"orchRefs": [{"orchestrator": "k8s", "nodeName": kubernetes_name}]});
    let value = json!({"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {}});
    rig.write(Mode::Apply, Kind::Node, name, value);
}

fn config(rig: &Rig, cluster: Arc<dyn Store>) -> Config {
    Config { cluster: Some(cluster), ..rig.config(rig.handle()) }
}

fn start(rig: &Rig, cluster: &Rig) -> Running {
    Running::start(config(rig, cluster.handle()))
}

fn labels(rig: &Rig, kind: Kind, name: &str) -> Option<Value> {
    let object = rig.get(kind, name)?;
    let mut labels = object["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.remove("projectcalico.org/created-by");
    Some(Value::Object(labels))
}

/// Waits until both a node and its endpoint have these labels and no others.
fn until_labels(rig: &Rig, node: &str, wanted: Value) {
    let endpoint = format!("{node}-auto-hep");
    rig.until(&format!("{node} has the labels {wanted}"), |rig| {
        let has = |kind, name| labels(rig, kind, name).as_ref() == Some(&wanted);
        (has(Kind::Node, node) && has(Kind::HostEndpoint, &endpoint)).then_some(())
    });
}

/// Waits until whoever acts has seen everything that the cluster has up to now.
fn cluster_barrier(rig: &Rig, cluster: &Rig) {
    named(rig, "zz-cluster", json!({}), "zz-cluster");
    cluster.node("zz-cluster", json!({"barrier": "yes"}), "192.0.2.98");
    until_labels(rig, "zz-cluster", json!({"barrier": "yes"}));
    rig.delete(Kind::Node, "zz-cluster");
    rig.until("the barrier is gone", |rig| rig.endpoint("zz-cluster-auto-hep").is_none().then_some(()));
    cluster.delete(Kind::Node, "zz-cluster");
}

fn syncs_labels(rig: &Rig) -> Option<Value> {
    let configuration = rig.get(Kind::KubeControllersConfiguration, "default")?;
    Some(configuration["status"]["runningConfig"]["controllers"]["node"]["syncLabels"].clone())
}

fn switch_labels(rig: &Rig, is_on: bool) {
    let switch = if is_on { "Enabled" } else { "Disabled" };
    let node = json!({"syncLabels": switch, "hostEndpoint": {"autoCreate": "Enabled"}});
    let spec = json!({"controllers": {"node": node}});
    let value = json!({"metadata": {"name": "default"}, "spec": spec, "status": {}});
    rig.write(Mode::Apply, Kind::KubeControllersConfiguration, "default", value);
}

#[test]
fn labels_come_win_and_go_and_endpoints_follow_e813() {
    let (rig, cluster) = (Rig::enabled(), Rig::new());
    cluster.node("k1", json!({"zone": "a", "role": "db"}), "10.0.0.1");
    named(&rig, "n1", json!({"role": "web", "mine": "x"}), "k1");
    let _running = start(&rig, &cluster);
    until_labels(&rig, "n1", json!({"zone": "a", "role": "db", "mine": "x"}));
    rig.until("the status tells that labels are synced", |rig| {
        (syncs_labels(rig) == Some(json!("Enabled"))).then_some(())
    });
    cluster.node("k1", json!({"zone": "b"}), "10.0.0.1");
    until_labels(&rig, "n1", json!({"zone": "b", "mine": "x"}));

    // What somebody else takes away is put back; a node that comes later gets its labels too.
    named(&rig, "n1", json!({"mine": "y"}), "k1");
    until_labels(&rig, "n1", json!({"zone": "b", "mine": "y"}));
    named(&rig, "n2", json!({}), "k1");
    until_labels(&rig, "n2", json!({"zone": "b"}));
    assert_eq!(rig.get(Kind::Node, "n2").unwrap()["metadata"]["annotations"][KUBE_LABELS], r#"{"zone":"b"}"#);
}

#[test]
fn a_node_that_the_cluster_does_not_have_keeps_its_labels_e813() {
    let (rig, cluster) = (Rig::enabled(), Rig::new());
    cluster.node("k1", json!({"zone": "a"}), "10.0.0.1");
    named(&rig, "n1", json!({}), "k1");
    named(&rig, "n2", json!({"mine": "x"}), "elsewhere");
    rig.node("k1", json!({"mine": "y"}), "10.0.0.3");
    let _running = start(&rig, &cluster);
    until_labels(&rig, "n1", json!({"zone": "a"}));
    cluster.delete(Kind::Node, "k1");
    cluster_barrier(&rig, &cluster);
    until_labels(&rig, "n1", json!({"zone": "a"}));
    until_labels(&rig, "n2", json!({"mine": "x"}));
    // The same name is no reference.
    until_labels(&rig, "k1", json!({"mine": "y"}));
    cluster.node("k1", json!({"zone": "b"}), "10.0.0.1");
    until_labels(&rig, "n1", json!({"zone": "b"}));
}

#[test]
fn the_switch_of_the_settings_counts_and_is_told_e813() {
    let (rig, cluster) = (Rig::enabled(), Rig::new());
    switch_labels(&rig, false);
    cluster.node("k1", json!({"zone": "a"}), "10.0.0.1");
    named(&rig, "n1", json!({}), "k1");
    let _running = start(&rig, &cluster);
    rig.until("the status tells that labels are not synced", |rig| {
        (syncs_labels(rig) == Some(json!("Disabled"))).then_some(())
    });
    rig.barrier();
    assert_eq!(labels(&rig, Kind::Node, "n1"), Some(json!({})));
    switch_labels(&rig, true);
    until_labels(&rig, "n1", json!({"zone": "a"}));
    switch_labels(&rig, false);
    rig.until("the status tells it again", |rig| (syncs_labels(rig) == Some(json!("Disabled"))).then_some(()));
    named(&rig, "n1", json!({"zone": "mine"}), "k1");
    rig.barrier();
    until_labels(&rig, "n1", json!({"zone": "mine"}));
}

#[test]
fn a_cluster_that_cannot_be_read_holds_up_nothing_and_changes_no_label_e813() {
    let (rig, cluster) = (Rig::enabled(), Rig::new());
    let gate = Arc::new(Gate::new(cluster.handle(), false));
    gate.is_cut.store(true, Ordering::SeqCst);
    cluster.node("k1", json!({"zone": "b"}), "10.0.0.1");
    named(&rig, "n1", json!({"zone": "a", "old": "x"}), "k1");
    let mut node = rig.get(Kind::Node, "n1").unwrap();
    node["metadata"]["annotations"] = json!({KUBE_LABELS: r#"{"old":"x","zone":"a"}"#});
    rig.write(Mode::Replace, Kind::Node, "n1", Value::Object(node));

    let error = Controller::new(Config { is_once: true, ..config(&rig, gate.clone()) }).run().unwrap_err();
    let ControllerError::Incomplete(told) = error else { panic!("{error}") };
    assert!(told.concat().contains("labels stay as they are, the cluster's nodes cannot be read"), "{told:?}");
    until_labels(&rig, "n1", json!({"zone": "a", "old": "x"}));

    let _running = Running::start(config(&rig, gate.clone()));
    rig.barrier();
    until_labels(&rig, "n1", json!({"zone": "a", "old": "x"}));
    let problems = |rig: &Rig| {
        rig.get(Kind::KubeControllersConfiguration, "default")?["metadata"]["annotations"][PROBLEMS]
            .as_str()
            .map(str::to_owned)
    };
    rig.until("the trouble is told", |rig| problems(rig).filter(|told| told.contains("labels stay as they are")));
    gate.is_cut.store(false, Ordering::SeqCst);
    until_labels(&rig, "n1", json!({"zone": "b"}));
    rig.until("it is over", |rig| problems(rig).is_none().then_some(()));
}

#[test]
fn once_waits_for_the_cluster_e813() {
    let (rig, cluster) = (Rig::enabled(), Rig::new());
    cluster.node("k1", json!({"zone": "a"}), "10.0.0.1");
    named(&rig, "n1", json!({}), "k1");
    Controller::new(Config { is_once: true, ..config(&rig, cluster.handle()) }).run().unwrap();
    assert_eq!(labels(&rig, Kind::Node, "n1"), Some(json!({"zone": "a"})));
    assert_eq!(labels(&rig, Kind::HostEndpoint, "n1-auto-hep"), Some(json!({"zone": "a"})));
}

#[test]
fn a_node_that_is_registered_too_gets_both_e813_e815() {
    let (rig, cluster) = (Rig::enabled(), Rig::new());
    cluster.node("k1", json!({"zone": "a"}), "10.0.0.1");
    named(&rig, "n1", json!({}), "k1");
    let mut node = rig.get(Kind::Node, "n1").unwrap();
    node["metadata"]["annotations"] = json!({tortie_controller::registration::REGISTERED: "agent"});
    rig.write(Mode::Replace, Kind::Node, "n1", Value::Object(node));
    let interfaces = json!([{"name": "eth0", "addresses": ["10.0.0.7"]}]);
    let report =
        json!({"node": "n1", "version": "1", "revision": 1, "time": "t1", "problems": [], "interfaces": interfaces});
    rig.store.report("n1", report.to_string().as_bytes(), std::time::Duration::from_secs(600)).unwrap();
    let _running = Running::start(Config { is_standalone: true, ..config(&rig, cluster.handle()) });
    until_labels(&rig, "n1", json!({"zone": "a"}));
    rig.until("it has the address of its report", |rig| {
        rig.endpoint("n1-auto-hep").filter(|found| found["spec"]["expectedIPs"] == json!(["10.0.0.7"]))
    });
}
