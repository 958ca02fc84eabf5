//! What every kind looks like, as data: fields, types, limits and enumerations (resources.md).
//!
//! Decoding, validation, defaults and the definitions for Kubernetes ([`crate::crd`]) are all made from these tables, so
//! that they cannot disagree. Fields, and the words of an enumeration, stand in the order in which Calico's tools print
//! them.

use crate::Kind;

/// The text of a field that Tortie stores and has no use for.
macro_rules! calicos {
    ($doc:literal) => {
        concat!($doc, " ", calicos!())
    };
    () => {
        "Kept for Calico; Tortie has no use for it."
    };
}

mod about;
mod controllers;
mod felix;
mod kinds;
mod nodes;
mod policy;
mod rules;

pub use about::{description, summary};

/// How the text of a field ends that Tortie stores and has no use for.
pub const UNUSED: &str = calicos!();

/// One field of an object.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name as documents write it.
    pub name: &'static str,
    /// What it holds.
    pub ty: Type,
    /// What it does, for users: unit, what absence means, what else counts. One line that ends with a full stop.
    pub doc: &'static str,
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

    /// Whether Tortie only keeps what stands there, because Calico has a use for it.
    pub fn is_unused(&self) -> bool {
        self.doc.ends_with(UNUSED)
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
    /// The hardware address of a network device.
    Mac,
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
pub(crate) const fn optional(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field { name, ty, doc, is_required: false, keeps_empty: false, default: None }
}

/// A field that must be there.
pub(crate) const fn required(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field { name, ty, doc, is_required: true, keeps_empty: false, default: None }
}

/// A field whose empty value is a value.
pub(crate) const fn kept(name: &'static str, ty: Type, doc: &'static str) -> Field {
    Field { name, ty, doc, is_required: false, keeps_empty: true, default: None }
}

/// No limit on the length of a text or list.
pub(crate) const NO_LIMIT: usize = usize::MAX;

/// `metadata` as users write it.
pub const METADATA: &[Field] = &[
    optional(
        "name",
        Type::Text(Text::Any(NO_LIMIT)),
        "The name of the object, unique in its kind and namespace: lower-case letters, digits, `-` and `.`, at most \
         253 bytes. It must be given. A tier takes no dot, a global policy one at most. Outside Kubernetes a host \
         endpoint may also have upper case and `_`.",
    ),
    optional(
        "generateName",
        Type::Text(Text::Any(NO_LIMIT)),
        "Names made by a server are not supported: a document with this is refused.",
    ),
    optional(
        "namespace",
        Type::Text(Text::Any(NO_LIMIT)),
        "The namespace of the object, for kinds that have one; on others it is refused. The command line puts `-n` or \
         `default` where it is absent.",
    ),
    optional("selfLink", Type::Text(Text::Any(NO_LIMIT)), "Written by old Kubernetes servers; it is dropped."),
    optional(
        "uid",
        Type::Text(Text::Any(NO_LIMIT)),
        "Identifies the object for as long as it lives; given on create when it is absent.",
    ),
    optional(
        "resourceVersion",
        Type::Text(Text::Any(NO_LIMIT)),
        "The revision that the object was last written at. It is refused on create. On later writes, one that is no \
         longer true is a conflict; absent, none is checked.",
    ),
    optional("generation", Type::Int(i64::MIN, i64::MAX), "Counted by Kubernetes with each change of `spec`."),
    optional(
        "creationTimestamp",
        Type::Text(Text::Any(NO_LIMIT)),
        "When the object was created, in UTC; given on create when it is absent.",
    ),
    optional(
        "deletionTimestamp",
        Type::Text(Text::Any(NO_LIMIT)),
        "When Kubernetes was asked to delete the object. It is the server's to write.",
    ),
    optional(
        "deletionGracePeriodSeconds",
        Type::Int(i64::MIN, i64::MAX),
        "Seconds that Kubernetes leaves the object before it deletes it. It is the server's to write.",
    ),
    optional(
        "labels",
        Type::Map(MapRule::Labels),
        "What selectors see of the object. A key is a name of at most 63 characters, after an optional DNS prefix and \
         `/`; a value has at most 63 characters.",
    ),
    optional(
        "annotations",
        Type::Map(MapRule::Annotations),
        "Notes that no selector sees. Keys are as in `labels`; all together have at most 262144 bytes. Settings and \
         marks of Tortie begin with `tortie.dev/`.",
    ),
    optional(
        "ownerReferences",
        Type::List(&Type::Any, NO_LIMIT),
        "Objects of Kubernetes that this one belongs to, and is deleted with.",
    ),
    optional(
        "finalizers",
        Type::List(&Type::Text(Text::Any(NO_LIMIT)), NO_LIMIT),
        "Who has to act before Kubernetes deletes the object.",
    ),
    optional(
        "managedFields",
        Type::List(&Type::Any, NO_LIMIT),
        "Which writer set which field, as server-side apply keeps it. It is the server's to write.",
    ),
];

pub(crate) const SPEC_DOC: &str = "What the object is to do.";
pub(crate) const STATUS_DOC: &str = "What programs found out about the object; people leave it alone.";

/// The members of a document. What `apiVersion`, `kind` and `status` hold is not in the type.
pub fn document(kind: Kind) -> Vec<Field> {
    let metadata = Type::Object(METADATA);
    let spec = Type::Object(spec(kind));
    let mut fields = vec![
        required("apiVersion", Type::Any, "Always `projectcalico.org/v3`."),
        required("kind", Type::Any, "What the object is, for instance `HostEndpoint`; capitals count."),
        Field { keeps_empty: true, ..required("metadata", metadata, "What the object is called, and notes on it.") },
        Field { keeps_empty: true, ..optional("spec", spec, SPEC_DOC) },
    ];
    if has_status(kind) {
        fields.push(optional("status", Type::Any, STATUS_DOC));
    }
    fields
}

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
        Kind::KubeControllersConfiguration => Some(controllers::STATUS),
        _ => None,
    }
}

/// Whether documents of a kind may hold `status`.
pub fn has_status(kind: Kind) -> bool {
    matches!(kind, Kind::Tier | Kind::Node | Kind::KubeControllersConfiguration)
}

#[cfg(test)]
mod tests;
