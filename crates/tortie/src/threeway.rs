//! Three forms of an object: the one that a document was made from, the one that is stored now, and the document.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

/// Characters of a value that are shown.
const VALUE_LEN_MAX: usize = 60;

/// Who changed a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Both, each to something else.
    Both,
    /// Both, to the same.
    Alike,
    /// What is stored only.
    Stored,
    /// The document only.
    Given,
}

impl Mark {
    const ALL: [Mark; 4] = [Mark::Both, Mark::Stored, Mark::Given, Mark::Alike];

    fn sign(self) -> char {
        match self {
            Mark::Both => '!',
            Mark::Alike => '=',
            Mark::Stored => '<',
            Mark::Given => '>',
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Mark::Both => "changed on both sides",
            Mark::Alike => "changed alike on both sides",
            Mark::Stored => "changed in the store only",
            Mark::Given => "changed in the file only",
        }
    }
}

/// One field that is not the same in all three.
struct Line {
    mark: Mark,
    path: String,
    base: String,
    stored: String,
    given: String,
}

/// The fields that are not the same in all three.
pub(crate) struct ThreeWay(Vec<Line>);

impl ThreeWay {
    /// Compares what users write: labels, annotations and spec. Where the document names `is_part` of the object only, what it
    /// does not name is as it was.
    pub(crate) fn new(
        base: &Map<String, Value>,
        stored: &Map<String, Value>,
        given: &Map<String, Value>,
        is_part: bool,
    ) -> ThreeWay {
        let [base, stored, given] = [base, stored, given].map(own);
        let mut lines = Vec::new();
        compare("", [Some(&base), Some(&stored), Some(&given)], is_part, &mut lines);
        ThreeWay(lines)
    }

    /// Whether a field has this mark.
    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.0.iter().any(|line| line.mark == mark)
    }
}

impl fmt::Display for ThreeWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { mark, path, base, stored, given } in &self.0 {
            write!(f, "  {} {path}: {base} -> ", mark.sign())?;
            match mark {
                Mark::Both => writeln!(f, "{stored} stored / {given} given")?,
                Mark::Alike => writeln!(f, "{stored} stored and given")?,
                Mark::Stored => writeln!(f, "{stored} stored")?,
                Mark::Given => writeln!(f, "{given} given")?,
            }
        }
        let marks = Mark::ALL.into_iter().filter(|mark| self.has(*mark));
        let legend: Vec<String> = marks.map(|mark| format!("`{}` {}", mark.sign(), mark.meaning())).collect();
        match legend.is_empty() {
            true => f.write_str("  no field differs"),
            false => write!(f, "  ({})", legend.join(", ")),
        }
    }
}

/// The parts of an object that its user writes.
fn own(object: &Map<String, Value>) -> Value {
    let mut own = object.clone();
    own.retain(|name, _| ["metadata", "spec"].contains(&name.as_str()));
    if let Some(metadata) = own.get_mut("metadata").and_then(Value::as_object_mut) {
        let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
        metadata.retain(|name, value| ["labels", "annotations"].contains(&name.as_str()) && !is_empty(value));
    }
    Value::Object(own)
}

fn compare(path: &str, [base, stored, given]: [Option<&Value>; 3], is_part: bool, lines: &mut Vec<Line>) {
    let given = if is_part && given.is_none() { base } else { given };
    if base == stored && base == given {
        return;
    }
    let sides = [base, stored, given];
    let there: Vec<&Value> = sides.into_iter().flatten().collect();
    if there.len() > 1 && there.iter().all(|value| value.is_object()) {
        let names: BTreeSet<&String> = there.iter().filter_map(|value| value.as_object()).flat_map(Map::keys).collect();
        for name in names {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            compare(&path, sides.map(|side| side.and_then(|side| side.get(name))), is_part, lines);
        }
        return;
    }
    let lists: Vec<&Vec<Value>> = sides.into_iter().filter_map(|side| side.and_then(Value::as_array)).collect();
    if let [base, stored, given] = lists[..]
        && base.len() == stored.len()
        && base.len() == given.len()
    {
        for at in 0..base.len() {
            compare(&format!("{path}[{at}]"), [base, stored, given].map(|side| side.get(at)), is_part, lines);
        }
        return;
    }
    let mark = match (stored == base, given == base) {
        (false, false) if stored == given => Mark::Alike,
        (false, false) => Mark::Both,
        (false, true) => Mark::Stored,
        (true, _) => Mark::Given,
    };
    let [base, stored, given] = sides.map(|side| side.map_or_else(|| "nothing".to_owned(), short));
    lines.push(Line { mark, path: path.to_owned(), base, stored, given });
}

/// A value on one line, cut where it is long.
pub(crate) fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let text = text.replace('\n', " ");
    match text.char_indices().nth(VALUE_LEN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(base: Value, stored: Value, given: Value, is_part: bool) -> String {
        let object = |spec: Value| json!({"metadata": {"name": "a", "uid": spec}, "spec": spec});
        let [base, stored, given] = [base, stored, given].map(|spec| object(spec).as_object().unwrap().clone());
        ThreeWay::new(&base, &stored, &given, is_part).to_string()
    }

    #[test]
    fn each_field_says_who_changed_it() {
        assert_eq!(
            shown(
                json!({"order": 1, "selector": "all()", "tier": "a", "types": ["Ingress"]}),
                json!({"order": 7, "selector": "has(x)", "tier": "a", "types": ["Egress"]}),
                json!({"order": 4, "selector": "all()", "tier": "b", "types": ["Egress"]}),
                false
            ),
            "  ! spec.order: 1 -> 7 stored / 4 given\n  < spec.selector: all() -> has(x) stored\n  \
             > spec.tier: a -> b given\n  = spec.types[0]: Ingress -> Egress stored and given\n  \
             (`!` changed on both sides, `<` changed in the store only, `>` changed in the file only, \
             `=` changed alike on both sides)"
        );
    }

    #[test]
    fn what_is_missing_is_nothing_and_lists_of_other_lengths_are_whole() {
        let text = shown(
            json!({"nets": ["10.0.0.0/8"]}),
            json!({"nets": ["10.0.0.0/8", "192.0.2.0/24"], "order": 1}),
            json!({}),
            false,
        );
        assert!(
            text.contains(r#"  ! spec.nets: ["10.0.0.0/8"] -> ["10.0.0.0/8","192.0.2.0/24"] stored / nothing given"#),
            "{text}"
        );
        assert!(text.contains("  < spec.order: nothing -> 1 stored\n"), "{text}");
        // A part of an object removes nothing.
        assert_eq!(shown(json!({"a": 1}), json!({"a": 1}), json!({}), true), "  no field differs");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(short(&json!("ä".repeat(61))), format!("{}…", "ä".repeat(60)));
        assert_eq!(short(&json!("a\nb")), "a b");
    }
}
