//! `printf` of Go, for the values that templates have.

use std::iter::Peekable;
use std::str::Chars;

use super::data::Data;
use super::number::{float, scientific};

#[derive(Default)]
struct Flags {
    is_left: bool,
    has_sign: bool,
    is_sharp: bool,
    has_space: bool,
    has_zeros: bool,
    width: usize,
    precision: Option<usize>,
}

/// The text that a format makes of its arguments.
pub(super) fn printf(format: &str, arguments: &[Data]) -> String {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = Flags::default();
        while let Some(c) = rest.next_if(|c| "-+# 0".contains(*c)) {
            match c {
                '-' => flags.is_left = true,
                '+' => flags.has_sign = true,
                '#' => flags.is_sharp = true,
                ' ' => flags.has_space = true,
                _ => flags.has_zeros = true,
            }
        }
        flags.width = number(&mut rest);
        if rest.next_if_eq(&'.').is_some() {
            flags.precision = Some(number(&mut rest));
        }
        match rest.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&pad(&formatted(verb, value, &flags), value, &flags)),
            },
        }
    }
    let extra: Vec<String> = arguments.map(|value| format!("{}={value}", value.type_name())).collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

/// A width that no table needs is a mistake.
const WIDTH_MAX: usize = 10_000;

fn number(rest: &mut Peekable<Chars<'_>>) -> usize {
    let mut digits = String::new();
    while let Some(c) = rest.next_if(char::is_ascii_digit) {
        digits.push(c);
    }
    digits.parse::<usize>().unwrap_or(0).min(WIDTH_MAX)
}

fn pad(text: &str, value: &Data, flags: &Flags) -> String {
    let missing = flags.width.saturating_sub(text.chars().count());
    if missing == 0 {
        return text.to_owned();
    }
    if flags.is_left {
        return format!("{text}{}", " ".repeat(missing));
    }
    if flags.has_zeros && matches!(value, Data::Int(_) | Data::Float(_)) {
        let digits = text.trim_start_matches(['+', '-']);
        return format!("{}{}{digits}", &text[..text.len() - digits.len()], "0".repeat(missing));
    }
    format!("{}{text}", " ".repeat(missing))
}

fn formatted(verb: char, value: &Data, flags: &Flags) -> String {
    let signed = |text: String, is_negative: bool| match (is_negative, flags.has_sign, flags.has_space) {
        (false, true, _) => format!("+{text}"),
        (false, false, true) => format!(" {text}"),
        _ => text,
    };
    match (verb, value) {
        ('T', _) => value.type_name(),
        ('v', Data::Text(text)) if flags.is_sharp => quote(text),
        ('v' | 'd', Data::Int(number)) => signed(number.to_string(), *number < 0),
        ('v', Data::Float(number)) => signed(float(*number), *number < 0.0),
        ('v', _) | ('t', Data::Bool(_)) => value.to_string(),
        ('s', Data::Text(text)) => match flags.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.clone(),
        },
        ('q', Data::Text(text)) => quote(text),
        ('x', Data::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('X', Data::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ('x', Data::Int(number)) => format!("{number:x}"),
        ('X', Data::Int(number)) => format!("{number:X}"),
        ('o', Data::Int(number)) => format!("{number:o}"),
        ('b', Data::Int(number)) => format!("{number:b}"),
        ('c', Data::Int(number)) => {
            u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('f' | 'F', Data::Float(number)) => signed(format!("{number:.*}", flags.precision.unwrap_or(6)), *number < 0.0),
        ('e', Data::Float(number)) => signed(scientific(*number, flags.precision.unwrap_or(6)), *number < 0.0),
        ('g', Data::Float(number)) => signed(float(*number), *number < 0.0),
        // A verb holds for what a list or map is made of.
        (_, Data::List(items)) => {
            let items: Vec<String> = items.iter().map(|item| formatted(verb, item, flags)).collect();
            format!("[{}]", items.join(" "))
        }
        (_, Data::Map(members)) => {
            let members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}:{}", formatted(verb, value, flags))).collect();
            format!("map[{}]", members.join(" "))
        }
        (_, Data::Nil) => format!("%!{verb}(<nil>)"),
        _ => format!("%!{verb}({}={value})", value.type_name()),
    }
}

/// A text as Go writes it in a program.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
