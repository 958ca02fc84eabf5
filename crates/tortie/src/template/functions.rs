//! The functions of templates: those of Go's `text/template`, and what Calico's tools add.

use super::data::Data;
use super::printf::{printf, quote};

/// Functions whose arguments are all evaluated first; `and` and `or` stop early.
const NAMES: &[&str] = &[
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "index",
    "slice",
    "len",
    "print",
    "printf",
    "println",
    "html",
    "js",
    "urlquery",
    "join",
    "joinAndTruncate",
    "config",
];

pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The number of the autonomous system that Calico assumes where nothing says another.
const DEFAULT_AS_NUMBER: &str = "64512";

/// Calls a function.
pub(super) fn call(name: &str, arguments: &[Data]) -> Result<Data, String> {
    let wanted = |least: usize, most: usize| match arguments.len() {
        len if (least..=most).contains(&len) => Ok(()),
        len if most == usize::MAX => Err(format!("wrong number of args for {name}: want at least {least} got {len}")),
        len => Err(format!("wrong number of args for {name}: want {least} got {len}")),
    };
    match name {
        "not" => wanted(1, 1).map(|()| Data::Bool(!arguments[0].is_true())),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => {
            wanted(if name == "eq" { 1 } else { 2 }, if name == "eq" { usize::MAX } else { 2 })?;
            compare(name, arguments).map(Data::Bool).map_err(|cause| format!("error calling {name}: {cause}"))
        }
        "len" => wanted(1, 1).and_then(|()| len(&arguments[0])),
        "index" => wanted(1, usize::MAX).and_then(|()| index(arguments)),
        "slice" => wanted(1, 4).and_then(|()| slice(arguments)),
        "print" => Ok(Data::Text(print(arguments))),
        "println" => {
            let words: Vec<String> = arguments.iter().map(Data::to_string).collect();
            Ok(Data::Text(words.join(" ") + "\n"))
        }
        "printf" => {
            wanted(1, usize::MAX)?;
            match &arguments[0] {
                Data::Text(format) => Ok(Data::Text(printf(format, &arguments[1..]))),
                other => Err(format!("wrong type for value; expected string; got {}", other.type_name())),
            }
        }
        "html" => Ok(Data::Text(escaped(&print(arguments), html))),
        "js" => Ok(Data::Text(escaped(&print(arguments), javascript))),
        "urlquery" => Ok(Data::Text(url_query(&print(arguments)))),
        "join" => wanted(2, 2).and_then(|()| join(&arguments[0], &arguments[1], 0)),
        "joinAndTruncate" => {
            wanted(3, 3)?;
            match arguments[2] {
                Data::Int(limit) => join(&arguments[0], &arguments[1], usize::try_from(limit).unwrap_or(0)),
                ref other => Err(format!("wrong type for value; expected int; got {}", other.type_name())),
            }
        }
        "config" => wanted(1, 1).map(|()| Data::Text(DEFAULT_AS_NUMBER.to_owned())),
        _ => Err(format!("\"{name}\" is not a defined function")),
    }
}

/// Words with spaces between those that are no text, as Go's `Sprint`.
fn print(arguments: &[Data]) -> String {
    let mut out = String::new();
    for (number, argument) in arguments.iter().enumerate() {
        let is_text = |data: &Data| matches!(data, Data::Text(_));
        if number > 0 && !is_text(argument) && !is_text(&arguments[number - 1]) {
            out.push(' ');
        }
        out.push_str(&argument.to_string());
    }
    out
}

fn compare(name: &str, arguments: &[Data]) -> Result<bool, &'static str> {
    let [first, rest @ ..] = arguments else { return Err("missing argument for comparison") };
    if rest.is_empty() {
        return Err("missing argument for comparison");
    }
    let is_equal = |other: &Data| match (first, other) {
        (Data::Bool(a), Data::Bool(b)) => Ok(a == b),
        (Data::Int(a), Data::Int(b)) => Ok(a == b),
        (Data::Float(a), Data::Float(b)) => Ok(a == b),
        (Data::Text(a), Data::Text(b)) => Ok(a == b),
        (Data::Nil, other) | (other, Data::Nil) => Ok(*other == Data::Nil),
        (Data::List(_) | Data::Map(_), _) | (_, Data::List(_) | Data::Map(_)) => Err("non-comparable type"),
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => Ok(a == b),
        _ => Err("incompatible types for comparison"),
    };
    if name == "eq" || name == "ne" {
        let mut is_any = false;
        for other in rest {
            is_any |= is_equal(other)?;
        }
        return Ok(is_any == (name == "eq"));
    }
    let order = match (first, &rest[0]) {
        (Data::Int(a), Data::Int(b)) => Some(a.cmp(b)),
        (Data::Text(a), Data::Text(b)) => Some(a.cmp(b)),
        (Data::Float(a), Data::Float(b)) => a.partial_cmp(b),
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => {
            return Err("invalid type for comparison");
        }
        _ => return Err("incompatible types for comparison"),
    };
    Ok(order.is_some_and(|order| match name {
        "lt" => order.is_lt(),
        "le" => order.is_le(),
        "gt" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

fn len(value: &Data) -> Result<Data, String> {
    let len = match value {
        Data::Text(text) => text.len(),
        Data::List(items) => items.len(),
        Data::Map(members) => members.len(),
        Data::Nil => return Err("error calling len: len of nil pointer".to_owned()),
        other => return Err(format!("error calling len: len of type {}", other.type_name())),
    };
    Ok(Data::Int(i64::try_from(len).unwrap_or(i64::MAX)))
}

fn index(arguments: &[Data]) -> Result<Data, String> {
    let mut value = arguments[0].clone();
    for key in &arguments[1..] {
        value = match (value, key) {
            (Data::List(items), Data::Int(number)) => {
                let item = usize::try_from(*number).ok().and_then(|number| items.get(number).cloned());
                item.ok_or_else(|| format!("error calling index: index out of range: {number}"))?
            }
            (Data::Text(text), Data::Int(number)) => {
                let byte = usize::try_from(*number).ok().and_then(|number| text.as_bytes().get(number).copied());
                Data::Int(
                    byte.map(i64::from).ok_or_else(|| format!("error calling index: index out of range: {number}"))?,
                )
            }
            (Data::Map(members), Data::Text(key)) => members.get(key).cloned().unwrap_or(Data::Text(String::new())),
            (Data::List(_) | Data::Text(_), key) => {
                return Err(format!("error calling index: cannot index slice/array with type {}", key.type_name()));
            }
            (Data::Map(_), key) => {
                return Err(format!("error calling index: value has type {}; should be string", key.type_name()));
            }
            (Data::Nil, _) => return Err("error calling index: index of untyped nil".to_owned()),
            (other, _) => return Err(format!("error calling index: can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Data]) -> Result<Data, String> {
    let len = match &arguments[0] {
        Data::Text(text) => text.len(),
        Data::List(items) => items.len(),
        other => return Err(format!("error calling slice: can't slice item of type {}", other.type_name())),
    };
    let bound = |number: usize, default: usize| match arguments.get(number) {
        None => Ok(default),
        Some(Data::Int(bound)) => match usize::try_from(*bound) {
            Ok(bound) if bound <= len => Ok(bound),
            _ => Err(format!("error calling slice: index out of range: {bound}")),
        },
        Some(other) => Err(format!("error calling slice: cannot index slice/array with type {}", other.type_name())),
    };
    let (from, to) = (bound(1, 0)?, bound(2, len)?);
    if from > to {
        return Err(format!("error calling slice: invalid slice index: {from} > {to}"));
    }
    match &arguments[0] {
        Data::List(items) => Ok(Data::List(items[from..to].to_vec())),
        Data::Text(text) => {
            let bytes = &text.as_bytes()[from..to];
            Ok(Data::Text(String::from_utf8_lossy(bytes).into_owned()))
        }
        _ => unreachable!("the length is known"),
    }
}

/// What a list holds, or a map as `key=value`, cut at `limit` bytes unless that is 0.
fn join(items: &Data, separator: &Data, limit: usize) -> Result<Data, String> {
    let Data::Text(separator) = separator else {
        return Err(format!("wrong type for value; expected string; got {}", separator.type_name()));
    };
    let words: Vec<String> = match items {
        Data::Nil => Vec::new(),
        Data::List(items) => items.iter().map(Data::to_string).collect(),
        Data::Map(members) => {
            let mut pairs: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
            pairs.sort();
            pairs
        }
        other => vec![other.to_string()],
    };
    let text = words.join(separator);
    Ok(Data::Text(match limit {
        0 => text,
        limit => truncated(&text, limit),
    }))
}

/// A text of at most so many bytes, which ends in dots when it is cut.
pub(crate) fn truncated(text: &str, limit: usize) -> String {
    const DOTS: &str = "...";
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub(DOTS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{DOTS}", &text[..end])
}

fn escaped(text: &str, escape: fn(char) -> Option<String>) -> String {
    text.chars().map(|c| escape(c).unwrap_or_else(|| c.to_string())).collect()
}

fn html(c: char) -> Option<String> {
    let escape = match c {
        '"' => "&#34;",
        '\'' => "&#39;",
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '\0' => "\u{fffd}",
        _ => return None,
    };
    Some(escape.to_owned())
}

fn javascript(c: char) -> Option<String> {
    match c {
        '\\' | '\'' | '"' => Some(format!("\\{c}")),
        '<' | '>' | '&' | '=' => Some(format!("\\u{:04X}", u32::from(c))),
        c if c.is_control() => {
            let quoted = quote(&c.to_string());
            Some(quoted.trim_matches('"').to_owned())
        }
        _ => None,
    }
}

fn url_query(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect()
}
