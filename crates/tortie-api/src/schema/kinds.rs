//! `spec` of every kind, where it has no file of its own.

use super::MapRule;
use super::{Field, NO_LIMIT, Text, Type, controllers, felix, kept, nodes, optional, policy, required};
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
        Kind::Node => nodes::NODE,
        Kind::WorkloadEndpoint => nodes::WORKLOAD_ENDPOINT,
        Kind::FelixConfiguration => felix::SPEC,
        Kind::KubeControllersConfiguration => controllers::SPEC,
        Kind::ClusterInformation => CLUSTER_INFORMATION,
    }
}

const ENDPOINT_PORT: &[Field] = &[
    required(
        "name",
        Type::Text(Text::PortName),
        "The name by which rules refer to the port. Several ports may share one name, on other protocols or numbers.",
    ),
    required("protocol", Type::Text(Text::PortProtocol), "The protocol of the port: TCP, UDP or SCTP, or its number."),
    required("port", Type::Int(1, 65535), "The number of the port."),
];

const HOST_ENDPOINT: &[Field] = &[
    required(
        "node",
        NAME,
        "The name of the host: what its agent was given as `--node`, by default the host name in \
                            lower case. Only that agent enforces the endpoint.",
    ),
    optional(
        "interfaceName",
        Type::Text(Text::Interface),
        "The interface that is governed, whether it exists yet or not. `*` stands for all interfaces that no other host \
         endpoint governs, without `lo` unless the setting `wildcardLoopback` is `Police`. Left out, it is the \
         interfaces that hold one of `expectedIPs`.",
    ),
    optional(
        "expectedIPs",
        Type::Set(&Type::Text(Text::Address), NO_LIMIT),
        "Addresses of the interface, without masks. They are what selectors and named ports of rules stand for, on \
         every host: without them no such rule matches this endpoint. At least one of this and `interfaceName` must be \
         given.",
    ),
    optional(
        "profiles",
        Type::Set(&NAME, NO_LIMIT),
        "Profiles whose labels the endpoint takes on, and whose rules decide in this order where no policy did. One \
         that does not exist denies everything in its place; without any, what no policy allows is denied.",
    ),
    optional(
        "ports",
        Type::List(&Type::Object(ENDPOINT_PORT), NO_LIMIT),
        "Named ports, which rules may use in place of numbers. They count only together with `expectedIPs`.",
    ),
];

/// A Kubernetes label selector; checked for names and types only.
const LABEL_SELECTOR: Type = Type::Object(&[
    optional("matchLabels", Type::Map(MapRule::Free), "Labels that must all be there, with these values."),
    optional(
        "matchExpressions",
        Type::List(
            &Type::Object(&[
                required("key", ANY_TEXT, "The label that the condition is about."),
                required("operator", ANY_TEXT, "How the label is compared: `In`, `NotIn`, `Exists` or `DoesNotExist`."),
                optional("values", TEXTS, "The values that `In` and `NotIn` compare with."),
            ]),
            NO_LIMIT,
        ),
        "Conditions on labels that must all hold.",
    ),
]);

const KUBERNETES_PEERS: Type = Type::List(
    &Type::Object(&[
        kept("podSelector", LABEL_SELECTOR, "Pods with these labels; an empty one means all pods."),
        kept(
            "namespaceSelector",
            LABEL_SELECTOR,
            "Pods in namespaces with these labels; an empty one means all namespaces.",
        ),
        kept(
            "ipBlock",
            Type::Object(&[
                required("cidr", ANY_TEXT, "The network that the address must be in."),
                optional("except", TEXTS, "Networks within `cidr` that are left out."),
            ]),
            "Peers by their addresses.",
        ),
    ]),
    NO_LIMIT,
);

const KUBERNETES_PORTS: Type = Type::List(
    &Type::Object(&[
        optional("protocol", ANY_TEXT, "TCP, UDP or SCTP; absent means TCP."),
        optional(
            "port",
            Type::IntOrText,
            "The number of the port, or the name that a pod gives it. Absent means all ports.",
        ),
        kept("endPort", Type::Int(0, 65535), "The last port of a range that begins at `port`."),
    ]),
    NO_LIMIT,
);

const STAGED_KUBERNETES_POLICY: &[Field] = &[
    policy::STAGED_ACTION,
    kept(
        "podSelector",
        LABEL_SELECTOR,
        "The pods of the namespace that the policy is about. An empty one, which is filled in when it is absent, means \
         all of them.",
    ),
    optional(
        "ingress",
        Type::List(
            &Type::Object(&[
                optional("from", KUBERNETES_PEERS, "Peers, any of which may be the source; absent means everybody."),
                optional("ports", KUBERNETES_PORTS, "Destination ports, any of which matches; absent means all."),
            ]),
            NO_LIMIT,
        ),
        "What the pods may receive. It is kept and never enforced.",
    ),
    optional(
        "egress",
        Type::List(
            &Type::Object(&[
                optional("to", KUBERNETES_PEERS, "Peers, any of which may be the destination; absent means everybody."),
                optional("ports", KUBERNETES_PORTS, "Destination ports, any of which matches; absent means all."),
            ]),
            NO_LIMIT,
        ),
        "What the pods may send. It is kept and never enforced.",
    ),
    optional("policyTypes", TEXTS, "The directions that the policy is about: `Ingress`, `Egress` or both."),
];

const TIER: &[Field] = &[
    kept(
        "order",
        Type::Float,
        "Where the tier stands: smaller numbers are asked first, equal ones by name. Absent means 1000000. The tiers \
         `kube-admin`, `default` and `kube-baseline` have theirs for good.",
    ),
    kept(
        "defaultAction",
        Type::Text(Text::OneOf(&["Deny", "Pass"])),
        "What becomes of a packet that the policies of the tier do not decide, though some apply to its endpoint: \
         `Deny` drops it, `Pass` asks the next tier. Untracked and pre-DNAT policies always pass.",
    )
    .filled("Deny"),
];

/// A condition in the form that all of Kubernetes has.
const CONDITION: Type = Type::Object(&[
    required("type", ANY_TEXT, "What the condition is about, for instance `Ready`."),
    required("status", Type::Text(Text::OneOf(&["True", "False", "Unknown"])), "Whether the condition holds."),
    optional("reason", ANY_TEXT, "The reason as one word, for programs."),
    optional("message", ANY_TEXT, "The reason as a sentence, for people."),
    optional("lastTransitionTime", ANY_TEXT, "When `status` last changed."),
    optional(
        "observedGeneration",
        Type::Int(0, i64::MAX),
        "The `metadata.generation` of the object that the condition speaks of.",
    ),
]);

pub(super) const TIER_STATUS: &[Field] = &[optional(
    "conditions",
    Type::Keyed(&CONDITION, "type"),
    "The state of the tier, with one entry for each type of condition.",
)];

const PROFILE: &[Field] = &[
    optional(
        "ingress",
        policy::RULES,
        "Rules for packets into the endpoints that list the profile, asked in order where no tier decided. `Pass` ends \
         this profile, and the next one is asked.",
    ),
    optional(
        "egress",
        policy::RULES,
        "Rules for packets out of the endpoints that list the profile, asked in order where no tier decided. `Pass` \
         ends this profile, and the next one is asked.",
    ),
    optional(
        "labelsToApply",
        Type::Map(MapRule::Labels),
        "Labels that endpoints take on by listing the profile. Labels of their own win, then those of profiles that \
         they list earlier.",
    ),
];

const NETWORK_SET: &[Field] = &[optional(
    "nets",
    Type::List(&Type::Text(Text::LooseNet), NO_LIMIT),
    "Networks and single addresses, of both families if need be. Rules whose selector matches the labels of this \
     object mean all of them.",
)];

const CLUSTER_INFORMATION: &[Field] = &[
    optional("clusterGUID", ANY_TEXT, "Identifies the store: 32 hexadecimal digits that were drawn once."),
    optional("clusterType", ANY_TEXT, "Words that say what the installation is made of, joined by commas."),
    optional(
        "calicoVersion",
        ANY_TEXT,
        "The version of Calico that uses the store. Tortie leaves what another product wrote here.",
    ),
    kept(
        "datastoreReady",
        Type::Bool,
        "Whether agents follow the store. While this is `false` or absent they keep what is in force. `tortie lock` \
         and `tortie unlock` set it.",
    ),
    optional("variant", ANY_TEXT, "The product that uses the store. Tortie leaves what another one wrote here."),
];
