//! Keeps the kernel as it is desired: plan, commit, and again when others were faster.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_api::facts::Links;
use tortie_api::{ResourceKey, with_causes};
use tortie_nftables::{CommitError, Kernel, ReadError, next_generation};
use tortie_rules::plan::{Op, Phase, Plan, PlanError, Transaction};
use tortie_rules::ruleset::Origin;
use tortie_rules::{Ruleset, plan};

use crate::recheck::{Counts, Recheck, RecheckError};

/// Times a plan is made again because the ruleset changed meanwhile.
const RACES_MAX: usize = 50;

/// Answers in the kernel's place: what it gives is how a transaction failed. For tests of refusals.
pub type Fault = Arc<dyn Fn(&Transaction) -> Option<CommitError> + Send + Sync>;

/// Makes plans in the place of [`tortie_rules::plan()`]: what is desired, and what the kernel holds. For tests that show what
/// breaks without the laws of programming.
pub type Planner = Arc<dyn Fn(&Ruleset, Option<&Ruleset>) -> Result<Plan, PlanError> + Send + Sync>;

/// The kernel, and what it is known to hold.
pub struct Programmer {
    kernel: Kernel,
    fault: Option<Fault>,
    planner: Option<Planner>,
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
pub struct Outcome {
    /// Transactions that were committed.
    pub transactions: usize,
    /// Operations in them.
    pub ops: usize,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// After how much of that everything new was in force, in microseconds; the rest is removal of what nobody uses.
    pub enforced_us: u64,
    /// How much of it the kernel took, in microseconds.
    pub kernel_us: u64,
}

/// Why the kernel does not hold what is desired. Each transaction is whole, so every endpoint is old or new.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A transaction was not carried out.
    #[error("{}", .blame.what)]
    Commit {
        /// What of policy it is about.
        blame: Box<Blame>,
        /// Why.
        #[source]
        source: CommitError,
    },
    /// What is desired contradicts itself.
    #[error("the compiled ruleset is not consistent: this is a bug")]
    Plan(#[from] PlanError),
    /// Others change rulesets all the time.
    #[error("the ruleset changed {RACES_MAX} times while plans were made for it")]
    Restless,
}

/// Which part of policy a refused operation came from (K-11).
#[derive(Debug)]
pub struct Blame {
    /// A sentence.
    pub what: String,
    /// The part of the transaction in the plan.
    pub phase: Phase,
    /// The object and its rule, where the operation tells.
    pub object: Option<(ResourceKey, String)>,
}

impl ProgramError {
    /// Whether the kernel, or the plan, does not take what is desired, now or later (E-711). Other failures pass.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            ProgramError::Plan(_) => true,
            ProgramError::Commit { source: CommitError::Refused { source, .. }, .. }
            | ProgramError::Commit { source: CommitError::RefusedWhole(source), .. } => !is_passing(source),
            ProgramError::Commit { .. } | ProgramError::Read(_) | ProgramError::Restless => false,
        }
    }

    /// Which rules are in force after it, for people.
    pub(crate) fn in_force(&self) -> &'static str {
        match self {
            ProgramError::Commit { blame, .. } if blame.phase == Phase::Remove => "the new rules are in force",
            _ => "the old rules stay",
        }
    }

    /// The object whose rule is refused, where the kernel's answer tells.
    pub(crate) fn object(&self) -> Option<&(ResourceKey, String)> {
        match self {
            ProgramError::Commit { blame, .. } => blame.object.as_ref(),
            _ => None,
        }
    }
}

/// Errors that say nothing about what was asked for: want of memory, of rights, or somebody in between.
fn is_passing(error: &std::io::Error) -> bool {
    use nix::libc::{EACCES, EAGAIN, EBUSY, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM};
    let passing = [EACCES, EAGAIN, EBUSY, EINTR, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM];
    error.raw_os_error().is_none_or(|errno| passing.contains(&errno))
}

impl Programmer {
    /// Knows nothing yet of what the kernel holds.
    pub fn new(kernel: Kernel, fault: Option<Fault>) -> Self {
        Self { kernel, fault, planner: None, known: None, recheck: Recheck::default() }
    }

    /// The same with other plans.
    pub(crate) fn with_planner(self, planner: Option<Planner>) -> Self {
        Self { planner, ..self }
    }

    fn plan(&self, desired: &Ruleset, actual: Option<&Ruleset>) -> Result<Plan, PlanError> {
        match &self.planner {
            Some(planner) => planner(desired, actual),
            None => plan(desired, actual),
        }
    }

    /// The socket under which our own changes are announced.
    pub(crate) fn port(&self) -> u32 {
        self.kernel.port()
    }

    /// The handle, for what has nothing to do with programming.
    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// Forgets what the kernel holds: somebody changed it.
    pub fn forget(&mut self) {
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

    /// Whether the kernel holds rules of ours, read afresh. A table without rules enforces nothing.
    pub(crate) fn has_rules(&mut self) -> Result<bool, ReadError> {
        self.known = None;
        Ok(self.known()?.ruleset.is_some_and(|ruleset| ruleset.chains.values().any(|chain| !chain.rules.is_empty())))
    }

    fn known(&mut self) -> Result<Known, ReadError> {
        match self.known.take() {
            Some(known) => Ok(known),
            None => {
                let actual = self.kernel.read()?;
                Ok(Known { generation: actual.generation, ruleset: actual.ruleset })
            }
        }
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

    /// Makes the kernel hold `desired`.
    ///
    /// # Errors
    /// [`ProgramError`]; each transaction is whole, so every endpoint is old or new then.
    pub fn program(&mut self, desired: &Ruleset) -> Result<Outcome, ProgramError> {
        let start = Instant::now();
        let mut outcome = Outcome::default();
        let mut is_refused_before = false;
        for _ in 0..RACES_MAX {
            let was_remembered = self.known.is_some();
            let mut known = self.known()?;
            let plan = self.plan(desired, known.ruleset.as_ref())?;
            let mut is_raced = false;
            for transaction in &plan.transactions {
                let committing = Instant::now();
                let committed = self.commit(transaction, known.generation);
                outcome.kernel_us += micros(committing.elapsed());
                match committed {
                    // What others did is not known: it is read, and what is still missing is planned.
                    Ok(()) if self.kernel.take_overtaken() => {
                        is_raced = true;
                        break;
                    }
                    Ok(()) => {
                        if transaction.phase != Phase::Remove {
                            outcome.enforced_us = micros(start.elapsed());
                        }
                        outcome.transactions += 1;
                        outcome.ops += transaction.ops.len();
                        known.generation = next_generation(known.generation);
                    }
                    Err(CommitError::Raced { .. }) => {
                        is_raced = true;
                        break;
                    }
                    Err(source) => {
                        let error = ProgramError::Commit { blame: blame(transaction, &source), source };
                        // What was remembered may be wrong; what was just read is not. And a refusal may put an object
                        // out of force, so it counts when the kernel repeats it.
                        let is_doubted = was_remembered || error.is_refusal() && !is_refused_before;
                        if !is_doubted {
                            return Err(error);
                        }
                        is_refused_before |= error.is_refusal();
                        tracing::warn!("{}: reading the kernel again", with_causes(&error));
                        is_raced = true;
                        break;
                    }
                }
            }
            if !is_raced {
                // Where nothing was to be done there may still be no table.
                if known.ruleset.is_some() || !plan.is_empty() {
                    known.ruleset.get_or_insert_default().record_all(&plan);
                }
                self.known = Some(known);
                outcome.took_us = micros(start.elapsed());
                return Ok(outcome);
            }
        }
        Err(ProgramError::Restless)
    }

    /// Whether the kernel would take `desired`; changes nothing, but makes an empty table where there is none. The error of
    /// a refusal says what it would not take.
    pub(crate) fn check(&mut self, desired: &Ruleset) -> Result<(), ProgramError> {
        for _ in 0..RACES_MAX {
            let mut known = self.known()?;
            if known.ruleset.is_none() {
                // The kernel checks everything only in a table that is there.
                let table = Transaction { phase: Phase::Build, ops: vec![Op::AddTable] };
                match self.kernel.commit(&table, Some(known.generation)) {
                    Ok(()) => {}
                    Err(CommitError::Raced { .. }) => continue,
                    Err(source) => return Err(ProgramError::Commit { blame: blame(&table, &source), source }),
                }
                known = self.known()?;
            }
            let ops =
                self.plan(desired, known.ruleset.as_ref())?.transactions.into_iter().flat_map(|t| t.ops).collect();
            let whole = Transaction { phase: Phase::Turn, ops };
            let faulty = self.fault.as_ref().and_then(|fault| fault(&whole));
            let checked = match faulty {
                Some(error) => Err(error),
                None => self.kernel.check(&whole.ops, Some(known.generation)),
            };
            match checked {
                Err(CommitError::Raced { .. }) => continue,
                Err(source) => {
                    self.known = Some(known);
                    return Err(ProgramError::Commit { blame: blame(&whole, &source), source });
                }
                Ok(()) => {
                    self.known = Some(known);
                    return Ok(());
                }
            }
        }
        Err(ProgramError::Restless)
    }

    fn commit(&mut self, transaction: &Transaction, generation: u32) -> Result<(), CommitError> {
        match self.fault.as_ref().and_then(|fault| fault(transaction)) {
            Some(error) => Err(error),
            None => self.kernel.commit(transaction, Some(generation)),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn blame(transaction: &Transaction, error: &CommitError) -> Box<Blame> {
    let op = match error {
        CommitError::Refused { op, .. } => transaction.ops.get(*op),
        _ => None,
    };
    let mut what = match op {
        Some(Op::AddRule { chain, rule }) => {
            format!("the kernel refused a rule of {} in chain `{chain}`", rule.origin)
        }
        Some(Op::AddSet { name, .. } | Op::AddElements { set: name, .. } | Op::DeleteElements { set: name, .. }) => {
            format!("the kernel refused set `{name}`")
        }
        Some(Op::AddChain { name, .. }) => format!("the kernel refused chain `{name}`"),
        _ if matches!(error, CommitError::Send(_) | CommitError::NoAnswer(_)) => {
            format!("cannot {}", phase(transaction))
        }
        _ => format!("the kernel refused to {}", phase(transaction)),
    };
    if let CommitError::Refused { source, .. } | CommitError::RefusedWhole(source) = error
        && source.raw_os_error() == Some(nix::libc::EMLINK)
    {
        // `NFT_JUMP_STACK_SIZE` is 16; each tier of an endpoint is one.
        what.push_str(" because it follows at most 16 jumps: fewer tiers on one endpoint would do");
    }
    let object = match op {
        Some(Op::AddRule { rule, .. }) => object_of(&rule.origin),
        _ => None,
    };
    Box::new(Blame { what, phase: transaction.phase, object })
}

/// The object that a rule comes from, and the rule in it.
fn object_of(origin: &Origin) -> Option<(ResourceKey, String)> {
    match origin {
        Origin::Policy { id, direction, rule, .. } => {
            let key = ResourceKey { kind: id.kind, namespace: id.namespace.clone(), name: id.name.clone() };
            Some((key, format!("{direction}[{rule}]")))
        }
        Origin::Profile { name, direction, rule, .. } => {
            Some((ResourceKey::global(tortie_api::Kind::Profile, &**name), format!("{direction}[{rule}]")))
        }
        _ => None,
    }
}

fn phase(transaction: &Transaction) -> &'static str {
    match transaction.phase {
        Phase::Build => "build new rules",
        Phase::Members => "change the members of sets",
        Phase::Turn => "turn to the new rules",
        Phase::Remove => "remove what is not used any more",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_will_never_take_is_a_refusal_e711() {
        let refused = |errno| {
            let source = CommitError::RefusedWhole(std::io::Error::from_raw_os_error(errno));
            ProgramError::Commit {
                blame: Box::new(Blame { what: String::new(), phase: Phase::Turn, object: None }),
                source,
            }
            .is_refusal()
        };
        for (errno, is_refusal) in [
            (nix::libc::EINVAL, true),
            (nix::libc::EMLINK, true),
            (nix::libc::EOPNOTSUPP, true),
            (nix::libc::ENOENT, true),
            (nix::libc::ENOMEM, false),
            (nix::libc::EPERM, false),
            (nix::libc::EBUSY, false),
        ] {
            assert_eq!(refused(errno), is_refusal, "{errno}");
        }
        let name = tortie_rules::ruleset::Name::new("a");
        assert!(ProgramError::Plan(PlanError::Circular { chain: name }).is_refusal());
        assert!(!ProgramError::Restless.is_refusal());
    }
}
