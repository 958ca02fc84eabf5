//! The name of a policy from its bytes, without the rest of it.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use tortie_api::ResourceKey;
use tortie_api::limits::STORED_LEN_MAX;

use crate::keys::{NAME_ANNOTATION, given_name};

/// The name of the policy whose bytes lie at `key`, as [`from_bytes_at`](crate::keys::from_bytes_at) gives it, at a tenth of
/// the cost; `None` where only that can tell.
pub(crate) fn name_at(key: &ResourceKey, bytes: &[u8]) -> Option<String> {
    if bytes.len() > STORED_LEN_MAX {
        return None;
    }
    let mut sketch = Sketch::default();
    Part { of: Place::Object, sketch: &mut sketch }
        .deserialize(&mut serde_json::Deserializer::from_slice(bytes))
        .ok()?;
    let given = given_name(&key.name, sketch.annotation.as_deref(), sketch.tier.as_deref().unwrap_or_default()).ok()?;
    Some(given.unwrap_or_else(|| key.name.clone()))
}

/// The members that tell the name.
#[derive(Default)]
struct Sketch {
    annotation: Option<String>,
    tier: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Object,
    Metadata,
    Annotations,
    Spec,
}

/// Reads an object within the policy. What is of another type than it should be is an error, and so is what comes twice.
struct Part<'s> {
    of: Place,
    sketch: &'s mut Sketch,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<(), M::Error> {
        let mut seen = [false; 2];
        while let Some(name) = members.next_key::<&str>()? {
            let (inner, number) = match (self.of, name) {
                (Place::Object, "metadata") => (Some(Place::Metadata), 0),
                (Place::Object, "spec") => (Some(Place::Spec), 1),
                (Place::Metadata, "annotations") => (Some(Place::Annotations), 0),
                (Place::Annotations, NAME_ANNOTATION) | (Place::Spec, "tier") => (None, 0),
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if std::mem::replace(&mut seen[number], true) {
                return Err(M::Error::custom("a member comes twice"));
            }
            match inner {
                Some(of) => members.next_value_seed(Part { of, sketch: self.sketch })?,
                None if self.of == Place::Spec => self.sketch.tier = Some(members.next_value()?),
                None => self.sketch.annotation = Some(members.next_value()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tortie_api::Kind;

    use super::*;
    use crate::keys::from_bytes_at;
    use crate::kv::Revision;

    #[test]
    fn a_name_is_found_without_reading_the_rest() {
        let key = ResourceKey::global(Kind::GlobalNetworkPolicy, "default.foo");
        let annotated = |text: Value| json!({"metadata": {"annotations": {NAME_ANNOTATION: text}}, "spec": {}});
        for (object, is_found) in [
            (annotated(json!(r#"{"name":"a"}"#)), true),
            (annotated(json!(r#"{"name":""}"#)), true),
            (annotated(json!("")), true),
            (json!({"spec": {"tier": "security", "ingress": [{"action": "Allow"}]}}), true),
            (json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "kind": 7}), true),
            (json!({}), true),
            (annotated(json!("{")), false),
            (annotated(json!(1)), false),
            (json!({"metadata": null}), false),
            (json!({"spec": 1}), false),
            (json!([]), false),
        ] {
            let bytes = object.to_string().into_bytes();
            let found = name_at(&key, &bytes);
            assert_eq!(found.is_some(), is_found, "{object}");
            if let Some(name) = found {
                assert_eq!(from_bytes_at(&key, &bytes, Revision(1)).unwrap()["metadata"]["name"], name, "{object}");
            }
        }
        assert_eq!(name_at(&key, br#"{"spec": {}, "spec": {}}"#), None);
        assert_eq!(name_at(&key, &vec![b' '; STORED_LEN_MAX + 1]), None);
    }
}
