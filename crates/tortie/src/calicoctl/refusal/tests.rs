//! What no recorded session says.

use tortie_api::API_VERSION;

use crate::calicoctl::resource::Resource;

/// What is said of an object of this kind with this text behind its head.
fn said(kind: &str, rest: &str) -> String {
    let text = format!("apiVersion: {API_VERSION}\nkind: {kind}\n{rest}");
    let entry = tortie_api::entries(&text).unwrap().remove(0);
    match Resource::of_entry(entry) {
        Ok(resource) => resource.valid().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    }
}

/// What is said of a rule of a global policy.
fn of_rule(rule: &str) -> String {
    said("GlobalNetworkPolicy", &format!("metadata: {{name: p}}\nspec: {{ingress: [{{action: Allow, {rule}}}]}}"))
}

#[test]
fn structs_come_before_the_schema_and_that_before_rules() {
    assert_eq!(
        said("HostEndpoint", "metadata: {name: h, labels: {a: \"-\"}}\nspec: {interfaceName: this-name-is-too-long}"),
        "error with the following fields:\n\
         -  Metadata.Labels (value) = '-' (a valid label must be an empty string or consist of alphanumeric characters, '-', \
         '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', \
         regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'))\n\
         -  InterfaceName = 'this-name-is-too-long' (Reason: failed to validate Field: InterfaceName because of Tag: \
         interface )\n\
         -  spec.interfaceName (may not be more than 15 bytes)\n\
         -  spec (node must be specified)\n"
    );
}

#[test]
fn networks_of_a_rule_are_looked_at_together() {
    assert_eq!(
        of_rule("source: {nets: [192.0.2.0/24]}, destination: {notNets: [\"fd00::/8\", ten]}"),
        "error with the following fields:\n\
         -  NotNets[1] = 'ten' (Reason: failed to validate Field: NotNets[1] because of Tag: net )\n\
         -  Destination.NotNets = 'ten' (invalid CIDR)\n\
         -  Destination.NotNets = '[fd00::/8 ten]' (rule contains both IPv4 and IPv6 CIDRs)\n"
    );
    assert_eq!(
        of_rule("ipVersion: 4, source: {nets: [192.0.2.0/24]}, destination: {nets: [\"fd00::/8\"]}"),
        "error with the following fields:\n\
         -  Destination.Nets = '[192.0.2.0/24]' (rule IP version doesn't match CIDR version)\n\
         -  Destination.Nets = '[fd00::/8]' (rule contains both IPv4 and IPv6 CIDRs)\n"
    );
}

#[test]
fn ports_of_a_protocol_that_is_none_are_told_too() {
    assert_eq!(
        of_rule("protocol: igmp, source: {notPorts: [web]}"),
        "error with the following fields:\n\
         -  Protocol = 'igmp' (protocol name invalid)\n\
         -  Source.NotPorts = '[web]' (rules that specify ports must set protocol to TCP or UDP or SCTP)\n"
    );
    // Calico's tools know the ports of some names that are none.
    assert_eq!(
        of_rule("protocol: tcp, source: {notPorts: [web]}"),
        "error with field Protocol = 'tcp' (protocol name invalid)"
    );
}

#[test]
fn ports_are_told_as_they_are_read() {
    assert_eq!(
        of_rule("destination: {ports: [\"0080\", \"5:5\", \"1:2\", web]}"),
        "error with field Destination.Ports = '[80 5 1:2 web]' (rules with numeric port or port range must set protocol to \
         TCP or UDP or SCTP)"
    );
}

#[test]
fn of_paths_the_first_is_told() {
    assert_eq!(
        of_rule("http: {paths: [{exact: a}, {prefix: b}]}"),
        "error with field Paths = '[{a } { b}]' (Invalid path a. (must start with `/` and not contain `?` or `#`)"
    );
}

#[test]
fn metadata_are_told_with_annotations_first() {
    let name = "name part must be non-empty";
    assert_eq!(
        said(
            "HostEndpoint",
            "metadata: {name: h, labels: {/a: b}, annotations: {/c: d}}\nspec: {node: n1, interfaceName: e}"
        ),
        format!(
            "error with the following fields:\n-  Metadata.Annotations (key) = '/c' (prefix part must be non-empty)\n\
             -  Metadata.Labels (label) = '/a' (prefix part must be non-empty)\n"
        )
    );
    let both = said("HostEndpoint", "metadata: {name: h, labels: {/: b}}\nspec: {node: n1, interfaceName: e}");
    let at = |text: &str| both.find(text).unwrap();
    assert!(at("prefix part must be non-empty") < at(name), "{both}");
}

#[test]
fn two_rules_of_one_field_are_both_told() {
    assert_eq!(
        said(
            "GlobalNetworkPolicy",
            "metadata: {name: p}\nspec: {ingress: [{action: Deny, protocol: SCTP, http: {methods: [GET]}}]}"
        ),
        "error with the following fields:\n\
         -  spec.ingress[0] (rules with HTTP match must have protocol TCP or unset)\n\
         -  spec.ingress[0] (HTTP match is only valid on Allow rules)\n"
    );
    assert_eq!(
        said(
            "GlobalNetworkPolicy",
            "metadata: {name: p}\nspec: {egress: [{action: Allow, destination: {services: {name: s, namespace: ns1}, \
             nets: [192.0.2.0/24], selector: all()}}]}"
        ),
        "error with the following fields:\n\
         -  spec.egress[0].destination (cannot specify Selector/NotSelector and Services on the same rule)\n\
         -  spec.egress[0].destination (cannot specify Nets/NotNets and Services on the same rule)\n"
    );
}

#[test]
fn global_is_refused_by_where_it_stands() {
    let elsewhere = "global() can only be used in an EntityRule namespaceSelector";
    assert_eq!(
        of_rule("source: {selector: global()}"),
        format!("error with field spec.ingress[0].source ({elsewhere})")
    );
}

#[test]
fn kinds_with_tiers_look_at_labels_twice() {
    let reason = "(prefix part must be non-empty)";
    assert_eq!(
        said("Tier", "metadata: {name: t, labels: {/a: b}}\nspec: {}"),
        format!(
            "error with the following fields:\n-  Metadata.Labels (label) = '/a' {reason}\n\
             -  Metadata.Labels (label) = '/a' {reason}\n"
        )
    );
}

#[test]
fn what_nobody_has_words_for_is_told_in_those_of_tortie() {
    let said = said("FelixConfiguration", "metadata: {name: default}\nspec: {iptablesMarkMask: 1}");
    assert_eq!(said, "error with field spec.iptablesMarkMask (1 has too few bits)");
}
