//! Reading spans from one snapshot.

use std::sync::atomic::{AtomicBool, Ordering};

use tortie_datastore::kv::{Revision, Span};

use super::{Fixture, delete, put, write};

pub fn a_range_ends_at_its_prefix(store: &dyn Fixture) {
    let kv = store.open();
    write(&*kv, vec![put("p/ns1/a", "1"), put("p/ns11/a", "1"), put("p/ns1/b", "1"), put("q", "1")]);
    let keys: Vec<String> = kv.range("p/ns1/").unwrap().0.into_iter().map(|entry| entry.key).collect();
    assert_eq!(keys, ["p/ns1/a", "p/ns1/b"]);
    let spans = [Span::Key("q".into()), Span::Prefix("p/".into()), Span::First("p/".into()), Span::Key("p".into())];
    let snapshot = kv.read(&spans).unwrap();
    assert_eq!(snapshot.spans.iter().map(Vec::len).collect::<Vec<_>>(), [1, 3, 1, 0]);
    assert_eq!(snapshot.spans[2][0].key, "p/ns1/a");
}

pub fn the_empty_prefix_is_everything(store: &dyn Fixture) {
    let kv = store.open();
    let revision = write(&*kv, vec![put("a", "1"), put("/b", "1"), put("é", "1")]);
    let (found, at) = kv.range("").unwrap();
    assert_eq!(found.iter().map(|entry| entry.key.as_str()).collect::<Vec<_>>(), ["/b", "a", "é"]);
    assert_eq!(at, revision);
    assert_eq!(kv.read(&[]).unwrap().revision, revision);
    assert_eq!(kv.get("").unwrap(), None);
}

pub fn a_list_of_five_thousand_keys_is_in_order_and_whole(store: &dyn Fixture) {
    let kv = store.open();
    let names: Vec<String> = (0..5000).map(|number| format!("list/{number:05}")).collect();
    for part in names.chunks(100) {
        write(&*kv, part.iter().map(|name| put(name, name)).collect());
    }
    let revision = write(&*kv, vec![put("lisu", "1")]);
    let (found, at) = kv.range("list/").unwrap();
    assert_eq!(at, revision);
    assert!(found.iter().map(|entry| &entry.key).eq(names.iter()));
    assert!(found.iter().all(|entry| entry.value == entry.key.as_bytes()));
    assert_eq!(kv.read(&[Span::First("list/".into())]).unwrap().spans[0].len(), 1);
}

pub fn more_spans_than_one_request_takes_are_one_snapshot(store: &dyn Fixture) {
    let kv = store.open();
    let names: Vec<String> = (0..250).map(|number| format!("span/{number}")).collect();
    for part in names.chunks(100) {
        write(&*kv, part.iter().map(|name| put(name, name)).collect());
    }
    let spans: Vec<Span> = names.iter().map(|name| Span::Key(name.clone())).collect();
    let snapshot = kv.read(&spans).unwrap();
    let found = snapshot.spans.into_iter().map(|mut span| span.remove(0).key);
    assert!(found.eq(names));
}

/// Two keys that always change together, among enough others that a list takes several requests.
pub fn nobody_reads_half_a_transaction(store: &dyn Fixture) {
    let kv = store.open();
    for part in 0..15 {
        write(&*kv, (0..100).map(|number| put(&format!("half/m{part:02}{number:02}"), "1")).collect());
    }
    write(&*kv, vec![put("half/a", "0"), put("half/z", "0")]);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = store.open();
        let is_over = &is_over;
        scope.spawn(move || {
            for number in 1.. {
                let text = f64::from(number).to_string();
                write(&*writer, vec![put("half/a", &text), put("half/z", &text)]);
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..15 {
            let (found, revision) = kv.range("half/").unwrap();
            let (a, z) = (&found[0], &found[found.len() - 1]);
            assert_eq!((a.key.as_str(), z.key.as_str(), found.len()), ("half/a", "half/z", 1502));
            assert_eq!((&a.value, a.mod_rev), (&z.value, z.mod_rev));
            assert!(a.mod_rev <= revision);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

pub fn every_handle_names_the_same_store(store: &dyn Fixture) {
    let kv = store.open();
    write(&*kv, vec![put("a", "1")]);
    let name = kv.read(&[]).unwrap().store;
    assert!(name.as_ref().is_some_and(|name| !name.is_empty() && name != "0"), "{name:?}");
    assert_eq!(store.open().read(&[]).unwrap().store, name);
    assert!(!kv.describe().is_empty());
}

/// What a document was made from is shown to whoever was slower than somebody else (cli.md section 2.4).
pub fn what_was_written_at_a_revision_is_read_while_history_is_kept(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1"), put("b", "1")]);
    let second = write(&*kv, vec![put("a", "2")]);
    let third = write(&*kv, vec![delete("a"), put("c", "1")]);
    let at = |key: &str, revision| kv.value_at(key, revision).unwrap().map(|value| String::from_utf8(value).unwrap());
    assert_eq!(at("a", first).as_deref(), Some("1"));
    assert_eq!(at("a", second).as_deref(), Some("2"));
    assert_eq!(at("b", second), None, "it was there, and written before");
    for (key, revision) in
        [("a", third), ("a", Revision::ZERO), ("a", Revision(u64::MAX)), ("a", third.next()), ("x", first)]
    {
        assert_eq!(at(key, revision), None, "{key} {revision}");
    }
    store.compact(third);
    assert_eq!(at("a", first), None, "its history is gone");
    assert_eq!(at("c", third).as_deref(), Some("1"));
}
