//! The selector language of `docs/spec/selectors.md`: parse, evaluate, canonical text.
//!
//! ```
//! use tortie_selector::Selector;
//!
//! let selector = Selector::parse("role == 'db' && !has(retired)")?;
//! assert!(selector.matches(&[("role", "db")]));
//! assert!(!selector.matches(&[("role", "db"), ("retired", "")]));
//! # Ok::<(), tortie_selector::ParseError>(())
//! ```
//!
//! It does not know what selectors are used for, except for the joining rules of [`scope`].
#![forbid(unsafe_code)]

mod canonical;
mod cover;
mod node;
mod parse;
mod restrict;
pub mod scope;
mod token;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha224};

pub use cover::IndexKey;
use node::Node;
pub use parse::{Expected, ParseError};
pub use restrict::Restriction;

/// A parsed selector. Cloning is cheap.
///
/// Two selectors are equal when their trees are; `a == 'b'` and `a in {'b'}` are not.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Selector(Arc<Node>);

/// The labels of one item.
pub trait Labels {
    /// The value of label `name`, if the item has it.
    fn get(&self, name: &str) -> Option<&str>;
}

impl Labels for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        BTreeMap::get(self, name).map(String::as_str)
    }
}

impl Labels for HashMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        HashMap::get(self, name).map(String::as_str)
    }
}

impl Labels for [(&str, &str)] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

impl<const N: usize> Labels for [(&str, &str); N] {
    fn get(&self, name: &str) -> Option<&str> {
        Labels::get(self.as_slice(), name)
    }
}

impl<L: Labels + ?Sized> Labels for &L {
    fn get(&self, name: &str) -> Option<&str> {
        L::get(self, name)
    }
}

impl Selector {
    /// Parses a selector; text that is empty or blank is `all()`.
    ///
    /// # Errors
    /// [`ParseError`] with the byte offset and what was expected there.
    pub fn parse(text: &str) -> Result<Selector, ParseError> {
        parse::parse(text).map(Selector::from_node)
    }

    /// Whether an item with these labels is selected (section 4).
    pub fn matches<L: Labels + ?Sized>(&self, labels: &L) -> bool {
        self.0.matches(labels)
    }

    /// The canonical text (section 5).
    pub fn canonical(&self) -> String {
        canonical::text(&self.0)
    }

    /// The identifier: `s:` and the URL-safe base64 of SHA-224 over `s:` and the canonical text (section 5).
    pub fn id(&self) -> String {
        let mut digest = Sha224::new();
        digest.update(b"s:");
        digest.update(self.canonical().as_bytes());
        format!("s:{}", URL_SAFE_NO_PAD.encode(digest.finalize()))
    }

    /// `all()`.
    pub fn all() -> Selector {
        Selector::from_node(Node::All)
    }

    /// Whether this is `all()` itself, not only something that is always true.
    pub fn is_all(&self) -> bool {
        matches!(*self.0, Node::All)
    }

    /// `self && other`.
    pub fn and(&self, other: &Selector) -> Selector {
        Selector::from_node(Node::And(vec![(*self.0).clone(), (*other.0).clone()]))
    }

    /// `!self`; a double negation vanishes.
    pub fn not(&self) -> Selector {
        Selector::from_node(match &*self.0 {
            Node::Not(inner) => (**inner).clone(),
            other => Node::Not(Box::new(other.clone())),
        })
    }

    /// `has(label)`.
    pub fn has(label: &str) -> Selector {
        Selector::from_node(Node::Has(label.to_owned()))
    }

    /// `!has(label)`.
    pub fn not_has(label: &str) -> Selector {
        Selector::has(label).not()
    }

    /// `label == "value"`. A value with both kinds of quote has no text form, yet is compared all the same.
    pub fn equals(label: &str, value: &str) -> Selector {
        Selector::from_node(Node::Equal(label.to_owned(), value.to_owned()))
    }

    /// `label in {values}`.
    pub fn is_in<I: IntoIterator<Item = S>, S: Into<String>>(label: &str, values: I) -> Selector {
        Selector::from_node(Node::In(label.to_owned(), values.into_iter().map(Into::into).collect()))
    }

    /// The selector with `prefix` before each label name.
    pub fn with_prefix(&self, prefix: &str) -> Selector {
        self.rewritten(&|node| {
            if let Some(label) = node.label_mut() {
                label.insert_str(0, prefix);
            }
        })
    }

    /// The selector with each `all()` in it replaced.
    pub fn replace_all_with(&self, replacement: &Selector) -> Selector {
        self.rewritten(&|node| {
            if matches!(node, Node::All) {
                *node = (*replacement.0).clone();
            }
        })
    }

    /// The selector with each `global()` in it replaced.
    pub fn replace_global_with(&self, replacement: &Selector) -> Selector {
        self.rewritten(&|node| {
            if matches!(node, Node::Global) {
                *node = (*replacement.0).clone();
            }
        })
    }

    /// Whether `global()` stands anywhere in it.
    pub fn contains_global(&self) -> bool {
        let mut found = false;
        self.0.visit(&mut |node| found |= matches!(node, Node::Global));
        found
    }

    /// The labels it reads.
    pub fn label_names(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        self.0.visit(&mut |node| {
            if let Some(label) = node.label() {
                names.insert(label.to_owned());
            }
        });
        names
    }

    /// Conditions that an item's labels must meet for the selector to be true, by label (section 9).
    ///
    /// They are necessary, not sufficient. `None` means that nothing can match.
    pub fn restrictions(&self) -> Option<BTreeMap<String, Restriction>> {
        restrict::restrictions(&self.0)
    }

    /// Where an index by labels finds all items that the selector can select: each of them is at one of these keys, and
    /// not each item there is selected. `None` when the labels an item has say nothing, as for `all()` and negations.
    ///
    /// Of terms that must all hold, the one whose keys weigh least is taken. `weight` tells how many items are at a key.
    pub fn index_keys(&self, weight: &dyn Fn(&IndexKey) -> usize) -> Option<Vec<IndexKey>> {
        cover::keys(&self.0, weight)
    }

    /// What the verdict depends on: two items get the same one if none of these tells them apart. A key with a value asks
    /// whether the label has that value, one without asks for the label as it is.
    pub fn reads(&self) -> Vec<IndexKey> {
        cover::reads(&self.0)
    }

    fn from_node(node: Node) -> Selector {
        Selector(Arc::new(node))
    }

    fn rewritten(&self, change: &dyn Fn(&mut Node)) -> Selector {
        let mut node = (*self.0).clone();
        node.rewrite(change);
        Selector::from_node(node)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({})", self.canonical())
    }
}
