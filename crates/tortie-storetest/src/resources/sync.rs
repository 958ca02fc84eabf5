//! Following a store, reports and leases.

use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;
use tortie_api::Kind;
use tortie_datastore::SyncEvent;
use tortie_datastore::resources::Mode;

use super::{PATIENCE, World};

/// One snapshot, then each change once.
pub fn a_follower_has_one_snapshot_then_each_change_once(world: &World) {
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    world.write(world.set(Mode::Create, "s", &["10.0.0.0/8"])).unwrap();
    let mut follower = world.follow();
    follower.start();
    assert_eq!(follower.objects.len(), 2);
    world.write(world.endpoint(Mode::Replace, "a", "m")).unwrap();
    follower.expect(&["a"]);
    world.write(world.endpoint(Mode::Delete, "a", "m")).unwrap();
    follower.expect(&["-a"]);
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    follower.expect(&["a"]);
    assert_eq!(follower.snapshots, 1);
    let object = follower.objects[&(Kind::HostEndpoint, "a".to_owned())].as_ref().unwrap();
    let mut read = world.get(Kind::HostEndpoint, "a");
    // Who wrote which member is nothing that a follower needs.
    read["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
    assert_eq!(object, &read, "as it is read");
}

/// Where the store has transactions, one is one delivery.
pub fn what_is_written_together_comes_together(world: &World) {
    let mut follower = world.follow();
    follower.start();
    let tier = world.change(Mode::Create, Kind::Tier, "t", json!({"order": 7, "defaultAction": "Deny"}));
    let changes =
        [tier, world.set(Mode::Create, "s", &["10.0.0.0/8"]), world.policy(Mode::Create, "p", &world.name("t"))];
    world.write_all(&changes).unwrap();
    if world.store.is_atomic() {
        let mut names = follower.next();
        names.sort();
        assert_eq!(names, ["p", "s", "t"]);
    } else {
        follower.expect(&["p", "s", "t"]);
    }
}

/// Many changes come in their order: the last form is the last that is told.
pub fn the_last_form_is_told_last(world: &World) {
    let mut follower = world.follow();
    follower.start();
    world.write(world.endpoint(Mode::Create, "a", "n0")).unwrap();
    for number in 1..=50 {
        world.write(world.endpoint(Mode::Replace, "a", &format!("n{number}"))).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        follower.next();
        let key = (Kind::HostEndpoint, "a".to_owned());
        let node =
            follower.objects.get(&key).and_then(|object| object.as_ref().ok()).map(|o| o["spec"]["node"].clone());
        if node == Some(json!("n50")) {
            return;
        }
        assert!(Instant::now() < deadline, "in vain: {node:?}");
    }
}

/// An object that is none is told with its reason, and becomes one again.
pub fn what_is_no_object_is_told_with_a_reason(world: &World) {
    let mut follower = world.follow();
    follower.start();
    (world.spoil)(&world.key(Kind::HostEndpoint, "bad"));
    world.write(world.endpoint(Mode::Create, "good", "n")).unwrap();
    follower.expect(&["bad", "good"]);
    assert!(follower.objects[&(Kind::HostEndpoint, "bad".to_owned())].is_err());
    world.write(world.endpoint(Mode::Delete, "bad", "n")).unwrap();
    follower.expect(&["-bad"]);
}

/// The ready flag stops deliveries, and what was missed comes with it (section 2.8).
pub fn a_locked_store_delivers_nothing_until_it_is_unlocked(world: &World) {
    let mut follower = world.follow();
    follower.start();
    world.resources().set_ready(false).unwrap();
    assert_eq!(follower.event(), SyncEvent::Locked);
    world.write(world.endpoint(Mode::Create, "a", "n")).unwrap();
    world.resources().set_ready(true).unwrap();
    assert_eq!(follower.next(), ["a"]);
    assert_eq!(follower.snapshots, 2);
    // Who starts while it is locked is told so.
    world.resources().set_ready(false).unwrap();
    let mut late = world.follow_as(false);
    assert_eq!(late.event(), SyncEvent::Locked);
}

/// With the present revision a follower has all that was written before it was asked for (D-14).
pub fn the_present_revision_covers_all_that_was_written(world: &World) {
    let mut follower = world.follow();
    follower.start();
    for number in 0..10 {
        let name = format!("e{number}");
        world.write(world.endpoint(Mode::Create, &name, "n")).unwrap();
        let present = world.store.present().unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let SyncEvent::Updates { updates, revision, .. } = follower.event() else { panic!("updates") };
            let has_it = updates.iter().any(|update| update.key.name == world.name(&name));
            if has_it {
                assert!(revision <= present, "the object came at {revision}, after {present}");
                break;
            }
            assert!(revision < present, "{present} was reached without the object");
            assert!(Instant::now() < deadline);
        }
    }
}

/// Reports are there for who comes later, change, and vanish when nobody renews them.
pub fn reports_are_told_until_their_time_is_out(world: &World) {
    let (node, other) = (world.name("n1"), world.name("n2"));
    world.store.report(&node, b"{\"first\":1}", Duration::from_secs(3_600)).unwrap();
    let (sender, events) = channel();
    let watch = world.store.watch_reports(Box::new(move |event| match sender.send(event.unwrap()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }));
    let _watch = watch.unwrap();
    let next = |wanted: &str| loop {
        let reported = events.recv_timeout(PATIENCE).expect("it is told");
        if reported.node == wanted {
            return reported.report.map(|bytes| String::from_utf8(bytes).unwrap());
        }
    };
    assert_eq!(next(&node).as_deref(), Some("{\"first\":1}"));
    world.store.report(&node, b"{\"second\":2}", Duration::from_secs(3_600)).unwrap();
    assert_eq!(next(&node).as_deref(), Some("{\"second\":2}"));
    world.store.report(&other, b"{}", Duration::from_secs(1)).unwrap();
    assert_eq!(next(&other).as_deref(), Some("{}"));
    assert_eq!(next(&other), None, "its time is out");
}

/// One holder at a time; the lease is free when it is given back, or when its time is out.
pub fn a_lease_has_one_holder(world: &World) {
    let lease = world.name("lease");
    let long = Duration::from_secs(3_600);
    let store = &world.store;
    assert!(store.lease(&lease, "a", long).unwrap());
    assert!(!store.lease(&lease, "b", long).unwrap());
    assert!(store.lease(&lease, "a", long).unwrap(), "it is renewed");
    store.release(&lease, "b").unwrap();
    assert!(!store.lease(&lease, "b", long).unwrap(), "nobody gives back what another has");
    store.release(&lease, "a").unwrap();
    assert!(store.lease(&lease, "b", Duration::from_secs(1)).unwrap());
    let deadline = Instant::now() + PATIENCE;
    while !store.lease(&lease, "a", long).unwrap() {
        assert!(Instant::now() < deadline, "its time is never out");
        std::thread::sleep(Duration::from_millis(50));
    }
}
