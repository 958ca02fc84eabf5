//! T-20: a Deny that is never reached, because an Allow before it takes all its packets.

use super::Lint;
use super::rules::families;
use super::world::{Direction, Endpoint, GlobalPolicy, World};
use crate::model::{Action, Entity, PolicyClass, Port, Rule};

/// Rules compared at most: where there are more, the rest is left without a lint rather than the reader waiting.
const COMPARISONS_MAX: usize = 2_000_000;

/// Denies whose packets an earlier Allow accepts on every endpoint that they are meant for.
pub(super) fn shadowed(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    let mut comparisons = 0;
    for direction in [Direction::Ingress, Direction::Egress] {
        // Allow rules before the one looked at, by position of their policy.
        let mut allows: Vec<(usize, String, &Rule)> = Vec::new();
        // Those of policies that were asked about: a rule that was not is compared with nothing else.
        let mut asked: Vec<(usize, String, &Rule)> = Vec::new();
        for (place, policy) in world.policies.iter().enumerate() {
            let is_asked = world.has_rules_to_check(policy);
            for (_, path, rule) in policy.rules().filter(|(way, ..)| *way == direction) {
                match rule.action {
                    Action::Allow if !rule.has_http => {
                        if world.is_asked(&policy.key) {
                            asked.push((place, path.clone(), rule));
                        }
                        allows.push((place, path, rule));
                    }
                    Action::Deny if comparisons < COMPARISONS_MAX => {
                        let takes = |(earlier, _, allow): &&(usize, String, &Rule)| {
                            comparisons += 1;
                            covers(allow, rule) && is_certain(world, &world.policies[*earlier], policy, direction)
                        };
                        let earlier = if is_asked { &allows } else { &asked };
                        if let Some((earlier, allow_path, _)) = earlier.iter().find(takes) {
                            let other = &world.policies[*earlier].key;
                            let by = if *other == policy.key { "this policy".to_owned() } else { other.to_string() };
                            let message = format!("it is never reached: {allow_path} of {by} allows all of it before");
                            let hint = "put the Deny first: in a policy of smaller `order`, or higher up in this one";
                            lints.push(Lint::new("T-20", policy.key.clone(), message, hint).at(path));
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    lints
}

/// Whether an Allow of `first` ends the walk before `second` is asked, on each endpoint that `second` selects.
fn is_certain(world: &World<'_>, first: &GlobalPolicy<'_>, second: &GlobalPolicy<'_>, direction: Direction) -> bool {
    let is_same_class = match second.policy.class {
        PolicyClass::Normal => first.is_normal(),
        class => first.policy.class == class,
    };
    let (one, two) = (first.policy.tier.as_str(), second.policy.tier.as_str());
    let is_tier = |policy: &&GlobalPolicy<'_>| policy.policy.tier == one;
    let has_pass = || {
        let rules = world.policies.iter().filter(is_tier).flat_map(|policy| policy.rules());
        rules.into_iter().any(|(way, _, rule)| way == direction && rule.action == Action::Pass)
    };
    // A Pass before the Allow leads into the next tier past it; and the order of unknown tiers is unknown.
    let is_ordered = one == two || [one, two].iter().all(|tier| world.tiers.contains_key(tier)) && !has_pass();
    is_same_class && is_ordered && selects_all_of(world, first, second)
}

fn selects_all_of(world: &World<'_>, first: &GlobalPolicy<'_>, second: &GlobalPolicy<'_>) -> bool {
    if first.selector.is_all() || first.selector == second.selector {
        return world.may_select_hosts(second);
    }
    let meant: Vec<&Endpoint<'_>> = world.endpoints.iter().filter(|e| e.is_meant_by(&second.selector)).collect();
    !meant.is_empty() && meant.iter().all(|endpoint| endpoint.is_meant_by(&first.selector))
}

/// Whether every packet that `narrow` matches is matched by `wide` as well. `false` also where that is not plain.
fn covers(wide: &Rule, narrow: &Rule) -> bool {
    let here = families(wide);
    let by_protocol = wide.protocol.is_none() || wide.protocol == narrow.protocol;
    let by_not_protocol = match (wide.not_protocol, narrow.protocol) {
        (None, _) => true,
        (Some(not), Some(protocol)) if not != protocol => true,
        _ => wide.not_protocol == narrow.not_protocol,
    };
    let by_icmp = match (wide.icmp, narrow.icmp) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => {
            wide.icmp_type == narrow.icmp_type && (wide.code.is_none() || wide.code == narrow.code)
        }
        _ => false,
    };
    by_protocol
        && by_not_protocol
        && by_icmp
        && (wide.not_icmp.is_none() || wide.not_icmp == narrow.not_icmp)
        && families(narrow).iter().all(|family| here.contains(family))
        && entity_covers(&wide.source, &narrow.source)
        && entity_covers(&wide.destination, &narrow.destination)
}

fn entity_covers(wide: &Entity, narrow: &Entity) -> bool {
    fn is_same<T: PartialEq>(wide: &Option<T>, narrow: &Option<T>) -> bool {
        wide.is_none() || wide == narrow
    }
    let lies_in = |port: &Port| match port {
        Port::Range(inner) => wide.ports.iter().any(|outer| match outer {
            Port::Range(outer) => outer.first() <= inner.first() && inner.last() <= outer.last(),
            Port::Named(_) => false,
        }),
        // What a name stands for depends on the selector beside it (E-329).
        Port::Named(_) => wide.ports.contains(port) && wide.selector == narrow.selector,
    };
    let by_nets = wide.nets.is_empty()
        || !narrow.nets.is_empty() && narrow.nets.iter().all(|inner| wide.nets.iter().any(|net| net.contains(inner)));
    let by_not_nets = wide.not_nets.iter().all(|inner| narrow.not_nets.iter().any(|net| net.contains(inner)));
    by_nets
        && by_not_nets
        && (wide.ports.is_empty() || !narrow.ports.is_empty() && narrow.ports.iter().all(lies_in))
        && (wide.not_ports.is_empty() || wide.not_ports == narrow.not_ports)
        && is_same(&wide.selector, &narrow.selector)
        && is_same(&wide.not_selector, &narrow.not_selector)
        && is_same(&wide.namespace_selector, &narrow.namespace_selector)
        && is_same(&wide.service_accounts, &narrow.service_accounts)
        && is_same(&wide.services, &narrow.services)
}
