//! Objects as text that every reader takes back: YAML with sorted keys, as users of Calico's tools know it.

use serde_json::{Map, Value};

use crate::scalar::{is_plain_form, is_printable, is_read_as_text};

/// YAML with keys sorted alphabetically (cli.md section 1.5), two spaces a level, ending in a line feed.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(object) if !object.is_empty() => members(&mut out, object, 0),
        Value::Array(list) if !list.is_empty() => items(&mut out, list, 0),
        other => {
            scalar(&mut out, other, 0);
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
                scalar(out, other, indent + 2);
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
                scalar(out, other, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(value) if is_block(value) => block(out, value, indent),
        Value::String(value) => text(out, value),
        other => out.push_str(&other.to_string()),
    }
}

/// Quotes tell what a text is not: double ones, that it is no number, date or boolean; single ones, no syntax.
fn text(out: &mut String, value: &str) {
    if !is_printable(value) || !is_read_as_text(value) {
        double_quoted(out, value);
    } else if is_plain_form(value) {
        out.push_str(value);
    } else {
        out.push('\'');
        out.push_str(&value.replace('\'', "''"));
        out.push('\'');
    }
}

/// Whether a text of several lines can be written line by line.
fn is_block(value: &str) -> bool {
    value.contains('\n')
        && !value.starts_with([' ', '\n'])
        && !value.ends_with(' ')
        && value.split('\n').all(|line| is_printable(line) && !line.ends_with(' '))
}

fn block(out: &mut String, value: &str, indent: usize) {
    let lines = value.trim_end_matches('\n');
    out.push('|');
    match value.len() - lines.len() {
        0 => out.push('-'),
        1 => {}
        _ => out.push('+'),
    }
    for line in value[..lines.len()].split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
    // The last line feed is that of the line.
    out.extend(std::iter::repeat_n('\n', (value.len() - lines.len()).saturating_sub(1)));
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
