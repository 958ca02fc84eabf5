//! Changes one after the other, as if they were one: all are tried first, and what was done is undone when a later one
//! fails.

use http::Method;
use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_datastore::KvError;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::store::{Commit, Item, Raw, Step};

use crate::body::{body, status_of};
use crate::failure::{Failure, is_missing_definition};
use crate::group::Group;
use crate::server::{Ask, Server};
use crate::source::{Id, Source};

/// What is being done, in messages.
const WRITE: &str = "write";

/// One step as a request.
struct Request {
    ask: Ask,
    verb: &'static str,
    source: Source,
    /// What lies there before.
    before: Option<Value>,
    /// The status that is to be written after it, where that takes a request of its own.
    status: Option<Value>,
}

impl Request {
    /// The same request, which changes nothing.
    fn trial(&self) -> Ask {
        let mut ask = self.ask.clone();
        match &mut ask.body {
            // The options of a deletion in the path do not count beside those in its body.
            Some(options) if ask.method == Method::DELETE => options["dryRun"] = json!(["All"]),
            _ => ask = ask.with("dryRun", "All"),
        }
        ask
    }
}

/// How one request ended that did not fail.
enum Outcome {
    /// It was done; the server's answer.
    Done(Value),
    /// Its condition did not hold.
    Refused,
}

/// Makes all changes or none, as well as that is possible without transactions.
pub(crate) async fn commit(server: &Server, steps: &[Step]) -> Result<Commit, KvError> {
    let resource = |group: Group| group.to_string();
    let group = server.group().await;
    let group = group.map_err(|failure| server.told(failure, WRITE, "get", resource(Group::Native)))?;
    let requests: Vec<Request> =
        steps.iter().map(|step| request(server, group, step)).collect::<Result<_, KvError>>()?;
    let told = |request: &Request, failure| server.told(failure, WRITE, request.verb, request.source.resource(group));
    if requests.len() > 1 {
        for (step, request) in requests.iter().enumerate() {
            match outcome(server, request, request.trial()).await {
                Ok(Outcome::Done(_)) => {}
                Ok(Outcome::Refused) => return Ok(Commit::Refused { step }),
                // An admission webhook that knows no trials is asked when it counts.
                Err(failure) if knows_no_trial(&failure) => {}
                Err(failure) => return Err(told(request, failure)),
            }
        }
    }
    let mut done: Vec<(&Request, Value)> = Vec::with_capacity(requests.len());
    for (step, request) in requests.iter().enumerate() {
        let ended = match outcome(server, request, request.ask.clone()).await {
            Ok(Outcome::Done(answer)) => match write_status(server, request, &answer).await {
                Ok(newer) => {
                    done.push((request, newer.unwrap_or(answer)));
                    continue;
                }
                Err(failure) => {
                    done.push((request, answer));
                    Err(told(request, failure))
                }
            },
            Ok(Outcome::Refused) => Ok(Commit::Refused { step }),
            Err(failure) => Err(told(request, failure)),
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

/// The revision in an answer; a deletion has none.
fn revision(answer: &Value) -> String {
    match answer["kind"].as_str() {
        Some("Status") => String::new(),
        _ => answer["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
    }
}

fn request(server: &Server, group: Group, step: &Step) -> Result<Request, KvError> {
    let refused = |message: &str| KvError::Fault {
        store: server.place.clone(),
        action: WRITE,
        kind: FaultKind::Refused { message: message.to_owned() },
        cause: None,
    };
    let at = step.at();
    let (source, id) = Source::find(at).ok_or_else(|| refused(&format!("nothing can have the name of {at}")))?;
    let is_annotated = source == Source::Nodes && matches!(step, Step::Update { .. });
    if !source.is_defined() && !is_annotated {
        return Err(refused(&format!("{at} is made and removed by Kubernetes itself")));
    }
    let path = source.object_path(group, &id);
    let before = |item: &Item| match &item.raw {
        Raw::Json(raw) => Ok(raw.clone()),
        Raw::Bytes(_) => Err(refused(&format!("{at} was read from another store"))),
    };
    let status = match step {
        Step::Create { value, .. } | Step::Update { value, .. } => status_of(at.kind, value).cloned(),
        Step::Delete { .. } => None,
    };
    Ok(match step {
        Step::Create { value, .. } => Request {
            ask: Ask::send(Method::POST, source.path(group, id.namespace.as_deref()), body(group, at, value, None)),
            verb: "create",
            source,
            before: None,
            status,
        },
        Step::Update { before: item, value } => {
            let before = before(item)?;
            let ask = Ask::send(Method::PUT, written_at(source, path), body(group, at, value, Some(&before)));
            let status = status.filter(|status| *status != before["status"]);
            Request { ask, verb: "update", source, before: Some(before), status }
        }
        Step::Delete { before: item } => {
            let before = before(item)?;
            let options = delete_options(&before);
            let ask = Ask::send(Method::DELETE, path, options);
            Request { ask, verb: "delete", source, before: Some(before), status }
        }
    })
}

/// Where an object is written over: what Calico keeps of a node goes through its status, which more users may write.
fn written_at(source: Source, path: String) -> String {
    match source.kind() {
        Kind::Node => format!("{path}/status"),
        _ => path,
    }
}

/// Writes the status of an object that was just written, where it does not go with the object.
async fn write_status(server: &Server, request: &Request, written: &Value) -> Result<Option<Value>, Failure> {
    let Some(status) = &request.status else { return Ok(None) };
    let mut object = written.clone();
    object["status"] = status.clone();
    let path = match request.verb {
        "create" => format!("{}/{}", request.ask.path, written["metadata"]["name"].as_str().unwrap_or_default()),
        _ => request.ask.path.clone(),
    };
    server.fetch(&Ask::send(Method::PUT, format!("{path}/status"), object)).await.map(Some)
}

/// Only this object, as it was read.
fn delete_options(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let preconditions = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions})
}

async fn outcome(server: &Server, request: &Request, ask: Ask) -> Result<Outcome, Failure> {
    let failure = match server.fetch(&ask).await {
        Ok(answer) => return Ok(Outcome::Done(answer)),
        Err(failure) => failure,
    };
    let Failure::Answered(answer) = &failure else { return Err(failure) };
    let is_gone = answer.code == 404 && request.before.is_some() && !is_missing_definition(answer);
    let is_conflict = answer.code == 409 && ["AlreadyExists", "Conflict"].contains(&answer.reason.as_str());
    match is_gone || is_conflict {
        true => Ok(Outcome::Refused),
        false => Err(failure),
    }
}

fn knows_no_trial(failure: &Failure) -> bool {
    matches!(failure, Failure::Answered(answer) if answer.message.contains("does not support dry run"))
}

/// Takes back what was done, the last first; gives how many it could not.
async fn undo(server: &Server, group: Group, done: Vec<(&Request, Value)>) -> usize {
    let mut left = 0;
    for (request, answer) in done.into_iter().rev() {
        let path = request.ask.path.clone();
        let ask = match (request.verb, &request.before) {
            ("create", _) => match Id::of(&answer) {
                Some(id) => Ask::send(Method::DELETE, request.source.object_path(group, &id), delete_options(&answer)),
                None => {
                    left += 1;
                    continue;
                }
            },
            ("update", Some(before)) => {
                let mut before = before.clone();
                before["metadata"]["resourceVersion"] = answer["metadata"]["resourceVersion"].clone();
                Ask::send(Method::PUT, path, before)
            }
            (_, Some(before)) => {
                let namespace = before["metadata"]["namespace"].as_str();
                Ask::send(Method::POST, request.source.path(group, namespace), anew(before.clone()))
            }
            (_, None) => continue,
        };
        if let Err(failure) = server.fetch(&ask).await {
            tracing::error!("{} could not be undone: {}", ask.path, tortie_api::with_causes(&failure));
            left += 1;
        }
    }
    left
}

/// An object that was deleted, to be made again.
fn anew(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "managedFields", "generation"]
        {
            metadata.remove(name);
        }
    }
    object
}
