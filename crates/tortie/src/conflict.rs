//! Conflicts with what somebody else wrote: which fields, whose, and what to do about it (cli.md section 2.4).

use serde_json::{Map, Value};
use tortie_api::{ResourceKey, with_causes};
use tortie_datastore::kv::{FaultKind, OwnedField};
use tortie_datastore::resources::{Change, Mode, Object};
use tortie_datastore::{KvError, ResourceError, Resources};

use crate::patch::strategic_merge;
use crate::threeway::{Mark, ThreeWay, short};
use crate::{difference, get};

/// Metadata that no document decides.
const OF_THE_STORE: [&str; 5] = ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"];

/// An error in words, and what helps.
pub(crate) struct Told {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// What went wrong with a change. `is_part` says that the change names a part of the object only.
pub(crate) fn told(resources: &Resources<'_>, change: Option<&Change>, error: &ResourceError, is_part: bool) -> Told {
    let message = with_causes(error);
    let plain = |message| Told { message, hint: None };
    let Some(change) = change else { return plain(message) };
    match error {
        ResourceError::Store(KvError::Fault { kind: FaultKind::FieldsOwned { id, fields }, .. }) => {
            let stored = resources.get(id).ok();
            fields_of_others(id, fields, stored.as_ref(), &change.value)
        }
        ResourceError::Conflict(_) if change.mode != Mode::Delete => match resources.get(&change.key) {
            Ok(stored) => somebody_was_faster(resources, change, &stored, message, is_part),
            // The conflict itself is told in any case.
            Err(_) => plain(message),
        },
        _ => plain(message),
    }
}

/// Fields that another manager looks after (server-side apply).
fn fields_of_others(
    id: &ResourceKey,
    fields: &[OwnedField],
    stored: Option<&Object>,
    given: &Map<String, Value>,
) -> Told {
    let mut message = format!("conflict with other field managers: {id}");
    for OwnedField { path, manager } in fields {
        message.push_str(&format!("\n  {path}: managed by `{manager}`"));
        if let Some(stored) = stored.and_then(|stored| at_path(&stored.value, path)) {
            let given = at_path(given, path).map_or_else(|| "nothing".to_owned(), short);
            message.push_str(&format!(" (stored {}, given {given})", short(stored)));
        }
    }
    let hint =
        "`--force-conflicts` takes these fields over; or leave them out of the file, or write there what is stored";
    Told { message, hint: Some(hint.to_owned()) }
}

/// What a path of members leads to. Names of labels have dots of their own.
fn at_path<'a>(object: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = object.get(path) {
        return Some(value);
    }
    let dots = path.match_indices('.').map(|(at, _)| at);
    dots.filter_map(|dot| at_path(object.get(&path[..dot])?.as_object()?, &path[dot + 1..])).next()
}

/// What was changed since the version that a document was made from, where that is known, else what is stored now against
/// what was given.
fn somebody_was_faster(
    resources: &Resources<'_>,
    change: &Change,
    stored: &Object,
    message: String,
    is_part: bool,
) -> Told {
    let two_sides = |why: &str| {
        let mut given = change.value.clone();
        if is_part {
            // What is merged leaves everything else as it is.
            given = stored.value.clone();
            strategic_merge(&mut given, &change.value);
        }
        let mut stored = stored.value.clone();
        [&mut stored, &mut given].into_iter().for_each(|object| get::strip(object, &OF_THE_STORE));
        let shown = difference::of_objects(["stored now", "given"], &stored, &given);
        Told { message: format!("{message}{why}\n{}", shown.trim_end()).trim_end().to_owned(), hint: None }
    };
    let Some(revision) = &change.resource_version else { return two_sides("") };
    let base = match resources.written_at(&change.key, revision) {
        Ok(Some(base)) => base,
        Ok(None) if resources.keeps_history() => {
            return two_sides(&format!(
                "\nthe version that it was made from, revision {revision}, is not kept any more"
            ));
        }
        Ok(None) => {
            let why = "\nthis store keeps no older versions: what it was made from is not known";
            return two_sides(why);
        }
        Err(error) => {
            tracing::debug!("cannot read {} at revision {revision}: {}", change.key, with_causes(&error));
            return two_sides("");
        }
    };
    let sides = ThreeWay::new(&base.value, &stored.value, &change.value, is_part);
    let now = stored.value["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let message =
        format!("{message}\nit was made from revision {revision}, and revision {now} is stored now:\n{sides}");
    Told { message: message.trim_end().to_owned(), hint: Some(hint(&sides, &change.key, &now)) }
}

fn hint(sides: &ThreeWay, key: &ResourceKey, now: &str) -> String {
    let kind = key.kind.aliases().next().unwrap_or(key.kind.plural());
    let namespace = key.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let edit = format!("`tortie edit {kind} {}{namespace}`", key.name);
    let take = format!("`resourceVersion: \"{now}\"`");
    let take_over = if sides.has(Mark::Stored) { ", take over what is marked `<`" } else { "" };
    if sides.has(Mark::Both) {
        format!("decide what is marked `!`{take_over}, then write {take}; or change what is stored: {edit}")
    } else if sides.has(Mark::Stored) {
        format!("nothing was changed on both sides: take over what is marked `<`, then write {take}; or {edit}")
    } else {
        format!("nothing was changed there that is not in the file: write {take}, or leave it out")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_through_names_with_dots() {
        let object = json!({"metadata": {"labels": {"projectcalico.org/tier": "a"}}, "spec": {"order": 1}});
        let object = object.as_object().unwrap();
        assert_eq!(at_path(object, "metadata.labels.projectcalico.org/tier"), Some(&json!("a")));
        assert_eq!(at_path(object, "spec.order"), Some(&json!(1)));
        assert_eq!(at_path(object, "spec.other"), None);
        assert_eq!(at_path(object, "spec.types[v:\"Ingress\"]"), None);
    }
}
