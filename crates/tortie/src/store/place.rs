//! Which store flags, environment and files mean (D-13, datastore.md section 2.9, cli.md section 2.1).

use std::path::{Path, PathBuf};

use tortie_calc::settings::Local;

use super::fault::ConfigFault;
use super::values::{FILES, Values};
use crate::args::Global;
use crate::exit::{Code, Failure};

/// Where the embedded store lies when nothing names another place.
pub(super) const DEFAULT_PATH: &str = "/var/lib/tortie/store.db";
/// Where Felix looks for etcd when it is told to use it and not where.
const FELIX_ENDPOINT: &str = "http://127.0.0.1:2379";

/// A store, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// An embedded store; whether somebody named its path.
    Embedded(PathBuf, bool),
    /// An etcd.
    Etcd(Values),
    /// A Kubernetes API server.
    Kubernetes(Values),
}

/// Everything that may name a store.
pub(super) struct Sources<'a> {
    /// `--store`, or `TORTIE_STORE`.
    pub(super) url: Option<&'a str>,
    /// `--config`.
    pub(super) config: Option<&'a Path>,
    /// `--context`.
    pub(super) context: Option<&'a str>,
    /// The default configuration file that exists.
    pub(super) default_file: Option<PathBuf>,
    /// The environment.
    pub(super) environment: Values,
    /// Felix's own settings, for an agent: those of the environment, then those of its file.
    pub(super) felix: [&'a Local; 2],
}

/// The store of this URL, or the one that is configured.
pub(super) fn of_global(global: &Global, url: Option<&str>, felix: [&Local; 2]) -> Result<Place, Failure> {
    Ok(sources(global, url, felix).place()?)
}

/// The store that Calico's own command line would ask: a file hides the environment, and so `TORTIE_STORE`, and where
/// nothing is said it is a cluster (datastore.md section 2.9).
pub(super) fn of_calicoctl(config: Option<&Path>, context: Option<&str>) -> Result<Place, ConfigFault> {
    let variable = |name: &str| std::env::var(name).ok();
    let default_file = FILES.iter().map(PathBuf::from).find(|file| file.exists());
    let none = Local::new();
    let has_file = config.is_some() || default_file.is_some();
    let url = variable(STORE_VARIABLE).filter(|url| !url.is_empty() && !has_file);
    let environment = Values::of_environment(variable);
    if url.is_none() && !has_file && environment.is_empty() {
        return Ok(Place::Kubernetes(environment));
    }
    Sources { url: url.as_deref(), config, context, default_file, environment, felix: [&none, &none] }.place()
}

/// The variable that names a store as `--store` does.
const STORE_VARIABLE: &str = "TORTIE_STORE";

/// The cluster that is configured beside the store.
pub(super) fn cluster(global: &Global) -> Result<Place, Failure> {
    Ok(sources(global, global.store.as_deref(), [&Local::new(), &Local::new()]).cluster()?)
}

/// Everything that names the store of a command which has no settings of Felix.
pub(super) fn of_command<'a>(global: &'a Global, url: Option<&'a str>) -> Sources<'a> {
    static NONE: Local = Local::new();
    sources(global, url, [&NONE, &NONE])
}

fn sources<'a>(global: &'a Global, url: Option<&'a str>, felix: [&'a Local; 2]) -> Sources<'a> {
    let variable = |name: &str| std::env::var(name).ok();
    Sources {
        url: url.filter(|url| !url.is_empty()),
        config: global.config.as_deref(),
        context: global.context.as_deref(),
        default_file: users_file(global).into_iter().chain(FILES.map(PathBuf::from)).find(|file| file.exists()),
        environment: Values::of_environment(variable),
        felix,
    }
}

/// The user's own configuration file, whether or not it is there. What runs for the whole host has none.
pub(super) fn users_file(global: &Global) -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = || named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")));
    Some(if global.is_service { None } else { folder() }?.join("tortie/tortie.cfg"))
}

/// The file that a command line names.
pub(super) fn named_file(global: &Global) -> Option<PathBuf> {
    let of_url = global.store.as_deref().and_then(|url| url.strip_prefix("config:")).map(PathBuf::from);
    of_url.or_else(|| global.config.clone())
}

impl Sources<'_> {
    pub(super) fn place(self) -> Result<Place, ConfigFault> {
        let url = self.url;
        if let Some(place) = url.map(embedded).transpose()?.flatten() {
            return Ok(place);
        }
        let mut values = self.values_in_context()?;
        if let Some(url) = url {
            named(url, &mut values)?;
        }
        decide(values)
    }

    /// How a cluster is reached, whichever store is named.
    pub(super) fn cluster(self) -> Result<Place, ConfigFault> {
        self.values_in_context().map(Place::Kubernetes)
    }

    /// The file that counts.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let named = self.url.and_then(|url| url.strip_prefix("config:")).map(Path::new);
        named.or(self.config).or(self.default_file.as_deref()).map(Path::to_owned)
    }

    pub(super) fn values_in_context(&self) -> Result<Values, ConfigFault> {
        let mut values = self.values()?;
        if let Some(context) = self.context {
            values.set("k8sCurrentContext", context);
        }
        Ok(values)
    }

    /// A file that exists counts alone; without one the environment does. Felix's own settings go over both.
    fn values(&self) -> Result<Values, ConfigFault> {
        let mut values = match self.file() {
            Some(file) => Values::of_file(&file)?,
            None => self.environment.clone(),
        };
        let felix = |name: &str| {
            let set = self.felix.into_iter().filter_map(|local| local.get(name)).find(|value| !value.is_empty());
            set.map(String::as_str)
        };
        for (name, field) in [
            ("datastoretype", "datastoreType"),
            ("etcdkeyfile", "etcdKeyFile"),
            ("etcdcertfile", "etcdCertFile"),
            ("etcdcafile", "etcdCACertFile"),
        ] {
            if let Some(value) = felix(name) {
                values.set(field, value);
            }
        }
        // Of several, network plugins use the first.
        let prefixes = felix("interfaceprefix").and_then(|list| list.split(',').map(str::trim).next());
        values.interface_prefix = prefixes.filter(|prefix| !prefix.is_empty()).map(str::to_owned);
        let scheme = felix("etcdscheme").unwrap_or("http");
        let endpoints = felix("etcdendpoints").map(str::to_owned);
        let endpoints = endpoints.or_else(|| felix("etcdaddr").map(|address| format!("{scheme}://{address}")));
        if let Some(endpoints) = endpoints {
            values.set("etcdEndpoints", endpoints);
            values.remove("etcdDiscoverySrv");
        } else if felix("datastoretype") == Some("etcdv3")
            && values.get("etcdEndpoints").or(values.get("etcdDiscoverySrv")).is_none()
        {
            values.set("etcdEndpoints", FELIX_ENDPOINT);
        }
        Ok(values)
    }
}

/// The embedded store of a URL, if it names one.
fn embedded(url: &str) -> Result<Option<Place>, Failure> {
    let path = match url.strip_prefix("embedded:") {
        Some(path) => path.strip_prefix("//").unwrap_or(path),
        None if is_url(url) => return Ok(None),
        None => url,
    };
    if path.is_empty() {
        return Err(Failure::new(Code::Usage, "`--store embedded:` names no file").with_hint("write `embedded:PATH`"));
    }
    Ok(Some(Place::Embedded(PathBuf::from(path), true)))
}

/// Whether this is no plain path.
fn is_url(url: &str) -> bool {
    let scheme = url.split(':').next().unwrap_or_default();
    url == "kubernetes" || ["etcd", "etcds", "config"].contains(&scheme) || url.contains("://")
}

/// Takes what a URL says of another store than an embedded one.
fn named(url: &str, values: &mut Values) -> Result<(), Failure> {
    let etcd = [("etcd://", "http"), ("etcds://", "https")]
        .into_iter()
        .find_map(|(prefix, scheme)| Some((url.strip_prefix(prefix)?, scheme)));
    match etcd {
        Some((hosts, scheme)) => {
            let hosts: Vec<&str> = hosts.trim_end_matches('/').split(',').map(str::trim).collect();
            if hosts.iter().any(|host| host.is_empty() || host.contains('/') || host.contains('@')) {
                let message = format!("`{url}` does not name hosts of etcd");
                return Err(Failure::new(Code::Usage, message)
                    .with_hint("write `etcds://HOST:PORT,HOST:PORT`; credentials come from environment or file"));
            }
            let endpoints: Vec<String> = hosts.iter().map(|host| format!("{scheme}://{host}")).collect();
            values.set("datastoreType", "etcdv3");
            values.set("etcdEndpoints", endpoints.join(","));
            values.remove("etcdDiscoverySrv");
        }
        None if url == "kubernetes" => values.set("datastoreType", "kubernetes"),
        None if url.starts_with("config:") => {}
        None => {
            return Err(Failure::new(Code::Usage, format!("`{url}` is not a store")).with_hint(
                "write `embedded:PATH`, `etcd://HOST:PORT`, `etcds://HOST:PORT`, `kubernetes` or `config:FILE`",
            ));
        }
    }
    Ok(())
}

pub(super) fn decide(values: Values) -> Result<Place, ConfigFault> {
    let has_etcd = values.get("etcdEndpoints").or(values.get("etcdDiscoverySrv")).is_some();
    match values.get("datastoreType") {
        // Nothing at all is said.
        None if values.is_empty() => Ok(Place::Embedded(PathBuf::from(DEFAULT_PATH), false)),
        None if has_etcd => Ok(Place::Etcd(values)),
        None => match values.get("embeddedPath") {
            Some(path) => Ok(Place::Embedded(PathBuf::from(path), true)),
            None => Ok(Place::Kubernetes(values)),
        },
        Some("etcdv3") if has_etcd => Ok(Place::Etcd(values)),
        Some("etcdv3") => Err(ConfigFault::NoEndpoints { origin: values.origin }),
        Some("kubernetes") => Ok(Place::Kubernetes(values)),
        Some("embedded") => {
            let path = values.get("embeddedPath");
            Ok(Place::Embedded(PathBuf::from(path.unwrap_or(DEFAULT_PATH)), path.is_some()))
        }
        Some(other) => Err(ConfigFault::UnknownType { word: other.to_owned(), origin: values.origin.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources<'a>(url: Option<&'a str>, environment: &'a [(&'a str, &'a str)], felix: [&'a Local; 2]) -> Sources<'a> {
        let variable =
            |name: &str| environment.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
        let environment = Values::of_environment(variable);
        Sources { url, config: None, context: None, default_file: None, environment, felix }
    }

    fn short(place: Result<Place, ConfigFault>) -> String {
        match place.map_err(Failure::from) {
            Ok(Place::Embedded(path, _)) => format!("embedded {}", path.display()),
            Ok(Place::Etcd(values)) => format!("etcd {}", values.get("etcdEndpoints").unwrap_or("srv")),
            Ok(Place::Kubernetes(values)) => format!("kubernetes {}", values.get("kubeconfig").unwrap_or("-")),
            Err(failure) => format!("{} {}", failure.code as u8, failure.messages.join(";")),
        }
    }

    #[test]
    fn the_store_is_the_one_that_is_named() {
        let none = Local::new();
        let check = |url: Option<&str>, environment: &[(&str, &str)], expected: &str| {
            let found = short(sources(url, environment, [&none, &none]).place());
            assert!(found.starts_with(expected), "{url:?} {environment:?}: {found}, expected {expected}");
        };
        check(None, &[], "embedded /var/lib/tortie/store.db");
        check(Some("/x.db"), &[("ETCD_ENDPOINTS", "http://a:1")], "embedded /x.db");
        check(Some("embedded:///x.db"), &[], "embedded /x.db");
        check(Some("embedded:"), &[], "2 `--store embedded:` names no file");
        check(None, &[("ETCD_ENDPOINTS", "http://a:1")], "etcd http://a:1");
        check(None, &[("ETCD_DISCOVERY_SRV", "example.org")], "etcd srv");
        check(None, &[("KUBECONFIG", "/k")], "kubernetes /k");
        check(None, &[("DATASTORE_TYPE", "kubernetes")], "kubernetes -");
        check(None, &[("DATASTORE_TYPE", "etcdv3")], "3 the environment names no endpoints");
        check(None, &[("DATASTORE_TYPE", "etcdv2")], "3 the environment: datastore type `etcdv2` is not known");
        check(Some("etcd://a:1,b:2"), &[("DATASTORE_TYPE", "kubernetes")], "etcd http://a:1,http://b:2");
        check(Some("etcds://a:1"), &[], "etcd https://a:1");
        check(Some("etcds://u:p@a:1"), &[], "2 `etcds://u:p@a:1` does not name hosts");
        check(Some("kubernetes"), &[("KUBECONFIG", "/k"), ("ETCD_ENDPOINTS", "http://a:1")], "kubernetes /k");
        check(Some("http://a:1"), &[], "2 `http://a:1` is not a store");
        check(Some("config:/no/such/file"), &[], "3 cannot read config file");
    }

    #[test]
    fn credentials_come_from_the_environment_whatever_the_url_names() {
        let none = Local::new();
        let environment = [("ETCD_CA_CERT_FILE", "/ca"), ("ETCD_USERNAME", "u"), ("ETCD_DISCOVERY_SRV", "example.org")];
        let Ok(Place::Etcd(values)) = sources(Some("etcds://a:1"), &environment, [&none, &none]).place() else {
            panic!("an etcd");
        };
        assert_eq!((values.get("etcdCACertFile"), values.get("etcdUsername")), (Some("/ca"), Some("u")));
        assert_eq!(values.get("etcdDiscoverySrv"), None);
    }

    #[test]
    fn an_agent_follows_the_settings_of_felix() {
        let none = Local::new();
        let local = |list: &[(&str, &str)]| -> Local {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let file = local(&[("etcdaddr", "f:1"), ("etcdscheme", "https"), ("etcdcafile", "/ca")]);
        assert_eq!(short(sources(None, &[], [&none, &file]).place()), "etcd https://f:1");
        let environment = local(&[("etcdendpoints", "http://e:1")]);
        assert_eq!(short(sources(None, &[], [&environment, &file]).place()), "etcd http://e:1");
        let etcd = local(&[("datastoretype", "etcdv3")]);
        assert_eq!(short(sources(None, &[], [&etcd, &none]).place()), "etcd http://127.0.0.1:2379");
        assert_eq!(
            short(sources(None, &[("ETCD_ENDPOINTS", "http://a:1")], [&etcd, &none]).place()),
            "etcd http://a:1"
        );
        let kubernetes = local(&[("datastoretype", "kubernetes")]);
        assert_eq!(short(sources(None, &[], [&kubernetes, &none]).place()), "kubernetes -");
        assert_eq!(short(sources(Some("/x.db"), &[], [&kubernetes, &none]).place()), "embedded /x.db");
        for (list, prefix) in [("eni, cali", Some("eni")), ("", None)] {
            let named = local(&[("datastoretype", "kubernetes"), ("interfaceprefix", list)]);
            let Ok(Place::Kubernetes(values)) = sources(None, &[], [&none, &named]).place() else {
                panic!("a cluster")
            };
            assert_eq!(values.interface_prefix.as_deref(), prefix);
        }
    }

    #[test]
    fn a_cluster_beside_the_store_is_reached_by_the_same_environment_e813() {
        let none = Local::new();
        let environment = [("ETCD_ENDPOINTS", "http://a:1"), ("KUBECONFIG", "/k"), ("K8S_CURRENT_CONTEXT", "one")];
        for url in [None, Some("/x.db"), Some("etcd://b:1")] {
            let named = Sources { context: Some("two"), ..sources(url, &environment, [&none, &none]) };
            let Ok(Place::Kubernetes(values)) = named.cluster() else { panic!("a cluster") };
            assert_eq!((values.get("kubeconfig"), values.get("k8sCurrentContext")), (Some("/k"), Some("two")));
        }
    }

    #[test]
    fn a_file_counts_alone() {
        let none = Local::new();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("calicoctl.cfg");
        let text = "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nspec:\n  etcdEndpoints: http://file:1\n";
        std::fs::write(&file, text).unwrap();
        let environment = [("ETCD_ENDPOINTS", "http://environment:1"), ("ETCD_USERNAME", "u")];
        let with_default = Sources { default_file: Some(file.clone()), ..sources(None, &environment, [&none, &none]) };
        let Ok(Place::Etcd(values)) = with_default.place() else { panic!("an etcd") };
        assert_eq!((values.get("etcdEndpoints"), values.get("etcdUsername")), (Some("http://file:1"), None));
        let named = Sources {
            config: Some(&file),
            context: Some("c"),
            ..sources(Some("kubernetes"), &environment, [&none, &none])
        };
        let Ok(Place::Kubernetes(values)) = named.place() else { panic!("a cluster") };
        assert_eq!(values.get("k8sCurrentContext"), Some("c"));
    }
}
