//! Where an address lies: the kernel's own answer (`RTM_GETROUTE`, `linux/rtnetlink.h`).

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::libc;
use tortie_api::facts::{Links, Toward};

/// Routes of the network namespace in which this was opened.
pub struct Routes {
    socket: Socket,
    sequence: u32,
}

impl Routes {
    /// Opens the routes of the present network namespace.
    ///
    /// # Errors
    /// When the kernel refuses the socket.
    pub fn open() -> io::Result<Routes> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Routes { socket, sequence: 0 })
    }

    /// Where packets to `destination` go. `source` must be an address of this host; it matters where routing rules ask for
    /// it.
    ///
    /// `None` when there is no route, or its interfaces are not among `links`. All paths of a route with several are
    /// named, not only the one that a single packet would take.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub fn toward(&mut self, destination: IpAddr, source: Option<IpAddr>, links: &Links) -> io::Result<Option<Toward>> {
        let mut request = RouteMessage::default();
        let (family, len) = match destination {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        request.header.address_family = family;
        request.header.destination_prefix_length = len;
        // The route itself, with all its paths, and not what one packet is given.
        request.header.flags = RouteFlags::FibMatch;
        request.attributes.push(RouteAttribute::Destination(destination.into()));
        if let Some(source) = source {
            request.header.source_prefix_length = len;
            request.attributes.push(RouteAttribute::Source(source.into()));
        }
        match self.ask(request) {
            Ok(answer) => Ok(read(&answer, links)),
            // No route, or one that says "unreachable", "prohibit", "blackhole" (`fib_props`), or a source that is not ours.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL | libc::EAGAIN)
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn ask(&mut self, request: RouteMessage) -> io::Result<RouteMessage> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(RouteNetlinkMessage::GetRoute(request)));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            if let Some(route) = answer(&bytes, self.sequence)? {
                return Ok(route);
            }
        }
    }
}

/// The route in a datagram; `None` when it answers something else.
pub(crate) fn answer(bytes: &[u8], sequence: u32) -> io::Result<Option<RouteMessage>> {
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes).map_err(io::Error::other)?;
    if answer.header.sequence_number != sequence {
        return Ok(None);
    }
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => Ok(Some(route)),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel answered something else")),
    }
}

pub(crate) fn read(route: &RouteMessage, links: &Links) -> Option<Toward> {
    match route.header.kind {
        RouteType::Local | RouteType::Anycast => return Some(Toward::Local),
        RouteType::Broadcast => return Some(Toward::Broadcast),
        RouteType::Unicast => {}
        _ => return None,
    }
    let mut indices = BTreeSet::new();
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => {
                indices.insert(*index);
            }
            RouteAttribute::MultiPath(paths) => indices.extend(paths.iter().map(|path| path.interface_index)),
            _ => {}
        }
    }
    let name = |index: &u32| links.values().find(|link| link.index == *index).map(|link| link.name.clone());
    let names: Option<BTreeSet<String>> = indices.iter().map(name).collect();
    names.filter(|names| !names.is_empty()).map(Toward::Interfaces)
}
