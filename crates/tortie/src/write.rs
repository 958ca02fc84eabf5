//! `apply`, `create`, `replace`, `delete` and `validate` (cli.md sections 1.4 and 2.4).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Map;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode, Written};
use tortie_datastore::store::FieldManager;
use tortie_datastore::{Access, ResourceError};

use crate::args::{ApplyArgs, DeleteArgs, DryRun, Global, InputArgs, WriteArgs};
use crate::batch::{self, How};
use crate::exit::{Code, Failure};
use crate::input::{self, Given, rank};
use crate::outcome::{Verb, summary};
use crate::{get, lint, prune, store, wait};

/// Bytes of the name of a field manager, as an API server takes it.
const FIELD_MANAGER_LEN_MAX: usize = 128;

pub(crate) fn apply(global: &Global, args: &ApplyArgs) -> Result<Code, Failure> {
    args.write.dry_run.map_or(Ok(()), DryRun::check)?;
    let manager = manager(global, args)?;
    let mut given = input::read(global, &args.write.input)?;
    if manager.is_some() {
        // A manager manages what it wrote, and no defaults.
        given.iter_mut().for_each(|given| given.document.value = std::mem::take(&mut given.document.written));
    }
    let mut changes = changes(given, Mode::Apply);
    if let Some(selector) = &args.selector {
        let store = store::open(global, Access::Read)?;
        let is_rehearsal = args.write.dry_run.is_some();
        changes.extend(prune::deletions(global, &*store, selector, &changes, is_rehearsal)?);
    }
    let before = match args.wait {
        Some(_) if args.write.dry_run.is_none() => wait::before_deletions(global, &changes)?,
        _ => BTreeMap::new(),
    };
    let written = write(global, &args.write, manager, &changes, Verb::APPLY)?;
    match args.wait {
        Some(patience) if !written.is_empty() => wait::for_hosts(global, &changes, &written, &before, patience)?,
        _ => {}
    }
    Ok(Code::Success)
}

/// In whose name `--server-side` merges; asked before anything is read, as other stores have no such thing.
fn manager(global: &Global, args: &ApplyArgs) -> Result<Option<FieldManager>, Failure> {
    if !args.server_side {
        return Ok(None);
    }
    if args.write.dry_run == Some(DryRun::Client) {
        return Err(Failure::new(Code::Usage, "`--dry-run=client` asks no server, and `--server-side` merges there")
            .with_hint("`--dry-run=server` tries it"));
    }
    store::check_merges(global)?;
    let name = args.field_manager.clone();
    if name.is_empty() || name.len() > FIELD_MANAGER_LEN_MAX || name.chars().any(char::is_control) {
        let message = format!("`--field-manager` takes a name of 1 to {FIELD_MANAGER_LEN_MAX} printable characters");
        return Err(Failure::new(Code::Usage, message));
    }
    Ok(Some(FieldManager { name, is_forced: args.force_conflicts }))
}

pub(crate) fn create(global: &Global, args: &WriteArgs) -> Result<Code, Failure> {
    args.dry_run.map_or(Ok(()), DryRun::check)?;
    let changes = changes(input::read(global, &args.input)?, Mode::Create);
    write(global, args, None, &changes, Verb::CREATE).map(|_| Code::Success)
}

pub(crate) fn replace(global: &Global, args: &WriteArgs) -> Result<Code, Failure> {
    args.dry_run.map_or(Ok(()), DryRun::check)?;
    let changes = changes(input::read(global, &args.input)?, Mode::Replace);
    write(global, args, None, &changes, Verb::REPLACE).map(|_| Code::Success)
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
    args.dry_run.map_or(Ok(()), DryRun::check)?;
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
    let how = How {
        is_atomic: !args.filename.is_empty(),
        skips_existing: false,
        dry_run: args.dry_run,
        strict: false,
        manager: None,
    };
    if how.dry_run == Some(DryRun::Client) {
        batch::check(global, None, &how, &changes, Verb::DELETE)?;
        return Ok(Code::Success);
    }
    let store = store::open_to_write(global, how.dry_run)?;
    let skips = |error: &ResourceError| args.skip_not_exists && matches!(error, ResourceError::DoesNotExist(_));
    batch::delete(&*store, &how, &changes, skips)?;
    Ok(Code::Success)
}

/// Deletions in the order in which they can be made: what names others goes first.
pub(crate) fn deletions(objects: impl IntoIterator<Item = (ResourceKey, Option<String>)>) -> Vec<Change> {
    let delete = |(key, resource_version)| Change { mode: Mode::Delete, key, value: Map::new(), resource_version };
    let mut changes: Vec<Change> = objects.into_iter().map(delete).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(rank(change.key.kind)));
    changes
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
fn write(
    global: &Global,
    args: &WriteArgs,
    manager: Option<FieldManager>,
    changes: &[Change],
    verb: Verb,
) -> Result<Vec<Written>, Failure> {
    let kinds: BTreeSet<Kind> = changes.iter().map(|change| change.key.kind).collect();
    let how = How {
        is_atomic: args.atomic || kinds.len() > 1 || changes.iter().any(|change| change.mode == Mode::Delete),
        skips_existing: args.skip_exists,
        dry_run: args.dry_run,
        strict: args.input.strict,
        manager,
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = changes.iter().find(|change| !seen.insert(&change.key)) {
        let message = format!("{} is given twice; nothing was written", twice.key);
        return Err(
            Failure::new(Code::Invalid, message).with_hint("join the two documents, or give them different names")
        );
    }
    if changes.is_empty() {
        println!("No resources specified");
        return Ok(Vec::new());
    }
    if how.dry_run == Some(DryRun::Client) {
        batch::check(global, None, &how, changes, verb)?;
        return Ok(Vec::new());
    }
    let store = store::open_to_write(global, how.dry_run)?;
    batch::write(global, &*store, &how, changes, verb)
}
