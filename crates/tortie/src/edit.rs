//! `edit`: objects of the store in an editor, checked, compared, and written back (cli.md section 2.3).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;

use tempfile::NamedTempFile;
use tortie_api::print::to_yaml;
use tortie_api::{Problem, ResourceKey, Severity, decode};
use tortie_datastore::resources::{Change, Mode, Object};
use tortie_datastore::{Access, Resources};

use crate::args::{EditArgs, Global};
use crate::batch::{self, How};
use crate::exit::{Code, Failure};
use crate::outcome::Verb;
use crate::{ask, difference, get, input, near, screen, store};

/// Variables that may name an editor, the most particular one first.
const EDITORS: [&str; 4] = ["TORTIE_EDITOR", "KUBE_EDITOR", "VISUAL", "EDITOR"];
const HEAD: &str = "\
# Change what is below, save it and leave the editor. An object that is taken out stays as it is; without a change nothing
# is written.
";

pub(crate) fn edit(global: &Global, args: &EditArgs) -> Result<Code, Failure> {
    let store = store::open(global, Access::Write)?;
    let resources = Resources::new(&*store);
    let before = read(global, &resources, &args.what)?;
    let before_text = text_of(&before);
    let file = File::new(&before_text)?;
    let mut refused: Option<String> = None;
    let (documents, after) = loop {
        let text = file.edit()?;
        let body = body(&text);
        if body.trim().is_empty() {
            eprintln!("nothing is left of the text; nothing was written");
            return Ok(Code::Success);
        }
        let (documents, mistakes) = input::documents(global, &file.name(), &text, decode);
        if mistakes == 0 {
            break (documents, body.to_owned());
        }
        // Whoever leaves the mistakes as they are has given up, or is a program.
        if refused.as_deref() == Some(body) {
            return Err(file.keep(Failure::new(Code::Invalid, "the text cannot be read; nothing was written")));
        }
        file.write(&mistakes_of(body), body)?;
        refused = Some(body.to_owned());
    };
    let mut changes = Vec::new();
    for document in documents {
        let namespace = global.namespace.as_deref().unwrap_or("default");
        let key = document.key(namespace);
        if !before.contains_key(&key) {
            let message = format!("{key} was not to be edited: kind, name and namespace stay as they are");
            return Err(file.keep(Failure::new(Code::Invalid, message)));
        }
        let (value, resource_version) = (document.value, document.resource_version);
        changes.push(Change { mode: Mode::Apply, key, value, resource_version });
    }
    let shown = difference::of_texts(["stored", "edited"], &before_text, &after);
    if shown.is_empty() {
        eprintln!("nothing was changed");
        return Ok(Code::Success);
    }
    screen::err(format_args!("{shown}"));
    match ask::agrees(global, "Write this?") {
        Ok(true) => {}
        Ok(false) => return Err(file.keep(Failure::new(Code::General, "nothing was written"))),
        Err(failure) => return Err(file.keep(failure)),
    }
    let how = How { is_atomic: true, skips_existing: false, dry_run: None, strict: args.strict, manager: None };
    match batch::write(global, &*store, &how, &changes, Verb::EDIT) {
        Ok(_) => Ok(Code::Success),
        Err(failure) => {
            if failure.code == Code::Conflict {
                tell_others(&resources, &before);
            }
            Err(file.keep(failure))
        }
    }
}

fn read(
    global: &Global,
    resources: &Resources<'_>,
    words: &[String],
) -> Result<BTreeMap<ResourceKey, Object>, Failure> {
    let mut objects = BTreeMap::new();
    for key in get::named(global, words, "edited")? {
        let mut object = resources.get(&key).map_err(|error| near::failure(resources, &error))?;
        // The server's own; it stays whatever is written.
        get::strip(&mut object.value, &["managedFields"]);
        objects.insert(key, object);
    }
    Ok(objects)
}

fn text_of(objects: &BTreeMap<ResourceKey, Object>) -> String {
    let texts: Vec<String> =
        objects.values().map(|object| to_yaml(&serde_json::Value::Object(object.value.clone()))).collect();
    texts.join("---\n")
}

/// A text without the remarks above its first object.
fn body(text: &str) -> &str {
    let head: usize = text.split_inclusive('\n').take_while(|line| line.starts_with('#')).map(str::len).sum();
    &text[head..]
}

/// What is wrong with a text, as remarks.
fn mistakes_of(text: &str) -> String {
    let problems = decode(text).problems.into_iter().filter(|problem| problem.severity == Severity::Error);
    let line = |problem: Problem| {
        // The remarks themselves move the lines, so the field says where.
        let Problem { path, message, hint, .. } = problem;
        let path = if path.is_empty() { path } else { path + ": " };
        format!("# {path}{message}{}\n", hint.map(|hint| format!(" ({hint})")).unwrap_or_default())
    };
    ["#\n# This is not right yet:\n".to_owned()].into_iter().chain(problems.map(line)).collect()
}

/// What others have changed since the objects were read.
fn tell_others(resources: &Resources<'_>, before: &BTreeMap<ResourceKey, Object>) {
    for (key, object) in before {
        // The error of the write is told already.
        let Ok(now) = resources.get(key) else { continue };
        let shown = difference::of_objects(["before", "now"], &object.value, &now.value);
        if !shown.is_empty() {
            screen::err(format_args!("{key} was changed meanwhile:\n{shown}"));
        }
    }
}

/// The text while it is edited; it goes away unless it is kept.
struct File(NamedTempFile);

impl File {
    fn new(body: &str) -> Result<File, Failure> {
        let file = tempfile::Builder::new().prefix("tortie-edit-").suffix(".yaml").tempfile().map_err(|error| {
            Failure::new(Code::General, format!("cannot make a file to edit: {error}")).with_hint("TMPDIR says where")
        })?;
        let file = File(file);
        file.write("", body)?;
        Ok(file)
    }

    fn write(&self, remarks: &str, body: &str) -> Result<(), Failure> {
        std::fs::write(self.0.path(), format!("{HEAD}{remarks}{body}"))
            .map_err(|error| Failure::new(Code::General, format!("cannot write `{}`: {error}", self.name())))
    }

    fn name(&self) -> String {
        self.0.path().display().to_string()
    }

    /// Runs the editor; what it leaves.
    fn edit(&self) -> Result<String, Failure> {
        let named = EDITORS.iter().find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
        let editor = named.unwrap_or_else(|| OsString::from("vi"));
        // An editor may be given with arguments, which a shell divides.
        let mut line = editor.clone();
        line.push(" \"$1\"");
        let status = Command::new("/bin/sh").arg("-c").arg(line).arg("sh").arg(self.0.path()).status();
        let editor = editor.display();
        match status {
            Ok(status) if status.success() => self.text(),
            Ok(status) => Err(Failure::new(
                Code::General,
                format!("the editor `{editor}` ended with {status}; nothing was written"),
            )
            .with_hint(format!("set {} to another one", EDITORS.join(", ")))),
            Err(error) => Err(Failure::new(Code::General, format!("cannot run the editor `{editor}`: {error}"))),
        }
    }

    fn text(&self) -> Result<String, Failure> {
        // By its name: editors put another file in its place.
        input::text(self.0.path())
    }

    /// Keeps the text for another try.
    fn keep(self, mut failure: Failure) -> Failure {
        let name = self.name();
        match self.0.into_temp_path().keep() {
            Ok(path) => failure.messages.push(format!("the text is kept in `{}`", path.display())),
            Err(error) => failure.messages.push(format!("the text in `{name}` cannot be kept: {error}")),
        }
        failure
    }
}
