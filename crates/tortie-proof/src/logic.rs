//! What both sides build their diagrams from: criteria, outcomes, and what a rule does before it decides.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use tortie_api::model::Family;
use tortie_rules::ruleset::{ct_state, ct_status};

use crate::diagram::{Node, OverBudget, Store};
use crate::outcome::{Decision, Effect, Left, Outcome, Outcomes};
use crate::space::{Dimension, NFPROTO_IPV4, NFPROTO_IPV6, Pool, Ranges, Run, Space};

/// Why no diagram can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Too many nodes.
    OverBudget,
    /// Something that diagrams of this crate cannot say.
    NotCovered(String),
    /// The ruleset cannot be run at all.
    Broken(String),
}

impl From<OverBudget> for Stop {
    fn from(_: OverBudget) -> Self {
        Stop::OverBudget
    }
}

pub(crate) type Made = Result<Node, Stop>;

/// The variable of packets that were taken out of connection tracking.
pub(crate) const NO_TRACK: u32 = 0;
/// The variable of packets that are forwarded; where only one kind can come it is not asked.
pub(crate) const FORWARDED: u32 = 1;
/// The first of the variables of the mark, lowest bit first.
pub(crate) const MARK: u32 = 2;
/// The first of the variables of the status of a connection, lowest bit first.
pub(crate) const STATUS: u32 = MARK + 32;
/// The first variable of a dimension.
pub(crate) const DIMENSIONS: u32 = STATUS + 32;

/// The end of a diagram where another one is put in later.
const PLACEHOLDER: u32 = u32::MAX;

/// The variable that says that the destination is translated (K-17).
pub(crate) const TRANSLATED: u32 = STATUS + ct_status::DST_NAT.trailing_zeros();

/// A single packet: the value of each dimension, and the status of its connection.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) values: BTreeMap<Dimension, u128>,
    pub(crate) status: u32,
    pub(crate) is_forwarded: bool,
}

/// About what is spoken.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// Nothing yet: criteria are noted, so that the space can be cut.
    Collect,
    /// Every packet.
    All(&'a Space),
    /// One packet; only what base chains write is left open.
    One(&'a Point),
}

/// The workshop of one base chain.
pub(crate) struct Logic<'a> {
    pub(crate) store: Store,
    pub(crate) outcomes: Outcomes,
    pub(crate) pool: &'a mut Pool,
    scope: Scope<'a>,
    known: HashMap<(Dimension, Ranges), Node>,
}

impl<'a> Logic<'a> {
    pub(crate) fn new(pool: &'a mut Pool, scope: Scope<'a>, nodes_max: usize) -> Self {
        Self { store: Store::new(nodes_max), outcomes: Outcomes::new(), pool, scope, known: HashMap::new() }
    }

    /// Where the dimension has one of these values.
    pub(crate) fn is_in(&mut self, dimension: Dimension, ranges: Ranges) -> Made {
        match self.scope {
            Scope::Collect => {
                self.pool.ask(dimension, ranges);
                Ok(Node::TRUE)
            }
            Scope::One(point) => {
                let value = point.values[&dimension];
                let list = self.pool.list(ranges);
                let behind = list.partition_point(|(first, _)| *first <= value);
                Ok(Node::of(behind.checked_sub(1).is_some_and(|before| value <= list[before].1)))
            }
            Scope::All(space) => {
                if let Some(known) = self.known.get(&(dimension, ranges)) {
                    return Ok(*known);
                }
                let classes = space.of(dimension);
                let runs = classes.runs(ranges).expect("both sides were asked for their criteria first");
                let node = runs_node(&mut self.store, classes.level, 1 << classes.bits, 0, &runs)?;
                self.known.insert((dimension, ranges), node);
                Ok(node)
            }
        }
    }

    /// The value of a dimension, where one packet is spoken about.
    pub(crate) fn value(&self, dimension: Dimension) -> Option<u128> {
        match self.scope {
            Scope::One(point) => Some(point.values[&dimension]),
            Scope::Collect | Scope::All(_) => None,
        }
    }

    /// Whether criteria are noted only.
    pub(crate) const fn is_collecting(&self) -> bool {
        matches!(self.scope, Scope::Collect)
    }

    pub(crate) fn is_value(&mut self, dimension: Dimension, value: u128) -> Made {
        let ranges = self.pool.ranges([(value, value)]);
        self.is_in(dimension, ranges)
    }

    pub(crate) fn is_any_of(&mut self, dimension: Dimension, values: &[u128]) -> Made {
        let ranges = self.pool.ranges(values.iter().map(|value| (*value, *value)));
        self.is_in(dimension, ranges)
    }

    pub(crate) fn is_family(&mut self, family: Family) -> Made {
        let number = match family {
            Family::V4 => NFPROTO_IPV4,
            Family::V6 => NFPROTO_IPV6,
        };
        self.is_value(Dimension::Family, number)
    }

    /// Where a bit of the mark is set.
    pub(crate) fn mark_bit(&mut self, bit: u32) -> Made {
        Ok(self.store.variable(MARK + bit)?)
    }

    /// Where a bit of the status of the connection is set.
    pub(crate) fn status_bit(&mut self, bit: u32) -> Made {
        match self.scope {
            Scope::One(point) => Ok(Node::of(point.status & (1 << bit) != 0)),
            _ => Ok(self.store.variable(STATUS + bit)?),
        }
    }

    /// Where the packet is one that the host forwards.
    pub(crate) fn is_forwarded(&mut self) -> Made {
        match self.scope {
            Scope::One(point) => Ok(Node::of(point.is_forwarded)),
            _ => Ok(self.store.variable(FORWARDED)?),
        }
    }

    /// Where the packet was taken out of connection tracking.
    pub(crate) fn is_no_track(&mut self) -> Made {
        Ok(self.store.variable(NO_TRACK)?)
    }

    /// Where the packet has an entry in connection tracking.
    pub(crate) fn is_tracked(&mut self) -> Made {
        let untracked = [ct_state::INVALID, ct_state::UNTRACKED].map(u128::from);
        let has_none = self.is_any_of(Dimension::State, &untracked)?;
        let is_no_track = self.is_no_track()?;
        let neither = self.store.or(has_none, is_no_track)?;
        Ok(self.store.not(neither)?)
    }

    pub(crate) fn and(&mut self, a: Node, b: Node) -> Made {
        Ok(self.store.and(a, b)?)
    }

    pub(crate) fn or(&mut self, a: Node, b: Node) -> Made {
        Ok(self.store.or(a, b)?)
    }

    pub(crate) fn not(&mut self, a: Node) -> Made {
        Ok(self.store.not(a)?)
    }

    pub(crate) fn choose(&mut self, condition: Node, then: Node, other: Node) -> Made {
        Ok(self.store.choose(condition, then, other)?)
    }

    /// No verdict of this base chain.
    pub(crate) fn undecided(&mut self) -> Made {
        let number = self.outcomes.number(Outcome::undecided());
        Ok(self.store.end(number)?)
    }

    /// Stands for a diagram that is put in later; no outcome has this number.
    pub(crate) fn placeholder(&mut self) -> Made {
        Ok(self.store.end(PLACEHOLDER)?)
    }

    /// `node` with another diagram where it has the placeholder.
    pub(crate) fn put_in(&mut self, node: Node, other: Node) -> Made {
        let is_open = self.store.is(node, PLACEHOLDER)?;
        self.choose(is_open, other, node)
    }

    pub(crate) fn decided(&mut self, decision: Decision, reason: Rc<str>) -> Made {
        let number = self.outcomes.number(Outcome::decided(decision, reason));
        Ok(self.store.end(number)?)
    }

    /// `node`, where the effect happens before.
    pub(crate) fn with_effect(&mut self, node: Node, effect: &Effect) -> Made {
        let outcomes = &mut self.outcomes;
        Ok(self.store.map(node, &mut |number| outcomes.with_effect(number, effect))?)
    }

    /// `node`, behind something that writes the mark or takes the packet out of tracking.
    pub(crate) fn behind(&mut self, node: Node, left: Left) -> Made {
        let node = self.given(node, left)?;
        let outcomes = &mut self.outcomes;
        Ok(self.store.map(node, &mut |number| outcomes.after(number, left))?)
    }

    /// `node` for packets with which this was left.
    pub(crate) fn given(&mut self, node: Node, left: Left) -> Made {
        let bits = (0..32).filter(|bit| left.mask & (1 << bit) != 0);
        let mut values: BTreeMap<u32, bool> = bits.map(|bit| (MARK + bit, left.value & (1 << bit) != 0)).collect();
        if left.is_no_track {
            values.insert(NO_TRACK, true);
        }
        Ok(self.store.assign(node, &values)?)
    }

    /// The mark bits that any outcome of a diagram writes.
    pub(crate) fn written(&self, node: Node) -> u32 {
        let numbers = self.store.values(node);
        numbers.into_iter().fold(0, |mask, number| mask | self.outcomes.get(number).left.mask)
    }

    /// The outcome of a diagram that is the same everywhere.
    pub(crate) fn outcome(&self, node: Node) -> Option<&Outcome> {
        self.store.value(node).map(|number| self.outcomes.get(number))
    }

    /// The diagram with the value of these bits of the mark in every outcome, written there or not.
    pub(crate) fn with_bits(&mut self, mut node: Node, mask: u32) -> Made {
        for bit in (0..32).filter(|bit| mask & (1 << bit) != 0) {
            let outcomes = &mut self.outcomes;
            let is_clear = self.store.map(node, &mut |number| outcomes.with_bit(number, 1 << bit, false))?;
            let is_set = self.store.map(node, &mut |number| outcomes.with_bit(number, 1 << bit, true))?;
            let variable = self.store.variable(MARK + bit)?;
            node = self.choose(variable, is_set, is_clear)?;
        }
        Ok(node)
    }
}

/// The diagram that is true for the numbers in `runs`, of all that the variables from `level` on can form, the highest
/// bit first: `len` of them, the lowest of which is `from`.
fn runs_node(store: &mut Store, level: u32, len: u32, from: u32, runs: &[Run]) -> Result<Node, OverBudget> {
    match runs {
        [] => return Ok(Node::FALSE),
        [(first, end)] if *first <= from && from + len <= *end => return Ok(Node::TRUE),
        _ => {}
    }
    let half = from + len / 2;
    let low = &runs[..runs.partition_point(|(first, _)| *first < half)];
    let high = &runs[runs.partition_point(|(_, end)| *end <= half)..];
    let low = runs_node(store, level + 1, len / 2, from, low)?;
    let high = runs_node(store, level + 1, len / 2, half, high)?;
    store.decision(level, low, high)
}
