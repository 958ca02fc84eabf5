//! Sets and their elements.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_rules::ruleset::{ClassId, Data, Element, Field, Holds, Origin, Ranges, Set};

use super::{Counted, DecodeError, comment, counted, odd, value, verdict};
use crate::consts::*;
use crate::encode::set::{
    CLASS_DATA_LEN, TYPE_BYTES, key_len, key_of_text, key_of_type, padded_len, predecessor, to_kernel,
};
use crate::wire::Attributes;

/// A set without its elements.
pub(crate) fn set(attributes: Attributes<'_>) -> Result<Set, DecodeError> {
    let name = attributes.text(NFTA_SET_NAME).unwrap_or_default();
    let none_of_ours = || odd(format!("set `{name}`"));
    let flags = attributes.u32(NFTA_SET_FLAGS).unwrap_or(0);
    let key = key_of(attributes, flags).ok_or_else(|| odd(format!("the key of set `{name}`")))?;
    let is_counted = is_counted(attributes).ok_or_else(|| odd(format!("set `{name}` with expressions")))?;
    let timeout_flags = NFT_SET_TIMEOUT | NFT_SET_EVAL;
    if flags & !(NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT | timeout_flags) != 0 {
        return Err(none_of_ours());
    }
    let timeout_s = match (flags & timeout_flags, attributes.u64(NFTA_SET_TIMEOUT)) {
        (0, None) => None,
        (both, Some(ms)) if both == timeout_flags && ms % 1000 == 0 => u32::try_from(ms / 1000).ok(),
        _ => return Err(none_of_ours()),
    };
    let ranges = match (flags & NFT_SET_INTERVAL != 0, flags & NFT_SET_CONCAT != 0) {
        (false, false) => Ranges::None,
        (true, false) => Ranges::OfKey,
        (true, true) => Ranges::OfFields,
        (false, true) => return Err(none_of_ours()),
    };
    let is_map = flags & NFT_SET_MAP != 0;
    let data = (attributes.u32(NFTA_SET_DATA_TYPE), attributes.u32(NFTA_SET_DATA_LEN));
    let holds = match data {
        _ if !is_map => Holds::Nothing,
        (Some(NFT_DATA_VERDICT), _) => Holds::Verdicts,
        (Some(TYPE_BYTES), Some(len)) if len as usize == CLASS_DATA_LEN => Holds::Classes,
        _ => return Err(odd(format!("what map `{name}` holds"))),
    };
    Ok(Set { key, ranges, holds, is_counted, is_constant: name.starts_with("k/"), timeout_s, ..Set::default() })
}

/// The fields of a key: by its type, or in a range of several fields by the comment of the set.
fn key_of(attributes: Attributes<'_>, flags: u32) -> Option<Vec<Field>> {
    let len = attributes.u32(NFTA_SET_KEY_LEN)? as usize;
    let key_type = attributes.u32(NFTA_SET_KEY_TYPE)?;
    let is_range_of_key = flags & NFT_SET_INTERVAL != 0 && flags & NFT_SET_CONCAT == 0;
    if key_type != TYPE_BYTES {
        let key = key_of_type(key_type, len)?;
        return (!is_range_of_key || !has_fields(&key)).then_some(key);
    }
    let text = comment(attributes.find(NFTA_SET_USERDATA)?, NFTNL_UDATA_SET_COMMENT)?;
    let is_pair = |key: &[Field]| key.starts_with(&[Field::Class, Field::Class]);
    let is_range = |key: &[Field]| is_range_of_key && has_fields(key);
    let key = key_of_text(text).filter(|key| is_range(key) || is_pair(key) && flags & NFT_SET_INTERVAL == 0)?;
    (key_len(&key) == len).then_some(key)
}

/// Whether a key has several fields for `nft`.
fn has_fields(key: &[Field]) -> bool {
    key.len() > 1 || key == [Field::Class]
}

/// Whether each element of a set gets a counter; `None` when it gets something else.
fn is_counted(attributes: Attributes<'_>) -> Option<bool> {
    if attributes.find(NFTA_SET_EXPRESSIONS).is_some() {
        return None;
    }
    match attributes.nested(NFTA_SET_EXPR) {
        None => Some(false),
        Some(expression) if expression.text(NFTA_EXPR_NAME) == Some("counter") => Some(true),
        Some(_) => None,
    }
}

/// One element as the kernel lists it.
pub(crate) struct RawElement {
    /// With the padding of the kernel.
    key: Vec<u8>,
    key_end: Option<Vec<u8>>,
    is_end: bool,
    beside: Beside,
}

/// What an element says beside its key.
struct Beside {
    data: Option<Data>,
    comment: Option<Arc<str>>,
    counted: Counted,
}

pub(crate) fn raw_element(attributes: Attributes<'_>, set: &Set) -> Result<RawElement, DecodeError> {
    let flags = attributes.u32(NFTA_SET_ELEM_FLAGS).unwrap_or(0);
    if flags & NFT_SET_ELEM_CATCHALL != 0 {
        return Err(odd("a catch-all element"));
    }
    let key = key(&set.key, value(attributes, NFTA_SET_ELEM_KEY)?)?;
    let key_end = match attributes.nested(NFTA_SET_ELEM_KEY_END) {
        Some(nest) => Some(self::key(&set.key, nest.find(NFTA_DATA_VALUE).ok_or_else(|| odd("an element"))?)?),
        None => None,
    };
    let is_end = flags & NFT_SET_ELEM_INTERVAL_END != 0;
    // Kernels before 6.1 give ends a counter, too, which counts nothing.
    let counted = element_counter(attributes, set)?.filter(|_| !is_end);
    let data = match (attributes.nested(NFTA_SET_ELEM_DATA).filter(|_| !is_end), set.holds) {
        (Some(data), Holds::Verdicts) => Some(Data::Verdict(verdict(data)?)),
        (Some(data), Holds::Classes) => Some(Data::Class(class(data)?)),
        _ => None,
    };
    let text = attributes.find(NFTA_SET_ELEM_USERDATA).and_then(|bytes| comment(bytes, NFTNL_UDATA_SET_ELEM_COMMENT));
    let comment = text.filter(|_| !is_end).map(Arc::from);
    Ok(RawElement { key, key_end, is_end, beside: Beside { data, comment, counted } })
}

/// What the counter of an element shows. Any other expression is none of ours: a limit would take the match away.
fn element_counter(attributes: Attributes<'_>, set: &Set) -> Result<Counted, DecodeError> {
    let foreign = || odd("an element with an expression");
    if attributes.find(NFTA_SET_ELEM_EXPRESSIONS).is_some() {
        return Err(foreign());
    }
    let Some(expression) = attributes.nested(NFTA_SET_ELEM_EXPR) else { return Ok(None) };
    if !set.is_counted || expression.text(NFTA_EXPR_NAME) != Some("counter") {
        return Err(foreign());
    }
    Ok(expression.nested(NFTA_EXPR_DATA).and_then(counted))
}

fn class(data: Attributes<'_>) -> Result<ClassId, DecodeError> {
    let bytes = data.find(NFTA_DATA_VALUE).filter(|bytes| bytes.len() == CLASS_DATA_LEN);
    let bytes = bytes.and_then(|bytes| bytes.split_last_chunk());
    let (_, class) =
        bytes.filter(|(padding, _)| padding.iter().all(|byte| *byte == 0)).ok_or_else(|| odd("a class"))?;
    Ok(ClassId(u64::from_be_bytes(*class)))
}

/// A key of the kernel, if it is as long as it has to be.
fn key(key: &[Field], bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    if bytes.len() == key_len(key) { Ok(bytes.to_vec()) } else { Err(odd("an element's key")) }
}

/// A key of the kernel without padding, big-endian; `None` where its padding is not empty.
fn plain_key(key: &[Field], bytes: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(bytes.len());
    let mut from = 0;
    for field in key {
        let end = from + field.width();
        plain.extend(to_kernel(*field, &bytes[from..end]));
        from = end.next_multiple_of(4);
        if bytes.get(end..from).is_some_and(|padding| padding.iter().any(|byte| *byte != 0)) {
            return None;
        }
    }
    Some(plain)
}

/// What all elements of a set say.
#[derive(Default)]
pub(crate) struct Elements {
    pub(crate) elements: BTreeMap<Element, Option<Data>>,
    pub(crate) origins: BTreeMap<Element, Arc<[Origin]>>,
    /// The comment of the element, with packets and bytes. A kernel that grows a hash meanwhile lists some twice.
    pub(crate) counted: BTreeMap<Element, (Arc<str>, (u64, u64))>,
}

impl Elements {
    fn insert(&mut self, key: &[Field], first: &[u8], last: &[u8], beside: Beside) -> Option<()> {
        let element = Element::range(plain_key(key, first)?, plain_key(key, last)?);
        if let Some(counted) = beside.counted {
            self.counted.insert(element.clone(), (beside.comment.clone().unwrap_or_default(), counted));
        }
        if let Some(comment) = beside.comment {
            self.origins.insert(element.clone(), Arc::new([Origin::Comment(comment)]));
        }
        self.elements.insert(element, beside.data);
        Some(())
    }
}

/// Elements of a set from what the kernel lists, in whatever order; `None` when one of them is none of ours.
pub(crate) fn elements(set: &Set, mut raw: Vec<RawElement>) -> Option<Elements> {
    let mut elements = Elements::default();
    if set.ranges != Ranges::OfKey {
        for RawElement { key, key_end, beside, .. } in raw {
            elements.insert(&set.key, &key, key_end.as_ref().unwrap_or(&key), beside)?;
        }
        return Some(elements);
    }
    // An end at the key of the next start belongs to the range before.
    raw.sort_by(|a, b| (&a.key, !a.is_end).cmp(&(&b.key, !b.is_end)));
    let mut open: Option<RawElement> = None;
    for next in raw {
        if let Some(start) = open.take() {
            elements.insert(&set.key, &start.key, &predecessor(&next.key), start.beside)?;
        }
        if !next.is_end {
            open = Some(next);
        }
    }
    if let Some(start) = open {
        elements.insert(&set.key, &start.key, &top(&set.key), start.beside)?;
    }
    Some(elements)
}

/// The last key there is.
fn top(key: &[Field]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(padded_len(key));
    for field in key {
        bytes.resize(bytes.len() + field.width(), 0xff);
        if key.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}
