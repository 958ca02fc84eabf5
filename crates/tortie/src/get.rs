//! `get` (cli.md sections 1.5 and 2.3).

use serde_json::Value;
use tortie_api::{Kind, ResourceKey, nearest, with_causes};
use tortie_datastore::resources::Object;
use tortie_datastore::{Access, ResourceError, Resources};

use crate::args::{GetArgs, Global};
use crate::exit::{Code, Failure};
use crate::output::{self, Format, Results};
use crate::store::{self, resource_failure};
use crate::table;

pub(crate) fn get(global: &Global, args: &GetArgs) -> Result<Code, Failure> {
    let format = Format::parse(&args.output)?;
    if global.namespace.is_some() && args.all_namespaces {
        return Err(Failure::new(Code::Usage, "cannot use both --namespace and --all-namespaces"));
    }
    let wanted = keys(global, &args.what)?;
    let store = store::open(global, Access::Read)?;
    let resources = Resources::new(&*store);
    if wanted.is_empty() {
        return counts(&resources, global);
    }
    let namespace = match (args.all_namespaces, &global.namespace) {
        (true, _) => None,
        (false, Some(namespace)) => Some(namespace.as_str()),
        (false, None) => Some("default"),
    };
    let mut results: Vec<Results> = Vec::new();
    let mut missing = Vec::new();
    for (kind, name) in wanted {
        match name {
            None => {
                let scope = namespace.filter(|_| kind.is_namespaced());
                let (mut objects, revision) = resources.list(kind, scope).map_err(|error| resource_failure(&error))?;
                if kind == Kind::Tier {
                    objects.sort_by(|a, b| tier_order(a).total_cmp(&tier_order(b)));
                }
                results.push(Results { kind, objects, list_revision: Some(revision.to_string()) });
            }
            Some(name) => match resources.get(&key(global, kind, &name)) {
                Ok(mut object) => {
                    if args.export {
                        export(&mut object);
                    }
                    match results.iter_mut().find(|r| r.kind == kind && r.list_revision.is_none()) {
                        Some(results) => results.objects.push(object),
                        None => results.push(Results { kind, objects: vec![object], list_revision: None }),
                    }
                }
                Err(error @ ResourceError::DoesNotExist(_)) => missing.push(with_causes(&error)),
                Err(error) => return Err(resource_failure(&error)),
            },
        }
    }
    let with_namespace = global.namespace.is_some() || args.all_namespaces;
    if results.iter().any(|results| results.list_revision.is_some() || !results.objects.is_empty()) {
        output::print(&format, &results, with_namespace, global.color.is_on_stdout())?;
    }
    if missing.is_empty() {
        return Ok(Code::Success);
    }
    Err(Failure { code: Code::NotFound, messages: missing, hint: None })
}

/// The key of a name of the command line.
pub(crate) fn key(global: &Global, kind: Kind, name: &str) -> ResourceKey {
    let namespace = kind.is_namespaced().then(|| global.namespace.clone().unwrap_or_else(|| "default".to_owned()));
    ResourceKey { kind, namespace, name: name.to_owned() }
}

/// Kinds and names of the command line: `hep`, `hep,gnp`, `hep a b`, `hep/a gnp/b`, `all`.
pub(crate) fn keys(global: &Global, words: &[String]) -> Result<Vec<(Kind, Option<String>)>, Failure> {
    let mut wanted = Vec::new();
    let is_pairs = words.iter().any(|word| word.contains('/'));
    if is_pairs {
        for word in words {
            let Some((kind, name)) = word.split_once('/') else {
                let message = format!("`{word}` has no kind");
                return Err(
                    Failure::new(Code::Usage, message).with_hint("write TYPE/NAME for each, or one kind and names")
                );
            };
            wanted.push((parse_kind(kind)?, Some(name.to_owned())));
        }
    } else if let Some((kinds, names)) = words.split_first() {
        let kinds: Vec<Kind> = if kinds == "all" {
            Kind::all().collect()
        } else {
            kinds.split(',').map(parse_kind).collect::<Result<_, _>>()?
        };
        for kind in kinds {
            if names.is_empty() {
                wanted.push((kind, None));
            }
            wanted.extend(names.iter().map(|name| (kind, Some(name.clone()))));
        }
    }
    if let (Some(_), Some((kind, _))) = (&global.namespace, wanted.iter().find(|(kind, _)| !kind.is_namespaced()))
        && wanted.len() == 1
    {
        return Err(Failure::new(Code::Usage, format!("{kind} is not namespaced")).with_hint("leave `-n` out"));
    }
    if wanted.iter().any(|(_, name)| name.as_deref() == Some("")) {
        return Err(Failure::new(Code::Usage, "resource name may not be empty"));
    }
    Ok(wanted)
}

fn parse_kind(word: &str) -> Result<Kind, Failure> {
    word.parse().map_err(|error: tortie_api::kind::UnknownKind| {
        let failure = Failure::new(Code::Usage, error.to_string());
        let words = Kind::all().flat_map(|kind| [kind.plural()].into_iter().chain(kind.aliases()));
        match nearest(word, words) {
            Some(near) => failure.with_hint(format!("did you mean `{near}`?")),
            None => failure.with_hint("`tortie get` lists the kinds"),
        }
    })
}

/// The kinds and how many objects of each there are.
fn counts(resources: &Resources<'_>, global: &Global) -> Result<Code, Failure> {
    let mut rows = Vec::new();
    for kind in Kind::all() {
        let (objects, _) = resources.list(kind, None).map_err(|error| resource_failure(&error))?;
        let short = kind.aliases().next().unwrap_or_default();
        rows.push(vec![kind.plural().to_owned(), short.to_owned(), objects.len().to_string()]);
    }
    print!("{}", table::render(&["KIND", "SHORT", "COUNT"], &rows, global.color.is_on_stdout()));
    Ok(Code::Success)
}

fn tier_order(object: &Object) -> f64 {
    object.value["spec"].get("order").and_then(Value::as_f64).unwrap_or(f64::INFINITY)
}

fn export(object: &mut Object) {
    if let Some(metadata) = object.value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| {
            !["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
                .contains(&name.as_str())
        });
    }
}
