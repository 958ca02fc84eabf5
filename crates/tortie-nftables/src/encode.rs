//! Operations as messages.

use tortie_rules::plan::Op;
use tortie_rules::ruleset::{BaseChain, End, Field, Hook, Match, Name, Rule, Set, Statement, TABLE, Verdict};

use self::set::{data, element_list, elements_per_list};
use crate::consts::*;
use crate::wire::Writer;

pub(crate) mod set;

pub(crate) use self::set::to_kernel;

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
                w.bytes(NFTA_RULE_USERDATA, &comment(NFTNL_UDATA_RULE_COMMENT, &rule.origin.comment()));
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
                self.message(index, NFT_MSG_NEWSET, NLM_F_CREATE | NLM_F_EXCL, |w| set::header(w, name, set, id));
            }
            Op::AddElements { set, shape, elements } => {
                let all: Vec<_> = elements.iter().map(|(element, data)| (element, data.as_ref())).collect();
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

/// The user data in which `nft` keeps the comment of a rule or an element: type, length, text with its zero.
fn comment(kind: u8, text: &str) -> Vec<u8> {
    let mut bytes = vec![kind, text.len() as u8 + 1];
    bytes.extend(text.as_bytes());
    bytes.push(0);
    bytes
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

pub(crate) fn expression(w: &mut Writer, name: &str, content: impl FnOnce(&mut Writer)) {
    let element = w.nest(NFTA_LIST_ELEM);
    named(w, name, content);
    w.unnest(element);
}

/// What an expression is made of.
fn named(w: &mut Writer, name: &str, content: impl FnOnce(&mut Writer)) {
    w.text(NFTA_EXPR_NAME, name);
    let nest = w.nest(NFTA_EXPR_DATA);
    content(w);
    w.unnest(nest);
}

fn counter(w: &mut Writer) {
    named(w, "counter", |w| {
        w.bytes(NFTA_COUNTER_BYTES, &0u64.to_be_bytes());
        w.bytes(NFTA_COUNTER_PACKETS, &0u64.to_be_bytes());
    });
}

pub(crate) fn expressions(w: &mut Writer, rule: &Rule) {
    let list = w.nest(NFTA_RULE_EXPRESSIONS);
    for criterion in &rule.matches {
        self::criterion(w, criterion);
    }
    for statement in &rule.statements {
        match statement {
            Statement::Counter => {
                let element = w.nest(NFTA_LIST_ELEM);
                counter(w);
                w.unnest(element);
            }
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
                load_all(w, key, NFT_REG32_00);
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
            load_all(w, key, NFT_REG32_00);
            look_up(w, map, NFT_REG32_00, NFT_REG_VERDICT);
        }
        End::Class { address, classes, other, key, map } => {
            let at = ClassRegisters::of(*address, other.is_some(), key);
            if at.address != at.class {
                expression(w, "payload", |w| cover(w, at.class));
            }
            // The padding of the class behind would hide the one before it, so it is looked up first.
            if let Some(other) = other {
                load(w, other.address, at.address);
                look_up(w, &other.classes, at.address, at.class + registers(Field::Class) - CLASS_PADDING);
            }
            load(w, *address, at.address);
            look_up(w, classes, at.address, at.class - CLASS_PADDING);
            load_all(w, key, at.key);
            look_up(w, map, at.class, NFT_REG_VERDICT);
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
            load_all(w, key, NFT_REG32_00);
            is_in(w, set, *invert);
        }
        Match::LookupMasked { field, mask, invert, set } => {
            load(w, *field, NFT_REG32_00);
            bitwise(w, *field, mask, &vec![0; field.width()]);
            is_in(w, set, *invert);
        }
    }
}

/// What lies in the first registers is in the set.
fn is_in(w: &mut Writer, set: &Name, invert: bool) {
    expression(w, "lookup", |w| {
        w.text(NFTA_LOOKUP_SET, set.as_str());
        w.u32(NFTA_LOOKUP_SREG, NFT_REG32_00);
        if invert {
            w.u32(NFTA_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
        }
    });
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

/// Registers before the class in what a map of classes holds.
pub(crate) const CLASS_PADDING: u32 = 1;

/// Where a rule that asks for a class keeps its values.
///
/// No version of `nft` (1.0.6 and 1.1.3 were tried) can list a rule in which what one map held begins the key of
/// the next lookup: it ends with a failed assertion (`netlink_parse_concat_expr`). So the key begins at a register that
/// `nft` takes for something else. What the map of classes holds begins one register earlier, and for `nft` is there only.
/// In the register of the class it sees what was loaded before, and believes that this is the whole key, because it is
/// as wide: an IPv6 address, or before an IPv4 address a part of the header that is overwritten at once ([`cover`]). Two
/// classes are as wide as the cover, and what else the key has is seen behind it as it is.
pub(crate) struct ClassRegisters {
    pub(crate) address: u32,
    pub(crate) class: u32,
    /// What the key has behind its classes.
    pub(crate) key: u32,
}

impl ClassRegisters {
    pub(crate) fn of(address: Field, is_pair: bool, key: &[Field]) -> Self {
        let class = NFT_REG32_00 + CLASS_PADDING;
        let behind = class + registers(Field::Class) * if is_pair { 2 } else { 1 };
        let key_end = behind + key.iter().map(|field| registers(*field)).sum::<u32>();
        let is_wide = registers(address) >= COVER_LEN / 4 && !is_pair;
        let address = if is_wide { class } else { key_end.max(class + COVER_LEN / 4) };
        Self { address, class, key: behind }
    }
}

/// Bytes of [`cover`].
pub(crate) const COVER_LEN: u32 = 16;

/// The last bytes of an IPv4 header without options (RFC 791 section 3.1): every packet has them.
pub(crate) const COVER_OFFSET: u32 = 4;

/// Something of any packet that is as wide as a key.
fn cover(w: &mut Writer, register: u32) {
    w.u32(NFTA_PAYLOAD_DREG, register);
    w.u32(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    w.u32(NFTA_PAYLOAD_OFFSET, COVER_OFFSET);
    w.u32(NFTA_PAYLOAD_LEN, COVER_LEN);
}

/// Looks a key up that begins at one register, and puts what is found into another.
pub(crate) fn look_up(w: &mut Writer, map: &Name, from: u32, to: u32) {
    expression(w, "lookup", |w| {
        w.text(NFTA_LOOKUP_SET, map.as_str());
        w.u32(NFTA_LOOKUP_SREG, from);
        w.u32(NFTA_LOOKUP_DREG, to);
    });
}

/// How many registers of 4 bytes a field takes.
pub(crate) fn registers(field: Field) -> u32 {
    field.width().div_ceil(4) as u32
}

/// Loads fields into consecutive registers.
fn load_all(w: &mut Writer, key: &[Field], first: u32) {
    let mut register = first;
    for field in key {
        load(w, *field, register);
        register += registers(*field);
    }
}

fn load(w: &mut Writer, field: Field, register: u32) {
    // A class is in no packet: only a lookup fills its register.
    let Some(source) = source_of(field) else { return };
    match source {
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

/// Header offsets in bytes: RFC 791 section 3.1, RFC 8200 section 3, RFC 792, RFC 4443 section 2.1. No packet has a class.
pub(crate) fn source_of(field: Field) -> Option<Source> {
    let network = |offset| Source::Payload { base: NFT_PAYLOAD_NETWORK_HEADER, offset };
    let transport = |offset| Source::Payload { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset };
    Some(match field {
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
        Field::Class => return None,
    })
}

/// Every field of packets, for reading back.
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
