//! The proxy on the way to a server, found as kubectl finds it: a kubeconfig's `proxy-url`, or else the environment's.

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::Kubeconfig;

use crate::settings::SettingsError;

/// How a connection through a proxy may begin.
const SCHEMES: [&str; 3] = ["http", "https", "socks5"];

/// What the environment says of proxies.
#[derive(Clone, Default)]
pub struct Proxies {
    /// `HTTPS_PROXY`: the proxy to servers of `https` addresses.
    pub https: Option<String>,
    /// `NO_PROXY`: names, addresses and networks that are reached without it, separated by commas.
    pub no: Option<String>,
}

impl Proxies {
    /// What the environment of this process says. Names in upper case win.
    pub fn of_environment() -> Proxies {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let either = |name: &str| variable(name).or_else(|| variable(&name.to_lowercase()));
        Proxies { https: either("HTTPS_PROXY"), no: either("NO_PROXY") }
    }

    /// The proxy to a server, if it is reached through one. This host itself never is.
    pub(crate) fn choose(&self, server: &Uri) -> Result<Option<Uri>, SettingsError> {
        let is_meant = server.scheme_str() == Some("https") && !is_this_host(server);
        let Some(proxy) = self.https.as_deref().filter(|_| is_meant) else { return Ok(None) };
        let no = self.no.as_deref().unwrap_or_default();
        let matcher = Matcher::builder().all("http://any").no(no).build();
        matcher.intercept(server).map(|_| parse(proxy, "HTTPS_PROXY")).transpose()
    }
}

/// Takes the proxy out of the cluster of a context, or of the current one. It counts whatever `NO_PROXY` says.
pub(crate) fn take(kubeconfig: &mut Kubeconfig, context: Option<&str>) -> Result<Option<Uri>, SettingsError> {
    let Some(context) = context.or(kubeconfig.current_context.as_deref()) else { return Ok(None) };
    let named = kubeconfig.contexts.iter().find(|named| named.name == context);
    let Some(cluster) = named.and_then(|named| Some(named.context.as_ref()?.cluster.clone())) else { return Ok(None) };
    let named = kubeconfig.clusters.iter_mut().find(|named| named.name == cluster);
    let proxy = named.and_then(|named| named.cluster.as_mut()?.proxy_url.take());
    proxy.filter(|proxy| !proxy.is_empty()).map(|proxy| parse(&proxy, "proxy-url")).transpose()
}

/// The address of a proxy that `origin` names; one without a scheme is an `http` one.
fn parse(text: &str, origin: &'static str) -> Result<Uri, SettingsError> {
    // SOCKS 5 leaves names to the proxy here, which is what this scheme asks for.
    let text = text.replacen("socks5h://", "socks5://", 1);
    let full = if text.contains("://") { text.clone() } else { format!("http://{text}") };
    let uri = full.parse::<Uri>().ok().filter(|uri| uri.host().is_some_and(|host| !host.is_empty()));
    uri.filter(|uri| uri.scheme_str().is_some_and(|scheme| SCHEMES.contains(&scheme))).ok_or_else(|| {
        // What stands before the last `@` is a password.
        let shown = text.rsplit('@').next().unwrap_or_default().to_owned();
        SettingsError::Proxy { origin, proxy: shown }
    })
}

fn is_this_host(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(https: &str, no: &str, server: &str) -> Result<Option<String>, String> {
        let proxies = Proxies { https: Some(https.to_owned()), no: Some(no.to_owned()) };
        let found = proxies.choose(&server.parse().expect("a test names a server"));
        found.map(|found| found.map(|uri| uri.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_names_a_proxy_and_what_goes_past_it() {
        let proxy = |no: &str, server: &str| chosen("proxy:3128", no, server).expect("it is one").is_some();
        assert_eq!(chosen("proxy:3128", "", "https://api:6443"), Ok(Some("http://proxy:3128/".to_owned())));
        assert_eq!(chosen("socks5h://p:1080", "", "https://api"), Ok(Some("socks5://p:1080/".to_owned())));
        for (no, server) in [
            ("api.example", "https://api.example:6443"),
            ("other, example", "https://api.example:6443"),
            (".example,", "https://api.example:6443"),
            ("*", "https://api.example"),
            ("10.0.0.0/8", "https://10.1.2.3:6443"),
            ("fd00::/8", "https://[fd00::1]:6443"),
            ("", "https://127.0.0.1:6443"),
            ("", "https://[::1]:6443"),
            ("", "https://localhost:6443"),
            ("", "http://api.example"),
        ] {
            assert!(!proxy(no, server), "{server} past the proxy by {no}");
        }
        for (no, server) in [("ple", "https://api.example"), ("10.0.0.0/8", "https://192.0.2.1"), ("", "https://api")] {
            assert!(proxy(no, server), "{server} through the proxy with {no}");
        }
        assert_eq!(Proxies::default().choose(&"https://api".parse().expect("one")).expect("none is named"), None);
    }

    #[test]
    fn what_is_no_proxy_is_said_without_its_password() {
        for text in ["ftp://me:secret@proxy:21", "http://me:secret@", "http://me:sec ret@proxy"] {
            let error = chosen(text, "", "https://api").expect_err(text);
            assert!(error.contains("HTTPS_PROXY") && error.contains("socks5://"), "{error}");
            assert!(!error.contains("sec"), "{error}");
        }
    }
}
