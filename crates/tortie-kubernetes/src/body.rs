//! From a resource to what the server is sent.

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey};

use crate::fold::{OF_THE_SERVER, fold};
use crate::group::Group;
use crate::mapped::node;

/// The object to be sent for a resource; `before` is what the server has, when it has it.
pub(crate) fn body(group: Group, at: &ResourceKey, value: &Map<String, Value>, before: Option<&Value>) -> Value {
    if at.kind == Kind::Node {
        return node::annotated(before.unwrap_or(&Value::Null), value);
    }
    let given = value.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    let own = before.and_then(|before| before["metadata"].as_object());
    let metadata = match group {
        Group::Classic => fold(at, &given, own),
        Group::Native => native(at, given, own),
    };
    let mut object = value.clone();
    object.insert("apiVersion".to_owned(), json!(group.to_string()));
    object.insert("kind".to_owned(), json!(at.kind.name()));
    object.insert("metadata".to_owned(), Value::Object(metadata));
    Value::Object(object)
}

/// Metadata as they are, but for what the server counts by itself.
fn native(at: &ResourceKey, given: Map<String, Value>, own: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut metadata = given;
    metadata.retain(|name, _| {
        !OF_THE_SERVER.contains(&name.as_str()) && !["uid", "creationTimestamp"].contains(&name.as_str())
    });
    metadata.insert("name".to_owned(), json!(at.name));
    for name in ["resourceVersion", "uid"] {
        if let Some(value) = own.and_then(|own| own.get(name)) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    metadata
}

/// The status of an object, where that is written by a request of its own (datastore.md section 3.1). An empty one says
/// nothing: writers of a spec have none.
pub(crate) fn status_of(kind: Kind, value: &Map<String, Value>) -> Option<&Value> {
    let has_request = matches!(kind, Kind::Tier | Kind::KubeControllersConfiguration);
    let status = value.get("status").filter(|_| has_request)?;
    status.as_object().is_some_and(|status| !status.is_empty()).then_some(status)
}

/// Whether sending `body` would change nothing of what the server has.
pub(crate) fn is_same(kind: Kind, stored: &Value, body: &Value) -> bool {
    let status = body.as_object().and_then(|body| status_of(kind, body));
    let has_status = status.is_none_or(|status| *status == stored["status"]);
    has_status && comparable(kind, stored) == comparable(kind, body)
}

/// An object without what the server counts or a request of its own writes, numbers as numbers, the annotation as what it says.
fn comparable(kind: Kind, object: &Value) -> Value {
    let mut object = object.clone();
    if matches!(kind, Kind::Tier | Kind::KubeControllersConfiguration)
        && let Some(object) = object.as_object_mut()
    {
        object.remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, value| {
            let is_counted =
                OF_THE_SERVER.contains(&name.as_str()) || ["uid", "creationTimestamp"].contains(&name.as_str());
            !is_counted && !value.is_null() && value.as_object().is_none_or(|value| !value.is_empty())
        });
    }
    if let Some(annotation) = object.pointer_mut("/metadata/annotations/projectcalico.org~1metadata")
        && let Some(folded) = annotation.as_str().and_then(|text| serde_json::from_str(text).ok())
    {
        *annotation = folded;
    }
    floats(object)
}

fn floats(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or(Value::Number(number), |float| json!(float)),
        Value::Array(items) => items.into_iter().map(floats).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, floats(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_over_keeps_its_identity() {
        let at = ResourceKey::global(Kind::GlobalNetworkPolicy, "default.web");
        let value = json!({"metadata": {"name": "web", "uid": "mine", "resourceVersion": "1", "generation": 4,
            "finalizers": ["f"]}, "spec": {"order": 10}});
        let before = json!({"metadata": {"name": "default.web", "uid": "theirs", "resourceVersion": "9"}});
        let body = body(Group::Native, &at, value.as_object().unwrap(), Some(&before));
        let metadata = json!({"name": "default.web", "finalizers": ["f"], "resourceVersion": "9", "uid": "theirs"});
        assert_eq!(body["metadata"], metadata);
        assert_eq!(body["apiVersion"], "projectcalico.org/v3");
    }

    #[test]
    fn an_unchanged_object_is_known_whatever_the_server_adds() {
        let key = ResourceKey::global(Kind::HostEndpoint, "a");
        for group in [Group::Native, Group::Classic] {
            let value = json!({"metadata": {"name": "a", "labels": {"x": "y"}, "creationTimestamp": "T"},
                "spec": {"order": 100}});
            let value = value.as_object().unwrap();
            let mut stored = body(group, &key, value, None);
            stored["metadata"]["managedFields"] = json!([{}]);
            stored["metadata"]["uid"] = json!("u");
            stored["metadata"]["creationTimestamp"] = json!("T");
            stored["spec"]["order"] = json!(100.0);
            assert!(is_same(key.kind, &stored, &body(group, &key, value, Some(&stored))), "{group}");
            let mut other = value.clone();
            other["metadata"]["labels"]["x"] = json!("z");
            assert!(!is_same(key.kind, &stored, &body(group, &key, &other, Some(&stored))), "{group}");
        }
    }
}
