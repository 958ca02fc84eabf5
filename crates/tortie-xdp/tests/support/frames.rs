//! Frames: of packets as policy sees them, and drawn ones.

use std::net::IpAddr;

use tortie_api::packet::Packet;
use tortie_testkit::generators::Random;

use super::MAC;

/// A frame to [`MAC`] in parts.
pub(crate) struct Frame {
    pub(crate) destination: [u8; 6],
    /// Type and control information of each tag.
    pub(crate) tags: Vec<(u16, u16)>,
    pub(crate) ethertype: u16,
    pub(crate) packet: Vec<u8>,
}

impl Frame {
    pub(crate) fn of(packet: Vec<u8>) -> Frame {
        let ethertype = if packet.first().is_some_and(|first| first >> 4 == 6) { 0x86dd } else { 0x0800 };
        Frame { destination: MAC, tags: Vec::new(), ethertype, packet }
    }

    pub(crate) fn tagged(mut self, tags: &[(u16, u16)]) -> Frame {
        self.tags = tags.to_vec();
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = [&self.destination[..], &[2, 0, 0, 0, 0, 2]].concat();
        for (ethertype, control) in &self.tags {
            bytes.extend(ethertype.to_be_bytes());
            bytes.extend(control.to_be_bytes());
        }
        bytes.extend(self.ethertype.to_be_bytes());
        bytes.extend(&self.packet);
        bytes
    }
}

/// An IP packet with both ports, or an ICMP type, behind its header.
pub(crate) fn ip(source: IpAddr, destination: IpAddr, protocol: u8, upper: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut bytes = vec![0x45, 0];
            bytes.extend((20 + upper.len() as u16).to_be_bytes());
            bytes.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(upper);
            bytes
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut bytes = vec![0x60, 0, 0, 0];
            bytes.extend((upper.len() as u16).to_be_bytes());
            bytes.extend([protocol, 255]);
            bytes.extend(source.octets());
            bytes.extend(destination.octets());
            bytes.extend(upper);
            bytes
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// The upper layer of a packet with ports.
pub(crate) fn ports(source: u16, destination: u16) -> Vec<u8> {
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &[0; 16]].concat()
}

/// The frame of a packet as policy sees it.
pub(crate) fn of_packet(packet: &Packet) -> Vec<u8> {
    let mut upper = ports(packet.source_port, packet.destination_port);
    if [1, 58].contains(&packet.protocol.0) {
        upper[..2].copy_from_slice(&[packet.icmp_type, packet.icmp_code]);
    }
    let mut bytes = ip(packet.source, packet.destination, packet.protocol.0, &upper);
    let hop_limit = if packet.source.is_ipv4() { 8 } else { 7 };
    bytes[hop_limit] = packet.hop_limit;
    Frame::of(bytes).bytes()
}

/// A frame that is almost always well-formed, from these sources and about these ports.
pub(crate) fn drawn(random: &mut Random, sources: &[IpAddr], port_numbers: &[u16]) -> Vec<u8> {
    let source = *random.pick(sources);
    let destination: IpAddr =
        if source.is_ipv4() { "192.0.2.1".parse().unwrap() } else { "2001:db8::1".parse().unwrap() };
    let protocol = *random.pick(&[6, 6, 17, 17, 17, 132, 1, 58, 58, 47, 50, 136, 0, 44, 60, 43, 51]);
    let mut upper = ports(*random.pick(port_numbers), *random.pick(port_numbers));
    if protocol == 58 {
        upper[0] = *random.pick(&[128, 129, 130, 133, 137, 138, 142, 143, 144, 1]);
    }
    let mut packet = ip(source, destination, protocol, &upper);
    if source.is_ipv4() {
        match random.below(8) {
            0 => packet[6..8].copy_from_slice(&(random.bits() as u16).to_be_bytes()),
            1 => packet[6] = 0x40,
            2 => {
                // Options, or a length that is wrong.
                packet[0] = 0x40 | random.below(16) as u8;
                let len = usize::from(packet[0] & 15) * 4;
                packet.splice(20..20, vec![1; len.saturating_sub(20)]);
            }
            _ => {}
        }
    }
    let mut frame = Frame::of(packet);
    if random.one_in(4) {
        let tag = |random: &mut Random| {
            (*random.pick(&[0x8100, 0x88a8]), *random.pick(&[0, 0, 0x6000, 0xe000, 0x1000, 1, 100, 0x0fff, 0x6064]))
        };
        frame.tags = (0..1 + random.below(3)).map(|_| tag(random)).collect();
    }
    match random.below(24) {
        0 => frame.destination = [2, 0, 0, 0, 0, 9],
        1 => frame.destination = [0xff; 6],
        2 => frame.destination = [3, 0, 0, 0, 0, 1],
        3 => frame.ethertype = *random.pick(&[0x0806, 0x8847, 0x8864, 0x0800, 0x86dd]),
        _ => {}
    }
    let mut bytes = frame.bytes();
    if random.one_in(6) {
        bytes.truncate(14 + random.below(bytes.len() - 13));
    }
    if random.one_in(12) {
        let at = random.below(bytes.len());
        bytes[at] = random.bits() as u8;
    }
    bytes
}
