//! Compares and operations (datastore.md section 2.6).

use tortie_datastore::kv::{Compare, KvError, Op, Revision, Txn, TxnOutcome, watch_receiver};

use super::{Fixture, batch, committed, delete, failed, put, write};
use crate::writer::Writer;

pub fn a_transaction_is_one_revision_and_all_or_nothing(store: &dyn Fixture) {
    let kv = store.open();
    let before = kv.range("").unwrap().1;
    let first = committed(&*kv, vec![Compare::Absent("a".into())], vec![put("a", "1"), put("b", "1")]);
    assert_eq!(first, before.next());
    let (a, b) = (kv.get("a").unwrap().unwrap(), kv.get("b").unwrap().unwrap());
    assert_eq!((a.mod_rev, b.mod_rev, a.create_rev, a.version), (first, first, first, 1));
    failed(&*kv, vec![Compare::Absent("a".into())]);
    assert_eq!(kv.get("never").unwrap(), None);
    let second = committed(&*kv, vec![Compare::Unchanged("a".into(), first)], vec![put("a", "1")]);
    assert_eq!(second, first.next(), "identical bytes make a new revision all the same");
    let again = kv.get("a").unwrap().unwrap();
    assert_eq!((again.version, again.create_rev), (2, first));
}

pub fn a_key_that_comes_back_begins_anew(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1")]);
    assert_eq!(kv.delete("a").unwrap().unwrap().value, b"1");
    write(&*kv, vec![put("a", "2")]);
    let back = kv.get("a").unwrap().unwrap();
    assert_eq!((back.version, back.create_rev), (1, first.next().next()));
}

pub fn deleting_nothing_moves_nothing(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1")]);
    assert_eq!(kv.delete("b").unwrap(), None);
    assert_eq!(write(&*kv, vec![delete("b"), delete("c")]), first);
    assert_eq!(kv.range("").unwrap().1, first);
}

pub fn a_key_twice_in_one_transaction_is_refused(store: &dyn Fixture) {
    let kv = store.open();
    let twice = kv.txn(&Txn { compares: vec![], ops: vec![put("a", "1"), delete("b"), put("a", "2")] });
    assert!(matches!(twice, Err(KvError::DuplicateKey { key }) if key == "a"));
    assert_eq!(kv.get("a").unwrap(), None);
}

pub fn the_first_compare_that_fails_is_named_with_what_its_key_holds(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1"), put("p/1", "1")]);
    let other = write(&*kv, vec![put("p/2", "2")]);
    let key = |key: &str| key.to_owned();
    let value = |(position, entry): (usize, Option<tortie_datastore::kv::Entry>)| {
        (position, entry.map(|entry| String::from_utf8(entry.value).unwrap()))
    };
    let check = |compares: Vec<Compare>, position: usize, held: Option<&str>| {
        assert_eq!(value(failed(&*kv, compares)), (position, held.map(str::to_owned)));
    };
    check(vec![Compare::Absent(key("a"))], 0, Some("1"));
    check(vec![Compare::Present(key("b"))], 0, None);
    check(vec![Compare::Unchanged(key("a"), other)], 0, Some("1"));
    check(vec![Compare::Unchanged(key("b"), first)], 0, None);
    check(vec![Compare::Unchanged(key("b"), Revision::ZERO)], 0, None);
    check(vec![Compare::NoPutSince(key("p/"), first)], 0, Some("2"));
    let good = vec![Compare::Present(key("a")), Compare::Absent(key("b")), Compare::Unchanged(key("a"), first)];
    let bad = [Compare::NoPutSince(key("p/"), Revision::ZERO), Compare::Absent(key("a"))];
    check([good.clone(), bad.to_vec()].concat(), 3, Some("1"));
    committed(&*kv, good, vec![put("c", "1")]);
}

pub fn an_update_of_what_somebody_else_changed_is_a_conflict(store: &dyn Fixture) {
    let (ours, theirs) = (store.open(), store.open());
    let first = write(&*ours, vec![put("a", "1")]);
    let second = committed(&*theirs, vec![Compare::Unchanged("a".into(), first)], vec![put("a", "2")]);
    let (_, current) = failed(&*ours, vec![Compare::Unchanged("a".into(), first)]);
    assert_eq!(current.unwrap().mod_rev, second);
    theirs.delete("a").unwrap();
    assert_eq!(failed(&*ours, vec![Compare::Unchanged("a".into(), second)]), (0, None));
}

pub fn what_was_there_before_is_told(store: &dyn Fixture) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1"), put("b", "1")]);
    let ops = vec![delete("c"), put("a", "2"), put("d", "1"), delete("b")];
    let TxnOutcome::Committed { revision, previous } = kv.txn(&Txn { compares: vec![], ops }).unwrap() else {
        panic!("it has no compares")
    };
    assert_eq!(revision, first.next());
    let told: Vec<_> = previous.iter().map(|entry| entry.as_ref().map(|e| (e.key.as_str(), e.mod_rev))).collect();
    assert_eq!(told, [None, Some(("a", first)), None, Some(("b", first))]);
}

pub fn puts_of_a_prefix_since_a_revision_are_noticed(store: &dyn Fixture) {
    let kv = store.open();
    let none = |revision| vec![Compare::NoPutSince("p/".into(), revision)];
    committed(&*kv, none(Revision::ZERO), vec![put("a", "1")]);
    let first = write(&*kv, vec![put("p/a", "1"), put("p/b", "1")]);
    committed(&*kv, none(first), vec![put("q", "1")]);
    kv.delete("p/b").unwrap();
    committed(&*kv, none(first), vec![put("o", "1")]);
    write(&*kv, vec![put("p/c", "1")]);
    assert_eq!(failed(&*kv, none(first)).1.unwrap().key, "p/c");
}

pub fn any_bytes_are_kept(store: &dyn Fixture) {
    let kv = store.open();
    let values: [(&str, Vec<u8>); 4] = [
        ("bytes", (0..=255).collect()),
        ("empty", Vec::new()),
        ("no text", vec![0xff, 0xfe, 0x00]),
        ("Schlüssel/鍵", b"1".to_vec()),
    ];
    for (key, value) in &values {
        kv.put(key, value, None).unwrap();
    }
    let watch = watch_receiver(&*kv, &[""], Revision(1)).unwrap();
    for (key, value) in &values {
        assert_eq!(kv.get(key).unwrap().unwrap().value, *value, "{key}");
        let event = batch(&watch).events.remove(0);
        assert_eq!((event.key.as_str(), event.value.as_ref()), (*key, Some(value)));
    }
}

pub fn a_value_of_a_mebibyte_is_kept(store: &dyn Fixture) {
    let kv = store.open();
    let value: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    let names: Vec<String> = (0..6).map(|n| format!("large/{n}")).collect();
    for name in &names {
        kv.put(name, &value, None).unwrap();
    }
    // More than the 4 MiB that a message may have by default.
    let found = kv.range("large/").unwrap().0;
    assert_eq!(found.len(), names.len());
    assert!(found.iter().all(|entry| entry.value == value));
}

pub fn a_transaction_of_120_operations_is_one_revision(store: &dyn Fixture) {
    let kv = store.open();
    let names: Vec<String> = (0..120).map(|n| format!("many/{n:03}")).collect();
    let compares = names.iter().map(|name| Compare::Absent(name.clone())).collect();
    let first = committed(&*kv, compares, names.iter().map(|name| put(name, "1")).collect());
    let found = kv.range("many/").unwrap().0;
    assert_eq!(found.len(), 120);
    assert!(found.iter().all(|entry| entry.mod_rev == first));
    assert_eq!(write(&*kv, names.iter().map(|name| delete(name)).collect()), first.next());
    assert_eq!(kv.range("many/").unwrap().0, []);
}

pub fn no_update_is_lost_among_threads(store: &dyn Fixture) {
    const THREADS: usize = 3;
    const ROUNDS: usize = 15;
    let kv = store.open();
    kv.put("counter", b"0", None).unwrap();
    let count = |handle: &dyn tortie_datastore::Kv| loop {
        let entry = handle.get("counter").unwrap().unwrap();
        let number: usize = String::from_utf8(entry.value).unwrap().parse().unwrap();
        let ops = vec![Op::Put { key: "counter".into(), value: (number + 1).to_string().into_bytes(), ttl: None }];
        let compares = vec![Compare::Unchanged("counter".into(), entry.mod_rev)];
        if let TxnOutcome::Committed { .. } = handle.txn(&Txn { compares, ops }).unwrap() {
            return;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let handle = store.open();
            scope.spawn(move || (0..ROUNDS).for_each(|_| count(&*handle)));
        }
    });
    assert_eq!(kv.get("counter").unwrap().unwrap().value, (THREADS * ROUNDS).to_string().into_bytes());
}

pub fn several_processes_write_at_once_and_a_watcher_sees_every_revision_once(store: &dyn Fixture) {
    let kv = store.open();
    let start = kv.range("").unwrap().1;
    let watch = watch_receiver(&*kv, &[""], start.next()).unwrap();
    let mut writers: Vec<Writer> = ["x", "y"].iter().map(|name| Writer::start(&store.place(), name)).collect();
    let mut last = start;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let batch = batch(&watch);
        assert_eq!(batch.revision, last.next(), "no revision is lost or repeated");
        assert_eq!(batch.events.len(), 2, "a transaction comes as a whole");
        last = batch.revision;
        seen.insert(last.0);
    }
    for writer in &mut writers {
        for revision in writer.acknowledged(3) {
            assert!(revision > last.0 || seen.contains(&revision));
        }
    }
}
