//! Values of settings: what is written in any source becomes one type, or a sentence that says what is wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value as Json;
use tortie_api::{format_duration, parse_duration};

use super::{Failsafe, InterfacePattern, failsafe};

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`; `1`, `yes`, `y`, `t` and their opposites count too.
    Bool,
    /// One of these words, in any case.
    Word(&'static [&'static str]),
    /// A whole number between the two bounds, both included; `0x` before hexadecimal digits.
    Number(u64, u64),
    /// The same of 32 bits, at least two of them set (E-617).
    Mask,
    /// `1m30s`; in environment and file a bare number is seconds.
    Duration,
    /// Any text.
    Text,
    /// An address or host name.
    Host,
    /// Names of interfaces or their beginnings, joined by commas; one at least.
    Prefixes,
    /// Names of interfaces, and regular expressions between slashes, joined by commas (E-102).
    Patterns,
    /// `N/second`, `/minute`, `/hour` or `/day`, N from 1 to 9999 (E-356).
    Rate,
    /// `name=10s` joined by commas; in the store a list of `{name, timeout}`.
    Timeouts,
    /// Failsafe ports (E-502).
    Failsafes,
}

/// A value of a [`Kind`]. What it prints, [`Value::of_text`] reads.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    /// As the kind writes it; empty is `none`.
    Word(&'static str),
    Number(u64),
    Mask(u32),
    Duration(Duration),
    Text(String),
    Prefixes(Vec<String>),
    Patterns(Vec<InterfacePattern>),
    /// Lines, and the unit in seconds and as a word.
    Rate(Option<(u32, u32, &'static str)>),
    Timeouts(BTreeMap<String, Duration>),
    Failsafes(Vec<Failsafe>),
}

const UNITS: [(&str, u32); 4] = [("second", 1), ("minute", 60), ("hour", 3600), ("day", 86_400)];

impl Value {
    /// What `none` means: the zero value of the type (E-603).
    pub(super) fn zero(kind: Kind) -> Value {
        match kind {
            Kind::Bool => Value::Bool(false),
            Kind::Word(_) => Value::Word(""),
            Kind::Number(..) => Value::Number(0),
            Kind::Mask => Value::Mask(0),
            Kind::Duration => Value::Duration(Duration::ZERO),
            Kind::Text | Kind::Host => Value::Text(String::new()),
            Kind::Prefixes => Value::Prefixes(Vec::new()),
            Kind::Patterns => Value::Patterns(Vec::new()),
            Kind::Rate => Value::Rate(None),
            Kind::Timeouts => Value::Timeouts(BTreeMap::new()),
            Kind::Failsafes => Value::Failsafes(Vec::new()),
        }
    }

    /// Reads what environment or file say.
    ///
    /// # Errors
    /// A sentence that quotes the text and says what would be right.
    pub(super) fn of_text(kind: Kind, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        if trimmed.eq_ignore_ascii_case("none") {
            return Ok(Self::zero(kind));
        }
        match kind {
            Kind::Bool => bool(trimmed).map(Value::Bool),
            Kind::Word(words) => word(words, trimmed).map(Value::Word),
            Kind::Number(min, max) => match number(trimmed) {
                Some(number) if (min..=max).contains(&number) => Ok(Value::Number(number)),
                _ => Err(format!("`{trimmed}` is no whole number from {min} to {max}")),
            },
            Kind::Mask => match number(trimmed).and_then(|number| u32::try_from(number).ok()) {
                Some(mask) if mask.count_ones() >= 2 => Ok(Value::Mask(mask)),
                Some(_) => Err(format!("mark mask `{trimmed}` has too few bits: set two at least")),
                None => Err(format!("`{trimmed}` is no mask of 32 bits: write for instance `0xffff0000`")),
            },
            Kind::Duration => duration(trimmed).map(Value::Duration),
            Kind::Text => Ok(Value::Text(text.to_owned())),
            Kind::Host => host(trimmed).map(Value::Text),
            Kind::Prefixes => prefixes(trimmed).map(Value::Prefixes),
            Kind::Patterns => patterns(trimmed).map(Value::Patterns),
            Kind::Rate => rate(trimmed).map(|rate| Value::Rate(Some(rate))),
            Kind::Timeouts => timeouts(trimmed).map(Value::Timeouts),
            Kind::Failsafes if items(trimmed).next().is_none() => {
                Err(format!("`{trimmed}` names no port: write `none` to close all of them"))
            }
            Kind::Failsafes => {
                let list: Result<Vec<_>, _> = items(trimmed).map(failsafe::from_text).collect();
                list.map(|list| Value::Failsafes(sorted(list)))
            }
        }
    }

    /// Reads what a stored configuration says; a bare number is no duration there (resources.md section 9).
    ///
    /// # Errors
    /// As for [`Value::of_text`].
    pub(super) fn of_json(kind: Kind, json: &Json) -> Result<Value, String> {
        match (kind, json) {
            (Kind::Duration, Json::String(text)) if !text.trim().eq_ignore_ascii_case("none") => {
                parse_duration(text).map(Value::Duration).ok_or_else(|| not_a_duration(text))
            }
            (Kind::Failsafes, Json::Array(items)) => {
                let list: Result<Vec<_>, _> = items.iter().map(failsafe::from_json).collect();
                list.map(|list| Value::Failsafes(sorted(list)))
            }
            (Kind::Timeouts, Json::Array(items)) => {
                let entry = |item: &Json| {
                    let text = |name: &str| item.get(name).and_then(Json::as_str);
                    let entry = text("name").zip(text("timeout").and_then(parse_duration));
                    entry.map(|(name, timeout)| (name.to_owned(), timeout))
                };
                let list: Option<_> = items.iter().map(entry).collect();
                list.map(Value::Timeouts).ok_or_else(|| format!("{json} is not {}", wanted(kind)))
            }
            (_, Json::String(text)) if kind != Kind::Failsafes => Self::of_text(kind, text),
            (Kind::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (Kind::Number(..) | Kind::Mask, Json::Number(number)) => Self::of_text(kind, &number.to_string()),
            (Kind::Duration, Json::Number(number)) => Err(not_a_duration(&number.to_string())),
            (_, other) => Err(format!("{other} is not {}", wanted(kind))),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Value::Bool(value) => value.to_string(),
            Value::Word(word) => (*word).to_owned(),
            Value::Number(number) => number.to_string(),
            Value::Mask(mask) => format!("{mask:#x}"),
            Value::Duration(duration) => format_duration(*duration),
            Value::Text(text) => text.clone(),
            Value::Prefixes(list) => list.join(","),
            Value::Patterns(list) => joined(list.iter().map(|pattern| match pattern {
                InterfacePattern::Exact(name) => name.clone(),
                InterfacePattern::Regex(pattern) => format!("/{pattern}/"),
            })),
            Value::Rate(rate) => rate.map(|(lines, _, unit)| format!("{lines}/{unit}")).unwrap_or_default(),
            Value::Timeouts(map) => joined(map.iter().map(|(name, d)| format!("{name}={}", format_duration(*d)))),
            Value::Failsafes(list) => joined(list.iter().map(ToString::to_string)),
        };
        f.write_str(if text.is_empty() { "none" } else { &text })
    }
}

/// What the store has for a kind, after "is not".
fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true or false",
        Kind::Number(..) | Kind::Mask => "a whole number",
        Kind::Timeouts => "a list of names and timeouts",
        Kind::Failsafes => "a list of ports",
        _ => "text",
    }
}

fn joined(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(",")
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

pub(super) fn sorted(mut list: Vec<Failsafe>) -> Vec<Failsafe> {
    list.sort();
    list.dedup();
    list
}

fn bool(text: &str) -> Result<bool, String> {
    match text.to_lowercase().as_str() {
        "true" | "1" | "yes" | "y" | "t" => Ok(true),
        "false" | "0" | "no" | "n" | "f" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

fn word(words: &[&'static str], text: &str) -> Result<&'static str, String> {
    let found = words.iter().find(|word| word.eq_ignore_ascii_case(text));
    found.copied().ok_or_else(|| format!("`{text}` is not one of {}", words.join(", ")))
}

/// Decimal, or hexadecimal after `0x`. Other leading zeros mean different numbers to different readers: refused.
fn number(text: &str) -> Option<u64> {
    let lower = text.to_lowercase();
    let (digits, radix) = match lower.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None if lower.len() > 1 && lower.starts_with('0') => return None,
        None => (lower.as_str(), 10),
    };
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u64::from_str_radix(digits, radix).ok().filter(|_| is_plain)
}

fn not_a_duration(text: &str) -> String {
    format!("`{text}` is not a duration: write for instance `90s` or `1m30s`")
}

fn duration(text: &str) -> Result<Duration, String> {
    // What a resource could not say either is refused, so that each value can be shown and remembered.
    let is_in_range = |duration: &Duration| i64::try_from(duration.as_nanos()).is_ok();
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(is_in_range).or_else(|| parse_duration(text)).ok_or_else(|| not_a_duration(text))
}

fn is_interface(text: &str) -> bool {
    (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._+-".contains(&byte))
}

fn host(text: &str) -> Result<String, String> {
    let is_good = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":._+-".contains(&byte));
    if is_good { Ok(text.to_owned()) } else { Err(format!("`{text}` is neither an address nor a host name")) }
}

fn prefixes(text: &str) -> Result<Vec<String>, String> {
    if let Some(bad) = items(text).find(|item| !is_interface(item)) {
        return Err(format!("`{bad}` is no beginning of an interface name: 1 to 15 letters, digits and `:._+-`"));
    }
    let list: Vec<_> = items(text).map(str::to_owned).collect();
    if list.is_empty() { Err(format!("`{text}` names no interface")) } else { Ok(list) }
}

fn patterns(text: &str) -> Result<Vec<InterfacePattern>, String> {
    let pattern = |item: &str| match item.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')) {
        Some(pattern) if regex::Regex::new(pattern).is_ok() => Ok(InterfacePattern::Regex(pattern.to_owned())),
        Some(pattern) => Err(format!("`{pattern}` is not a regular expression")),
        None if is_interface(item) => Ok(InterfacePattern::Exact(item.to_owned())),
        None => Err(format!("`{item}` is no interface name: 1 to 15 letters, digits and `:._+-`")),
    };
    items(text).map(pattern).collect()
}

fn rate(text: &str) -> Result<(u32, u32, &'static str), String> {
    let rate = text.split_once('/').and_then(|(lines, unit)| {
        let (unit, unit_s) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let lines = number(lines).filter(|lines| (1..=9999).contains(lines))?;
        Some((u32::try_from(lines).ok()?, unit_s, unit))
    });
    rate.ok_or_else(|| format!("`{text}` is not a rate: write for instance `10/second`"))
}

fn timeouts(text: &str) -> Result<BTreeMap<String, Duration>, String> {
    let entry = |item: &str| {
        let (name, timeout) = item.split_once('=').ok_or_else(|| format!("`{item}` is not `name=duration`"))?;
        Ok((name.trim().to_owned(), duration(timeout.trim())?))
    };
    items(text).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(kind: Kind, text: &str, printed: Option<&str>) {
        let value = Value::of_text(kind, text);
        assert_eq!(value.as_ref().ok().map(ToString::to_string).as_deref(), printed, "{kind:?} {text}: {value:?}");
        // What is printed is remembered, and read again (D-12).
        if let (Ok(value), Some(printed)) = (value, printed) {
            assert_eq!(Value::of_text(kind, printed), Ok(value), "{printed}");
        }
    }

    #[test]
    fn texts_of_environment_and_file_e603_e604() {
        let words = Kind::Word(&["Drop", "Reject"]);
        for (kind, written, printed) in [
            (Kind::Bool, "YES", Some("true")),
            (Kind::Bool, "f", Some("false")),
            (Kind::Bool, "None", Some("false")),
            (Kind::Bool, "on", None),
            (words, "REJECT", Some("Reject")),
            (words, "refuse", None),
            (Kind::Number(0, 65535), "0x10", Some("16")),
            (Kind::Number(0, 65535), "none", Some("0")),
            (Kind::Number(0, 65535), "65536", None),
            (Kind::Number(0, 65535), "-1", None),
            (Kind::Number(0, 65535), "+1", None),
            (Kind::Number(0, 65535), "010", None),
            (Kind::Mask, "0xFF00", Some("0xff00")),
            (Kind::Mask, "4294901760", Some("0xffff0000")),
            (Kind::Mask, "0x100", None),
            (Kind::Mask, "0", None),
            (Kind::Mask, "0x1ffffffff", None),
            (Kind::Duration, "90", Some("1m30s")),
            (Kind::Duration, "0.5", Some("500ms")),
            (Kind::Duration, "1m30s", Some("1m30s")),
            (Kind::Duration, "0", Some("0s")),
            (Kind::Duration, "none", Some("0s")),
            (Kind::Duration, "-1", None),
            (Kind::Duration, "-1s", None),
            (Kind::Duration, "inf", None),
            (Kind::Duration, "nan", None),
            (Kind::Duration, "1e30", None),
            (Kind::Duration, "soon", None),
            (Kind::Text, "a b: ", Some("a b: ")),
            (Kind::Text, "NONE", Some("none")),
            (Kind::Host, "127.0.0.1", Some("127.0.0.1")),
            (Kind::Host, "a b", None),
            (Kind::Prefixes, "cali, tap", Some("cali,tap")),
            (Kind::Prefixes, ",", None),
            (Kind::Prefixes, "a/b", None),
            (Kind::Patterns, "kube-ipvs0,/^veth/", Some("kube-ipvs0,/^veth/")),
            (Kind::Patterns, "/(/", None),
            (Kind::Patterns, "none", Some("none")),
            (Kind::Rate, "10/minute", Some("10/minute")),
            (Kind::Rate, "0/minute", None),
            (Kind::Rate, "10000/day", None),
            (Kind::Rate, "1/week", None),
            (Kind::Timeouts, "calc=20s, dataplane=90", Some("calc=20s,dataplane=1m30s")),
            (Kind::Timeouts, "calc", None),
            (Kind::Failsafes, "udp:53,22", Some("tcp:22,udp:53")),
            (Kind::Failsafes, "none", Some("none")),
            (Kind::Failsafes, "22,icmp:1", None),
            (Kind::Failsafes, ",", None),
        ] {
            text(kind, written, printed);
        }
    }

    #[test]
    fn values_of_the_store_have_types_d12() {
        for (kind, json, printed) in [
            (Kind::Bool, json!(true), Some("true")),
            (Kind::Bool, json!(1), None),
            (Kind::Number(0, 9), json!(7), Some("7")),
            (Kind::Number(0, 9), json!(7.5), None),
            (Kind::Number(0, 9), json!(-7), None),
            (Kind::Mask, json!(65280), Some("0xff00")),
            (Kind::Duration, json!("1m30s"), Some("1m30s")),
            (Kind::Duration, json!("90"), None),
            (Kind::Duration, json!(90), None),
            (Kind::Text, json!(["x"]), None),
            (Kind::Timeouts, json!([{"name": "calc", "timeout": "20s"}]), Some("calc=20s")),
            (Kind::Timeouts, json!([{"name": "calc", "timeout": 20}]), None),
            (Kind::Failsafes, json!([{"port": 22}]), Some("tcp:22")),
            (Kind::Failsafes, json!("tcp:22"), None),
        ] {
            let value = Value::of_json(kind, &json);
            assert_eq!(value.as_ref().ok().map(ToString::to_string).as_deref(), printed, "{kind:?} {json}: {value:?}");
        }
    }
}
