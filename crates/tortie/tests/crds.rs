//! `tortie datastore crds`, as a newcomer uses it: what it prints is applied by kubectl, and then kubectl does the rest
//! (datastore.md section 3.7, cli.md section 1.5, "What kubectl prints").
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tortie_testkit::apiserver::{ApiServer, User, until};

fn tortie(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tortie")).args(["datastore", "crds"]).args(arguments).output().unwrap()
}

fn printed(arguments: &[&str]) -> String {
    let output = tortie(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A server with what `tortie datastore crds` prints.
fn server() -> &'static ApiServer {
    static READY: OnceLock<&'static ApiServer> = OnceLock::new();
    READY.get_or_init(|| {
        let server = ApiServer::shared();
        server.apply_definitions(&printed(&[]));
        let policy = json!({
            "apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkPolicy", "metadata": {"name": "probe"}, "spec": {},
        });
        until("policies are taken", || {
            server.kubectl(&["create", "--dry-run=server", "-f", "-"], &policy.to_string()).status.success()
        });
        server
    })
}

/// What kubectl prints, in words.
fn table(printed: &str) -> Vec<Vec<&str>> {
    printed.lines().map(|line| line.split_whitespace().collect()).collect()
}

#[test]
fn the_sample_every_newcomer_tries_first_works_with_kubectl() {
    let server = server();
    let page = include_str!("../../../docs/spec/host-endpoint.md");
    let (_, sample) = page.split_once("```yaml\n").expect("the page holds the sample");
    let (sample, _) = sample.split_once("```").expect("the sample ends");

    server.kubectl_ok(&["apply", "-f", "-"], sample);
    for word in ["hep", "heps", "hostendpoint", "hostendpoints"] {
        let printed = server.kubectl_ok(&["get", word, "some.name"], "");
        assert_eq!(table(&printed), [["NAME", "NODE", "INTERFACE"], ["some.name", "myhost", "eth0"]], "{word}");
    }
    let get = || -> Value {
        serde_json::from_str(&server.kubectl_ok(&["get", "hep", "some.name", "-o", "json"], "")).unwrap()
    };
    let expected = json!({
        "interfaceName": "eth0", "node": "myhost",
        "expectedIPs": ["192.168.0.1", "192.168.0.2"],
        "profiles": ["profile1", "profile2"],
        "ports": [
            {"name": "some-port", "port": 1234, "protocol": "TCP"},
            {"name": "another-port", "port": 5432, "protocol": "UDP"},
        ],
    });
    assert_eq!(get()["spec"], expected);
    assert_eq!(get()["metadata"]["labels"], json!({"type": "production"}));

    let edit = |editor: &str| {
        let mut command = server.kubectl_command(User::Admin);
        command.args(["edit", "hep", "some.name"]).env("KUBE_EDITOR", editor).output().unwrap()
    };
    let edited = edit("sed -i -e s/interfaceName:.eth0/interfaceName:\\ eth1/");
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    assert_eq!(get()["spec"]["interfaceName"], "eth1");

    server.kubectl_ok(&["delete", "hep", "some.name"], "");
    assert!(!server.kubectl(&["get", "hep", "some.name"], "").status.success());
}

#[test]
fn each_kind_has_its_short_names_and_columns() {
    let server = server();
    let policy: &[&str] = &["NAME", "TIER", "ORDER"];
    let aged: &[&str] = &["NAME", "AGE"];
    let kinds: &[(&str, &str, &[&str], &[&str])] = &[
        ("HostEndpoint", "shown", &["hep", "heps"], &["NAME", "NODE", "INTERFACE"]),
        ("GlobalNetworkPolicy", "shown", &["gnp", "cgnp"], &["NAME", "TIER", "ORDER", "AGE"]),
        ("NetworkPolicy", "shown", &["cnp", "caliconetworkpolicy"], policy),
        ("StagedGlobalNetworkPolicy", "shown", &["sgnp"], policy),
        ("StagedNetworkPolicy", "shown", &["scnp", "snp"], policy),
        ("StagedKubernetesNetworkPolicy", "shown", &["sknp"], aged),
        ("Tier", "shown", &["tier", "tiers"], &["NAME", "ORDER", "DEFAULTACTION", "STATUS"]),
        ("GlobalNetworkSet", "shown", &["gns"], aged),
        ("NetworkSet", "shown", &["networkset"], aged),
        ("FelixConfiguration", "shown", &["felixconfiguration"], aged),
        ("KubeControllersConfiguration", "default", &["kcc", "kccs"], aged),
        ("ClusterInformation", "default", &["clusterinfo", "clusterinfos"], &["NAME", "VERSION", "READY", "TYPES"]),
    ];
    let items: Vec<Value> = kinds
        .iter()
        .map(|(kind, name, ..)| {
            let spec = match *kind {
                "HostEndpoint" => json!({"node": "n", "interfaceName": "*"}),
                "ClusterInformation" => {
                    json!({"calicoVersion": "v1.2.3", "datastoreReady": true, "clusterType": "tortie,kdd"})
                }
                _ => json!({}),
            };
            json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})
        })
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    server.kubectl_ok(&["create", "-f", "-"], &list.to_string());
    for (kind, name, words, columns) in kinds {
        for word in *words {
            let printed = server.kubectl_ok(&["get", word, name], "");
            let table = table(&printed);
            assert_eq!(table[0], *columns, "{kind} as {word}");
            assert_eq!(table[1][0], *name, "{kind} as {word}");
        }
    }
    let printed = server.kubectl_ok(&["get", "clusterinfo", "default", "--no-headers"], "");
    assert_eq!(table(&printed), [["default", "v1.2.3", "true", "tortie,kdd"]]);
}

/// The words of `kubectl explain` are those of `tortie docs`.
#[test]
fn kubectl_explains_fields_as_tortie_does() {
    let server = server();
    // A server publishes the schemas of new definitions by and by.
    until("the definitions are explained", || {
        server.kubectl(&["explain", "globalnetworkpolicies.projectcalico.org.spec"], "").status.success()
    });
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (field, ours) in [
        ("hostendpoints.projectcalico.org.spec.interfaceName", "hep.interfaceName"),
        ("globalnetworkpolicies.projectcalico.org.spec.ingress.source.notNets", "gnp.ingress.source.notNets"),
        ("felixconfigurations.projectcalico.org.spec.bpfMapSizeRoute", "felixconfig.bpfMapSizeRoute"),
        ("tiers.projectcalico.org.status.conditions", "tier.status.conditions"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_tortie")).args(["docs", ours, "-o", "json"]).output().unwrap();
        let ours: Value = serde_json::from_slice(&output.stdout).unwrap();
        let explained = words(&server.kubectl_ok(&["explain", field], ""));
        let description = ours["description"].as_str().unwrap();
        assert!(explained.contains(&words(description)), "{field}: {explained}");
    }
}

#[test]
fn a_tier_of_which_no_policy_speaks_is_deleted() {
    let server = server();
    let tier =
        json!({"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": "unused"}, "spec": {}});
    server.kubectl_ok(&["create", "-f", "-"], &tier.to_string());
    until("the admission policies are in force", || server.kubectl(&["delete", "tier", "unused"], "").status.success());
}

#[test]
fn both_groups_are_printed_as_yaml_and_as_json() {
    let server = server();
    for group in ["projectcalico.org", "crd.projectcalico.org"] {
        let dry_run = ["apply", "--server-side", "--dry-run=server", "-o", "name", "-f", "-"];
        let yaml = server.kubectl_ok(&dry_run, &printed(&["--group", group]));
        let json = server.kubectl_ok(&dry_run, &printed(&["--group", group, "-o", "json"]));
        assert_eq!(yaml, json, "{group}");
        let definitions = yaml.lines().filter(|line| line.ends_with(&format!(".{group}"))).count();
        assert_eq!(definitions, 12, "{yaml}");
        assert_eq!(yaml.contains("mutatingadmissionpolicy"), group == "projectcalico.org", "{yaml}");
    }
    assert_eq!(printed(&[]), printed(&["--group", "projectcalico.org", "-o", "yaml"]), "these are the defaults");

    let output = tortie(&["--group", "calico"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("crd.projectcalico.org"), "the groups are named");
}
