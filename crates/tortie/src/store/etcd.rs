//! From what configuration says to how etcd is reached (datastore.md section 2.9).

use std::path::PathBuf;
use std::time::Duration;

use tortie_etcd::{Settings, Source, Tls};

use super::values::Values;
use crate::exit::{Code, Failure};

/// How long one member may take to answer a new connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The settings in these values; `timeout` is what the user allows for a request.
pub(super) fn settings(values: &Values, timeout: Option<Duration>) -> Result<Settings, Failure> {
    let endpoints = values.get("etcdEndpoints").unwrap_or_default().split(',').map(str::trim);
    let endpoints: Vec<String> = endpoints.filter(|endpoint| !endpoint.is_empty()).map(str::to_owned).collect();
    let discovery_srv = values.get("etcdDiscoverySrv").map(str::to_owned);
    if discovery_srv.is_some() && !endpoints.is_empty() {
        return Err(invalid(values, "etcdEndpoints and etcdDiscoverySrv are both set")
            .with_hint("etcdEndpoints names members, etcdDiscoverySrv a domain that names them: keep one of them"));
    }
    let inline = ["etcdCACert", "etcdCert", "etcdKey"].map(|field| values.get(field));
    let files = ["etcdCACertFile", "etcdCertFile", "etcdKeyFile"].map(|field| values.get(field));
    if inline.iter().any(Option::is_some) && files.iter().any(Option::is_some) {
        return Err(invalid(values, "certificates of etcd are given as text and as files")
            .with_hint("keep etcdCACert, etcdCert and etcdKey, or the three that end in File"));
    }
    let source = |number: usize| {
        let text = inline[number].map(|text| Source::Inline(text.to_owned()));
        text.or_else(|| files[number].map(|file| Source::File(PathBuf::from(file))))
    };
    let is_plain = |endpoint: &String| endpoint.starts_with("http://");
    if let (Some(plain), true) =
        (endpoints.iter().find(|endpoint| is_plain(endpoint)), files.iter().chain(&inline).any(Option::is_some))
    {
        tracing::warn!("{}: certificates are set, and `{plain}` is not encrypted: write `https://`", values.origin);
    }
    let timeout = timeout.unwrap_or(REQUEST_TIMEOUT);
    Ok(Settings {
        endpoints,
        discovery_srv,
        // One without the other names nobody, as Calico's tools take it.
        user: values
            .get("etcdUsername")
            .zip(values.get("etcdPassword"))
            .map(|(name, password)| (name.to_owned(), password.to_owned())),
        tls: Tls { ca: source(0), cert: source(1), key: source(2) },
        connect_timeout: CONNECT_TIMEOUT.min(timeout),
        request_timeout: timeout,
    })
}

fn invalid(values: &Values, message: &str) -> Failure {
    Failure::new(Code::Invalid, format!("{}: {message}", values.origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(fields: &[(&'static str, &str)]) -> Values {
        let mut values = Values::of_environment(|_| None);
        fields.iter().for_each(|(field, value)| values.set(field, *value));
        values
    }

    #[test]
    fn all_that_etcd_needs_is_taken() {
        let settings = settings(
            &values(&[
                ("etcdEndpoints", "https://a:1, https://b:2,"),
                ("etcdUsername", "u"),
                ("etcdPassword", "p"),
                ("etcdCACertFile", "/ca"),
                ("etcdCertFile", "/c"),
                ("etcdKeyFile", "/k"),
            ]),
            Some(Duration::from_secs(3)),
        )
        .unwrap();
        assert_eq!(settings.endpoints, ["https://a:1", "https://b:2"]);
        assert_eq!(settings.user, Some(("u".to_owned(), "p".to_owned())));
        assert_eq!(settings.tls.key, Some(Source::File(PathBuf::from("/k"))));
        assert_eq!(
            (settings.connect_timeout, settings.request_timeout),
            (Duration::from_secs(3), Duration::from_secs(3))
        );
    }

    #[test]
    fn half_a_user_is_none_and_contradictions_are_refused() {
        let alone = settings(&values(&[("etcdEndpoints", "a:1"), ("etcdUsername", "u")]), None).unwrap();
        assert_eq!((alone.user, alone.request_timeout), (None, REQUEST_TIMEOUT));
        for (fields, words) in [
            ([("etcdEndpoints", "a:1"), ("etcdDiscoverySrv", "example.org")], "are both set"),
            ([("etcdKey", "PEM"), ("etcdCertFile", "/c")], "as text and as files"),
        ] {
            let failure = settings(&values(&fields), None).unwrap_err();
            assert_eq!(failure.code, Code::Invalid);
            assert!(failure.messages[0].contains(words), "{:?}", failure.messages);
        }
    }
}
