//! Flows and what a ruleset says of them (E-731).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tortie_api::facts::{Link, Links, Toward};
use tortie_api::flow::{Flow, Tuple, Zone, status};
use tortie_api::model::Protocol;
use tortie_api::packet::{Packet, Route};
use tortie_rules::Ruleset;
use tortie_rules::recheck::{Sorted, sort, tuples, ways};
use tortie_rules::ruleset::{BaseChain, Chain, End, Field, Hook, Match, Name, Origin, Rule, Verdict};

fn tuple(from: &str, to: &str) -> Tuple {
    let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
    Tuple {
        source: from.ip(),
        destination: to.ip(),
        protocol: Protocol::TCP,
        source_port: from.port(),
        destination_port: to.port(),
        icmp_type: 0,
        icmp_code: 0,
        icmp_id: 0,
    }
}

/// A TCP flow; `answered` names the answering side where it is another than `to`.
fn flow(from: &str, to: &str, answered: Option<&str>) -> Flow {
    let translated = answered.map_or(0, |_| status::DST_NAT);
    Flow {
        original: tuple(from, to),
        reply: tuple(from, answered.unwrap_or(to)).reversed(),
        master: None,
        zone: Zone::default(),
        status: status::CONFIRMED | translated,
        tcp_state: Some(3),
        mark: 0,
        timeout_s: 100,
        id: 1,
    }
}

fn links() -> Links {
    let link = |index, name: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        (name.to_owned(), Link { index, name: name.to_owned(), is_running: true, controller: None, addresses })
    };
    Links::from([
        link(1, "lo", &["127.0.0.1", "::1"]),
        link(2, "eth0", &["10.0.0.1", "fe80::a", "fd00::1"]),
        link(3, "eth1", &["10.0.1.1", "fe80::b"]),
        link(4, "vlan5", &["10.0.5.1", "fe80::b"]),
    ])
}

/// The routes of that host: 192.0.2.0/24 has a path by each of two interfaces, 203.0.113.0/24 none.
fn toward(destination: IpAddr, source: Option<IpAddr>) -> Option<Toward> {
    let out = |names: &[&str]| Some(Toward::Interfaces(names.iter().map(|name| (*name).to_owned()).collect()));
    let text = destination.to_string();
    match text.as_str() {
        "127.0.0.1" | "127.0.0.7" | "::1" | "10.0.0.1" | "10.0.1.1" | "fd00::1" => Some(Toward::Local),
        "10.0.0.255" => Some(Toward::Broadcast),
        // Routing rules for this source.
        "198.51.100.7" if source == Some("10.0.1.1".parse().unwrap()) => out(&["eth1"]),
        _ if text.starts_with("10.0.1.") => out(&["eth1"]),
        _ if text.starts_with("192.0.2.") => out(&["eth0", "eth1"]),
        _ if text.starts_with("203.0.113.") => None,
        _ => out(&["eth0"]),
    }
}

fn way(packets: &[Packet]) -> String {
    let text = packets.iter().map(|packet| match &packet.route {
        Route::Delivered { in_interface } => format!("in {in_interface}"),
        Route::Generated { out_interface } => {
            let first = packet.dnat.as_ref().and_then(|dnat| dnat.out_interface_before.as_deref());
            format!("{}out {out_interface}", first.map(|first| format!("first {first}, ")).unwrap_or_default())
        }
        Route::Forwarded { in_interface, out_interface } => format!("{in_interface} to {out_interface}"),
    });
    text.collect::<Vec<_>>().join(" + ")
}

#[test]
fn routes_tell_the_ways_of_a_flow_e731() {
    let cases: &[(&str, &str, Option<&str>, &[&str])] = &[
        ("10.0.0.9:4000", "10.0.0.1:80", None, &["in eth0"]),
        ("10.0.0.1:4000", "10.0.1.9:80", None, &["out eth1"]),
        ("10.0.0.1:4000", "10.0.0.1:80", None, &["out lo + in lo"]),
        ("127.0.0.1:4000", "127.0.0.1:80", None, &["out lo + in lo"]),
        // Routes do not know this address yet, or know more than links do.
        ("10.0.0.9:4000", "10.0.5.1:80", None, &["in eth0"]),
        ("127.0.0.7:4000", "127.0.0.1:80", None, &["out lo + in lo"]),
        ("[fd00::9]:4000", "[fd00::1]:80", None, &["in eth0"]),
        ("10.0.0.9:4000", "10.0.1.9:80", None, &["eth0 to eth1"]),
        // Translated: to this host, from it, and onwards.
        ("10.0.0.9:4000", "198.51.100.1:80", Some("10.0.0.1:8080"), &["in eth0"]),
        ("10.0.0.9:4000", "10.0.0.1:80", Some("10.0.1.9:8080"), &["eth0 to eth1"]),
        ("10.0.0.1:4000", "198.51.100.1:80", Some("10.0.1.9:8080"), &["first eth0, out eth1"]),
        ("10.0.0.1:4000", "10.0.1.8:80", Some("10.0.1.9:8080"), &["out eth1"]),
        ("10.0.0.1:4000", "192.0.2.9:80", Some("10.0.1.9:8080"), &["first eth0, out eth1", "out eth1"]),
        ("10.0.0.1:4000", "198.51.100.1:80", Some("127.0.0.1:8080"), &["first eth0, out lo + in lo"]),
        ("10.0.0.1:4000", "127.0.0.1:80", Some("10.0.1.9:8080"), &["first lo, out eth1"]),
        ("10.0.0.1:4000", "203.0.113.9:80", Some("10.0.1.9:8080"), &[]),
        // Routing rules are asked with the own address.
        ("198.51.100.7:4000", "10.0.1.1:80", None, &["in eth1"]),
        ("10.0.1.1:4000", "198.51.100.7:80", None, &["out eth1"]),
        // Several paths.
        ("192.0.2.9:4000", "10.0.0.1:80", None, &["in eth0", "in eth1"]),
        ("192.0.2.9:4000", "10.0.1.9:80", None, &["eth0 to eth1", "eth1 to eth1"]),
        // Link-local: the interface with the own address, or each that has it.
        ("[fe80::9]:4000", "[fe80::a]:80", None, &["in eth0"]),
        ("[fe80::a]:4000", "[fe80::9]:80", None, &["out eth0"]),
        ("[fe80::9]:4000", "[fe80::b]:80", None, &["in eth1", "in vlan5"]),
        ("[fe80::a]:4000", "[ff02::fb]:5353", None, &["out eth0"]),
        // For many.
        ("10.0.0.9:4000", "10.0.0.255:138", None, &["in eth0"]),
        ("10.0.0.9:4000", "224.0.0.251:5353", None, &["in eth0"]),
        ("10.0.0.9:4000", "255.255.255.255:68", None, &["in eth0"]),
        // Nobody knows.
        ("10.0.0.1:4000", "224.0.0.251:5353", None, &[]),
        ("10.0.0.1:4000", "10.0.0.255:138", None, &[]),
        ("[fd00::1]:4000", "[fe80::9]:80", None, &[]),
        ("203.0.113.9:4000", "10.0.0.1:80", None, &[]),
        ("10.0.0.1:4000", "203.0.113.9:80", None, &[]),
        ("203.0.113.9:4000", "10.0.1.9:80", None, &[]),
    ];
    for (from, to, answered, expected) in cases {
        let found = ways(&flow(from, to, *answered), &links(), toward);
        let found: Vec<String> = found.iter().map(|packets| way(packets)).collect();
        assert_eq!(found, *expected, "{from} to {to} ({answered:?})");
    }
}

/// Drops what arrives on `interface` for TCP port 80, as seen after translation.
fn closed_on(interface: &str) -> Ruleset {
    let mut name = interface.as_bytes().to_vec();
    name.resize(Field::InInterface.width(), 0);
    let equals = |field, value| Match::Equals { field, invert: false, value };
    let rule = Rule {
        matches: vec![
            equals(Field::InInterface, name),
            equals(Field::L4Proto, vec![6]),
            equals(Field::DestinationPort, vec![0, 80]),
        ],
        statements: Vec::new(),
        end: End::Verdict(Verdict::Drop),
        origin: Origin::Frame("closed"),
    };
    let base = Some(BaseChain { hook: Hook::Input, priority: 0 });
    let mut ruleset = Ruleset::default();
    ruleset.chains.insert(Name::new("input"), Arc::new(Chain { base, rules: vec![rule] }));
    ruleset
}

fn sorted<'a>(ruleset: &Ruleset, flows: &'a [Flow]) -> Sorted<'a> {
    sort(ruleset, flows, &links(), toward).unwrap()
}

#[test]
fn what_the_rules_would_not_let_in_now_is_denied_e731() {
    let flows = [
        flow("10.0.0.9:4000", "10.0.0.1:80", None),
        flow("10.0.0.9:4001", "10.0.0.1:81", None),
        // The direction of the first packet counts.
        flow("10.0.0.1:80", "10.0.0.9:4000", None),
        flow("10.0.0.9:4002", "198.51.100.1:81", Some("10.0.0.1:80")),
        flow("203.0.113.9:4000", "10.0.0.1:80", None),
        flow("10.0.0.9:4003", "10.0.1.9:80", None),
    ];
    let found = sorted(&closed_on("eth0"), &flows);
    let denied: Vec<u16> = found.denied.iter().map(|(flow, _)| flow.original.source_port).collect();
    assert_eq!((denied, found.kept.len(), found.unjudged), (vec![4000, 4002], 3, 1));
    assert!(found.denied.iter().all(|(_, origin)| *origin == Some(Origin::Frame("closed"))));
}

#[test]
fn a_flow_with_several_ways_is_cut_only_when_all_are_denied_e731() {
    let flows = [flow("192.0.2.9:4000", "10.0.0.1:80", None)];
    let counts = |ruleset: &Ruleset| {
        let found = sorted(ruleset, &flows);
        (found.denied.len(), found.kept.len(), found.unjudged)
    };
    let mut both = closed_on("eth0");
    let other = closed_on("eth1").chains.remove("input").unwrap();
    both.chains.insert(Name::new("other"), other);
    assert_eq!(counts(&both), (1, 0, 0));
    assert_eq!(counts(&closed_on("eth0")), (0, 0, 1));
    assert_eq!(counts(&closed_on("eth9")), (0, 1, 0));
}

#[test]
fn an_expected_flow_shares_the_fate_of_its_master_e420() {
    let master = flow("10.0.0.9:4000", "10.0.0.1:80", None);
    let child = |from: &str, master: &Flow| Flow {
        status: status::EXPECTED | status::CONFIRMED,
        master: Some(master.original),
        ..flow(from, "10.0.0.1:5000", None)
    };
    let data = child("10.0.0.9:4001", &master);
    let more = child("10.0.0.9:4002", &data);
    let flows = [more, data, master];
    assert_eq!(sorted(&closed_on("eth0"), &flows).denied.len(), 3);
    assert_eq!(sorted(&closed_on("eth1"), &flows).kept.len(), 3);
    // Its own port is closed, but it was let in as related, and would be again.
    let related = Flow { original: tuple("10.0.0.9:4001", "10.0.0.1:80"), ..flows[1].clone() };
    assert_eq!(sorted(&closed_on("eth0"), &[related]).kept.len(), 1);
}

#[test]
fn a_cut_flow_is_known_in_every_form_of_its_packets_e731() {
    let forms = |flow: &Flow| {
        let text = |t: &Tuple| format!("{}:{} {}:{}", t.source, t.source_port, t.destination, t.destination_port);
        tuples(flow).iter().map(text).collect::<BTreeSet<String>>()
    };
    let plain = forms(&flow("10.0.0.9:4000", "10.0.0.1:80", None));
    assert_eq!(plain, BTreeSet::from(["10.0.0.9:4000 10.0.0.1:80", "10.0.0.1:80 10.0.0.9:4000"].map(str::to_owned)));
    let mut masqueraded = flow("10.0.0.9:4000", "198.51.100.1:80", Some("10.0.1.9:8080"));
    masqueraded.reply.destination = "10.0.1.1".parse().unwrap();
    masqueraded.reply.destination_port = 6000;
    let expected = [
        "10.0.0.9:4000 198.51.100.1:80",
        "198.51.100.1:80 10.0.0.9:4000",
        "10.0.0.9:4000 10.0.1.9:8080",
        "10.0.1.9:8080 10.0.0.9:4000",
        "10.0.1.9:8080 10.0.1.1:6000",
        "10.0.1.1:6000 10.0.1.9:8080",
    ];
    assert_eq!(forms(&masqueraded), expected.map(str::to_owned).into());
}
