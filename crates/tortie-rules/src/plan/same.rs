//! What a kernel can tell apart.

use std::sync::Arc;

use crate::ruleset::{Origin, Rule, Set};

impl Rule {
    /// Whether a kernel could not tell the two rules apart: all is equal, and the origins have the same comment.
    pub fn is_same_in_kernel(&self, other: &Rule) -> bool {
        self.matches == other.matches
            && self.statements == other.statements
            && self.end == other.end
            && (self.origin == other.origin || self.origin.comment() == other.origin.comment())
    }
}

impl Set {
    /// Whether a kernel could not tell the two sets apart: they have the same shape, and the same elements with the same
    /// comments.
    pub fn is_same_in_kernel(&self, other: &Set) -> bool {
        self.has_same_shape(other) && self.elements == other.elements && self.has_same_comments(other)
    }

    /// Whether all but the elements is the same. A kernel knows what a set holds, not from which end of the packet it is
    /// asked.
    pub(super) fn has_same_shape(&self, other: &Set) -> bool {
        self.key.len() == other.key.len()
            && self.key.iter().zip(&other.key).all(|(one, other)| one.as_key() == other.as_key())
            && self.ranges == other.ranges
            && self.holds == other.holds
            && self.is_counted == other.is_counted
            && self.timeout_s == other.timeout_s
    }

    /// Whether the kernel keeps the same comments on the elements of both: of several origins it keeps the first.
    pub(super) fn has_same_comments(&self, other: &Set) -> bool {
        let same = |(one, other): (&Arc<[Origin]>, &Arc<[Origin]>)| match (one.first(), other.first()) {
            (Some(one), Some(other)) => one == other || one.comment() == other.comment(),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.origins.len() == other.origins.len()
            && self.origins.keys().eq(other.origins.keys())
            && self.origins.values().zip(other.origins.values()).all(same)
    }
}
