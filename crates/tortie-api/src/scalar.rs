//! Plain scalars, and where YAML 1.1 and 1.2 read them differently (resources.md section 1.2).

/// What a plain scalar is in YAML 1.1, the reading of the reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Plain {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i128),
    /// A floating-point number.
    Float(f64),
    /// Anything else.
    Text,
}

/// Reads a plain scalar as YAML 1.1 does.
pub(crate) fn yaml_1_1(text: &str) -> Plain {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Plain::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => return Plain::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Plain::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Plain::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Plain::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Plain::Float(f64::NAN),
        _ => {}
    }
    let starts_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    if !starts_number {
        return Plain::Text;
    }
    let digits = text.replace('_', "");
    if let Some(number) = integer(&digits) {
        return Plain::Int(number);
    }
    // Words such as `infinity` are numbers to Rust's parser and none here.
    let is_float = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
        && digits.bytes().any(|b| b.is_ascii_digit());
    match digits.parse::<f64>() {
        Ok(number) if is_float => Plain::Float(number),
        _ => Plain::Text,
    }
}

fn integer(text: &str) -> Option<i128> {
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = if let Some(digits) = magnitude.strip_prefix("0x").or(magnitude.strip_prefix("0X")) {
        (16, digits)
    } else if let Some(digits) = magnitude.strip_prefix("0b").or(magnitude.strip_prefix("0B")) {
        (2, digits)
    } else if let Some(digits) = magnitude.strip_prefix("0o").or(magnitude.strip_prefix("0O")) {
        (8, digits)
    } else if magnitude.len() > 1 && magnitude.starts_with('0') {
        (8, &magnitude[1..])
    } else {
        (10, magnitude)
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    i128::from_str_radix(digits, radix).ok().map(|number| sign * number)
}

/// Whether a plain scalar is the decimal integer that both readings agree on.
pub(crate) fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

/// Whether text must stand in quotes to be read as this text by YAML 1.1 and 1.2 alike.
pub(crate) fn needs_quotes(text: &str) -> bool {
    if text.is_empty() || yaml_1_1(text) != Plain::Text || text != text.trim() {
        return true;
    }
    // Sexagesimal numbers and dates of YAML 1.1.
    if text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) && looks_numeric(text) {
        return true;
    }
    let starts_badly = text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@`=<".contains(c)) && !is_harmless_dash(text);
    starts_badly
        || text.contains(": ")
        || text.contains(" #")
        || text.ends_with(':')
        || text
            .chars()
            .any(|c| c.is_control() || c == '\u{feff}' || c == '\u{2028}' || c == '\u{2029}' || c == '\u{85}')
}

fn is_harmless_dash(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(|c: char| c.is_ascii_alphanumeric())
}

fn looks_numeric(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b':' | b'_' | b'e' | b'E' | b'T' | b'Z' | b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_as_yaml_1_1_reads_them() {
        for (text, expected) in [
            ("1.10", Plain::Float(1.1)),
            ("010", Plain::Int(8)),
            ("0x10", Plain::Int(16)),
            ("1_000", Plain::Int(1000)),
            ("1e3", Plain::Float(1000.0)),
            ("y", Plain::Bool(true)),
            ("off", Plain::Bool(false)),
            ("", Plain::Null),
            ("eth0", Plain::Text),
            ("10.0.0.1", Plain::Text),
            ("8000:8099", Plain::Text),
            ("-1", Plain::Int(-1)),
            ("0100", Plain::Int(64)),
            ("infinity", Plain::Text),
            ("2026-11-24", Plain::Text),
            ("-", Plain::Text),
            (".5", Plain::Float(0.5)),
        ] {
            assert_eq!(yaml_1_1(text), expected, "{text}");
        }
    }
}
