//! Fields of nf_tables as conditions on the header space.

use tortie_api::model::{Family, Protocol};
use tortie_rules::ruleset::{Field, Hook, ct_state};

use crate::diagram::Node;
use crate::logic::{Logic, Made, Stop};
use crate::place::Place;
use crate::space::{Dimension, Ranges, STATES};

/// A big-endian value; a shorter one is filled up with `rest`. `None` when it is longer than the field.
pub(crate) fn number(value: &[u8], field: Field, rest: u8) -> Option<u128> {
    let missing = field.width().checked_sub(value.len())?;
    let bytes = value.iter().copied().chain(std::iter::repeat_n(rest, missing));
    Some(bytes.fold(0, |number, byte| number << 8 | u128::from(byte)))
}

/// The dimension of a field that is one.
const fn dimension(field: Field) -> Option<Dimension> {
    Some(match field {
        Field::InInterface => Dimension::InInterface,
        Field::OutInterface => Dimension::OutInterface,
        Field::NfProto => Dimension::Family,
        Field::L4Proto => Dimension::Protocol,
        Field::SourceV4 => Dimension::Source4,
        Field::DestinationV4 => Dimension::Destination4,
        Field::SourceV6 => Dimension::Source6,
        Field::DestinationV6 => Dimension::Destination6,
        Field::SourcePort => Dimension::SourcePort,
        Field::DestinationPort => Dimension::DestinationPort,
        Field::IcmpType => Dimension::IcmpType,
        Field::IcmpCode => Dimension::IcmpCode,
        Field::HopLimit => Dimension::HopLimit,
        Field::CtState
        | Field::CtStatus
        | Field::Mark
        | Field::ReversePathStrict
        | Field::ReversePathLoose
        | Field::Class => return None,
    })
}

/// Where a packet has the field at all.
pub(crate) fn loads(logic: &mut Logic<'_>, place: Place, field: Field) -> Made {
    let of = |protocols: &[Protocol]| protocols.iter().map(|p| u128::from(p.0)).collect::<Vec<_>>();
    match field {
        Field::InInterface => match place.hook() {
            Hook::Prerouting | Hook::Input | Hook::Forward => Ok(Node::TRUE),
            Hook::Output => Ok(Node::FALSE),
            Hook::Postrouting => logic.is_forwarded(),
        },
        Field::OutInterface => Ok(Node::of(!matches!(place.hook(), Hook::Prerouting | Hook::Input))),
        Field::SourceV4 | Field::DestinationV4 => logic.is_family(Family::V4),
        Field::SourceV6 | Field::DestinationV6 | Field::HopLimit => logic.is_family(Family::V6),
        Field::SourcePort | Field::DestinationPort => {
            let protocols = of(&[Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::UDPLITE]);
            logic.is_any_of(Dimension::Protocol, &protocols)
        }
        Field::IcmpType | Field::IcmpCode => {
            logic.is_any_of(Dimension::Protocol, &of(&[Protocol::ICMP, Protocol::ICMPV6]))
        }
        Field::CtStatus if place.is_before_tracking() => Ok(Node::FALSE),
        Field::CtStatus => logic.is_tracked(),
        // No packet has one: it is looked up by `End::Class` alone.
        Field::Class => Ok(Node::FALSE),
        Field::NfProto
        | Field::L4Proto
        | Field::CtState
        | Field::Mark
        | Field::ReversePathStrict
        | Field::ReversePathLoose => Ok(Node::TRUE),
    }
}

/// Where the field, if it is there, lies in one of these ranges.
pub(crate) fn within(logic: &mut Logic<'_>, place: Place, field: Field, ranges: Ranges) -> Made {
    if let Some(dimension) = dimension(field) {
        return logic.is_in(dimension, ranges);
    }
    let ranges = logic.pool.list(ranges);
    match field {
        Field::Mark | Field::CtStatus => {
            let mut any = Node::FALSE;
            for (first, last) in ranges.iter() {
                let holds = bits_within(logic, field, 32, *first, *last)?;
                any = logic.or(any, holds)?;
            }
            Ok(any)
        }
        _ => {
            let is_in = |value: u128| ranges.iter().any(|(first, last)| (*first..=*last).contains(&value));
            special(logic, place, field, &is_in)
        }
    }
}

/// Where `field & mask == value`.
pub(crate) fn masked(logic: &mut Logic<'_>, place: Place, field: Field, mask: &[u8], value: &[u8]) -> Made {
    let (Some(mask), Some(value)) = (number(mask, field, 0), number(value, field, 0)) else {
        return Ok(Node::FALSE);
    };
    if value & !mask != 0 {
        return Ok(Node::FALSE);
    }
    match dimension(field) {
        Some(dimension) => {
            let all = u128::MAX >> (128 - 8 * field.width());
            let rest = all & !mask;
            if rest & (rest.wrapping_add(1)) == 0 {
                let ranges = logic.pool.ranges([(value, value | rest)]);
                return logic.is_in(dimension, ranges);
            }
            if field.width() <= 2 {
                let values: Vec<u128> = (0..=all).filter(|candidate| candidate & mask == value).collect();
                return logic.is_any_of(dimension, &values);
            }
            match logic.value(dimension) {
                Some(present) => Ok(Node::of(present & mask == value)),
                None if logic.is_collecting() => Ok(Node::TRUE),
                None => Err(Stop::NotCovered("a mask of an address that is no prefix".to_owned())),
            }
        }
        None if matches!(field, Field::Mark | Field::CtStatus) => {
            let mut all = Node::TRUE;
            for bit in (0..32).filter(|bit| mask & (1 << bit) != 0) {
                let mut holds = bit_of(logic, field, bit)?;
                if value & (1 << bit) == 0 {
                    holds = logic.not(holds)?;
                }
                all = logic.and(all, holds)?;
            }
            Ok(all)
        }
        None => special(logic, place, field, &|candidate| candidate & mask == value),
    }
}

/// Fields with few values: where the value is one of those for which `is_in` holds.
fn special(logic: &mut Logic<'_>, place: Place, field: Field, is_in: &dyn Fn(u128) -> bool) -> Made {
    match field {
        Field::ReversePathStrict | Field::ReversePathLoose => {
            let ways: &[u128] = if field == Field::ReversePathStrict { &[0] } else { &[0, 1] };
            let has_way = logic.is_any_of(Dimension::WayBack, ways)?;
            logic.choose(has_way, Node::of(is_in(1)), Node::of(is_in(0)))
        }
        Field::Class => Ok(Node::FALSE),
        _ => {
            // What has no entry in connection tracking and was not taken out of it is invalid (`nft_ct_get_eval`).
            let tracked = if place.is_before_tracking() {
                Node::of(is_in(u128::from(ct_state::INVALID)))
            } else {
                let states: Vec<u128> = STATES.into_iter().map(u128::from).filter(|state| is_in(*state)).collect();
                logic.is_any_of(Dimension::State, &states)?
            };
            let is_no_track = logic.is_no_track()?;
            logic.choose(is_no_track, Node::of(is_in(u128::from(ct_state::UNTRACKED))), tracked)
        }
    }
}

fn bit_of(logic: &mut Logic<'_>, field: Field, bit: u32) -> Made {
    if field == Field::Mark { logic.mark_bit(bit) } else { logic.status_bit(bit) }
}

/// Where the lowest `bits` bits of the mark or the status form a number of a range.
fn bits_within(logic: &mut Logic<'_>, field: Field, bits: u32, first: u128, last: u128) -> Made {
    let all = (1u128 << bits) - 1;
    if first > last {
        return Ok(Node::FALSE);
    }
    if first == 0 && last >= all {
        return Ok(Node::TRUE);
    }
    let half = 1u128 << (bits - 1);
    let low = if first < half { bits_within(logic, field, bits - 1, first, last.min(half - 1))? } else { Node::FALSE };
    let high = if last >= half {
        bits_within(logic, field, bits - 1, first.max(half) - half, last - half)?
    } else {
        Node::FALSE
    };
    let is_high = bit_of(logic, field, bits - 1)?;
    logic.choose(is_high, high, low)
}
