//! Nodes: what Calico keeps of a node lies in annotations of the Kubernetes one.

use serde_json::{Map, Value, json};

use super::{members, text};

/// Calico's own labels of a node, as JSON.
const LABELS: &str = "projectcalico.org/labels";
/// The interfaces of a node, as JSON.
const INTERFACES: &str = "projectcalico.org/Interfaces";

/// Members of the object, and the annotations they lie in.
const ANNOTATED: [(&str, &str); 12] = [
    ("/spec/bgp/ipv4Address", "projectcalico.org/IPv4Address"),
    ("/spec/bgp/ipv6Address", "projectcalico.org/IPv6Address"),
    ("/spec/bgp/asNumber", "projectcalico.org/ASNumber"),
    ("/spec/bgp/ipv4IPIPTunnelAddr", "projectcalico.org/IPv4IPIPTunnelAddr"),
    ("/spec/bgp/routeReflectorClusterID", "projectcalico.org/RouteReflectorClusterID"),
    ("/spec/ipv4VXLANTunnelAddr", "projectcalico.org/IPv4VXLANTunnelAddr"),
    ("/spec/ipv6VXLANTunnelAddr", "projectcalico.org/IPv6VXLANTunnelAddr"),
    ("/spec/vxlanTunnelMACAddr", "projectcalico.org/VXLANTunnelMACAddr"),
    ("/spec/vxlanTunnelMACAddrV6", "projectcalico.org/VXLANTunnelMACAddrV6"),
    ("/spec/wireguard/interfaceIPv4Address", "projectcalico.org/IPv4WireguardInterfaceAddr"),
    ("/spec/wireguard/interfaceIPv6Address", "projectcalico.org/IPv6WireguardInterfaceAddr"),
    ("/status/wireguardPublicKey", "projectcalico.org/WireguardPublicKey"),
];

/// A Kubernetes node as Calico's.
pub(crate) fn node(source: &Value) -> Map<String, Value> {
    let mut object = json!({"metadata": {}, "spec": {}});
    for (path, annotation) in ANNOTATED {
        if let Some(value) = annotation_of(source, annotation) {
            set(&mut object, path, json!(value));
        }
    }
    if let Some(interfaces) = annotation_of(source, INTERFACES).and_then(|text| serde_json::from_str(text).ok()) {
        set(&mut object, "/spec/interfaces", interfaces);
    }
    let name = text(source, "/metadata/name");
    set(&mut object, "/spec/orchRefs", json!([{"nodeName": name, "orchestrator": "k8s"}]));
    let addresses = addresses(source);
    if !addresses.is_empty() {
        set(&mut object, "/spec/addresses", Value::Array(addresses));
    }

    let mut metadata = members(source, "/metadata");
    let mut labels = calico_labels(source);
    labels.extend(members(source, "/metadata/labels"));
    metadata.insert("labels".to_owned(), Value::Object(labels));
    let mut annotations = members(source, "/metadata/annotations");
    annotations.retain(|name, _| !is_ours(name));
    metadata.remove("annotations");
    if !annotations.is_empty() {
        metadata.insert("annotations".to_owned(), Value::Object(annotations));
    }
    let mut object = object.as_object().cloned().unwrap_or_default();
    object.insert("metadata".to_owned(), Value::Object(metadata));
    object
}

/// The Kubernetes node with the annotations of a changed object; nothing else of it is Calico's to change.
pub(crate) fn annotated(source: &Value, object: &Map<String, Value>) -> Value {
    let object = Value::Object(object.clone());
    let mut annotations = members(source, "/metadata/annotations");
    for (path, annotation) in ANNOTATED {
        let value = match object.pointer(path) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        put(&mut annotations, annotation, value);
    }
    put(&mut annotations, INTERFACES, object.pointer("/spec/interfaces").map(Value::to_string));
    let theirs = members(source, "/metadata/labels");
    let mut labels = members(&object, "/metadata/labels");
    labels.retain(|key, value| theirs.get(key) != Some(value));
    // What Kubernetes hides is not what the writer took away.
    let is_hidden = |key: &String| theirs.contains_key(key) && !labels.contains_key(key);
    let hidden: Vec<_> = calico_labels(source).into_iter().filter(|(key, _)| is_hidden(key)).collect();
    labels.extend(hidden);
    let labels = (!labels.is_empty()).then(|| Value::Object(labels).to_string());
    put(&mut annotations, LABELS, labels);
    let mut changed = source.clone();
    changed["metadata"]["annotations"] = Value::Object(annotations);
    changed
}

fn put(annotations: &mut Map<String, Value>, name: &str, value: Option<String>) {
    match value {
        Some(value) => annotations.insert(name.to_owned(), json!(value)),
        None => annotations.remove(name),
    };
}

fn is_ours(annotation: &str) -> bool {
    [LABELS, INTERFACES].contains(&annotation) || ANNOTATED.iter().any(|(_, name)| *name == annotation)
}

fn annotation_of<'a>(source: &'a Value, name: &str) -> Option<&'a str> {
    let annotations = source.pointer("/metadata/annotations")?;
    annotations.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn calico_labels(source: &Value) -> Map<String, Value> {
    annotation_of(source, LABELS).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Addresses of Calico first, then those that Kubernetes knows.
fn addresses(source: &Value) -> Vec<Value> {
    let calico = ["projectcalico.org/IPv4Address", "projectcalico.org/IPv6Address"];
    let calico = calico.iter().filter_map(|name| annotation_of(source, name));
    let mut addresses: Vec<Value> = calico.map(|address| json!({"address": address, "type": "CalicoNodeIP"})).collect();
    let told = source.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten();
    let told = told.filter(|entry| entry["type"] == "InternalIP" || entry["type"] == "ExternalIP");
    addresses.extend(told.map(|entry| json!({"address": entry["address"], "type": entry["type"]})));
    addresses
}

/// Sets a member by its path, making the objects on the way.
fn set(object: &mut Value, path: &str, value: Value) {
    let mut place = object;
    for part in path.split('/').skip(1) {
        place = &mut place[part];
    }
    *place = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Value {
        json!({
            "metadata": {"name": "n1", "uid": "u", "resourceVersion": "5", "labels": {"zone": "a", "role": "k8s"},
                "annotations": {"other": "x", LABELS: r#"{"role":"calico","rack":"7"}"#,
                    "projectcalico.org/IPv4Address": "10.0.0.1/24", "projectcalico.org/ASNumber": "64512",
                    INTERFACES: r#"[{"name":"eth0","addresses":["10.0.0.1"]}]"#}},
            "spec": {"podCIDR": "10.1.0.0/16"},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"},
                {"type": "Hostname", "address": "n1"}, {"type": "ExternalIP", "address": "192.0.2.1"}]},
        })
    }

    #[test]
    fn a_node_has_both_labels_and_both_addresses() {
        let node = node(&source());
        let labels = json!({"zone": "a", "role": "k8s", "rack": "7"});
        assert_eq!(node["metadata"]["labels"], labels, "Kubernetes wins");
        assert_eq!(node["metadata"]["annotations"], json!({"other": "x"}));
        assert_eq!(node["spec"]["bgp"], json!({"ipv4Address": "10.0.0.1/24", "asNumber": "64512"}));
        assert_eq!(node["spec"]["orchRefs"], json!([{"nodeName": "n1", "orchestrator": "k8s"}]));
        assert_eq!(node["spec"]["interfaces"][0]["name"], "eth0");
        let types: Vec<&str> =
            node["spec"]["addresses"].as_array().unwrap().iter().filter_map(|entry| entry["type"].as_str()).collect();
        assert_eq!(types, ["CalicoNodeIP", "InternalIP", "ExternalIP"]);
        assert_eq!(node["spec"].get("podCIDR"), None);
    }

    #[test]
    fn only_annotations_are_written() {
        let source = source();
        let mut object = node(&source);
        object["metadata"]["labels"]["rack"] = json!("8");
        object["spec"]["bgp"]["ipv4Address"] = json!("10.0.0.2/24");
        object["spec"].as_object_mut().unwrap().remove("interfaces");
        let changed = annotated(&source, &object);
        let annotations = json!({"other": "x", LABELS: r#"{"rack":"8","role":"calico"}"#, "projectcalico.org/ASNumber": "64512",
            "projectcalico.org/IPv4Address": "10.0.0.2/24"});
        assert_eq!(changed["metadata"]["annotations"], annotations);
        for path in ["/metadata/labels", "/spec", "/status", "/metadata/resourceVersion"] {
            assert_eq!(changed.pointer(path), source.pointer(path), "{path}");
        }
    }
}
