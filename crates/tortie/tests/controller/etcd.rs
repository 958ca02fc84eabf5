//! etcd, with rights and without (datastore.md section 2.9).

use serde_json::json;
use tortie_testkit::etcd::{Etcd, Options, PASSWORD, Version};

use crate::ENABLED;
use crate::rig::{Running, endpoint, get, obeys_the_lock, until_gone, until_labels, until_problem, until_told};
use crate::support::{Host, until};

const USERS: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: n2-auto-hep, labels: {mine: x}}
spec: {node: n2, interfaceName: eth0}
";

fn node(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: {name}, labels: {labels}}}\nspec: {{bgp: {{ipv4Address: 10.0.0.1/24}}}}\n"
    )
}

fn delete(host: &Host, kind: &str, name: &str) {
    let (code, _, err) = host.tortie(&["delete", kind, name], "");
    assert_eq!(code, 0, "{err}");
}

#[test]
fn the_role_of_existing_installations_is_enough_but_for_the_election() {
    let mut etcd = Etcd::start(Options { has_users: true, ..Options::plain(Version::Debian) });
    let as_user = |user: &str| {
        let reach = [("ETCD_ENDPOINTS", &*etcd.address()), ("ETCD_USERNAME", user), ("ETCD_PASSWORD", PASSWORD)];
        Host::new().on(&reach)
    };
    let (root, own) = (as_user("root"), as_user("controller"));
    root.apply(ENABLED);
    root.apply(USERS);
    root.apply(&node("n1", "{role: web}"));
    let users = get(&root, "hostendpoint", "n2-auto-hep").unwrap();
    let controller = Running::start(&own, &[]);
    until_labels(&root, "n1-auto-hep", &json!({"role": "web"}));
    until_told(&root, "/hostEndpoint/autoCreate", "Enabled");
    until_told(&root, "/syncLabels", "Disabled");

    root.apply(&node("n1", "{role: db}"));
    until_labels(&root, "n1-auto-hep", &json!({"role": "db"}));
    root.apply(&node("n2", "{}"));
    until_problem(&root, "n2-auto-hep");
    assert_eq!(get(&root, "hostendpoint", "n2-auto-hep"), Some(users), "what a user made stays as it is (E-802)");

    let before = get(&root, "hostendpoint", "n1-auto-hep").unwrap();
    delete(&root, "hostendpoint", "n1-auto-hep");
    endpoint(&root, "n1-auto-hep", "it is made again (E-811)", |found| {
        found["metadata"]["uid"] != before["metadata"]["uid"] && found["spec"] == before["spec"]
    });

    etcd.restart();
    root.apply(&node("n3", "{}"));
    until_labels(&root, "n3-auto-hep", &json!({}));
    delete(&root, "node", "n1");
    until_gone(&root, "n1-auto-hep");
    let said = controller.said("run one only");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("no lease `controller`"), "{said:?}");
}

#[test]
fn another_controller_goes_on_when_one_is_killed() {
    let etcd = Etcd::start(Options::plain(Version::Recent));
    let reach = || Host::new().on(&[("ETCD_ENDPOINTS", &etcd.address())]);
    let (user, first, second) = (reach(), reach(), reach());
    user.apply(ENABLED);
    let leader = || {
        let text = etcd.control(&["get", "--print-value-only", "/tortie/v1/leases/controller"]);
        Some(text.trim().to_owned()).filter(|holder| !holder.is_empty())
    };
    let killed = Running::start(&first, &[]);
    let dead = until("the first one has the lease", leader);
    let _second = Running::start(&second, &[]);
    user.apply(&node("n1", "{}"));
    until_labels(&user, "n1-auto-hep", &json!({}));
    assert_eq!(leader().as_ref(), Some(&dead), "who has the lease keeps it");
    // Killed, it gives nothing back.
    drop(killed);
    user.apply(&node("n2", "{}"));
    until_labels(&user, "n2-auto-hep", &json!({}));
    assert!(leader().is_some_and(|holder| holder != dead));
}

#[test]
fn a_locked_store_is_left_alone_and_followed_again_at_once() {
    let etcd = Etcd::start(Options::plain(Version::Recent));
    let reach = || Host::new().on(&[("ETCD_ENDPOINTS", &etcd.address())]);
    let (user, own) = (reach(), reach());
    user.apply(ENABLED);
    obeys_the_lock(&user, &own, |name| user.apply(&node(name, "{}")));
}
