use tortie_api::model::{Meta, Node};

use super::*;
use crate::labels::KUBE_LABELS;

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn node(labels: Labels, annotations: Labels, kubernetes_name: Option<&str>) -> NodeState {
    let meta = Meta { labels, annotations, ..Meta::default() };
    let kubernetes_name = kubernetes_name.map(str::to_owned);
    NodeState::Known(Box::new(Node { meta, kubernetes_name, ..Node::default() }))
}

/// Has a node of the cluster, and one of the store that names it.
fn cluster(theirs: &[(&str, &str)], own: &[(&str, &str)], annotations: &[(&str, &str)]) -> Cluster {
    let mut cluster = Cluster::new(true);
    cluster.set_labels("k1", Some(node(labels(theirs), Labels::new(), None)));
    set_node(&mut cluster, "n1", own, annotations, Some("k1"));
    cluster
}

fn set_node(
    cluster: &mut Cluster,
    name: &str,
    own: &[(&str, &str)],
    annotations: &[(&str, &str)],
    kubernetes_name: Option<&str>,
) {
    let (own, annotations) = (labels(own), labels(annotations));
    let object = json!({"metadata": {"name": name, "resourceVersion": "7", "labels": own, "annotations": annotations},
        "spec": {"other": "kept"}});
    let object = object.as_object().cloned().unwrap_or_default();
    cluster.set_node(name, Some((&node(own, annotations, kubernetes_name), &object)));
}

/// Each change as its name and the labels that it gives.
fn changes(cluster: &mut Cluster) -> Vec<(String, Value)> {
    let changes = cluster.take_changes();
    changes.into_iter().map(|change| (change.key.name, change.value["metadata"]["labels"].clone())).collect()
}

#[test]
fn no_label_changes_before_all_nodes_of_the_cluster_are_known_e813() {
    let mut cluster = cluster(&[("zone", "b")], &[("zone", "a"), ("old", "x")], &[(KUBE_LABELS, r#"{"old":"x"}"#)]);
    assert!(cluster.is_unread());
    assert_eq!(changes(&mut cluster), []);
    cluster.read();
    let changes = cluster.take_changes();
    let [Change { mode: Mode::Replace, key, value, resource_version }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(key, &ResourceKey::global(Kind::Node, "n1"));
    assert_eq!(value["metadata"]["labels"], json!({"zone": "b"}));
    assert_eq!(value["metadata"]["annotations"], json!({KUBE_LABELS: r#"{"zone":"b"}"#}));
    assert_eq!((&value["spec"]["other"], resource_version.as_deref()), (&json!("kept"), Some("7")));
}

#[test]
fn what_is_to_be_looked_at_waits_while_the_cluster_is_away_e813() {
    let mut cluster = cluster(&[("zone", "b")], &[], &[]);
    cluster.lose("it is away".to_owned());
    assert!(!cluster.is_unread(), "nobody waits for a cluster that is away");
    assert_eq!(changes(&mut cluster), []);
    assert_eq!(cluster.problems(), ["labels stay as they are, the cluster's nodes cannot be read: it is away"]);
    cluster.read();
    assert_eq!(changes(&mut cluster), [("n1".to_owned(), json!({"zone": "b"}))]);
    assert_eq!(cluster.problems(), [""; 0]);
}

#[test]
fn what_is_switched_off_changes_and_tells_nothing_e813() {
    let mut cluster = cluster(&[("zone", "b")], &[], &[]);
    cluster.enable(false);
    cluster.lose("it is away".to_owned());
    assert_eq!(cluster.problems(), [""; 0]);
    cluster.read();
    assert_eq!(changes(&mut cluster), []);
    cluster.enable(true);
    assert_eq!(changes(&mut cluster), [("n1".to_owned(), json!({"zone": "b"}))]);
}

#[test]
fn only_nodes_that_name_one_of_the_cluster_get_its_labels_e813() {
    let mut cluster = cluster(&[("zone", "b")], &[], &[]);
    set_node(&mut cluster, "k1", &[("mine", "x")], &[], None);
    set_node(&mut cluster, "n2", &[("mine", "x")], &[], Some("elsewhere"));
    set_node(&mut cluster, "n3", &[("mine", "x")], &[], Some("k1"));
    cluster.read();
    let expected = [("n1".to_owned(), json!({"zone": "b"})), ("n3".to_owned(), json!({"mine": "x", "zone": "b"}))];
    assert_eq!(changes(&mut cluster), expected);
    // Gone from the cluster, its labels stay.
    assert!(cluster.set_labels("k1", None));
    assert_eq!(changes(&mut cluster), []);
}

#[test]
fn a_sign_of_life_is_no_news() {
    let mut cluster = cluster(&[("zone", "b")], &[], &[]);
    assert!(!cluster.set_labels("k1", Some(node(labels(&[("zone", "b")]), labels(&[("seen", "now")]), None))));
    assert!(cluster.set_labels("k1", Some(node(labels(&[("zone", "c")]), Labels::new(), None))));
}

#[test]
fn what_cannot_be_read_keeps_its_labels_and_is_told_until_it_is_mended_e813() {
    let mut cluster = cluster(&[("zone", "b")], &[], &[(KUBE_LABELS, "[")]);
    set_node(&mut cluster, "n2", &[], &[], Some("k2"));
    cluster.set_labels("k2", Some(NodeState::Unreadable("no object".to_owned())));
    cluster.read();
    assert_eq!(changes(&mut cluster), []);
    let problems = cluster.problems();
    assert!(
        problems[0].starts_with("node `n1` keeps its labels: annotation projectcalico.org/kube-labels"),
        "{problems:?}"
    );
    assert_eq!(problems[1], "node `n2` keeps its labels: the cluster's `k2` cannot be read: no object");
    set_node(&mut cluster, "n1", &[], &[], Some("k1"));
    cluster.set_labels("k2", Some(node(labels(&[("rack", "7")]), Labels::new(), None)));
    assert_eq!(
        changes(&mut cluster),
        [("n1".to_owned(), json!({"zone": "b"})), ("n2".to_owned(), json!({"rack": "7"}))]
    );
    assert_eq!(cluster.problems(), [""; 0]);
}
