//! A packet that is judged in two ways, and one packet followed through both sides.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tortie_api::model::Protocol;
use tortie_api::packet::{ConnState, Dnat, Packet, Route, WayBack};
use tortie_rules::ruleset::{Hook, ct_state, ct_status};

use crate::diagram::Node;
use crate::logic::{Logic, MARK, NO_TRACK, Point, Scope, Stop};
use crate::names;
use crate::outcome::{Left, Outcome};
use crate::place::{Place, Way};
use crate::run::Runner;
use crate::space::{Dimension, NFPROTO_IPV4, NFPROTO_IPV6, Pool, number};
use crate::stages::Stages;

/// A packet as it comes to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// The packet and its way.
    pub packet: Packet,
    /// The packet mark that others have set before.
    pub mark: u32,
    /// Bits of the status of its connection, beside the one for a translated destination.
    pub status: u32,
}

impl Witness {
    pub(crate) fn way(&self) -> Way {
        match self.packet.route {
            Route::Delivered { .. } => Way::Delivered,
            Route::Forwarded { .. } => Way::Forwarded,
            Route::Generated { .. } => Way::Generated,
        }
    }

    fn is_tracked(&self) -> bool {
        !matches!(self.packet.state, ConnState::Invalid | ConnState::Untracked)
    }

    /// The packet as a base chain sees it, after what earlier ones did.
    fn point(&self, place: Place, is_no_track: bool) -> Point {
        let is_translated = self.is_tracked() && !is_no_track && !place.is_before_translation();
        let packet = if is_translated { self.packet.after_dnat() } else { self.packet.clone() };
        let (mut input, mut output) = ("", "");
        match &self.packet.route {
            Route::Delivered { in_interface } => input = in_interface,
            Route::Forwarded { in_interface, out_interface } => (input, output) = (in_interface, out_interface),
            Route::Generated { out_interface } => {
                output = out_interface;
                let before = self.packet.dnat.as_ref().and_then(|dnat| dnat.out_interface_before.as_deref());
                if place.hook() == Hook::Output {
                    output = before.unwrap_or(output);
                }
            }
        }
        let is_v4 = packet.source.is_ipv4();
        let address = |address: IpAddr, of_v4: bool| if is_v4 == of_v4 { number(address) } else { 0 };
        let way_back = match packet.way_back {
            WayBack::SameInterface => 0,
            WayBack::OtherInterface => 1,
            WayBack::Nowhere => 2,
        };
        let values = BTreeMap::from([
            (Dimension::Family, if is_v4 { NFPROTO_IPV4 } else { NFPROTO_IPV6 }),
            (Dimension::State, u128::from(ct_state::bit(packet.state))),
            (Dimension::InInterface, names::value(input)),
            (Dimension::OutInterface, names::value(output)),
            (Dimension::WayBack, way_back),
            (Dimension::Source4, address(packet.source, true)),
            (Dimension::Source6, address(packet.source, false)),
            (Dimension::Destination4, address(packet.destination, true)),
            (Dimension::Destination6, address(packet.destination, false)),
            (Dimension::Protocol, u128::from(packet.protocol.0)),
            (Dimension::DestinationPort, u128::from(packet.destination_port)),
            (Dimension::SourcePort, u128::from(packet.source_port)),
            (Dimension::IcmpType, u128::from(packet.icmp_type)),
            (Dimension::IcmpCode, u128::from(packet.icmp_code)),
            (Dimension::HopLimit, u128::from(packet.hop_limit)),
        ]);
        let translated = if self.packet.dnat.is_some() { ct_status::DST_NAT } else { 0 };
        Point { values, status: self.status | translated, is_forwarded: self.way() == Way::Forwarded }
    }

    /// From what the dimensions are at the beginning of the way, and at its end.
    pub(crate) fn new(
        way: Way,
        first: &dyn Fn(Dimension) -> u128,
        last: &dyn Fn(Dimension) -> u128,
        mark: u32,
        status: u32,
    ) -> Witness {
        let is_v4 = first(Dimension::Family) == NFPROTO_IPV4;
        let address = |value: u128| match is_v4 {
            true => IpAddr::from(Ipv4Addr::from_bits(value as u32)),
            false => IpAddr::from(Ipv6Addr::from_bits(value)),
        };
        let (source, destination) = match is_v4 {
            true => (Dimension::Source4, Dimension::Destination4),
            false => (Dimension::Source6, Dimension::Destination6),
        };
        let name = |value: u128| names::text(value);
        let route = match way {
            Way::Delivered => Route::Delivered { in_interface: name(first(Dimension::InInterface)) },
            Way::Generated => Route::Generated { out_interface: name(last(Dimension::OutInterface)) },
            Way::Forwarded => Route::Forwarded {
                in_interface: name(first(Dimension::InInterface)),
                out_interface: name(last(Dimension::OutInterface)),
            },
        };
        let state = state_of(first(Dimension::State) as u32);
        let is_tracked = !matches!(state, ConnState::Invalid | ConnState::Untracked);
        let before = name(first(Dimension::OutInterface));
        let dnat = (is_tracked && status & ct_status::DST_NAT != 0).then(|| Dnat {
            destination: address(last(destination)),
            destination_port: last(Dimension::DestinationPort) as u16,
            out_interface_before: (way == Way::Generated && before != name(last(Dimension::OutInterface)))
                .then_some(before),
        });
        let packet = Packet {
            route,
            source: address(first(source)),
            destination: address(first(destination)),
            protocol: Protocol(first(Dimension::Protocol) as u8),
            source_port: first(Dimension::SourcePort) as u16,
            destination_port: first(Dimension::DestinationPort) as u16,
            icmp_type: first(Dimension::IcmpType) as u8,
            icmp_code: first(Dimension::IcmpCode) as u8,
            hop_limit: first(Dimension::HopLimit) as u8,
            state,
            dnat,
            way_back: match first(Dimension::WayBack) {
                0 => WayBack::SameInterface,
                1 => WayBack::OtherInterface,
                _ => WayBack::Nowhere,
            },
        };
        Witness { packet, mark, status: status & !ct_status::DST_NAT }
    }
}

const fn state_of(bit: u32) -> ConnState {
    match bit {
        ct_state::NEW => ConnState::New,
        ct_state::ESTABLISHED => ConnState::Established,
        ct_state::RELATED => ConnState::Related,
        ct_state::INVALID => ConnState::Invalid,
        _ => ConnState::Untracked,
    }
}

/// One line for people.
impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packet = &self.packet;
        let (protocol, has_ports) =
            (packet.protocol, packet.protocol.has_ports() || packet.protocol == Protocol::UDPLITE);
        let end = |address: IpAddr, port: u16| match (has_ports, address) {
            (true, IpAddr::V6(v6)) => format!("[{v6}]:{port}"),
            (true, v4) => format!("{v4}:{port}"),
            (false, address) => address.to_string(),
        };
        let (source, destination) =
            (end(packet.source, packet.source_port), end(packet.destination, packet.destination_port));
        write!(f, "{protocol} {source} -> {destination}")?;
        if let Some(dnat) = &packet.dnat {
            write!(f, ", translated to {}", end(dnat.destination, dnat.destination_port))?;
        }
        match &packet.route {
            Route::Delivered { in_interface } => write!(f, ", arriving on {in_interface} for this host")?,
            Route::Generated { out_interface } => write!(f, ", from this host by {out_interface}")?,
            Route::Forwarded { in_interface, out_interface } => {
                write!(f, ", forwarded from {in_interface} to {out_interface}")?;
            }
        }
        if let Some(before) = packet.dnat.as_ref().and_then(|dnat| dnat.out_interface_before.as_ref()) {
            write!(f, " (before translation {before})")?;
        }
        if matches!(protocol, Protocol::ICMP | Protocol::ICMPV6) {
            write!(f, ", type {} code {}", packet.icmp_type, packet.icmp_code)?;
        }
        write!(f, ", state {:?}", packet.state)?;
        if packet.source.is_ipv6() && packet.hop_limit == 255 {
            f.write_str(", hop limit 255")?;
        }
        match packet.way_back {
            WayBack::SameInterface => {}
            WayBack::OtherInterface => f.write_str(", route back by another interface")?,
            WayBack::Nowhere => f.write_str(", no route back")?,
        }
        if self.mark != 0 {
            write!(f, ", mark {:#x}", self.mark)?;
        }
        if self.status != 0 {
            write!(f, ", connection status {:#x}", self.status)?;
        }
        Ok(())
    }
}

/// Where the two sides part on one packet, and what each of them says.
pub(crate) struct Parting {
    pub(crate) place: Place,
    pub(crate) expected: Outcome,
    pub(crate) found: Outcome,
}

/// Follows one packet through both sides; `None` when they say the same all the way.
pub(crate) fn follow(
    stages: &mut Stages<'_>,
    runner: &mut Runner<'_>,
    pool: &mut Pool,
    witness: &Witness,
) -> Result<Option<Parting>, Stop> {
    let (mut expected_left, mut found_left) = (Left::default(), Left::default());
    for place in witness.way().places() {
        let mut sides = Vec::with_capacity(2);
        for (side, left) in [expected_left, found_left].into_iter().enumerate() {
            let point = witness.point(*place, left.is_no_track);
            let mut logic = Logic::new(pool, Scope::One(&point), usize::MAX);
            let node = if side == 0 { stages.judge(&mut logic, *place)? } else { runner.judge(&mut logic, *place)? };
            let node = at(&mut logic, node, witness.mark, left)?;
            sides.push(logic.outcome(node).expect("nothing of a packet is open").clone());
        }
        let (Some(found), Some(expected)) = (sides.pop(), sides.pop()) else { break };
        let parts = !expected.shows_the_same(&found) || expected.left.is_no_track != found.left.is_no_track;
        if parts {
            return Ok(Some(Parting { place: *place, expected, found }));
        }
        if expected.decision.is_final() {
            break;
        }
        (expected_left, found_left) = (expected_left.then(expected.left), found_left.then(found.left));
    }
    Ok(None)
}

/// A diagram for a packet that came with `mark`, after what earlier base chains left with it.
fn at(logic: &mut Logic<'_>, node: Node, mark: u32, left: Left) -> Result<Node, Stop> {
    let mark = mark & !left.mask | left.value;
    let mut values: BTreeMap<u32, bool> = (0..32).map(|bit| (MARK + bit, mark & (1 << bit) != 0)).collect();
    values.insert(NO_TRACK, left.is_no_track);
    Ok(logic.store.assign(node, &values)?)
}
