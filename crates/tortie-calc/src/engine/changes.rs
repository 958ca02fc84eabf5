//! What one flush has to look at again.

use std::collections::{BTreeMap, BTreeSet};

use super::locals::LocalNumber;
use super::policies::PolicyNumber;

/// A policy as it was, and what has taken its place; the same number where it stays in its place in the same lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) old: PolicyNumber,
    pub(super) new: PolicyNumber,
}

impl Change {
    /// Another selection, or other rules.
    pub(super) fn of(number: PolicyNumber) -> Change {
        Change { old: number, new: number }
    }
}

/// Changes by the local endpoints that they touch.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) by_local: BTreeMap<LocalNumber, Vec<Change>>,
    pub(super) policies: BTreeSet<PolicyNumber>,
}

impl Changes {
    pub(super) fn add(&mut self, change: Change, locals: &[LocalNumber]) {
        self.policies.extend([change.old, change.new]);
        for &local in locals {
            self.by_local.entry(local).or_default().push(change);
        }
    }
}
