//! Objects, one for each rule of resources.md that somebody checks.

use serde_json::{Value, json};

use crate::object;

/// One object, and what a refusal of the server says.
pub(crate) struct Case {
    pub(crate) object: Value,
    pub(crate) reason: &'static str,
}

/// Cases of `(kind, name, spec, reason)`. An empty name stands for one of the case's own, so that its refusal is found.
fn cases(prefix: &str, table: Vec<(&str, &str, Value, &'static str)>) -> Vec<Case> {
    table
        .into_iter()
        .enumerate()
        .map(|(number, (kind, name, spec, reason))| {
            let own = format!("{prefix}-{number}");
            Case { object: object(kind, if name.is_empty() { &own } else { name }, spec), reason }
        })
        .collect()
}

/// A policy with one rule.
fn ingress(rule: Value) -> Value {
    json!({"ingress": [rule]})
}

fn egress(rule: Value) -> Value {
    json!({"egress": [rule]})
}

fn services(mut source: Value) -> Value {
    source["services"] = json!({"name": "s", "namespace": "n"});
    ingress(json!({"action": "Allow", "source": source}))
}

/// Enumerations, patterns, lengths, counts, required members and cross-field rules: the row "yes" of section 12.
pub(crate) fn refused_by_both() -> Vec<Case> {
    let long = "a".repeat(1025);
    let many = |count: usize| -> Vec<Value> { (1..=count).map(|port| json!(port)).collect() };
    let nets: Vec<Value> = (0..257).map(|n| json!(format!("10.{}.{}.0/24", n / 256, n % 256))).collect();
    let rules: Vec<Value> = (0..1025).map(|_| json!({"action": "Allow"})).collect();
    let http = |http: Value| ingress(json!({"action": "Allow", "http": http}));
    let (hep, gnp, np, sgnp, snp) =
        ("HostEndpoint", "GlobalNetworkPolicy", "NetworkPolicy", "StagedGlobalNetworkPolicy", "StagedNetworkPolicy");
    let (tier, felix, kcc) = ("Tier", "FelixConfiguration", "KubeControllersConfiguration");
    let mut all = cases(
        "policy",
        vec![
            (gnp, "", json!({"order": "first"}), "spec.order"),
            (gnp, "", json!({"tier": "Upper"}), "spec.tier"),
            (np, "", json!({"tier": "a..b"}), "spec.tier"),
            (gnp, "", json!({"types": ["ingress"]}), "Unsupported value"),
            (gnp, "", json!({"types": ["Ingress", "Ingress"]}), "Duplicate value"),
            (gnp, "", json!({"performanceHints": ["Faster"]}), "Unsupported value"),
            (gnp, "", json!({"performanceHints": ["AssumeNeededOnEveryNode", "AssumeNeededOnEveryNode"]}), "Duplicate"),
            (gnp, "", json!({"selector": long}), "Too long"),
            (np, "", json!({"selector": "global()"}), "global() is not allowed here"),
            (gnp, "", json!({"namespaceSelector": "global()"}), "global() is not allowed here"),
            (gnp, "", json!({"serviceAccountSelector": "global()"}), "global() is not allowed here"),
            (gnp, "", json!({"preDNAT": true, "doNotTrack": true, "applyOnForward": true}), "exclude each other"),
            (gnp, "", json!({"preDNAT": true}), "preDNAT: true needs applyOnForward"),
            (sgnp, "", json!({"doNotTrack": true}), "doNotTrack: true needs applyOnForward"),
            (
                gnp,
                "",
                json!({"preDNAT": true, "applyOnForward": true, "types": ["Ingress"], "egress": [{"action": "Deny"}]}),
                "has no egress rules",
            ),
            (
                gnp,
                "",
                json!({"preDNAT": true, "applyOnForward": true, "types": ["Ingress", "Egress"]}),
                "governs ingress only",
            ),
            (gnp, "", json!({"ingress": rules}), "Too many"),
            (snp, "", json!({"stagedAction": "Remove"}), "Unsupported value"),
            (snp, "", json!({"stagedAction": "Delete", "order": 3}), "takes no other field"),
            (sgnp, "", json!({"stagedAction": "Delete", "selector": "all()"}), "takes no other field"),
            (sgnp, "", json!({"stagedAction": "Delete", "applyOnForward": true}), "takes no other field"),
            ("StagedKubernetesNetworkPolicy", "", json!({"stagedAction": "Remove"}), "Unsupported value"),
            ("StagedKubernetesNetworkPolicy", "", json!({"ingress": [{"ports": [{"port": {}}]}]}), "port"),
            ("StagedKubernetesNetworkPolicy", "", json!({"ingress": [{"from": [{"ipBlock": {}}]}]}), "cidr"),
        ],
    );
    all.extend(cases(
        "rule",
        vec![
            (gnp, "", ingress(json!({"action": "allow"})), "Unsupported value"),
            (gnp, "", ingress(json!({"protocol": "TCP"})), "action: Required"),
            (gnp, "", ingress(json!({"action": "Allow", "ipVersion": 5})), "ipVersion is 4 or 6"),
            (gnp, "", ingress(json!({"action": "Allow", "ipVersion": 7})), "ipVersion"),
            (gnp, "", ingress(json!({"action": "Allow", "protocol": "ICMP", "ipVersion": 6})), "IPv4 only"),
            (gnp, "", ingress(json!({"action": "Allow", "protocol": 1, "ipVersion": 6})), "IPv4 only"),
            (gnp, "", egress(json!({"action": "Allow", "notProtocol": "ICMPv6", "ipVersion": 4})), "IPv6 only"),
            (gnp, "", ingress(json!({"action": "Allow", "icmp": {"type": 8}})), "icmp needs protocol"),
            (gnp, "", ingress(json!({"action": "Allow", "icmp": {}, "protocol": "TCP"})), "icmp needs protocol"),
            (
                gnp,
                "",
                ingress(json!({"action": "Allow", "protocol": "ICMP", "icmp": {"code": 1}})),
                "a code needs a type",
            ),
            (gnp, "", ingress(json!({"action": "Allow", "notICMP": {"code": 1}})), "a code needs a type"),
            (gnp, "", ingress(json!({"action": "Allow", "protocol": "ICMP", "icmp": {"type": 255}})), "icmp.type"),
            (gnp, "", ingress(json!({"action": "Allow", "source": {"nets": nets}})), "Too many"),
            (
                gnp,
                "",
                ingress(json!({"action": "Allow", "protocol": "TCP", "source": {"ports": many(51)}})),
                "Too many",
            ),
            (
                gnp,
                "",
                ingress(json!({"action": "Allow", "source": {"selector": "global()"}})),
                "global() is not allowed",
            ),
            (gnp, "", ingress(json!({"action": "Allow", "source": {"notSelector": long}})), "Too long"),
            (gnp, "", http(json!({"methods": ["GET", "GET"]})), "only once"),
            (gnp, "", http(json!({"methods": ["M".repeat(33)]})), "Too long"),
            (gnp, "", http(json!({"paths": [{}]})), "exactly one of exact and prefix"),
            (gnp, "", http(json!({"paths": [{"exact": "/a", "prefix": "/b"}]})), "exactly one of exact and prefix"),
            (gnp, "", http(json!({"paths": [{"exact": "/a?b"}]})), "paths[0].exact"),
            (gnp, "", http(json!({"paths": [{"prefix": "a"}]})), "paths[0].prefix"),
            (gnp, "", ingress(json!({"action": "Deny", "http": {}})), "Allow rules only"),
            (gnp, "", ingress(json!({"action": "Allow", "protocol": "UDP", "http": {}})), "http needs protocol: TCP"),
            (gnp, "", services(json!({"selector": "all()"})), "services excludes selector"),
            (gnp, "", services(json!({"notNets": ["10.0.0.0/8"]})), "services excludes selector"),
            (gnp, "", services(json!({"serviceAccounts": {}})), "services excludes selector"),
            (gnp, "", ingress(json!({"action": "Allow", "source": {"services": {"namespace": "n"}}})), "services.name"),
            (gnp, "", ingress(json!({"action": "Allow", "source": {"services": {"name": "n"}}})), "needs a namespace"),
            (
                sgnp,
                "",
                egress(json!({"action": "Allow", "destination": {"services": {"name": "n"}}})),
                "needs a namespace",
            ),
            (
                np,
                "",
                egress(json!({
                    "action": "Allow", "protocol": "TCP", "destination": {"services": {"name": "n"}, "ports": [1]},
                })),
                "excludes ports",
            ),
        ],
    ));
    all.extend(cases(
        "other",
        vec![
            (hep, "", json!({"interfaceName": "eth0"}), "node: Required"),
            (hep, "", json!({"node": "", "interfaceName": "eth0"}), "spec.node"),
            (hep, "", json!({"node": "n"}), "interfaceName and expectedIPs"),
            (hep, "", json!({"node": "n", "interfaceName": "", "expectedIPs": []}), "interfaceName and expectedIPs"),
            (hep, "", json!({"node": "Upper", "interfaceName": "eth0"}), "spec.node"),
            (hep, "", json!({"node": "n".repeat(254), "interfaceName": "eth0"}), "spec.node"),
            (hep, "", json!({"node": "n", "interfaceName": "abcdefghijklmnop"}), "Too long"),
            (hep, "", json!({"node": "n", "interfaceName": "eth+"}), "spec.interfaceName"),
            (hep, "", json!({"node": "n", "interfaceName": "e", "profiles": ["A_b"]}), "spec.profiles[0]"),
            (
                hep,
                "",
                json!({"node": "n", "interfaceName": "e", "ports": [{"name": "a", "port": 1}]}),
                "protocol: Required",
            ),
            (
                hep,
                "",
                json!({"node": "n", "interfaceName": "e", "ports": [{"name": "a", "protocol": "TCP", "port": 0}]}),
                "ports[0].port",
            ),
            (
                hep,
                "",
                json!({"node": "n", "interfaceName": "e", "ports": [{"name": "a", "protocol": "TCP", "port": "1"}]}),
                "ports[0].port",
            ),
            (tier, "", json!({"defaultAction": ""}), "Unsupported value"),
            (tier, "", json!({"defaultAction": "Allow"}), "Unsupported value"),
            (tier, "default", json!({"order": 1}), "order of tier default"),
            (tier, "default", json!({"defaultAction": "Pass"}), "action of tier default"),
            (tier, "kube-admin", json!({"order": 1000}), "action of tier kube-admin"),
            (tier, "kube-admin", json!({"defaultAction": "Pass"}), "order of tier kube-admin"),
            (tier, "kube-baseline", json!({"order": 1, "defaultAction": "Pass"}), "order of tier kube-baseline"),
            ("GlobalNetworkSet", "", json!({"nets": [1]}), "spec.nets[0]"),
            (felix, "default", json!({"nodeSelector": "all()"}), "belongs to objects of other names"),
            (felix, "node.web1", json!({"nodeSelector": ""}), "belongs to objects of other names"),
            (felix, "", json!({"nodeSelector": long}), "Too long"),
            (felix, "", json!({"chainInsertMode": "Prepend"}), "spec.chainInsertMode"),
            (felix, "", json!({"iptablesBackend": "nft"}), "Unsupported value"),
            (felix, "", json!({"healthPort": 65536}), "spec.healthPort"),
            (felix, "", json!({"nftablesMarkMask": 4_294_967_296_i64}), "spec.nftablesMarkMask"),
            (felix, "", json!({"reportingInterval": "90"}), "spec.reportingInterval"),
            (felix, "", json!({"reportingInterval": "-1s"}), "spec.reportingInterval"),
            (felix, "", json!({"reportingInterval": "1500ms"}), "use whole hours"),
            (felix, "", json!({"reportingInterval": "1.5s"}), "spec.reportingInterval"),
            (felix, "", json!({"logPrefix": "a\nb"}), "spec.logPrefix"),
            (felix, "", json!({"logActionRateLimit": "0/second"}), "spec.logActionRateLimit"),
            (felix, "", json!({"logActionRateLimitBurst": 10_000}), "spec.logActionRateLimitBurst"),
            (felix, "", json!({"prometheusMetricsHost": "a b"}), "spec.prometheusMetricsHost"),
            (felix, "", json!({"openstackRegion": "a.b"}), "spec.openstackRegion"),
            (felix, "", json!({"healthTimeoutOverrides": [{"name": "a/b", "timeout": "1s"}]}), "Overrides[0].name"),
            (felix, "", json!({"failsafeInboundHostPorts": [{"protocol": "tcp"}]}), "port: Required"),
            (felix, "", json!({"natOutgoingAddress": "2001:db8::1"}), "an IPv4 address"),
            (felix, "", json!({"deviceRouteSourceAddressIPv6": "10.0.0.1"}), "an IPv6 address"),
            (felix, "", json!({"kubeNodePortRanges": many(8)}), "Too many"),
            (felix, "", json!({"routeTableRange": {"min": 1, "max": 251}}), "max <= 250"),
            (felix, "", json!({"routeTableRange": {"min": 0, "max": 1}}), "max <= 250"),
            (felix, "", json!({"routeTableRanges": [{"min": 2, "max": 1}]}), "1 <= min <= max"),
            (
                felix,
                "",
                json!({"routeTableRanges": [{"min": 1, "max": 60_000}, {"min": 60_001, "max": 70_000}]}),
                "65535",
            ),
            (
                felix,
                "",
                json!({"routeTableRange": {"min": 1, "max": 9}, "routeTableRanges": [{"min": 1, "max": 9}]}),
                "exclude each other",
            ),
            (kcc, "other", json!({}), "only object of this kind"),
            ("ClusterInformation", "other", json!({}), "only object of this kind"),
            (kcc, "default", json!({"logSeverityScreen": "info"}), "Unsupported value"),
            (kcc, "default", json!({"controllers": {"node": {"hostEndpoint": {"autoCreate": "On"}}}}), "autoCreate"),
            (kcc, "default", json!({"prometheusMetricsPort": 65_536}), "prometheusMetricsPort"),
        ],
    ));
    all
}

/// Lists that the server takes for sets, and `types: []` (section 12).
pub(crate) fn refused_by_the_server() -> Vec<Case> {
    let endpoint = |member: &str, list: Value| json!({"node": "n", "interfaceName": "e", member: list});
    let duplicate = "Duplicate value";
    cases(
        "set",
        vec![
            ("HostEndpoint", "", endpoint("expectedIPs", json!(["1.1.1.1", "1.1.1.1"])), duplicate),
            ("HostEndpoint", "", endpoint("profiles", json!(["a", "a"])), duplicate),
            (
                "GlobalNetworkPolicy",
                "",
                ingress(json!({"action": "Allow", "source": {"nets": ["10.0.0.0/8", "10.0.0.0/8"]}})),
                duplicate,
            ),
            (
                "GlobalNetworkPolicy",
                "",
                ingress(json!({"action": "Allow", "source": {"serviceAccounts": {"names": ["a", "a"]}}})),
                duplicate,
            ),
            ("GlobalNetworkPolicy", "", json!({"types": []}), "leave types out"),
        ],
    )
}

/// The row "no" of section 12, in its order, and what is only Tortie's own (E-617, D-13).
pub(crate) fn refused_by_tortie() -> Vec<Case> {
    let (gnp, np, hep) = ("GlobalNetworkPolicy", "NetworkPolicy", "HostEndpoint");
    let nets = |nets: Value| ingress(json!({"action": "Allow", "source": {"nets": nets}}));
    let port = |port: Value| ingress(json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}));
    let template = |template: Value| json!({"controllers": {"node": {"hostEndpoint": {"templates": [template]}}}});
    let endpoint_port = |name: &str, protocol: &str| json!({"node": "n", "interfaceName": "e", "ports": [{"name": name, "protocol": protocol, "port": 1}]});
    let table = vec![
        // Name rules beyond a DNS name.
        (gnp, "a.b.c", json!({})),
        ("Tier", "a.b", json!({})),
        // Selector syntax, addresses, networks.
        (gnp, "", json!({"selector": "role ="})),
        (hep, "", json!({"node": "n", "expectedIPs": ["999.1.1.1"]})),
        (hep, "", json!({"node": "n", "expectedIPs": ["10.0.0.1/32"]})),
        ("GlobalNetworkSet", "", json!({"nets": ["nowhere"]})),
        (gnp, "", nets(json!(["10.0.0.1"]))),
        (gnp, "", nets(json!(["10.0.0.1/8"]))),
        (gnp, "", nets(json!(["10.0.0.0/8", "2001:db8::/32"]))),
        (gnp, "", ingress(json!({"action": "Allow", "source": {"notNets": ["0.0.0.0/0"]}}))),
        // Protocols and ports.
        (gnp, "", ingress(json!({"action": "Allow", "protocol": "tcp"}))),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": 256}))),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": "icmp", "icmp": {"type": 8}}))),
        (gnp, "", port(json!("80-90"))),
        (gnp, "", port(json!(65_536))),
        (gnp, "", port(json!("HTTP"))),
        (gnp, "", ingress(json!({"action": "Allow", "destination": {"ports": [80]}}))),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": "ICMP", "destination": {"ports": [80]}}))),
        (hep, "", endpoint_port("a--b", "TCP")),
        (hep, "", endpoint_port("a", "ICMP")),
        // Places of `services` and `http`, annotations, namespace selectors.
        (np, "", ingress(json!({"action": "Allow", "destination": {"services": {"name": "n"}}}))),
        (np, "", egress(json!({"action": "Allow", "source": {"services": {"name": "n"}}}))),
        (gnp, "", egress(json!({"action": "Allow", "http": {}}))),
        (gnp, "", ingress(json!({"action": "Allow", "metadata": {"annotations": {"a/b/c": "d"}}}))),
        (np, "", ingress(json!({"action": "Allow", "source": {"namespaceSelector": "global() || has(a)"}}))),
        // Templates.
        ("KubeControllersConfiguration", "default", template(json!({"interfaceCIDRs": ["10.0.0.0/8"]}))),
        ("KubeControllersConfiguration", "default", template(json!({"generateName": "a"}))),
        // Not in the table, and nothing that an expression can tell: selectors, regular expressions, bits.
        ("FelixConfiguration", "", json!({"nodeSelector": "role ="})),
        ("FelixConfiguration", "", json!({"logDebugFilenameRegex": "("})),
        ("FelixConfiguration", "", json!({"nftablesMarkMask": 1})),
        ("FelixConfiguration", "", json!({"kubeNodePortRanges": ["http"]})),
        ("FelixConfiguration", "", json!({"externalNodesList": ["2001:db8::/32"]})),
    ];
    let mut all = cases("free", table.into_iter().map(|(kind, name, spec)| (kind, name, spec, "")).collect());
    let mut reserved = object("NetworkSet", "reserved", json!({"nets": ["10.0.0.0/8"]}));
    reserved["metadata"]["labels"] = json!({"projectcalico.org/namespace": "x"});
    all.push(Case { object: reserved, reason: "" });
    all
}

/// Good objects at the edges of the rules.
pub(crate) fn accepted() -> Vec<Case> {
    let (gnp, hep, felix) = ("GlobalNetworkPolicy", "HostEndpoint", "FelixConfiguration");
    let many: Vec<Value> = (1..=50).map(|port| json!(port)).collect();
    let rules: Vec<Value> = (0..1024).map(|_| json!({"action": "Allow"})).collect();
    let methods: Vec<Value> = (0..20).map(|n| json!(format!("M{n}"))).collect();
    let paths: Vec<Value> = (0..20).map(|n| json!({"prefix": format!("/{n}")})).collect();
    let table = vec![
        (hep, "", json!({"node": "n", "interfaceName": "*"})),
        (hep, "", json!({"node": "n", "interfaceName": "", "expectedIPs": ["10.0.0.1"], "profiles": [], "ports": []})),
        (hep, "", json!({"node": "n".repeat(63), "interfaceName": "a_b-c.d"})),
        (hep, "", json!({"node": "n", "interfaceName": "e", "ports": [{"name": "a", "protocol": 6, "port": 65_535}]})),
        (gnp, "", json!({})),
        (gnp, "", json!({"order": 0, "tier": "a.b", "selector": "", "types": ["Egress", "Ingress"]})),
        (gnp, "", json!({"order": -1.5, "preDNAT": false, "doNotTrack": false})),
        (gnp, "", json!({"preDNAT": true, "applyOnForward": true, "egress": []})),
        (gnp, "", json!({"ingress": rules.clone(), "egress": rules})),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": "UDP", "source": {"ports": many}}))),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": "1", "ipVersion": 4, "icmp": {"type": 0, "code": 0}}))),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": 58, "ipVersion": 6, "icmp": {}}))),
        (gnp, "", ingress(json!({"action": "Log", "notICMP": {"type": 8}, "destination": {"ports": ["http"]}}))),
        (gnp, "", ingress(json!({"action": "Allow", "protocol": 6, "http": {"methods": methods, "paths": paths}}))),
        (gnp, "", ingress(json!({"action": "Pass", "source": {"namespaceSelector": "global()"}}))),
        (gnp, "", services(json!({"selector": "", "nets": []}))),
        ("NetworkPolicy", "", ingress(json!({"action": "Allow", "source": {"services": {"name": "s"}}}))),
        ("NetworkPolicy", "knp.default.a", json!({})),
        (
            "StagedNetworkPolicy",
            "",
            json!({"stagedAction": "Delete", "tier": "t", "selector": "", "types": ["Ingress"]}),
        ),
        ("StagedGlobalNetworkPolicy", "", json!({"stagedAction": "", "applyOnForward": false})),
        ("Tier", "", json!({"order": 0, "defaultAction": "Pass"})),
        ("Tier", "default", json!({})),
        ("Tier", "kube-admin", json!({"order": 1000, "defaultAction": "Pass"})),
        ("GlobalNetworkSet", "", json!({"nets": ["10.0.0.1", "10.0.0.1/8", "::/0"]})),
        ("NetworkSet", "", json!({"nets": []})),
        (felix, "", json!({"nodeSelector": "all()"})),
        (
            felix,
            "default",
            json!({"chainInsertMode": "append", "logSeverityScreen": "", "failsafeInboundHostPorts": []}),
        ),
        (felix, "", json!({"reportingInterval": "1h30m", "netlinkTimeout": "60000ms", "xdpRefreshInterval": "0s"})),
        (felix, "", json!({"natOutgoingAddress": "10.0.0.1", "deviceRouteSourceAddressIPv6": "2001:db8::1"})),
        (felix, "", json!({"routeTableRange": {"min": 1, "max": 250}, "logActionRateLimit": "9999/day"})),
        (felix, "", json!({"routeTableRanges": [{"min": 1, "max": 65_535}], "istioDSCPMark": 23})),
        (felix, "", json!({"bpfConntrackTimeouts": {"tcpEstablished": "1h"}, "kubeNodePortRanges": ["1:2", 3]})),
        ("KubeControllersConfiguration", "default", json!({})),
        (
            "KubeControllersConfiguration",
            "default",
            json!({"controllers": {"migration": {}}, "prometheusMetricsPort": 0}),
        ),
        ("ClusterInformation", "default", json!({"datastoreReady": true, "calicoVersion": "v3.32.0"})),
    ];
    cases("good", table.into_iter().map(|(kind, name, spec)| (kind, name, spec, "")).collect())
}
