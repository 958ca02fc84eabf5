//! `docs/reference`: the same tables, and the tree of commands, as pages to read in a browser. `cargo xtask reference` writes
//! them; without it the test below fails where a page is not what it would be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tortie_api::schema::{self, Field, UNUSED};
use tortie_api::{API_VERSION, Kind};

use super::page::{join, members};
use super::{commands, example, text};

/// What stands under each title.
const NOTE: &str = "<!-- `cargo xtask reference` writes this page. -->";

#[test]
fn the_pages_of_the_reference_are_what_the_tables_say() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference");
    let pages = pages();
    if std::env::var_os("TORTIE_GOLDEN").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in &pages {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let advice = "if the tables are right, run `cargo xtask reference`";
    for (name, text) in &pages {
        let found = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(found == *text, "docs/reference/{name} is not up to date: {advice}");
    }
    let files: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !pages.contains_key(name))
        .collect();
    assert!(files.is_empty(), "docs/reference holds pages of nothing: {files:?}");
}

/// Every page by its name.
fn pages() -> BTreeMap<String, String> {
    let mut pages: BTreeMap<String, String> =
        Kind::all().map(|kind| (format!("{}.md", kind.plural()), page(kind))).collect();
    pages.insert("commands.md".to_owned(), commands::page(NOTE));
    let mut index = format!("# Reference\n\n{NOTE}\n\n[Commands and exit codes](commands.md).\n\n");
    index += "| Kind | |\n|---|---|\n";
    for kind in Kind::all() {
        index += &format!("| [{kind}]({}.md) | {} |\n", kind.plural(), schema::summary(kind));
    }
    index += "\n`tortie docs KIND` prints the same at a terminal, `kubectl explain` with the definitions of Tortie as well.\n";
    pages.insert("README.md".to_owned(), index);
    pages
}

fn page(kind: Kind) -> String {
    let names: Vec<String> =
        [kind.plural()].into_iter().chain(kind.aliases()).map(|name| format!("`{name}`")).collect();
    let scope = if kind.is_namespaced() { "In a namespace" } else { "Of the whole cluster" };
    let about = format!("{} {}", schema::summary(kind), schema::description(kind));
    let names = names.join(", ");
    let mut page =
        format!("# {kind}\n\n{NOTE}\n\n{about}\n\n`{API_VERSION}`. {scope}. On the command line: {names}.\n\n");
    page += &format!("```yaml\n{}```\n", example::of(kind));
    let mut sections = Sections { kind, text: String::new(), done: Vec::new() };
    sections.add("spec", schema::spec(kind));
    if let Some(fields) = schema::status(kind) {
        sections.add("status", fields);
    }
    page + &sections.text
}

/// One section for each object, with a table of its fields.
struct Sections {
    kind: Kind,
    text: String,
    /// What has its section: where, and the fields.
    done: Vec<(String, &'static [Field])>,
}

impl Sections {
    fn add(&mut self, path: &str, fields: &'static [Field]) {
        self.done.push((path.to_owned(), fields));
        let (unused, used): (Vec<&Field>, Vec<&Field>) =
            fields.iter().partition(|field| field.is_unused() && path == "spec");
        if !used.is_empty() {
            self.text += &format!("\n## `{path}`\n\n");
            self.table(path, &used, "");
        }
        if !unused.is_empty() {
            self.text += &format!("\n## `{path}`, kept for Calico\n\nTortie stores these and has no use for them.\n\n");
            self.table(path, &unused, UNUSED);
        }
        for field in used.into_iter().chain(unused) {
            let (path, fields) = (join(path, field.name), members(&field.ty));
            if !fields.is_empty() && self.section_of(fields).is_none() {
                self.add(&path, fields);
            }
        }
    }

    /// `said` is what the text above says of all of them.
    fn table(&mut self, path: &str, fields: &[&Field], said: &str) {
        self.text += "| Field | Type | |\n|---|---|---|\n";
        // Fields that look alike share a section, which the first of them opens.
        let mut opened: Vec<(String, &'static [Field])> = Vec::new();
        for field in fields {
            let path = join(path, field.name);
            let members = members(&field.ty);
            let name = match self.section_of(members).or_else(|| section(&opened, members)) {
                _ if members.is_empty() => format!("`{}`", field.name),
                Some(section) => format!("[`{}`](#{})", field.name, anchor(&section)),
                None => {
                    opened.push((path.clone(), members));
                    format!("[`{}`](#{})", field.name, anchor(&path))
                }
            };
            let doc = field.doc.strip_suffix(said).unwrap_or(field.doc).trim_end();
            let type_line = text::type_line(self.kind, &path, field);
            self.text += &format!("| {name} | {} | {} |\n", cell(&type_line), cell(doc));
        }
    }

    fn section_of(&self, fields: &[Field]) -> Option<String> {
        section(&self.done, fields)
    }
}

fn section(sections: &[(String, &'static [Field])], fields: &[Field]) -> Option<String> {
    sections.iter().find(|(_, other)| is_same(other, fields)).map(|(path, _)| path.clone())
}

/// Whether two objects have the same fields, of which tables are made more than once.
fn is_same(one: &[Field], other: &[Field]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.name == other.name && one.doc == other.doc && is_same(members(&one.ty), members(&other.ty))
        })
}

fn anchor(path: &str) -> String {
    path.to_lowercase().replace('.', "")
}

pub(super) fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
