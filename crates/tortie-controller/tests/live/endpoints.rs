//! Endpoints follow nodes, settings and what others do to them (E-802, E-810..E-814).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_controller::hostendpoints::{CREATED_BY, CREATED_BY_VALUE};
use tortie_controller::status::PROBLEMS;
use tortie_datastore::Resources;
use tortie_datastore::keys;
use tortie_datastore::kv::Kv;
use tortie_datastore::resources::Mode;

use crate::rig::{Gate, Rig, Running};

const DEFAULT: &str = "default";

fn label(rig: &Rig, name: &str, label: &str) -> Option<String> {
    rig.endpoint(name)?["metadata"]["labels"][label].as_str().map(str::to_owned)
}

#[test]
fn endpoints_follow_their_nodes_e812() {
    let rig = Rig::enabled();
    rig.node("n1", json!({"role": "web"}), "10.0.0.1/24");
    let _running = rig.start();
    rig.until_endpoints(&["n1-auto-hep"]);
    rig.node("n2", json!({}), "10.0.0.2/24");
    rig.until_endpoints(&["n1-auto-hep", "n2-auto-hep"]);
    let before = rig.endpoint("n1-auto-hep").unwrap();
    assert_eq!(before["spec"]["expectedIPs"], json!(["10.0.0.1"]));

    rig.node("n1", json!({"role": "db"}), "10.0.0.7/24");
    rig.until("the new label is there", |rig| label(rig, "n1-auto-hep", "role").filter(|role| role == "db"));
    let after = rig.endpoint("n1-auto-hep").unwrap();
    assert_eq!(after["spec"]["expectedIPs"], json!(["10.0.0.7"]));
    for member in ["uid", "creationTimestamp"] {
        assert_eq!(after["metadata"][member], before["metadata"][member], "it is the same object");
    }
    rig.delete(Kind::Node, "n1");
    rig.until_endpoints(&["n2-auto-hep"]);
}

#[test]
fn what_others_do_to_owned_endpoints_is_undone_e810_e811() {
    let rig = Rig::enabled();
    rig.node("n1", json!({"role": "web"}), "10.0.0.1");
    let _running = rig.start();
    rig.until_endpoints(&["n1-auto-hep"]);

    let mut edited = rig.endpoint("n1-auto-hep").unwrap();
    edited["metadata"]["labels"]["role"] = json!("db");
    edited["spec"]["interfaceName"] = json!("eth0");
    rig.write(Mode::Replace, Kind::HostEndpoint, "n1-auto-hep", Value::Object(edited));
    rig.until("the edit is undone", |rig| label(rig, "n1-auto-hep", "role").filter(|role| role == "web"));
    assert_eq!(rig.endpoint("n1-auto-hep").unwrap()["spec"]["interfaceName"], "*");

    let before = rig.endpoint("n1-auto-hep").unwrap()["metadata"]["uid"].clone();
    rig.delete(Kind::HostEndpoint, "n1-auto-hep");
    rig.until("it comes again", |rig| rig.endpoint("n1-auto-hep").filter(|found| found["metadata"]["uid"] != before));

    let stray = json!({
        "metadata": {"name": "stray", "labels": {CREATED_BY: CREATED_BY_VALUE}},
        "spec": {"node": "n1", "interfaceName": "eth9"},
    });
    rig.write(Mode::Create, Kind::HostEndpoint, "stray", stray);
    rig.until("what nothing asks for goes", |rig| rig.endpoint("stray").is_none().then_some(()));
}

#[test]
fn an_endpoint_without_the_mark_is_left_alone_until_it_goes_e802() {
    let rig = Rig::enabled();
    let users = json!({"metadata": {"name": "n1-auto-hep"}, "spec": {"node": "n1", "interfaceName": "eth0"}});
    rig.write(Mode::Create, Kind::HostEndpoint, "n1-auto-hep", users);
    let before = rig.endpoint("n1-auto-hep");
    rig.node("n1", json!({}), "10.0.0.1");
    let _running = rig.start();
    let problem = |rig: &Rig| {
        let settings = rig.get(Kind::KubeControllersConfiguration, DEFAULT)?;
        settings["metadata"]["annotations"][PROBLEMS].as_str().map(str::to_owned)
    };
    let told = rig.until("the problem is told", problem);
    assert!(told.contains("`n1-auto-hep` without the controller's label"), "{told}");
    rig.barrier();
    assert_eq!(rig.endpoint("n1-auto-hep"), before);

    rig.delete(Kind::HostEndpoint, "n1-auto-hep");
    rig.until("its own takes the place", |rig| label(rig, "n1-auto-hep", CREATED_BY));
    rig.until("the problem is over", |rig| problem(rig).is_none().then_some(()));

    // The mark is taken away: from here on it is a user's.
    let mut edited = rig.endpoint("n1-auto-hep").unwrap();
    edited["metadata"]["labels"] = json!({"mine": "x"});
    rig.write(Mode::Replace, Kind::HostEndpoint, "n1-auto-hep", Value::Object(edited));
    rig.until("the problem is told again", problem);
    rig.barrier();
    assert_eq!(label(&rig, "n1-auto-hep", "mine").as_deref(), Some("x"));
}

#[test]
fn settings_are_followed_and_shown_e801_e811() {
    let rig = Rig::new();
    rig.node("n1", json!({}), "10.0.0.1");
    let users = json!({"metadata": {"name": "users"}, "spec": {"node": "n1", "interfaceName": "eth0"}});
    rig.write(Mode::Create, Kind::HostEndpoint, "users", users);
    let _running = rig.start();
    let template = json!({"generateName": "t", "interfaceCIDRs": ["10.0.0.0/8"]});
    rig.settings(json!({"autoCreate": "Enabled", "templates": [template]}));
    rig.until_endpoints(&["n1-auto-hep", "n1-t-auto-hep", "users"]);
    let shown = rig.until("the status is written", |rig| {
        let settings = rig.get(Kind::KubeControllersConfiguration, DEFAULT)?;
        settings["status"].pointer("/runningConfig/controllers/node/hostEndpoint").cloned()
    });
    let expected = json!({"autoCreate": "Enabled", "createDefaultHostEndpoint": "Enabled", "templates": [template]});
    assert_eq!(shown, expected);

    rig.settings(json!({"autoCreate": "Enabled", "createDefaultHostEndpoint": "Disabled", "templates": [template]}));
    rig.until_endpoints(&["n1-t-auto-hep", "users"]);
    rig.settings(json!({"autoCreate": "Disabled"}));
    rig.until_endpoints(&["users"]);
    rig.settings(json!({"autoCreate": "Enabled"}));
    rig.until_endpoints(&["n1-auto-hep", "users"]);
    rig.delete(Kind::KubeControllersConfiguration, DEFAULT);
    rig.until_endpoints(&["users"]);
}

#[test]
fn settings_that_cannot_be_read_change_nothing_d11() {
    let rig = Rig::enabled();
    rig.node("n1", json!({}), "10.0.0.1");
    let running = rig.start();
    rig.until_endpoints(&["n1-auto-hep"]);
    rig.settings(json!({"autoCreate": "off"}));
    let is_told = |rig: &Rig| {
        let settings = rig.get(Kind::KubeControllersConfiguration, DEFAULT)?;
        settings["metadata"]["annotations"][PROBLEMS]
            .as_str()
            .filter(|text| text.contains("`off` is neither"))
            .map(drop)
    };
    rig.until("the problem is told", is_told);
    // The last valid settings are in force.
    rig.barrier();
    rig.until_endpoints(&["n1-auto-hep"]);
    // One that is started now never knew valid ones: it leaves everything as it is.
    drop(running);
    let _next = rig.start();
    rig.until("another has the lease", |rig| rig.leader());
    rig.node("n2", json!({}), "10.0.0.2");
    rig.settings(json!({"autoCreate": "Enabled"}));
    rig.until_endpoints(&["n1-auto-hep", "n2-auto-hep"]);
}

#[test]
fn one_bad_object_stops_no_other_e814() {
    let rig = Rig::enabled();
    let at = |kind: Kind, name: &str| keys::key(&ResourceKey::global(kind, name));
    Kv::put(&*rig.store, &at(Kind::HostEndpoint, "n1-auto-hep"), b"garbage", None).unwrap();
    Kv::put(&*rig.store, &at(Kind::Node, "n0"), b"[]", None).unwrap();
    rig.node("n1", json!({}), "10.0.0.1");
    rig.node("n2", json!({}), "10.0.0.2");
    let bad = json!({"generateName": "bad", "interfacePattern": "("});
    rig.settings(json!({"autoCreate": "Enabled", "templates": [bad]}));
    let _running = rig.start();
    rig.until("the good one has its endpoint", |rig| rig.endpoint("n2-auto-hep"));
    let problems = rig.until("the problems are told", |rig| {
        let settings = rig.get(Kind::KubeControllersConfiguration, DEFAULT)?;
        let problems = settings["metadata"]["annotations"][PROBLEMS].as_str()?;
        serde_json::from_str::<Vec<String>>(problems).ok().filter(|problems| problems.len() == 3)
    });
    for (problem, words) in problems.iter().zip(["node `n0`", "template `bad`", "`n1-auto-hep` without"]) {
        assert!(problem.contains(words), "{problem}");
    }
    Kv::delete(&*rig.store, &at(Kind::HostEndpoint, "n1-auto-hep")).unwrap();
    rig.until_endpoints(&["n1-auto-hep", "n2-auto-hep"]);
}

#[test]
fn a_locked_store_is_left_alone() {
    let rig = Rig::enabled();
    let key = keys::key(&ResourceKey::global(Kind::ClusterInformation, DEFAULT));
    let ready = Kv::get(&*rig.store, &key).unwrap().unwrap().value;
    let locked = String::from_utf8(ready.clone()).unwrap().replace("true", "false");
    Kv::put(&*rig.store, &key, locked.as_bytes(), None).unwrap();
    rig.node("n1", json!({}), "10.0.0.1");
    assert!(rig.once(false).unwrap_err().to_string().contains("locked"));
    assert_eq!(rig.endpoints(), [""; 0]);
    let _running = rig.start();
    Kv::put(&*rig.store, &key, &ready, None).unwrap();
    rig.until_endpoints(&["n1-auto-hep"]);
}

#[test]
fn a_store_that_is_locked_meanwhile_gets_no_other_batch() {
    let rig = Rig::enabled();
    for n in 0..150 {
        rig.node(&format!("n{n}"), json!({}), "10.0.0.1");
    }
    let gate = Arc::new(Gate::new(rig.handle(), false));
    gate.is_locking.store(true, Ordering::SeqCst);
    let running = Running::start(rig.config(gate.clone()));
    rig.until("it is locked", |rig| {
        let flag = rig.get(Kind::ClusterInformation, DEFAULT)?;
        (flag["spec"]["datastoreReady"] == false).then_some(())
    });
    // It ends behind what it has begun to write.
    drop(running);
    let written = rig.endpoints().len();
    assert!((1..=64).contains(&written), "{written}");
    Resources::new(&*rig.store).set_ready(true).unwrap();
    rig.once(false).unwrap();
    assert_eq!(rig.endpoints().len(), 150);
}

#[test]
fn once_does_what_is_to_be_done_and_ends() {
    let rig = Rig::enabled();
    for n in 0..150 {
        rig.node(&format!("n{n}"), json!({}), "10.0.0.1");
    }
    rig.once(false).unwrap();
    assert_eq!(rig.endpoints().len(), 150, "more than one batch");
    let revision = rig.store.resource_revision().unwrap();
    rig.once(false).unwrap();
    assert_eq!(rig.store.resource_revision().unwrap(), revision, "nothing was left to do");
    rig.settings(json!({"autoCreate": "Enabled", "templates": [{"generateName": "bad"}]}));
    let error = rig.once(false).unwrap_err().to_string();
    assert!(error.starts_with("template `bad`: "), "{error}");
}

#[test]
fn two_controllers_of_different_make_do_not_chase_each_other() {
    let rig = Rig::enabled();
    let _running = rig.start();
    let status = |rig: &Rig| rig.get(Kind::KubeControllersConfiguration, DEFAULT).map(|found| found["status"].clone());
    rig.until("the status is written", |rig| status(rig).filter(|status| *status != json!({})));
    let mut settings = rig.get(Kind::KubeControllersConfiguration, DEFAULT).unwrap();
    settings["status"] = json!({"runningConfig": {"logSeverityScreen": "Info"}});
    rig.write(Mode::Replace, Kind::KubeControllersConfiguration, DEFAULT, Value::Object(settings.clone()));
    rig.barrier();
    assert_eq!(
        status(&rig).as_ref(),
        Some(&settings["status"]),
        "the status of another is left until the next full pass"
    );
}

#[test]
fn an_object_that_the_store_refuses_is_tried_again_and_stops_no_other() {
    let rig = Rig::enabled();
    for n in 1..6 {
        rig.node(&format!("n{n}"), json!({}), "10.0.0.1");
    }
    let gate = Arc::new(Gate::new(rig.handle(), false));
    *gate.refused.lock().unwrap() = Some("/n3-auto-hep");
    let _running = Running::start(rig.config(gate.clone()));
    rig.until_endpoints(&["n1-auto-hep", "n2-auto-hep", "n4-auto-hep", "n5-auto-hep"]);
    *gate.refused.lock().unwrap() = None;
    rig.until("it is tried again", |rig| rig.endpoint("n3-auto-hep"));
}

#[test]
fn a_full_pass_mends_what_events_do_not_e812() {
    let rig = Rig::enabled();
    let mut config = rig.config(rig.handle());
    config.timing.full_pass = Duration::from_millis(50);
    let _running = Running::start(config);
    let status = |rig: &Rig| rig.get(Kind::KubeControllersConfiguration, DEFAULT).map(|found| found["status"].clone());
    let good = rig.until("the status is written", |rig| status(rig).filter(|status| *status != json!({})));
    let mut settings = rig.get(Kind::KubeControllersConfiguration, DEFAULT).unwrap();
    settings["status"] = json!({"runningConfig": {"logSeverityScreen": "Info"}});
    rig.write(Mode::Replace, Kind::KubeControllersConfiguration, DEFAULT, Value::Object(settings));
    rig.until("the status is mended", |rig| status(rig).filter(|status| *status == good));
}
