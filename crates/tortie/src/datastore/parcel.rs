//! Objects on their way from one store to another, and the files that hold them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use tortie_api::limits::TEXT_LEN_MAX;
use tortie_api::print::to_yaml;
use tortie_api::yaml::from_yaml;
use tortie_api::{API_VERSION, Kind, ResourceKey};

use crate::exit::{Code, Failure};
use crate::progress::Progress;

/// What belongs to the store an object was in, and not to the object.
const OF_STORE: [&str; 4] = ["resourceVersion", "selfLink", "generation", "managedFields"];

/// One object, with the metadata it had.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parcel {
    pub(super) key: ResourceKey,
    pub(super) value: Map<String, Value>,
}

impl Parcel {
    /// The object in this value, which says its kind and name.
    pub(super) fn new(mut value: Map<String, Value>) -> Result<Self, String> {
        if value.get("apiVersion").and_then(Value::as_str) != Some(API_VERSION) {
            return Err(format!("`apiVersion` is not {API_VERSION}"));
        }
        let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
        let kind = Kind::from_document(kind).ok_or_else(|| format!("resource type '{kind}' is not supported"))?;
        let metadata = value.get_mut("metadata").and_then(Value::as_object_mut).ok_or("`metadata` is missing")?;
        OF_STORE.iter().for_each(|name| {
            metadata.remove(*name);
        });
        let text = |name: &str| metadata.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let name = text("name").ok_or("`metadata.name` is missing")?.to_owned();
        let namespace = match (kind.is_namespaced(), text("namespace")) {
            (true, Some(namespace)) => Some(namespace.to_owned()),
            (true, None) => return Err(format!("{kind}({name}): `metadata.namespace` is missing")),
            (false, _) => None,
        };
        Ok(Self { key: ResourceKey { kind, namespace, name }, value })
    }

    /// A YAML document of its own.
    pub(super) fn document(&self) -> String {
        let mut whole = Map::new();
        whole.insert("apiVersion".to_owned(), json!(API_VERSION));
        whole.insert("kind".to_owned(), json!(self.key.kind.name()));
        whole.extend(self.value.iter().filter(|(name, _)| *name != "apiVersion" && *name != "kind").map(cloned));
        format!("---\n{}", to_yaml(&Value::Object(whole)))
    }
}

fn cloned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// Writes a new file that survives loss of power; one that exists is left alone.
pub(super) fn write_file(file: &Path, parcels: &[Parcel], bar: &Progress) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let failure = Failure::new(Code::General, format!("cannot write `{}`: {error}", file.display()));
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.with_hint("name a new file"),
            _ => failure,
        }
    };
    let created = File::create_new(file).map_err(failed)?;
    let write = |created: &File| -> io::Result<()> {
        let mut out = io::BufWriter::new(created);
        for parcel in parcels {
            out.write_all(parcel.document().as_bytes())?;
            bar.step(1);
        }
        out.flush()?;
        created.sync_all()
    };
    write(&created).map_err(|error| {
        // Half an export must not be taken for a whole one; the first error is the one that matters.
        let _ = std::fs::remove_file(file);
        failed(error)
    })
}

/// Reads all objects of files, `-` is standard input; what is wrong with all of them is told at once.
pub(super) fn read_files(names: &[String]) -> Result<Vec<Parcel>, Failure> {
    let mut parcels = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        let read = match name.as_str() {
            "-" => read(io::stdin().lock(), "<stdin>", &mut parcels, &mut problems),
            _ => File::open(name).and_then(|file| read(BufReader::new(file), name, &mut parcels, &mut problems)),
        };
        if let Err(error) = read {
            problems.push(format!("cannot read `{name}`: {error}"));
        }
    }
    if problems.is_empty() {
        return Ok(parcels);
    }
    problems.push("nothing was written".to_owned());
    Err(Failure { code: Code::Invalid, messages: problems, hint: None })
}

/// Reads document by document, so that a large file takes no more memory than its objects.
fn read(mut from: impl BufRead, name: &str, parcels: &mut Vec<Parcel>, problems: &mut Vec<String>) -> io::Result<()> {
    let (mut text, mut line) = (String::new(), String::new());
    let (mut number, mut start) = (0, 1);
    loop {
        line.clear();
        let is_end = from.read_line(&mut line)? == 0;
        let is_mark = line.trim_end() == "---" || line.starts_with("--- ");
        if is_end || is_mark {
            document(&text, name, start, parcels, problems);
            text.clear();
            start = number + 2;
        } else {
            text.push_str(&line);
        }
        if is_end {
            return Ok(());
        }
        number += 1;
        if text.len() as u64 > TEXT_LEN_MAX as u64 {
            return Err(io::Error::other(format!("the document at line {start} is longer than {TEXT_LEN_MAX} bytes")));
        }
    }
}

fn document(text: &str, name: &str, line: usize, parcels: &mut Vec<Parcel>, problems: &mut Vec<String>) {
    let at = format!("{name}: document at line {line}");
    match from_yaml(text) {
        Ok(values) => {
            for value in values {
                let items = match value {
                    Value::Null => continue,
                    Value::Array(items) => items,
                    // A list of one kind, or of several.
                    Value::Object(mut object) if object.contains_key("items") => match object.remove("items") {
                        Some(Value::Array(items)) => items,
                        _ => Vec::new(),
                    },
                    other => vec![other],
                };
                for item in items {
                    let parcel = match item {
                        Value::Object(object) => Parcel::new(object),
                        _ => Err("it is no object".to_owned()),
                    };
                    match parcel {
                        Ok(parcel) => parcels.push(parcel),
                        Err(problem) => problems.push(format!("{at}: {problem}")),
                    }
                }
            }
        }
        Err(found) => problems.extend(found.into_iter().map(|problem| {
            let place = problem.position.map(|at| format!(" (line {})", at.line + line - 1)).unwrap_or_default();
            format!("{at}: {}{place}", problem.message)
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcels(text: &str) -> (Vec<Parcel>, Vec<String>) {
        let (mut parcels, mut problems) = (Vec::new(), Vec::new());
        read(text.as_bytes(), "f", &mut parcels, &mut problems).unwrap();
        (parcels, problems)
    }

    #[test]
    fn what_is_exported_is_read_back() {
        let value = json!({
            "apiVersion": API_VERSION, "kind": "GlobalNetworkSet",
            "metadata": {"name": "a", "uid": "u", "resourceVersion": "7", "labels": {"on": "yes", "n": "010"}},
            "spec": {"nets": ["10.0.0.0/8"], "text": "a\n---\nb: c\n"},
        });
        let Value::Object(value) = value else { unreachable!() };
        let parcel = Parcel::new(value).unwrap();
        assert_eq!(parcel.value["metadata"].get("resourceVersion"), None);
        let text = format!("{}{}", parcel.document(), parcel.document());
        assert_eq!(parcels(&text), (vec![parcel.clone(), parcel], vec![]));
    }

    #[test]
    fn lists_and_empty_documents_are_understood_and_mistakes_have_a_place() {
        let one = "{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: t}}";
        let list = format!("# nothing\n---\nkind: TierList\nitems: [{one}]\n--- \n[{one}]\n");
        assert_eq!(parcels(&list).0.len(), 2);
        let (_, problems) = parcels("---\nkind: Tier\n---\na: [\n---\napiVersion: projectcalico.org/v3\nkind: Pod\n");
        let expected = ["line 2: `apiVersion`", "line 4: ", "line 6: resource type 'Pod'"];
        assert_eq!(problems.len(), 3, "{problems:?}");
        for (problem, words) in problems.iter().zip(expected) {
            assert!(problem.contains(words), "{problem}");
        }
    }
}
