//! Links: programs on interfaces.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use tortie_netmon::XdpMode;

use super::attributes::{LinkCreate, LinkUpdate, RawLinkInfo};
use super::{ATTACH_XDP, Command, Program, call, call_for_descriptor, info, number, pin, pinned};

/// `BPF_LINK_TYPE_XDP`.
const LINK_XDP: u32 = 6;

/// A program on an interface. The kernel takes it off when the last descriptor and the last pin are gone.
#[derive(Debug)]
pub(crate) struct Link(OwnedFd);

/// What the kernel says of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub(crate) program: u32,
    /// 0 when it was taken off, or the interface is gone.
    pub(crate) interface: u32,
}

impl Link {
    /// Attaches `program` to an interface of the present network namespace. The kernel refuses it where another is.
    pub(crate) fn create(program: &Program, interface: u32, mode: XdpMode) -> io::Result<Link> {
        let mut attributes =
            LinkCreate { program: number(&program.0), interface, attach_type: ATTACH_XDP, flags: flag(mode) };
        // SAFETY: no addresses; a link's file descriptor comes back.
        unsafe { call_for_descriptor(Command::LinkCreate, &mut attributes).map(Link) }
    }

    /// The link that is pinned at `path`.
    pub(crate) fn pinned(path: &Path) -> io::Result<Link> {
        pinned(path).map(Link)
    }

    pub(crate) fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.0, path)
    }

    /// Turns it to another program: each packet meets the old or the new one.
    pub(crate) fn turn(&self, program: &Program) -> io::Result<()> {
        let mut attributes = LinkUpdate { link: number(&self.0), program: number(&program.0), ..LinkUpdate::default() };
        // SAFETY: no addresses.
        unsafe { call(Command::LinkUpdate, &mut attributes).map(|_| ()) }
    }

    /// Takes the program off the interface, whoever else holds the link.
    pub(crate) fn detach(&self) -> io::Result<()> {
        let mut attributes = number(&self.0);
        // SAFETY: the structure is one number, the link's; no addresses.
        unsafe { call(Command::LinkDetach, &mut attributes).map(|_| ()) }
    }

    /// `None` when it is no link of XDP.
    pub(crate) fn info(&self) -> io::Result<Option<LinkInfo>> {
        let mut raw = RawLinkInfo::default();
        info(&self.0, &mut raw)?;
        Ok((raw.kind == LINK_XDP).then_some(LinkInfo { program: raw.program, interface: raw.interface }))
    }
}

/// `XDP_FLAGS_*` of `linux/if_link.h`.
const fn flag(mode: XdpMode) -> u32 {
    match mode {
        XdpMode::Generic => 1 << 1,
        XdpMode::Driver => 1 << 2,
        XdpMode::Hardware => 1 << 3,
    }
}
