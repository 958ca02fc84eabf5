//! Typed resources in the form in which stores hold them and people write them: the way back from
//! [`tortie_api::read_stored`].

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tortie_api::API_VERSION;
use tortie_api::model::{
    Action, Attachment, EndpointPort, Entity, Family, IcmpMatch, Meta, Policy, PolicyClass, Port, Protocol, Resource,
    Rule, TierAction,
};
use tortie_selector::Selector;

const NAMESPACE: &str = "projectcalico.org/namespace";
const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
const ACCOUNT: &str = "projectcalico.org/serviceaccount";

/// The resource as a document: reading it gives the resource again.
///
/// Kinds that say nothing about one host alone (configurations, nodes, cluster information) have metadata only.
pub fn stored(resource: &Resource) -> Value {
    let mut meta = resource.meta().clone();
    let spec = match resource {
        Resource::HostEndpoint(endpoint) => {
            let interface = match &endpoint.attachment {
                Attachment::AllInterfaces => json!("*"),
                Attachment::Named(name) => json!(name),
                Attachment::ByAddress => Value::Null,
            };
            object([
                ("node", json!(endpoint.node)),
                ("interfaceName", interface),
                ("expectedIPs", texts(&endpoint.expected_ips)),
                ("profiles", json!(endpoint.profiles)),
                ("ports", endpoint_ports(&endpoint.ports)),
            ])
        }
        Resource::Policy(policy) => policy_spec(policy),
        Resource::Tier(tier) => {
            let action = match tier.default_action {
                TierAction::Deny => "Deny",
                TierAction::Pass => "Pass",
            };
            object([("order", json!(tier.order)), ("defaultAction", json!(action))])
        }
        Resource::Profile(profile) => object([
            ("ingress", rules(&profile.ingress)),
            ("egress", rules(&profile.egress)),
            ("labelsToApply", json!(profile.labels_to_apply)),
        ]),
        Resource::NetworkSet(set) => object([("nets", texts(&set.nets))]),
        Resource::WorkloadEndpoint(workload) => {
            // These labels stand for members of `spec`.
            meta.labels.remove(NAMESPACE);
            let orchestrator = meta.labels.remove(ORCHESTRATOR);
            let account = meta.labels.remove(ACCOUNT);
            object([
                ("node", json!(workload.node)),
                ("orchestrator", json!(orchestrator.filter(|text| !text.is_empty()))),
                ("serviceAccountName", json!(account)),
                ("interfaceName", json!(workload.interface)),
                ("ipNetworks", texts(&workload.addresses)),
                ("profiles", json!(workload.profiles)),
                ("ports", endpoint_ports(&workload.ports)),
            ])
        }
        _ => Value::Null,
    };
    object([
        ("apiVersion", json!(API_VERSION)),
        ("kind", json!(resource.kind().to_string())),
        ("metadata", metadata(&meta)),
        ("spec", spec),
    ])
}

fn policy_spec(policy: &Policy) -> Value {
    let types: Vec<&str> = [(policy.governs_ingress, "Ingress"), (policy.governs_egress, "Egress")]
        .into_iter()
        .filter_map(|(governs, name)| governs.then_some(name))
        .collect();
    let staged_action = policy.is_staged_inactive.then_some("Ignore");
    object([
        ("tier", json!(policy.tier)),
        ("order", json!(policy.order)),
        ("selector", selector(Some(&policy.selector))),
        ("namespaceSelector", selector(policy.namespace_selector.as_ref())),
        ("serviceAccountSelector", selector(policy.service_account_selector.as_ref())),
        ("types", json!(types)),
        ("ingress", rules(&policy.ingress)),
        ("egress", rules(&policy.egress)),
        ("applyOnForward", flag(policy.class != PolicyClass::Normal)),
        ("preDNAT", flag(policy.class == PolicyClass::PreDnat)),
        ("doNotTrack", flag(policy.class == PolicyClass::Untracked)),
        ("stagedAction", json!(staged_action)),
    ])
}

fn rules(rules: &[Arc<Rule>]) -> Value {
    rules.iter().map(|rule| self::rule(rule)).collect()
}

fn rule(rule: &Rule) -> Value {
    let action = match rule.action {
        Action::Allow => "Allow",
        Action::Deny => "Deny",
        Action::Log => "Log",
        Action::Pass => "Pass",
    };
    let version = rule.ip_version.map(|family| if family == Family::V4 { 4 } else { 6 });
    let annotations = if rule.annotations.is_empty() { Value::Null } else { json!({"annotations": rule.annotations}) };
    object([
        ("action", json!(action)),
        ("ipVersion", json!(version)),
        ("protocol", protocol(rule.protocol)),
        ("notProtocol", protocol(rule.not_protocol)),
        ("icmp", icmp(rule.icmp)),
        ("notICMP", icmp(rule.not_icmp)),
        ("source", entity(&rule.source)),
        ("destination", entity(&rule.destination)),
        ("http", if rule.has_http { json!({"methods": ["GET"]}) } else { Value::Null }),
        ("metadata", annotations),
    ])
}

fn entity(entity: &Entity) -> Value {
    let accounts = entity.service_accounts.as_ref().map(|accounts| {
        let mut object = Map::new();
        object.insert("names".to_owned(), json!(accounts.names));
        object.insert("selector".to_owned(), selector(accounts.selector.as_ref()));
        object
    });
    let services =
        entity.services.as_ref().map(|service| json!({"name": service.name, "namespace": service.namespace}));
    object([
        ("nets", texts(&entity.nets)),
        ("notNets", texts(&entity.not_nets)),
        ("ports", ports(&entity.ports)),
        ("notPorts", ports(&entity.not_ports)),
        ("selector", selector(entity.selector.as_ref())),
        ("notSelector", selector(entity.not_selector.as_ref())),
        ("namespaceSelector", selector(entity.namespace_selector.as_ref())),
        ("serviceAccounts", json!(accounts)),
        ("services", json!(services)),
    ])
}

fn icmp(icmp: Option<IcmpMatch>) -> Value {
    icmp.map_or(Value::Null, |icmp| object([("type", json!(icmp.icmp_type)), ("code", json!(icmp.code))]))
}

fn protocol(protocol: Option<Protocol>) -> Value {
    match protocol {
        None => Value::Null,
        Some(protocol) if Protocol::NAMES.iter().any(|(_, named)| *named == protocol) => json!(protocol.to_string()),
        Some(Protocol(number)) => json!(number),
    }
}

fn ports(ports: &[Port]) -> Value {
    let port = |port: &Port| match port {
        Port::Range(range) if range.first() == range.last() => json!(range.first()),
        Port::Range(range) => json!(format!("{}:{}", range.first(), range.last())),
        Port::Named(name) => json!(name),
    };
    ports.iter().map(port).collect()
}

fn endpoint_ports(ports: &[EndpointPort]) -> Value {
    let port =
        |port: &EndpointPort| json!({"name": port.name, "protocol": port.protocol.to_string(), "port": port.port});
    ports.iter().map(port).collect()
}

fn selector(selector: Option<&Selector>) -> Value {
    selector.map_or(Value::Null, |selector| json!(selector.canonical()))
}

fn metadata(meta: &Meta) -> Value {
    object([
        ("name", json!(meta.name)),
        ("namespace", json!(meta.namespace)),
        ("labels", json!(meta.labels)),
        ("annotations", json!(meta.annotations)),
        ("creationTimestamp", if meta.created.is_empty() { Value::Null } else { json!(meta.created) }),
    ])
}

fn texts<T: ToString>(items: &[T]) -> Value {
    items.iter().map(|item| Value::String(item.to_string())).collect()
}

fn flag(is_set: bool) -> Value {
    if is_set { Value::Bool(true) } else { Value::Null }
}

/// An object of the members that say something.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let is_said = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    };
    members.into_iter().filter(|(_, value)| is_said(value)).map(|(name, value)| (name.to_owned(), value)).collect()
}
