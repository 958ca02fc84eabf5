//! Output formats of `get` (cli.md sections 1.5 and 2.8).

use std::path::Path;

use serde_json::{Map, Value, json};
use tortie_api::print::to_yaml;
use tortie_api::{API_VERSION, Kind, nearest};
use tortie_datastore::resources::Object;

use crate::args::Global;
use crate::docs::document;
use crate::exit::{Code, Failure};
use crate::jsonpath::{Shape, SortKey, Unknown};
use crate::template::{self, Data, TemplateError};
use crate::{input, jsonpath, lint, table};

/// How results are shown.
#[derive(Debug)]
pub(crate) enum Format {
    Table { is_wide: bool },
    Columns(Vec<String>),
    Yaml,
    Json,
    JsonLines,
    Name,
    JsonPath(jsonpath::Template),
    GoTemplate(template::Template),
}

/// The words of `-o`.
pub(crate) const WORDS: [&str; 11] = [
    "ps",
    "wide",
    "yaml",
    "json",
    "jsonl",
    "name",
    "custom-columns=",
    "jsonpath=",
    "jsonpath-file=",
    "go-template=",
    "go-template-file=",
];

impl Format {
    pub(crate) fn parse(text: &str) -> Result<Format, Failure> {
        match text.split_once('=') {
            Some(("jsonpath", template)) => return json_path(template),
            Some(("jsonpath-file", file)) => return json_path(&input::text(Path::new(file))?),
            Some(("go-template", template)) => return go_template(template),
            Some(("go-template-file", file)) => return go_template(&input::text(Path::new(file))?),
            _ => {}
        }
        match text {
            "ps" => Ok(Format::Table { is_wide: false }),
            "wide" => Ok(Format::Table { is_wide: true }),
            "yaml" | "yml" => Ok(Format::Yaml),
            "json" => Ok(Format::Json),
            "jsonl" => Ok(Format::JsonLines),
            "name" => Ok(Format::Name),
            _ => match text.strip_prefix("custom-columns=") {
                Some("") => Err(Failure::new(Code::Usage, "need to specify at least one column")),
                Some(columns) => Ok(Format::Columns(columns.split(',').map(str::to_owned).collect())),
                None => {
                    let failure = Failure::new(Code::Usage, format!("unrecognized output format '{text}'"));
                    Err(match nearest(text, WORDS) {
                        Some(word) => failure.with_hint(format!("did you mean `{word}`?")),
                        None => failure.with_hint(format!("use one of {}", WORDS.join(", "))),
                    })
                }
            },
        }
    }
}

fn json_path(template: &str) -> Result<Format, Failure> {
    match template {
        "" => Err(Failure::new(Code::Usage, "need to specify a template")
            .with_hint("write `-o jsonpath='{.items[*].metadata.name}'`")),
        _ => jsonpath::Template::parse(template).map(Format::JsonPath).map_err(|error| {
            Failure::new(Code::Usage, format!("`{template}` is no JSONPath template: {error}"))
                .with_hint("write `-o jsonpath='{range .items[*]}{.metadata.name}{\"\\n\"}{end}'`")
        }),
    }
}

fn go_template(template: &str) -> Result<Format, Failure> {
    if template.is_empty() {
        return Err(Failure::new(Code::Usage, "need to specify a template")
            .with_hint("write `-o go-template='{{range .}}{{range .Items}}{{.ObjectMeta.Name}} {{end}}{{end}}'`"));
    }
    template::Template::parse("get", template).map(Format::GoTemplate).map_err(|error| of_template(&error))
}

fn of_template(error: &TemplateError) -> Failure {
    let failure = Failure::new(Code::Usage, error.to_string());
    match &error.near {
        Some(near) => failure.with_hint(format!("did you mean `{near}`?")),
        None => failure,
    }
}

/// Results of one kind.
pub(crate) struct Results {
    pub(crate) kind: Kind,
    pub(crate) objects: Vec<Object>,
    /// All objects of the kind were asked for, at this revision.
    pub(crate) list_revision: Option<String>,
}

/// Prints results; several kinds give several tables.
pub(crate) fn print(format: &Format, results: &[Results], with_namespace: bool, is_bold: bool) -> Result<(), Failure> {
    match format {
        Format::Table { .. } | Format::Columns(_) => {
            for (number, results) in results.iter().enumerate() {
                let columns = chosen(format, results.kind, with_namespace)?;
                if number > 0 {
                    println!();
                }
                print!("{}", table(&columns, results, is_bold));
            }
        }
        Format::Name => {
            for object in results.iter().flat_map(|results| &results.objects) {
                println!("{}/{}", object.key.kind.plural(), name(object));
            }
        }
        Format::JsonLines => {
            for object in results.iter().flat_map(|results| &results.objects) {
                println!("{}", Value::Object(object.value.clone()));
            }
        }
        Format::Yaml => print!("{}", to_yaml(&whole(results))),
        Format::Json => println!("{:#}", whole(results)),
        Format::JsonPath(template) => print!("{}", template.fill(&as_kubectl(whole(results)))),
        Format::GoTemplate(template) => {
            let data = Data::List(results.iter().flat_map(data).collect());
            let text = template.execute(&data).map_err(|error| of_template(&error))?;
            print!("{text}");
        }
    }
    Ok(())
}

/// Says which fields of templates and of the path to sort by no object has, where that is certain.
pub(crate) fn warn_of_unknown(global: &Global, format: &Format, order: Option<&SortKey>, results: &[Results]) {
    let mut unknown = Vec::new();
    if let Format::JsonPath(template) = format {
        unknown.extend(template.unknown_fields(&shape(results), &as_kubectl(whole(results))));
    }
    if let Some(order) = order {
        for results in results {
            let document = Shape::of_fields(&document(results.kind));
            let objects = results.objects.iter().map(|object| Value::Object(object.value.clone()));
            // What one object has is known.
            let found = objects.map(|object| order.unknown_fields(&document, &object)).min_by_key(Vec::len);
            unknown.extend(found.unwrap_or_else(|| order.unknown_fields(&document, &Value::Null)));
        }
    }
    unknown.dedup();
    for Unknown { name, near } in unknown {
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "`tortie docs KIND --recursive` tells the fields".to_owned(),
        };
        lint::warn(global, format_args!("no object has a field `{name}`"), Some(&help));
    }
}

/// What templates of kubectl begin at, by the tables: as [`whole`] and [`as_kubectl`] make it.
fn shape(results: &[Results]) -> Shape {
    let mut kinds: Vec<Kind> = results.iter().map(|results| results.kind).collect();
    kinds.dedup();
    let documents = kinds.into_iter().map(|kind| Shape::of_fields(&document(kind)));
    let is_list = matches!(results, [Results { list_revision: Some(_), .. }]);
    if !is_list && results.iter().map(|results| results.objects.len()).sum::<usize>() == 1 {
        let of_object = results.iter().find(|results| !results.objects.is_empty());
        return of_object.map_or(Shape::Open, |results| Shape::of_fields(&document(results.kind)));
    }
    Shape::Object(vec![
        ("apiVersion", Shape::Leaf),
        ("kind", Shape::Leaf),
        ("metadata", Shape::Open),
        ("items", Shape::List(documents.collect())),
    ])
}

/// The columns that a format shows of a kind; none where it shows no table.
///
/// # Errors
/// A column that the kind does not have.
pub(crate) fn chosen(format: &Format, kind: Kind, with_namespace: bool) -> Result<Vec<&'static str>, Failure> {
    match format {
        Format::Table { is_wide } => {
            let namespace = (with_namespace && kind.is_namespaced()).then_some("NAMESPACE");
            Ok(namespace.into_iter().chain(columns(kind, *is_wide)).collect())
        }
        Format::Columns(names) => names.iter().map(|name| column(kind, name)).collect(),
        _ => Ok(Vec::new()),
    }
}

fn column(kind: Kind, name: &str) -> Result<&'static str, Failure> {
    let valid: Vec<&'static str> = all_columns(kind).collect();
    if let Some(found) = valid.iter().copied().find(|column| *column == name) {
        return Ok(found);
    }
    let failure = Failure::new(Code::Usage, format!("unknown heading {name}, valid values are: {}", valid.join(", ")));
    Err(match nearest(name, valid) {
        Some(near) => failure.with_hint(format!("did you mean `{near}`?")),
        None => failure,
    })
}

/// The columns that can be asked for.
pub(crate) fn all_columns(kind: Kind) -> impl Iterator<Item = &'static str> {
    columns(kind, true).into_iter().chain(["NAMESPACE"])
}

/// One result is an object, all of a kind are a list object, anything else is an array.
fn whole(results: &[Results]) -> Value {
    if let [Results { kind, objects, list_revision: Some(revision) }] = results {
        let items: Vec<Value> = objects.iter().map(|object| Value::Object(object.value.clone())).collect();
        return json!({
            "apiVersion": API_VERSION,
            "kind": format!("{kind}List"),
            "metadata": {"resourceVersion": revision},
            "items": items,
        });
    }
    let mut objects: Vec<Value> =
        results.iter().flat_map(|r| &r.objects).map(|object| Value::Object(object.value.clone())).collect();
    if objects.len() == 1 { objects.remove(0) } else { Value::Array(objects) }
}

/// What Go templates are filled with: all of a kind are one list.
fn data(results: &Results) -> Vec<Data> {
    let items = results.objects.iter().map(|object| template::resource(results.kind, &object.value)).collect();
    match &results.list_revision {
        Some(revision) => vec![template::list(results.kind, revision, items)],
        None => items,
    }
}

/// What templates of kubectl begin at: one object, or a list with `items`.
fn as_kubectl(whole: Value) -> Value {
    match whole {
        Value::Array(items) => json!({"apiVersion": "v1", "kind": "List", "items": items}),
        one => one,
    }
}

fn table(columns: &[&str], results: &Results, is_bold: bool) -> String {
    let rows: Vec<Vec<String>> =
        results.objects.iter().map(|object| columns.iter().map(|column| cell(object, column)).collect()).collect();
    table::render(columns, &rows, is_bold)
}

fn columns(kind: Kind, is_wide: bool) -> Vec<&'static str> {
    let (short, wide): (&[&str], &[&str]) = match kind {
        Kind::HostEndpoint => (&["NAME", "NODE"], &["INTERFACE", "IPS", "PROFILES"]),
        kind if kind.is_tiered_policy() => (&["NAME", "TIER"], &["ORDER", "SELECTOR"]),
        Kind::StagedKubernetesNetworkPolicy => (&["NAME"], &["PODSELECTOR"]),
        Kind::Tier => (&["NAME", "ORDER"], &["DEFAULTACTION"]),
        Kind::Profile => (&["NAME"], &["LABELS"]),
        Kind::GlobalNetworkSet | Kind::NetworkSet => (&["NAME"], &["NETS"]),
        Kind::Node => (&["NAME"], &["ASN", "IPV4", "IPV6"]),
        Kind::WorkloadEndpoint => (&["NAME", "NODE", "NETWORKS", "INTERFACE"], &["PROFILES"]),
        Kind::ClusterInformation => (&["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"], &[]),
        _ => (&["NAME"], &[]),
    };
    if is_wide { [short, wide].concat() } else { short.to_vec() }
}

fn name(object: &Object) -> &str {
    object.value["metadata"]["name"].as_str().unwrap_or(&object.key.name)
}

pub(crate) fn cell(object: &Object, column: &str) -> String {
    let spec = object.value.get("spec").unwrap_or(&Value::Null);
    let list = |name: &str| {
        let items = spec.get(name).and_then(Value::as_array);
        items.map(|items| items.iter().map(plain).collect::<Vec<_>>().join(",")).unwrap_or_default()
    };
    let map = |name: &str| {
        let members = spec.get(name).and_then(Value::as_object);
        members
            .map(|m: &Map<String, Value>| {
                m.iter().map(|(k, v)| format!("{k}={}", plain(v))).collect::<Vec<_>>().join(",")
            })
            .unwrap_or_default()
    };
    match column {
        "NAME" => name(object).to_owned(),
        "NAMESPACE" => object.value["metadata"].get("namespace").map(plain).unwrap_or_default(),
        "NODE" => spec.get("node").map(plain).unwrap_or_default(),
        "INTERFACE" => spec.get("interfaceName").map(plain).unwrap_or_default(),
        "IPS" => list("expectedIPs"),
        "PROFILES" => list("profiles"),
        "TIER" => spec.get("tier").map(plain).unwrap_or_default(),
        "ORDER" => spec.get("order").map_or_else(|| "-".to_owned(), plain),
        "SELECTOR" => spec.get("selector").map(plain).unwrap_or_default(),
        "PODSELECTOR" => spec.get("podSelector").map(plain).unwrap_or_default(),
        "DEFAULTACTION" => spec.get("defaultAction").map(plain).unwrap_or_default(),
        "LABELS" => map("labelsToApply"),
        "NETS" => list("nets"),
        "NETWORKS" => list("ipNetworks"),
        "ASN" => spec["bgp"].get("asNumber").map(plain).unwrap_or_default(),
        "IPV4" => spec["bgp"].get("ipv4Address").map(plain).unwrap_or_default(),
        "IPV6" => spec["bgp"].get("ipv6Address").map(plain).unwrap_or_default(),
        "CLUSTERGUID" => spec.get("clusterGUID").map(plain).unwrap_or_default(),
        "CLUSTERTYPE" => spec.get("clusterType").map(plain).unwrap_or_default(),
        "CALICOVERSION" => spec.get("calicoVersion").map(plain).unwrap_or_default(),
        "DATASTOREREADY" => spec.get("datastoreReady").map(plain).unwrap_or_default(),
        _ => String::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
