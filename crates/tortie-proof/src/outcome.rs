//! What becomes of a packet in one base chain.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use tortie_rules::ruleset::Verdict;

/// What one base chain says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    /// Nothing: the packet goes on.
    Undecided,
    /// Accepted; later base chains still judge.
    Accept,
    /// Dropped in silence.
    Drop,
    /// Dropped, and the sender is told.
    Reject,
}

impl Decision {
    /// Whether the packet ends here.
    pub fn is_final(self) -> bool {
        matches!(self, Decision::Drop | Decision::Reject)
    }

    pub(crate) fn of(verdict: &Verdict) -> Option<Decision> {
        match verdict {
            Verdict::Accept => Some(Decision::Accept),
            Verdict::Drop => Some(Decision::Drop),
            Verdict::Reject => Some(Decision::Reject),
            Verdict::Return | Verdict::Jump(_) | Verdict::Goto(_) => None,
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Decision::Undecided => "no verdict",
            Decision::Accept => "accept",
            Decision::Drop => "drop",
            Decision::Reject => "reject",
        })
    }
}

/// What happens to a packet besides its verdict.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// A log line with this prefix.
    Log(String),
    /// What follows happens at this rate only: packets, seconds, burst.
    Limit(u32, u32, u32),
    /// Bits of the packet mark that are not ours are written (E-403).
    ForeignMark,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Log(prefix) => write!(f, "log \"{prefix}\""),
            Effect::Limit(packets, unit_s, burst) => write!(f, "limit {packets} per {unit_s} s, burst {burst}"),
            Effect::ForeignMark => f.write_str("foreign bits of the packet mark are written"),
        }
    }
}

/// What one base chain does to a packet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Outcome {
    pub(crate) decision: Decision,
    /// The comment of the rule that decided; `None` where none did.
    pub(crate) reason: Option<Rc<str>>,
    /// In the order in which they happen.
    pub(crate) effects: Vec<Effect>,
    /// What is left for later base chains.
    pub(crate) left: Left,
}

/// What a base chain leaves with a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Left {
    /// Bits of the mark that were written.
    pub(crate) mask: u32,
    /// Their values.
    pub(crate) value: u32,
    /// The packet was taken out of connection tracking.
    pub(crate) is_no_track: bool,
}

impl Left {
    /// This first, then `later`.
    pub(crate) fn then(self, later: Left) -> Left {
        Left {
            mask: self.mask | later.mask,
            value: self.value & !later.mask | later.value,
            is_no_track: self.is_no_track || later.is_no_track,
        }
    }
}

impl Outcome {
    pub(crate) const fn undecided() -> Outcome {
        let left = Left { mask: 0, value: 0, is_no_track: false };
        Outcome { decision: Decision::Undecided, reason: None, effects: Vec::new(), left }
    }

    pub(crate) fn decided(decision: Decision, reason: Rc<str>) -> Outcome {
        Outcome { decision, reason: Some(reason), ..Outcome::undecided() }
    }

    /// Whether two outcomes are the same for whoever sends the packet and whoever reads the reasons.
    pub(crate) fn shows_the_same(&self, other: &Outcome) -> bool {
        self.decision == other.decision && self.reason == other.reason && self.effects == other.effects
    }

    /// The outcome with something that happened before it.
    fn after(&self, before: Left) -> Outcome {
        // What ends here leaves nothing to anybody.
        let left = if self.decision.is_final() { Left::default() } else { before.then(self.left) };
        Outcome { left, ..self.clone() }
    }
}

/// Outcomes by the numbers at the ends of diagrams.
pub(crate) struct Outcomes {
    list: Vec<Outcome>,
    known: HashMap<Outcome, u32>,
}

/// Numbers 0 and 1 are false and true.
const FIRST: u32 = 2;

impl Outcomes {
    pub(crate) fn new() -> Self {
        Self { list: Vec::new(), known: HashMap::new() }
    }

    pub(crate) fn number(&mut self, outcome: Outcome) -> u32 {
        if let Some(known) = self.known.get(&outcome) {
            return *known;
        }
        let number = FIRST + self.list.len() as u32;
        self.list.push(outcome.clone());
        self.known.insert(outcome, number);
        number
    }

    pub(crate) fn get(&self, number: u32) -> &Outcome {
        &self.list[(number - FIRST) as usize]
    }

    /// The outcome where `effect` happened before.
    pub(crate) fn with_effect(&mut self, number: u32, effect: &Effect) -> u32 {
        let mut outcome = self.get(number).clone();
        outcome.effects.insert(0, effect.clone());
        self.number(outcome)
    }

    /// The outcome where this was left with the packet before.
    pub(crate) fn after(&mut self, number: u32, before: Left) -> u32 {
        let outcome = self.get(number).after(before);
        self.number(outcome)
    }

    /// The outcome with the present value of a bit of the mark written down, where nothing wrote it.
    pub(crate) fn with_bit(&mut self, number: u32, bit: u32, value: bool) -> u32 {
        let outcome = self.get(number);
        if outcome.decision.is_final() || outcome.left.mask & bit != 0 {
            return number;
        }
        let mut outcome = outcome.clone();
        outcome.left.mask |= bit;
        outcome.left.value |= if value { bit } else { 0 };
        self.number(outcome)
    }
}
