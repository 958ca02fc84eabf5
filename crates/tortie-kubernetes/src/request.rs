//! The steps of a commit as requests.

use http::Method;
use serde_json::{Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::KvError;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::store::{Item, Raw, Step};

use crate::body::{body, is_same, status_of};
use crate::group::Group;
use crate::merge;
use crate::server::{Ask, Server};
use crate::source::{Id, Source};

/// The manager of the fields of objects that are written as a whole. Whoever applies by name is another one.
const WRITER: &str = "tortie-write";

/// One step as a request.
pub(crate) struct Request {
    pub(crate) at: ResourceKey,
    pub(crate) ask: Ask,
    pub(crate) verb: &'static str,
    pub(crate) source: Source,
    /// What lies there before.
    pub(crate) before: Option<Value>,
    /// The status that is to be written after it, where that takes a request of its own.
    pub(crate) status: Option<Value>,
}

impl Request {
    /// The request for a step.
    pub(crate) fn new(server: &Server, group: Group, step: &Step) -> Result<Request, KvError> {
        let refused = |message: String| KvError::Fault {
            store: server.place.clone(),
            action: "write",
            kind: FaultKind::Refused { message },
            cause: None,
        };
        let at = step.at();
        let (source, id) = Source::find(at).ok_or_else(|| refused(format!("nothing can have the name of {at}")))?;
        let is_annotated = source == Source::Nodes && matches!(step, Step::Update { .. });
        if !source.is_defined() && !is_annotated {
            return Err(refused(format!("{at} is made and removed by Kubernetes itself")));
        }
        let path = source.object_path(group, &id);
        let raw = |item: &Item| match &item.raw {
            Raw::Json(raw) => Ok(raw.clone()),
            Raw::Bytes(_) => Err(refused(format!("{at} was read from another store"))),
        };
        let of = |verb, ask, before, status| Request { at: at.clone(), ask, verb, source, before, status };
        Ok(match step {
            Step::Create { value, .. } => {
                let body = body(group, at, value, None);
                let ask = write(Method::POST, source.path(group, id.namespace.as_deref()), body);
                of("create", ask, None, status_of(at.kind, value).cloned())
            }
            Step::Update { before, value } => {
                let before = raw(before)?;
                let ask = write(Method::PUT, written_at(source, path), body(group, at, value, Some(&before)));
                let status = status_of(at.kind, value).filter(|status| **status != before["status"]).cloned();
                of("update", ask, Some(before), status)
            }
            Step::Delete { before } => {
                let before = raw(before)?;
                let ask = Ask::send(Method::DELETE, path, delete_options(&before));
                of("delete", ask, Some(before), None)
            }
            Step::Merge { before, value, manager, is_pinned, .. } => {
                let before = before.as_ref().map(raw).transpose()?;
                let mut body = merge::body(group, at, value, before.as_ref(), &manager.name);
                if let Some(before) = before.as_ref().filter(|_| *is_pinned) {
                    body["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
                }
                let mut ask = Ask::apply(path, body).with("fieldManager", &manager.name);
                if manager.is_forced {
                    ask = ask.with("force", "true");
                }
                of("patch", ask, before, None)
            }
        })
    }

    /// The same request, which changes nothing.
    pub(crate) fn trial(&self) -> Ask {
        let mut ask = self.ask.clone();
        match &mut ask.body {
            // The options of a deletion in the path do not count beside those in its body.
            Some(options) if ask.method == Method::DELETE => options["dryRun"] = json!(["All"]),
            _ => ask = ask.with("dryRun", "All"),
        }
        ask
    }

    /// Writes the status of the object that was just written, where it does not go with the object.
    pub(crate) fn status_request(&self, written: &Value) -> Option<Ask> {
        let status = self.status.as_ref()?;
        let mut object = written.clone();
        object["status"] = status.clone();
        let path = match self.verb {
            "create" => format!("{}/{}", self.ask.path, written["metadata"]["name"].as_str().unwrap_or_default()),
            _ => self.ask.path.clone(),
        };
        Some(write(Method::PUT, format!("{path}/status"), object))
    }

    /// Whether an answer shows the object as it was before.
    pub(crate) fn changes_nothing(&self, answer: &Value) -> bool {
        self.before.as_ref().is_some_and(|before| is_same(self.at.kind, before, answer))
    }

    /// Whether only the requests before it make this one possible: a tier cannot go before its policies are gone.
    pub(crate) fn depends_on(&self, earlier: &[Request]) -> bool {
        let is_deletion =
            |request: &Request, is_kind: fn(Kind) -> bool| request.verb == "delete" && is_kind(request.at.kind);
        is_deletion(self, |kind| kind == Kind::Tier)
            && earlier.iter().any(|request| is_deletion(request, Kind::is_tiered_policy))
    }

    /// The requests that take it back, one after the other; `answer` is what the server said to it. None where the server
    /// did not say what it made.
    pub(crate) fn undoing(&self, group: Group, answer: &Value) -> Option<Vec<Ask>> {
        let path = self.ask.path.clone();
        Some(match (self.verb, &self.before) {
            ("create" | "patch", None) => {
                let path = self.source.object_path(group, &Id::of(answer)?);
                vec![Ask::send(Method::DELETE, path, delete_options(answer))]
            }
            (_, None) => Vec::new(),
            ("patch", Some(before)) if revision(before) == revision(answer) => Vec::new(),
            // Whoever writes a field manages it: that nothing changes any more leaves the managers as they are given.
            ("patch", Some(before)) => vec![write(Method::PUT, path.clone(), before.clone()); 2],
            ("update", Some(before)) => vec![write(Method::PUT, path, before.clone())],
            (_, Some(before)) => {
                let namespace = before["metadata"]["namespace"].as_str();
                vec![write(Method::POST, self.source.path(group, namespace), anew(before.clone()))]
            }
        })
    }
}

fn write(method: Method, path: String, body: Value) -> Ask {
    Ask::send(method, path, body).with("fieldManager", WRITER)
}

fn revision(object: &Value) -> &Value {
    &object["metadata"]["resourceVersion"]
}

/// Where an object is written over: what Calico keeps of a node goes through its status, which more users may write.
fn written_at(source: Source, path: String) -> String {
    match source.kind() {
        Kind::Node => format!("{path}/status"),
        _ => path,
    }
}

/// Only this object, as it was read.
fn delete_options(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let preconditions = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
    json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions})
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
