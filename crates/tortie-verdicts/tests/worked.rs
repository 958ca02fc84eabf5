//! The worked verdicts of `docs/spec/enforcement.md` appendix B, and the rules that no row of it shows: by the reference
//! and by the interpreter of the compiled ruleset. The kernel's turn is `conformance/scenarios/worked-*.json`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use tortie_api::facts::{Link, Links};
use tortie_api::model::{Family, Protocol, Resource};
use tortie_api::packet::{ConnState, Dnat, Packet, Route};
use tortie_api::{Severity, decode, read_stored};
use tortie_calc::Engine;
use tortie_reference::{By, Failsafe, HostAction, Judgement, Settings, Stage, Verdict, World, judge};
use tortie_rules::{compile, interpret};
use tortie_verdicts::roads;

const NODE: &str = "n1";

/// A host with `eth0` (192.0.2.1), `eth1` and a workload's `cali1`.
struct Host {
    resources: Vec<Resource>,
    links: Links,
    settings: Settings,
}

impl Host {
    /// A host endpoint on `eth0`, and whatever the documents add.
    fn new(documents: &[&str]) -> Self {
        let mut host = Self::bare(&[HEP]);
        host.add(documents);
        host
    }

    fn bare(documents: &[&str]) -> Self {
        let mut links = Links::new();
        for (index, name) in ["lo", "eth0", "eth1", "cali1"].iter().enumerate() {
            let addresses = if *name == "eth0" { [ip("192.0.2.1")].into() } else { Default::default() };
            let name = (*name).to_owned();
            links.insert(
                name.clone(),
                Link { index: index as u32 + 1, name, is_running: true, controller: None, addresses },
            );
        }
        let any = |protocol, port| Failsafe { protocol, port, net: None };
        let settings = Settings {
            interface_prefixes: vec!["cali".to_owned()],
            interface_exclude: vec!["kube-ipvs0".to_owned()],
            is_loopback_exempt: true,
            failsafe_inbound: vec![any(Protocol::TCP, 22)],
            failsafe_outbound: vec![any(Protocol::UDP, 53)],
            drops_invalid: true,
            allows_ipv6_essentials: true,
            ignores_http: false,
            endpoint_to_host_action: None,
            drops_unknown_workloads: false,
            drops_unknown_beside_known_only: false,
            polices_ipv6: true,
            filter_allow_returns: false,
            mangle_allow_returns: false,
            set_size_max: 1_048_576,
        };
        let mut host = Self { resources: Vec::new(), links, settings };
        host.add(documents);
        host
    }

    /// Adds `KIND NAME SPEC` documents.
    fn add(&mut self, documents: &[&str]) {
        for document in documents {
            let mut words = document.splitn(3, ' ');
            let (kind, name, spec) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or("{}"));
            let namespace = if kind == "WorkloadEndpoint" { ", namespace: default" } else { "" };
            let text = format!(
                "apiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata: {{name: {name}{namespace}, labels: {{host: {name}}}}}\nspec: {spec}\n"
            );
            let decoded = decode(&text);
            let errors: Vec<_> = decoded.problems.iter().filter(|p| p.severity == Severity::Error).collect();
            assert!(errors.is_empty(), "{text}{errors:?}");
            let value = serde_json::Value::Object(decoded.documents[0].value.clone());
            self.resources.push(read_stored(decoded.documents[0].kind, &value).unwrap().resource);
        }
    }

    /// What the reference says; the compiled ruleset says the same.
    fn judge(&self, packet: &Packet) -> Judgement {
        let world = World { node: NODE, resources: &self.resources, links: &self.links, settings: &self.settings };
        let judged = judge(&world, packet);
        let found = interpret(&compile(self.engine().policy()), packet).unwrap();
        assert!(roads::agrees(&judged, &found), "{packet:?}\nreference {judged:?}\nruleset {found:?}");
        judged
    }

    fn engine(&self) -> Engine {
        let mut engine = Engine::new(self.calc_settings());
        engine.set_links(self.links.clone());
        for resource in &self.resources {
            engine.update(resource.key(), Some(Arc::new(resource.clone())));
        }
        engine.flush();
        engine
    }

    fn calc_settings(&self) -> tortie_calc::Settings {
        use tortie_calc::settings::{Failsafe, HostAction as Action};
        let failsafes = |list: &[tortie_reference::Failsafe]| {
            list.iter().map(|f| Failsafe { protocol: f.protocol, port: f.port, net: f.net }).collect()
        };
        tortie_calc::Settings {
            node: NODE.to_owned(),
            failsafe_inbound: failsafes(&self.settings.failsafe_inbound),
            failsafe_outbound: failsafes(&self.settings.failsafe_outbound),
            drops_invalid: self.settings.drops_invalid,
            allows_ipv6_essentials: self.settings.allows_ipv6_essentials,
            endpoint_to_host_action: self.settings.endpoint_to_host_action.map(|action| match action {
                HostAction::Drop => Action::Drop,
                HostAction::Return => Action::Return,
                HostAction::Accept => Action::Accept,
            }),
            drops_unknown_workloads: self.settings.drops_unknown_workloads,
            drops_unknown_beside_known_only: self.settings.drops_unknown_beside_known_only,
            set_size_max: self.settings.set_size_max,
            ..tortie_calc::Settings::default()
        }
    }

    fn check(&self, packet: &Packet, expected: Verdict) {
        let judged = self.judge(packet);
        assert_eq!(judged.verdict, expected, "{packet:?}: {judged:?}");
    }
}

const HEP: &str = "HostEndpoint a {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1], ports: [{name: http, protocol: TCP, port: 8055}]}";

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

/// A new TCP connection from 198.51.100.7 to 192.0.2.1.
fn tcp(route: Route, port: u16) -> Packet {
    Packet {
        route,
        source: ip("198.51.100.7"),
        destination: ip("192.0.2.1"),
        protocol: Protocol::TCP,
        source_port: 40000,
        destination_port: port,
        icmp_type: 0,
        icmp_code: 0,
        hop_limit: 64,
        state: ConnState::New,
        dnat: None,
        way_back: Default::default(),
    }
}

fn inward(port: u16) -> Packet {
    tcp(Route::Delivered { in_interface: "eth0".to_owned() }, port)
}

fn outward(port: u16) -> Packet {
    let mut packet = tcp(Route::Generated { out_interface: "eth0".to_owned() }, port);
    std::mem::swap(&mut packet.source, &mut packet.destination);
    packet
}

fn forwarded(from: &str, to: &str) -> Packet {
    tcp(Route::Forwarded { in_interface: from.to_owned(), out_interface: to.to_owned() }, 80)
}

fn from(mut packet: Packet, source: &str) -> Packet {
    packet.source = ip(source);
    packet
}

use Verdict::{Accept, Drop, Unowned};

#[test]
fn b1_to_b3_an_endpoint_without_policy_denies_and_forwards() {
    let host = Host::new(&[]);
    host.check(&inward(8055), Drop);
    assert_eq!(host.judge(&inward(8055)).reason.unwrap().by, By::NoMatch);
    host.check(&inward(22), Accept);
    host.check(&outward(22), Drop);
    host.check(&forwarded("eth0", "eth1"), Accept);
    host.check(&tcp(Route::Delivered { in_interface: "eth1".to_owned() }, 8055), Unowned);
}

#[test]
fn b4_to_b7_profiles_tiers_and_directions() {
    let profile = "HostEndpoint a {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow]}";
    Host::bare(&[profile]).check(&inward(8055), Accept);
    let denied = Host::bare(&[profile, "Tier default {order: 1000000}", "GlobalNetworkPolicy p {types: [Ingress]}"]);
    denied.check(&inward(8055), Drop);
    assert_eq!(denied.judge(&inward(8055)).reason.unwrap().by, By::TierEnd("default".to_owned()));
    let passing = "Tier t {order: 5, defaultAction: Pass}";
    let other = "GlobalNetworkPolicy p {tier: t, ingress: [{action: Deny, source: {nets: [10.0.0.0/8]}}]}";
    Host::bare(&[profile, passing, other]).check(&from(inward(8055), "192.0.2.1"), Accept);
    let egress = Host::new(&["GlobalNetworkPolicy p {types: [Egress], egress: [{action: Allow}]}"]);
    egress.check(&inward(8055), Drop);
    egress.check(&outward(8055), Accept);
}

#[test]
fn b8_b9_forwarded_traffic() {
    let policy =
        "GlobalNetworkPolicy p {applyOnForward: true, ingress: [{action: Allow, source: {nets: [10.0.0.0/8]}}]}";
    let host = Host::new(&[policy]);
    host.check(&forwarded("eth0", "eth1"), Drop);
    host.check(&forwarded("eth1", "eth0"), Unowned);
    host.check(&from(forwarded("eth0", "eth1"), "10.1.1.1"), Accept);

    let any = "HostEndpoint w {node: n1, interfaceName: '*', profiles: [projectcalico-default-allow]}";
    let pod = "GlobalNetworkPolicy p {applyOnForward: true, types: [Ingress], ingress: [{action: Allow, source: {nets: [10.65.0.2/32]}}]}";
    let host = Host::bare(&[any, pod]);
    host.check(&from(forwarded("cali1", "eth0"), "10.65.0.2"), Unowned);
    host.check(&forwarded("eth0", "cali1"), Drop);
}

#[test]
fn b10_b11_pre_dnat_sees_the_port_that_was_asked() {
    let deny = "GlobalNetworkPolicy d {order: 20, preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]}";
    let allow = |port: u16| {
        format!(
            "GlobalNetworkPolicy a {{order: 10, preDNAT: true, applyOnForward: true, ingress: [{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}]}}"
        )
    };
    let translated = |port: u16| Packet {
        dnat: Some(Dnat { destination: ip("10.65.0.2"), destination_port: 8055, out_interface_before: None }),
        destination_port: port,
        ..forwarded("eth0", "cali1")
    };
    let host = Host::new(&[deny, &allow(32010)]);
    host.check(&translated(32010), Accept);
    host.check(&translated(32011), Drop);
    Host::new(&[deny, &allow(8055)]).check(&translated(32010), Drop);
}

#[test]
fn b12_to_b14_untracked() {
    let blocked = "GlobalNetworkPolicy u {doNotTrack: true, applyOnForward: true, ingress: [{action: Deny, source: {nets: [198.51.100.0/24]}}]}";
    let open = "GlobalNetworkPolicy open {ingress: [{action: Allow}], egress: [{action: Allow}]}";
    let host = Host::new(&[blocked, open]);
    host.check(&inward(8055), Drop);
    assert_eq!(host.judge(&inward(8055)).reason.unwrap().stage, Stage::S1);
    host.check(&inward(22), Accept);
    host.check(&from(inward(8055), "203.0.113.1"), Accept);
    let any = "HostEndpoint w {node: n1, interfaceName: '*'}";
    Host::bare(&[any, blocked, open]).check(&inward(8055), Accept);
    let both = "GlobalNetworkPolicy u {doNotTrack: true, applyOnForward: true, ingress: [{action: Allow}], egress: [{action: Allow}]}";
    let host = Host::new(&[both]);
    assert_eq!(
        host.judge(&outward(80)).reason.unwrap(),
        tortie_reference::Reason { stage: Stage::S7, by: By::AcceptedEarlier }
    );
}

#[test]
fn b15_to_b18_endpoints_ports_sets_and_known_flows() {
    let mut host = Host::bare(&[
        "HostEndpoint b {node: n1, expectedIPs: [192.0.2.1]}",
        "GlobalNetworkPolicy b {selector: host == 'b', ingress: [{action: Allow}]}",
    ]);
    host.check(&inward(8055), Accept);
    host.add(&[HEP]);
    host.check(&inward(8055), Drop);

    let named = "GlobalNetworkPolicy p {ingress: [{action: Allow, protocol: TCP, destination: {ports: [http]}}]}";
    Host::new(&[named]).check(&inward(8055), Accept);
    Host::new(&[named]).check(&inward(8056), Drop);
    let without = "HostEndpoint a {node: n1, interfaceName: eth0, ports: [{name: http, protocol: TCP, port: 8055}]}";
    Host::bare(&[without, named]).check(&inward(8055), Drop);

    let both =
        "GlobalNetworkPolicy p {ingress: [{action: Allow, source: {selector: host == 's', nets: [10.0.0.0/8]}}]}";
    let set = "GlobalNetworkSet s {nets: [192.0.2.9, 10.0.0.1]}";
    Host::new(&[both, set]).check(&from(inward(80), "192.0.2.9"), Drop);
    Host::new(&[both, set]).check(&from(inward(80), "10.0.0.1"), Accept);

    let denied = Host::new(&["GlobalNetworkPolicy p {ingress: [{action: Deny}]}"]);
    denied.check(&Packet { state: ConnState::Established, ..inward(80) }, Accept);
    denied.check(&inward(80), Drop);
}

#[test]
fn b19_b20_workloads() {
    let any = "HostEndpoint w {node: n1, interfaceName: '*'}";
    let to_host = tcp(Route::Delivered { in_interface: "cali1".to_owned() }, 80);
    for (action, expected) in [
        (Some(HostAction::Accept), Accept),
        (Some(HostAction::Return), Unowned),
        (Some(HostAction::Drop), Drop),
        (None, Unowned),
    ] {
        let mut host = Host::bare(&[any]);
        host.settings.endpoint_to_host_action = action;
        host.check(&to_host, expected);
    }
    let host = Host::bare(&[any]);
    host.check(&tcp(Route::Generated { out_interface: "cali1".to_owned() }, 80), Unowned);
    host.check(&outward(80), Drop);
    host.check(&tcp(Route::Delivered { in_interface: "lo".to_owned() }, 80), Unowned);
}

#[test]
fn connection_state_comes_first_e402_e420_e421() {
    let host = Host::new(&["GlobalNetworkPolicy p {ingress: [{action: Allow}]}"]);
    let invalid = Packet { state: ConnState::Invalid, ..inward(22) };
    host.check(&invalid, Drop);
    let mut lenient = Host::new(&["GlobalNetworkPolicy p {ingress: [{action: Allow}]}"]);
    lenient.settings.drops_invalid = false;
    lenient.check(&invalid, Accept);
}

#[test]
fn a_translated_outgoing_packet_is_judged_once_after_routing_e410_e444() {
    let host =
        Host::new(&["GlobalNetworkPolicy p {egress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]}"]);
    let translated = Packet {
        dnat: Some(Dnat { destination: ip("203.0.113.5"), destination_port: 8055, out_interface_before: None }),
        ..outward(80)
    };
    assert_eq!(host.judge(&translated).reason.unwrap().stage, Stage::S8);
    host.check(&translated, Accept);
    host.check(&outward(80), Drop);
}

#[test]
fn host_traffic_to_a_translated_address_is_judged_by_the_interface_it_leaves_by_t32_e411() {
    // The first destination is routed by eth1, whose endpoint denies; the packet leaves by eth0.
    let host = Host::bare(&[
        HEP,
        "HostEndpoint closed {node: n1, interfaceName: eth1}",
        "GlobalNetworkPolicy p {selector: host == 'a', egress: [{action: Allow, protocol: TCP, destination: {ports: [8055]}}]}",
    ]);
    let dnat = |before: &str| {
        Some(Dnat {
            destination: ip("203.0.113.5"),
            destination_port: 8055,
            out_interface_before: Some(before.to_owned()),
        })
    };
    let translated = Packet { dnat: dnat("eth1"), ..outward(80) };
    host.check(&translated, Accept);
    assert_eq!(host.judge(&translated).reason.unwrap().stage, Stage::S8);
    // The other way round: the real interface denies.
    let out = tcp(Route::Generated { out_interface: "eth1".to_owned() }, 80);
    host.check(&Packet { dnat: dnat("eth0"), ..out }, Drop);
    // Invalid packets are never translated, and judged all the same (E-421).
    host.check(&Packet { state: ConnState::Invalid, ..outward(8055) }, Drop);
}

#[test]
fn workloads_nobody_knows_are_dropped_only_where_asked_for_e442_e441_d5() {
    let mut host =
        Host::bare(&["HostEndpoint w {node: n1, interfaceName: '*', profiles: [projectcalico-default-allow]}"]);
    let to_host = tcp(Route::Delivered { in_interface: "cali1".to_owned() }, 80);
    let known = Packet { state: ConnState::Established, ..to_host.clone() };
    host.check(&to_host, Unowned);
    host.check(&forwarded("cali1", "eth0"), Accept);
    host.settings.drops_unknown_workloads = true;
    host.settings.endpoint_to_host_action = Some(HostAction::Drop);
    for packet in [&to_host, &known, &forwarded("cali1", "eth0"), &forwarded("eth0", "cali1")] {
        host.check(packet, Drop);
    }
    // `Strict` alone: where nobody tells of workloads at all, only the action on packets to the host counts.
    host.settings.drops_unknown_beside_known_only = true;
    host.check(&to_host, Drop);
    host.check(&known, Accept);
    host.check(&forwarded("cali1", "eth0"), Accept);
    host.add(&["WorkloadEndpoint w2 {node: n1, interfaceName: cali2, ipNetworks: [10.65.0.3/32]}"]);
    for packet in [&to_host, &known, &forwarded("cali1", "eth0"), &forwarded("eth0", "cali1")] {
        host.check(packet, Drop);
    }
    host.add(&["WorkloadEndpoint w1 {node: n1, interfaceName: cali1, ipNetworks: [10.65.0.2/32]}"]);
    host.check(&to_host, Drop);
    host.check(&known, Accept);
    host.check(&forwarded("cali1", "eth0"), Accept);
    host.check(&tcp(Route::Generated { out_interface: "cali1".to_owned() }, 80), Unowned);
}

#[test]
fn rules_of_a_set_that_is_too_large_fail_closed_and_are_told_e351() {
    let set = "GlobalNetworkSet s {nets: [10.0.0.1, 10.0.0.2, 2001:db8::1]}";
    let open = "GlobalNetworkPolicy p {ingress: [{action: Allow, source: {selector: host == 's'}}]}";
    let shut = "GlobalNetworkPolicy p {ingress: [{action: Deny, protocol: TCP, source: {selector: host == 's'}}, {action: Allow}]}";
    for (documents, inside, outside) in [([set, open], Drop, Drop), ([set, shut], Drop, Drop)] {
        let mut host = Host::new(&documents);
        host.settings.set_size_max = 1;
        host.check(&from(inward(80), "10.0.0.1"), inside);
        host.check(&from(inward(80), "203.0.113.9"), outside);
    }
    // One member of the other family is not too many.
    let mut host = Host::new(&[set, open]);
    host.settings.set_size_max = 1;
    let v6 = Packet { source: ip("2001:db8::1"), destination: ip("2001:db8::9"), ..inward(80) };
    host.check(&v6, Accept);
    let told = host.engine().sets_too_large();
    assert_eq!(told.iter().map(|(_, family, len)| (*family, *len)).collect::<Vec<_>>(), [(Family::V4, 2)]);
    host.settings.set_size_max = 2;
    host.check(&from(inward(80), "10.0.0.1"), Accept);
    assert_eq!(host.engine().sets_too_large(), []);
}

#[test]
fn pre_dnat_falls_through_to_the_wildcard_and_loopback_stays_exempt_e111_e121_e432() {
    let any = "HostEndpoint w {node: n1, interfaceName: '*', profiles: [projectcalico-default-allow]}";
    let named = "HostEndpoint a {node: n1, interfaceName: eth0, profiles: [projectcalico-default-allow]}";
    let local = "HostEndpoint l {node: n1, interfaceName: lo, profiles: [projectcalico-default-allow]}";
    let deny =
        "GlobalNetworkPolicy d {selector: host == 'w', preDNAT: true, applyOnForward: true, ingress: [{action: Deny}]}";
    let host = Host::bare(&[any, named, local, deny]);
    host.check(&inward(8055), Drop);
    assert_eq!(host.judge(&inward(8055)).reason.unwrap().stage, Stage::S2);
    host.check(&tcp(Route::Delivered { in_interface: "cali1".to_owned() }, 80), Drop);
    host.check(&tcp(Route::Delivered { in_interface: "lo".to_owned() }, 80), Accept);
    // A failsafe port passes S2 for any destination, and is judged again later.
    let ssh = Packet { destination_port: 22, ..forwarded("eth0", "eth1") };
    host.check(&ssh, Accept);
    host.check(&forwarded("eth0", "eth1"), Drop);
}

#[test]
fn rules_exist_in_the_family_of_their_networks_e316_and_icmp_in_its_own_e314() {
    let host = Host::new(&["GlobalNetworkPolicy p {ingress: [{action: Allow, source: {notNets: [10.0.0.0/8]}}]}"]);
    host.check(&inward(80), Accept);
    let v6 = Packet { source: ip("2001:db8::1"), destination: ip("2001:db8::2"), ..inward(80) };
    host.check(&v6, Drop);
    let host = Host::new(&["GlobalNetworkPolicy p {ingress: [{action: Allow, protocol: ICMP, icmp: {type: 8}}]}"]);
    let echo = Packet { protocol: Protocol::ICMP, icmp_type: 8, ..inward(0) };
    host.check(&echo, Accept);
    host.check(&Packet { icmp_type: 0, ..echo.clone() }, Drop);
    let not = Host::new(&["GlobalNetworkPolicy p {ingress: [{action: Allow, notICMP: {type: 8, code: 1}}]}"]);
    not.check(&echo, Accept);
    not.check(&Packet { icmp_code: 1, ..echo }, Drop);
    not.check(&inward(80), Accept);
}

#[test]
fn neighbour_discovery_survives_default_deny_e461() {
    let host = Host::new(&[]);
    let solicitation = Packet {
        protocol: Protocol::ICMPV6,
        icmp_type: 135,
        hop_limit: 255,
        source: ip("fe80::2"),
        destination: ip("ff02::1:ff00:1"),
        state: ConnState::Untracked,
        ..inward(0)
    };
    host.check(&solicitation, Accept);
    host.check(&Packet { hop_limit: 64, ..solicitation.clone() }, Drop);
    let mut strict = Host::new(&[]);
    strict.settings.allows_ipv6_essentials = false;
    strict.check(&solicitation, Drop);
}

#[test]
fn a_dhcpv6_client_talks_on_its_link_under_default_deny_e462() {
    let host = Host::new(&[]);
    let answer = Packet {
        protocol: Protocol::UDP,
        source: ip("fe80::1"),
        destination: ip("fe80::2"),
        source_port: 547,
        destination_port: 546,
        ..inward(546)
    };
    host.check(&answer, Accept);
    host.check(&Packet { source: ip("2001:db8::1"), ..answer.clone() }, Drop);
    let ask = Packet {
        source: ip("fe80::2"),
        destination: ip("ff02::1:2"),
        source_port: 546,
        destination_port: 547,
        protocol: Protocol::UDP,
        ..outward(547)
    };
    host.check(&ask, Accept);
    host.check(&Packet { destination: ip("2001:db8::1"), ..ask }, Drop);
}

#[test]
fn a_policy_of_a_missing_tier_comes_last_and_denies_at_its_end_e218() {
    let lost = "GlobalNetworkPolicy lost {tier: gone, order: 1, ingress: [{action: Allow, protocol: TCP, destination: {ports: [1]}}]}";
    let passing = "GlobalNetworkPolicy p {tier: last, ingress: [{action: Pass, protocol: TCP}]}";
    let host = Host::new(&["Tier last {order: 9999999, defaultAction: Deny}", lost, passing]);
    host.check(&inward(1), Accept);
    host.check(&inward(2), Drop);
    assert_eq!(host.judge(&inward(2)).reason.unwrap().by, By::TierEnd("gone".to_owned()));
    let udp = Packet { protocol: Protocol::UDP, ..inward(1) };
    assert_eq!(host.judge(&udp).reason.unwrap().by, By::TierEnd("last".to_owned()), "the lost one is asked after it");
}

#[test]
fn pass_ends_a_tier_or_a_profile_and_log_goes_on_e222_e225() {
    let documents = [
        "Tier t {order: 5}",
        "GlobalNetworkPolicy p {tier: t, ingress: [{action: Log}, {action: Pass, protocol: TCP}, {action: Deny}]}",
        "Profile one {ingress: [{action: Pass}, {action: Deny}]}",
        "Profile two {ingress: [{action: Allow}]}",
    ];
    let mut host = Host::bare(&["HostEndpoint a {node: n1, interfaceName: eth0, profiles: [one, two]}"]);
    host.add(&documents);
    let judged = host.judge(&inward(80));
    assert_eq!((judged.verdict, judged.logs), (Accept, 1));
    assert_eq!(judged.reason.unwrap().by, By::Profile { name: "two".to_owned(), rule: 0 });
    let mut host = Host::bare(&["HostEndpoint a {node: n1, interfaceName: eth0, profiles: [missing, two]}"]);
    host.add(&documents[2..]);
    assert_eq!(host.judge(&inward(80)).reason.unwrap().by, By::ProfileMissing("missing".to_owned()));
}
