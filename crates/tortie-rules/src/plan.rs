//! What must be told to a kernel that holds `actual` so that it comes to hold `desired`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ruleset::{BaseChain, Element, Name, Rule, Set, Verdict};

/// A plan: transactions, each of which the kernel takes as a whole or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// In order. At most one of them turns what is enforced (D-10).
    pub transactions: Vec<Transaction>,
}

/// One transaction of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// What it is for.
    pub phase: Phase,
    /// The operations, in order.
    pub ops: Vec<Op>,
}

/// The part a transaction plays (K-4, D-10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Builds what nobody uses yet.
    Build,
    /// Changes members of sets that no turned rule uses (K-5).
    Members,
    /// The one moment at which the batch becomes visible.
    Turn,
    /// Removes what nobody uses any more.
    Remove,
}

/// One operation on our table. Names are instance names, as the kernel is to see them.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Make the table; no error when it is there.
    AddTable,
    /// Remove the table and all in it; no error when it is not there.
    DeleteTable,
    /// Make an empty chain.
    AddChain {
        /// Its name.
        name: Name,
        /// Set for base chains.
        base: Option<BaseChain>,
    },
    /// Append a rule.
    AddRule {
        /// To this chain.
        chain: Name,
        /// The rule; sets and chains in it are instance names.
        rule: Rule,
    },
    /// Remove all rules of a chain.
    FlushChain {
        /// The chain.
        name: Name,
    },
    /// Remove an empty chain that nothing refers to.
    DeleteChain {
        /// The chain.
        name: Name,
    },
    /// Make a set without elements.
    AddSet {
        /// Its name.
        name: Name,
        /// Its key and kind; `elements` are not looked at.
        set: Arc<Set>,
    },
    /// Add elements to a set.
    AddElements {
        /// The set's name.
        set: Name,
        /// Its key and kind; `elements` are not looked at.
        shape: Arc<Set>,
        /// What to add; none of them is there.
        elements: BTreeMap<Element, Option<Verdict>>,
    },
    /// Remove elements from a set.
    DeleteElements {
        /// The set's name.
        set: Name,
        /// Its key and kind; `elements` are not looked at.
        shape: Arc<Set>,
        /// What to remove; all of them are there.
        elements: Vec<Element>,
    },
    /// Remove a set that no rule refers to.
    DeleteSet {
        /// The set's name.
        name: Name,
    },
}
