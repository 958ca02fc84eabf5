//! What each agent tells of itself beside the resources (D-14): what is inside the bytes of
//! [`Store::report`](crate::Store::report).

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// One agent's report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// The node.
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// The revision that is enforced; absent before the first programming.
    pub revision: Option<u64>,
    /// For each kind, by its plural, the newest revision that is enforced; empty where one number counts the whole store.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kinds: BTreeMap<String, String>,
    /// When this was written, RFC 3339 UTC.
    pub time: String,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
    /// Interfaces with addresses that others may know the host by (E-815); none from agents that do not tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<ReportedInterface>,
}

/// An interface of the reporting host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedInterface {
    /// Its name.
    pub name: String,
    /// Its addresses, at least one.
    pub addresses: Vec<IpAddr>,
}
