//! From what lies in a store to typed resources, as an agent reads it.
//!
//! Stores hold what other programs wrote, and an API server checks little (resources.md section 12). What has a defined
//! meaning is taken: protocol names in any case, bare addresses and host bits in networks, policies without types. What
//! has none makes the object invalid as a whole, never one rule of it (E-305). What only one entry of a list lacks is
//! left out and reported.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::Kind;
use crate::checks;
use crate::model::{
    Attachment, ClusterInformation, EndpointPort, FelixConfiguration, HostEndpoint, Meta, NetworkSet, Profile,
    Resource, Tier, TierAction, WorkloadEndpoint,
};
use crate::problem::{Problem, Severity};

mod controllers;
mod node;
mod place;
mod policy;

use self::place::{Entry, Member, Place};

type Object = Map<String, Value>;

/// A resource as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The typed form.
    pub resource: Resource,
    /// Entries that were left out, and other things to report.
    pub warnings: Vec<Problem>,
}

/// Reads an object in stored form.
///
/// # Errors
/// All reasons why the object has no defined meaning; it then counts as missing, or its last valid form stays (D-11).
pub fn read_stored(kind: Kind, value: &Value) -> Result<Stored, Vec<Problem>> {
    let mut reader = Reader { problems: Vec::new() };
    let resource = reader.resource(kind, value);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        reader.problems.into_iter().partition(|problem| problem.severity == Severity::Error);
    match resource {
        Some(resource) if errors.is_empty() => Ok(Stored { resource, warnings }),
        _ => Err(errors),
    }
}

struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn error(&mut self, path: impl Place, message: impl Into<String>) {
        self.problems.push(Problem::error(path.to_string(), message));
    }

    fn warn(&mut self, path: impl Place, message: impl Into<String>) {
        self.problems.push(Problem::warning(path.to_string(), message));
    }

    fn resource(&mut self, kind: Kind, value: &Value) -> Option<Resource> {
        let Some(object) = value.as_object() else {
            self.error("", "the object is no JSON object");
            return None;
        };
        let empty = Object::new();
        let metadata = self.object(object, "metadata", "metadata")?.unwrap_or(&empty);
        let spec = self.object(object, "spec", "spec")?.unwrap_or(&empty);
        let meta = self.meta(kind, metadata)?;
        match kind {
            Kind::HostEndpoint => self.host_endpoint(meta, spec).map(Resource::HostEndpoint),
            Kind::GlobalNetworkPolicy
            | Kind::NetworkPolicy
            | Kind::StagedGlobalNetworkPolicy
            | Kind::StagedNetworkPolicy => self.policy(kind, meta, spec).map(Resource::Policy),
            Kind::Profile => {
                let ingress = self.rules("spec.ingress", spec, "ingress")?;
                let egress = self.rules("spec.egress", spec, "egress")?;
                let labels_to_apply = self.texts_map(spec, "labelsToApply", "spec.labelsToApply")?;
                Some(Resource::Profile(Profile { meta, ingress, egress, labels_to_apply }))
            }
            Kind::Tier => {
                // Absent: the value that reading a list fills in (resources.md section 6).
                let order = self.number(spec, "order", "spec.order")?.or(Some(1_000_000.0));
                let action = self.text(spec, "defaultAction", "spec.defaultAction")?;
                let default_action = if action == Some("Pass") { TierAction::Pass } else { TierAction::Deny };
                Some(Resource::Tier(Tier { meta, order, default_action }))
            }
            Kind::GlobalNetworkSet | Kind::NetworkSet => {
                let mut nets = Vec::new();
                for (path, text) in self.texts(spec, "nets", "spec.nets")? {
                    match checks::loose_net(text) {
                        Ok(net) => nets.push(net.trunc()),
                        Err(refusal) => self.warn(path, format!("{}: the entry is left out", refusal.message)),
                    }
                }
                Some(Resource::NetworkSet(NetworkSet { meta, nets }))
            }
            Kind::WorkloadEndpoint => self.workload_endpoint(meta, spec).map(Resource::WorkloadEndpoint),
            Kind::FelixConfiguration => {
                let node_selector = match meta.name.as_str() {
                    name if name == "default" || name.starts_with("node.") => {
                        // It counts by its name: a selector in it must not switch its settings off.
                        if spec.contains_key("nodeSelector") {
                            self.warn("spec.nodeSelector", "it does not belong here: it is left out".to_owned());
                        }
                        None
                    }
                    _ => self.selector(spec, "nodeSelector", "spec.nodeSelector")?,
                };
                let values = spec.iter().filter(|(name, _)| *name != "nodeSelector");
                let values = values.map(|(name, value)| (name.clone(), value.clone())).collect();
                Some(Resource::FelixConfiguration(FelixConfiguration { meta, node_selector, values }))
            }
            Kind::Node => Some(Resource::Node(self.node(meta, spec))),
            Kind::ClusterInformation => {
                let cluster_guid = self.text(spec, "clusterGUID", "spec.clusterGUID")?.unwrap_or_default().to_owned();
                let is_ready = spec.get("datastoreReady") == Some(&Value::Bool(true));
                Some(Resource::ClusterInformation(ClusterInformation { meta, cluster_guid, is_ready }))
            }
            Kind::KubeControllersConfiguration => {
                self.kube_controllers(meta, spec).map(Resource::KubeControllersConfiguration)
            }
            Kind::StagedKubernetesNetworkPolicy => Some(Resource::Other(kind, meta)),
        }
    }

    fn meta(&mut self, kind: Kind, metadata: &Object) -> Option<Meta> {
        let name = self.text(metadata, "name", "metadata.name")?.unwrap_or_default().to_owned();
        if name.is_empty() {
            self.error("metadata.name", "the object has no name");
            return None;
        }
        let namespace = self.text(metadata, "namespace", "metadata.namespace")?.map(str::to_owned);
        if kind.is_namespaced() && namespace.as_deref().unwrap_or_default().is_empty() {
            self.error("metadata.namespace", "the object has no namespace");
            return None;
        }
        Some(Meta {
            name,
            namespace: namespace.filter(|_| kind.is_namespaced()),
            labels: self.texts_map(metadata, "labels", "metadata.labels")?,
            annotations: self.texts_map(metadata, "annotations", "metadata.annotations")?,
            created: self
                .text(metadata, "creationTimestamp", "metadata.creationTimestamp")?
                .unwrap_or_default()
                .to_owned(),
        })
    }

    fn host_endpoint(&mut self, meta: Meta, spec: &Object) -> Option<HostEndpoint> {
        let node = self.text(spec, "node", "spec.node")?.unwrap_or_default().to_owned();
        if node.is_empty() {
            self.error("spec.node", "`node` is missing");
        }
        let interface = self.text(spec, "interfaceName", "spec.interfaceName")?.unwrap_or_default();
        if interface.chars().count() > 15 {
            self.error("spec.interfaceName", format!("`{interface}` is longer than 15 characters"));
        }
        let addresses = self.texts(spec, "expectedIPs", "spec.expectedIPs")?;
        if interface.is_empty() && addresses.is_empty() {
            self.error("spec", "neither `interfaceName` nor `expectedIPs` is given");
        }
        let mut expected_ips = Vec::new();
        let mut seen = BTreeSet::new();
        for (path, text) in addresses {
            match checks::address(text) {
                Ok(address) if !seen.insert(address) => {}
                Ok(address) => expected_ips.push(address),
                Err(refusal) => self.warn(path, format!("{}: the entry is left out", refusal.message)),
            }
        }
        let attachment = match interface {
            "*" => Attachment::AllInterfaces,
            "" => Attachment::ByAddress,
            name => Attachment::Named(name.to_owned()),
        };
        let profiles = self.profiles(spec)?;
        let ports = self.endpoint_ports(spec)?;
        Some(HostEndpoint { meta, node, attachment, expected_ips, profiles, ports })
    }

    fn profiles(&mut self, spec: &Object) -> Option<Vec<String>> {
        let mut seen = BTreeSet::new();
        let names = self.texts(spec, "profiles", "spec.profiles")?.into_iter().map(|(_, name)| name);
        Some(names.filter(|name| seen.insert(*name)).map(str::to_owned).collect())
    }

    fn endpoint_ports(&mut self, spec: &Object) -> Option<Vec<EndpointPort>> {
        let mut ports = Vec::new();
        for (path, item) in self.list(spec, "ports", "spec.ports")? {
            let Some(item) = item.as_object() else {
                self.error(path, "a port is an object");
                return None;
            };
            let name = self.text(item, "name", Member(path, "name"))?.unwrap_or_default().to_owned();
            let protocol = self.protocol(item, "protocol", Member(path, "protocol"))?;
            let port = item.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
            match (protocol, port) {
                (Some(protocol), Some(port)) if port > 0 && protocol.has_ports() => {
                    if !name.is_empty() {
                        ports.push(EndpointPort { name, protocol, port });
                    }
                }
                (Some(protocol), Some(_)) if !protocol.has_ports() => {
                    self.warn(path, format!("protocol {protocol} has no ports: the entry is left out"));
                }
                _ => self.error(path, "a port needs a protocol and a number between 1 and 65535"),
            }
        }
        Some(ports)
    }

    fn workload_endpoint(&mut self, mut meta: Meta, spec: &Object) -> Option<WorkloadEndpoint> {
        let namespace = meta.namespace.clone().unwrap_or_default();
        meta.labels.retain(|key, _| !key.starts_with("pcns.") && !key.starts_with("pcsa."));
        meta.labels.insert("projectcalico.org/namespace".to_owned(), namespace);
        let orchestrator = self.text(spec, "orchestrator", "spec.orchestrator")?.unwrap_or_default();
        meta.labels.insert("projectcalico.org/orchestrator".to_owned(), orchestrator.to_owned());
        let account = self.text(spec, "serviceAccountName", "spec.serviceAccountName")?.unwrap_or_default();
        meta.labels.remove("projectcalico.org/serviceaccount");
        if !account.is_empty() {
            meta.labels.insert("projectcalico.org/serviceaccount".to_owned(), account.to_owned());
        }
        let node = self.text(spec, "node", "spec.node")?.unwrap_or_default().to_owned();
        let interface = self.text(spec, "interfaceName", "spec.interfaceName")?;
        let interface = interface.filter(|name| !name.is_empty()).map(str::to_owned);
        let mut addresses = Vec::new();
        for (path, text) in self.texts(spec, "ipNetworks", "spec.ipNetworks")? {
            match checks::loose_net(text) {
                Ok(net) if net.prefix_len() == net.max_prefix_len() => addresses.push(net.addr()),
                _ => self.warn(path, format!("`{text}` is not a single address: the entry is left out")),
            }
        }
        let profiles = self.profiles(spec)?;
        let ports = self.endpoint_ports(spec)?;
        Some(WorkloadEndpoint { meta, node, interface, profiles, addresses, ports })
    }

    /// A member that is an object, when it is there; `None` outside when it is something else.
    fn object<'a>(&mut self, object: &'a Object, name: &str, path: impl Place) -> Option<Option<&'a Object>> {
        match object.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::Object(inner)) => Some(Some(inner)),
            Some(_) => {
                self.error(path, "an object is wanted here");
                None
            }
        }
    }

    fn text<'a>(&mut self, object: &'a Object, name: &str, path: impl Place) -> Option<Option<&'a str>> {
        match object.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(text)),
            Some(_) => {
                self.error(path, "a text is wanted here");
                None
            }
        }
    }

    fn number(&mut self, object: &Object, name: &str, path: impl Place) -> Option<Option<f64>> {
        match object.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::Number(number)) => Some(number.as_f64()),
            Some(_) => {
                self.error(path, "a number is wanted here");
                None
            }
        }
    }

    fn bool(&mut self, object: &Object, name: &str, path: impl Place) -> Option<bool> {
        match object.get(name) {
            None | Some(Value::Null) => Some(false),
            Some(Value::Bool(value)) => Some(*value),
            Some(_) => {
                self.error(path, "true or false is wanted here");
                None
            }
        }
    }

    /// The entries of a list with their paths.
    fn list<'a, P: Place>(
        &mut self,
        object: &'a Object,
        name: &str,
        path: P,
    ) -> Option<impl ExactSizeIterator<Item = (Entry<P>, &'a Value)> + use<'a, P>> {
        let items = match object.get(name) {
            None | Some(Value::Null) => [].as_slice(),
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.error(path, "a list is wanted here");
                return None;
            }
        };
        Some(items.iter().enumerate().map(move |(number, item)| (Entry(path, number), item)))
    }

    fn texts<'a, P: Place>(&mut self, object: &'a Object, name: &str, path: P) -> Option<Vec<(Entry<P>, &'a str)>> {
        let items = self.list(object, name, path)?;
        let mut texts = Vec::with_capacity(items.len());
        for (path, item) in items {
            let Some(text) = item.as_str() else {
                self.error(path, "a text is wanted here");
                return None;
            };
            texts.push((path, text));
        }
        Some(texts)
    }

    fn texts_map<T: FromIterator<(String, String)>>(
        &mut self,
        object: &Object,
        name: &str,
        path: impl Place,
    ) -> Option<T> {
        let mut pairs = Vec::new();
        for (key, value) in self.object(object, name, path)?.into_iter().flatten() {
            let Some(text) = value.as_str() else {
                self.error(format_args!("{path}.{key}"), "a text is wanted here");
                return None;
            };
            pairs.push((key.clone(), text.to_owned()));
        }
        Some(pairs.into_iter().collect())
    }

    /// A selector; empty text is no condition.
    fn selector(&mut self, object: &Object, name: &str, path: impl Place) -> Option<Option<tortie_selector::Selector>> {
        let text = self.text(object, name, path)?.unwrap_or_default();
        if text.is_empty() {
            return Some(None);
        }
        match checks::parse_selector(text) {
            Ok(selector) => Some(Some(selector)),
            Err(refusal) => {
                self.error(path, refusal.message);
                None
            }
        }
    }

    fn protocol(&mut self, object: &Object, name: &str, path: impl Place) -> Option<Option<crate::model::Protocol>> {
        let protocol = match object.get(name) {
            None | Some(Value::Null) => return Some(None),
            Some(Value::String(text)) => checks::stored_protocol(text),
            Some(Value::Number(number)) => checks::stored_protocol(&number.to_string()),
            Some(_) => checks::refuse("a protocol is a name or a number"),
        };
        match protocol {
            Ok(protocol) => Some(Some(protocol)),
            Err(refusal) => {
                self.error(path, refusal.message);
                None
            }
        }
    }
}
