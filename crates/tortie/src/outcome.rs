//! What became of objects, in the words that scripts know (cli.md sections 1.4 and 2.4).

use tortie_api::Kind;
use tortie_datastore::resources::{Change, Done, Mode, Written};

/// What is done to objects, in words.
#[derive(Clone, Copy)]
pub(crate) struct Verb {
    pub(crate) past: &'static str,
    pub(crate) infinitive: &'static str,
    /// Whether objects may come out as they were.
    may_change_nothing: bool,
}

impl Verb {
    pub(crate) const APPLY: Verb = Verb { past: "applied", infinitive: "apply", may_change_nothing: true };
    pub(crate) const CREATE: Verb = Verb { past: "created", infinitive: "create", may_change_nothing: false };
    pub(crate) const REPLACE: Verb = Verb { past: "replaced", infinitive: "replace", may_change_nothing: false };
    pub(crate) const DELETE: Verb = Verb { past: "deleted", infinitive: "delete", may_change_nothing: false };
    pub(crate) const PATCH: Verb = Verb { past: "patched", infinitive: "patch", may_change_nothing: true };
    pub(crate) const LABEL: Verb = Verb { past: "labelled", infinitive: "label", may_change_nothing: true };
    pub(crate) const ANNOTATE: Verb = Verb { past: "annotated", infinitive: "annotate", may_change_nothing: true };
    pub(crate) const EDIT: Verb = Verb { past: "edited", infinitive: "edit", may_change_nothing: true };

    /// What became of one object.
    fn done(self, done: Done) -> &'static str {
        match done {
            Done::Created => "created",
            Done::Configured if self.past == Verb::APPLY.past => "configured",
            Done::Configured => self.past,
            Done::Unchanged => "unchanged",
            Done::Deleted if self.past == Verb::DELETE.past => "deleted",
            Done::Deleted => "pruned",
        }
    }
}

/// The line that scripts know, and what became of the objects behind it.
pub(crate) fn report(changes: &[Change], written: &[Written], verb: Verb) {
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
    if verb.may_change_nothing && !parts.is_empty() {
        println!("{line} ({})", parts.join(", "));
    } else {
        println!("{line}");
    }
}

/// What a trial showed of each object, as kubectl says it.
pub(crate) fn report_trial(changes: &[Change], written: &[Written], verb: Verb) {
    for (change, written) in changes.iter().zip(written) {
        println!("{} {} (server dry run)", change.key, verb.done(written.done));
    }
}

/// The line that scripts know.
pub(crate) fn summary(past: &str, kinds: &[Kind]) -> String {
    match kinds {
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => {
            format!("Successfully {past} {} '{first}' resource(s)", kinds.len())
        }
        _ => format!("Successfully {past} {} resource(s)", kinds.len()),
    }
}
