//! Trouble with an embedded store while it is in use: lost, rewound, compacted, written by other hands. What was
//! delivered stays, what comes back counts, and the message names the file and the cause.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::kv::{FaultKind, Op, Txn};
use tortie_datastore::syncer::Update;
use tortie_datastore::{Access, Embedded, Kv, Resources, SyncEvent, Syncer, keys};

/// Long enough for any machine; every wait ends with its event.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with a few objects, and its syncer's events.
struct Bench {
    _folder: TempDir,
    file: PathBuf,
    events: Receiver<SyncEvent>,
    _syncer: Syncer,
}

fn open(file: &Path) -> Embedded {
    Embedded::open(file, Access::Write).unwrap()
}

fn put(kv: &Embedded, kind: Kind, name: &str, value: &[u8]) {
    kv.put(&keys::key(&ResourceKey::global(kind, name)), value, None).unwrap();
}

fn net_set(net: &str) -> Vec<u8> {
    named("a", net)
}

fn named(name: &str, net: &str) -> Vec<u8> {
    json!({"metadata": {"name": name}, "spec": {"nets": [net]}}).to_string().into_bytes()
}

impl Bench {
    /// Waits for the first snapshot.
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        let kv = open(&file);
        Resources::new(&kv).ensure_initialised().unwrap();
        put(&kv, Kind::GlobalNetworkSet, "a", &net_set("10.0.0.1"));
        Bench::of(folder, file)
    }

    fn of(folder: TempDir, file: PathBuf) -> Bench {
        let (sender, events) = channel();
        let kv: Arc<dyn Kv> = Arc::new(open(&file));
        let syncer = Syncer::start(kv, false, move |event| sender.send(event).unwrap_or_default()).unwrap();
        let bench = Bench { _folder: folder, file, events, _syncer: syncer };
        assert!(!bench.updates().is_empty());
        bench
    }

    fn next(&self) -> SyncEvent {
        self.events.recv_timeout(PATIENCE).expect("an event comes")
    }

    /// The next updates, whatever else is told before.
    fn updates(&self) -> Vec<Update> {
        loop {
            if let SyncEvent::Updates { updates, .. } = self.next() {
                return updates;
            }
        }
    }

    /// The text of the next loss.
    fn lost(&self) -> String {
        loop {
            if let SyncEvent::Lost(text) = self.next() {
                return text;
            }
        }
    }

    /// Another file of the store's, beside it.
    fn beside(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("{}{suffix}", self.file.display()))
    }

    /// Puts another database in the place of the store, as somebody does who restores a backup.
    fn replace_by(&self, other: &Path) {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.beside(suffix));
        }
        std::fs::rename(other, &self.file).unwrap();
    }
}

fn nets(update: &Update) -> String {
    let object = update.object().unwrap().unwrap();
    object["spec"]["nets"][0].as_str().unwrap().to_owned()
}

/// The same store, the same object, the same revision of it, and another value.
#[test]
fn a_store_that_went_back_and_on_again_is_told_by_what_it_holds() {
    let bench = Bench::new();
    let kv = open(&bench.file);
    let backup = bench.beside(".backup");
    kv.backup(&backup).unwrap();
    put(&kv, Kind::GlobalNetworkSet, "a", &net_set("10.0.0.2"));
    assert_eq!(nets(&bench.updates()[0]), "10.0.0.2");
    put(&open(&backup), Kind::GlobalNetworkSet, "a", &net_set("10.0.0.3"));
    let revision = |kv: &Embedded| kv.range("").unwrap().1;
    assert_eq!(revision(&kv), revision(&open(&backup)), "revisions alone tell nothing");
    bench.replace_by(&backup);
    let updates = bench.updates();
    assert_eq!(updates.iter().map(nets).collect::<Vec<_>>(), ["10.0.0.3"]);
}

/// Each time as quickly as the first time: trouble long ago is no reason to wait.
#[test]
fn a_store_that_comes_back_is_read_soon_however_often_it_was_away_e704() {
    let bench = Bench::new();
    let away = bench.beside(".away");
    for number in 0..7 {
        // Longer than the first pause: the store was well again.
        assert!(bench.events.recv_timeout(Duration::from_millis(400)).is_err());
        std::fs::rename(&bench.file, &away).unwrap();
        let text = bench.lost();
        assert!(text.contains(&bench.file.display().to_string()) && text.contains("was removed"), "{text}");
        std::fs::rename(&away, &bench.file).unwrap();
        let start = Instant::now();
        assert!(bench.updates().is_empty(), "nothing changed");
        assert!(start.elapsed() < Duration::from_secs(5), "time {number} took {:?}", start.elapsed());
    }
}

/// Runs SQL on the file, as people do with SQLite's own tools.
fn by_hand(file: &Path, sql: &str) {
    rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
}

/// One row that other hands wrote in another form affects itself.
#[test]
fn a_row_that_holds_something_else_affects_its_object_only_d11() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let kv = open(&file);
    Resources::new(&kv).ensure_initialised().unwrap();
    let kinds = [
        (Kind::HostEndpoint, "'{\"metadata\":{\"name\":\"a\"}}'"),
        (Kind::GlobalNetworkPolicy, "42"),
        (Kind::GlobalNetworkSet, "1.5"),
        (Kind::Profile, "x'fffe00'"),
        (Kind::Tier, "''"),
        (Kind::FelixConfiguration, "'[]'"),
        (Kind::Node, "'{'"),
    ];
    for (kind, _) in &kinds {
        put(&kv, *kind, "a", b"{}");
    }
    put(&kv, Kind::GlobalNetworkSet, "sound", &named("sound", "10.0.0.1"));
    for (kind, value) in &kinds {
        let key = keys::key(&ResourceKey::global(*kind, "a"));
        by_hand(&file, &format!("UPDATE kv SET value = {value} WHERE key = '{key}'"));
        by_hand(&file, &format!("UPDATE log SET value = {value}, prev = {value} WHERE key = '{key}'"));
    }
    let sets = format!("{}globalnetworksets/", tortie_datastore::kv::RESOURCE_PREFIX);
    by_hand(
        &file,
        &format!(
            "INSERT INTO kv SELECT CAST('{sets}' || x'ff' AS TEXT), value, create_rev, mod_rev, version, expires_at
             FROM kv WHERE key = '{sets}sound'"
        ),
    );
    let (sender, events) = channel();
    let kv: Arc<dyn Kv> = Arc::new(kv);
    let _syncer = Syncer::start(kv.clone(), false, move |event| sender.send(event).unwrap_or_default()).unwrap();
    let SyncEvent::Updates { updates, .. } = events.recv_timeout(PATIENCE).unwrap() else { panic!("a snapshot") };
    let of = |kind: Kind, name: &str| updates.iter().find(|u| u.key == ResourceKey::global(kind, name)).unwrap();
    assert_eq!(nets(of(Kind::GlobalNetworkSet, "sound")), "10.0.0.1");
    // Text is as good as bytes, if it holds an object.
    assert!(matches!(of(Kind::HostEndpoint, "a").object(), Some(Ok(_))));
    for (kind, value) in &kinds[1..] {
        assert!(matches!(of(*kind, "a").object(), Some(Err(_))), "{value}: {:?}", of(*kind, "a"));
    }
    // The log too, from its beginning.
    let watch = tortie_datastore::kv::watch_receiver(&*kv, &[""], tortie_datastore::Revision(1)).unwrap();
    let first = watch.next(PATIENCE).unwrap();
    assert!(matches!(first, tortie_datastore::kv::WatchEvent::Batch(_)), "{first:?}");
}

/// What the tables hold about the store itself cannot be guessed.
#[test]
fn tables_that_make_no_sense_are_damage() {
    for sql in [
        "UPDATE meta SET v = 'soon' WHERE k = 'revision'",
        "UPDATE meta SET v = -3 WHERE k = 'revision'",
        "UPDATE kv SET mod_rev = -1",
    ] {
        let bench = Bench::new();
        by_hand(&bench.file, sql);
        let kv = Embedded::open(&bench.file, Access::Write).unwrap();
        let error = kv.range("").unwrap_err();
        assert_eq!(error.fault(), Some(&FaultKind::Corrupt), "{sql}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("store.db") && text.contains("restore a backup"), "{text}");
    }
}

#[test]
fn a_newer_schema_and_a_compacted_log_are_named_and_what_was_delivered_stays() {
    let bench = Bench::new();
    let kv = open(&bench.file);
    put(&kv, Kind::GlobalNetworkSet, "a", &net_set("10.0.0.2"));
    assert_eq!(nets(&bench.updates()[0]), "10.0.0.2");
    // Under a watcher that has everything: nobody notices.
    kv.compact(kv.range("").unwrap().1).unwrap();
    put(&kv, Kind::GlobalNetworkSet, "a", &net_set("10.0.0.3"));
    assert_eq!(nets(&bench.updates()[0]), "10.0.0.3");
    // A newer program brings the file up to date, and puts it into place.
    let newer = bench.beside(".newer");
    kv.backup(&newer).unwrap();
    by_hand(&newer, "UPDATE meta SET v = 99 WHERE k = 'schema'");
    bench.replace_by(&newer);
    let text = bench.lost();
    assert!(text.contains("schema version 99") && text.contains("use a newer tortie"), "{text}");
    let older = bench.beside(".older");
    std::fs::copy(&bench.file, &older).unwrap();
    by_hand(&older, "UPDATE meta SET v = 1 WHERE k = 'schema'");
    bench.replace_by(&older);
    assert!(bench.updates().is_empty(), "nothing changed");
}

#[test]
fn a_writer_that_never_ends_is_named_and_readers_go_on() {
    let bench = Bench::new();
    let mut other = rusqlite::Connection::open(&bench.file).unwrap();
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let kv = open(&bench.file);
    let error = kv.put("/k", b"x", None).unwrap_err();
    assert_eq!(error.fault(), Some(&FaultKind::Busy { waited_s: 5 }));
    assert!(error.to_string().contains("look for a hung process"), "{error}");
    assert!(kv.range("").is_ok());
    held.rollback().unwrap();
    put(&kv, Kind::GlobalNetworkSet, "a", &net_set("10.0.0.2"));
    assert_eq!(nets(&bench.updates()[0]), "10.0.0.2");
    assert!(matches!(kv.get("/k"), Ok(None)), "what was refused was not done");
}

fn policy(name: &str) -> Vec<u8> {
    json!({"metadata": {"name": name}, "spec": {"selector": "all()"}}).to_string().into_bytes()
}

/// What was told of each object.
fn told(updates: &[Update]) -> Vec<(String, &'static str)> {
    let what = |update: &Update| match update.object() {
        None => "gone",
        Some(Ok(_)) => "there",
        Some(Err(_)) => "invalid",
    };
    updates.iter().map(|update| (update.key.name.clone(), what(update))).collect()
}

fn all(list: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    list.iter().map(|(name, what)| ((*name).to_owned(), *what)).collect()
}

/// The key of a policy in the store says less than the policy does of its name (datastore.md section 2.4).
#[test]
fn a_policy_that_is_stored_under_another_name_goes_with_its_key() {
    let bench = Bench::new();
    let kv = open(&bench.file);
    let kind = Kind::GlobalNetworkPolicy;
    let put = |name: &str, value: &[u8]| put(&kv, kind, name, value);
    let delete = |name: &str| kv.delete(&keys::key(&ResourceKey::global(kind, name))).unwrap();
    put("default.web", &policy("default.web"));
    assert_eq!(told(&bench.updates()), all(&[("web", "there")]));
    put("default.web", b"no object");
    assert_eq!(told(&bench.updates()), all(&[("web", "invalid")]));
    // The key names it, whatever the value says; only the annotation counts more.
    put("default.web", &policy("other"));
    assert_eq!(told(&bench.updates()), all(&[("web", "there")]));
    let annotation = json!({"projectcalico.org/metadata": "{\"name\":\"other\"}"});
    let other = json!({"metadata": {"name": "default.web", "annotations": annotation}, "spec": {}});
    put("default.web", other.to_string().as_bytes());
    assert_eq!(told(&bench.updates()), all(&[("web", "gone"), ("other", "there")]));
    put("default.web", &policy("default.web"));
    assert_eq!(told(&bench.updates()), all(&[("other", "gone"), ("web", "there")]));
    delete("default.web");
    assert_eq!(told(&bench.updates()), all(&[("web", "gone")]));
    // The same object under two keys: one of them goes, the other one counts.
    put("default.web", &policy("default.web"));
    bench.updates();
    put("web", &policy("web"));
    assert_eq!(told(&bench.updates()), all(&[("web", "there")]));
    delete("web");
    let updates: Vec<_> = [bench.updates(), bench.updates()].concat();
    assert_eq!(told(&updates), all(&[("web", "there")]));
    delete("default.web");
    assert_eq!(told(&bench.updates()), all(&[("web", "gone")]));
    // And while nobody looks.
    put("default.web", &policy("default.web"));
    bench.updates();
    let without = bench.beside(".without");
    kv.backup(&without).unwrap();
    open(&without).delete(&keys::key(&ResourceKey::global(kind, "default.web"))).unwrap();
    bench.replace_by(&without);
    assert_eq!(told(&bench.updates()), all(&[("web", "gone")]));
}

/// A change that comes in the transaction that locks the store is told once it is unlocked.
#[test]
fn nothing_that_changed_while_the_store_was_being_locked_is_forgotten_e703() {
    let bench = Bench::new();
    let kv = open(&bench.file);
    let flag = keys::key(&ResourceKey::global(Kind::ClusterInformation, "default"));
    let ready = kv.get(&flag).unwrap().unwrap().value;
    let locked =
        String::from_utf8(ready.clone()).unwrap().replace("\"datastoreReady\":true", "\"datastoreReady\":false");
    let put = |key: String, value: Vec<u8>| Op::Put { key, value, ttl: None };
    let set = keys::key(&ResourceKey::global(Kind::GlobalNetworkSet, "a"));
    let ops = vec![put(set, net_set("10.0.0.9")), put(flag.clone(), locked.into_bytes())];
    kv.txn(&Txn { compares: vec![], ops }).unwrap();
    assert_eq!(bench.next(), SyncEvent::Locked);
    kv.put(&flag, &ready, None).unwrap();
    let updates = bench.updates();
    let sets: Vec<&Update> = updates.iter().filter(|update| update.key.kind == Kind::GlobalNetworkSet).collect();
    assert_eq!(sets.iter().map(|update| nets(update)).collect::<Vec<_>>(), ["10.0.0.9"]);
}

/// Who reads too slowly finds the history gone, and reads everything anew.
#[test]
fn a_reader_that_is_behind_when_the_log_is_compacted_misses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    let kv = open(&file);
    Resources::new(&kv).ensure_initialised().unwrap();
    let (sender, events) = std::sync::mpsc::sync_channel(0);
    let reader: Arc<dyn Kv> = Arc::new(open(&file));
    let syncer = Syncer::start(reader, false, move |event| sender.send(event).unwrap_or_default()).unwrap();
    assert!(matches!(events.recv_timeout(PATIENCE).unwrap(), SyncEvent::Updates { is_snapshot: true, .. }));
    for number in 0..700 {
        let name = format!("n{}", number % 5);
        let value = named(&name, &format!("10.0.{}.{}", number / 200, number % 200));
        put(&kv, Kind::GlobalNetworkSet, &name, &value);
    }
    kv.compact(kv.range("").unwrap().1).unwrap();
    put(&kv, Kind::GlobalNetworkSet, "last", &named("last", "10.9.9.9"));
    let (mut known, mut snapshots) = (std::collections::BTreeMap::new(), 0);
    while !known.contains_key("last") {
        let SyncEvent::Updates { updates, is_snapshot, .. } = events.recv_timeout(PATIENCE).unwrap() else { continue };
        snapshots += usize::from(is_snapshot);
        known.extend(updates.iter().map(|update| (update.key.name.clone(), nets(update))));
    }
    assert_eq!(snapshots, 1, "the history was gone");
    for number in 695..700 {
        assert_eq!(known[&format!("n{}", number % 5)], format!("10.0.{}.{}", number / 200, number % 200));
    }
    drop(events);
    drop(syncer);
}
