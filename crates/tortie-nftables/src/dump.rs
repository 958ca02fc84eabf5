//! Reads our table back as a ruleset, at one generation.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tortie_rules::Ruleset;
use tortie_rules::ruleset::{Chain, Name, Rule, Set, TABLE};

use crate::consts::*;
use crate::decode::{self, Counted, Elements, RawElement};
use crate::kernel::Counter;
use crate::socket::Netlink;
use crate::wire::{Attributes, Message, Messages, Writer};

/// The table as it was read.
pub(crate) struct Table {
    pub(crate) ruleset: Ruleset,
    pub(crate) counters: Vec<Counter>,
}

pub(crate) fn request(message: u16, family: u8, content: impl Fn(&mut Writer)) -> impl Fn(u32, u16) -> Vec<u8> {
    move |sequence, flags| {
        let mut writer = Writer::default();
        let open = writer.begin(NFNL_SUBSYS_NFTABLES, message, flags, sequence, family);
        content(&mut writer);
        writer.end(open);
        writer.into_bytes()
    }
}

/// The present generation of all rulesets in this network namespace.
pub(crate) fn generation(netlink: &mut Netlink) -> io::Result<u32> {
    let bytes = netlink.get(request(NFT_MSG_GETGEN, NFPROTO_UNSPEC, |_| {}))?;
    Messages(&bytes)
        .find_map(|message| message.attributes().u32(NFTA_GEN_ID))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the kernel named no generation"))
}

/// Reads our table, with the elements of those sets for which `lists` says so; `None` when there is none. The caller makes
/// sure that the generation did not move meanwhile.
pub(crate) fn table(netlink: &mut Netlink, lists: fn(&Set) -> bool) -> io::Result<Option<Table>> {
    let flags = match netlink.get(request(NFT_MSG_GETTABLE, NFPROTO_INET, |w| w.text(NFTA_TABLE_NAME, TABLE))) {
        Ok(bytes) => Messages(&bytes).find_map(|message| message.attributes().u32(NFTA_TABLE_FLAGS)),
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOENT) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_asleep = flags.unwrap_or(0) & NFT_TABLE_F_DORMANT != 0;
    let mut ruleset = Ruleset::default();
    let mut counters = Vec::new();
    for (name, set) in sets(netlink)? {
        let elements = if lists(&set) { elements(netlink, &name, &set)? } else { Some(Elements::default()) };
        let set = put_elements(&name, set, elements, &mut counters);
        ruleset.sets.insert(name, Arc::new(set));
    }
    let mut chains = chains(netlink)?;
    if is_asleep {
        // The kernel calls none of them.
        chains.values_mut().for_each(|chain| chain.base = None);
    }
    counters.extend(rules(netlink, &mut chains)?);
    ruleset.chains = chains.into_iter().map(|(name, chain)| (name, Arc::new(chain))).collect();
    Ok(Some(Table { ruleset, counters }))
}

fn is(message: &Message<'_>, kind: u16) -> bool {
    message.of(NFNL_SUBSYS_NFTABLES) == Some(kind) && message.family() == NFPROTO_INET
}

fn chains(netlink: &mut Netlink) -> io::Result<BTreeMap<Name, Chain>> {
    let found = std::cell::RefCell::new(BTreeMap::new());
    netlink.dump(
        request(NFT_MSG_GETCHAIN, NFPROTO_INET, |w| w.text(NFTA_CHAIN_TABLE, TABLE)),
        || found.borrow_mut().clear(),
        |message| found.borrow_mut().extend(chain(message)),
    )?;
    Ok(found.into_inner())
}

/// A chain of our table, without its rules.
pub(crate) fn chain(message: &Message<'_>) -> Option<(Name, Chain)> {
    let attributes = message.attributes();
    if !is(message, NFT_MSG_NEWCHAIN) || attributes.text(NFTA_CHAIN_TABLE) != Some(TABLE) {
        return None;
    }
    let name = attributes.text(NFTA_CHAIN_NAME)?;
    // A chain at a hook of which we know nothing is no chain of ours: without a base it equals none.
    let base = decode::base_chain(attributes).unwrap_or_default();
    Some((Name::new(name), Chain { base, rules: Vec::new() }))
}

fn rules(netlink: &mut Netlink, chains: &mut BTreeMap<Name, Chain>) -> io::Result<Vec<Counter>> {
    let found = std::cell::RefCell::new(Vec::new());
    netlink.dump(
        request(NFT_MSG_GETRULE, NFPROTO_INET, |w| w.text(NFTA_RULE_TABLE, TABLE)),
        || found.borrow_mut().clear(),
        |message| found.borrow_mut().extend(rule(message)),
    )?;
    Ok(put_rules(found.into_inner(), chains))
}

/// A rule of our table: its chain, what it says, and what it counted.
pub(crate) fn rule(message: &Message<'_>) -> Option<(Name, (Rule, Counted))> {
    let attributes = message.attributes();
    if !is(message, NFT_MSG_NEWRULE) || attributes.text(NFTA_RULE_TABLE) != Some(TABLE) {
        return None;
    }
    let chain = attributes.text(NFTA_RULE_CHAIN)?;
    let read = decode::rule(attributes).unwrap_or_else(|error| (decode::foreign_rule(&error), None));
    Some((Name::new(chain), read))
}

/// Puts rules into their chains; what they counted.
pub(crate) fn put_rules(rules: Vec<(Name, (Rule, Counted))>, chains: &mut BTreeMap<Name, Chain>) -> Vec<Counter> {
    let mut counters = Vec::new();
    for (name, (rule, counted)) in rules {
        if let Some((packets, bytes)) = counted {
            let comment = rule.origin.comment();
            counters.push(Counter { place: name.clone(), element: None, comment, packets, bytes });
        }
        if let Some(chain) = chains.get_mut(&name) {
            chain.rules.push(rule);
        }
    }
    counters
}

fn sets(netlink: &mut Netlink) -> io::Result<BTreeMap<Name, Set>> {
    let found = std::cell::RefCell::new(BTreeMap::new());
    netlink.dump(
        request(NFT_MSG_GETSET, NFPROTO_INET, |w| w.text(NFTA_SET_TABLE, TABLE)),
        || found.borrow_mut().clear(),
        |message| found.borrow_mut().extend(set(message)),
    )?;
    Ok(found.into_inner())
}

/// A set of our table, without its elements.
pub(crate) fn set(message: &Message<'_>) -> Option<(Name, Set)> {
    let attributes = message.attributes();
    if !is(message, NFT_MSG_NEWSET) || attributes.text(NFTA_SET_TABLE) != Some(TABLE) {
        return None;
    }
    let name = attributes.text(NFTA_SET_NAME)?;
    if attributes.u32(NFTA_SET_FLAGS).unwrap_or(0) & NFT_SET_ANONYMOUS != 0 {
        return None; // goes away with the foreign rule that holds it
    }
    Some((Name::new(name), decode::set(attributes).unwrap_or_else(|_| foreign_set())))
}

/// A set that equals none of ours: it has no key.
pub(crate) fn foreign_set() -> Set {
    Set::default()
}

/// Whether elements of a set are listed: a foreign one has no key that we know, and elements with a timeout are no part
/// of the ruleset.
pub(crate) fn has_elements(set: &Set) -> bool {
    !set.key.is_empty() && set.timeout_s.is_none()
}

/// The set with its elements; what they counted.
pub(crate) fn put_elements(name: &Name, set: Set, elements: Option<Elements>, counters: &mut Vec<Counter>) -> Set {
    let Some(Elements { elements, origins, counted }) = elements else { return foreign_set() };
    let to_counter = |(element, (comment, (packets, bytes))): (_, (Arc<str>, _))| Counter {
        place: name.clone(),
        element: Some(element),
        comment: comment.to_string(),
        packets,
        bytes,
    };
    counters.extend(counted.into_iter().map(to_counter));
    Set { elements, origins, ..set }
}

/// The elements of a set; `None` when one of them is none of ours, such as one for every value that no other has.
fn elements(netlink: &mut Netlink, name: &Name, set: &Set) -> io::Result<Option<Elements>> {
    if !has_elements(set) {
        return Ok(Some(Elements::default()));
    }
    let found = std::cell::RefCell::new(Vec::new());
    netlink.dump(
        request(NFT_MSG_GETSETELEM, NFPROTO_INET, |w| {
            w.text(NFTA_SET_ELEM_LIST_TABLE, TABLE);
            w.text(NFTA_SET_ELEM_LIST_SET, name.as_str());
        }),
        || found.borrow_mut().clear(),
        |message| found.borrow_mut().extend(raw_elements(message, set)),
    )?;
    Ok(elements_of(set, found.into_inner()))
}

/// The elements of `set` in one message; `None` for those that cannot be read.
pub(crate) fn raw_elements(message: &Message<'_>, set: &Set) -> Vec<Option<RawElement>> {
    if !is(message, NFT_MSG_NEWSETELEM) {
        return Vec::new();
    }
    let list = message.attributes().nested(NFTA_SET_ELEM_LIST_ELEMENTS).into_iter().flatten();
    list.map(|(_, element)| decode::raw_element(Attributes(element), set).ok()).collect()
}

/// Joins what all messages say of a set. What cannot be read cannot be ours: the set is another one then, and is renewed
/// as a whole.
pub(crate) fn elements_of(set: &Set, found: Vec<Option<RawElement>>) -> Option<Elements> {
    let found: Option<Vec<_>> = found.into_iter().collect();
    found.and_then(|found| decode::elements(set, found))
}
