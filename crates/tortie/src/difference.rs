//! What differs between two forms of an object.

use serde_json::{Map, Value};
use similar::TextDiff;
use tortie_api::print::to_yaml;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;

/// The lines that differ, as diff(1) shows them; `names` are those of the two. Empty when none does.
pub(crate) fn of_texts(names: [&str; 2], before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    diff.unified_diff().context_radius(CONTEXT).header(names[0], names[1]).to_string()
}

/// The same of two objects as YAML.
pub(crate) fn of_objects(names: [&str; 2], before: &Map<String, Value>, after: &Map<String, Value>) -> String {
    let text = |object: &Map<String, Value>| to_yaml(&Value::Object(object.clone()));
    of_texts(names, &text(before), &text(after))
}
