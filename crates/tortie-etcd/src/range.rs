//! Prefixes as etcd's ranges, and entries as this program knows them.

use tortie_datastore::kv::{Entry, Revision};

use crate::memory::unsigned;
use crate::proto::{KeyValue, Range};

/// The range of every key that begins with a text: from where, and up to where.
pub(crate) fn of_prefix(prefix: &str) -> (Vec<u8>, Vec<u8>) {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        // No byte of UTF-8 is 0xff.
        Some(last) => *last += 1,
        // One zero byte stands for the first key, and for no end.
        None => return (vec![0], vec![0]),
    }
    (prefix.as_bytes().to_vec(), end)
}

/// Asks for the keys with a prefix.
pub(crate) fn ask(prefix: &str) -> Range {
    let (key, range_end) = of_prefix(prefix);
    Range { key, range_end, ..Range::default() }
}

/// Asks for one key.
pub(crate) fn ask_key(key: &[u8]) -> Range {
    Range { key: key.to_vec(), ..Range::default() }
}

/// A key as this program knows it. Bytes that are no text become a key that nothing can be found by.
pub(crate) fn entry(kv: KeyValue) -> Entry {
    Entry {
        key: text(kv.key),
        value: kv.value,
        create_rev: Revision(unsigned(kv.create_revision)),
        mod_rev: Revision(unsigned(kv.mod_revision)),
        version: unsigned(kv.version),
    }
}

/// A key as text.
pub(crate) fn text(key: Vec<u8>) -> String {
    String::from_utf8(key).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_its_last_byte_goes_up() {
        assert_eq!(of_prefix("/a/"), (b"/a/".to_vec(), b"/a0".to_vec()));
        assert_eq!(of_prefix("ä"), (vec![0xc3, 0xa4], vec![0xc3, 0xa5]));
        assert_eq!(of_prefix(""), (vec![0], vec![0]));
    }
}
