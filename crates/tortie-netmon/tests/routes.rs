//! The real kernel, each test in a network namespace of its own that vanishes with its thread.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::{Duration, Instant};

use tortie_api::facts::Toward;
use tortie_netmon::{Routes, list_now};
use tortie_testkit::sandbox::in_network_namespace;

fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The answer as text: `local`, `broadcast`, names, or `-`. `question` is a destination, or `destination from source`.
fn toward(question: &str) -> String {
    let (destination, source) = match question.split_once(" from ") {
        Some((destination, source)) => (destination, Some(source.parse().unwrap())),
        None => (question, None),
    };
    let links = list_now().unwrap();
    match Routes::open().unwrap().toward(destination.parse().unwrap(), source, &links).unwrap() {
        Some(Toward::Local) => "local".to_owned(),
        Some(Toward::Broadcast) => "broadcast".to_owned(),
        Some(Toward::Interfaces(names)) => names.into_iter().collect::<Vec<_>>().join(" "),
        None => "-".to_owned(),
    }
}

/// Waits for the answer: the kernel makes routes of new IPv6 addresses and links a little later.
fn await_answer(question: &str, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while toward(question) != expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(toward(question), expected, "{question}");
}

#[test]
fn the_kernel_says_where_an_address_lies_e731() {
    in_network_namespace(|| {
        sh("ip link set lo up
            for n in 0 1; do
                ip link add d$n type veth peer name p$n; ip link set d$n up; ip link set p$n up
                ip addr add 10.0.$n.1/24 dev d$n; ip -6 addr add fd0$n::1/64 dev d$n nodad
            done");
        for (question, expected) in [
            ("127.0.0.5", "local"),
            ("::1", "local"),
            ("10.0.0.1", "local"),
            ("fd01::1", "local"),
            ("10.0.0.255", "broadcast"),
            ("10.0.0.7", "d0"),
            ("10.0.1.7", "d1"),
            ("fd01::7", "d1"),
            ("10.0.1.7 from 10.0.1.1", "d1"),
            ("192.0.2.1", "-"),
            ("2001:db8::1", "-"),
            // A source that is not ours is no question the kernel answers.
            ("10.0.1.7 from 192.0.2.9", "-"),
        ] {
            await_answer(question, expected);
        }
        sh("ip route add 192.0.2.0/24 nexthop via 10.0.0.2 nexthop via 10.0.1.2
            ip -6 route add 2001:db8::/32 nexthop via fd00::2 nexthop via fd01::2
            ip route add 198.51.100.0/24 via 10.0.0.2
            ip route add blackhole 203.0.113.0/25
            ip route add unreachable 203.0.113.128/25
            ip rule add from 10.0.1.1 lookup 77
            ip route add 198.51.100.0/24 via 10.0.1.2 table 77");
        for (question, expected) in [
            ("192.0.2.1", "d0 d1"),
            ("2001:db8::1", "d0 d1"),
            ("198.51.100.1", "d0"),
            ("198.51.100.1 from 10.0.0.1", "d0"),
            ("198.51.100.1 from 10.0.1.1", "d1"),
            ("203.0.113.1", "-"),
            ("203.0.113.200", "-"),
        ] {
            await_answer(question, expected);
        }
    });
}
