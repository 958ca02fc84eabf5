//! `patch`, `label` and `annotate`: objects of the store, read, changed and written back (cli.md section 2.3).

use serde_json::{Map, Value};
use tortie_api::yaml::from_yaml;
use tortie_api::{ResourceKey, Severity, decode};
use tortie_datastore::Resources;
use tortie_datastore::resources::{Change, Mode, Object};

use crate::args::{AmendArgs, DryRun, Global, LabelArgs, PatchArgs, PatchType};
use crate::batch::{self, How};
use crate::exit::{Code, Failure};
use crate::outcome::Verb;
use crate::patch::strategic_merge;
use crate::store;
use crate::{get, input, select};

/// How often a change is made again on what somebody else has written meanwhile.
const TRIES: u32 = 5;

pub(crate) fn patch(global: &Global, args: &PatchArgs) -> Result<Code, Failure> {
    let text = match (&args.patch, &args.patch_file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) => input::text(file)?,
        (None, None) => {
            return Err(Failure::new(Code::Usage, "no patch is given").with_hint("write it behind `-p`"));
        }
    };
    let patch = Patch::read(args.r#type, &text)?;
    let chosen = Chosen { words: &args.amend.what, args: &args.amend };
    amend(global, &chosen, Verb::PATCH, |key, object| patch.make(key, object))
}

/// A patch that was read.
enum Patch {
    Strategic(Map<String, Value>),
    /// RFC 7396.
    Merge(Value),
    /// RFC 6902.
    Json(json_patch::Patch),
}

impl Patch {
    fn read(kind: PatchType, text: &str) -> Result<Patch, Failure> {
        let wrong = |message: String| Failure::new(Code::Invalid, message);
        let value = match from_yaml(text) {
            Ok(documents) => <[Value; 1]>::try_from(documents).map_err(|_| wrong("a patch is one document".into()))?,
            Err(problems) => {
                let first = problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
                return Err(wrong(format!("the patch is no JSON or YAML: {first}")));
            }
        };
        match (kind, value) {
            (PatchType::Strategic, [Value::Object(patch)]) => Ok(Patch::Strategic(patch)),
            (PatchType::Merge, [Value::Object(patch)]) => Ok(Patch::Merge(Value::Object(patch))),
            (PatchType::Json, [patch @ Value::Array(_)]) => serde_json::from_value(patch)
                .map(Patch::Json)
                .map_err(|error| wrong(format!("the patch is no JSON patch (RFC 6902): {error}"))),
            (PatchType::Json, _) => Err(wrong("a JSON patch is a list of operations".into())
                .with_hint(r#"write `[{"op": "replace", "path": "/spec/order", "value": 10}]`"#)),
            (_, [Value::Array(_)]) => {
                Err(wrong("a list is no such patch".into()).with_hint("a JSON patch needs `--type json`"))
            }
            _ => Err(wrong("a patch is an object".into()).with_hint(r#"write `{"spec": {"order": 10}}`"#)),
        }
    }

    fn make(&self, key: &ResourceKey, object: &mut Map<String, Value>) -> Result<(), Failure> {
        if let Patch::Strategic(patch) = self {
            strategic_merge(object, patch);
            return Ok(());
        }
        let mut whole = Value::Object(std::mem::take(object));
        match self {
            Patch::Merge(patch) => json_patch::merge(&mut whole, patch),
            Patch::Json(patch) => json_patch::patch(&mut whole, patch)
                .map_err(|error| Failure::new(Code::Invalid, format!("{key} cannot be patched: {error}")))?,
            Patch::Strategic(_) => {}
        }
        match whole {
            Value::Object(patched) => *object = patched,
            _ => return Err(Failure::new(Code::Invalid, format!("{key} would be no object with this patch"))),
        }
        Ok(())
    }
}

pub(crate) fn label(global: &Global, args: &LabelArgs) -> Result<Code, Failure> {
    marks(global, args, "labels", "label", Verb::LABEL)
}

pub(crate) fn annotate(global: &Global, args: &LabelArgs) -> Result<Code, Failure> {
    marks(global, args, "annotations", "annotation", Verb::ANNOTATE)
}

/// Changes members of a map of the metadata.
fn marks(global: &Global, args: &LabelArgs, member: &str, noun: &str, verb: Verb) -> Result<Code, Failure> {
    let is_mark = |word: &String| word.contains('=') || word.ends_with('-');
    let first = args.amend.what.iter().position(is_mark).unwrap_or(args.amend.what.len());
    let (words, marks) = args.amend.what.split_at(first);
    if marks.is_empty() {
        return Err(Failure::new(Code::Usage, format!("no {noun} is given"))
            .with_hint("write `key=value` for each behind the names, or `key-` to remove one"));
    }
    let marks = marks.iter().map(|word| mark(word, noun)).collect::<Result<Vec<_>, _>>()?;
    let chosen = Chosen { words, args: &args.amend };
    amend(global, &chosen, verb, |key, object| {
        let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        if metadata[member].is_null() {
            metadata[member] = Value::Object(Map::new());
        }
        let Some(present) = metadata[member].as_object_mut() else {
            return Err(Failure::new(Code::Invalid, format!("metadata.{member} of {key} is no object")));
        };
        for (name, value) in &marks {
            match (present.get(*name), value) {
                (_, None) => {
                    if present.shift_remove(*name).is_none() && !global.quiet {
                        eprintln!("{key} has no {noun} `{name}`");
                    }
                }
                (Some(found), Some(value)) if found != value && !args.overwrite => {
                    return Err(Failure::new(Code::Conflict, format!("{noun} `{name}` of {key} is {found} already"))
                        .with_hint("`--overwrite` sets another value"));
                }
                (_, Some(value)) => {
                    present.insert((*name).to_owned(), Value::from(*value));
                }
            }
        }
        Ok(())
    })
}

/// `key=value`, or `key-` to remove it.
fn mark<'a>(word: &'a str, noun: &str) -> Result<(&'a str, Option<&'a str>), Failure> {
    let found = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word.strip_suffix('-').unwrap_or_default(), None),
    };
    if found.0.is_empty() {
        return Err(Failure::new(Code::Usage, format!("`{word}` is no {noun}"))
            .with_hint("write `key=value`, or `key-` to remove it; names come first"));
    }
    Ok(found)
}

/// Which objects are meant.
struct Chosen<'a> {
    words: &'a [String],
    args: &'a AmendArgs,
}

impl Chosen<'_> {
    fn read(&self, global: &Global, resources: &Resources<'_>) -> Result<Vec<Object>, Failure> {
        let keys = get::keys(global, self.words)?;
        if keys.is_empty() {
            return Err(
                Failure::new(Code::Usage, "no object is named").with_hint("write a kind and names, or TYPE/NAME")
            );
        }
        let selector = select::of(self.args.selector.as_deref(), &keys)?;
        if selector.is_none()
            && !self.args.all
            && let Some((kind, _)) = keys.iter().find(|(_, name)| name.is_none())
        {
            return Err(Failure::new(Code::Usage, format!("which {kind} is meant?"))
                .with_hint("name it behind the kind, or choose by `-l`, or take all with `--all`"));
        }
        let found = get::read(resources, &keys, Some(global.namespace.as_deref().unwrap_or("default")))?;
        if !found.missing.is_empty() {
            return Err(found.not_found(resources));
        }
        let takes = |object: &Object| selector.as_ref().is_none_or(|s| select::takes(s, &object.value));
        Ok(found.results.into_iter().flat_map(|results| results.objects).filter(takes).collect())
    }
}

/// Changes objects, all of them or none. A change that somebody else was faster than is made again on what is there now.
fn amend(
    global: &Global,
    chosen: &Chosen<'_>,
    verb: Verb,
    change: impl Fn(&ResourceKey, &mut Map<String, Value>) -> Result<(), Failure>,
) -> Result<Code, Failure> {
    let dry_run = chosen.args.dry_run;
    dry_run.map_or(Ok(()), DryRun::check)?;
    let store = store::open_to_write(global, dry_run)?;
    let resources = Resources::new(&*store);
    let how = How { is_atomic: true, skips_existing: false, dry_run, strict: chosen.args.strict, manager: None };
    let mut tries = 1;
    loop {
        let mut changes = Vec::new();
        let mut is_own_revision = true;
        for object in chosen.read(global, &resources)? {
            let mut value = object.value.clone();
            change(&object.key, &mut value)?;
            let revision = |value: &Map<String, Value>| value.get("metadata")?.get("resourceVersion").cloned();
            is_own_revision &= revision(&value) == revision(&object.value);
            changes.push(replacement(&object.key, value)?);
        }
        match batch::write(global, &*store, &how, &changes, verb) {
            Err(failure) if failure.code == Code::Conflict && is_own_revision && tries < TRIES => tries += 1,
            done => return done.map(|_| Code::Success),
        }
    }
}

/// The change that puts `value` in place of the object, if it is a valid one.
fn replacement(key: &ResourceKey, value: Map<String, Value>) -> Result<Change, Failure> {
    let decoded = decode(&Value::Object(value).to_string());
    let errors = decoded.problems.iter().filter(|problem| problem.severity == Severity::Error);
    let messages: Vec<String> = errors.clone().map(|problem| format!("{key}: {problem}")).collect();
    if !messages.is_empty() {
        let hint = errors.clone().find_map(|problem| problem.hint.clone());
        return Err(Failure { code: Code::Invalid, messages, hint });
    }
    let found = decoded.documents.into_iter().next();
    let fits = |found: &tortie_api::Document| found.key(key.namespace.as_deref().unwrap_or_default()) == *key;
    let Some(document) = found.filter(fits) else {
        return Err(Failure::new(Code::Invalid, format!("kind, name and namespace of {key} cannot be changed"))
            .with_hint("create it anew under the other name, then delete this one"));
    };
    Ok(Change {
        mode: Mode::Apply,
        key: key.clone(),
        value: document.value,
        resource_version: document.resource_version,
    })
}
