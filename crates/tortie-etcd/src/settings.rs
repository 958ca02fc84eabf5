//! How etcd is reached, as configuration names it (datastore.md section 2.9).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where etcd is, who asks, and how long is waited.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Addresses of members: `https://HOST:PORT`, `http://HOST:PORT`, or `HOST:PORT`, which is https where `tls` names
    /// anything.
    pub endpoints: Vec<String>,
    /// A domain whose SRV records (`_etcd-client-ssl._tcp`, `_etcd-client._tcp`) name members, in place of `endpoints`.
    pub discovery_srv: Option<String>,
    /// Name and password of a user of etcd.
    pub user: Option<(String, String)>,
    /// Certificates.
    pub tls: Tls,
    /// How long one member may take to answer a new connection.
    pub connect_timeout: Duration,
    /// How long one request may take.
    pub request_timeout: Duration,
}

/// Certificates in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who may have signed the server's certificate; without it the system's authorities.
    pub ca: Option<Source>,
    /// The certificate that is shown to the server, and those that lead from it to its authority.
    pub cert: Option<Source>,
    /// The key of that certificate.
    pub key: Option<Source>,
}

/// Where a text in PEM is from.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file, read for each connection, so that a renewed certificate counts without a restart.
    File(PathBuf),
    /// The text itself.
    Inline(String),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            discovery_srv: None,
            user: None,
            tls: Tls::default(),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Those that reach etcd at these addresses, with nothing else said.
    pub fn at<E: Into<String>>(endpoints: impl IntoIterator<Item = E>) -> Self {
        Self { endpoints: endpoints.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// The place for messages.
    pub fn place(&self) -> String {
        match &self.discovery_srv {
            Some(domain) => format!("etcd of {domain}"),
            None => format!("etcd at {}", self.endpoints.join(", ")),
        }
    }
}

impl Tls {
    /// Whether anything is named.
    pub(crate) fn is_set(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some()
    }
}

/// Without the password.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("endpoints", &self.endpoints)
            .field("discovery_srv", &self.discovery_srv)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("tls", &self.tls)
            .field("connect_timeout", &self.connect_timeout)
            .field("request_timeout", &self.request_timeout)
            .finish()
    }
}

/// Without the text, which may be a key.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::File(path) => f.debug_tuple("File").field(path).finish(),
            Source::Inline(_) => f.write_str("Inline"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        let tls = Tls { key: Some(Source::Inline("KEYTEXT".to_owned())), ..Tls::default() };
        let user = Some(("root".to_owned(), "hunter2".to_owned()));
        let text = format!("{:?}", Settings { user, tls, ..Settings::at(["http://127.0.0.1:2379"]) });
        assert!(text.contains("root") && text.contains("127.0.0.1"), "{text}");
        assert!(!text.contains("hunter2") && !text.contains("KEYTEXT"), "{text}");
    }
}
