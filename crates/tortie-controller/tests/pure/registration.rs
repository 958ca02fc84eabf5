//! Nodes of hosts whose agents report (E-815).

use serde_json::{Map, Value, json};
use tortie_api::{Kind, read_stored};
use tortie_controller::registration::{REGISTERED, Registration, register};
use tortie_datastore::report::AgentReport;

use crate::support::{World, object};

fn report(node: &str, interfaces: Value) -> AgentReport {
    let report =
        json!({"node": node, "version": "1", "revision": 7, "time": "", "problems": [], "interfaces": interfaces});
    serde_json::from_value(report).expect("a report of a test can be read")
}

fn eth0() -> Value {
    json!([{"name": "eth0", "addresses": ["10.0.0.1", "fd00::1"]}])
}

fn created(report: &AgentReport) -> Map<String, Value> {
    match register(&report.node, report, None) {
        Ok(Registration::Create(node)) => node,
        other => panic!("no new node: {other:?}"),
    }
}

#[test]
fn a_new_host_gets_a_node_and_that_node_an_endpoint_e815() {
    let node = created(&report("web1", eth0()));
    let expected = json!({
        "apiVersion": "projectcalico.org/v3",
        "kind": "Node",
        "metadata": {"name": "web1", "annotations": {REGISTERED: "agent"}},
        "spec": {"interfaces": eth0()},
        "status": {},
    });
    assert_eq!(Value::Object(node.clone()), expected);
    let mut world = World::new(json!({})).node("web1", json!({}), node["spec"].clone());
    world.settle();
    assert_eq!(world.at("web1-auto-hep", "/spec/expectedIPs"), json!(["10.0.0.1", "fd00::1"]));
}

#[test]
fn a_host_that_tells_no_interface_gets_a_node_that_can_be_read_e815() {
    let node = created(&report("web1", json!([])));
    assert!(read_stored(Kind::Node, &Value::Object(node.clone())).unwrap().warnings.is_empty());
    assert_eq!(register("web1", &report("web1", json!([])), Some(&node)), Ok(Registration::Nothing));
}

#[test]
fn other_addresses_change_the_interfaces_and_nothing_else_e815() {
    let mut node = created(&report("web1", eth0()));
    node["metadata"]["resourceVersion"] = json!("9");
    node["metadata"]["labels"] = json!({"role": "web"});
    node["spec"]["bgp"] = json!({"ipv4Address": "10.0.0.1"});
    assert_eq!(register("web1", &report("web1", eth0()), Some(&node)), Ok(Registration::Nothing));
    assert_eq!(register("web1", &report("web1", json!([])), Some(&node)), Ok(Registration::Nothing));

    let moved = json!([{"name": "eth0", "addresses": ["10.0.0.2"]}]);
    let mut expected = node.clone();
    expected["spec"]["interfaces"] = moved.clone();
    let expected = Registration::Update { value: expected, resource_version: Some("9".to_owned()) };
    assert_eq!(register("web1", &report("web1", moved), Some(&node)), Ok(expected));
}

#[test]
fn a_node_that_is_not_registered_is_never_touched_e815() {
    for annotations in [json!(null), json!({}), json!({"other": "x"}), json!("broken")] {
        let node = object(json!({"metadata": {"name": "web1", "annotations": annotations}, "spec": {}}));
        assert_eq!(register("web1", &report("web1", eth0()), Some(&node)), Ok(Registration::Nothing));
    }
    assert_eq!(register("web1", &report("web1", eth0()), Some(&Map::new())), Ok(Registration::Nothing));
}

#[test]
fn a_person_may_hand_a_node_over_e815() {
    let node = object(json!({"metadata": {"name": "web1", "annotations": {REGISTERED: ""}}, "spec": "broken"}));
    let registration = register("web1", &report("web1", eth0()), Some(&node)).unwrap();
    let Registration::Update { value, .. } = registration else { panic!("not updated: {registration:?}") };
    assert_eq!(value["spec"], json!({"interfaces": eth0()}));
}

#[test]
fn a_report_that_makes_no_node_says_why_e815() {
    let error = register("web1", &report("web2", eth0()), None).unwrap_err();
    assert_eq!(error.to_string(), "a report under the name `web1` is of `web2`: it is left out");
    let error = register("Web_1", &report("Web_1", eth0()), None).unwrap_err().to_string();
    assert!(error.starts_with("host `Web_1` gets no node") && error.ends_with("`tortie agent --node`"), "{error}");
}

#[test]
fn reports_of_older_agents_are_read_and_older_readers_read_reports() {
    let old = json!({"node": "web1", "version": "1", "revision": null, "time": "t", "problems": []});
    let read: AgentReport = serde_json::from_value(old.clone()).unwrap();
    assert_eq!(read.interfaces, []);
    assert_eq!(serde_json::to_value(&read).unwrap(), old, "nothing is added where there is nothing to tell");
}
