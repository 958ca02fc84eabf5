//! `-l`: a selector as policies have it, or as kubectl takes it (cli.md section 2.3).

use serde_json::{Map, Value};
use tortie_api::{Kind, selector_hint};
use tortie_selector::{Labels, Selector};

use crate::exit::{Code, Failure};

/// The selector of a command, which may choose among all objects of a kind and not beside names.
pub(crate) fn of(text: Option<&str>, wanted: &[(Kind, Option<String>)]) -> Result<Option<Selector>, Failure> {
    let selector = text.map(parse).transpose()?;
    if selector.is_some() && wanted.iter().any(|(_, name)| name.is_some()) {
        return Err(Failure::new(Code::Usage, "a name and a selector cannot be given together")
            .with_hint("leave `-l` out, or the names"));
    }
    Ok(selector)
}

/// Reads `-l`: `role == 'web' && has(zone)`, or `role=web,zone`.
pub(crate) fn parse(text: &str) -> Result<Selector, Failure> {
    let ours = match Selector::parse(text) {
        Ok(selector) => return Ok(selector),
        Err(error) => error,
    };
    requirements(text).ok_or_else(|| {
        let form = "write `role == 'web' && has(zone)`, or `role=web,zone!=a,env in (x,y),!old` as with kubectl";
        Failure::new(Code::Usage, format!("`-l {text}` is no selector: {ours}"))
            .with_hint(selector_hint(text, &ours).unwrap_or_else(|| form.to_owned()))
    })
}

/// Whether an object's own labels match.
pub(crate) fn takes(selector: &Selector, object: &Map<String, Value>) -> bool {
    selector.matches(&Own(object))
}

/// The labels that stand in an object.
struct Own<'a>(&'a Map<String, Value>);

impl Labels for Own<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get("metadata")?.get("labels")?.get(name)?.as_str()
    }
}

/// Requirements of kubectl, all of which have to hold (Kubernetes documentation, "Labels and Selectors").
fn requirements(text: &str) -> Option<Selector> {
    let mut all = Selector::all();
    for part in split(text)? {
        all = all.and(&requirement(part.trim())?);
    }
    Some(all)
}

/// The parts between commas that stand in no parentheses.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_u32);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (depth == 0).then_some(parts)
}

fn requirement(text: &str) -> Option<Selector> {
    if let Some(rest) = text.strip_prefix('!') {
        return is_word(rest).then(|| Selector::not_has(rest));
    }
    if let Some((key, value)) = text.split_once("!=") {
        let (key, value) = pair(key, value)?;
        return Some(Selector::equals(key, value).not());
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        let (key, value) = pair(key, value)?;
        return Some(Selector::equals(key, value));
    }
    if let Some(values) = text.strip_suffix(')') {
        let (head, values) = values.split_once('(')?;
        let words: Vec<&str> = head.split_whitespace().collect();
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        if !values.iter().all(|value| value.is_empty() || is_word(value)) {
            return None;
        }
        return match words[..] {
            [key, "in"] if is_word(key) => Some(Selector::is_in(key, values)),
            [key, "notin"] if is_word(key) => Some(Selector::is_in(key, values).not()),
            _ => None,
        };
    }
    is_word(text).then(|| Selector::has(text))
}

fn pair<'a>(key: &'a str, value: &'a str) -> Option<(&'a str, &'a str)> {
    let (key, value) = (key.trim(), value.trim());
    (is_word(key) && (value.is_empty() || is_word(value))).then_some((key, value))
}

/// Characters of label keys and values.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || "._-/".contains(character))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn both_languages_are_read() {
        let object = json!({"metadata": {"labels": {"role": "web", "zone": "a", "app.kubernetes.io/name": "x"}}});
        let object = object.as_object().unwrap();
        let cases = [
            ("role == 'web' && has(zone)", true),
            ("all()", true),
            ("!has(role)", false),
            ("role=web", true),
            ("role==web", true),
            ("role = web, zone", true),
            ("role=web,zone!=a", false),
            ("old!=1", true),
            ("!old", true),
            ("!role", false),
            ("role", true),
            ("zone in (a,b),role notin (db)", true),
            ("zone notin (a, b)", false),
            ("old notin (a)", true),
            ("app.kubernetes.io/name=x", true),
        ];
        for (text, wanted) in cases {
            let selector = parse(text).unwrap_or_else(|failure| panic!("{text}: {:?}", failure.messages));
            assert_eq!(takes(&selector, object), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["role == web && zone", "a=b=c", "(a", "a)", "a in b", "a,,b", "=b", "a b", "role == 'web"] {
            let failure = parse(text).expect_err(text);
            assert_eq!(failure.code, Code::Usage, "{text}");
        }
        for (text, hint) in [("hass(role)", "did you mean `has(`?"), ("role conatins 'x'", "did you mean `contains`?")]
        {
            assert_eq!(parse(text).unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
    }
}
