//! The agent's settings as far as they change what is enforced (enforcement.md section 6, D-12).

use std::net::SocketAddr;

use ipnet::IpNet;
use tortie_api::model::Protocol;

mod assemble;
mod failsafe;
mod file;
mod list;
mod notes;
pub mod operation;
mod resolve;
mod sources;
mod value;

pub use file::{FILE_LEN_MAX, FileError, FileSettings, settings_of_file};
pub use list::{NOT_APPLICABLE, Origin, SETTINGS, STRICT, Setting, Usage, is_local_name};
pub use operation::Operation;
pub use resolve::{InForce, Resolved, SettingNote, SettingProblem, check, resolve};
pub use sources::{Local, Remembered, Sources, ValueSource};
pub use value::Kind;

/// Settings in force, after all sources have been merged.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// What becomes of packets from a workload interface to this host (E-440).
    ///
    /// `None` only where it was not set and [`Settings::drops_unknown_workloads`] is false: then it is Return (E-442).
    /// Not set while that is true, it is `Some(Drop)`, Calico's default.
    pub endpoint_to_host_action: Option<HostAction>,
    /// Whether packets of state invalid are dropped (E-421, E-615).
    pub drops_invalid: bool,
    /// Whether neighbour discovery, MLD and DHCPv6 are always allowed (E-461, E-462).
    pub allows_ipv6_essentials: bool,
    /// Whether a rule with `http` matches as if `http` were absent (E-358, `IgnoreHTTP`).
    pub ignores_http: bool,
    /// Prefix of kernel log lines, without the colon (E-355).
    pub log_prefix: String,
    /// How many log lines a rule may write (E-356); `None` is no limit.
    pub log_rate: Option<LogRate>,
    /// What a deny does at the filter hooks (E-610).
    pub deny_action: DenyAction,
    /// What an allow does at S3, S5 and S7 (E-408, E-611).
    pub filter_allow_action: AllowAction,
    /// What an allow does at S2 (E-408, E-612).
    pub mangle_allow_action: AllowAction,
    /// The bits of the packet mark that are ours (E-403, E-617); at least two of them are set.
    pub mark_mask: u32,
    /// Whether IPv6 is policed at all (E-618).
    pub polices_ipv6: bool,
    /// Whether traffic of workload interfaces without a workload endpoint is dropped (E-442): `unknownWorkloads: Drop`,
    /// or `compatibility: Strict` with `unknownWorkloads` not set.
    pub drops_unknown_workloads: bool,
    /// Whether that counts only on a node with workload endpoints: true where `Strict` alone asks for it. Without any, all
    /// workloads are unknown because nobody tells of them, and to drop their traffic would cut off what others let run.
    pub drops_unknown_beside_known_only: bool,
    /// Members that a set may have (E-351, E-622); never 0.
    pub set_size_max: usize,
}

/// `logActionRateLimit` and `logActionRateLimitBurst` (E-356).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogRate {
    /// Lines in one unit of time.
    pub lines: u32,
    /// The unit of time in seconds: 1, 60, 3600 or 86400.
    pub unit_s: u32,
    /// Lines that may come at once (`logActionRateLimitBurst`, 0 to 9999).
    pub burst: u32,
}

/// What a deny does (E-610). At the stages that are no filter stages (S1, S2, S6, S8) it always drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DenyAction {
    /// Say nothing.
    #[default]
    Drop,
    /// Answer with an ICMP or ICMPv6 port-unreachable error.
    Reject,
}

/// What an allow does (E-611, E-612). It always accepts at S1 and S6 and always returns at S8 (E-408).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllowAction {
    /// Accept: no later rule of the same hook and table is asked.
    #[default]
    Accept,
    /// Hand the packet to later rules.
    Return,
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

    /// Lets this host reach its store at these addresses whatever policy says (E-467).
    pub fn pin(&mut self, peers: &[SocketAddr]) {
        for peer in peers {
            let net = IpNet::from(peer.ip().to_canonical());
            let entry = Failsafe { protocol: Protocol::TCP, port: peer.port(), net: Some(net) };
            let covers = |known: &Failsafe| {
                (known.protocol, known.port) == (entry.protocol, entry.port)
                    && known.net.is_none_or(|known| known == net)
            };
            if !self.failsafe_outbound.iter().any(covers) {
                self.failsafe_outbound.push(entry);
            }
        }
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
            log_rate: None,
            deny_action: DenyAction::Drop,
            filter_allow_action: AllowAction::Accept,
            mangle_allow_action: AllowAction::Accept,
            mark_mask: 0xffff_0000,
            polices_ipv6: true,
            drops_unknown_workloads: false,
            drops_unknown_beside_known_only: false,
            set_size_max: 1_048_576,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_store_is_reached_by_each_address_unless_it_was_open_before_e467() {
        let mut settings = Settings::default();
        let before = settings.failsafe_outbound.clone();
        let peers = ["192.0.2.1:2379", "192.0.2.1:12379", "[2001:db8::1]:12379", "[::ffff:192.0.2.1]:12379"];
        settings.pin(&peers.map(|peer| peer.parse().unwrap()));
        let added: Vec<String> = settings.failsafe_outbound[before.len()..].iter().map(ToString::to_string).collect();
        assert_eq!(settings.failsafe_outbound[..before.len()], before);
        assert_eq!(added, ["tcp:192.0.2.1/32:12379", "tcp:[2001:db8::1/128]:12379"]);
        assert_eq!(settings.failsafe_inbound, Settings::default().failsafe_inbound);
    }
}
