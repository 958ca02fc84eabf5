//! Whether one rule matches one packet (enforcement.md section 3). Every criterion is asked on its own.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_api::model::{Action, EndpointPort, Entity, Family, IcmpMatch, Labels, Port, Protocol, Resource, Rule};
use tortie_api::packet::Packet;
use tortie_selector::Selector;

use crate::world::World;

/// The label that tells in which namespace something is.
const NAMESPACE: &str = "projectcalico.org/namespace";

/// Whether all criteria of `rule` hold (E-301). `namespace` is that of the policy, for namespaced kinds.
pub(crate) fn matches(world: &World<'_>, rule: &Rule, namespace: Option<&str>, packet: &Packet) -> bool {
    if rule.has_http && !world.settings.ignores_http {
        return false; // E-358
    }
    if rule.source.services.is_some() || rule.destination.services.is_some() {
        return false; // no Kubernetes data (resources.md section 3)
    }
    let family = packet.family();
    if !exists_in(rule, family) {
        return false; // E-314, E-315, E-316
    }
    if rule.protocol.is_some_and(|protocol| protocol != packet.protocol) {
        return false; // E-310
    }
    if rule.not_protocol == Some(packet.protocol) {
        return false; // E-311
    }
    if rule.icmp.is_some_and(|icmp| !icmp_matches(icmp, packet)) {
        return false; // E-312
    }
    if rule.not_icmp.is_some_and(|icmp| icmp_matches(icmp, packet)) {
        return false; // E-313
    }
    let source = End { address: packet.source, port: packet.source_port };
    let destination = End { address: packet.destination, port: packet.destination_port };
    // E-302: always the packet's own source and destination.
    entity_matches(world, rule, &rule.source, namespace, packet, source)
        && entity_matches(world, rule, &rule.destination, namespace, packet, destination)
}

/// Whether the rule exists in `family` at all.
fn exists_in(rule: &Rule, family: Family) -> bool {
    if rule.ip_version.is_some_and(|version| version != family) {
        return false; // E-315
    }
    match (rule.protocol, family) {
        (Some(Protocol::ICMP), Family::V6) | (Some(Protocol::ICMPV6), Family::V4) => return false, // E-314
        _ => {}
    }
    // E-316: a list with entries, and none of this family, takes the rule out of it, `notNets` included.
    for end in [&rule.source, &rule.destination] {
        for list in [&end.nets, &end.not_nets] {
            if !list.is_empty() && !list.iter().any(|net| Family::of_net(*net) == family) {
                return false;
            }
        }
    }
    true
}

/// The packet is ICMP of its family, of this type, and of this code if one is given.
fn icmp_matches(icmp: IcmpMatch, packet: &Packet) -> bool {
    let own = match packet.family() {
        Family::V4 => Protocol::ICMP,
        Family::V6 => Protocol::ICMPV6,
    };
    packet.protocol == own
        && packet.icmp_type == icmp.icmp_type
        && icmp.code.is_none_or(|code| code == packet.icmp_code)
}

#[derive(Clone, Copy)]
struct End {
    address: IpAddr,
    port: u16,
}

fn entity_matches(
    world: &World<'_>,
    rule: &Rule,
    entity: &Entity,
    namespace: Option<&str>,
    packet: &Packet,
    end: End,
) -> bool {
    let in_any = |nets: &[IpNet]| nets.iter().any(|net| net.contains(&end.address));
    if !entity.nets.is_empty() && !in_any(&entity.nets) {
        return false;
    }
    if in_any(&entity.not_nets) {
        return false;
    }
    let positive = positive(entity, namespace);
    if let Some(positive) = &positive {
        // E-345: known things that satisfy the one and not the other; E-343: never unknown addresses.
        let wanted = |labels: &Labels| {
            holds(positive, labels) && !entity.not_selector.as_ref().is_some_and(|not| not.matches(labels))
        };
        let is_in = known(world, end.address, wanted);
        if !holds_in(world, rule, members(world, packet.family(), wanted), is_in) {
            return false;
        }
    } else if let Some(not) = &entity.not_selector {
        let wanted = |labels: &Labels| not.matches(labels);
        let is_in = known(world, end.address, wanted);
        if !holds_in(world, rule, members(world, packet.family(), wanted), !is_in) {
            return false; // E-344
        }
    }
    if !entity.ports.is_empty() {
        // E-329: the positive selector with notSelector.
        let counts = |labels: &Labels| {
            positive.as_ref().is_none_or(|positive| {
                holds(positive, labels) && !entity.not_selector.as_ref().is_some_and(|not| not.matches(labels))
            })
        };
        let is_in = entity.ports.iter().any(|port| port_matches(world, rule, port, packet, end, counts));
        let len = entity.ports.iter().map(|port| port_members(world, rule, port, packet.family(), counts)).max();
        if !holds_in(world, rule, len.unwrap_or(0), is_in) {
            return false;
        }
    }
    // E-332: the positive selector only.
    let counts = |labels: &Labels| positive.as_ref().is_none_or(|positive| holds(positive, labels));
    entity.not_ports.iter().all(|port| {
        let is_in = port_matches(world, rule, port, packet, end, counts);
        holds_in(world, rule, port_members(world, rule, port, packet.family(), counts), !is_in)
    })
}

/// What a criterion says that looks into a set of `len` members: of one that is too large, `Deny` takes it as fulfilled
/// and every other action as not (E-351).
fn holds_in(world: &World<'_>, rule: &Rule, len: usize, holds: bool) -> bool {
    if len > world.settings.set_size_max { rule.action == Action::Deny } else { holds }
}

/// How many different networks of a family the known things with wanted labels have (E-341).
fn members(world: &World<'_>, family: Family, wanted: impl Fn(&Labels) -> bool) -> usize {
    let mut nets: BTreeSet<IpNet> = BTreeSet::new();
    for resource in world.resources {
        if let Some((labels, own)) = contribution(world, resource)
            && wanted(&labels)
        {
            nets.extend(own.into_iter().map(|net| net.trunc()).filter(|net| Family::of_net(*net) == family));
        }
    }
    nets.len()
}

/// How many different (address, protocol, port) of a family a named port stands for (E-327, E-328).
fn port_members(
    world: &World<'_>,
    rule: &Rule,
    port: &Port,
    family: Family,
    counts: impl Fn(&Labels) -> bool,
) -> usize {
    let Port::Named(name) = port else { return 0 };
    let mut found = BTreeSet::new();
    for resource in world.resources {
        let (addresses, ports) = match resource {
            Resource::HostEndpoint(hep) => (&hep.expected_ips, &hep.ports),
            Resource::WorkloadEndpoint(wep) => (&wep.addresses, &wep.ports),
            _ => continue,
        };
        if !contribution(world, resource).is_some_and(|(labels, _)| counts(&labels)) {
            continue;
        }
        for address in addresses.iter().filter(|address| Family::of(**address) == family) {
            for port in ports.iter().filter(|port| port.name == *name) {
                if rule.protocol.is_none_or(|protocol| protocol == port.protocol) {
                    found.insert((*address, port.protocol, port.port));
                }
            }
        }
    }
    found.len()
}

/// One condition on the labels of a known thing.
enum Condition {
    Plain(Selector),
    /// In this namespace.
    In(String),
    /// A service account of one of these names.
    Account(Vec<String>),
}

/// The conditions of the positive selector of one end (selectors.md section 6), or `None` when there is no condition.
fn positive(entity: &Entity, namespace: Option<&str>) -> Option<Vec<Condition>> {
    let accounts = entity.service_accounts.as_ref();
    let has_accounts = accounts.is_some_and(|a| !a.names.is_empty() || a.selector.is_some());
    let is_given = entity.selector.is_some()
        || entity.not_selector.is_some()
        || entity.namespace_selector.is_some()
        || has_accounts;
    if !is_given {
        return None;
    }
    let mut conditions = Vec::new();
    match (&entity.namespace_selector, namespace) {
        (Some(selector), _) => {
            let selector = selector.with_prefix("pcns.");
            let selector = selector.replace_all_with(&Selector::has(NAMESPACE));
            let selector = selector.replace_global_with(&Selector::not_has(NAMESPACE));
            conditions.push(Condition::Plain(selector));
        }
        (None, Some(namespace)) => conditions.push(Condition::In(namespace.to_owned())),
        (None, None) => {}
    }
    if let Some(accounts) = accounts {
        if let Some(selector) = &accounts.selector {
            conditions.push(Condition::Plain(selector.with_prefix("pcsa.")));
        }
        if !accounts.names.is_empty() {
            conditions.push(Condition::Account(accounts.names.clone()));
        }
    }
    if let Some(selector) = &entity.selector {
        conditions.push(Condition::Plain(selector.clone()));
    }
    // notSelector alone, in a global policy, is no positive condition.
    if conditions.is_empty() { None } else { Some(conditions) }
}

fn holds(conditions: &[Condition], labels: &Labels) -> bool {
    conditions.iter().all(|condition| match condition {
        Condition::Plain(selector) => selector.matches(labels),
        Condition::In(namespace) => labels.get(NAMESPACE) == Some(namespace),
        Condition::Account(names) => {
            labels.get("projectcalico.org/serviceaccount").is_some_and(|name| names.contains(name))
        }
    })
}

/// Whether any known thing with this address has labels that are wanted (E-340, E-341).
fn known(world: &World<'_>, address: IpAddr, wanted: impl Fn(&Labels) -> bool) -> bool {
    world
        .resources
        .iter()
        .filter_map(|resource| contribution(world, resource))
        .any(|(labels, nets)| nets.iter().any(|net| net.contains(&address)) && wanted(&labels))
}

/// What selectors see of a resource: its labels with the inherited ones, and its networks (E-341).
fn contribution(world: &World<'_>, resource: &Resource) -> Option<(Labels, Vec<IpNet>)> {
    let endpoint = |own: &Labels, profiles: &[String], addresses: &[IpAddr]| {
        (world.labels(own, profiles), addresses.iter().map(|address| IpNet::from(*address)).collect())
    };
    match resource {
        Resource::HostEndpoint(hep) => Some(endpoint(&hep.meta.labels, &hep.profiles, &hep.expected_ips)),
        Resource::WorkloadEndpoint(wep) => Some(endpoint(&wep.meta.labels, &wep.profiles, &wep.addresses)),
        Resource::NetworkSet(set) => {
            let mut own = set.meta.labels.clone();
            let mut profiles = Vec::new();
            if let Some(namespace) = &set.meta.namespace {
                own.insert(NAMESPACE.to_owned(), namespace.clone());
                profiles.push(format!("kns.{namespace}"));
            }
            Some((world.labels(&own, &profiles), set.nets.clone()))
        }
        _ => None,
    }
}

/// One entry of a list of ports (E-325 to E-333).
fn port_matches(
    world: &World<'_>,
    rule: &Rule,
    port: &Port,
    packet: &Packet,
    end: End,
    counts: impl Fn(&Labels) -> bool,
) -> bool {
    let name = match port {
        Port::Range(range) => return range.contains(end.port),
        Port::Named(name) => name,
    };
    let defines = |addresses: &[IpAddr], ports: &[EndpointPort]| {
        addresses.contains(&end.address)
            && ports.iter().any(|port| {
                port.name == *name
                    && port.protocol == packet.protocol
                    && rule.protocol.is_none_or(|protocol| protocol == port.protocol)
                    && port.port == end.port
            })
    };
    world.resources.iter().any(|resource| match resource {
        Resource::HostEndpoint(hep) => {
            defines(&hep.expected_ips, &hep.ports) && counts(&world.labels(&hep.meta.labels, &hep.profiles))
        }
        Resource::WorkloadEndpoint(wep) => {
            defines(&wep.addresses, &wep.ports) && counts(&world.labels(&wep.meta.labels, &wep.profiles))
        }
        _ => false,
    })
}
