//! The interfaces that a host reports of itself, for endpoints that are made of them (E-815).

use std::net::IpAddr;

use tortie_api::facts::{Link, Links};

use crate::report::ReportedInterface;

/// Interfaces whose addresses say nothing about the host: containers, virtual machines and tunnels have them, often with
/// the same addresses on every host. The list is that of Calico's address detection, and names that came up since.
const PREFIXES: [&str; 15] = [
    "cali",
    "cbr",
    "cni",
    "docker",
    "dummy",
    "flannel",
    "kube-ipvs",
    "lxcbr",
    "nodelocaldns",
    "podman",
    "tunl",
    "veth",
    "virbr",
    "vxlan-v6.calico",
    "vxlan.calico",
];
/// What Docker calls bridges of users' networks: this, and twelve hexadecimal digits.
const DOCKER_BRIDGE: &str = "br-";

/// Interfaces with addresses that others may know the host by, by name. Without loopback and link-local addresses.
pub(crate) fn interfaces(links: &Links) -> Vec<ReportedInterface> {
    links.values().filter(|link| !is_internal(&link.name)).filter_map(interface).collect()
}

fn interface(link: &Link) -> Option<ReportedInterface> {
    let addresses: Vec<IpAddr> = link.addresses.iter().copied().filter(is_of_host).collect();
    (!addresses.is_empty()).then(|| ReportedInterface { name: link.name.clone(), addresses })
}

fn is_internal(name: &str) -> bool {
    let is_bridge = |id: &str| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name.strip_prefix(DOCKER_BRIDGE).is_some_and(is_bridge)
}

fn is_of_host(address: &IpAddr) -> bool {
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !is_link_local && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_reports_the_addresses_that_others_know_it_by_e815() {
        let link = |name: &str, addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
            (name.to_owned(), Link { index: 1, name: name.to_owned(), is_running: true, controller: None, addresses })
        };
        let links = Links::from([
            link("lo", &["127.0.0.1", "::1"]),
            link("eth1", &["fd00::1", "10.0.1.1", "fe80::1", "169.254.0.7"]),
            link("eth0", &["10.0.0.1"]),
            link("eth2", &["fe80::2"]),
            link("docker0", &["172.17.0.1"]),
            link("br-0123456789ab", &["172.18.0.1"]),
            link("br-lan", &["10.0.2.1"]),
            link("cali123", &["169.254.1.1", "10.9.9.9"]),
        ]);
        let reported: Vec<(String, Vec<String>)> = interfaces(&links)
            .into_iter()
            .map(|found| (found.name, found.addresses.iter().map(ToString::to_string).collect()))
            .collect();
        let expected =
            [("br-lan", vec!["10.0.2.1"]), ("eth0", vec!["10.0.0.1"]), ("eth1", vec!["10.0.1.1", "fd00::1"])];
        let expected = expected.map(|(name, list)| (name.to_owned(), list.into_iter().map(str::to_owned).collect()));
        assert_eq!(reported, expected);
    }
}
