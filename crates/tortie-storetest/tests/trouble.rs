//! Servers of etcd that end, fall silent, lose their data or get older data back (datastore.md sections 5.2, 6.3 and 8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tortie_datastore::Kv;
use tortie_datastore::kv::{FaultKind, KvError, Op, Revision, Txn, WatchReceiver, watch_receiver};
use tortie_etcd::{Etcd, Settings};
use tortie_storetest::proxy::Proxy;
use tortie_storetest::{EtcdStore, Fixture, PATIENCE, batch, put, shown, write};
use tortie_testkit::etcd::{Cluster, Options, Version};

/// Makes one test of each case for each version.
macro_rules! on_both_versions {
    ($($case:ident),* $(,)?) => {
        mod etcd_3_4 {
            $(#[test] fn $case() { super::$case(super::EtcdStore::new(super::Version::Debian)); })*
        }
        mod etcd_recent {
            $(#[test] fn $case() { super::$case(super::EtcdStore::new(super::Version::Recent)); })*
        }
    };
}

on_both_versions![
    a_watch_goes_on_after_the_server_was_killed,
    a_connection_that_is_cut_loses_nothing,
    a_write_after_a_restart_is_made,
    a_silent_server_is_told_of_in_time_and_found_again,
    a_watch_of_a_silent_server_goes_on,
    a_server_that_is_away_is_named_with_the_reason,
    another_member_is_used_when_one_goes,
    a_wiped_store_is_older_than_what_was_seen,
    an_older_backup_ends_watches_and_is_told_once,
    a_backup_that_was_written_to_again_is_another_history,
    history_that_was_compacted_while_the_server_was_away_is_told,
    too_many_operations_name_the_limit,
    a_request_that_is_too_large_names_the_limit,
];

/// Adds what a write changed to what a watch is to deliver.
fn expect(kv: &dyn Kv, expected: &mut Vec<(Revision, String)>, text: &str) {
    let revision = write(kv, vec![put("w", text)]);
    expected.push((revision, text.to_owned()));
}

fn delivered(watch: &WatchReceiver, count: usize) -> Vec<(Revision, String)> {
    let next = |_| {
        let mut batch = batch(watch);
        assert_eq!(batch.events.len(), 1);
        (batch.revision, String::from_utf8(batch.events.remove(0).value.unwrap()).unwrap())
    };
    (0..count).map(next).collect()
}

fn a_watch_goes_on_after_the_server_was_killed(mut store: EtcdStore) {
    let (ours, theirs) = (store.open(), store.open());
    let mut expected = Vec::new();
    expect(&*theirs, &mut expected, "first");
    let watch = watch_receiver(&*ours, &["w"], expected[0].0).unwrap();
    for round in 0..3 {
        expect(&*theirs, &mut expected, &format!("before {round}"));
        store.server.restart();
        expect(&*theirs, &mut expected, &format!("after {round}"));
    }
    assert_eq!(delivered(&watch, expected.len()), expected);
    assert_eq!(ours.get("w").unwrap().unwrap().value, b"after 2");
}

fn socket(store: &EtcdStore) -> SocketAddr {
    store.server.address().trim_start_matches("http://").parse().unwrap()
}

fn a_connection_that_is_cut_loses_nothing(store: EtcdStore) {
    let proxy = Proxy::new(socket(&store));
    let ours = Etcd::connect(&Settings::at([proxy.address()])).unwrap();
    let theirs = store.open();
    let mut expected = Vec::new();
    expect(&*theirs, &mut expected, "first");
    let watch = watch_receiver(&ours, &["w", "v"], expected[0].0).unwrap();
    for round in 0..20 {
        expect(&*theirs, &mut expected, &round.to_string());
        proxy.cut();
        assert!(ours.get("w").unwrap().is_some());
    }
    assert_eq!(delivered(&watch, expected.len()), expected);
}

fn a_write_after_a_restart_is_made(mut store: EtcdStore) {
    let kv = store.open();
    let first = write(&*kv, vec![put("a", "1")]);
    store.server.restart();
    assert_eq!(write(&*kv, vec![put("a", "2")]), first.next());
    assert_eq!(kv.get("a").unwrap().unwrap().version, 2);
}

fn fault(error: &KvError) -> &FaultKind {
    error.fault().unwrap_or_else(|| panic!("{error:?}"))
}

fn a_silent_server_is_told_of_in_time_and_found_again(store: EtcdStore) {
    let kv = Etcd::connect(&store.hasty_settings()).unwrap();
    write(&kv, vec![put("a", "1")]);
    store.server.pause();
    let start = Instant::now();
    let error = kv.get("a").unwrap_err();
    assert_eq!(fault(&error), &FaultKind::Unavailable, "{error}");
    let error = kv.put("a", b"2", None).unwrap_err();
    assert!(error.is_indefinite(), "{error}");
    let error = Etcd::connect(&store.hasty_settings()).err().expect("nobody answers");
    assert_eq!(fault(&error), &FaultKind::Unavailable, "{error}");
    // Three requests of a second and a half each, with time to spare.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    store.server.resume();
    let patient = store.connect();
    assert!(patient.get("a").unwrap().is_some());
    assert!(eventually(|| kv.get("a")).is_some());
}

/// What a call gives once the store answers again; each try takes its time by itself.
fn eventually<T>(mut call: impl FnMut() -> Result<T, KvError>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match call() {
            Ok(value) => return value,
            Err(error) => assert!(error.is_indefinite() && Instant::now() < deadline, "{error}"),
        }
    }
}

fn a_watch_of_a_silent_server_goes_on(store: EtcdStore) {
    let (ours, theirs) = (store.open(), store.open());
    let first = write(&*theirs, vec![put("w", "0")]);
    let watch = watch_receiver(&*ours, &["w"], first).unwrap();
    assert_eq!(shown(&batch(&watch)), ["w=0<-"]);
    store.server.pause();
    let writer = std::thread::spawn(move || write(&*theirs, vec![put("w", "1")]));
    store.server.resume();
    assert_eq!(writer.join().unwrap(), first.next());
    assert_eq!(shown(&batch(&watch)), ["w=1<0"]);
}

fn a_server_that_is_away_is_named_with_the_reason(mut store: EtcdStore) {
    let kv = Etcd::connect(&store.hasty_settings()).unwrap();
    let first = write(&kv, vec![put("w", "0")]);
    let watch = watch_receiver(&kv, &["w"], first).unwrap();
    assert_eq!(shown(&batch(&watch)), ["w=0<-"]);
    store.server.kill();
    let ended = loop {
        if let Err(error) = watch.next_batch(PATIENCE) {
            break error;
        }
    };
    for error in [ended, kv.get("w").unwrap_err(), Etcd::connect(&store.hasty_settings()).err().unwrap()] {
        assert_eq!(fault(&error), &FaultKind::Unavailable);
        let text = tortie_api::with_causes(&error);
        assert!(text.contains(&store.server.address()) && text.contains("refused"), "{text}");
    }
}

fn another_member_is_used_when_one_goes(store: EtcdStore) {
    let proxies = [Proxy::new(socket(&store)), Proxy::new(socket(&store))];
    let nobody = format!("http://127.0.0.1:{}", tortie_testkit::server::free_port());
    let addresses = [proxies[0].address(), nobody, proxies[1].address()];
    let kv = Etcd::connect(&Settings::at(addresses)).unwrap();
    let first = write(&kv, vec![put("w", "0")]);
    let watch = watch_receiver(&kv, &["w"], first).unwrap();
    assert_eq!(shown(&batch(&watch)), ["w=0<-"]);
    let used = proxies.iter().position(Proxy::is_used).unwrap();
    assert!(!proxies[1 - used].is_used(), "one member at a time");
    proxies[used].close();
    assert_eq!(kv.get("w").unwrap().unwrap().value, b"0");
    write(&kv, vec![put("w", "1")]);
    assert_eq!(shown(&batch(&watch)), ["w=1<0"]);
    assert!(proxies[1 - used].is_used());
}

/// The error that ends a watch.
fn end(watch: &WatchReceiver) -> KvError {
    match watch.next_batch(PATIENCE) {
        Err(error) => error,
        Ok(batch) => panic!("{batch:?}"),
    }
}

fn a_wiped_store_is_older_than_what_was_seen(mut store: EtcdStore) {
    let kv = store.open();
    let mut last = Revision::ZERO;
    for number in 0..5 {
        last = write(&*kv, vec![put("w", &number.to_string())]);
    }
    let watch = watch_receiver(&*kv, &["w"], last.next()).unwrap();
    store.server.wipe();
    let error = end(&watch);
    assert!(matches!(error, KvError::WentBack { seen, .. } if seen == last), "{error}");
    assert!(error.needs_full_read());
    assert_eq!(kv.range("").unwrap().0, [], "it was told, and what is there counts");
}

fn an_older_backup_ends_watches_and_is_told_once(mut store: EtcdStore) {
    let kv = store.open();
    let saved = write(&*kv, vec![put("w", "saved")]);
    store.server.save("backup");
    let last = write(&*kv, vec![put("w", "later")]);
    let watch = watch_receiver(&*kv, &["w"], last.next()).unwrap();
    let reader = store.open();
    assert_eq!(reader.get("w").unwrap().unwrap().value, b"later");
    store.server.restore("backup");
    let error = end(&watch);
    assert!(matches!(error, KvError::WentBack { seen, found, .. } if (seen, found) == (last, saved)), "{error}");
    assert_eq!(kv.get("w").unwrap().unwrap().value, b"saved");
    let error = reader.get("w").unwrap_err();
    assert!(matches!(error, KvError::WentBack { .. }) && error.needs_full_read(), "{error}");
    assert_eq!(reader.get("w").unwrap().unwrap().value, b"saved");
}

/// The revision says nothing, the newest change that was seen does.
fn a_backup_that_was_written_to_again_is_another_history(mut store: EtcdStore) {
    let kv = store.open();
    write(&*kv, vec![put("w", "saved")]);
    store.server.save("backup");
    let last = write(&*kv, vec![put("w", "ours")]);
    assert_eq!(kv.get("w").unwrap().unwrap().mod_rev, last);
    let proxy = Proxy::new(socket(&store));
    let settings = Settings { connect_timeout: PATIENCE, ..Settings::at([proxy.address()]) };
    let watching = Etcd::connect(&settings).unwrap();
    let watch = watch_receiver(&watching, &["w"], last).unwrap();
    assert_eq!(shown(&batch(&watch)), ["w=ours<saved"]);
    // Nobody sees the store while it is behind.
    proxy.hold();
    store.server.restore("backup");
    let other = store.open();
    for _ in 0..3 {
        write(&*other, vec![put("w", "theirs")]);
    }
    proxy.release();
    let error = end(&watch);
    assert!(matches!(error, KvError::Replaced { .. }), "{error}");
    assert_eq!(eventually_whole(&watching), b"theirs");
}

/// Reads `w`, however often the store turns out to be another one.
fn eventually_whole(kv: &dyn Kv) -> Vec<u8> {
    loop {
        match kv.get("w") {
            Ok(entry) => return entry.unwrap().value,
            Err(error) => assert!(error.needs_full_read(), "{error}"),
        }
    }
}

fn history_that_was_compacted_while_the_server_was_away_is_told(store: EtcdStore) {
    let proxy = Proxy::new(socket(&store));
    let settings = Settings { connect_timeout: PATIENCE, ..Settings::at([proxy.address()]) };
    let kv = Etcd::connect(&settings).unwrap();
    let theirs = store.open();
    let first = write(&*theirs, vec![put("w", "0")]);
    let watch = watch_receiver(&kv, &["w"], first).unwrap();
    assert_eq!(shown(&batch(&watch)), ["w=0<-"]);
    proxy.hold();
    for number in 1..4 {
        write(&*theirs, vec![put("w", &number.to_string())]);
    }
    store.compact(theirs.range("").unwrap().1);
    proxy.release();
    let error = end(&watch);
    assert!(matches!(error, KvError::Compacted { from, .. } if from == first.next()), "{error}");
}

fn too_many_operations_name_the_limit(store: EtcdStore) {
    let kv = store.open();
    let ops = (0..129).map(|number| put(&format!("k{number}"), "1")).collect();
    let error = kv.txn(&Txn { compares: vec![], ops }).unwrap_err();
    assert!(matches!(fault(&error), FaultKind::TooLarge { .. }), "{error}");
    assert!(error.to_string().contains("128 operations and 1.5 MiB"), "{error}");
    assert_eq!(kv.range("k").unwrap().0, []);
}

fn a_request_that_is_too_large_names_the_limit(store: EtcdStore) {
    let kv = store.open();
    for mebibytes in [2, 3, 20] {
        let value = vec![b'x'; mebibytes << 20];
        let error =
            kv.txn(&Txn { compares: vec![], ops: vec![Op::Put { key: "k".into(), value, ttl: None }] }).unwrap_err();
        assert!(
            matches!(fault(&error), FaultKind::TooLarge { .. }),
            "{mebibytes} MiB: {}",
            tortie_api::with_causes(&error)
        );
    }
    assert_eq!(kv.get("k").unwrap(), None);
    kv.put("k", b"small", None).unwrap();
}

fn a_store_whose_quota_is_used_up_says_what_to_do(version: Version) {
    let store = EtcdStore::with(Options { quota_bytes: 4 << 20, ..Options::plain(version) });
    let kv = store.open();
    let error = loop {
        if let Err(error) = kv.put("k", &vec![b'x'; 1 << 20], None) {
            break error;
        }
    };
    assert_eq!(fault(&error), &FaultKind::QuotaExceeded, "{error}");
    assert!(error.to_string().contains("alarm disarm"), "{error}");
    assert!(kv.get("k").unwrap().is_some(), "it can be read");
}

#[test]
fn a_used_up_quota_says_what_to_do_3_4() {
    a_store_whose_quota_is_used_up_says_what_to_do(Version::Debian);
}

#[test]
fn a_used_up_quota_says_what_to_do_recent() {
    a_store_whose_quota_is_used_up_says_what_to_do(Version::Recent);
}

/// A snapshot that is restored under another name of its cluster is another store.
#[test]
fn another_cluster_is_another_store() {
    let mut store = EtcdStore::new(Version::Debian);
    let kv = store.open();
    let last = write(&*kv, vec![put("w", "1")]);
    let before = kv.read(&[]).unwrap().store;
    let watch = watch_receiver(&*kv, &["w"], last.next()).unwrap();
    store.server.snapshot("snapshot");
    store.server.restore_snapshot("snapshot", "another");
    let error = end(&watch);
    assert!(matches!(error, KvError::Replaced { .. }), "{error}");
    assert_eq!(kv.get("w").unwrap().unwrap().value, b"1");
    assert_ne!(kv.read(&[]).unwrap().store, before);
}

/// One member of three may go, whichever is talked to. The last one alone has no leader: it is asked for nothing, and a
/// watch does not wait on it in silence.
fn a_cluster_is_followed_until_it_has_no_leader(version: Version) {
    let mut cluster = Cluster::start(version);
    let hasty = Duration::from_secs(5);
    let kv = Etcd::connect(&Settings {
        connect_timeout: hasty,
        request_timeout: hasty,
        ..Settings::at(cluster.addresses())
    })
    .unwrap();
    let mut expected = Vec::new();
    expect(&kv, &mut expected, "first");
    let watch = watch_receiver(&kv, &["w"], expected[0].0).unwrap();
    for member in 0..3 {
        cluster.kill(member);
        eventually(|| kv.get("w"));
        expect(&kv, &mut expected, &format!("without {member}"));
        cluster.restart(member);
    }
    assert_eq!(delivered(&watch, expected.len()), expected);
    cluster.kill(0);
    cluster.kill(1);
    let error = end(&watch);
    assert_eq!(fault(&error), &FaultKind::Unavailable, "{error}");
    let error = kv.put("w", b"never", None).unwrap_err();
    assert_eq!(fault(&error), &FaultKind::Unavailable, "{error}");
    cluster.restart(0);
    assert_eq!(eventually(|| kv.get("w")).unwrap().value, b"without 2");
}

#[test]
fn a_cluster_of_3_4_is_followed_until_it_has_no_leader() {
    a_cluster_is_followed_until_it_has_no_leader(Version::Debian);
}

#[test]
fn a_cluster_of_a_recent_etcd_is_followed_until_it_has_no_leader() {
    a_cluster_is_followed_until_it_has_no_leader(Version::Recent);
}
