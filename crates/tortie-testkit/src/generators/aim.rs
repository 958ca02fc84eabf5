//! Packets for what a world speaks of.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::{Attachment, Entity, Family, PolicyClass, Port, Protocol, Resource, Rule};
use tortie_api::packet::{ConnState, Packet, Route, WayBack};

use super::{NODE, Random, World, edge};

/// Lets the packet come in or go out by the interface of an endpoint of this host.
pub(super) fn at_an_endpoint(world: &World, random: &mut Random, packet: &mut Packet) {
    let endpoints: Vec<&Attachment> = world
        .resources
        .iter()
        .filter_map(|resource| match resource {
            Resource::HostEndpoint(endpoint) if endpoint.node == NODE => Some(&endpoint.attachment),
            _ => None,
        })
        .collect();
    if endpoints.is_empty() {
        return;
    }
    let Attachment::Named(name) = *random.pick(&endpoints) else { return };
    let name = name.clone();
    match &mut packet.route {
        Route::Delivered { in_interface } => *in_interface = name,
        Route::Generated { out_interface } => *out_interface = name,
        Route::Forwarded { in_interface, .. } if random.one_in(2) => *in_interface = name,
        Route::Forwarded { out_interface, .. } => *out_interface = name,
    }
}

/// Sends the packet on a way on which rules of this class and direction are asked, as the first of a flow.
fn on_a_way(random: &mut Random, packet: &mut Packet, class: PolicyClass, is_ingress: bool) {
    let (in_interface, out_interface) = match packet.route.clone() {
        Route::Delivered { in_interface } => (in_interface.clone(), in_interface),
        Route::Generated { out_interface } => (out_interface.clone(), out_interface),
        Route::Forwarded { in_interface, out_interface } => (in_interface, out_interface),
    };
    let is_forwarded = match class {
        PolicyClass::Normal => false,
        PolicyClass::NormalAndForward => random.one_in(2),
        PolicyClass::PreDnat | PolicyClass::Untracked => is_ingress && random.one_in(3),
    };
    packet.route = match (is_forwarded, is_ingress) {
        (true, _) => Route::Forwarded { in_interface, out_interface },
        (false, true) => Route::Delivered { in_interface },
        (false, false) => Route::Generated { out_interface },
    };
    (packet.state, packet.way_back) = (ConnState::New, WayBack::SameInterface);
}

pub(super) fn at_a_failsafe(world: &World, random: &mut Random, packet: &mut Packet) {
    let side = random.below(2);
    let list = &world.failsafes[side];
    if list.is_empty() {
        return;
    }
    let (protocol, port, net) = *random.pick(list);
    packet.protocol = protocol;
    // The answer of a failsafe flow has the port at its source (E-505).
    let is_answer = random.one_in(3);
    set_port(packet, is_answer, beside(random, port));
    if let Some(net) = net {
        set_family(packet, Family::of_net(net));
        let is_source = (side == 0) != is_answer;
        set_address(packet, is_source, edge(random, net));
    }
}

pub(super) fn at_a_rule(world: &World, random: &mut Random, packet: &mut Packet) {
    let rules: Vec<(PolicyClass, bool, &Arc<Rule>)> = world
        .resources
        .iter()
        .flat_map(|resource| {
            let (class, ingress, egress) = match resource {
                Resource::Policy(policy) => (policy.class, &policy.ingress[..], &policy.egress[..]),
                Resource::Profile(profile) => (PolicyClass::Normal, &profile.ingress[..], &profile.egress[..]),
                _ => (PolicyClass::Normal, &[][..], &[][..]),
            };
            let ingress = ingress.iter().map(move |rule| (class, true, rule));
            ingress.chain(egress.iter().map(move |rule| (class, false, rule)))
        })
        .collect();
    if rules.is_empty() {
        return;
    }
    let (class, is_ingress, rule) = *random.pick(&rules);
    if !random.one_in(5) {
        on_a_way(random, packet, class, is_ingress);
    }
    if let Some(protocol) = rule.protocol.or(rule.not_protocol.filter(|_| random.one_in(2))) {
        packet.protocol = protocol;
    }
    let of_protocol = match packet.protocol {
        Protocol::ICMP => Some(Family::V4),
        Protocol::ICMPV6 => Some(Family::V6),
        _ => None,
    };
    let nets = [&rule.source.nets, &rule.destination.nets, &rule.source.not_nets, &rule.destination.not_nets];
    let of_nets = nets.iter().find(|nets| !nets.is_empty()).map(|nets| Family::of_net(*random.pick(nets)));
    if let Some(family) = rule.ip_version.or(of_protocol).or(of_nets) {
        set_family(packet, family);
    }
    if let Some(icmp) = rule.icmp.or(rule.not_icmp) {
        packet.icmp_type = icmp.icmp_type;
        packet.icmp_code = icmp.code.unwrap_or(packet.icmp_code);
    }
    for (is_source, entity) in [(true, &rule.source), (false, &rule.destination)] {
        at_an_entity(world, random, packet, is_source, entity);
    }
}

fn at_an_entity(world: &World, random: &mut Random, packet: &mut Packet, is_source: bool, entity: &Entity) {
    let mut nets: Vec<IpNet> = entity.nets.iter().chain(&entity.not_nets).copied().collect();
    if entity.selector.is_some() || entity.not_selector.is_some() {
        nets.extend(known_nets(world));
    }
    nets.retain(|net| Family::of_net(*net) == packet.family());
    if !nets.is_empty() {
        let net = *random.pick(&nets);
        set_address(packet, is_source, edge(random, net));
    }
    let ports: Vec<&Port> = entity.ports.iter().chain(&entity.not_ports).collect();
    if ports.is_empty() {
        return;
    }
    match *random.pick(&ports) {
        Port::Range(range) => {
            let port = if random.one_in(2) { range.first() } else { range.last() };
            set_port(packet, is_source, beside(random, port));
        }
        Port::Named(name) => {
            let named: Vec<(IpAddr, Protocol, u16)> = known_ports(world)
                .filter(|(of, ..)| *of == name)
                .map(|(_, address, protocol, port)| (address, protocol, port))
                .collect();
            if named.is_empty() {
                return;
            }
            let (address, protocol, port) = *random.pick(&named);
            set_family(packet, Family::of(address));
            set_address(packet, is_source, address);
            packet.protocol = protocol;
            set_port(packet, is_source, if random.one_in(4) { beside(random, port) } else { port });
        }
    }
}

/// Every network that a selector may find.
fn known_nets(world: &World) -> impl Iterator<Item = IpNet> + '_ {
    world.resources.iter().flat_map(|resource| match resource {
        Resource::NetworkSet(set) => set.nets.clone(),
        Resource::HostEndpoint(endpoint) => endpoint.expected_ips.iter().map(|address| IpNet::from(*address)).collect(),
        Resource::WorkloadEndpoint(workload) => {
            workload.addresses.iter().map(|address| IpNet::from(*address)).collect()
        }
        _ => vec![],
    })
}

/// Every named port: name, address, protocol, port.
fn known_ports(world: &World) -> impl Iterator<Item = (&String, IpAddr, Protocol, u16)> {
    world.resources.iter().flat_map(|resource| {
        let (addresses, ports) = match resource {
            Resource::HostEndpoint(endpoint) => (&endpoint.expected_ips[..], &endpoint.ports[..]),
            Resource::WorkloadEndpoint(workload) => (&workload.addresses[..], &workload.ports[..]),
            _ => (&[][..], &[][..]),
        };
        addresses
            .iter()
            .flat_map(move |address| ports.iter().map(move |port| (&port.name, *address, port.protocol, port.port)))
    })
}

/// Turns the packet to a family, if it is not of it already.
fn set_family(packet: &mut Packet, family: Family) {
    if packet.family() == family {
        return;
    }
    let (source, destination, translated) = match family {
        Family::V4 => ("10.0.0.2", "10.0.0.1", "10.0.1.1"),
        Family::V6 => ("2001:db8::2", "2001:db8::1", "2001:db8:1::1"),
    };
    let address = |text: &str| text.parse().expect("an address");
    (packet.source, packet.destination) = (address(source), address(destination));
    if let Some(dnat) = &mut packet.dnat {
        dnat.destination = address(translated);
    }
}

/// Gives the packet an address where rules look for it; of another family it is left out.
fn set_address(packet: &mut Packet, is_source: bool, address: IpAddr) {
    if Family::of(address) != packet.family() {
        return;
    }
    match &mut packet.dnat {
        _ if is_source => packet.source = address,
        // Half of the classes look before translation, the others behind it.
        Some(dnat) if packet.source_port.is_multiple_of(2) => dnat.destination = address,
        _ => packet.destination = address,
    }
}

fn set_port(packet: &mut Packet, is_source: bool, port: u16) {
    match &mut packet.dnat {
        _ if is_source => packet.source_port = port,
        Some(dnat) if packet.source_port.is_multiple_of(2) => dnat.destination_port = port,
        _ => packet.destination_port = port,
    }
}

fn beside(random: &mut Random, port: u16) -> u16 {
    port.wrapping_add_signed([-1, 0, 0, 0, 1][random.below(5)])
}
