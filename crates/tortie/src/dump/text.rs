//! A ruleset in the words of `nft`.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use tortie_api::model::Protocol;
use tortie_rules::Ruleset;
use tortie_rules::ruleset::{
    Data, Element, End, Field, Holds, Hook, Match, Name, Origin, Ranges, Rule, Set, Statement, TABLE, Verdict, ct_state,
};

/// The whole table.
pub(super) fn render(ruleset: &Ruleset) -> String {
    let mut out = format!("table inet {TABLE} {{\n");
    for (name, set) in &ruleset.sets {
        let _ = write!(out, "{}", of_set(name.as_str(), set));
    }
    for (name, chain) in &ruleset.chains {
        let _ = writeln!(out, "\tchain {name} {{");
        if let Some(base) = chain.base {
            let (hook, priority) = (hook(base.hook), base.priority);
            let _ = writeln!(out, "\t\ttype filter hook {hook} priority {priority}; policy accept;");
        }
        for rule in &chain.rules {
            let _ = writeln!(out, "\t\t{}", of_rule(rule));
        }
        out.push_str("\t}\n");
    }
    out.push_str("}\n");
    out
}

const fn hook(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "prerouting",
        Hook::Input => "input",
        Hook::Forward => "forward",
        Hook::Output => "output",
        Hook::Postrouting => "postrouting",
    }
}

fn of_set(name: &str, set: &Set) -> String {
    let (kind, holds) = match set.holds {
        Holds::Nothing => ("set", ""),
        Holds::Verdicts => ("map", " : verdict"),
        Holds::Classes => ("map", " : class"),
    };
    let mut out = format!("\t{kind} {name} {{\n\t\ttypeof {}{holds}\n", keys(&set.key));
    if set.ranges != Ranges::None {
        out.push_str("\t\tflags interval\n");
    }
    if set.is_counted {
        out.push_str("\t\tcounter\n");
    }
    if let Some(timeout_s) = set.timeout_s {
        let _ = writeln!(out, "\t\ttimeout {timeout_s}s");
    }
    let elements: Vec<String> = set
        .elements
        .iter()
        .map(|(element, data)| {
            let mut text = of_element(element, set);
            if let Some(origin) = set.origins.get(element).and_then(|origins| origins.first()) {
                let _ = write!(text, " comment \"{}\"", origin.comment());
            }
            match data {
                Some(Data::Verdict(verdict)) => format!("{text} : {}", of_verdict(verdict)),
                Some(Data::Class(class)) => format!("{text} : {:#018x}", class.0),
                None => text,
            }
        })
        .collect();
    if !elements.is_empty() {
        let _ = writeln!(out, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "));
    }
    out.push_str("\t}\n");
    out
}

fn of_element(element: &Element, set: &Set) -> String {
    let mut from = 0;
    let parts = set.key.iter().map(|field| {
        let part = from..from + field.width();
        from = part.end;
        (value(*field, &element.first[part.clone()]), value(*field, &element.last[part]))
    });
    let parts: Vec<(String, String)> = parts.collect();
    let is_same = |(first, last): &(String, String)| first == last;
    // A range of the whole key is one of its last field where the others are equal, and else has two ends.
    let varying = parts.iter().skip_while(|part| is_same(part)).count();
    if set.ranges == Ranges::OfKey && varying > 1 {
        let end = |of: fn(&(String, String)) -> &str| parts.iter().map(of).collect::<Vec<_>>().join(" . ");
        return format!("{}-{}", end(|part| &part.0), end(|part| &part.1));
    }
    let text = |part: &(String, String)| if is_same(part) { part.0.clone() } else { format!("{}-{}", part.0, part.1) };
    parts.iter().map(text).collect::<Vec<_>>().join(" . ")
}

fn of_rule(rule: &Rule) -> String {
    if let Origin::Unread(why) = &rule.origin {
        return format!("# {why}");
    }
    let mut words: Vec<String> = rule.matches.iter().map(of_match).collect();
    words.extend(rule.statements.iter().map(of_statement));
    match &rule.end {
        End::Next => {}
        End::Verdict(verdict) => words.push(of_verdict(verdict)),
        End::Map { key, map } => words.push(format!("{} vmap @{map}", keys(key))),
        End::Class { address, classes, other, key, map } => {
            let class = |address: Field, classes: &Name| format!("{} map @{classes}", field(address));
            let other = other.as_ref().map(|other| class(other.address, &other.classes));
            let classes = std::iter::once(class(*address, classes)).chain(other);
            let key = classes.chain(key.iter().map(|key| field(*key).to_owned()));
            words.push(format!("{} vmap @{map}", key.collect::<Vec<_>>().join(" . ")));
        }
    }
    words.push(format!("comment \"{}\"", rule.origin.comment()));
    words.join(" ")
}

fn of_match(criterion: &Match) -> String {
    let not = |invert: bool| if invert { "!= " } else { "" };
    match criterion {
        Match::Equals { field, invert, value: found } => {
            let is_prefix = found.len() < field.width();
            let found = if is_prefix { format!("\"{}*\"", plain(found)) } else { value(*field, found) };
            format!("{} {}{found}", self::field(*field), not(*invert))
        }
        Match::Masked { field, mask, invert, value: found } => match prefix_len(mask) {
            Some(len) if matches!(field.width(), 4 | 16) && is_address(*field) => {
                format!("{} {}{}/{len}", self::field(*field), not(*invert), value(*field, found))
            }
            _ => {
                let relation = if *invert { "!=" } else { "==" };
                format!("{} & {} {relation} {}", self::field(*field), hex(mask), hex(found))
            }
        },
        Match::Range { field, invert, first, last } => {
            format!("{} {}{}-{}", self::field(*field), not(*invert), value(*field, first), value(*field, last))
        }
        Match::Lookup { key, invert, set } => format!("{} {}@{set}", keys(key), not(*invert)),
        Match::LookupMasked { field, mask, invert, set } => {
            let len = prefix_len(mask).map_or_else(|| hex(mask), |len| len.to_string());
            format!("{}/{len} {}@{set}", self::field(*field), not(*invert))
        }
    }
}

fn of_statement(statement: &Statement) -> String {
    match statement {
        Statement::Counter => "counter".to_owned(),
        Statement::Log { prefix } => format!("log prefix \"{prefix}\""),
        Statement::Limit { packets, unit_s, burst } => {
            let unit = match unit_s {
                1 => "second",
                60 => "minute",
                3_600 => "hour",
                _ => "day",
            };
            format!("limit rate {packets}/{unit} burst {burst} packets")
        }
        Statement::SetMark { mask, value } => format!("meta mark set meta mark & {:#x} | {value:#x}", !mask),
        Statement::NoTrack => "notrack".to_owned(),
        Statement::Refresh { key, set } => format!("update @{set} {{ {} }}", keys(key)),
    }
}

fn of_verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Reject => "reject".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
        Verdict::Goto(chain) => format!("goto {chain}"),
    }
}

fn keys(key: &[Field]) -> String {
    key.iter().map(|field| self::field(*field)).collect::<Vec<_>>().join(" . ")
}

const fn field(field: Field) -> &'static str {
    match field {
        Field::InInterface => "iifname",
        Field::OutInterface => "oifname",
        Field::NfProto => "meta nfproto",
        Field::L4Proto => "meta l4proto",
        Field::SourceV4 => "ip saddr",
        Field::DestinationV4 => "ip daddr",
        Field::SourceV6 => "ip6 saddr",
        Field::DestinationV6 => "ip6 daddr",
        Field::SourcePort => "th sport",
        Field::DestinationPort => "th dport",
        Field::IcmpType => "@th,0,8",
        Field::IcmpCode => "@th,8,8",
        Field::HopLimit => "ip6 hoplimit",
        Field::CtState => "ct state",
        Field::CtStatus => "ct status",
        Field::Mark => "meta mark",
        Field::Class => "class",
        Field::ReversePathStrict => "fib saddr . iif check",
        Field::ReversePathLoose => "fib saddr check",
    }
}

const fn is_address(field: Field) -> bool {
    matches!(field, Field::SourceV4 | Field::DestinationV4 | Field::SourceV6 | Field::DestinationV6)
}

/// The length of a mask that is a prefix.
fn prefix_len(mask: &[u8]) -> Option<u32> {
    let len: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let leading = mask
        .iter()
        .map(|byte| byte.leading_ones())
        .fold((0, true), |(all, is_open), ones| if is_open { (all + ones, ones == 8) } else { (all, false) });
    (leading.0 == len).then_some(len)
}

fn value(field: Field, bytes: &[u8]) -> String {
    let number = || bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte));
    match field {
        Field::InInterface | Field::OutInterface => format!("\"{}\"", plain(bytes)),
        Field::NfProto => match bytes {
            [2] => "ipv4".to_owned(),
            [10] => "ipv6".to_owned(),
            _ => number().to_string(),
        },
        Field::L4Proto => Protocol(number() as u8).to_string().to_lowercase(),
        Field::SourceV4 | Field::DestinationV4 => Ipv4Addr::from_bits(number() as u32).to_string(),
        Field::SourceV6 | Field::DestinationV6 => Ipv6Addr::from_bits(number()).to_string(),
        Field::CtState => match number() as u32 {
            ct_state::NEW => "new".to_owned(),
            ct_state::ESTABLISHED => "established".to_owned(),
            ct_state::RELATED => "related".to_owned(),
            ct_state::INVALID => "invalid".to_owned(),
            ct_state::UNTRACKED => "untracked".to_owned(),
            other => format!("{other:#x}"),
        },
        Field::CtStatus | Field::Mark => format!("{:#x}", number()),
        Field::Class => format!("{:#018x}", number()),
        _ => number().to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    format!("{:#x}", bytes.iter().fold(0u128, |number, byte| number << 8 | u128::from(*byte)))
}

/// A name without its padding.
fn plain(bytes: &[u8]) -> String {
    let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..len]).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_rules::ruleset::{Chain, ClassId, ClassOf};

    use super::*;

    #[test]
    fn classes_are_numbers_and_their_elements_say_whose_they_are() {
        let class = ClassId(0x0123_4567_89ab_cdef);
        let element = |port: u16| [&class.0.to_be_bytes()[..], &[6], &port.to_be_bytes()].concat();
        let ports = Element::range(element(80), element(90));
        let map = Set {
            key: vec![Field::Class, Field::L4Proto, Field::SourcePort],
            ranges: Ranges::OfKey,
            holds: Holds::Verdicts,
            is_counted: true,
            elements: [
                (ports.clone(), Some(Data::Verdict(Verdict::Accept))),
                (Element::range([&[0; 8][..], &[6, 0, 0]].concat(), [&[0; 8][..], &[17, 0, 1]].concat()), None),
            ]
            .into(),
            origins: [(ports, Arc::from([Origin::Comment("policy p".into())]))].into(),
            ..Set::default()
        };
        let classes = Set {
            key: vec![Field::SourceV4],
            ranges: Ranges::OfKey,
            holds: Holds::Classes,
            elements: [(Element::range([10, 0, 0, 0], [10, 0, 0, 255]), Some(Data::Class(class)))].into(),
            ..Set::default()
        };
        let end = End::Class {
            address: Field::SourceV4,
            classes: Name::new("classes"),
            other: Some(ClassOf { address: Field::DestinationV4, classes: Name::new("own") }),
            key: vec![Field::L4Proto, Field::DestinationPort],
            map: Name::new("map"),
        };
        let rule = Rule { matches: vec![], statements: vec![], end, origin: Origin::Frame("policy") };
        let ruleset = Ruleset {
            chains: [(Name::new("c"), Arc::new(Chain { base: None, rules: vec![rule] }))].into(),
            sets: [(Name::new("classes"), Arc::new(classes)), (Name::new("map"), Arc::new(map))].into(),
        };
        assert_eq!(
            render(&ruleset).replace('\t', " "),
            "table inet tortie {\n map classes {\n  typeof ip saddr : class\n  flags interval\n  \
             elements = { 10.0.0.0-10.0.0.255 : 0x0123456789abcdef }\n }\n \
             map map {\n  typeof class . meta l4proto . th sport : verdict\n  flags interval\n  counter\n  \
             elements = { 0x0000000000000000 . tcp . 0-0x0000000000000000 . udp . 1,\n        \
             0x0123456789abcdef . tcp . 80-90 comment \"policy p\" : accept }\n }\n \
             chain c {\n  ip saddr map @classes . ip daddr map @own . meta l4proto . th dport vmap @map comment \"policy\"\n }\n}\n"
        );
    }
}
