//! Changes one after the other, as if they were one: all are tried first, and what was done is undone when a later one
//! fails.

use std::time::Duration;

use serde_json::Value;
use tortie_datastore::KvError;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::store::{Commit, Step};

use crate::failure::{Failure, is_missing_definition};
use crate::group::Group;
use crate::merge;
use crate::request::Request;
use crate::server::{Ask, Server};

/// What is being done, in messages.
const WRITE: &str = "write";

/// Times admission is asked about a request that what was done before it made possible.
const ADMISSION_TRIES: u32 = 50;
/// Between two of them: 5 s in all.
const ADMISSION_PAUSE: Duration = Duration::from_millis(100);

/// How one request ended that did not fail.
enum Outcome {
    /// It was done; the server's answer.
    Done(Value),
    /// Its condition did not hold.
    Refused,
}

/// Makes all changes or none, as well as that is possible without transactions.
pub(crate) async fn commit(server: &Server, steps: &[Step]) -> Result<Commit, KvError> {
    let (group, requests) = requests(server, steps).await?;
    if requests.len() > 1 {
        for (step, request) in requests.iter().enumerate().filter(|(step, own)| !own.depends_on(&requests[..*step])) {
            match outcome(server, request, request.trial()).await {
                Ok(Outcome::Done(_)) => {}
                Ok(Outcome::Refused) => return Ok(Commit::Refused { step }),
                // An admission webhook that knows no trials is asked when it counts.
                Err(failure) if knows_no_trial(&failure) => {}
                Err(failure) => return Err(told(server, group, request, failure)),
            }
        }
    }
    let mut done: Vec<(&Request, Value)> = Vec::with_capacity(requests.len());
    for (step, request) in requests.iter().enumerate() {
        let outcome = match request.depends_on(&requests[..step]) {
            true => patient_outcome(server, request).await,
            false => outcome(server, request, request.ask.clone()).await,
        };
        let ended = match outcome {
            Ok(Outcome::Done(answer)) => match write_status(server, request, &answer).await {
                Ok(newer) => {
                    done.push((request, newer.unwrap_or(answer)));
                    continue;
                }
                Err(failure) => {
                    done.push((request, answer));
                    Err(told(server, group, request, failure))
                }
            },
            Ok(Outcome::Refused) => Ok(Commit::Refused { step }),
            Err(failure) => Err(told(server, group, request, failure)),
        };
        let left = undo(server, group, done).await;
        return match left {
            0 => ended,
            left => Err(KvError::Fault {
                store: server.place.clone(),
                action: WRITE,
                kind: FaultKind::HalfDone { done: left, all: steps.len() },
                cause: ended.err().map(Into::into),
            }),
        };
    }
    Ok(Commit::Done(done.iter().map(|(_, answer)| revision(answer)).collect()))
}

/// Tries all changes, each as if the ones before it had not been made: rights, schemas, admission and conditions count.
pub(crate) async fn rehearse(server: &Server, steps: &[Step]) -> Result<Commit, KvError> {
    let (group, requests) = requests(server, steps).await?;
    let mut revisions = Vec::with_capacity(requests.len());
    for (step, request) in requests.iter().enumerate() {
        if request.depends_on(&requests[..step]) {
            tracing::warn!("{} is not tried: it can only go after what goes before it", request.at);
            revisions.push(String::new());
            continue;
        }
        let answer = match outcome(server, request, request.trial()).await {
            Ok(Outcome::Done(answer)) => answer,
            Ok(Outcome::Refused) => return Ok(Commit::Refused { step }),
            Err(failure) => return Err(told(server, group, request, failure)),
        };
        // The status of what is not there cannot be written, not even as a trial.
        if let Some(ask) = request.status_request(&answer).filter(|_| request.before.is_some()) {
            let tried = server.fetch(&ask.with("dryRun", "All")).await;
            tried.map_err(|failure| told(server, group, request, failure))?;
        }
        let before = request.before.as_ref().filter(|_| request.changes_nothing(&answer));
        revisions.push(before.map(revision).unwrap_or_default());
    }
    Ok(Commit::Done(revisions))
}

async fn requests(server: &Server, steps: &[Step]) -> Result<(Group, Vec<Request>), KvError> {
    let group = server.group().await;
    let group = group.map_err(|failure| server.told(failure, WRITE, "get", Group::Native.to_string()))?;
    let requests = steps.iter().map(|step| Request::new(server, group, step)).collect::<Result<_, KvError>>()?;
    Ok((group, requests))
}

fn told(server: &Server, group: Group, request: &Request, failure: Failure) -> KvError {
    match &failure {
        Failure::Answered(answer) if !answer.owned.is_empty() => {
            let fields = answer.owned.iter().cloned().map(merge::shown).collect();
            let kind = FaultKind::FieldsOwned { id: Box::new(request.at.clone()), fields };
            KvError::Fault { store: server.place.clone(), action: WRITE, kind, cause: None }
        }
        _ => server.told(failure, WRITE, request.verb, request.source.resource(group)),
    }
}

/// The revision in an answer; a deletion has none.
fn revision(answer: &Value) -> String {
    match answer["kind"].as_str() {
        Some("Status") => String::new(),
        _ => answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
    }
}

/// Writes the status of an object that was just written, where it does not go with the object.
async fn write_status(server: &Server, request: &Request, written: &Value) -> Result<Option<Value>, Failure> {
    match request.status_request(written) {
        Some(ask) => server.fetch(&ask).await.map(Some),
        None => Ok(None),
    }
}

async fn outcome(server: &Server, request: &Request, ask: Ask) -> Result<Outcome, Failure> {
    let failure = match server.fetch(&ask).await {
        Ok(answer) => return Ok(Outcome::Done(answer)),
        Err(failure) => failure,
    };
    let Failure::Answered(answer) = &failure else { return Err(failure) };
    // What is merged needs nothing to be there, so that something else is missing.
    let is_gone =
        answer.code == 404 && request.before.is_some() && request.verb != "patch" && !is_missing_definition(answer);
    let is_conflict = answer.code == 409 && ["AlreadyExists", "Conflict"].contains(&answer.reason.as_str());
    match is_gone || (is_conflict && answer.owned.is_empty()) {
        true => Ok(Outcome::Refused),
        false => Err(failure),
    }
}

/// The outcome of a request that something done just now made possible: admission follows the server's objects, and may not
/// have heard of it yet.
async fn patient_outcome(server: &Server, request: &Request) -> Result<Outcome, Failure> {
    let mut tries = 1;
    loop {
        match outcome(server, request, request.ask.clone()).await {
            Err(failure) if is_denied(&failure) && tries < ADMISSION_TRIES => tries += 1,
            ended => return ended,
        }
        tokio::time::sleep(ADMISSION_PAUSE).await;
    }
}

/// Whether a policy or a webhook of admission says no.
fn is_denied(failure: &Failure) -> bool {
    matches!(failure, Failure::Answered(answer) if ["denied request", "denied the request"].iter().any(|text| answer.message.contains(text)))
}

fn knows_no_trial(failure: &Failure) -> bool {
    matches!(failure, Failure::Answered(answer) if answer.message.contains("does not support dry run"))
}

/// Takes back what was done, the last first; gives how many it could not.
async fn undo(server: &Server, group: Group, done: Vec<(&Request, Value)>) -> usize {
    let mut left = 0;
    for (request, answer) in done.into_iter().rev() {
        match undo_one(server, group, request, answer).await {
            Ok(true) => {}
            Ok(false) => left += 1,
            Err(failure) => {
                tracing::error!("{} could not be undone: {}", request.at, tortie_api::with_causes(&failure));
                left += 1;
            }
        }
    }
    left
}

/// Whether what was made is known, and taken back.
async fn undo_one(server: &Server, group: Group, request: &Request, answer: Value) -> Result<bool, Failure> {
    let Some(asks) = request.undoing(group, &answer) else { return Ok(false) };
    let mut latest = answer["metadata"]["resourceVersion"].clone();
    for mut ask in asks {
        if let Some(body) = ask.body.as_mut().filter(|_| ask.method == http::Method::PUT) {
            body["metadata"]["resourceVersion"] = latest;
        }
        latest = server.fetch(&ask).await?["metadata"]["resourceVersion"].clone();
    }
    Ok(true)
}
