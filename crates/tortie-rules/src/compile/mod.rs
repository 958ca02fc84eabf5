//! From policy to ruleset, by small passes (C-1).
//!
//! 1. [`flatten`]: tiers, policies and profiles of one endpoint and stage become first-match sections (C-2).
//! 2. [`simplify`]: what no packet can reach goes away.
//! 3. `lower`: criteria of one address family become matches; members go into sets (K-6).
//! 4. `frame`: base chains, dispatch by verdict map (K-9), connection state first (K-8), failsafes.
//!
//! Every pass keeps the verdict of every packet. [`stage`] says what the eight stages of the specification have in
//! common and where they differ.

use std::sync::Arc;

use tortie_api::model::Family;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{Direction, EndpointPolicy, ProfileRules};

use crate::ruleset::{Chain, Name, Origin, Ruleset, Verdict};

pub mod cut;
pub mod flatten;
mod frame;
mod lower;
pub mod names;
mod overflow;
mod parts;
mod program;
pub mod sets;
pub mod simplify;
pub mod stage;
mod workload;

use flatten::SectionEnd;
use frame::Layout;
use lower::{Lowered, Place};
use names::endpoint_chain;
use parts::{decide, go};
use sets::SetPool;
use stage::Stage;

/// Compiles what applies to this host into the ruleset its kernel has to hold.
///
/// The result has logical names only. It depends on `policy` alone.
pub fn compile(policy: &HostPolicy) -> Ruleset {
    let mut ruleset = Ruleset::default();
    let mut pool = SetPool::new(&policy.sets, policy.settings.set_size_max);
    let layout = Layout::of(policy);
    // Off: no rules for IPv6 at all (E-618).
    let families: &[Family] = if policy.settings.polices_ipv6 { &Family::BOTH } else { &[Family::V4] };
    layout.frame(&mut ruleset, &mut pool);
    for stage in layout.stages() {
        for endpoint in policy.endpoints.values().filter(|endpoint| layout.judges(stage, endpoint)) {
            layout.program(&mut ruleset, &mut pool, stage, endpoint, families);
            if !frame::is_open(stage, endpoint) && layout.has_policy(stage, endpoint) {
                for family in families {
                    endpoint_chains(&mut ruleset, &mut pool, &layout, endpoint, stage, *family);
                }
            }
        }
    }
    ruleset.sets.extend(pool.into_sets());
    ruleset
}

/// Profiles stand behind the normal class only (E-225, E-227).
fn profiles(endpoint: &EndpointPolicy, stage: Stage) -> &[Arc<ProfileRules>] {
    match stage {
        Stage::LocalIn => &endpoint.profiles_ingress,
        Stage::LocalOut | Stage::LocalOutAfterDnat => &endpoint.profiles_egress,
        _ => &[],
    }
}

/// What happens behind the last tier and profile (E-226, E-228, E-229).
fn last(endpoint: &EndpointPolicy, stage: Stage) -> SectionEnd {
    match stage {
        Stage::LocalIn | Stage::LocalOut | Stage::LocalOutAfterDnat => {
            SectionEnd::Drop(Origin::NoMatch(stage.direction()))
        }
        Stage::ForwardIn | Stage::ForwardOut if !endpoint.has_forward() => SectionEnd::NoForwardPolicy,
        _ => SectionEnd::Undecided,
    }
}

/// Policy chains of one endpoint, stage and family, one for each section.
fn endpoint_chains(
    ruleset: &mut Ruleset,
    pool: &mut SetPool<'_>,
    layout: &Layout<'_>,
    endpoint: &EndpointPolicy,
    stage: Stage,
    family: Family,
) {
    let settings = &layout.policy.settings;
    let class = stage.class(endpoint);
    let sections =
        flatten::flatten(class, profiles(endpoint, stage), stage.direction(), settings, last(endpoint, stage));
    let sections = simplify::simplify(sections);
    let name_of = |section: usize| endpoint_chain(stage, Some(family), &endpoint.name, section);
    let place = Place { stage, family, endpoint: &endpoint.name, settings, name_of: &name_of };
    let mut lowered = Lowered::default();
    for (position, section) in sections.iter().enumerate() {
        if position == 0 && family == Family::V6 && settings.allows_ipv6_essentials {
            let pass = layout.pass(stage, endpoint);
            lowered.rules.extend(program::essentials(pool, stage.direction(), &pass));
        }
        for flat in &section.rules {
            lower::lower(&mut lowered, pool, &place, flat);
        }
        lowered.rules.extend(match &section.end {
            SectionEnd::Drop(origin) => Some(decide(stage.deny(settings), origin.clone())),
            SectionEnd::Continue(next) => Some(go(Verdict::Goto(name_of(*next)), "next tier")),
            SectionEnd::Unreachable => None,
            SectionEnd::Undecided => stage.undecided().map(|next| go(Verdict::Goto(next), "undecided")),
            SectionEnd::NoForwardPolicy => Some(decide(stage.pass(settings), Origin::NoForwardPolicy)),
        });
        let rules = std::mem::take(&mut lowered.rules);
        ruleset.chains.insert(name_of(position), Arc::new(Chain { base: None, rules }));
    }
    ruleset.chains.extend(lowered.staged.into_iter().map(|(name, chain)| (name, Arc::new(chain))));
}

/// The name under which a chain is known to the compiler, for tests and dumps.
pub fn policy_chain(direction: Direction, family: Family, endpoint: &str) -> Name {
    let stage = match direction {
        Direction::Ingress => Stage::LocalIn,
        Direction::Egress => Stage::LocalOut,
    };
    endpoint_chain(stage, Some(family), endpoint, 0)
}
