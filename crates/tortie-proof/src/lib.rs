//! Proves that a ruleset does what policy says, for every packet.
//!
//! [`prove()`] takes what applies to a host and the ruleset that is meant to enforce it: one that was compiled, or one that
//! was read back from a kernel. It makes two decision diagrams of each base chain. One comes from the lists of policy, read
//! as enforcement.md says: tiers, policies, profiles, failsafes, connection state, dispatch. The other comes from the
//! ruleset, run along all of its paths: jumps, verdict maps, sets, bits of the mark. It shares nothing with the compiler.
//!
//! # What is proved
//!
//! Each diagram is a function from the whole header space to an outcome: verdict, the comment of the rule that decided, log
//! lines and their rate, bits of the packet mark that are left for later base chains, and whether the packet is taken out of
//! connection tracking. The header space is: family, both interfaces, both addresses, protocol, ports, ICMP type and
//! code, hop limit, the state and the status of the connection, the way back to the source, and the mark with which the
//! packet comes. No more than the base chain itself is looked at, so nothing is taken for granted of earlier ones: where
//! the two functions are the same ([`How::Complete`]), they are the same for every packet with every mark.
//!
//! Where they are not, all base chains on each way through the host are looked at one after the other, with the packets
//! that come to each of them, before and after translation of their destination. Either no packet meets the difference
//! ([`How::Reached`]), or one does, and [`Disagreement`] shows it.
//!
//! # What is not
//!
//! - The kernel is that of [`tortie_rules::interpret()`]: a field that a packet does not have ends the rule, and ports are
//!   those of TCP, UDP, SCTP and UDP-Lite.
//! - Counters, and what staged policies count. A rate is compared as written; that the kernel keeps it is not.
//! - Elements that sets with a timeout get beside policy (E-731): such a set counts as empty.
//! - A base chain whose diagram is over the [`Budget`] is sampled, and the proof says so ([`How::Sampled`]).
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::fmt;

use tortie_calc::HostPolicy;
use tortie_rules::Ruleset;
use tortie_rules::ruleset::Origin;

mod diagram;
mod elements;
mod field;
mod list;
mod logic;
mod names;
mod outcome;
mod path;
mod place;
mod program;
mod run;
mod sample;
mod space;
mod stages;
mod texts;
mod witness;

use logic::{Logic, Scope, Stop};
use place::{Place, Way};
use run::Runner;
use space::{Pool, Space};
use stages::Stages;

pub use outcome::{Decision, Effect};
pub use witness::Witness;

/// How much may be spent. What comes out depends on the arguments alone, never on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Nodes of the diagrams of one base chain; each takes about 150 bytes with the tables beside it. Steps
    /// are bounded in proportion.
    pub nodes: usize,
    /// Packets that are tried at a base chain that is over the budget.
    pub packets: usize,
    /// Where the random numbers for them begin.
    pub seed: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: 1_000_000, packets: 1_000, seed: 1 }
    }
}

/// That ruleset and policy say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// One for each base chain of the specification, whether or not the ruleset has it.
    pub chains: Vec<ChainProof>,
}

impl Proof {
    /// Whether nothing was sampled.
    pub fn is_complete(&self) -> bool {
        self.chains.iter().all(|chain| !matches!(chain.how, How::Sampled { .. }))
    }

    /// Nodes of all diagrams.
    pub fn nodes(&self) -> usize {
        self.chains.iter().map(|chain| chain.nodes).sum()
    }
}

/// How one base chain was shown to do what policy says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainProof {
    /// The base chain.
    pub chain: &'static str,
    /// The stages of enforcement.md section 4.1 that stand in it.
    pub stages: &'static str,
    /// Nodes of its diagrams.
    pub nodes: usize,
    /// How.
    pub how: How,
}

/// What a proof rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// Both functions are the same.
    Complete,
    /// They differ for packets that never come here, as the base chains before it show.
    Reached,
    /// Packets aimed at the edges of its criteria were tried, and no more.
    Sampled {
        /// Why.
        why: String,
        /// How many packets.
        packets: usize,
        /// Where the random numbers began.
        seed: u64,
    },
}

/// That ruleset and policy do not say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// The ruleset cannot be run.
    Broken {
        /// Why.
        what: String,
    },
    /// A packet is judged in two ways.
    Differs(Box<Difference>),
}

/// A packet that is judged in two ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The base chain in which the ruleset does something else.
    pub chain: &'static str,
    /// The stages that stand in it.
    pub stages: &'static str,
    /// What policy says.
    pub expected: Finding,
    /// What the ruleset does.
    pub found: Finding,
    /// The packet.
    pub witness: Witness,
}

/// What one side says of a packet in one base chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The verdict.
    pub decision: Decision,
    /// The rule that decided, as its comment says it; `None` where none did.
    pub reason: Option<String>,
    /// Log lines, rates.
    pub effects: Vec<Effect>,
    /// The packet is taken out of connection tracking.
    pub is_no_track: bool,
}

impl From<&outcome::Outcome> for Finding {
    fn from(outcome: &outcome::Outcome) -> Self {
        Self {
            decision: outcome.decision,
            reason: outcome.reason.as_deref().map(str::to_owned),
            effects: outcome.effects.clone(),
            is_no_track: outcome.left.is_no_track,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.decision)?;
        if let Some(reason) = &self.reason {
            write!(f, " by `{reason}`")?;
        }
        for effect in &self.effects {
            write!(f, ", {effect}")?;
        }
        if self.is_no_track {
            f.write_str(", not tracked")?;
        }
        Ok(())
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Disagreement::Broken { what } => f.write_str(what),
            Disagreement::Differs(difference) => {
                let Difference { chain, stages, expected, found, witness } = difference.as_ref();
                writeln!(f, "chain `{chain}` ({stages}) does not do what policy says")?;
                writeln!(f, "  packet:  {witness}")?;
                writeln!(f, "  policy:  {expected}")?;
                write!(f, "  ruleset: {found}")
            }
        }
    }
}

impl std::error::Error for Disagreement {}

/// Proves that `ruleset` does what `policy` says.
///
/// # Errors
/// [`Disagreement`] with a packet that meets it, or when the ruleset cannot be run at all.
pub fn prove(policy: &HostPolicy, ruleset: &Ruleset, budget: Budget) -> Result<Proof, Disagreement> {
    let mut stages = Stages::new(policy);
    // A ruleset from a kernel has comments only.
    let mut origins = ruleset.chains.values().flat_map(|chain| &chain.rules).map(|rule| &rule.origin);
    let is_read_back = origins.any(|origin| matches!(origin, Origin::Comment(_)));
    let comments = if is_read_back { texts::comments(policy) } else { HashMap::new() };
    let mut runner = Runner::new(ruleset, policy.settings.mark_mask, comments);
    if let Some(what) = runner.stranger() {
        return Err(Disagreement::Broken { what });
    }
    let mut pool = Pool::default();
    let mut logic = Logic::new(&mut pool, Scope::Collect, usize::MAX);
    for place in Place::ALL {
        for made in [stages.judge(&mut logic, place), runner.judge(&mut logic, place)] {
            made.map_err(broken)?;
        }
    }
    let space = Space::new(&pool, logic::DIMENSIONS);
    let mut proof = Proof { chains: Vec::new() };
    for place in Place::ALL {
        let (nodes, how) = compare(&mut stages, &mut runner, &mut pool, &space, place, budget).map_err(broken)?;
        proof.chains.push(ChainProof { chain: place.name(), stages: place.stages(), nodes, how });
    }

    let doubted = |proof: &Proof, way: Way| {
        let is_doubted = |place: &Place| proof.chains.iter().any(|c| c.chain == place.name() && c.how == How::Reached);
        way.places().iter().any(is_doubted)
    };
    for way in Way::ALL {
        if !doubted(&proof, way) {
            continue;
        }
        let nodes = budget.nodes.saturating_mul(way.places().len());
        let witness = match path::search(&mut stages, &mut runner, &mut pool, &space, way, nodes) {
            Ok(None) => continue,
            Ok(Some(witness)) => witness,
            Err(stop) => {
                // Whether the difference can be met is not known.
                let why = format!("the packets that come to it are not known: {}", text(stop)?);
                let chains = proof.chains.iter_mut().filter(|chain| chain.how == How::Reached);
                for chain in chains.filter(|chain| way.places().iter().any(|place| place.name() == chain.chain)) {
                    chain.how = How::Sampled { why: why.clone(), packets: budget.packets, seed: budget.seed };
                }
                continue;
            }
        };
        let parting = witness::follow(&mut stages, &mut runner, &mut pool, &witness).map_err(broken)?;
        return Err(match parting {
            Some(parting) => parting.with(witness),
            // Never seen; whoever meets it has found a mistake of this crate, and no proof.
            None => Disagreement::Broken { what: format!("the diagrams differ, and this packet does not: {witness}") },
        });
    }
    for position in 0..proof.chains.len() {
        if matches!(proof.chains[position].how, How::Sampled { .. }) {
            let place = Place::ALL[position];
            let found = sample::search(&mut stages, &mut runner, &mut pool, &space, place, budget).map_err(broken)?;
            if let Some((parting, witness)) = found {
                return Err(parting.with(witness));
            }
        }
    }
    Ok(proof)
}

impl witness::Parting {
    fn with(&self, witness: Witness) -> Disagreement {
        let (chain, stages) = (self.place.name(), self.place.stages());
        let (expected, found) = (Finding::from(&self.expected), Finding::from(&self.found));
        Disagreement::Differs(Box::new(Difference { chain, stages, expected, found, witness }))
    }
}

/// Both diagrams of one base chain: how many nodes they have, and whether they are the same.
fn compare(
    stages: &mut Stages<'_>,
    runner: &mut Runner<'_>,
    pool: &mut Pool,
    space: &Space,
    place: Place,
    budget: Budget,
) -> Result<(usize, How), Stop> {
    let mut logic = Logic::new(pool, Scope::All(space), budget.nodes);
    let mut is_same = || {
        let (expected, found) = (stages.judge(&mut logic, place)?, runner.judge(&mut logic, place)?);
        // A bit that is written and one that has the value already are the same.
        let written = logic.written(expected) | logic.written(found);
        Ok(logic.with_bits(expected, written)? == logic.with_bits(found, written)?)
    };
    let how = match is_same() {
        Ok(true) => How::Complete,
        Ok(false) => How::Reached,
        Err(Stop::Broken(what)) => return Err(Stop::Broken(what)),
        Err(stop) => How::Sampled { why: why(&stop, budget), packets: budget.packets, seed: budget.seed },
    };
    Ok((logic.store.len(), how))
}

fn why(stop: &Stop, budget: Budget) -> String {
    match stop {
        Stop::OverBudget => format!("its diagrams are over the budget of {} nodes", budget.nodes),
        Stop::NotCovered(what) | Stop::Broken(what) => what.clone(),
    }
}

fn broken(stop: Stop) -> Disagreement {
    let what = match stop {
        Stop::OverBudget => "a diagram without bounds is over its budget".to_owned(),
        Stop::NotCovered(what) | Stop::Broken(what) => what,
    };
    Disagreement::Broken { what }
}

/// The reason to sample, unless it is one to give up.
fn text(stop: Stop) -> Result<String, Disagreement> {
    match stop {
        Stop::OverBudget => Ok("their diagrams are over the budget".to_owned()),
        Stop::NotCovered(what) => Ok(what),
        Stop::Broken(_) => Err(broken(stop)),
    }
}
