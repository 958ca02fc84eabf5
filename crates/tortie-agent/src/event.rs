//! Everything that can wake the agent.

use tokio::sync::oneshot;
use tortie_api::facts::Links;
use tortie_datastore::SyncEvent;
use tortie_datastore::kv::Revision;

use crate::metrics::Numbers;
use crate::status::{Counters, Sets, Status};

/// One event of the closed list.
pub(crate) enum Event {
    /// The store changed, completed its snapshot, was locked or lost.
    Store(SyncEvent),
    /// Links or addresses changed.
    Links(tortie_netmon::Event),
    /// Somebody changed a ruleset.
    Kernel(tortie_nftables::Event),
    /// The ruleset events cannot be read any more.
    KernelDeaf(String),
    /// The state was written, or could not be.
    Saved(Option<String>),
    /// A request of the local API.
    Request(Request),
    /// The process is asked to end.
    Shutdown,
}

/// What the local API asks for.
pub(crate) enum Request {
    /// The present state.
    Status {
        /// Whether the kernel's counters are read for it.
        with_counters: bool,
        /// Whether what is in force is saved before the answer.
        saves: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Status>,
    },
    /// What our rules counted; a sentence when the kernel does not say.
    Counters(oneshot::Sender<Result<Counters, String>>),
    /// The sets that rules use, with the objects behind each member.
    Sets(oneshot::Sender<Sets>),
    /// What the metrics are made of.
    Measure(oneshot::Sender<Numbers>),
    /// Answer once this revision and these links are in the kernel.
    Wait {
        /// The store's present resource revision, read afresh.
        revision: Revision,
        /// The host's present links, read afresh.
        links: Links,
        /// As in `Status`.
        with_counters: bool,
        /// Where the answer goes.
        reply: oneshot::Sender<Status>,
    },
}
