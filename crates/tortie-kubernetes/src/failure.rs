//! What a server refuses, and what of it callers are told (datastore.md sections 1.1 and 3.5).

use std::error::Error;
use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio_rustls::rustls;
use tortie_datastore::KvError;
use tortie_datastore::kv::{FaultKind, OwnedField};

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server answered.
    #[error("{0}")]
    Answered(Answer),
    /// It did not.
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// It cannot be reached, or the connection broke.
    #[error("the connection failed")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer is none of an API server.
    #[error("the answer cannot be read")]
    Garbled(#[source] serde_json::Error),
    /// The server says that it has not begun its work.
    #[error("the server is starting")]
    Starting,
    /// What was waited for did not come about.
    #[error("{what}, {} seconds after it was installed", .within.as_secs())]
    Never {
        /// What, as a sentence without its end.
        what: String,
        /// How long was waited.
        within: Duration,
    },
    /// The settings do not lead to a server.
    #[error("the settings cannot be used")]
    Settings(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The `Status` of an API server, and what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (HTTP {code}, {reason})")]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    /// Fields that belong to other managers than the one who applied them.
    pub(crate) owned: Vec<OwnedField>,
}

impl Answer {
    /// Reads the body of an answer that is no success.
    pub(crate) fn read(code: u16, retry_after: Option<Duration>, body: &[u8]) -> Answer {
        let status: Value = serde_json::from_slice(body).unwrap_or_default();
        let member = |name: &str| status[name].as_str().filter(|text| !text.is_empty());
        let plain = || String::from_utf8_lossy(body).trim().chars().take(500).collect::<String>();
        let said = status["details"]["retryAfterSeconds"].as_u64().map(Duration::from_secs);
        Answer {
            code: status["code"].as_u64().and_then(|code| code.try_into().ok()).unwrap_or(code),
            reason: member("reason").unwrap_or("unknown reason").to_owned(),
            message: member("message").map_or_else(plain, str::to_owned),
            retry_after: retry_after.or(said),
            owned: status["details"]["causes"].as_array().into_iter().flatten().filter_map(owned).collect(),
        }
    }
}

/// The field of a conflict between managers. The server names the manager in quotes, then how and when it wrote.
fn owned(cause: &Value) -> Option<OwnedField> {
    let member = |name: &str| cause[name].as_str().unwrap_or_default();
    let quoted = member("message").split('"').nth(1);
    let is_owned = member("reason") == "FieldManagerConflict";
    is_owned.then(|| OwnedField {
        path: member("field").trim_start_matches('.').to_owned(),
        manager: quoted.unwrap_or("somebody").to_owned(),
    })
}

/// What a request was for.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// The verb of the rights that it needs.
    pub(crate) verb: &'static str,
    /// Plural and group.
    pub(crate) resource: String,
}

impl Failure {
    fn answer(&self) -> Option<&Answer> {
        match self {
            Failure::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    pub(crate) fn is_code(&self, code: u16) -> bool {
        self.answer().is_some_and(|answer| answer.code == code)
    }

    /// The history asked for is gone, or a continue token is too old, or the revision is none of this server's.
    pub(crate) fn is_expired(&self) -> bool {
        self.answer().is_some_and(|answer| {
            answer.code == 410
                || answer.reason == "Expired"
                || answer.reason == "Gone"
                || answer.message.to_ascii_lowercase().contains("too large resource version")
        })
    }

    /// The wait after which the same request is to be repeated.
    pub(crate) fn repeat_after(&self) -> Option<Duration> {
        let answer = self.answer().filter(|answer| answer.code == 429)?;
        Some(answer.retry_after.unwrap_or(Duration::from_secs(1)))
    }

    /// The error for a caller of the store at `place`.
    pub(crate) fn told(self, place: &str, action: &'static str, purpose: &Purpose) -> KvError {
        let kind = self.kind(purpose);
        // The words of a refusal are in it already.
        let is_told = matches!(kind, FaultKind::Refused { .. });
        let cause = (!is_told).then(|| Box::new(self) as Box<dyn Error + Send + Sync>);
        KvError::Fault { store: place.to_owned(), action, kind, cause }
    }

    fn kind(&self, purpose: &Purpose) -> FaultKind {
        let Purpose { verb, resource } = purpose;
        let answer = match self {
            Failure::Answered(answer) => answer,
            Failure::Connection(error) if is_untrusted(&**error) => return FaultKind::Untrusted,
            Failure::TimedOut(_) | Failure::Connection(_) | Failure::Starting | Failure::Never { .. } => {
                return FaultKind::Unavailable;
            }
            Failure::Settings(error) => return FaultKind::BadSettings { hint: error.to_string() },
            Failure::Garbled(_) => {
                let hint = "this is no Kubernetes API server; check its address".to_owned();
                return FaultKind::BadSettings { hint };
            }
        };
        match answer.code {
            401 => FaultKind::Unauthenticated { hint: "renew the token or the certificate".to_owned() },
            403 if is_missing_right(answer) => FaultKind::PermissionDenied {
                hint: format!("this user may not `{verb}` `{resource}`; grant it in a ClusterRole"),
            },
            // The server or its admission has read the object and does not like it.
            400 | 403 | 405 | 406 | 413 | 415 | 422 => FaultKind::Refused { message: answer.message.clone() },
            404 if is_missing_definition(answer) => FaultKind::NoDefinition { resource: resource.clone() },
            404 | 409 => FaultKind::Refused { message: answer.message.clone() },
            429 | 500.. => FaultKind::Unavailable,
            _ => FaultKind::Other,
        }
    }
}

/// Whether the server showed a certificate that is not trusted. `io::Error` does not give what it holds as its source.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    let inner = match error.downcast_ref::<io::Error>() {
        Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    };
    matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) || inner.is_some_and(is_untrusted)
}

/// A missing right names user and verb; admission refuses in words of its own.
fn is_missing_right(answer: &Answer) -> bool {
    answer.message.contains("User \"") && answer.message.contains(" cannot ")
}

/// Nothing answers at the path: not an object is missing, but all of its kind.
pub(crate) fn is_missing_definition(answer: &Answer) -> bool {
    answer.code == 404 && !answer.message.contains('"')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind_of(code: u16, reason: &str, message: &str) -> FaultKind {
        let status = json!({"code": code, "reason": reason, "message": message}).to_string();
        let answer = Answer::read(code, None, status.as_bytes());
        let purpose = Purpose { verb: "list", resource: "tiers.projectcalico.org".to_owned() };
        Failure::Answered(answer).kind(&purpose)
    }

    #[test]
    fn each_answer_says_what_to_do() {
        let refused = kind_of(422, "Invalid", "spec.order: Invalid value");
        assert_eq!(refused, FaultKind::Refused { message: "spec.order: Invalid value".to_owned() });
        let forbidden = kind_of(403, "Forbidden", r#"tiers is forbidden: User "agent" cannot list resource "tiers""#);
        assert!(forbidden.to_string().contains("may not `list` `tiers.projectcalico.org`"), "{forbidden}");
        let admission = kind_of(403, "Forbidden", "admission webhook \"x\" denied the request: no");
        assert!(matches!(admission, FaultKind::Refused { .. }), "{admission}");
        let quota = kind_of(403, "Forbidden", r#"networksets "b" is forbidden: exceeded quota: one"#);
        assert!(matches!(quota, FaultKind::Refused { .. }), "{quota}");
        assert!(kind_of(401, "Unauthorized", "Unauthorized").to_string().contains("token"));
        let missing = kind_of(404, "NotFound", "the server could not find the requested resource");
        assert!(missing.to_string().contains("tortie datastore init --crds"), "{missing}");
        let namespace = kind_of(404, "NotFound", r#"namespaces "x" not found"#);
        assert!(matches!(namespace, FaultKind::Refused { .. }), "{namespace}");
        for code in [429, 500, 503, 504] {
            assert_eq!(kind_of(code, "x", "y"), FaultKind::Unavailable, "{code}");
        }
    }

    #[test]
    fn what_is_to_be_repeated_and_what_listed_anew() {
        let failure = |code: u16, body: serde_json::Value| {
            Failure::Answered(Answer::read(code, None, body.to_string().as_bytes()))
        };
        let busy = failure(429, json!({"reason": "TooManyRequests", "details": {"retryAfterSeconds": 3}}));
        assert_eq!(busy.repeat_after(), Some(Duration::from_secs(3)));
        assert!(!busy.is_expired());
        let event = failure(200, json!({"code": 410, "reason": "Expired", "message": "too old resource version"}));
        assert!(event.is_expired() && event.repeat_after().is_none());
        let future = failure(504, json!({"reason": "Timeout", "message": "Too large resource version: 9, current: 3"}));
        assert!(future.is_expired());
        assert!(failure(403, json!({})).is_code(403));
    }

    #[test]
    fn an_answer_without_a_status_is_shown_as_it_is() {
        let answer = Answer::read(404, None, b"404 page not found\n");
        assert_eq!((answer.code, answer.message.as_str()), (404, "404 page not found"));
        assert!(is_missing_definition(&answer));
    }
}
