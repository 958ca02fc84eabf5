//! From nodes to values by the tables of [`crate::schema`]: types, unknown fields, single texts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::checks::{self, Refusal, nearest};
use crate::problem::{Fault, Position, Problem};
use crate::scalar::{Plain, is_plain_decimal, yaml_1_1};
use crate::schema::{Field, MapRule, Text, Type};
use crate::source::{Node, NodeValue};

/// All keys and values of a document's annotations together, in bytes.
const ANNOTATIONS_LEN_MAX: usize = 262_144;

/// Collects problems and the places of fields while a document is read.
#[derive(Default)]
pub(crate) struct Shaper {
    pub(crate) problems: Vec<Problem>,
    pub(crate) positions: BTreeMap<String, Position>,
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Shaper {
    fn refused(&mut self, path: &str, position: Position, refusal: Refusal, fault: Fault) {
        let mut problem = Problem::error(path, refusal.message).of(fault).at(position);
        problem.hint = refusal.hint;
        self.problems.push(problem);
    }

    fn error(&mut self, path: &str, position: Position, fault: Fault, message: impl Into<String>) {
        self.problems.push(Problem::error(path, message).of(fault).at(position));
    }

    fn mistyped(&mut self, path: &str, node: &Node, expected: &str) {
        self.error(path, node.position, Fault::Type, format!("expected {expected}, found {}", describe(node)));
    }

    /// The members of an object.
    pub(crate) fn object(&mut self, fields: &[Field], node: &Node, path: &str) -> Map<String, Value> {
        let mut object = Map::new();
        let before = self.problems.len();
        self.positions.insert(path.to_owned(), node.position);
        let NodeValue::Mapping(members) = &node.value else {
            if !is_null(node) {
                self.mistyped(path, node, "an object");
                return object;
            }
            self.missing(fields, &object, &[], before, (path, node.position));
            return object;
        };
        for (name, key_position, value) in members {
            let inner = join(path, name);
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                self.unknown(fields, name, &inner, *key_position);
                continue;
            };
            self.positions.insert(inner.clone(), value.position);
            if is_null(value) {
                continue;
            }
            let value = self.value(&field.ty, value, &inner, field.keeps_empty);
            if let Some(value) = value.filter(|value| field.keeps_empty || !is_empty(value)) {
                object.insert(name.clone(), value);
            }
        }
        let given: Vec<&str> =
            members.iter().filter(|(_, _, node)| !is_null(node)).map(|(name, ..)| name.as_str()).collect();
        self.missing(fields, &object, &given, before, (path, node.position));
        object
    }

    /// Tells of required fields that an object lacks. What is wrong with it was told from problem `before` on.
    fn missing(
        &mut self,
        fields: &[Field],
        object: &Map<String, Value>,
        given: &[&str],
        before: usize,
        (path, at): (&str, Position),
    ) {
        for field in fields.iter().filter(|field| field.is_required && !object.contains_key(field.name)) {
            let inner = join(path, field.name);
            let is_reported = self.problems[before..].iter().any(|problem| problem.path == inner);
            if !is_reported {
                let what = if given.contains(&field.name) { "must not be empty" } else { "is missing" };
                let at = self.positions.get(&inner).copied().unwrap_or(at);
                self.error(&inner, at, Fault::Missing, format!("`{}` {what}", field.name));
            }
        }
    }

    fn unknown(&mut self, fields: &[Field], name: &str, path: &str, position: Position) {
        let mut problem = Problem::error(path, format!("unknown field `{name}`")).of(Fault::UnknownField).at(position);
        if let Some(field) = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name)) {
            problem = problem.with_hint(format!("field names are case-sensitive: write `{}`", field.name));
        } else if let Some(near) = nearest(name, fields.iter().map(|field| field.name)) {
            problem = problem.with_hint(format!("did you mean `{near}`?"));
        } else if fields.len() <= 20 {
            let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
            problem = problem.with_hint(format!("known fields are {}", names.join(", ")));
        }
        self.problems.push(problem);
    }

    /// A value of the given type, or `None` when it is refused.
    fn value(&mut self, ty: &Type, node: &Node, path: &str, keeps_empty: bool) -> Option<Value> {
        match ty {
            Type::Any => Some(plain_value(node)),
            Type::Object(fields) => Some(Value::Object(self.object(fields, node, path))),
            Type::List(inner, limit) | Type::Set(inner, limit) => self.list(inner, *limit, node, path),
            Type::Keyed(inner, _) => self.list(inner, usize::MAX, node, path),
            Type::IntOrText => self.int_or_text(node, path),
            Type::Ruled(inner, _) => self.value(inner, node, path, keeps_empty),
            Type::Map(rule) => self.map(*rule, node, path),
            Type::Bool => match scalar(node) {
                Some(("true" | "True" | "TRUE", true)) => Some(json!(true)),
                Some(("false" | "False" | "FALSE", true)) => Some(json!(false)),
                _ => {
                    self.mistyped(path, node, "true or false");
                    None
                }
            },
            Type::Int(min, max) => self.int(*min, *max, node, path),
            Type::Float => self.float(node, path),
            Type::Text(rule) => self.text(*rule, node, path, keeps_empty),
        }
    }

    fn int(&mut self, min: i64, max: i64, node: &Node, path: &str) -> Option<Value> {
        match scalar(node) {
            Some((text, true)) if is_plain_decimal(text) => match text.parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => Some(json!(number)),
                _ => {
                    let message = format!("{text} is not between {min} and {max}");
                    self.error(path, node.position, Fault::Bounds(min, max), message);
                    None
                }
            },
            Some((text, true)) if matches!(yaml_1_1(text), Plain::Int(_)) => {
                let message = format!("`{text}` is read as different numbers by YAML 1.1 and 1.2");
                let problem = Problem::error(path, message).of(Fault::Type).with_hint("write a decimal number");
                self.problems.push(problem.at(node.position));
                None
            }
            _ => {
                self.mistyped(path, node, "a number");
                None
            }
        }
    }

    fn int_or_text(&mut self, node: &Node, path: &str) -> Option<Value> {
        let value = plain_value(node);
        if value.is_string() || value.is_i64() {
            return Some(value);
        }
        self.mistyped(path, node, "a number or text");
        None
    }

    fn float(&mut self, node: &Node, path: &str) -> Option<Value> {
        let number = match scalar(node) {
            Some((text, true)) if is_plain_decimal(text) => text.parse::<f64>().ok(),
            Some((text, true)) if !text.contains('_') => match yaml_1_1(text) {
                Plain::Float(number) if number.is_finite() => Some(number),
                _ => None,
            },
            _ => None,
        };
        let Some(number) = number else {
            self.mistyped(path, node, "a number");
            return None;
        };
        Some(number_value(number))
    }

    fn text(&mut self, rule: Text, node: &Node, path: &str, keeps_empty: bool) -> Option<Value> {
        let Some((text, is_plain)) = scalar(node) else {
            self.mistyped(path, node, "text");
            return None;
        };
        let takes_numbers = matches!(
            rule,
            Text::Protocol
                | Text::PortProtocol
                | Text::Port
                | Text::NumericPort
                | Text::FailsafeProtocol
                | Text::AsNumber
        );
        let is_duration = matches!(rule, Text::Duration | Text::FreeDuration);
        if is_plain {
            let is_same = match yaml_1_1(text) {
                Plain::Text | Plain::Null => true,
                Plain::Bool(value) => !takes_numbers && text == if value { "true" } else { "false" },
                Plain::Int(_) => is_plain_decimal(text) && !is_duration,
                Plain::Float(number) => {
                    (!takes_numbers || rule == Text::AsNumber) && !is_duration && format!("{number}") == text
                }
            };
            if !is_same {
                let message = format!("`{text}` is not read as text by every YAML reader");
                let problem = Problem::error(path, message).of(Fault::Type);
                self.problems.push(problem.with_hint(format!("quote it: \"{text}\"")).at(node.position));
                return None;
            }
        }
        if text.is_empty() && !keeps_empty {
            return Some(json!(""));
        }
        match checks::text(rule, text) {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.refused(path, node.position, refusal, Fault::Text(rule));
                None
            }
        }
    }

    fn list(&mut self, ty: &Type, limit: usize, node: &Node, path: &str) -> Option<Value> {
        let NodeValue::Sequence(items) = &node.value else {
            self.mistyped(path, node, "a list");
            return None;
        };
        if items.len() > limit {
            let message = format!("{} entries, at most {limit} are allowed", items.len());
            self.error(path, node.position, Fault::Length(limit), message);
        }
        let values = items.iter().enumerate().filter_map(|(number, item)| {
            let inner = format!("{path}[{number}]");
            self.positions.insert(inner.clone(), item.position);
            // An empty entry is an entry: its rule decides.
            self.value(ty, item, &inner, true)
        });
        Some(Value::Array(values.collect()))
    }

    fn map(&mut self, rule: MapRule, node: &Node, path: &str) -> Option<Value> {
        let NodeValue::Mapping(members) = &node.value else {
            self.mistyped(path, node, "a map of texts");
            return None;
        };
        let mut map = Map::new();
        let mut total = 0;
        for (key, key_position, value) in members {
            let inner = join(path, key);
            self.positions.insert(inner.clone(), value.position);
            let (checked_key, fault) = match rule {
                MapRule::Labels => (checks::label_key(key), Fault::LabelKey),
                MapRule::Annotations => (checks::label_key(&key.to_lowercase()), Fault::AnnotationKey),
                MapRule::Free => (Ok(()), Fault::Other),
            };
            if let Err(refusal) = checked_key {
                self.refused(&inner, *key_position, refusal, fault);
            }
            let text =
                if is_null(value) { Some(json!("")) } else { self.text(Text::Any(usize::MAX), value, &inner, true) };
            let Some(Value::String(text)) = text else { continue };
            if let (MapRule::Labels, Err(refusal)) = (rule, checks::label_value(&text)) {
                self.refused(&inner, value.position, refusal, Fault::LabelValue);
            }
            total += key.len() + text.len();
            map.insert(key.clone(), json!(text));
        }
        if rule == MapRule::Annotations && total > ANNOTATIONS_LEN_MAX {
            let message = format!("{total} bytes of annotations, at most {ANNOTATIONS_LEN_MAX}");
            self.error(path, node.position, Fault::AnnotationsLength(total), message);
        }
        Some(Value::Object(map))
    }
}

/// The text of a scalar and whether it stands without quotes.
pub(crate) fn scalar(node: &Node) -> Option<(&str, bool)> {
    match &node.value {
        NodeValue::Scalar { text, is_plain } => Some((text, *is_plain)),
        _ => None,
    }
}

pub(crate) fn is_null(node: &Node) -> bool {
    matches!(scalar(node), Some((text, true)) if yaml_1_1(text) == Plain::Null)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn describe(node: &Node) -> String {
    match &node.value {
        NodeValue::Scalar { text, is_plain } if *is_plain => format!("`{text}`"),
        NodeValue::Scalar { text, .. } => format!("the text \"{text}\""),
        NodeValue::Sequence(_) => "a list".to_owned(),
        NodeValue::Mapping(_) => "an object".to_owned(),
    }
}

/// A whole number is stored without a fraction, as the reference does.
pub(crate) fn number_value(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
}

/// A node as it is, for fields that are stored unchanged.
pub(crate) fn plain_value(node: &Node) -> Value {
    match &node.value {
        NodeValue::Scalar { text, is_plain: false } => json!(text),
        NodeValue::Scalar { text, .. } => match yaml_1_1(text) {
            Plain::Null => Value::Null,
            Plain::Bool(value) => json!(value),
            Plain::Int(number) => i64::try_from(number).map_or_else(|_| json!(text), |number| json!(number)),
            Plain::Float(number) if number.is_finite() => number_value(number),
            Plain::Float(_) | Plain::Text => json!(text),
        },
        NodeValue::Sequence(items) => Value::Array(items.iter().map(plain_value).collect()),
        NodeValue::Mapping(members) => {
            Value::Object(members.iter().map(|(name, _, node)| (name.clone(), plain_value(node))).collect())
        }
    }
}
