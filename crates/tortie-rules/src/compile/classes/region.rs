//! Which protocols and ports a rule matches, as ranges of one line.
//!
//! A point of the line is an upper-layer protocol and what policy can tell apart within it: the destination port of TCP,
//! UDP and SCTP, type and code of ICMP (type first), and nothing else, so that points of other protocols always share
//! their fate. The order is that of the bytes in a key of (protocol . port), so a range of the line is one element there.

use tortie_api::model::{Family, IcmpMatch, Protocol};
use tortie_calc::policy::ResolvedRule;

use crate::compile::sets::merge;

/// A point: the protocol in the high byte of 24 bits, port or type and code in the others.
pub(super) type Point = u32;

/// The last point.
pub(super) const LAST: Point = 0x00ff_ffff;

/// First and last point.
pub(super) type Range = (Point, Point);

/// All points of a protocol.
pub(super) const fn of_protocol(protocol: u8) -> Range {
    let first = (protocol as Point) << 16;
    (first, first | 0xffff)
}

/// Whether points tell all that the rule asks of protocol, port and ICMP.
pub(super) fn is_told(rule: &ResolvedRule, family: Family) -> bool {
    let has_ports = rule.protocol.is_some_and(Protocol::has_ports);
    (has_ports || !asks_port(rule)) && (rule.icmp.is_none() || rule.protocol == Some(family.icmp()))
}

fn asks_port(rule: &ResolvedRule) -> bool {
    !rule.destination.ports.is_empty() || !rule.destination.not_ports.is_empty()
}

/// Where the rule can match, as sorted ranges that do not touch, if all it asks [`is_told`].
pub(super) fn region(rule: &ResolvedRule, family: Family) -> Vec<Range> {
    debug_assert!(is_told(rule, family), "{rule:?}");
    let icmp = family.icmp();
    let mut region = match rule.protocol {
        Some(protocol) => vec![of_protocol(protocol.0)],
        None => vec![(0, LAST)],
    };
    if let Some(protocol) = rule.not_protocol {
        region = subtract(&region, of_protocol(protocol.0));
    }
    if let Some(matched) = rule.icmp {
        region = intersect(&region, of_icmp(icmp, matched));
    }
    // A rule of another protocol meets no ICMP at all (E-313).
    if let Some(matched) = rule.not_icmp
        && rule.protocol.is_none_or(|protocol| protocol == icmp)
    {
        region = subtract(&region, of_icmp(icmp, matched));
    }
    if let Some(protocol) = rule.protocol.filter(|_| asks_port(rule)) {
        let of_port = |port: u16| of_protocol(protocol.0).0 | Point::from(port);
        if !rule.destination.ports.is_empty() {
            let ports = rule.destination.ports.iter().map(|range| (of_port(range.first()), of_port(range.last())));
            let ports: Vec<Range> = merge(ports);
            region = ports.into_iter().flat_map(|range| intersect(&region, range)).collect();
        }
        for range in &rule.destination.not_ports {
            region = subtract(&region, (of_port(range.first()), of_port(range.last())));
        }
    }
    merge(region)
}

fn of_icmp(protocol: Protocol, matched: IcmpMatch) -> Range {
    let first = of_protocol(protocol.0).0 | Point::from(matched.icmp_type) << 8;
    match matched.code {
        Some(code) => (first | Point::from(code), first | Point::from(code)),
        None => (first, first | 0xff),
    }
}

fn intersect(region: &[Range], with: Range) -> Vec<Range> {
    let both = region.iter().map(|range| (range.0.max(with.0), range.1.min(with.1)));
    both.filter(|(first, last)| first <= last).collect()
}

fn subtract(region: &[Range], gone: Range) -> Vec<Range> {
    let mut rest = Vec::with_capacity(region.len() + 1);
    for &(first, last) in region {
        if gone.1 < first || last < gone.0 {
            rest.push((first, last));
            continue;
        }
        if first < gone.0 {
            rest.push((first, gone.0 - 1));
        }
        if gone.1 < last {
            rest.push((gone.1 + 1, last));
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use tortie_api::model::{Action, PortRange};

    use super::*;

    fn rule(change: impl FnOnce(&mut ResolvedRule)) -> ResolvedRule {
        let mut rule = ResolvedRule::any(Action::Allow);
        change(&mut rule);
        rule
    }

    #[test]
    fn a_region_holds_what_the_criteria_say() {
        let tcp = of_protocol(6).0;
        let icmp = of_protocol(1).0;
        let ports = |first, last| PortRange::new(first, last).unwrap();
        for (given, expected) in [
            (rule(|_| ()), Some(vec![(0, LAST)])),
            (rule(|r| r.protocol = Some(Protocol::TCP)), Some(vec![(tcp, tcp + 0xffff)])),
            (rule(|r| r.not_protocol = Some(Protocol::TCP)), Some(vec![(0, tcp - 1), (tcp + 0x1_0000, LAST)])),
            (
                rule(|r| {
                    r.protocol = Some(Protocol::TCP);
                    r.destination.ports = vec![ports(81, 90), ports(80, 80), ports(443, 443)];
                    r.destination.not_ports = vec![ports(85, 85)];
                }),
                Some(vec![(tcp + 80, tcp + 84), (tcp + 86, tcp + 90), (tcp + 443, tcp + 443)]),
            ),
            (
                rule(|r| {
                    r.protocol = Some(Protocol::ICMP);
                    r.icmp = Some(IcmpMatch { icmp_type: 3, code: Some(4) });
                }),
                Some(vec![(icmp + 0x304, icmp + 0x304)]),
            ),
            // Another protocol is no ICMP whatever its bytes are (E-313).
            (
                rule(|r| r.not_icmp = Some(IcmpMatch { icmp_type: 8, code: None })),
                Some(vec![(0, icmp + 0x7ff), (icmp + 0x900, LAST)]),
            ),
            (
                rule(|r| {
                    r.protocol = Some(Protocol::UDP);
                    r.not_icmp = Some(IcmpMatch { icmp_type: 8, code: None });
                }),
                Some(vec![of_protocol(17)]),
            ),
            (rule(|r| r.destination.not_ports = vec![ports(1, 1)]), None),
            (rule(|r| r.icmp = Some(IcmpMatch { icmp_type: 3, code: None })), None),
        ] {
            let found = is_told(&given, Family::V4).then(|| region(&given, Family::V4));
            assert_eq!(found, expected, "{given:?}");
        }
    }
}
