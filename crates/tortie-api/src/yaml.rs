//! YAML and JSON as plain values, for files of our own that are no resources.

use serde_json::{Map, Value};

use crate::problem::Problem;
use crate::scalar::{Plain, yaml_1_1};
use crate::source::{Node, NodeValue, documents};

/// The documents of a text as JSON values, in order.
///
/// # Errors
/// What is wrong with the text itself, with the place.
pub fn from_yaml(text: &str) -> Result<Vec<Value>, Vec<Problem>> {
    let (nodes, problems) = documents(text);
    if problems.is_empty() { Ok(nodes.into_iter().map(value).collect()) } else { Err(problems) }
}

fn value(node: Node) -> Value {
    match node.value {
        NodeValue::Scalar { text, is_plain: false } => Value::String(text),
        NodeValue::Scalar { text, is_plain: true } => match yaml_1_1(&text) {
            Plain::Null => Value::Null,
            Plain::Bool(flag) => Value::Bool(flag),
            Plain::Int(number) => i64::try_from(number).map_or(Value::String(text), Value::from),
            // JSON knows no infinity: the text stays.
            Plain::Float(number) => {
                serde_json::Number::from_f64(number).map_or_else(|| Value::String(text), Value::Number)
            }
            Plain::Text => Value::String(text),
        },
        NodeValue::Sequence(items) => Value::Array(items.into_iter().map(value).collect()),
        NodeValue::Mapping(members) => {
            Value::Object(members.into_iter().map(|(name, _, node)| (name, value(node))).collect::<Map<_, _>>())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::print::to_yaml;

    #[test]
    fn what_is_printed_is_read_back() {
        let printed = json!({"a": [1, -2.5, true, null, "yes", "1", ""], "b": {"c": {}, "d": []}, "e": "x: y #z\n"});
        assert_eq!(from_yaml(&to_yaml(&printed)).ok(), Some(vec![printed]));
    }

    #[test]
    fn mistakes_have_a_place() {
        let problems = from_yaml("a: 1\nb: [").err().unwrap_or_default();
        assert!(problems.iter().any(|problem| problem.position.is_some()), "{problems:?}");
    }
}
