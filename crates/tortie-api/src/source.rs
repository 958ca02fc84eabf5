//! From text to trees of nodes with positions: YAML 1.2 and JSON, any number of documents.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::problem::{Position, Problem};

/// Bytes of one document.
const DOCUMENT_LEN_MAX: usize = 10 << 20;
/// Nodes of one document after aliases are followed: a bound on what a few lines can be blown up to.
const NODES_MAX: usize = 500_000;
/// Levels of nesting.
const DEPTH_MAX: usize = 100;

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
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut problems = Vec::new();
    let mut nodes = Vec::new();
    match json_values(text) {
        Some(values) => {
            for (line, column, json) in values {
                read(&json, line, column, &mut nodes, &mut problems);
            }
        }
        None => read(text, 0, 0, &mut nodes, &mut problems),
    }
    (nodes, problems)
}

/// The top-level values of a text that is JSON: objects may stand behind each other without `---` (D-9).
///
/// `None` when it is anything else. White space outside strings becomes plain, since YAML does not take tabs everywhere.
fn json_values(text: &str) -> Option<Vec<(usize, usize, String)>> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let mut values = Vec::new();
    let mut rest = text;
    let (mut line, mut column) = (0, 0);
    while !rest.trim_start().is_empty() {
        let start = rest.len() - rest.trim_start().len();
        advance(&rest[..start], &mut line, &mut column);
        rest = &rest[start..];
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
        stream.next()?.ok()?;
        let len = stream.byte_offset();
        values.push((line, column, spaces_for_tabs(&rest[..len])));
        advance(&rest[..len], &mut line, &mut column);
        rest = &rest[len..];
    }
    Some(values)
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

fn read(text: &str, line: usize, column: usize, nodes: &mut Vec<Node>, problems: &mut Vec<Problem>) {
    let mut builder = Builder { line, column, ..Builder::default() };
    if text.len() > DOCUMENT_LEN_MAX && !text.contains("\n---") {
        problems.push(Problem::error("", format!("the document is longer than {} MiB", DOCUMENT_LEN_MAX >> 20)));
        return;
    }
    // Nesting is counted before the parser sees the text: it recurses.
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, span) = match parser.next_event() {
            None | Some(Ok((Event::StreamEnd, _))) => break,
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                let position = builder.position(error.marker().line(), error.marker().col(), 1);
                let problem = Problem::error("", format!("not valid YAML: {}", error.info())).at(position);
                problems.push(with_yaml_hint(problem, text, position.line.saturating_sub(line + 1)));
                return;
            }
        };
        if let Err(problem) = builder.event(event, span) {
            problems.push(problem);
            return;
        }
        problems.append(&mut builder.problems);
    }
    nodes.append(&mut builder.documents);
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
    count: usize,
}

struct Open {
    anchor: usize,
    position: Position,
    content: OpenContent,
}

enum OpenContent {
    Sequence(Vec<Node>),
    Mapping { members: Vec<(String, Position, Node)>, key: Option<(String, Position)>, merged: Vec<Node> },
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

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let position = self.span(span);
        match event {
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.count = 0;
            }
            Event::Alias(id) => {
                let node = self
                    .anchors
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| Problem::error("", "an alias stands inside of its own anchor").at(position))?;
                let size = size(&node);
                self.counted(size, position)?;
                self.add(Node { position, ..node }, 0);
            }
            Event::Scalar(text, style, anchor, _) => {
                self.counted(1, position)?;
                let is_plain = style == ScalarStyle::Plain;
                self.add(Node { value: NodeValue::Scalar { text: text.into_owned(), is_plain }, position }, anchor);
            }
            Event::SequenceStart(anchor, _) => self.open(anchor, position, OpenContent::Sequence(Vec::new()))?,
            Event::MappingStart(anchor, _) => {
                let content = OpenContent::Mapping { members: Vec::new(), key: None, merged: Vec::new() };
                self.open(anchor, position, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let value = match open.content {
                        OpenContent::Sequence(items) => NodeValue::Sequence(items),
                        OpenContent::Mapping { members, merged, .. } => NodeValue::Mapping(merge(members, merged)),
                    };
                    self.add(Node { value, position: open.position }, open.anchor);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn counted(&mut self, nodes: usize, position: Position) -> Result<(), Problem> {
        self.count += nodes;
        if self.count > NODES_MAX {
            return Err(Problem::error("", format!("the document has more than {NODES_MAX} nodes")).at(position));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, position: Position, content: OpenContent) -> Result<(), Problem> {
        self.counted(1, position)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(Problem::error("", format!("nested more than {DEPTH_MAX} levels deep")).at(position));
        }
        self.open.push(Open { anchor, position, content });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => {
                let is_empty =
                    matches!(&node.value, NodeValue::Scalar { text, is_plain: true } if text.is_empty() || text == "~");
                if !is_empty {
                    self.documents.push(node);
                }
            }
            Some(OpenContent::Sequence(items)) => items.push(node),
            Some(OpenContent::Mapping { members, key, merged }) => match key.take() {
                None => match node.value {
                    NodeValue::Scalar { text, .. } => *key = Some((text, node.position)),
                    _ => {
                        let problem = Problem::error("", "a key must be a plain text").at(node.position);
                        self.problems.push(problem);
                        *key = Some((String::new(), node.position));
                    }
                },
                Some((name, _)) if name == "<<" => merged.push(node),
                Some((name, position)) => {
                    if let Some((_, first, _)) = members.iter().find(|(found, ..)| *found == name) {
                        let hint = format!("it stands in line {} already", first.line);
                        let problem = Problem::error("", format!("key `{name}` is given twice"));
                        self.problems.push(problem.with_hint(hint).at(position));
                    } else {
                        members.push((name, position, node));
                    }
                }
            },
        }
    }
}

fn size(node: &Node) -> usize {
    match &node.value {
        NodeValue::Scalar { .. } => 1,
        NodeValue::Sequence(items) => 1 + items.iter().map(size).sum::<usize>(),
        NodeValue::Mapping(members) => 1 + members.iter().map(|(.., node)| size(node)).sum::<usize>(),
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
