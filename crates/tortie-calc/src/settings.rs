//! The agent's settings as far as they change what is enforced (enforcement.md section 6, D-12).

use ipnet::IpNet;
use tortie_api::model::Protocol;

mod resolve;

pub use resolve::{Local, SettingProblem, Sources, resolve};

/// Settings in force, after all sources have been merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The node whose host endpoints are local (E-101).
    pub node: String,
    /// Prefixes of workload interfaces (E-102); never empty strings.
    pub interface_prefixes: Vec<String>,
    /// Interfaces that no host endpoint governs (E-102).
    pub interface_exclude: Vec<InterfacePattern>,
    /// Whether the wildcard leaves `lo` alone (E-121).
    pub is_loopback_exempt: bool,
    /// Ports that are always open inward (E-501).
    pub failsafe_inbound: Vec<Failsafe>,
    /// Ports that are always open outward.
    pub failsafe_outbound: Vec<Failsafe>,
    /// `None` when not set: then it is Return (E-442).
    pub endpoint_to_host_action: Option<HostAction>,
    /// Whether packets of state invalid are dropped (E-421, E-615).
    pub drops_invalid: bool,
    /// Whether neighbour discovery, MLD and DHCPv6 are always allowed (E-461, E-462).
    pub allows_ipv6_essentials: bool,
    /// Whether a rule with `http` matches as if `http` were absent (E-358, `IgnoreHTTP`).
    pub ignores_http: bool,
    /// Prefix of kernel log lines, without the colon (E-355).
    pub log_prefix: String,
}

/// One entry of `interfaceExclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfacePattern {
    /// Exactly this name.
    Exact(String),
    /// An unanchored regular expression; valid, checked when it was read.
    Regex(String),
}

/// One failsafe entry (E-502).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Failsafe {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The destination port.
    pub port: u16,
    /// Only for peers in this network, and only in its family (E-503).
    pub net: Option<IpNet>,
}

/// `defaultEndpointToHostAction` (E-440).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostAction {
    /// Drop.
    Drop,
    /// Leave it to other programs' rules.
    Return,
    /// Accept.
    Accept,
}

impl Settings {
    /// Whether a name is that of a workload interface (section 0 of enforcement.md).
    pub fn is_workload_interface(&self, name: &str) -> bool {
        self.interface_prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

impl Failsafe {
    /// An entry for all networks.
    pub const fn any(protocol: Protocol, port: u16) -> Self {
        Self { protocol, port, net: None }
    }

    /// The built-in inbound list (E-501).
    pub fn default_inbound() -> Vec<Failsafe> {
        let tcp = [22, 179, 2379, 2380, 5473, 6443, 6666, 6667];
        let mut list: Vec<_> = tcp.into_iter().map(|port| Failsafe::any(Protocol::TCP, port)).collect();
        list.push(Failsafe::any(Protocol::UDP, 68));
        list.sort();
        list
    }

    /// The built-in outbound list (E-501).
    pub fn default_outbound() -> Vec<Failsafe> {
        let tcp = [179, 2379, 2380, 5473, 6443, 6666, 6667];
        let mut list: Vec<_> = tcp.into_iter().map(|port| Failsafe::any(Protocol::TCP, port)).collect();
        list.extend([53, 67].map(|port| Failsafe::any(Protocol::UDP, port)));
        list.sort();
        list
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node: String::new(),
            interface_prefixes: vec!["cali".to_owned()],
            interface_exclude: vec![InterfacePattern::Exact("kube-ipvs0".to_owned())],
            is_loopback_exempt: true,
            failsafe_inbound: Failsafe::default_inbound(),
            failsafe_outbound: Failsafe::default_outbound(),
            endpoint_to_host_action: None,
            drops_invalid: true,
            allows_ipv6_essentials: true,
            ignores_http: false,
            log_prefix: "calico-packet".to_owned(),
        }
    }
}
