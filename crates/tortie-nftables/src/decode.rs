//! What the kernel says of chains, rules and sets, as the types of a ruleset.
//!
//! Only what [`crate::encode`] writes is understood. Everything else comes from foreign hands and is an error here; the
//! reader makes of it a rule that equals none of ours, so that the next plan replaces it.

use std::collections::BTreeMap;

use tortie_rules::ruleset::{BaseChain, Element, End, Field, Hook, Match, Name, Origin, Rule, Set, Statement, Verdict};

use crate::consts::*;
use crate::encode::{FIELDS, Source, key_of_type, padded_len, predecessor, source_of, to_kernel};
use crate::wire::Attributes;

/// Something in our table that this version never writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is none that this version makes")]
pub struct DecodeError {
    what: String,
}

fn odd(what: impl Into<String>) -> DecodeError {
    DecodeError { what: what.into() }
}

/// Packets and bytes that a rule has counted.
pub(crate) type Counted = Option<(u64, u64)>;

pub(crate) fn base_chain(attributes: Attributes<'_>) -> Result<Option<BaseChain>, DecodeError> {
    let Some(hook) = attributes.nested(NFTA_CHAIN_HOOK) else { return Ok(None) };
    let number = hook.u32(NFTA_HOOK_HOOKNUM).ok_or_else(|| odd("a chain without hook"))?;
    let priority = hook.u32(NFTA_HOOK_PRIORITY).ok_or_else(|| odd("a chain without priority"))?.cast_signed();
    let hook = hook_of(number).ok_or_else(|| odd(format!("hook {number}")))?;
    // E-401: ours drop by rules only.
    if attributes.u32(NFTA_CHAIN_POLICY).is_some_and(|policy| policy != NF_ACCEPT as u32) {
        return Err(odd("a chain with a policy other than accept"));
    }
    if attributes.text(NFTA_CHAIN_TYPE).is_some_and(|kind| kind != "filter") {
        return Err(odd("a chain of another type than filter"));
    }
    Ok(Some(BaseChain { hook, priority }))
}

pub(crate) fn hook_of(number: u32) -> Option<Hook> {
    [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting].get(number as usize).copied()
}

/// One rule, and what its counter shows.
pub(crate) fn rule(attributes: Attributes<'_>) -> Result<(Rule, Counted), DecodeError> {
    let mut reader = RuleReader::default();
    for (_, element) in attributes.nested(NFTA_RULE_EXPRESSIONS).ok_or_else(|| odd("an empty rule"))? {
        let element = Attributes(element);
        let name = element.text(NFTA_EXPR_NAME).ok_or_else(|| odd("an expression without name"))?;
        let data = element.nested(NFTA_EXPR_DATA).unwrap_or(Attributes(&[]));
        reader.expression(name, data)?;
    }
    // Each of ours has one, so this equals none of them; but what it does is known.
    let comment = attributes.find(NFTA_RULE_USERDATA).and_then(comment).unwrap_or("not ours: a rule without comment");
    let rule = Rule {
        matches: reader.matches,
        statements: reader.statements,
        end: reader.end.unwrap_or(End::Next),
        origin: Origin::Comment(comment.into()),
    };
    Ok((rule, reader.counted))
}

/// A rule that equals none of ours.
pub(crate) fn foreign_rule(error: &DecodeError) -> Rule {
    let origin = Origin::Unread(error.to_string().into());
    Rule { matches: Vec::new(), statements: Vec::new(), end: End::Next, origin }
}

fn comment(user_data: &[u8]) -> Option<&str> {
    let mut rest = user_data;
    while let [kind, len, ..] = *rest {
        let value = rest.get(2..2 + usize::from(len))?;
        if kind == NFTNL_UDATA_RULE_COMMENT {
            return std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok();
        }
        rest = &rest[2 + usize::from(len)..];
    }
    None
}

#[derive(Default)]
struct RuleReader {
    /// What each 4-byte register was last loaded with, at the first register of a field.
    loaded: BTreeMap<u32, Loaded>,
    matches: Vec<Match>,
    statements: Vec<Statement>,
    end: Option<End>,
    counted: Counted,
}

#[derive(Clone)]
struct Loaded {
    field: Field,
    mask: Option<Vec<u8>>,
    /// What was set after masking: only for what becomes a mark.
    xor: Option<Vec<u8>>,
}

impl RuleReader {
    fn expression(&mut self, name: &str, data: Attributes<'_>) -> Result<(), DecodeError> {
        if self.end.is_some() {
            return Err(odd("an expression behind the verdict"));
        }
        match name {
            "meta" if data.find(NFTA_META_SREG).is_some() => self.set_meta(data),
            "meta" => self.load(data.u32(NFTA_META_DREG), data.u32(NFTA_META_KEY).map(Source::Meta), None),
            "ct" => self.load(data.u32(NFTA_CT_DREG), data.u32(NFTA_CT_KEY).map(Source::Ct), None),
            "fib" => {
                let flags = data.u32(NFTA_FIB_FLAGS).filter(|_| data.u32(NFTA_FIB_RESULT) == Some(NFT_FIB_RESULT_OIF));
                self.load(data.u32(NFTA_FIB_DREG), flags.map(Source::Fib), None)
            }
            "payload" => {
                let base = data.u32(NFTA_PAYLOAD_BASE);
                let source =
                    base.zip(data.u32(NFTA_PAYLOAD_OFFSET)).map(|(base, offset)| Source::Payload { base, offset });
                self.load(data.u32(NFTA_PAYLOAD_DREG), source, data.u32(NFTA_PAYLOAD_LEN))
            }
            "bitwise" => self.bitwise(data),
            "cmp" => self.compare(data),
            "range" => self.range(data),
            "lookup" => self.lookup(data),
            "immediate" => {
                let verdict = data.nested(NFTA_IMMEDIATE_DATA).ok_or_else(|| odd("an immediate value"))?;
                self.end = Some(End::Verdict(self::verdict(verdict)?));
                Ok(())
            }
            "counter" => {
                self.counted = data.u64(NFTA_COUNTER_PACKETS).zip(data.u64(NFTA_COUNTER_BYTES));
                self.statements.push(Statement::Counter);
                Ok(())
            }
            "log" => {
                let prefix = data.text(NFTA_LOG_PREFIX).unwrap_or_default().to_owned();
                if data.u32(NFTA_LOG_LEVEL) != Some(LOGLEVEL_INFO) {
                    return Err(odd("a log expression"));
                }
                self.statements.push(Statement::Log { prefix });
                Ok(())
            }
            "limit" => self.limit(data),
            "notrack" => {
                self.statements.push(Statement::NoTrack);
                Ok(())
            }
            "reject" => {
                let code = data.find(NFTA_REJECT_ICMP_CODE);
                if data.u32(NFTA_REJECT_TYPE) != Some(NFT_REJECT_ICMPX_UNREACH)
                    || code != Some(&[NFT_REJECT_ICMPX_PORT_UNREACH])
                {
                    return Err(odd("a reject expression"));
                }
                self.end = Some(End::Verdict(Verdict::Reject));
                Ok(())
            }
            "dynset" => self.refresh(data),
            other => Err(odd(format!("expression `{other}`"))),
        }
    }

    fn load(&mut self, register: Option<u32>, source: Option<Source>, len: Option<u32>) -> Result<(), DecodeError> {
        let (register, source) = register.zip(source).ok_or_else(|| odd("a load"))?;
        let field = FIELDS
            .into_iter()
            .find(|field| source_of(*field) == source && len.is_none_or(|len| len as usize == field.width()))
            .ok_or_else(|| odd("a loaded field"))?;
        self.loaded.insert(register_32(register), Loaded { field, mask: None, xor: None });
        Ok(())
    }

    fn at(&self, register: Option<u32>) -> Result<&Loaded, DecodeError> {
        register.and_then(|register| self.loaded.get(&register_32(register))).ok_or_else(|| odd("a register"))
    }

    fn bitwise(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let register = data.u32(NFTA_BITWISE_SREG);
        let field = self.at(register)?.field;
        let mask = value(data, NFTA_BITWISE_MASK)?;
        let xor = value(data, NFTA_BITWISE_XOR)?;
        if register != data.u32(NFTA_BITWISE_DREG) || mask.len() != field.width() || xor.len() != field.width() {
            return Err(odd("a bitwise expression"));
        }
        let mask = to_kernel(field, mask);
        let xor = xor.iter().any(|byte| *byte != 0).then(|| to_kernel(field, xor));
        self.loaded.insert(register_32(register.unwrap_or_default()), Loaded { field, mask: Some(mask), xor });
        Ok(())
    }

    /// `meta mark set mark & mask ^ xor`, where `mask` and `xor` have no bit in common.
    fn set_meta(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let loaded = self.at(data.u32(NFTA_META_SREG))?.clone();
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).map_err(|_| odd("a mark"));
        let kept = number(&loaded.mask.ok_or_else(|| odd("a mark"))?)?;
        let value = loaded.xor.map_or(Ok(0), |xor| number(&xor))?;
        if data.u32(NFTA_META_KEY) != Some(NFT_META_MARK) || loaded.field != Field::Mark || kept & value != 0 {
            return Err(odd("a mark"));
        }
        self.statements.push(Statement::SetMark { mask: !kept, value });
        Ok(())
    }

    fn limit(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let number =
            |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok()).ok_or_else(|| odd("a limit"));
        let packets = number(data.u64(NFTA_LIMIT_RATE))?;
        let unit_s = number(data.u64(NFTA_LIMIT_UNIT))?;
        let burst = data.u32(NFTA_LIMIT_BURST).ok_or_else(|| odd("a limit"))?;
        if data.u32(NFTA_LIMIT_TYPE) != Some(NFT_LIMIT_PKTS) || data.u32(NFTA_LIMIT_FLAGS).unwrap_or(0) != 0 {
            return Err(odd("a limit"));
        }
        self.statements.push(Statement::Limit { packets, unit_s, burst });
        Ok(())
    }

    fn compare(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let loaded = self.at(data.u32(NFTA_CMP_SREG))?.clone();
        let invert = match data.u32(NFTA_CMP_OP) {
            Some(NFT_CMP_EQ) => false,
            Some(NFT_CMP_NEQ) => true,
            _ => return Err(odd("a comparison")),
        };
        if loaded.xor.is_some() {
            return Err(odd("a comparison"));
        }
        let value = to_kernel(loaded.field, value(data, NFTA_CMP_DATA)?);
        let field = loaded.field;
        self.matches.push(match loaded.mask {
            None => Match::Equals { field, invert, value },
            Some(mask) => Match::Masked { field, mask, invert, value },
        });
        Ok(())
    }

    fn range(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let field = self.at(data.u32(NFTA_RANGE_SREG))?.field;
        let invert = match data.u32(NFTA_RANGE_OP) {
            Some(NFT_RANGE_EQ) => false,
            Some(NFT_RANGE_NEQ) => true,
            _ => return Err(odd("a range")),
        };
        let first = value(data, NFTA_RANGE_FROM_DATA)?.to_vec();
        let last = value(data, NFTA_RANGE_TO_DATA)?.to_vec();
        self.matches.push(Match::Range { field, invert, first, last });
        Ok(())
    }

    fn lookup(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let set = Name::new(data.text(NFTA_LOOKUP_SET).ok_or_else(|| odd("a lookup"))?);
        let key = self.key(data.u32(NFTA_LOOKUP_SREG)).ok_or_else(|| odd("a lookup"))?;
        match data.u32(NFTA_LOOKUP_DREG) {
            None => {
                let invert = data.u32(NFTA_LOOKUP_FLAGS).unwrap_or(0) & NFT_LOOKUP_F_INV != 0;
                self.matches.push(Match::Lookup { key, invert, set });
            }
            Some(NFT_REG_VERDICT) => self.end = Some(End::Map { key, map: set }),
            Some(_) => return Err(odd("a map")),
        }
        Ok(())
    }
}

impl RuleReader {
    /// The fields of a key that begins at a register.
    fn key(&mut self, register: Option<u32>) -> Option<Vec<Field>> {
        let mut register = register_32(register?);
        let mut key = Vec::new();
        while let Some(loaded) = self.loaded.remove(&register) {
            key.push(loaded.field);
            register += loaded.field.width().div_ceil(4) as u32;
        }
        // The registers are loaded anew for each criterion, so what lies behind the key is left over.
        self.loaded.clear();
        (!key.is_empty()).then_some(key)
    }

    fn refresh(&mut self, data: Attributes<'_>) -> Result<(), DecodeError> {
        let more = [NFTA_DYNSET_SREG_DATA, NFTA_DYNSET_EXPR, NFTA_DYNSET_EXPRESSIONS];
        let has_more = more.into_iter().any(|kind| data.find(kind).is_some())
            || data.u64(NFTA_DYNSET_TIMEOUT).is_some_and(|ms| ms != 0)
            || data.u32(NFTA_DYNSET_FLAGS).is_some_and(|flags| flags != 0);
        if has_more || data.u32(NFTA_DYNSET_OP) != Some(NFT_DYNSET_OP_UPDATE) {
            return Err(odd("an update of a set"));
        }
        let set = Name::new(data.text(NFTA_DYNSET_SET_NAME).ok_or_else(|| odd("an update of a set"))?);
        let key = self.key(data.u32(NFTA_DYNSET_SREG_KEY)).ok_or_else(|| odd("an update of a set"))?;
        self.statements.push(Statement::Refresh { key, set });
        Ok(())
    }
}

/// The kernel may name the first register of a 16-byte one by its old number.
fn register_32(register: u32) -> u32 {
    match register {
        NFT_REG_1..=NFT_REG_4 => NFT_REG32_00 + (register - NFT_REG_1) * 4,
        other => other.min(NFT_REG32_00 + NFT_REG32_COUNT),
    }
}

fn value<'a>(data: Attributes<'a>, kind: u16) -> Result<&'a [u8], DecodeError> {
    data.nested(kind).and_then(|nest| nest.find(NFTA_DATA_VALUE)).ok_or_else(|| odd("a value"))
}

fn verdict(data: Attributes<'_>) -> Result<Verdict, DecodeError> {
    let nest = data.nested(NFTA_DATA_VERDICT).ok_or_else(|| odd("a verdict"))?;
    let chain = || nest.text(NFTA_VERDICT_CHAIN).map(Name::new).ok_or_else(|| odd("a jump"));
    match nest.u32(NFTA_VERDICT_CODE).map(u32::cast_signed) {
        Some(NF_ACCEPT) => Ok(Verdict::Accept),
        Some(NF_DROP) => Ok(Verdict::Drop),
        Some(NFT_RETURN) => Ok(Verdict::Return),
        Some(NFT_JUMP) => Ok(Verdict::Jump(chain()?)),
        Some(NFT_GOTO) => Ok(Verdict::Goto(chain()?)),
        _ => Err(odd("a verdict")),
    }
}

/// A set without its elements.
pub(crate) fn set(attributes: Attributes<'_>) -> Result<Set, DecodeError> {
    let name = attributes.text(NFTA_SET_NAME).unwrap_or_default();
    let flags = attributes.u32(NFTA_SET_FLAGS).unwrap_or(0);
    let key_len = attributes.u32(NFTA_SET_KEY_LEN).unwrap_or(0) as usize;
    let key = attributes.u32(NFTA_SET_KEY_TYPE).and_then(|types| key_of_type(types, key_len));
    let key = key.ok_or_else(|| odd(format!("the key of set `{name}`")))?;
    if [NFTA_SET_EXPR, NFTA_SET_EXPRESSIONS].into_iter().any(|kind| attributes.find(kind).is_some()) {
        return Err(odd(format!("set `{name}` with expressions")));
    }
    let timeout_flags = NFT_SET_TIMEOUT | NFT_SET_EVAL;
    if flags & !(NFT_SET_INTERVAL | NFT_SET_MAP | NFT_SET_CONCAT | timeout_flags) != 0 {
        return Err(odd(format!("set `{name}`")));
    }
    let timeout_s = match (flags & timeout_flags, attributes.u64(NFTA_SET_TIMEOUT)) {
        (0, None) => None,
        (both, Some(ms)) if both == timeout_flags && ms % 1000 == 0 => u32::try_from(ms / 1000).ok(),
        _ => return Err(odd(format!("set `{name}`"))),
    };
    Ok(Set {
        key,
        is_interval: flags & NFT_SET_INTERVAL != 0,
        is_map: flags & NFT_SET_MAP != 0,
        is_constant: name.starts_with("k/"),
        timeout_s,
        elements: BTreeMap::new(),
    })
}

/// One element as the kernel lists it.
pub(crate) struct RawElement {
    key: Vec<u8>,
    key_end: Option<Vec<u8>>,
    verdict: Option<Verdict>,
    is_end: bool,
}

pub(crate) fn raw_element(attributes: Attributes<'_>, set: &Set) -> Result<RawElement, DecodeError> {
    let flags = attributes.u32(NFTA_SET_ELEM_FLAGS).unwrap_or(0);
    if flags & NFT_SET_ELEM_CATCHALL != 0 {
        return Err(odd("a catch-all element"));
    }
    // A limit there would take the match away.
    if [NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_EXPRESSIONS].into_iter().any(|kind| attributes.find(kind).is_some()) {
        return Err(odd("an element with an expression"));
    }
    let key = plain_key(&set.key, value(attributes, NFTA_SET_ELEM_KEY)?)?;
    let key_end = match attributes.nested(NFTA_SET_ELEM_KEY_END) {
        Some(nest) => Some(plain_key(&set.key, nest.find(NFTA_DATA_VALUE).ok_or_else(|| odd("an element"))?)?),
        None => None,
    };
    let is_end = flags & NFT_SET_ELEM_INTERVAL_END != 0;
    let verdict = match attributes.nested(NFTA_SET_ELEM_DATA) {
        Some(data) if set.is_map && !is_end => Some(self::verdict(data)?),
        _ => None,
    };
    Ok(RawElement { key, key_end, verdict, is_end })
}

/// A key of the kernel without padding, big-endian.
fn plain_key(key: &[Field], bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let expected = if key.len() == 1 { key[0].width() } else { padded_len(key) };
    if bytes.len() != expected {
        return Err(odd("an element's key"));
    }
    let mut plain = Vec::new();
    let mut from = 0;
    for field in key {
        plain.extend(to_kernel(*field, &bytes[from..from + field.width()]));
        from += field.width().next_multiple_of(4);
    }
    Ok(plain)
}

/// Elements of a set from what the kernel lists, in whatever order.
pub(crate) fn elements(set: &Set, mut raw: Vec<RawElement>) -> BTreeMap<Element, Option<Verdict>> {
    if !set.is_interval || set.key.len() > 1 {
        let element = |raw: RawElement| {
            let last = raw.key_end.unwrap_or_else(|| raw.key.clone());
            (Element::range(raw.key, last), raw.verdict)
        };
        return raw.into_iter().map(element).collect();
    }
    // An end at the key of the next start belongs to the range before.
    raw.sort_by(|a, b| (&a.key, !a.is_end).cmp(&(&b.key, !b.is_end)));
    let mut elements = BTreeMap::new();
    let mut open: Option<RawElement> = None;
    let top = vec![0xff; set.key[0].width()];
    for next in raw {
        if let Some(start) = open.take() {
            elements.insert(Element::range(start.key, predecessor(&next.key)), start.verdict);
        }
        if !next.is_end {
            open = Some(next);
        }
    }
    if let Some(start) = open {
        elements.insert(Element::range(start.key, top), start.verdict);
    }
    elements
}
