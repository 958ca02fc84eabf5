//! What the agent knows of its own host: links and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One link of the host's network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's index.
    pub index: u32,
    /// The present name, at most 15 bytes.
    pub name: String,
    /// `IFF_RUNNING`: E-740.
    pub is_running: bool,
    /// The index of the bridge, bond or VRF this link is a port of (E-119).
    pub controller: Option<u32>,
    /// Every address of type local, of both families (E-103).
    pub addresses: BTreeSet<IpAddr>,
}

/// Every link of the host by name. Where two indices briefly share a name neither is listed (E-114).
pub type Links = BTreeMap<String, Link>;

/// Where the host's routes send what goes to an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toward {
    /// To this host.
    Local,
    /// To all hosts of a network, this one among them.
    Broadcast,
    /// Out by one of these interfaces; several when the route has several paths.
    Interfaces(BTreeSet<String>),
}
