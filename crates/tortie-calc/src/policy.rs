//! What applies to this host: the output of the calculation and the input of the compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, Family, IcmpMatch, PolicyClass, PortRange, Protocol};

use crate::Settings;

/// Everything this host must enforce.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPolicy {
    /// Which endpoint governs which interface.
    pub dispatch: Dispatch,
    /// The endpoints named in `dispatch`, by resource name.
    pub endpoints: BTreeMap<String, Arc<EndpointPolicy>>,
    /// The sets that rules of `endpoints` name, with their present members.
    pub sets: BTreeMap<SetId, Arc<SetMembers>>,
    /// Interfaces of the workload endpoints of this node (E-442). Nothing else is known of workloads here (D-5).
    pub workloads: BTreeSet<String>,
    /// Failsafes and everything else that is not policy.
    pub settings: Arc<Settings>,
}

impl HostPolicy {
    /// Whether traffic of workload interfaces without a workload endpoint is dropped on this host (E-442).
    pub fn drops_unknown_workloads(&self) -> bool {
        let settings = &self.settings;
        settings.drops_unknown_workloads && (!settings.drops_unknown_beside_known_only || !self.workloads.is_empty())
    }
}

/// Which endpoint governs which interface (enforcement.md section 1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dispatch {
    /// Interface name to endpoint name. Holds names that do not exist yet (E-115).
    pub interfaces: BTreeMap<String, String>,
    /// The active wildcard endpoint (E-107).
    pub wildcard: Option<String>,
    /// Interfaces that the wildcard leaves alone: excluded ones (E-102), and `lo` where it is exempt (E-121). An
    /// interface with an endpoint of its own may stand here: where that one has no say, the wildcard has none either.
    /// Workload interfaces are told by `Settings::interface_prefixes` and are not listed.
    pub exempt: BTreeSet<String>,
}

/// The policy of one endpoint, per class and direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// The endpoint's resource name.
    pub name: String,
    /// Local traffic into the host (S3).
    pub normal_ingress: ClassPolicy,
    /// Local traffic out of the host (S7, S8).
    pub normal_egress: ClassPolicy,
    /// Forwarded traffic that arrives here (S4).
    pub forward_ingress: ClassPolicy,
    /// Forwarded traffic that leaves here (S5).
    pub forward_egress: ClassPolicy,
    /// Before destination NAT (S2).
    pub pre_dnat: ClassPolicy,
    /// Before connection tracking, inward (S1).
    pub untracked_ingress: ClassPolicy,
    /// Before connection tracking, outward (S6).
    pub untracked_egress: ClassPolicy,
    /// Whether packets without a way back to their source are dropped where they arrive (E-466).
    pub reverse_path: Option<ReversePath>,
    /// Profiles in order, ingress rules; asked by the normal class only (E-225, E-227).
    pub profiles_ingress: Vec<Arc<ProfileRules>>,
    /// Profiles in order, egress rules.
    pub profiles_egress: Vec<Arc<ProfileRules>>,
}

/// What counts as a way back to the source of a packet (E-466).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// A route by the interface of arrival.
    Strict,
    /// Any route.
    Loose,
}

/// The tiers in which a policy applies, for one class and direction, in order (E-221). Empty tiers are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClassPolicy {
    /// The tiers.
    pub tiers: Vec<TierPolicies>,
}

impl ClassPolicy {
    /// Whether there is a policy, staged or not.
    pub fn is_empty(&self) -> bool {
        self.tiers.is_empty()
    }

    /// Whether there is a policy that is enforced.
    pub fn has_enforced(&self) -> bool {
        self.tiers.iter().flat_map(|tier| &tier.policies).any(|policy| !policy.is_staged)
    }
}

impl EndpointPolicy {
    /// All classes, with their directions, in the order in which a packet meets them.
    pub fn classes(&self) -> [(PolicyClass, Direction, &ClassPolicy); 7] {
        [
            (PolicyClass::Untracked, Direction::Ingress, &self.untracked_ingress),
            (PolicyClass::PreDnat, Direction::Ingress, &self.pre_dnat),
            (PolicyClass::Normal, Direction::Ingress, &self.normal_ingress),
            (PolicyClass::NormalAndForward, Direction::Ingress, &self.forward_ingress),
            (PolicyClass::NormalAndForward, Direction::Egress, &self.forward_egress),
            (PolicyClass::Untracked, Direction::Egress, &self.untracked_egress),
            (PolicyClass::Normal, Direction::Egress, &self.normal_egress),
        ]
    }

    /// One of those that [`EndpointPolicy::classes`] lists.
    pub(crate) fn class_mut(&mut self, class: PolicyClass, direction: Direction) -> &mut ClassPolicy {
        match (class, direction) {
            (PolicyClass::Normal, Direction::Ingress) => &mut self.normal_ingress,
            (PolicyClass::Normal, Direction::Egress) => &mut self.normal_egress,
            (PolicyClass::NormalAndForward, Direction::Ingress) => &mut self.forward_ingress,
            (PolicyClass::NormalAndForward, Direction::Egress) => &mut self.forward_egress,
            (PolicyClass::Untracked, Direction::Ingress) => &mut self.untracked_ingress,
            (PolicyClass::Untracked, Direction::Egress) => &mut self.untracked_egress,
            (PolicyClass::PreDnat, _) => &mut self.pre_dnat,
        }
    }

    /// Whether any forward policy is enforced for the endpoint, in either direction (E-228).
    pub fn has_forward(&self) -> bool {
        self.forward_ingress.has_enforced() || self.forward_egress.has_enforced()
    }
}

/// One tier of one class and direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierPolicies {
    /// The tier's name.
    pub name: String,
    /// What its end means (E-223, E-224): `Deny` only where a real policy applied and the tier's action is Deny, and
    /// never in the untracked and pre-DNAT classes.
    pub end: TierEnd,
    /// The policies that select the endpoint and govern the direction, in order, staged ones among them.
    pub policies: Vec<Arc<PolicyRules>>,
}

/// The end of a tier that decided nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TierEnd {
    /// Drop the packet.
    Deny,
    /// Go to the next tier.
    Pass,
}

/// The rules of one policy for one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRules {
    /// Which policy.
    pub id: PolicyId,
    /// Staged policies are counted, never enforced (D-6).
    pub is_staged: bool,
    /// Rules in order; the position in the list is the position in the resource.
    pub rules: Vec<Arc<ResolvedRule>>,
}

/// Which policy, as people name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId {
    /// The kind.
    pub kind: Kind,
    /// The namespace of namespaced kinds.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The tier.
    pub tier: String,
}

/// The rules of one profile for one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRules {
    /// The profile's name.
    pub name: String,
    /// `None` for a profile that does not exist: it denies everything (E-230).
    pub rules: Option<Vec<Arc<ResolvedRule>>>,
}

/// A rule whose selectors and names have become sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedRule {
    /// What to do.
    pub action: Action,
    /// The family the rule is limited to, by `ipVersion` (E-315).
    pub ip_version: Option<Family>,
    /// Upper-layer protocol.
    pub protocol: Option<Protocol>,
    /// Negated upper-layer protocol.
    pub not_protocol: Option<Protocol>,
    /// ICMP type and code of the rule's protocol.
    pub icmp: Option<IcmpMatch>,
    /// Negated ICMP type and code (E-313).
    pub not_icmp: Option<IcmpMatch>,
    /// The packet's source.
    pub source: Peer,
    /// The packet's destination.
    pub destination: Peer,
    /// Why the rule can match nothing on a host, whatever its action (E-358, resources.md section 3).
    pub never: Option<NeverMatches>,
    /// `key=value` comments (E-359), in order.
    pub annotations: BTreeMap<String, String>,
}

/// Why a rule matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NeverMatches {
    /// `http` needs a proxy (E-358).
    Http,
    /// `services` need Kubernetes data (E-349).
    Services,
}

/// Criteria on one end of the packet; all must hold. Empty lists and `None` are no criterion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The address is in one of these; both families may stand here (E-317).
    pub nets: Vec<IpNet>,
    /// The address is in none of these.
    pub not_nets: Vec<IpNet>,
    /// The address is in this set.
    pub set: Option<SetId>,
    /// The address is not in this set.
    pub not_set: Option<SetId>,
    /// Numeric ports; or-ed with `named_ports`.
    pub ports: Vec<PortRange>,
    /// Sets of (address, protocol, port); or-ed with `ports`.
    pub named_ports: Vec<SetId>,
    /// None of these ports.
    pub not_ports: Vec<PortRange>,
    /// In none of these sets.
    pub not_named_ports: Vec<SetId>,
}

impl Peer {
    /// Whether there is no criterion.
    pub fn is_any(&self) -> bool {
        *self == Peer::default()
    }
}

impl Peer {
    /// The sets that its criteria name.
    pub fn sets(&self) -> impl Iterator<Item = &SetId> {
        self.set.iter().chain(&self.not_set).chain(&self.named_ports).chain(&self.not_named_ports)
    }
}

impl SetMembers {
    /// How many members there are.
    pub fn len(&self) -> usize {
        match self {
            SetMembers::Nets(nets) => nets.len(),
            SetMembers::Ports(ports) => ports.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many members of one family there are.
    pub fn len_in(&self, family: Family) -> usize {
        match self {
            SetMembers::Nets(nets) => nets.iter().filter(|net| Family::of_net(**net) == family).count(),
            SetMembers::Ports(ports) => ports.iter().filter(|(address, ..)| Family::of(*address) == family).count(),
        }
    }
}

impl ResolvedRule {
    /// The sets that it asks for; one that can match nothing asks for none.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &SetId> {
        let asks = self.never.is_none();
        [&self.source, &self.destination].into_iter().filter(move |_| asks).flat_map(Peer::sets)
    }

    /// A rule without criteria.
    pub fn any(action: Action) -> Self {
        Self {
            action,
            ip_version: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: Peer::default(),
            destination: Peer::default(),
            never: None,
            annotations: BTreeMap::new(),
        }
    }

    /// Whether the rule exists in `family` (E-314, E-315, E-316).
    pub fn exists_in(&self, family: Family) -> bool {
        let other_icmp = match family {
            Family::V4 => Protocol::ICMPV6,
            Family::V6 => Protocol::ICMP,
        };
        if self.ip_version.is_some_and(|v| v != family) || self.protocol == Some(other_icmp) {
            return false;
        }
        [&self.source.nets, &self.source.not_nets, &self.destination.nets, &self.destination.not_nets]
            .into_iter()
            .all(|list| list.is_empty() || list.iter().any(|net| Family::of_net(*net) == family))
    }
}

/// What a set holds, in words that never change: two rules with the same words share one set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SetId {
    /// Addresses of all known objects whose labels satisfy this selector (canonical text) (E-340).
    Selector(Arc<str>),
    /// (address, protocol, port) of all endpoints that define a port of this name (E-327, E-328, E-329).
    NamedPort {
        /// The port's name.
        name: Arc<str>,
        /// The rule's protocol; `None` takes TCP, UDP and SCTP.
        protocol: Option<Protocol>,
        /// Canonical text of the selector that endpoints must satisfy, when the rule has one.
        selector: Option<Arc<str>>,
    },
}

/// The members of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetMembers {
    /// For [`SetId::Selector`]: networks of both families, masked; they may overlap.
    Nets(BTreeSet<IpNet>),
    /// For [`SetId::NamedPort`].
    Ports(BTreeSet<(IpAddr, Protocol, u16)>),
}

/// The direction of policy, seen from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// Into the host.
    Ingress,
    /// Out of the host.
    Egress,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}
