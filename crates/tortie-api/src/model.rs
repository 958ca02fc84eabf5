//! Typed resources: what calculation, compiler and reference evaluator work on.
//!
//! Everything textual is parsed here once: selectors, networks, ports, protocols. A value of these types is valid in
//! the sense of E-305: whoever makes one has refused what has no meaning. Differences that only matter to the stored
//! form (spelling, order of members, unknown fields) are gone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_selector::Selector;

use crate::{Kind, ResourceKey};

mod controllers;
mod labels;
mod node;
mod order;
mod ports;
mod rule;

pub use controllers::{AutoHostEndpoint, InterfacePattern, KubeControllersConfiguration, Template, TemplateRule};
pub use labels::Labels;
pub use node::{Node, NodeInterface};
pub use order::by_evaluation;
pub use ports::{BackwardsRange, Port, PortRange, Protocol};
pub use rule::{Action, Entity, Family, IcmpMatch, Rule, ServiceAccounts, ServiceRef};

/// Name, namespace and labels of an object; the rest of `metadata` matters to stores only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// `metadata.name`, as users see it.
    pub name: String,
    /// `metadata.namespace` of namespaced kinds.
    pub namespace: Option<String>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `metadata.annotations`.
    pub annotations: Labels,
    /// `metadata.creationTimestamp` as stored (RFC 3339, UTC), or empty. E-602 orders by it.
    pub created: String,
}

/// One typed resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// A host endpoint.
    HostEndpoint(HostEndpoint),
    /// Any of the four tiered policy kinds.
    Policy(Policy),
    /// A tier.
    Tier(Tier),
    /// A profile.
    Profile(Profile),
    /// A global or namespaced network set.
    NetworkSet(NetworkSet),
    /// A workload endpoint.
    WorkloadEndpoint(WorkloadEndpoint),
    /// Settings of agents.
    FelixConfiguration(FelixConfiguration),
    /// A node.
    Node(Node),
    /// Settings of the controller.
    KubeControllersConfiguration(KubeControllersConfiguration),
    /// Identity and ready flag of the store.
    ClusterInformation(ClusterInformation),
    /// Kinds that are stored and returned, and mean nothing to a host.
    Other(Kind, Meta),
}

impl Resource {
    /// Metadata common to all kinds.
    pub fn meta(&self) -> &Meta {
        match self {
            Resource::HostEndpoint(r) => &r.meta,
            Resource::Policy(r) => &r.meta,
            Resource::Tier(r) => &r.meta,
            Resource::Profile(r) => &r.meta,
            Resource::NetworkSet(r) => &r.meta,
            Resource::WorkloadEndpoint(r) => &r.meta,
            Resource::FelixConfiguration(r) => &r.meta,
            Resource::Node(r) => &r.meta,
            Resource::KubeControllersConfiguration(r) => &r.meta,
            Resource::ClusterInformation(r) => &r.meta,
            Resource::Other(_, meta) => meta,
        }
    }

    /// The kind.
    pub fn kind(&self) -> Kind {
        match self {
            Resource::HostEndpoint(_) => Kind::HostEndpoint,
            Resource::Policy(r) => r.kind.kind(),
            Resource::Tier(_) => Kind::Tier,
            Resource::Profile(_) => Kind::Profile,
            Resource::NetworkSet(r) if r.meta.namespace.is_some() => Kind::NetworkSet,
            Resource::NetworkSet(_) => Kind::GlobalNetworkSet,
            Resource::WorkloadEndpoint(_) => Kind::WorkloadEndpoint,
            Resource::FelixConfiguration(_) => Kind::FelixConfiguration,
            Resource::Node(_) => Kind::Node,
            Resource::KubeControllersConfiguration(_) => Kind::KubeControllersConfiguration,
            Resource::ClusterInformation(_) => Kind::ClusterInformation,
            Resource::Other(kind, _) => *kind,
        }
    }

    /// The key under which the object is found.
    pub fn key(&self) -> ResourceKey {
        ResourceKey { kind: self.kind(), namespace: self.meta().namespace.clone(), name: self.meta().name.clone() }
    }
}

/// One or more interfaces of a host (resources.md section 2).
#[derive(Clone, Debug, PartialEq)]
pub struct HostEndpoint {
    /// Name and labels.
    pub meta: Meta,
    /// The node it belongs to, compared byte for byte (E-101).
    pub node: String,
    /// Which interfaces it governs.
    pub attachment: Attachment,
    /// Addresses that rules on any host know it by (E-341). Unusable entries are left out (E-120).
    pub expected_ips: Vec<IpAddr>,
    /// Profiles in order; they need not exist (E-230).
    pub profiles: Vec<String>,
    /// Named ports (E-327).
    pub ports: Vec<EndpointPort>,
}

/// Which interfaces a host endpoint stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// `interfaceName: "*"` (E-107, E-108).
    AllInterfaces,
    /// One interface by name; it may not exist yet (E-104, E-115).
    Named(String),
    /// Whichever interfaces carry one of `expected_ips` at the moment (E-105).
    ByAddress,
}

/// A named port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointPort {
    /// The name that rules use.
    pub name: String,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The port number, never 0.
    pub port: u16,
}

/// Which of the four tiered kinds a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyKind {
    /// `GlobalNetworkPolicy`.
    Global,
    /// `NetworkPolicy`.
    Namespaced,
    /// `StagedGlobalNetworkPolicy`.
    StagedGlobal,
    /// `StagedNetworkPolicy`.
    StagedNamespaced,
}

impl PolicyKind {
    /// The resource kind.
    pub fn kind(self) -> Kind {
        match self {
            PolicyKind::Global => Kind::GlobalNetworkPolicy,
            PolicyKind::Namespaced => Kind::NetworkPolicy,
            PolicyKind::StagedGlobal => Kind::StagedGlobalNetworkPolicy,
            PolicyKind::StagedNamespaced => Kind::StagedNetworkPolicy,
        }
    }

    /// Staged kinds are counted, never enforced (E-206, D-6).
    pub fn is_staged(self) -> bool {
        matches!(self, PolicyKind::StagedGlobal | PolicyKind::StagedNamespaced)
    }
}

/// A policy (resources.md section 4).
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Name, namespace and labels.
    pub meta: Meta,
    /// Which kind.
    pub kind: PolicyKind,
    /// The tier, `default` when the object names none.
    pub tier: String,
    /// `None` sorts after every number (E-216). Never NaN.
    pub order: Option<f64>,
    /// `spec.selector`; the empty one is `all()`.
    pub selector: Selector,
    /// `spec.namespaceSelector` when not empty.
    pub namespace_selector: Option<Selector>,
    /// `spec.serviceAccountSelector` when not empty.
    pub service_account_selector: Option<Selector>,
    /// Whether it governs ingress; both are true for a stored policy without `types` (E-209).
    pub governs_ingress: bool,
    /// Whether it governs egress.
    pub governs_egress: bool,
    /// Rules for packets into the host.
    pub ingress: Vec<Arc<Rule>>,
    /// Rules for packets out of the host.
    pub egress: Vec<Arc<Rule>>,
    /// Which packets it judges (E-212).
    pub class: PolicyClass,
    /// `stagedAction` of the staged kinds is `Delete`, `Learn` or `Ignore`: then there is nothing to count.
    pub is_staged_inactive: bool,
}

/// Where a policy is evaluated (E-212).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyClass {
    /// Traffic of local processes.
    Normal,
    /// Local traffic, and forwarded traffic as well (`applyOnForward`).
    NormalAndForward,
    /// Before destination NAT, ingress only.
    PreDnat,
    /// Before connection tracking.
    Untracked,
}

/// A tier (resources.md section 6).
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Name and labels.
    pub meta: Meta,
    /// `None` sorts after every number (E-215). Never NaN.
    pub order: Option<f64>,
    /// What the end of the tier means (E-219).
    pub default_action: TierAction,
}

/// The action at the end of a tier in which a policy applied but no rule decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TierAction {
    /// Drop.
    Deny,
    /// Go to the next tier.
    Pass,
}

/// A profile (resources.md section 5).
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name and labels.
    pub meta: Meta,
    /// Rules for packets into the host.
    pub ingress: Vec<Arc<Rule>>,
    /// Rules for packets out of the host.
    pub egress: Vec<Arc<Rule>>,
    /// Labels that items listing this profile take on (E-202).
    pub labels_to_apply: Labels,
}

/// A network set; a namespaced one has `meta.namespace` (resources.md section 7).
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSet {
    /// Name, namespace and own labels.
    pub meta: Meta,
    /// Networks, masked; unusable entries are left out.
    pub nets: Vec<IpNet>,
}

/// A workload endpoint: a source of labels, addresses and named ports (D-5, resources.md section 8.2).
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadEndpoint {
    /// Name, namespace and labels; `pcns.` and `pcsa.` labels of its own are already removed.
    pub meta: Meta,
    /// The node it runs on.
    pub node: String,
    /// Its interface on the node's side (E-442); `None` when none is named.
    pub interface: Option<String>,
    /// Profiles in order.
    pub profiles: Vec<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Named ports.
    pub ports: Vec<EndpointPort>,
}

/// Settings of agents, one object (resources.md section 9).
#[derive(Clone, Debug, PartialEq)]
pub struct FelixConfiguration {
    /// Name and annotations.
    pub meta: Meta,
    /// `spec.nodeSelector`.
    pub node_selector: Option<Selector>,
    /// The other members of `spec` as stored, by their names.
    pub values: BTreeMap<String, serde_json::Value>,
}

/// Identity and ready flag of the store (resources.md section 11).
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterInformation {
    /// Name.
    pub meta: Meta,
    /// `spec.clusterGUID`.
    pub cluster_guid: String,
    /// `spec.datastoreReady`; absent means not ready.
    pub is_ready: bool,
}
