//! What the controller reads of nodes and of its settings (resources.md sections 8.1 and 10).

use serde_json::{Value, json};
use tortie_api::model::{InterfacePattern, KubeControllersConfiguration, Node, Resource};
use tortie_api::{Kind, Problem, read_stored};

fn node(spec: Value) -> (Node, Vec<String>) {
    let stored = read_stored(Kind::Node, &json!({"metadata": {"name": "n1"}, "spec": spec}));
    let stored = stored.expect("a node is valid whatever its addresses are");
    let Resource::Node(node) = stored.resource else { panic!("a node was read as something else") };
    (node, stored.warnings.into_iter().map(|problem| problem.path).collect())
}

fn texts(node: &Node) -> Vec<String> {
    node.expected_ips().iter().map(ToString::to_string).collect()
}

#[test]
fn addresses_of_a_node_come_in_the_order_of_e805() {
    let (node, warnings) = node(json!({
        "interfaces": [{"name": "eth1", "addresses": ["10.0.9.2", "fd00::9", "10.0.0.1"]}, {"name": "eth0"}],
        "addresses": [
            {"address": "10.0.0.1/24", "type": "CalicoNodeIP"},
            {"address": "203.0.113.7", "type": "ExternalIP"},
            {"address": "10.0.8.1", "type": "InternalIP"},
            {"address": "10.0.8.2/24", "type": "InternalIP"},
            {"address": "10.0.8.1", "type": "InternalIP"},
            {"address": "10.0.8.3"},
        ],
        "wireguard": {"interfaceIPv6Address": "fd00::7", "interfaceIPv4Address": "10.0.0.6"},
        "ipv6VXLANTunnelAddr": "fd00::5",
        "ipv4VXLANTunnelAddr": "10.0.0.4",
        "bgp": {"ipv4IPIPTunnelAddr": "10.0.0.3", "ipv6Address": "FD00::2/64", "ipv4Address": "10.0.0.1/24"},
    }));
    let expected =
        ["10.0.0.1", "fd00::2", "10.0.0.3", "10.0.0.4", "fd00::5", "10.0.0.6", "fd00::7", "10.0.8.1", "10.0.8.2"];
    assert_eq!(texts(&node), [&expected[..], &["10.0.9.2", "fd00::9"]].concat());
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn what_is_no_address_is_left_out_and_the_node_stays_valid_e805() {
    let (node, warnings) = node(json!({
        "bgp": {"ipv4Address": "fd00::1", "ipv6Address": "", "ipv4IPIPTunnelAddr": 7},
        "ipv4VXLANTunnelAddr": "10.0.0.256",
        "wireguard": "on",
        "addresses": [
            {"address": "host.example", "type": "InternalIP"},
            "10.0.0.9",
            {"address": "10.0.0.9", "type": "InternalIP"},
        ],
        "interfaces": [
            {"addresses": ["10.0.1.1"]},
            {"name": "eth0", "addresses": ["10.0.1.2", "x"]},
            {"name": "eth0", "addresses": ["10.0.1.2", "10.0.1.3"]},
        ],
    }));
    assert_eq!(texts(&node), ["10.0.0.9", "10.0.1.2", "10.0.1.3"]);
    assert_eq!(node.interfaces.len(), 1, "a name that stands twice is one interface");
    let expected = [
        "spec.wireguard",
        "spec.bgp.ipv4Address",
        "spec.bgp.ipv4IPIPTunnelAddr",
        "spec.ipv4VXLANTunnelAddr",
        "spec.addresses[1]",
        "spec.addresses[0].address",
        "spec.interfaces[0]",
        "spec.interfaces[1].addresses[1]",
    ];
    assert_eq!(warnings, expected);
}

#[test]
fn the_kubernetes_node_is_the_one_that_orch_refs_name() {
    let name = |refs: Value| node(json!({"orchRefs": refs})).0.kubernetes_name;
    let nomad = json!({"orchestrator": "nomad", "nodeName": "x"});
    assert_eq!(name(json!([nomad, {"orchestrator": "k8s", "nodeName": "n-1"}])).as_deref(), Some("n-1"));
    assert_eq!(name(json!([{"orchestrator": "k8s"}])), None);
    assert_eq!(name(json!([nomad])), None);
}

fn settings(node: Value) -> Result<KubeControllersConfiguration, Vec<Problem>> {
    let object = json!({"metadata": {"name": "default"}, "spec": {"controllers": {"node": node}}});
    let stored = read_stored(Kind::KubeControllersConfiguration, &object)?;
    let Resource::KubeControllersConfiguration(settings) = stored.resource else { panic!("settings of another kind") };
    Ok(settings)
}

#[test]
fn settings_that_say_nothing_have_the_defaults_of_e801() {
    for object in [json!({}), json!({"controllers": {}}), json!({"controllers": {"node": {"hostEndpoint": {}}}})] {
        let object = json!({"metadata": {"name": "default"}, "spec": object});
        let stored = read_stored(Kind::KubeControllersConfiguration, &object).unwrap();
        let Resource::KubeControllersConfiguration(read) = stored.resource else { panic!("settings of another kind") };
        assert!(!read.host_endpoint.is_enabled && read.host_endpoint.has_default && read.syncs_labels);
    }
    let given = settings(json!({
        "syncLabels": "Disabled",
        "hostEndpoint": {"autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled"},
    }));
    let given = given.unwrap();
    assert!(given.host_endpoint.is_enabled && !given.host_endpoint.has_default && !given.syncs_labels);
}

#[test]
fn a_word_that_means_nothing_makes_the_settings_invalid() {
    for (node, path) in [
        (json!({"hostEndpoint": {"autoCreate": "enabled"}}), "spec.controllers.node.hostEndpoint.autoCreate"),
        (json!({"hostEndpoint": {"templates": {}}}), "spec.controllers.node.hostEndpoint.templates"),
        (json!({"hostEndpoint": []}), "spec.controllers.node.hostEndpoint"),
        (json!({"syncLabels": true}), "spec.controllers.node.syncLabels"),
    ] {
        assert_eq!(settings(node).unwrap_err()[0].path, path);
    }
}

#[test]
fn what_is_wrong_in_a_template_stays_in_that_template_e814() {
    let templates = json!([
        {"generateName": "good", "interfaceCIDRs": ["10.0.0.7/8", "192.0.2.1"], "labels": {"a": "b"}},
        {"generateName": "selector", "interfacePattern": "eth", "nodeSelector": "has("},
        {"generateName": "regex", "interfacePattern": "eth("},
        {"generateName": "large", "interfacePattern": "((a{1000}){1000}){1000}"},
        {"generateName": "cidr", "interfaceCIDRs": ["10.0.0.0/8", "10.0.0.0/33"]},
        {"generateName": "nothing"},
        {"interfacePattern": "eth"},
        {"generateName": "good", "interfacePattern": "eth"},
        {"generateName": "labels", "interfacePattern": "eth", "labels": {"a b": "c"}},
        {"generateName": "annotations", "interfacePattern": "eth", "annotations": {"": "c"}},
        7,
        {"generateName": "types", "interfacePattern": 7},
        {"generateName": "last", "interfacePattern": "eth", "annotations": {"A/b": "any thing"}},
    ]);
    let read = settings(json!({"hostEndpoint": {"autoCreate": "Enabled", "templates": templates}})).unwrap();
    let bad: Vec<Option<String>> = read
        .host_endpoint
        .templates
        .iter()
        .map(|template| {
            let place = |problems: &Vec<Problem>| problems[0].path.rsplit_once("templates").unwrap().1.to_owned();
            template.rule.as_ref().err().map(place)
        })
        .collect();
    let expected = [
        None,
        Some("[1].nodeSelector"),
        Some("[2].interfacePattern"),
        Some("[3].interfacePattern"),
        Some("[4].interfaceCIDRs[1]"),
        Some("[5]"),
        Some("[6].generateName"),
        Some("[7].generateName"),
        Some("[8].labels"),
        Some("[9].annotations"),
        Some("[10]"),
        Some("[11].interfacePattern"),
        None,
    ];
    assert_eq!(bad, expected.map(|place| place.map(str::to_owned)));
    let good = read.host_endpoint.templates[0].rule.as_ref().unwrap();
    assert_eq!(good.cidrs, ["10.0.0.0/8".parse().unwrap(), "192.0.2.1/32".parse().unwrap()]);
    assert!(good.node_selector.is_all() && good.pattern.is_none());
}

#[test]
fn patterns_are_those_of_go_but_for_rare_forms_e808() {
    for (pattern, name, is_match) in [
        ("eth", "veth1", true),
        ("^eth", "veth1", false),
        (r"^(?:eth|en)\d+$", "en12", true),
        ("(?i)ETH[[:digit:]]", "eth0", true),
        ("(?P<kind>bond)0", "bond0", true),
        (r"\x65th", "eth0", true),
    ] {
        assert_eq!(InterfacePattern::parse(pattern).unwrap().is_match(name), is_match, "{pattern} {name}");
    }
    for refused in [r"\Qeth0.1\E", r"\145th", r"(e)\1", "(?=e)", "*", "a{1001}{1001}"] {
        assert!(InterfacePattern::parse(refused).is_err(), "{refused}");
    }
}
