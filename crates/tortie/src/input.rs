//! Reads resources from files, folders and standard input, and shows what is wrong with them (cli.md section 2.8).

use std::io::Read;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
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
        for file in files(name, args.recursive)? {
            let (shown, text) = match text_of(&file) {
                Ok(read) => read,
                Err(failure) => {
                    failure.print(global.color);
                    has_unreadable = true;
                    continue;
                }
            };
            let decoded = decode(&text);
            for problem in &decoded.problems {
                if problem.severity == Severity::Error || !global.quiet {
                    eprintln!("{}", render(problem, &shown, &text, global.color));
                }
                errors += usize::from(problem.severity == Severity::Error);
            }
            for mut document in decoded.documents {
                match namespace(&mut document, global.namespace.as_deref()) {
                    Ok(()) => given.push(Given { document }),
                    Err(message) => {
                        let problem = Problem::error("metadata.namespace", message).at(document.position);
                        eprintln!("{}", render(&problem, &shown, &text, global.color));
                        errors += 1;
                    }
                }
            }
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
fn files(name: &str, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let path = Path::new(name);
    if name == "-" || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable =
        |error: std::io::Error| Failure::new(Code::Invalid, format!("cannot read folder `{name}`: {error}"));
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(unreadable)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        if entry.is_dir() {
            if recursive {
                found.extend(files(&entry.to_string_lossy(), true)?);
            }
        } else if entry.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
            found.push(entry);
        }
    }
    Ok(found)
}

fn text_of(file: &Path) -> Result<(String, String), Failure> {
    let is_stdin = file == Path::new("-");
    let shown = if is_stdin { "<stdin>".to_owned() } else { file.display().to_string() };
    let bytes = if is_stdin {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| {
        let failure = Failure::new(Code::Invalid, format!("cannot read `{shown}`: {error}"));
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.with_hint("is the path right? `-f -` reads standard input"),
            std::io::ErrorKind::PermissionDenied => failure.with_hint("who runs this may not read the file"),
            _ => failure,
        }
    })?;
    String::from_utf8(bytes).map(|text| (shown.clone(), text)).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(Code::Invalid, format!("`{shown}` is not UTF-8 text (byte {at})"))
    })
}

/// One problem with its line and a caret.
fn render(problem: &Problem, file: &str, text: &str, color: Color) -> String {
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
        let span = span(text, position);
        group = group.element(Snippet::source(text).path(file).annotation(AnnotationKind::Primary.span(span)));
    }
    if let Some(hint) = &problem.hint {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    let renderer = if color.is_on_stderr() { Renderer::styled() } else { Renderer::plain() };
    renderer.render(&[group])
}

/// The bytes of a position, which counts lines and characters from 1.
fn span(text: &str, position: Position) -> std::ops::Range<usize> {
    let mark = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let body = &text[mark..];
    let start: usize = body.split_inclusive('\n').take(position.line - 1).map(str::len).sum();
    let line = body[start..].split('\n').next().unwrap_or_default();
    let byte = |characters: usize| line.char_indices().nth(characters).map_or(line.len(), |(at, _)| at);
    let from = mark + start + byte(position.column - 1);
    let to = mark + start + byte(position.column - 1 + position.width);
    from..to.max(from)
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
