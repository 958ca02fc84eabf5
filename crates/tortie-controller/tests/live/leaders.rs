//! Which of several controllers acts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tortie_controller::LEASE;
use tortie_datastore::Store;

use crate::rig::{Gate, Rig, Running};

#[test]
fn another_controller_takes_over_when_the_leader_dies() {
    let rig = Rig::enabled();
    let gate = Arc::new(Gate::new(rig.handle(), false));
    let first = Running::start(rig.config(gate.clone()));
    rig.node("n1", json!({}), "10.0.0.1");
    rig.until_endpoints(&["n1-auto-hep"]);
    assert_eq!(rig.leader().as_ref(), Some(&first.holder));
    let second = rig.start();
    rig.node("n2", json!({}), "10.0.0.2");
    rig.until_endpoints(&["n1-auto-hep", "n2-auto-hep"]);
    assert_eq!(rig.leader().as_ref(), Some(&first.holder), "who has the lease keeps it");

    gate.is_cut.store(true, Ordering::SeqCst);
    rig.node("n3", json!({}), "10.0.0.3");
    rig.until_endpoints(&["n1-auto-hep", "n2-auto-hep", "n3-auto-hep"]);
    assert_eq!(rig.leader().as_ref(), Some(&second.holder));

    gate.is_cut.store(false, Ordering::SeqCst);
    drop(second);
    rig.node("n4", json!({}), "10.0.0.4");
    rig.until("the first one, mended, takes over", |rig| rig.endpoint("n4-auto-hep"));
    assert_eq!(rig.leader().as_ref(), Some(&first.holder));
}

#[test]
fn a_controller_that_has_not_the_lease_does_nothing_and_takes_it_when_it_is_free() {
    let rig = Rig::enabled();
    assert!(rig.store.lease(LEASE, "somebody", Duration::from_secs(600)).unwrap());
    rig.node("n1", json!({}), "10.0.0.1");
    let gate = Arc::new(Gate::new(rig.handle(), false));
    let _waiting = Running::start(rig.config(gate.clone()));
    // One that runs once asks for no lease, and makes the changes that the other one sees and leaves alone.
    for n in 2..6 {
        rig.node(&format!("n{n}"), json!({}), "10.0.0.2");
        rig.once(false).unwrap();
    }
    assert_eq!(gate.written.load(Ordering::SeqCst), 0);
    assert_eq!(rig.leader().as_deref(), Some("somebody"));
    rig.node("n9", json!({}), "10.0.0.9");
    rig.store.release(LEASE, "somebody").unwrap();
    rig.until("it acts", |rig| rig.endpoint("n9-auto-hep"));
}

#[test]
fn without_the_right_to_a_lease_a_controller_acts_all_the_same() {
    let rig = Rig::enabled();
    let gate = Arc::new(Gate::new(rig.handle(), true));
    let _running = Running::start(rig.config(gate));
    rig.node("n1", json!({}), "10.0.0.1");
    rig.until_endpoints(&["n1-auto-hep"]);
    assert_eq!(rig.leader(), None);
}

#[test]
fn a_lease_is_given_back_at_the_end() {
    let rig = Rig::enabled();
    let running = rig.start();
    rig.node("n1", json!({}), "10.0.0.1");
    rig.until_endpoints(&["n1-auto-hep"]);
    assert!(rig.leader().is_some());
    drop(running);
    assert_eq!(rig.leader(), None);
}
