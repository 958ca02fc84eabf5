//! Necessary conditions per label, for indexes (section 9 of the specification).

use std::collections::{BTreeMap, BTreeSet};

use crate::node::Node;

/// What a label must be for a selector to be true. An item that breaks it is never selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restriction {
    /// The label is not there.
    Absent,
    /// The label is there, with any value.
    Present,
    /// The label is there with one of these values.
    OneOf(BTreeSet<String>),
}

type Map = BTreeMap<String, Restriction>;

/// `None` means that nothing can match.
pub(crate) fn restrictions(node: &Node) -> Option<Map> {
    let one = |label: &str, restriction| Some(Map::from([(label.to_owned(), restriction)]));
    match node {
        Node::Equal(k, v) => one(k, Restriction::OneOf(BTreeSet::from([v.clone()]))),
        Node::In(_, set) if set.is_empty() => None,
        Node::In(k, set) => one(k, Restriction::OneOf(set.clone())),
        Node::Has(k) | Node::Contains(k, _) | Node::StartsWith(k, _) | Node::EndsWith(k, _) => {
            one(k, Restriction::Present)
        }
        Node::Not(inner) => match &**inner {
            Node::Has(k) => one(k, Restriction::Absent),
            Node::Not(twice) => restrictions(twice),
            Node::All | Node::Global => None,
            _ => Some(Map::new()),
        },
        Node::And(terms) => {
            let mut all = Map::new();
            for term in terms {
                for (label, restriction) in restrictions(term)? {
                    let joined = match all.remove(&label) {
                        Some(before) => both(before, restriction)?,
                        None => restriction,
                    };
                    all.insert(label, joined);
                }
            }
            Some(all)
        }
        Node::Or(terms) => {
            let mut possible = terms.iter().filter_map(restrictions);
            let first = possible.next()?;
            Some(possible.fold(first, |mut common, mut next| {
                common.retain(|label, restriction| next.remove(label).is_some_and(|other| either(restriction, other)));
                common
            }))
        }
        Node::All | Node::Global | Node::NotEqual(..) | Node::NotIn(..) => Some(Map::new()),
    }
}

/// Both must hold; `None` when they cannot.
fn both(a: Restriction, b: Restriction) -> Option<Restriction> {
    use Restriction::{Absent, OneOf, Present};
    match (a, b) {
        (Absent, Absent) => Some(Absent),
        (Absent, _) | (_, Absent) => None,
        (Present, other) | (other, Present) => Some(other),
        (OneOf(a), OneOf(b)) => {
            let common: BTreeSet<_> = a.intersection(&b).cloned().collect();
            (!common.is_empty()).then_some(OneOf(common))
        }
    }
}

/// One of them holds: what is left of `a`; `false` when that says nothing. The work is that of `b`, so that a list of many
/// terms takes time by its length.
fn either(a: &mut Restriction, b: Restriction) -> bool {
    use Restriction::{Absent, OneOf, Present};
    match (a, b) {
        (Absent, Absent) => true,
        (Absent, _) | (_, Absent) => false,
        (Present, _) => true,
        (a, Present) => {
            *a = Present;
            true
        }
        (OneOf(a), OneOf(b)) => {
            a.extend(b);
            true
        }
    }
}
