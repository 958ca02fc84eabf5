//! The embedded store when its file holds what this program never wrote.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::types::Value;
use serde_json::json;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::kv::{Kv, RESOURCE_PREFIX, Revision, Span, WatchEvent, watch_receiver};
use tortie_datastore::resources::{Change, Mode, Resources};
use tortie_datastore::{Access, Embedded};

/// Columns that rows are changed in.
const COLUMNS: &[(&str, &str)] = &[
    ("kv", "key"),
    ("kv", "value"),
    ("kv", "create_rev"),
    ("kv", "mod_rev"),
    ("kv", "version"),
    ("kv", "expires_at"),
    ("log", "rev"),
    ("log", "seq"),
    ("log", "key"),
    ("log", "op"),
    ("log", "value"),
    ("log", "prev"),
    ("log", "at"),
    ("meta", "v"),
];

/// How long a watch may say nothing.
const PATIENCE: Duration = Duration::from_millis(100);

/// A good store that was changed: by bytes of its file when the first byte is odd, else by values of its rows.
///
/// Every call answers or fails, and reading answers the same twice.
pub fn store(data: &[u8]) {
    let Some((how, changes)) = data.split_first() else { return };
    let folder = tempfile::Builder::new().prefix("tortie-fuzz").tempdir_in(fast_folder()).unwrap();
    let file = folder.path().join("store.db");
    let mut bytes = template().to_vec();
    if how % 2 == 1 {
        patch(&mut bytes, changes);
    }
    std::fs::write(&file, bytes).unwrap();
    if how % 2 == 0 {
        change_rows(&file, changes);
    }
    if let Ok(embedded) = Embedded::open(&file, Access::Read) {
        use_it(&embedded);
    }
    if let Ok(embedded) = Embedded::open(&file, Access::Write) {
        use_it(&embedded);
        let key = ResourceKey::global(Kind::GlobalNetworkSet, "new");
        let object = json!({"metadata": {"name": "new"}, "spec": {"nets": ["192.0.2.0/24"]}});
        let written = Resources::new(&embedded).write(&[put(key.clone(), &object)]);
        if written.is_ok() {
            assert!(Resources::new(&embedded).get(&key).is_ok(), "what was written is not there");
        }
        let _ = embedded.sweep();
    }
}

fn use_it(embedded: &Embedded) {
    // Faults are told; what matters is that they are answers.
    let read = || embedded.read(&[Span::Prefix(RESOURCE_PREFIX.to_owned())]).ok();
    let snapshot = read();
    assert_eq!(snapshot, read());
    let resources = Resources::new(embedded);
    for kind in Kind::all() {
        let _ = resources.list(kind, None);
    }
    let _ = embedded.check();
    let revision = snapshot.map_or(Revision::ZERO, |snapshot| snapshot.revision);
    if revision >= Revision(1)
        && let Ok(watch) = watch_receiver(embedded, &[RESOURCE_PREFIX], Revision(1))
    {
        // The past is told to its end, or the end of the watch is.
        while let Some(WatchEvent::Batch(batch)) = watch.next(PATIENCE)
            && batch.revision < revision
        {}
    }
}

fn put(key: ResourceKey, object: &serde_json::Value) -> Change {
    let value = object.as_object().cloned().unwrap_or_default();
    Change { mode: Mode::Apply, key, value, resource_version: None }
}

/// The bytes of a store with some objects.
fn template() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        let embedded = Embedded::open(&file, Access::Write).unwrap();
        let resources = Resources::new(&embedded);
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            let set = json!({"metadata": {"name": name}, "spec": {"nets": ["192.0.2.0/24"]}});
            let policy = json!({"metadata": {"name": name}, "spec": {"order": number, "types": ["Ingress"]}});
            let changes = [
                put(ResourceKey::global(Kind::GlobalNetworkSet, name), &set),
                put(ResourceKey::global(Kind::GlobalNetworkPolicy, name), &policy),
            ];
            resources.write(&changes).unwrap();
        }
        let copy = folder.path().join("copy.db");
        embedded.backup(&copy).unwrap();
        std::fs::read(copy).unwrap()
    })
}

/// Memory where there is some: the file is written for each input.
fn fast_folder() -> std::path::PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// Stretches of bytes, each behind its offset (4 bytes) and length (1 byte).
fn patch(bytes: &mut Vec<u8>, mut changes: &[u8]) {
    while let Some((head, rest)) = changes.split_first_chunk::<5>() {
        let offset = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize % bytes.len().max(1);
        let (stretch, rest) = rest.split_at(usize::from(head[4]).min(rest.len()));
        changes = rest;
        if stretch.is_empty() {
            bytes.truncate(offset);
            continue;
        }
        let end = (offset + stretch.len()).min(bytes.len());
        bytes[offset..end].copy_from_slice(&stretch[..end - offset]);
    }
}

/// Values of rows, each behind its column, row, type and length (1 byte each).
fn change_rows(file: &Path, mut changes: &[u8]) {
    let connection = rusqlite::Connection::open(file).unwrap();
    while let Some((head, rest)) = changes.split_first_chunk::<4>() {
        let (bytes, rest) = rest.split_at(usize::from(head[3]).min(rest.len()));
        changes = rest;
        let (table, column) = COLUMNS[usize::from(head[0]) % COLUMNS.len()];
        let key = match table {
            "log" => "rev || '/' || seq",
            "kv" => "key",
            _ => "k",
        };
        let text = format!(
            "UPDATE {table} SET {column} = ?1 WHERE {key} = (SELECT {key} FROM {table} ORDER BY 1 LIMIT 1 OFFSET ?2)"
        );
        // Rows may be refused: two of one key, or nothing where something must be.
        let _ = connection.execute(&text, rusqlite::params![value(head[2], bytes), head[1] % 16]);
    }
}

fn value(kind: u8, bytes: &[u8]) -> Value {
    match kind % 5 {
        0 => Value::Null,
        1 => {
            let mut number = [0; 8];
            let len = bytes.len().min(8);
            number[..len].copy_from_slice(&bytes[..len]);
            Value::Integer(i64::from_le_bytes(number))
        }
        2 => Value::Real(bytes.first().map_or(f64::MAX, |byte| f64::from(*byte))),
        3 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        _ => Value::Blob(bytes.to_vec()),
    }
}
