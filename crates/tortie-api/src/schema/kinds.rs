//! `spec` of every kind but FelixConfiguration.

use super::MapRule;
use super::{Field, NO_LIMIT, Text, Type, felix, kept, optional, required};
use crate::Kind;

const ANY_TEXT: Type = Type::Text(Text::Any(NO_LIMIT));
const NAME: Type = Type::Text(Text::Name);
const TEXTS: Type = Type::List(&ANY_TEXT, NO_LIMIT);

pub(super) fn spec(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::HostEndpoint => HOST_ENDPOINT,
        Kind::GlobalNetworkPolicy => GLOBAL_POLICY,
        Kind::NetworkPolicy => NAMESPACED_POLICY,
        Kind::StagedGlobalNetworkPolicy => STAGED_GLOBAL_POLICY,
        Kind::StagedNetworkPolicy => STAGED_NAMESPACED_POLICY,
        Kind::StagedKubernetesNetworkPolicy => STAGED_KUBERNETES_POLICY,
        Kind::Tier => TIER,
        Kind::Profile => PROFILE,
        Kind::GlobalNetworkSet | Kind::NetworkSet => NETWORK_SET,
        Kind::Node => NODE,
        Kind::WorkloadEndpoint => WORKLOAD_ENDPOINT,
        Kind::FelixConfiguration => felix::SPEC,
        Kind::KubeControllersConfiguration => KUBE_CONTROLLERS,
        Kind::ClusterInformation => CLUSTER_INFORMATION,
    }
}

const ENDPOINT_PORT: &[Field] = &[
    required("name", Type::Text(Text::PortName)),
    required("protocol", Type::Text(Text::PortProtocol)),
    required("port", Type::Int(1, 65535)),
];

const HOST_ENDPOINT: &[Field] = &[
    required("node", NAME),
    optional("interfaceName", Type::Text(Text::Interface)),
    optional("expectedIPs", Type::List(&Type::Text(Text::Address), NO_LIMIT)),
    optional("profiles", Type::List(&NAME, NO_LIMIT)),
    optional("ports", Type::List(&Type::Object(ENDPOINT_PORT), NO_LIMIT)),
];

const ICMP: Type = Type::Object(&[kept("type", Type::Int(0, 254)), kept("code", Type::Int(0, 255))]);

const HTTP: Type = Type::Object(&[
    optional("methods", Type::List(&ANY_TEXT, 20)),
    optional(
        "paths",
        Type::List(
            &Type::Object(&[
                optional("exact", Type::Text(Text::HttpPath)),
                optional("prefix", Type::Text(Text::HttpPath)),
            ]),
            20,
        ),
    ),
]);

const ENTITY: Type = Type::Object(&[
    optional("nets", Type::List(&Type::Text(Text::StrictNet), 256)),
    optional("notNets", Type::List(&Type::Text(Text::StrictNet), 256)),
    optional("ports", Type::List(&Type::Text(Text::Port), 50)),
    optional("notPorts", Type::List(&Type::Text(Text::Port), 50)),
    optional("selector", Type::Text(Text::ScopedSelector)),
    optional("notSelector", Type::Text(Text::Selector)),
    optional("namespaceSelector", Type::Text(Text::NamespaceSelector)),
    kept(
        "serviceAccounts",
        Type::Object(&[optional("names", TEXTS), optional("selector", Type::Text(Text::Selector))]),
    ),
    kept("services", Type::Object(&[required("name", NAME), optional("namespace", NAME)])),
]);

const RULE: Type = Type::Object(&[
    required("action", Type::Text(Text::OneOf(&["Allow", "Deny", "Log", "Pass"]))),
    kept("ipVersion", Type::Int(4, 6)),
    optional("protocol", Type::Text(Text::Protocol)),
    optional("notProtocol", Type::Text(Text::Protocol)),
    kept("icmp", ICMP),
    kept("notICMP", ICMP),
    optional("source", ENTITY),
    optional("destination", ENTITY),
    kept("http", HTTP),
    kept("metadata", Type::Object(&[optional("annotations", Type::Map(MapRule::Annotations))])),
]);

const RULES: Type = Type::List(&RULE, 1024);
const POLICY_TIER: Field = optional("tier", NAME);
const POLICY_ORDER: Field = kept("order", Type::Float);
const POLICY_SELECTOR: Field = optional("selector", Type::Text(Text::ScopedSelector));
const POLICY_TYPES: Field = optional("types", Type::List(&Type::Text(Text::OneOf(&["Ingress", "Egress"])), NO_LIMIT));
const POLICY_INGRESS: Field = optional("ingress", RULES);
const POLICY_EGRESS: Field = optional("egress", RULES);
const POLICY_ACCOUNTS: Field = optional("serviceAccountSelector", Type::Text(Text::ScopedSelector));
const POLICY_NAMESPACES: Field = optional("namespaceSelector", Type::Text(Text::ScopedSelector));
const POLICY_HINTS: Field =
    optional("performanceHints", Type::List(&Type::Text(Text::OneOf(&["AssumeNeededOnEveryNode"])), NO_LIMIT));
const POLICY_UNTRACKED: Field = optional("doNotTrack", Type::Bool);
const POLICY_PRE_DNAT: Field = optional("preDNAT", Type::Bool);
const POLICY_FORWARD: Field = optional("applyOnForward", Type::Bool);
const STAGED_ACTION: Field = optional("stagedAction", Type::Text(Text::OneOf(&["Set", "Delete", "Learn", "Ignore"])));

const GLOBAL_POLICY: &[Field] = &[
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_ACCOUNTS,
    POLICY_NAMESPACES,
    POLICY_UNTRACKED,
    POLICY_PRE_DNAT,
    POLICY_FORWARD,
    POLICY_HINTS,
];

const NAMESPACED_POLICY: &[Field] = &[
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_ACCOUNTS,
    POLICY_HINTS,
];

const STAGED_GLOBAL_POLICY: &[Field] = &[
    STAGED_ACTION,
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_ACCOUNTS,
    POLICY_NAMESPACES,
    POLICY_UNTRACKED,
    POLICY_PRE_DNAT,
    POLICY_FORWARD,
    POLICY_HINTS,
];

const STAGED_NAMESPACED_POLICY: &[Field] = &[
    STAGED_ACTION,
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_ACCOUNTS,
    POLICY_HINTS,
];

/// A Kubernetes label selector; checked for names and types only.
const LABEL_SELECTOR: Type = Type::Object(&[
    optional("matchLabels", Type::Map(MapRule::Free)),
    optional(
        "matchExpressions",
        Type::List(
            &Type::Object(&[required("key", ANY_TEXT), required("operator", ANY_TEXT), optional("values", TEXTS)]),
            NO_LIMIT,
        ),
    ),
]);

const KUBERNETES_PEERS: Type = Type::List(
    &Type::Object(&[
        kept("podSelector", LABEL_SELECTOR),
        kept("namespaceSelector", LABEL_SELECTOR),
        kept("ipBlock", Type::Object(&[required("cidr", ANY_TEXT), optional("except", TEXTS)])),
    ]),
    NO_LIMIT,
);

const KUBERNETES_PORTS: Type = Type::List(
    &Type::Object(&[optional("protocol", ANY_TEXT), optional("port", Type::Any), kept("endPort", Type::Int(0, 65535))]),
    NO_LIMIT,
);

const STAGED_KUBERNETES_POLICY: &[Field] = &[
    STAGED_ACTION,
    kept("podSelector", LABEL_SELECTOR),
    optional(
        "ingress",
        Type::List(&Type::Object(&[optional("from", KUBERNETES_PEERS), optional("ports", KUBERNETES_PORTS)]), NO_LIMIT),
    ),
    optional(
        "egress",
        Type::List(&Type::Object(&[optional("to", KUBERNETES_PEERS), optional("ports", KUBERNETES_PORTS)]), NO_LIMIT),
    ),
    optional("policyTypes", TEXTS),
];

const TIER: &[Field] = &[kept("order", Type::Float), kept("defaultAction", Type::Text(Text::OneOf(&["Deny", "Pass"])))];

const PROFILE: &[Field] =
    &[optional("ingress", RULES), optional("egress", RULES), optional("labelsToApply", Type::Map(MapRule::Labels))];

const NETWORK_SET: &[Field] = &[optional("nets", Type::List(&Type::Text(Text::LooseNet), NO_LIMIT))];

const NODE: &[Field] = &[
    kept(
        "bgp",
        Type::Object(&[
            optional("asNumber", Type::Text(Text::AsNumber)),
            optional("ipv4Address", Type::Text(Text::LooseNetV4)),
            optional("ipv6Address", Type::Text(Text::LooseNetV6)),
            optional("ipv4IPIPTunnelAddr", Type::Text(Text::AddressV4)),
            optional("routeReflectorClusterID", ANY_TEXT),
        ]),
    ),
    optional("ipv4VXLANTunnelAddr", Type::Text(Text::AddressV4)),
    optional("ipv6VXLANTunnelAddr", Type::Text(Text::AddressV6)),
    optional("vxlanTunnelMACAddr", ANY_TEXT),
    optional("vxlanTunnelMACAddrV6", ANY_TEXT),
    optional(
        "orchRefs",
        Type::List(&Type::Object(&[optional("nodeName", ANY_TEXT), required("orchestrator", ANY_TEXT)]), NO_LIMIT),
    ),
    kept(
        "wireguard",
        Type::Object(&[
            optional("interfaceIPv4Address", Type::Text(Text::AddressV4)),
            optional("interfaceIPv6Address", Type::Text(Text::AddressV6)),
        ]),
    ),
    optional(
        "addresses",
        Type::List(&Type::Object(&[required("address", ANY_TEXT), optional("type", ANY_TEXT)]), NO_LIMIT),
    ),
    optional(
        "interfaces",
        Type::List(&Type::Object(&[optional("name", ANY_TEXT), optional("addresses", TEXTS)]), NO_LIMIT),
    ),
];

const WORKLOAD_PORT: &[Field] = &[
    optional("name", ANY_TEXT),
    required("protocol", Type::Text(Text::PortProtocol)),
    required("port", Type::Int(1, 65535)),
    optional("hostPort", Type::Int(0, 65535)),
    optional("hostIP", ANY_TEXT),
];

const WORKLOAD_ENDPOINT: &[Field] = &[
    optional("orchestrator", ANY_TEXT),
    optional("workload", ANY_TEXT),
    optional("node", ANY_TEXT),
    optional("containerID", ANY_TEXT),
    optional("pod", ANY_TEXT),
    optional("endpoint", ANY_TEXT),
    optional("serviceAccountName", ANY_TEXT),
    optional("ipNetworks", Type::List(&Type::Text(Text::LooseNet), NO_LIMIT)),
    optional("ipNATs", Type::List(&Type::Any, NO_LIMIT)),
    optional("ipv4Gateway", ANY_TEXT),
    optional("ipv6Gateway", ANY_TEXT),
    optional("profiles", Type::List(&NAME, NO_LIMIT)),
    optional("interfaceName", Type::Text(Text::Interface)),
    optional("mac", ANY_TEXT),
    optional("ports", Type::List(&Type::Object(WORKLOAD_PORT), NO_LIMIT)),
    optional("allowSpoofedSourcePrefixes", TEXTS),
    optional("qosControls", Type::Any),
];

const ON_OFF: Type = Type::Text(Text::OneOf(&["Enabled", "Disabled"]));
const FREE_DURATION: Type = Type::Text(Text::FreeDuration);
const PERIOD_ONLY: Type = Type::Object(&[kept("reconcilerPeriod", FREE_DURATION)]);

const TEMPLATE: Type = Type::Object(&[
    optional("generateName", Type::Text(Text::Name)),
    optional("interfaceCIDRs", Type::List(&Type::Text(Text::LooseNet), NO_LIMIT)),
    optional("interfacePattern", Type::Text(Text::Regex)),
    optional("nodeSelector", Type::Text(Text::Selector)),
    optional("labels", Type::Map(MapRule::Labels)),
    optional("annotations", Type::Map(MapRule::Annotations)),
]);

const NODE_CONTROLLER: Type = Type::Object(&[
    kept("reconcilerPeriod", FREE_DURATION),
    optional("syncLabels", ON_OFF),
    kept(
        "hostEndpoint",
        Type::Object(&[
            optional("autoCreate", ON_OFF),
            optional("createDefaultHostEndpoint", ON_OFF),
            optional("templates", Type::List(&TEMPLATE, NO_LIMIT)),
        ]),
    ),
    kept("leakGracePeriod", FREE_DURATION),
]);

const KUBE_CONTROLLERS: &[Field] = &[
    optional(
        "logSeverityScreen",
        Type::Text(Text::OneOf(&["None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"])),
    ),
    optional("healthChecks", ON_OFF),
    kept("etcdV3CompactionPeriod", FREE_DURATION),
    kept("prometheusMetricsPort", Type::Int(0, 65535)),
    kept("debugProfilePort", Type::Int(0, 65535)),
    kept(
        "controllers",
        Type::Object(&[
            kept("node", NODE_CONTROLLER),
            kept("policy", PERIOD_ONLY),
            kept("workloadEndpoint", PERIOD_ONLY),
            kept("serviceAccount", PERIOD_ONLY),
            kept("namespace", PERIOD_ONLY),
            kept(
                "loadBalancer",
                Type::Object(&[optional(
                    "assignIPs",
                    Type::Text(Text::OneOf(&["AllServices", "RequestedServicesOnly"])),
                )]),
            ),
            kept("migration", Type::Object(&[optional("policyNameMigrator", ON_OFF)])),
        ]),
    ),
];

const CLUSTER_INFORMATION: &[Field] = &[
    optional("clusterGUID", ANY_TEXT),
    optional("clusterType", ANY_TEXT),
    optional("calicoVersion", ANY_TEXT),
    kept("datastoreReady", Type::Bool),
    optional("variant", ANY_TEXT),
];
