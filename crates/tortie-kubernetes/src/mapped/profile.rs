//! Profiles of namespaces and service accounts.

use serde_json::{Map, Value, json};

use super::{derived_metadata, members, text};

/// What the names of profiles begin with.
pub(crate) const NAMESPACE_PREFIX: &str = "kns.";
/// The same for service accounts.
pub(crate) const ACCOUNT_PREFIX: &str = "ksa.";

/// The profile of a namespace: everything allowed, its labels for the pods in it.
pub(crate) fn of_namespace(namespace: &Value) -> Map<String, Value> {
    let name = text(namespace, "/metadata/name");
    let allow = json!([{"action": "Allow"}]);
    let labels = prefixed("pcns.", namespace, name);
    profile(
        derived_metadata(namespace, &format!("{NAMESPACE_PREFIX}{name}")),
        json!({"ingress": allow, "egress": allow, "labelsToApply": labels}),
    )
}

/// The profile of a service account: no rules, its labels for the pods that use it.
pub(crate) fn of_account(account: &Value) -> Map<String, Value> {
    let (namespace, name) = (text(account, "/metadata/namespace"), text(account, "/metadata/name"));
    let labels = prefixed("pcsa.", account, name);
    let metadata = derived_metadata(account, &format!("{ACCOUNT_PREFIX}{namespace}.{name}"));
    profile(metadata, json!({"labelsToApply": labels}))
}

fn profile(metadata: Value, spec: Value) -> Map<String, Value> {
    Map::from_iter([("metadata".to_owned(), metadata), ("spec".to_owned(), spec)])
}

fn prefixed(prefix: &str, source: &Value, name: &str) -> Map<String, Value> {
    let labels = members(source, "/metadata/labels");
    let mut prefixed: Map<String, Value> =
        labels.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value)).collect();
    prefixed.insert(format!("{prefix}projectcalico.org/name"), json!(name));
    prefixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_allows_both_ways_and_lends_its_labels() {
        let namespace = json!({"metadata": {"name": "shop", "uid": "aa844ac0-87c8-440a-b270-307cdba8fd25",
            "creationTimestamp": "T", "labels": {"team": "a"}}});
        let profile = of_namespace(&namespace);
        assert_eq!(profile["metadata"]["name"], "kns.shop");
        assert_eq!(profile["metadata"]["uid"], "55215203-e113-4450-b20e-0c3edb15bfa4");
        assert_eq!(profile["spec"]["ingress"], json!([{"action": "Allow"}]));
        assert_eq!(profile["spec"]["egress"], json!([{"action": "Allow"}]));
        let labels = json!({"pcns.team": "a", "pcns.projectcalico.org/name": "shop"});
        assert_eq!(profile["spec"]["labelsToApply"], labels);
    }

    #[test]
    fn a_service_account_has_labels_only() {
        let profile = of_account(&json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"x": "y"}}}));
        assert_eq!(profile["metadata"]["name"], "ksa.shop.web");
        let spec = json!({"labelsToApply": {"pcsa.x": "y", "pcsa.projectcalico.org/name": "web"}});
        assert_eq!(profile["spec"], spec);
    }
}
