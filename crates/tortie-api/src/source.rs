//! From text to trees of nodes with positions: YAML 1.2 and JSON, any number of documents.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::limits::{
    COPIED_LEN_MAX, COPIED_NODES_MAX, DEPTH_MAX, DOCUMENT_LEN_MAX, DOCUMENTS_MAX, NODES_MAX, PROBLEMS_MAX,
    TEXT_LEN_MAX, TEXT_NODES_MAX,
};
use crate::problem::{Position, Problem};

/// One node of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// What it is.
    pub value: NodeValue,
    /// Where it stands.
    pub position: Position,
}

/// The content of a node.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NodeValue {
    /// A scalar and whether it is written without quotes.
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Without quotes: may be a number, a boolean or null.
        is_plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Members in the order in which they are written; no key stands twice.
    Mapping(Vec<(String, Position, Node)>),
}

/// Documents of a text, comment-only ones left out, and what is wrong with the text itself.
pub(crate) fn documents(text: &str) -> (Vec<Node>, Vec<Problem>) {
    if text.len() > TEXT_LEN_MAX {
        let problem = Problem::error("", format!("the text is longer than {} MiB", TEXT_LEN_MAX >> 20));
        return (Vec::new(), vec![problem.with_hint("divide it into several files")]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    if is_json(text) {
        read_json(text, &mut builder);
    } else {
        read(text, &mut builder);
    }
    (builder.documents, builder.problems)
}

/// Whether a text is JSON as a whole: objects may stand behind each other without `---` (D-9).
fn is_json(text: &str) -> bool {
    let mut rest = text.trim_start();
    if !rest.starts_with(['{', '[']) {
        return false;
    }
    while !rest.is_empty() {
        let Some(len) = json_value_len(rest) else { return false };
        rest = rest[len..].trim_start();
    }
    true
}

/// Bytes of the JSON value with which a text begins.
fn json_value_len(text: &str) -> Option<usize> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    stream.next()?.ok()?;
    Some(stream.byte_offset())
}

/// Reads each value of a text that is JSON. White space outside strings becomes plain, since YAML does not take tabs
/// everywhere.
fn read_json(text: &str, builder: &mut Builder) {
    let mut rest = text;
    let (mut line, mut column) = (0, 0);
    loop {
        let start = rest.len() - rest.trim_start().len();
        advance(&rest[..start], &mut line, &mut column);
        rest = &rest[start..];
        let Some(len) = json_value_len(rest) else { return };
        (builder.line, builder.column) = (line, column);
        if !read(&spaces_for_tabs(&rest[..len]), builder) {
            return;
        }
        advance(&rest[..len], &mut line, &mut column);
        rest = &rest[len..];
    }
}

fn advance(text: &str, line: &mut usize, column: &mut usize) {
    for c in text.chars() {
        if c == '\n' {
            *line += 1;
            *column = 0;
        } else {
            *column += 1;
        }
    }
}

fn spaces_for_tabs(json: &str) -> String {
    let mut is_inside = false;
    let mut is_escaped = false;
    json.chars()
        .map(|c| {
            let tab = c == '\t' && !is_inside;
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if is_inside => is_escaped = true,
                '"' => is_inside = !is_inside,
                _ => {}
            }
            if tab { ' ' } else { c }
        })
        .collect()
}

/// Reads the documents of a text; `false` when nothing behind it is to be read.
fn read(text: &str, builder: &mut Builder) -> bool {
    let mut parser = Parser::new_from_str(text);
    let before = builder.documents.len();
    loop {
        let problem = match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => return true,
            Some(Ok((event, span))) => match builder.event(event, span) {
                Ok(()) => continue,
                Err(problem) => *problem,
            },
            Some(Err(error)) => {
                let position = builder.position(error.marker().line(), error.marker().col(), 1);
                let message = match error.info() {
                    // Of the parser itself, which looks ahead.
                    "recursion limit exceeded" => too_deep(),
                    cause => format!("not valid YAML: {cause}"),
                };
                let problem = Problem::error("", message).at(position);
                with_yaml_hint(problem, text, position.line.saturating_sub(builder.line + 1))
            }
        };
        builder.problems.push(problem);
        builder.open.clear();
        // Of a text that is broken nothing counts: where one document ends in it is uncertain.
        builder.documents.truncate(before);
        return false;
    }
}

fn too_deep() -> String {
    format!("nested more than {DEPTH_MAX} levels deep")
}

fn with_yaml_hint(problem: Problem, text: &str, line: usize) -> Problem {
    match text.lines().nth(line) {
        Some(content) if content.trim_start_matches(' ').starts_with('\t') => {
            problem.with_hint("indent with spaces: YAML does not take tabs")
        }
        _ => problem,
    }
}

#[derive(Default)]
struct Builder {
    line: usize,
    column: usize,
    documents: Vec<Node>,
    problems: Vec<Problem>,
    /// Collections that are not closed yet.
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    /// Byte at which the present document starts.
    start: usize,
    /// Nodes of the present document.
    count: usize,
    /// Nodes of all documents.
    total: usize,
    copied: Size,
}

/// How much a node takes.
#[derive(Clone, Copy, Default)]
struct Size {
    nodes: usize,
    bytes: usize,
}

struct Open {
    anchor: usize,
    position: Position,
    content: OpenContent,
}

enum OpenContent {
    Sequence(Vec<Node>),
    Mapping(OpenMapping),
}

#[derive(Default)]
struct OpenMapping {
    members: Vec<(String, Position, Node)>,
    key: Option<(String, Position)>,
    merged: Vec<Node>,
    /// The line of each key.
    lines: HashMap<String, usize>,
}

impl Builder {
    fn position(&self, line: usize, column: usize, width: usize) -> Position {
        // The parser counts lines from 1 and columns from 0; a value in the middle of a text shifts its first line.
        let shift = if line <= 1 { self.column } else { 0 };
        Position { line: line.max(1) + self.line, column: column + 1 + shift, width: width.max(1) }
    }

    fn span(&self, span: Span) -> Position {
        let width =
            if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        self.position(span.start.line(), span.start.col(), width)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        let position = self.span(span);
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.count = 0;
                self.start = span.start.index();
            }
            Event::Alias(id) => {
                let node = self
                    .anchors
                    .get(&id)
                    .ok_or_else(|| Problem::error("", "an alias stands inside of its own anchor").at(position))?;
                let size = size(node);
                self.copied(size, position)?;
                self.counted(size.nodes, position)?;
                let value = self.anchors[&id].value.clone();
                self.add(Node { value, position }, 0)?;
            }
            Event::Scalar(text, style, anchor, _) => {
                self.counted(1, position)?;
                let is_plain = style == ScalarStyle::Plain;
                self.add(Node { value: NodeValue::Scalar { text: text.into_owned(), is_plain }, position }, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, position, OpenContent::Sequence(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                self.open(anchor, position, OpenContent::Mapping(OpenMapping::default()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let value = match open.content {
                        OpenContent::Sequence(items) => NodeValue::Sequence(items),
                        OpenContent::Mapping(open) => NodeValue::Mapping(merge(open.members, open.merged)),
                    };
                    self.add(Node { value, position: open.position }, open.anchor)?;
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        if span.end.index().saturating_sub(self.start) > DOCUMENT_LEN_MAX {
            let problem = Problem::error("", format!("the document is longer than {} MiB", DOCUMENT_LEN_MAX >> 20));
            return Err(Box::new(problem.at(position)));
        }
        if self.problems.len() >= PROBLEMS_MAX {
            return Err(Box::new(Problem::error("", "too many mistakes: what follows is not read").at(position)));
        }
        Ok(())
    }

    fn counted(&mut self, nodes: usize, position: Position) -> Result<(), Box<Problem>> {
        self.count += nodes;
        self.total += nodes;
        if self.count > NODES_MAX {
            return Err(Box::new(
                Problem::error("", format!("the document has more than {NODES_MAX} nodes")).at(position),
            ));
        }
        if self.total > TEXT_NODES_MAX {
            let problem = Problem::error("", format!("the text has more than {TEXT_NODES_MAX} nodes")).at(position);
            return Err(Box::new(problem.with_hint("divide it into several files")));
        }
        Ok(())
    }

    /// Counts what an anchor or alias adds to what is written.
    fn copied(&mut self, size: Size, position: Position) -> Result<(), Box<Problem>> {
        self.copied.nodes += size.nodes;
        self.copied.bytes += size.bytes;
        let what = if self.copied.nodes > COPIED_NODES_MAX {
            format!("{COPIED_NODES_MAX} nodes")
        } else if self.copied.bytes > COPIED_LEN_MAX {
            format!("{} MiB of text", COPIED_LEN_MAX >> 20)
        } else {
            return Ok(());
        };
        let problem = Problem::error("", format!("anchors and aliases repeat more than {what}")).at(position);
        Err(Box::new(problem.with_hint("write it out, or divide the text into several files")))
    }

    fn open(&mut self, anchor: usize, position: Position, content: OpenContent) -> Result<(), Box<Problem>> {
        self.counted(1, position)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(Box::new(Problem::error("", too_deep()).at(position)));
        }
        self.open.push(Open { anchor, position, content });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Box<Problem>> {
        if anchor > 0 {
            self.copied(size(&node), node.position)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                let is_empty =
                    matches!(&node.value, NodeValue::Scalar { text, is_plain: true } if text.is_empty() || text == "~");
                if !is_empty {
                    if self.documents.len() >= DOCUMENTS_MAX {
                        let problem = Problem::error("", format!("more than {DOCUMENTS_MAX} documents"));
                        return Err(Box::new(problem.with_hint("divide them into several files").at(node.position)));
                    }
                    self.documents.push(node);
                }
            }
            Some(OpenContent::Sequence(items)) => items.push(node),
            Some(OpenContent::Mapping(mapping)) => self.problems.extend(mapping.add(node)),
        }
        Ok(())
    }
}

impl OpenMapping {
    /// Takes a key, or the value of the key before.
    fn add(&mut self, node: Node) -> Option<Problem> {
        let Some((name, position)) = self.key.take() else {
            let NodeValue::Scalar { text, .. } = node.value else {
                self.key = Some((String::new(), node.position));
                return Some(Problem::error("", "a key must be a plain text").at(node.position));
            };
            self.key = Some((text, node.position));
            return None;
        };
        if name == "<<" {
            self.merged.push(node);
            return None;
        }
        if let Some(line) = self.lines.get(&name) {
            let hint = format!("it stands in line {line} already");
            return Some(Problem::error("", format!("key `{name}` is given twice")).with_hint(hint).at(position));
        }
        self.lines.insert(name.clone(), position.line);
        self.members.push((name, position, node));
        None
    }
}

fn size(node: &Node) -> Size {
    let add = |a: Size, b: Size| Size { nodes: a.nodes + b.nodes, bytes: a.bytes + b.bytes };
    let this = |bytes| Size { nodes: 1, bytes };
    match &node.value {
        NodeValue::Scalar { text, .. } => this(text.len()),
        NodeValue::Sequence(items) => items.iter().map(size).fold(this(0), add),
        NodeValue::Mapping(members) => {
            members.iter().map(|(name, _, node)| add(this(name.len()), size(node))).fold(this(0), add)
        }
    }
}

/// Merge keys (`<<`): own members win, then the first mapping that has one.
fn merge(mut members: Vec<(String, Position, Node)>, merged: Vec<Node>) -> Vec<(String, Position, Node)> {
    let mut have: BTreeSet<String> = members.iter().map(|(name, ..)| name.clone()).collect();
    for node in merged {
        let sources = match node.value {
            NodeValue::Sequence(items) => items,
            _ => vec![node],
        };
        for source in sources {
            if let NodeValue::Mapping(inner) = source.value {
                for member in inner {
                    if have.insert(member.0.clone()) {
                        members.push(member);
                    }
                }
            }
        }
    }
    members
}

#[cfg(test)]
mod tests;
