//! Policies and their rules (resources.md sections 3 and 4).

use super::{Field, MapRule, NO_LIMIT, Text, Type, kept, optional, required, rules};

const ANY_TEXT: Type = Type::Text(Text::Any(NO_LIMIT));
const NAME: Type = Type::Text(Text::Name);

/// Characters of an HTTP method. The longest one registered with IANA has 17; an API server compares methods only when
/// it knows a bound.
const METHOD_LEN_MAX: usize = 32;

const ICMP: Type =
    Type::Ruled(&Type::Object(&[kept("type", Type::Int(0, 254)), kept("code", Type::Int(0, 255))]), rules::ICMP);

const HTTP: Type = Type::Object(&[
    optional("methods", Type::Ruled(&Type::List(&Type::Text(Text::Any(METHOD_LEN_MAX)), 20), rules::HTTP_METHODS)),
    optional(
        "paths",
        Type::List(
            &Type::Ruled(
                &Type::Object(&[
                    optional("exact", Type::Text(Text::HttpPath)),
                    optional("prefix", Type::Text(Text::HttpPath)),
                ]),
                rules::HTTP_PATH,
            ),
            20,
        ),
    ),
]);

const ENTITY: Type = Type::Ruled(
    &Type::Object(&[
        optional("nets", Type::Set(&Type::Text(Text::StrictNet), 256)),
        optional("selector", Type::Text(Text::ScopedSelector)),
        optional("namespaceSelector", Type::Text(Text::NamespaceSelector)),
        kept("services", Type::Object(&[required("name", NAME), optional("namespace", NAME)])),
        optional("ports", Type::List(&Type::Text(Text::Port), 50)),
        optional("notNets", Type::Set(&Type::Text(Text::StrictNet), 256)),
        optional("notSelector", Type::Text(Text::Selector)),
        optional("notPorts", Type::List(&Type::Text(Text::Port), 50)),
        kept(
            "serviceAccounts",
            Type::Object(&[
                optional("names", Type::Set(&ANY_TEXT, NO_LIMIT)),
                optional("selector", Type::Text(Text::Selector)),
            ]),
        ),
    ]),
    rules::ENTITY,
);

const RULE: Type = Type::Ruled(
    &Type::Object(&[
        required("action", Type::Text(Text::OneOf(&["Allow", "Deny", "Log", "Pass"]))),
        kept("ipVersion", Type::Ruled(&Type::Int(4, 6), rules::IP_VERSION)),
        optional("protocol", Type::Text(Text::Protocol)),
        kept("icmp", ICMP),
        optional("notProtocol", Type::Text(Text::Protocol)),
        kept("notICMP", ICMP),
        optional("source", ENTITY),
        optional("destination", ENTITY),
        kept("http", HTTP),
        kept("metadata", Type::Object(&[optional("annotations", Type::Map(MapRule::Annotations))])),
    ]),
    rules::RULE,
);

pub(super) const RULES: Type = Type::List(&RULE, 1024);
const POLICY_TIER: Field = optional("tier", NAME).filled(crate::DEFAULT_TIER);
const POLICY_ORDER: Field = kept("order", Type::Float);
const POLICY_SELECTOR: Field = optional("selector", Type::Text(Text::ScopedSelector));
const POLICY_TYPES: Field = optional(
    "types",
    Type::Ruled(&Type::Set(&Type::Text(Text::OneOf(&["Ingress", "Egress"])), NO_LIMIT), rules::TYPES),
);
const POLICY_INGRESS: Field = optional("ingress", RULES);
const POLICY_EGRESS: Field = optional("egress", RULES);
const POLICY_ACCOUNTS: Field = optional("serviceAccountSelector", Type::Text(Text::ScopedSelector));
const POLICY_NAMESPACES: Field = optional("namespaceSelector", Type::Text(Text::ScopedSelector));
const POLICY_HINTS: Field =
    optional("performanceHints", Type::Set(&Type::Text(Text::OneOf(&["AssumeNeededOnEveryNode"])), NO_LIMIT));
const POLICY_UNTRACKED: Field = optional("doNotTrack", Type::Bool);
const POLICY_PRE_DNAT: Field = optional("preDNAT", Type::Bool);
const POLICY_FORWARD: Field = optional("applyOnForward", Type::Bool);
pub(super) const STAGED_ACTION: Field =
    optional("stagedAction", Type::Text(Text::OneOf(&["Set", "Delete", "Learn", "Ignore"]))).filled("Set");

pub(super) const GLOBAL_POLICY: &[Field] = &[
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_UNTRACKED,
    POLICY_PRE_DNAT,
    POLICY_FORWARD,
    POLICY_ACCOUNTS,
    POLICY_NAMESPACES,
    POLICY_HINTS,
];

pub(super) const NAMESPACED_POLICY: &[Field] = &[
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_ACCOUNTS,
    POLICY_HINTS,
];

pub(super) const STAGED_GLOBAL_POLICY: &[Field] = &[
    STAGED_ACTION,
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_UNTRACKED,
    POLICY_PRE_DNAT,
    POLICY_FORWARD,
    POLICY_ACCOUNTS,
    POLICY_NAMESPACES,
    POLICY_HINTS,
];

pub(super) const STAGED_NAMESPACED_POLICY: &[Field] = &[
    STAGED_ACTION,
    POLICY_TIER,
    POLICY_ORDER,
    POLICY_INGRESS,
    POLICY_EGRESS,
    POLICY_SELECTOR,
    POLICY_TYPES,
    POLICY_ACCOUNTS,
    POLICY_HINTS,
];
