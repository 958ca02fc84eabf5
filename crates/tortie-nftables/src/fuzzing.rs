//! What the fuzz targets call: the ways that the kernel's answers take, without a kernel. No part of the API.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_rules::Ruleset;
use tortie_rules::plan::Op;
use tortie_rules::ruleset::{Name, Set};

use crate::consts::NFTA_SET_ELEM_LIST_SET;
use crate::decode::Elements;
use crate::events::Reader;
use crate::kernel::Counter;
use crate::wire::Messages;
use crate::{Event, ForeignChain, dump, encode, foreign};

/// The ruleset in the messages of all listings of our table, one behind the other.
pub fn ruleset(bytes: &[u8]) -> (Ruleset, Vec<Counter>) {
    let mut counters = Vec::new();
    let sets: BTreeMap<Name, Set> = Messages(bytes).filter_map(|message| dump::set(&message)).collect();
    let with_elements = |(name, set): (Name, Set)| {
        let of_set = Messages(bytes)
            .filter(|message| message.attributes().text(NFTA_SET_ELEM_LIST_SET) == Some(name.as_str()))
            .flat_map(|message| dump::raw_elements(&message, &set));
        let elements = if dump::has_elements(&set) {
            dump::elements_of(&set, of_set.collect())
        } else {
            Some(Elements::default())
        };
        let set = dump::put_elements(&name, set, elements, &mut counters);
        (name, Arc::new(set))
    };
    let sets = sets.into_iter().map(with_elements).collect();
    let mut chains = Messages(bytes).filter_map(|message| dump::chain(&message)).collect();
    let rules = Messages(bytes).filter_map(|message| dump::rule(&message)).collect();
    counters.extend(dump::put_rules(rules, &mut chains));
    let ruleset = Ruleset { sets, chains: chains.into_iter().map(|(name, chain)| (name, Arc::new(chain))).collect() };
    (ruleset, counters)
}

/// Operations as the kernel is told them.
pub fn messages(ops: &[Op]) -> Vec<u8> {
    encode::batch(ops, None, 1).bytes
}

/// What the messages of one datagram tell of changes.
pub fn events(bytes: &[u8]) -> Vec<Event> {
    let mut reader = Reader::default();
    Messages(bytes).filter_map(|message| reader.message(&message)).collect()
}

/// What the messages of listings tell of other tables: base chains, tables that drop, and bits of the mark by chain.
pub fn foreign_tables(bytes: &[u8]) -> (Vec<ForeignChain>, usize, u32) {
    let chains = Messages(bytes).filter_map(|message| foreign::base_chain(&message)).collect();
    let dropping = Messages(bytes).filter_map(|message| foreign::table_with_drop(&message)).count();
    let bits =
        Messages(bytes).filter_map(|message| foreign::mark_writer(&message)).fold(0, |all, (_, bits)| all | bits);
    (chains, dropping, bits)
}
