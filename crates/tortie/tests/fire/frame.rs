//! Packets as bytes.

use std::net::IpAddr;

use crate::lane::{Flow, Lane};

/// What each packet carries: which lane, after which change it was sent, and its number in the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    pub(crate) lane: u16,
    pub(crate) step: u32,
    pub(crate) number: u64,
}

/// Bytes of a [`Tag`] with a magic number before it.
const TAG_LEN: usize = 16;
/// Begins every tag, so that packets of the kernel's own are told apart.
const MAGIC: u16 = 0xf17e;

/// The hardware addresses of both ends of the host's `eth0`.
pub(crate) const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

impl Tag {
    fn bytes(self) -> [u8; TAG_LEN] {
        let mut bytes = [0; TAG_LEN];
        bytes[..2].copy_from_slice(&MAGIC.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.lane.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.step.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// Reads the tag at the end of a packet.
    pub(crate) fn of(packet: &[u8]) -> Option<Tag> {
        let bytes = packet.get(packet.len().checked_sub(TAG_LEN)?..)?;
        let (head, number) = bytes.split_at(8);
        (head[..2] == MAGIC.to_be_bytes()).then(|| Tag {
            lane: u16::from_be_bytes([head[2], head[3]]),
            step: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            number: u64::from_be_bytes(number.try_into().expect("8 bytes")),
        })
    }
}

/// Makes the packet of `lane` that `tag` names, from its IP header on.
pub(crate) fn packet(lane: &Lane, tag: Tag) -> Vec<u8> {
    let (source, destination) = lane.addresses(tag.number);
    let segment = segment(lane, tag, source, destination);
    let len = u16::try_from(segment.len()).expect("a small packet");
    let protocol = lane.protocol().0;
    let mut bytes = Vec::with_capacity(14 + 40 + segment.len());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend([0x45, 0]);
            bytes.extend((20 + len).to_be_bytes());
            bytes.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            let sum = checksum(&[&bytes]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (source, destination) => {
            bytes.extend([0x60, 0, 0, 0]);
            bytes.extend(len.to_be_bytes());
            bytes.extend([protocol, 64]);
            bytes.extend(octets(source));
            bytes.extend(octets(destination));
        }
    }
    bytes.extend(segment);
    bytes
}

/// The same with an Ethernet header from the neighbour to the host.
pub(crate) fn frame(lane: &Lane, tag: Tag) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    bytes.extend(HOST_MAC);
    bytes.extend(NEAR_MAC);
    bytes.extend(if lane.is_v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
    bytes.extend(packet(lane, tag));
    bytes
}

fn segment(lane: &Lane, tag: Tag, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(40);
    bytes.extend(lane.source_port(tag.number).to_be_bytes());
    bytes.extend(lane.port().to_be_bytes());
    let at = if lane.flow == Flow::Syn {
        bytes.extend([0; 8]); // sequence and acknowledgement numbers
        bytes.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]); // 20 bytes of header, SYN, window
        16
    } else {
        bytes.extend(u16::try_from(8 + TAG_LEN).expect("small").to_be_bytes());
        bytes.extend([0, 0]);
        6
    };
    bytes.extend(tag.bytes());
    let len = u32::try_from(bytes.len()).expect("small").to_be_bytes();
    let pseudo = [0, 0, 0, lane.protocol().0];
    let sum = match checksum(&[&octets(source), &octets(destination), &len, &pseudo, &bytes]) {
        0 => u16::MAX,
        sum => sum,
    };
    bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The checksum of RFC 1071 over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !u16::try_from(folded).expect("folded twice")
}
