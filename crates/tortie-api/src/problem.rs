//! What is wrong with a resource, and where.

use std::fmt;

use crate::schema::Text;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The resource is taken, yet may not do what its author thinks.
    Warning,
    /// The resource is refused.
    Error,
}

/// A place in a text; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// Characters that the excerpt underlines; at least 1.
    pub width: usize,
}

/// What kind of mistake a problem is, for whoever words it otherwise than its message does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Only the message says.
    #[default]
    Other,
    /// A value of another type than that of its field.
    Type,
    /// A document of no known kind.
    UnknownKind,
    /// A field that the object does not have.
    UnknownField,
    /// A required field is absent or empty.
    Missing,
    /// A text against its rule.
    Text(Text),
    /// A number that is not between the two, both included.
    Bounds(i64, i64),
    /// A list with more entries than so many.
    Length(usize),
    /// The name of the object.
    Name,
    /// The namespace of the object.
    Namespace,
    /// The key of a label.
    LabelKey,
    /// The value of a label.
    LabelValue,
    /// The key of an annotation.
    AnnotationKey,
    /// More bytes of annotations than so many.
    AnnotationsLength(usize),
    /// A rule that joins several fields.
    Joint(Joint),
}

/// Rules that join several fields, by what breaks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// A host endpoint has neither an interface nor an address.
    NoAttachment,
    /// An entry stands twice in a list that takes each once.
    Repeated,
    /// A policy is both before DNAT and untracked.
    PreDnatUntracked,
    /// An untracked or pre-DNAT policy is not applied to forwarded traffic.
    NotOnForward,
    /// A policy before DNAT has egress rules.
    PreDnatEgress,
    /// A policy before DNAT governs egress.
    PreDnatTypes,
    /// A staged deletion has more than a tier.
    StagedDelete,
    /// `ipVersion` is neither 4 nor 6.
    IpVersion,
    /// `ipVersion` is not that of the protocol.
    ProtocolVersion,
    /// ICMP fields without an ICMP protocol.
    IcmpProtocol,
    /// An ICMP code without a type.
    IcmpCode,
    /// An HTTP method stands twice.
    HttpMethods,
    /// An HTTP path is not exactly one of exact and prefix.
    HttpPath,
    /// HTTP in a rule that does not allow.
    HttpAction,
    /// HTTP over another protocol than TCP.
    HttpProtocol,
    /// HTTP in an egress rule.
    HttpEgress,
    /// Networks of both families, or of another than `ipVersion`.
    Families,
    /// A negated network that is everything.
    NegatedEverything,
    /// Ports of a protocol without ports.
    PortsProtocol,
    /// Numeric ports without a protocol.
    PortsNumeric,
    /// `services` beside what it excludes.
    ServicesExclusive,
    /// `services` of a global policy without a namespace.
    ServicesNamespace,
    /// `services` where they may not stand.
    ServicesPlace,
    /// A node selector on settings that have a scope by name.
    NodeSelector,
    /// Both forms of the range of route tables.
    RouteTables,
    /// A range of route tables that is none.
    RouteTableRange,
    /// More route tables than may be.
    RouteTablesTotal,
    /// A kind whose only object is `default`.
    OnlyDefault,
    /// A template without a name.
    TemplateName,
    /// Two templates of one name.
    TemplateRepeated,
    /// A template that selects no interface.
    TemplateInterfaces,
    /// The order of a fixed tier.
    TierOrder,
    /// The default action of a fixed tier.
    TierAction,
    /// `bgp` of a node is there, yet empty.
    EmptyBgp,
    /// A label that is derived, never given.
    ReservedLabel,
}

/// One problem of one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the resource is refused.
    pub severity: Severity,
    /// The field, for instance `spec.ingress[2].destination.ports[0]`; empty for the document as a whole.
    pub path: String,
    /// One sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where, when the resource came from a text.
    pub position: Option<Position>,
    /// What kind of mistake it is.
    pub fault: Fault,
}

impl Problem {
    /// An error at a field.
    pub fn error(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            path: path.into(),
            message: message.into(),
            hint: None,
            position: None,
            fault: Fault::Other,
        }
    }

    /// A warning at a field.
    pub fn warning(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(path, message) }
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same problem, of a kind.
    #[must_use]
    pub fn of(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// The same problem, of a rule that joins several fields.
    #[must_use]
    pub fn breaks(self, joint: Joint) -> Self {
        self.of(Fault::Joint(joint))
    }

    /// The same problem at a place.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }
}

/// `14:9: spec.order: message`, as far as the parts are known.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "{}:{}: ", position.line, position.column)?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}
