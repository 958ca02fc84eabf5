//! One packet as policy sees it: what the reference evaluator and the interpreter of rulesets are asked about.

use std::net::IpAddr;

use crate::model::{Family, Protocol};

/// A packet and its way through the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Where it comes from and goes to.
    pub route: Route,
    /// Source address; of the same family as the destination.
    pub source: IpAddr,
    /// Destination address as sent, before any translation.
    pub destination: IpAddr,
    /// Upper-layer protocol, after IPv6 extension headers (E-310).
    pub protocol: Protocol,
    /// Source port of TCP, UDP, UDP-Lite and SCTP.
    pub source_port: u16,
    /// Destination port of TCP, UDP, UDP-Lite and SCTP, before any translation.
    pub destination_port: u16,
    /// ICMP or ICMPv6 type.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code.
    pub icmp_code: u8,
    /// IPv4 time to live, or IPv6 hop limit (E-461).
    pub hop_limit: u8,
    /// What connection tracking says of it.
    pub state: ConnState,
    /// Destination NAT that the host applies between the pre-DNAT and the later stages.
    pub dnat: Option<Dnat>,
    /// Of an arriving packet: where the host would send an answer (E-466).
    pub way_back: WayBack,
}

/// By which way the host's routes lead back to the source of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WayBack {
    /// By the interface on which it arrived.
    #[default]
    SameInterface,
    /// By another interface.
    OtherInterface,
    /// There is no route.
    Nowhere,
}

/// The way of a packet through the host. Names are those of interfaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Arrives on an interface for a local process.
    Delivered {
        /// The interface it arrives on.
        in_interface: String,
    },
    /// Sent by a local process.
    Generated {
        /// The interface chosen by routing, after translation where there is one.
        out_interface: String,
    },
    /// Routed from one interface to another.
    Forwarded {
        /// The interface it arrives on.
        in_interface: String,
        /// The interface it leaves by.
        out_interface: String,
    },
}

/// Connection-tracking state of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConnState {
    /// The first packet of a flow.
    New,
    /// A packet of a known flow.
    Established,
    /// A flow or an error that belongs to a known flow.
    Related,
    /// A packet connection tracking makes no sense of.
    Invalid,
    /// Exempt from tracking, such as neighbour discovery.
    Untracked,
}

/// A translated destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dnat {
    /// The new address, of the packet's family.
    pub destination: IpAddr,
    /// The new destination port.
    pub destination_port: u16,
    /// Of a packet of a local process: the interface that was chosen for the first destination, where it is another one
    /// (E-410). It then leaves by the interface of its route all the same.
    pub out_interface_before: Option<String>,
}

impl Packet {
    /// The family of its addresses.
    pub fn family(&self) -> Family {
        Family::of(self.source)
    }

    /// The packet as the stages after destination NAT see it.
    pub fn after_dnat(&self) -> Packet {
        let mut translated = self.clone();
        if let Some(dnat) = &self.dnat {
            translated.destination = dnat.destination;
            translated.destination_port = dnat.destination_port;
        }
        translated
    }
}
