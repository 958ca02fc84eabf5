//! The program in the kernel against the same in plain words, frame by frame (`BPF_PROG_TEST_RUN`).
#![allow(clippy::unwrap_used, reason = "a test that cannot load its program has failed")]

mod support;

use std::net::IpAddr;
use std::process::Command;

use ipnet::IpNet;
use support::frames::{Frame, drawn, ip, ports};
use support::{MAC, model};
use tortie_api::model::Protocol;
use tortie_calc::settings::Failsafe;
use tortie_testkit::generators::Random;
use tortie_xdp::{Blocked, FAILSAFES_MAX, Failsafes, Filter, Guard, Shapes, XDP_DROP, XDP_PASS};

const FRAMES_A_GUARD: usize = 2000;

fn failsafe(protocol: Protocol, port: u16, net: Option<&str>) -> Failsafe {
    Failsafe { protocol, port, net: net.map(|net| net.parse().unwrap()) }
}

fn blocked(nets: &[&str]) -> Blocked {
    let mut blocked = Blocked::default();
    for net in nets {
        match net.parse().unwrap() {
            IpNet::V4(net) => blocked.v4.push(net),
            IpNet::V6(net) => blocked.v6.push(net),
        }
    }
    blocked.v4.sort_unstable();
    blocked.v6.sort_unstable();
    blocked
}

fn loaded(guard: &Guard) -> Filter {
    let shapes = Shapes::of(&guard.blocked);
    let filter = Filter::load(MAC, &guard.failsafes, shapes);
    let filter = filter.expect("tests of programs need root, and a kernel with XDP");
    filter.block(shapes, &guard.blocked, None).unwrap();
    filter
}

/// Tells what the program does with `frame`, and that the model and the counter say the same.
fn is_dropped(filter: &Filter, guard: &Guard, frame: &[u8]) -> bool {
    let before = filter.drops().unwrap();
    let (verdict, _) = filter.run(frame, 1).unwrap();
    let is_dropped = match verdict {
        XDP_DROP => true,
        XDP_PASS => false,
        other => panic!("verdict {other} of {frame:02x?}"),
    };
    assert_eq!(filter.drops().unwrap() - before, u64::from(is_dropped), "the counter counts drops alone");
    assert_eq!(is_dropped, model::drops(MAC, guard, frame), "{guard:?}\n{frame:02x?}");
    is_dropped
}

#[test]
fn addresses_networks_tags_fragments_and_failsafes_e482_e483_e505() {
    let guard = Guard {
        blocked: blocked(&["198.51.100.7/32", "203.0.113.0/24", "2001:db8:bad::/48", "2001:db8::7/128"]),
        failsafes: Failsafes {
            inbound: vec![
                failsafe(Protocol::TCP, 22, None),
                failsafe(Protocol::UDP, 68, Some("203.0.113.128/25")),
                failsafe(Protocol::SCTP, 9, Some("2001:db8:bad:1::/64")),
            ],
            outbound: vec![failsafe(Protocol::UDP, 53, None), failsafe(Protocol::TCP, 443, Some("203.0.113.9/32"))],
        },
    };
    let filter = loaded(&guard);
    let packet = |source: &str, protocol: Protocol, from: u16, to: u16| {
        let source: IpAddr = source.parse().unwrap();
        let destination = if source.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" };
        ip(source, destination.parse().unwrap(), protocol.0, &ports(from, to))
    };
    let udp = |source: &str| packet(source, Protocol::UDP, 1000, 2000);
    let check = |what: &str, frame: Vec<u8>, expected: bool| {
        assert_eq!(is_dropped(&filter, &guard, &frame), expected, "{what}");
    };
    let plain = |what: &str, packet: Vec<u8>, expected: bool| check(what, Frame::of(packet).bytes(), expected);

    for (source, expected) in [
        ("198.51.100.7", true),
        ("198.51.100.8", false),
        ("203.0.113.0", true),
        ("203.0.113.255", true),
        ("203.0.114.0", false),
        ("2001:db8:bad:ffff::1", true),
        ("2001:db8:bae::1", false),
        ("2001:db8::7", true),
        ("2001:db8::8", false),
    ] {
        plain(source, udp(source), expected);
    }
    for (what, packet, expected) in [
        ("inbound failsafe", packet("203.0.113.1", Protocol::TCP, 1000, 22), false),
        ("its number in another protocol", packet("203.0.113.1", Protocol::UDP, 1000, 22), true),
        ("its number as source port", packet("203.0.113.1", Protocol::TCP, 22, 1000), true),
        ("in the net of a failsafe", packet("203.0.113.200", Protocol::UDP, 67, 68), false),
        ("outside the net of a failsafe", packet("203.0.113.1", Protocol::UDP, 67, 68), true),
        ("reply of an outbound failsafe", packet("203.0.113.1", Protocol::UDP, 53, 1000), false),
        ("in the net of an outbound failsafe", packet("203.0.113.9", Protocol::TCP, 443, 1000), false),
        ("outside of it", packet("203.0.113.8", Protocol::TCP, 443, 1000), true),
        ("a net of the other family", packet("198.51.100.7", Protocol::SCTP, 1, 9), true),
        ("an IPv6 net", packet("2001:db8:bad:1::5", Protocol::SCTP, 1, 9), false),
        ("outside an IPv6 net", packet("2001:db8:bad:2::5", Protocol::SCTP, 1, 9), true),
        ("DHCPv6", packet("2001:db8:bad::5", Protocol::UDP, 547, 546), false),
        ("port 546 of IPv4", packet("203.0.113.1", Protocol::UDP, 547, 546), true),
        ("a protocol without ports", packet("203.0.113.1", Protocol(47), 0, 0), true),
    ] {
        plain(what, packet, expected);
    }
    for (icmp_type, expected) in [(128, true), (129, true), (130, false), (135, false), (137, false), (143, false)] {
        let mut packet = packet("2001:db8:bad::5", Protocol::ICMPV6, 0, 0);
        packet[40] = icmp_type;
        plain(&format!("ICMPv6 {icmp_type} (E-461)"), packet, expected);
    }
    for (tags, expected) in [
        (&[(0x8100, 0)][..], true),
        (&[(0x8100, 0xe000)], true),
        (&[(0x88a8, 0), (0x8100, 0)], true),
        (&[(0x8100, 100)], false),
        (&[(0x8100, 0), (0x8100, 100)], false),
        (&[(0x88a8, 100), (0x8100, 0)], false),
        (&[(0x8100, 0), (0x8100, 0), (0x8100, 0)], false),
    ] {
        for source in ["203.0.113.1", "2001:db8::7"] {
            check(&format!("{tags:x?}"), Frame::of(udp(source)).tagged(tags).bytes(), expected);
        }
    }
    for (flags, expected) in [(0x0000, true), (0x4000, true), (0x8000, true), (0x2000, false), (0x0001, false)] {
        let mut packet = udp("203.0.113.1");
        packet[6..8].copy_from_slice(&u16::to_be_bytes(flags));
        plain(&format!("flags {flags:x}"), packet, expected);
    }
    let whole = Frame::of(udp("203.0.113.1")).bytes();
    for len in 14..whole.len() {
        check(&format!("cut to {len} bytes"), whole[..len].to_vec(), len >= 14 + 20 + 4);
    }
    let mut elsewhere = Frame::of(udp("203.0.113.1"));
    elsewhere.destination = [2, 0, 0, 0, 0, 9];
    check("to another address", elsewhere.bytes(), false);
    elsewhere.destination = [0xff; 6];
    check("to all", elsewhere.bytes(), false);
}

#[test]
fn drawn_frames_get_the_verdict_of_the_model_e480() {
    let mut random = Random::new(480);
    let networks = ["10.0.0.0/8", "10.0.0.1/32", "10.0.0.2/32", "10.1.0.0/16", "0.0.0.0/0", "192.0.2.0/25"];
    let networks6 = ["2001:db8::/32", "2001:db8::1/128", "fe80::/10", "::/0", "::/128", "2001:db8:1::/49"];
    let sources: Vec<IpAddr> = [
        "10.0.0.1",
        "10.0.0.3",
        "10.1.2.3",
        "192.0.2.1",
        "192.0.2.200",
        "2001:db8::1",
        "2001:db8:1::9",
        "fe80::1",
        "::",
    ]
    .map(|address| address.parse().unwrap())
    .to_vec();
    let port_numbers = [22, 53, 68, 546, 547, 80, 0, 65535];
    let (mut dropped, mut passed) = (0, 0);
    for _ in 0..40 {
        let mut nets: Vec<&str> = Vec::new();
        for list in [&networks[..], &networks6[..]] {
            nets.extend(list.iter().filter(|_| random.one_in(3)));
        }
        let mut entries = |count: usize| -> Vec<Failsafe> {
            let mut entry = || {
                let net =
                    [None, None, Some("10.0.0.0/30"), Some("2001:db8::/33"), Some("0.0.0.0/0"), Some("fe80::1/128")];
                let protocol = *random.pick(&[Protocol::TCP, Protocol::UDP, Protocol::SCTP]);
                failsafe(protocol, *random.pick(&port_numbers), *random.pick(&net))
            };
            (0..count).map(|_| entry()).collect()
        };
        let failsafes = Failsafes { inbound: entries(3), outbound: entries(2) };
        let guard = Guard { blocked: blocked(&nets), failsafes };
        let filter = loaded(&guard);
        for _ in 0..FRAMES_A_GUARD {
            let frame = drawn(&mut random, &sources, &port_numbers);
            let counter = if is_dropped(&filter, &guard, &frame) { &mut dropped } else { &mut passed };
            *counter += 1;
        }
    }
    assert!(dropped > 10_000 && passed > 10_000, "{dropped} dropped, {passed} passed");
}

/// The kernel verifies each way through the program: it is to take as many failsafes as policy may have.
#[test]
fn the_kernel_takes_as_many_failsafes_as_there_may_be() {
    let entry = |number: usize| {
        let nets = [None, Some(format!("10.{}.0.0/16", number % 256)), Some(format!("2001:db8:{number:x}:1::/64"))];
        let protocol = [Protocol::TCP, Protocol::UDP, Protocol::SCTP][number / 3 % 3];
        failsafe(protocol, 1000 + number as u16, nets[number % 3].as_deref())
    };
    let failsafes = Failsafes {
        inbound: (0..FAILSAFES_MAX / 2).map(entry).collect(),
        outbound: (FAILSAFES_MAX / 2..FAILSAFES_MAX).map(entry).collect(),
    };
    let guard = Guard { blocked: blocked(&["0.0.0.0/0", "::/0", "::1/128"]), failsafes };
    let filter = loaded(&guard);
    let mut random = Random::new(1);
    let sources = ["10.0.0.1", "10.255.0.1", "10.77.1.1", "2001:db8:5:1::1", "2001:db8:1ff:1::7"];
    let sources: Vec<IpAddr> = sources.map(|address| address.parse().unwrap()).to_vec();
    let ports: Vec<u16> = (1000..1000 + FAILSAFES_MAX as u16 + 10).collect();
    for _ in 0..500 {
        is_dropped(&filter, &guard, &drawn(&mut random, &sources, &ports));
    }
}

/// The unit of the agent has CAP_BPF and CAP_NET_ADMIN: from others the kernel takes less, and adds to what it takes.
#[test]
fn the_kernel_takes_it_without_cap_perfmon_and_cap_sys_admin() {
    for test in ["the_kernel_takes_as_many_failsafes_as_there_may_be", "drawn_frames_get_the_verdict_of_the_model_e480"]
    {
        let mut less = Command::new("setpriv");
        less.arg("--bounding-set=-perfmon,-sys_admin").arg(std::env::current_exe().unwrap()).args(["--exact", test]);
        let output = less.output().expect("setpriv is needed: apt-get install util-linux");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }
}

#[test]
fn held_it_drops_nothing_and_counts_nothing() {
    let guard = Guard { blocked: blocked(&["203.0.113.0/24"]), failsafes: Failsafes::default() };
    let filter = loaded(&guard);
    let packet = ip("203.0.113.1".parse().unwrap(), "192.0.2.1".parse().unwrap(), 17, &ports(1, 2));
    let frame = Frame::of(packet).bytes();
    for (is_held, expected) in [(true, XDP_PASS), (false, XDP_DROP), (true, XDP_PASS)] {
        filter.hold(is_held).unwrap();
        assert_eq!(filter.run(&frame, 1).unwrap().0, expected);
    }
    assert_eq!(filter.drops().unwrap(), 1);
}
