//! Decision diagrams: shared, ordered, reduced (Bryant 1986), with numbers at their ends.
//!
//! A diagram is a function from yes-or-no variables to a number. Two diagrams of one store are the same function exactly
//! when they are the same [`Node`]. Numbers 0 and 1 serve as false and true.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// A diagram in its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Node(u32);

impl Node {
    pub(crate) const FALSE: Node = Node(0);
    pub(crate) const TRUE: Node = Node(1);

    pub(crate) const fn of(value: bool) -> Node {
        if value { Node::TRUE } else { Node::FALSE }
    }
}

/// More nodes, or more steps, than the budget allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverBudget;

/// A decision, or an end.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Inner {
    /// The variable; [`END`] for an end.
    level: u32,
    /// Where the variable is false; of an end, its number.
    low: u32,
    /// Where it is true.
    high: u32,
}

/// The level of ends: below every variable.
const END: u32 = u32::MAX;

/// Steps for each node of the budget: a bound on time where few nodes are made and many are walked over.
const STEPS_PER_NODE: usize = 64;

/// Choices that are remembered for each node of the budget.
const KNOWN_PER_NODE: usize = 2;

/// All diagrams of one base chain.
pub(crate) struct Store {
    nodes: Vec<Inner>,
    unique: Map<Inner, Node>,
    choices: Map<(Node, Node, Node), Node>,
    nodes_max: usize,
    steps: usize,
}

impl Store {
    /// An empty store that may hold `nodes_max` nodes.
    pub(crate) fn new(nodes_max: usize) -> Self {
        let mut store = Self {
            nodes: Vec::new(),
            unique: Map::default(),
            choices: Map::default(),
            nodes_max: nodes_max.min(u32::MAX as usize - 1).max(2),
            steps: 0,
        };
        for value in [0, 1] {
            // The first two places: within every budget.
            let _ = store.end(value);
        }
        store
    }

    /// How many nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The function that is `value` everywhere.
    pub(crate) fn end(&mut self, value: u32) -> Result<Node, OverBudget> {
        self.intern(Inner { level: END, low: value, high: value })
    }

    /// True where the variable is.
    pub(crate) fn variable(&mut self, level: u32) -> Result<Node, OverBudget> {
        self.decision(level, Node::FALSE, Node::TRUE)
    }

    /// `low` where the variable is false, `high` where it is true; both decide on later variables only.
    pub(crate) fn decision(&mut self, level: u32, low: Node, high: Node) -> Result<Node, OverBudget> {
        if low == high {
            return Ok(low);
        }
        self.intern(Inner { level, low: low.0, high: high.0 })
    }

    fn intern(&mut self, inner: Inner) -> Result<Node, OverBudget> {
        if let Some(node) = self.unique.get(&inner) {
            return Ok(*node);
        }
        if self.nodes.len() >= self.nodes_max {
            return Err(OverBudget);
        }
        let node = Node(self.nodes.len() as u32);
        self.nodes.push(inner);
        self.unique.insert(inner, node);
        Ok(node)
    }

    fn inner(&self, node: Node) -> Inner {
        self.nodes[node.0 as usize]
    }

    /// The number of a function that is the same everywhere.
    pub(crate) fn value(&self, node: Node) -> Option<u32> {
        let inner = self.inner(node);
        (inner.level == END).then_some(inner.low)
    }

    /// Both halves of a function at a variable that is not behind its first one.
    fn halves(&self, node: Node, level: u32) -> (Node, Node) {
        let inner = self.inner(node);
        if inner.level == level { (Node(inner.low), Node(inner.high)) } else { (node, node) }
    }

    fn step(&mut self) -> Result<(), OverBudget> {
        self.steps += 1;
        if self.steps > self.nodes_max.saturating_mul(STEPS_PER_NODE) { Err(OverBudget) } else { Ok(()) }
    }

    /// `then` where `condition` is true, else `other`.
    pub(crate) fn choose(&mut self, condition: Node, then: Node, other: Node) -> Result<Node, OverBudget> {
        match condition {
            Node::TRUE => return Ok(then),
            Node::FALSE => return Ok(other),
            _ if then == other => return Ok(then),
            _ if then == Node::TRUE && other == Node::FALSE => return Ok(condition),
            _ => {}
        }
        if let Some(known) = self.choices.get(&(condition, then, other)) {
            return Ok(*known);
        }
        self.step()?;
        let level = [condition, then, other].map(|node| self.inner(node).level).into_iter().min().unwrap_or(END);
        let (if_low, if_high) = self.halves(condition, level);
        let (then_low, then_high) = self.halves(then, level);
        let (other_low, other_high) = self.halves(other, level);
        let low = self.choose(if_low, then_low, other_low)?;
        let high = self.choose(if_high, then_high, other_high)?;
        let node = self.decision(level, low, high)?;
        // What is forgotten is worked out again: memory is bounded by nodes, time by steps.
        if self.choices.len() >= self.nodes_max.saturating_mul(KNOWN_PER_NODE) {
            self.choices.clear();
        }
        self.choices.insert((condition, then, other), node);
        Ok(node)
    }

    pub(crate) fn and(&mut self, a: Node, b: Node) -> Result<Node, OverBudget> {
        self.choose(a, b, Node::FALSE)
    }

    pub(crate) fn or(&mut self, a: Node, b: Node) -> Result<Node, OverBudget> {
        self.choose(a, Node::TRUE, b)
    }

    pub(crate) fn not(&mut self, a: Node) -> Result<Node, OverBudget> {
        self.choose(a, Node::FALSE, Node::TRUE)
    }

    /// The function whose numbers are those of `node`, changed by `change`.
    pub(crate) fn map(&mut self, node: Node, change: &mut dyn FnMut(u32) -> u32) -> Result<Node, OverBudget> {
        self.map_known(node, change, &mut Map::default())
    }

    fn map_known(
        &mut self,
        node: Node,
        change: &mut dyn FnMut(u32) -> u32,
        known: &mut Map<Node, Node>,
    ) -> Result<Node, OverBudget> {
        if let Some(value) = self.value(node) {
            return self.end(change(value));
        }
        if let Some(done) = known.get(&node) {
            return Ok(*done);
        }
        self.step()?;
        let inner = self.inner(node);
        let low = self.map_known(Node(inner.low), change, known)?;
        let high = self.map_known(Node(inner.high), change, known)?;
        let done = self.decision(inner.level, low, high)?;
        known.insert(node, done);
        Ok(done)
    }

    /// The function whose numbers come from those of two others.
    pub(crate) fn join(
        &mut self,
        a: Node,
        b: Node,
        change: &mut dyn FnMut(u32, u32) -> u32,
    ) -> Result<Node, OverBudget> {
        self.join_known(a, b, change, &mut Map::default())
    }

    fn join_known(
        &mut self,
        a: Node,
        b: Node,
        change: &mut dyn FnMut(u32, u32) -> u32,
        known: &mut Map<(Node, Node), Node>,
    ) -> Result<Node, OverBudget> {
        if let (Some(a), Some(b)) = (self.value(a), self.value(b)) {
            return self.end(change(a, b));
        }
        if let Some(done) = known.get(&(a, b)) {
            return Ok(*done);
        }
        self.step()?;
        let level = self.inner(a).level.min(self.inner(b).level);
        let ((a_low, a_high), (b_low, b_high)) = (self.halves(a, level), self.halves(b, level));
        let low = self.join_known(a_low, b_low, change, known)?;
        let high = self.join_known(a_high, b_high, change, known)?;
        let done = self.decision(level, low, high)?;
        known.insert((a, b), done);
        Ok(done)
    }

    /// The function with some variables held at a value.
    pub(crate) fn assign(&mut self, node: Node, values: &BTreeMap<u32, bool>) -> Result<Node, OverBudget> {
        if values.is_empty() { Ok(node) } else { self.assign_known(node, values, &mut Map::default()) }
    }

    fn assign_known(
        &mut self,
        node: Node,
        values: &BTreeMap<u32, bool>,
        known: &mut Map<Node, Node>,
    ) -> Result<Node, OverBudget> {
        let inner = self.inner(node);
        if inner.level == END {
            return Ok(node);
        }
        if let Some(done) = known.get(&node) {
            return Ok(*done);
        }
        self.step()?;
        let done = match values.get(&inner.level) {
            Some(value) => self.assign_known(Node(if *value { inner.high } else { inner.low }), values, known)?,
            None => {
                let low = self.assign_known(Node(inner.low), values, known)?;
                let high = self.assign_known(Node(inner.high), values, known)?;
                self.decision(inner.level, low, high)?
            }
        };
        known.insert(node, done);
        Ok(done)
    }

    /// Where there is a value of the variables that `is_free` names for which `node`, a condition, is true.
    pub(crate) fn some(&mut self, node: Node, is_free: &dyn Fn(u32) -> bool) -> Result<Node, OverBudget> {
        self.some_known(node, is_free, &mut Map::default())
    }

    fn some_known(
        &mut self,
        node: Node,
        is_free: &dyn Fn(u32) -> bool,
        known: &mut Map<Node, Node>,
    ) -> Result<Node, OverBudget> {
        let inner = self.inner(node);
        if inner.level == END {
            return Ok(node);
        }
        if let Some(done) = known.get(&node) {
            return Ok(*done);
        }
        self.step()?;
        let low = self.some_known(Node(inner.low), is_free, known)?;
        let high = self.some_known(Node(inner.high), is_free, known)?;
        let done = if is_free(inner.level) { self.or(low, high)? } else { self.decision(inner.level, low, high)? };
        known.insert(node, done);
        Ok(done)
    }

    /// The numbers that a function has anywhere.
    pub(crate) fn values(&self, node: Node) -> BTreeSet<u32> {
        let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![node]);
        while let Some(node) = open.pop() {
            if !seen.insert(node) {
                continue;
            }
            let inner = self.inner(node);
            if inner.level == END {
                found.insert(inner.low);
            } else {
                open.extend([Node(inner.low), Node(inner.high)]);
            }
        }
        found
    }

    /// Where a function has this number, as a condition.
    pub(crate) fn is(&mut self, node: Node, value: u32) -> Result<Node, OverBudget> {
        self.map(node, &mut |found| u32::from(found == value))
    }

    /// Variables for which a condition is true, false ones where there is a choice; what it does not ask is left out.
    pub(crate) fn pick(&self, condition: Node) -> Option<BTreeMap<u32, bool>> {
        if condition == Node::FALSE {
            return None;
        }
        let (mut values, mut node) = (BTreeMap::new(), condition);
        while node != Node::TRUE {
            let inner = self.inner(node);
            // Every node but false has a way to true.
            let is_high = Node(inner.low) == Node::FALSE;
            values.insert(inner.level, is_high);
            node = Node(if is_high { inner.high } else { inner.low });
        }
        Some(values)
    }
}

type Map<K, V> = HashMap<K, V, BuildHasherDefault<Mix>>;

/// Multiplies and rotates, as the hasher of the Rust compiler does. Keys are node numbers, chosen by nobody.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(value)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_function_is_the_same_node() {
        let mut store = Store::new(1_000);
        let (a, b) = (store.variable(0).unwrap(), store.variable(1).unwrap());
        let both = store.and(a, b).unwrap();
        let (not_a, not_b) = (store.not(a).unwrap(), store.not(b).unwrap());
        let neither = store.or(not_a, not_b).unwrap();
        assert_eq!(store.not(neither).unwrap(), both);
        assert_eq!(store.some(both, &|level| level == 0).unwrap(), b);
        assert_eq!(store.assign(both, &[(1, true)].into()).unwrap(), a);
        assert_eq!(store.pick(both), Some([(0, true), (1, true)].into()));
        assert_eq!(store.pick(Node::FALSE), None);
    }

    #[test]
    fn ends_carry_numbers() {
        let mut store = Store::new(1_000);
        let a = store.variable(0).unwrap();
        let (seven, nine) = (store.end(7).unwrap(), store.end(9).unwrap());
        let f = store.choose(a, seven, nine).unwrap();
        assert_eq!(store.values(f), [7, 9].into());
        assert_eq!(store.is(f, 7).unwrap(), a);
        let g = store.map(f, &mut |value| value + 1).unwrap();
        let sum = store.join(f, g, &mut |a, b| a + b).unwrap();
        assert_eq!(store.values(sum), [15, 19].into());
    }

    #[test]
    fn the_budget_ends_the_work_and_nothing_else() {
        let mut store = Store::new(20);
        let mut all = Node::FALSE;
        let mut result = Ok(());
        for level in 0..40 {
            let next = store.variable(level).and_then(|variable| {
                let not = store.not(variable)?;
                let not_all = store.not(all)?;
                let (a, b) = (store.and(all, not)?, store.and(not_all, variable)?);
                store.or(a, b)
            });
            match next {
                Ok(next) => all = next,
                Err(over) => result = Err(over),
            }
        }
        assert_eq!(result, Err(OverBudget));
        assert!(store.len() <= 20);
    }
}
