//! Changed objects on their way to a consumer.

use serde_json::{Map, Value};
use tortie_api::ResourceKey;

use crate::kv::Revision;
use crate::{keys, sketch};

/// One changed object.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Which.
    pub key: ResourceKey,
    /// What the store holds of it; `None` when it was deleted.
    pub value: Option<Content>,
}

impl Update {
    /// The object as users see it, or why what is stored is none; `None` when it was deleted.
    pub fn object(&self) -> Option<Result<Map<String, Value>, String>> {
        self.value.as_ref().map(Content::read)
    }
}

/// What a store holds of an object. It stays text until somebody reads it: that takes a tenth of the room of the members,
/// and a consumer that reads one object after the other never has those of all.
#[derive(Clone, Debug, PartialEq)]
pub struct Content(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    /// What lies at a key of a key-value store.
    Bytes { at: ResourceKey, bytes: Vec<u8>, revision: Revision },
    /// The object as users see it, or why it is none.
    Text(Result<Shown, String>),
}

#[derive(Clone, Debug, PartialEq)]
struct Shown {
    name: Option<String>,
    json: Box<str>,
}

fn name_in(object: &Map<String, Value>) -> Option<String> {
    object.get("metadata")?.get("name")?.as_str().map(str::to_owned)
}

impl Content {
    /// The bytes at a key of a key-value store, as written at this revision.
    pub fn stored(at: ResourceKey, bytes: Vec<u8>, revision: Revision) -> Content {
        Content(Form::Bytes { at, bytes, revision })
    }

    /// The object as users see it, or why it is none.
    pub fn shown(object: Result<Map<String, Value>, String>) -> Content {
        let shown = |object| Shown { name: name_in(&object), json: Value::Object(object).to_string().into_boxed_str() };
        Content(Form::Text(object.map(shown)))
    }

    /// The object that the key names, where it lies in a key-value store.
    pub(super) fn at(&self) -> Option<&ResourceKey> {
        match &self.0 {
            Form::Bytes { at, .. } => Some(at),
            Form::Text(_) => None,
        }
    }

    /// The name in the object of a policy.
    ///
    /// # Errors
    /// As [`Content::read`].
    pub(super) fn name(&self) -> Result<Option<String>, String> {
        match &self.0 {
            Form::Bytes { at, bytes, .. } => match sketch::name_at(at, bytes) {
                Some(name) => Ok(Some(name)),
                None => self.read().map(|object| name_in(&object)),
            },
            Form::Text(shown) => shown.as_ref().map(|shown| shown.name.clone()).map_err(Clone::clone),
        }
    }

    /// The object as users see it.
    ///
    /// # Errors
    /// A sentence on why what is stored is none.
    pub fn read(&self) -> Result<Map<String, Value>, String> {
        match &self.0 {
            Form::Bytes { at, bytes, revision } => keys::from_bytes_at(at, bytes, *revision),
            Form::Text(Ok(shown)) => serde_json::from_str(&shown.json).map_err(|error| error.to_string()),
            Form::Text(Err(reason)) => Err(reason.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tortie_api::Kind;

    use super::*;

    #[test]
    fn an_object_is_read_from_either_form_as_users_see_it() {
        let at = ResourceKey::global(Kind::GlobalNetworkPolicy, "default.a");
        let stored = json!({"metadata": {"name": "default.a"}, "spec": {"order": 0.1}}).to_string().into_bytes();
        let content = Content::stored(at.clone(), stored, Revision(7));
        let shown = content.read().unwrap();
        assert_eq!((shown["metadata"]["name"].as_str(), content.name().unwrap().as_deref()), (Some("a"), Some("a")));
        let again = Content::shown(Ok(shown.clone()));
        assert_eq!((again.read(), again.name()), (Ok(shown), Ok(Some("a".to_owned()))));
        for broken in [Content::stored(at, b"[]".to_vec(), Revision(7)), Content::shown(Err("no".to_owned()))] {
            assert_eq!(broken.name().unwrap_err(), broken.read().unwrap_err());
        }
    }
}
