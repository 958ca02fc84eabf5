//! From what tonic, TLS and etcd say to kinds that say what to do.

use std::error::Error;
use std::io;

use tokio_rustls::rustls;
use tonic::{Code, ConnectError, Status};
use tortie_datastore::kv::{FaultKind, KvError};

/// What a server allows in one request, unless its operator said otherwise (`--max-txn-ops`, `--max-request-bytes`).
const LIMITS: &str = "unless its operator said otherwise, one transaction holds 128 operations and 1.5 MiB";

/// What the messages of one store need to know.
#[derive(Clone, Debug)]
pub(crate) struct Faults {
    /// The place of the store.
    pub(crate) place: String,
    /// The name of etcd's user, if one is named.
    pub(crate) user: Option<String>,
    /// Whether a certificate is shown to the server.
    pub(crate) has_certificate: bool,
}

/// The words of somebody else, as the cause of a fault.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(String);

impl Faults {
    /// A fault with the words that explain it.
    pub(crate) fn fault(&self, action: &'static str, kind: FaultKind, words: impl Into<String>) -> KvError {
        let cause = Some(Box::new(Words(words.into())) as Box<dyn Error + Send + Sync>);
        KvError::Fault { store: self.place.clone(), action, kind, cause }
    }

    /// The store does not answer, for this reason.
    pub(crate) fn unavailable(&self, action: &'static str, words: impl Into<String>) -> KvError {
        self.fault(action, FaultKind::Unavailable, words)
    }

    /// What a refused or failed request means.
    pub(crate) fn of(&self, action: &'static str, endpoint: &str, status: &Status) -> KvError {
        let kind = self.kind(status);
        let words = match kind {
            FaultKind::Unavailable => format!("{endpoint}: {}", words(status)),
            _ => words(status),
        };
        self.fault(action, kind, words)
    }

    /// What the reason means that a server gave for ending a watch.
    pub(crate) fn of_reason(&self, action: &'static str, endpoint: &str, reason: &str) -> KvError {
        let code = if reason.contains("permission denied") { Code::PermissionDenied } else { Code::Unavailable };
        self.of(action, endpoint, &Status::new(code, reason))
    }

    fn kind(&self, status: &Status) -> FaultKind {
        let text = status.message();
        match status.code() {
            Code::PermissionDenied => FaultKind::PermissionDenied { hint: self.role_hint() },
            Code::Unauthenticated => self.unauthenticated(),
            Code::InvalidArgument | Code::FailedPrecondition if is_about_who_asks(text) => self.unauthenticated(),
            Code::ResourceExhausted if text.contains("database space exceeded") => FaultKind::QuotaExceeded,
            Code::ResourceExhausted if text.contains("larger than max") => FaultKind::TooLarge { limits: LIMITS },
            Code::InvalidArgument if text.contains("too large") || text.contains("too many operations") => {
                FaultKind::TooLarge { limits: LIMITS }
            }
            Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound | Code::OutOfRange => FaultKind::Other,
            Code::Unimplemented | Code::DataLoss => FaultKind::Other,
            _ => tls_kind(self, status).unwrap_or(FaultKind::Unavailable),
        }
    }

    fn role_hint(&self) -> String {
        match &self.user {
            Some(user) => format!("a role of etcd's user `{user}` must allow it"),
            None if self.has_certificate => "a role of the user that the certificate names must allow it".to_owned(),
            None => "name a user of etcd whose role allows it".to_owned(),
        }
    }

    /// The server did not accept who asks.
    pub(crate) fn unauthenticated(&self) -> FaultKind {
        let hint = match &self.user {
            Some(user) => format!("check the name and password of etcd's user `{user}`"),
            None => "it wants a user of etcd: name one, with its password".to_owned(),
        };
        FaultKind::Unauthenticated { hint }
    }

    /// The server did not accept, or miss, the certificate of who asks.
    pub(crate) fn certificate_refused(&self) -> FaultKind {
        let hint = if self.has_certificate {
            "it refused the certificate that it was shown: check who signed it, and until when it is valid"
        } else {
            "it wants a certificate: name one, with its key"
        };
        FaultKind::Unauthenticated { hint: hint.to_owned() }
    }

    /// What an error of a new connection means.
    pub(crate) fn connect_kind(&self, error: &(dyn Error + 'static)) -> FaultKind {
        tls_kind(self, error).unwrap_or(FaultKind::Unavailable)
    }
}

fn is_about_who_asks(text: &str) -> bool {
    ["invalid user ID or password", "user name is empty", "user name not found", "auth store is old"]
        .iter()
        .any(|part| text.contains(part))
}

/// Whether a request that failed so was certainly not carried out.
pub(crate) fn is_not_done(status: &Status) -> bool {
    let text = status.message();
    chain(status).any(|error| error.is::<ConnectError>())
        || is_stale_token(status)
        || text.contains("no leader")
        || text.contains("too many requests")
}

/// Whether another token would help: tokens run out, and a member that was started anew knows none of the old ones.
pub(crate) fn is_stale_token(status: &Status) -> bool {
    let text = status.message();
    text.contains("invalid auth token") || text.contains("auth store is old")
}

/// Whether another member, or the same one later, may answer.
pub(crate) fn is_passing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled | Code::Internal | Code::Aborted
    ) || status.message().contains("too many requests")
}

fn tls_kind(faults: &Faults, error: &(dyn Error + 'static)) -> Option<FaultKind> {
    match chain(error).find_map(tls_error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            return Some(FaultKind::Untrusted);
        }
        Some(rustls::Error::AlertReceived(alert)) => {
            return is_about_certificates(&format!("{alert:?}")).then(|| faults.certificate_refused());
        }
        _ => {}
    }
    // Behind HTTP/2 an alert is nothing but its text.
    let text = innermost(error);
    let (_, alert) = text.split_once(ALERT)?;
    is_about_certificates(alert).then(|| faults.certificate_refused())
}

/// What rustls writes before the name of an alert.
const ALERT: &str = "received fatal alert: ";

/// Alerts of a server that does not like the certificate that it was shown, or was shown none (RFC 8446 section 6.2).
fn is_about_certificates(alert: &str) -> bool {
    let is_named = |name: &&str| alert.starts_with(name);
    ["CertificateRequired", "BadCertificate", "CertificateExpired", "CertificateUnknown", "CertificateRevoked"]
        .iter()
        .chain(&["UnknownCA", "UnsupportedCertificate", "AccessDenied", "HandshakeFailure"])
        .any(is_named)
}

/// An error of TLS, which `io::Error` holds without giving it as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let inner = |error: &'a io::Error| error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    let error = error.downcast_ref::<io::Error>().and_then(inner).unwrap_or(error);
    error.downcast_ref::<rustls::Error>()
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What etcd said, or the innermost reason of a failed connection.
pub(crate) fn words(status: &Status) -> String {
    if status.source().is_some() { innermost(status) } else { status.message().to_owned() }
}

/// The innermost reason, which is the one that people know.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}
