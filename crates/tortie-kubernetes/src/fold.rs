//! Metadata of the classic group, which lie folded in an annotation (datastore.md section 3.2).

use serde_json::{Map, Value, json};
use tortie_api::{API_VERSION, DEFAULT_TIER, ResourceKey};
use tortie_datastore::keys::NAME_ANNOTATION;

use crate::group::Group;
use crate::uid;

/// Keys of labels and annotations with one of these stay on the custom resource itself too.
const VISIBLE: [&str; 2] = ["projectcalico.org/", "operator.tigera.io/"];

/// What the server counts by itself.
pub(crate) const OF_THE_SERVER: [&str; 3] = ["resourceVersion", "generation", "managedFields"];

/// The metadata of the custom resource that holds an object; `before` are those it has, which say what stays on it.
pub(crate) fn fold(
    at: &ResourceKey,
    metadata: &Map<String, Value>,
    before: Option<&Map<String, Value>>,
) -> Map<String, Value> {
    let mut folded = metadata.clone();
    folded.retain(|name, _| !["namespace", "uid"].contains(&name.as_str()) && !OF_THE_SERVER.contains(&name.as_str()));
    if !at.kind.is_tiered_policy() {
        folded.remove("name");
    }
    convert_owners(&mut folded, API_VERSION, &Group::Classic.to_string());

    let mut own = Map::new();
    own.insert("name".to_owned(), json!(at.name));
    if let Some(namespace) = &at.namespace {
        own.insert("namespace".to_owned(), json!(namespace));
    }
    for name in ["resourceVersion", "uid", "finalizers", "ownerReferences"] {
        if let Some(value) = before.and_then(|before| before.get(name)) {
            own.insert(name.to_owned(), value.clone());
        }
    }
    let visible = |name: &str| {
        let all = metadata.get(name).and_then(Value::as_object).into_iter().flatten();
        let visible = all.filter(|(key, _)| VISIBLE.iter().any(|part| key.contains(part)));
        visible.map(|(key, value)| (key.clone(), value.clone())).collect::<Map<String, Value>>()
    };
    let labels = visible("labels");
    if !labels.is_empty() {
        own.insert("labels".to_owned(), Value::Object(labels));
    }
    let mut annotations = visible("annotations");
    annotations.insert(NAME_ANNOTATION.to_owned(), json!(Value::Object(folded).to_string()));
    own.insert("annotations".to_owned(), Value::Object(annotations));
    own
}

/// The metadata of an object from those of its custom resource; `tier` is that of its spec.
///
/// # Errors
/// A sentence when the annotation cannot be read.
pub(crate) fn unfold(at: &ResourceKey, own: &Map<String, Value>, tier: &str) -> Result<Map<String, Value>, String> {
    let annotation = own.get("annotations").and_then(|annotations| annotations.get(NAME_ANNOTATION));
    let text = annotation.and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut metadata = match text {
        None => own.clone(),
        Some(text) => unfold_annotation(at, own, tier, text)?,
    };
    if let Some(uid) = own.get("uid").and_then(Value::as_str) {
        metadata.insert("uid".to_owned(), json!(uid::convert(uid)));
    }
    Ok(metadata)
}

fn unfold_annotation(
    at: &ResourceKey,
    own: &Map<String, Value>,
    tier: &str,
    text: &str,
) -> Result<Map<String, Value>, String> {
    let folded: Value = serde_json::from_str(text).map_err(|error| format!("annotation {NAME_ANNOTATION}: {error}"))?;
    let Value::Object(mut metadata) = folded else {
        return Err(format!("annotation {NAME_ANNOTATION} is no object"));
    };
    // A member of the wrong type would hide what the custom resource says.
    metadata.retain(|name, value| !value.is_null() && !OF_THE_SERVER.contains(&name.as_str()));
    convert_owners(&mut metadata, &Group::Classic.to_string(), API_VERSION);
    for name in ["labels", "annotations"] {
        let mut merged = own.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        merged.remove(NAME_ANNOTATION);
        match metadata.get(name) {
            None => {}
            Some(Value::Object(inner)) => merged.extend(inner.clone()),
            Some(_) => return Err(format!("annotation {NAME_ANNOTATION}: `{name}` is no object")),
        }
        metadata.remove(name);
        if !merged.is_empty() {
            metadata.insert(name.to_owned(), Value::Object(merged));
        }
    }
    let inner = metadata.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = match inner {
        Some(name) if at.kind.is_tiered_policy() => name,
        _ if at.kind.is_tiered_policy() && (tier.is_empty() || tier == DEFAULT_TIER) => {
            at.name.strip_prefix("default.").unwrap_or(&at.name)
        }
        _ => &at.name,
    };
    let name = json!(name);
    metadata.insert("name".to_owned(), name);
    metadata.shift_remove("namespace");
    for name in ["namespace", "resourceVersion"] {
        if let Some(value) = own.get(name) {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    if metadata.get("creationTimestamp").is_none()
        && let Some(time) = own.get("creationTimestamp")
    {
        metadata.insert("creationTimestamp".to_owned(), time.clone());
    }
    Ok(metadata)
}

/// Owners of our group have another group and another identity as custom resources.
fn convert_owners(metadata: &mut Map<String, Value>, from: &str, to: &str) {
    let owners = metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).into_iter().flatten();
    for owner in owners.filter(|owner| owner["apiVersion"] == from) {
        let uid = owner["uid"].as_str().map(uid::convert).unwrap_or_default();
        owner["apiVersion"] = json!(to);
        owner["uid"] = json!(uid);
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn policy(name: &str) -> ResourceKey {
        ResourceKey::global(Kind::GlobalNetworkPolicy, name)
    }

    #[test]
    fn what_was_folded_is_unfolded() {
        let metadata = object(json!({
            "name": "web", "uid": "aa844ac0-87c8-440a-b270-307cdba8fd25", "creationTimestamp": "2026-01-02T03:04:05Z",
            "resourceVersion": "7", "generation": 2, "managedFields": [],
            "labels": {"team": "a", "projectcalico.org/tier": "default"}, "annotations": {"note": "x"},
            "ownerReferences": [{"apiVersion": API_VERSION, "uid": "aa844ac0-87c8-440a-b270-307cdba8fd25"},
                {"apiVersion": "v1", "uid": "aa844ac0-87c8-440a-b270-307cdba8fd25"}],
        }));
        let before = object(json!({"resourceVersion": "9", "uid": "55215203-e113-4450-b20e-0c3edb15bfa4",
            "finalizers": ["theirs"], "labels": {"gone": "x"}}));
        let own = fold(&policy("web"), &metadata, Some(&before));
        assert_eq!(own["labels"], json!({"projectcalico.org/tier": "default"}));
        assert_eq!(own["finalizers"], json!(["theirs"]), "those of the custom resource stay");
        assert_eq!((&own["resourceVersion"], &own["uid"]), (&before["resourceVersion"], &before["uid"]));
        let folded: Value = serde_json::from_str(own["annotations"][NAME_ANNOTATION].as_str().unwrap()).unwrap();
        assert_eq!(folded["name"], "web");
        for name in ["uid", "resourceVersion", "generation", "managedFields", "namespace"] {
            assert_eq!(folded.get(name), None, "{name}");
        }
        assert_eq!(folded["ownerReferences"][0]["apiVersion"], "crd.projectcalico.org/v1");
        assert_eq!(folded["ownerReferences"][0]["uid"], "55215203-e113-4450-b20e-0c3edb15bfa4");
        assert_eq!(folded["ownerReferences"][1], metadata["ownerReferences"][1]);

        let back = unfold(&policy("web"), &own, "default").unwrap();
        for name in ["name", "uid", "labels", "annotations", "creationTimestamp", "ownerReferences"] {
            assert_eq!(back[name], metadata[name], "{name}");
        }
        assert_eq!(back["resourceVersion"], "9");
    }

    #[test]
    fn only_policies_keep_their_name_in_the_annotation() {
        let key = ResourceKey::global(Kind::HostEndpoint, "a");
        let own = fold(&key, &object(json!({"name": "a"})), None);
        assert_eq!(own["annotations"][NAME_ANNOTATION], "{}");
    }

    #[test]
    fn names_of_policies_in_the_classic_group() {
        let named = |at: &str, annotation: Option<&str>, tier: &str| {
            let mut own = object(json!({"name": at}));
            if let Some(text) = annotation {
                own.insert("annotations".to_owned(), json!({NAME_ANNOTATION: text}));
            }
            unfold(&policy(at), &own, tier).map(|metadata| metadata["name"].as_str().unwrap().to_owned())
        };
        assert_eq!(named("default.foo", None, "").as_deref(), Ok("default.foo"), "by kubectl: as it is");
        assert_eq!(named("default.v331", Some(r#"{"name":"v331"}"#), "default").as_deref(), Ok("v331"));
        assert_eq!(named("default.foo", Some("{}"), "").as_deref(), Ok("foo"));
        assert_eq!(named("default.foo", Some("{}"), "security").as_deref(), Ok("default.foo"));
        assert_eq!(named("foo", Some(""), "").as_deref(), Ok("foo"), "an empty annotation is none");
        assert!(named("foo", Some("{"), "").is_err());
        assert!(named("foo", Some("[]"), "").is_err());
        assert!(named("foo", Some(r#"{"labels":3}"#), "").is_err());
    }

    #[test]
    fn labels_of_the_annotation_win_and_new_ones_are_added() {
        let own = object(json!({"name": "a", "labels": {"role": "db", "zone": "1"}, "creationTimestamp": "T",
            "generation": 3, "managedFields": [{}],
            "annotations": {"x": "y", NAME_ANNOTATION: r#"{"labels":{"role":"web"},"creationTimestamp":null}"#}}));
        let read = unfold(&ResourceKey::global(Kind::HostEndpoint, "a"), &own, "").unwrap();
        assert_eq!(read["labels"], json!({"role": "web", "zone": "1"}));
        assert_eq!(read["annotations"], json!({"x": "y"}));
        assert_eq!(read["creationTimestamp"], "T", "that of the custom resource where the annotation has none");
        assert_eq!((read.get("generation"), read.get("managedFields")), (None, None));
    }

    #[test]
    fn without_the_annotation_everything_stays() {
        let own = object(json!({"name": "a", "generation": 3, "labels": {"role": "db"},
            "uid": "aa844ac0-87c8-440a-b270-307cdba8fd25"}));
        let read = unfold(&ResourceKey::global(Kind::HostEndpoint, "a"), &own, "").unwrap();
        assert_eq!((&read["generation"], &read["labels"]), (&own["generation"], &own["labels"]));
        assert_eq!(read["uid"], "55215203-e113-4450-b20e-0c3edb15bfa4");
    }
}
