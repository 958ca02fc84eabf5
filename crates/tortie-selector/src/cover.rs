//! Where an index has to look for what a selector can select (section 9 of the specification).

use crate::node::Node;

/// A place in an index of items by their labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IndexKey {
    /// The label.
    pub label: String,
    /// Its value; `None` stands for all items that have the label.
    pub value: Option<String>,
}

impl IndexKey {
    fn label(label: &str) -> IndexKey {
        IndexKey { label: label.to_owned(), value: None }
    }

    fn value(label: &str, value: &str) -> IndexKey {
        IndexKey { label: label.to_owned(), value: Some(value.to_owned()) }
    }
}

/// See [`Selector::index_keys`](crate::Selector::index_keys).
pub(crate) fn keys(node: &Node, weight: &dyn Fn(&IndexKey) -> usize) -> Option<Vec<IndexKey>> {
    match node {
        Node::Equal(k, v) => Some(vec![IndexKey::value(k, v)]),
        Node::In(k, set) => Some(set.iter().map(|v| IndexKey::value(k, v)).collect()),
        Node::Has(k) | Node::Contains(k, _) | Node::StartsWith(k, _) | Node::EndsWith(k, _) => {
            Some(vec![IndexKey::label(k)])
        }
        Node::Not(inner) => match &**inner {
            Node::Not(twice) => keys(twice, weight),
            Node::All | Node::Global => Some(Vec::new()),
            _ => None,
        },
        Node::And(terms) => terms.iter().filter_map(|term| keys(term, weight)).min_by_key(|keys| sum(keys, weight)),
        Node::Or(terms) => {
            let all: Option<Vec<_>> = terms.iter().map(|term| keys(term, weight)).collect();
            let mut keys = all?.concat();
            keys.sort();
            keys.dedup();
            Some(keys)
        }
        Node::All | Node::Global | Node::NotEqual(..) | Node::NotIn(..) => None,
    }
}

/// See [`Selector::reads`](crate::Selector::reads).
pub(crate) fn reads(node: &Node) -> Vec<IndexKey> {
    let mut keys = Vec::new();
    node.visit(&mut |node| match node {
        Node::Equal(k, v) | Node::NotEqual(k, v) => keys.push(IndexKey::value(k, v)),
        Node::In(k, set) | Node::NotIn(k, set) => keys.extend(set.iter().map(|v| IndexKey::value(k, v))),
        other => keys.extend(other.label().map(IndexKey::label)),
    });
    keys.sort();
    keys.dedup();
    keys
}

fn sum(keys: &[IndexKey], weight: &dyn Fn(&IndexKey) -> usize) -> usize {
    keys.iter().map(weight).sum()
}
