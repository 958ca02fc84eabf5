//! What one manager wants of an object, as a server-side apply.
//!
//! A manager says what it wrote and nothing else: a default is sent only where the object has no such field yet, or where the
//! manager has it already and would lose it. In the classic group labels and annotations lie folded in one annotation
//! (datastore.md section 3.2), which is one field to the server: who gives any manages all of them.

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey, defaults};
use tortie_datastore::keys::NAME_ANNOTATION;
use tortie_datastore::kv::OwnedField;

use crate::fold::fold;
use crate::group::Group;

/// The object to be applied; `before` is what the server has, when it has it.
pub(crate) fn body(
    group: Group,
    at: &ResourceKey,
    written: &Map<String, Value>,
    before: Option<&Value>,
    manager: &str,
) -> Value {
    let mut filled = written.clone();
    defaults::fill(at.kind, &mut filled);
    let nothing = Value::Null;
    let stored = before.unwrap_or(&nothing);
    let managed = managed(stored, manager).unwrap_or(&nothing);
    let part = |name: &str| {
        let filled = filled.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        needed(&filled, written.get(name), &stored[name], &managed[&format!("f:{name}")])
    };
    let metadata = match group {
        Group::Native => part("metadata"),
        Group::Classic => folded(at, written, &filled, before, &managed["f:metadata"]),
    };
    let mut metadata = metadata;
    metadata.insert("name".to_owned(), json!(at.name));
    if let Some(namespace) = &at.namespace {
        metadata.insert("namespace".to_owned(), json!(namespace));
    }
    json!({"apiVersion": group.to_string(), "kind": at.kind.name(), "metadata": metadata, "spec": part("spec")})
}

/// A field of a conflict as users of the resource know it.
pub(crate) fn shown(mut field: OwnedField) -> OwnedField {
    if field.path.ends_with(NAME_ANNOTATION) {
        field.path = "metadata.labels and metadata.annotations".to_owned();
    }
    field
}

/// The fields that a manager has applied.
fn managed<'a>(stored: &'a Value, manager: &str) -> Option<&'a Value> {
    let all = stored["metadata"]["managedFields"].as_array()?.iter();
    let mut own = all.filter(|entry| {
        entry["manager"] == manager && entry["operation"] == "Apply" && entry.get("subresource").is_none_or(|s| s == "")
    });
    own.next().map(|entry| &entry["fieldsV1"])
}

/// Of `filled` what its user wrote, what is not there, and what the manager has.
fn needed(filled: &Map<String, Value>, written: Option<&Value>, stored: &Value, managed: &Value) -> Map<String, Value> {
    let mut needed = Map::new();
    for (name, value) in filled {
        let written = written.and_then(|written| written.get(name));
        let (stored, managed) = (&stored[name], &managed[&format!("f:{name}")]);
        match value {
            Value::Object(inner) if stored.is_object() && !inner.is_empty() => {
                let inner = self::needed(inner, written, stored, managed);
                if written.is_some() || !inner.is_empty() {
                    needed.insert(name.clone(), Value::Object(inner));
                }
            }
            _ if written.is_some() || stored.is_null() || !managed.is_null() => {
                needed.insert(name.clone(), value.clone());
            }
            _ => {}
        }
    }
    needed
}

/// Metadata of the classic group, without any where the user gives none and the manager has none.
fn folded(
    at: &ResourceKey,
    written: &Map<String, Value>,
    filled: &Map<String, Value>,
    before: Option<&Value>,
    managed: &Value,
) -> Map<String, Value> {
    let parts = ["labels", "annotations"];
    let given = |object: &Map<String, Value>, name: &str| {
        let part = object.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_object).cloned();
        part.filter(|part| !part.is_empty())
    };
    let has_folded = !managed["f:annotations"][&format!("f:{NAME_ANNOTATION}")].is_null();
    if before.is_some() && !has_folded && parts.iter().all(|name| given(written, name).is_none()) {
        return Map::new();
    }
    let text = before.and_then(|before| before["metadata"]["annotations"][NAME_ANNOTATION].as_str());
    let parsed = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let mut metadata = parsed.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    if at.kind.is_tiered_policy() && metadata.get("name").is_none() {
        metadata.insert("name".to_owned(), json!(at.name));
    }
    for name in parts {
        metadata.remove(name);
        if let Some(part) = given(filled, name) {
            metadata.insert(name.to_owned(), Value::Object(part));
        }
    }
    let mut own = fold(at, &metadata, None);
    if let Some(annotation) = own.get_mut("annotations").and_then(|annotations| annotations.get_mut(NAME_ANNOTATION)) {
        let again = annotation.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        // Another order of the same members would be a conflict over nothing.
        if let Some(text) = text.filter(|_| again == parsed) {
            *annotation = json!(text);
        }
    }
    own
}

/// Why a server-side apply is not possible.
pub(crate) fn refuses(key: &ResourceKey) -> Result<(), &'static str> {
    match key.kind {
        Kind::Node => Err("what is ours of a node lies in annotations of an object that Kubernetes manages; \
                           apply it without `--server-side`"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANAGER: &str = "tortie";

    fn policy() -> ResourceKey {
        ResourceKey::global(Kind::GlobalNetworkPolicy, "web")
    }

    fn applied(group: Group, written: Value, before: Option<&Value>) -> Value {
        body(group, &policy(), written.as_object().unwrap(), before, MANAGER)
    }

    fn entry(fields: Value) -> Value {
        json!([{"manager": MANAGER, "operation": "Apply", "fieldsV1": fields}])
    }

    #[test]
    fn defaults_are_sent_where_they_are_missing_or_would_get_lost() {
        let written = json!({"metadata": {"name": "web"}, "spec": {"selector": "all()"}});
        let fresh = applied(Group::Native, written.clone(), None);
        assert_eq!(fresh["spec"], json!({"selector": "all()", "tier": "default", "types": ["Ingress"]}));
        assert_eq!(fresh["metadata"]["labels"], json!({"projectcalico.org/tier": "default"}));
        // Somebody else has put it elsewhere, and its rules go out.
        let mut stored = json!({"metadata": {"name": "web", "labels": {"projectcalico.org/tier": "sec"}},
            "spec": {"tier": "sec", "types": ["Egress"]}});
        let mine = applied(Group::Native, written.clone(), Some(&stored));
        assert_eq!((&mine["spec"], mine["metadata"].get("labels")), (&json!({"selector": "all()"}), None));
        stored["metadata"]["managedFields"] = entry(json!({"f:spec": {"f:types": {}}}));
        let mine = applied(Group::Native, written.clone(), Some(&stored));
        assert_eq!(mine["spec"], json!({"selector": "all()", "types": ["Ingress"]}));
        // What the user wrote is sent whatever is there.
        let explicit = json!({"metadata": {"name": "web"}, "spec": {"tier": "default"}});
        assert_eq!(applied(Group::Native, explicit, Some(&stored))["spec"]["tier"], "default");
    }

    #[test]
    fn folded_metadata_are_one_field() {
        let bare = json!({"metadata": {"name": "web"}, "spec": {}});
        let annotation = |object: &Value| object["metadata"]["annotations"][NAME_ANNOTATION].clone();
        let fresh = applied(Group::Classic, bare.clone(), None);
        let text = annotation(&fresh).as_str().unwrap().to_owned();
        assert!(text.contains(r#""name":"web""#) && text.contains("projectcalico.org/tier"), "{text}");
        // Somebody else's stay, unless any are given; the rest of what is folded always does.
        let theirs = r#"{"creationTimestamp":"T","labels":{"x":"y","projectcalico.org/tier":"default"},"name":"web"}"#;
        let mut stored = json!({"metadata": {"name": "web", "annotations": {NAME_ANNOTATION: theirs}}, "spec": {}});
        assert_eq!(applied(Group::Classic, bare.clone(), Some(&stored))["metadata"], json!({"name": "web"}));
        let same = json!({"metadata": {"name": "web", "labels": {"projectcalico.org/tier": "default", "x": "y"}}});
        assert_eq!(annotation(&applied(Group::Classic, same, Some(&stored))), theirs, "to the letter");
        let other = json!({"metadata": {"name": "web", "labels": {"x": "z"}}});
        let text = annotation(&applied(Group::Classic, other, Some(&stored))).as_str().unwrap().to_owned();
        assert!(text.contains(r#""creationTimestamp":"T""#) && text.contains(r#""x":"z""#), "{text}");
        // Who has them and gives none any more takes them away.
        stored["metadata"]["managedFields"] =
            entry(json!({"f:metadata": {"f:annotations": {format!("f:{NAME_ANNOTATION}"): {}}}}));
        let text = annotation(&applied(Group::Classic, bare, Some(&stored))).as_str().unwrap().to_owned();
        assert!(!text.contains(r#""x""#) && text.contains(r#""creationTimestamp":"T""#), "{text}");
    }

    #[test]
    fn the_field_of_folded_metadata_is_told_as_what_it_holds() {
        let field = |path: &str| OwnedField { path: path.to_owned(), manager: "m".to_owned() };
        assert_eq!(shown(field("spec.order")), field("spec.order"));
        let folded = shown(field(&format!("metadata.annotations.{NAME_ANNOTATION}")));
        assert_eq!(folded, field("metadata.labels and metadata.annotations"));
    }
}
