//! Patches of objects: what a strategic merge patch makes of one.

use serde_json::{Map, Value};

/// The member of a patch that says what to do with the object around it.
const DIRECTIVE: &str = "$patch";

/// Lists of a resource that a strategic merge adds to, and the member that tells their entries apart.
const MERGED: [(&str, Option<&str>); 2] = [("finalizers", None), ("ownerReferences", Some("uid"))];

/// A strategic merge: objects merge, `null` removes, lists are replaced but for two of the metadata; `$patch: replace` puts
/// an object in place of the one that is there, and `$patch: delete` removes its members.
pub(crate) fn strategic_merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *target = patch.clone();
            target.remove(DIRECTIVE);
            return;
        }
        Some("delete") => return target.clear(),
        _ => {}
    }
    for (name, value) in patch.iter().filter(|(name, _)| *name != DIRECTIVE) {
        let found = target.get_mut(name);
        match (found, value) {
            (_, Value::Null) => {
                target.remove(name);
            }
            (Some(Value::Object(found)), Value::Object(patch)) => {
                strategic_merge(found, patch);
            }
            (Some(Value::Array(found)), Value::Array(added)) if merges(name).is_some() => {
                merge_list(found, added, merges(name).flatten());
            }
            (_, Value::Object(patch)) => {
                let mut fresh = Map::new();
                strategic_merge(&mut fresh, patch);
                target.insert(name.clone(), Value::Object(fresh));
            }
            (_, value) => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}

fn merges(name: &str) -> Option<Option<&'static str>> {
    MERGED.iter().find(|(merged, _)| *merged == name).map(|(_, key)| *key)
}

fn merge_list(found: &mut Vec<Value>, added: &[Value], key: Option<&str>) {
    for item in added {
        let is_same = |other: &Value| match key {
            Some(key) => other.get(key) == item.get(key),
            None => other == item,
        };
        match (found.iter_mut().find(|other| is_same(other)), item) {
            (Some(Value::Object(there)), Value::Object(patch)) => strategic_merge(there, patch),
            (Some(_), _) => {}
            (None, item) => found.push(item.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(target: Value, patch: Value) -> Value {
        let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else { panic!("two objects") };
        strategic_merge(&mut target, &patch);
        Value::Object(target)
    }

    #[test]
    fn objects_merge_lists_do_not_and_null_removes() {
        assert_eq!(
            merged(
                json!({"spec": {"order": 1, "types": ["Ingress"], "tier": "a"}, "metadata": {"labels": {"a": "b"}}}),
                json!({"spec": {"types": ["Egress"], "tier": null}, "metadata": {"labels": {"c": "d", "x": null}}}),
            ),
            json!({"spec": {"order": 1, "types": ["Egress"]}, "metadata": {"labels": {"a": "b", "c": "d"}}})
        );
        // A new object holds nothing of what removes.
        assert_eq!(merged(json!({}), json!({"spec": {"a": null, "b": 1}})), json!({"spec": {"b": 1}}));
    }

    #[test]
    fn directives_replace_and_remove() {
        assert_eq!(
            merged(json!({"spec": {"a": 1, "b": {"c": 1}}}), json!({"spec": {"$patch": "replace", "d": 2}})),
            json!({"spec": {"d": 2}})
        );
        assert_eq!(merged(json!({"spec": {"a": 1}}), json!({"spec": {"$patch": "delete"}})), json!({"spec": {}}));
    }

    #[test]
    fn two_lists_of_the_metadata_grow() {
        assert_eq!(
            merged(
                json!({"metadata": {"finalizers": ["a"], "ownerReferences": [{"uid": "1", "name": "x"}]}}),
                json!({"metadata": {"finalizers": ["a", "b"], "ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "2"}]}}),
            ),
            json!({"metadata": {"finalizers": ["a", "b"], "ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "2"}]}})
        );
    }
}
