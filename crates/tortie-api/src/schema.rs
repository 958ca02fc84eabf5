//! What every kind looks like, as data: fields, types, limits and enumerations (resources.md).
//!
//! Decoding, validation, defaults and the definitions for Kubernetes ([`crate::crd`]) are all made from these tables, so
//! that they cannot disagree. Fields, and the words of an enumeration, stand in the order in which Calico's tools print
//! them.

use crate::Kind;

mod felix;
mod kinds;
mod policy;
mod rules;

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name as documents write it.
    pub name: &'static str,
    /// What it holds.
    pub ty: Type,
    /// Whether a document must give it.
    pub is_required: bool,
    /// Whether an empty value counts as set and is stored (resources.md section 1.2).
    pub keeps_empty: bool,
    /// What is filled in when it is absent, by Tortie and by the API server alike (datastore.md sections 2.3 and 3.1).
    pub default: Option<&'static str>,
}

impl Field {
    /// The same field, filled in when it is absent.
    const fn filled(self, default: &'static str) -> Field {
        Field { default: Some(default), ..self }
    }
}

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// Text.
    Text(Text),
    /// An integer between the two bounds, both included.
    Int(i64, i64),
    /// A floating-point number.
    Float,
    /// `true` or `false`.
    Bool,
    /// A list with at most so many entries. Whoever writes it replaces it as a whole.
    List(&'static Type, usize),
    /// A list with at most so many entries in which repeats mean nothing. A server-side apply adds to it (datastore.md
    /// section 3.7).
    Set(&'static Type, usize),
    /// A list of objects that are told apart by one member.
    Keyed(&'static Type, &'static str),
    /// Text by text.
    Map(MapRule),
    /// An object with these fields.
    Object(&'static [Field]),
    /// An integer or a text; stored as it is.
    IntOrText,
    /// Anything; stored as it is.
    Any,
    /// A type with rules for its value as a whole, as an API server evaluates them.
    Ruled(&'static Type, &'static [Rule]),
}

impl Type {
    /// The members, when this is an object.
    pub(crate) fn fields(&self) -> Option<&'static [Field]> {
        match self {
            Type::Object(fields) => Some(fields),
            Type::Ruled(inner, _) => inner.fields(),
            _ => None,
        }
    }
}

/// A rule in the expression language of Kubernetes (CEL), for API servers. Tortie's own form of it, which says what to do
/// about it and where, is in `validate`; a test holds the two against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// True for a good value, which it calls `self`.
    pub expression: &'static str,
    /// What is wrong when it is false.
    pub message: &'static str,
}

/// Rules of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// Any text of at most so many characters.
    Any(usize),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A name of resources.md section 1.3, at most 253 bytes.
    Name,
    /// The name of a tier: no dot, at most 63 bytes.
    TierName,
    /// `*` or the name of an interface, at most 15 characters.
    Interface,
    /// An address without mask.
    Address,
    /// An address of one family.
    AddressV4,
    /// An address of one family.
    AddressV6,
    /// A network with a prefix length and no host bits.
    StrictNet,
    /// An address or a network.
    LooseNet,
    /// The same of one family.
    LooseNetV4,
    /// The same of one family.
    LooseNetV6,
    /// A selector of at most 1024 characters.
    Selector,
    /// A selector in which the text `global(` may not stand.
    ScopedSelector,
    /// A namespace selector of a rule: `global()` stands alone or not at all.
    NamespaceSelector,
    /// A protocol: name or number (resources.md section 1.4).
    Protocol,
    /// A protocol that has ports.
    PortProtocol,
    /// A port, a range or a name.
    Port,
    /// A port or a range.
    NumericPort,
    /// The name of a port.
    PortName,
    /// A duration of whole hours, minutes, seconds and milliseconds.
    Duration,
    /// Any duration.
    FreeDuration,
    /// The protocol of a failsafe entry: any text; a number becomes text.
    FailsafeProtocol,
    /// A regular expression.
    Regex,
    /// Characters of a log prefix.
    LogPrefix,
    /// `N/unit`.
    RateLimit,
    /// A host name or address of the metrics server.
    MetricsHost,
    /// One DNS label of at most 46 characters.
    Region,
    /// The name of a health reporter.
    HealthName,
    /// A path of an HTTP match.
    HttpPath,
    /// An autonomous system number: one number, or two joined by a dot.
    AsNumber,
}

/// Rules of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapRule {
    /// Label keys and values.
    Labels,
    /// Annotation keys, any values.
    Annotations,
    /// Anything.
    Free,
}

/// A field that may be left out.
pub(crate) const fn optional(name: &'static str, ty: Type) -> Field {
    Field { name, ty, is_required: false, keeps_empty: false, default: None }
}

/// A field that must be there.
pub(crate) const fn required(name: &'static str, ty: Type) -> Field {
    Field { name, ty, is_required: true, keeps_empty: false, default: None }
}

/// A field whose empty value is a value.
pub(crate) const fn kept(name: &'static str, ty: Type) -> Field {
    Field { name, ty, is_required: false, keeps_empty: true, default: None }
}

/// No limit on the length of a text or list.
pub(crate) const NO_LIMIT: usize = usize::MAX;

/// `metadata` as users write it.
pub const METADATA: &[Field] = &[
    optional("name", Type::Text(Text::Any(NO_LIMIT))),
    optional("generateName", Type::Text(Text::Any(NO_LIMIT))),
    optional("namespace", Type::Text(Text::Any(NO_LIMIT))),
    optional("selfLink", Type::Text(Text::Any(NO_LIMIT))),
    optional("uid", Type::Text(Text::Any(NO_LIMIT))),
    optional("resourceVersion", Type::Text(Text::Any(NO_LIMIT))),
    optional("generation", Type::Int(i64::MIN, i64::MAX)),
    optional("creationTimestamp", Type::Text(Text::Any(NO_LIMIT))),
    optional("deletionTimestamp", Type::Text(Text::Any(NO_LIMIT))),
    optional("deletionGracePeriodSeconds", Type::Int(i64::MIN, i64::MAX)),
    optional("labels", Type::Map(MapRule::Labels)),
    optional("annotations", Type::Map(MapRule::Annotations)),
    optional("ownerReferences", Type::List(&Type::Any, NO_LIMIT)),
    optional("finalizers", Type::List(&Type::Text(Text::Any(NO_LIMIT)), NO_LIMIT)),
    optional("managedFields", Type::List(&Type::Any, NO_LIMIT)),
];

/// `spec` of a kind.
pub fn spec(kind: Kind) -> &'static [Field] {
    kinds::spec(kind)
}

/// Rules that join members of `spec`, for API servers.
pub fn spec_rules(kind: Kind) -> &'static [Rule] {
    match kind {
        Kind::HostEndpoint => rules::HOST_ENDPOINT,
        Kind::GlobalNetworkPolicy => rules::GLOBAL_POLICY,
        Kind::StagedGlobalNetworkPolicy => rules::STAGED_GLOBAL_POLICY,
        Kind::StagedNetworkPolicy => rules::STAGED_POLICY,
        Kind::FelixConfiguration => rules::FELIX,
        _ => &[],
    }
}

/// `status` of a kind whose definition has one.
pub fn status(kind: Kind) -> Option<&'static [Field]> {
    match kind {
        Kind::Tier => Some(kinds::TIER_STATUS),
        Kind::KubeControllersConfiguration => Some(kinds::KUBE_CONTROLLERS_STATUS),
        _ => None,
    }
}

/// Whether documents of a kind may hold `status`.
pub fn has_status(kind: Kind) -> bool {
    matches!(kind, Kind::Tier | Kind::Node | Kind::KubeControllersConfiguration)
}
