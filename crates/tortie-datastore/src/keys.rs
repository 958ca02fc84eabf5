//! Where a resource lies in a store, and what its bytes are there (datastore.md sections 2.1, 2.2 and 2.4).

use serde_json::{Map, Value, json};
use tortie_api::defaults::TIER_LABEL;
use tortie_api::limits::STORED_LEN_MAX;
use tortie_api::{API_VERSION, DEFAULT_TIER, Kind, ResourceKey};

use crate::kv::{RESOURCE_PREFIX, Revision};

/// The annotation in which policies keep the name that users gave them (section 2.4).
pub const NAME_ANNOTATION: &str = "projectcalico.org/metadata";

/// The key of an object.
pub fn key(key: &ResourceKey) -> String {
    match &key.namespace {
        Some(namespace) => format!("{RESOURCE_PREFIX}{}/{namespace}/{}", key.kind.plural(), key.name),
        None => format!("{RESOURCE_PREFIX}{}/{}", key.kind.plural(), key.name),
    }
}

/// The prefix of all objects of a kind, in one namespace if given; ends in `/`, so that `ns1` does not take `ns11`.
pub fn prefix(kind: Kind, namespace: Option<&str>) -> String {
    match namespace {
        Some(namespace) if kind.is_namespaced() => format!("{RESOURCE_PREFIX}{}/{namespace}/", kind.plural()),
        _ => format!("{RESOURCE_PREFIX}{}/", kind.plural()),
    }
}

/// The object of a key, or `None` for kinds that are not ours and for keys with other segments.
pub fn parse(key: &str) -> Option<ResourceKey> {
    let mut segments = key.strip_prefix(RESOURCE_PREFIX)?.split('/');
    let kind = Kind::from_plural(segments.next()?)?;
    let namespace = if kind.is_namespaced() { Some(segments.next()?.to_owned()) } else { None };
    let name = segments.next()?.to_owned();
    (segments.next().is_none() && !name.is_empty()).then_some(ResourceKey { kind, namespace, name })
}

/// The key under which older versions kept a policy of the default tier.
pub fn legacy(key: &ResourceKey) -> Option<ResourceKey> {
    key.kind.is_tiered_policy().then(|| ResourceKey { name: format!("default.{}", key.name), ..key.clone() })
}

/// The bytes of an object in stored form.
pub fn to_bytes(kind: Kind, object: &Map<String, Value>) -> Vec<u8> {
    let mut stored = object.clone();
    stored.insert("kind".to_owned(), json!(kind.name()));
    stored.insert("apiVersion".to_owned(), json!(API_VERSION));
    if let Some(metadata) = stored.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("resourceVersion");
        metadata.remove("selfLink");
        if kind.is_tiered_policy() {
            let name = metadata.get("name").cloned().unwrap_or_default();
            let annotation = json!({ "name": name }).to_string();
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            if let Some(annotations) = annotations.as_object_mut() {
                annotations.insert(NAME_ANNOTATION.to_owned(), json!(annotation));
            }
        }
    }
    Value::Object(stored).to_string().into_bytes()
}

/// The object in the bytes of a store, as users see it.
///
/// # Errors
/// A sentence when the bytes are no JSON object of the kind, or are more than [`STORED_LEN_MAX`].
pub fn from_bytes(kind: Kind, bytes: &[u8], revision: Revision) -> Result<Map<String, Value>, String> {
    from_object(kind, parse_object(bytes)?, revision)
}

/// The object that lies at `key`, which names it, whatever the value says of its name: only what a policy's annotation says
/// counts more (section 2.4). So no value can take an object out of force by calling itself something else.
///
/// # Errors
/// As [`from_bytes`].
pub fn from_bytes_at(key: &ResourceKey, bytes: &[u8], revision: Revision) -> Result<Map<String, Value>, String> {
    let mut object = parse_object(bytes)?;
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("name".to_owned(), json!(key.name));
        if let Some(namespace) = &key.namespace {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
    }
    from_object(key.kind, object, revision)
}

fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.len() > STORED_LEN_MAX {
        return Err(format!("the value has {} bytes, at most {STORED_LEN_MAX} are read", bytes.len()));
    }
    match serde_json::from_slice(bytes).map_err(|error| error.to_string())? {
        Value::Object(object) => Ok(object),
        _ => Err("the value is no object".to_owned()),
    }
}

fn from_object(kind: Kind, mut object: Map<String, Value>, revision: Revision) -> Result<Map<String, Value>, String> {
    if kind.is_tiered_policy() {
        let tier = object.get("spec").and_then(|spec| spec.get("tier")).and_then(Value::as_str);
        let tier = tier.unwrap_or_default().to_owned();
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            shown_name(metadata, &tier)?;
        }
    }
    complete(kind, &mut object, &revision.to_string())?;
    Ok(object)
}

/// Gives an object of any store what every reader sees: kind and API version, `spec`, its revision, and what section 2.3
/// fills on reading.
///
/// # Errors
/// A sentence when its metadata are no object.
pub fn complete(kind: Kind, object: &mut Map<String, Value>, revision: &str) -> Result<(), String> {
    object.insert("kind".to_owned(), json!(kind.name()));
    object.insert("apiVersion".to_owned(), json!(API_VERSION));
    object.entry("spec").or_insert_with(|| json!({}));
    let metadata = object.entry("metadata").or_insert_with(|| json!({}));
    let Some(metadata) = metadata.as_object_mut() else { return Err("`metadata` is no object".to_owned()) };
    metadata.remove("selfLink");
    metadata.insert("resourceVersion".to_owned(), json!(revision));
    if kind.is_tiered_policy() {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            labels.entry(TIER_LABEL).or_insert_with(|| json!(DEFAULT_TIER));
        }
    }
    if kind == Kind::Tier
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.entry("order").or_insert_with(|| json!(1_000_000));
        spec.entry("defaultAction").or_insert_with(|| json!("Deny"));
    }
    Ok(())
}

/// The name of a policy as its user gave it: from the annotation, else without the prefix of old versions.
fn shown_name(metadata: &mut Map<String, Value>, tier: &str) -> Result<(), String> {
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    let annotation = annotations.and_then(|annotations| annotations.remove(NAME_ANNOTATION));
    if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
        metadata.remove("annotations");
    }
    let name = metadata.get("name").and_then(Value::as_str).unwrap_or_default();
    if let Some(name) = given_name(name, annotation.as_ref().and_then(Value::as_str), tier)? {
        metadata.insert("name".to_owned(), json!(name));
    }
    Ok(())
}

/// The name that a user gave a policy, where it is another than `name`.
pub(crate) fn given_name(name: &str, annotation: Option<&str>, tier: &str) -> Result<Option<String>, String> {
    match annotation.filter(|text| !text.is_empty()) {
        Some(text) => {
            let folded: Value = serde_json::from_str(text).map_err(|e| format!("annotation {NAME_ANNOTATION}: {e}"))?;
            let given = folded.get("name").and_then(Value::as_str);
            Ok(given.filter(|given| !given.is_empty()).map(str::to_owned))
        }
        None if tier.is_empty() || tier == DEFAULT_TIER => Ok(name.strip_prefix("default.").map(str::to_owned)),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_calico() {
        let check = |key: ResourceKey, text: &str| {
            assert_eq!(super::key(&key), text);
            assert_eq!(parse(text), Some(key));
        };
        check(
            ResourceKey::global(Kind::HostEndpoint, "some.name"),
            "/calico/resources/v3/projectcalico.org/hostendpoints/some.name",
        );
        check(
            ResourceKey::namespaced(Kind::NetworkPolicy, "ns", "web"),
            "/calico/resources/v3/projectcalico.org/networkpolicies/ns/web",
        );
        for other in ["hostendpoints/a/b", "ippools/a", "networkpolicies/a", "hostendpoints/", "hostendpoints"] {
            assert_eq!(parse(&format!("{RESOURCE_PREFIX}{other}")), None, "{other}");
        }
    }

    #[test]
    fn names_of_policies_have_a_history() {
        let shown = |stored: Value| {
            let object = from_bytes(Kind::GlobalNetworkPolicy, stored.to_string().as_bytes(), Revision(7))?;
            Ok::<_, String>(object["metadata"]["name"].as_str().unwrap().to_owned())
        };
        let annotated =
            json!({"metadata": {"name": "default.foo", "annotations": {NAME_ANNOTATION: r#"{"name":"foo"}"#}}});
        assert_eq!(shown(annotated).as_deref(), Ok("foo"));
        assert_eq!(shown(json!({"metadata": {"name": "default.foo"}})).as_deref(), Ok("foo"));
        let tiered = json!({"metadata": {"name": "security.foo"}, "spec": {"tier": "security"}});
        assert_eq!(shown(tiered).as_deref(), Ok("security.foo"));
        assert!(shown(json!({"metadata": {"name": "x", "annotations": {NAME_ANNOTATION: "{"}}})).is_err());
    }

    #[test]
    fn what_is_written_is_read_without_a_trace_of_the_store() {
        let object = json!({"metadata": {"name": "web", "labels": {"a": "b"}}, "spec": {"tier": "default"}});
        let bytes = to_bytes(Kind::GlobalNetworkPolicy, object.as_object().unwrap());
        let read = from_bytes(Kind::GlobalNetworkPolicy, &bytes, Revision(3)).unwrap();
        assert_eq!(read["metadata"]["resourceVersion"], "3");
        assert_eq!(read["metadata"].get("annotations"), None);
        assert_eq!(read["metadata"]["labels"]["a"], "b");
    }
}
