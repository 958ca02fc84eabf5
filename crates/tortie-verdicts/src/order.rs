//! Order does not matter: after any sequence of updates the policy is that of a calculation from scratch, and the kernel
//! that was led there step by step holds its ruleset and nothing else. On the way each packet meets what was in force
//! before or what is in force after, and never a mixture (D-10).

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::facts::Links;
use tortie_api::model::Resource;
use tortie_api::packet::Packet;
use tortie_api::{ResourceKey, with_causes};
use tortie_calc::{Engine, Settings};
use tortie_nftables::{CommitError, Kernel};
use tortie_rules::interpret::Decision;
use tortie_rules::ruleset::{Chain, Name, Set};
use tortie_rules::{Classes, Compiler, Ruleset, compile_with, interpret, plan};
use tortie_testkit::generators::{Random, World, aimed, peerwise, world};

use crate::roads;

/// Updates between two looks at the whole, at most.
const BATCH_MAX: usize = 6;
/// Packets that are judged between the transactions of a plan.
const PACKETS: usize = 12;
/// Of so many looks one reads the kernel back.
const READ_EVERY: usize = 4;
/// Of so many looks one is a restart: everything is calculated, and read, anew.
const RESTART_EVERY: usize = 40;

/// What a walk did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walked {
    /// Updates of resources, links and settings.
    pub steps: usize,
    /// Times at which the state was compared with one from scratch.
    pub looks: usize,
    /// Transactions that the kernel took.
    pub transactions: usize,
    /// Times at which the kernel was read back.
    pub reads: usize,
    /// Times at which calculation and kernel handle were made anew.
    pub restarts: usize,
}

/// The state that a walk leads along.
struct Walk {
    random: Random,
    form: Classes,
    /// Whose resources come and go; a new one now and then.
    pool: World,
    present: BTreeMap<ResourceKey, Arc<Resource>>,
    links: Links,
    settings: Settings,
    engine: Engine,
    /// With what it remembers of all the walk.
    compiler: Compiler,
    /// What was in force when the last look ended.
    in_force: Ruleset,
    host: Host,
    walked: Walked,
}

/// The kernel, where there is one, and what it is known to hold, as an agent remembers it.
struct Host {
    kernel: Option<Kernel>,
    /// `None` while there is no table.
    known: Option<Ruleset>,
}

/// What updates are drawn from: in every other one the compiler may make classes of all rules.
fn pool(seed: u64) -> World {
    if seed.is_multiple_of(2) { peerwise(seed) } else { world(seed) }
}

/// Walks `steps` updates; with `in_kernel` in the present network namespace, which must be a new one.
///
/// # Errors
/// Where the state differs from that of a calculation from scratch, or the kernel from the state.
pub fn walk(seed: u64, steps: usize, in_kernel: bool) -> Result<Walked, String> {
    let pool = pool(seed);
    let settings = roads::settings(&pool);
    let mut engine = Engine::new(settings.clone());
    engine.set_links(pool.links.clone());
    let links = pool.links.clone();
    let random = Random::new(seed);
    let host = if in_kernel { Host::open().0 } else { Host { kernel: None, known: None } };
    let (present, in_force, walked) = (BTreeMap::new(), Ruleset::default(), Walked::default());
    let form = roads::form(seed);
    let compiler = Compiler::with(form);
    let mut walk = Walk { random, pool, form, present, links, settings, engine, compiler, in_force, host, walked };
    while walk.walked.steps < steps {
        for _ in 0..=walk.random.below(BATCH_MAX) {
            walk.step();
        }
        let at = walk.walked.steps;
        walk.look().map_err(|text| format!("seed {seed}, step {at}: {text}"))?;
    }
    Ok(walk.walked)
}

impl Walk {
    /// One update.
    fn step(&mut self) {
        self.walked.steps += 1;
        if self.random.one_in(30) {
            self.pool = pool(self.random.bits());
        }
        match self.random.below(20) {
            0 => {
                self.links = world(self.random.bits()).links;
                self.engine.set_links(self.links.clone());
            }
            1 => {
                self.settings = roads::settings(&world(self.random.bits()));
                self.engine.set_settings(self.settings.clone());
            }
            2..=8 if !self.present.is_empty() => {
                let at = self.random.below(self.present.len());
                let key = self.present.keys().nth(at).expect("it is below the length").clone();
                self.present.remove(&key);
                self.engine.update(key, None);
            }
            _ if !self.pool.resources.is_empty() => {
                let resource = Arc::new(self.random.pick(&self.pool.resources).clone());
                self.present.insert(resource.key(), resource.clone());
                self.engine.update(resource.key(), Some(resource));
            }
            _ => {}
        }
        if self.random.one_in(3) {
            self.engine.flush();
        }
    }

    /// Compares everything with a calculation from scratch, and leads the kernel there.
    fn look(&mut self) -> Result<(), String> {
        self.walked.looks += 1;
        self.engine.flush();
        let fresh = self.fresh();
        if self.engine.policy() != fresh.policy() {
            return Err(format!("the policy is {:#?}\nand from scratch {:#?}", self.engine.policy(), fresh.policy()));
        }
        if self.engine.report() != fresh.report() {
            return Err(format!("the report is {:#?}\nand from scratch {:#?}", self.engine.report(), fresh.report()));
        }
        if !self.engine.flush().is_empty() {
            return Err("a flush without an update has something to do".to_owned());
        }
        let is_restart = self.walked.looks.is_multiple_of(RESTART_EVERY);
        if is_restart {
            self.engine = fresh;
            self.walked.restarts += 1;
        }
        if is_restart && self.host.kernel.is_some() {
            let (again, held) = Host::open();
            let known = self.host.known.as_ref();
            same("what was remembered", known, "what is read after a restart", held.as_ref())?;
            self.host = again;
        }
        let desired = self.compiler.compile(self.engine.policy());
        let from_scratch = compile_with(self.engine.policy(), self.form);
        if desired != from_scratch {
            same("the ruleset", Some(&desired), "the one from scratch", Some(&from_scratch))?;
            return Err("the ruleset and the one from scratch differ in what no kernel sees".to_owned());
        }
        self.lead_to(&desired)?;
        self.in_force = desired;
        if self.walked.looks.is_multiple_of(READ_EVERY) || is_restart {
            self.host.read_back(&self.in_force)?;
            self.walked.reads += 1;
        }
        Ok(())
    }

    /// Carries out the plan for `desired`, and judges packets after each transaction of it.
    fn lead_to(&mut self, desired: &Ruleset) -> Result<(), String> {
        let plan = plan(desired, self.host.known.as_ref()).map_err(|error| error.to_string())?;
        if plan.is_empty() {
            return Ok(());
        }
        let packets: Vec<Packet> = (0..PACKETS).map(|_| aimed(&self.pool, &mut self.random)).collect();
        let verdicts = |ruleset: &Ruleset| -> Result<Vec<_>, String> {
            packets.iter().map(|packet| verdict(ruleset, packet)).collect()
        };
        let (before, after) = (verdicts(&self.in_force)?, verdicts(desired)?);
        let mut as_a_whole = self.host.known.clone().unwrap_or_default();
        as_a_whole.record_all(&plan);
        for transaction in plan.transactions {
            if let Some(kernel) = &mut self.host.kernel {
                let done = kernel.commit(&transaction, None);
                done.map_err(|error| {
                    let op = match &error {
                        CommitError::Refused { op, .. } => transaction.ops.get(*op),
                        _ => None,
                    };
                    format!("the kernel refuses {:?}: {}: {op:?}", transaction.phase, with_causes(&error))
                })?;
            }
            let known = self.host.known.get_or_insert_default();
            known.record(&transaction);
            self.walked.transactions += 1;
            let now = verdicts(known)?;
            let is_mixed = |at: &usize| before[*at] != now[*at] && after[*at] != now[*at];
            if let Some(at) = (0..packets.len()).find(is_mixed) {
                let (phase, packet) = (transaction.phase, &packets[at]);
                let (before, now, after) = (&before[at], &now[at], &after[at]);
                return Err(format!("after {phase:?} {packet:?} meets {now:?}; before {before:?}, after {after:?}"));
            }
        }
        same("what is recorded step by step", self.host.known.as_ref(), "as a whole", Some(&as_a_whole))?;
        // As agents do: the next plan finds sets of the ruleset that was desired.
        self.host.known = Some(as_a_whole);
        Ok(())
    }

    /// The same state, calculated from scratch.
    fn fresh(&self) -> Engine {
        let mut engine = Engine::new(self.settings.clone());
        engine.set_links(self.links.clone());
        for (key, resource) in &self.present {
            engine.update(key.clone(), Some(resource.clone()));
        }
        engine.flush();
        engine
    }
}

impl Host {
    /// A handle that knows what the kernel holds, as after a restart; and that again.
    fn open() -> (Host, Option<Ruleset>) {
        let mut kernel = Kernel::open().expect("nf_tables answers over netlink");
        let known = kernel.read().expect("the table can be read").ruleset;
        (Host { kernel: Some(kernel), known: known.clone() }, known)
    }

    /// The kernel holds what is remembered, and nothing is left to do for what is desired.
    fn read_back(&mut self, desired: &Ruleset) -> Result<(), String> {
        let actual = match &mut self.kernel {
            Some(kernel) => kernel.read().map_err(|error| error.to_string())?.ruleset,
            None => self.known.clone(),
        };
        same("what is remembered", self.known.as_ref(), "the kernel", actual.as_ref())?;
        let left = plan(desired, actual.as_ref()).map_err(|error| error.to_string())?;
        if left.is_empty() { Ok(()) } else { Err(format!("the kernel holds something else: {left:#?}")) }
    }
}

/// Verdict and reason, as somebody sees them who reads the kernel's comments.
fn verdict(ruleset: &Ruleset, packet: &Packet) -> Result<(Decision, Option<String>), String> {
    let outcome = interpret(ruleset, packet).map_err(|error| error.to_string())?;
    Ok((outcome.verdict, outcome.origin.map(|origin| origin.comment())))
}

/// Both hold the same, origins as the kernel keeps them.
fn same(one: &str, a: Option<&Ruleset>, other: &str, b: Option<&Ruleset>) -> Result<(), String> {
    let (a, b) = match (a, b) {
        (None, None) => return Ok(()),
        (Some(a), Some(b)) => (a, b),
        _ => return Err(format!("one of {one} and {other} has no table")),
    };
    let is_same_chain = |(name, chain): (_, &Arc<Chain>)| {
        b.chains.get::<Name>(name).is_some_and(|other| {
            chain.base == other.base
                && chain.rules.len() == other.rules.len()
                && chain.rules.iter().zip(&other.rules).all(|(rule, other)| rule.is_same_in_kernel(other))
        })
    };
    let is_same_set =
        |(name, set): (_, &Arc<Set>)| b.sets.get::<Name>(name).is_some_and(|other| set.is_same_in_kernel(other));
    let chains = a.chains.iter().filter(|entry| !is_same_chain(*entry)).map(|(name, _)| name);
    let sets = a.sets.iter().filter(|entry| !is_same_set(*entry)).map(|(name, _)| name);
    let only_b = b.chains.keys().chain(b.sets.keys());
    let more = only_b.filter(|name| !a.chains.contains_key(*name) && !a.sets.contains_key(*name));
    let shown = |ruleset: &Ruleset, name: &Name| {
        let (chain, set) = (ruleset.chains.get(name), ruleset.sets.get(name));
        chain.map(|chain| format!("{chain:#?}")).or_else(|| set.map(|set| format!("{set:#?}"))).unwrap_or_default()
    };
    let both = |name| format!("{name}: {}\nagainst {}", shown(a, name), shown(b, name));
    let different: Vec<String> = chains.chain(sets).chain(more).map(both).collect();
    if different.is_empty() { Ok(()) } else { Err(format!("{one} and {other} differ in {}", different.join("\n"))) }
}
