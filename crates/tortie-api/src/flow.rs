//! One entry of connection tracking, as the kernel keeps it.

use std::net::IpAddr;

use crate::model::Protocol;

/// A flow: what the kernel remembers of packets that belong together, in both directions.
///
/// Sources: `linux/netfilter/nfnetlink_conntrack.h` and `nf_conntrack_common.h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The first packet as it was sent, before any translation (`CTA_TUPLE_ORIG`).
    pub original: Tuple,
    /// The packet that answers it, as the answering side sends it (`CTA_TUPLE_REPLY`): its source is the destination after
    /// destination NAT, its destination the source after source NAT.
    pub reply: Tuple,
    /// The flow this one belongs to, such as the control connection of a data connection (`CTA_TUPLE_MASTER`).
    pub master: Option<Tuple>,
    /// The zone in which the original tuple is unique (`CTA_ZONE`); 0 is the default one.
    pub zone: Zone,
    /// Bits of [`status`] (`CTA_STATUS`).
    pub status: u32,
    /// The state of a TCP connection (`enum tcp_conntrack` of `nf_conntrack_tcp.h`; 3 is established).
    pub tcp_state: Option<u8>,
    /// The mark of the flow (`CTA_MARK`).
    pub mark: u32,
    /// Seconds until the kernel forgets a flow that is quiet (`CTA_TIMEOUT`).
    pub timeout_s: u32,
    /// Tells this flow from a later one of the same tuple (`CTA_ID`).
    pub id: u32,
}

/// A zone, and for which direction it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Zone {
    /// The number.
    pub id: u16,
    /// Whether the answers are tracked in another zone (`CTA_TUPLE_ZONE` of the original tuple alone).
    pub is_original_only: bool,
}

/// Who talks to whom, in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address; of the same family.
    pub destination: IpAddr,
    /// Upper-layer protocol.
    pub protocol: Protocol,
    /// Source port; 0 where the protocol has none.
    pub source_port: u16,
    /// Destination port; 0 where the protocol has none.
    pub destination_port: u16,
    /// ICMP or ICMPv6 type; 0 for others.
    pub icmp_type: u8,
    /// ICMP or ICMPv6 code; 0 for others.
    pub icmp_code: u8,
    /// ICMP or ICMPv6 identifier; 0 for others.
    pub icmp_id: u16,
}

impl Tuple {
    /// The tuple of a packet that goes the other way; an ICMP type stays as it is.
    pub fn reversed(self) -> Tuple {
        Tuple {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..self
        }
    }
}

/// Bits of [`Flow::status`] (`enum ip_conntrack_status`).
pub mod status {
    /// A helper expected it: it belongs to another flow.
    pub const EXPECTED: u32 = 1;
    /// Packets were seen both ways.
    pub const SEEN_REPLY: u32 = 1 << 1;
    /// Not given up early when the table is full.
    pub const ASSURED: u32 = 1 << 2;
    /// Its first packet left the host, or reached its process.
    pub const CONFIRMED: u32 = 1 << 3;
    /// The source is translated.
    pub const SRC_NAT: u32 = 1 << 4;
    /// The destination is translated.
    pub const DST_NAT: u32 = 1 << 5;
    /// Its packets pass the rules by, in a flow table: the kernel refuses to delete it.
    pub const OFFLOAD: u32 = 1 << 14;
}
