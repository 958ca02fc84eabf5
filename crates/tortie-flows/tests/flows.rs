//! The real kernel, each test in a network namespace of its own that vanishes with its thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use tortie_api::flow::{Flow, status};
use tortie_api::model::Protocol;
use tortie_flows::{Deleted, Flows};
use tortie_testkit::sandbox::in_network_namespace;

fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A namespace in which packets on `lo` are tracked, and what goes to TCP port 81 is sent to port 80 instead.
fn in_tracking_namespace(test: impl FnOnce(&mut Flows) + Send + 'static) {
    in_network_namespace(|| {
        sh("ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip -6 addr add fd00::1/128 dev lo nodad
            timeout 30 sh -c 'until ip -6 route get fd00::1 | grep -q ^local; do sleep 0.01; done'
            nft add table inet t
            nft add chain inet t track '{ type filter hook input priority 0; }'
            nft add rule inet t track ct state new ct mark set 7
            nft add chain inet t nat '{ type nat hook output priority -100; }'
            nft add rule inet t nat tcp dport 81 dnat ip to 127.0.0.1:80");
        test(&mut Flows::open().unwrap());
    });
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// An open TCP connection: the side that connected, and the one that accepted.
fn connect(listener: &TcpListener, to: SocketAddr) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(to).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

fn is_from(flow: &Flow, from: SocketAddr, protocol: Protocol) -> bool {
    let original = &flow.original;
    (original.source, original.source_port, original.protocol) == (from.ip(), from.port(), protocol)
}

/// Sends an echo request of this ICMP type from a ping socket, and waits for the answer.
fn ping(address: IpAddr, request: u8) {
    sh("echo 0 0 > /proc/sys/net/ipv4/ping_group_range");
    let (family, protocol) = if address.is_ipv4() {
        (AddressFamily::Inet, SockProtocol::Icmp)
    } else {
        (AddressFamily::Inet6, SockProtocol::IcmpV6)
    };
    let socket = UdpSocket::from(socket(family, SockType::Datagram, SockFlag::empty(), protocol).unwrap());
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Type, code, checksum, identifier, sequence; the kernel fills in checksum and identifier.
    socket.send_to(&[request, 0, 0, 0, 0, 0, 0, 1], (address, 0)).unwrap();
    socket.recv(&mut [0; 64]).unwrap();
}

/// The one flow that `from` began.
fn flow_from(flows: &mut Flows, from: SocketAddr, protocol: Protocol) -> Option<Flow> {
    flows.list().unwrap().into_iter().find(|flow| is_from(flow, from, protocol))
}

fn has(flow: &Flow, bits: u32) -> bool {
    flow.status & bits == bits
}

#[test]
fn tcp_flows_of_both_families_are_listed() {
    in_tracking_namespace(|flows| {
        assert_eq!(flows.list().unwrap(), []);
        for place in ["192.0.2.1:80", "[fd00::1]:80"] {
            let listener = TcpListener::bind(at(place)).unwrap();
            let (mut client, mut server) = connect(&listener, at(place));
            client.write_all(b"x").unwrap();
            server.read_exact(&mut [0]).unwrap();
            let from = client.local_addr().unwrap();
            let flow = flow_from(flows, from, Protocol::TCP).unwrap();
            assert_eq!((flow.original.destination, flow.original.destination_port), (at(place).ip(), 80));
            assert_eq!(flow.reply, flow.original.reversed());
            assert!(has(&flow, status::SEEN_REPLY | status::CONFIRMED), "{flow:?}");
            assert!(!has(&flow, status::DST_NAT) && !has(&flow, status::SRC_NAT), "{flow:?}");
            // `TCP_CONNTRACK_ESTABLISHED`.
            assert_eq!((flow.tcp_state, flow.mark, flow.master), (Some(3), 7, None));
            assert!(flow.timeout_s > 1000, "{flow:?}");
        }
    });
}

#[test]
fn a_translated_destination_is_the_source_of_the_answer_k17() {
    in_tracking_namespace(|flows| {
        let listener = TcpListener::bind("127.0.0.1:80").unwrap();
        let (client, _server) = connect(&listener, at("127.0.0.1:81"));
        let flow = flow_from(flows, client.local_addr().unwrap(), Protocol::TCP).unwrap();
        assert_eq!((flow.original.destination_port, flow.reply.source_port), (81, 80));
        assert!(has(&flow, status::DST_NAT), "{flow:?}");
        assert_eq!(flows.delete(&flow).unwrap(), Deleted::Done);
    });
}

#[test]
fn udp_and_ping_are_listed_and_deleted() {
    in_tracking_namespace(|flows| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.send_to(b"x", "127.0.0.1:9").unwrap();
        let flow = flow_from(flows, socket.local_addr().unwrap(), Protocol::UDP).unwrap();
        assert_eq!((flow.tcp_state, flow.original.destination_port), (None, 9));
        assert_eq!(flows.delete(&flow).unwrap(), Deleted::Done);
        for (address, protocol, request) in [("192.0.2.1", Protocol::ICMP, 8), ("fd00::1", Protocol::ICMPV6, 128)] {
            let address: IpAddr = address.parse().unwrap();
            ping(address, request);
            let all = flows.list().unwrap();
            let flow = all.iter().find(|flow| flow.original.protocol == protocol).unwrap();
            assert_eq!(
                (flow.original.destination, flow.original.icmp_type, flow.original.icmp_code),
                (address, request, 0)
            );
            assert_ne!(flow.original.icmp_id, 0);
            assert_eq!(flow.original.icmp_id, flow.reply.icmp_id);
            assert_eq!(flows.delete(flow).unwrap(), Deleted::Done);
        }
        assert_eq!(flows.list().unwrap(), []);
    });
}

#[test]
fn a_later_flow_of_the_same_tuple_is_left_alone() {
    in_tracking_namespace(|flows| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = socket.local_addr().unwrap();
        socket.send_to(b"x", "127.0.0.1:9").unwrap();
        let first = flow_from(flows, from, Protocol::UDP).unwrap();
        assert_eq!(flows.delete(&first).unwrap(), Deleted::Done);
        assert_eq!(flows.delete(&first).unwrap(), Deleted::AlreadyGone);
        socket.send_to(b"x", "127.0.0.1:9").unwrap();
        let second = flow_from(flows, from, Protocol::UDP).unwrap();
        assert_eq!(second.original, first.original);
        // The identity is made of the entry's place in memory, which the kernel may give out again.
        if second.id != first.id {
            assert_eq!(flows.delete(&first).unwrap(), Deleted::AlreadyGone);
            assert_eq!(flow_from(flows, from, Protocol::UDP).map(|flow| flow.id), Some(second.id));
        }
        let other = Flow { id: second.id ^ 1, ..second.clone() };
        assert_eq!(flows.delete(&other).unwrap(), Deleted::AlreadyGone);
        assert_eq!(flows.delete(&second).unwrap(), Deleted::Done);
    });
}

#[test]
fn flows_of_zones_are_told_apart() {
    in_tracking_namespace(|flows| {
        sh("nft add chain inet t zone '{ type filter hook output priority -300; }'
            nft add rule inet t zone udp dport 9 ct zone set 5
            nft add rule inet t zone udp dport 10 ct original zone set 6");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (port, zone, is_original_only) in [(9, 5, false), (10, 6, true)] {
            socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
            let all = flows.list().unwrap();
            let flow = all.iter().find(|flow| flow.zone.id == zone).unwrap_or_else(|| panic!("{all:?}"));
            assert_eq!((flow.original.destination_port, flow.zone.is_original_only), (port, is_original_only));
            let elsewhere = Flow { zone: Default::default(), ..flow.clone() };
            assert_eq!(flows.delete(&elsewhere).unwrap(), Deleted::AlreadyGone);
            assert_eq!(flows.delete(flow).unwrap(), Deleted::Done);
        }
    });
}

/// More flows than one datagram of a listing holds.
#[test]
fn many_flows_are_listed_whole() {
    in_tracking_namespace(|flows| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for port in 1..=3000 {
            socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
        }
        let from = socket.local_addr().unwrap();
        let mut ports: Vec<u16> = flows.list().unwrap().iter().map(|flow| flow.original.destination_port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports, (1..=3000).collect::<Vec<_>>());
        for flow in flows.list().unwrap().iter().filter(|flow| is_from(flow, from, Protocol::UDP)) {
            assert_eq!(flows.delete(flow).unwrap(), Deleted::Done);
        }
        assert_eq!(flows.list().unwrap(), []);
    });
}
