//! What a selector that cannot be read was probably meant to be.

use tortie_selector::{Expected, ParseError};

use crate::checks::nearest;

/// Functions, each as it is written.
const FUNCTIONS: [(&str, &str); 3] = [("has", "has("), ("all", "all()"), ("global", "global()")];
/// Operators behind a label.
const OPERATORS: [&str; 9] =
    ["==", "!=", "contains", "starts with", "ends with", "in", "not in", "startswith", "endswith"];
/// How several values are written.
const SET: &str = "write the values as `{'a', 'b'}`";
/// What joins and negates in other languages, and here.
const JOINTS: [(&str, &str); 3] = [("and", "&&"), ("or", "||"), ("not", "!")];

/// What to write instead, where that can be told from the place of the error.
pub fn selector_hint(text: &str, error: &ParseError) -> Option<String> {
    let before = text.get(..error.offset)?;
    let rest = text.get(error.offset..)?;
    match error.expected {
        Expected::EqualSign => Some("write `==`".to_owned()),
        Expected::AndSign => Some("write `&&`".to_owned()),
        Expected::OrSign => Some("write `||`".to_owned()),
        Expected::Operator => behind_label(last_word(before), rest),
        Expected::End | Expected::ClosingParen => joint(first_word(rest)),
        Expected::Text => match first_word(rest) {
            "" => Some("write the value in quotes".to_owned()),
            word => Some(format!("write the value in quotes: `'{word}'`")),
        },
        Expected::Set => Some(SET.to_owned()),
        Expected::Identifier if rest.starts_with('[') => Some(SET.to_owned()),
        _ => None,
    }
}

/// `label` is followed by something that is no operator.
fn behind_label(label: &str, rest: &str) -> Option<String> {
    if rest.starts_with('(') {
        let known =
            || FUNCTIONS.map(|(_, written)| if written.ends_with(')') { written } else { "has(LABEL)" }).join(", ");
        return Some(match nearest(label, FUNCTIONS.map(|(name, _)| name)) {
            Some(name) => format!("did you mean `{name}(`?"),
            None => format!("the functions are {}", known()),
        });
    }
    let word = first_word(rest);
    if label == "has" && !word.is_empty() {
        return Some(format!("did you mean `has({word})`?"));
    }
    if let Some(hint) = joint(label) {
        return Some(hint);
    }
    if word.is_empty() {
        return None;
    }
    // Some operators are two words.
    let behind = first_word(rest[word.len()..].trim_start_matches([' ', '\t']));
    let near = nearest(&format!("{word} {behind}"), OPERATORS).or_else(|| nearest(word, OPERATORS));
    Some(match near {
        Some(near) => format!("did you mean `{}`?", spaced(near)),
        None => "the operators are ==, !=, contains, starts with, ends with, in, not in".to_owned(),
    })
}

/// Operators are read without their space, too.
fn spaced(operator: &str) -> &str {
    match operator {
        "startswith" => "starts with",
        "endswith" => "ends with",
        other => other,
    }
}

fn joint(word: &str) -> Option<String> {
    let lower = word.to_ascii_lowercase();
    JOINTS.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| format!("did you mean `{ours}`?"))
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_./-".contains(letter)
}

fn first_word(text: &str) -> &str {
    &text[..text.find(|letter| !is_word(letter)).unwrap_or(text.len())]
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end_matches([' ', '\t']);
    text.rsplit(|letter| !is_word(letter)).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use tortie_selector::Selector;

    use super::*;

    #[test]
    fn what_was_probably_meant_is_said() {
        for (text, hint) in [
            ("hass(role)", Some("did you mean `has(`?")),
            ("a == 'b' && al()", Some("did you mean `all(`?")),
            ("glboal()", Some("did you mean `global(`?")),
            ("frobnicate(role)", Some("the functions are has(LABEL), all(), global()")),
            ("has role", Some("did you mean `has(role)`?")),
            ("role = 'web'", Some("write `==`")),
            ("role conatins 'x'", Some("did you mean `contains`?")),
            ("role startwith 'x'", Some("did you mean `starts with`?")),
            ("role start with 'x'", Some("did you mean `starts with`?")),
            ("role ned with 'x'", Some("did you mean `ends with`?")),
            ("role nott in {'a'}", Some("did you mean `not in`?")),
            ("role resembles 'x'", Some("the operators are ==, !=, contains, starts with, ends with, in, not in")),
            ("a == 'b' and c == 'd'", Some("did you mean `&&`?")),
            ("(a == 'b' OR c == 'd')", Some("did you mean `||`?")),
            ("a == 'b' & c == 'd'", Some("write `&&`")),
            ("a == 'b' | c == 'd'", Some("write `||`")),
            ("not has(x)", Some("did you mean `!`?")),
            ("role == web", Some("write the value in quotes: `'web'`")),
            ("role ==", Some("write the value in quotes")),
            ("role in ['a']", Some("write the values as `{'a', 'b'}`")),
            ("role", None),
            ("(has(a)", None),
            ("has(role", None),
        ] {
            let error = Selector::parse(text).expect_err(text);
            assert_eq!(selector_hint(text, &error).as_deref(), hint, "{text}: {error}");
        }
    }
}
