//! A host in the present network namespace whose neighbours are this program: each interface is a tap, so that a packet
//! is on its way through the host while it is written, and has arrived or not when the write returns.

use std::ffi::c_int;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6, recv, sendto};
use tortie_api::model::Protocol;
use tortie_api::packet::Packet;

use super::bytes::{MARKER_LEN, marker};

/// An interface, the host's addresses on it, and the neighbours behind it.
pub(crate) struct Segment {
    pub(crate) interface: &'static str,
    pub(crate) own: &'static [&'static str],
    pub(crate) near: &'static [&'static str],
}

/// The addresses are those that random worlds speak of, and some beside them.
pub(crate) const SEGMENTS: [Segment; 5] = [
    Segment {
        interface: "eth0",
        own: &["10.0.0.1", "2001:db8::1", "fe80::1"],
        near: &["10.0.0.2", "10.0.0.77", "10.0.0.254", "2001:db8::2", "2001:db8::77", "fe80::2"],
    },
    Segment {
        interface: "eth1",
        own: &["10.0.1.1", "2001:db8:1::1"],
        near: &["10.0.1.2", "10.0.1.127", "10.0.1.128", "2001:db8:1::2", "2001:db8:1:ffff::77"],
    },
    Segment {
        interface: "cali1",
        own: &["169.254.1.1", "2001:db8:c::1"],
        near: &["192.0.2.1", "192.0.2.254", "2001:db8:c::2"],
    },
    Segment {
        interface: "bond0",
        own: &["172.16.0.1", "2001:db9:b::1"],
        near: &["10.2.0.5", "11.0.0.0", "2001:db9:b::2", "2001:db8:b::2"],
    },
    Segment { interface: "kube-ipvs0", own: &["198.18.0.1", "2001:db8:d::1"], near: &["198.18.0.2", "2001:db8:d::2"] },
];

/// The lab's own name of an interface.
pub fn interface(name: &str) -> Option<&'static str> {
    SEGMENTS.iter().map(|segment| segment.interface).find(|known| *known == name)
}

/// Where a packet was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A local process has it.
    Local,
    /// It left by this interface.
    Left(&'static str),
}

const PROTOCOLS: [Protocol; 7] =
    [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP, Protocol::ICMPV6, Protocol(47), Protocol::UDPLITE];

/// The host.
pub(crate) struct Lab {
    taps: Vec<(&'static str, File)>,
    /// By family and protocol.
    receivers: Vec<(bool, Protocol, OwnedFd)>,
    senders: [OwnedFd; 2],
}

impl Lab {
    /// Makes the host in the present network namespace, which must be a new one.
    pub(crate) fn build(dnat: &str) -> Lab {
        const SYSCTLS: [(&str, &str); 16] = [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/default/send_redirects", "0"),
            // However fast probes come, each that is refused is answered.
            ("net/ipv4/icmp_ratelimit", "0"),
            ("net/ipv4/icmp_ratemask", "0"),
            ("net/ipv6/icmp/ratelimit", "0"),
            ("net/ipv6/conf/all/accept_dad", "0"),
            ("net/ipv6/conf/default/accept_dad", "0"),
            ("net/ipv6/conf/default/addr_gen_mode", "1"),
            ("net/ipv6/conf/default/router_solicitations", "0"),
            ("net/ipv6/conf/default/forwarding", "1"),
            // A segment of no known connection is invalid, and every segment of a known one is within its window.
            ("net/netfilter/nf_conntrack_tcp_loose", "0"),
            ("net/netfilter/nf_conntrack_tcp_be_liberal", "1"),
        ];
        for (name, value) in SYSCTLS {
            fs::write(format!("/proc/sys/{name}"), value).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let taps = SEGMENTS.iter().map(|segment| (segment.interface, tap(segment.interface))).collect();
        let mut lines = vec!["link set lo up".to_owned()];
        for segment in &SEGMENTS {
            let interface = segment.interface;
            lines.push(format!("link set {interface} address {HOST_MAC_TEXT} up"));
            for own in segment.own {
                let (len, flag) = if own.contains(':') { (128, " nodad") } else { (32, "") };
                lines.push(format!("addr add {own}/{len} dev {interface}{flag}"));
            }
            for near in segment.near {
                let len = if near.contains(':') { 128 } else { 32 };
                lines.push(format!("route add {near}/{len} dev {interface}"));
                lines.push(format!("neigh add {near} lladdr 02:00:00:00:00:99 dev {interface} nud permanent"));
            }
        }
        run("ip", &["-batch", "-"], &lines.join("\n"));
        run("nft", &["-f", "-"], dnat);
        let both = [false, true];
        let receivers = both.iter().flat_map(|is_v6| PROTOCOLS.map(|protocol| (*is_v6, protocol)));
        let receivers =
            receivers.map(|(is_v6, protocol)| (is_v6, protocol, raw_socket(is_v6, c_int::from(protocol.0))));
        Lab { taps, receivers: receivers.collect(), senders: both.map(|is_v6| raw_socket(is_v6, libc::IPPROTO_RAW)) }
    }

    /// A neighbour on `interface` sends `bytes`, a packet from its network header on.
    pub(crate) fn send_from(&mut self, interface: &str, bytes: &[u8]) {
        let tap = self.taps.iter_mut().find(|(name, _)| *name == interface);
        let (_, tap) = tap.expect("packets arrive on interfaces of the lab");
        let ether_type = if bytes[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        let frame = [&HOST_MAC[..], &[2, 0, 0, 0, 0, 0x99], &ether_type, bytes].concat();
        tap.write_all(&frame).expect("a tap takes frames");
    }

    /// The host itself sends `bytes` to `destination`. A dropped packet is an error for its sender, and none here.
    pub(crate) fn send_local(&self, destination: IpAddr, bytes: &[u8]) {
        let result = match destination {
            IpAddr::V4(v4) => {
                let to = SockaddrIn::from(SocketAddrV4::new(v4, 0));
                sendto(self.senders[0].as_raw_fd(), bytes, &to, MsgFlags::empty())
            }
            IpAddr::V6(v6) => {
                let scope = if v6.is_unicast_link_local() { nix::net::if_::if_nametoindex("eth0") } else { Ok(0) };
                let to = SockaddrIn6::from(SocketAddrV6::new(v6, 0, 0, scope.expect("eth0 is there")));
                sendto(self.senders[1].as_raw_fd(), bytes, &to, MsgFlags::empty())
            }
        };
        match result {
            Ok(_) | Err(nix::Error::EPERM | nix::Error::ECONNREFUSED | nix::Error::EACCES) => {}
            Err(error) => panic!("cannot send to {destination}: {error}"),
        }
    }

    /// Where the packet `number` has come since the last question, and whether its sender got any answer; `len` is that
    /// of its upper layer.
    pub(crate) fn arrivals(&mut self, packet: &Packet, number: u32, len: usize) -> (Vec<Place>, bool) {
        let mut is_answered = false;
        let mut found = Vec::new();
        let mut buffer = [0; 4096];
        for (is_v6, protocol, socket) in &self.receivers {
            while let Ok(count) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                let bytes = &buffer[..count];
                // A raw socket of IPv4 shows the network header too.
                let header_len = if *is_v6 { 0 } else { usize::from(bytes[0] & 15) * 4 };
                let is_it = *protocol == packet.protocol && count == header_len + len;
                if is_it && *is_v6 == packet.source.is_ipv6() && bytes.ends_with(&marker(number)) {
                    found.push(Place::Local);
                }
            }
        }
        for (interface, tap) in &mut self.taps {
            while let Ok(count) = tap.read(&mut buffer) {
                let bytes = &buffer[14..count];
                if is_packet(bytes, packet, number, len) {
                    found.push(Place::Left(interface));
                } else {
                    // A host tells of a shorter way before it looks whether the packet may go it.
                    let is_redirect = bytes[6] == Protocol::ICMPV6.0 && bytes[0] >> 4 == 6 && bytes[40] == 137;
                    is_answered |= destination(bytes) == Some(packet.source) && !is_redirect;
                }
            }
        }
        // The host's answer to an echo request of its own looks like the request.
        found.dedup();
        (found, is_answered)
    }
}

/// Whether `bytes` are the packet, maybe with another destination; an error about it is not.
fn is_packet(bytes: &[u8], packet: &Packet, number: u32, len: usize) -> bool {
    let (source, header_len) = match (packet.source, bytes[0] >> 4) {
        (IpAddr::V4(source), 4) => (source.octets().to_vec(), usize::from(bytes[0] & 15) * 4),
        (IpAddr::V6(source), 6) => (source.octets().to_vec(), if bytes[6] == 60 { 48 } else { 40 }),
        _ => return false,
    };
    let source_at = if source.len() == 4 { 12 } else { 8 };
    len >= MARKER_LEN
        && bytes[source_at..].starts_with(&source)
        && bytes.len() == header_len + len
        && bytes.ends_with(&marker(number))
}

fn destination(bytes: &[u8]) -> Option<IpAddr> {
    match bytes[0] >> 4 {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(&bytes[16..20]).ok()?)),
        6 => Some(IpAddr::from(<[u8; 16]>::try_from(&bytes[24..40]).ok()?)),
        _ => None,
    }
}

const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HOST_MAC_TEXT: &str = "02:00:00:00:00:01";

/// Runs a command and gives it `input`.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) {
    let mut command = Command::new(program);
    let mut child = command.args(arguments).stdin(Stdio::piped()).spawn().expect("the command is installed");
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads its input");
    assert!(child.wait().expect("it ends").success(), "{program} {arguments:?}: {input}");
}

/// A new tap of this name (`TUNSETIFF` of `linux/if_tun.h`).
fn tap(name: &str) -> File {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).custom_flags(libc::O_NONBLOCK).open("/dev/net/tun");
    let file = file.expect("this kernel has taps (CONFIG_TUN)");
    // SAFETY: `ifreq` is made of integers and bytes, for which zeros are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: the descriptor is open, and the kernel reads and writes one `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    assert_eq!(result, 0, "tap {name}: {}", std::io::Error::last_os_error());
    file
}

fn raw_socket(is_v6: bool, protocol: c_int) -> OwnedFd {
    let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
    // SAFETY: `socket` takes numbers only; what it returns is checked below.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    assert!(descriptor >= 0, "raw socket: {}", std::io::Error::last_os_error());
    // SAFETY: the descriptor is a new one, and nobody else has it.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}
