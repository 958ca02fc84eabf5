//! Native objects of Kubernetes as our resources (datastore.md section 3.4, resources.md section 13).

pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod profile;

use serde_json::{Map, Value, json};

use crate::uid;

/// A member that is text, empty where it is missing.
fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

/// A member that is an object, empty where it is missing.
fn members(object: &Value, path: &str) -> Map<String, Value> {
    object.pointer(path).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// The metadata of a derived object: a name of its own, an identity made from that of its source.
fn derived_metadata(source: &Value, name: &str) -> Value {
    json!({
        "name": name,
        "uid": uid::convert(text(source, "/metadata/uid")),
        "creationTimestamp": source["metadata"]["creationTimestamp"],
    })
}
