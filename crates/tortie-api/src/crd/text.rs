//! Rules of single texts as schemas: enumerations, patterns and lengths.
//!
//! Syntax of selectors, addresses, networks, protocols and ports is left to writers and agents (resources.md section 12,
//! the row "no"): objects of other writers hold what Tortie would not write, and stay editable.

use serde_json::{Map, Value, json};

use super::structural::{add_rules, of_type};
use crate::checks::{NAME_LEN_MAX, SELECTOR_LEN_MAX};
use crate::schema::{NO_LIMIT, Rule, Text};

/// One part of a name (resources.md section 1.3).
const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";

const NOT_GLOBAL: Rule = Rule { expression: "!self.contains('global(')", message: "global() is not allowed here" };
const IPV4: Rule = Rule {
    expression: "self == '' || (isIP(self) && ip(self).family() == 4)",
    message: "an IPv4 address is wanted here",
};
const IPV6: Rule = Rule {
    expression: "self == '' || (isIP(self) && ip(self).family() == 6)",
    message: "an IPv6 address is wanted here",
};
/// Writers normalise durations, and more than a second with a fraction has no normal form of whole numbers.
const WHOLE: Rule = Rule {
    expression: "duration(self) < duration('1s') || duration(self).getMilliseconds() % 1000 == 0",
    message: "use whole hours, minutes and seconds, or milliseconds below one second",
};

/// The schema of a text; `takes_empty` where an empty one counts as absent.
pub(super) fn schema(rule: Text, takes_empty: bool) -> Map<String, Value> {
    match rule {
        Text::Any(NO_LIMIT) => of_type("string"),
        Text::Any(limit) => at_most(limit),
        Text::OneOf(words) => {
            let mut schema = of_type("string");
            let empty = takes_empty.then_some("");
            schema.insert("enum".to_owned(), words.iter().copied().chain(empty).collect());
            schema
        }
        Text::OneOfAnyCase(words) => pattern(of_type("string"), &format!("(?i:{})", words.join("|")), takes_empty),
        Text::Name => pattern(at_most(NAME_LEN_MAX), &format!(r"{LABEL}(\.{LABEL})*"), takes_empty),
        Text::TierName => pattern(at_most(63), LABEL, takes_empty),
        Text::Interface => pattern(at_most(15), r"\*|[A-Za-z0-9_.-]+", takes_empty),
        Text::Selector | Text::NamespaceSelector => at_most(SELECTOR_LEN_MAX),
        Text::ScopedSelector => with(at_most(SELECTOR_LEN_MAX), NOT_GLOBAL),
        Text::AddressV4 => with(of_type("string"), IPV4),
        Text::AddressV6 => with(of_type("string"), IPV6),
        Text::Protocol | Text::PortProtocol | Text::Port | Text::NumericPort | Text::AsNumber => int_or_string(),
        Text::Duration => with(pattern(of_type("string"), "([0-9]+(h|m|s|ms))+", takes_empty), WHOLE),
        Text::LogPrefix => pattern(of_type("string"), "[A-Za-z0-9%: /_-]*", false),
        Text::RateLimit => pattern(of_type("string"), "[1-9][0-9]{0,3}/(second|minute|hour|day)", takes_empty),
        Text::MetricsHost => pattern(at_most(64), "[A-Za-z0-9:._+-]+", takes_empty),
        Text::Region => pattern(at_most(46), LABEL, takes_empty),
        Text::HealthName => pattern(of_type("string"), "[A-Za-z0-9_ -]+", takes_empty),
        Text::HttpPath => pattern(at_most(1024), "/[^?# ]*", takes_empty),
        Text::Address
        | Text::StrictNet
        | Text::LooseNet
        | Text::LooseNetV4
        | Text::LooseNetV6
        | Text::PortName
        | Text::FreeDuration
        | Text::FailsafeProtocol
        | Text::Mac
        | Text::Regex => of_type("string"),
    }
}

/// An integer or a text, as Kubernetes writes it.
pub(super) fn int_or_string() -> Map<String, Value> {
    Map::from_iter([
        ("anyOf".to_owned(), json!([{"type": "integer"}, {"type": "string"}])),
        ("x-kubernetes-int-or-string".to_owned(), json!(true)),
    ])
}

fn at_most(limit: usize) -> Map<String, Value> {
    let mut schema = of_type("string");
    schema.insert("maxLength".to_owned(), json!(limit));
    schema
}

/// Adds a pattern for the whole text.
fn pattern(mut schema: Map<String, Value>, pattern: &str, takes_empty: bool) -> Map<String, Value> {
    let optional = if takes_empty { "?" } else { "" };
    schema.insert("pattern".to_owned(), json!(format!("^({pattern}){optional}$")));
    schema
}

fn with(mut schema: Map<String, Value>, rule: Rule) -> Map<String, Value> {
    add_rules(&mut schema, &[rule]);
    schema
}
