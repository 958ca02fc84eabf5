//! Rules of resources.md section 12 that an API server checks by expressions (CEL).
//!
//! An API server refuses a definition whose expressions might take too long, and reckons with lists and texts as long as
//! their limits allow. What it cannot know stands in `docs/kubernetes.md`.

use super::Rule;

const fn rule(expression: &'static str, message: &'static str) -> Rule {
    Rule { expression, message }
}

/// Whether a text or list is there and not empty: empty ones count as not set (resources.md section 1.2).
macro_rules! is_given {
    ($($field:literal),+) => { concat!("(", is_given!(@or $($field),+), ")") };
    (@or $field:literal) => { concat!("has(self.", $field, ") && size(self.", $field, ") > 0") };
    (@or $field:literal, $($rest:literal),+) => { concat!(is_given!(@or $field), " || ", is_given!(@or $($rest),+)) };
}

/// Whether a flag is there and set.
macro_rules! is_set {
    ($field:literal) => {
        concat!("(has(self.", $field, ") && self.", $field, ")")
    };
}

/// Whether a protocol is there and is one of two names or a number. Names in lower case pass an API server, and agents
/// understand them.
macro_rules! is_protocol {
    ($field:literal, $name:literal, $lower:literal, $number:literal) => {
        concat!(
            "(has(self.",
            $field,
            ") && (",
            is_protocol!(@is $field, "'", $name, "'"),
            " || ",
            is_protocol!(@is $field, "'", $lower, "'"),
            " || ",
            is_protocol!(@is $field, "", $number, ""),
            " || ",
            is_protocol!(@is $field, "'", $number, "'"),
            "))"
        )
    };
    (@is $field:literal, $open:literal, $value:literal, $close:literal) => {
        concat!("self.", $field, " == ", $open, $value, $close)
    };
}

pub(super) const HOST_ENDPOINT: &[Rule] = &[rule(
    is_given!("interfaceName", "expectedIPs"),
    "at least one of interfaceName and expectedIPs must be given; `interfaceName: \"*\"` stands for all interfaces",
)];

pub(super) const TYPES: &[Rule] = &[rule("size(self) > 0", "leave types out instead of giving an empty list")];

const EXCLUSIVE: Rule = rule(
    concat!("!(", is_set!("preDNAT"), " && ", is_set!("doNotTrack"), ")"),
    "preDNAT and doNotTrack exclude each other",
);
const UNTRACKED_FORWARD: Rule = rule(
    concat!("!", is_set!("doNotTrack"), " || ", is_set!("applyOnForward")),
    "doNotTrack: true needs applyOnForward: true",
);
const PRE_DNAT_FORWARD: Rule = rule(
    concat!("!", is_set!("preDNAT"), " || ", is_set!("applyOnForward")),
    "preDNAT: true needs applyOnForward: true",
);
const PRE_DNAT_RULES: Rule =
    rule(concat!("!", is_set!("preDNAT"), " || !", is_given!("egress")), "a preDNAT policy has no egress rules");
const PRE_DNAT_TYPES: Rule = rule(
    concat!("!", is_set!("preDNAT"), " || !has(self.types) || !('Egress' in self.types)"),
    "a preDNAT policy governs ingress only",
);
const SERVICE_OF_SOURCE: Rule = rule(
    "!has(self.ingress) || self.ingress.all(r, !has(r.source) || !has(r.source.services) \
     || (has(r.source.services.namespace) && size(r.source.services.namespace) > 0))",
    "in a global policy services needs a namespace",
);
const SERVICE_OF_DESTINATION: Rule = rule(
    "!has(self.egress) || self.egress.all(r, !has(r.destination) || !has(r.destination.services) \
     || (has(r.destination.services.namespace) && size(r.destination.services.namespace) > 0))",
    "in a global policy services needs a namespace",
);
/// `types` may be given: they are removed (resources.md section 4.3).
const DELETE: Rule = rule(
    concat!(
        "!has(self.stagedAction) || self.stagedAction != 'Delete' || !(has(self.order) || ",
        is_given!("selector", "ingress", "egress", "serviceAccountSelector", "performanceHints"),
        ")"
    ),
    "stagedAction: Delete takes no other field than tier",
);
const DELETE_GLOBAL: Rule = rule(
    concat!(
        "!has(self.stagedAction) || self.stagedAction != 'Delete' || !(",
        is_given!("namespaceSelector"),
        " || ",
        is_set!("doNotTrack"),
        " || ",
        is_set!("preDNAT"),
        " || ",
        is_set!("applyOnForward"),
        ")"
    ),
    "stagedAction: Delete takes no other field than tier",
);

pub(super) const GLOBAL_POLICY: &[Rule] = &[
    EXCLUSIVE,
    UNTRACKED_FORWARD,
    PRE_DNAT_FORWARD,
    PRE_DNAT_RULES,
    PRE_DNAT_TYPES,
    SERVICE_OF_SOURCE,
    SERVICE_OF_DESTINATION,
];
pub(super) const STAGED_POLICY: &[Rule] = &[DELETE];
pub(super) const STAGED_GLOBAL_POLICY: &[Rule] = &[
    EXCLUSIVE,
    UNTRACKED_FORWARD,
    PRE_DNAT_FORWARD,
    PRE_DNAT_RULES,
    PRE_DNAT_TYPES,
    SERVICE_OF_SOURCE,
    SERVICE_OF_DESTINATION,
    DELETE,
    DELETE_GLOBAL,
];

pub(super) const IP_VERSION: &[Rule] = &[rule("self == 4 || self == 6", "ipVersion is 4 or 6")];

pub(super) const ICMP: &[Rule] = &[rule("!has(self.code) || has(self.type)", "a code needs a type")];

pub(super) const HTTP_METHODS: &[Rule] =
    &[rule("self.all(m, self.exists_one(n, n == m))", "a method is given only once")];

pub(super) const HTTP_PATH: &[Rule] =
    &[rule(concat!(is_given!("exact"), " != ", is_given!("prefix")), "a path is exactly one of exact and prefix")];

pub(super) const ENTITY: &[Rule] = &[rule(
    concat!(
        "!has(self.services) || !(has(self.serviceAccounts) || ",
        is_given!("selector", "notSelector", "namespaceSelector", "nets", "notNets"),
        ")"
    ),
    "services excludes selector, notSelector, namespaceSelector, nets, notNets and serviceAccounts",
)];

pub(super) const RULE: &[Rule] = &[
    rule(
        concat!(
            "!has(self.icmp) || ",
            is_protocol!("protocol", "ICMP", "icmp", "1"),
            " || ",
            is_protocol!("protocol", "ICMPv6", "icmpv6", "58")
        ),
        "icmp needs protocol: ICMP or protocol: ICMPv6",
    ),
    rule(
        concat!(
            "!has(self.ipVersion) || self.ipVersion == 4 || !(",
            is_protocol!("protocol", "ICMP", "icmp", "1"),
            " || ",
            is_protocol!("notProtocol", "ICMP", "icmp", "1"),
            ")"
        ),
        "protocol ICMP is IPv4 only, and ipVersion says otherwise",
    ),
    rule(
        concat!(
            "!has(self.ipVersion) || self.ipVersion == 6 || !(",
            is_protocol!("protocol", "ICMPv6", "icmpv6", "58"),
            " || ",
            is_protocol!("notProtocol", "ICMPv6", "icmpv6", "58"),
            ")"
        ),
        "protocol ICMPv6 is IPv6 only, and ipVersion says otherwise",
    ),
    rule("!has(self.http) || self.action == 'Allow'", "http is allowed in Allow rules only"),
    rule(
        concat!("!has(self.http) || !has(self.protocol) || ", is_protocol!("protocol", "TCP", "tcp", "6")),
        "http needs protocol: TCP",
    ),
    rule(
        concat!(
            "!has(self.destination) || !has(self.destination.services) || !",
            is_given!("destination.ports", "destination.notPorts")
        ),
        "services of a destination excludes ports and notPorts",
    ),
];

pub(super) const FELIX: &[Rule] = &[rule(
    "!(has(self.routeTableRange) && has(self.routeTableRanges))",
    "routeTableRange and routeTableRanges exclude each other",
)];

pub(super) const ROUTE_TABLE_RANGE: &[Rule] =
    &[rule("1 <= self.min && self.min <= self.max && self.max <= 250", "a range needs 1 <= min <= max <= 250")];

pub(super) const ROUTE_TABLE_RANGES_ENTRY: &[Rule] =
    &[rule("1 <= self.min && self.min <= self.max", "a range needs 1 <= min <= max")];

pub(super) const ROUTE_TABLE_RANGES: &[Rule] =
    &[rule("self.map(r, r.max - r.min + 1).sum() <= 65535", "at most 65535 tables in all")];
