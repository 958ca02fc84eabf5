//! Policies and their rules (resources.md sections 3 and 4).

use super::{Field, MapRule, NO_LIMIT, Text, Type, kept, optional, required, rules};

const ANY_TEXT: Type = Type::Text(Text::Any(NO_LIMIT));
const NAME: Type = Type::Text(Text::Name);

/// Characters of an HTTP method. The longest one registered with IANA has 17; an API server compares methods only when
/// it knows a bound.
const METHOD_LEN_MAX: usize = 32;

const ICMP: Type = Type::Ruled(
    &Type::Object(&[
        kept(
            "type",
            Type::Int(0, 254),
            "The type of the message, as it is registered for ICMP or ICMPv6. Absent means any.",
        ),
        kept("code", Type::Int(0, 255), "The code within `type`, without which it is refused. Absent means any."),
    ]),
    rules::ICMP,
);

const HTTP: Type = Type::Object(&[
    optional(
        "methods",
        Type::Ruled(&Type::List(&Type::Text(Text::Any(METHOD_LEN_MAX)), 20), rules::HTTP_METHODS),
        "Methods such as `GET`, any of which matches. Absent means any method.",
    ),
    optional(
        "paths",
        Type::List(
            &Type::Ruled(
                &Type::Object(&[
                    optional("exact", Type::Text(Text::HttpPath), "The whole path; it starts with `/`."),
                    optional("prefix", Type::Text(Text::HttpPath), "The beginning of the path; it starts with `/`."),
                ]),
                rules::HTTP_PATH,
            ),
            20,
        ),
        "Paths, any of which matches; each is exactly one of `exact` and `prefix`. Absent means any path.",
    ),
]);

const ENTITY: Type = Type::Ruled(
    &Type::Object(&[
        optional(
            "nets",
            Type::Set(&Type::Text(Text::StrictNet), 256),
            "Networks, with a prefix length and without host bits, one of which must hold the address. All networks of \
             a rule are of one family, and the rule then matches packets of that family only.",
        ),
        optional(
            "selector",
            Type::Text(Text::ScopedSelector),
            "The address must be one of a host endpoint, workload or network set whose labels match; a host endpoint \
             has its `expectedIPs`. `all()` means any known address; absent means any address at all.",
        ),
        optional(
            "namespaceSelector",
            Type::Text(Text::NamespaceSelector),
            "Narrows `selector` to namespaces whose labels match; `global()` means host endpoints and global network \
             sets. Absent means the policy's own namespace in a namespaced policy, and no limit in a global one.",
        ),
        kept(
            "services",
            Type::Object(&[
                required("name", NAME, "The name of the service."),
                optional(
                    "namespace",
                    NAME,
                    "The namespace of the service. It must be given in a global policy; in another one it is the \
                     policy's own when absent.",
                ),
            ]),
            "The address, and in a destination the port, must be one behind a Kubernetes service. Only for the source \
             of ingress rules and the destination of egress rules. Tortie does not read services yet: on a host such a \
             rule matches nothing, which `tortie status` tells.",
        ),
        optional(
            "ports",
            Type::List(&Type::Text(Text::Port), 50),
            "Ports, one of which must match: numbers, ranges `first:last`, or names. Numbers need `protocol` TCP, UDP \
             or SCTP. A name means the ports that endpoints have under it, each at their own addresses.",
        ),
        optional(
            "notNets",
            Type::Set(&Type::Text(Text::StrictNet), 256),
            "Networks that must not hold the address. Like `nets` they limit the rule to their family: with IPv4 \
             networks alone it matches no IPv6 packet.",
        ),
        optional(
            "notSelector",
            Type::Text(Text::Selector),
            "The address must not be one of anything whose labels match; an address that nobody is known to have \
             passes. Together with `selector` it takes away from what that one matches.",
        ),
        optional(
            "notPorts",
            Type::List(&Type::Text(Text::Port), 50),
            "Ports, none of which may match; numbers, ranges or names, as in `ports`.",
        ),
        kept(
            "serviceAccounts",
            Type::Object(&[
                optional(
                    "names",
                    Type::Set(&ANY_TEXT, NO_LIMIT),
                    "Names of service accounts, one of which must match.",
                ),
                optional("selector", Type::Text(Text::Selector), "Service accounts by their labels."),
            ]),
            "The address must be one of a pod with such a service account. Host endpoints and network sets never \
             match.",
        ),
    ]),
    rules::ENTITY,
);

const RULE: Type = Type::Ruled(
    &Type::Object(&[
        required(
            "action",
            Type::Text(Text::OneOf(&["Allow", "Deny", "Log", "Pass"])),
            "`Allow` accepts and `Deny` drops. `Pass` leaves the tier for the next one, or the profile for the next \
             one. `Log` writes a line to the kernel's log and goes on with the next rule.",
        ),
        kept(
            "ipVersion",
            Type::Ruled(&Type::Int(4, 6), rules::IP_VERSION),
            "4 or 6: the rule matches packets of that family only. Absent means both.",
        ),
        optional(
            "protocol",
            Type::Text(Text::Protocol),
            "The protocol, as `TCP`, `UDP`, `ICMP`, `ICMPv6`, `SCTP`, `UDPLite` or a number from 1 to 255. Absent \
             means any.",
        ),
        kept("icmp", ICMP, "Which ICMP messages match. It needs `protocol` ICMP or ICMPv6."),
        optional(
            "notProtocol",
            Type::Text(Text::Protocol),
            "The protocol that the packet must not have, written as in `protocol`.",
        ),
        kept(
            "notICMP",
            ICMP,
            "The ICMP message that must not match. With a code, only a message of both this type and this code is left \
             out.",
        ),
        optional(
            "source",
            ENTITY,
            "What the source of the packet must be, whichever the direction. All that is given must match.",
        ),
        optional(
            "destination",
            ENTITY,
            "What the destination of the packet must be, whichever the direction. All that is given must match.",
        ),
        kept(
            "http",
            HTTP,
            "Methods and paths, which only a proxy can see: on a host the rule matches nothing, unless the setting \
             `httpRules` says otherwise. Only in ingress rules with `action: Allow`, for TCP. `--strict` refuses it.",
        ),
        kept(
            "metadata",
            Type::Object(&[optional(
                "annotations",
                Type::Map(MapRule::Annotations),
                "Notes by name; they become comments on the rules in the kernel.",
            )]),
            "Notes on the rule. They never change what it matches.",
        ),
    ]),
    rules::RULE,
);

pub(super) const RULES: Type = Type::List(&RULE, 1024);
const POLICY_TIER: Field =
    optional("tier", NAME, "The tier that the policy is in. It must exist.").filled(crate::DEFAULT_TIER);
const POLICY_ORDER: Field = kept(
    "order",
    Type::Float,
    "Where the policy stands in its tier: smaller numbers are asked first, and may be negative or have a fraction. \
     Absent comes last; ties go by name.",
);
const GLOBAL_SELECTOR: Field = optional(
    "selector",
    Type::Text(Text::ScopedSelector),
    "The endpoints that the policy applies to, by their labels and those of their profiles. Absent means all: host \
     endpoints and workloads alike.",
);
const NAMESPACED_SELECTOR: Field = optional(
    "selector",
    Type::Text(Text::ScopedSelector),
    "The workloads of the policy's namespace that it applies to, by their labels. Absent means all of them. A \
     namespaced policy never applies to a host endpoint.",
);
const POLICY_TYPES: Field = optional(
    "types",
    Type::Ruled(&Type::Set(&Type::Text(Text::OneOf(&["Ingress", "Egress"])), NO_LIMIT), rules::TYPES),
    "The directions that the policy governs; rules of another direction do nothing. Absent, it is filled in: with \
     egress rules alone as `Egress`, with rules of both directions as both, else as `Ingress`.",
);
const POLICY_INGRESS: Field = optional(
    "ingress",
    RULES,
    "Rules for packets into the endpoint, asked in order: the first that matches, and does not only log, decides. A \
     policy that governs `Ingress` without any rule is not ignored: it leaves the packet to the tier's default action.",
);
const POLICY_EGRESS: Field = optional(
    "egress",
    RULES,
    "Rules for packets out of the endpoint, asked in order: the first that matches, and does not only log, decides. A \
     policy that governs `Egress` without any rule is not ignored: it leaves the packet to the tier's default action.",
);
const GLOBAL_ACCOUNTS: Field = optional(
    "serviceAccountSelector",
    Type::Text(Text::ScopedSelector),
    "Limits the policy to pods whose service account has such labels. Host endpoints have no service account: only an \
     expression that negates, such as `!has(team)`, still selects them.",
);
const NAMESPACED_ACCOUNTS: Field = optional(
    "serviceAccountSelector",
    Type::Text(Text::ScopedSelector),
    "Limits the policy to pods whose service account has such labels. Absent means no limit.",
);
const POLICY_NAMESPACES: Field = optional(
    "namespaceSelector",
    Type::Text(Text::ScopedSelector),
    "Limits the policy to workloads in namespaces with such labels. Host endpoints are in no namespace: only an \
     expression that negates, such as `!has(team)`, still selects them.",
);
const POLICY_HINTS: Field = optional(
    "performanceHints",
    Type::Set(&Type::Text(Text::OneOf(&["AssumeNeededOnEveryNode"])), NO_LIMIT),
    calicos!("Hints for agents, which never change what is enforced."),
);
const POLICY_UNTRACKED: Field = optional(
    "doNotTrack",
    Type::Bool,
    "With `true` packets are judged before connection tracking. What is allowed is not tracked, so that replies need \
     rules of their own. Needs `applyOnForward: true`; a wildcard host endpoint (`*`) ignores such policies.",
);
const POLICY_PRE_DNAT: Field = optional(
    "preDNAT",
    Type::Bool,
    "With `true` packets that enter are judged by their destination before it is translated, wherever they go then; \
     what no rule decides goes on to other policies. Needs `applyOnForward: true`, and takes neither `doNotTrack` nor \
     egress.",
);
const POLICY_FORWARD: Field = optional(
    "applyOnForward",
    Type::Bool,
    "With `true` the policy applies to packets that the host forwards, too. Packets that a host forwards pass freely \
     while no such policy applies to its endpoint.",
);
pub(super) const STAGED_ACTION: Field = optional(
    "stagedAction",
    Type::Text(Text::OneOf(&["Set", "Delete", "Learn", "Ignore"])),
    "What would happen to the policy of this name. `Set` makes `tortie status` count this one; the others are kept \
     only, and `Delete` takes no other field than `tier`. Nothing staged is enforced.",
)
.filled("Set");

pub(super) const GLOBAL_POLICY: &[Field] = &[
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    GLOBAL_SELECTOR,
    POLICY_TYPES,
    POLICY_UNTRACKED,
    POLICY_PRE_DNAT,
    POLICY_FORWARD,
    GLOBAL_ACCOUNTS,
    POLICY_NAMESPACES,
    POLICY_HINTS,
];

pub(super) const NAMESPACED_POLICY: &[Field] = &[
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    NAMESPACED_SELECTOR,
    POLICY_TYPES,
    NAMESPACED_ACCOUNTS,
    POLICY_HINTS,
];

pub(super) const STAGED_GLOBAL_POLICY: &[Field] = &[
    STAGED_ACTION,
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    GLOBAL_SELECTOR,
    POLICY_TYPES,
    POLICY_UNTRACKED,
    POLICY_PRE_DNAT,
    POLICY_FORWARD,
    GLOBAL_ACCOUNTS,
    POLICY_NAMESPACES,
    POLICY_HINTS,
];

pub(super) const STAGED_NAMESPACED_POLICY: &[Field] = &[
    STAGED_ACTION,
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    NAMESPACED_SELECTOR,
    POLICY_TYPES,
    NAMESPACED_ACCOUNTS,
    POLICY_HINTS,
];
