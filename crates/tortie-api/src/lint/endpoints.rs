//! Lints of host endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::world::{Endpoint, GlobalPolicy, World};
use super::{Lint, and_more};
use crate::DEFAULT_ALLOW_PROFILE;
use crate::facts::Links;
use crate::model::{Attachment, Entity, PolicyClass, Port, Rule};

/// T-1: nothing allows anything in a direction, because nobody has said anything about it (E-226).
pub(super) fn closed(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for endpoint in world.asked().filter(|endpoint| world.is_complete && endpoint.hep.profiles.is_empty()) {
        let mut is_open = (false, false);
        for policy in world.policies.iter().filter(|policy| policy.is_normal()) {
            if is_open != (true, true) && endpoint.is_meant_by(&policy.selector) {
                is_open.0 |= policy.policy.governs_ingress;
                is_open.1 |= policy.policy.governs_egress;
            }
        }
        let what = match is_open {
            (true, true) => continue,
            (false, false) => "no policy selects it and it lists no profile: all traffic but failsafe ports is denied",
            (false, true) => {
                "no policy governs its ingress and it lists no profile: all but failsafe ports is denied inward"
            }
            (true, false) => {
                "no policy governs its egress and it lists no profile: all but failsafe ports is denied outward"
            }
        };
        let hint = format!("list profile `{DEFAULT_ALLOW_PROFILE}`, or apply a policy that says what is allowed");
        lints.push(Lint::new("T-1", endpoint.key.clone(), what, hint));
    }
    lints
}

/// E-230: a profile that does not exist denies everything at its place in the list.
pub(super) fn missing_profiles(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for endpoint in world.asked().filter(|_| world.is_complete) {
        for (number, profile) in endpoint.hep.profiles.iter().enumerate() {
            if profile != DEFAULT_ALLOW_PROFILE && !world.profiles.contains_key(profile.as_str()) {
                let message = format!("profile `{profile}` does not exist: as long as it is missing it denies all");
                let lint = Lint::new("E-230", endpoint.key.clone(), message, "apply the profile, or leave it out");
                lints.push(lint.at(format!("spec.profiles[{number}]")));
            }
        }
    }
    lints
}

/// T-2: rules mean the endpoint, and have no address to know it by (E-330, E-341).
pub(super) fn without_addresses(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for endpoint in world.endpoints.iter().filter(|endpoint| endpoint.hep.expected_ips.is_empty()) {
        let mut users = Vec::new();
        for policy in world.policies_for(endpoint) {
            for (_, path, rule) in policy.rules() {
                if [&rule.source, &rule.destination].into_iter().any(|entity| means(entity, endpoint, rule)) {
                    users.push(format!("{} {path}", policy.key));
                }
            }
        }
        if let Some(first) = users.first() {
            let message = format!("without `expectedIPs` it is missing from {}", and_more(first, users.len()));
            let hint = "list the addresses of its interfaces in `expectedIPs`: rules know it by nothing else";
            lints.push(Lint::new("T-2", endpoint.key.clone(), message, hint));
        }
    }
    lints
}

/// Whether a selector or a named port of a rule is meant to take in the endpoint.
fn means(entity: &Entity, endpoint: &Endpoint<'_>, rule: &Rule) -> bool {
    let by_selector =
        [&entity.selector, &entity.not_selector].into_iter().flatten().any(|selector| endpoint.is_meant_by(selector));
    // A namespace or a service account is never a host's; `global()` is.
    let is_elsewhere = entity.service_accounts.is_some()
        || entity.namespace_selector.as_ref().is_some_and(|selector| !selector.contains_global());
    let by_port = entity.ports.iter().chain(&entity.not_ports).any(|port| match port {
        Port::Named(name) => {
            let is_same = |protocol| rule.protocol.is_none_or(|wanted| wanted == protocol);
            endpoint.hep.ports.iter().any(|port| port.name == *name && is_same(port.protocol))
        }
        Port::Range(_) => false,
    });
    // A named port together with a selector means only what the selector takes (E-329).
    let is_selected = entity.selector.as_ref().is_none_or(|selector| endpoint.is_meant_by(selector));
    !is_elsewhere && (by_selector || by_port && is_selected)
}

/// T-4: two endpoints for one interface; the smaller name wins and the other does nothing (E-106, E-107).
pub(super) fn shadowed(world: &World<'_>) -> Vec<Lint> {
    let mut by_node: BTreeMap<&str, Vec<&Endpoint<'_>>> = BTreeMap::new();
    for endpoint in &world.endpoints {
        by_node.entry(&endpoint.hep.node).or_default().push(endpoint);
    }
    let mut lints = Vec::new();
    for (node, endpoints) in by_node {
        // INVARIANT: endpoints of a node stand in the order of their names.
        for (number, loser) in endpoints.iter().enumerate() {
            let is_asked = |winner: &&&Endpoint<'_>| world.is_asked_endpoint(winner) || world.is_asked_endpoint(loser);
            let mut earlier = endpoints[..number].iter().filter(is_asked);
            if let Some((winner, what)) = earlier.find_map(|winner| Some((winner, common(winner, loser)?))) {
                let message =
                    format!("{} governs {what} of node `{node}`, and this one does nothing there", winner.key);
                let hint = "one endpoint governs an interface, the one of the smallest name: delete or change one";
                lints.push(Lint::new("T-4", loser.key.clone(), message, hint));
            }
        }
    }
    lints
}

/// What both endpoints of one node claim.
fn common(a: &Endpoint<'_>, b: &Endpoint<'_>) -> Option<String> {
    match (&a.hep.attachment, &b.hep.attachment) {
        (Attachment::AllInterfaces, Attachment::AllInterfaces) => Some("all interfaces".to_owned()),
        (Attachment::AllInterfaces, _) | (_, Attachment::AllInterfaces) => None,
        (Attachment::Named(a), Attachment::Named(b)) => (a == b).then(|| format!("interface `{a}`")),
        // Addresses of a named endpoint are not what it is found by (E-117), but they are most likely true.
        _ => {
            let shared = |address: &&IpAddr| b.hep.expected_ips.contains(address);
            a.hep.expected_ips.iter().find(shared).map(|address| format!("the interface of {address}"))
        }
    }
}

/// E-116: an interface of a workload is never a host endpoint's.
pub(super) fn workload_interfaces(world: &World<'_>) -> Vec<Lint> {
    let prefixes = world.interface_prefixes();
    let mut lints = Vec::new();
    for endpoint in world.asked() {
        let Attachment::Named(name) = &endpoint.hep.attachment else { continue };
        if let Some(prefix) = prefixes.iter().find(|prefix| name.starts_with(**prefix)) {
            let message =
                format!("`{name}` begins with `{prefix}` as interfaces of workloads do: it is never governed");
            let hint = "name an interface of the host, or change `interfacePrefix` in FelixConfiguration(default)";
            lints.push(Lint::new("E-116", endpoint.key.clone(), message, hint).at("spec.interfaceName"));
        }
    }
    lints
}

/// E-111 (T-6): a named endpoint hides the wildcard's policies, except for the pre-DNAT ones.
pub(super) fn borrowed_pre_dnat(world: &World<'_>) -> Vec<Lint> {
    let policies: Vec<&GlobalPolicy<'_>> =
        world.policies.iter().filter(|policy| policy.policy.class == PolicyClass::PreDnat).collect();
    let asked: Vec<&GlobalPolicy<'_>> = policies.iter().copied().filter(|policy| world.is_asked(&policy.key)).collect();
    let own = |endpoint: &Endpoint<'_>| policies.iter().find(|policy| endpoint.is_meant_by(&policy.selector));
    let mut wildcards: BTreeMap<&str, &Endpoint<'_>> = BTreeMap::new();
    for endpoint in world.endpoints.iter().filter(|endpoint| endpoint.is_wildcard() && !policies.is_empty()) {
        wildcards.entry(&endpoint.hep.node).or_insert(endpoint);
    }
    let mut lints = Vec::new();
    for endpoint in world.endpoints.iter().filter(|endpoint| !endpoint.is_wildcard()) {
        let Some(wildcard) = wildcards.get(endpoint.hep.node.as_str()) else { continue };
        let is_asked = [endpoint, wildcard].into_iter().any(|endpoint| world.is_asked_endpoint(endpoint));
        let lent = if is_asked { &policies } else { &asked };
        let Some(policy) = lent.iter().find(|policy| wildcard.is_meant_by(&policy.selector)) else { continue };
        if own(endpoint).is_none() {
            let message =
                format!("no pre-DNAT policy selects it, so {} applies to it as to {}", policy.key, wildcard.key);
            let hint = "nothing to do if that is meant; a pre-DNAT policy of its own takes the place of the wildcard's";
            lints.push(Lint::new("E-111", endpoint.key.clone(), message, hint));
        }
    }
    lints
}

/// E-119: packets are seen on the bond or bridge, never on its ports.
pub(super) fn enslaved(world: &World<'_>, links: &Links) -> Vec<Lint> {
    let mut lints = Vec::new();
    for endpoint in world.asked() {
        let Attachment::Named(name) = &endpoint.hep.attachment else { continue };
        let controller = links.get(name).and_then(|link| link.controller);
        let Some(controller) = controller.and_then(|index| links.values().find(|link| link.index == index)) else {
            continue;
        };
        let message = format!("`{name}` is a port of `{}`: the endpoint sees nothing", controller.name);
        let hint = format!("set `interfaceName: {}`", controller.name);
        lints.push(Lint::new("E-119", endpoint.key.clone(), message, hint).at("spec.interfaceName"));
    }
    lints
}
