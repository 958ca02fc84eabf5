//! Which argument takes what.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use clap::Command;
use clap_complete::CompletionCandidate;
use clap_complete::engine::{ArgValueCompleter, PathCompleter, ValueCompleter};
use tortie_api::Kind;

use super::fields;
use super::line::Line;
use super::names;
use super::objects;
use crate::args::LOG_LEVELS;
use crate::{config, output, store};

/// What may stand in a place: the whole values of which some begin with what is typed.
type Completer = fn(&Line, &str) -> Vec<CompletionCandidate>;

/// The arguments of commands, by command and name, whose values are neither words of a list nor paths as such. A command's
/// name is empty where it does not matter.
const COMPLETERS: &[(&str, &str, Completer)] = &[
    ("", "store", |_, text| stores(text)),
    ("", "namespace", |line, text| plain(names::namespaces(line), text)),
    ("", "context", |line, text| plain(names::contexts(line), text)),
    ("", "log_level", |_, text| plain(LOG_LEVELS, text)),
    ("", "filename", |_, text| documents(text)),
    ("", "from", |_, text| stores(text)),
    ("", "to", |_, text| stores(text)),
    ("agent", "node", |line, text| plain(names::of_kind(line, Kind::Node), text)),
    ("docs", "what", |_, text| fields::documented(text)),
    ("get", "output", formats),
    ("get", "sort_by", fields::to_sort_by),
    ("", "what", objects::named),
    ("set", "key", |_, text| plain(config::keys(), text)),
    ("set", "value", |line, text| settings(line, text)),
];

/// Gives the arguments of a command, and of all below it, their values.
pub(super) fn attach(command: Command, line: &Arc<Line>) -> Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|argument| {
        let id = argument.get_id().as_str();
        let found = COMPLETERS.iter().find(|(of, known, _)| *known == id && (of.is_empty() || *of == name));
        let Some((_, _, completer)) = found else { return argument };
        let line = Arc::clone(line);
        let complete = move |typed: &OsStr| typed.to_str().map(|text| completer(&line, text)).unwrap_or_default();
        argument.add(ArgValueCompleter::new(complete))
    });
    command.mut_subcommands(|below| attach(below, line))
}

/// Those of some texts that begin with what is typed.
pub(super) fn plain<T: Into<String>>(texts: impl IntoIterator<Item = T>, typed: &str) -> Vec<CompletionCandidate> {
    let texts = texts.into_iter().map(Into::into);
    texts.filter(|text: &String| text.starts_with(typed)).map(CompletionCandidate::new).collect()
}

/// Paths behind a prefix that is no part of them.
fn paths(prefix: &str, typed: &str) -> Vec<CompletionCandidate> {
    let found = PathCompleter::any().complete(OsStr::new(typed));
    // The folder itself is nothing to go on with.
    let found = found.into_iter().filter(|candidate| candidate.get_value() != ".");
    found.map(|candidate| candidate.add_prefix(prefix)).collect()
}

/// What `-f` takes: folders, and files that may hold documents.
fn documents(typed: &str) -> Vec<CompletionCandidate> {
    let is_document = |path: &Path| {
        path.is_dir() || path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known))
    };
    PathCompleter::any().filter(is_document).stdio().complete(OsStr::new(typed))
}

fn stores(typed: &str) -> Vec<CompletionCandidate> {
    for scheme in ["embedded:", "config:"] {
        if let Some(path) = typed.strip_prefix(scheme) {
            return paths(scheme, path);
        }
    }
    plain(store::SCHEMES, typed)
}

/// Formats of `get`, and what belongs behind their `=`.
fn formats(line: &Line, typed: &str) -> Vec<CompletionCandidate> {
    match typed.split_once('=') {
        Some((word @ "custom-columns", columns)) => {
            let (before, last) = columns.rsplit_once(',').map_or(("", columns), |(before, last)| (before, last));
            let prefix = if before.is_empty() { format!("{word}=") } else { format!("{word}={before},") };
            let kinds = objects::kinds(line);
            let mut known: Vec<&str> = kinds.into_iter().flat_map(output::all_columns).collect();
            let mut seen: Vec<&str> = before.split(',').collect();
            known.retain(|column| {
                !seen.contains(column) && {
                    seen.push(column);
                    true
                }
            });
            plain(known, last).into_iter().map(|candidate| candidate.add_prefix(prefix.as_str())).collect()
        }
        Some((word @ ("jsonpath-file" | "go-template-file"), path)) => paths(&format!("{word}="), path),
        _ => plain(output::WORDS, typed),
    }
}

/// Values of settings of the configuration file.
fn settings(line: &Line, typed: &str) -> Vec<CompletionCandidate> {
    let Some(key) = line.values("key").pop() else { return Vec::new() };
    if key == "k8sCurrentContext" {
        return plain(names::contexts(line), typed);
    }
    match config::words(&key) {
        [] if key.ends_with("File") || ["kubeconfig", "embeddedPath"].contains(&key.as_str()) => paths("", typed),
        words => plain(words.iter().copied(), typed),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueHint};

    use super::*;
    use crate::args::Cli;

    /// Values that only the user knows.
    const FREE: [&str; 7] = ["timeout", "selector", "patch", "wait", "nodes", "image", "field_manager"];

    fn check(command: &Command, seen: &mut usize) {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let id = argument.get_id().as_str();
            let is_known = argument.get::<ArgValueCompleter>().is_some()
                || !argument.get_possible_values().is_empty()
                || argument.get_value_hint() != ValueHint::Unknown
                || FREE.contains(&id);
            assert!(is_known, "{}: nothing completes `{id}`", command.get_name());
            *seen += 1;
        }
        command.get_subcommands().filter(|below| below.get_name() != "help").for_each(|below| check(below, seen));
    }

    #[test]
    fn each_argument_has_something_that_completes_it() {
        let mut tree = attach(Cli::command(), &Arc::new(Line::default()));
        tree.build();
        let mut seen = 0;
        check(&tree, &mut seen);
        assert!(seen > 100, "{seen} arguments were seen");
        for (of, id, _) in COMPLETERS {
            let is_there = |command: &Command| command.get_arguments().any(|argument| argument.get_id() == *id);
            let mut open = vec![&tree];
            let mut is_found = false;
            while let Some(command) = open.pop() {
                is_found |= is_there(command) && (of.is_empty() || command.get_name() == *of);
                open.extend(command.get_subcommands());
            }
            assert!(is_found, "`{of}` has no `{id}`");
        }
    }
}
