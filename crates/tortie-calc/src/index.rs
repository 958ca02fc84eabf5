//! Indexes: from labels to those who have them, and from labels to the selectors that can hold there.

use std::collections::{BTreeSet, HashMap};

use tortie_selector::IndexKey;

use crate::numbers::Numbers;
use crate::texts::{ByNumber, Text, Texts};

/// From label and value to those who have it.
#[derive(Debug, Default)]
pub(crate) struct LabelIndex {
    labels: ByNumber<Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    count: usize,
    values: ByNumber<Numbers>,
}

impl LabelIndex {
    pub(crate) fn insert(&mut self, label: Text, value: Text, holder: u32) {
        let holders = self.labels.entry(label).or_default();
        holders.count += usize::from(holders.values.entry(value).or_default().insert(holder));
    }

    pub(crate) fn remove(&mut self, label: Text, value: Text, holder: u32) {
        let holders = self.labels.get_mut(&label).expect("labels of holders are indexed");
        let same = holders.values.get_mut(&value).expect("values of holders are indexed");
        holders.count -= usize::from(same.remove(holder));
        if same.is_empty() {
            holders.values.remove(&value);
        }
        if holders.values.is_empty() {
            self.labels.remove(&label);
        }
    }

    /// Those at a key, in no order.
    pub(crate) fn at<'a>(&'a self, key: &IndexKey, texts: &Texts) -> Box<dyn Iterator<Item = u32> + 'a> {
        let Some(holders) = texts.find(&key.label).and_then(|label| self.labels.get(&label)) else {
            return Box::new(std::iter::empty());
        };
        match &key.value {
            None => Box::new(holders.values.values().flat_map(Numbers::iter)),
            Some(value) => {
                let same = texts.find(value).and_then(|value| holders.values.get(&value));
                Box::new(same.into_iter().flat_map(Numbers::iter))
            }
        }
    }

    /// How many are at a key.
    pub(crate) fn count(&self, key: &IndexKey, texts: &Texts) -> usize {
        let Some(holders) = texts.find(&key.label).and_then(|label| self.labels.get(&label)) else {
            return 0;
        };
        match &key.value {
            None => holders.count,
            Some(value) => texts.find(value).and_then(|value| holders.values.get(&value)).map_or(0, Numbers::len),
        }
    }
}

/// From labels to the numbers of the selectors that can hold where they are.
#[derive(Debug, Default)]
pub(crate) struct SelectorIndex {
    labels: HashMap<String, Readers>,
    /// Those that can hold anywhere.
    anywhere: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct Readers {
    any: BTreeSet<u32>,
    values: HashMap<String, BTreeSet<u32>>,
}

impl SelectorIndex {
    /// Adds a selector by its [`index_keys`](tortie_selector::Selector::index_keys).
    pub(crate) fn insert(&mut self, number: u32, keys: Option<&[IndexKey]>) {
        let Some(keys) = keys else {
            self.anywhere.insert(number);
            return;
        };
        for key in keys {
            let readers = self.labels.entry(key.label.clone()).or_default();
            match &key.value {
                None => readers.any.insert(number),
                Some(value) => readers.values.entry(value.clone()).or_default().insert(number),
            };
        }
    }

    /// Removes what was added with the same keys.
    pub(crate) fn remove(&mut self, number: u32, keys: Option<&[IndexKey]>) {
        let Some(keys) = keys else {
            self.anywhere.remove(&number);
            return;
        };
        for key in keys {
            let Some(readers) = self.labels.get_mut(&key.label) else { continue };
            match &key.value {
                None => {
                    readers.any.remove(&number);
                }
                Some(value) => {
                    if let Some(same) = readers.values.get_mut(value) {
                        same.remove(&number);
                        if same.is_empty() {
                            readers.values.remove(value);
                        }
                    }
                }
            }
            if readers.any.is_empty() && readers.values.is_empty() {
                self.labels.remove(&key.label);
            }
        }
    }

    /// All selectors that can hold for these labels, in order; a label may come with several values.
    pub(crate) fn candidates<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u32> {
        let mut found: Vec<u32> = self.anywhere.iter().copied().collect();
        for (label, value) in labels {
            if let Some(readers) = self.labels.get(label) {
                found.extend(&readers.any);
                found.extend(readers.values.get(value).into_iter().flatten());
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
