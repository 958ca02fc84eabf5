//! Defaults that are written to the store (datastore.md section 2.3), and members that are always there (section 2.2).

use serde_json::{Map, Value, json};

use crate::schema::{self, Field};
use crate::{DEFAULT_TIER, Kind};

/// The label that names a policy's tier.
pub const TIER_LABEL: &str = "projectcalico.org/tier";

/// Tiers that are always there, with order and default action (resources.md section 6).
pub const FIXED_TIERS: [(&str, i64, &str); 3] =
    [(DEFAULT_TIER, 1_000_000, "Deny"), ("kube-admin", 1_000, "Pass"), ("kube-baseline", 10_000_000, "Pass")];

/// Whether a tier is always there.
pub fn is_fixed_tier(name: &str) -> bool {
    FIXED_TIERS.iter().any(|(fixed, ..)| *fixed == name)
}

/// Fills defaults into an object in stored form. Filling twice changes nothing.
pub fn fill(kind: Kind, object: &mut Map<String, Value>) {
    if !matches!(object.get("spec"), Some(Value::Object(_))) {
        object.insert("spec".to_owned(), json!({}));
    }
    let spec = object.get_mut("spec").and_then(Value::as_object_mut).expect("it was put there");
    fill_fields(schema::spec(kind), spec);
    let mut tier = None;
    match kind {
        Kind::GlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy => {
            if spec.get("stagedAction").is_some_and(|action| action == "Delete") {
                spec.remove("types");
            } else {
                infer_types(spec);
            }
            tier = Some(spec["tier"].as_str().unwrap_or(DEFAULT_TIER).to_owned());
        }
        Kind::StagedKubernetesNetworkPolicy => set(spec, "podSelector", json!({})),
        Kind::Tier => set(spec, "order", json!(1_000_000)),
        Kind::FelixConfiguration => {
            let (balancing, without) = match spec.get("bpfConnectTimeLoadBalancingEnabled") {
                Some(Value::Bool(true)) => ("Enabled", "Disabled"),
                Some(Value::Bool(false)) => ("Disabled", "Disabled"),
                _ => ("TCP", "Enabled"),
            };
            if spec.contains_key("bpfConnectTimeLoadBalancingEnabled") {
                spec.insert("bpfConnectTimeLoadBalancing".to_owned(), json!(balancing));
                spec.insert("bpfHostNetworkedNATWithoutCTLB".to_owned(), json!(without));
            }
            set(spec, "bpfConnectTimeLoadBalancing", json!(balancing));
            set(spec, "bpfHostNetworkedNATWithoutCTLB", json!(without));
            set(spec, "floatingIPs", json!("Disabled"));
            set(spec, "bpfLogLevel", json!(""));
        }
        Kind::KubeControllersConfiguration => {
            set(spec, "prometheusMetricsPort", json!(9094));
            set(spec, "controllers", json!({}));
            if let Some(Value::Object(node)) = spec["controllers"].get_mut("node") {
                set(node, "leakGracePeriod", json!("15m0s"));
            }
        }
        _ => {}
    }
    if let Some(tier) = tier {
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if let Some(metadata) = metadata.as_object_mut() {
            let labels = metadata.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(TIER_LABEL.to_owned(), json!(tier));
            }
        }
    }
    if matches!(kind, Kind::Tier | Kind::Node | Kind::KubeControllersConfiguration) {
        set(object, "status", json!({}));
    }
}

/// No egress rules: Ingress, also without any rule. Egress rules only: Egress. Both: both (E-209).
fn infer_types(spec: &mut Map<String, Value>) {
    if has_entries(spec, "types") {
        return;
    }
    let types = match (has_entries(spec, "ingress"), has_entries(spec, "egress")) {
        (_, false) => json!(["Ingress"]),
        (false, true) => json!(["Egress"]),
        (true, true) => json!(["Ingress", "Egress"]),
    };
    spec.insert("types".to_owned(), types);
}

/// Defaults of the tables, which an API server fills in as well; in objects that are there, not in absent ones.
fn fill_fields(fields: &[Field], object: &mut Map<String, Value>) {
    for field in fields {
        if let Some(default) = field.default {
            set(object, field.name, json!(default));
        }
        if let (Some(fields), Some(Value::Object(inner))) = (field.ty.fields(), object.get_mut(field.name)) {
            fill_fields(fields, inner);
        }
    }
}

fn has_entries(spec: &Map<String, Value>, name: &str) -> bool {
    spec.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

fn set(object: &mut Map<String, Value>, name: &str, value: Value) {
    object.entry(name).or_insert(value);
}
