//! The values of templates.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use tortie_api::schema::{Field, Text, Type};
use tortie_api::{API_VERSION, Kind};

use super::number::float;
use crate::go;

/// A value as Go has it; pointers stand for what they point to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    /// No value: a pointer that points nowhere.
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Data>),
    Map(BTreeMap<String, Data>),
    Struct(Box<Struct>),
}

/// Fields by their names in Go.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Struct {
    type_name: String,
    fields: Vec<(String, Data)>,
    /// What is printed for it, when that is not its fields.
    text: Option<String>,
}

/// Structs whose fields are fields of what holds them as well.
const EMBEDDED: [&str; 3] = ["TypeMeta", "ObjectMeta", "ListMeta"];

impl Struct {
    fn data(type_name: impl Into<String>, fields: Vec<(String, Data)>) -> Data {
        Data::Struct(Box::new(Struct { type_name: type_name.into(), fields, text: None }))
    }

    /// The field of this name, of an embedded struct too.
    pub(super) fn field(&self, name: &str) -> Option<&Data> {
        let own = self.fields.iter().find(|(found, _)| found == name).map(|(_, data)| data);
        let embedded = || {
            self.fields.iter().filter(|(name, _)| EMBEDDED.contains(&name.as_str())).find_map(|(_, data)| match data {
                Data::Struct(inner) => inner.field(name),
                _ => None,
            })
        };
        own.or_else(embedded)
    }

    /// The names of its fields, and of those of embedded structs.
    pub(super) fn names(&self) -> Vec<&str> {
        let embedded = self.fields.iter().filter(|(name, _)| EMBEDDED.contains(&name.as_str()));
        let inner = embedded.flat_map(|(_, data)| match data {
            Data::Struct(inner) => inner.names(),
            _ => Vec::new(),
        });
        self.fields.iter().map(|(name, _)| name.as_str()).chain(inner).collect()
    }
}

impl Data {
    /// Whether `if` takes it for true.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Data::Nil => false,
            Data::Bool(value) => *value,
            Data::Int(number) => *number != 0,
            Data::Float(number) => *number != 0.0,
            Data::Text(text) => !text.is_empty(),
            Data::List(items) => !items.is_empty(),
            Data::Map(members) => !members.is_empty(),
            Data::Struct(_) => true,
        }
    }

    pub(super) fn type_name(&self) -> String {
        match self {
            Data::Nil => "<nil>".to_owned(),
            Data::Bool(_) => "bool".to_owned(),
            Data::Int(_) => "int".to_owned(),
            Data::Float(_) => "float64".to_owned(),
            Data::Text(_) => "string".to_owned(),
            Data::List(items) => format!("[]{}", items.first().map_or("string".to_owned(), Data::type_name)),
            Data::Map(_) => "map[string]string".to_owned(),
            Data::Struct(inner) => inner.type_name.clone(),
        }
    }
}

/// As `%v` prints it.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |items: Vec<String>| items.join(" ");
        match self {
            Data::Nil => f.write_str("<nil>"),
            Data::Bool(value) => value.fmt(f),
            Data::Int(number) => number.fmt(f),
            Data::Float(number) => f.write_str(&float(*number)),
            Data::Text(text) => f.write_str(text),
            Data::List(items) => write!(f, "[{}]", joined(items.iter().map(Data::to_string).collect())),
            Data::Map(members) => {
                write!(f, "map[{}]", joined(members.iter().map(|(key, value)| format!("{key}:{value}")).collect()))
            }
            Data::Struct(inner) => match &inner.text {
                Some(text) => f.write_str(text),
                None => {
                    write!(f, "{{{}}}", joined(inner.fields.iter().map(|(_, value)| value.to_string()).collect()))
                }
            },
        }
    }
}

/// A resource.
pub(crate) fn resource(kind: Kind, object: &Map<String, Value>) -> Data {
    let whole = go::fields(kind);
    let ty = |name: &str| whole.iter().find(|field| field.name == name).map(|field| field.ty);
    let part = |name: &str, type_name: String| {
        let fields = ty(name).and_then(|ty| match ty {
            Type::Object(fields) => Some(fields),
            _ => None,
        });
        let empty = Map::new();
        let members = object.get(name).and_then(Value::as_object).unwrap_or(&empty);
        fields.map(|fields| structure(fields, members, &type_name))
    };
    let mut fields = vec![("TypeMeta".to_owned(), type_meta(kind.name()))];
    fields.extend(part("metadata", "ObjectMeta".to_owned()).map(|data| ("ObjectMeta".to_owned(), data)));
    fields.extend(part("spec", format!("{kind}Spec")).map(|data| ("Spec".to_owned(), data)));
    fields.extend(part("status", format!("{kind}Status")).map(|data| ("Status".to_owned(), data)));
    Struct::data(kind.name(), fields)
}

/// All resources of a kind.
pub(crate) fn list(kind: Kind, revision: &str, items: Vec<Data>) -> Data {
    let meta = vec![("ResourceVersion".to_owned(), Data::Text(revision.to_owned()))];
    let name = format!("{kind}List");
    let fields = vec![
        ("TypeMeta".to_owned(), type_meta(&name)),
        ("ListMeta".to_owned(), Struct::data("ListMeta", meta)),
        ("Items".to_owned(), Data::List(items)),
    ];
    Struct::data(name, fields)
}

fn type_meta(kind: &str) -> Data {
    let field = |name: &str, value: &str| (name.to_owned(), Data::Text(value.to_owned()));
    Struct::data("TypeMeta", vec![field("Kind", kind), field("APIVersion", API_VERSION)])
}

/// All fields of a struct, absent ones with the value that Go gives them.
fn structure(fields: &[Field], object: &Map<String, Value>, type_name: &str) -> Data {
    let members = fields.iter().map(|field| {
        let name = go::field_name(field.name);
        let data = match object.get(field.name) {
            Some(value) => data(&field.ty, value, &name),
            None => absent(field),
        };
        (name, data)
    });
    let members: Vec<(String, Data)> = members.collect();
    let text = (type_name == "PodSelector" || type_name == "NamespaceSelector").then(|| selector_text(&members));
    Data::Struct(Box::new(Struct { type_name: type_name.to_owned(), fields: members, text }))
}

fn absent(field: &Field) -> Data {
    let is_pointer = field.keeps_empty && !field.is_required;
    match field.ty {
        Type::Any | Type::IntOrText => Data::Nil,
        Type::Text(Text::Protocol | Text::AsNumber | Text::Duration | Text::FreeDuration) => Data::Nil,
        Type::Text(_) if is_time(field.name) => Data::Text(time("")),
        // A list is empty and a map has nothing, whether there is one or not.
        Type::List(..) | Type::Set(..) | Type::Keyed(..) => Data::List(Vec::new()),
        Type::Map(_) => Data::Map(BTreeMap::new()),
        _ if is_pointer => Data::Nil,
        Type::Text(_) => Data::Text(String::new()),
        Type::Int(..) => Data::Int(0),
        Type::Float => Data::Float(0.0),
        Type::Bool => Data::Bool(false),
        Type::Object(fields) => structure(fields, &Map::new(), &go::field_name(field.name)),
        Type::Ruled(inner, _) => absent(&Field { ty: *inner, ..*field }),
    }
}

fn data(ty: &Type, value: &Value, name: &str) -> Data {
    match (ty, value) {
        (Type::Ruled(inner, _), _) => data(inner, value, name),
        (Type::Object(fields), Value::Object(object)) => structure(fields, object, name),
        (Type::List(inner, _) | Type::Set(inner, _) | Type::Keyed(inner, _), Value::Array(items)) => {
            Data::List(items.iter().map(|item| data(inner, item, name)).collect())
        }
        (Type::Text(_), Value::String(text)) if name.ends_with("Timestamp") => Data::Text(time(text)),
        (Type::Float, Value::Number(number)) => Data::Float(number.as_f64().unwrap_or_default()),
        _ => plain(value),
    }
}

fn plain(value: &Value) -> Data {
    match value {
        Value::Null => Data::Nil,
        Value::Bool(value) => Data::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Data::Int(number),
            None => Data::Float(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Data::Text(text.clone()),
        Value::Array(items) => Data::List(items.iter().map(plain).collect()),
        Value::Object(members) => Data::Map(members.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
    }
}

fn is_time(name: &str) -> bool {
    name == "creationTimestamp"
}

/// A time as Go prints it; the empty one is the first of year 1.
fn time(text: &str) -> String {
    match text.strip_suffix('Z').and_then(|text| text.split_once('T')) {
        Some((day, time)) => format!("{day} {time} +0000 UTC"),
        None if text.is_empty() => "0001-01-01 00:00:00 +0000 UTC".to_owned(),
        None => text.to_owned(),
    }
}

/// A label selector of Kubernetes, which prints itself as its definition.
fn selector_text(fields: &[(String, Data)]) -> String {
    let field = |name: &str| fields.iter().find(|(found, _)| found == name).map(|(_, data)| data);
    let labels = match field("MatchLabels") {
        Some(Data::Map(labels)) => labels.iter().map(|(key, value)| format!("{key}: {value},")).collect(),
        _ => String::new(),
    };
    let expressions = match field("MatchExpressions") {
        Some(Data::List(items)) => items.iter().map(requirement_text).collect(),
        _ => String::new(),
    };
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

fn requirement_text(requirement: &Data) -> String {
    let Data::Struct(inner) = requirement else { return String::new() };
    let field = |name: &str| inner.field(name).cloned().unwrap_or(Data::Nil);
    format!(
        "LabelSelectorRequirement{{Key:{},Operator:{},Values:{},}},",
        field("Key"),
        field("Operator"),
        field("Values")
    )
}
