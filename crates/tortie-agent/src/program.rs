//! Keeps the kernel as it is desired: plan, commit, and again when others were faster.

use std::time::Instant;

use tortie_api::facts::Links;
use tortie_nftables::{CommitError, Kernel, ReadError};
use tortie_rules::plan::Transaction;
use tortie_rules::plan::{Op, PlanError};
use tortie_rules::{Ruleset, plan};

use crate::recheck::{Counts, Recheck, RecheckError};

/// Times a plan is made again because the ruleset changed meanwhile.
const RACES_MAX: usize = 50;

/// The kernel, and what it is known to hold.
pub(crate) struct Programmer {
    kernel: Kernel,
    /// `None` when it must be read before anything is planned.
    known: Option<Known>,
    recheck: Recheck,
}

struct Known {
    generation: u32,
    ruleset: Option<Ruleset>,
}

/// What programming did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Transactions that were committed.
    pub(crate) transactions: usize,
    /// How long it took, in microseconds.
    pub(crate) took_us: u64,
}

/// Why the kernel does not hold what is desired. Each transaction is whole, so every endpoint is old or new.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("{what}")]
    Commit {
        what: String,
        #[source]
        source: CommitError,
    },
    #[error("the compiled ruleset is not consistent: this is a bug")]
    Plan(#[from] PlanError),
    #[error("the ruleset changed {RACES_MAX} times while plans were made for it")]
    Restless,
}

impl Programmer {
    pub(crate) fn new(kernel: Kernel) -> Self {
        Self { kernel, known: None, recheck: Recheck::default() }
    }

    /// The socket under which our own changes are announced.
    pub(crate) fn port(&self) -> u32 {
        self.kernel.port()
    }

    pub(crate) fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Forgets what the kernel holds: somebody changed it.
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// Others changed other tables: the generation moved on.
    pub(crate) fn moved_on(&mut self, generation: u32) {
        if let Some(known) = &mut self.known {
            known.generation = generation;
        }
    }

    pub(crate) fn generation(&self) -> u32 {
        self.known.as_ref().map_or(0, |known| known.generation)
    }

    /// Chains, sets and rules that the kernel is known to hold.
    pub(crate) fn size(&self) -> (usize, usize, usize) {
        let ruleset = self.known.as_ref().and_then(|known| known.ruleset.as_ref());
        ruleset.map_or((0, 0, 0), |r| (r.chains.len(), r.sets.len(), r.chains.values().map(|c| c.rules.len()).sum()))
    }

    /// Ends the flows that `ruleset`, which the kernel holds by now, denies (E-731).
    pub(crate) fn recheck(&mut self, ruleset: &Ruleset, links: &Links) -> Result<Counts, RecheckError> {
        let result = self.recheck.run(&mut self.kernel, ruleset, links);
        match (&result, &mut self.known) {
            (Ok(counts), Some(known)) => {
                for _ in 0..counts.transactions {
                    known.generation = next_generation(known.generation);
                }
            }
            // Some of its transactions may have been committed.
            _ => self.known = None,
        }
        result
    }

    /// Makes the kernel hold `desired`. `None` is no table at all.
    pub(crate) fn program(&mut self, desired: &Ruleset) -> Result<Outcome, ProgramError> {
        let start = Instant::now();
        let mut transactions = 0;
        for _ in 0..RACES_MAX {
            let remembered = self.known.take();
            let was_remembered = remembered.is_some();
            let mut known = match remembered {
                Some(known) => known,
                None => {
                    let actual = self.kernel.read()?;
                    Known { generation: actual.generation, ruleset: actual.ruleset }
                }
            };
            let plan = plan(desired, known.ruleset.as_ref())?;
            let mut is_raced = false;
            for transaction in &plan.transactions {
                match self.kernel.commit(transaction, Some(known.generation)) {
                    Ok(()) => {
                        transactions += 1;
                        known.generation = next_generation(known.generation);
                        known.ruleset.get_or_insert_with(Ruleset::default).record(transaction);
                    }
                    Err(CommitError::Raced { .. }) => {
                        is_raced = true;
                        break;
                    }
                    // What was remembered may be wrong; what was just read is not.
                    Err(error) if was_remembered => {
                        tracing::warn!("{}: reading the kernel again", blame(transaction, &error));
                        is_raced = true;
                        break;
                    }
                    Err(source) => return Err(ProgramError::Commit { what: blame(transaction, &source), source }),
                }
            }
            if !is_raced {
                self.known = Some(known);
                let took_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
                return Ok(Outcome { transactions, took_us });
            }
        }
        Err(ProgramError::Restless)
    }
}

/// The kernel counts each transaction; it never uses 0.
fn next_generation(generation: u32) -> u32 {
    generation.wrapping_add(1).max(1)
}

/// Which part of policy a refused operation came from (K-11).
fn blame(transaction: &Transaction, error: &CommitError) -> String {
    let op = match error {
        CommitError::Refused { op, .. } => transaction.ops.get(*op),
        _ => None,
    };
    match op {
        Some(Op::AddRule { chain, rule }) => {
            format!("the kernel refused a rule of {} in chain `{chain}`", rule.origin)
        }
        Some(Op::AddSet { name, .. } | Op::AddElements { set: name, .. } | Op::DeleteElements { set: name, .. }) => {
            format!("the kernel refused set `{name}`")
        }
        Some(Op::AddChain { name, .. }) => format!("the kernel refused chain `{name}`"),
        _ => format!("the kernel refused to {}", phase(transaction)),
    }
}

fn phase(transaction: &Transaction) -> &'static str {
    use tortie_rules::plan::Phase;
    match transaction.phase {
        Phase::Build => "build new rules",
        Phase::Members => "change the members of sets",
        Phase::Turn => "turn to the new rules",
        Phase::Remove => "remove what is not used any more",
    }
}
