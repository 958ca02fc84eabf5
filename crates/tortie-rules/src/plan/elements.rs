//! Changes of the elements of one set.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Op;
use crate::ruleset::{Data, Element, Name, Set};

/// What turns the elements `there` into `wanted`: first removals, then additions, in one transaction.
pub(super) fn element_ops(
    name: &Name,
    shape: &Arc<Set>,
    there: Option<&BTreeMap<Element, Option<Data>>>,
    wanted: &BTreeMap<Element, Option<Data>>,
) -> Vec<Op> {
    if shape.timeout_s.is_some() {
        return Vec::new(); // comes and goes by itself
    }
    let none = BTreeMap::new();
    let Difference { gone, added } = Difference::of(there.unwrap_or(&none), wanted);
    let mut ops = Vec::new();
    if !gone.is_empty() {
        ops.push(Op::DeleteElements { set: name.clone(), shape: shape.clone(), elements: gone });
    }
    if !added.is_empty() {
        ops.push(Op::AddElements { set: name.clone(), shape: shape.clone(), elements: added });
    }
    ops
}

/// Elements that only one of two maps has, or that carry something else in it.
pub(super) struct Difference {
    pub(super) gone: Vec<Element>,
    pub(super) added: BTreeMap<Element, Option<Data>>,
}

impl Difference {
    /// Walks both in step.
    pub(super) fn of(there: &BTreeMap<Element, Option<Data>>, wanted: &BTreeMap<Element, Option<Data>>) -> Self {
        let (mut gone, mut added) = (Vec::new(), Vec::new());
        let (mut there, mut wanted) = (there.iter().peekable(), wanted.iter().peekable());
        loop {
            let order = match (there.peek(), wanted.peek()) {
                (Some((one, _)), Some((other, _))) => one.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let before = there.next_if(|_| order != Ordering::Greater);
            let after = wanted.next_if(|_| order != Ordering::Less);
            if before.map(|(_, data)| data) == after.map(|(_, data)| data) {
                continue;
            }
            gone.extend(before.map(|(element, _)| element.clone()));
            added.extend(after.map(|(element, data)| (element.clone(), data.clone())));
        }
        Self { gone, added: added.into_iter().collect() }
    }
}
