//! The tables of [`crate::schema`] as structural OpenAPI schemas.

use serde_json::{Map, Value, json};

use super::text;
use crate::schema::{Field, NO_LIMIT, Rule, Type};

/// The schema of an object. Members that are not in it are pruned by the server.
pub(super) fn object(fields: &[Field]) -> Map<String, Value> {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), Value::Object(member(field)))).collect();
    let required: Vec<&str> = fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let mut schema = of_type("object");
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// Adds expression rules to a schema.
pub(super) fn add_rules(schema: &mut Map<String, Value>, rules: &[Rule]) {
    if rules.is_empty() {
        return;
    }
    let rules = rules.iter().map(|rule| json!({"rule": rule.expression, "message": rule.message}));
    match schema.entry("x-kubernetes-validations").or_insert_with(|| json!([])) {
        Value::Array(list) => list.extend(rules),
        _ => unreachable!("only lists are put there"),
    }
}

fn member(field: &Field) -> Map<String, Value> {
    // An empty text is as good as none, except where it would be a value (resources.md section 1.2).
    let mut schema = value(&field.ty, !field.is_required && !field.keeps_empty);
    schema.insert("description".to_owned(), json!(field.doc));
    if let Some(default) = field.default {
        schema.insert("default".to_owned(), json!(default));
    }
    schema
}

fn value(ty: &Type, takes_empty: bool) -> Map<String, Value> {
    match ty {
        Type::Text(rule) => text::schema(*rule, takes_empty),
        Type::Int(min, max) => {
            let mut schema = of_type("integer");
            schema.insert("minimum".to_owned(), json!(min));
            if *max < i64::MAX {
                schema.insert("maximum".to_owned(), json!(max));
            }
            schema
        }
        Type::Float => of_type("number"),
        Type::Bool => of_type("boolean"),
        Type::IntOrText => text::int_or_string(),
        Type::List(item, limit) => list("atomic", item, *limit),
        Type::Set(item, limit) => list("set", item, *limit),
        Type::Keyed(item, key) => {
            let mut schema = list("map", item, NO_LIMIT);
            schema.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
            schema
        }
        Type::Map(_) => {
            let mut schema = of_type("object");
            schema.insert("additionalProperties".to_owned(), json!({"type": "string"}));
            schema
        }
        Type::Object(fields) => object(fields),
        Type::Any => Map::from_iter([("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true))]),
        Type::Ruled(inner, rules) => {
            let mut schema = value(inner, takes_empty);
            add_rules(&mut schema, rules);
            schema
        }
    }
}

fn list(merged_as: &str, item: &Type, limit: usize) -> Map<String, Value> {
    let mut schema = of_type("array");
    schema.insert("x-kubernetes-list-type".to_owned(), json!(merged_as));
    schema.insert("items".to_owned(), Value::Object(value(item, false)));
    if limit != NO_LIMIT {
        schema.insert("maxItems".to_owned(), json!(limit));
    }
    schema
}

pub(super) fn of_type(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), json!(name))])
}
