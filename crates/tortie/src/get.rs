//! `get` (cli.md sections 1.5 and 2.3).

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey, nearest, with_causes};
use tortie_datastore::resources::Object;
use tortie_datastore::{Access, ResourceError, Resources};

use crate::args::{GetArgs, Global};
use crate::exit::{Code, Failure};
use crate::jsonpath::SortKey;
use crate::near;
use crate::output::{self, Format, Results};
use crate::select;
use crate::store::{self, resource_failure};
use crate::table;
use crate::watch::{self, Wanted};

/// Metadata that belongs to the store an object is in.
pub(crate) const OF_STORE: &[&str] =
    &["uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

pub(crate) fn get(global: &Global, args: &GetArgs) -> Result<Code, Failure> {
    let format = Format::parse(&args.output)?;
    if global.namespace.is_some() && args.all_namespaces {
        return Err(Failure::new(Code::Usage, "cannot use both --namespace and --all-namespaces"));
    }
    let wanted = keys(global, &args.what)?;
    let selector = select::of(args.selector.as_deref(), &wanted)?;
    let order = args.sort_by.as_deref().map(sort_key).transpose()?;
    let store = store::open(global, Access::Read)?;
    if wanted.is_empty() {
        if selector.is_some() || args.watch {
            return Err(Failure::new(Code::Usage, "`-l` and `-w` need a kind").with_hint("`all` is every kind"));
        }
        return counts(&Resources::new(&*store), global);
    }
    let scope = match (args.all_namespaces, &global.namespace) {
        (true, _) => None,
        (false, Some(namespace)) => Some(namespace.as_str()),
        (false, None) => Some("default"),
    };
    let with_namespace = global.namespace.is_some() || args.all_namespaces;
    if args.watch {
        let wanted = Wanted { keys: wanted, namespace: scope.map(str::to_owned), selector };
        return watch::watch(store, &wanted, &format, with_namespace, global.color.is_on_stdout());
    }
    let mut found = read(&Resources::new(&*store), &wanted, scope)?;
    for results in &mut found.results {
        if let Some(selector) = &selector {
            results.objects.retain(|object| select::takes(selector, &object.value));
        }
        if let Some(order) = &order {
            results.objects = sorted(std::mem::take(&mut results.objects), order);
        }
        if args.export && results.list_revision.is_none() {
            results.objects.iter_mut().for_each(|object| strip(&mut object.value, OF_STORE));
        }
    }
    if found.results.iter().any(|results| results.list_revision.is_some() || !results.objects.is_empty()) {
        output::print(&format, &found.results, with_namespace, global.color.is_on_stdout())?;
        output::warn_of_unknown(global, &format, order.as_ref(), &found.results);
    }
    if found.missing.is_empty() {
        return Ok(Code::Success);
    }
    Err(found.not_found(&Resources::new(&*store)))
}

/// What was asked for and is there, and a sentence on each that is not.
pub(crate) struct Found {
    pub(crate) results: Vec<Results>,
    pub(crate) missing: Vec<(ResourceKey, String)>,
}

impl Found {
    /// The failure that something is not there.
    pub(crate) fn not_found(self, resources: &Resources<'_>) -> Failure {
        let (keys, messages): (Vec<ResourceKey>, Vec<String>) = self.missing.into_iter().unzip();
        Failure { code: Code::NotFound, messages, hint: near::hint(resources, &keys) }
    }
}

/// Reads objects by name in `namespace`, the default one if there is none, and all of a kind in it or everywhere.
pub(crate) fn read(
    resources: &Resources<'_>,
    wanted: &[(Kind, Option<String>)],
    namespace: Option<&str>,
) -> Result<Found, Failure> {
    let mut found = Found { results: Vec::new(), missing: Vec::new() };
    for (kind, name) in wanted {
        match name {
            None => {
                let scope = namespace.filter(|_| kind.is_namespaced());
                let (objects, revision) = list(resources, *kind, scope).map_err(|error| resource_failure(&error))?;
                found.results.push(Results { kind: *kind, objects, list_revision: Some(revision.to_string()) });
            }
            Some(name) => match resources.get(&key(namespace, *kind, name)) {
                Ok(object) => match found.results.iter_mut().find(|r| r.kind == *kind && r.list_revision.is_none()) {
                    Some(results) => results.objects.push(object),
                    None => {
                        found.results.push(Results { kind: *kind, objects: vec![object], list_revision: None });
                    }
                },
                Err(error @ ResourceError::DoesNotExist(_)) => {
                    found.missing.push((key(namespace, *kind, name), with_causes(&error)));
                }
                Err(error) => return Err(resource_failure(&error)),
            },
        }
    }
    Ok(found)
}

/// All objects of a kind, with the revision of the list; tiers in their order.
///
/// # Errors
/// As [`Resources::list`].
pub(crate) fn list(
    resources: &Resources<'_>,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<(Vec<Object>, String), ResourceError> {
    let (mut objects, revision) = resources.list(kind, namespace)?;
    if kind == Kind::Tier {
        objects.sort_by(|a, b| tier_order(a).total_cmp(&tier_order(b)));
    }
    Ok((objects, revision))
}

fn sorted(objects: Vec<Object>, order: &SortKey) -> Vec<Object> {
    let mut keyed: Vec<(Option<Value>, Object)> =
        objects.into_iter().map(|object| (order.of(&Value::Object(object.value.clone())), object)).collect();
    keyed.sort_by(|(a, _), (b, _)| SortKey::compare(a.as_ref(), b.as_ref()));
    keyed.into_iter().map(|(_, object)| object).collect()
}

fn sort_key(path: &str) -> Result<SortKey, Failure> {
    SortKey::parse(path).map_err(|error| {
        Failure::new(Code::Usage, format!("`--sort-by {path}` is no path: {error}"))
            .with_hint("write `--sort-by .metadata.name`")
    })
}

/// The key of a name of the command line.
pub(crate) fn key(namespace: Option<&str>, kind: Kind, name: &str) -> ResourceKey {
    let namespace = kind.is_namespaced().then(|| namespace.unwrap_or("default").to_owned());
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

/// The objects that the command line names one by one, for what is to be done with them.
///
/// # Errors
/// A kind without names, as that would be all of it.
pub(crate) fn named(global: &Global, words: &[String], done: &str) -> Result<Vec<ResourceKey>, Failure> {
    let of_name = |(kind, name): (Kind, Option<String>)| {
        let name = name.ok_or_else(|| {
            Failure::new(Code::Usage, format!("which {kind} is to be {done}?")).with_hint("name it behind the kind")
        })?;
        Ok(key(global.namespace.as_deref(), kind, &name))
    };
    keys(global, words)?.into_iter().map(of_name).collect()
}

pub(crate) fn parse_kind(word: &str) -> Result<Kind, Failure> {
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

/// Takes members out of the metadata.
pub(crate) fn strip(object: &mut Map<String, Value>, names: &[&str]) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !names.contains(&name.as_str()));
    }
}
