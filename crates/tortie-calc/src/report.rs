//! What status and explain tell of the calculation.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::ResourceKey;
use tortie_api::model::PolicyClass;

use crate::policy::{Direction, PolicyId};

/// The calculation as people ask about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Local endpoints by name.
    pub endpoints: BTreeMap<String, EndpointReport>,
    /// What is stored and has no effect, with the reason, in a fixed order.
    pub not_enforced: Vec<NotEnforced>,
}

/// One local endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointReport {
    /// What it governs.
    pub state: EndpointState,
    /// Interfaces that it matches and another endpoint governs (E-106), with that endpoint. May be filled in every state.
    pub shadowed_by: BTreeMap<String, String>,
    /// Policies, those of one class and direction together and in evaluated order.
    pub policies: Vec<PolicyReport>,
    /// Profiles in order, and whether they exist.
    pub profiles: Vec<(String, bool)>,
}

/// One policy that applies to an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyReport {
    /// Which.
    pub id: PolicyId,
    /// Where it is evaluated here; `NormalAndForward` means the forward class. A policy with `applyOnForward` stands in
    /// the list twice (E-212).
    pub class: PolicyClass,
    /// The direction it governs.
    pub direction: Direction,
    /// Its place in the evaluated order of this class and direction over all tiers, from 1 (T-20).
    pub position: usize,
    /// Its `order`; none sorts after every number (E-216).
    pub order: Option<f64>,
    /// Counted, never enforced (D-6).
    pub is_staged: bool,
}

/// What became of a local endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// It governs these interfaces, all of which exist.
    Governs {
        /// Their names.
        interfaces: BTreeSet<String>,
    },
    /// It governs all interfaces without an endpoint of their own (E-108).
    Wildcard,
    /// Another wildcard endpoint has the smaller name (E-107).
    InactiveWildcard {
        /// Its name.
        winner: String,
    },
    /// Its interface, or an interface with one of its addresses, does not exist (E-115).
    Unresolved,
    /// Other endpoints govern its interfaces (E-106).
    Shadowed {
        /// Interface to governing endpoint.
        by: BTreeMap<String, String>,
    },
    /// It names an interface of a workload, which no host endpoint governs (E-116).
    WorkloadInterface {
        /// The interface.
        interface: String,
    },
    /// It names an interface that the settings exclude (E-102).
    Excluded {
        /// The interface.
        interface: String,
    },
}

/// Something that is stored and has no effect, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotEnforced {
    /// The object.
    pub key: ResourceKey,
    /// The local endpoint for which it has none; `None` when it is about all of them.
    pub endpoint: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why something has no effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Untracked policy on a wildcard endpoint (E-415).
    UntrackedOnWildcard,
    /// This rule has `http`, which a host cannot check (E-358).
    Http {
        /// The direction.
        direction: Direction,
        /// Position in the list, from 0.
        rule: usize,
    },
    /// This rule has `services`, and there is no Kubernetes data (E-349).
    Services {
        /// The direction.
        direction: Direction,
        /// Position in the list, from 0.
        rule: usize,
    },
    /// The endpoint lists a profile that does not exist: it denies everything at its place (E-230).
    MissingProfile {
        /// The profile.
        profile: String,
    },
    /// The annotation `tortie.dev/reversePath` of the endpoint is none of its values (E-466).
    UnknownReversePath {
        /// What stands there.
        value: String,
    },
    /// A reverse-path check on a wildcard endpoint: it belongs to one interface (E-466).
    ReversePathOnWildcard,
    /// The policy's tier does not exist: it comes after all others, with default action Deny (E-218).
    MissingTier {
        /// The tier.
        tier: String,
    },
}
