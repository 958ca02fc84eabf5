//! What the server fills in, beside what Tortie fills in (datastore.md sections 2.3 and 3.1).

use serde_json::{Map, Value, json};
use tortie_api::{Kind, decode};

use crate::{CASE, list_of, native, object, try_all};

/// Members of `spec` that Tortie fills in and the server does not: neither Calico's schemas nor its admission policies do
/// (datastore.md section 3.1).
const CLIENT_ONLY: &[(Kind, &str)] = &[
    (Kind::Tier, "/order"),
    (Kind::FelixConfiguration, "/floatingIPs"),
    (Kind::FelixConfiguration, "/bpfConnectTimeLoadBalancing"),
    (Kind::FelixConfiguration, "/bpfHostNetworkedNATWithoutCTLB"),
    (Kind::FelixConfiguration, "/bpfLogLevel"),
    (Kind::KubeControllersConfiguration, "/prometheusMetricsPort"),
    (Kind::KubeControllersConfiguration, "/controllers"),
    (Kind::KubeControllersConfiguration, "/controllers/node/leakGracePeriod"),
    (Kind::StagedKubernetesNetworkPolicy, "/podSelector"),
];

/// A `spec` that Tortie has filled, less what only a client fills in; `given` is what the user wrote.
pub(crate) fn without_client_only(kind: Kind, filled: &Value, given: &Value) -> Value {
    let mut spec = filled.clone();
    for (_, pointer) in CLIENT_ONLY.iter().filter(|(of, _)| *of == kind) {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        if given.pointer(pointer).is_none()
            && let Some(Value::Object(parent)) = spec.pointer_mut(parent)
        {
            parent.remove(member);
        }
    }
    spec
}

#[test]
fn the_server_fills_what_tortie_fills() {
    let rule = json!([{"action": "Allow"}]);
    let mut inputs = Vec::new();
    for kind in ["GlobalNetworkPolicy", "NetworkPolicy", "StagedGlobalNetworkPolicy", "StagedNetworkPolicy"] {
        for spec in [
            json!({}),
            json!({"ingress": rule}),
            json!({"egress": rule}),
            json!({"ingress": rule, "egress": rule}),
            json!({"ingress": [], "egress": rule}),
            json!({"ingress": rule, "egress": []}),
            json!({"types": ["Egress"], "ingress": rule}),
            json!({"tier": ""}),
            json!({"tier": "kube-admin"}),
        ] {
            inputs.push(object(kind, "", spec));
        }
        let mut labelled = object(kind, "", json!({"tier": "mine"}));
        labelled["metadata"]["labels"] = json!({"projectcalico.org/tier": "other", "kept": "yes"});
        inputs.push(labelled);
    }
    for kind in ["StagedGlobalNetworkPolicy", "StagedNetworkPolicy"] {
        inputs.push(object(kind, "", json!({"stagedAction": "Delete"})));
        inputs.push(object(kind, "", json!({"stagedAction": "Delete", "types": ["Egress"], "tier": "t"})));
        inputs.push(object(kind, "", json!({"stagedAction": "Learn"})));
    }
    inputs.push(object("StagedKubernetesNetworkPolicy", "", json!({})));
    inputs.push(object("Tier", "", json!({})));
    inputs.push(object("Tier", "", json!({"order": 0, "defaultAction": "Pass"})));
    inputs.push(object("FelixConfiguration", "", json!({})));
    inputs.push(object("FelixConfiguration", "", json!({"nftablesMode": "Enabled", "floatingIPs": "Enabled"})));
    for spec in [
        json!({}),
        json!({"healthChecks": "Disabled", "prometheusMetricsPort": 0}),
        json!({"controllers": {"node": {}, "loadBalancer": {}, "migration": {}}}),
    ] {
        inputs.push(object("KubeControllersConfiguration", "default", spec));
    }
    inputs.push(object("HostEndpoint", "", json!({"node": "n", "interfaceName": "e"})));
    inputs.push(object("GlobalNetworkSet", "", json!({"nets": ["10.0.0.1"]})));
    for (number, input) in inputs.iter_mut().enumerate() {
        if input["metadata"]["name"] == "" {
            input["metadata"]["name"] = json!(format!("filled-{number}"));
        }
        input["metadata"]["annotations"] = json!({CASE: number.to_string()});
    }

    let answers = try_all(native(), &list_of(&inputs));
    for (number, input) in inputs.iter().enumerate() {
        let filled =
            &answers.accepted.get(&number.to_string()).unwrap_or_else(|| panic!("{input}: {}", answers.refusals));
        let own = Value::Object(decode(&input.to_string()).documents.remove(0).value);
        let kind = Kind::from_document(input["kind"].as_str().unwrap()).unwrap();
        let expected = without_client_only(kind, &own["spec"], &input["spec"]);
        assert_eq!(without_empty(&filled["spec"]), without_empty(&expected), "{input}");
        assert_eq!(filled["metadata"]["labels"], own["metadata"]["labels"], "{input}");
    }
}

/// An object less its empty lists: Tortie does not store them, a server keeps what it is given.
fn without_empty(spec: &Value) -> Map<String, Value> {
    let is_empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let members = spec.as_object().unwrap().iter().filter(|(_, value)| !is_empty(value));
    members.map(|(name, value)| (name.clone(), value.clone())).collect()
}
