//! The store of a Kubernetes API server (datastore.md section 3).
//!
//! [`Kubernetes`] is a [`tortie_datastore::Store`]: custom resources of either group, and what Nodes, Pods, Namespaces and
//! ServiceAccounts are in our words. Its calls block; the requests run on a small runtime of its own.
//!
//! Nothing here validates or fills defaults (that is `tortie-api`, and the server), or decides what is enforced.
//! [`Kubernetes::install`] puts definitions onto a server, and nothing else does. There are no transactions: a commit is checked as a whole first, and undone when a part of it fails.
#![forbid(unsafe_code)]

mod beside;
mod body;
mod commit;
mod failure;
mod fold;
mod group;
mod install;
mod lease;
mod limiter;
mod list;
mod mapped;
mod merge;
mod page;
mod proxy;
mod read;
mod refuse;
mod report;
mod request;
mod server;
mod settings;
mod source;
mod store;
mod stream;
mod sync;
mod uid;

pub use group::{Chosen, Group};
pub use install::{Installed, Outcome};
pub use proxy::Proxies;
pub use settings::{Settings, Waits};
pub use store::Kubernetes;
