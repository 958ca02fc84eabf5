//! Nodes: what automatic host endpoints are made of (resources.md section 8.1).

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Meta;

/// A host, as Calico or `tortie controller --standalone` stores it.
///
/// Addresses are those that could be read; masks are removed, entries that are no address of the right family are left out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Name, labels and annotations.
    pub meta: Meta,
    /// `bgp.ipv4Address`.
    pub bgp_ipv4: Option<IpAddr>,
    /// `bgp.ipv6Address`.
    pub bgp_ipv6: Option<IpAddr>,
    /// `bgp.ipv4IPIPTunnelAddr`.
    pub ipip_ipv4: Option<IpAddr>,
    /// `ipv4VXLANTunnelAddr`.
    pub vxlan_ipv4: Option<IpAddr>,
    /// `ipv6VXLANTunnelAddr`.
    pub vxlan_ipv6: Option<IpAddr>,
    /// `wireguard.interfaceIPv4Address`.
    pub wireguard_ipv4: Option<IpAddr>,
    /// `wireguard.interfaceIPv6Address`.
    pub wireguard_ipv6: Option<IpAddr>,
    /// `addresses[]` of type InternalIP, in order.
    pub internal_ips: Vec<IpAddr>,
    /// `interfaces[]`, each name once, in order of first mention.
    pub interfaces: Vec<NodeInterface>,
    /// The name of the Kubernetes node: `orchRefs[]` of orchestrator `k8s`.
    pub kubernetes_name: Option<String>,
}

/// An interface of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInterface {
    /// Its name, never empty.
    pub name: String,
    /// Its addresses, in order, each once.
    pub addresses: Vec<IpAddr>,
}

impl Node {
    /// All addresses of the node in the order of E-805, each once.
    ///
    /// ExternalIP is none of them: it belongs to a translator in front of the host.
    pub fn expected_ips(&self) -> Vec<IpAddr> {
        let single = [
            self.bgp_ipv4,
            self.bgp_ipv6,
            self.ipip_ipv4,
            self.vxlan_ipv4,
            self.vxlan_ipv6,
            self.wireguard_ipv4,
            self.wireguard_ipv6,
        ];
        let of_interfaces = self.interfaces.iter().flat_map(|interface| &interface.addresses);
        let all = single.into_iter().flatten().chain(self.internal_ips.iter().copied()).chain(of_interfaces.copied());
        let mut seen = BTreeSet::new();
        all.filter(|address| seen.insert(*address)).collect()
    }
}
