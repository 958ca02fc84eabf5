//! Rules, sets and matches that several passes are built from.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::Family;
use tortie_calc::policy::Direction;

use super::lower::byte;
use super::sets::SetPool;
use crate::ruleset::{
    Chain, Data, Element, End, Field, Holds, Match, Name, Origin, Rule, Ruleset, Set, Statement, Verdict, ct_state,
};

/// `NFPROTO_IPV4` and `NFPROTO_IPV6` of `linux/netfilter.h`.
pub(super) const NFPROTO: [(Family, u8); 2] = [(Family::V4, 2), (Family::V6, 10)];

/// A counted verdict.
pub(super) fn decide(verdict: Verdict, origin: Origin) -> Rule {
    Rule { matches: Vec::new(), statements: vec![Statement::Counter], end: End::Verdict(verdict), origin }
}

/// A step of the frame.
pub(super) fn go(verdict: Verdict, what: &'static str) -> Rule {
    Rule { matches: Vec::new(), statements: Vec::new(), end: End::Verdict(verdict), origin: Origin::Frame(what) }
}

pub(super) fn map_rule(key: Vec<Field>, map: Name, what: &'static str) -> Rule {
    Rule { matches: Vec::new(), statements: Vec::new(), end: End::Map { key, map }, origin: Origin::Frame(what) }
}

/// Accepts what belongs to a known flow (E-420). A comparison costs a new flow less than a look into a map of states.
pub(super) fn known_flows(verdict: Verdict) -> Rule {
    let end = End::Verdict(verdict);
    Rule { matches: vec![is_known()], statements: Vec::new(), end, origin: Origin::ConnState }
}

/// Established or related.
pub(super) fn is_known() -> Match {
    let known = ct_state::ESTABLISHED | ct_state::RELATED;
    Match::Masked { field: Field::CtState, mask: known.to_be_bytes().to_vec(), invert: true, value: vec![0; 4] }
}

pub(super) fn insert(ruleset: &mut Ruleset, name: &str, rules: Vec<Rule>) {
    ruleset.chains.insert(Name::new(name), Arc::new(Chain { base: None, rules }));
}

pub(super) fn insert_map(ruleset: &mut Ruleset, name: &Name, key: Field, verdicts: BTreeMap<Element, Verdict>) {
    let elements = verdicts.into_iter().map(|(element, verdict)| (element, Some(Data::Verdict(verdict)))).collect();
    let map = Set { key: vec![key], holds: Holds::Verdicts, elements, ..Set::default() };
    ruleset.sets.insert(name.clone(), Arc::new(map));
}

pub(super) fn has_bit(bit: u32) -> Match {
    let bit = bit.to_be_bytes().to_vec();
    Match::Masked { field: Field::Mark, mask: bit, invert: true, value: vec![0; 4] }
}

pub(super) fn lacks_bit(bit: u32) -> Match {
    let bit = bit.to_be_bytes().to_vec();
    Match::Masked { field: Field::Mark, mask: bit, invert: false, value: vec![0; 4] }
}

/// The address of the other end of a packet.
pub(super) const fn peer_address(direction: Direction, family: Family) -> Field {
    match (direction, family) {
        (Direction::Ingress, Family::V4) => Field::SourceV4,
        (Direction::Ingress, Family::V6) => Field::SourceV6,
        (Direction::Egress, Family::V4) => Field::DestinationV4,
        (Direction::Egress, Family::V6) => Field::DestinationV6,
    }
}

/// The address of the host's end of a packet.
pub(super) const fn own_address(direction: Direction, family: Family) -> Field {
    match direction {
        Direction::Ingress => peer_address(Direction::Egress, family),
        Direction::Egress => peer_address(Direction::Ingress, family),
    }
}

pub(super) fn is_family(family: Family) -> Match {
    let number = match family {
        Family::V4 => NFPROTO[0].1,
        Family::V6 => NFPROTO[1].1,
    };
    byte(Field::NfProto, number, false)
}

pub(super) fn icmp_types(pool: &mut SetPool<'_>, readable: &str, types: &[u8]) -> Match {
    let elements = types.iter().map(|t| (Element::exact([*t]), None)).collect();
    let set = Set { key: vec![Field::IcmpType], elements, ..Set::default() };
    Match::Lookup { key: vec![Field::IcmpType], invert: false, set: pool.constant(readable, set) }
}

/// An interface name as the kernel compares it: 16 bytes (`IFNAMSIZ`), zero-padded.
pub(super) fn interface_key(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(Field::InInterface.width(), 0);
    key
}
