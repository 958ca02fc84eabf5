//! Which store is in force, and where each value that says so is from (cli.md section 2.3).

use std::path::PathBuf;

use super::place::{self, Place};
use super::values::{self, FIELDS, Values};
use crate::args::Global;
use crate::exit::Failure;

/// A value, and where it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
    /// `flag --NAME`, `variable NAME`, `file PATH` or `default`.
    pub(crate) source: String,
}

/// Fields whose values nobody may read over a shoulder, or in a bug report.
const SECRETS: [&str; 4] = ["etcdPassword", "etcdKey", "k8sAPIToken", "kubeconfigInline"];
/// What stands in place of them.
const HIDDEN: &str = "(not shown)";

/// The store and the fields that say how it is reached. `url_source` is where the URL of the store is from.
pub(crate) fn settings(global: &Global, url_source: Option<&str>) -> Result<Vec<Setting>, Failure> {
    let sources = place::of_command(global, global.store.as_deref());
    // A URL that names a file says nothing itself.
    let url = sources.url.filter(|url| !url.starts_with("config:"));
    let origin = Origin { file: sources.file(), url: url.map(|_| url_source.unwrap_or("flag --store").to_owned()) };
    let is_in_context = sources.context.is_some();
    let (word, values) = match sources.place().map_err(Failure::from)? {
        Place::Embedded(path, _) => (format!("embedded:{}", path.display()), None),
        Place::Etcd(values) => ("etcd".to_owned(), Some(values)),
        Place::Kubernetes(values) => ("kubernetes".to_owned(), Some(values)),
    };
    let named = |field: &str| match field {
        "k8sCurrentContext" if is_in_context => "flag --context".to_owned(),
        "datastoreType" | "etcdEndpoints" => origin.url.clone().unwrap_or_else(|| origin.of(field)),
        _ => origin.of(field),
    };
    let fields = values.iter().flat_map(|values| shown(values, &named));
    let fields: Vec<Setting> = fields.filter(|field| matters(&word, &field.name)).collect();
    let source = match (&origin.url, &fields[..]) {
        (Some(url), _) => url.clone(),
        (None, [first, ..]) => first.source.clone(),
        (None, []) => origin.of_embedded(),
    };
    let store = Setting { name: "store".to_owned(), value: word, source };
    Ok([store].into_iter().chain(fields).collect())
}

/// Whether a field says how such a store is reached: variables of another may be set as well.
fn matters(store: &str, field: &str) -> bool {
    match store {
        "etcd" => field == "datastoreType" || field.starts_with("etcd"),
        _ => !field.starts_with("etcd") && field != "embeddedPath",
    }
}

/// The fields that have a value, in the order of the documentation.
fn shown(values: &Values, source: &impl Fn(&str) -> String) -> Vec<Setting> {
    let setting = |(field, _): &(&str, Option<&str>)| {
        let value = values.get(field)?;
        // Certificates have many lines, and no reader here.
        let is_hidden = SECRETS.contains(field) || value.contains('\n');
        let value = if is_hidden { HIDDEN.to_owned() } else { without_password(value) };
        Some(Setting { name: (*field).to_owned(), value, source: source(field) })
    };
    FIELDS.iter().filter_map(setting).collect()
}

/// An address without the user and the password that it may hold.
fn without_password(value: &str) -> String {
    let addresses = value.split(',').map(|address| match address.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, host)| host)),
        None => address.to_owned(),
    });
    addresses.collect::<Vec<_>>().join(",")
}

/// Where values are from.
struct Origin {
    file: Option<PathBuf>,
    /// Where the URL is from, if there is one.
    url: Option<String>,
}

impl Origin {
    /// Where a field is from that is no flag.
    fn of(&self, field: &str) -> String {
        match (&self.file, values::variable(field)) {
            (Some(file), _) => format!("file {}", file.display()),
            (None, Some(variable)) => format!("variable {variable}"),
            (None, None) => "default".to_owned(),
        }
    }

    /// Where it is from that the store is an embedded one.
    fn of_embedded(&self) -> String {
        let says = |file: &PathBuf| Values::of_file(file).is_ok_and(|values| !values.is_empty());
        match &self.file {
            Some(file) if says(file) => format!("file {}", file.display()),
            _ => values::variable("datastoreType")
                .filter(|_| self.file.is_none())
                .map_or("default".to_owned(), |variable| format!("variable {variable}")),
        }
    }
}

/// Where a kubeconfig is.
pub(crate) enum Kubeconfig {
    Text(String),
    Files(Vec<PathBuf>),
}

/// The kubeconfig in use.
pub(crate) fn kubeconfig(global: &Global) -> Kubeconfig {
    let values = place::of_command(global, global.store.as_deref()).values_in_context().unwrap_or_default();
    if let Some(text) = values.get("kubeconfigInline") {
        return Kubeconfig::Text(text.to_owned());
    }
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"));
    Kubeconfig::Files(match values.get("kubeconfig") {
        Some(paths) => paths.split(':').map(PathBuf::from).collect(),
        None => home().into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_addresses_are_not_shown() {
        assert_eq!(without_password("https://u:p@a:1,http://b:2"), "https://a:1,http://b:2");
        assert_eq!(without_password("/a/path"), "/a/path");
    }
}
