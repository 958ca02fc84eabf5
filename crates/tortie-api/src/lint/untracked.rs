//! T-11: untracked traffic that is allowed one way only (E-416).

use super::Lint;
use super::world::{Direction, Endpoint, GlobalPolicy, World};
use crate::model::{Action, Entity, PolicyClass, Port, PortRange, Rule};

/// An untracked Allow without an untracked Allow the other way, which its answers need.
///
/// Rules match unless their protocols, ports or networks are plainly disjoint; selectors are taken to agree.
pub(super) fn one_way(world: &World<'_>) -> Vec<Lint> {
    let untracked: Vec<&GlobalPolicy<'_>> =
        world.policies.iter().filter(|policy| policy.policy.class == PolicyClass::Untracked).collect();
    let mut lints = Vec::new();
    for policy in &untracked {
        let named: Vec<&Endpoint<'_>> = world.selected(policy).into_iter().filter(|e| !e.is_wildcard()).collect();
        let is_unknown = !world.is_complete && world.endpoints.is_empty();
        for (direction, path, rule) in policy.rules().filter(|(.., rule)| rule.action == Action::Allow) {
            let is_answered = |endpoint: Option<&&Endpoint<'_>>| {
                let here = |other: &&&GlobalPolicy<'_>| endpoint.is_none_or(|e| e.is_meant_by(&other.selector));
                let mut others = untracked.iter().filter(here).flat_map(|other| other.rules());
                others.any(|(way, _, other)| {
                    way != direction && other.action == Action::Allow && may_be_answer(rule, other)
                })
            };
            if named.iter().any(|endpoint| !is_answered(Some(endpoint))) || is_unknown && !is_answered(None) {
                let way = if direction == Direction::Ingress { "egress" } else { "ingress" };
                let message = format!("no untracked {way} rule allows the answers: the connection does not come about");
                let hint = format!("add to `{way}` of an untracked policy: {}", mirrored(rule));
                lints.push(Lint::new("T-11", policy.key.clone(), message, hint).at(path));
            }
        }
    }
    lints
}

fn may_be_answer(rule: &Rule, other: &Rule) -> bool {
    let ends = [(&rule.source, &other.destination), (&rule.destination, &other.source)];
    fn is_same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
        a.is_none() || b.is_none() || a == b
    }
    is_same(rule.protocol, other.protocol)
        && is_same(rule.ip_version, other.ip_version)
        && ends.into_iter().all(|(a, b)| may_share_port(a, b) && may_share_address(a, b))
}

fn may_share_port(a: &Entity, b: &Entity) -> bool {
    let meet = |a: &PortRange, b: &PortRange| a.first() <= b.last() && b.first() <= a.last();
    let ranges = |entity: &Entity| -> Option<Vec<PortRange>> {
        let range = |port: &Port| match port {
            Port::Range(range) => Some(*range),
            Port::Named(_) => None,
        };
        entity.ports.iter().map(range).collect()
    };
    match (ranges(a), ranges(b)) {
        (Some(a), Some(b)) if !a.is_empty() && !b.is_empty() => a.iter().any(|a| b.iter().any(|b| meet(a, b))),
        _ => true,
    }
}

fn may_share_address(a: &Entity, b: &Entity) -> bool {
    let mut pairs = a.nets.iter().flat_map(|a| b.nets.iter().map(move |b| (a, b)));
    a.nets.is_empty() || b.nets.is_empty() || pairs.any(|(a, b)| a.contains(b) || b.contains(a))
}

/// The rule for the other direction, as it is written in a file. ICMP types differ between question and answer, so
/// they are left out.
fn mirrored(rule: &Rule) -> String {
    let mut parts = vec!["action: Allow".to_owned()];
    if let Some(family) = rule.ip_version {
        parts.push(format!("ipVersion: {}", if family == crate::model::Family::V4 { 4 } else { 6 }));
    }
    parts.extend(rule.protocol.map(|protocol| format!("protocol: {protocol}")));
    parts.extend(rule.not_protocol.map(|protocol| format!("notProtocol: {protocol}")));
    for (name, entity) in [("source", &rule.destination), ("destination", &rule.source)] {
        let text = entity_text(entity);
        if !text.is_empty() {
            parts.push(format!("{name}: {{{text}}}"));
        }
    }
    format!("{{{}}}", parts.join(", "))
}

fn entity_text(entity: &Entity) -> String {
    let port = |port: &Port| match port {
        Port::Range(range) if range.first() == range.last() => range.first().to_string(),
        Port::Range(range) => format!("'{}:{}'", range.first(), range.last()),
        Port::Named(name) => name.clone(),
    };
    let nets = |nets: &[ipnet::IpNet]| nets.iter().map(|net| format!("'{net}'")).collect::<Vec<_>>();
    let selector = |selector: &Option<tortie_selector::Selector>| {
        // A quote inside a quoted YAML text is written twice.
        selector.iter().map(|selector| format!("'{}'", selector.canonical().replace('\'', "''"))).collect::<Vec<_>>()
    };
    let lists = [
        ("nets", nets(&entity.nets)),
        ("notNets", nets(&entity.not_nets)),
        ("ports", entity.ports.iter().map(port).collect()),
        ("notPorts", entity.not_ports.iter().map(port).collect()),
    ];
    let mut parts: Vec<String> = Vec::new();
    for (name, selector) in [
        ("selector", selector(&entity.selector)),
        ("notSelector", selector(&entity.not_selector)),
        ("namespaceSelector", selector(&entity.namespace_selector)),
    ] {
        parts.extend(selector.into_iter().map(|text| format!("{name}: {text}")));
    }
    for (name, items) in lists.into_iter().filter(|(_, items)| !items.is_empty()) {
        parts.push(format!("{name}: [{}]", items.join(", ")));
    }
    parts.join(", ")
}
