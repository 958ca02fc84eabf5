//! `get` (cli.md section 1.5).

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tortie_api::print::to_yaml;
use tortie_api::{API_VERSION, Kind};
use tortie_datastore::Access;

use super::error::{Error, Operation, of_store};
use super::flags::Given;
use super::resource::{Resource, is_of_all};
use super::session::{Located, Session};
use super::{input, table};
use crate::get::{OF_STORE, list, strip};
use crate::go;
use crate::template::{self, Data, Template};

/// How results are shown.
enum Format {
    Table {
        is_wide: bool,
    },
    Columns(Vec<String>),
    Yaml,
    Json,
    /// A template; it is looked at when there is something to print.
    Template(String),
    TemplateFile(PathBuf),
}

/// What was found for one name, or for a kind without a name.
pub(super) enum Found {
    One(Kind, Map<String, Value>),
    List { kind: Kind, items: Vec<Map<String, Value>>, revision: String },
}

pub(super) fn get(given: &Given) -> Result<(), Error> {
    input::require(given, "get")?;
    let format = Format::of(given)?;
    let place = Located::find(given)?;
    let read = input::read(given).map_err(|error| match error {
        parse @ Error::Execute(_) => parse,
        other => other.within(Error::Get),
    })?;
    let Some(resources) = read else {
        return format.print(&[], given);
    };
    let session = place.open(Access::Read)?;
    input::require_names(given).map_err(|error| error.within(Error::Get))?;
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for mut resource in resources {
        match resource.settle_namespace(given).and_then(|()| look_up(&session, &resource, given)) {
            Ok(result) => found.push(result),
            Err(error) => errors.push(error),
        }
    }
    format.print(&found, given)?;
    if errors.is_empty() { Ok(()) } else { Err(Error::Lines(errors)) }
}

fn look_up(session: &Session, resource: &Resource, given: &Given) -> Result<Found, Error> {
    let resources = session.resources();
    let refused = |error| of_store(error, Operation::Get);
    let kind = resource.kind;
    if resource.revision.as_ref().is_some_and(|revision| revision.parse::<i64>().is_err()) {
        return Err(Error::Revision(resource.revision.clone().unwrap_or_default()));
    }
    if !resource.name.is_empty() {
        if kind.is_namespaced() && resource.namespace.is_empty() {
            return Err(Error::SingleOfAll);
        }
        let object = resources.get(&resource.key()).map_err(refused)?;
        let mut object = go::shown(kind, &object.value).map_err(Error::Stored)?;
        if given.is_set("export") && given.arguments.len() > 1 {
            strip(&mut object, OF_STORE);
            strip(&mut object, &["namespace"]);
        }
        return Ok(Found::One(kind, object));
    }
    let namespace = Some(resource.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let (objects, revision) = list(&resources, kind, namespace).map_err(refused)?;
    // What cannot be read is no object of the list.
    let items = objects.iter().filter_map(|object| go::shown(kind, &object.value).ok()).collect();
    Ok(Found::List { kind, items, revision })
}

impl Found {
    fn value(&self) -> Value {
        match self {
            Found::One(_, object) => Value::Object(object.clone()),
            Found::List { kind, items, revision } => json!({
                "kind": format!("{kind}List"),
                "apiVersion": API_VERSION,
                "metadata": {"resourceVersion": revision},
                "items": items,
            }),
        }
    }

    fn data(&self) -> Data {
        match self {
            Found::One(kind, object) => template::resource(*kind, object),
            Found::List { kind, items, revision } => {
                template::list(*kind, revision, items.iter().map(|item| template::resource(*kind, item)).collect())
            }
        }
    }
}

impl Format {
    fn of(given: &Given) -> Result<Format, Error> {
        let text = given.all("output").last().map_or("ps", String::as_str);
        let (word, value) = text.split_once('=').map_or((text, None), |(word, value)| (word, Some(value)));
        match (word, value.filter(|value| !value.is_empty())) {
            ("ps", _) if value.is_none() => Ok(Format::Table { is_wide: false }),
            ("wide", _) if value.is_none() => Ok(Format::Table { is_wide: true }),
            ("yaml" | "yml", _) if value.is_none() => Ok(Format::Yaml),
            ("json", _) if value.is_none() => Ok(Format::Json),
            ("custom-columns", Some(columns)) => Ok(Format::Columns(columns.split(',').map(str::to_owned).collect())),
            ("custom-columns", None) => Err(Error::NoColumn),
            ("go-template", Some(text)) => Ok(Format::Template(text.to_owned())),
            ("go-template", None) => Err(Error::NoTemplate),
            ("go-template-file", Some(path)) => Ok(Format::TemplateFile(PathBuf::from(path))),
            ("go-template-file", None) => Err(Error::NoTemplateFile),
            _ => Err(Error::Format(text.to_owned())),
        }
    }

    fn print(&self, found: &[Found], given: &Given) -> Result<(), Error> {
        match self {
            Format::Table { is_wide } => {
                let with_namespace = given.text("namespace").is_some() || is_of_all(given);
                for result in found {
                    print!("{}", table::render(result, *is_wide, with_namespace)?);
                }
            }
            Format::Columns(headings) => {
                for result in found {
                    print!("{}", table::render_columns(result, headings)?);
                }
            }
            Format::Yaml => print!("{}", to_yaml(&whole(found))),
            Format::Json => print!("{}", go::to_json(&whole(found))),
            Format::Template(text) => print!("{}", templated(text, found)?),
            Format::TemplateFile(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| input::open(path, &error))?;
                print!("{}", templated(&text, found)?);
            }
        }
        Ok(())
    }
}

/// What a template makes of all results.
fn templated(text: &str, found: &[Found]) -> Result<String, Error> {
    let template = Template::parse("get", text)?;
    Ok(template.execute(&Data::List(found.iter().map(Found::data).collect()))?)
}

/// One result stands for itself, several are an array.
fn whole(found: &[Found]) -> Value {
    match found {
        [] => Value::Null,
        [one] => one.value(),
        several => Value::Array(several.iter().map(Found::value).collect()),
    }
}
