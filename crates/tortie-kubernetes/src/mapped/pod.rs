//! Workload endpoints of pods.

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::{members, text};

/// Where the network plugin writes addresses, first that is there.
const ADDRESS_ANNOTATIONS: [&str; 3] =
    ["cni.projectcalico.org/podIPs", "cni.projectcalico.org/podIP", "vpc.amazonaws.com/pod-ips"];
/// The name of a pod's interface.
const ENDPOINT: &str = "eth0";
/// Hexadecimal digits of a hash in the name of an interface.
const HASH_LEN: usize = 11;

/// Whether a pod has an endpoint: it is scheduled, and not on its host's own network.
fn has_endpoint(pod: &Value) -> bool {
    !text(pod, "/spec/nodeName").is_empty() && pod.pointer("/spec/hostNetwork") != Some(&Value::Bool(true))
}

/// The name of a pod's endpoint (datastore.md section 2.5).
fn endpoint_name(node: &str, pod: &str) -> String {
    let doubled = |part: &str| part.replace('-', "--");
    format!("{}-k8s-{}-{ENDPOINT}", doubled(node), doubled(pod))
}

/// The pod in the name of its endpoint.
pub(crate) fn pod_of(endpoint: &str) -> Option<String> {
    let mut parts = vec![String::new()];
    let mut characters = endpoint.chars().peekable();
    while let Some(character) = characters.next() {
        let last = parts.last_mut()?;
        match character {
            '-' if !last.is_empty() && characters.peek() != Some(&'-') => parts.push(String::new()),
            '-' if !last.is_empty() => {
                characters.next();
                last.push('-');
            }
            _ => last.push(character),
        }
    }
    match parts.as_slice() {
        [_, orchestrator, pod, endpoint] if orchestrator == "k8s" && endpoint == ENDPOINT => Some(pod.clone()),
        _ => None,
    }
}

/// The interface of a pod on its node, as Calico's network plugin and those that follow it name it.
fn interface(prefix: &str, namespace: &str, pod: &str) -> String {
    let hash = Sha1::digest(format!("{namespace}.{pod}"));
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}{}", &hex[..HASH_LEN])
}

/// The endpoint of a pod, if it has one; its interface has this prefix.
pub(crate) fn endpoint(pod: &Value, interface_prefix: &str) -> Option<Map<String, Value>> {
    if !has_endpoint(pod) {
        return None;
    }
    let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    let (node, account) = (text(pod, "/spec/nodeName"), text(pod, "/spec/serviceAccountName"));
    let mut labels = members(pod, "/metadata/labels");
    labels.insert("projectcalico.org/namespace".to_owned(), json!(namespace));
    labels.insert("projectcalico.org/orchestrator".to_owned(), json!("k8s"));
    let mut profiles = vec![format!("kns.{namespace}")];
    let mut spec = json!({"orchestrator": "k8s", "node": node, "pod": name, "endpoint": ENDPOINT,
        "interfaceName": interface(interface_prefix, namespace, name)});
    if !account.is_empty() {
        labels.insert("projectcalico.org/serviceaccount".to_owned(), json!(account));
        profiles.push(format!("ksa.{namespace}.{account}"));
        spec["serviceAccountName"] = json!(account);
    }
    spec["profiles"] = json!(profiles);
    let networks: Vec<String> = addresses(pod).iter().filter_map(|text| network(text)).collect();
    if !networks.is_empty() {
        spec["ipNetworks"] = json!(networks);
    }
    let ports = ports(pod);
    if !ports.is_empty() {
        spec["ports"] = Value::Array(ports);
    }
    let metadata = json!({
        "name": endpoint_name(node, name), "namespace": namespace, "labels": labels,
        "uid": pod["metadata"]["uid"], "creationTimestamp": pod["metadata"]["creationTimestamp"],
    });
    Some(Map::from_iter([("metadata".to_owned(), metadata), ("spec".to_owned(), spec)]))
}

/// The addresses that a pod has now: one that is done has given them back.
fn addresses(pod: &Value) -> Vec<String> {
    let annotations = members(pod, "/metadata/annotations");
    let annotated = |name: &&str| annotations.get(*name).and_then(Value::as_str);
    let is_done = ["Failed", "Succeeded"].contains(&text(pod, "/status/phase"));
    let is_going = pod.pointer("/metadata/deletionTimestamp").is_some();
    let is_emptied = ADDRESS_ANNOTATIONS[..2].iter().filter_map(annotated).any(str::is_empty);
    if is_done || (is_going && is_emptied) {
        return Vec::new();
    }
    let told = pod.pointer("/status/podIPs").and_then(Value::as_array).into_iter().flatten();
    let told: Vec<String> = told.filter_map(|entry| entry["ip"].as_str()).map(str::to_owned).collect();
    let one = text(pod, "/status/podIP");
    if !told.is_empty() {
        told
    } else if !one.is_empty() {
        vec![one.to_owned()]
    } else {
        let text = ADDRESS_ANNOTATIONS.iter().filter_map(annotated).find(|text| !text.is_empty());
        text.into_iter().flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect()
    }
}

/// An address as the network of this address alone.
fn network(text: &str) -> Option<String> {
    let address: std::net::IpAddr = text.split('/').next()?.parse().ok()?;
    Some(format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 }))
}

/// The named ports of all containers.
fn ports(pod: &Value) -> Vec<Value> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    let ports = containers.filter_map(|container| container["ports"].as_array()).flatten();
    let named = ports.filter(|port| port["name"].as_str().is_some_and(|name| !name.is_empty()));
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        json!({"name": port["name"], "protocol": protocol, "port": port["containerPort"]})
    };
    named.map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> Option<Map<String, Value>> {
        let mut pod = json!({
            "metadata": {"name": "web-0", "namespace": "shop", "uid": "u", "labels": {"app": "web"}},
            "spec": {"nodeName": "node-1", "serviceAccountName": "web", "containers": [
                {"ports": [{"name": "http", "containerPort": 80}, {"containerPort": 81}]},
                {"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}]},
            "status": {"podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "podIP": "10.0.0.1"},
        });
        change(&mut pod);
        endpoint(&pod, "cali")
    }

    #[test]
    fn a_pod_is_an_endpoint() {
        let endpoint = pod(|_| {}).unwrap();
        assert_eq!(endpoint["metadata"]["name"], "node--1-k8s-web--0-eth0");
        let labels = json!({"app": "web", "projectcalico.org/namespace": "shop", "projectcalico.org/orchestrator": "k8s",
            "projectcalico.org/serviceaccount": "web"});
        assert_eq!(endpoint["metadata"]["labels"], labels);
        assert_eq!(endpoint["spec"]["profiles"], json!(["kns.shop", "ksa.shop.web"]));
        assert_eq!(endpoint["spec"]["ipNetworks"], json!(["10.0.0.1/32", "fd00::1/128"]));
        let ports = json!([{"name": "http", "protocol": "TCP", "port": 80},
            {"name": "dns", "protocol": "UDP", "port": 53}]);
        assert_eq!(endpoint["spec"]["ports"], ports);
    }

    #[test]
    fn interfaces_are_known_by_the_names_that_the_network_plugin_gives_them() {
        // By `printf NAMESPACE.POD | sha1sum`.
        assert_eq!(interface("cali", "default", "nginx"), "calic440f455693");
        assert_eq!(interface("eni", "kube-system", "coredns"), "eni96971f43451");
        assert_eq!(pod(|_| {}).unwrap()["spec"]["interfaceName"], interface("cali", "shop", "web-0"));
    }

    #[test]
    fn pods_without_an_endpoint_are_skipped() {
        assert_eq!(pod(|pod| pod["spec"]["hostNetwork"] = json!(true)), None);
        assert_eq!(pod(|pod| pod["spec"]["nodeName"] = json!("")), None);
        assert!(pod(|pod| pod["spec"]["hostNetwork"] = json!(false)).is_some());
    }

    #[test]
    fn addresses_come_from_the_status_and_then_from_annotations() {
        let networks = |change: &dyn Fn(&mut Value)| pod(|pod| change(pod)).unwrap()["spec"].get("ipNetworks").cloned();
        let annotate = |name: &'static str, text: &'static str| {
            move |pod: &mut Value| {
                pod["status"] = json!({});
                pod["metadata"]["annotations"] = json!({name: text});
            }
        };
        let one = Some(json!(["10.0.0.9/32"]));
        assert_eq!(networks(&|pod| pod["status"] = json!({"podIP": "10.0.0.9"})), one);
        assert_eq!(networks(&annotate("cni.projectcalico.org/podIP", "10.0.0.9/32")), one);
        assert_eq!(networks(&annotate("vpc.amazonaws.com/pod-ips", "10.0.0.9")), one);
        let two = Some(json!(["10.0.0.9/32", "fd00::9/128"]));
        assert_eq!(networks(&annotate("cni.projectcalico.org/podIPs", "10.0.0.9/32,fd00::9/128")), two);
        for phase in ["Failed", "Succeeded"] {
            assert_eq!(networks(&|pod| pod["status"]["phase"] = json!(phase)), None);
        }
        let emptied = |pod: &mut Value| {
            pod["metadata"]["deletionTimestamp"] = json!("T");
            pod["metadata"]["annotations"] = json!({"cni.projectcalico.org/podIP": ""});
        };
        assert_eq!(networks(&emptied), None);
    }

    #[test]
    fn names_of_endpoints_are_read_back() {
        assert_eq!(pod_of("node--1-k8s-web--0-eth0").as_deref(), Some("web-0"));
        assert_eq!(pod_of("a-k8s-b-eth0").as_deref(), Some("b"));
        for other in ["a-cni-b-eth0", "a-k8s-b", "a-k8s-b-eth1", "", "a-k8s-b-eth0-c"] {
            assert_eq!(pod_of(other), None, "{other}");
        }
    }
}
