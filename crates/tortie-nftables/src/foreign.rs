//! Base chains of other tables that packets of hosts meet (K-16, E-409). They are read and named, never touched.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use tortie_rules::ruleset::{Hook, TABLE};

use crate::consts::*;
use crate::decode::hook_of;
use crate::dump::request;
use crate::socket::Netlink;
use crate::wire::{Attributes, Message, u32_ne};

/// A base chain of somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignChain {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// Where the kernel calls it.
    pub hook: Hook,
    /// Its netfilter priority.
    pub priority: i32,
    /// Whether its policy is drop, or a rule in its table drops.
    pub can_drop: bool,
}

/// Rules of somebody else that write bits of the packet mark (T-26), by table and chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MarkWriter {
    /// `ip`, `ip6` or `inet`.
    pub family: &'static str,
    /// The table.
    pub table: String,
    /// The chain.
    pub chain: String,
    /// The bits that its rules may change.
    pub bits: u32,
}

/// Families of the kernel by number (`NFPROTO_*`).
fn family_name(number: u8) -> Option<&'static str> {
    match number {
        1 => Some("inet"),
        2 => Some("ip"),
        10 => Some("ip6"),
        _ => None,
    }
}

pub(crate) fn list(netlink: &mut Netlink) -> io::Result<Vec<ForeignChain>> {
    let chains = RefCell::new(Vec::new());
    netlink.dump(
        request(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, |_| {}),
        || chains.borrow_mut().clear(),
        |message| chains.borrow_mut().extend(base_chain(message)),
    )?;
    let mut chains = chains.into_inner();
    let dropping = tables_with_drop(netlink)?;
    for chain in &mut chains {
        chain.can_drop |= dropping.contains(&(chain.family, chain.table.clone()));
    }
    chains.sort();
    Ok(chains)
}

/// A base chain that is not ours.
pub(crate) fn base_chain(message: &Message<'_>) -> Option<ForeignChain> {
    let attributes = message.attributes();
    let (family, table) = (family_name(message.family())?, attributes.text(NFTA_CHAIN_TABLE)?);
    if message.family() == NFPROTO_INET && table == TABLE {
        return None;
    }
    let hook = attributes.nested(NFTA_CHAIN_HOOK)?;
    let policy = attributes.u32(NFTA_CHAIN_POLICY).map(u32::cast_signed);
    Some(ForeignChain {
        family,
        table: table.to_owned(),
        chain: attributes.text(NFTA_CHAIN_NAME).unwrap_or_default().to_owned(),
        hook: hook_of(hook.u32(NFTA_HOOK_HOOKNUM)?)?,
        priority: hook.u32(NFTA_HOOK_PRIORITY)?.cast_signed(),
        can_drop: policy == Some(NF_DROP),
    })
}

/// Tables with a rule that drops or rejects by itself. Which chain calls it does not matter: it may.
fn tables_with_drop(netlink: &mut Netlink) -> io::Result<BTreeSet<(&'static str, String)>> {
    let tables = RefCell::new(BTreeSet::new());
    netlink.dump(
        request(NFT_MSG_GETRULE, NFPROTO_UNSPEC, |_| {}),
        || tables.borrow_mut().clear(),
        |message| tables.borrow_mut().extend(table_with_drop(message)),
    )?;
    Ok(tables.into_inner())
}

/// The table of a rule that drops or rejects by itself.
pub(crate) fn table_with_drop(message: &Message<'_>) -> Option<(&'static str, String)> {
    let attributes = message.attributes();
    let (family, table) = (family_name(message.family())?, attributes.text(NFTA_RULE_TABLE)?);
    let mut expressions = attributes.nested(NFTA_RULE_EXPRESSIONS)?;
    expressions.any(|(_, expression)| drops(Attributes(expression))).then(|| (family, table.to_owned()))
}

pub(crate) fn mark_writers(netlink: &mut Netlink) -> io::Result<Vec<MarkWriter>> {
    let writers: RefCell<BTreeMap<(&'static str, String, String), u32>> = RefCell::default();
    netlink.dump(
        request(NFT_MSG_GETRULE, NFPROTO_UNSPEC, |_| {}),
        || writers.borrow_mut().clear(),
        |message| {
            if let Some((chain, bits)) = mark_writer(message) {
                *writers.borrow_mut().entry(chain).or_default() |= bits;
            }
        },
    )?;
    let to_writer = |((family, table, chain), bits)| MarkWriter { family, table, chain, bits };
    Ok(writers.into_inner().into_iter().map(to_writer).collect())
}

/// Family, table and chain of a rule that is not ours, and the bits of the mark that it may change, when there are any.
pub(crate) fn mark_writer(message: &Message<'_>) -> Option<((&'static str, String, String), u32)> {
    let attributes = message.attributes();
    let (family, table) = (family_name(message.family())?, attributes.text(NFTA_RULE_TABLE)?);
    if message.family() == NFPROTO_INET && table == TABLE {
        return None;
    }
    let bits = attributes.nested(NFTA_RULE_EXPRESSIONS).map_or(0, marked_bits);
    let chain = attributes.text(NFTA_RULE_CHAIN).unwrap_or_default();
    (bits != 0).then(|| ((family, table.to_owned(), chain.to_owned()), bits))
}

/// Bits of the packet mark that a rule may change.
///
/// `meta mark set` takes a register. When the expression before it made that from the mark itself by mask and xor, other
/// bits stay as they are; in every other case all of them may change.
fn marked_bits(expressions: Attributes<'_>) -> u32 {
    let mut bits = 0;
    let mut has_loaded_mark = false;
    let mut changed = u32::MAX;
    for (_, expression) in expressions {
        let expression = Attributes(expression);
        let name = expression.text(NFTA_EXPR_NAME);
        let Some(data) = expression.nested(NFTA_EXPR_DATA) else { continue };
        let is_mark = data.u32(NFTA_META_KEY) == Some(NFT_META_MARK);
        match name {
            Some("meta") if is_mark && data.find(NFTA_META_SREG).is_some() => {
                bits |= changed;
                (has_loaded_mark, changed) = (false, u32::MAX);
            }
            Some("meta") if is_mark => (has_loaded_mark, changed) = (true, 0),
            Some("bitwise") if has_loaded_mark => {
                // Marks are in the byte order of the host.
                let value = |kind| data.nested(kind).and_then(|data| u32_ne(data.find(NFTA_DATA_VALUE)?, 0));
                changed |= match (value(NFTA_BITWISE_MASK), value(NFTA_BITWISE_XOR)) {
                    (Some(mask), Some(xor)) => !mask | xor,
                    _ => u32::MAX,
                };
            }
            // Whatever else fills a register may be what is written.
            Some("counter" | "cmp" | "limit" | "log") => {}
            _ => (has_loaded_mark, changed) = (false, u32::MAX),
        }
    }
    bits
}

fn drops(expression: Attributes<'_>) -> bool {
    match expression.text(NFTA_EXPR_NAME) {
        Some("reject") => true,
        Some("immediate") => expression
            .nested(NFTA_EXPR_DATA)
            .and_then(|data| data.nested(NFTA_IMMEDIATE_DATA))
            .and_then(|data| data.nested(NFTA_DATA_VERDICT))
            .and_then(|verdict| verdict.u32(NFTA_VERDICT_CODE))
            .is_some_and(|code| code.cast_signed() == NF_DROP),
        _ => false,
    }
}
