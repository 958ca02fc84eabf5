//! `patch` and `label`.

use serde_json::{Map, Value, json};
use tortie_api::Kind;
use tortie_datastore::Access;
use tortie_datastore::resources::{Change, Mode, Object};

use super::error::{Error, Operation, of_store};
use super::flags::Given;
use super::input;
use super::resource::Resource;
use super::session::{Located, Session};
use super::write::write_one;
use crate::go;
use crate::patch::strategic_merge;

pub(super) fn patch(given: &Given) -> Result<(), Error> {
    let place = Located::find(given)?;
    let resource = single(given)?;
    let session = place.open(Access::Write)?;
    input::require_names(given)?;
    let kind = patched(given, &session, resource)?;
    println!("Successfully patched 1 '{kind}' resource");
    Ok(())
}

fn patched(given: &Given, session: &Session, mut resource: Resource) -> Result<Kind, Error> {
    let hit = |error: Error| error.within(Error::Hit);
    resource.settle_namespace(given).map_err(hit)?;
    let found = read(session, &resource).map_err(hit)?;
    let patch = serde_json::from_str(given.text("patch").unwrap_or_default());
    let patch = match patch {
        Ok(Value::Object(patch)) => patch,
        // To Go that is an object without members.
        Ok(Value::Null) => Map::new(),
        _ => return Err(hit(Error::NoPatch)),
    };
    let mut object = go::shown(resource.kind, &found.value).map_err(|problem| hit(Error::Stored(problem)))?;
    let before = object["metadata"].clone();
    strategic_merge(&mut object, &patch);
    let lost = lost(&before, &object);
    let wrong = |error: Error| hit(error.within(Error::Patched));
    let entries = tortie_api::entries(&Value::Object(object).to_string());
    let entry = entries.ok().and_then(|entries| entries.into_iter().next()).ok_or_else(|| wrong(Error::NoPatch))?;
    let patched = Resource::of_entry(entry).map_err(wrong)?;
    let update = |error: Error| hit(error.within(Error::Updating));
    let value = match patched.kind {
        Kind::ClusterInformation => Map::new(),
        _ => patched.valid().map_err(update)?.clone(),
    };
    if let Some(error) = lost {
        return Err(update(error));
    }
    let change = Change { mode: Mode::Replace, key: patched.key(), value, resource_version: patched.revision.clone() };
    write_one(&session.resources(), change, Operation::Update).map_err(update)?;
    Ok(resource.kind)
}

/// What every update must name, when a patch takes it away.
fn lost(before: &Value, patched: &Map<String, Value>) -> Option<Error> {
    const NEEDED: [(&str, &str, &str); 3] = [
        ("resourceVersion", "ResourceVersion", ""),
        ("creationTimestamp", "CreationTimestamp", "0001-01-01 00:00:00 +0000 UTC"),
        ("uid", "UID", ""),
    ];
    let after = patched.get("metadata").and_then(Value::as_object)?;
    let (_, field, value) =
        NEEDED.into_iter().find(|(name, ..)| before.get(name).is_some() && !after.contains_key(*name))?;
    let reason = "field must be set for an Update request";
    Some(Error::Invalid(format!("error with field Metadata.{field} = '{value}' ({reason})")))
}

/// The one object that the command names.
fn single(given: &Given) -> Result<Resource, Error> {
    let resources = Resource::of_words(&given.arguments[..2])?;
    Ok(resources.into_iter().next().expect("one name is one object"))
}

fn read(session: &Session, resource: &Resource) -> Result<Object, Error> {
    session.resources().get(&resource.key()).map_err(|error| of_store(error, Operation::Get))
}

pub(super) fn label(given: &Given) -> Result<(), Error> {
    let [kind, name, pairs @ ..] = given.arguments.as_slice() else { return Ok(()) };
    let changes: Vec<(&str, Option<&str>)> = pairs
        .iter()
        .map(|pair| match pair.split_once('=') {
            _ if given.is_set("remove") => Ok((pair.as_str(), None)),
            Some((key, value)) => Ok((key, Some(value))),
            None => Err(Error::Label(pair.clone())),
        })
        .collect::<Result<_, _>>()?;
    let what = || (kind.clone(), name.clone());
    let in_vain = |cause: Error| {
        let ((kind, name), cause) = (what(), Box::new(cause));
        Error::LabelGet { kind, name, cause }
    };
    let place = Located::find(given)?;
    let mut resource = single(given).map_err(in_vain)?;
    let session = place.open(Access::Write)?;
    if name.is_empty() {
        return Err(in_vain(Error::EmptyName));
    }
    let missing = |_: Error| {
        let (kind, name) = what();
        Error::NotFound { kind, name }
    };
    resource.settle_namespace(given).map_err(missing)?;
    let mut object = read(&session, &resource).map_err(missing)?;
    let mut said = Vec::new();
    for (key, value) in changes {
        said.push(relabel(&mut object, (kind, name), key, value, given.is_set("overwrite"))?);
    }
    let revision = object.value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    let unchanged = |_: Error| {
        let (kind, name) = what();
        Error::LabelUnchanged { kind, name }
    };
    let value = relabelled(&resource, object).map_err(unchanged)?;
    let change = Change { mode: Mode::Replace, key: resource.key(), value, resource_version: revision };
    write_one(&session.resources(), change, Operation::Update).map_err(unchanged)?;
    said.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Changes one label; the line that tells of it.
fn relabel(
    object: &mut Object,
    (kind, name): (&str, &str),
    key: &str,
    value: Option<&str>,
    overwrites: bool,
) -> Result<String, Error> {
    let labels = &mut object.value["metadata"]["labels"];
    let before = labels.get(key).and_then(Value::as_str).map(str::to_owned);
    let (kind_word, name_word, key_word) = (kind.to_owned(), name.to_owned(), key.to_owned());
    match (value, before) {
        (None, None) => Err(Error::NoLabel { kind: kind_word, name: name_word, key: key_word }),
        (None, Some(_)) => {
            labels.as_object_mut().map(|labels| labels.remove(key));
            Ok(format!("Successfully removed label {key} from {kind} {name}"))
        }
        (Some(value), Some(before)) if before != value && !overwrites => {
            Err(Error::LabelPresent { kind: kind_word, name: name_word, key: key_word })
        }
        (Some(value), before) => {
            labels[key] = json!(value);
            let done = if before.is_some() { "updated label" } else { "set label" };
            Ok(format!("Successfully {done} {key} on {kind} {name}"))
        }
    }
}

/// The object with its new labels, as it is to be stored.
fn relabelled(resource: &Resource, object: Object) -> Result<Map<String, Value>, Error> {
    let shown = go::shown(resource.kind, &object.value).map_err(Error::Stored)?;
    let entries = tortie_api::entries(&Value::Object(shown).to_string()).unwrap_or_default();
    let entry = entries.into_iter().next().ok_or(Error::NoPatch)?;
    Resource::of_entry(entry)?.valid().cloned()
}
