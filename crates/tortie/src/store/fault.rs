//! Why a configuration names no store.

use std::fmt;
use std::path::PathBuf;

use crate::exit::{Code, Failure};

/// Why a configuration names no store that could be asked.
#[derive(Debug)]
pub(crate) enum ConfigFault {
    /// The file cannot be read.
    Unread { path: PathBuf, cause: String },
    /// The file is no configuration.
    Invalid { path: PathBuf, mistake: Mistake },
    /// No store is of this type.
    UnknownType { origin: String, word: String },
    /// An etcd, and not where it is.
    NoEndpoints { origin: String },
    /// Anything else, in Tortie's words.
    Other(Failure),
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// It is of another kind or version; the words are those of Calico's tools.
    Head(String),
    /// A field that no configuration has.
    UnknownField {
        /// The field.
        name: String,
        /// Where it stands, and what may have been meant.
        shown: String,
    },
    /// Anything else.
    Other(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mistake::Head(message) => write!(f, "invalid config file: {message}"),
            Mistake::UnknownField { shown, .. } => write!(f, "unknown field {shown}"),
            Mistake::Other(message) => f.write_str(message),
        }
    }
}

impl From<Failure> for ConfigFault {
    fn from(failure: Failure) -> Self {
        ConfigFault::Other(failure)
    }
}

impl From<ConfigFault> for Failure {
    fn from(fault: ConfigFault) -> Self {
        match fault {
            ConfigFault::Unread { path, cause } => {
                Failure::new(Code::Invalid, format!("cannot read config file `{}`: {cause}", path.display()))
            }
            ConfigFault::Invalid { path, mistake } => {
                Failure::new(Code::Invalid, format!("config file `{}`: {mistake}", path.display()))
                    .with_hint("docs/stores.md shows such a file")
            }
            ConfigFault::UnknownType { origin, word } => {
                Failure::new(Code::Invalid, format!("{origin}: datastore type `{word}` is not known"))
                    .with_hint("datastoreType is etcdv3, kubernetes or embedded")
            }
            ConfigFault::NoEndpoints { origin } => {
                Failure::new(Code::Invalid, format!("{origin} names no endpoints of etcd"))
                    .with_hint("set etcdEndpoints (ETCD_ENDPOINTS) or etcdDiscoverySrv (ETCD_DISCOVERY_SRV)")
            }
            ConfigFault::Other(failure) => failure,
        }
    }
}
