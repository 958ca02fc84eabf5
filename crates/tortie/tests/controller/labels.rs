//! Labels of Kubernetes nodes on the nodes of a separate etcd (E-813).

use serde_json::{Value, json};
use tortie_testkit::apiserver::{ApiServer, User};
use tortie_testkit::etcd::{Etcd, Options, PASSWORD, Version};

use crate::ENABLED;
use crate::rig::{Running, until_labels, until_problem, until_told};
use crate::support::Host;

/// A node that is this one of the cluster.
fn node(name: &str, labels: &str, kubernetes_name: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: {name}, labels: {labels}}}\nspec: {{orchRefs: [{{orchestrator: k8s, nodeName: {kubernetes_name}}}]}}\n"
    )
}

#[test]
fn labels_of_the_cluster_reach_endpoints_whatever_happens_to_it_e813() {
    // A cluster without any definition of ours, and the rights for nodes alone.
    let cluster = ApiServer::start(&[]);
    cluster.grant(
        User::Controller,
        "nodes",
        &json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]),
    );
    let create = |name: &str, labels: Value| {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        cluster.kubectl_ok(&["create", "-f", "-"], &node.to_string());
    };
    create("k1", json!({"zone": "a", "role": "db"}));
    let label = |change: &str| cluster.kubectl_ok(&["label", "node", "k1", "--overwrite", change], "");

    let etcd = Etcd::start(Options { has_users: true, ..Options::plain(Version::Debian) });
    let as_user = |user: &str| {
        let kubeconfig = cluster.kubeconfig(User::Controller);
        let kubeconfig = kubeconfig.to_str().unwrap();
        let reach = [("ETCD_ENDPOINTS", &*etcd.address()), ("ETCD_USERNAME", user), ("ETCD_PASSWORD", PASSWORD)];
        Host::new().on(&[&reach[..], &[("KUBECONFIG", kubeconfig)]].concat())
    };
    let (root, own) = (as_user("root"), as_user("controller"));
    root.apply(ENABLED);
    root.apply(&node("n1", "{role: web, mine: x}", "k1"));
    let _controller = Running::start(&own, &["--kubernetes-nodes"]);
    until_labels(&root, "n1-auto-hep", &json!({"zone": "a", "role": "db", "mine": "x"}));
    until_told(&root, "/syncLabels", "Enabled");
    label("zone=b");
    until_labels(&root, "n1-auto-hep", &json!({"zone": "b", "role": "db", "mine": "x"}));
    label("role-");
    until_labels(&root, "n1-auto-hep", &json!({"zone": "b", "mine": "x"}));

    // Away, endpoints go on and labels stay; back, they follow again.
    cluster.kill();
    until_problem(&root, "labels stay as they are, the cluster's nodes cannot be read");
    root.apply(&node("n2", "{mine: z}", "k1"));
    until_labels(&root, "n2-auto-hep", &json!({"mine": "z"}));
    until_labels(&root, "n1-auto-hep", &json!({"zone": "b", "mine": "x"}));
    cluster.start_again();
    label("zone=c");
    until_labels(&root, "n1-auto-hep", &json!({"zone": "c", "mine": "x"}));
    until_labels(&root, "n2-auto-hep", &json!({"zone": "c", "mine": "z"}));

    // Gone, its node keeps what it has.
    cluster.kubectl_ok(&["delete", "node", "k1"], "");
    // Who has seen what came after it has seen its end.
    create("k2", json!({"zone": "d"}));
    root.apply(&node("n4", "{}", "k2"));
    until_labels(&root, "n4-auto-hep", &json!({"zone": "d"}));
    root.apply(&node("n3", "{}", "k1"));
    until_labels(&root, "n3-auto-hep", &json!({}));
    until_labels(&root, "n1-auto-hep", &json!({"zone": "c", "mine": "x"}));
}

#[test]
fn a_cluster_that_refuses_is_told_and_holds_up_nothing_e813() {
    let cluster = ApiServer::shared();
    let etcd = Etcd::start(Options::plain(Version::Recent));
    let kubeconfig = cluster.kubeconfig(User::Nobody);
    let host = Host::new().on(&[("ETCD_ENDPOINTS", &etcd.address()), ("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    host.apply(ENABLED);
    host.apply(&node("n1", "{mine: x}", "k1"));
    let (code, _, err) = host.tortie(&["controller", "--once", "--kubernetes-nodes"], "");
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("nobody") && err.contains("nodes"), "the right that is missing is named: {err}");
    until_labels(&host, "n1-auto-hep", &json!({"mine": "x"}));
}

#[test]
fn a_store_whose_nodes_are_the_clusters_own_takes_no_labels_e813() {
    let kubeconfig = ApiServer::shared().kubeconfig(User::Admin);
    let host = Host::new().on(&[("KUBECONFIG", kubeconfig.to_str().unwrap())]);
    let (code, _, err) = host.tortie(&["controller", "--kubernetes-nodes"], "");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("--kubernetes-nodes"), "{err}");
}
