//! One endpoint, as it is to be and as it is.

use serde_json::{Map, Value, json};
use tortie_api::model::Labels;
use tortie_api::{API_VERSION, DEFAULT_ALLOW_PROFILE, Kind};

/// The label that marks endpoints of the controller (E-802).
pub const CREATED_BY: &str = "projectcalico.org/created-by";
/// Its value, which is Calico's, so that either controller takes over from the other.
pub const CREATED_BY_VALUE: &str = "calico-kube-controllers";

/// Whether an endpoint is the controller's own: nothing else is ever changed or deleted (E-802).
pub fn is_owned(endpoint: &Map<String, Value>) -> bool {
    endpoint.get("metadata").is_some_and(|metadata| metadata["labels"][CREATED_BY] == CREATED_BY_VALUE)
}

/// What decides whether an endpoint is as it is to be (E-810); `profiles` and `ports` do not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Endpoint {
    pub(super) node: String,
    /// Empty when it has none.
    pub(super) interface: String,
    /// In order, as texts.
    pub(super) expected_ips: Vec<String>,
    pub(super) labels: Labels,
    pub(super) annotations: Labels,
}

impl Endpoint {
    /// What a stored object says; `None` when it cannot be read.
    pub(super) fn read(object: &Map<String, Value>) -> Option<Self> {
        let empty = Value::Null;
        let part = |name: &str| object.get(name).unwrap_or(&empty);
        let (metadata, spec) = (part("metadata"), part("spec"));
        Some(Self {
            node: text(&spec["node"])?,
            interface: text(&spec["interfaceName"])?,
            expected_ips: texts(&spec["expectedIPs"])?,
            labels: map(&metadata["labels"])?,
            annotations: map(&metadata["annotations"])?,
        })
    }

    /// The whole object, in stored form.
    pub(super) fn to_object(&self, name: &str) -> Map<String, Value> {
        let mut metadata = Map::new();
        metadata.insert("name".to_owned(), json!(name));
        metadata.insert("labels".to_owned(), json!(self.labels));
        if !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), json!(self.annotations));
        }
        let mut spec = Map::new();
        spec.insert("node".to_owned(), json!(self.node));
        if !self.interface.is_empty() {
            spec.insert("interfaceName".to_owned(), json!(self.interface));
        }
        if !self.expected_ips.is_empty() {
            spec.insert("expectedIPs".to_owned(), json!(self.expected_ips));
        }
        spec.insert("profiles".to_owned(), json!([DEFAULT_ALLOW_PROFILE]));
        let mut object = Map::new();
        object.insert("apiVersion".to_owned(), json!(API_VERSION));
        object.insert("kind".to_owned(), json!(Kind::HostEndpoint.name()));
        object.insert("metadata".to_owned(), Value::Object(metadata));
        object.insert("spec".to_owned(), Value::Object(spec));
        object
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        value => value.as_str().map(str::to_owned),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        value => value.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect(),
    }
}

fn map(value: &Value) -> Option<Labels> {
    match value {
        Value::Null => Some(Labels::new()),
        value => value.as_object()?.iter().map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect(),
    }
}
