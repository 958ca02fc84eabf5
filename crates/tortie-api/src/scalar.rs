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

/// Whether a plain scalar is this text to YAML 1.1 and 1.2 alike, and not a number, a date or a merge key.
pub(crate) fn is_read_as_text(text: &str) -> bool {
    !text.is_empty() && text != "<<" && yaml_1_1(text) == Plain::Text && !is_sexagesimal(text) && !is_date(text)
}

/// Whether a text has the form of a plain scalar outside of brackets (YAML 1.1 section 9.1.3).
pub(crate) fn is_plain_form(text: &str) -> bool {
    let mut rest = text.chars();
    let (Some(first), second) = (rest.next(), rest.next()) else { return false };
    let is_space = |c: Option<char>| c.is_none_or(|c| c == ' ');
    let starts_badly = match first {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' | '=' => true,
        '-' | '?' | ':' => is_space(second),
        _ => false,
    };
    !starts_badly
        && text == text.trim()
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with(':')
        && !text.starts_with("---")
        && !text.starts_with("...")
        && is_printable(text)
}

/// Whether a text can stand in single quotes on one line.
pub(crate) fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{85}'))
}

/// A number to the base of 60, `190:20:30`.
fn is_sexagesimal(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = digits.split(':');
    let is_first = |part: &str| part.starts_with(|c: char| c.is_ascii_digit()) && is_numeral(part);
    let is_next = |part: &str| match part.as_bytes() {
        [one] => one.is_ascii_digit(),
        [ten, one] => (b'0'..=b'5').contains(ten) && one.is_ascii_digit(),
        _ => false,
    };
    let Some(first) = parts.next() else { return false };
    let mut count = 0;
    is_first(first)
        && parts.all(|part| {
            count += 1;
            // Only the last one has a fraction.
            is_next(part) || part.split_once('.').is_some_and(|(whole, rest)| is_next(whole) && is_numeral(rest))
        })
        && count > 0
}

fn is_numeral(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'_')
}

/// A date, with or without a time.
fn is_date(text: &str) -> bool {
    let is_digits = |part: &str, len: std::ops::RangeInclusive<usize>| {
        len.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
    };
    let day = text.split(['T', 't', ' ']).next().unwrap_or_default();
    let parts: Vec<&str> = day.split('-').collect();
    matches!(parts.as_slice(), [year, month, day]
        if is_digits(year, 4..=4) && is_digits(month, 1..=2) && is_digits(day, 1..=2))
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
