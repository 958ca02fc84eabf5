//! `get --watch`: what is there, then each change as it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::channel;

use serde_json::{Map, Value, json};
use tortie_api::print::to_yaml;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::Object;
use tortie_datastore::store::Scope;
use tortie_datastore::{Store, SyncEvent};
use tortie_selector::Selector;

use crate::exit::{Code, Failure};
use crate::output::{self, Format, Results};
use crate::select;

/// What is watched.
pub(crate) struct Wanted {
    pub(crate) keys: Vec<(Kind, Option<String>)>,
    /// Of namespaced kinds only those of this namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) selector: Option<Selector>,
}

impl Wanted {
    fn names(&self, key: &ResourceKey) -> bool {
        let is_named = |(kind, name): &(Kind, Option<String>)| {
            *kind == key.kind && name.as_ref().is_none_or(|name| *name == key.name)
        };
        let is_near = self.namespace.is_none() || key.namespace.is_none() || key.namespace == self.namespace;
        is_near && self.keys.iter().any(is_named)
    }

    fn takes(&self, object: &Map<String, Value>) -> bool {
        self.selector.as_ref().is_none_or(|selector| select::takes(selector, object))
    }
}

/// What happened to an object, in the words of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Added,
    Modified,
    Deleted,
}

impl Event {
    fn word(self) -> &'static str {
        match self {
            Event::Added => "ADDED",
            Event::Modified => "MODIFIED",
            Event::Deleted => "DELETED",
        }
    }
}

/// Watches until somebody ends the program, or nobody reads any more.
pub(crate) fn watch(
    store: Arc<dyn Store>,
    wanted: &Wanted,
    format: &Format,
    with_namespace: bool,
    is_bold: bool,
) -> Result<Code, Failure> {
    let mut kinds: Vec<Kind> = wanted.keys.iter().map(|(kind, _)| *kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let place = store.place();
    let (sender, events) = channel();
    let scope = Scope { kinds, node: None, is_known: false };
    // Whoever took what was sent has ended with the program.
    let deliver = Box::new(move |event| sender.send(event).unwrap_or_default());
    let _syncer = store
        .sync(scope, deliver)
        .map_err(|error| Failure::new(Code::General, format!("cannot follow `{place}`: {error}")))?;
    let mut screen = Screen { format, with_namespace, is_bold, shown: BTreeMap::new(), heading_of: None };
    for event in events {
        match event {
            SyncEvent::Updates { updates, .. } => {
                for update in updates.into_iter().filter(|update| wanted.names(&update.key)) {
                    let object = match update.object() {
                        Some(Err(reason)) => {
                            eprintln!("warning: {} is no object: {reason}", update.key);
                            continue;
                        }
                        Some(Ok(object)) => Some(object).filter(|object| wanted.takes(object)),
                        None => None,
                    };
                    screen.change(update.key, object)?;
                }
            }
            SyncEvent::Locked => eprintln!("warning: `{place}` is locked: changes are shown when it is unlocked"),
            SyncEvent::Lost(reason) => eprintln!("warning: {reason}"),
        }
        if crate::screen::is_closed() {
            break;
        }
    }
    Ok(Code::Success)
}

/// What was shown.
struct Screen<'a> {
    format: &'a Format,
    with_namespace: bool,
    is_bold: bool,
    shown: BTreeMap<ResourceKey, Map<String, Value>>,
    /// The kind of the rows at the end of the screen.
    heading_of: Option<Kind>,
}

impl Screen<'_> {
    fn change(&mut self, key: ResourceKey, object: Option<Map<String, Value>>) -> Result<(), Failure> {
        let before = self.shown.remove(&key);
        let (event, value) = match (before, object) {
            (None, Some(object)) => (Event::Added, object),
            (Some(_), Some(object)) => (Event::Modified, object),
            (Some(object), None) => (Event::Deleted, object),
            (None, None) => return Ok(()),
        };
        self.show(event, &key, &value)?;
        if event != Event::Deleted {
            self.shown.insert(key, value);
        }
        Ok(())
    }

    fn show(&mut self, event: Event, key: &ResourceKey, value: &Map<String, Value>) -> Result<(), Failure> {
        let object = Object { key: key.clone(), value: value.clone() };
        match self.format {
            Format::JsonLines => println!("{}", json!({"type": event.word(), "object": value})),
            Format::Yaml => print!("---\n# {}\n{}", event.word(), to_yaml(&Value::Object(value.clone()))),
            Format::Table { .. } | Format::Columns(_) => {
                let columns = output::chosen(self.format, key.kind, self.with_namespace)?;
                let headings: Vec<&str> = ["EVENT"].into_iter().chain(columns.iter().copied()).collect();
                let cells = columns.iter().map(|column| output::cell(&object, column));
                let cells: Vec<String> = [event.word().to_owned()].into_iter().chain(cells).collect();
                let is_first = self.heading_of.replace(key.kind) != Some(key.kind);
                print!("{}", crate::table::running(&headings, &cells, is_first, self.is_bold));
            }
            Format::Json | Format::Name | Format::JsonPath(_) | Format::GoTemplate(_) => {
                let one = Results { kind: key.kind, objects: vec![object], list_revision: None };
                output::print(self.format, &[one], self.with_namespace, self.is_bold)?;
            }
        }
        Ok(())
    }
}
