//! A ruleset: the content of our one table, in the kernel's own shapes (K-2).
//!
//! Names in a ruleset are *logical*: `in4/some.name`. The kernel holds *instances* of them, `in4/some.name..3`, so that a
//! changed chain or set can be built beside the one in use and turned to in one transaction (K-4, D-10). Base chains,
//! dispatch maps and constant sets have one instance only and no suffix. [`crate::plan()`] chooses the suffixes.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tortie_calc::policy::{Direction, PolicyId};

pub use crate::key::Key;

/// The name of the one table, of family `inet` (K-2).
pub const TABLE: &str = "tortie";

/// Chains and sets of our table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruleset {
    /// Chains by name.
    pub chains: BTreeMap<Name, Arc<Chain>>,
    /// Sets and maps by name.
    pub sets: BTreeMap<Name, Arc<Set>>,
}

/// The name of a chain, set or map: at most 127 bytes that `nft` can read back as one identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The longest name, leaving room for an instance suffix within the kernel's 127 bytes.
    pub const LEN_MAX: usize = 115;

    /// Takes a name that is known to be short and plain.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(Arc::from(text.as_ref()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The logical name of an instance: the part before `..`, which no name of a resource can hold.
    pub fn logical(&self) -> &str {
        self.0.rsplit_once("..").map_or(&self.0, |(logical, _)| logical)
    }

    /// The number of an instance, if it has one.
    pub fn instance(&self) -> Option<u32> {
        self.0.rsplit_once("..").and_then(|(_, number)| number.parse().ok())
    }

    /// The name of a part of what this name stands for.
    pub fn part(&self, part: &str) -> Name {
        Name::new(format!("{self}/{part}"))
    }

    /// The name of what this logical name is a part of, or the name itself: all before the second `/`.
    pub fn whole(&self) -> &str {
        self.0.match_indices('/').nth(1).map_or(&self.0, |(at, _)| &self.0[..at])
    }

    /// The instance `number` of this logical name.
    pub fn with_instance(&self, number: u32) -> Name {
        Name(Arc::from(format!("{}..{number}", self.logical())))
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Set for chains that the kernel calls by itself.
    pub base: Option<BaseChain>,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// Where the kernel calls a base chain. Its policy is always accept (E-401, K-3) and its type always `filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BaseChain {
    /// The hook.
    pub hook: Hook,
    /// The netfilter priority; lower is earlier.
    pub priority: i32,
}

/// Netfilter hooks of the `inet` family (`enum nf_inet_hooks` in `linux/netfilter.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Before routing.
    Prerouting,
    /// For local processes.
    Input,
    /// Between two interfaces.
    Forward,
    /// From local processes.
    Output,
    /// After routing.
    Postrouting,
}

/// One rule: all matches must hold, then the statements run in order, then the end decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Criteria, cheapest first.
    pub matches: Vec<Match>,
    /// Effects without a verdict.
    pub statements: Vec<Statement>,
    /// What becomes of the packet.
    pub end: End,
    /// Where the rule comes from; the kernel keeps it as the rule's comment (K-11, K-12).
    pub origin: Origin,
}

/// What a packet offers to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Name of the interface a packet arrives on: 16 bytes, zero-padded.
    InInterface,
    /// Name of the interface a packet leaves by: 16 bytes, zero-padded.
    OutInterface,
    /// Address family: 1 byte, `NFPROTO_IPV4` (2) or `NFPROTO_IPV6` (10).
    NfProto,
    /// Upper-layer protocol: 1 byte.
    L4Proto,
    /// IPv4 source address: 4 bytes.
    SourceV4,
    /// IPv4 destination address: 4 bytes.
    DestinationV4,
    /// IPv6 source address: 16 bytes.
    SourceV6,
    /// IPv6 destination address: 16 bytes.
    DestinationV6,
    /// Source port of TCP, UDP or SCTP: 2 bytes, network order.
    SourcePort,
    /// Destination port of TCP, UDP or SCTP: 2 bytes, network order.
    DestinationPort,
    /// First byte of the ICMP or ICMPv6 header.
    IcmpType,
    /// Second byte of the ICMP or ICMPv6 header.
    IcmpCode,
    /// IPv6 hop limit: 1 byte.
    HopLimit,
    /// Connection-tracking state, one bit of [`ct_state`]: 4 bytes.
    CtState,
    /// Connection-tracking status bits of [`ct_status`]: 4 bytes.
    CtStatus,
    /// The packet mark: 4 bytes.
    Mark,
    /// Whether a route leads back to the source by the interface of arrival: 1 byte, 0 or 1 (E-466).
    ReversePathStrict,
    /// Whether any route leads back to the source: 1 byte, 0 or 1.
    ReversePathLoose,
    /// The class of an address, as a map of addresses gives it: 8 bytes, [`ClassId`]. In keys of maps only, which are
    /// asked by [`End::Class`]. A key that begins with two is that of a pair.
    Class,
}

impl Field {
    /// Bytes a value of this field has.
    pub const fn width(self) -> usize {
        match self {
            Field::InInterface | Field::OutInterface | Field::SourceV6 | Field::DestinationV6 => 16,
            Field::SourceV4 | Field::DestinationV4 | Field::CtState | Field::CtStatus | Field::Mark => 4,
            Field::SourcePort | Field::DestinationPort => 2,
            Field::Class => 8,
            Field::NfProto | Field::L4Proto | Field::IcmpType | Field::IcmpCode | Field::HopLimit => 1,
            Field::ReversePathStrict | Field::ReversePathLoose => 1,
        }
    }

    /// The field that stands for this one in the key of a set: a set knows what it holds, not from which end of the
    /// packet it is asked.
    pub const fn as_key(self) -> Field {
        match self {
            Field::OutInterface => Field::InInterface,
            Field::DestinationV4 => Field::SourceV4,
            Field::DestinationV6 => Field::SourceV6,
            Field::DestinationPort => Field::SourcePort,
            other => other,
        }
    }

    /// Fields the kernel keeps in its own byte order. Values of a ruleset are always big-endian; whoever speaks to the
    /// kernel turns these round.
    pub const fn is_host_endian(self) -> bool {
        matches!(self, Field::CtState | Field::CtStatus | Field::Mark)
    }
}

/// Bits of [`Field::CtState`] (`NF_CT_STATE_BIT` in `linux/netfilter/nf_conntrack_common.h`).
pub mod ct_state {
    use tortie_api::packet::ConnState;

    /// No sense in it.
    pub const INVALID: u32 = 1;
    /// Part of a known flow.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to a known flow.
    pub const RELATED: u32 = 4;
    /// First of a flow.
    pub const NEW: u32 = 8;
    /// Not tracked.
    pub const UNTRACKED: u32 = 64;

    /// The bit of a state.
    pub const fn bit(state: ConnState) -> u32 {
        match state {
            ConnState::New => NEW,
            ConnState::Established => ESTABLISHED,
            ConnState::Related => RELATED,
            ConnState::Invalid => INVALID,
            ConnState::Untracked => UNTRACKED,
        }
    }
}

/// Bits of [`Field::CtStatus`] (`enum ip_conntrack_status`).
pub mod ct_status {
    /// The destination is translated (K-17).
    pub const DST_NAT: u32 = 1 << 5;
}

/// A value of one field, or of several side by side without padding; big-endian.
pub type Value = Vec<u8>;

/// One criterion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Match {
    /// `field == value`, or `!=` when inverted.
    Equals {
        /// Left side.
        field: Field,
        /// Whether the comparison is turned round.
        invert: bool,
        /// Right side, as long as the field; for an interface name it may be shorter: a prefix (`cali*`).
        value: Value,
    },
    /// `field & mask == value`, or `!=` when inverted.
    Masked {
        /// Left side.
        field: Field,
        /// Bits that count.
        mask: Value,
        /// Whether the comparison is turned round.
        invert: bool,
        /// Right side.
        value: Value,
    },
    /// `first <= field <= last`, or outside of it when inverted.
    Range {
        /// Left side.
        field: Field,
        /// Whether the comparison is turned round.
        invert: bool,
        /// Lowest value.
        first: Value,
        /// Highest value.
        last: Value,
    },
    /// The fields, side by side, are in the set, or not when inverted.
    Lookup {
        /// What is looked up; as many fields as the set's key.
        key: Vec<Field>,
        /// Whether the criterion is turned round.
        invert: bool,
        /// The set.
        set: Name,
    },
    /// `field & mask` is in the set, or not when inverted.
    LookupMasked {
        /// What is looked up.
        field: Field,
        /// Bits that count.
        mask: Value,
        /// Whether the criterion is turned round.
        invert: bool,
        /// The set, over the field alone.
        set: Name,
    },
}

/// An effect without a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Statement {
    /// Count packets and bytes.
    Counter,
    /// Write a kernel log line at level info (E-355).
    Log {
        /// At most 127 bytes; the kernel cuts the rest.
        prefix: String,
    },
    /// End the rule without a match for packets over this rate (E-356).
    Limit {
        /// Packets in one unit of time.
        packets: u32,
        /// The unit of time in seconds.
        unit_s: u32,
        /// Packets that may come at once.
        burst: u32,
    },
    /// Set the packet mark to `(mark & !mask) | value` (E-403).
    SetMark {
        /// Bits that change.
        mask: u32,
        /// Their new value; has no bit outside of `mask`.
        value: u32,
    },
    /// Take the packet out of connection tracking (E-414). Only in base chains before it.
    NoTrack,
    /// Let the element of a set with a timeout live for its whole time again.
    Refresh {
        /// The element: as many fields as the set's key.
        key: Vec<Field>,
        /// The set.
        set: Name,
    },
}

/// The end of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Go on with the next rule.
    Next,
    /// Decide.
    Verdict(Verdict),
    /// Look the verdict up; without an element go on with the next rule.
    Map {
        /// What is looked up.
        key: Vec<Field>,
        /// A set with verdicts.
        map: Name,
    },
    /// Look the class of an address up, then the verdict of that class; without either go on with the next rule (C-9).
    Class {
        /// The address.
        address: Field,
        /// A set with classes, over the address alone.
        classes: Name,
        /// The address of the other end of the packet, where the verdict is that of a pair of classes.
        other: Option<ClassOf>,
        /// What is looked up beside the classes.
        key: Vec<Field>,
        /// A set with verdicts, over [`Field::Class`] for each end that is asked, and `key`.
        map: Name,
    },
}

/// An address, and where its class is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClassOf {
    /// The address.
    pub address: Field,
    /// A set with classes, over the address alone.
    pub classes: Name,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Leave this base chain; later base chains still judge (E-409).
    Accept,
    /// Final at once.
    Drop,
    /// Final at once, and the sender is told (ICMP or ICMPv6 port unreachable; E-610). In rules only, never in maps.
    Reject,
    /// Back to the rule after the jump, or the end of the base chain.
    Return,
    /// Call a chain.
    Jump(Name),
    /// Continue in a chain without coming back to this one.
    Goto(Name),
}

/// A set, or a map to verdicts or classes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// The fields of the key, side by side.
    pub key: Vec<Field>,
    /// Whether elements may be ranges.
    pub ranges: Ranges,
    /// What each element carries.
    pub holds: Holds,
    /// Whether each element counts the packets that find it (C-7).
    pub is_counted: bool,
    /// Whether the content never changes in place: the name then says the content.
    pub is_constant: bool,
    /// Seconds after which an element that no rule refreshed goes away by itself. Elements of such a set are no part of
    /// the ruleset: they are added beside it, plans let them be, and `elements` is always empty.
    pub timeout_s: Option<u32>,
    /// The elements, and what they carry; `None` in a plain set.
    pub elements: BTreeMap<Element, Option<Data>>,
    /// Which rules an element stands for, where the elements of a map do not all stand for the rule that asks it: first
    /// the one that decides, then those that sent the packet on to it. The kernel keeps the first as comment.
    pub origins: BTreeMap<Element, Arc<[Origin]>>,
}

impl Set {
    /// The same without elements.
    pub fn header(&self) -> Set {
        Set {
            key: self.key.clone(),
            ranges: self.ranges,
            holds: self.holds,
            is_counted: self.is_counted,
            is_constant: self.is_constant,
            timeout_s: self.timeout_s,
            ..Set::default()
        }
    }

    /// Whether its elements stand under classes, whose numbers say what the elements of the class are: what no packet
    /// finds yet is added before a change turns, and what none finds any more removed after it.
    pub fn is_by_class(&self) -> bool {
        self.key.first() == Some(&Field::Class)
    }

    /// Whether its elements stand under the classes of both ends of a packet.
    pub fn is_by_pair(&self) -> bool {
        self.key.starts_with(&[Field::Class, Field::Class])
    }
}

/// Whether elements of a set are ranges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ranges {
    /// Each element is one value.
    #[default]
    None,
    /// A range of the whole key, read as one number. Ranges do not overlap, and those that touch are merged where they
    /// carry the same.
    OfKey,
    /// A range of each field. The key has several fields.
    OfFields,
}

/// What elements of a set carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Nothing.
    #[default]
    Nothing,
    /// A verdict each.
    Verdicts,
    /// A class each.
    Classes,
}

/// What one element carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    /// Decide.
    Verdict(Verdict),
    /// The class of an address.
    Class(ClassId),
}

impl Data {
    /// The verdict, if it is one.
    pub fn verdict(&self) -> Option<&Verdict> {
        match self {
            Data::Verdict(verdict) => Some(verdict),
            Data::Class(_) => None,
        }
    }

    /// The chain that it leads to.
    pub fn target(&self) -> Option<&Name> {
        self.verdict().and_then(Verdict::target)
    }
}

/// The number of a class of addresses (C-9): a hash of what its elements say. So the number of a class that says
/// something else is another one, on this host and on every other, and an element under a number never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u64);

/// One element: an exact value, or a range per field of the key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// Lowest values of all fields, side by side.
    pub first: Key,
    /// Highest values; equal to `first` for an exact value.
    pub last: Key,
}

impl Element {
    /// An exact value.
    pub fn exact(value: impl Into<Key>) -> Self {
        let first = value.into();
        Self { last: first.clone(), first }
    }

    /// A range.
    pub fn range(first: impl Into<Key>, last: impl Into<Key>) -> Self {
        Self { first: first.into(), last: last.into() }
    }
}

/// Where a rule comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The frame around policy: dispatch, jumps between chains.
    Frame(&'static str),
    /// What led here says why: an element of a map, or a rule.
    AsTold,
    /// Connection state (E-420, E-421).
    ConnState,
    /// Failsafe ports (section 5).
    Failsafe(Direction),
    /// Neighbour discovery, MLD, DHCPv6 (E-461, E-462).
    Ipv6Essentials,
    /// A rule of a policy.
    Policy {
        /// Which policy.
        id: Arc<PolicyId>,
        /// Which list.
        direction: Direction,
        /// Position in the list, from 0.
        rule: usize,
        /// Which of the kernel rules that one rule became, from 0.
        part: usize,
        /// Staged: counted, never decides (D-6).
        is_staged: bool,
        /// The rule's annotations as `key=value`, for people only (E-359).
        note: Arc<str>,
    },
    /// The end of a staged policy none of whose rules matched (D-6).
    StagedNoMatch {
        /// Which policy.
        id: Arc<PolicyId>,
        /// Which list.
        direction: Direction,
    },
    /// The end of a tier (E-223).
    TierEnd {
        /// The tier.
        tier: Arc<str>,
        /// The direction.
        direction: Direction,
    },
    /// A rule of a profile.
    Profile {
        /// The profile.
        name: Arc<str>,
        /// Which list.
        direction: Direction,
        /// Position in the list, from 0.
        rule: usize,
        /// As in `Policy`.
        part: usize,
        /// As in `Policy`.
        note: Arc<str>,
    },
    /// A profile that does not exist (E-230).
    ProfileMissing {
        /// The profile.
        name: Arc<str>,
    },
    /// Nothing decided (E-226).
    NoMatch(Direction),
    /// The endpoint has no forward policy (E-228).
    NoForwardPolicy,
    /// An earlier stage accepted the packet for this one as well (E-405).
    AcceptedEarlier,
    /// No route leads back to the source (E-466).
    ReversePath,
    /// What becomes of packets from workloads to the host (E-440), and of workloads nobody knows (E-442).
    Workload,
    /// What a kernel was read to say; see [`Origin::comment`].
    Comment(Arc<str>),
    /// A rule of foreign hands that cannot be read: what it does is not known, and it equals none of ours.
    Unread(Arc<str>),
}

/// The comment of [`Origin::AsTold`].
const AS_TOLD: &str = "as the element says";

impl Origin {
    /// Whether it is [`Origin::AsTold`], also as a kernel says it.
    pub fn is_as_told(&self) -> bool {
        match self {
            Origin::AsTold => true,
            Origin::Comment(text) => &**text == AS_TOLD,
            _ => false,
        }
    }

    /// The text that stands as comment on the kernel's rule: at most [`Origin::COMMENT_LEN_MAX`] bytes.
    ///
    /// A longer text is cut, and a hash of the whole takes the place of the rest, so that two origins never share one.
    pub fn comment(&self) -> String {
        if let Origin::Comment(text) = self {
            return text.to_string();
        }
        let text = self.to_string();
        if text.len() <= Self::COMMENT_LEN_MAX {
            return text;
        }
        let digest = Sha256::digest(text.as_bytes());
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut cut = Self::COMMENT_LEN_MAX - hash.len() - 1;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        format!("{}~{hash}", &text[..cut])
    }

    /// The longest comment in bytes that `nft` shows (`NFTNL_UDATA_COMMENT_MAXLEN`, less the end).
    pub const COMMENT_LEN_MAX: usize = 127;
}

/// One line for people: the comment of a kernel rule, the reason in `explain`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Frame(what) => f.write_str(what),
            Origin::AsTold => f.write_str(AS_TOLD),
            Origin::ConnState => f.write_str("connection state"),
            Origin::Failsafe(direction) => write!(f, "failsafe {direction}"),
            Origin::Ipv6Essentials => f.write_str("ipv6 essentials"),
            Origin::Policy { id, direction, rule, part, is_staged: _, note } => {
                write!(f, "policy {id} {direction}[{rule}]")?;
                write_part(f, *part, note)
            }
            Origin::StagedNoMatch { id, direction } => write!(f, "policy {id} {direction}: no match"),
            Origin::TierEnd { tier, direction } => write!(f, "end of tier {tier} {direction}"),
            Origin::Profile { name, direction, rule, part, note } => {
                write!(f, "profile {name} {direction}[{rule}]")?;
                write_part(f, *part, note)
            }
            Origin::ProfileMissing { name } => write!(f, "missing profile {name}"),
            Origin::NoMatch(direction) => write!(f, "no match {direction}"),
            Origin::NoForwardPolicy => f.write_str("no forward policy"),
            Origin::AcceptedEarlier => f.write_str("accepted by an earlier stage"),
            Origin::ReversePath => f.write_str("reverse path"),
            Origin::Workload => f.write_str("workload"),
            Origin::Comment(text) => f.write_str(text),
            Origin::Unread(why) => write!(f, "not ours: {why}"),
        }
    }
}

fn write_part(f: &mut fmt::Formatter<'_>, part: usize, note: &str) -> fmt::Result {
    if part > 0 {
        write!(f, "/{part}")?;
    }
    if note.is_empty() { Ok(()) } else { write!(f, " {note}") }
}
