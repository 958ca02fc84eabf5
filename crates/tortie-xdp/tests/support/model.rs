//! The program as a plain function, which shares nothing with its instructions.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_calc::settings::Failsafe;
use tortie_netmon::Mac;
use tortie_xdp::Guard;

/// Whether the frame is dropped on the interface `mac`.
pub(crate) fn drops(mac: Mac, guard: &Guard, frame: &[u8]) -> bool {
    judge(mac, guard, frame).unwrap_or(false)
}

/// `None` as soon as something is not there or not understood: the frame passes.
fn judge(mac: Mac, guard: &Guard, frame: &[u8]) -> Option<bool> {
    let (ethernet, mut rest) = frame.split_at_checked(14)?;
    let mut ethertype = u16_at(ethernet, 12)?;
    if ethernet[..6] != mac {
        return None;
    }
    for _ in 0..2 {
        if ethertype == 0x8100 || ethertype == 0x88a8 {
            let vlan = u16_at(rest, 0)? & 0x0fff;
            if vlan != 0 {
                return None;
            }
            ethertype = u16_at(rest, 2)?;
            rest = &rest[4..];
        }
    }
    let (source, protocol, upper) = match ethertype {
        0x0800 => ipv4(rest)?,
        0x86dd => ipv6(rest)?,
        _ => return None,
    };
    let is_blocked = match source {
        // Sources of all ones are no sender's, and left to the rules.
        IpAddr::V4(source) => source.to_bits() != u32::MAX && guard.blocked.v4.iter().any(|net| net.contains(&source)),
        IpAddr::V6(source) => {
            source.segments()[..4] != [0xffff; 4] && guard.blocked.v6.iter().any(|net| net.contains(&source))
        }
    };
    Some(is_blocked && !is_exempt(guard, source, protocol, upper)?)
}

fn ipv4(packet: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    let header = packet.get(..20)?;
    let header_len = usize::from(header[0] & 15) * 4;
    let is_fragment = u16_at(header, 6)? & 0x3fff != 0;
    if header[0] >> 4 != 4 || header_len < 20 || is_fragment {
        return None;
    }
    let source: [u8; 4] = header[12..16].try_into().ok()?;
    Some((IpAddr::from(source), header[9], packet.get(header_len..).unwrap_or_default()))
}

fn ipv6(packet: &[u8]) -> Option<(IpAddr, u8, &[u8])> {
    let header = packet.get(..40)?;
    let is_extension = [0, 43, 44, 51, 60].contains(&header[6]);
    if header[0] >> 4 != 6 || is_extension {
        return None;
    }
    let source: [u8; 16] = header[8..24].try_into().ok()?;
    Some((IpAddr::from(source), header[6], &packet[40..]))
}

/// `None` when the ports are not there.
fn is_exempt(guard: &Guard, source: IpAddr, protocol: u8, upper: &[u8]) -> Option<bool> {
    if source.is_ipv6() && protocol == 58 {
        let icmp_type = *upper.first()?;
        return Some((130..=137).contains(&icmp_type) || icmp_type == 143);
    }
    if ![6, 17, 132].contains(&protocol) {
        return Some(false);
    }
    let (source_port, destination_port) = (u16_at(upper, 0)?, u16_at(upper, 2)?);
    let is_dhcp = source.is_ipv6() && protocol == 17 && destination_port == 546;
    let is = |port: u16, failsafe: &Failsafe| {
        failsafe.protocol.0 == protocol
            && failsafe.port == port
            && failsafe.net.is_none_or(|net: IpNet| net.contains(&source))
    };
    let failsafes = &guard.failsafes;
    let is_inbound = failsafes.inbound.iter().any(|failsafe| is(destination_port, failsafe));
    let is_reply = failsafes.outbound.iter().any(|failsafe| is(source_port, failsafe));
    Some(is_dhcp || is_inbound || is_reply)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
