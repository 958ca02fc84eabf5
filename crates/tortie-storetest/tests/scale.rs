//! The small form of the bench `stores` (docs/benchmarks.md): counts, never times.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tortie_storetest::scale::{Backend, Edit, Embedded, Etcd, Follower, Kubernetes, Size, populate, run_follower};

/// Enough to change each kind several times.
const CHANGES: usize = 30;

/// Does nothing by itself: the cases run it in processes of their own.
#[test]
fn follows_until_killed() {
    run_follower();
}

/// Each change is one event of one object, and nothing else is told (datastore.md section 5).
fn a_follower_has_all_of_the_world_then_each_change_once(backend: &dyn Backend) {
    let store = backend.open();
    populate(&*store, Size::SMALL, &|_| {});
    backend.settle(Size::SMALL);
    let follower = Follower::start(&backend.place());
    let snapshot = follower.snapshot();
    let found = Size { endpoints: snapshot.endpoints, policies: snapshot.policies, sets: snapshot.sets };
    assert_eq!(found, Size::SMALL);
    for number in 0..CHANGES {
        let edit = Edit::prepare(&*store, Size::SMALL, number);
        let key = edit.key.to_string();
        edit.make(&*store);
        assert_eq!(follower.next().objects, [key], "change {number}");
    }
}

#[test]
fn on_an_embedded_store() {
    a_follower_has_all_of_the_world_then_each_change_once(&Embedded::new());
}

#[test]
fn on_etcd() {
    a_follower_has_all_of_the_world_then_each_change_once(&Etcd::new());
}

#[test]
fn on_an_api_server() {
    a_follower_has_all_of_the_world_then_each_change_once(&Kubernetes::new());
}
