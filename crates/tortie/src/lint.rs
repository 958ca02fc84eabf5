//! Warnings about objects that are valid and may still surprise their author (enforcement.md section 9).

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Map, Value};
use tortie_api::lint::{Lint, lint};
use tortie_api::model::Resource;
use tortie_api::{Kind, ResourceKey, read_stored, with_causes};
use tortie_calc::settings;
use tortie_datastore::{ResourceError, Resources, Store};

use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::store::resource_failure;

/// The colour of warnings.
const YELLOW: &str = "\x1b[1;33m";

/// Kinds whose objects decide what a lint says. Workloads are read for policies only, which may select them.
const READ: [Kind; 5] =
    [Kind::HostEndpoint, Kind::GlobalNetworkPolicy, Kind::Profile, Kind::Tier, Kind::FelixConfiguration];

/// Says what is worth knowing before `written` is written; with `strict`, refuses what must not surprise anybody.
///
/// Without a store only that is said which no other object can change.
pub(crate) fn check<'a>(
    global: &Global,
    written: impl Iterator<Item = (&'a ResourceKey, &'a Map<String, Value>)>,
    store: Option<&Resources<'_>>,
    strict: bool,
) -> Result<(), Failure> {
    let written: Vec<Resource> = written.filter_map(|(key, value)| typed(key.kind, value)).collect();
    if !global.quiet {
        tell_settings(global, &written);
    }
    if !written.iter().any(|resource| READ.contains(&resource.kind())) {
        return Ok(());
    }
    let stored = match store {
        Some(store) => stored(store, &written)?,
        None => None,
    };
    let lints = lint(&written, stored.as_deref());
    let (refused, warnings): (Vec<_>, Vec<_>) = lints.into_iter().partition(|lint| strict && lint.is_refused_by_strict);
    if !global.quiet {
        print("warning", YELLOW, global, &warnings);
    }
    if refused.is_empty() {
        return Ok(());
    }
    print("error", "\x1b[1;31m", global, &refused);
    eprintln!("refused because of `--strict`; nothing was written");
    Err(Failure::printed(Code::Invalid))
}

/// What lints take into account beside what is written; `None` when this user may not see all of it. Whoever may write a
/// policy need not be allowed to see every workload: a lint is no reason to fail, and half of the objects would mislead it.
fn stored(store: &Resources<'_>, written: &[Resource]) -> Result<Option<Vec<Resource>>, Failure> {
    let has_policy = written.iter().any(|resource| resource.kind() == Kind::GlobalNetworkPolicy);
    let workloads = has_policy.then_some(Kind::WorkloadEndpoint);
    let mut objects = Vec::new();
    for kind in READ.into_iter().chain(workloads) {
        match store.list(kind, None) {
            Ok((list, _)) => objects.extend(list.iter().filter_map(|object| typed(kind, &object.value))),
            Err(ResourceError::Store(error)) if error.is_unauthorized() => {
                tracing::info!("warnings take only the given objects into account: {}", with_causes(&error));
                return Ok(None);
            }
            Err(error) => return Err(resource_failure(&error)),
        }
    }
    Ok(Some(objects))
}

/// What an agent cannot read it reports itself; decoding has refused what is wrong with a document.
fn typed(kind: Kind, value: &Map<String, Value>) -> Option<Resource> {
    read_stored(kind, &Value::Object(value.clone())).ok().map(|stored| stored.resource)
}

/// Says which settings agents will not be able to use. Only they know all settings: a document that others wrote for a
/// newer agent is no mistake, so it is written all the same (D-12).
fn tell_settings(global: &Global, written: &[Resource]) {
    let problems = written.iter().flat_map(|resource| match resource {
        Resource::FelixConfiguration(configuration) => settings::check(configuration),
        _ => Vec::new(),
    });
    for problem in problems {
        let message = format!("setting {} of {}: {}", problem.name, problem.source, problem.message);
        let help = "correct it and write it again; agents that had a valid value of it keep that one";
        warn(global, message, Some(help));
    }
}

/// A warning, and what helps, on standard error.
pub(crate) fn warn(global: &Global, message: impl Display, help: Option<&str>) {
    if global.quiet {
        return;
    }
    let (yellow, cyan, plain) = colors(YELLOW, global);
    eprintln!("{yellow}warning{plain}: {message}");
    if let Some(help) = help {
        eprintln!("{cyan}help{plain}: {help}");
    }
}

/// Warns of what is wrong with the store as a whole; who writes to it wants to know.
pub(crate) fn warn_of_store(global: &Global, store: &dyn Store) {
    if global.quiet {
        return;
    }
    match store.warnings() {
        Ok(warnings) => warnings.iter().for_each(|warning| warn(global, warning, None)),
        // The command itself tells what it cannot do.
        Err(error) => tracing::debug!("cannot look for what is wrong with the store: {}", with_causes(&error)),
    }
}

/// One line and a hint for each rule; `-v` shows what else it found.
fn print(level: &str, color: &'static str, global: &Global, lints: &[Lint]) {
    let (color, cyan, plain) = colors(color, global);
    for (lint, more) in folded(lints, global.verbose > 0) {
        let more = if more > 0 { format!(" (and {more} more, which `-v` shows)") } else { String::new() };
        eprintln!("{color}{level}[{}]{plain}: {lint}{more}", lint.rule);
        eprintln!("{cyan}help{plain}: {}", lint.hint);
    }
}

/// The level's colour, that of hints, and what ends both; empty where standard error takes none.
fn colors(color: &'static str, global: &Global) -> (&'static str, &'static str, &'static str) {
    if global.color.is_on_stderr() { (color, "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") }
}

/// The lints to show, each with the number of those of its rule that it stands for.
fn folded(lints: &[Lint], is_all: bool) -> Vec<(&Lint, usize)> {
    if is_all {
        return lints.iter().map(|lint| (lint, 0)).collect();
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    lints.iter().for_each(|lint| *counts.entry(lint.rule).or_default() += 1);
    // The first of a rule takes its count with it.
    lints.iter().filter_map(|lint| Some((lint, counts.remove(lint.rule)? - 1))).collect()
}
