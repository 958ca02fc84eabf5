//! From policy to ruleset, by small passes (C-1).
//!
//! 1. [`flatten`]: tiers, policies and profiles of one endpoint, class and direction become first-match sections (C-2).
//! 2. [`simplify`]: what no packet can reach goes away.
//! 3. `lower`: criteria of one address family become matches; members go into sets (K-6).
//! 4. `frame`: base chains, dispatch by verdict map (K-9), connection state first (K-8), failsafes.
//!
//! Every pass keeps the verdict of every packet. Only the normal class is compiled by this version; whoever calls this
//! reports policies of the other classes as not enforced.

use std::sync::Arc;

use tortie_api::model::Family;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{ClassPolicy, Direction, EndpointPolicy, ProfileRules};

use crate::ruleset::{Chain, Name, Ruleset, Verdict};

pub mod flatten;
mod frame;
mod lower;
pub mod names;
pub mod sets;
pub mod simplify;

use names::endpoint_chain;
use sets::SetPool;

/// Compiles what applies to this host into the ruleset its kernel has to hold.
///
/// The result has logical names only. It depends on `policy` alone.
pub fn compile(policy: &HostPolicy) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let mut pool = SetPool::new(&policy.sets);
    for direction in [Direction::Ingress, Direction::Egress] {
        frame::base(&mut ruleset, &mut pool, policy, direction);
        for endpoint in policy.endpoints.values() {
            frame::program(&mut ruleset, &mut pool, policy, endpoint, direction);
            for family in Family::BOTH {
                endpoint_chains(&mut ruleset, &mut pool, policy, endpoint, direction, family);
            }
        }
    }
    ruleset.sets.extend(pool.into_sets());
    ruleset
}

/// The normal class of `endpoint` and the profiles behind it.
fn normal(endpoint: &EndpointPolicy, direction: Direction) -> (&ClassPolicy, &[Arc<ProfileRules>]) {
    match direction {
        Direction::Ingress => (&endpoint.normal_ingress, &endpoint.profiles_ingress),
        Direction::Egress => (&endpoint.normal_egress, &endpoint.profiles_egress),
    }
}

/// Policy chains of one endpoint, direction and family, one for each section.
fn endpoint_chains(
    ruleset: &mut Ruleset,
    pool: &mut SetPool<'_>,
    policy: &HostPolicy,
    endpoint: &EndpointPolicy,
    direction: Direction,
    family: Family,
) {
    let (class, profiles) = normal(endpoint, direction);
    let sections = simplify::simplify(flatten::flatten(class, profiles, direction, &policy.settings));
    let name_of = |section: usize| endpoint_chain(direction, Some(family), &endpoint.name, section);
    for (position, section) in sections.iter().enumerate() {
        let mut rules = Vec::new();
        if position == 0 && family == Family::V6 && policy.settings.allows_ipv6_essentials {
            rules.push(frame::jump_to_essentials(direction));
        }
        for flat in &section.rules {
            lower::lower(&mut rules, pool, flat, family, &name_of);
        }
        match &section.end {
            flatten::SectionEnd::Drop(origin) => rules.push(frame::decide(Verdict::Drop, origin.clone())),
            flatten::SectionEnd::Continue(next) => rules.push(frame::go(Verdict::Goto(name_of(*next)), "next tier")),
            flatten::SectionEnd::Unreachable => {}
        }
        ruleset.chains.insert(name_of(position), Arc::new(Chain { base: None, rules }));
    }
}

/// The name under which a chain is known to the compiler, for tests and dumps.
pub fn policy_chain(direction: Direction, family: Family, endpoint: &str) -> Name {
    endpoint_chain(direction, Some(family), endpoint, 0)
}
