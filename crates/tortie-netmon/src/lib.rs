//! Links, addresses and routes of the host, by rtnetlink.
//!
//! [`Monitor`] listens before it lists, so that no change is lost between the two, and always delivers the whole table:
//! links are few, and a whole table cannot be half applied. It changes nothing in the kernel.
//! [`Routes`] asks where one address lies, [`devices()`] what stands between a link's frames and the host's stack.
#![forbid(unsafe_code)]

mod devices;
#[doc(hidden)]
pub mod fuzzing;
mod routes;

pub use devices::{Device, Mac, XdpMode, devices};
pub use routes::Routes;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tortie_api::facts::{Link, Links};

/// Multicast groups of `linux/rtnetlink.h`: `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
const GROUPS: [u32; 3] = [1, 5, 9];
/// Times a torn listing is started again.
const LIST_TRIES: usize = 20;
/// Milliseconds until a failed listing is tried again without a change.
const RETRY_MS: u16 = 50;

/// What the monitor tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// All links as they are now. Links whose name two indices share for a moment are left out (E-114).
    Links(Links),
    /// Listing failed; it is tried again soon.
    Failed(String),
}

/// A running monitor of the network namespace in which it was started. Dropping it stops its thread.
pub struct Monitor {
    stop: Arc<AtomicBool>,
    again: Arc<AtomicBool>,
    wake: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts to listen, then lists, then delivers: one full table at first, and one after each change.
    ///
    /// # Errors
    /// When the kernel refuses the sockets.
    pub fn start(mut deliver: impl FnMut(Event) + Send + 'static) -> io::Result<Monitor> {
        let mut events = Socket::new(NETLINK_ROUTE)?;
        events.bind_auto()?;
        for group in GROUPS {
            events.add_membership(group)?;
        }
        events.set_non_blocking(true)?;
        let mut lister = Lister::open()?;
        let (stop, again) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK)?);
        let (thread_stop, thread_again, thread_wake) = (stop.clone(), again.clone(), wake.clone());
        let run = move || {
            let mut last = None;
            while !thread_stop.load(Ordering::Relaxed) {
                let mut patience = PollTimeout::NONE;
                if thread_again.swap(false, Ordering::Relaxed) {
                    last = None;
                }
                match lister.list() {
                    Ok(links) if last.as_ref() == Some(&links) => {}
                    Ok(links) => {
                        last = Some(links.clone());
                        deliver(Event::Links(links));
                    }
                    // Torn again and again: the flood of changes is not over yet.
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => patience = RETRY_MS.into(),
                    Err(error) => {
                        patience = RETRY_MS.into();
                        deliver(Event::Failed(error.to_string()));
                    }
                }
                if let Err(error) = wait(&events, &thread_wake, patience) {
                    deliver(Event::Failed(error.to_string()));
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("netmon".to_owned()).spawn(run)?;
        Ok(Monitor { stop, again, wake, thread: Some(thread) })
    }

    /// Lists everything again soon and delivers it, changed or not: for who does not trust events alone (E-620).
    pub fn list_again(&self) {
        self.again.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        // A full counter wakes the thread as well.
        let _ = self.wake.write(1);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // Had it panicked, its thread has said so.
            let _ = thread.join();
        }
    }
}

/// Lists the links of the present network namespace once.
///
/// # Errors
/// When the kernel does not answer.
pub fn list_now() -> io::Result<Links> {
    Lister::open()?.list()
}

/// Waits for a change and takes all that is there: what changed does not matter, the table is listed afresh. Lost events
/// (`ENOBUFS`, E-724) are a change like any other.
fn wait(events: &Socket, wake: &EventFd, patience: PollTimeout) -> io::Result<()> {
    let mut fds = [PollFd::new(events.as_fd(), PollFlags::POLLIN), PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, patience) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    // Nothing to read is the usual case: an event woke us.
    let _ = wake.read();
    loop {
        match events.recv_from_full() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.raw_os_error() == Some(nix::libc::ENOBUFS) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

struct Lister {
    socket: Socket,
    sequence: u32,
}

impl Lister {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    fn list(&mut self) -> io::Result<Links> {
        let links = self.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
        let addresses = self.dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
        Ok(table(&links, &addresses))
    }

    fn dump(&mut self, request: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..LIST_TRIES {
            self.sequence = self.sequence.wrapping_add(1);
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | NLM_F_DUMP;
            header.sequence_number = self.sequence;
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request.clone()));
            message.finalize();
            let mut bytes = vec![0; message.buffer_len()];
            message.serialize(&mut bytes);
            self.socket.send(&bytes, 0)?;
            if let Some(messages) = self.collect()? {
                return Ok(messages);
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "links change faster than they can be listed"))
    }

    /// One listing; `None` when it is torn.
    fn collect(&mut self) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
        let mut messages = Vec::new();
        let mut is_whole = true;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            if let Some(is_whole) = datagram(&bytes, self.sequence, &mut messages, &mut is_whole)? {
                return Ok(is_whole.then_some(messages));
            }
        }
    }
}

/// Takes the messages of one datagram of a listing; says at its end whether it is whole.
fn datagram(
    bytes: &[u8],
    sequence: u32,
    messages: &mut Vec<RouteNetlinkMessage>,
    is_whole: &mut bool,
) -> io::Result<Option<bool>> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
        let len = (message.header.length as usize).next_multiple_of(4);
        rest = rest.get(len..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            continue;
        }
        *is_whole &= message.header.flags & NLM_F_DUMP_INTR == 0;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(Some(*is_whole)),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(inner) => messages.push(inner),
            _ => {}
        }
    }
    Ok(None)
}

fn table(links: &[RouteNetlinkMessage], addresses: &[RouteNetlinkMessage]) -> Links {
    let mut by_index: BTreeMap<u32, Link> = BTreeMap::new();
    for message in links {
        let RouteNetlinkMessage::NewLink(link) = message else { continue };
        let mut name = String::new();
        let mut controller = None;
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(found) => name.clone_from(found),
                LinkAttribute::Controller(index) if *index != 0 => controller = Some(*index),
                _ => {}
            }
        }
        let index = link.header.index;
        let is_running = link.header.flags.contains(LinkFlags::Running);
        by_index.insert(index, Link { index, name, is_running, controller, addresses: Default::default() });
    }
    for message in addresses {
        let RouteNetlinkMessage::NewAddress(address) = message else { continue };
        let Some(link) = by_index.get_mut(&address.header.index) else { continue };
        // On a point-to-point link `Address` is the peer's; `Local` is ours. IPv6 links without a peer have no `Local`.
        let local = address.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let own = local.or_else(|| {
            address.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            })
        });
        link.addresses.extend(own);
    }
    let mut links = Links::new();
    let mut shared = Vec::new();
    for link in by_index.into_values() {
        if let Some(other) = links.insert(link.name.clone(), link) {
            shared.push(other.name);
        }
    }
    for name in shared {
        links.remove(&name);
    }
    links
}
