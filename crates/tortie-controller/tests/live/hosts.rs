//! Nodes of hosts whose agents report (E-815).

use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_controller::Config;
use tortie_controller::registration::REGISTERED;
use tortie_datastore::Store;
use tortie_datastore::resources::Mode;

use crate::rig::{Rig, Running};

const LONG: Duration = Duration::from_secs(600);

fn report(rig: &Rig, node: &str, time: &str, address: &str, ttl: Duration) {
    let interfaces = json!([{"name": "eth0", "addresses": [address]}]);
    let report = json!({
        "node": node, "version": "1", "revision": 1, "time": time, "problems": [], "interfaces": interfaces,
    });
    rig.store.report(node, report.to_string().as_bytes(), ttl).expect("a test may report");
}

fn standalone(rig: &Rig) -> Running {
    Running::start(Config { is_standalone: true, ..rig.config(rig.handle()) })
}

fn expected_ips(rig: &Rig, name: &str) -> Option<Value> {
    Some(rig.endpoint(name)?["spec"]["expectedIPs"].clone())
}

#[test]
fn a_host_that_reports_gets_a_node_and_an_endpoint_that_follows_it_e815() {
    let rig = Rig::enabled();
    report(&rig, "web1", "t1", "10.0.0.1", LONG);
    let _running = standalone(&rig);
    rig.until_endpoints(&["web1-auto-hep"]);
    assert_eq!(expected_ips(&rig, "web1-auto-hep"), Some(json!(["10.0.0.1"])));

    report(&rig, "web1", "t2", "10.0.0.2", LONG);
    rig.until("the new address is there", |rig| {
        expected_ips(rig, "web1-auto-hep").filter(|found| *found == json!(["10.0.0.2"]))
    });
    let mut node = rig.get(Kind::Node, "web1").unwrap();
    node["metadata"]["labels"] = json!({"role": "web"});
    rig.write(Mode::Replace, Kind::Node, "web1", Value::Object(node));
    rig.until("the label that a person gave is there", |rig| {
        rig.endpoint("web1-auto-hep").filter(|found| found["metadata"]["labels"]["role"] == "web")
    });
    report(&rig, "web1", "t3", "10.0.0.3", LONG);
    rig.until("the next address is there", |rig| {
        expected_ips(rig, "web1-auto-hep").filter(|found| *found == json!(["10.0.0.3"]))
    });
    assert_eq!(rig.get(Kind::Node, "web1").unwrap()["metadata"]["labels"]["role"], "web", "labels stay");
}

#[test]
fn a_host_that_is_down_keeps_its_endpoint_e815() {
    let rig = Rig::enabled();
    report(&rig, "web1", "t1", "10.0.0.1", Duration::from_secs(1));
    let _running = standalone(&rig);
    rig.until_endpoints(&["web1-auto-hep"]);
    let key = format!("{}web1", tortie_datastore::store::REPORT_PREFIX);
    let watch = tortie_datastore::kv::watch_receiver(&*rig.store, &[&key], tortie_datastore::Revision(1)).unwrap();
    while tortie_datastore::Kv::get(&*rig.store, &key).unwrap().is_some() {
        watch.next(LONG);
    }
    rig.barrier();
    assert_eq!(rig.endpoints(), ["web1-auto-hep"], "the report has run out, and nothing else");
}

#[test]
fn a_deleted_node_comes_again_only_with_a_newer_report_e815() {
    let rig = Rig::enabled();
    report(&rig, "web1", "t1", "10.0.0.1", LONG);
    let _running = standalone(&rig);
    rig.until_endpoints(&["web1-auto-hep"]);
    rig.delete(Kind::Node, "web1");
    rig.until_endpoints(&[]);
    rig.barrier();
    assert!(rig.get(Kind::Node, "web1").is_none(), "the last report of an agent that has ended is no new host");
    report(&rig, "web1", "t2", "10.0.0.1", LONG);
    rig.until_endpoints(&["web1-auto-hep"]);
}

#[test]
fn nodes_of_others_and_reports_of_nobody_are_left_alone_e815() {
    let rig = Rig::enabled();
    rig.node("calico", json!({}), "10.0.0.9");
    report(&rig, "calico", "t1", "10.0.0.1", LONG);
    report(&rig, "Bad_Name", "t1", "10.0.0.2", LONG);
    rig.store.report("garbage", b"{", LONG).unwrap();
    report(&rig, "web1", "t1", "10.0.0.3", LONG);
    let error = rig.once(true).unwrap_err().to_string();
    assert!(error.contains("host `Bad_Name` gets no node") && error.contains("host `garbage`"), "{error}");
    assert_eq!(rig.endpoints(), ["calico-auto-hep", "web1-auto-hep"]);
    assert_eq!(expected_ips(&rig, "calico-auto-hep"), Some(json!(["10.0.0.9"])));
    assert_eq!(rig.get(Kind::Node, "web1").unwrap()["metadata"]["annotations"][REGISTERED], "agent");
}

#[test]
fn without_standalone_reports_make_no_nodes_e815() {
    let rig = Rig::enabled();
    report(&rig, "web1", "t1", "10.0.0.1", LONG);
    rig.once(false).unwrap();
    assert_eq!(rig.endpoints(), [""; 0]);
}
