//! Objects as text that every reader takes back: YAML with sorted keys, as users of Calico's tools know it.

use serde_json::{Map, Value};

use crate::scalar::needs_quotes;

/// YAML with keys sorted alphabetically (cli.md section 1.5), two spaces a level, ending in a line feed.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => members(&mut out, object, 0),
        Value::Array(list) if !list.is_empty() => items(&mut out, list, 0),
        other => {
            scalar(&mut out, other);
            out.push('\n');
        }
    }
    out
}

fn members(out: &mut String, object: &Map<String, Value>, indent: usize) {
    let mut keys: Vec<&String> = object.keys().collect();
    keys.sort();
    for (number, key) in keys.into_iter().enumerate() {
        // The first member of an object in a list stands behind its dash.
        if number > 0 || indent == 0 || !out.ends_with("- ") {
            pad(out, indent);
        }
        text(out, key);
        out.push(':');
        match &object[key] {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                members(out, inner, indent + 2);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                items(out, list, indent);
            }
            other => {
                out.push(' ');
                scalar(out, other);
                out.push('\n');
            }
        }
    }
}

fn items(out: &mut String, list: &[Value], indent: usize) {
    for (number, item) in list.iter().enumerate() {
        if number > 0 || !out.ends_with("- ") {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => members(out, inner, indent + 2),
            Value::Array(inner) if !inner.is_empty() => items(out, inner, indent + 2),
            other => {
                scalar(out, other);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(value) => text(out, value),
        other => out.push_str(&other.to_string()),
    }
}

fn text(out: &mut String, value: &str) {
    if !needs_quotes(value) {
        out.push_str(value);
    } else if value.chars().any(|c| c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}')) {
        double_quoted(out, value);
    } else {
        out.push('\'');
        out.push_str(&value.replace('\'', "''"));
        out.push('\'');
    }
}

fn double_quoted(out: &mut String, value: &str) {
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}') => {
                out.push_str(&format!("\\U{:08x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
