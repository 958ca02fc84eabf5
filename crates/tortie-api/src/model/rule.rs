//! Rules of policies and profiles (enforcement.md section 3, resources.md section 3).

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_selector::Selector;

use super::{Port, Protocol};

/// What a matching rule does (E-222).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Accept and stop.
    Allow,
    /// Drop and stop.
    Deny,
    /// Write a log line and go on with the next rule.
    Log,
    /// Leave the tier, or the profile.
    Pass,
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The family of a network.
    pub fn of_net(net: IpNet) -> Family {
        Family::of(net.addr())
    }

    /// The ICMP of the family.
    pub const fn icmp(self) -> Protocol {
        match self {
            Family::V4 => Protocol::ICMP,
            Family::V6 => Protocol::ICMPV6,
        }
    }
}

/// `icmp` or `notICMP`; a code never stands without a type (E-312).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpMatch {
    /// The type, 0 to 254.
    pub icmp_type: u8,
    /// The code; any when absent.
    pub code: Option<u8>,
}

/// One rule. Absent criteria always match (E-301).
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What to do.
    pub action: Action,
    /// Limits the rule to one family (E-315).
    pub ip_version: Option<Family>,
    /// The upper-layer protocol (E-310).
    pub protocol: Option<Protocol>,
    /// The negated protocol (E-311).
    pub not_protocol: Option<Protocol>,
    /// ICMP type and code (E-312). `icmp: {}` without a type is no criterion and stands here as `None`.
    pub icmp: Option<IcmpMatch>,
    /// Negated ICMP type and code, as one pair (E-313).
    pub not_icmp: Option<IcmpMatch>,
    /// Criteria on the packet's source (E-302).
    pub source: Entity,
    /// Criteria on the packet's destination.
    pub destination: Entity,
    /// Whether the rule has an `http` criterion, which a packet filter cannot evaluate (E-358).
    pub has_http: bool,
    /// `metadata.annotations`, which become comments (E-359).
    pub annotations: BTreeMap<String, String>,
}

/// Criteria on one end of the packet; all must hold (E-303).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entity {
    /// The address is in one of these, masked to their prefix (E-319).
    pub nets: Vec<IpNet>,
    /// The address is in none of these.
    pub not_nets: Vec<IpNet>,
    /// Port numbers, ranges and names (E-325, E-326).
    pub ports: Vec<Port>,
    /// Negated ports (E-332).
    pub not_ports: Vec<Port>,
    /// `selector`, when not empty, as written: not yet joined with the namespace part.
    pub selector: Option<Selector>,
    /// `notSelector`, when not empty.
    pub not_selector: Option<Selector>,
    /// `namespaceSelector`, when not empty.
    pub namespace_selector: Option<Selector>,
    /// `serviceAccounts`, when given.
    pub service_accounts: Option<ServiceAccounts>,
    /// `services`, when given (E-349).
    pub services: Option<ServiceRef>,
}

/// `serviceAccounts` of an entity (E-347).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceAccounts {
    /// Names, any of which matches.
    pub names: Vec<String>,
    /// Selector over labels of service accounts, when not empty.
    pub selector: Option<Selector>,
}

/// `services` of an entity (E-349).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRef {
    /// The service's name.
    pub name: String,
    /// Its namespace; absent in a namespaced policy means the policy's own.
    pub namespace: Option<String>,
}

impl Rule {
    /// A rule without criteria.
    pub fn any(action: Action) -> Rule {
        Rule {
            action,
            ip_version: None,
            protocol: None,
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: Entity::default(),
            destination: Entity::default(),
            has_http: false,
            annotations: BTreeMap::new(),
        }
    }
}
