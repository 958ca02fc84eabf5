//! The host, its two neighbours, and the sockets of the rig.

use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::sockopt::RcvBufForce;
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, bind, setsockopt, socket};

use crate::gun::Sockets;
use crate::host::{Host, Neighbour, sh};
use crate::lane::{Flow, KNOWN_SOURCE, Lane};

/// Bytes that may wait for the gun: more than it ever has on the way.
const RECEIVE_BUFFER: usize = 16 << 20;

/// Settings of a namespace: no address is doubted.
const QUIET: &str = "cd /proc/sys/net; echo 0 > ipv4/conf/all/rp_filter; echo 0 > ipv4/conf/default/rp_filter; \
     ip link set lo up";

/// The neighbours. They end with this.
pub(crate) struct Range {
    near: Neighbour,
    far: Neighbour,
}

impl Range {
    /// Joins the host to a neighbour at `eth0`, which stands for everybody, and to one at `eth1`.
    pub(crate) fn build(host: &Host) -> Range {
        let (near, far) = (Neighbour::start(), Neighbour::start());
        host.sh(&format!(
            "{QUIET}
             for what in udp_timeout:5 tcp_timeout_syn_sent:1 tcp_timeout_close:1; do
                 echo ${{what#*:}} > netfilter/nf_conntrack_${{what%:*}}
             done
             ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth0 address 02:00:00:00:00:02 netns {}
             ip link add eth1 address 02:00:00:00:01:01 type veth peer name eth0 address 02:00:00:00:01:02 netns {}",
            near.thread, far.thread
        ));
        near.run(|| {
            sh(&format!(
                "{QUIET}
                 ip link set eth0 up
                 ip addr add 192.0.2.2/24 dev eth0; ip addr add 2001:db8:1::2/64 nodad dev eth0
                 ip route add local 172.16.0.0/12 dev lo; ip -6 route add local fd00::/8 dev lo
                 ip addr add fd00:1e::1/128 nodad dev lo # to begin the known flow
                 ip neigh replace 192.0.2.1 lladdr 02:00:00:00:00:01 dev eth0
                 ip neigh replace 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev eth0"
            ));
        });
        far.run(|| {
            sh(&format!(
                "{QUIET}
                 ip link set eth0 up
                 ip addr add 198.51.100.2/24 dev eth0; ip addr add 2001:db8:2::2/64 nodad dev eth0"
            ));
        });
        host.sh("ip link set eth0 up; ip link set eth1 up
             ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8:1::1/64 nodad dev eth0
             ip addr add 198.51.100.1/24 dev eth1; ip addr add 2001:db8:2::1/64 nodad dev eth1
             ip neigh replace 192.0.2.2 lladdr 02:00:00:00:00:02 dev eth0
             ip neigh replace 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev eth0
             ip neigh replace 198.51.100.2 lladdr 02:00:00:00:01:02 dev eth1
             ip neigh replace 2001:db8:2::2 lladdr 02:00:00:00:01:02 dev eth1
             ip route add 172.16.0.0/12 via 192.0.2.2; ip -6 route add fd00::/8 via 2001:db8:1::2
             echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        Range { near, far }
    }

    /// Opens the sockets for `lanes`, and makes their known flows known.
    pub(crate) fn open(&self, lanes: &[Lane]) -> Sockets {
        let mut arrivals = arrivals();
        let ports: Vec<u16> = lanes.iter().map(Lane::port).collect();
        let sink = {
            let ports = ports.clone();
            move || sink(&ports)
        };
        // Sinks live as long as the process: they spare the host from answering that nobody listens.
        for neighbour in [&self.near, &self.far] {
            let sink = sink.clone();
            arrivals.extend(neighbour.run(move || {
                sink();
                arrivals_of_neighbour()
            }));
        }
        sink();
        Sockets { wire: self.near.run(wire), local: local(), arrivals }
    }

    /// Lets the host answer the known flows, so that connection tracking knows both directions. Policy must let the
    /// first packets pass.
    pub(crate) fn make_known(&self, lanes: &[Lane]) {
        for lane in lanes.iter().filter(|lane| lane.flow == Flow::Known) {
            let (source, destination) = lane.addresses(0);
            let port = lane.port();
            let host = UdpSocket::bind((destination, port)).unwrap();
            host.set_read_timeout(Some(crate::host::PATIENCE)).unwrap();
            self.near.run(move || {
                let peer = UdpSocket::bind((source, KNOWN_SOURCE)).unwrap();
                peer.send_to(b"known?", (destination, port)).unwrap();
            });
            let (_, from) = host.recv_from(&mut [0; 16]).expect("policy lets the known flow begin");
            host.send_to(b"known.", from).unwrap();
        }
    }
}

/// Sees all UDP and TCP that is delivered in the present namespace.
fn arrivals() -> Vec<OwnedFd> {
    let mut sockets = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        for protocol in [SockProtocol::Udp, SockProtocol::Tcp] {
            sockets.push(raw(family, protocol));
        }
    }
    sockets
}

/// The neighbours get UDP only.
fn arrivals_of_neighbour() -> Vec<OwnedFd> {
    [AddressFamily::Inet, AddressFamily::Inet6].into_iter().map(|family| raw(family, SockProtocol::Udp)).collect()
}

fn raw(family: AddressFamily, protocol: SockProtocol) -> OwnedFd {
    let socket = socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).unwrap();
    setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).unwrap();
    socket
}

/// Sends whole packets as the host (IPPROTO_RAW: the sender writes the header).
fn local() -> [OwnedFd; 2] {
    [AddressFamily::Inet, AddressFamily::Inet6]
        .map(|family| socket(family, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).unwrap())
}

/// Sends whole frames by `eth0` of the present namespace, and receives nothing.
fn wire() -> OwnedFd {
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let link: LinkAddr = nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter(|link| link.interface_name == "eth0")
        .find_map(|link| link.address?.as_link_addr().copied())
        .expect("the neighbour has eth0");
    bind(socket.as_raw_fd(), &link).unwrap();
    socket
}

/// Takes what comes to the ports, and never looks at it.
fn sink(ports: &[u16]) {
    let mut ports = ports.to_vec();
    ports.sort_unstable();
    ports.dedup();
    let sockets: Vec<UdpSocket> = ports.iter().map(|port| UdpSocket::bind(("::", *port)).unwrap()).collect();
    std::mem::forget(sockets);
}
