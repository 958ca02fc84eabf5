//! How objects live under the definitions: merging, pruning, field selectors.

use serde_json::{Value, json};
use tortie_testkit::apiserver::ApiServer;

use crate::{native, object};

pub(crate) fn get(server: &ApiServer, resource: &str, name: &str) -> Value {
    serde_json::from_str(&server.kubectl_ok(&["get", resource, name, "-o", "json"], "")).unwrap()
}

/// A server-side apply by one of several managers.
fn apply(server: &ApiServer, manager: &str, object: &Value) {
    let manager = format!("--field-manager={manager}");
    server.kubectl_ok(&["apply", "--server-side", "--force-conflicts", &manager, "-f", "-"], &object.to_string());
}

#[test]
fn a_second_manager_adds_to_a_set_and_replaces_a_list() {
    let server = native();
    let endpoint = |address: &str, port: &str| {
        let ports = json!([{"name": port, "protocol": "TCP", "port": 1}]);
        object("HostEndpoint", "merged", json!({"node": "n", "expectedIPs": [address], "ports": ports}))
    };
    apply(server, "first", &endpoint("192.168.0.1", "one"));
    apply(server, "second", &endpoint("192.168.0.9", "two"));
    let merged = get(server, "hep", "merged");
    assert_eq!(merged["spec"]["expectedIPs"], json!(["192.168.0.1", "192.168.0.9"]));
    assert_eq!(merged["spec"]["ports"], json!([{"name": "two", "protocol": "TCP", "port": 1}]));

    let policy = |types: Value, action: &str| {
        object("GlobalNetworkPolicy", "merged", json!({"types": types, "ingress": [{"action": action}]}))
    };
    apply(server, "first", &policy(json!(["Ingress"]), "Allow"));
    apply(server, "second", &policy(json!(["Egress"]), "Deny"));
    let merged = get(server, "gnp", "merged");
    assert_eq!(merged["spec"]["types"], json!(["Ingress", "Egress"]));
    assert_eq!(merged["spec"]["ingress"], json!([{"action": "Deny"}]));
}

#[test]
fn unknown_members_are_pruned_unless_the_client_asks_for_a_refusal() {
    let server = native();
    let mut endpoint = object("HostEndpoint", "pruned", json!({"node": "n", "interfaceName": "e", "mtu": 1}));
    endpoint["spec"]["ports"] = json!([{"name": "a", "protocol": "TCP", "port": 1, "host": 2}]);
    let text = endpoint.to_string();
    let refused = server.kubectl(&["create", "-f", "-"], &text);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && message.contains("spec.mtu"), "{message}");

    server.kubectl_ok(&["create", "--validate=ignore", "-f", "-"], &text);
    let stored = get(server, "hep", "pruned");
    let ports = json!([{"name": "a", "protocol": "TCP", "port": 1}]);
    assert_eq!(stored["spec"], json!({"node": "n", "interfaceName": "e", "ports": ports}));
}

#[test]
fn policies_are_found_by_their_tier() {
    let server = native();
    for (kind, resource) in [
        ("GlobalNetworkPolicy", "globalnetworkpolicies"),
        ("NetworkPolicy", "networkpolicies.projectcalico.org"),
        ("StagedGlobalNetworkPolicy", "sgnp"),
        ("StagedNetworkPolicy", "snp"),
    ] {
        for (name, tier) in [("found-by-tier", "searched"), ("not-found-by-tier", "another")] {
            let policy = object(kind, name, json!({"tier": tier})).to_string();
            server.kubectl_ok(&["create", "-f", "-"], &policy);
        }
        let found = server.kubectl_ok(&["get", resource, "--field-selector", "spec.tier=searched", "-o", "name"], "");
        let names: Vec<&str> = found.lines().filter_map(|line| line.rsplit('/').next()).collect();
        assert_eq!(names, ["found-by-tier"], "{kind}");
    }
}
