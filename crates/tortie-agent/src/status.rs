//! What the agent tells of itself: the body of `GET /v1/status`. Names and shapes are stable.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// The state of one agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The node it enforces for (E-101).
    pub node: String,
    /// The store.
    pub store: StoreStatus,
    /// The kernel.
    pub kernel: KernelStatus,
    /// Links of the host.
    pub interfaces: Vec<InterfaceStatus>,
    /// Local host endpoints.
    pub endpoints: Vec<EndpointStatus>,
    /// Failsafe ports in force.
    pub failsafes: Failsafes,
    /// What is stored and has no effect, or not all of it.
    pub not_enforced: Vec<NotEnforcedStatus>,
    /// Invalid objects of the store.
    pub invalid: Vec<InvalidStatus>,
    /// Other things to look at.
    pub warnings: Vec<String>,
}

/// The store as the agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its place.
    pub place: String,
    /// `connecting`, `in-sync`, `locked` or `lost`.
    pub state: String,
    /// Why, when it is lost.
    pub message: Option<String>,
    /// Since when it is lost, RFC 3339 UTC.
    pub stale_since: Option<String>,
    /// The newest revision that was read.
    pub revision: u64,
}

/// The kernel as the agent keeps it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelStatus {
    /// The revision that is enforced; absent before the first programming.
    pub revision: Option<u64>,
    /// The generation of the ruleset.
    pub generation: u32,
    /// Chains, sets and rules of our table.
    pub chains: usize,
    /// Sets and maps.
    pub sets: usize,
    /// Rules.
    pub rules: usize,
    /// Times something was programmed.
    pub applies: u64,
    /// Transactions of all of them.
    #[serde(default)]
    pub transactions: u64,
    /// Operations in those.
    #[serde(default)]
    pub operations: u64,
    /// When that was last, RFC 3339 UTC.
    pub last_apply: Option<String>,
    /// How long it took, in microseconds.
    pub last_apply_us: u64,
    /// Times foreign hands changed our table and it was repaired (E-721).
    pub repairs: u64,
    /// Who did that last, where the kernel says so.
    pub last_repair_author: Option<String>,
    /// Why the last attempt failed, if it did; the old rules stay.
    pub error: Option<String>,
    /// What is enforced in place of the store, as long as it could not be read since the start (E-708).
    #[serde(default)]
    pub stand_in: Option<String>,
    /// Objects that the kernel does not take (E-711).
    #[serde(default)]
    pub refused: Vec<RefusedStatus>,
    /// Why the saved state could not be read or written.
    #[serde(default)]
    pub state_error: Option<String>,
    /// Base chains of other tables that may drop what we accept (E-409).
    pub foreign: Vec<String>,
}

/// An object that the kernel does not take.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RefusedStatus {
    /// The object, as `Kind(name)`.
    pub object: String,
    /// Which rule of it, as `ingress[0]`, where the kernel tells.
    pub rule: Option<String>,
    /// What the kernel says.
    pub message: String,
    /// Whether its last good form stays in force; otherwise it counts as missing.
    pub is_held: bool,
}

/// One link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Whether it is running.
    pub is_running: bool,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The endpoint that governs it, if any.
    pub endpoint: Option<String>,
    /// Why there is none, where that is not plain: `exempt`, `workload`.
    pub note: Option<String>,
}

/// One local host endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// Its name.
    pub name: String,
    /// `up`, `down` or `error` (E-740).
    pub state: String,
    /// Why, in a sentence.
    pub reason: Option<String>,
    /// The interfaces that it governs.
    pub interfaces: BTreeSet<String>,
    /// Policies for packets into the host, in evaluated order.
    pub ingress: Vec<String>,
    /// Policies for packets out of the host.
    pub egress: Vec<String>,
    /// Profiles in order.
    pub profiles: Vec<String>,
}

/// Failsafe ports in force, as `tcp:22` or `tcp:10.0.0.0/8:22`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failsafes {
    /// Into the host.
    pub inbound: Vec<String>,
    /// Out of the host.
    pub outbound: Vec<String>,
}

/// Something without effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotEnforcedStatus {
    /// The object, as `Kind(name)`.
    pub object: String,
    /// The endpoint concerned; absent when it is about all of them.
    pub endpoint: Option<String>,
    /// Why.
    pub reason: String,
}

/// An invalid object of the store.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InvalidStatus {
    /// The object, as `Kind(name)`.
    pub object: String,
    /// Each mistake.
    pub messages: Vec<String>,
    /// Whether its last valid form stays in force (D-11).
    pub is_held: bool,
}

/// A sentence for people when a request fails: the body of every answer that is not 200.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The sentence.
    pub error: String,
    /// More, by name.
    #[serde(default)]
    pub details: BTreeMap<String, String>,
}
