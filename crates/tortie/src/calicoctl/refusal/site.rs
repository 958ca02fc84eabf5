//! Where in an object something is wrong.

use serde_json::Value;
use tortie_api::Kind;
use tortie_api::schema::{Field, Type};

use crate::go;

/// A place in an object as it was written.
#[derive(Clone)]
pub(super) struct Site<'a> {
    pub(super) path: String,
    /// What stands there; nothing when it was left out.
    pub(super) value: Option<&'a Value>,
    /// The positions of the fields that lead there, in the order of Go's structs.
    pub(super) order: Vec<usize>,
    /// The name of the field in Go, with the position in a list.
    pub(super) go_name: String,
    /// The key, in a map.
    pub(super) key: Option<String>,
}

impl<'a> Site<'a> {
    /// The place of a path such as `spec.ingress[0].action`.
    pub(super) fn find(kind: Kind, raw: &'a Value, path: &str) -> Site<'a> {
        let fields = go::fields(kind);
        let mut site = Site {
            path: path.to_owned(),
            value: Some(raw),
            order: Vec::new(),
            go_name: kind.name().to_owned(),
            key: None,
        };
        let (mut fields, mut rest): (Option<&[Field]>, &str) = (Some(&fields), path);
        while !rest.is_empty() {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, behind) = rest.split_at(end);
            let found = fields.and_then(|fields| Some((fields.iter().position(|field| field.name == name)?, fields)));
            let mut ty = found.map(|(at, fields)| plain(fields[at].ty));
            site.order.push(found.map_or(super::LAST - 1, |(at, _)| at));
            site.value = site.value.and_then(|value| value.get(name));
            site.go_name = go::field_name(name);
            rest = behind;
            while let Some((number, behind)) = index(rest) {
                site.order.push(number);
                site.value = site.value.and_then(|value| value.get(number));
                site.go_name += &format!("[{number}]");
                ty = ty.map(|ty| match ty {
                    Type::List(inner, _) | Type::Set(inner, _) | Type::Keyed(inner, _) => plain(*inner),
                    other => other,
                });
                rest = behind;
            }
            rest = rest.strip_prefix('.').unwrap_or(rest);
            fields = match ty {
                Some(Type::Object(fields)) => Some(fields),
                Some(Type::Map(_)) if !rest.is_empty() => {
                    // Keys may have dots in them.
                    let key = rest.to_owned();
                    let keys = site.value.and_then(Value::as_object).into_iter().flat_map(|map| map.keys());
                    site.order.push(keys.filter(|other| **other < key).count());
                    site.value = site.value.and_then(|value| value.get(&key));
                    site.key = Some(key);
                    return site;
                }
                _ => None,
            };
        }
        site
    }

    /// The value as Go prints it.
    pub(super) fn printed(&self) -> String {
        self.value.map(printed).unwrap_or_default()
    }

    /// The value when it is text.
    pub(super) fn text(&self) -> &'a str {
        self.value.and_then(Value::as_str).unwrap_or_default()
    }

    /// The value of a member.
    pub(super) fn member(&self, name: &str) -> Option<&'a Value> {
        self.value.and_then(|value| value.get(name)).filter(|value| !value.is_null())
    }

    /// The texts of a list.
    pub(super) fn texts(&self, name: &str) -> Vec<&'a str> {
        let list = self.member(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whether a member holds something.
    pub(super) fn has(&self, name: &str) -> bool {
        match self.member(name) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(_) => true,
        }
    }
}

fn plain(ty: Type) -> Type {
    match ty {
        Type::Ruled(inner, _) => plain(*inner),
        other => other,
    }
}

/// The number in brackets in front of a text, and what follows.
fn index(text: &str) -> Option<(usize, &str)> {
    let (number, behind) = text.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, behind))
}

/// A value as Go prints it.
pub(super) fn printed(value: &Value) -> String {
    let joined = |items: Vec<String>| items.join(" ");
    match value {
        // An entry of a list that is null is an empty text to Go.
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(printed).collect())),
        Value::Object(members) => {
            let mut members: Vec<String> =
                members.iter().map(|(key, value)| format!("{key}:{}", printed(value))).collect();
            members.sort();
            format!("map[{}]", joined(members))
        }
        other => other.to_string(),
    }
}
