//! Changes to a store: checked, written or only tried, and what became of them told (cli.md section 2.4).

use serde_json::{Map, Value};
use tortie_api::ResourceKey;
use tortie_datastore::resources::{self, Change, Done, Mode, Written};
use tortie_datastore::store::FieldManager;
use tortie_datastore::{ResourceError, Resources, Store};

use crate::args::{DryRun, Global};
use crate::exit::{Code, Failure};
use crate::outcome::{Verb, report, report_trial};
use crate::store::resource_code;
use crate::{conflict, lint, near};

/// How objects are written.
pub(crate) struct How {
    /// All or none.
    pub(crate) is_atomic: bool,
    /// An object that exists already is no error of a creation.
    pub(crate) skips_existing: bool,
    pub(crate) dry_run: Option<DryRun>,
    pub(crate) strict: bool,
    /// In whose name the store merges what is applied (`--server-side`).
    pub(crate) manager: Option<FieldManager>,
}

/// Changes that go to one store in one way.
struct Batch<'a> {
    resources: Resources<'a>,
    how: &'a How,
    changes: &'a [Change],
    verb: Verb,
}

/// The objects that are written.
fn given(changes: &[Change]) -> impl Iterator<Item = (&ResourceKey, &Map<String, Value>)> {
    changes.iter().filter(|change| change.mode != Mode::Delete).map(|change| (&change.key, &change.value))
}

/// Checks, without a store or with what can be read of one, and tells what would be done.
pub(crate) fn check(
    global: &Global,
    resources: Option<&Resources<'_>>,
    how: &How,
    changes: &[Change],
    verb: Verb,
) -> Result<(), Failure> {
    lint::check(global, given(changes), resources, how.strict)?;
    for change in changes {
        let past = if change.mode == Mode::Delete { Verb::DELETE.past } else { verb.past };
        println!("{} would be {past}", change.key);
    }
    Ok(())
}

/// Writes all of it to a store, and gives what became of each change; nothing with `--dry-run`.
pub(crate) fn write(
    global: &Global,
    store: &dyn Store,
    how: &How,
    changes: &[Change],
    verb: Verb,
) -> Result<Vec<Written>, Failure> {
    let resources = Resources::new(store);
    if changes.is_empty() {
        println!("No resources specified");
        return Ok(Vec::new());
    }
    if how.dry_run == Some(DryRun::Client) {
        check(global, Some(&resources), how, changes, verb)?;
        return Ok(Vec::new());
    }
    lint::check(global, given(changes), Some(&resources), how.strict)?;
    if how.dry_run.is_none()
        && let Err(error) = resources.ensure_initialised()
    {
        // A failure here does not fail the user's command (datastore.md section 2.8): the command itself will.
        tracing::debug!("cannot initialise the store: {error}");
    }
    lint::warn_of_store(global, store);
    let resources = match &how.manager {
        Some(manager) => resources.in_the_name_of(manager.clone()),
        None => resources,
    };
    let batch = Batch { resources, how, changes, verb };
    if how.is_atomic { batch.together() } else { batch.one_by_one(|_| false) }
}

/// Deletes objects: together where that is possible, else each by itself, so that one that is missing does not keep the
/// others alive.
pub(crate) fn delete(
    store: &dyn Store,
    how: &How,
    changes: &[Change],
    skips: impl Fn(&ResourceError) -> bool,
) -> Result<(), Failure> {
    let batch = Batch { resources: Resources::new(store), how, changes, verb: Verb::DELETE };
    if how.is_atomic
        && changes.len() > 1
        && let Ok(written) = batch.carry_out(changes)
    {
        batch.tell(changes, &written);
        return Ok(());
    }
    batch.one_by_one(skips).map(|_| ())
}

impl Batch<'_> {
    fn carry_out(&self, changes: &[Change]) -> Result<Vec<Written>, Vec<resources::Failure>> {
        match self.how.dry_run {
            None => self.resources.write(changes),
            Some(_) => self.resources.rehearse(changes),
        }
    }

    fn tell(&self, changes: &[Change], written: &[Written]) {
        match self.how.dry_run {
            None => report(changes, written, self.verb),
            Some(_) => report_trial(changes, written, self.verb),
        }
    }

    /// What was written, for whoever waits for it: a trial wrote nothing.
    fn result(&self, written: Vec<Written>) -> Vec<Written> {
        if self.how.dry_run.is_some() { Vec::new() } else { written }
    }

    /// All of it or none.
    fn together(&self) -> Result<Vec<Written>, Failure> {
        match self.carry_out(self.changes) {
            Ok(written) => {
                self.tell(self.changes, &written);
                Ok(self.result(written))
            }
            Err(failures) => {
                let code = failures.first().map_or(Code::General, |(_, error)| resource_code(error));
                let mut failure = self.failure(&failures);
                if code != Code::Partial && self.changes.len() > 1 {
                    let message = format!("nothing was written: all {} objects or none", self.changes.len());
                    failure.messages.push(message);
                }
                failure.code = code;
                Err(failure)
            }
        }
    }

    /// Tries every object, whatever became of the others.
    fn one_by_one(&self, skips: impl Fn(&ResourceError) -> bool) -> Result<Vec<Written>, Failure> {
        let skips = |error: &ResourceError| {
            skips(error) || self.how.skips_existing && matches!(error, ResourceError::AlreadyExists(_))
        };
        let mut done = Vec::new();
        let mut good = Vec::new();
        let mut errors = Vec::new();
        for change in self.changes {
            match self.carry_out(std::slice::from_ref(change)) {
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
            self.tell(&good, &done);
            return Ok(self.result(done));
        }
        let mut failure = self.failure(&errors);
        let Verb { infinitive, .. } = self.verb;
        if good.is_empty() {
            failure.messages.insert(0, format!("failed to {infinitive} {} resource(s)", errors.len()));
            return Err(failure);
        }
        self.tell(&good, &done);
        failure.messages.insert(0, format!("{} of {} resources failed", errors.len(), self.changes.len()));
        failure.code = Code::Partial;
        Err(failure)
    }

    /// The failure of these objects, with what helps whoever was slower than somebody else.
    fn failure(&self, errors: &[resources::Failure]) -> Failure {
        let mut failure = near::failure(&self.resources, &errors[0].1);
        let told = errors.iter().map(|(key, error)| {
            let change = self.changes.iter().find(|change| change.key == *key);
            conflict::told(&self.resources, change, error, self.how.manager.is_some())
        });
        let told: Vec<conflict::Told> = told.collect();
        if let Some(hint) = told.iter().find_map(|told| told.hint.clone()) {
            failure.hint = Some(hint);
        }
        failure.messages = told.into_iter().map(|told| told.message).collect();
        failure
    }
}
