//! The handle on connection tracking of one network namespace.

use std::cell::RefCell;
use std::io;

use nix::libc;
use tortie_api::flow::Flow;
use tortie_netlink::socket::Netlink;
use tortie_netlink::wire::{Message, Writer};

use crate::codec;
use crate::consts::{IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_NEW, NFNL_SUBSYS_CTNETLINK};

/// `AF_UNSPEC`: flows of both families.
const BOTH_FAMILIES: u8 = 0;

/// Connection tracking of the network namespace in which this was opened.
pub struct Flows {
    netlink: Netlink,
}

/// Connection tracking cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FlowsError {
    /// `CAP_NET_ADMIN` is missing.
    #[error("not allowed to read connection tracking: root or CAP_NET_ADMIN is needed")]
    NotPermitted,
    /// The kernel was built without it, or the module cannot be loaded.
    #[error("this kernel does not show connection tracking (CONFIG_NF_CT_NETLINK is needed)")]
    Missing,
    /// Anything else.
    #[error("cannot read connection tracking")]
    Io(#[source] io::Error),
}

/// What deleting a flow came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Done,
    /// It had ended before, and maybe another of the same tuple began, which was left alone.
    AlreadyGone,
    /// Its packets pass the rules by in a flow table of some program, and the kernel keeps it
    /// ([`tortie_api::flow::status::OFFLOAD`]).
    Offloaded,
}

/// A flow was not deleted.
#[derive(Debug, thiserror::Error)]
#[error("cannot delete a flow from {} to {}", .flow.original.source, .flow.original.destination)]
pub struct DeleteError {
    /// Which.
    pub flow: Box<Flow>,
    /// Why.
    #[source]
    pub source: io::Error,
}

impl Flows {
    /// Opens connection tracking in the present network namespace.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> Result<Flows, FlowsError> {
        Ok(Flows { netlink: Netlink::open().map_err(flows_error)? })
    }

    /// All flows of both families that are confirmed and not dying, in no order.
    ///
    /// The kernel does not stop while it lists: a flow that begins meanwhile may be missing, and one that is moved by a
    /// growing table may be there twice.
    ///
    /// # Errors
    /// [`FlowsError`] when this kernel shows none, or does not answer.
    pub fn list(&mut self) -> Result<Vec<Flow>, FlowsError> {
        let found = RefCell::new(Vec::new());
        let request = |sequence, flags| message(IPCTNL_MSG_CT_GET, flags, sequence, BOTH_FAMILIES, |_| {});
        let add = |message: &Message<'_>| found.borrow_mut().extend(listed(message));
        self.netlink.dump(request, || found.borrow_mut().clear(), add).map_err(flows_error)?;
        Ok(found.into_inner())
    }

    /// Deletes exactly this flow: original tuple, zone and identity must be the same.
    ///
    /// # Errors
    /// [`DeleteError`] when the kernel refuses for another reason than those of [`Deleted`].
    pub fn delete(&mut self, flow: &Flow) -> Result<Deleted, DeleteError> {
        let family = if flow.original.source.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let request = |sequence, flags| {
            message(IPCTNL_MSG_CT_DELETE, flags, sequence, family as u8, |w| codec::write_identity(w, flow))
        };
        match self.netlink.acknowledge(request) {
            Ok(()) => Ok(Deleted::Done),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Deleted::AlreadyGone),
            // `ctnetlink_del_conntrack`.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => Ok(Deleted::Offloaded),
            Err(source) => Err(DeleteError { flow: Box::new(flow.clone()), source }),
        }
    }
}

/// The flow in one message of a listing.
pub(crate) fn listed(message: &Message<'_>) -> Option<Flow> {
    let is_flow = message.of(NFNL_SUBSYS_CTNETLINK) == Some(IPCTNL_MSG_CT_NEW);
    is_flow.then(|| codec::flow(message.attributes())).flatten()
}

fn message(number: u16, flags: u16, sequence: u32, family: u8, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    let open = writer.begin(NFNL_SUBSYS_CTNETLINK, number, flags, sequence, family);
    content(&mut writer);
    writer.end(open);
    writer.into_bytes()
}

fn flows_error(error: io::Error) -> FlowsError {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => FlowsError::NotPermitted,
        // No netlink family, or a family without the subsystem (`nfnetlink_rcv_msg`).
        Some(libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EOPNOTSUPP | libc::EINVAL) => FlowsError::Missing,
        _ => FlowsError::Io(error),
    }
}
