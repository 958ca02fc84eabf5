//! Labels of one item.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Index;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The labels of one item, sorted by name, each name once.
///
/// Most objects have one or two: a list without spare room takes a fifth of what a map takes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Box<[(String, String)]>);

impl Labels {
    /// No labels.
    pub fn new() -> Labels {
        Labels::default()
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&String> {
        self.place(name).ok().map(|place| &self.0[place].1)
    }

    /// Whether there is such a label.
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().map(|(name, _)| name)
    }

    /// Sets a label; gives the value that it had.
    pub fn insert(&mut self, name: String, value: String) -> Option<String> {
        match self.place(&name) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, value)),
            Err(place) => {
                self.change(|labels| labels.insert(place, (name, value)));
                None
            }
        }
    }

    /// Sets a label where there is none of this name.
    pub fn insert_missing(&mut self, name: &str, value: &str) {
        if let Err(place) = self.place(name) {
            self.change(|labels| labels.insert(place, (name.to_owned(), value.to_owned())));
        }
    }

    /// Removes a label; gives its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        let place = self.place(name).ok()?;
        Some(self.change(|labels| labels.remove(place)).1)
    }

    /// Removes all labels.
    pub fn clear(&mut self) {
        *self = Labels::new();
    }

    /// Removes all labels but those that `keeps` says.
    pub fn retain(&mut self, mut keeps: impl FnMut(&str, &str) -> bool) {
        self.change(|labels| labels.retain(|(name, value)| keeps(name, value)));
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(own, _)| own.as_str().cmp(name))
    }

    fn change<R>(&mut self, change: impl FnOnce(&mut Vec<(String, String)>) -> R) -> R {
        let mut labels = std::mem::take(&mut self.0).into_vec();
        let result = change(&mut labels);
        self.0 = labels.into_boxed_slice();
        result
    }
}

/// Names and values of labels.
type Iter<'a> = std::iter::Map<std::slice::Iter<'a, (String, String)>, fn(&(String, String)) -> (&String, &String)>;

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a String, &'a String);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Labels {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_vec().into_iter()
    }
}

/// Of a name that comes twice the last value counts.
impl FromIterator<(String, String)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(labels: I) -> Labels {
        let mut labels: Vec<(String, String)> = labels.into_iter().collect();
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        Labels(labels.into_boxed_slice())
    }
}

/// As if each were inserted.
impl Extend<(String, String)> for Labels {
    fn extend<I: IntoIterator<Item = (String, String)>>(&mut self, labels: I) {
        *self = std::mem::take(self).into_iter().chain(labels).collect();
    }
}

impl<const N: usize> From<[(String, String); N]> for Labels {
    fn from(labels: [(String, String); N]) -> Labels {
        labels.into_iter().collect()
    }
}

/// As an object of JSON.
impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

/// From an object of JSON.
impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Labels, D::Error> {
        BTreeMap::deserialize(deserializer).map(Labels::from_iter)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// # Panics
/// When there is no label of this name.
impl Index<&str> for Labels {
    type Output = String;

    fn index(&self, name: &str) -> &String {
        self.get(name).expect("the label is there")
    }
}

impl tortie_selector::Labels for Labels {
    fn get(&self, name: &str) -> Option<&str> {
        Labels::get(self, name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn labels_are_sorted_and_the_last_of_a_name_counts() {
        let mut found = labels(&[("b", "1"), ("a", "2"), ("b", "3"), ("b", "4")]);
        assert_eq!(found, labels(&[("a", "2"), ("b", "4")]));
        assert_eq!(found.insert("c".to_owned(), "5".to_owned()), None);
        assert_eq!(found.insert("b".to_owned(), "6".to_owned()).as_deref(), Some("4"));
        found.insert_missing("b", "7");
        found.insert_missing("aa", "8");
        assert_eq!(found, labels(&[("a", "2"), ("aa", "8"), ("b", "6"), ("c", "5")]));
        assert_eq!((found.remove("a").as_deref(), found.remove("a")), (Some("2"), None));
        found.retain(|name, _| name != "c");
        assert_eq!(found, labels(&[("aa", "8"), ("b", "6")]));
        assert_eq!((found.get("b").map(String::as_str), found.get("c")), (Some("6"), None));
    }
}
