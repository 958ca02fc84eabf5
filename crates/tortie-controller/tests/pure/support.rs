//! A world of nodes, settings and endpoints, and a store that carries out plans.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tortie_api::model::{KubeControllersConfiguration, Resource};
use tortie_api::{Kind, read_stored};
use tortie_controller::hostendpoints::{Action, CREATED_BY, CREATED_BY_VALUE, Environment};
use tortie_controller::hostendpoints::{Names, NodeState, Plan, Settings, plan};

/// What the controller is given.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) nodes: BTreeMap<String, NodeState>,
    pub(crate) endpoints: BTreeMap<String, Map<String, Value>>,
    revision: u64,
}

impl World {
    /// A world with `hostEndpoint` settings; `autoCreate` is Enabled unless they say otherwise.
    pub(crate) fn new(host_endpoint: Value) -> Self {
        Self { settings: settings(host_endpoint), nodes: BTreeMap::new(), endpoints: BTreeMap::new(), revision: 1 }
    }

    pub(crate) fn node(mut self, name: &str, labels: Value, spec: Value) -> Self {
        self.nodes.insert(name.to_owned(), node(name, labels, spec));
        self
    }

    /// An endpoint as somebody stored it.
    pub(crate) fn endpoint(mut self, name: &str, labels: Value, spec: Value) -> Self {
        self.store(name, object(json!({"metadata": {"name": name, "labels": labels}, "spec": spec})));
        self
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.settings, &self.nodes, &self.endpoints)
    }

    /// Carries a plan out as a store does, with compare-and-swap.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        for (name, action) in &plan.actions {
            let stored = self.endpoints.get(name).map(|found| found["metadata"]["resourceVersion"].as_str());
            match action {
                Action::Create { value } => {
                    assert_eq!(stored, None, "{name} is there already");
                    self.store(name, value.clone());
                }
                Action::Update { value, resource_version } => {
                    assert_eq!(stored, Some(resource_version.as_deref()), "{name} is updated at another revision");
                    self.store(name, value.clone());
                }
                Action::Delete { resource_version } => {
                    assert_eq!(stored, Some(resource_version.as_deref()), "{name} is deleted at another revision");
                    self.endpoints.remove(name);
                }
            }
        }
    }

    /// Applies the plan, and makes sure that nothing is left to do.
    pub(crate) fn settle(&mut self) -> Plan {
        let plan = self.plan();
        self.apply(&plan);
        let next = self.plan();
        assert_eq!(next.actions, BTreeMap::new(), "a plan that was carried out leaves something to do");
        assert_eq!(next.findings, self.plan().findings);
        plan
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.endpoints.keys().map(String::as_str).collect()
    }

    pub(crate) fn store(&mut self, name: &str, mut value: Map<String, Value>) {
        self.revision += 1;
        value["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.endpoints.insert(name.to_owned(), value);
    }

    /// One member of an endpoint, by JSON pointer.
    pub(crate) fn at(&self, name: &str, pointer: &str) -> Value {
        let endpoint = self.endpoints.get(name).cloned().map(Value::Object);
        endpoint.and_then(|value| value.pointer(pointer).cloned()).unwrap_or_default()
    }
}

pub(crate) fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

pub(crate) fn configuration(host_endpoint: Value) -> KubeControllersConfiguration {
    let mut host_endpoint = object(host_endpoint);
    host_endpoint.entry("autoCreate").or_insert(json!("Enabled"));
    let spec = json!({"controllers": {"node": {"hostEndpoint": host_endpoint}}});
    let stored = json!({"metadata": {"name": "default"}, "spec": spec});
    let stored = read_stored(Kind::KubeControllersConfiguration, &stored).expect("settings of a test can be read");
    let Resource::KubeControllersConfiguration(configuration) = stored.resource else { panic!("of another kind") };
    configuration
}

pub(crate) fn settings(host_endpoint: Value) -> Settings {
    Settings::new(Some(&configuration(host_endpoint)), &Environment::default(), Names::Free)
}

pub(crate) fn node(name: &str, labels: Value, spec: Value) -> NodeState {
    let stored = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
    let stored = read_stored(Kind::Node, &stored).expect("a node of a test can be read");
    let Resource::Node(node) = stored.resource else { panic!("of another kind") };
    NodeState::Known(Box::new(node))
}

/// The labels of an owned endpoint, without others.
pub(crate) fn mark() -> Value {
    json!({CREATED_BY: CREATED_BY_VALUE})
}
