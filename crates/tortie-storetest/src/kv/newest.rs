//! The newest change of resources, deletions included (D-14).

use tortie_datastore::Kv;
use tortie_datastore::kv::{RESOURCE_PREFIX, Revision, watch_receiver};

use super::{Fixture, batch, delete, put, write};

fn resource(name: &str) -> String {
    format!("{RESOURCE_PREFIX}tiers/{name}")
}

/// Other keys of the same store, as agents write them all the time.
fn heartbeats(kv: &dyn Kv) {
    for number in 0..5 {
        write(kv, vec![put("/calico/felix/v2/no-region/host/n/status", &number.to_string())]);
    }
}

pub fn a_store_without_resources_is_at_zero_d14(store: &dyn Fixture) {
    let kv = store.open();
    assert_eq!(kv.resource_revision().unwrap(), Revision::ZERO);
    heartbeats(&*kv);
    assert_eq!(kv.resource_revision().unwrap(), Revision::ZERO);
    assert_eq!(store.open().resource_revision().unwrap(), Revision::ZERO);
}

pub fn only_resources_move_the_resource_revision_d14(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put(&resource("a"), "{}")]);
    heartbeats(&*kv);
    kv.put("/tortie/v1/agents/n", b"{}", None).unwrap();
    assert_eq!(kv.resource_revision().unwrap(), first);
    // Deleting what is not there is no change.
    write(&*kv, vec![delete(&resource("none")), put("other", "1")]);
    assert_eq!(kv.resource_revision().unwrap(), first);
    let gone = write(&*kv, vec![delete(&resource("a"))]);
    heartbeats(&*kv);
    assert_eq!(kv.resource_revision().unwrap(), gone, "deletes count");
}

pub fn a_deletion_by_somebody_else_counts_at_once_d14(store: &dyn Fixture) {
    let (ours, theirs) = (store.open(), store.open());
    let names: Vec<String> = (0..20).map(|number| resource(&format!("n{number}"))).collect();
    write(&*theirs, names.iter().map(|name| put(name, "{}")).collect());
    ours.resource_revision().unwrap();
    for name in &names {
        heartbeats(&*theirs);
        let gone = write(&*theirs, vec![delete(name)]);
        assert_eq!(ours.resource_revision().unwrap(), gone);
        heartbeats(&*theirs);
        assert_eq!(ours.resource_revision().unwrap(), gone);
    }
}

pub fn what_came_and_went_between_two_questions_counts_d14(store: &dyn Fixture) {
    let (ours, theirs) = (store.open(), store.open());
    write(&*theirs, vec![put(&resource("stays"), "{}")]);
    let before = ours.resource_revision().unwrap();
    write(&*theirs, vec![put(&resource("short"), "{}")]);
    heartbeats(&*theirs);
    let gone = write(&*theirs, vec![delete(&resource("short"))]);
    heartbeats(&*theirs);
    assert!(gone > before);
    assert_eq!(ours.resource_revision().unwrap(), gone);
}

pub fn a_new_handle_knows_deletions_d14(store: &dyn Fixture) {
    let kv = store.open();
    write(&*kv, vec![put(&resource("a"), "{}"), put(&resource("b"), "{}")]);
    heartbeats(&*kv);
    let gone = write(&*kv, vec![delete(&resource("a"))]);
    heartbeats(&*kv);
    assert_eq!(store.open().resource_revision().unwrap(), gone);
    let last = write(&*kv, vec![delete(&resource("b"))]);
    heartbeats(&*kv);
    assert_eq!(store.open().resource_revision().unwrap(), last, "nothing is left of them");
}

pub fn compacted_history_is_no_obstacle_d14(store: &dyn Fixture) {
    let (ours, theirs) = (store.open(), store.open());
    let put_at = write(&*theirs, vec![put(&resource("a"), "{}"), put(&resource("b"), "{}")]);
    heartbeats(&*theirs);
    store.compact(theirs.range("").unwrap().1);
    assert_eq!(ours.resource_revision().unwrap(), put_at);
    heartbeats(&*theirs);
    store.compact(theirs.range("").unwrap().1);
    heartbeats(&*theirs);
    assert_eq!(ours.resource_revision().unwrap(), put_at);
    let gone = write(&*theirs, vec![delete(&resource("b"))]);
    heartbeats(&*theirs);
    assert_eq!(ours.resource_revision().unwrap(), gone);
    assert_eq!(store.open().resource_revision().unwrap(), gone);
}

pub fn a_watching_handle_answers_the_same_d14(store: &dyn Fixture) {
    let (ours, theirs) = (store.open(), store.open());
    let first = write(&*theirs, vec![put(&resource("a"), "{}"), put(&resource("b"), "{}")]);
    let watch = watch_receiver(&*ours, &[RESOURCE_PREFIX], first.next()).unwrap();
    assert_eq!(ours.resource_revision().unwrap(), first);
    heartbeats(&*theirs);
    let gone = write(&*theirs, vec![delete(&resource("b"))]);
    assert_eq!(ours.resource_revision().unwrap(), gone);
    assert_eq!(batch(&watch).revision, gone);
    heartbeats(&*theirs);
    assert_eq!(ours.resource_revision().unwrap(), gone);
    let changed = write(&*theirs, vec![put(&resource("a"), "{}")]);
    assert_eq!(batch(&watch).revision, changed);
    assert_eq!(ours.resource_revision().unwrap(), changed);
}
