//! One page of a list, read object by object: a tree of all that it holds would take many times its bytes.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// What a page says beside its objects.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) revision: String,
    /// What asks for the page that follows, if one does.
    pub(crate) next: Option<String>,
}

/// Reads a page, and hands each object on before the next is read.
///
/// # Errors
/// When it is no list as the server writes them.
pub(crate) fn read(bytes: &[u8], mut take: impl FnMut(Value)) -> Result<Page, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let page = deserializer.deserialize_map(Members { take: &mut take })?;
    deserializer.end()?;
    Ok(page)
}

/// The members of a list.
struct Members<'a> {
    take: &'a mut dyn FnMut(Value),
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Page, A::Error> {
        let mut page = Page::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "items" => members.next_value_seed(Items { take: &mut *self.take })?,
                "metadata" => {
                    let metadata: Value = members.next_value()?;
                    let member = |name: &str| metadata[name].as_str().filter(|text| !text.is_empty());
                    page.revision = member("resourceVersion").unwrap_or_default().to_owned();
                    page.next = member("continue").map(str::to_owned);
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(page)
    }
}

/// Its objects; none at all may be written as `null`.
struct Items<'a> {
    take: &'a mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the objects of a list")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(object) = objects.next_element()? {
            (self.take)(object);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pages(text: &str) -> Result<(Vec<Value>, Page), serde_json::Error> {
        let mut objects = Vec::new();
        let page = read(text.as_bytes(), |object| objects.push(object))?;
        Ok((objects, page))
    }

    #[test]
    fn objects_come_one_by_one_wherever_the_revision_is() {
        let (objects, page) =
            pages(r#"{"kind":"L","items":[{"a":1},{"a":2}],"metadata":{"resourceVersion":"7","continue":"x"}}"#)
                .unwrap();
        assert_eq!(objects, [json!({"a": 1}), json!({"a": 2})]);
        assert_eq!((page.revision.as_str(), page.next.as_deref()), ("7", Some("x")));
        for items in ["[]", "null"] {
            let (objects, page) = pages(&format!(r#"{{"metadata":{{"continue":""}},"items":{items}}}"#)).unwrap();
            assert_eq!((objects, page.next), (vec![], None), "{items}");
        }
    }

    #[test]
    fn what_is_no_list_is_an_error() {
        for text in ["", "[]", r#"{"items":{}}"#, r#"{"items":[]"#, r#"{"items":[]} x"#] {
            assert!(pages(text).is_err(), "{text}");
        }
    }
}
