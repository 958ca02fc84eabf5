//! The metadata that an object is written with.

use serde_json::{Map, Value, json};
use uuid::Uuid;

/// On create only name, namespace, labels and annotations of the document count (cli.md section 1.3).
pub(super) fn keep_own_metadata(value: &mut Map<String, Value>) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| ["name", "namespace", "labels", "annotations"].contains(&name.as_str()));
    }
}

/// On update labels and annotations come from the document, everything else of the metadata from the store.
pub(super) fn with_stored_metadata(value: &Map<String, Value>, stored: &Map<String, Value>) -> Map<String, Value> {
    let mut value = value.clone();
    let mut metadata = stored.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    for name in ["labels", "annotations"] {
        metadata.remove(name);
        if let Some(given) = value["metadata"].get(name) {
            metadata.insert(name.to_owned(), given.clone());
        }
    }
    value.insert("metadata".to_owned(), Value::Object(metadata));
    value
}

/// Gives a new object its identity and time of creation.
pub(super) fn stamp(value: &mut Map<String, Value>) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), json!(Uuid::new_v4().to_string()));
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        metadata.insert("creationTimestamp".to_owned(), json!(now));
    }
}
