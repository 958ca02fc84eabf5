//! Worlds and packets for the lab: those of the testkit, with the lab's links, routes and translations.

use std::net::IpAddr;

use tortie_api::facts::Link;
use tortie_api::model::{PolicyClass, Protocol, Resource};
use tortie_api::packet::{ConnState, Dnat, Packet, Route, WayBack};
use tortie_reference::{By, Stage};
use tortie_testkit::generators::{Random, World, aimed, crowded, peerwise};

use super::bytes::{ABOUT_PORTS, Shape};
use super::conntrack::Tuple;
use super::host::{Place, SEGMENTS};
use crate::roads::judge;

/// A destination and its port, any where there is none, and what the host translates them to.
type Translation = (&'static str, Option<u16>, &'static str, Option<u16>);

/// From host to neighbour, neighbour to host, and between neighbours of one interface or two.
const TRANSLATIONS: [Translation; 14] = [
    ("10.0.0.1", Some(443), "192.0.2.1", Some(80)),
    ("10.0.1.1", Some(53), "10.0.0.1", Some(22)),
    ("10.0.0.77", Some(80), "10.0.1.2", Some(8099)),
    ("192.0.2.254", Some(8000), "10.0.0.2", Some(443)),
    ("10.0.0.2", Some(8099), "10.0.0.77", Some(80)),
    ("10.0.1.2", Some(22), "192.0.2.1", Some(53)),
    ("10.0.0.77", Some(53), "10.0.0.1", Some(53)),
    ("10.0.1.128", None, "10.0.0.2", None),
    ("2001:db8::1", Some(443), "2001:db8:c::2", Some(80)),
    ("2001:db8:1::1", Some(53), "2001:db8::1", Some(22)),
    ("2001:db8::77", Some(80), "2001:db8:1::2", Some(8099)),
    ("2001:db8:c::2", Some(8000), "2001:db8::2", Some(443)),
    ("2001:db8::77", Some(53), "2001:db8::1", Some(53)),
    ("2001:db8:1:ffff::77", None, "2001:db8::2", None),
];

/// The host's destination NAT as `nft` reads it.
pub(crate) fn dnat() -> String {
    let mut text = String::new();
    for family in ["ip", "ip6"] {
        text += &format!("table {family} nat {{\n");
        for hook in ["prerouting", "output"] {
            text += &format!("chain {hook} {{ type nat hook {hook} priority -100;\n");
            for (from, port, to, to_port) in TRANSLATIONS.iter().filter(|t| t.0.contains(':') == (family == "ip6")) {
                text += &match (port, to_port) {
                    (Some(port), Some(to_port)) => format!(
                        "{family} daddr {from} meta l4proto {{ tcp, udp, sctp }} th dport {port} dnat to {}:{to_port}\n",
                        if family == "ip6" { format!("[{to}]") } else { (*to).to_owned() },
                    ),
                    _ => format!("{family} daddr {from} dnat to {to}\n"),
                };
            }
            text += "}\n";
        }
        text += "}\n";
    }
    text
}

/// Where the host's routes send what goes to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Local,
    Out(&'static str),
    Nowhere,
}

/// Groups and networks of which the host is a part.
const EVERYBODY: [&str; 2] = ["255.255.255.255", "ff02::1"];

fn has(list: &[&str], address: IpAddr) -> bool {
    list.iter().any(|text| text.parse() == Ok(address))
}

fn way(to: IpAddr) -> Way {
    if to.is_loopback() || has(&EVERYBODY, to) || SEGMENTS.iter().any(|segment| has(segment.own, to)) {
        return Way::Local;
    }
    SEGMENTS.iter().find(|segment| has(segment.near, to)).map_or(Way::Nowhere, |segment| Way::Out(segment.interface))
}

/// The world `seed` of the testkit on the lab's host.
pub fn lab_world(seed: u64) -> World {
    let mut world = if seed.is_multiple_of(3) { peerwise(seed) } else { crowded(seed) };
    world.links.clear();
    let lo = ("lo", &["127.0.0.1", "::1"][..]);
    for (index, (name, own)) in [lo].into_iter().chain(SEGMENTS.iter().map(|s| (s.interface, s.own))).enumerate() {
        let addresses = own.iter().map(|text| text.parse().expect("the table holds addresses")).collect();
        let name = name.to_owned();
        let link = Link { index: index as u32 + 1, name: name.clone(), is_running: true, controller: None, addresses };
        world.links.insert(name, link);
    }
    world
}

/// `world` with other networks in its network sets and other ports and addresses of its workloads: nothing but members of
/// the kernel's sets changes (K-5).
pub fn with_other_members(mut world: World, seed: u64) -> World {
    let others: Vec<Resource> =
        (1..4).flat_map(|step| tortie_testkit::generators::world(seed ^ step << 32).resources).collect();
    let mut sets = others.iter().filter_map(|resource| match resource {
        Resource::NetworkSet(set) => Some(set.nets.clone()),
        _ => None,
    });
    let mut workloads = others.iter().filter_map(|resource| match resource {
        Resource::WorkloadEndpoint(workload) => Some((workload.addresses.clone(), workload.ports.clone())),
        _ => None,
    });
    for resource in &mut world.resources {
        match resource {
            Resource::NetworkSet(set) => set.nets = sets.next().unwrap_or_default(),
            Resource::WorkloadEndpoint(workload) => {
                (workload.addresses, workload.ports) = workloads.next().unwrap_or_default();
            }
            _ => {}
        }
    }
    world
}

/// A packet, who sends it, and what the kernel knew before.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// As it is sent; its route is that of its first stage.
    pub packet: Packet,
    /// The interface behind which its sender is; the host itself where there is none.
    pub from: Option<&'static str>,
    /// The flow that is there before.
    pub flow: Option<Tuple>,
    /// How it looks.
    pub shape: Shape,
}

/// Draws a packet that the lab can send.
pub fn probe(world: &World, random: &mut Random) -> Probe {
    let mut packet = aimed(world, random);
    let is_v6 = packet.source.is_ipv6();
    let of_family = |list: &[&'static str]| -> Vec<IpAddr> {
        let all = list.iter().map(|text| text.parse::<IpAddr>().expect("the table holds addresses"));
        all.filter(|address| address.is_ipv6() == is_v6).collect()
    };
    let own: Vec<IpAddr> = SEGMENTS.iter().flat_map(|segment| of_family(segment.own)).collect();
    let near: Vec<IpAddr> = SEGMENTS.iter().flat_map(|segment| of_family(segment.near)).collect();
    let is_link_local = |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    // Where the lab has the address that the packet was aimed at, it is often kept.
    let aimed_from = SEGMENTS.iter().find(|segment| has(segment.near, packet.source)).filter(|_| random.one_in(2));
    let segment = match aimed_from {
        Some(segment) => segment,
        None if random.one_in(2) => &SEGMENTS[0],
        None => random.pick(&SEGMENTS),
    };
    let is_known = own.contains(&packet.destination) || near.contains(&packet.destination);
    let from = (!random.one_in(3)).then_some(segment.interface);
    let (source, destination) = loop {
        let source = match from {
            None if random.one_in(8) => of_family(&["127.0.0.1", "::1"])[0],
            None => *random.pick(&own),
            Some(_) if aimed_from.is_some() && random.one_in(2) => packet.source,
            Some(_) if random.one_in(8) => *random.pick(&near),
            Some(_) if random.one_in(8) => of_family(&["203.0.113.5", "2001:dead::5"])[0],
            Some(_) => *random.pick(&of_family(segment.near)),
        };
        let destination = match from {
            None if source.is_loopback() => source,
            _ if is_known && random.one_in(2) => packet.destination,
            None if random.one_in(4) => *random.pick(&own),
            Some(_) if random.one_in(10) => of_family(&EVERYBODY)[0],
            Some(_) if random.one_in(2) => *random.pick(&own),
            _ if random.one_in(3) => {
                let from: Vec<&str> = TRANSLATIONS.iter().map(|translation| translation.0).collect();
                *random.pick(&of_family(&from))
            }
            _ => *random.pick(&near),
        };
        // Link-local packets stay on their link, and nobody talks to himself but the host.
        let is_on_link = match (is_link_local(source), is_link_local(destination)) {
            (false, false) => true,
            (true, true) => from.is_none_or(|from| from == "eth0"),
            (true, false) => from == Some("eth0") && destination.is_multicast(),
            (false, true) => false,
        };
        if is_on_link && (source != destination || from.is_none()) {
            break (source, destination);
        }
    };
    // Kernels ask for the checksum of UDP-Lite with the number of UDP, and so find every packet that arrives invalid
    // (`udplite_error` in `nf_conntrack_proto_udp.c`).
    if from.is_some() && packet.protocol == Protocol::UDPLITE {
        packet.protocol = Protocol::UDP;
    }
    (packet.source, packet.destination, packet.dnat) = (source, destination, None);
    (packet.state, packet.way_back) = (ConnState::New, WayBack::SameInterface);
    if let Some(from) = from {
        packet.way_back = match way(source) {
            Way::Out(interface) if interface == from => WayBack::SameInterface,
            Way::Nowhere => WayBack::Nowhere,
            _ => WayBack::OtherInterface,
        };
    }
    let translated: Vec<&Translation> =
        TRANSLATIONS.iter().filter(|translation| translation.0.parse() == Ok(destination)).collect();
    if let Some((_, Some(port), ..)) = translated.first()
        && random.one_in(2)
    {
        packet.destination_port = *port;
    }
    if is_link_local(source) && packet.protocol == Protocol::UDP && random.one_in(2) {
        packet.destination_port = *random.pick(&[546, 547]);
    }
    let shape = Shape { number: 0, has_options: random.one_in(5), is_fragmented: random.one_in(5), about: None };
    let mut probe = Probe { packet, from, flow: None, shape };
    probe.give_state(random);
    let is_delivered = way(destination) == Way::Local;
    // On its way through the host a packet loses one hop, and so is no neighbour discovery any more.
    if probe.packet.protocol == Protocol::ICMPV6 && from.is_some() && !is_delivered {
        probe.packet.hop_limit = 64;
    }
    probe.packet.route = match from {
        Some(from) => Route::Delivered { in_interface: from.to_owned() },
        None => Route::Generated { out_interface: out(destination).to_owned() },
    };
    probe
}

impl Probe {
    /// Chooses what connection tracking makes of the packet, or finds what it must make of it.
    fn give_state(&mut self, random: &mut Random) {
        let packet = &mut self.packet;
        let is_v6 = packet.source.is_ipv6();
        let own = if is_v6 { Protocol::ICMPV6 } else { Protocol::ICMP };
        let (echo, answer, error) = if is_v6 { (128, 129, 1) } else { (8, 0, 3) };
        match packet.protocol {
            // Nobody answers in the name of a group.
            Protocol::TCP | Protocol::UDP if random.one_in(6) && !has(&EVERYBODY, packet.destination) => {
                let (source, destination) =
                    ((packet.source, packet.source_port), (packet.destination, packet.destination_port));
                let tuple = Tuple { protocol: packet.protocol, source, destination };
                if source != destination {
                    self.flow = Some(if random.one_in(2) { tuple } else { tuple.reversed() });
                    packet.state = ConnState::Established;
                }
            }
            Protocol::TCP if random.one_in(6) => packet.state = ConnState::Invalid,
            protocol if protocol == own => {
                if random.one_in(2) {
                    packet.icmp_type = if random.one_in(4) { answer } else { echo };
                } else if random.one_in(4) && !has(&EVERYBODY, packet.destination) {
                    let about = if is_v6 { "2001:db8:77::7" } else { "10.7.7.7" };
                    let about: IpAddr = about.parse().expect("an address");
                    let (source, destination) = ((packet.destination, ABOUT_PORTS.0), (about, ABOUT_PORTS.1));
                    self.flow = Some(Tuple { protocol: Protocol::UDP, source, destination });
                    (packet.icmp_type, packet.icmp_code, packet.state) = (error, 0, ConnState::Related);
                    self.shape.about = Some(about);
                    return;
                }
                // Kernels do not agree on what tracking says of redirects: untracked, or of the flow they speak of.
                if is_v6 && packet.icmp_type == 137 {
                    packet.icmp_type = 136;
                }
                // `icmp_error`, `nf_conntrack_icmpv6_error` and their tables of types that begin a flow.
                packet.state = match packet.icmp_type {
                    8 | 13 | 15 | 17 if !is_v6 => ConnState::New,
                    128 | 139 if is_v6 => ConnState::New,
                    130..=137 | 143 if is_v6 => ConnState::Untracked,
                    _ => ConnState::Invalid,
                };
            }
            // ICMP of the other family.
            Protocol::ICMP | Protocol::ICMPV6 => packet.state = ConnState::Invalid,
            _ => {}
        }
    }

    /// What its destination is translated to, where it is the first packet of a tracked flow.
    fn dnat(&self) -> Option<(IpAddr, u16)> {
        let packet = &self.packet;
        if packet.state != ConnState::New {
            return None;
        }
        let has_ports = packet.protocol.has_ports();
        TRANSLATIONS.iter().find_map(|(from, port, to, to_port)| {
            let is_it = from.parse() == Ok(packet.destination)
                && port.is_none_or(|port| has_ports && port == packet.destination_port);
            is_it.then(|| (to.parse().expect("an address"), to_port.unwrap_or(packet.destination_port)))
        })
    }

    /// The packet at each time it goes through the host, and where it is if no stage drops it. A packet to the host
    /// itself goes twice, out of `lo` and in again.
    pub fn legs(&self, world: &World) -> (Vec<Packet>, Place) {
        let is_untracked = is_untracked(world, &self.packet);
        let dnat = self.dnat();
        let (to, port) = match dnat {
            Some(dnat) if !is_untracked => dnat,
            _ => (self.packet.destination, self.packet.destination_port),
        };
        let mut first = self.packet.clone();
        first.dnat = dnat.map(|(destination, destination_port)| Dnat {
            destination,
            destination_port,
            out_interface_before: None,
        });
        if let Some(from) = self.from {
            let in_interface = from.to_owned();
            let place = match way(to) {
                Way::Out(interface) => {
                    first.route = Route::Forwarded { in_interface, out_interface: interface.to_owned() };
                    Place::Left(interface)
                }
                _ => Place::Local,
            };
            return (vec![first], place);
        }
        let before = out(self.packet.destination);
        let after = dnat.map_or(before, |(to, _)| out(to));
        if let Some(dnat) = &mut first.dnat {
            dnat.out_interface_before = (before != after).then(|| before.to_owned());
        }
        first.route = Route::Generated { out_interface: after.to_owned() };
        let last = if is_untracked { before } else { after };
        if last != "lo" {
            return (vec![first], Place::Left(last));
        }
        let mut second = self.packet.clone();
        (second.destination, second.destination_port, second.dnat) = (to, port, None);
        second.route = Route::Delivered { in_interface: "lo".to_owned() };
        if is_untracked {
            second.state = ConnState::Untracked;
        }
        (vec![first, second], Place::Local)
    }
}

fn out(to: IpAddr) -> &'static str {
    match way(to) {
        Way::Out(interface) => interface,
        Way::Local | Way::Nowhere => "lo",
    }
}

/// Whether an untracked policy takes the packet out of connection tracking (E-414): alone, nothing else accepts it.
pub(super) fn is_untracked(world: &World, packet: &Packet) -> bool {
    let mut world = world.clone();
    world
        .resources
        .retain(|resource| !matches!(resource, Resource::Policy(policy) if policy.class != PolicyClass::Untracked));
    let reason = judge(&world, packet).reason;
    reason.is_some_and(|reason| {
        reason.by == By::AcceptedEarlier
            || matches!(reason.stage, Stage::S1 | Stage::S6) && matches!(reason.by, By::Policy { .. })
    })
}
