//! The sentences of `docs/spec/resources.md`, as tables.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;
use serde_json::{Value, json};
use tortie_api::model::{PolicyClass, Resource};
use tortie_api::print::to_yaml;
use tortie_api::{Kind, Severity, decode, identify, read_stored};

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

fn errors(text: &str) -> Vec<String> {
    let decoded = decode(text);
    decoded.problems.iter().filter(|p| p.severity == Severity::Error).map(ToString::to_string).collect()
}

fn accepted(kind: &str, name: &str, spec: &str) -> Value {
    let text = document(kind, name, spec);
    let decoded = decode(&text);
    assert_eq!(errors(&text), Vec::<String>::new(), "{text}");
    Value::Object(decoded.documents[0].value.clone())
}

/// Refused, with a problem at `path` that says `message`.
fn refused(kind: &str, name: &str, spec: &str, path: &str, message: &str) {
    let text = document(kind, name, spec);
    let decoded = decode(&text);
    let found = decoded.problems.iter().any(|p| {
        p.severity == Severity::Error && p.path == path && p.message.contains(message) && p.position.is_some()
    });
    assert!(found, "{text}wanted `{path}: {message}`, found {:?}", decoded.problems);
    assert!(decoded.documents.is_empty(), "{text}");
}

fn rule(text: &str) -> String {
    format!("{{ingress: [{text}]}}")
}

#[test]
fn host_endpoints_section_2() {
    let hep = |spec: &str, path: &str, message: &str| refused("HostEndpoint", "h", spec, path, message);
    hep("{interfaceName: eth0}", "spec.node", "is missing");
    hep("{node: '', interfaceName: eth0}", "spec.node", "must not be empty");
    hep("{node: n1}", "spec", "at least one of");
    hep("{node: n1, interfaceName: abcdefghijklmnop}", "spec.interfaceName", "longer than 15");
    hep("{node: n1, interfaceName: 'a/b'}", "spec.interfaceName", "not allowed");
    hep("{node: n1, expectedIPs: [10.0.0.1/32]}", "spec.expectedIPs[0]", "not an address");
    hep("{node: n1, expectedIPs: ['fe80::1%eth0']}", "spec.expectedIPs[0]", "not an address");
    hep("{node: n1, expectedIPs: [010.0.0.1]}", "spec.expectedIPs[0]", "not an address");
    hep("{node: n1, interfaceName: e, ports: [{name: a, port: 1}]}", "spec.ports[0].protocol", "is missing");
    hep("{node: n1, interfaceName: e, ports: [{name: a, protocol: TCP, port: '1'}]}", "spec.ports[0].port", "number");
    hep(
        "{node: n1, interfaceName: e, ports: [{name: a, protocol: UDPLite, port: 1}]}",
        "spec.ports[0].protocol",
        "no ports",
    );
    hep(
        "{node: n1, interfaceName: e, ports: [{name: a--b, protocol: TCP, port: 1}]}",
        "spec.ports[0].name",
        "port name",
    );
    hep("{node: n1, interfaceName: e, mtu: 1}", "spec.mtu", "unknown field");
    refused("HostEndpoint", "-a", "{node: n1, interfaceName: e}", "metadata.name", "not a name");
    refused("HostEndpoint", "a..b", "{node: n1, interfaceName: e}", "metadata.name", "not a name");

    let stored =
        accepted("HostEndpoint", "Edge_7.a", "{node: n1, interfaceName: '*', expectedIPs: [1.1.1.1, 1.1.1.1]}");
    assert_eq!(stored["spec"]["expectedIPs"], json!(["1.1.1.1"]), "the first one stays");
    let warnings = decode(&document("HostEndpoint", "Edge_7", "{node: n1, interfaceName: cali1}")).problems;
    assert_eq!(warnings.len(), 1, "D-2: the name is not portable: {warnings:?}");
}

#[test]
fn warnings_of_one_document() {
    let of = |text: &str| decode(text).problems.iter().map(|p| p.path.clone()).collect::<Vec<_>>();
    let labelled = |label: &str| {
        let text = document("HostEndpoint", "h", "{node: n1, interfaceName: eth0}");
        text.replace("name: h", &format!("name: h, labels: {{{label}: x}}"))
    };
    assert_eq!(of(&labelled("pcns.x")), ["metadata.labels.pcns.x"]);
    assert_eq!(of(&labelled("x")), [""; 0]);
    let from =
        |source: &str| document("GlobalNetworkPolicy", "p", &rule(&format!("{{action: Allow, source: {source}}}")));
    assert_eq!(of(&from("{serviceAccounts: {names: [a]}}")), ["spec.ingress[0].source.serviceAccounts"]);
    assert_eq!(of(&from("{selector: all()}")), [""; 0]);
    assert_eq!(of(&document("GlobalNetworkPolicy", "p", "{}")), ["spec"], "T-21: its types are inferred");
    assert_eq!(of(&document("GlobalNetworkPolicy", "p", "{types: [Ingress]}")), [""; 0]);
}

#[test]
fn rules_section_3() {
    let bad = |text: &str, path: &str, message: &str| {
        refused("GlobalNetworkPolicy", "p", &rule(text), &format!("spec.ingress[0]{path}"), message);
    };
    bad("{}", ".action", "is missing");
    bad("{action: allow}", ".action", "not one of");
    bad("{action: Allow, ipVersion: 5}", ".ipVersion", "4 or 6");
    bad("{action: Allow, ipVersion: 0}", ".ipVersion", "not between");
    bad("{action: Allow, protocol: tcp}", ".protocol", "not a protocol");
    bad("{action: Allow, protocol: 0}", ".protocol", "not a protocol number");
    bad("{action: Allow, protocol: ICMP, ipVersion: 6}", ".protocol", "IPv4 only");
    bad("{action: Allow, notProtocol: 58, ipVersion: 4}", ".notProtocol", "IPv6 only");
    bad("{action: Allow, icmp: {type: 8}}", ".icmp", "needs `protocol");
    bad("{action: Allow, protocol: TCP, icmp: {}}", ".icmp", "needs `protocol");
    bad("{action: Allow, protocol: ICMP, icmp: {code: 1}}", ".icmp.code", "needs a `type`");
    bad("{action: Allow, protocol: ICMP, icmp: {type: 255}}", ".icmp.type", "not between");
    bad("{action: Allow, notICMP: {code: 1}}", ".notICMP.code", "needs a `type`");
    bad("{action: Allow, source: {nets: [10.0.0.1]}}", ".source.nets[0]", "no prefix length");
    bad("{action: Allow, source: {nets: [10.0.0.1/8]}}", ".source.nets[0]", "host bits");
    bad("{action: Allow, source: {notNets: [0.0.0.0/0]}}", ".source.notNets[0]", "is everything");
    bad("{action: Allow, source: {nets: [10.0.0.0/8, '2001:db8::/32']}}", ".source.nets[1]", "is IPv6");
    bad("{action: Allow, ipVersion: 6, source: {nets: [10.0.0.0/8]}}", ".source.nets[0]", "is IPv4");
    bad("{action: Allow, destination: {ports: [80]}}", ".destination.ports[0]", "needs a `protocol`");
    bad("{action: Allow, notProtocol: TCP, destination: {ports: [80]}}", ".destination.ports[0]", "needs a `protocol`");
    bad("{action: Allow, protocol: ICMP, destination: {ports: [http]}}", ".destination.ports", "no ports");
    bad(
        "{action: Allow, protocol: TCP, destination: {ports: [70000]}}",
        ".destination.ports[0]",
        "between 1 and 65535",
    );
    bad("{action: Allow, protocol: TCP, destination: {ports: [80-90]}}", ".destination.ports[0]", "not a port");
    bad("{action: Allow, protocol: TCP, destination: {ports: [true]}}", ".destination.ports[0]", "read as text");
    bad("{action: Allow, source: {selector: \"role == 'db\"}}", ".source.selector", "unterminated string");
    bad("{action: Allow, source: {selector: 'global()'}}", ".source.selector", "not allowed");
    bad(
        "{action: Allow, source: {namespaceSelector: 'global() && has(a)'}}",
        ".source.namespaceSelector",
        "cannot be joined",
    );
    bad("{action: Allow, source: {services: {}}}", ".source.services.name", "is missing");
    bad("{action: Allow, source: {services: {name: a}}}", ".source.services", "needs a `namespace`");
    bad("{action: Allow, destination: {services: {name: a, namespace: b}}}", ".destination.services", "not allowed in");
    bad(
        "{action: Allow, source: {services: {name: a, namespace: b}, nets: [10.0.0.0/8]}}",
        ".source.services",
        "exclude",
    );
    bad("{action: Deny, http: {methods: [GET]}}", ".http", "Allow rules only");
    bad("{action: Allow, protocol: UDP, http: {methods: [GET]}}", ".http", "needs `protocol: TCP`");
    bad("{action: Allow, protocol: TCP, http: {paths: [{exact: /a, prefix: /b}]}}", ".http.paths[0]", "exactly one");
    bad("{action: Allow, sorce: {}}", ".sorce", "unknown field");
    refused(
        "GlobalNetworkPolicy",
        "p",
        "{egress: [{action: Allow, protocol: TCP, http: {}}]}",
        "spec.egress[0].http",
        "egress",
    );

    let stored = accepted(
        "GlobalNetworkPolicy",
        "p",
        &rule("{action: Allow, protocol: '06', destination: {ports: ['80:80', '0443', '1:2', http]}, source: {}}"),
    );
    assert_eq!(
        stored["spec"]["ingress"],
        json!([{"action": "Allow", "protocol": 6, "destination": {"ports": [80, 443, "1:2", "http"]}}])
    );
}

#[test]
fn policies_section_4() {
    let gnp =
        |name: &str, spec: &str, path: &str, message: &str| refused("GlobalNetworkPolicy", name, spec, path, message);
    gnp("a.b.c", "{}", "metadata.name", "not a name");
    gnp("p", "{types: [Ingress, Ingress]}", "spec.types[1]", "repeated");
    gnp("p", "{types: [ingress]}", "spec.types[0]", "not one of");
    gnp("p", "{order: ten}", "spec.order", "expected a number");
    gnp("p", "{doNotTrack: true}", "spec.doNotTrack", "applyOnForward");
    gnp("p", "{preDNAT: true}", "spec.preDNAT", "applyOnForward");
    gnp("p", "{preDNAT: true, doNotTrack: true, applyOnForward: true}", "spec.preDNAT", "exclude");
    gnp("p", "{preDNAT: true, applyOnForward: true, types: [Egress]}", "spec.types", "ingress only");
    gnp("p", "{selector: \"a == 'global()'\"}", "spec.selector", "not allowed");
    gnp("p", "{selector: 'a =='}", "spec.selector", "expected string");
    gnp("p", "{tier: Bad_Tier}", "spec.tier", "not a name");
    gnp("p", "{performanceHints: [Fast]}", "spec.performanceHints[0]", "not one of");
    refused("NetworkPolicy", "p", "{doNotTrack: false}", "spec.doNotTrack", "unknown field");
    refused("StagedGlobalNetworkPolicy", "p", "{stagedAction: Delete, order: 1}", "spec.order", "takes no");

    let types = |spec: &str| accepted("GlobalNetworkPolicy", "p", spec)["spec"]["types"].clone();
    assert_eq!(types("{}"), json!(["Ingress"]));
    assert_eq!(types("{ingress: []}"), json!(["Ingress"]));
    assert_eq!(types("{egress: [{action: Allow}]}"), json!(["Egress"]));
    assert_eq!(types("{ingress: [{action: Allow}], egress: [{action: Allow}]}"), json!(["Ingress", "Egress"]));
    let stored = accepted("GlobalNetworkPolicy", "p", "{tier: '', order: 0, doNotTrack: false}");
    assert_eq!(stored["spec"], json!({"order": 0, "types": ["Ingress"], "tier": "default"}));
    assert_eq!(stored["metadata"]["labels"], json!({"projectcalico.org/tier": "default"}));
    let staged = accepted("StagedGlobalNetworkPolicy", "p", "{stagedAction: Delete, types: [Ingress]}");
    assert_eq!(staged["spec"], json!({"stagedAction": "Delete", "tier": "default"}));
}

#[test]
fn tiers_sets_and_settings_sections_6_to_11() {
    refused("Tier", "a.b", "{}", "metadata.name", "not a name");
    refused("Tier", "t", "{defaultAction: ''}", "spec.defaultAction", "not one of");
    refused("Tier", "kube-admin", "{order: 1000}", "spec.defaultAction", "always Pass");
    assert_eq!(accepted("Tier", "t", "{}")["spec"], json!({"order": 1_000_000, "defaultAction": "Deny"}));
    refused("GlobalNetworkSet", "s", "{nets: ['']}", "spec.nets[0]", "not a network");
    assert_eq!(
        accepted("GlobalNetworkSet", "s", "{nets: [10.0.0.1/8, '::/0']}")["spec"]["nets"],
        json!(["10.0.0.1/8", "::/0"])
    );
    refused("FelixConfiguration", "default", "{nodeSelector: ''}", "spec.nodeSelector", "not allowed");
    refused("FelixConfiguration", "default", "{netlinkTimeout: 10}", "spec.netlinkTimeout", "read as text");
    refused("FelixConfiguration", "default", "{netlinkTimeout: 1.5s}", "spec.netlinkTimeout", "becomes");
    refused("FelixConfiguration", "default", "{logActionRateLimit: 0/second}", "spec.logActionRateLimit", "not a rate");
    refused("FelixConfiguration", "node.n1", "{nodeSelector: all()}", "spec.nodeSelector", "not allowed");
    refused("FelixConfiguration", "racks", "{nodeSelector: 'a =='}", "spec.nodeSelector", "");
    accepted("FelixConfiguration", "racks", "{nodeSelector: \"rack == 'a'\"}");
    for mask in ["0", "1", "2147483648"] {
        let spec = format!("{{nftablesMarkMask: {mask}}}");
        refused("FelixConfiguration", "default", &spec, "spec.nftablesMarkMask", "too few bits");
        let spec = format!("{{iptablesMarkMask: {mask}}}");
        refused("FelixConfiguration", "default", &spec, "spec.iptablesMarkMask", "too few bits");
    }
    accepted("FelixConfiguration", "default", "{nftablesMarkMask: 3, iptablesMarkMask: 4294901760}");
    refused(
        "FelixConfiguration",
        "default",
        "{routeTableRange: {min: 5, max: 1}}",
        "spec.routeTableRange",
        "min <= max",
    );
    let felix = accepted("FelixConfiguration", "default", "{failsafeInboundHostPorts: [], reportingInterval: 90s}");
    assert_eq!(
        felix["spec"]["failsafeInboundHostPorts"],
        json!([]),
        "an empty list survives: it switches failsafes off"
    );
    assert_eq!(felix["spec"]["reportingInterval"], json!("1m30s"));
    let failsafe = accepted("FelixConfiguration", "default", "{failsafeInboundHostPorts: [{protocol: 17, port: 1}]}");
    assert_eq!(failsafe["spec"]["failsafeInboundHostPorts"], json!([{"protocol": "17", "port": 1}]));
    refused("KubeControllersConfiguration", "other", "{controllers: {}}", "metadata.name", "named `default`");
    let node = "{controllers: {node: {hostEndpoint: {templates: [{generateName: a, interfaceCIDRs: [10.0.0.0/8]}, {generateName: a, interfacePattern: '('}]}}}}";
    let path = "spec.controllers.node.hostEndpoint.templates[1]";
    refused("KubeControllersConfiguration", "default", node, &format!("{path}.interfacePattern"), "regular expression");
    refused("KubeControllersConfiguration", "default", node, &format!("{path}.generateName"), "used twice");
    refused("Node", "n1", "{bgp: {asNumber: many}}", "spec.bgp.asNumber", "AS number");
    assert_eq!(accepted("Node", "n1", "{bgp: {asNumber: 65000}}")["spec"]["bgp"]["asNumber"], json!(65000));
    refused("Node", "n1", "{bgp: {}}", "spec.bgp", "empty");
}

#[test]
fn documents_of_every_form_are_read_and_all_mistakes_are_found_at_once() {
    let names = |text: &str| -> Vec<String> {
        assert_eq!(errors(text), Vec::<String>::new(), "{text}");
        decode(text).documents.iter().map(|d| d.key("default").to_string()).collect()
    };
    let tier = |name: &str| document("Tier", name, "{}");
    assert_eq!(
        names(&format!("# only a comment\n---\n{}---\n# another\n---\n{}...\n", tier("a"), tier("b"))),
        ["Tier(a)", "Tier(b)"]
    );
    assert_eq!(names(&format!("\u{feff}{}", tier("a").replace('\n', "\r\n"))), ["Tier(a)"]);
    let json = |name: &str| {
        format!("{{\"apiVersion\":\"projectcalico.org/v3\",\t\"kind\":\"Tier\",\"metadata\":{{\"name\":\"{name}\"}}}}")
    };
    assert_eq!(names(&format!("{}\n{}", json("a"), json("b"))), ["Tier(a)", "Tier(b)"], "D-9");
    assert_eq!(names(&format!("[{},{}]", json("a"), json("b"))), ["Tier(a)", "Tier(b)"]);
    let list = format!("{{\"apiVersion\":\"projectcalico.org/v3\",\"kind\":\"TierList\",\"items\":[{}]}}", json("a"));
    assert_eq!(names(&list), ["Tier(a)"]);
    let anchored = "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata:\n  name: a\n  labels: &l {x: v}\n  annotations: {<<: *l}\n";
    assert_eq!(names(anchored), ["GlobalNetworkSet(a)"]);

    let bad = format!(
        "{}---\n{}---\nkind: Tear\napiVersion: projectcalico.org/v3\n---\n{}",
        document("Tier", "a", "{ordr: 1}"),
        document("HostEndpoint", "h", "{}"),
        document("IPPool", "p", "{}")
    );
    let found = errors(&bad);
    for part in ["unknown field `ordr`", "`node` is missing", "unknown kind `Tear`", "not managed by Tortie"] {
        assert!(found.iter().any(|problem| problem.contains(part)), "{part}: {found:?}");
    }
    assert!(errors("a: b: c\n")[0].contains("not valid YAML"));
    assert!(errors("metadata: {name: a}\n").len() == 2, "apiVersion and kind");
    assert!(errors(&tier("a").replace("kind: Tier", "kind: Tier\nkind: Tier"))[0].contains("given twice"));
    let quadratic = format!("a: &a [x]\n{}", (0..30).map(|n| format!("b{n}: &b{n} [*a, *a]\n")).collect::<String>());
    assert!(!errors(&quadratic).is_empty());
    assert_eq!(
        identify("{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h}}").documents.len(),
        1
    );
}

#[test]
fn scalars_that_readers_disagree_on_are_refused_with_a_hint() {
    for scalar in ["y", "no", "1.10", "010", "0x10", "1_000", "1e3", "Off"] {
        let text = "{node: n1, interfaceName: e}\n";
        let text =
            document("HostEndpoint", "h", text).replace("{name: h}", &format!("{{name: h, labels: {{a: {scalar}}}}}"));
        let problems = decode(&text).problems;
        assert!(
            problems.iter().any(|p| p.hint.as_ref().is_some_and(|hint| hint.starts_with("quote it"))),
            "{scalar}: {problems:?}"
        );
    }
    refused("Tier", "t", "{order: 0100}", "spec.order", "expected a number");
    refused("GlobalNetworkPolicy", "p", "{applyOnForward: yes}", "spec.applyOnForward", "true or false");
}

#[test]
fn stored_objects_are_read_leniently_but_never_guessed_e305() {
    let read = |kind: Kind, spec: Value| {
        let namespace = kind.is_namespaced().then_some("ns");
        read_stored(kind, &json!({"metadata": {"name": "x", "namespace": namespace}, "spec": spec}))
    };
    let policy = |spec: Value| match read(Kind::GlobalNetworkPolicy, spec).unwrap().resource {
        Resource::Policy(policy) => policy,
        other => panic!("{other:?}"),
    };
    let untyped = policy(json!({}));
    assert!(untyped.governs_ingress && untyped.governs_egress, "E-209");
    assert_eq!(untyped.tier, "default");
    let lower = policy(
        json!({"ingress": [{"action": "Allow", "protocol": "tcp", "source": {"nets": ["10.0.0.1/8", "192.0.2.1"]}}]}),
    );
    // E-319: masked, and a bare address is a /32.
    let nets: Vec<String> = lower.ingress[0].source.nets.iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(policy(json!({"doNotTrack": true, "applyOnForward": true})).class, PolicyClass::Untracked);
    for invalid in [
        json!({"ingress": [{"action": "Permit"}]}),
        json!({"ingress": [{"action": "Allow", "source": {"nets": ["10.0.0.0/33"]}}]}),
        json!({"ingress": [{"action": "Allow", "source": {"notNets": ["nonsense"]}}]}),
        json!({"ingress": [{"action": "Allow", "source": {"selector": "a =="}}]}),
        json!({"ingress": [{"action": "Allow", "protocol": "TCPP"}]}),
        json!({"ingress": [{"action": "Allow", "protocol": "ICMP", "icmp": {"code": 1}}]}),
        json!({"ingress": [{"action": "Allow", "destination": {"ports": [80]}}]}),
        json!({"selector": "global()"}),
        json!({"doNotTrack": true}),
        json!({"preDNAT": true, "applyOnForward": true, "egress": [{"action": "Allow"}]}),
        json!({"types": ["Inward"]}),
        json!({"order": "ten"}),
    ] {
        assert!(read(Kind::GlobalNetworkPolicy, invalid.clone()).is_err(), "{invalid}");
    }
    let hep =
        read(Kind::HostEndpoint, json!({"node": "n", "interfaceName": "e", "expectedIPs": ["x", "10.0.0.1"]})).unwrap();
    assert_eq!(hep.warnings.len(), 1, "E-120: a bad address is skipped, the endpoint stays");
    assert!(read(Kind::HostEndpoint, json!({"interfaceName": "e"})).is_err());
    let set = read(Kind::NetworkSet, json!({"nets": ["x", "10.0.0.1/8"]})).unwrap();
    assert_eq!(set.warnings.len(), 1);
}

#[test]
fn yaml_that_is_printed_is_what_people_know() {
    let value = json!({"b": [{"z": 1, "x": "on"}, "a: b"], "a": {"empty": [], "none": {}, "text": "plain"}, "c": true});
    let expected = "a:\n  empty: []\n  none: {}\n  text: plain\nb:\n- x: \"on\"\n  z: 1\n- 'a: b'\nc: true\n";
    assert_eq!(to_yaml(&value), expected);
    for (text, printed) in [
        ("10.0.0.1/24", "10.0.0.1/24"),
        ("2001:db8::1", "2001:db8::1"),
        ("8000:8099", "8000:8099"),
        ("190:20:30", "\"190:20:30\""),
        ("2024-05-06T07:08:09Z", "\"2024-05-06T07:08:09Z\""),
        ("17", "\"17\""),
        ("", "\"\""),
        ("*", "'*'"),
        ("!has(a)", "'!has(a)'"),
        ("role == 'db'", "role == 'db'"),
        ("a\tb", "\"a\\tb\""),
        ("one\ntwo", "|-\n  one\n  two"),
        ("one\n\ntwo\n", "|\n  one\n\n  two"),
    ] {
        assert_eq!(to_yaml(&json!({"k": text})), format!("k: {printed}\n"), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>()) {
        let _ = decode(&text);
    }

    #[test]
    fn text_of_documents_is_read_without_panic(text in "(apiVersion: projectcalico.org/v3|kind: (Tier|HostEndpoint)|metadata:|  name: a|spec:|  - |\n|---\n|\\{|\\}|\\[|\\]|,|: |&a |\\*a|'|\"|\t){0,20}") {
        let _ = decode(&text);
        let _ = identify(&text);
    }

    #[test]
    fn labels_of_any_text_survive_printing_and_reading(value in "[ -~\n]{0,20}", key in "[a-z]{1,8}") {
        let object = json!({"apiVersion": "projectcalico.org/v3", "kind": "GlobalNetworkSet",
            "metadata": {"name": "a", "annotations": {key.clone(): value.clone()}}});
        let text = to_yaml(&object);
        let decoded = decode(&text);
        prop_assert!(decoded.problems.is_empty(), "{}{:?}", text, decoded.problems);
        let found = decoded.documents[0].value["metadata"]["annotations"][key.as_str()].clone();
        prop_assert_eq!(found, json!(value), "{}", text);
    }
}
