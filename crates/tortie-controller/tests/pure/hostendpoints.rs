//! Every rule of enforcement.md section 8, one case each.

use serde_json::{Value, json};
use tortie_controller::hostendpoints::{Action, Environment, Names, NodeState, Planner, Settings, endpoint_name};

use crate::support::{World, configuration, mark, node, object, settings};

fn address(text: &str) -> Value {
    json!({"bgp": {"ipv4Address": text}})
}

/// A node with an address and two interfaces.
fn with_interfaces() -> Value {
    json!({
        "bgp": {"ipv4Address": "10.0.0.1/24"},
        "interfaces": [
            {"name": "eth0", "addresses": ["10.0.0.1", "fd00::1"]},
            {"name": "eth1", "addresses": ["192.0.2.1"]},
            {"name": "wg0", "addresses": []},
        ],
    })
}

#[test]
fn nothing_is_made_unless_auto_create_is_enabled_e801() {
    let made = |host_endpoint: Value| {
        let mut world = World::new(host_endpoint).node("n1", json!({}), address("10.0.0.1"));
        world.settle();
        world.names().len()
    };
    assert_eq!(made(json!({"autoCreate": "Disabled"})), 0);
    assert_eq!(made(json!({"autoCreate": "Enabled"})), 1);
    assert_eq!(made(json!({"createDefaultHostEndpoint": "Disabled"})), 0);
    let mut world = World::new(json!({})).node("n1", json!({}), json!({}));
    world.settings = Settings::new(None, &Environment::default(), Names::Free);
    assert_eq!(world.settle().actions.len(), 0, "no object in the store is Disabled");
}

#[test]
fn the_environment_wins_over_the_store_e801() {
    let template = json!({"generateName": "t", "interfaceCIDRs": ["0.0.0.0/0"]});
    let environment = |value: &str| Environment::read([("AUTO_HOST_ENDPOINTS".to_owned(), value.to_owned())]);
    let made = |auto_create: &str, value: &str| {
        let stored = json!({
            "autoCreate": auto_create, "createDefaultHostEndpoint": "Disabled", "templates": [template.clone()],
        });
        let mut world = World::new(json!({})).node("n1", json!({}), address("10.0.0.1"));
        world.settings = Settings::new(Some(&configuration(stored)), &environment(value).unwrap(), Names::Free);
        world.settle();
        world.names().join(" ")
    };
    assert_eq!(made("Disabled", "Enabled"), "n1-auto-hep", "enabled means default endpoints and no templates");
    assert_eq!(made("Enabled", "disabled"), "");
    for value in ["", "true", "Enabled "] {
        let error = environment(value).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("environment variable AUTO_HOST_ENDPOINTS: `{value}` is neither `enabled` nor `disabled`")
        );
    }
    assert_eq!(Environment::read([("OTHER".to_owned(), "x".to_owned())]), Ok(Environment::default()));
}

#[test]
fn the_default_endpoint_is_that_of_calico_e803() {
    let mut world = World::new(json!({})).node("n1", json!({"role": "web"}), address("10.0.0.1/24"));
    world.settle();
    let mut endpoint = world.endpoints["n1-auto-hep"].clone();
    endpoint["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let expected = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "HostEndpoint",
        "metadata": {
            "name": "n1-auto-hep",
            "labels": {"projectcalico.org/created-by": "calico-kube-controllers", "role": "web"},
        },
        "spec": {
            "node": "n1",
            "interfaceName": "*",
            "expectedIPs": ["10.0.0.1"],
            "profiles": ["projectcalico-default-allow"],
        },
    });
    assert_eq!(Value::Object(endpoint), expected);
    assert_eq!(world.node("n2", json!({}), json!({})).plan().actions.len(), 1, "a node without addresses has one too");
}

#[test]
fn an_endpoint_without_the_mark_is_left_alone_and_its_name_is_taken_e802() {
    let users = json!({"node": "n1", "interfaceName": "eth0"});
    for labels in [json!({}), json!({"projectcalico.org/created-by": "me"}), json!("broken")] {
        let mut world = World::new(json!({}))
            .node("n1", json!({}), address("10.0.0.1"))
            .endpoint("n1-auto-hep", labels, users.clone())
            .endpoint("other", json!({}), json!({"node": "gone", "interfaceName": "*"}));
        let before = world.endpoints.clone();
        let plan = world.settle();
        assert_eq!(world.endpoints, before);
        assert_eq!(plan.findings.taken.get("n1-auto-hep").map(String::as_str), Some("n1"));
        assert!(plan.findings.problems()[0].contains("`n1-auto-hep` without the controller's label"));

        world.endpoints.remove("n1-auto-hep");
        let plan = world.settle();
        assert!(matches!(plan.actions["n1-auto-hep"], Action::Create { .. }), "tried again once it is free");
        assert!(plan.findings.problems().is_empty());
    }
}

#[test]
fn labels_of_the_template_win_over_the_nodes_and_the_mark_over_all_e804() {
    let template = json!({
        "generateName": "t",
        "interfacePattern": "eth",
        "labels": {"role": "db", "tier": "back", "projectcalico.org/created-by": "me"},
        "annotations": {"tortie.dev/mode": "observe"},
    });
    let labels = json!({"role": "web", "tier": "back", "zone": "a"});
    let mut world = World::new(json!({"templates": [template]})).node("n1", labels.clone(), with_interfaces());
    world.nodes.insert("n2".to_owned(), node("n2", labels, with_interfaces()));
    let plan = world.settle();
    let expected =
        json!({"role": "db", "tier": "back", "zone": "a", "projectcalico.org/created-by": "calico-kube-controllers"});
    assert_eq!(world.at("n1-t-eth0-auto-hep", "/metadata/labels"), expected);
    assert_eq!(world.at("n1-t-eth0-auto-hep", "/metadata/annotations"), json!({"tortie.dev/mode": "observe"}));
    assert_eq!(world.at("n1-auto-hep", "/metadata/annotations"), Value::Null);
    assert_eq!(
        plan.findings.warnings(),
        [
            "template `t`: node `n1` and 1 more: label `projectcalico.org/created-by` is overwritten by `calico-kube-controllers`",
            "template `t`: node `n1` and 1 more: label `role` is overwritten by `db`",
        ],
        "what is the same is told once, a label that does not change is not"
    );
}

#[test]
fn templates_choose_nodes_by_label_e806() {
    let template =
        |selector: &str| json!({"generateName": "t", "interfaceCIDRs": ["0.0.0.0/0"], "nodeSelector": selector});
    let made = |selector: &str| {
        let host_endpoint = json!({"createDefaultHostEndpoint": "Disabled", "templates": [template(selector)]});
        let mut world = World::new(host_endpoint).node("n1", json!({"role": "web"}), address("10.0.0.1")).node(
            "n2",
            json!({}),
            address("10.0.0.2"),
        );
        world.settle();
        world.names().join(" ")
    };
    assert_eq!(made(""), "n1-t-auto-hep n2-t-auto-hep");
    assert_eq!(made("all()"), "n1-t-auto-hep n2-t-auto-hep");
    assert_eq!(made("role in {'web', 'db'}"), "n1-t-auto-hep");
    assert_eq!(made("!has(role)"), "n2-t-auto-hep");
}

#[test]
fn a_template_of_cidrs_makes_one_endpoint_of_the_addresses_inside_e807() {
    let made = |cidrs: Value| {
        let template = json!({"generateName": "t", "interfaceCIDRs": cidrs});
        let mut world = World::new(json!({"createDefaultHostEndpoint": "Disabled", "templates": [template]})).node(
            "n1",
            json!({}),
            with_interfaces(),
        );
        world.settle();
        assert_eq!(world.at("n1-t-auto-hep", "/spec/interfaceName"), Value::Null);
        world.at("n1-t-auto-hep", "/spec/expectedIPs")
    };
    assert_eq!(made(json!(["192.0.2.0/24", "10.0.0.0/8"])), json!(["10.0.0.1", "192.0.2.1"]), "in the node's order");
    assert_eq!(made(json!(["::/0"])), json!(["fd00::1"]));
    assert_eq!(made(json!(["192.0.2.1"])), json!(["192.0.2.1"]), "a bare address is a network of one");
    assert_eq!(made(json!(["fd00::1", "10.9.0.0/16"])), json!(["fd00::1"]));
    assert_eq!(made(json!(["172.16.0.0/12"])), Value::Null, "no address, no endpoint");
}

#[test]
fn an_endpoint_goes_when_no_address_is_inside_any_more_e807() {
    let template = json!({"generateName": "t", "interfaceCIDRs": ["10.0.0.0/8"]});
    let mut world = World::new(json!({"createDefaultHostEndpoint": "Disabled", "templates": [template]})).node(
        "n1",
        json!({}),
        address("10.0.0.1"),
    );
    world.settle();
    assert_eq!(world.names(), ["n1-t-auto-hep"]);
    world = world.node("n1", json!({}), address("192.0.2.1"));
    world.settle();
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_template_with_a_pattern_makes_one_endpoint_for_each_interface_e808() {
    let template = |pattern: &str, cidrs: Value| json!({"generateName": "t", "interfacePattern": pattern, "interfaceCIDRs": cidrs});
    let made = |template: Value| {
        let mut world = World::new(json!({"createDefaultHostEndpoint": "Disabled", "templates": [template]})).node(
            "n1",
            json!({}),
            with_interfaces(),
        );
        world.settle();
        let entry = |name: &&str| {
            let interface = world.at(name, "/spec/interfaceName");
            format!("{name} {} {}", interface.as_str().unwrap(), world.at(name, "/spec/expectedIPs"))
        };
        world.names().iter().map(entry).collect::<Vec<_>>()
    };
    assert_eq!(
        made(template("^eth", json!([]))),
        [r#"n1-t-eth0-auto-hep eth0 ["10.0.0.1","fd00::1"]"#, r#"n1-t-eth1-auto-hep eth1 ["192.0.2.1"]"#]
    );
    assert_eq!(
        made(template("1$", json!(["10.0.0.0/8", "192.0.2.0/24"]))),
        [r#"n1-t-eth1-auto-hep eth1 ["10.0.0.1","192.0.2.1"]"#],
        "the addresses inside, then its own, each once"
    );
    assert_eq!(made(template("h", json!([]))).len(), 2, "the expression matches anywhere in the name");
    assert_eq!(made(template("wg", json!([]))), ["n1-t-wg0-auto-hep wg0 null"], "without addresses too");
}

#[test]
fn endpoints_of_interfaces_do_not_share_addresses_e814() {
    let template = json!({"generateName": "t", "interfacePattern": ".", "interfaceCIDRs": ["10.0.0.0/8"]});
    let interfaces: Vec<Value> =
        (0..9).map(|n| json!({"name": format!("eth{n}"), "addresses": [format!("192.0.2.{n}")]})).collect();
    let spec = json!({"bgp": {"ipv4Address": "10.0.0.1"}, "interfaces": interfaces});
    let mut world = World::new(json!({"templates": [template]})).node("n1", json!({}), spec);
    world.settle();
    for n in 0..9 {
        let expected = json!(["10.0.0.1", format!("192.0.2.{n}")]);
        assert_eq!(world.at(&format!("n1-t-eth{n}-auto-hep"), "/spec/expectedIPs"), expected);
    }
}

#[test]
fn a_long_name_is_replaced_by_its_hash_e809() {
    // 253 bytes with the suffix, and one more.
    let node = "n".repeat(244);
    assert_eq!(endpoint_name(&node, None, None), format!("{node}-auto-hep"));
    let long = "n".repeat(245);
    let expected = "ewp5m34lkguin2xxvhr9f29ne8lioon3aplebjdzam-auto-hep";
    assert_eq!(endpoint_name(&long, None, None), expected);
    let expected = "b3tffizzoellmv7rfrljvlgpbcgzwk6slk6efvjrwg-auto-hep";
    assert_eq!(endpoint_name(&long, Some("t"), Some("eth0")), expected);
    assert_eq!(endpoint_name("n1", Some("t"), Some("eth0.1")), "n1-t-eth0.1-auto-hep");
}

#[test]
fn an_owned_endpoint_is_rewritten_when_it_is_not_as_wanted_e810() {
    let template = json!({"generateName": "t", "interfacePattern": "eth0", "annotations": {"a": "b"}});
    let mut world = World::new(json!({"createDefaultHostEndpoint": "Disabled", "templates": [template]})).node(
        "n1",
        json!({"role": "web"}),
        with_interfaces(),
    );
    world.settle();
    let name = "n1-t-eth0-auto-hep";
    let good = world.endpoints[name].clone();
    let edits: [(&str, Value); 8] = [
        ("/metadata/labels/role", json!("db")),
        ("/metadata/labels/more", json!("x")),
        ("/metadata/annotations", json!({})),
        ("/metadata/annotations/c", json!("d")),
        ("/spec/expectedIPs", json!(["fd00::1", "10.0.0.1"])),
        ("/spec/expectedIPs", json!("broken")),
        ("/spec/interfaceName", json!("eth1")),
        ("/spec/node", json!("n2")),
    ];
    for (pointer, value) in edits {
        let mut edited = Value::Object(good.clone());
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        edited.pointer_mut(parent).unwrap()[member] = value;
        world.store(name, object(edited));
        let plan = world.settle();
        assert!(matches!(plan.actions[name], Action::Update { .. }), "{pointer}");
        let (mut found, mut wanted) = (world.endpoints[name].clone(), good.clone());
        found["metadata"]["resourceVersion"].take();
        wanted["metadata"]["resourceVersion"].take();
        assert_eq!(found, wanted, "{pointer}");
    }
    for (member, value) in
        [("profiles", json!(["mine"])), ("ports", json!([{"name": "x", "protocol": "TCP", "port": 1}]))]
    {
        let mut edited = good.clone();
        edited["spec"][member] = value;
        world.store(name, edited);
        assert_eq!(world.plan().actions.len(), 0, "`{member}` alone is no reason");
    }
}

#[test]
fn what_nothing_asks_for_any_more_is_deleted_e811() {
    let template = json!({"generateName": "t", "interfacePattern": "eth"});
    let both = json!({"templates": [template]});
    let mut world = World::new(both.clone())
        .node("n1", json!({}), with_interfaces())
        .node("n2", json!({}), address("10.0.0.2"))
        .endpoint("users", json!({}), json!({"node": "n1", "interfaceName": "*"}))
        .endpoint("stray", mark(), json!({"node": "n1", "interfaceName": "x"}))
        .endpoint("of-gone", mark(), json!({"node": "gone", "interfaceName": "*"}))
        .endpoint("broken", mark(), json!("broken"));
    world.settle();
    let all = ["n1-auto-hep", "n1-t-eth0-auto-hep", "n1-t-eth1-auto-hep", "n2-auto-hep", "users"];
    assert_eq!(world.names(), all);

    world.endpoints.remove("n1-auto-hep");
    world.settle();
    assert_eq!(world.names(), all, "a deleted one that is wanted comes again");

    world.settings = settings(json!({"templates": []}));
    world.settle();
    assert_eq!(world.names(), ["n1-auto-hep", "n2-auto-hep", "users"], "the template is gone");

    world.nodes.remove("n1");
    world.settle();
    assert_eq!(world.names(), ["n2-auto-hep", "users"], "the node is gone");

    world.settings = settings(json!({"autoCreate": "Disabled", "templates": [{"generateName": "bad"}]}));
    world.settle();
    assert_eq!(world.names(), ["users"], "disabled");
}

#[test]
fn a_bad_template_stops_neither_the_others_nor_the_cleanup_e814() {
    let good = json!({"generateName": "good", "interfacePattern": "eth"});
    let mut world = World::new(json!({"templates": [good]})).node("n1", json!({}), with_interfaces()).endpoint(
        "stray",
        mark(),
        json!({"node": "n1", "interfaceName": "x"}),
    );
    for bad in [
        json!({"generateName": "bad", "interfacePattern": "eth", "nodeSelector": "has("}),
        json!({"generateName": "bad", "interfacePattern": "*"}),
        json!({"generateName": "bad", "interfaceCIDRs": ["x"]}),
    ] {
        world.settings = settings(json!({"templates": [bad, good]}));
        let plan = world.settle();
        assert_eq!(world.names(), ["n1-auto-hep", "n1-good-eth0-auto-hep", "n1-good-eth1-auto-hep"]);
        let problems = plan.findings.problems();
        assert!(problems.len() == 1 && problems[0].starts_with("template `bad`: spec.controllers"), "{problems:?}");
    }
}

#[test]
fn endpoints_of_a_template_that_became_bad_stay_until_it_is_mended_or_removed_e814() {
    let with = |name: &str, pattern: &str| json!({"createDefaultHostEndpoint": "Disabled", "templates": [{"generateName": name, "interfacePattern": pattern}]});
    let long = "t".repeat(253);
    for name in ["t", long.as_str()] {
        let mut world = World::new(with(name, "eth")).node("n1", json!({}), with_interfaces());
        world.settle();
        let before = world.endpoints.clone();
        assert_eq!(before.len(), 2);
        world.settings = settings(with(name, "eth("));
        world.settle();
        assert_eq!(world.endpoints, before, "a slip of the pen must not open a host");
        world.settings = settings(with(name, "eth1"));
        world.settle();
        assert_eq!(world.names(), [endpoint_name("n1", Some(name), Some("eth1"))], "mended");
        world.settings = settings(with(name, "eth("));
        world.nodes.remove("n1");
        world.settle();
        assert_eq!(world.names(), [""; 0], "the node is gone");
    }
}

#[test]
fn what_cannot_be_read_deletes_nothing() {
    let mut world =
        World::new(json!({})).node("n1", json!({}), address("10.0.0.1")).node("n2", json!({}), address("10.0.0.2"));
    world.settle();
    let before = world.endpoints.clone();
    world.nodes.insert("n1".to_owned(), NodeState::Unreadable("labels are no texts".to_owned()));
    let plan = world.settle();
    assert_eq!(world.endpoints, before, "an unreadable node is not a missing one");
    assert_eq!(
        plan.findings.problems(),
        ["node `n1`: the node cannot be read, its endpoints stay as they are: labels are no texts"]
    );
    world.settings = Settings::unreadable(&Environment::default(), Names::Free);
    world.nodes.remove("n2");
    world.settle();
    assert_eq!(world.endpoints, before, "unreadable settings are not missing ones");
    let disabled = Environment::read([("AUTO_HOST_ENDPOINTS".to_owned(), "disabled".to_owned())]).unwrap();
    world.settings = Settings::unreadable(&disabled, Names::Free);
    world.settle();
    assert_eq!(world.names(), [""; 0], "the environment decides without them");
}

#[test]
fn what_a_store_would_refuse_is_a_problem_and_no_endpoint_e814() {
    let spec =
        json!({"interfaces": [{"name": "eth_0"}, {"name": "a:b"}, {"name": "longer-than-15-x"}, {"name": "eth1"}]});
    let template = json!({"generateName": "t", "interfacePattern": "."});
    let host_endpoint = json!({"createDefaultHostEndpoint": "Disabled", "templates": [template]});
    let mut world = World::new(host_endpoint.clone()).node("n1", json!({}), spec);
    let plan = world.settle();
    assert_eq!(world.names(), ["n1-t-eth1-auto-hep", "n1-t-eth_0-auto-hep"]);
    assert_eq!(plan.findings.problems.len(), 2, "{:?}", plan.findings.problems());
    world.settings = Settings::new(Some(&configuration(host_endpoint)), &Environment::default(), Names::Kubernetes);
    let plan = world.settle();
    assert_eq!(world.names(), ["n1-t-eth1-auto-hep"], "D-2: Kubernetes takes fewer names");
    assert_eq!(plan.findings.problems.len(), 3, "{:?}", plan.findings.problems());
}

#[test]
fn a_name_that_two_would_have_belongs_to_one_of_them_for_good() {
    let template = json!({"generateName": "b", "interfacePattern": "."});
    let settings = json!({"templates": [template, {"generateName": "b-eth0", "interfaceCIDRs": ["::/0"]}]});
    // Both templates make `a-b-eth0-auto-hep` of node `a`, and so does the default endpoint of node `a-b-eth0`.
    let mut world = World::new(settings).node("a-b-eth0", json!({}), address("10.0.0.2"));
    world.settle();
    world = world.node("a", json!({}), with_interfaces());
    let plan = world.settle();
    assert_eq!(world.at("a-b-eth0-auto-hep", "/spec/node"), "a-b-eth0", "who has it keeps it");
    assert_eq!(
        plan.findings.problems(),
        [
            "template `b`: node `a`: host endpoint `a-b-eth0-auto-hep` belongs to node `a-b-eth0`, whose name gives the same",
            "template `b-eth0`: node `a`: another template makes `a-b-eth0-auto-hep` as well: the first one counts",
        ]
    );
    world.nodes.remove("a-b-eth0");
    world.settle();
    assert_eq!(world.at("a-b-eth0-auto-hep", "/spec/node"), "a");
    assert_eq!(world.at("a-b-eth0-auto-hep", "/spec/interfaceName"), "eth0");
}

#[test]
fn what_is_held_is_looked_at_again_when_its_node_changes() {
    let world = World::new(json!({})).endpoint("stray", mark(), json!({"node": "n1", "interfaceName": "x"}));
    for next in [Some(node("n1", json!({}), json!({}))), None] {
        let mut planner = Planner::new(world.settings.clone());
        planner.set_endpoint("stray", world.endpoints.get("stray"));
        planner.set_node("n1", Some(NodeState::Unreadable("no object".to_owned())));
        assert_eq!(planner.take_actions().len(), 0);
        planner.set_node("n1", next);
        assert!(matches!(planner.take_actions()["stray"], Action::Delete { .. }));
    }
}
