//! Lints: for each trap a row that springs it, and rows in which all is well.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tortie_api::facts::{Link, Links};
use tortie_api::lint::{Lint, lint, lint_host};
use tortie_api::model::Resource;
use tortie_api::{Severity, decode, read_stored};

/// A named endpoint about which there is nothing to say.
const ETH0: &str = "HostEndpoint eth0 {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1], profiles: [projectcalico-default-allow]}";
const WILD: &str = "HostEndpoint wild {node: n1, interfaceName: '*', expectedIPs: [192.0.2.1], profiles: [projectcalico-default-allow]}";

/// `KIND NAME SPEC`; the label `name` of each object is its name. Annotations stand as `[a: b]` behind the name.
fn resource(document: &str) -> Resource {
    let mut words = document.splitn(3, ' ');
    let (kind, name, spec) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
    let (annotations, spec) = match spec.strip_prefix('[') {
        Some(rest) => rest.split_once("] ").unwrap(),
        None => ("", spec),
    };
    let namespace = if kind == "WorkloadEndpoint" { ", namespace: ns" } else { "" };
    let text = format!(
        "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}{namespace}, labels: {{name: {name}}}, annotations: {{{annotations}}}}}\nspec: {spec}\n"
    );
    let decoded = decode(&text);
    let errors: Vec<_> = decoded.problems.iter().filter(|p| p.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{text}{errors:?}");
    let value = serde_json::Value::Object(decoded.documents[0].value.clone());
    read_stored(decoded.documents[0].kind, &value).unwrap().resource
}

fn resources(documents: &[&str]) -> Vec<Resource> {
    documents.iter().map(|document| resource(document)).collect()
}

/// The last document is written, the others are stored. Finds exactly these lints of a rule, by object and path.
#[track_caller]
fn check(rule: &str, documents: &[&str], expected: &[&str]) -> Vec<Lint> {
    let (written, stored) = documents.split_last().unwrap();
    let found: Vec<Lint> = lint(&resources(&[written]), Some(&resources(stored)));
    let of_rule: Vec<Lint> = found.into_iter().filter(|lint| lint.rule == rule).collect();
    let places: Vec<String> = of_rule.iter().map(|lint| format!("{} {}", lint.object, lint.path)).collect();
    assert_eq!(places.iter().map(|place| place.trim_end()).collect::<Vec<_>>(), expected, "{documents:?}");
    of_rule
}

#[test]
fn an_endpoint_that_denies_everything_t1() {
    let bare = "HostEndpoint h {node: n1, interfaceName: eth0}";
    check("T-1", &[bare], &["HostEndpoint(h)"]);
    check("T-1", &[ETH0], &[]);
    check("T-1", &["GlobalNetworkPolicy p {types: [Ingress, Egress]}", bare], &[]);
    check(
        "T-1",
        &["GlobalNetworkPolicy p {selector: name == 'other', types: [Ingress, Egress]}", bare],
        &["HostEndpoint(h)"],
    );
    let one_way = check("T-1", &["GlobalNetworkPolicy p {types: [Ingress]}", bare], &["HostEndpoint(h)"]);
    assert!(one_way[0].message.contains("outward"), "{one_way:?}");
    // Other classes decide about nothing by default.
    let untracked = "GlobalNetworkPolicy p {doNotTrack: true, applyOnForward: true, types: [Ingress, Egress]}";
    check("T-1", &[untracked, bare], &["HostEndpoint(h)"]);
    // Files alone do not show which policies there are.
    assert_eq!(lint(&resources(&[bare]), None), []);
}

#[test]
fn a_profile_that_does_not_exist_e230() {
    let hep = "HostEndpoint h {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow, mine]}";
    check("E-230", &[hep], &["HostEndpoint(h) spec.profiles[1]"]);
    check("E-230", &["Profile mine {}", hep], &[]);
}

#[test]
fn an_endpoint_that_rules_cannot_know_t2() {
    let bare = "HostEndpoint h {node: n1, interfaceName: eth0, ports: [{name: web, protocol: TCP, port: 80}]}";
    let from = |what: &str| format!("GlobalNetworkPolicy p {{ingress: [{{action: Allow, protocol: TCP, {what}}}]}}");
    for (what, expected) in [
        ("source: {selector: name == 'h'}", true),
        ("source: {notSelector: name == 'h'}", true),
        ("source: {selector: name == 'h', namespaceSelector: global()}", true),
        ("source: {selector: name == 'h', namespaceSelector: all()}", false),
        ("source: {selector: name == 'other'}", false),
        ("destination: {ports: [web]}", true),
        ("destination: {selector: name == 'other', ports: [web]}", false),
        ("destination: {ports: [other, 80]}", false),
        ("source: {nets: [10.0.0.0/8]}", false),
    ] {
        let expected: &[&str] = if expected { &["HostEndpoint(h)"] } else { &[] };
        check("T-2", &[&from(what), bare], expected);
        check("T-2", &[bare, &from(what)], expected);
    }
    check("T-2", &[&from("source: {selector: all()}"), ETH0], &[]);
    let udp = "GlobalNetworkPolicy p {ingress: [{action: Allow, protocol: UDP, destination: {ports: [web]}}]}";
    check("T-2", &[udp, bare], &[]);
}

#[test]
fn two_endpoints_for_one_interface_t4() {
    let other = "HostEndpoint later {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow]}";
    let lints = check("T-4", &[ETH0, other], &["HostEndpoint(later)"]);
    assert_eq!(
        lints[0].message,
        "HostEndpoint(eth0) governs interface `eth0` of node `n1`, and this one does nothing there"
    );
    check("T-4", &[other, ETH0], &["HostEndpoint(later)"]);
    check("T-4", &[ETH0, "HostEndpoint later {node: n2, interfaceName: eth0}"], &[]);
    check("T-4", &[ETH0, "HostEndpoint later {node: n1, interfaceName: eth1}"], &[]);
    check("T-4", &[ETH0, "HostEndpoint later {node: n1, expectedIPs: [192.0.2.1]}"], &["HostEndpoint(later)"]);
    check("T-4", &[ETH0, "HostEndpoint later {node: n1, expectedIPs: [192.0.2.2]}"], &[]);
    check("T-4", &[WILD, "HostEndpoint wild2 {node: n1, interfaceName: '*'}"], &["HostEndpoint(wild2)"]);
    check("T-4", &[WILD, ETH0], &[]);
    // Two that were there before are nobody's business when something else is written.
    check("T-4", &[ETH0, other, "GlobalNetworkPolicy p {}"], &[]);
}

#[test]
fn interfaces_of_workloads_e116() {
    let cali = "HostEndpoint h {node: n1, interfaceName: cali1}";
    check("E-116", &[cali], &["HostEndpoint(h) spec.interfaceName"]);
    check("E-116", &[ETH0], &[]);
    let prefix = "FelixConfiguration default {interfacePrefix: 'tap, eth'}";
    check("E-116", &[prefix, cali], &[]);
    check("E-116", &[prefix, ETH0], &["HostEndpoint(eth0) spec.interfaceName"]);
}

#[test]
fn pre_dnat_policies_of_the_wildcard_t6() {
    let of = |name: &str| {
        format!(
            "GlobalNetworkPolicy p-{name} {{selector: name == '{name}', preDNAT: true, applyOnForward: true, ingress: [{{action: Deny}}]}}"
        )
    };
    check("E-111", &[WILD, &of("wild"), ETH0], &["HostEndpoint(eth0)"]);
    check("E-111", &[WILD, ETH0, &of("wild")], &["HostEndpoint(eth0)"]);
    check("E-111", &[&of("wild"), ETH0, WILD], &["HostEndpoint(eth0)"]);
    check("E-111", &[WILD, &of("wild"), &of("eth0"), ETH0], &[]);
    check("E-111", &[WILD, &of("eth0"), ETH0], &[]);
    check("E-111", &[WILD, ETH0], &[]);
    check("E-111", &[WILD, &of("wild"), "HostEndpoint eth0 {node: n2, interfaceName: eth0}"], &[]);
}

#[test]
fn ports_of_bonds_and_bridges_e119() {
    let link = |index, name: &str, controller| {
        (name.to_owned(), Link { index, name: name.to_owned(), is_running: true, controller, addresses: [].into() })
    };
    let enslaved = |controller| {
        let links: Links = [link(1, "bond0", None), link(2, "eth0", controller)].into();
        let found = lint_host("n1", &resources(&[ETH0]), Some(&links));
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        enslaved(Some(1)),
        ["HostEndpoint(eth0): spec.interfaceName: `eth0` is a port of `bond0`: the endpoint sees nothing"]
    );
    assert_eq!(enslaved(None), [""; 0]);
}

#[test]
fn untracked_on_a_wildcard_t12_e415() {
    let policy = "GlobalNetworkPolicy p {doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}";
    let lints = check("T-12", &[WILD, policy], &["GlobalNetworkPolicy(p) spec.doNotTrack"]);
    assert!(lints[0].is_refused_by_strict);
    check("T-12", &[policy, WILD], &["GlobalNetworkPolicy(p) spec.doNotTrack"]);
    check("T-12", &[ETH0, policy], &[]);
    check("T-12", &[WILD, "GlobalNetworkPolicy p {ingress: [{action: Deny}]}"], &[]);
}

#[test]
fn forwarding_that_stays_open_t7() {
    let at = &["GlobalNetworkPolicy(p) spec.applyOnForward"][..];
    for (spec, expected) in [
        ("{types: [Ingress]}", at),
        ("{ingress: [{action: Log}, {action: Deny}]}", at),
        ("{types: [Ingress], applyOnForward: true}", &[]),
        ("{ingress: [{action: Allow, protocol: TCP}, {action: Deny}]}", &[]),
        ("{ingress: [{action: Deny, protocol: TCP}]}", &[]),
        ("{types: [Egress]}", &[]),
        ("{selector: name == 'other', types: [Ingress]}", &[]),
    ] {
        check("T-7", &[ETH0, &format!("GlobalNetworkPolicy p {spec}")], expected);
    }
    let forward = "GlobalNetworkPolicy f {applyOnForward: true, types: [Ingress]}";
    check("T-7", &[ETH0, forward, "GlobalNetworkPolicy p {types: [Ingress]}"], &[]);
}

#[test]
fn forwarding_on_a_wildcard_t8() {
    let policy = "GlobalNetworkPolicy p {applyOnForward: true, types: [Ingress]}";
    check("T-8", &[WILD, policy], &["GlobalNetworkPolicy(p) spec.applyOnForward"]);
    check("T-8", &[ETH0, policy], &[]);
    check("T-8", &[WILD, "GlobalNetworkPolicy p {types: [Ingress]}"], &[]);
}

#[test]
fn node_ports_before_and_after_translation_t9() {
    let policy = |ports: &str, more: &str| {
        format!(
            "GlobalNetworkPolicy p {{{more} ingress: [{{action: Allow, protocol: TCP, destination: {{ports: [{ports}]}}}}]}}"
        )
    };
    let at = &["GlobalNetworkPolicy(p) spec.ingress[0].destination.ports[1]"][..];
    for (ports, more, expected) in [
        ("80, 32010", "", at),
        ("80, '30000:32767'", "applyOnForward: true,", at),
        ("80, 32010", "applyOnForward: true, preDNAT: true,", &[]),
        ("80, '1024:65535'", "", &[]),
        ("80, 29999", "", &[]),
        ("80, 32768", "", &[]),
        ("80, 32010", "types: [Egress],", &[]),
        ("80, 32010", "selector: name == 'pod',", &[]),
    ] {
        check("T-9", &[ETH0, &policy(ports, more)], expected);
    }
    // Files that name no endpoint may be meant for one.
    assert_eq!(lint(&resources(&[&policy("32010", "selector: name == 'x',")]), None).len(), 1);
    check("T-9", &[&policy("32010", ""), "GlobalNetworkPolicy q {}"], &[]);
}

#[test]
fn untracked_in_one_direction_t11() {
    let policy = |rules: &str| format!("GlobalNetworkPolicy p {{doNotTrack: true, applyOnForward: true, {rules}}}");
    let way_in = "ingress: [{action: Allow, protocol: TCP, source: {nets: [10.0.0.0/8], selector: \"has(a)\"}, destination: {ports: [8080, '90:99']}}]";
    let lints = check("T-11", &[ETH0, &policy(way_in)], &["GlobalNetworkPolicy(p) spec.ingress[0]"]);
    assert_eq!(
        lints[0].hint,
        "add to `egress` of an untracked policy: {action: Allow, protocol: TCP, source: {ports: [8080, '90:99']}, \
         destination: {selector: 'has(a)', nets: ['10.0.0.0/8']}}"
    );
    // An Allow outward that answers nothing lacks its own answer.
    let (none, inward, both): (&[&str], &[&str], &[&str]) = (
        &[],
        &["GlobalNetworkPolicy(p) spec.ingress[0]"],
        &["GlobalNetworkPolicy(p) spec.ingress[0]", "GlobalNetworkPolicy(p) spec.egress[0]"],
    );
    for (way_out, expected) in [
        ("egress: [{action: Allow}]", none),
        ("egress: [{action: Allow, protocol: TCP, source: {ports: ['8000:9000']}}]", none),
        ("egress: [{action: Allow, destination: {nets: [10.1.0.0/16]}}]", none),
        ("egress: [{action: Allow, protocol: UDP, source: {ports: [8080]}}]", both),
        ("egress: [{action: Allow, protocol: TCP, source: {ports: [8081]}}]", both),
        ("egress: [{action: Allow, destination: {nets: [11.0.0.0/8]}}]", both),
        ("egress: [{action: Deny}]", inward),
    ] {
        check("T-11", &[ETH0, &policy(&format!("types: [Ingress, Egress], {way_in}, {way_out}"))], expected);
    }
    check("T-11", &[ETH0, &policy("ingress: [{action: Deny}]")], &[]);
    check("T-11", &[WILD, &policy(way_in)], &[]);
    // The answer may be in another policy of the same endpoint.
    let other = "GlobalNetworkPolicy q {doNotTrack: true, applyOnForward: true, egress: [{action: Allow}]}";
    check("T-11", &[ETH0, other, &policy(way_in)], &[]);
    let elsewhere = other.replace("{doNotTrack", "{selector: name == 'x', doNotTrack");
    check("T-11", &[ETH0, &elsewhere, &policy(way_in)], &["GlobalNetworkPolicy(p) spec.ingress[0]"]);
}

#[test]
fn rules_of_one_family_t18() {
    let at = &["GlobalNetworkPolicy(p) spec.ingress[0]"][..];
    for (rule, expected) in [
        ("source: {notNets: [10.0.0.0/8]}", at),
        ("destination: {notNets: ['2001:db8::/32']}", at),
        ("ipVersion: 4, source: {notNets: [10.0.0.0/8]}", &[]),
        ("protocol: ICMP, source: {notNets: [10.0.0.0/8]}", &[]),
        ("source: {nets: [10.0.0.0/8], notNets: [10.1.0.0/16]}", &[]),
        ("source: {nets: [10.0.0.0/8]}", &[]),
        ("protocol: ICMPv6", &[]),
        ("protocol: ICMPv6, source: {nets: [10.0.0.0/8]}", at),
    ] {
        check("T-18", &[ETH0, &format!("GlobalNetworkPolicy p {{ingress: [{{action: Deny, {rule}}}]}}")], expected);
    }
    check(
        "T-18",
        &["Profile f {egress: [{action: Allow, destination: {notNets: [10.0.0.0/8]}}]}"],
        &["Profile(f) spec.egress[0]"],
    );
}

#[test]
fn policies_that_select_hosts_by_accident_t19() {
    for (spec, expected) in [
        (
            "{namespaceSelector: \"x != 'y'\", selector: \"has(name)\"}",
            &["GlobalNetworkPolicy(p) spec.namespaceSelector"][..],
        ),
        ("{namespaceSelector: \"x == 'y'\", selector: \"has(name)\"}", &[]),
        (
            "{serviceAccountSelector: \"!has(x)\", selector: \"has(name)\"}",
            &["GlobalNetworkPolicy(p) spec.serviceAccountSelector"],
        ),
        ("{selector: \"has(name)\"}", &[]),
    ] {
        check("T-19", &[ETH0, &format!("GlobalNetworkPolicy p {spec}")], expected);
    }
    let pod = "WorkloadEndpoint n1-k8s-pod-eth0 {node: n1, orchestrator: k8s, endpoint: eth0, pod: pod, interfaceName: cali1}";
    check("T-19", &[ETH0, pod, "GlobalNetworkPolicy p {}"], &["GlobalNetworkPolicy(p) spec.selector"]);
    check("T-19", &[ETH0, pod, "GlobalNetworkPolicy p {selector: name == 'eth0'}"], &[]);
    check("T-19", &[pod, "GlobalNetworkPolicy p {}"], &[]);
}

#[test]
fn denies_that_are_never_reached_t20() {
    let allow = |rule: &str| format!("GlobalNetworkPolicy a {{order: 1, ingress: [{{action: Allow{rule}}}]}}");
    let deny = |rule: &str| format!("GlobalNetworkPolicy d {{order: 2, ingress: [{{action: Deny{rule}}}]}}");
    let at = &["GlobalNetworkPolicy(d) spec.ingress[0]"][..];
    for (first, second, expected) in [
        ("", ", protocol: TCP", at),
        (", protocol: TCP", ", protocol: TCP", at),
        (
            ", protocol: TCP, destination: {ports: ['1:100']}",
            ", protocol: TCP, destination: {ports: [22, '30:40']}",
            at,
        ),
        (", source: {nets: [10.0.0.0/8]}", ", source: {nets: [10.1.0.0/16]}", at),
        (", source: {notNets: [10.1.0.0/16]}", ", source: {notNets: [10.0.0.0/8]}", at),
        (", source: {selector: has(a)}", ", protocol: TCP, source: {selector: has( a )}", at),
        (", protocol: ICMP, icmp: {type: 8}", ", protocol: ICMP, icmp: {type: 8, code: 0}", at),
        (", notProtocol: UDP", ", protocol: TCP", at),
        (", protocol: TCP", "", &[]),
        (", protocol: TCP", ", protocol: UDP", &[]),
        (", protocol: TCP, destination: {ports: [22]}", ", protocol: TCP", &[]),
        (", protocol: TCP, destination: {ports: [22]}", ", protocol: TCP, destination: {ports: ['22:23']}", &[]),
        (", source: {nets: [10.1.0.0/16]}", ", source: {nets: [10.0.0.0/8]}", &[]),
        (", source: {notNets: [10.0.0.0/8]}", ", protocol: TCP", &[]),
        (", ipVersion: 4", ", protocol: TCP", &[]),
        (", source: {selector: has(a)}", ", source: {selector: has(b)}", &[]),
        (", notProtocol: UDP", ", protocol: UDP", &[]),
        (", protocol: TCP, http: {methods: [GET]}", ", protocol: TCP", &[]),
    ] {
        check("T-20", &[ETH0, &allow(first), &deny(second)], expected);
        check("T-20", &[ETH0, &deny(second), &allow(first)], expected);
    }
    let (all, tcp) = (allow(""), deny(", protocol: TCP"));
    // Order decides, and so do direction, class and what is selected.
    check("T-20", &[ETH0, &all.replace("order: 1", "order: 3"), &tcp], &[]);
    check("T-20", &[ETH0, &all.replace("ingress", "egress"), &tcp], &[]);
    check("T-20", &[ETH0, &all, &tcp.replace("order: 2", "order: 2, applyOnForward: true")], &[]);
    check("T-20", &[ETH0, &all.replace("order: 1", "order: 1, applyOnForward: true"), &tcp], at);
    let (h1, h2) = (ETH0, "HostEndpoint h2 {node: n2, interfaceName: eth0}");
    check("T-20", &[h1, h2, &all.replace("order: 1", "order: 1, selector: name == 'eth0'"), &tcp], &[]);
    check("T-20", &[h1, &all.replace("order: 1", "order: 1, selector: name == 'eth0'"), &tcp], at);
    // Within one policy.
    let one = "GlobalNetworkPolicy d {ingress: [{action: Allow, protocol: TCP}, {action: Deny, protocol: TCP}, {action: Deny}]}";
    check("T-20", &[ETH0, one], &["GlobalNetworkPolicy(d) spec.ingress[1]"]);
    // A Pass in front of the Allow leads past it into the next tier.
    let tiers = ["Tier t1 {order: 1}", "Tier default {order: 1000000, defaultAction: Deny}"];
    let in_tier = all.replace("order: 1", "tier: t1");
    check("T-20", &[tiers[0], tiers[1], ETH0, &in_tier, &tcp], at);
    let pass = "GlobalNetworkPolicy b {tier: t1, order: 0, ingress: [{action: Pass, protocol: TCP}]}";
    check("T-20", &[tiers[0], tiers[1], ETH0, pass, &in_tier, &tcp], &[]);
}

#[test]
fn http_on_hosts_t23() {
    let http = "ingress: [{action: Allow, protocol: TCP, http: {methods: [GET]}}]";
    let policy = format!("GlobalNetworkPolicy p {{{http}}}");
    let lints = check("T-23", &[ETH0, &policy], &["GlobalNetworkPolicy(p) spec.ingress[0].http"]);
    assert!(lints[0].is_refused_by_strict);
    check("T-23", &[ETH0, &format!("GlobalNetworkPolicy p {{selector: name == 'pod', {http}}}")], &[]);
    check("T-23", &[&format!("Profile f {{{http}}}")], &["Profile(f) spec.ingress[0].http"]);
    check("T-23", &[ETH0, "GlobalNetworkPolicy p {ingress: [{action: Allow, protocol: TCP}]}"], &[]);
}

#[test]
fn settings_that_surprise_t5_t25_e510() {
    let felix = |spec: &str| format!("FelixConfiguration default {spec}");
    let at = &["FelixConfiguration(default) metadata.annotations"][..];
    for (annotations, expected) in [
        ("tortie.dev/wildcardLoopback: Police", at),
        ("tortie.dev/compatibility: Strict", at),
        ("tortie.dev/compatibility: Strict, tortie.dev/wildcardLoopback: Exempt", &[]),
        ("tortie.dev/wildcardLoopback: Exempt", &[]),
    ] {
        check("T-5", &[WILD, &felix(&format!("[{annotations}] {{}}"))], expected);
        check("T-5", &[ETH0, &felix(&format!("[{annotations}] {{}}"))], &[]);
    }

    let closed = "HostEndpoint h {node: n1, interfaceName: eth0}";
    check(
        "E-510",
        &[closed, &felix("{failsafeInboundHostPorts: []}")],
        &["FelixConfiguration(default) spec.failsafeInboundHostPorts"],
    );
    check(
        "E-510",
        &[closed, &felix("{failsafeOutboundHostPorts: []}")],
        &["FelixConfiguration(default) spec.failsafeOutboundHostPorts"],
    );
    check("E-510", &[closed, &felix("{failsafeInboundHostPorts: [{protocol: tcp, port: 22}]}")], &[]);
    check("E-510", &[ETH0, &felix("{failsafeInboundHostPorts: []}")], &[]);
    check("E-510", &[&felix("{failsafeInboundHostPorts: []}")], &[]);

    let early = "GlobalNetworkPolicy p {preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]}";
    let reject = felix("{nftablesFilterDenyAction: Reject}");
    check("T-25", &[early, &reject], &["FelixConfiguration(default) spec.nftablesFilterDenyAction"]);
    check("T-25", &[&reject], &[]);
    check("T-25", &[early, &felix("{nftablesFilterDenyAction: Drop}")], &[]);
}

#[test]
fn a_host_hears_of_its_own_endpoints_only() {
    let other = "HostEndpoint other {node: n2, interfaceName: '*'}";
    let untracked = "GlobalNetworkPolicy p {doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}";
    let all = resources(&[ETH0, other, untracked, "FelixConfiguration node.n2 {failsafeInboundHostPorts: []}"]);
    let rules = |node: &str| {
        let mut rules: Vec<&str> = lint_host(node, &all, None).iter().map(|lint| lint.rule).collect();
        rules.sort_unstable();
        rules
    };
    assert_eq!(rules("n1"), [""; 0]);
    assert_eq!(rules("n2"), ["E-510", "T-1", "T-12"]);
    // Settings for all nodes are told where they matter: `lo` is judged where there is a wildcard.
    let police = resources(&[ETH0, other, "FelixConfiguration default [tortie.dev/wildcardLoopback: Police] {}"]);
    assert!(lint_host("n1", &police, None).is_empty());
    assert!(lint_host("n2", &police, None).iter().any(|lint| lint.rule == "T-5"));
}

#[test]
fn repeats_are_counted_not_listed() {
    let policy = "GlobalNetworkPolicy p {doNotTrack: true, applyOnForward: true, ingress: [{action: Deny}]}";
    let second = "HostEndpoint wild2 {node: n2, interfaceName: '*'}";
    let lints = check("T-12", &[WILD, second, policy], &["GlobalNetworkPolicy(p) spec.doNotTrack"]);
    assert_eq!(
        lints[0].to_string(),
        "GlobalNetworkPolicy(p): spec.doNotTrack: it is untracked, and ignored on wildcard endpoint \
         HostEndpoint(wild) and 1 more: it denies nothing there"
    );
}
