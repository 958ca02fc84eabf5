//! Reads resources from files, folders and standard input, and shows what is wrong with them (cli.md section 2.8).

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use tortie_agent::bounded::{self, BoundedError};
use tortie_api::limits::TEXT_LEN_MAX;
use tortie_api::{Decoded, Document, Kind, Position, Problem, Severity, decode, identify};

use crate::args::{Color, Global, InputArgs};
use crate::exit::{Code, Failure};

/// A document and where it came from.
pub(crate) struct Given {
    pub(crate) document: Document,
}

/// Reads everything; all mistakes of all documents are shown at once.
pub(crate) fn read(global: &Global, args: &InputArgs) -> Result<Vec<Given>, Failure> {
    read_with(global, args, decode)
}

/// Reads which objects are meant, for a deletion.
pub(crate) fn read_names(global: &Global, args: &InputArgs) -> Result<Vec<Given>, Failure> {
    read_with(global, args, identify)
}

fn read_with(global: &Global, args: &InputArgs, decode: fn(&str) -> Decoded) -> Result<Vec<Given>, Failure> {
    let mut given = Vec::new();
    let mut errors = 0;
    let mut has_unreadable = false;
    for name in &args.filename {
        let files = files(name, args.recursive).map_err(|(folder, error)| {
            Failure::new(Code::Invalid, format!("cannot read folder `{}`: {error}", folder.display()))
        })?;
        for file in files {
            let (shown, text) = match text_of(&file, file != Path::new(name)) {
                Ok(read) => read,
                Err(failure) => {
                    failure.print(global.color);
                    has_unreadable = true;
                    continue;
                }
            };
            let (documents, mistakes) = documents(global, &shown, &text, decode);
            given.extend(documents.into_iter().map(|document| Given { document }));
            errors += mistakes;
        }
    }
    if errors > 0 || has_unreadable {
        if errors > 0 {
            let noun = if errors == 1 { "mistake" } else { "mistakes" };
            eprintln!("{errors} {noun}; nothing was written");
        }
        return Err(Failure::printed(Code::Invalid));
    }
    if given.is_empty() && !args.skip_empty {
        let message = format!("no resources specified in {}", args.filename.join(", "));
        return Err(Failure::new(Code::Invalid, message).with_hint("`--skip-empty` makes this a success"));
    }
    Ok(given)
}

/// The documents of a text, and the number of mistakes in it, all of which are shown.
pub(crate) fn documents(
    global: &Global,
    shown: &str,
    text: &str,
    decode: fn(&str) -> Decoded,
) -> (Vec<Document>, usize) {
    let decoded = decode(text);
    let source = Source::new(shown, text);
    let mut errors = 0;
    for problem in &decoded.problems {
        if problem.severity == Severity::Error || !global.quiet {
            eprintln!("{}", render(problem, &source, global.color));
        }
        errors += usize::from(problem.severity == Severity::Error);
    }
    let mut documents = Vec::new();
    for mut document in decoded.documents {
        match namespace(&mut document, global.namespace.as_deref()) {
            Ok(()) => documents.push(document),
            Err(message) => {
                let problem = Problem::error("metadata.namespace", message).at(document.position);
                eprintln!("{}", render(&problem, &source, global.color));
                errors += 1;
            }
        }
    }
    (documents, errors)
}

/// The text of one file, or of standard input for `-`.
pub(crate) fn text(file: &Path) -> Result<String, Failure> {
    text_of(file, false).map(|(_, text)| text)
}

/// The document's own namespace wins; `-n` fills an absent one, and so does `default`.
fn namespace(document: &mut Document, wanted: Option<&str>) -> Result<(), String> {
    if !document.kind.is_namespaced() {
        return Ok(());
    }
    match (document.namespace().map(str::to_owned), wanted) {
        (Some(own), Some(wanted)) if own != wanted => {
            Err(format!("resource namespace does not match client namespace. {own} != {wanted}"))
        }
        (Some(_), _) => Ok(()),
        (None, wanted) => {
            document.set_namespace(wanted.unwrap_or("default"));
            Ok(())
        }
    }
}

/// The files that a name stands for: itself, or those of a folder in lexical order.
///
/// # Errors
/// The folder that cannot be read, and why.
pub(crate) fn files(name: &str, recursive: bool) -> Result<Vec<PathBuf>, (PathBuf, std::io::Error)> {
    let path = Path::new(name);
    if name == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    add_folder(path, recursive, &mut BTreeSet::new(), &mut found)?;
    Ok(found)
}

/// Adds the files of a folder. A folder that links lead to a second time was read already: links may form a circle.
fn add_folder(
    path: &Path,
    recursive: bool,
    visited: &mut BTreeSet<PathBuf>,
    found: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, std::io::Error)> {
    let unreadable = |error: std::io::Error| (path.to_owned(), error);
    if !visited.insert(std::fs::canonicalize(path).map_err(unreadable)?) {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            if recursive {
                add_folder(&entry, true, visited, found)?;
            }
        } else if is_resources(&entry) {
            found.push(entry);
        }
    }
    Ok(())
}

/// Whether the name of a file says that resources are in it.
fn is_resources(file: &Path) -> bool {
    let name = file.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end))
}

/// The bytes of a file, or of standard input. What is named may be a pipe; what a folder holds is a file.
pub(crate) fn bytes_of(file: &Path, is_in_folder: bool) -> Result<Vec<u8>, BoundedError> {
    const LEN_MAX: u64 = TEXT_LEN_MAX as u64;
    match file == Path::new("-") {
        true => bounded::read_from(std::io::stdin().lock(), LEN_MAX),
        false if is_in_folder => bounded::read_regular(file, LEN_MAX),
        false => bounded::read(file, LEN_MAX),
    }
}

/// How a file is called in messages, and its text.
fn text_of(file: &Path, is_in_folder: bool) -> Result<(String, String), Failure> {
    let is_stdin = file == Path::new("-");
    let shown = if is_stdin { "<stdin>".to_owned() } else { file.display().to_string() };
    let bytes = bytes_of(file, is_in_folder).map_err(|error| {
        let failure = Failure::new(Code::Invalid, format!("cannot read `{shown}`: {error}"));
        match error {
            BoundedError::TooLong { .. } => failure.with_hint("divide it into several files"),
            _ if error.io_kind() == Some(ErrorKind::NotFound) => {
                failure.with_hint("is the path right? `-f -` reads standard input")
            }
            _ if error.io_kind() == Some(ErrorKind::PermissionDenied) => {
                failure.with_hint("who runs this may not read the file")
            }
            _ => failure,
        }
    })?;
    String::from_utf8(bytes).map(|text| (shown.clone(), text)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Code::Invalid, format!("`{shown}` is not UTF-8 text (byte {at})"))
    })
}

/// A text and where its lines begin, so that showing a mistake takes no longer for a long text.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        // No part of the first line, and no column counts it.
        let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let behind = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { file, text, lines: std::iter::once(mark).chain(behind).collect() }
    }

    /// The line of a position, and the bytes of the position in it. Lines and characters count from 1.
    fn line(&self, position: Position) -> (&'a str, std::ops::Range<usize>) {
        let start = self.lines.get(position.line - 1).copied().unwrap_or(self.text.len());
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        let byte = |characters: usize| line.char_indices().nth(characters).map_or(line.len(), |(at, _)| at);
        let from = byte(position.column - 1);
        (line, from..byte(position.column - 1 + position.width).max(from))
    }
}

/// One problem with its line and a caret.
fn render(problem: &Problem, source: &Source<'_>, color: Color) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = if problem.path.is_empty() {
        problem.message.clone()
    } else {
        format!("{}: {}", problem.path, problem.message)
    };
    let mut group =
        level.primary_title(title.as_str()).elements(Vec::<Snippet<'_, annotate_snippets::Annotation<'_>>>::new());
    if let Some(position) = problem.position {
        let (line, span) = source.line(position);
        let snippet = Snippet::source(line).line_start(position.line).path(source.file);
        group = group.element(snippet.annotation(AnnotationKind::Primary.span(span)));
    }
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let renderer = if color.is_on_stderr() { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// Order of dependency: what others name comes first (cli.md section 2.4).
pub(crate) fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Tier => 0,
        Kind::GlobalNetworkSet | Kind::NetworkSet => 1,
        Kind::Profile => 2,
        Kind::Node => 3,
        Kind::FelixConfiguration | Kind::KubeControllersConfiguration | Kind::ClusterInformation => 4,
        Kind::HostEndpoint | Kind::WorkloadEndpoint => 5,
        Kind::GlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::StagedKubernetesNetworkPolicy => 6,
    }
}
