//! Nodes of hosts whose agents report: without Kubernetes nobody else makes them (E-815).
//!
//! The node *is* the registration: an ordinary object of the store, which people see, label and delete. A report lives
//! for a while only; a host that is down keeps its node, and so its endpoints and labels, until somebody deletes the node.

use serde_json::{Map, Value, json};
use tortie_api::{API_VERSION, Kind, check_name};
use tortie_datastore::report::{AgentReport, ReportedInterface};

use crate::resource_version;

/// The annotation of a node that keeps its interfaces as the host's agent reports them. Its value is free.
pub const REGISTERED: &str = "tortie.dev/registered";

/// What a report asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Registration {
    /// The node is as it is to be, or is not ours.
    Nothing,
    /// The host is new.
    Create(Map<String, Value>),
    /// Its interfaces changed.
    Update {
        /// The whole object; everything but `spec.interfaces` is as it was.
        value: Map<String, Value>,
        /// The revision that was looked at.
        resource_version: Option<String>,
    },
}

/// Why a report makes no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The report names another host than its key.
    #[error("a report under the name `{key}` is of `{node}`: it is left out")]
    OtherHost {
        /// The name in the key.
        key: String,
        /// The name in the report.
        node: String,
    },
    /// No node may have this name.
    #[error(
        "host `{node}` gets no node, and no automatic host endpoint: {why}; give it another name with `tortie agent --node`"
    )]
    Name {
        /// The host.
        node: String,
        /// Which names may be.
        why: String,
    },
}

/// What the report that lies under `key` asks for, given the node of that name as users see it.
///
/// A node without the annotation [`REGISTERED`] is somebody else's and never touched. Labels of a node are for people to
/// give: were they taken from reports, a host could choose which policies it is under, and which others trust it.
///
/// # Errors
/// [`RegistrationError`]; it concerns this host only.
pub fn register(
    key: &str,
    report: &AgentReport,
    node: Option<&Map<String, Value>>,
) -> Result<Registration, RegistrationError> {
    if report.node != key {
        return Err(RegistrationError::OtherHost { key: key.to_owned(), node: report.node.clone() });
    }
    let Some(node) = node else {
        check_name(Kind::Node, key).map_err(|why| RegistrationError::Name { node: key.to_owned(), why })?;
        return Ok(Registration::Create(new_node(key, &report.interfaces)));
    };
    let is_registered = node.get("metadata").is_some_and(|metadata| metadata["annotations"][REGISTERED].is_string());
    // An agent that tells no interface is an older one, or has lost its links for a moment.
    if !is_registered || report.interfaces.is_empty() {
        return Ok(Registration::Nothing);
    }
    let interfaces = json!(report.interfaces);
    let spec = node.get("spec").and_then(Value::as_object);
    if spec.is_some_and(|spec| spec.get("interfaces") == Some(&interfaces)) {
        return Ok(Registration::Nothing);
    }
    let mut spec = spec.cloned().unwrap_or_default();
    spec.insert("interfaces".to_owned(), interfaces);
    let mut value = node.clone();
    value.insert("spec".to_owned(), Value::Object(spec));
    Ok(Registration::Update { value, resource_version: resource_version(node) })
}

fn new_node(name: &str, interfaces: &[ReportedInterface]) -> Map<String, Value> {
    let mut node = Map::new();
    node.insert("apiVersion".to_owned(), json!(API_VERSION));
    node.insert("kind".to_owned(), json!(Kind::Node.name()));
    node.insert("metadata".to_owned(), json!({"name": name, "annotations": {REGISTERED: "agent"}}));
    let spec = if interfaces.is_empty() { json!({}) } else { json!({"interfaces": interfaces}) };
    node.insert("spec".to_owned(), spec);
    node.insert("status".to_owned(), json!({}));
    node
}
