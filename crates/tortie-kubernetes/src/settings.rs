//! How to reach a server (datastore.md sections 2.9 and 3.6).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use serde_json::json;

use crate::group::Group;
use crate::proxy::{self, Proxies};

/// Where a pod finds who it is.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How the interfaces of pods begin where nobody says otherwise (E-607).
const INTERFACE_PREFIX: &str = "cali";
/// The namespace of leases where nobody says another.
const NAMESPACE: &str = "tortie-system";

/// How to reach a server, and as whom. What is set explicitly wins over the kubeconfig, that over the credentials of a pod.
#[derive(Clone)]
pub struct Settings {
    /// Kubeconfig files, separated by colons; earlier ones win.
    pub kubeconfig: Option<String>,
    /// The text of a kubeconfig; wins over files.
    pub kubeconfig_inline: Option<String>,
    /// The context in it, if not the current one.
    pub context: Option<String>,
    /// The server, `https://HOST:PORT`.
    pub api_endpoint: Option<String>,
    /// A bearer token.
    pub token: Option<String>,
    /// A file with the client's certificate, PEM.
    pub cert_file: Option<PathBuf>,
    /// A file with the key of that certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// A file with the authority that signed the server's certificate, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate of the server is good.
    pub insecure_skip_tls_verify: bool,
    /// Requests in a second, on the average; no limit if not set.
    pub qps: Option<f64>,
    /// Requests at once; 100 if not set. Counts only with `qps`.
    pub burst: Option<u32>,
    /// The group of the definitions; found out if not set.
    pub api_group: Option<Group>,
    /// The namespace of leases; that of the pod, or `tortie-system`, if not set.
    pub namespace: Option<String>,
    /// The longest time for a connection to come about.
    pub connect_timeout: Duration,
    /// The longest time for a request, but for those that watch.
    pub request_timeout: Duration,
    /// The home directory, where `.kube/config` is looked for.
    pub home: Option<PathBuf>,
    /// `HOST:PORT` of the server as a pod knows it.
    pub service_address: Option<String>,
    /// The directory with token, authority and namespace of a pod.
    pub service_account: PathBuf,
    /// How the interfaces of pods begin on their nodes.
    pub interface_prefix: String,
    /// Proxies of the environment; a kubeconfig's own wins.
    pub proxies: Proxies,
    /// Waits of the syncer.
    pub waits: Waits,
}

/// Without the credentials.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("kubeconfig", &self.kubeconfig)
            .field("context", &self.context)
            .field("api_endpoint", &self.api_endpoint)
            .field("api_group", &self.api_group)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// Waits of the syncer (datastore.md section 5.2).
#[derive(Clone, Debug)]
pub struct Waits {
    /// The longest wait before the first list, and before that of more kinds: many agents start, or follow one change, at
    /// once. With full jitter.
    pub start: Duration,
    /// The first pause after trouble; doubles up to `pause_max`, with full jitter.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// The server ends a watch after this time at the earliest, and after twice as long at the latest, so that watches
    /// spread over its replicas.
    pub watch: Duration,
    /// A watch that brought nothing for this long, not even a bookmark, is begun anew.
    pub silence_max: Duration,
    /// How often a missing definition is asked for.
    pub discovery: Duration,
    /// How often a kind that is missing or refused is listed again.
    pub absent: Duration,
}

/// No server yet; what a pod has in its environment is taken from there.
impl Default for Settings {
    fn default() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let address = |host: String| {
            // An IPv6 address needs brackets.
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Some(format!("{host}:{}", variable("KUBERNETES_SERVICE_PORT")?))
        };
        Self {
            kubeconfig: None,
            kubeconfig_inline: None,
            context: None,
            api_endpoint: None,
            token: None,
            cert_file: None,
            key_file: None,
            ca_file: None,
            insecure_skip_tls_verify: false,
            qps: None,
            burst: None,
            api_group: None,
            namespace: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            home: std::env::home_dir(),
            service_address: variable("KUBERNETES_SERVICE_HOST").and_then(address),
            service_account: SERVICE_ACCOUNT.into(),
            interface_prefix: INTERFACE_PREFIX.to_owned(),
            proxies: Proxies::of_environment(),
            waits: Waits::default(),
        }
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            start: Duration::from_secs(1),
            pause_min: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
            watch: Duration::from_secs(300),
            // Servers send a bookmark each minute.
            silence_max: Duration::from_secs(90),
            discovery: Duration::from_secs(10),
            absent: Duration::from_secs(300),
        }
    }
}

/// Why settings name no server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("the kubeconfig cannot be used; check it with `kubectl config view`")]
    Kubeconfig(#[source] Box<KubeconfigError>),
    #[error("`{0}` is no address of an API server; write `https://HOST:PORT`")]
    Endpoint(String, #[source] http::uri::InvalidUri),
    #[error(
        "no API server is configured: set `kubeconfig` or `k8sAPIEndpoint` (KUBECONFIG, K8S_API_ENDPOINT), or make \
         `$HOME/.kube/config`"
    )]
    Nothing,
    #[error(
        "{origin} names no proxy: `{proxy}`; write `http://HOST:PORT`, `https://HOST:PORT` or `socks5://HOST:PORT`"
    )]
    Proxy { origin: &'static str, proxy: String },
    #[error(
        "the variables HTTPS_PROXY and NO_PROXY cannot be used; of the latter, write names, addresses and networks, separated by commas"
    )]
    Variables(#[source] Box<KubeconfigError>),
    #[error("the credentials in the settings cannot be used")]
    Credentials(#[source] serde_json::Error),
}

impl Settings {
    /// The configuration for the client, read afresh from all files.
    pub(crate) async fn config(&self) -> Result<Config, SettingsError> {
        let (mut config, proxy) = self.base().await?;
        if let Some(endpoint) = &self.api_endpoint {
            config.cluster_url = uri(endpoint)?;
        }
        config.proxy_url = proxy.map_or_else(|| self.proxies.choose(&config.cluster_url), |proxy| Ok(Some(proxy)))?;
        if let Some(file) = &self.ca_file {
            config.root_cert_file = Some(file.clone());
        }
        if self.insecure_skip_tls_verify {
            config.accept_invalid_certs = true;
        }
        let file_of = |path: &Option<PathBuf>| path.as_deref().map(Path::to_string_lossy).map(String::from);
        if let (Some(cert), Some(key)) = (file_of(&self.cert_file), file_of(&self.key_file)) {
            config.auth_info.client_certificate = Some(cert);
            config.auth_info.client_key = Some(key);
            config.auth_info.client_certificate_data = None;
            config.auth_info.client_key_data = None;
        }
        if let Some(token) = &self.token {
            let given: AuthInfo =
                serde_json::from_value(json!({"token": token})).map_err(SettingsError::Credentials)?;
            config.auth_info.token = given.token;
            config.auth_info.token_file = None;
        }
        config.connect_timeout = Some(self.connect_timeout);
        // Only this crate knows what may be repeated, and when.
        config.default_retry = false;
        Ok(config)
    }

    /// Server and credentials, and the proxy that a kubeconfig names.
    async fn base(&self) -> Result<(Config, Option<http::Uri>), SettingsError> {
        if let Some(mut kubeconfig) = self.kubeconfig()? {
            let proxy = proxy::take(&mut kubeconfig, self.context.as_deref())?;
            let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(broken)?;
            return Ok((config, proxy));
        }
        if let Some(endpoint) = &self.api_endpoint {
            return Ok((Config::new(uri(endpoint)?), None));
        }
        let address = self.service_address.as_ref().ok_or(SettingsError::Nothing)?;
        let mut config = Config::new(uri(&format!("https://{address}"))?);
        config.root_cert_file = Some(self.service_account.join("ca.crt"));
        config.auth_info.token_file = Some(self.service_account.join("token").to_string_lossy().into_owned());
        Ok((config, None))
    }

    /// The kubeconfig that is named, or the one of the home directory where nothing else names a server.
    fn kubeconfig(&self) -> Result<Option<Kubeconfig>, SettingsError> {
        if let Some(text) = &self.kubeconfig_inline {
            return Kubeconfig::from_yaml(text).map(Some).map_err(broken);
        }
        let files = self.kubeconfig.as_deref().unwrap_or_default();
        let mut files: Vec<PathBuf> =
            std::env::split_paths(files).filter(|path| !path.as_os_str().is_empty()).collect();
        // Of a list, files that are missing do not count, as for kubectl.
        if files.len() > 1 && files.iter().any(|file| file.exists()) {
            files.retain(|file| file.exists());
        }
        if files.is_empty() && self.api_endpoint.is_none() {
            files.extend(self.home.iter().map(|home| home.join(".kube/config")).filter(|file| file.exists()));
        }
        if files.is_empty() {
            return Ok(None);
        }
        let read = |merged: Kubeconfig, file| merged.merge(Kubeconfig::read_from(file)?);
        files.into_iter().try_fold(Kubeconfig::default(), read).map(Some).map_err(broken)
    }

    /// The namespace of leases.
    pub(crate) fn lease_namespace(&self) -> String {
        let of_pod = || std::fs::read_to_string(self.service_account.join("namespace")).ok();
        let of_pod = || of_pod().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        self.namespace.clone().or_else(of_pod).unwrap_or_else(|| NAMESPACE.to_owned())
    }
}

fn uri(text: &str) -> Result<http::Uri, SettingsError> {
    text.parse().map_err(|error| SettingsError::Endpoint(text.to_owned(), error))
}

fn broken(error: KubeconfigError) -> SettingsError {
    match error {
        // The client's library reads these variables as well.
        KubeconfigError::ParseProxyUrl(_) | KubeconfigError::ParseNoProxy(_) => {
            SettingsError::Variables(Box::new(error))
        }
        _ => SettingsError::Kubeconfig(Box::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(server: &str) -> String {
        json!({"current-context": "a",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}},
                {"name": "broken", "context": {"cluster": "none", "user": "u"}}]})
        .to_string()
    }

    fn nowhere() -> Settings {
        Settings { home: None, service_address: None, ..Settings::default() }
    }

    fn server(settings: &Settings) -> Result<String, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let config = runtime.block_on(settings.config());
        config.map(|config| config.cluster_url.to_string()).map_err(|error| tortie_api::with_causes(&error))
    }

    #[test]
    fn what_is_explicit_wins_over_kubeconfig_home_and_pod() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, server: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, kubeconfig(server)).unwrap();
            path.to_string_lossy().into_owned()
        };
        let mut settings = nowhere();
        assert!(server(&settings).unwrap_err().contains("no API server is configured"));
        settings.service_address = Some("pod:443".to_owned());
        assert_eq!(server(&settings).as_deref(), Ok("https://pod:443/"));
        file(".kube/config", "https://home/");
        settings.home = Some(folder.path().to_owned());
        assert_eq!(server(&settings).as_deref(), Ok("https://home/"));
        settings.kubeconfig =
            Some(format!("/missing:{}:{}", file("a", "https://first/"), file("b", "https://second/")));
        assert_eq!(server(&settings).as_deref(), Ok("https://first/"));
        settings.kubeconfig_inline = Some(kubeconfig("https://inline/"));
        assert_eq!(server(&settings).as_deref(), Ok("https://inline/"));
        settings.api_endpoint = Some("https://explicit:6443".to_owned());
        assert_eq!(server(&settings).as_deref(), Ok("https://explicit:6443/"));
        settings.context = Some("broken".to_owned());
        assert!(server(&settings).is_err(), "a context that names nothing");
    }

    #[test]
    fn an_endpoint_needs_no_kubeconfig() {
        let mut settings = Settings { api_endpoint: Some("https://explicit/".to_owned()), ..nowhere() };
        assert_eq!(server(&settings).as_deref(), Ok("https://explicit/"));
        settings.api_endpoint = Some("https://exa mple/".to_owned());
        assert!(server(&settings).unwrap_err().contains("https://HOST:PORT"));
    }

    #[test]
    fn leases_lie_in_the_namespace_of_the_pod() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { service_account: folder.path().to_owned(), ..nowhere() };
        assert_eq!(settings.lease_namespace(), "tortie-system");
        std::fs::write(folder.path().join("namespace"), "calico-system\n").unwrap();
        assert_eq!(settings.lease_namespace(), "calico-system");
        settings.namespace = Some("mine".to_owned());
        assert_eq!(settings.lease_namespace(), "mine");
    }
}
