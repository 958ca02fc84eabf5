//! Operations as messages.

use tortie_rules::plan::Op;
use tortie_rules::ruleset::{BaseChain, Element, End, Field, Hook, Match, Name, Rule, Set, Statement, TABLE, Verdict};

use crate::consts::*;
use crate::wire::Writer;

/// An element list stays below 64 KiB, the length of an attribute (K-10).
const ELEMENTS_LEN_MAX: usize = 60_000;

/// One transaction as bytes, and which operation each sequence number belongs to (K-11).
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    /// Where in `bytes` the end message begins.
    pub(crate) end: usize,
    /// Sequence number of the begin message.
    pub(crate) first: u32,
    /// Sequence number of the last operation's last message, the one that asks for an answer.
    pub(crate) last: u32,
    /// The operation of message `first + 1 + i`.
    pub(crate) ops: Vec<usize>,
}

impl Batch {
    /// Whether this is the number of one of its messages that are answered.
    pub(crate) fn holds(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) <= self.last.wrapping_sub(self.first)
    }
}

/// Encodes a transaction. With `generation` the kernel refuses it when anything changed since (K-13).
pub(crate) fn batch(ops: &[Op], generation: Option<u32>, first: u32) -> Batch {
    let total = ops.iter().map(messages_of).sum::<usize>();
    let mut encoder =
        Encoder { writer: Writer::default(), sequence: first, last: first + total as u32, ops: Vec::new() };
    let begin = encoder.writer.begin_raw(NFNL_MSG_BATCH_BEGIN, 0, first, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
    if let Some(generation) = generation {
        encoder.writer.u32(NFNL_BATCH_GENID, generation);
    }
    encoder.writer.end(begin);
    for (index, op) in ops.iter().enumerate() {
        encoder.op(index, op);
    }
    debug_assert_eq!(encoder.sequence, encoder.last);
    let last = encoder.sequence;
    let end = encoder.writer.len();
    let open = encoder.writer.begin_raw(NFNL_MSG_BATCH_END, 0, last + 1, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
    encoder.writer.end(open);
    Batch { bytes: encoder.writer.into_bytes(), end, first, last, ops: encoder.ops }
}

/// How many messages an operation takes.
fn messages_of(op: &Op) -> usize {
    match op {
        Op::DeleteTable => 2,
        Op::AddElements { shape, elements, .. } => chunks(shape, elements.len()),
        Op::DeleteElements { shape, elements, .. } => chunks(shape, elements.len()),
        _ => 1,
    }
}

/// Elements that fit into one list, by a generous bound on the length of one.
fn elements_per_list(shape: &Set) -> usize {
    // A key is at most 64 bytes, a chain name 127; with attribute headers, twice for an interval.
    let key = 24 + padded_len(&shape.key);
    let verdict = if shape.is_map { 160 } else { 0 };
    ELEMENTS_LEN_MAX / (2 * key + verdict)
}

fn chunks(shape: &Set, elements: usize) -> usize {
    elements.div_ceil(elements_per_list(shape))
}

struct Encoder {
    writer: Writer,
    sequence: u32,
    last: u32,
    ops: Vec<usize>,
}

impl Encoder {
    /// One message of operation `op`; only the last one of the batch asks for an answer (K-10).
    fn message(&mut self, op: usize, message: u16, flags: u16, content: impl FnOnce(&mut Writer)) {
        self.sequence += 1;
        self.ops.push(op);
        let ack = if self.sequence == self.last { NLM_F_ACK } else { 0 };
        let open = self.writer.begin(NFNL_SUBSYS_NFTABLES, message, flags | ack, self.sequence, NFPROTO_INET);
        content(&mut self.writer);
        self.writer.end(open);
    }

    fn op(&mut self, index: usize, op: &Op) {
        match op {
            Op::AddTable => self.message(index, NFT_MSG_NEWTABLE, NLM_F_CREATE, |w| w.text(NFTA_TABLE_NAME, TABLE)),
            Op::DeleteTable => {
                // Add, then delete: no error when it is not there, on every kernel (K-14).
                self.message(index, NFT_MSG_NEWTABLE, NLM_F_CREATE, |w| w.text(NFTA_TABLE_NAME, TABLE));
                self.message(index, NFT_MSG_DELTABLE, 0, |w| w.text(NFTA_TABLE_NAME, TABLE));
            }
            Op::AddChain { name, base } => self.message(index, NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, |w| {
                w.text(NFTA_CHAIN_TABLE, TABLE);
                w.text(NFTA_CHAIN_NAME, name.as_str());
                if let Some(base) = base {
                    base_chain(w, *base);
                }
            }),
            Op::AddRule { chain, rule } => self.message(index, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |w| {
                w.text(NFTA_RULE_TABLE, TABLE);
                w.text(NFTA_RULE_CHAIN, chain.as_str());
                expressions(w, rule);
                w.bytes(NFTA_RULE_USERDATA, &comment(&rule.origin.comment()));
            }),
            Op::FlushChain { name } => self.message(index, NFT_MSG_DELRULE, 0, |w| {
                w.text(NFTA_RULE_TABLE, TABLE);
                w.text(NFTA_RULE_CHAIN, name.as_str());
            }),
            Op::DeleteChain { name } => self.message(index, NFT_MSG_DELCHAIN, 0, |w| {
                w.text(NFTA_CHAIN_TABLE, TABLE);
                w.text(NFTA_CHAIN_NAME, name.as_str());
            }),
            Op::AddSet { name, set } => {
                let id = self.sequence + 1;
                self.message(index, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL, |w| set_header(w, name, set, id));
            }
            Op::AddElements { set, shape, elements } => {
                let all: Vec<_> = elements.iter().map(|(element, verdict)| (element, verdict.as_ref())).collect();
                for chunk in all.chunks(elements_per_list(shape)) {
                    // In a set with a timeout nobody knows what is still there.
                    let exclusive = if shape.timeout_s.is_none() { NLM_F_EXCL } else { 0 };
                    self.message(index, NFT_MSG_NEWSETELEM, NLM_F_CREATE | exclusive, |w| {
                        element_list(w, set, shape, chunk);
                    });
                }
            }
            Op::DeleteElements { set, shape, elements } => {
                let all: Vec<_> = elements.iter().map(|element| (element, None)).collect();
                for chunk in all.chunks(elements_per_list(shape)) {
                    self.message(index, NFT_MSG_DELSETELEM, 0, |w| element_list(w, set, shape, chunk));
                }
            }
            Op::DeleteSet { name } => self.message(index, NFT_MSG_DELSET, 0, |w| {
                w.text(NFTA_SET_TABLE, TABLE);
                w.text(NFTA_SET_NAME, name.as_str());
            }),
        }
    }
}

fn base_chain(w: &mut Writer, base: BaseChain) {
    let hook = w.nest(NFTA_CHAIN_HOOK);
    w.u32(NFTA_HOOK_HOOKNUM, hook_number(base.hook));
    w.bytes(NFTA_HOOK_PRIORITY, &base.priority.to_be_bytes());
    w.unnest(hook);
    w.u32(NFTA_CHAIN_POLICY, NF_ACCEPT as u32);
    w.text(NFTA_CHAIN_TYPE, "filter");
}

/// `enum nf_inet_hooks`.
pub(crate) fn hook_number(hook: Hook) -> u32 {
    match hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    }
}

/// The user data in which `nft` keeps a rule's comment: type, length, text with its zero.
fn comment(text: &str) -> Vec<u8> {
    let mut bytes = vec![NFTNL_UDATA_RULE_COMMENT, text.len() as u8 + 1];
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
}

/// Bytes of a key in registers: each field takes whole registers of 4 bytes.
pub(crate) fn padded_len(key: &[Field]) -> usize {
    key.iter().map(|field| field.width().next_multiple_of(4)).sum()
}

fn key_len(key: &[Field]) -> usize {
    match key {
        [field] => field.width(),
        _ => padded_len(key),
    }
}

/// Data types of `nft` (`enum datatypes` of its `datatype.h`), by which it prints keys.
fn data_type(field: Field) -> u32 {
    match field {
        Field::NfProto => 2,
        Field::SourceV4 | Field::DestinationV4 => 7,
        Field::SourceV6 | Field::DestinationV6 => 8,
        Field::L4Proto => 12,
        Field::SourcePort | Field::DestinationPort => 13,
        Field::Mark => 19,
        Field::CtState => 26,
        Field::CtStatus => 28,
        Field::IcmpType => 29,
        Field::IcmpCode => 33,
        Field::HopLimit => 4,
        Field::InInterface | Field::OutInterface => 41,
        // Never in a key; `boolean`.
        Field::ReversePathStrict | Field::ReversePathLoose => 45,
    }
}

/// The key field under which sets are made and read: both ends of a packet share them.
pub(crate) fn field_of_type(data_type: u32, len: usize) -> Option<Field> {
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

/// Types of a key, 6 bits each (`TYPE_BITS`).
fn key_type(key: &[Field]) -> u32 {
    key.iter().fold(0, |types, field| (types << 6) | data_type(*field))
}

/// The fields of a key type.
pub(crate) fn key_of_type(key_type: u32, len: usize) -> Option<Vec<Field>> {
    if key_type < 64 {
        return field_of_type(key_type, len).map(|field| vec![field]);
    }
    let mut types = Vec::new();
    let mut rest = key_type;
    while rest > 0 {
        types.push(rest & 63);
        rest >>= 6;
    }
    let all = [1usize, 2, 4, 16];
    types.into_iter().rev().map(|t| all.iter().find_map(|len| field_of_type(t, *len))).collect()
}

fn set_header(w: &mut Writer, name: &Name, set: &Set, id: u32) {
    let is_concatenated_interval = set.is_interval && set.key.len() > 1;
    let mut flags = 0;
    if set.is_interval {
        flags |= NFT_SET_INTERVAL;
    }
    if set.is_map {
        flags |= NFT_SET_MAP;
    }
    if is_concatenated_interval {
        flags |= NFT_SET_CONCAT;
    }
    if set.timeout_s.is_some() {
        flags |= NFT_SET_TIMEOUT | NFT_SET_EVAL;
    }
    w.text(NFTA_SET_TABLE, TABLE);
    w.text(NFTA_SET_NAME, name.as_str());
    w.u32(NFTA_SET_FLAGS, flags);
    w.u32(NFTA_SET_KEY_TYPE, key_type(&set.key));
    w.u32(NFTA_SET_KEY_LEN, key_len(&set.key) as u32);
    if set.is_map {
        w.u32(NFTA_SET_DATA_TYPE, NFT_DATA_VERDICT);
        w.u32(NFTA_SET_DATA_LEN, 0);
    }
    w.u32(NFTA_SET_ID, id);
    if let Some(timeout_s) = set.timeout_s {
        w.bytes(NFTA_SET_TIMEOUT, &(u64::from(timeout_s) * 1000).to_be_bytes());
    }
    if is_concatenated_interval {
        let desc = w.nest(NFTA_SET_DESC);
        let concat = w.nest(NFTA_SET_DESC_CONCAT);
        for field in &set.key {
            let element = w.nest(NFTA_LIST_ELEM);
            w.u32(NFTA_SET_FIELD_LEN, field.width() as u32);
            w.unnest(element);
        }
        w.unnest(concat);
        w.unnest(desc);
    }
    w.bytes(NFTA_SET_USERDATA, &set_user_data(set));
}

/// The byte order of the key: without it `nft` shows interface names as `""` (K-12).
fn set_user_data(set: &Set) -> Vec<u8> {
    const HOST: u32 = 1;
    const BIG: u32 = 2;
    let order = match set.key.as_slice() {
        [field] if field.is_host_endian() || field.width() == 16 && data_type(*field) == 41 => HOST,
        [_] => BIG,
        _ => 0,
    };
    let mut bytes = vec![NFTNL_UDATA_SET_KEYBYTEORDER, 4];
    bytes.extend(order.to_ne_bytes());
    bytes
}

/// A big-endian value of one field in the byte order of the kernel.
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

fn element_list(w: &mut Writer, set: &Name, shape: &Set, elements: &[(&Element, Option<&Verdict>)]) {
    w.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
    w.text(NFTA_SET_ELEM_LIST_SET, set.as_str());
    let list = w.nest(NFTA_SET_ELEM_LIST_ELEMENTS);
    for (element, verdict) in elements {
        let key = kernel_key(&shape.key, &element.first);
        let is_range = shape.is_interval;
        let key_end = (is_range && shape.key.len() > 1).then(|| kernel_key(&shape.key, &element.last));
        one_element(w, &key, key_end.as_deref(), *verdict, 0);
        if is_range && shape.key.len() == 1 {
            // The end of a range is the first value behind it; a range to the top of the space has none.
            if let Some(end) = successor(&element.last) {
                one_element(w, &kernel_key(&shape.key, &end), None, None, NFT_SET_ELEM_INTERVAL_END);
            }
        }
    }
    w.unnest(list);
}

fn one_element(w: &mut Writer, key: &[u8], key_end: Option<&[u8]>, verdict: Option<&Verdict>, flags: u32) {
    let element = w.nest(NFTA_LIST_ELEM);
    data(w, NFTA_SET_ELEM_KEY, key);
    if let Some(key_end) = key_end {
        data(w, NFTA_SET_ELEM_KEY_END, key_end);
    }
    if flags != 0 {
        w.u32(NFTA_SET_ELEM_FLAGS, flags);
    }
    if let Some(verdict) = verdict {
        let nest = w.nest(NFTA_SET_ELEM_DATA);
        verdict_data(w, verdict);
        w.unnest(nest);
    }
    w.unnest(element);
}

/// The next big-endian number, or `None` behind the last one.
pub(crate) fn successor(value: &[u8]) -> Option<Vec<u8>> {
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

fn data(w: &mut Writer, kind: u16, value: &[u8]) {
    let nest = w.nest(kind);
    w.bytes(NFTA_DATA_VALUE, value);
    w.unnest(nest);
}

fn verdict_data(w: &mut Writer, verdict: &Verdict) {
    let (code, chain) = match verdict {
        Verdict::Accept => (NF_ACCEPT, None),
        // A refusal with an answer is an expression of rules; in a map, where none of ours has it, it is a drop.
        Verdict::Drop | Verdict::Reject => (NF_DROP, None),
        Verdict::Return => (NFT_RETURN, None),
        Verdict::Jump(chain) => (NFT_JUMP, Some(chain)),
        Verdict::Goto(chain) => (NFT_GOTO, Some(chain)),
    };
    let nest = w.nest(NFTA_DATA_VERDICT);
    w.bytes(NFTA_VERDICT_CODE, &code.to_be_bytes());
    if let Some(chain) = chain {
        w.text(NFTA_VERDICT_CHAIN, chain.as_str());
    }
    w.unnest(nest);
}

fn expression(w: &mut Writer, name: &str, content: impl FnOnce(&mut Writer)) {
    let element = w.nest(NFTA_LIST_ELEM);
    w.text(NFTA_EXPR_NAME, name);
    let nest = w.nest(NFTA_EXPR_DATA);
    content(w);
    w.unnest(nest);
    w.unnest(element);
}

fn expressions(w: &mut Writer, rule: &Rule) {
    let list = w.nest(NFTA_RULE_EXPRESSIONS);
    for criterion in &rule.matches {
        self::criterion(w, criterion);
    }
    for statement in &rule.statements {
        match statement {
            Statement::Counter => expression(w, "counter", |w| {
                w.bytes(NFTA_COUNTER_BYTES, &0u64.to_be_bytes());
                w.bytes(NFTA_COUNTER_PACKETS, &0u64.to_be_bytes());
            }),
            Statement::Log { prefix } => expression(w, "log", |w| {
                w.text(NFTA_LOG_PREFIX, prefix);
                w.u32(NFTA_LOG_LEVEL, LOGLEVEL_INFO);
            }),
            Statement::Limit { packets, unit_s, burst } => expression(w, "limit", |w| {
                w.bytes(NFTA_LIMIT_RATE, &u64::from(*packets).to_be_bytes());
                w.bytes(NFTA_LIMIT_UNIT, &u64::from(*unit_s).to_be_bytes());
                w.u32(NFTA_LIMIT_BURST, *burst);
                w.u32(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS);
            }),
            Statement::SetMark { mask, value } => {
                let register = NFT_REG32_00;
                load(w, Field::Mark, register);
                bitwise(w, Field::Mark, &(!mask).to_be_bytes(), &value.to_be_bytes());
                expression(w, "meta", |w| {
                    w.u32(NFTA_META_KEY, NFT_META_MARK);
                    w.u32(NFTA_META_SREG, register);
                });
            }
            Statement::NoTrack => expression(w, "notrack", |_| {}),
            Statement::Refresh { key, set } => {
                load_all(w, key);
                // Without a timeout of its own it takes that of the set.
                expression(w, "dynset", |w| {
                    w.text(NFTA_DYNSET_SET_NAME, set.as_str());
                    w.u32(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
                    w.u32(NFTA_DYNSET_SREG_KEY, NFT_REG32_00);
                });
            }
        }
    }
    match &rule.end {
        End::Next => {}
        End::Verdict(Verdict::Reject) => expression(w, "reject", |w| {
            w.u32(NFTA_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
            w.bytes(NFTA_REJECT_ICMP_CODE, &[NFT_REJECT_ICMPX_PORT_UNREACH]);
        }),
        End::Verdict(verdict) => expression(w, "immediate", |w| {
            w.u32(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            let nest = w.nest(NFTA_IMMEDIATE_DATA);
            verdict_data(w, verdict);
            w.unnest(nest);
        }),
        End::Map { key, map } => {
            load_all(w, key);
            expression(w, "lookup", |w| {
                w.text(NFTA_LOOKUP_SET, map.as_str());
                w.u32(NFTA_LOOKUP_SREG, NFT_REG32_00);
                w.u32(NFTA_LOOKUP_DREG, NFT_REG_VERDICT);
            });
        }
    }
    w.unnest(list);
}

fn criterion(w: &mut Writer, criterion: &Match) {
    match criterion {
        Match::Equals { field, invert, value } => {
            load(w, *field, NFT_REG32_00);
            compare(w, *invert, &to_kernel(*field, value));
        }
        Match::Masked { field, mask, invert, value } => {
            load(w, *field, NFT_REG32_00);
            bitwise(w, *field, mask, &vec![0; field.width()]);
            compare(w, *invert, &to_kernel(*field, value));
        }
        Match::Range { field, invert, first, last } => {
            load(w, *field, NFT_REG32_00);
            expression(w, "range", |w| {
                w.u32(NFTA_RANGE_SREG, NFT_REG32_00);
                w.u32(NFTA_RANGE_OP, if *invert { NFT_RANGE_NEQ } else { NFT_RANGE_EQ });
                data(w, NFTA_RANGE_FROM_DATA, first);
                data(w, NFTA_RANGE_TO_DATA, last);
            });
        }
        Match::Lookup { key, invert, set } => {
            load_all(w, key);
            expression(w, "lookup", |w| {
                w.text(NFTA_LOOKUP_SET, set.as_str());
                w.u32(NFTA_LOOKUP_SREG, NFT_REG32_00);
                if *invert {
                    w.u32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
                }
            });
        }
    }
}

/// The first register becomes `(register & mask) ^ xor`; both are big-endian values of `field`.
fn bitwise(w: &mut Writer, field: Field, mask: &[u8], xor: &[u8]) {
    expression(w, "bitwise", |w| {
        w.u32(NFTA_BITWISE_SREG, NFT_REG32_00);
        w.u32(NFTA_BITWISE_DREG, NFT_REG32_00);
        w.u32(NFTA_BITWISE_LEN, field.width() as u32);
        data(w, NFTA_BITWISE_MASK, &to_kernel(field, mask));
        data(w, NFTA_BITWISE_XOR, &to_kernel(field, xor));
    });
}

fn compare(w: &mut Writer, invert: bool, value: &[u8]) {
    expression(w, "cmp", |w| {
        w.u32(NFTA_CMP_SREG, NFT_REG32_00);
        w.u32(NFTA_CMP_OP, if invert { NFT_CMP_NEQ } else { NFT_CMP_EQ });
        data(w, NFTA_CMP_DATA, value);
    });
}

/// Loads fields into consecutive registers.
fn load_all(w: &mut Writer, key: &[Field]) {
    let mut register = NFT_REG32_00;
    for field in key {
        load(w, *field, register);
        register += field.width().div_ceil(4) as u32;
    }
}

fn load(w: &mut Writer, field: Field, register: u32) {
    match source_of(field) {
        Source::Meta(key) => expression(w, "meta", |w| {
            w.u32(NFTA_META_DREG, register);
            w.u32(NFTA_META_KEY, key);
        }),
        Source::Ct(key) => expression(w, "ct", |w| {
            w.u32(NFTA_CT_DREG, register);
            w.u32(NFTA_CT_KEY, key);
        }),
        Source::Fib(flags) => expression(w, "fib", |w| {
            w.u32(NFTA_FIB_DREG, register);
            w.u32(NFTA_FIB_RESULT, NFT_FIB_RESULT_OIF);
            w.u32(NFTA_FIB_FLAGS, flags);
        }),
        Source::Payload { base, offset } => expression(w, "payload", |w| {
            w.u32(NFTA_PAYLOAD_DREG, register);
            w.u32(NFTA_PAYLOAD_BASE, base);
            w.u32(NFTA_PAYLOAD_OFFSET, offset);
            w.u32(NFTA_PAYLOAD_LEN, field.width() as u32);
        }),
    }
}

/// Where the kernel takes a field from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Meta(u32),
    Ct(u32),
    /// The flags of a look into the routes.
    Fib(u32),
    Payload {
        base: u32,
        offset: u32,
    },
}

/// Header offsets in bytes: RFC 791 section 3.1, RFC 8200 section 3, RFC 792, RFC 4443 section 2.1.
pub(crate) fn source_of(field: Field) -> Source {
    let network = |offset| Source::Payload { base: NFT_PAYLOAD_NETWORK_HEADER, offset };
    let transport = |offset| Source::Payload { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset };
    match field {
        Field::InInterface => Source::Meta(NFT_META_IIFNAME),
        Field::OutInterface => Source::Meta(NFT_META_OIFNAME),
        Field::NfProto => Source::Meta(NFT_META_NFPROTO),
        Field::L4Proto => Source::Meta(NFT_META_L4PROTO),
        Field::Mark => Source::Meta(NFT_META_MARK),
        Field::CtState => Source::Ct(NFT_CT_STATE),
        Field::CtStatus => Source::Ct(NFT_CT_STATUS),
        Field::ReversePathStrict => Source::Fib(NFTA_FIB_F_SADDR | NFTA_FIB_F_IIF | NFTA_FIB_F_PRESENT),
        Field::ReversePathLoose => Source::Fib(NFTA_FIB_F_SADDR | NFTA_FIB_F_PRESENT),
        Field::SourceV4 => network(12),
        Field::DestinationV4 => network(16),
        Field::SourceV6 => network(8),
        Field::DestinationV6 => network(24),
        Field::HopLimit => network(7),
        Field::SourcePort | Field::IcmpType => transport(0),
        Field::DestinationPort => transport(2),
        Field::IcmpCode => transport(1),
    }
}

/// Every field, for reading back.
pub(crate) const FIELDS: [Field; 18] = [
    Field::InInterface,
    Field::OutInterface,
    Field::NfProto,
    Field::L4Proto,
    Field::SourceV4,
    Field::DestinationV4,
    Field::SourceV6,
    Field::DestinationV6,
    Field::SourcePort,
    Field::DestinationPort,
    Field::IcmpType,
    Field::IcmpCode,
    Field::HopLimit,
    Field::CtState,
    Field::CtStatus,
    Field::Mark,
    Field::ReversePathStrict,
    Field::ReversePathLoose,
];
