//! Protocols and ports.

use std::fmt;

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers"), 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Protocol = Protocol(1);
    /// TCP.
    pub const TCP: Protocol = Protocol(6);
    /// UDP.
    pub const UDP: Protocol = Protocol(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Protocol = Protocol(58);
    /// SCTP.
    pub const SCTP: Protocol = Protocol(132);
    /// UDP-Lite; it has ports, but the API gives it none (resources.md section 1.4).
    pub const UDPLITE: Protocol = Protocol(136);

    /// The names of resources.md section 1.4.
    pub const NAMES: [(&'static str, Protocol); 6] = [
        ("TCP", Self::TCP),
        ("UDP", Self::UDP),
        ("ICMP", Self::ICMP),
        ("ICMPv6", Self::ICMPV6),
        ("SCTP", Self::SCTP),
        ("UDPLite", Self::UDPLITE),
    ];

    /// Whether rules may give ports for it: TCP, UDP and SCTP, and nothing else.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

/// The name where there is one, else the number.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, p)| p == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// An inclusive range of ports, written `443` or `8000:8099` in resources.
///
/// Never empty: `first <= last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// A range whose end lies before its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port range `{first}:{last}` ends before it starts")]
pub struct BackwardsRange {
    /// The start as given.
    pub first: u16,
    /// The end as given.
    pub last: u16,
}

impl PortRange {
    /// # Errors
    /// [`BackwardsRange`] when `first` is greater than `last`.
    pub fn new(first: u16, last: u16) -> Result<Self, BackwardsRange> {
        if first > last {
            return Err(BackwardsRange { first, last });
        }
        Ok(Self { first, last })
    }

    /// The range of one port.
    pub fn single(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// The lowest port.
    pub fn first(self) -> u16 {
        self.first
    }

    /// The highest port.
    pub fn last(self) -> u16 {
        self.last
    }

    /// Whether `port` lies in the range.
    pub fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// One entry of `ports` or `notPorts` (E-325).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// A number or a range.
    Range(PortRange),
    /// The name of endpoint ports (E-327).
    Named(String),
}
