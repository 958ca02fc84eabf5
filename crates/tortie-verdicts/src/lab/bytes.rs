//! A packet of the model as bytes that connection tracking takes for what the model says.

use std::net::IpAddr;

use tortie_api::model::Protocol;
use tortie_api::packet::{ConnState, Packet};

/// Bytes at the end of every packet, by which it is known again.
pub(crate) const MARKER_LEN: usize = 8;

/// How a packet looks on the wire, beside what policy sees of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its number.
    pub number: u32,
    /// Carries IPv4 options or an IPv6 destination-options header before the upper layer (E-310).
    pub has_options: bool,
    /// Comes in two fragments, where the host reads it itself (E-412).
    pub is_fragmented: bool,
    /// Whom the flow goes to to which an ICMP error belongs.
    pub about: Option<IpAddr>,
}

/// The packet from its network header on, and the length of that header.
pub(crate) fn bytes(packet: &Packet, shape: Shape) -> (Vec<u8>, usize) {
    let upper = upper(packet, shape);
    match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = vec![if shape.has_options { 0x46 } else { 0x45 }, 0];
            let header_len = if shape.has_options { 24 } else { 20 };
            header.extend(u16::try_from(header_len + upper.len()).expect("packets are short").to_be_bytes());
            header.extend([0x12, 0x34, 0, 0, packet.hop_limit, packet.protocol.0, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            if shape.has_options {
                header.extend([1; 4]); // no operation
            }
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            header.extend(upper);
            (header, header_len)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            const DESTINATION_OPTIONS: u8 = 60;
            let options_len = if shape.has_options { 8 } else { 0 };
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(u16::try_from(options_len + upper.len()).expect("packets are short").to_be_bytes());
            header.push(if shape.has_options { DESTINATION_OPTIONS } else { packet.protocol.0 });
            header.push(packet.hop_limit);
            header.extend(source.octets());
            header.extend(destination.octets());
            if shape.has_options {
                header.extend([packet.protocol.0, 0, 1, 4, 0, 0, 0, 0]); // padding
            }
            header.extend(upper);
            (header, 40 + options_len)
        }
        _ => unreachable!("both addresses are of one family"),
    }
}

/// Upper-layer bytes in the first fragment: of IPv4 so few that ports alone are in it.
const FRAGMENT_LEN_V4: usize = 8;
/// The same of IPv6, where kernels want 1280 bytes of every fragment but the last.
const FRAGMENT_LEN_V6: usize = 1280;

/// The packet in two fragments.
pub(crate) fn fragments(packet: &[u8], header_len: usize) -> [Vec<u8>; 2] {
    if packet[0] >> 4 == 4 {
        const MORE: u8 = 0x20;
        let (header, upper) = packet.split_at(header_len);
        let (first, second) = upper.split_at(FRAGMENT_LEN_V4);
        let fragment = |content: &[u8], more: u8, offset: usize| {
            let mut bytes = [header, content].concat();
            let len = u16::try_from(bytes.len()).expect("packets are short");
            bytes[2..4].copy_from_slice(&len.to_be_bytes());
            (bytes[6], bytes[7], bytes[10], bytes[11]) = (more, (offset / 8) as u8, 0, 0);
            let sum = checksum(&[&bytes[..header_len]]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            bytes
        };
        return [fragment(first, MORE, 0), fragment(second, 0, FRAGMENT_LEN_V4)];
    }
    const FRAGMENT: u8 = 44;
    let fragment = |content: &[u8], offset_and_more: u16| {
        let mut bytes = packet[..40].to_vec();
        let next = std::mem::replace(&mut bytes[6], FRAGMENT);
        bytes.extend([next, 0]);
        bytes.extend(offset_and_more.to_be_bytes());
        bytes.extend([0, 0, 0x12, 0x34]);
        bytes.extend(content);
        let len = u16::try_from(bytes.len() - 40).expect("packets are short");
        bytes[4..6].copy_from_slice(&len.to_be_bytes());
        bytes
    };
    // Options before the upper layer are cut like the rest.
    let (first, second) = packet[40..].split_at(FRAGMENT_LEN_V6);
    [fragment(first, 1), fragment(second, FRAGMENT_LEN_V6 as u16)]
}

/// The end of the packet `number`.
pub(crate) fn marker(number: u32) -> [u8; MARKER_LEN] {
    let mut marker = *b"tort\0\0\0\0";
    marker[4..].copy_from_slice(&number.to_be_bytes());
    marker
}

fn upper(packet: &Packet, shape: Shape) -> Vec<u8> {
    let mut bytes = Vec::new();
    let ports = |bytes: &mut Vec<u8>| {
        bytes.extend(packet.source_port.to_be_bytes());
        bytes.extend(packet.destination_port.to_be_bytes());
    };
    let padding_len = if shape.is_fragmented && packet.source.is_ipv6() { FRAGMENT_LEN_V6 } else { 0 };
    let data_len = padding_len + MARKER_LEN;
    let sum_at = match packet.protocol {
        Protocol::TCP => {
            const SYN: u8 = 2;
            const RST: u8 = 4;
            const ACK: u8 = 16;
            let flags = match packet.state {
                ConnState::New => SYN,
                // Of no flow that is known.
                ConnState::Invalid if shape.number.is_multiple_of(2) => RST,
                ConnState::Invalid if shape.number.is_multiple_of(3) => SYN | ACK,
                _ => ACK,
            };
            ports(&mut bytes);
            bytes.extend([0, 0, 0, 1, 0, 0, 0, if flags & ACK == 0 { 0 } else { 1 }]);
            bytes.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
            Some(16)
        }
        Protocol::UDP | Protocol::UDPLITE => {
            ports(&mut bytes);
            // UDP-Lite: 0 is a checksum over everything.
            let len = if packet.protocol == Protocol::UDP { 8 + data_len as u16 } else { 0 };
            bytes.extend(len.to_be_bytes());
            bytes.extend([0, 0]);
            Some(6)
        }
        Protocol::SCTP => {
            ports(&mut bytes);
            bytes.extend([0; 8]);
            let init = 1;
            bytes.extend([init, 0]);
            bytes.extend((20 + data_len as u16).to_be_bytes());
            bytes.extend([0, 0, 0, 1, 0, 0, 0x10, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
            None
        }
        Protocol::ICMP | Protocol::ICMPV6 => {
            bytes.extend([packet.icmp_type, packet.icmp_code, 0, 0, 0x77, 0x77, 0, 1]);
            if let Some(about) = shape.about {
                bytes.extend(quoted(packet, about));
            }
            Some(2)
        }
        _ => {
            bytes.extend([0; 4]);
            None
        }
    };
    bytes.resize(bytes.len() + padding_len, 0);
    bytes.extend(marker(shape.number));
    if packet.protocol == Protocol::SCTP {
        let sum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    }
    if let Some(at) = sum_at {
        let len = (bytes.len() as u32).to_be_bytes();
        let pseudo = match (packet.source, packet.destination) {
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                [&source.octets()[..], &destination.octets(), &len, &[0, 0, 0, packet.protocol.0]].concat()
            }
            _ if packet.protocol == Protocol::ICMP || packet.protocol == Protocol::ICMPV6 => Vec::new(),
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [&source.octets()[..], &destination.octets(), &[0, packet.protocol.0], &len[2..]].concat()
            }
            _ => unreachable!("both addresses are of one family"),
        };
        let sum = checksum(&[&pseudo, &bytes]);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// Ports of the flow that ICMP errors are about.
pub(crate) const ABOUT_PORTS: (u16, u16) = (4242, 4343);

/// The packet an error is about: UDP from its receiver to `about`.
fn quoted(packet: &Packet, about: IpAddr) -> Vec<u8> {
    let original = Packet {
        source: packet.destination,
        destination: about,
        protocol: Protocol::UDP,
        source_port: ABOUT_PORTS.0,
        destination_port: ABOUT_PORTS.1,
        state: ConnState::New,
        ..packet.clone()
    };
    bytes(&original, Shape { number: 0, has_options: false, is_fragmented: false, about: None }).0
}

/// The internet checksum (RFC 1071) of the parts one behind the other; all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    // UDP writes "none" as 0.
    match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    }
}

/// The checksum of SCTP (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
