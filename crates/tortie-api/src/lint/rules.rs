//! Lints of single rules.

use super::Lint;
use super::world::{Direction, World, with_paths};
use crate::model::{Family, Port, PortRange, Protocol, Rule};
use crate::{Kind, ResourceKey};

/// The ports that Kubernetes gives to services (`kubeNodePortRanges`, E-631).
const NODE_PORTS: (u16, u16) = (30_000, 32_767);

/// T-23: hosts cannot look into HTTP (E-358).
pub(super) fn http(world: &World<'_>) -> Vec<Lint> {
    each_rule(world, |rule| {
        let message = "a host cannot check `http`: there the rule matches nothing";
        rule.has_http.then(|| {
            let hint = "leave `http` out of what is meant for host endpoints";
            ("T-23", "http", message.to_owned(), hint.to_owned())
        })
    })
    .into_iter()
    .map(Lint::refused_by_strict)
    .collect()
}

/// T-18: a rule exists only in the families of its networks and protocols (E-314, E-316).
pub(super) fn one_family(world: &World<'_>) -> Vec<Lint> {
    each_rule(world, |rule| {
        let families = families(rule);
        let word = |family| if family == Family::V4 { "IPv4" } else { "IPv6" };
        match families[..] {
            [] => Some((
                "T-18",
                "",
                "its networks, protocol and `ipVersion` leave no address family: it matches nothing".to_owned(),
                "write one rule for each family".to_owned(),
            )),
            [family] if rule.ip_version.is_none() && protocol_family(rule).is_none() && is_negated_only(rule) => {
                let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
                let (word, other) = (word(family), word(other));
                let message = format!("with {word} networks it stands for {word} alone: it matches no {other} packet");
                let hint = format!("write a second rule for {other}, or `ipVersion` if {word} alone is meant");
                Some(("T-18", "", message, hint))
            }
            _ => None,
        }
    })
}

/// Networks to be excluded, and none that must hold: "not from here" does not look like IPv4 only.
fn is_negated_only(rule: &Rule) -> bool {
    let ends = [&rule.source, &rule.destination];
    ends.iter().any(|end| !end.not_nets.is_empty()) && ends.iter().all(|end| end.nets.is_empty())
}

fn protocol_family(rule: &Rule) -> Option<Family> {
    match rule.protocol? {
        Protocol::ICMP => Some(Family::V4),
        Protocol::ICMPV6 => Some(Family::V6),
        _ => None,
    }
}

/// The families in which a rule exists (E-314 to E-316).
pub(super) fn families(rule: &Rule) -> Vec<Family> {
    let lists = [&rule.source.nets, &rule.source.not_nets, &rule.destination.nets, &rule.destination.not_nets];
    let exists = |family: &Family| {
        rule.ip_version.is_none_or(|only| only == *family)
            && protocol_family(rule).is_none_or(|only| only == *family)
            && lists.iter().all(|list| list.is_empty() || list.iter().any(|net| Family::of_net(*net) == *family))
    };
    Family::BOTH.into_iter().filter(exists).collect()
}

/// T-9: on the way in the destination is translated already, so that the number of a node port never shows (E-430).
pub(super) fn node_ports(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    let is_node_port = |range: PortRange| NODE_PORTS.0 <= range.first() && range.last() <= NODE_PORTS.1;
    for policy in world.policies.iter().filter(|policy| policy.is_normal() && world.has_rules_to_check(policy)) {
        for (_, path, rule) in policy.rules().filter(|(direction, ..)| *direction == Direction::Ingress) {
            let number = rule.destination.ports.iter().position(|port| match port {
                Port::Range(range) => is_node_port(*range),
                Port::Named(_) => false,
            });
            if let Some(number) = number {
                let message = "the number of a node port never shows here: it is translated before this rule is asked";
                let hint = "say it in a policy with `preDNAT: true`, or give the port of the process behind it";
                let path = format!("{path}.destination.ports[{number}]");
                lints.push(Lint::new("T-9", policy.key.clone(), message, hint).at(path));
            }
        }
    }
    lints
}

/// What is found in a rule: number, field, message, hint.
type Finding = (&'static str, &'static str, String, String);

/// Looks at the rules of policies and profiles.
fn each_rule(world: &World<'_>, check: impl Fn(&Rule) -> Option<Finding>) -> Vec<Lint> {
    let mut lints = Vec::new();
    let mut look = |key: &ResourceKey, path: String, rule: &Rule| {
        if let Some((number, field, message, hint)) = check(rule) {
            let path = if field.is_empty() { path } else { format!("{path}.{field}") };
            lints.push(Lint::new(number, key.clone(), message, hint).at(path));
        }
    };
    for policy in world.policies.iter().filter(|policy| world.has_rules_to_check(policy)) {
        policy.rules().for_each(|(_, path, rule)| look(&policy.key, path, rule));
    }
    for profile in world.profiles_to_check() {
        let key = ResourceKey::global(Kind::Profile, &profile.meta.name);
        for (direction, rules) in [(Direction::Ingress, &profile.ingress), (Direction::Egress, &profile.egress)] {
            with_paths(direction, rules).for_each(|(path, rule)| look(&key, path, rule));
        }
    }
    lints
}
