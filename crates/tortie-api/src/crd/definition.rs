//! One `CustomResourceDefinition`: names, scope, columns, sub-resources, and the schema around `spec`.

use serde_json::{Map, Value, json};

use super::{Definition, Group, structural};
use crate::Kind;
use crate::defaults::FIXED_TIERS;
use crate::schema;

pub(super) fn definition(group: Group, kind: Kind) -> Definition {
    let name = format!("{}.{}", kind.plural(), group.name());
    let mut version = json!({
        "name": group.version(),
        "served": true,
        "storage": true,
        "schema": {"openAPIV3Schema": root(group, kind)},
    });
    if schema::status(kind).is_some() {
        version["subresources"] = json!({"status": {}});
    }
    let mut names = json!({
        "kind": kind.name(),
        "listKind": format!("{}List", kind.name()),
        "plural": kind.plural(),
        "singular": kind.name().to_lowercase(),
    });
    if group == Group::Native {
        if !kind.short_names().is_empty() {
            names["shortNames"] = json!(kind.short_names());
        }
        let columns = columns(kind);
        if !columns.is_empty() {
            version["additionalPrinterColumns"] = Value::Array(columns);
        }
        if kind.is_tiered_policy() {
            version["selectableFields"] = json!([{"jsonPath": ".spec.tier"}]);
        }
    }
    let object = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": group.name(),
            "scope": if kind.is_namespaced() { "Namespaced" } else { "Cluster" },
            "names": names,
            "versions": [version],
        },
    });
    Definition { kind: "CustomResourceDefinition", name, object }
}

/// What `kubectl get` prints besides the name (cli.md section 1.5). Without any, Kubernetes adds the age.
fn columns(kind: Kind) -> Vec<Value> {
    let column = |name: &str, ty: &str, path: &str| json!({"name": name, "type": ty, "jsonPath": path});
    let tier = || column("Tier", "string", ".spec.tier");
    let order = || column("Order", "number", ".spec.order");
    match kind {
        Kind::HostEndpoint => {
            vec![column("Node", "string", ".spec.node"), column("Interface", "string", ".spec.interfaceName")]
        }
        Kind::GlobalNetworkPolicy => vec![tier(), order(), column("Age", "date", ".metadata.creationTimestamp")],
        _ if kind.is_tiered_policy() => vec![tier(), order()],
        Kind::Tier => vec![
            order(),
            column("DefaultAction", "string", ".spec.defaultAction"),
            column("Status", "string", r#".status.conditions[?(@.type=="Ready")].reason"#),
        ],
        Kind::ClusterInformation => vec![
            column("Version", "string", ".spec.calicoVersion"),
            column("Ready", "boolean", ".spec.datastoreReady"),
            column("Types", "string", ".spec.clusterType"),
        ],
        _ => Vec::new(),
    }
}

fn root(group: Group, kind: Kind) -> Value {
    let mut spec = structural::object(schema::spec(kind));
    structural::add_rules(&mut spec, schema::spec_rules(kind));
    let described = |mut schema: Map<String, Value>, doc: &str| {
        schema.insert("description".to_owned(), json!(doc));
        Value::Object(schema)
    };
    let mut properties = Map::new();
    properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
    properties.insert("kind".to_owned(), json!({"type": "string"}));
    properties.insert("metadata".to_owned(), json!({"type": "object"}));
    properties.insert("spec".to_owned(), described(spec, schema::SPEC_DOC));
    if let Some(fields) = schema::status(kind) {
        properties.insert("status".to_owned(), described(structural::object(fields), schema::STATUS_DOC));
    }
    let description = format!("{} {}", schema::summary(kind), schema::description(kind));
    let mut root = json!({"type": "object", "description": description, "properties": properties});
    if group == Group::Native || kind == Kind::Tier {
        root["required"] = json!(["metadata", "spec"]);
    }
    let rules = root_rules(kind);
    if !rules.is_empty() {
        root["x-kubernetes-validations"] = Value::Array(rules);
    }
    root
}

/// Rules that join the name and `spec`.
fn root_rules(kind: Kind) -> Vec<Value> {
    match kind {
        Kind::Tier => {
            FIXED_TIERS.into_iter().flat_map(|(name, order, action)| fixed_tier(name, order, action)).collect()
        }
        Kind::FelixConfiguration => vec![json!({
            "rule": "!has(self.spec) || !has(self.spec.nodeSelector) \
                || !(self.metadata.name == 'default' || self.metadata.name.startsWith('node.'))",
            "message": "nodeSelector belongs to objects of other names than default and node.NAME",
            "fieldPath": ".spec.nodeSelector",
        })],
        Kind::KubeControllersConfiguration | Kind::ClusterInformation => vec![json!({
            "rule": "self.metadata.name == 'default'",
            "message": "the only object of this kind is named default",
        })],
        _ => Vec::new(),
    }
}

/// Order and action of a fixed tier. Nothing fills in an absent order here, and agents read it as 1000000.
fn fixed_tier(name: &str, order: i64, action: &str) -> [Value; 2] {
    let is_other = format!("self.metadata.name != '{name}'");
    let presence = if order == 1_000_000 { "!has(self.spec.order) || " } else { "has(self.spec.order) && " };
    [
        json!({
            "rule": format!("{is_other} || ({presence}self.spec.order == {order}.0)"),
            "message": format!("the order of tier {name} is always {order}"),
            "fieldPath": ".spec.order",
        }),
        json!({
            "rule": format!("{is_other} || self.spec.defaultAction == '{action}'"),
            "message": format!("the default action of tier {name} is always {action}"),
            "fieldPath": ".spec.defaultAction",
        }),
    ]
}
