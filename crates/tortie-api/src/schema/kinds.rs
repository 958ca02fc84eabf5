//! `spec` of every kind but FelixConfiguration.

use super::MapRule;
use super::{Field, NO_LIMIT, Text, Type, felix, kept, optional, policy, required};
use crate::Kind;

const ANY_TEXT: Type = Type::Text(Text::Any(NO_LIMIT));
const NAME: Type = Type::Text(Text::Name);
const TEXTS: Type = Type::List(&ANY_TEXT, NO_LIMIT);

pub(super) fn spec(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::HostEndpoint => HOST_ENDPOINT,
        Kind::GlobalNetworkPolicy => policy::GLOBAL_POLICY,
        Kind::NetworkPolicy => policy::NAMESPACED_POLICY,
        Kind::StagedGlobalNetworkPolicy => policy::STAGED_GLOBAL_POLICY,
        Kind::StagedNetworkPolicy => policy::STAGED_NAMESPACED_POLICY,
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
    optional("expectedIPs", Type::Set(&Type::Text(Text::Address), NO_LIMIT)),
    optional("profiles", Type::Set(&NAME, NO_LIMIT)),
    optional("ports", Type::List(&Type::Object(ENDPOINT_PORT), NO_LIMIT)),
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
    &Type::Object(&[
        optional("protocol", ANY_TEXT),
        optional("port", Type::IntOrText),
        kept("endPort", Type::Int(0, 65535)),
    ]),
    NO_LIMIT,
);

const STAGED_KUBERNETES_POLICY: &[Field] = &[
    policy::STAGED_ACTION,
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

const TIER: &[Field] =
    &[kept("order", Type::Float), kept("defaultAction", Type::Text(Text::OneOf(&["Deny", "Pass"]))).filled("Deny")];

/// A condition in the form that all of Kubernetes has.
const CONDITION: Type = Type::Object(&[
    required("type", ANY_TEXT),
    required("status", Type::Text(Text::OneOf(&["True", "False", "Unknown"]))),
    optional("reason", ANY_TEXT),
    optional("message", ANY_TEXT),
    optional("lastTransitionTime", ANY_TEXT),
    optional("observedGeneration", Type::Int(0, i64::MAX)),
]);

pub(super) const TIER_STATUS: &[Field] = &[optional("conditions", Type::Keyed(&CONDITION, "type"))];

const PROFILE: &[Field] = &[
    optional("ingress", policy::RULES),
    optional("egress", policy::RULES),
    optional("labelsToApply", Type::Map(MapRule::Labels)),
];

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
    optional("vxlanTunnelMACAddr", ANY_TEXT),
    optional("ipv6VXLANTunnelAddr", Type::Text(Text::AddressV6)),
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
    optional("healthChecks", ON_OFF).filled("Enabled"),
    kept("etcdV3CompactionPeriod", FREE_DURATION),
    kept("prometheusMetricsPort", Type::Int(0, 65535)),
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
                )
                .filled("AllServices")]),
            ),
            kept("migration", Type::Object(&[optional("policyNameMigrator", ON_OFF).filled("Enabled")])),
        ]),
    ),
    kept("debugProfilePort", Type::Int(0, 65535)),
];

/// What the controller was told and from where: free members, since another version may run than wrote this.
pub(super) const KUBE_CONTROLLERS_STATUS: &[Field] =
    &[optional("runningConfig", Type::Any), optional("environmentVars", Type::Map(MapRule::Free))];

const CLUSTER_INFORMATION: &[Field] = &[
    optional("clusterGUID", ANY_TEXT),
    optional("clusterType", ANY_TEXT),
    optional("calicoVersion", ANY_TEXT),
    kept("datastoreReady", Type::Bool),
    optional("variant", ANY_TEXT),
];
