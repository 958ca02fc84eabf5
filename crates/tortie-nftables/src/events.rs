//! Changes of rulesets, as the kernel tells them (K-13, E-721).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tortie_netlink::Tap;
use tortie_netlink::socket::Membership;
use tortie_rules::ruleset::TABLE;

use crate::consts::*;
use crate::socket::Netlink;
use crate::wire::{Message, Messages};

/// Listens to the nf_tables group of the network namespace in which it was opened. Its file descriptor is readable when
/// [`Events::drain`] has something.
pub struct Events {
    netlink: Netlink,
    reader: Reader,
}

/// Makes events of messages.
#[derive(Default)]
pub(crate) struct Reader {
    touches_ours: bool,
}

/// One committed change of rulesets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The new generation; 0 when events were lost and only a look at the kernel can tell.
    pub generation: u32,
    /// Whether anything in our table changed.
    pub touches_ours: bool,
    /// The socket that committed it ([`crate::Kernel::port`]); 0 when the kernel does not say.
    pub port: u32,
    /// Process number and name of the author, where the kernel gives them.
    pub author: Option<(u32, String)>,
}

impl Event {
    /// Whether this stands for events that the kernel could not deliver.
    pub fn is_lost(&self) -> bool {
        self.generation == 0
    }
}

impl Events {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel refuses the socket or the group.
    pub fn open() -> io::Result<Events> {
        Ok(Events { netlink: Netlink::listen(NFNLGRP_NFTABLES)?, reader: Reader::default() })
    }

    /// What lets [`crate::Kernel`] be unheard here while it commits much.
    pub fn membership(&self) -> Membership {
        self.netlink.membership(NFNLGRP_NFTABLES)
    }

    /// Puts something between this handle and the kernel. For tests.
    pub fn set_tap(&mut self, tap: Arc<dyn Tap>) {
        self.netlink.set_tap(tap);
    }

    /// Everything that came since the last call; never waits.
    ///
    /// # Errors
    /// When the socket is broken. Lost events are no error: they become one event that touches everything.
    pub fn drain(&mut self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match self.netlink.receive() {
                Ok(bytes) => {
                    events.extend(Messages(&bytes).filter_map(|message| self.reader.message(&message)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(events),
                Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {
                    self.reader = Reader::default();
                    events.push(Event { generation: 0, touches_ours: true, port: 0, author: None });
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Reader {
    /// Messages of a commit come one by one, the new generation last.
    pub(crate) fn message(&mut self, message: &Message<'_>) -> Option<Event> {
        let attributes = message.attributes();
        match message.of(NFNL_SUBSYS_NFTABLES)? {
            NFT_MSG_NEWGEN => {
                let pid = attributes.u32(NFTA_GEN_PROC_PID);
                let name = attributes.text(NFTA_GEN_PROC_NAME);
                Some(Event {
                    generation: attributes.u32(NFTA_GEN_ID).unwrap_or(0),
                    touches_ours: std::mem::take(&mut self.touches_ours),
                    port: message.port,
                    author: pid.zip(name.map(str::to_owned)),
                })
            }
            // The name of the table is attribute 1 of every other message.
            _ => {
                self.touches_ours |=
                    message.family() == NFPROTO_INET && attributes.text(NFTA_TABLE_NAME) == Some(TABLE);
                None
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}
