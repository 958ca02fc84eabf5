//! `create`, `apply`, `replace`, `delete` and `validate`.

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Resources};

use super::error::{Error, Operation, of_store};
use super::flags::Given;
use super::input;
use super::resource::{Body, Resource};
use super::results::{Results, Verb};
use super::session::Located;

/// Does something to each object of the command, with what is opened once they are read, and says what became of them;
/// nothing at all may be left to do.
fn each<T>(
    given: &Given,
    open: impl FnOnce() -> Result<T, Error>,
    report: impl FnOnce(Results) -> Result<(), Error>,
    mut act: impl FnMut(&T, &Resource) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(mut resources) = input::read(given)? else {
        println!("No resources specified");
        return Ok(());
    };
    let opened = open()?;
    input::require_names(given)?;
    report(Results::of(&mut resources, |resource| {
        resource.settle_namespace(given)?;
        act(&opened, resource)
    }))
}

pub(super) fn create(given: &Given) -> Result<(), Error> {
    const VERB: Verb = Verb { infinitive: "create", past: "created" };
    input::require(given, VERB.infinitive)?;
    let place = Located::find(given)?;
    let skips = given.is_set("skip-exists");
    each(
        given,
        || place.open_initialised(),
        |results| results.report(VERB),
        |session, resource| match create_one(&session.resources(), resource, resource.revision.clone()) {
            Err(Error::Exists(_) | Error::ExistsBuiltIn(_)) if skips => Ok(()),
            done => done,
        },
    )
}

pub(super) fn apply(given: &Given) -> Result<(), Error> {
    const VERB: Verb = Verb { infinitive: "apply", past: "applied" };
    input::require(given, VERB.infinitive)?;
    let place = Located::find(given)?;
    each(
        given,
        || place.open_initialised(),
        |results| results.report(VERB),
        |session, resource| {
            if resource.kind == Kind::ClusterInformation {
                let (id, reason) = (resource.kind.name().to_owned(), Some("resource is readonly".to_owned()));
                return Err(Error::NotSupported { operation: VERB.infinitive, id, reason });
            }
            match create_one(&session.resources(), resource, None) {
                Err(Error::Exists(_) | Error::ExistsBuiltIn(_) | Error::NotSupported { .. }) => {
                    replace_one(&session.resources(), resource)
                }
                done => done,
            }
        },
    )
}

pub(super) fn replace(given: &Given) -> Result<(), Error> {
    const VERB: Verb = Verb { infinitive: "replace", past: "replaced" };
    input::require(given, VERB.infinitive)?;
    let place = Located::find(given)?;
    each(
        given,
        || place.open_initialised(),
        |results| results.report_last(VERB),
        |session, resource| replace_one(&session.resources(), resource),
    )
}

pub(super) fn delete(given: &Given) -> Result<(), Error> {
    const VERB: Verb = Verb { infinitive: "delete", past: "deleted" };
    input::require(given, VERB.infinitive)?;
    let place = Located::find(given)?;
    let skips = given.is_set("skip-not-exists");
    each(
        given,
        || place.open(Access::Write),
        |results| results.report_each(VERB),
        |session, resource| {
            let change = Change {
                mode: Mode::Delete,
                key: resource.key(),
                value: Map::new(),
                resource_version: resource.revision.clone(),
            };
            match write_one(&session.resources(), change, Operation::Delete) {
                Err(Error::Missing(_)) if skips => Ok(()),
                done => done,
            }
        },
    )
}

pub(super) fn validate(given: &Given) -> Result<(), Error> {
    const VERB: Verb = Verb { infinitive: "validate", past: "validated" };
    input::require(given, VERB.infinitive)?;
    each(given, || Ok(()), |results| results.report(VERB), |(), resource| resource.valid().map(|_| ()))
}

fn create_one(resources: &Resources<'_>, resource: &Resource, revision: Option<String>) -> Result<(), Error> {
    // The tier comes before what is wrong with the policy.
    if let (Body::Refused { .. }, Some(tier)) = (&resource.body, resource.tier()) {
        let tier = ResourceKey::global(Kind::Tier, tier);
        resources.get(&tier).map_err(|error| of_store(error, Operation::Get))?;
    }
    let value = value(resource)?;
    let change = Change { mode: Mode::Create, key: resource.key(), value, resource_version: revision };
    write_one(resources, change, Operation::Create)
}

fn replace_one(resources: &Resources<'_>, resource: &Resource) -> Result<(), Error> {
    let key = resource.key();
    let found = resources.get(&key).map_err(|error| of_store(error, Operation::Get))?;
    let is_latest = |revision: &String| found.value["metadata"]["resourceVersion"] == revision.as_str();
    if !resource.revision.as_ref().is_none_or(is_latest) {
        return Err(Error::Conflict(key));
    }
    let change =
        Change { mode: Mode::Replace, key, value: value(resource)?, resource_version: resource.revision.clone() };
    write_one(resources, change, Operation::Update)
}

/// The object to write. Of kinds that are never written it does not matter: the store refuses them.
fn value(resource: &Resource) -> Result<Map<String, Value>, Error> {
    match resource.kind {
        Kind::ClusterInformation | Kind::WorkloadEndpoint => Ok(Map::new()),
        _ => resource.valid().cloned(),
    }
}

/// Carries out one change.
pub(super) fn write_one(resources: &Resources<'_>, change: Change, operation: Operation) -> Result<(), Error> {
    match resources.write(&[change]) {
        Ok(_) => Ok(()),
        Err(failures) => {
            let first = failures.into_iter().next().expect("what is refused has a reason");
            Err(of_store(first.1, operation))
        }
    }
}
