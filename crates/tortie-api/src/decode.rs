//! From what users write to objects in stored form, with all mistakes of all documents at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::checks::nearest;
use crate::kind::OUT_OF_SCOPE;
use crate::limits::PROBLEMS_MAX;
use crate::problem::{Fault, Position, Problem, Severity};
use crate::schema::{self, Type, optional, required};
use crate::shape::{Shaper, is_null, plain_value, scalar};
use crate::source::{Node, NodeValue, documents};
use crate::validate::validate;
use crate::{API_VERSION, Kind, ResourceKey, defaults};

/// Everything that one text holds.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The objects that can be written.
    pub documents: Vec<Document>,
    /// What is wrong, warnings among it, in the order of the text.
    pub problems: Vec<Problem>,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Its kind.
    pub kind: Kind,
    /// The object in stored form, defaults filled in as on create. `metadata.namespace` is missing where the text names
    /// none: the caller knows the default.
    pub value: Map<String, Value>,
    /// The object in stored form as it was written, without defaults.
    pub written: Map<String, Value>,
    /// `metadata.resourceVersion` as given: a precondition, never stored.
    pub resource_version: Option<String>,
    /// Where the document starts.
    pub position: Position,
}

impl Document {
    /// The key, in `namespace` when the kind has one and the document names none.
    pub fn key(&self, namespace: &str) -> ResourceKey {
        let text = |name: &str| self.value["metadata"].get(name).and_then(Value::as_str);
        let namespace = self.kind.is_namespaced().then(|| text("namespace").unwrap_or(namespace).to_owned());
        ResourceKey { kind: self.kind, namespace, name: text("name").unwrap_or_default().to_owned() }
    }

    /// The namespace that the document itself names.
    pub fn namespace(&self) -> Option<&str> {
        self.value["metadata"].get("namespace").and_then(Value::as_str)
    }

    /// Puts the object into a namespace.
    pub fn set_namespace(&mut self, namespace: &str) {
        self.value["metadata"]["namespace"] = json!(namespace);
        self.written["metadata"]["namespace"] = json!(namespace);
    }
}

impl Decoded {
    /// Whether anything is refused.
    pub fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }
}

/// Decodes a text: any number of documents, each an object, a list of objects, or a `List` kind.
pub fn decode(text: &str) -> Decoded {
    Decoder::read(text, Depth::Whole)
}

/// Decodes which objects a text names, for a deletion: kind, name, namespace and revision count, the rest is not looked
/// at, so that an object can be deleted by less than what made it.
pub fn identify(text: &str) -> Decoded {
    Decoder::read(text, Depth::Identity)
}

/// One document of a text, or one item of a list of them, and what became of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// `apiVersion` as it is written; empty when it is absent.
    pub api_version: String,
    /// `kind` as it is written; empty when it is absent.
    pub kind: String,
    /// All of it as it is written.
    pub raw: Value,
    /// The object that can be written, or every mistake in it.
    pub outcome: Result<Document, Vec<Problem>>,
}

/// Decodes a text document by document, for whoever handles each of them alone, whatever the others are.
///
/// # Errors
/// What is wrong with the text itself, when it is no YAML or JSON.
pub fn entries(text: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    let (nodes, problems) = documents(text);
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut entries = Vec::new();
    for node in &nodes {
        match &node.value {
            NodeValue::Sequence(items) => items.iter().for_each(|item| Entry::add(item, &mut entries)),
            _ => Entry::add(node, &mut entries),
        }
    }
    Ok(entries)
}

impl Entry {
    fn add(node: &Node, entries: &mut Vec<Entry>) {
        let mut decoder = Decoder { depth: Depth::Whole, documents: Vec::new(), problems: Vec::new() };
        let word = |name: &str| match &node.value {
            NodeValue::Mapping(members) => members.iter().find(|(found, ..)| found == name).map(|(.., value)| value),
            _ => None,
        };
        let word = |name: &str| word(name).and_then(scalar).map(|(text, _)| text.to_owned()).unwrap_or_default();
        let (api_version, kind) = (word("apiVersion"), word("kind"));
        let is_list = kind.strip_suffix("List").is_some_and(|kind| Kind::from_document(kind).is_some());
        match &node.value {
            NodeValue::Mapping(members) if is_list && api_version == API_VERSION => {
                let items = decoder.items(node, members);
                if decoder.problems.is_empty() {
                    items.iter().for_each(|item| Entry::add(item, entries));
                    return;
                }
            }
            _ => decoder.node(node, false),
        }
        let outcome = decoder.documents.pop().ok_or_else(|| {
            decoder.problems.retain(|problem| problem.severity == Severity::Error);
            decoder.problems
        });
        entries.push(Entry { api_version, kind, raw: plain_value(node), outcome });
    }
}

/// How much of an object matters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Whole,
    Identity,
}

struct Decoder {
    depth: Depth,
    documents: Vec<Document>,
    problems: Vec<Problem>,
}

impl Decoder {
    fn read(text: &str, depth: Depth) -> Decoded {
        let (nodes, problems) = documents(text);
        let mut decoder = Decoder { depth, documents: Vec::new(), problems };
        for node in nodes {
            if decoder.problems.len() > PROBLEMS_MAX {
                break;
            }
            decoder.node(&node, true);
        }
        if decoder.problems.len() > PROBLEMS_MAX {
            decoder.problems.truncate(PROBLEMS_MAX);
            let problem = Problem::error("", format!("more than {PROBLEMS_MAX} mistakes: the rest is not shown"));
            decoder.problems.push(problem);
        }
        Decoded { documents: decoder.documents, problems: decoder.problems }
    }

    fn node(&mut self, node: &Node, is_top: bool) {
        match &node.value {
            NodeValue::Sequence(items) if is_top => items.iter().for_each(|item| self.node(item, false)),
            NodeValue::Mapping(members) => self.object(node, members),
            _ => {
                let problem = Problem::error("", "expected an object with apiVersion and kind").of(Fault::Type);
                self.problems.push(problem.at(node.position));
            }
        }
    }

    fn object(&mut self, node: &Node, members: &[(String, Position, Node)]) {
        let member = |name: &str| members.iter().find(|(found, ..)| found == name).map(|(.., value)| value);
        let version = member("apiVersion").filter(|node| !is_null(node));
        let mut is_known = true;
        match version.map(|node| (scalar(node), node)) {
            None => self.missing(node, "apiVersion", API_VERSION, &mut is_known),
            Some((Some((API_VERSION, _)), _)) => {}
            Some((found, at)) => {
                let found = found.map_or("", |(text, _)| text);
                let problem = Problem::error("apiVersion", format!("unknown apiVersion `{found}`"));
                let problem = problem.of(Fault::UnknownKind).at(at.position);
                self.problems.push(problem.with_hint(format!("write `apiVersion: {API_VERSION}`")));
                is_known = false;
            }
        }
        let Some(kind_node) = member("kind").filter(|node| !is_null(node)) else {
            self.missing(node, "kind", "HostEndpoint, for instance", &mut is_known);
            return;
        };
        let name = scalar(kind_node).map_or("", |(text, _)| text);
        if let Some(kind) = name.strip_suffix("List").and_then(Kind::from_document) {
            self.list(kind, node, members);
            return;
        }
        match Kind::from_document(name) {
            Some(kind) if is_known => match self.depth {
                Depth::Whole => self.resource(kind, node),
                Depth::Identity => self.identity(kind, node, member("metadata").unwrap_or(node)),
            },
            Some(_) => {}
            None => self.unknown_kind(name, kind_node.position),
        }
    }

    fn missing(&mut self, node: &Node, field: &str, example: &str, is_known: &mut bool) {
        let problem = Problem::error(field, format!("`{field}` is missing"));
        let problem = problem.of(Fault::UnknownKind).at(node.position);
        self.problems.push(problem.with_hint(format!("write `{field}: {example}`")));
        *is_known = false;
    }

    fn unknown_kind(&mut self, name: &str, position: Position) {
        let problem = if OUT_OF_SCOPE.contains(&name) {
            Problem::error("kind", format!("kind {name} is not managed by Tortie"))
        } else {
            let problem = Problem::error("kind", format!("unknown kind `{name}`")).of(Fault::UnknownKind);
            match nearest(name, Kind::all().map(Kind::name)) {
                Some(near) => problem.with_hint(format!("did you mean `{near}`?")),
                None => problem.with_hint("`tortie get` lists the kinds"),
            }
        };
        self.problems.push(problem.at(position));
    }

    /// A `List` kind, whose items carry apiVersion and kind of their own.
    fn list(&mut self, kind: Kind, node: &Node, members: &[(String, Position, Node)]) {
        for item in self.items(node, members) {
            let before = self.documents.len();
            self.node(item, false);
            if let Some(document) = self.documents.get(before).filter(|document| document.kind != kind) {
                let message = format!("a {} in a {kind}List", document.kind);
                self.problems.push(Problem::error("kind", message).at(item.position));
                self.documents.truncate(before);
            }
        }
    }

    /// The items of a `List` kind, which is checked itself.
    fn items<'a>(&mut self, node: &Node, members: &'a [(String, Position, Node)]) -> &'a [Node] {
        let fields = [
            required("apiVersion", Type::Any, "The version of the items."),
            required("kind", Type::Any, "The kind of the items, with `List` at its end."),
            optional("metadata", Type::Any, "What a server says about the list."),
            optional("items", Type::List(&Type::Any, usize::MAX), "The objects."),
        ];
        let mut shaper = Shaper::default();
        shaper.object(&fields, node, "");
        self.problems.append(&mut shaper.problems);
        let items = members.iter().find(|(name, ..)| name == "items").map(|(.., items)| &items.value);
        match items {
            Some(NodeValue::Sequence(items)) => items,
            _ => &[],
        }
    }

    fn identity(&mut self, kind: Kind, node: &Node, metadata: &Node) {
        let mut shaper = Shaper::default();
        let mut metadata = shaper.object(schema::METADATA, metadata, "metadata");
        let is_shaped = shaper.problems.is_empty();
        self.problems.append(&mut shaper.problems);
        let resource_version = metadata.remove("resourceVersion").and_then(|v| v.as_str().map(str::to_owned));
        metadata.retain(|name, _| ["name", "namespace"].contains(&name.as_str()));
        if !metadata.contains_key("name") {
            if is_shaped {
                self.problems.push(Problem::error("metadata.name", "the object has no name").at(node.position));
            }
            return;
        }
        let mut value = Map::new();
        value.insert("metadata".to_owned(), Value::Object(metadata));
        let written = value.clone();
        self.documents.push(Document { kind, value, written, resource_version, position: node.position });
    }

    fn resource(&mut self, kind: Kind, node: &Node) {
        let mut shaper = Shaper::default();
        let mut value = shaper.object(&schema::document(kind), node, "");
        if !value.contains_key("spec") {
            // A missing spec misses what it must hold.
            let empty = Node { value: NodeValue::Mapping(Vec::new()), position: node.position };
            let spec = shaper.object(schema::spec(kind), &empty, "spec");
            value.insert("spec".to_owned(), Value::Object(spec));
        }
        let has_types = value["spec"].get("types").is_some();
        let mut problems = shaper.problems;
        let is_shaped = !problems.iter().any(|problem| problem.severity == Severity::Error);

        let resource_version = value
            .get_mut("metadata")
            .and_then(Value::as_object_mut)
            .map(|metadata| {
                metadata.remove("selfLink");
                metadata.remove("resourceVersion")
            })
            .and_then(|version| version.and_then(|version| version.as_str().map(str::to_owned)));

        // Warnings about what is inferred need the object as it was written, errors the object as it would be stored.
        let mut written = value.clone();
        defaults::fill(kind, &mut value);
        let mut found = validate(kind, &value);
        if !has_types {
            let known: BTreeSet<String> = found.iter().map(ToString::to_string).collect();
            let inferred = validate(kind, &written).into_iter();
            found.extend(inferred.filter(|p| p.severity == Severity::Warning && !known.contains(&p.to_string())));
        }
        let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
        let refused: BTreeSet<String> = errors.map(|problem| problem.path.clone()).collect();
        for mut problem in found {
            // A field that was refused already is not refused again for what follows from that.
            let is_error = problem.severity == Severity::Error;
            if !is_error || !refused.contains(&problem.path) {
                problem.position = problem.position.or(Some(place(&shaper.positions, &problem.path, node.position)));
                problems.push(problem);
            }
        }
        let is_good = is_shaped && !problems.iter().any(|problem| problem.severity == Severity::Error);
        problems.sort_by_key(|problem| problem.position);
        self.problems.append(&mut problems);
        if is_good {
            drop_repeats(kind, &mut value);
            drop_repeats(kind, &mut written);
            self.documents.push(Document { kind, value, written, resource_version, position: node.position });
        }
    }
}

/// Repeated addresses and profiles of a host endpoint: the first one stays (resources.md section 2).
fn drop_repeats(kind: Kind, value: &mut Map<String, Value>) {
    if kind != Kind::HostEndpoint {
        return;
    }
    for name in ["expectedIPs", "profiles"] {
        if let Some(Value::Array(list)) = value["spec"].get_mut(name) {
            let mut seen = BTreeSet::new();
            list.retain(|item| seen.insert(item.to_string()));
        }
    }
}

/// The place of a field, or of the nearest one around it that stands in the text.
fn place(positions: &BTreeMap<String, Position>, path: &str, document: Position) -> Position {
    let mut path = path;
    loop {
        if let Some(position) = positions.get(path) {
            return *position;
        }
        match path.rfind(['.', '[']) {
            Some(end) => path = &path[..end],
            None => return document,
        }
    }
}
