//! The tree of a selector.
//!
//! INVARIANT: the depth is bounded by the parser (`parse::DEPTH_MAX`), so recursion over a tree is safe. `and` and the
//! replacing operations add a few levels at most.

use std::collections::BTreeSet;

use crate::Labels;

/// One node.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    All,
    Global,
    Has(String),
    Equal(String, String),
    NotEqual(String, String),
    Contains(String, String),
    StartsWith(String, String),
    EndsWith(String, String),
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Not(Box<Node>),
    /// Two terms or more.
    And(Vec<Node>),
    /// Two terms or more.
    Or(Vec<Node>),
}

impl Node {
    pub(crate) fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        match self {
            Node::All | Node::Global => true,
            Node::Has(k) => labels.get(k).is_some(),
            Node::Equal(k, s) => labels.get(k).is_some_and(|v| v == s),
            Node::NotEqual(k, s) => labels.get(k).is_none_or(|v| v != s),
            Node::Contains(k, s) => labels.get(k).is_some_and(|v| v.contains(s.as_str())),
            Node::StartsWith(k, s) => labels.get(k).is_some_and(|v| v.starts_with(s.as_str())),
            Node::EndsWith(k, s) => labels.get(k).is_some_and(|v| v.ends_with(s.as_str())),
            Node::In(k, set) => labels.get(k).is_some_and(|v| set.contains(v)),
            Node::NotIn(k, set) => labels.get(k).is_none_or(|v| !set.contains(v)),
            Node::Not(inner) => !inner.matches(labels),
            Node::And(terms) => terms.iter().all(|t| t.matches(labels)),
            Node::Or(terms) => terms.iter().any(|t| t.matches(labels)),
        }
    }

    pub(crate) fn label(&self) -> Option<&str> {
        match self {
            Node::Has(k)
            | Node::Equal(k, _)
            | Node::NotEqual(k, _)
            | Node::Contains(k, _)
            | Node::StartsWith(k, _)
            | Node::EndsWith(k, _)
            | Node::In(k, _)
            | Node::NotIn(k, _) => Some(k),
            Node::All | Node::Global | Node::Not(_) | Node::And(_) | Node::Or(_) => None,
        }
    }

    pub(crate) fn label_mut(&mut self) -> Option<&mut String> {
        match self {
            Node::Has(k)
            | Node::Equal(k, _)
            | Node::NotEqual(k, _)
            | Node::Contains(k, _)
            | Node::StartsWith(k, _)
            | Node::EndsWith(k, _)
            | Node::In(k, _)
            | Node::NotIn(k, _) => Some(k),
            Node::All | Node::Global | Node::Not(_) | Node::And(_) | Node::Or(_) => None,
        }
    }

    /// Calls `visitor` on this node and all below it.
    pub(crate) fn visit(&self, visitor: &mut dyn FnMut(&Node)) {
        visitor(self);
        match self {
            Node::Not(inner) => inner.visit(visitor),
            Node::And(terms) | Node::Or(terms) => terms.iter().for_each(|t| t.visit(visitor)),
            _ => {}
        }
    }

    /// Calls `change` on each leaf.
    pub(crate) fn rewrite(&mut self, change: &dyn Fn(&mut Node)) {
        match self {
            Node::Not(inner) => inner.rewrite(change),
            Node::And(terms) | Node::Or(terms) => terms.iter_mut().for_each(|t| t.rewrite(change)),
            leaf => change(leaf),
        }
    }
}
