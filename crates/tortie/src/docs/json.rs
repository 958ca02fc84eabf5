//! The same for programs.

use serde_json::{Map, Value, json};
use tortie_api::schema::{self, Field, Type};
use tortie_api::{API_VERSION, Kind};

use super::page::{Page, default, join, members};
use super::{example, types};

/// All kinds.
pub(super) fn kinds() -> Value {
    Kind::all().map(|kind| Value::Object(about(kind))).collect()
}

/// One kind or field with its members; `is_deep` adds theirs, and so on.
pub(super) fn page(page: &Page, is_deep: bool) -> Value {
    let fields: Value =
        page.fields.iter().map(|member| field(page.kind, &join(&page.path, member.name), member, is_deep)).collect();
    match &page.field {
        None => {
            let mut object = about(page.kind);
            object.insert("description".to_owned(), json!(schema::description(page.kind)));
            object.insert("example".to_owned(), json!(example::of(page.kind)));
            object.insert("fields".to_owned(), fields);
            Value::Object(object)
        }
        Some(one) => {
            let mut object = field(page.kind, &page.path, one, false);
            object["kind"] = json!(page.kind.name());
            if !page.fields.is_empty() {
                object["fields"] = fields;
            }
            object
        }
    }
}

fn about(kind: Kind) -> Map<String, Value> {
    let object = json!({
        "kind": kind.name(),
        "apiVersion": API_VERSION,
        "plural": kind.plural(),
        "aliases": kind.aliases().collect::<Vec<_>>(),
        "namespaced": kind.is_namespaced(),
        "summary": schema::summary(kind),
    });
    match object {
        Value::Object(object) => object,
        _ => unreachable!("it was written as an object"),
    }
}

fn field(kind: Kind, path: &str, field: &Field, is_deep: bool) -> Value {
    let mut object = json!({
        "path": path,
        "name": field.name,
        "type": types::name(&field.ty),
        "required": field.is_required,
        "used": !field.is_unused(),
        "description": field.doc,
    });
    if let Some(default) = default(kind, path, field) {
        object["default"] = json!(default);
    }
    if let Some(values) = types::values(&field.ty) {
        object["values"] = json!(values);
    }
    limits(&field.ty, &mut object);
    let members = members(&field.ty);
    if is_deep && !members.is_empty() {
        object["fields"] =
            members.iter().map(|member| self::field(kind, &join(path, member.name), member, true)).collect();
    }
    object
}

fn limits(ty: &Type, object: &mut Value) {
    match ty {
        Type::Int(min, max) => {
            object["minimum"] = json!(min);
            object["maximum"] = json!(max);
        }
        Type::List(_, limit) | Type::Set(_, limit) if *limit != usize::MAX => object["maxItems"] = json!(limit),
        Type::Ruled(inner, _) => limits(inner, object),
        _ => {}
    }
}
