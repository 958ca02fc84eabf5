//! What the agent tells of itself: the body of `GET /v1/status`. Names and shapes are stable; members may be added.

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
    /// Settings in force that are not the default.
    #[serde(default)]
    pub settings: Vec<SettingStatus>,
    /// What staged policies would have done (D-6); filled when counters are asked for.
    #[serde(default)]
    pub staged: Vec<StagedStatus>,
    /// What is stored and has no effect, or not all of it.
    pub not_enforced: Vec<NotEnforcedStatus>,
    /// Invalid objects of the store.
    pub invalid: Vec<InvalidStatus>,
    /// Other things to look at.
    pub warnings: Vec<String>,
    /// What is valid and may surprise, of the objects that concern this host.
    #[serde(default)]
    pub lints: Vec<LintStatus>,
    /// What is as it should be and may surprise, such as settings that are accepted without effect.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Something that is valid and may surprise whoever wrote it (enforcement.md section 9).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LintStatus {
    /// The rule or trap of the specification, as `T-9`.
    pub rule: String,
    /// The object, as `Kind(name)`.
    pub object: String,
    /// The field; empty for the object as a whole.
    pub path: String,
    /// What happens.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The store as the agent sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Its place.
    pub place: String,
    /// `connecting`, `in-sync`, `locked` or `lost`.
    pub state: String,
    /// Why, when it is lost or locked.
    pub message: Option<String>,
    /// Since when it is lost, RFC 3339 UTC.
    pub stale_since: Option<String>,
    /// Whether what is enforced may be older than the store.
    #[serde(default)]
    pub is_stale: bool,
    /// The newest revision that was read.
    pub revision: u64,
    /// What else there is to know of it, such as the API group in use.
    #[serde(default)]
    pub remarks: Vec<String>,
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
    /// In how many kernel transactions.
    #[serde(default)]
    pub last_apply_transactions: usize,
    /// The generation of the ruleset after it.
    #[serde(default)]
    pub last_apply_generation: u32,
    /// Times programming failed and was tried again.
    #[serde(default)]
    pub failures: u64,
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
    /// The endpoint that governs local traffic, if any.
    pub endpoint: Option<String>,
    /// The endpoint that serves each class of policy (T-6).
    #[serde(default)]
    pub classes: ClassEndpoints,
    /// Whether rules for its local traffic are in the kernel (T-3).
    #[serde(default)]
    pub protected: bool,
    /// Why there is no endpoint, where that is not plain: `exempt`, `workload`.
    pub note: Option<String>,
    /// Early drops (E-480); absent where no untracked policy judges what arrives, or they are disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub early_drop: Option<EarlyDropStatus>,
}

/// What is dropped before the network stack sees it on one interface (E-480..E-484).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlyDropStatus {
    /// `driver` or `generic`; absent when there is no program.
    pub mode: Option<String>,
    /// Addresses and networks whose packets are dropped.
    pub entries: usize,
    /// Packets dropped since the program is attached. Rules have not seen them, and count none of them.
    pub dropped_packets: u64,
    /// Why there is no program.
    pub reason: Option<String>,
}

/// Which endpoint serves which class of policy on one interface (E-108, E-111, E-112, E-121, E-415).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ClassEndpoints {
    /// Traffic of local processes.
    pub normal: Option<String>,
    /// Forwarded traffic.
    pub forward: Option<String>,
    /// Before destination NAT; absent when no endpoint has such policies here.
    #[serde(rename = "preDNAT")]
    pub pre_dnat: Option<String>,
    /// Before connection tracking; absent when no endpoint has such policies here.
    pub untracked: Option<String>,
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
    /// The interfaces that it governs by itself; empty for a wildcard.
    pub interfaces: BTreeSet<String>,
    /// Interfaces that it matches and another endpoint governs, with that one (E-106).
    #[serde(default)]
    pub shadowed_by: BTreeMap<String, String>,
    /// Interfaces that it governs and others match too, with those (T-4).
    #[serde(default)]
    pub shadows: BTreeMap<String, Vec<String>>,
    /// Policies, those of one class and direction together and in evaluated order.
    #[serde(default)]
    pub policies: Vec<PolicyStatus>,
    /// Profiles in order.
    pub profiles: Vec<String>,
    /// Things about it that may surprise, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Packets that were dropped before failsafes and policy because their connection state is invalid (E-421, T-13);
    /// absent unless counters are asked for.
    #[serde(default)]
    pub invalid_drops: Option<Traffic>,
}

/// One policy of an endpoint, in one class and direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// The policy, as `Kind(name)`.
    pub policy: String,
    /// Its tier.
    pub tier: String,
    /// `normal`, `forward`, `preDNAT` or `untracked`.
    pub class: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Its place in the evaluated order of this class and direction, from 1 (T-20).
    pub position: usize,
    /// Its `order`; absent sorts last.
    pub order: Option<f64>,
    /// Counted, never enforced.
    pub is_staged: bool,
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, headers of the network layer included.
    pub bytes: u64,
}

/// A setting in force that is not the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SettingStatus {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where it stands: `environment`, `file` or `FelixConfiguration(name)`.
    pub source: String,
}

/// What one staged policy would have done to the packets it saw, over all endpoints of this host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagedStatus {
    /// The policy, as `Kind(name)`.
    pub policy: String,
    /// Its tier.
    pub tier: String,
    /// `ingress` or `egress`.
    pub direction: String,
    /// One for each rule, in order; the last one, without a rule, is for packets that no rule matched.
    pub verdicts: Vec<StagedVerdict>,
}

/// What one rule of a staged policy would have done.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StagedVerdict {
    /// Position in the list, from 0; absent for the end of the policy.
    pub rule: Option<usize>,
    /// `Allow`, `Deny`, `Pass`, `Log`, or `no match`.
    pub verdict: String,
    /// How much.
    #[serde(flatten)]
    pub traffic: Traffic,
}

/// The body of `GET /v1/sets`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sets {
    /// Every set that rules of this host use.
    pub sets: Vec<SetStatus>,
}

/// One set, and where each of its members is from (T-27).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SetStatus {
    /// The selector that objects must satisfy, in canonical form; absent for a named port without one.
    pub selector: Option<String>,
    /// The name of the port, for sets of named ports.
    pub port: Option<String>,
    /// The protocol that such a set is limited to, if it is.
    pub protocol: Option<String>,
    /// Member (`192.0.2.1/32`, or `192.0.2.1 TCP:80`) to the objects that contribute it, as `Kind(name)`.
    pub members: BTreeMap<String, Vec<String>>,
}

/// The body of `GET /v1/counters`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// One for each rule and each element of our table that counts, in the order of the table.
    pub counters: Vec<CounterStatus>,
}

/// What one rule has counted in one chain or map since that was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// The chain or map, with the number of its instance.
    pub chain: String,
    /// Where the rule comes from.
    pub comment: String,
    /// How much.
    #[serde(flatten)]
    pub traffic: Traffic,
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
