//! What holds for any world (E-801..E-814).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use tortie_controller::hostendpoints::{NodeState, Planner, is_owned};

use crate::support::{World, mark, node, settings};

/// Names that are made to collide: of nodes, templates and interfaces.
const NAMES: [&str; 5] = ["a", "b", "a-b", "a-b-e0", "e0"];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.0.2", "192.0.2.1", "fd00::1", "not-an-address", "10.0.0.1/24"];

fn any_labels() -> impl Strategy<Value = Value> {
    btree_map(select(vec!["role", "zone"]), select(vec!["x", "y"]), 0..3).prop_map(|labels| json!(labels))
}

fn any_node_spec() -> impl Strategy<Value = Value> {
    let interface = (select(NAMES.to_vec()), vec(select(ADDRESSES.to_vec()), 0..3))
        .prop_map(|(name, addresses)| json!({"name": name, "addresses": addresses}));
    (select(ADDRESSES.to_vec()), vec(interface, 0..3))
        .prop_map(|(address, interfaces)| json!({"bgp": {"ipv4Address": address}, "interfaces": interfaces}))
}

fn any_template() -> impl Strategy<Value = Value> {
    let cidrs = vec(select(vec!["10.0.0.0/8", "192.0.2.1", "::/0", "bad"]), 0..3);
    let pattern = select(vec!["", "e0", "^a", ".", "("]);
    let selector = select(vec!["", "role == 'x'", "has("]);
    (select(NAMES.to_vec()), cidrs, pattern, selector, any_labels()).prop_map(
        |(name, cidrs, pattern, selector, labels)| {
            json!({
                "generateName": name, "interfaceCIDRs": cidrs, "interfacePattern": pattern, "nodeSelector": selector,
                "labels": labels,
            })
        },
    )
}

fn any_settings() -> impl Strategy<Value = Value> {
    let switch = || select(vec!["Enabled", "Enabled", "Disabled"]);
    (switch(), switch(), vec(any_template(), 0..4)).prop_map(|(auto, default, templates)| {
        json!({"autoCreate": auto, "createDefaultHostEndpoint": default, "templates": templates})
    })
}

fn any_endpoints() -> impl Strategy<Value = BTreeMap<String, (Value, Value)>> {
    let name = (select(NAMES.to_vec()), proptest::option::of(select(NAMES.to_vec())));
    let name = name.prop_map(|(node, template)| {
        [Some(node), template, Some("auto-hep")].into_iter().flatten().collect::<Vec<_>>().join("-")
    });
    let labels = select(vec![json!({}), mark(), mark(), json!("broken")]);
    let spec = (select(NAMES.to_vec()), select(vec!["*", "e0", ""]))
        .prop_map(|(node, interface)| json!({"node": node, "interfaceName": interface, "profiles": ["mine"]}));
    btree_map(name, (labels, spec), 0..5)
}

fn any_nodes() -> impl Strategy<Value = BTreeMap<String, NodeState>> {
    let known = (any_labels(), any_node_spec()).prop_map(Some);
    let state = prop_oneof![8 => known, 1 => Just(None)];
    btree_map(select(NAMES.to_vec()), state, 0..4).prop_map(|nodes| {
        let state = |name: &str, given: Option<(Value, Value)>| match given {
            Some((labels, spec)) => node(name, labels, spec),
            None => NodeState::Unreadable("no object".to_owned()),
        };
        nodes.into_iter().map(|(name, given)| (name.to_owned(), state(name, given))).collect()
    })
}

fn any_world() -> impl Strategy<Value = World> {
    (any_settings(), any_nodes(), any_endpoints()).prop_map(|(settings, nodes, endpoints)| {
        let mut world = World::new(settings);
        world.nodes = nodes;
        endpoints.into_iter().fold(world, |world, (name, (labels, spec))| world.endpoint(&name, labels, spec))
    })
}

/// One change of a world.
#[derive(Clone, Debug)]
enum Step {
    Settings(Value),
    Node(String, Option<NodeState>),
    Endpoint(String, Option<(Value, Value)>),
    Apply,
}

fn any_step() -> impl Strategy<Value = Step> {
    let node_step = (select(NAMES.to_vec()), proptest::option::of((any_labels(), any_node_spec())))
        .prop_map(|(name, given)| Step::Node(name.to_owned(), given.map(|(labels, spec)| node(name, labels, spec))));
    let endpoint_step = (any_endpoints(), any::<bool>()).prop_filter_map("no endpoint", |(endpoints, is_gone)| {
        endpoints.into_iter().next().map(|(name, value)| Step::Endpoint(name, (!is_gone).then_some(value)))
    });
    prop_oneof![any_settings().prop_map(Step::Settings), node_step, endpoint_step, Just(Step::Apply)]
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(mut world in any_world()) {
        world.settle();
    }

    #[test]
    fn endpoints_of_users_are_never_touched_e802(world in any_world()) {
        for name in world.plan().actions.keys() {
            prop_assert!(world.endpoints.get(name).is_none_or(is_owned), "{}", name);
        }
    }

    #[test]
    fn the_order_of_arrival_does_not_count(world in any_world(), seed in any::<u64>()) {
        let mut told: Vec<(u64, &String, Option<&NodeState>)> = world
            .nodes.iter().map(|(name, node)| (name, Some(node)))
            .chain(world.endpoints.keys().map(|name| (name, None)))
            .enumerate()
            // An order of its own for each seed.
            .map(|(n, (name, node))| ((n as u64 + 1).wrapping_mul(seed | 1), name, node))
            .collect();
        told.sort_by_key(|(order, ..)| *order);
        let mut planner = Planner::new(world.settings.clone());
        for (_, name, node) in told {
            match node {
                Some(node) => planner.set_node(name, Some(node.clone())),
                None => planner.set_endpoint(name, world.endpoints.get(name)),
            }
        }
        let plan = world.plan();
        prop_assert_eq!(planner.take_actions(), plan.actions);
        prop_assert_eq!(planner.findings(), plan.findings);
    }

    #[test]
    fn piece_by_piece_ends_where_all_at_once_does(world in any_world(), steps in vec(any_step(), 1..12)) {
        let mut world = world;
        let mut planner = Planner::new(world.settings.clone());
        world.nodes.iter().for_each(|(name, node)| planner.set_node(name, Some(node.clone())));
        world.endpoints.iter().for_each(|(name, value)| planner.set_endpoint(name, Some(value)));
        for step in steps.into_iter().chain([Step::Apply]) {
            match step {
                Step::Settings(value) => {
                    world.settings = settings(value);
                    planner.set_settings(world.settings.clone());
                }
                Step::Node(name, node) => {
                    match node.clone() {
                        Some(node) => world.nodes.insert(name.clone(), node),
                        None => world.nodes.remove(&name),
                    };
                    planner.set_node(&name, node);
                }
                Step::Endpoint(name, value) => {
                    world.endpoints.remove(&name);
                    if let Some((labels, spec)) = value {
                        world = world.endpoint(&name, labels, spec);
                    }
                    planner.set_endpoint(&name, world.endpoints.get(&name));
                }
                Step::Apply => {
                    let plan = world.plan();
                    prop_assert_eq!(&planner.take_actions(), &plan.actions);
                    prop_assert_eq!(&planner.findings(), &plan.findings);
                    world.apply(&plan);
                    for name in plan.actions.keys() {
                        planner.set_endpoint(name, world.endpoints.get(name));
                    }
                }
            }
        }
        prop_assert_eq!(planner.take_actions(), BTreeMap::new());
    }

    #[test]
    fn a_bad_template_leaves_the_rest_as_it_is_e814(
        nodes in any_nodes(),
        templates in vec(any_template(), 0..4),
        place in 0..4usize,
        selector in any::<bool>(),
    ) {
        let mut bad = json!({"generateName": "only-bad", "interfacePattern": "("});
        if selector {
            bad = json!({"generateName": "only-bad", "interfacePattern": ".", "nodeSelector": "has("});
        }
        let mut with = templates.clone();
        with.insert(place.min(templates.len()), bad);
        let actions = |templates: &[Value]| {
            let mut world = World::new(json!({"templates": templates}));
            world.nodes = nodes.clone();
            world.plan().actions
        };
        prop_assert_eq!(actions(&with), actions(&templates));
    }

    #[test]
    fn each_endpoint_has_addresses_of_its_own_node_and_interface_only_e814(world in any_world()) {
        let mut world = world;
        world.endpoints.clear();
        world.settle();
        for (name, endpoint) in &world.endpoints {
            let spec = &endpoint["spec"];
            let NodeState::Known(node) = &world.nodes[spec["node"].as_str().unwrap_or_default()] else { continue };
            let known: Vec<String> = node.expected_ips().iter().map(ToString::to_string).collect();
            let mut seen = Vec::new();
            for address in spec["expectedIPs"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                prop_assert!(known.contains(&address.to_owned()), "{}: {}", name, address);
                prop_assert!(!seen.contains(&address), "{}: {} twice", name, address);
                seen.push(address);
            }
        }
    }
}

/// 5,000 nodes with ten endpoints each; then changes of one node among them.
#[test]
fn a_change_of_one_node_costs_the_same_among_5000() {
    let template = json!({"generateName": "t", "interfacePattern": "eth", "labels": {"a": "b"}});
    let host_endpoint = json!({"createDefaultHostEndpoint": "Disabled", "templates": [template]});
    let spec = |n: usize, round: usize| {
        let interfaces: Vec<Value> = (0..10)
            .map(|i| json!({"name": format!("eth{i}"), "addresses": [format!("10.{}.{}.{i}", n / 250, n % 250 + round)]}))
            .collect();
        json!({"interfaces": interfaces})
    };
    let changes_of_one = |nodes: usize| {
        let mut planner = Planner::new(settings(host_endpoint.clone()));
        for n in 0..nodes {
            let name = format!("node-{n}");
            planner.set_node(&name, Some(node(&name, json!({"role": "web"}), spec(n, 0))));
        }
        assert_eq!(planner.take_actions().len(), nodes * 10);
        let states: Vec<NodeState> = (1..=50).map(|round| node("node-7", json!({}), spec(7, round))).collect();
        let start = Instant::now();
        for state in states {
            planner.set_node("node-7", Some(state));
            assert_eq!(planner.take_actions().len(), 10, "only what changed is looked at");
        }
        start.elapsed()
    };
    let (few, many) = (changes_of_one(50), changes_of_one(5000));
    // A hundred times the nodes: linear work would take a hundred times as long.
    assert!(many < few * 20 + Duration::from_millis(20), "{few:?} among 50 nodes, {many:?} among 5000");
}
