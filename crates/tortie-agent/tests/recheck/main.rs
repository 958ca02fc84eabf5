//! Established flows after policy tightened (E-730, E-731): real packets between two hosts, each in a network namespace of
//! its own that vanishes with its thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use tortie_agent::Counts;
use tortie_api::model::Protocol;
use tortie_flows::Flows;
use tortie_netmon::list_now;
use tortie_nftables::Events;
use tortie_rules::plan;

mod hosts;

use hosts::{ALLOW, Connection, HERE, PATIENCE, PEER, Peer, allow_tcp, flows_of, in_two_hosts, policy, resources, sh};

#[test]
fn without_recheck_open_connections_survive_e730() {
    in_two_hosts(false, |host| {
        host.apply(ALLOW, ALLOW);
        let connections = HERE.map(|address| Connection::from_peer(host, address, 8055, 8055));
        assert_eq!(host.apply("", ""), Counts::default());
        connections.iter().for_each(Connection::assert_alive);
    });
}

/// What the peer sends is denied as new. What this host sends is allowed as new, and would open the flow the other way.
#[test]
fn a_denied_connection_is_dead_both_ways_and_others_live_e731() {
    in_two_hosts(true, |host| {
        for (here, peer) in HERE.into_iter().zip(PEER) {
            host.apply(ALLOW, ALLOW);
            let denied = Connection::from_peer(host, here, 8055, 8055);
            let others = [
                Connection::from_peer(host, here, 8056, 8056),
                Connection::from_peer(host, here, 22, 22),
                Connection::to_peer(host, peer, 9000),
            ];
            let counts = host.apply(&allow_tcp(8056), ALLOW);
            assert_eq!((counts.cut, counts.unheld, counts.offloaded), (1, 0, 0), "{counts:?}");
            assert!(counts.kept >= others.len(), "{counts:?}");
            denied.assert_dead(host);
            assert_eq!(flows_of(8055), 0, "a packet opened it again");
            others.iter().for_each(Connection::assert_alive);
        }
    });
}

#[test]
fn failsafe_connections_survive_a_policy_that_denies_everything_e731() {
    in_two_hosts(true, |host| {
        for (here, peer) in HERE.into_iter().zip(PEER) {
            host.apply(ALLOW, ALLOW);
            let failsafe = Connection::from_peer(host, here, 22, 22);
            let cut = [Connection::from_peer(host, here, 8055, 8055), Connection::to_peer(host, peer, 9000)];
            let counts = host.apply("", "");
            assert_eq!(counts.cut, cut.len(), "{counts:?}");
            failsafe.assert_alive();
            cut.iter().for_each(|connection| connection.assert_dead(host));
        }
    });
}

#[test]
fn a_udp_flow_is_cut_both_ways_e731() {
    in_two_hosts(true, |host| {
        for (here, peer) in HERE.into_iter().zip(PEER) {
            let at = |address: &str, port| SocketAddr::new(address.parse().unwrap(), port);
            let (server_at, client_at) = (at(here, 5353), at(peer, 4000));
            host.apply(ALLOW, ALLOW);
            let server = UdpSocket::bind(server_at).unwrap();
            let client = host.peer.run(move || UdpSocket::bind(client_at).unwrap());
            for (from, to, address) in [(&client, &server, server_at), (&server, &client, client_at)] {
                to.set_read_timeout(Some(PATIENCE)).unwrap();
                from.send_to(b"x", address).unwrap();
                to.recv(&mut [0]).unwrap();
            }
            assert_eq!(host.apply("", ALLOW).cut, 1);
            let before = host.dropped_packets();
            // Dropped on its way out, which is told to the sender.
            assert_eq!(server.send_to(b"x", client_at).unwrap_err().kind(), ErrorKind::PermissionDenied);
            assert_eq!(host.dropped_packets(), before + 1);
            client.send_to(b"x", server_at).unwrap();
            host.await_dropped_packets(before + 1);
            assert_eq!(flows_of(5353), 0);
        }
    });
}

#[test]
fn a_ping_is_cut_e731() {
    in_two_hosts(true, |host| {
        for (here, kinds) in HERE.into_iter().zip([
            (AddressFamily::Inet, SockProtocol::Icmp, Protocol::ICMP, 8u8),
            (AddressFamily::Inet6, SockProtocol::IcmpV6, Protocol::ICMPV6, 128),
        ]) {
            let (family, socket_protocol, protocol, request) = kinds;
            let pings = move || {
                let flows = Flows::open().unwrap().list().unwrap();
                flows.iter().filter(|flow| flow.original.protocol == protocol).count()
            };
            host.apply(ALLOW, ALLOW);
            let echo = host.peer.run(move || {
                sh("echo 0 0 > /proc/sys/net/ipv4/ping_group_range");
                let socket = socket(family, SockType::Datagram, SockFlag::empty(), socket_protocol).unwrap();
                UdpSocket::from(socket)
            });
            echo.set_read_timeout(Some(PATIENCE)).unwrap();
            // Type, code, checksum, identifier, sequence; the kernel fills in checksum and identifier.
            let ping = [request, 0, 0, 0, 0, 0, 0, 1];
            echo.send_to(&ping, (here, 0)).unwrap();
            echo.recv(&mut [0; 64]).unwrap();
            assert_eq!(pings(), 1);
            // Echo requests are denied, other types are not.
            let rule = format!("{{action: Allow, protocol: {protocol}, notICMP: {{type: {request}}}}}");
            let counts = host.apply(&rule, ALLOW);
            assert_eq!((counts.cut, pings()), (1, 0), "{counts:?}");
        }
    });
}

/// Whoever tightens by mistake and goes back gets the connection back as well.
#[test]
fn what_is_allowed_again_is_let_go_e731() {
    in_two_hosts(true, |host| {
        host.apply(ALLOW, ALLOW);
        let connections = HERE.map(|address| Connection::from_peer(host, address, 8055, 8055));
        assert_eq!(host.apply("", ALLOW).cut, 2);
        let counts = host.apply(ALLOW, ALLOW);
        assert_eq!((counts.cut, counts.released), (0, 2), "{counts:?}");
        connections.iter().for_each(Connection::assert_alive);
        assert_eq!(host.recheck().released, 0);
    });
}

#[test]
fn a_translated_flow_is_judged_by_where_it_goes_e731() {
    in_two_hosts(true, |host| {
        sh("nft add table inet t
            nft add chain inet t nat '{ type nat hook prerouting priority -100; }'
            nft add rule inet t nat tcp dport 81 redirect to :8055");
        for here in HERE {
            host.apply(ALLOW, ALLOW);
            let connection = Connection::from_peer(host, here, 81, 8055);
            assert_eq!(host.apply(&allow_tcp(8055), ALLOW).cut, 0);
            connection.assert_alive();
            assert_eq!(host.apply(&allow_tcp(81), ALLOW).cut, 1);
            connection.assert_dead(host);
        }
    });
}

/// The port that the peer asked for is closed before translation; the one behind it stays open.
#[test]
fn a_flow_denied_before_translation_is_cut_e731() {
    in_two_hosts(true, |host| {
        sh("nft add table inet t
            nft add chain inet t nat '{ type nat hook prerouting priority -100; }'
            nft add rule inet t nat tcp dport 81 redirect to :8055");
        for here in HERE {
            let pre_dnat = |ports: &str| {
                let rule = format!("{{action: Deny, protocol: TCP, destination: {{ports: [{ports}]}}}}");
                let spec = format!("{{selector: all(), preDNAT: true, applyOnForward: true, ingress: [{rule}]}}");
                format!("{}{}", resources(ALLOW, ALLOW), policy("early", &spec))
            };
            host.apply_yaml(&pre_dnat("7"));
            let translated = Connection::from_peer(host, here, 81, 8055);
            let direct = Connection::from_peer(host, here, 8055, 8055);
            assert_eq!(host.apply_yaml(&pre_dnat("81")).cut, 1);
            translated.assert_dead(host);
            direct.assert_alive();
        }
    });
}

#[test]
fn a_flow_through_this_host_is_cut_both_ways_e731() {
    in_two_hosts(true, |host| {
        let (gateway, inner) = (["198.51.100.1", "fd01::1"], ["198.51.100.2", "fd01::2"]);
        let behind = Peer::behind("eth1", gateway, inner);
        sh("echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding");
        host.engine.set_links(list_now().unwrap());
        for inner in inner {
            let connect = |peer: &Peer, port: u16| {
                let to = SocketAddr::new(inner.parse().unwrap(), port);
                let listener = behind.run(move || TcpListener::bind(to).unwrap());
                let peer = peer.run(move || TcpStream::connect(to).unwrap());
                Connection::new(listener.accept().unwrap().0, peer)
            };
            // What the inner host opens is not denied: its next packet would open the flow again.
            let through = |rule: &str| {
                let spec = format!("{{selector: all(), applyOnForward: true, types: [Ingress], ingress: [{rule}]}}");
                format!("{}{}", resources(ALLOW, ALLOW), policy("through", &spec))
            };
            host.apply_yaml(&through(ALLOW));
            let (denied, allowed) = (connect(&host.peer, 8055), connect(&host.peer, 8056));
            assert_eq!(host.apply_yaml(&through(&allow_tcp(8056))).cut, 1);
            denied.assert_dead(host);
            assert_eq!(flows_of(8055), 0, "a packet opened it again");
            allowed.assert_alive();
        }
    });
}

/// Nothing is left to plan after a recheck, nothing looks like a foreign hand, and the next recheck has nothing to do.
#[test]
fn held_flows_are_no_reason_to_repair_e721() {
    in_two_hosts(true, |host| {
        host.apply(ALLOW, ALLOW);
        let _connection = Connection::from_peer(host, HERE[0], 8055, 8055);
        let mut events = Events::open().unwrap();
        let counts = host.apply("", ALLOW);
        assert!(counts.cut == 1 && counts.transactions > 0, "{counts:?}");
        let actual = host.kernel.read().unwrap();
        assert!(plan(&host.ruleset, actual.ruleset.as_ref()).unwrap().is_empty());
        let events = events.drain().unwrap();
        assert!(events.iter().all(|event| event.port == host.kernel.port()), "{events:?}");
        let again = host.recheck();
        assert_eq!((again.cut, again.released, again.transactions), (0, 0, 0), "{again:?}");
    });
}
