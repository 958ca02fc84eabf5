//! The definitions of `tortie_api::crd` in a real Kubernetes API server (datastore.md section 3.7, resources.md section
//! 12).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the vectors are files")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tortie_api::Kind;
use tortie_api::crd::{Group, definitions};
use tortie_testkit::apiserver::{ApiServer, until};

mod behaviour;
mod cases;
mod defaults;
mod groups;
mod split;
mod vectors;

/// The server that all tests share, with the definitions and admission policies of the native group in force. Nothing is
/// stored in it under a name that a trial needs.
fn native() -> &'static ApiServer {
    static READY: OnceLock<&'static ApiServer> = OnceLock::new();
    READY.get_or_init(|| {
        let server = ApiServer::shared();
        server.apply_definitions(&list(Group::Native));
        let policy = object("GlobalNetworkPolicy", "probe", json!({})).to_string();
        until("policies are taken and get their types", || {
            let answer = server.kubectl(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &policy);
            let policy: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
            policy["spec"]["types"].is_array()
        });
        server
    })
}

/// The definitions of a group as one text.
fn list(group: Group) -> String {
    list_of(&definitions(group).into_iter().map(|definition| definition.object).collect::<Vec<_>>())
}

fn list_of(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let mut object = json!({
        "apiVersion": tortie_api::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    if Kind::from_document(kind).unwrap().is_namespaced() {
        object["metadata"]["namespace"] = json!("default");
    }
    object
}

/// What a server says to many objects, none of which it stores.
struct Answers {
    /// What it would store, by the annotation [`CASE`].
    accepted: BTreeMap<String, Value>,
    /// All refusals as kubectl prints them.
    refusals: String,
}

/// The annotation that names the case in an answer.
const CASE: &str = "case";

/// Sends documents for a trial, unknown fields and all: the schema alone decides.
fn try_all(server: &ApiServer, documents: &str) -> Answers {
    let output =
        server.kubectl(&["create", "--dry-run=server", "--validate=ignore", "-o", "json", "-f", "-"], documents);
    let accepted = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter::<Value>()
        .flat_map(|answer| match answer.unwrap() {
            Value::Object(mut list) if list.get("kind") == Some(&json!("List")) => {
                list.remove("items").and_then(|items| items.as_array().cloned()).unwrap_or_default()
            }
            object => vec![object],
        })
        .map(|object| (object["metadata"]["annotations"][CASE].as_str().unwrap().to_owned(), object))
        .collect();
    Answers { accepted, refusals: String::from_utf8(output.stderr).unwrap() }
}
