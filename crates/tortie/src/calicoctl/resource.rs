//! One object that a command is about.

use serde_json::{Map, Value, json};
use tortie_api::{API_VERSION, Document, Entry, Fault, Kind, Problem, ResourceKey};

use super::error::Error;
use super::flags::Given;
use super::{kinds, refusal};

/// An object of a file or of the command line.
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) name: String,
    /// Empty when none is named.
    pub(super) namespace: String,
    /// The revision that the stored object must have.
    pub(super) revision: Option<String>,
    pub(super) body: Body,
}

/// What is known of an object beyond its name.
pub(super) enum Body {
    /// All of it.
    Whole(Document),
    /// All of it, and why it is refused.
    Refused { problems: Vec<Problem>, raw: Value },
}

impl Resource {
    /// An object of a file.
    ///
    /// # Errors
    /// What keeps Calico's tools from reading the file at all.
    pub(super) fn of_entry(entry: Entry) -> Result<Resource, Error> {
        let unknown = |problem: &Problem| problem.fault == Fault::UnknownKind;
        let kind = match Kind::from_document(&entry.kind).filter(|_| entry.api_version == API_VERSION) {
            Some(kind) => kind,
            None if entry.api_version == API_VERSION
                && entry.outcome.as_ref().is_err_and(|p| !p.iter().any(unknown)) =>
            {
                return Err(of_list(&entry).unwrap_or(Error::NotManaged(entry.kind)));
            }
            None => return Err(unknown_resource(&entry)),
        };
        let text = |name: &str| word(&entry.raw["metadata"][name]);
        let revision = Some(text("resourceVersion")).filter(|revision| !revision.is_empty());
        let (name, namespace) = (text("name"), text("namespace"));
        let body = match entry.outcome {
            Ok(document) => Body::Whole(document),
            Err(problems) => match refusal::unreadable(kind, &entry.raw, &problems) {
                Some(error) => return Err(error),
                None => Body::Refused { problems, raw: entry.raw },
            },
        };
        Ok(Resource { kind, name, namespace, revision, body })
    }

    /// The objects of the command line: a kind, and names of it.
    pub(super) fn of_words(words: &[String]) -> Result<Vec<Resource>, Error> {
        let (word, names) = words.split_first().expect("a command without a kind ends before this");
        let kind = kinds::kind(word)?;
        let unnamed = [String::new()];
        let names = if names.is_empty() { &unnamed } else { names };
        names.iter().map(|name| Resource::of_entry(named(kind, name))).collect()
    }

    /// Settles the namespace by what the object and the flags say.
    pub(super) fn settle_namespace(&mut self, given: &Given) -> Result<(), Error> {
        let wanted = given.text("namespace");
        let all = is_of_all(given);
        if !self.kind.is_namespaced() {
            return match (self.namespace.is_empty(), wanted.is_some() || all) {
                (false, _) => Err(Error::NamespaceGiven(self.kind)),
                (true, true) => Err(Error::NotNamespaced(self.kind)),
                (true, false) => Ok(()),
            };
        }
        self.namespace = match wanted {
            Some(_) if all => return Err(Error::BothNamespaces),
            Some(client) if !self.namespace.is_empty() && client != self.namespace => {
                return Err(Error::OtherNamespace { own: self.namespace.clone(), client: client.to_owned() });
            }
            Some(client) => client.to_owned(),
            None if all => String::new(),
            None if self.namespace.is_empty() => "default".to_owned(),
            None => return Ok(()),
        };
        match &mut self.body {
            Body::Whole(document) => document.set_namespace(&self.namespace),
            Body::Refused { .. } => {}
        }
        Ok(())
    }

    pub(super) fn key(&self) -> ResourceKey {
        let namespace = self.kind.is_namespaced().then(|| self.namespace.clone());
        ResourceKey { kind: self.kind, namespace, name: self.name.clone() }
    }

    /// The object as it is to be stored.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn valid(&self) -> Result<&Map<String, Value>, Error> {
        match &self.body {
            Body::Whole(document) => Ok(&document.value),
            Body::Refused { problems, raw } => Err(refusal::of(self.kind, raw, problems)),
        }
    }

    /// The tier that a policy names.
    pub(super) fn tier(&self) -> Option<&str> {
        let value = match &self.body {
            Body::Whole(document) => document.value.get("spec"),
            Body::Refused { raw, .. } => raw.get("spec"),
        };
        let tier = value.and_then(|spec| spec.get("tier")).and_then(Value::as_str).filter(|tier| !tier.is_empty());
        self.kind.is_tiered_policy().then(|| tier.unwrap_or(tortie_api::DEFAULT_TIER))
    }
}

/// What is said of an object of no kind that is known: words that are no text are not read, and neither is a version with
/// two strokes in it.
fn unknown_resource(entry: &Entry) -> Error {
    let text = |name: &str| entry.raw.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let version = Some(text("apiVersion")).filter(|version| version.matches('/').count() < 2);
    Error::UnknownResource { kind: text("kind"), version: version.unwrap_or_default() }
}

/// Why the list that an entry is cannot be read, if it is one of a kind that is known.
fn of_list(entry: &Entry) -> Option<Error> {
    let kind = entry.kind.strip_suffix("List").and_then(Kind::from_document)?;
    entry.outcome.as_ref().err().and_then(|problems| refusal::unreadable(kind, &entry.raw, problems))
}

/// The text that a scalar is where text is wanted: a name may look like a number.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => String::new(),
    }
}

/// Whether `get` is to look into all namespaces.
pub(super) fn is_of_all(given: &Given) -> bool {
    given.is_set("all-namespaces") || given.is_set("a")
}

/// What stands for an object of which only the name is given.
fn named(kind: Kind, name: &str) -> Entry {
    let document = json!({"apiVersion": API_VERSION, "kind": kind.name(), "metadata": {"name": name}});
    let entries = tortie_api::entries(&document.to_string()).unwrap_or_default();
    entries.into_iter().next().expect("one document is one entry")
}
