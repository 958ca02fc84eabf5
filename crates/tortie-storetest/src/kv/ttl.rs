//! Keys whose time runs out (datastore.md section 2.7).

use std::time::Duration;

use tortie_datastore::kv::watch_receiver;

use super::{Fixture, batch};

/// Servers make shorter times longer.
const TTL: Duration = Duration::from_millis(50);

pub fn a_key_whose_time_runs_out_is_deleted_with_a_revision_of_its_own(store: &dyn Fixture) {
    let kv = store.open();
    let first = kv.put("t", b"1", Some(TTL)).unwrap();
    assert_eq!(kv.get("t").unwrap().unwrap().value, b"1");
    let watch = watch_receiver(&*kv, &["t"], first.next()).unwrap();
    let batch = batch(&watch);
    assert_eq!((batch.revision, batch.events[0].value.is_none()), (first.next(), true));
    assert_eq!(kv.get("t").unwrap(), None);
}

/// The time of a key that was put later runs out later: it is the clock of this test.
pub fn a_put_without_a_time_makes_a_key_stay(store: &dyn Fixture) {
    let kv = store.open();
    kv.put("stays", b"1", Some(TTL)).unwrap();
    let from = kv.put("stays", b"2", None).unwrap();
    kv.put("clock", b"1", Some(TTL)).unwrap();
    let watch = watch_receiver(&*kv, &["clock", "stays"], from.next()).unwrap();
    loop {
        let event = batch(&watch).events.remove(0);
        assert_eq!(event.key, "clock");
        if event.value.is_none() {
            break;
        }
    }
    assert_eq!(kv.get("stays").unwrap().unwrap().value, b"2");
}
