//! Where flows that were cut are held until they have been quiet (E-731).
//!
//! The agent puts the tuples of a cut flow into these sets, in both directions, before connection tracking forgets it. So
//! a TCP packet from the middle of it cannot open it again the other way round. Each packet that tries lets its element
//! live for the whole time again.

use std::net::IpAddr;
use std::sync::Arc;

use tortie_api::flow::Tuple;
use tortie_api::model::Family;

use super::names::family_digit;
use super::parts::is_family;
use crate::ruleset::{Element, End, Field, Hook, Match, Name, Origin, Rule, Ruleset, Set, Statement, Verdict};

/// Seconds of quiet after which a tuple is free again: more than twice the longest pause between two tries of TCP to send
/// the same, `TCP_RTO_MAX` of 120 s in Linux.
pub const QUIET_S: u32 = 300;

/// Makes a ruleset hold what is cut: the two sets, and in front of everything else in the filter chains of input, output
/// and forward the rules that ask them.
///
/// Packets are seen there after destination NAT and before source NAT.
pub fn add(ruleset: &mut Ruleset) {
    ruleset.sets.extend(sets());
    for chain in ruleset.chains.values_mut() {
        let is_filter = chain.base.is_some_and(|base| {
            base.priority == PRIORITY_FILTER && [Hook::Input, Hook::Output, Hook::Forward].contains(&base.hook)
        });
        if is_filter {
            Arc::make_mut(chain).rules.splice(0..0, rules());
        }
    }
}

/// Priority of the filter chains (`NF_IP_PRI_FILTER`).
const PRIORITY_FILTER: i32 = 0;

/// The set of one family.
pub fn set_name(family: Family) -> Name {
    Name::new(format!("cut{}", family_digit(family)))
}

/// The sets of both families, empty.
fn sets() -> [(Name, Arc<Set>); 2] {
    Family::BOTH.map(|family| {
        let key = key(family).map(Field::as_key).to_vec();
        (set_name(family), Arc::new(Set { key, timeout_s: Some(QUIET_S), ..Set::default() }))
    })
}

fn rules() -> Vec<Rule> {
    let rule = |family| {
        let (key, set) = (key(family).to_vec(), set_name(family));
        Rule {
            matches: vec![is_family(family), Match::Lookup { key: key.clone(), invert: false, set: set.clone() }],
            statements: vec![Statement::Refresh { key, set }, Statement::Counter],
            end: End::Verdict(Verdict::Drop),
            origin: Origin::Frame("cut when policy tightened"),
        }
    };
    Family::BOTH.map(rule).into()
}

/// The element of a tuple; `None` when the protocol has no ports. ICMP needs none: what answers an unknown request is
/// invalid, and dropped.
pub fn element(tuple: &Tuple) -> Option<(Family, Element)> {
    if !tuple.protocol.has_ports() {
        return None;
    }
    let mut value = Vec::new();
    for address in [tuple.source, tuple.destination] {
        match address {
            IpAddr::V4(v4) => value.extend(v4.octets()),
            IpAddr::V6(v6) => value.extend(v6.octets()),
        }
    }
    value.push(tuple.protocol.0);
    value.extend(tuple.source_port.to_be_bytes());
    value.extend(tuple.destination_port.to_be_bytes());
    Some((Family::of(tuple.source), Element::exact(value)))
}

fn key(family: Family) -> [Field; 5] {
    let [source, destination] = match family {
        Family::V4 => [Field::SourceV4, Field::DestinationV4],
        Family::V6 => [Field::SourceV6, Field::DestinationV6],
    };
    [source, destination, Field::L4Proto, Field::SourcePort, Field::DestinationPort]
}
