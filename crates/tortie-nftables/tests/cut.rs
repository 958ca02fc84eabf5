//! Sets whose elements come and go by themselves, in the real kernel (E-731). Each test has a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_api::flow::Tuple;
use tortie_api::model::{Family, Protocol};
use tortie_nftables::{Events, Kernel};
use tortie_rules::Ruleset;
use tortie_rules::compile::cut;
use tortie_rules::plan::{Op, Phase, Transaction, plan};
use tortie_rules::ruleset::{BaseChain, Chain, Element, Hook, Name, Set};
use tortie_testkit::sandbox::in_network_namespace;

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Empty base chains and what holds cut flows; `timeout_s` in place of the real one.
fn ruleset(timeout_s: Option<u32>) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for (name, hook) in [("input", Hook::Input), ("output", Hook::Output), ("forward", Hook::Forward)] {
        let base = Some(BaseChain { hook, priority: 0 });
        ruleset.chains.insert(Name::new(name), Arc::new(Chain { base, rules: Vec::new() }));
    }
    cut::add(&mut ruleset);
    for set in ruleset.sets.values_mut() {
        let set = Arc::make_mut(set);
        set.timeout_s = timeout_s.or(set.timeout_s);
    }
    ruleset
}

fn apply(kernel: &mut Kernel, desired: &Ruleset) -> usize {
    let actual = kernel.read().unwrap();
    let transactions = plan(desired, actual.ruleset.as_ref()).unwrap().transactions;
    for transaction in &transactions {
        kernel.commit(transaction, None).unwrap_or_else(|error| panic!("{:?}: {error:?}", transaction.phase));
    }
    transactions.len()
}

fn udp(source: &str, destination: &str) -> Tuple {
    Tuple {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: Protocol::UDP,
        source_port: 4000,
        destination_port: 5000,
        icmp_type: 0,
        icmp_code: 0,
        icmp_id: 0,
    }
}

fn hold(kernel: &mut Kernel, ruleset: &Ruleset, tuples: &[Tuple]) {
    let mut by_family: BTreeMap<Name, BTreeMap<Element, _>> = BTreeMap::new();
    for (family, element) in tuples.iter().filter_map(cut::element) {
        by_family.entry(cut::set_name(family)).or_default().insert(element, None);
    }
    let ops = by_family.into_iter().map(|(set, elements)| {
        let shape: Arc<Set> = ruleset.sets[&set].clone();
        Op::AddElements { set, shape, elements }
    });
    kernel.commit(&Transaction { phase: Phase::Members, ops: ops.collect() }, None).unwrap();
}

fn await_it(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn elements_with_a_timeout_are_no_part_of_the_ruleset_e731() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = ruleset(None);
        assert_ne!(apply(&mut kernel, &desired), 0);
        assert_eq!(apply(&mut kernel, &desired), 0, "read back as written");
        let tuples = [udp("192.0.2.1", "192.0.2.2"), udp("fd00::1", "fd00::2")];
        hold(&mut kernel, &desired, &tuples);
        hold(&mut kernel, &desired, &tuples);
        assert_eq!(apply(&mut kernel, &desired), 0, "elements are no difference");
        let text = sh("nft list table inet tortie");
        for part in [
            "192.0.2.1 . 192.0.2.2 . udp . 4000 . 5000",
            "fd00::1 . fd00::2 . udp . 4000 . 5000",
            "timeout 5m",
            "ip saddr . ip daddr . meta l4proto . th sport . th dport @cut4 update @cut4",
            "drop comment \"cut when policy tightened\"",
        ] {
            assert!(text.contains(part), "`{part}` is missing in\n{text}");
        }
        // Without the sets nothing of them is left.
        let without = Ruleset {
            chains: desired
                .chains
                .iter()
                .map(|(n, c)| (n.clone(), Arc::new(Chain { base: c.base, rules: vec![] })))
                .collect(),
            ..Ruleset::default()
        };
        apply(&mut kernel, &without);
        assert!(!sh("nft list table inet tortie").contains("cut4"));
    });
}

#[test]
fn a_foreign_rule_that_updates_differently_is_replaced_e721() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = ruleset(None);
        apply(&mut kernel, &desired);
        sh(
            "nft add rule inet tortie input 'update @cut4 { ip saddr . ip daddr . meta l4proto . th sport . th dport timeout 7s } drop'",
        );
        assert_ne!(apply(&mut kernel, &desired), 0);
        assert_eq!(apply(&mut kernel, &desired), 0);
    });
}

/// Neither the kernel's own expiry nor a refresh is announced: nobody repairs because of them.
#[test]
fn elements_expire_in_silence() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = ruleset(Some(1));
        apply(&mut kernel, &desired);
        hold(&mut kernel, &desired, &[udp("192.0.2.1", "192.0.2.2")]);
        let generation = kernel.generation().unwrap();
        let mut events = Events::open().unwrap();
        await_it("the element stays", || !sh("nft list set inet tortie cut4").contains("192.0.2.1"));
        assert_eq!(events.drain().unwrap(), []);
        assert_eq!(kernel.generation().unwrap(), generation);
        assert_eq!(apply(&mut kernel, &desired), 0);
    });
}

#[test]
fn packets_of_a_held_tuple_are_dropped_and_keep_it_held_e731() {
    in_network_namespace(|| {
        sh("ip link set lo up; ip addr add 192.0.2.1/32 dev lo; ip addr add 192.0.2.2/32 dev lo");
        let mut kernel = Kernel::open().unwrap();
        let desired = ruleset(None);
        apply(&mut kernel, &desired);
        hold(&mut kernel, &desired, &[udp("192.0.2.1", "192.0.2.2")]);
        let mut events = Events::open().unwrap();
        let held = UdpSocket::bind("192.0.2.1:4000").unwrap();
        let free = UdpSocket::bind("192.0.2.1:4001").unwrap();
        let receiver = UdpSocket::bind("192.0.2.2:5000").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let expires_s = || {
            let json = sh("nft -j list set inet tortie cut4");
            let (_, rest) = json.split_once("\"expires\": ").expect("an element");
            rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<u32>().unwrap()
        };
        await_it("time stands still", || expires_s() < cut::QUIET_S - 1);
        let before = expires_s();
        await_it("not refreshed", || {
            // Dropped where it is sent: the sender is told.
            assert_eq!(
                held.send_to(b"held", "192.0.2.2:5000").unwrap_err().kind(),
                std::io::ErrorKind::PermissionDenied
            );
            expires_s() > before
        });
        free.send_to(b"free", "192.0.2.2:5000").unwrap();
        let mut bytes = [0; 8];
        assert_eq!(receiver.recv(&mut bytes).unwrap(), 4);
        assert_eq!(&bytes[..4], b"free");
        assert_eq!(events.drain().unwrap(), []);
    });
}

/// A set of the kernel's own size limit (65,535 elements) says so, and keeps what it has.
#[test]
fn a_full_set_refuses_more() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = ruleset(None);
        apply(&mut kernel, &desired);
        let tuple = |n: u32| Tuple {
            source_port: n as u16,
            destination_port: (n >> 16) as u16,
            ..udp("192.0.2.1", "192.0.2.2")
        };
        let elements = |range: std::ops::Range<u32>| {
            range
                .filter_map(|n| cut::element(&tuple(n)))
                .map(|(_, element)| (element, None))
                .collect::<BTreeMap<_, _>>()
        };
        let mut add = |range| {
            let set = cut::set_name(Family::V4);
            let op = Op::AddElements { shape: desired.sets[&set].clone(), set, elements: elements(range) };
            kernel.commit(&Transaction { phase: Phase::Members, ops: vec![op] }, None)
        };
        add(0..60_000).unwrap();
        let error = add(60_000..70_000).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("Refused") && text.contains("code: 23"), "ENFILE: {text}");
        add(0..60_000).unwrap();
    });
}
