//! What the kernel says of chains, rules and sets, as the types of a ruleset.
//!
//! Only what [`crate::encode`] writes is understood. Everything else comes from foreign hands and is an error here; the
//! reader makes of it a rule that equals none of ours, so that the next plan replaces it.

use std::collections::BTreeMap;

use tortie_rules::ruleset::{BaseChain, ClassOf, End, Field, Hook, Match, Name, Origin, Rule, Statement, Verdict};

use crate::consts::*;
use crate::encode::{CLASS_PADDING, COVER_LEN, COVER_OFFSET, FIELDS, Source, registers, source_of, to_kernel};
use crate::wire::Attributes;

mod set;
#[cfg(test)]
mod tests;

pub(crate) use self::set::{Elements, RawElement, elements, raw_element, set};

/// Something in our table that this version never writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is none that this version makes")]
pub struct DecodeError {
    what: String,
}

fn odd(what: impl Into<String>) -> DecodeError {
    DecodeError { what: what.into() }
}

/// Packets and bytes that a rule or an element has counted.
pub(crate) type Counted = Option<(u64, u64)>;

/// What a counter shows.
fn counted(data: Attributes<'_>) -> Counted {
    data.u64(NFTA_COUNTER_PACKETS).zip(data.u64(NFTA_COUNTER_BYTES))
}

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
    if reader.class.is_some() || reader.other.is_some() || reader.cover.is_some() {
        return Err(odd("a class that no map is asked with"));
    }
    // Each of ours has one, so this equals none of them; but what it does is known.
    let comment = attributes.find(NFTA_RULE_USERDATA).and_then(|bytes| comment(bytes, NFTNL_UDATA_RULE_COMMENT));
    let comment = comment.unwrap_or("not ours: a rule without comment");
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

/// The comment in user data of `nft`, which ends it with a zero.
fn comment(user_data: &[u8], wanted: u8) -> Option<&str> {
    let mut rest = user_data;
    while let [kind, len, ..] = *rest {
        let value = rest.get(2..2 + usize::from(len))?;
        if kind == wanted {
            return std::str::from_utf8(value.strip_suffix(&[0])?).ok();
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
    /// The address whose class was looked up, and where. The next thing is the map under that class.
    class: Option<ClassOf>,
    /// The same of the other end, where both are asked. The next thing is the class of the first.
    other: Option<ClassOf>,
    /// Where a register is made ready for a class.
    cover: Option<u32>,
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
        let is_key = matches!(name, "ct" | "fib" | "payload" | "lookup")
            || name == "meta" && data.find(NFTA_META_SREG).is_none();
        if (self.class.is_some() || self.other.is_some()) && (!is_key || name == "payload" && is_cover(data)) {
            return Err(odd("an expression behind a class"));
        }
        match name {
            "meta" if data.find(NFTA_META_SREG).is_some() => self.set_meta(data),
            "meta" => self.load(data.u32(NFTA_META_DREG), data.u32(NFTA_META_KEY).map(Source::Meta), None),
            "ct" => self.load(data.u32(NFTA_CT_DREG), data.u32(NFTA_CT_KEY).map(Source::Ct), None),
            "fib" => {
                let flags = data.u32(NFTA_FIB_FLAGS).filter(|_| data.u32(NFTA_FIB_RESULT) == Some(NFT_FIB_RESULT_OIF));
                self.load(data.u32(NFTA_FIB_DREG), flags.map(Source::Fib), None)
            }
            "payload" if is_cover(data) => {
                let first = data.u32(NFTA_PAYLOAD_DREG).map(register_32).ok_or_else(|| odd("a load"))?;
                self.clear(first, first + COVER_LEN / 4);
                self.cover = Some(first);
                Ok(())
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
                self.counted = counted(data);
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
            .find(|field| source_of(*field) == Some(source) && len.is_none_or(|len| len as usize == field.width()))
            .ok_or_else(|| odd("a loaded field"))?;
        self.put(register, field);
        Ok(())
    }

    /// A field is in a register now, and nothing else that lay there.
    fn put(&mut self, register: u32, field: Field) {
        let first = register_32(register);
        self.clear(first, first + registers(field));
        self.loaded.insert(first, Loaded { field, mask: None, xor: None });
    }

    /// What lay in these registers is there no more.
    fn clear(&mut self, first: u32, end: u32) {
        self.loaded.retain(|at, loaded| at + registers(loaded.field) <= first || end <= *at);
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
        let from = data.u32(NFTA_LOOKUP_SREG).ok_or_else(|| odd("a lookup"))?;
        let other_class = self.other.as_ref().and(self.cover).map(|class| class + registers(Field::Class));
        let has_other_class = other_class.is_some_and(|at| self.loaded.get(&at).is_some_and(Loaded::is_class));
        let is_asked_alone = self.class.is_none() && self.other.is_none() && data.u32(NFTA_LOOKUP_DREG).is_none();
        if let Some((field, mask)) = self.masked_at(from).filter(|_| is_asked_alone) {
            let invert = is_inverted(data);
            self.loaded.clear();
            self.matches.push(Match::LookupMasked { field, mask, invert, set });
            return Ok(());
        }
        let key = self.key(Some(from)).ok_or_else(|| odd("a lookup"))?;
        match (data.u32(NFTA_LOOKUP_DREG), key.as_slice(), self.class.take()) {
            (Some(NFT_REG_VERDICT), [Field::Class, rest @ ..], Some(ClassOf { address, classes })) => {
                let (other, key) = match (self.other.take(), rest) {
                    (Some(other), [Field::Class, rest @ ..]) => (Some(other), rest.to_vec()),
                    (None, rest) => (None, rest.to_vec()),
                    (Some(_), _) => return Err(odd("a lookup of one class of two")),
                };
                self.end = Some(End::Class { address, classes, other, key, map: set });
            }
            (_, _, Some(_)) => return Err(odd("a lookup behind a class")),
            (_, _, None) if self.other.is_some() && !has_other_class => return Err(odd("a lookup behind a class")),
            (None, _, None) if self.other.is_none() => {
                let invert = is_inverted(data);
                self.matches.push(Match::Lookup { key, invert, set });
            }
            (Some(NFT_REG_VERDICT), _, None) if self.other.is_none() => self.end = Some(End::Map { key, map: set }),
            (Some(register), [address], None) if register != NFT_REG_VERDICT => {
                let found = ClassOf { address: *address, classes: set };
                self.class_at(register_32(register) + CLASS_PADDING, register_32(from), found)?;
            }
            (_, _, None) => return Err(odd("a map")),
        }
        Ok(())
    }

    /// A field of which some bits alone are left in a register.
    fn masked_at(&self, register: u32) -> Option<(Field, Vec<u8>)> {
        let loaded = self.loaded.get(&register_32(register)).filter(|loaded| loaded.xor.is_none())?;
        Some((loaded.field, loaded.mask.clone()?))
    }

    /// The class of an address whose value lay at `from` is in a register now.
    fn class_at(&mut self, register: u32, from: u32, found: ClassOf) -> Result<(), DecodeError> {
        let behind = |class: u32| class + registers(Field::Class);
        match self.cover {
            Some(class) if self.other.is_none() && register == behind(class) => self.other = Some(found),
            Some(class) if register == class => {
                self.cover = None;
                if self.other.is_some() {
                    self.put(behind(class), Field::Class);
                }
                self.class = Some(found);
            }
            None if register == from => self.class = Some(found),
            _ => return Err(odd("a class")),
        }
        self.put(register, Field::Class);
        Ok(())
    }
}

impl Loaded {
    fn is_class(&self) -> bool {
        self.field == Field::Class
    }
}

impl RuleReader {
    /// The fields of a key that begins at a register.
    fn key(&mut self, register: Option<u32>) -> Option<Vec<Field>> {
        let mut register = register_32(register?);
        let mut key = Vec::new();
        let classes = if self.class.is_some() { 1 + usize::from(self.other.is_some()) } else { 0 };
        while let Some(loaded) = self.loaded.remove(&register) {
            if loaded.mask.is_some() || loaded.is_class() != (key.len() < classes) {
                return None;
            }
            key.push(loaded.field);
            register += registers(loaded.field);
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

fn is_inverted(lookup: Attributes<'_>) -> bool {
    lookup.u32(NFTA_LOOKUP_FLAGS).unwrap_or(0) & NFT_LOOKUP_F_INV != 0
}

/// Whether a load only makes a register ready for a class.
fn is_cover(data: Attributes<'_>) -> bool {
    data.u32(NFTA_PAYLOAD_BASE) == Some(NFT_PAYLOAD_NETWORK_HEADER)
        && data.u32(NFTA_PAYLOAD_OFFSET) == Some(COVER_OFFSET)
        && data.u32(NFTA_PAYLOAD_LEN) == Some(COVER_LEN)
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
