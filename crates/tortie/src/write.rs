//! `apply`, `create`, `replace`, `delete` and `validate` (cli.md sections 1.4 and 2.4).

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey, with_causes};
use tortie_datastore::resources::{Change, Done, Mode, Written};
use tortie_datastore::{Access, ResourceError, Resources, Store};

use crate::args::{ApplyArgs, DeleteArgs, DryRun, Global, InputArgs, WriteArgs};
use crate::exit::{Code, Failure};
use crate::input::{self, Given, rank};
use crate::store::{self, resource_code};
use crate::{difference, get, lint, near, prune, wait};

pub(crate) fn apply(global: &Global, args: &ApplyArgs) -> Result<Code, Failure> {
    let given = input::read(global, &args.write.input)?;
    let mut changes = changes(given, Mode::Apply);
    if let Some(selector) = &args.selector {
        let store = store::open(global, Access::Read)?;
        let is_rehearsal = args.write.dry_run.is_some();
        changes.extend(prune::deletions(global, &*store, selector, &changes, is_rehearsal)?);
    }
    let written = write(global, &args.write, &changes, Verb::APPLY)?;
    match args.wait {
        Some(patience) if !written.is_empty() => wait::for_hosts(global, &changes, &written, patience)?,
        _ => {}
    }
    Ok(Code::Success)
}

pub(crate) fn create(global: &Global, args: &WriteArgs) -> Result<Code, Failure> {
    let changes = changes(input::read(global, &args.input)?, Mode::Create);
    write(global, args, &changes, Verb::CREATE).map(|_| Code::Success)
}

pub(crate) fn replace(global: &Global, args: &WriteArgs) -> Result<Code, Failure> {
    let changes = changes(input::read(global, &args.input)?, Mode::Replace);
    write(global, args, &changes, Verb::REPLACE).map(|_| Code::Success)
}

pub(crate) fn validate(global: &Global, args: &InputArgs) -> Result<Code, Failure> {
    let given = input::read(global, args)?;
    let keys: Vec<ResourceKey> = given.iter().map(|given| given.document.key("default")).collect();
    let documents = keys.iter().zip(given.iter().map(|given| &given.document.value));
    lint::check(global, documents, None, args.strict)?;
    println!("{}", summary("validated", &given.iter().map(|g| g.document.kind).collect::<Vec<_>>()));
    Ok(Code::Success)
}

pub(crate) fn delete(global: &Global, args: &DeleteArgs) -> Result<Code, Failure> {
    let objects: Vec<_> = if args.filename.is_empty() {
        if args.what.is_empty() {
            return Err(
                Failure::new(Code::Usage, "nothing to delete").with_hint("name a kind and names, or a file with `-f`")
            );
        }
        get::named(global, &args.what, "deleted")?.into_iter().map(|key| (key, None)).collect()
    } else {
        let input = InputArgs {
            filename: args.filename.clone(),
            recursive: args.recursive,
            skip_empty: args.skip_empty,
            strict: false,
        };
        let given = input::read_names(global, &input)?;
        given.into_iter().map(|given| (given.document.key("default"), given.document.resource_version)).collect()
    };
    let changes = deletions(objects);
    if changes.is_empty() {
        println!("No resources specified");
        return Ok(Code::Success);
    }
    let store = store::open(global, Access::Write)?;
    let resources = Resources::new(&*store);
    let kinds: Vec<Kind> = changes.iter().map(|change| change.key.kind).collect();
    let skips = |error: &ResourceError| args.skip_not_exists && matches!(error, ResourceError::DoesNotExist(_));
    if args.filename.is_empty() || changes.len() == 1 {
        return one_by_one(&resources, &changes, Verb::DELETE, skips).map(|_| Code::Success);
    }
    match resources.write(&changes) {
        Ok(_) => {
            println!("{}", summary("deleted", &kinds));
            Ok(Code::Success)
        }
        // One that is missing does not keep the others alive.
        Err(_) => one_by_one(&resources, &changes, Verb::DELETE, skips).map(|_| Code::Success),
    }
}

/// Deletions in the order in which they can be made: what names others goes first.
pub(crate) fn deletions(objects: impl IntoIterator<Item = (ResourceKey, Option<String>)>) -> Vec<Change> {
    let delete = |(key, resource_version)| Change { mode: Mode::Delete, key, value: Map::new(), resource_version };
    let mut changes: Vec<Change> = objects.into_iter().map(delete).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(rank(change.key.kind)));
    changes
}

/// What is done to objects, in words.
#[derive(Clone, Copy)]
pub(crate) struct Verb {
    past: &'static str,
    infinitive: &'static str,
}

impl Verb {
    const APPLY: Verb = Verb { past: "applied", infinitive: "apply" };
    const CREATE: Verb = Verb { past: "created", infinitive: "create" };
    const REPLACE: Verb = Verb { past: "replaced", infinitive: "replace" };
    const DELETE: Verb = Verb { past: "deleted", infinitive: "delete" };
    pub(crate) const PATCH: Verb = Verb { past: "patched", infinitive: "patch" };
    pub(crate) const LABEL: Verb = Verb { past: "labelled", infinitive: "label" };
    pub(crate) const ANNOTATE: Verb = Verb { past: "annotated", infinitive: "annotate" };
    pub(crate) const EDIT: Verb = Verb { past: "edited", infinitive: "edit" };

    /// Whether objects may come out as they were.
    fn may_change_nothing(self) -> bool {
        ![Verb::CREATE.past, Verb::REPLACE.past, Verb::DELETE.past].contains(&self.past)
    }
}

/// How objects are written.
pub(crate) struct How {
    /// All or none.
    pub(crate) is_atomic: bool,
    /// An object that exists already is no error of a creation.
    pub(crate) skips_existing: bool,
    pub(crate) dry_run: Option<DryRun>,
    pub(crate) strict: bool,
}

fn changes(given: Vec<Given>, mode: Mode) -> Vec<Change> {
    let mut changes: Vec<Change> = given
        .into_iter()
        .map(|given| {
            let key = given.document.key("default");
            let resource_version = given.document.resource_version;
            Change { mode, key, value: given.document.value, resource_version }
        })
        .collect();
    changes.sort_by_key(|change| rank(change.key.kind));
    changes
}

/// Writes all of it, and gives what became of each change; nothing with `--dry-run`.
fn write(global: &Global, args: &WriteArgs, changes: &[Change], verb: Verb) -> Result<Vec<Written>, Failure> {
    let kinds: BTreeSet<Kind> = changes.iter().map(|change| change.key.kind).collect();
    let how = How {
        is_atomic: args.atomic || kinds.len() > 1 || changes.iter().any(|change| change.mode == Mode::Delete),
        skips_existing: args.skip_exists,
        dry_run: args.dry_run,
        strict: args.input.strict,
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = changes.iter().find(|change| !seen.insert(&change.key)) {
        let message = format!("{} is given twice; nothing was written", twice.key);
        return Err(
            Failure::new(Code::Invalid, message).with_hint("join the two documents, or give them different names")
        );
    }
    if changes.is_empty() || how.dry_run == Some(DryRun::Client) {
        return rehearse(global, None, &how, changes, verb);
    }
    let store = store::open(global, Access::Write)?;
    self::store(global, &*store, &how, changes, verb)
}

/// The objects that are written.
fn given(changes: &[Change]) -> impl Iterator<Item = (&ResourceKey, &Map<String, Value>)> {
    changes.iter().filter(|change| change.mode != Mode::Delete).map(|change| (&change.key, &change.value))
}

/// Checks and tells what would be done.
fn rehearse(
    global: &Global,
    resources: Option<&Resources<'_>>,
    how: &How,
    changes: &[Change],
    verb: Verb,
) -> Result<Vec<Written>, Failure> {
    if changes.is_empty() {
        println!("No resources specified");
        return Ok(Vec::new());
    }
    lint::check(global, given(changes), resources, how.strict)?;
    for change in changes {
        let past = if change.mode == Mode::Delete { Verb::DELETE.past } else { verb.past };
        println!("{} would be {past}", change.key);
    }
    Ok(Vec::new())
}

/// Writes all of it to a store, and gives what became of each change; nothing with `--dry-run`.
pub(crate) fn store(
    global: &Global,
    store: &dyn Store,
    how: &How,
    changes: &[Change],
    verb: Verb,
) -> Result<Vec<Written>, Failure> {
    let resources = &Resources::new(store);
    if changes.is_empty() || how.dry_run == Some(DryRun::Client) {
        return rehearse(global, Some(resources), how, changes, verb);
    }
    lint::check(global, given(changes), Some(resources), how.strict)?;
    if let Err(error) = resources.ensure_initialised() {
        // A failure here does not fail the user's command (datastore.md section 2.8): the command itself will.
        tracing::debug!("cannot initialise the store: {error}");
    }
    lint::warn_of_store(global, store);
    if !how.is_atomic {
        let skips = |error: &ResourceError| how.skips_existing && matches!(error, ResourceError::AlreadyExists(_));
        return one_by_one(resources, changes, verb, skips);
    }
    match resources.write(changes) {
        Ok(written) => {
            report(changes, &written, verb);
            Ok(written)
        }
        Err(failures) => {
            let code = failures.first().map_or(Code::General, |(_, error)| resource_code(error));
            let mut failure = near::failure(resources, &failures[0].1);
            failure.messages = failures.iter().map(|(key, error)| told(resources, changes, key, error)).collect();
            if code != Code::Partial && changes.len() > 1 {
                failure.messages.push(format!("nothing was written: all {} objects or none", changes.len()));
            }
            failure.code = code;
            Err(failure)
        }
    }
}

/// What went wrong, and where somebody else wrote an object meanwhile also what is stored now against what was given (cli.md
/// section 2.4).
fn told(resources: &Resources<'_>, changes: &[Change], key: &ResourceKey, error: &ResourceError) -> String {
    let message = with_causes(error);
    let given = changes.iter().find(|change| change.key == *key && change.mode != Mode::Delete);
    match (error, given) {
        (ResourceError::Conflict(_), Some(given)) => match resources.get(key) {
            Ok(stored) => {
                let shown = difference::of_objects(["stored now", "given"], &stored.value, &given.value);
                format!("{message}\n{}", shown.trim_end())
            }
            // The conflict itself is told in any case.
            Err(_) => message,
        },
        _ => message,
    }
}

/// Tries every object, whatever became of the others.
fn one_by_one(
    resources: &Resources<'_>,
    changes: &[Change],
    verb: Verb,
    skips: impl Fn(&ResourceError) -> bool,
) -> Result<Vec<Written>, Failure> {
    let mut done = Vec::new();
    let mut good = Vec::new();
    let mut errors = Vec::new();
    for change in changes {
        match resources.write(std::slice::from_ref(change)) {
            Ok(mut what) => {
                done.append(&mut what);
                good.push(change.clone());
            }
            Err(failures) => {
                for (key, error) in failures {
                    if skips(&error) {
                        done.push(Written { done: Done::Unchanged, revision: String::new() });
                        good.push(change.clone());
                    } else {
                        errors.push((key, error));
                    }
                }
            }
        }
    }
    if errors.is_empty() {
        report(&good, &done, verb);
        return Ok(done);
    }
    let mut failure = near::failure(resources, &errors[0].1);
    failure.messages = errors.iter().map(|(key, error)| told(resources, changes, key, error)).collect();
    if good.is_empty() {
        failure.messages.insert(0, format!("failed to {} {} resource(s)", verb.infinitive, errors.len()));
        return Err(failure);
    }
    report(&good, &done, verb);
    failure.messages.insert(0, format!("{} of {} resources failed", errors.len(), changes.len()));
    failure.code = Code::Partial;
    Err(failure)
}

/// The line that scripts know, and what became of the objects behind it.
fn report(changes: &[Change], written: &[Written], verb: Verb) {
    let is_told = |change: &&Change| change.mode != Mode::Delete || verb.past == Verb::DELETE.past;
    let kinds: Vec<Kind> = changes.iter().filter(is_told).map(|change| change.key.kind).collect();
    let count = |what: Done| written.iter().filter(|written| written.done == what).count();
    let parts: Vec<String> = [
        (Done::Created, "created"),
        (Done::Configured, "configured"),
        (Done::Unchanged, "unchanged"),
        (Done::Deleted, "pruned"),
    ]
    .into_iter()
    .filter(|(what, _)| count(*what) > 0)
    .map(|(what, word)| format!("{} {word}", count(what)))
    .collect();
    let line = summary(verb.past, &kinds);
    if verb.may_change_nothing() && !parts.is_empty() {
        println!("{line} ({})", parts.join(", "));
    } else {
        println!("{line}");
    }
}

fn summary(past: &str, kinds: &[Kind]) -> String {
    match kinds {
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => {
            format!("Successfully {past} {} '{first}' resource(s)", kinds.len())
        }
        _ => format!("Successfully {past} {} resource(s)", kinds.len()),
    }
}
