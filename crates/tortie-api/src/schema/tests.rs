//! What every description keeps to, since it is printed by several programs in several widths.

use std::collections::BTreeMap;

use super::{Field, METADATA, Type, UNUSED, description, document, spec, status, summary};
use crate::Kind;

/// Characters of the longest description: more is a page of its own.
const DOC_LEN_MAX: usize = 320;

fn walk(path: &str, fields: &'static [Field], found: &mut Vec<(String, &'static Field)>) {
    for field in fields {
        let path = format!("{path}.{}", field.name);
        found.push((path.clone(), field));
        if let Some(fields) = members(&field.ty) {
            walk(&path, fields, found);
        }
    }
}

/// The members of an object, or of those in a list.
fn members(ty: &Type) -> Option<&'static [Field]> {
    match ty {
        Type::List(item, _) | Type::Set(item, _) | Type::Keyed(item, _) => members(item),
        Type::Ruled(inner, _) => members(inner),
        Type::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Every field of every kind, with its path.
fn all() -> Vec<(String, &'static Field)> {
    let mut found = Vec::new();
    walk("metadata", METADATA, &mut found);
    for kind in Kind::all() {
        walk(&format!("{kind}.spec"), spec(kind), &mut found);
        walk(&format!("{kind}.status"), status(kind).unwrap_or_default(), &mut found);
    }
    found
}

fn check(what: &str, doc: &str) {
    assert!(doc.ends_with('.') && !doc.ends_with(".."), "{what}: ends with a full stop: {doc}");
    assert!(doc.chars().count() <= DOC_LEN_MAX, "{what}: {} characters", doc.chars().count());
    assert!(
        !doc.contains("  ") && doc.trim() == doc && !doc.contains('\n'),
        "{what}: one line, single spaces: {doc:?}"
    );
    assert!(doc.starts_with(|c: char| c.is_uppercase() || c == '`' || c.is_ascii_digit()), "{what}: {doc}");
    assert_eq!(doc.matches('`').count() % 2, 0, "{what}: every quote is closed: {doc}");
}

#[test]
fn every_field_and_kind_is_described_in_one_line_of_sentences() {
    let all = all();
    assert!(all.len() > 500, "fields are found: {}", all.len());
    for (path, field) in &all {
        check(path, field.doc);
    }
    for kind in Kind::all() {
        check(kind.name(), summary(kind));
        check(kind.name(), description(kind));
        for field in document(kind) {
            check(field.name, field.doc);
        }
    }
}

#[test]
fn no_field_has_the_description_of_a_field_of_another_name() {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, field) in all() {
        let other = seen.insert(field.doc, field.name).unwrap_or(field.name);
        assert_eq!(other, field.name, "{path} is described as {other}: {}", field.doc);
    }
}

/// Names in backticks are fields, kinds or values: one that was misspelt, or is gone, would send readers astray.
#[test]
fn what_looks_like_a_field_in_a_description_is_one() {
    let all = all();
    let names: Vec<&str> = all.iter().map(|(_, field)| field.name).collect();
    // Settings of annotations, and members of other objects.
    let others = ["httpRules", "wildcardLoopback", "kube-admin", "kube-baseline"];
    for (path, field) in &all {
        for quoted in field.doc.split('`').skip(1).step_by(2) {
            let is_camel = quoted.starts_with(|c: char| c.is_ascii_lowercase())
                && quoted.contains(|c: char| c.is_ascii_uppercase())
                && quoted.bytes().all(|b| b.is_ascii_alphanumeric());
            assert!(!is_camel || names.contains(&quoted) || others.contains(&quoted), "{path}: `{quoted}` is no field");
        }
    }
}

#[test]
fn what_calico_alone_uses_is_said_so_once() {
    for (path, field) in all() {
        assert_eq!(field.doc.matches(UNUSED).count(), usize::from(field.is_unused()), "{path}: {}", field.doc);
    }
}
