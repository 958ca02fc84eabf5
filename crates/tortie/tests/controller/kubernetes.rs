//! Kubernetes, with the rights of packaging/kubernetes/rbac.yaml and no others (datastore.md section 3.6).

use std::path::Path;

use serde_json::{Value, json};
use tortie_testkit::apiserver::{ApiServer, User};

use crate::ENABLED;
use crate::rig::{Running, endpoint, get, obeys_the_lock, until_gone, until_labels, until_problem, until_told};
use crate::support::{Host, until};

/// A server with the product's own definitions and rights; the `controller` of the fixture has those of ours.
struct Cluster {
    server: ApiServer,
    admin: Host,
}

impl Cluster {
    fn new(group: &str) -> Self {
        let server = ApiServer::start(&[]);
        let admin = of(&server, User::Admin);
        let (code, definitions, err) = admin.tortie(&["datastore", "crds", "--group", group], "");
        assert_eq!(code, 0, "{err}");
        server.apply_definitions(&definitions);
        let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/kubernetes/rbac.yaml");
        server.kubectl_ok(&["apply", "-f", rights.to_str().unwrap()], "");
        let user = ["--user", User::Controller.name()];
        let create = |arguments: &[&str]| server.kubectl_ok(&[&["create"], arguments, &user].concat(), "");
        create(&["clusterrolebinding", "controller", "--clusterrole", "tortie-controller"]);
        create(&["rolebinding", "controller", "-n", "tortie-system", "--role", "tortie-leases"]);
        let (code, _, err) = admin.tortie(&["datastore", "init"], "");
        assert_eq!(code, 0, "{err}");
        admin.apply(ENABLED);
        Self { server, admin }
    }

    /// A host whose user is the controller's.
    fn controller(&self) -> Host {
        of(&self.server, User::Controller)
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.server.kubectl_ok(arguments, "")
    }

    /// A node as a kubelet registers it.
    fn node(&self, name: &str, address: &str) {
        let addresses = json!([
            {"type": "InternalIP", "address": address}, {"type": "ExternalIP", "address": "192.0.2.1"},
            {"type": "Hostname", "address": name},
        ]);
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}},
            "status": {"addresses": addresses},
        });
        self.server.kubectl_ok(&["create", "-f", "-"], &node.to_string());
    }

    fn leader(&self) -> Option<String> {
        let path = "jsonpath={.items[?(@.metadata.name=='controller')].spec.holderIdentity}";
        let holder = self.kubectl(&["get", "lease", "-n", "tortie-system", "-o", path]);
        Some(holder).filter(|holder| !holder.is_empty())
    }
}

fn of(server: &ApiServer, user: User) -> Host {
    Host::new().on(&[("KUBECONFIG", server.kubeconfig(user).to_str().unwrap())])
}

const USERS: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n2-auto-hep, labels: {mine: x}}
spec: {node: n2, interfaceName: eth0}
";

/// Endpoints of nodes from their beginning to their end, in one of the groups.
fn endpoints_follow_nodes(group: &str) {
    let cluster = Cluster::new(group);
    let Cluster { admin, .. } = &cluster;
    admin.apply(USERS);
    let users = get(admin, "hostendpoint", "n2-auto-hep").unwrap();
    cluster.node("n1", "10.0.0.1");
    let own = cluster.controller();
    let controller = Running::start(&own, &[]);
    until_labels(admin, "n1-auto-hep", &json!({"zone": "a"}));
    let made = get(admin, "hostendpoint", "n1-auto-hep").unwrap();
    assert_eq!(made["spec"], spec("n1", "10.0.0.1"), "E-803, E-805");
    until_told(admin, "/hostEndpoint/autoCreate", "Enabled");
    until_told(admin, "/syncLabels", "Disabled");
    let plural = format!("kubecontrollersconfigurations.{group}");
    let status = cluster.kubectl(&["get", &plural, "default", "-o", "jsonpath={.status.runningConfig}"]);
    assert!(status.contains("autoCreate"), "{status}");

    cluster.kubectl(&["label", "node", "n1", "zone=b", "--overwrite"]);
    until_labels(admin, "n1-auto-hep", &json!({"zone": "b"}));
    cluster.node("n2", "10.0.0.2");
    until_problem(admin, "n2-auto-hep");
    assert_eq!(get(admin, "hostendpoint", "n2-auto-hep"), Some(users), "what a user made stays as it is (E-802)");

    let before = get(admin, "hostendpoint", "n1-auto-hep").unwrap();
    cluster.kubectl(&["delete", &format!("hostendpoints.{group}"), "n1-auto-hep"]);
    endpoint(admin, "n1-auto-hep", "it is made again (E-811)", |found| {
        found["metadata"]["uid"] != before["metadata"]["uid"] && found["spec"] == before["spec"]
    });
    cluster.kubectl(&["delete", "node", "n1"]);
    until_gone(admin, "n1-auto-hep");
    let refused = controller.said("may not");
    assert_eq!(refused, [""; 0], "the rights are enough");
}

fn spec(node: &str, address: &str) -> Value {
    json!({"node": node, "interfaceName": "*", "expectedIPs": [address], "profiles": ["projectcalico-default-allow"]})
}

#[test]
fn endpoints_follow_nodes_with_the_rights_of_the_package_in_the_native_group() {
    endpoints_follow_nodes("projectcalico.org");
}

#[test]
fn endpoints_follow_nodes_with_the_rights_of_the_package_in_the_classic_group() {
    endpoints_follow_nodes("crd.projectcalico.org");
}

#[test]
fn another_controller_goes_on_when_one_is_killed() {
    let cluster = Cluster::new("projectcalico.org");
    let (first, second) = (cluster.controller(), cluster.controller());
    let killed = Running::start(&first, &[]);
    let dead = until("the first one has the lease", || cluster.leader());
    let _second = Running::start(&second, &[]);
    cluster.node("n1", "10.0.0.1");
    until_labels(&cluster.admin, "n1-auto-hep", &json!({"zone": "a"}));
    assert_eq!(cluster.leader().as_ref(), Some(&dead), "who has the lease keeps it");
    // Killed, it gives nothing back.
    drop(killed);
    cluster.node("n2", "10.0.0.2");
    until_labels(&cluster.admin, "n2-auto-hep", &json!({"zone": "a"}));
    assert!(cluster.leader().is_some_and(|holder| holder != dead));
}

#[test]
fn a_locked_store_is_left_alone_and_followed_again_at_once() {
    for group in ["projectcalico.org", "crd.projectcalico.org"] {
        let cluster = Cluster::new(group);
        obeys_the_lock(&cluster.admin, &cluster.controller(), |name| cluster.node(name, "10.0.0.1"));
    }
}
