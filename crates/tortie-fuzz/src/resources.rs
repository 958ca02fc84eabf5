//! Resources: documents that users write, and objects that lie in a store.

use serde_json::Value;
use tortie_api::lint::lint;
use tortie_api::model::Resource;
use tortie_api::print::to_yaml;
use tortie_api::{Decoded, Document, Kind, Problem, decode, identify, read_stored};
use tortie_datastore::keys;
use tortie_datastore::kv::Revision;

/// What is accepted is printed as text that is accepted as the same object, in YAML and in JSON, and can be stored.
pub fn resources(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let decoded = decode(text);
    assert_same(&decoded, &decode(text));
    let named = identify(text);
    let mut typed = Vec::new();
    for mut document in decoded.documents {
        assert!(named.documents.iter().any(|name| is_same_key(name, &document)), "{document:?} has no identity");
        if document.kind.is_namespaced() && document.namespace().is_none() {
            document.set_namespace("default");
        }
        let value = whole(&document);
        for printed in [to_yaml(&value), value.to_string()] {
            let again = decode(&printed);
            assert!(!again.has_errors(), "{printed}\nis refused: {:?}", again.problems);
            let again: Vec<Value> = again.documents.iter().map(whole).collect();
            assert_eq!(again, std::slice::from_ref(&value), "{printed}");
        }
        let bytes = keys::to_bytes(document.kind, &document.value);
        keys::from_bytes(document.kind, &bytes, Revision(1)).expect("what was stored is read");
        let read = read_stored(document.kind, &Value::Object(document.value.clone()));
        typed.push(read.unwrap_or_else(|problems| panic!("{value} is accepted and not read: {problems:?}")).resource);
    }
    lints(&typed);
}

/// An object of a store, of the kind that the first byte names: read twice alike, or refused with a reason.
pub fn stored(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    let kind = Kind::all().nth(usize::from(*kind) % Kind::all().count()).unwrap();
    let Ok(object) = keys::from_bytes(kind, bytes, Revision(1)) else { return };
    let value = Value::Object(object.clone());
    let read = read_stored(kind, &value);
    assert_eq!(read, read_stored(kind, &value));
    // What was read once is stored and read as the same.
    let again = keys::from_bytes(kind, &keys::to_bytes(kind, &object), Revision(1)).expect("what was read is stored");
    assert_eq!(read.is_ok(), read_stored(kind, &Value::Object(again)).is_ok());
    match read {
        Ok(stored) => lints(&[stored.resource]),
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
    to_yaml(&value);
}

/// The document as `tortie get` prints it.
fn whole(document: &Document) -> Value {
    let mut object = document.value.clone();
    object.insert("apiVersion".to_owned(), tortie_api::API_VERSION.into());
    object.insert("kind".to_owned(), document.kind.name().into());
    Value::Object(object)
}

fn is_same_key(a: &Document, b: &Document) -> bool {
    a.kind == b.kind && a.key("default") == b.key("default")
}

fn assert_same(a: &Decoded, b: &Decoded) {
    assert_eq!(a.documents, b.documents);
    let texts = |problems: &[Problem]| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(&a.problems), texts(&b.problems));
}

fn lints(resources: &[Resource]) {
    for given in [None, Some(resources)] {
        let found = lint(resources, given);
        assert_eq!(found, lint(resources, given));
    }
}
