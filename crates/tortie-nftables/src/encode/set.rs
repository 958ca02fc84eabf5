//! Sets and their elements as attributes.

use tortie_rules::ruleset::{Data, Element, Field, Holds, Name, Origin, Ranges, Set, TABLE};

use super::{CLASS_PADDING, comment, counter, verdict_data};
use crate::consts::*;
use crate::wire::Writer;

/// An element list stays below 64 KiB, the length of an attribute (K-10).
const ELEMENTS_LEN_MAX: usize = 60_000;

/// Elements that fit into one list, by a generous bound on the length of one.
pub(super) fn elements_per_list(shape: &Set) -> usize {
    // A key is at most 64 bytes, a chain name 127, a comment 127; with attribute headers, the key twice for a range.
    let key = 24 + padded_len(&shape.key);
    let data = match shape.holds {
        Holds::Nothing => 0,
        Holds::Verdicts => 160,
        Holds::Classes => 8 + CLASS_DATA_LEN,
    };
    let comment = if shape.origins.is_empty() { 0 } else { 8 + Origin::COMMENT_LEN_MAX };
    // A counter is named in the set alone: the kernel makes one for each element.
    ELEMENTS_LEN_MAX / (2 * key + data + comment)
}

/// Bytes of a key in registers: each field takes whole registers of 4 bytes.
pub(crate) fn padded_len(key: &[Field]) -> usize {
    key.iter().map(|field| field.width().next_multiple_of(4)).sum()
}

pub(crate) fn key_len(key: &[Field]) -> usize {
    match key {
        [field] => field.width(),
        _ => padded_len(key),
    }
}

/// `mark` of `nft`: 4 bytes that it prints as a hexadecimal number.
const TYPE_MARK: u32 = 19;

/// Two marks side by side, by which `nft` prints a class in a key: it has no number of 8 bytes that it shows there.
const TYPE_CLASS: u32 = TYPE_MARK << TYPE_BITS | TYPE_MARK;

/// `ll_addr` of `nft`: any number of bytes, which it prints one by one.
pub(crate) const TYPE_BYTES: u32 = 6;

/// What a map of classes holds: a class behind the register that [`super::ClassRegisters`] needs.
pub(crate) const CLASS_DATA_LEN: usize = CLASS_PADDING as usize * 4 + Field::Class.width();

/// Bits of one data type in that of a key (`TYPE_BITS` of `nft`).
const TYPE_BITS: u32 = 6;

/// Data types of `nft` (`enum datatypes` of its `datatype.h`), by which it prints keys.
fn data_type(field: Field) -> u32 {
    match field {
        Field::NfProto => 2,
        Field::SourceV4 | Field::DestinationV4 => 7,
        Field::SourceV6 | Field::DestinationV6 => 8,
        Field::L4Proto => 12,
        Field::SourcePort | Field::DestinationPort => 13,
        Field::Mark => TYPE_MARK,
        Field::CtState => 26,
        Field::CtStatus => 28,
        Field::IcmpType => 29,
        Field::IcmpCode => 33,
        Field::HopLimit => 4,
        Field::InInterface | Field::OutInterface => 41,
        Field::Class => TYPE_CLASS,
        // Never in a key; `boolean`.
        Field::ReversePathStrict | Field::ReversePathLoose => 45,
    }
}

/// The key field under which sets are made and read: both ends of a packet share them.
fn field_of_type(data_type: u32, len: usize) -> Option<Field> {
    let fields = [
        Field::NfProto,
        Field::SourceV4,
        Field::SourceV6,
        Field::L4Proto,
        Field::SourcePort,
        Field::Mark,
        Field::CtState,
        Field::CtStatus,
        Field::IcmpType,
        Field::IcmpCode,
        Field::HopLimit,
        Field::InInterface,
    ];
    fields.into_iter().find(|field| self::data_type(*field) == data_type && field.width() == len)
}

/// Types of a key, 6 bits each, and twice as many for a class.
fn key_type(key: &[Field]) -> u32 {
    let shift = |field: &Field| if *field == Field::Class { 2 * TYPE_BITS } else { TYPE_BITS };
    key.iter().fold(0, |types, field| types << shift(field) | data_type(*field))
}

/// The fields of a key type. Two marks at the beginning are a class: no key of ours begins with two marks.
pub(crate) fn key_of_type(key_type: u32, len: usize) -> Option<Vec<Field>> {
    let mask = (1 << TYPE_BITS) - 1;
    if key_type <= mask {
        return field_of_type(key_type, len).map(|field| vec![field]);
    }
    let mut types = Vec::new();
    let mut rest = key_type;
    while rest > 0 {
        types.push(rest & mask);
        rest >>= TYPE_BITS;
    }
    types.reverse();
    let (mut key, rest) = match types.as_slice() {
        [TYPE_MARK, TYPE_MARK, rest @ ..] => (vec![Field::Class], rest),
        all => (Vec::new(), all),
    };
    for data_type in rest {
        key.push([1usize, 2, 4, 16].into_iter().find_map(|len| field_of_type(*data_type, len))?);
    }
    Some(key)
}

pub(super) fn header(w: &mut Writer, name: &Name, set: &Set, id: u32) {
    let mut flags = match set.ranges {
        Ranges::None => 0,
        // Without a description of its fields the kernel compares the key as one number (`nft_set_rbtree.c`).
        Ranges::OfKey => NFT_SET_INTERVAL,
        Ranges::OfFields => NFT_SET_INTERVAL | NFT_SET_CONCAT,
    };
    if set.holds != Holds::Nothing {
        flags |= NFT_SET_MAP;
    }
    if set.timeout_s.is_some() {
        flags |= NFT_SET_TIMEOUT | NFT_SET_EVAL;
    }
    w.text(NFTA_SET_TABLE, TABLE);
    w.text(NFTA_SET_NAME, name.as_str());
    w.u32(NFTA_SET_FLAGS, flags);
    let key_type = if is_bytes(set) { TYPE_BYTES } else { key_type(&set.key) };
    w.u32(NFTA_SET_KEY_TYPE, key_type);
    w.u32(NFTA_SET_KEY_LEN, key_len(&set.key) as u32);
    let data = match set.holds {
        Holds::Nothing => None,
        Holds::Verdicts => Some((NFT_DATA_VERDICT, 0)),
        Holds::Classes => Some((TYPE_BYTES, CLASS_DATA_LEN as u32)),
    };
    if let Some((data_type, len)) = data {
        w.u32(NFTA_SET_DATA_TYPE, data_type);
        w.u32(NFTA_SET_DATA_LEN, len);
    }
    w.u32(NFTA_SET_ID, id);
    if let Some(timeout_s) = set.timeout_s {
        w.bytes(NFTA_SET_TIMEOUT, &(u64::from(timeout_s) * 1000).to_be_bytes());
    }
    if set.ranges == Ranges::OfFields {
        fields(w, &set.key);
    }
    w.bytes(NFTA_SET_USERDATA, &user_data(set));
    if set.is_counted {
        let nest = w.nest(NFTA_SET_EXPR);
        counter(w);
        w.unnest(nest);
    }
}

/// How long each field of a key is, as `nft` sees fields.
fn fields(w: &mut Writer, key: &[Field]) {
    let desc = w.nest(NFTA_SET_DESC);
    let concat = w.nest(NFTA_SET_DESC_CONCAT);
    let widths = key.iter().flat_map(|field| match field {
        Field::Class => vec![4, 4],
        other => vec![other.width() as u32],
    });
    for width in widths {
        let element = w.nest(NFTA_LIST_ELEM);
        w.u32(NFTA_SET_FIELD_LEN, width);
        w.unnest(element);
    }
    w.unnest(concat);
    w.unnest(desc);
}

/// The byte order of the key: without it `nft` shows interface names as `""` (K-12).
fn user_data(set: &Set) -> Vec<u8> {
    const HOST: u32 = 1;
    const BIG: u32 = 2;
    let order = match set.key.as_slice() {
        _ if is_bytes(set) => BIG,
        [Field::Class] => 0,
        [field] if field.is_host_endian() || field.width() == 16 && data_type(*field) == 41 => HOST,
        [_] => BIG,
        _ => 0,
    };
    let mut bytes = vec![NFTNL_UDATA_SET_KEYBYTEORDER, 4];
    bytes.extend(order.to_ne_bytes());
    if is_bytes(set) {
        bytes.extend(comment(NFTNL_UDATA_SET_COMMENT, &key_text(&set.key)));
    }
    bytes
}

/// Whether `nft` sees bytes, and for people and for reading back the fields as a comment.
///
/// It dies of a set whose key has several fields for it, of which a class is two, and is a range as a whole
/// (`concat_range_aggregate`); and the type of a key has room for five fields, of which two classes are four.
fn is_bytes(set: &Set) -> bool {
    set.is_by_pair() || set.ranges == Ranges::OfKey && (set.key.len() > 1 || set.is_by_class())
}

/// The fields of a key, as the comment of a set says them.
fn key_text(key: &[Field]) -> String {
    let name = |field: &Field| KEY_NAMES.iter().find(|(named, _)| *named == field.as_key()).map_or("other", |(_, n)| n);
    key.iter().map(name).collect::<Vec<_>>().join(" . ")
}

/// The fields that a comment says.
pub(crate) fn key_of_text(text: &str) -> Option<Vec<Field>> {
    let field = |part: &str| KEY_NAMES.iter().find(|(_, name)| *name == part).map(|(field, _)| *field);
    text.split(" . ").map(field).collect()
}

/// Fields of keys, under the names that `nft` has for their types.
const KEY_NAMES: [(Field, &str); 13] = [
    (Field::Class, "class"),
    (Field::NfProto, "nf_proto"),
    (Field::SourceV4, "ipv4_addr"),
    (Field::SourceV6, "ipv6_addr"),
    (Field::L4Proto, "inet_proto"),
    (Field::SourcePort, "inet_service"),
    (Field::Mark, "mark"),
    (Field::CtState, "ct_state"),
    (Field::CtStatus, "ct_status"),
    (Field::IcmpType, "icmp_type"),
    (Field::IcmpCode, "icmp_code"),
    (Field::HopLimit, "integer"),
    (Field::InInterface, "ifname"),
];

/// A big-endian value of one field in the byte order of the kernel. A class is the same bytes everywhere: it is only
/// ever compared.
pub(crate) fn to_kernel(field: Field, value: &[u8]) -> Vec<u8> {
    let mut bytes = value.to_vec();
    if field.is_host_endian() && cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

/// A key as the kernel holds it: fields side by side, each padded to whole registers where there are several.
fn kernel_key(key: &[Field], value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(padded_len(key));
    let mut from = 0;
    for field in key {
        bytes.extend(to_kernel(*field, &value[from..from + field.width()]));
        from += field.width();
        if key.len() > 1 {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
    }
    bytes
}

/// What an element says beside its key.
#[derive(Clone, Copy, Default)]
struct Beside<'a> {
    key_end: Option<&'a [u8]>,
    data: Option<&'a Data>,
    origin: Option<&'a Origin>,
    flags: u32,
}

pub(super) fn element_list(w: &mut Writer, set: &Name, shape: &Set, elements: &[(&Element, Option<&Data>)]) {
    w.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
    w.text(NFTA_SET_ELEM_LIST_SET, set.as_str());
    let list = w.nest(NFTA_SET_ELEM_LIST_ELEMENTS);
    for (element, data) in elements {
        let key = kernel_key(&shape.key, &element.first);
        let origin = shape.origins.get(*element).and_then(|origins| origins.first());
        let beside = Beside { data: *data, origin, ..Beside::default() };
        let last = || kernel_key(&shape.key, &element.last);
        match shape.ranges {
            Ranges::None => one_element(w, &key, beside),
            Ranges::OfFields => one_element(w, &key, Beside { key_end: Some(&last()), ..beside }),
            Ranges::OfKey => {
                one_element(w, &key, beside);
                // The end of a range is the first value behind it; a range to the top of the space has none.
                if let Some(end) = successor(&last()) {
                    one_element(w, &end, Beside { flags: NFT_SET_ELEM_INTERVAL_END, ..Beside::default() });
                }
            }
        }
    }
    w.unnest(list);
}

fn one_element(w: &mut Writer, key: &[u8], beside: Beside<'_>) {
    let element = w.nest(NFTA_LIST_ELEM);
    data(w, NFTA_SET_ELEM_KEY, key);
    if let Some(key_end) = beside.key_end {
        data(w, NFTA_SET_ELEM_KEY_END, key_end);
    }
    if beside.flags != 0 {
        w.u32(NFTA_SET_ELEM_FLAGS, beside.flags);
    }
    match beside.data {
        Some(Data::Verdict(verdict)) => {
            let nest = w.nest(NFTA_SET_ELEM_DATA);
            verdict_data(w, verdict);
            w.unnest(nest);
        }
        Some(Data::Class(class)) => {
            let mut bytes = [0; CLASS_DATA_LEN];
            bytes[CLASS_DATA_LEN - Field::Class.width()..].copy_from_slice(&class.0.to_be_bytes());
            data(w, NFTA_SET_ELEM_DATA, &bytes);
        }
        None => {}
    }
    if let Some(origin) = beside.origin {
        w.bytes(NFTA_SET_ELEM_USERDATA, &comment(NFTNL_UDATA_SET_ELEM_COMMENT, &origin.comment()));
    }
    w.unnest(element);
}

/// The next big-endian number, or `None` behind the last one.
fn successor(value: &[u8]) -> Option<Vec<u8>> {
    let mut next = value.to_vec();
    for byte in next.iter_mut().rev() {
        let (sum, overflows) = byte.overflowing_add(1);
        *byte = sum;
        if !overflows {
            return Some(next);
        }
    }
    None
}

/// The number before; the caller knows that there is one.
pub(crate) fn predecessor(value: &[u8]) -> Vec<u8> {
    let mut before = value.to_vec();
    for byte in before.iter_mut().rev() {
        let (difference, underflows) = byte.overflowing_sub(1);
        *byte = difference;
        if !underflows {
            break;
        }
    }
    before
}

pub(super) fn data(w: &mut Writer, kind: u16, value: &[u8]) {
    let nest = w.nest(kind);
    w.bytes(NFTA_DATA_VALUE, value);
    w.unnest(nest);
}
