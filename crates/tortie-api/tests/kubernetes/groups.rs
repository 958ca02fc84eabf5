//! Both groups, installed over definitions that take anything.

use std::sync::OnceLock;

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_api::crd::{Group, definitions, is_defined};
use tortie_api::defaults::FIXED_TIERS;
use tortie_testkit::apiserver::{ApiServer, until};

use crate::behaviour::get;
use crate::{list, list_of, object};

/// The object in the form of a group.
pub(crate) fn of_group(group: Group, mut object: Value) -> Value {
    object["apiVersion"] = json!(format!("{}/{}", group.name(), group.version()));
    object
}

const TIERS: &str = "tiers.projectcalico.org";

fn odd_policy() -> Value {
    json!({"types": ["ingress"], "selector": "role =", "ingress": [{"action": "allow", "odd": 1}]})
}

/// A server with both groups, first by definitions that take anything and hold objects, then by Tortie's.
pub(crate) fn both() -> &'static ApiServer {
    static READY: OnceLock<ApiServer> = OnceLock::new();
    READY.get_or_init(|| {
        let server = ApiServer::start(&[]);
        for (group, lax) in [(Group::Native, "native"), (Group::Classic, "classic")] {
            server.apply_lax_definitions(lax);
            // Neither would be taken under the strict definitions.
            let policy = of_group(group, object("GlobalNetworkPolicy", "old", odd_policy())).to_string();
            let endpoint = of_group(group, object("HostEndpoint", "old", json!({"interfaceName": "eth+"}))).to_string();
            server.kubectl_ok(&["create", "-f", "-"], &policy);
            server.kubectl_ok(&["create", "-f", "-"], &endpoint);

            server.apply_definitions(&list(group));
            // The last one: a server takes them in the order of their arrival.
            let other = of_group(group, object("ClusterInformation", "other", json!({}))).to_string();
            until("the strict definitions are in force", || {
                !server.kubectl(&["create", "--dry-run=server", "-f", "-"], &other).status.success()
            });
        }
        server
    })
}

#[test]
fn definitions_over_laxer_ones_keep_what_is_stored() {
    let server = both();
    for group in Group::ALL {
        let policies = format!("globalnetworkpolicies.{}", group.name());
        let endpoints = format!("hostendpoints.{}", group.name());
        let kept = get(server, &policies, "old")["spec"].clone();
        assert_eq!(kept["types"], odd_policy()["types"]);
        assert_eq!(kept["selector"], odd_policy()["selector"]);
        assert_eq!(kept["ingress"], json!([{"action": "allow"}]), "unknown members are no longer served");
        assert_eq!(get(server, &endpoints, "old")["spec"], json!({"interfaceName": "eth+"}));

        // What stays as it was is not asked for again, what changes is.
        server.kubectl_ok(&["label", &endpoints, "old", "a=b"], "");
        let worse = server.kubectl(&["patch", &endpoints, "old", "--type=merge", "-p", r#"{"spec":{"node":"A"}}"#], "");
        assert!(!worse.status.success(), "a bad node is refused on an old object too");
        let patch = r#"{"spec":{"node":"n","interfaceName":"eth0"}}"#;
        server.kubectl_ok(&["patch", &endpoints, "old", "--type=merge", "-p", patch], "");
    }
}

#[test]
fn each_kind_is_served_under_its_names() {
    let server = both();
    for group in Group::ALL {
        let printed = server.kubectl_ok(&["api-resources", "--api-group", group.name(), "--no-headers"], "");
        for kind in Kind::all().filter(|kind| is_defined(*kind)) {
            let plural = kind.plural();
            let row: Vec<&str> = printed
                .lines()
                .map(|line| line.split_whitespace().collect())
                .find(|row: &Vec<&str>| row[0] == plural)
                .unwrap();
            let short = kind.short_names().join(",");
            let expected =
                if short.is_empty() || group == Group::Classic { vec![plural] } else { vec![plural, &short] };
            let api = format!("{}/{}", group.name(), group.version());
            let scope = kind.is_namespaced().to_string();
            assert_eq!(row, [expected, vec![&api, &scope, kind.name()]].concat());
        }
    }
}

#[test]
fn a_definition_is_printed_the_same_each_time_and_carries_its_own_name() {
    for group in Group::ALL {
        let all = definitions(group);
        assert_eq!(all, definitions(group));
        for definition in &all {
            assert_eq!(definition.object["kind"], definition.kind);
            assert_eq!(definition.object["metadata"]["name"], definition.name);
        }
        let crds = all.iter().filter(|definition| definition.kind == "CustomResourceDefinition").count();
        assert_eq!(crds, 12);
        assert_eq!(all.len() - crds, if group == Group::Native { 8 } else { 0 }, "admission policies");
    }
}

#[test]
fn status_is_written_apart_from_spec() {
    let server = both();
    let conditions = json!([{"type": "Ready", "status": "True", "reason": "Fine"}]);
    let mut tier = object("Tier", "with-status", json!({"order": 5}));
    tier["status"] = json!({"conditions": conditions});
    server.kubectl_ok(&["create", "-f", "-"], &tier.to_string());
    assert_eq!(get(server, TIERS, "with-status")["status"], Value::Null, "a create takes no status");

    let patch = json!({"spec": {"order": 6}, "status": {"conditions": conditions}}).to_string();
    server.kubectl_ok(&["patch", TIERS, "with-status", "--subresource=status", "--type=merge", "-p", &patch], "");
    let stored = get(server, TIERS, "with-status");
    assert_eq!(stored["status"]["conditions"], conditions);
    assert_eq!(stored["spec"]["order"], json!(5), "a status update takes no spec");
    let printed = server.kubectl_ok(&["get", TIERS, "with-status"], "");
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows, [vec!["NAME", "ORDER", "DEFAULTACTION", "STATUS"], vec!["with-status", "5", "Deny", "Fine"]]);

    let controllers = object("KubeControllersConfiguration", "default", json!({}));
    server.kubectl_ok(&["create", "-f", "-"], &controllers.to_string());
    let status = json!({"runningConfig": {"controllers": {"node": {}}}, "environmentVars": {"A": "b"}});
    let patch = json!({"status": status}).to_string();
    server.kubectl_ok(&["patch", "kcc", "default", "--subresource=status", "--type=merge", "-p", &patch], "");
    assert_eq!(get(server, "kcc", "default")["status"], status);
}

#[test]
fn fixed_tiers_cannot_be_deleted() {
    let server = both();
    let tiers: Vec<Value> = FIXED_TIERS
        .iter()
        .map(|(name, order, action)| object("Tier", name, json!({"order": order, "defaultAction": action})))
        .collect();
    server.kubectl_ok(&["create", "-f", "-"], &list_of(&tiers));
    until("fixed tiers are kept", || {
        !server.kubectl(&["delete", TIERS, "default", "--dry-run=server"], "").status.success()
    });
    for (name, ..) in FIXED_TIERS {
        let refused = server.kubectl(&["delete", TIERS, name], "");
        let message = String::from_utf8(refused.stderr).unwrap();
        let expected = format!("tier {name} is always there and cannot be deleted");
        assert!(!refused.status.success() && message.contains(&expected), "{message}");
    }
}

#[test]
fn a_tier_is_deleted_after_the_global_policies_that_name_it() {
    let server = both();
    server.kubectl_ok(&["create", "-f", "-"], &object("Tier", "used", json!({})).to_string());
    let is_refused = |reason: &str| {
        let output = server.kubectl(&["delete", TIERS, "used", "--dry-run=server"], "");
        String::from_utf8(output.stderr).unwrap().contains(reason)
    };
    for (kind, resource) in
        [("GlobalNetworkPolicy", "globalnetworkpolicies"), ("StagedGlobalNetworkPolicy", "stagedglobalnetworkpolicies")]
    {
        let policy = object(kind, "in-the-tier", json!({"tier": "used"})).to_string();
        until("a policy is taken", || server.kubectl(&["create", "-f", "-"], &policy).status.success());
        until("the tier is kept", || is_refused(&format!("tier used still has {kind} in-the-tier")));
        server.kubectl_ok(&["delete", &format!("{resource}.projectcalico.org"), "in-the-tier"], "");
        until("the tier is free", || !is_refused("tier used still has"));
    }
    until("the tier is deleted", || server.kubectl(&["delete", TIERS, "used"], "").status.success());
}
