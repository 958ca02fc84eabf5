//! Lanes: one stream of packets for each stage, family, shape of set and verdict.
//!
//! A lane has a destination port of its own, so policy can say of each lane by itself what becomes of it, and rules of
//! different lanes commute. Its packets pass if and only if a lookup hits, or does not: a set that looks empty for a
//! moment loses packets of one lane, and leaks those of another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tortie_api::model::Protocol;

/// The stage at which policy decides about a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// S3.
    LocalIn,
    /// S7.
    LocalOut,
    /// S4 and S5: each of the two endpoints must let it pass.
    Forward,
    /// S1.
    UntrackedIn,
    /// S6.
    UntrackedOut,
    /// S2.
    PreDnat,
}

impl Stage {
    pub(crate) const ALL: [Stage; 6] =
        [Stage::LocalIn, Stage::LocalOut, Stage::Forward, Stage::UntrackedIn, Stage::UntrackedOut, Stage::PreDnat];

    /// Whether the host itself sends the packets.
    pub(crate) const fn is_outward(self) -> bool {
        matches!(self, Stage::LocalOut | Stage::UntrackedOut)
    }
}

/// What decides about a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    /// Port numbers alone: constant sets.
    Ports,
    /// Addresses in a hash set.
    Hash,
    /// Networks in an interval set.
    Interval,
    /// Address, protocol and port in a concatenated set: named ports.
    Named,
}

impl Shape {
    pub(crate) const ALL: [Shape; 4] = [Shape::Ports, Shape::Hash, Shape::Interval, Shape::Named];
}

/// What a lane sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// UDP, each packet from another port than the one before: policy judges each.
    Udp,
    /// TCP, the first packet of a connection, likewise.
    Syn,
    /// UDP of one flow that was answered: connection tracking knows it.
    Known,
}

/// One stream of packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lane {
    pub(crate) stage: Stage,
    pub(crate) shape: Shape,
    pub(crate) flow: Flow,
    pub(crate) is_v6: bool,
    /// Whether all of its packets must pass, or none.
    pub(crate) must_pass: bool,
}

/// The host, on `eth0`.
pub(crate) const HOST: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1));
/// The neighbour behind `eth1`, to which packets are forwarded.
pub(crate) const FAR: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 51, 100, 2), Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2));
/// The port from which the known flow comes.
pub(crate) const KNOWN_SOURCE: u16 = 9000;

impl Lane {
    /// All lanes.
    pub(crate) fn all() -> Vec<Lane> {
        let mut lanes = Vec::new();
        for is_v6 in [false, true] {
            for must_pass in [true, false] {
                for shape in Shape::ALL {
                    for stage in Stage::ALL {
                        lanes.push(Lane { stage, shape, flow: Flow::Udp, is_v6, must_pass });
                    }
                    lanes.push(Lane { stage: Stage::LocalIn, shape, flow: Flow::Syn, is_v6, must_pass });
                }
            }
            lanes.push(Lane { stage: Stage::LocalIn, shape: Shape::Ports, flow: Flow::Known, is_v6, must_pass: true });
        }
        lanes
    }

    /// Its destination port: lanes that differ in more than the family have different ones.
    pub(crate) fn port(&self) -> u16 {
        port(self.stage, self.shape, self.must_pass)
            + match self.flow {
                Flow::Udp | Flow::Syn => 0,
                Flow::Known => 8,
            }
    }

    pub(crate) fn protocol(&self) -> Protocol {
        if self.flow == Flow::Syn { Protocol::TCP } else { Protocol::UDP }
    }

    /// Source and destination of its packet number `number`.
    pub(crate) fn addresses(&self, number: u64) -> (IpAddr, IpAddr) {
        let peer = peer(self.shape, self.must_pass, self.is_v6, number);
        let own = |pair: (Ipv4Addr, Ipv6Addr)| if self.is_v6 { IpAddr::V6(pair.1) } else { IpAddr::V4(pair.0) };
        match self.stage {
            Stage::LocalOut | Stage::UntrackedOut => (own(HOST), peer),
            Stage::Forward => (peer, own(FAR)),
            _ => (peer, own(HOST)),
        }
    }

    pub(crate) fn source_port(&self, number: u64) -> u16 {
        match self.flow {
            Flow::Known => KNOWN_SOURCE,
            // A flow without an answer stays new, however often it comes: so many are enough, and connection tracking
            // has room for them.
            Flow::Udp => 32_768 + u16::try_from(number % 2_048).expect("below 2,048"),
            // Those are answered, by a reset: a port comes again only after its flow was forgotten.
            Flow::Syn => 32_768 + u16::try_from(number % 28_000).expect("below 28,000"),
        }
    }

    /// For reports: `S3 hash udp v4 pass`.
    pub(crate) fn name(&self) -> String {
        let Lane { stage, shape, flow, is_v6, must_pass } = self;
        let family = if *is_v6 { "v6" } else { "v4" };
        let verdict = if *must_pass { "pass" } else { "never" };
        format!("{stage:?} {shape:?} {flow:?} {family} {verdict}").to_lowercase()
    }
}

/// The destination port of a lane for new flows.
pub(crate) fn port(stage: Stage, shape: Shape, must_pass: bool) -> u16 {
    7000 + 100 * stage as u16 + 10 * shape as u16 + u16::from(!must_pass)
}

/// The other end of a lane: what its sets hold. Interval lanes use a whole network, so that each border is met.
pub(crate) fn peer(shape: Shape, must_pass: bool, is_v6: bool, number: u64) -> IpAddr {
    let never = u8::from(!must_pass);
    let (block, third, last) = match shape {
        Shape::Hash => (28, never, 1 + number % 8),
        Shape::Interval => (20 + 4 * never, 5, number % 256),
        Shape::Ports | Shape::Named => (30, 0, 1),
    };
    let last = u8::try_from(last).expect("below 256");
    if is_v6 {
        let hex = |number: u8| u16::from(number);
        IpAddr::V6(Ipv6Addr::new(0xfd00, hex(block), hex(third), 0, 0, 0, 0, hex(last)))
    } else {
        IpAddr::V4(Ipv4Addr::new(172, block, third, last))
    }
}
