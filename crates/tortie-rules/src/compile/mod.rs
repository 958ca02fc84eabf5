//! From policy to ruleset, by small passes (C-1).
//!
//! 1. [`flatten`]: tiers, policies and profiles of one endpoint and stage become first-match sections (C-2).
//! 2. [`classes`]: runs of sections that ask the peer's address become lookups of its class (C-9).
//! 3. [`simplify`]: what no packet can reach goes away.
//! 4. `lower`: criteria of one address family become matches; members go into sets (K-6).
//! 5. `program`: what stands before the policy of an endpoint: connection state first (K-8), failsafes, IPv6 essentials.
//! 6. `frame`: base chains and dispatch by verdict map (K-9); `workload`: what is left of workloads' traffic.
//!
//! Every pass keeps the verdict of every packet. [`stage`] says what the eight stages of the specification have in
//! common and where they differ.

use std::sync::Arc;

use tortie_api::model::Family;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{Direction, EndpointPolicy, ProfileRules};

use crate::ruleset::{Chain, End, Name, Origin, Rule, Ruleset, Statement, Verdict};

mod blocks;
pub mod classes;
pub mod cut;
pub mod flatten;
mod frame;
mod lower;
mod memo;
pub mod names;
mod overflow;
mod parts;
mod program;
pub mod sets;
pub mod simplify;
pub mod stage;
mod workload;

use blocks::Limits;
use classes::Classes;
use flatten::{Section, SectionEnd};
use frame::Layout;
use lower::{Lowered, Place};
pub use memo::Compiler;
use memo::{Made, Memory, Source};
use names::endpoint_chain;
use parts::{decide, go};
use sets::SetPool;
use stage::{Mark, Stage};

/// Compiles what applies to this host into the ruleset its kernel has to hold.
///
/// The result has logical names only. It depends on `policy` alone.
pub fn compile(policy: &HostPolicy) -> Ruleset {
    compile_with(policy, Classes::default())
}

/// As [`compile`], with a say in when rules become classes: whatever it is, every packet has the same verdict.
pub fn compile_with(policy: &HostPolicy, classes: Classes) -> Ruleset {
    compile_by(policy, classes, None)
}

fn compile_by(policy: &HostPolicy, classes: Classes, mut memory: Option<&mut Memory>) -> Ruleset {
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
                    let made = list(memory.as_deref_mut(), &layout, endpoint, (stage, *family), classes);
                    ruleset.chains.extend(made.chains);
                    ruleset.sets.extend(made.sets);
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

/// Sections that may follow one another by going from chain to chain. The kernel counts such steps as it counts calls and
/// takes no more than 16 in all (`NFT_JUMP_STACK_SIZE`); dispatch, the other interface and staged policies need some too.
const SECTIONS_IN_A_ROW_MAX: usize = 4;

/// The sections that become chains: with as much of them in tables as can be.
fn sections(flat: &[Section], pool: &SetPool<'_>, place: (Family, Direction), classes: Classes) -> Vec<Section> {
    let in_parts = simplify::simplify(classes::group(flat, pool, place, classes, true));
    if in_parts.len() <= SECTIONS_IN_A_ROW_MAX {
        return in_parts;
    }
    simplify::simplify(classes::group(flat, pool, place, classes, false))
}

/// Policy chains of one endpoint, stage and family with their sets; from memory where they are known.
fn list(
    memory: Option<&mut Memory>,
    layout: &Layout<'_>,
    endpoint: &Arc<EndpointPolicy>,
    (stage, family): (Stage, Family),
    classes: Classes,
) -> Made {
    let policy = layout.policy;
    let size_max = policy.settings.set_size_max;
    // Lists without classes are for comparison: they try what few policies have.
    let limits = if classes == Classes::Never { Limits::ALWAYS } else { Limits::BY_COST };
    let make = |pool: SetPool<'_>| {
        let mut pool = pool.with_limits(limits);
        let mut ruleset = Ruleset::default();
        endpoint_chains(&mut ruleset, &mut pool, layout, endpoint, (stage, family), classes);
        let (sets, asked) = pool.into_parts();
        (Made { chains: ruleset.chains.into_iter().collect(), sets }, asked)
    };
    let Some(memory) = memory else { return make(SetPool::new(&policy.sets, size_max)).0 };
    let key = (endpoint.name.clone(), stage, family);
    let pass = layout.pass(stage, endpoint);
    let source = Source { endpoint: endpoint.clone(), settings: policy.settings.clone(), pass };
    if let Some(made) = memory.list(&key, &source, policy) {
        return made;
    }
    let (made, asked) = make(SetPool::remembering(&policy.sets, size_max, memory));
    memory.keep(key, source, asked, made.clone(), policy);
    made
}

/// Policy chains of one endpoint, stage and family, one for each section.
///
/// A few sections go to one another. More of them are called by a chain that stands before them, each after the one
/// before it has come back: so any number of tiers is two calls deep.
fn endpoint_chains(
    ruleset: &mut Ruleset,
    pool: &mut SetPool<'_>,
    layout: &Layout<'_>,
    endpoint: &EndpointPolicy,
    (stage, family): (Stage, Family),
    classes: Classes,
) {
    let settings = &layout.policy.settings;
    let class = stage.class(endpoint);
    let flat = flatten::flatten(
        class,
        profiles(endpoint, stage),
        (stage.direction(), family),
        settings,
        last(endpoint, stage),
    );
    let sections = sections(&flat, pool, (family, stage.direction()), classes);
    let is_called = sections.len() > SECTIONS_IN_A_ROW_MAX;
    let name_of =
        |section: usize| endpoint_chain(stage, Some(family), &endpoint.name, section + usize::from(is_called));
    let place = Place { stage, family, endpoint: &endpoint.name, settings, is_called, name_of: &name_of };
    let mut first = Vec::new();
    if family == Family::V6 && settings.allows_ipv6_essentials {
        first = program::essentials(pool, stage.direction(), &layout.pass(stage, endpoint));
    }
    let mut lowered = Lowered::default();
    let mut caller = None;
    if is_called {
        caller = Some(Caller::new(&place, layout.mark, first));
    } else {
        lowered.rules = first;
    }
    for (position, section) in sections.iter().enumerate() {
        for flat in &section.rules {
            lower::lower(&mut lowered, pool, &place, flat, &section.end);
        }
        let end = match &section.end {
            SectionEnd::Drop(origin) => Some(decide(stage.deny(settings), origin.clone())),
            SectionEnd::Continue(_) if is_called => None,
            SectionEnd::Continue(next) => Some(go(Verdict::Goto(name_of(*next)), "next tier")),
            SectionEnd::Unreachable => None,
            SectionEnd::Undecided => stage.undecided().map(|next| go(Verdict::Goto(next), "undecided")),
            SectionEnd::NoForwardPolicy => Some(decide(stage.pass(settings), Origin::NoForwardPolicy)),
        };
        let is_last = matches!(section.end, SectionEnd::Undecided | SectionEnd::NoForwardPolicy);
        match &mut caller {
            None => lowered.rules.extend(end),
            Some(caller) => {
                caller.call(&place, layout.mark, name_of(position));
                // What ends the base chain must not stand in a called chain.
                let rules = if is_last { &mut caller.rules } else { &mut lowered.rules };
                rules.extend(end);
            }
        }
        let rules = std::mem::take(&mut lowered.rules);
        ruleset.chains.insert(name_of(position), Arc::new(Chain { base: None, rules }));
    }
    if let Some(caller) = caller {
        let name = endpoint_chain(stage, Some(family), &endpoint.name, 0);
        ruleset.chains.insert(name, Arc::new(Chain { base: None, rules: caller.rules }));
    }
    ruleset.chains.extend(lowered.chains.into_iter().map(|(name, chain)| (name, Arc::new(chain))));
}

/// The chain that calls sections one after the other.
struct Caller {
    rules: Vec<Rule>,
}

impl Caller {
    /// Starts with `first`, what comes before all policy.
    fn new(place: &Place<'_>, mark: Mark, first: Vec<Rule>) -> Self {
        let mut rules = first;
        if place.stage.is_told_by_mark(place.settings) {
            // A bit that foreign hands have set says nothing.
            let statements = vec![Statement::SetMark { mask: mark.accept, value: 0 }];
            let matches = vec![parts::has_bit(mark.accept)];
            rules.push(Rule { matches, statements, end: End::Next, origin: Origin::Frame("state bits") });
        }
        Self { rules }
    }

    /// Calls one section; what it allowed without ending the base chain goes where allowed packets go.
    fn call(&mut self, place: &Place<'_>, mark: Mark, section: Name) {
        self.rules.push(go(Verdict::Jump(section), "tier"));
        if place.stage.is_told_by_mark(place.settings) {
            let (_, verdict) = place.stage.allow(place.settings);
            self.rules.push(Rule { matches: vec![parts::has_bit(mark.accept)], ..go(verdict, "allowed") });
        }
    }
}

/// The name under which a chain is known to the compiler, for tests and dumps.
pub fn policy_chain(direction: Direction, family: Family, endpoint: &str) -> Name {
    let stage = match direction {
        Direction::Ingress => Stage::LocalIn,
        Direction::Egress => Stage::LocalOut,
    };
    endpoint_chain(stage, Some(family), endpoint, 0)
}
