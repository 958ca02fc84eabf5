//! Everything that can wake the agent.

use tokio::sync::oneshot;
use tortie_api::facts::Links;
use tortie_datastore::SyncEvent;
use tortie_datastore::kv::Revision;

use crate::status::Status;

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
    Status(oneshot::Sender<Status>),
    /// Answer once this revision and these links are in the kernel.
    Wait {
        /// The store's present resource revision, read afresh.
        revision: Revision,
        /// The host's present links, read afresh.
        links: Links,
        /// Where the answer goes.
        reply: oneshot::Sender<Status>,
    },
}
