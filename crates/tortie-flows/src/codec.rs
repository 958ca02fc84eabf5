//! Flows as attributes.

use std::net::IpAddr;

use tortie_api::flow::{Flow, Tuple, Zone};
use tortie_api::model::Protocol;
use tortie_netlink::wire::{Attributes, Writer};

use crate::consts::*;

/// A flow of a listing, or `None` when it has no addresses and is none of IP.
pub(crate) fn flow(attributes: Attributes<'_>) -> Option<Flow> {
    let (original, zone, id) = identity(attributes)?;
    let tcp = attributes.nested(CTA_PROTOINFO).and_then(|info| info.nested(CTA_PROTOINFO_TCP));
    Some(Flow {
        original,
        reply: tuple(attributes.nested(CTA_TUPLE_REPLY)?)?,
        master: attributes.nested(CTA_TUPLE_MASTER).and_then(tuple),
        zone,
        status: attributes.u32(CTA_STATUS)?,
        tcp_state: tcp.and_then(|tcp| u8_of(tcp.find(CTA_PROTOINFO_TCP_STATE)?)),
        mark: attributes.u32(CTA_MARK).unwrap_or(0),
        timeout_s: attributes.u32(CTA_TIMEOUT).unwrap_or(0),
        id,
    })
}

/// What names exactly one flow: original tuple, zone and identity.
pub(crate) fn identity(attributes: Attributes<'_>) -> Option<(Tuple, Zone, u32)> {
    let original = attributes.nested(CTA_TUPLE_ORIG)?;
    let zone = match (attributes.find(CTA_ZONE).and_then(u16_be), original.find(CTA_TUPLE_ZONE).and_then(u16_be)) {
        (Some(id), _) => Zone { id, is_original_only: false },
        (None, Some(id)) => Zone { id, is_original_only: true },
        (None, None) => Zone::default(),
    };
    Some((tuple(original)?, zone, attributes.u32(CTA_ID)?))
}

fn tuple(attributes: Attributes<'_>) -> Option<Tuple> {
    let (ip, proto) = (attributes.nested(CTA_TUPLE_IP)?, attributes.nested(CTA_TUPLE_PROTO)?);
    let (source, destination) = match (ip.find(CTA_IP_V4_SRC), ip.find(CTA_IP_V4_DST)) {
        (Some(source), Some(destination)) => (address_v4(source)?, address_v4(destination)?),
        _ => (address_v6(ip.find(CTA_IP_V6_SRC)?)?, address_v6(ip.find(CTA_IP_V6_DST)?)?),
    };
    let number = |kind| proto.find(kind).and_then(u16_be);
    let byte = |kind| proto.find(kind).and_then(u8_of);
    Some(Tuple {
        source,
        destination,
        protocol: Protocol(byte(CTA_PROTO_NUM)?),
        source_port: number(CTA_PROTO_SRC_PORT).unwrap_or(0),
        destination_port: number(CTA_PROTO_DST_PORT).unwrap_or(0),
        icmp_type: byte(CTA_PROTO_ICMP_TYPE).or_else(|| byte(CTA_PROTO_ICMPV6_TYPE)).unwrap_or(0),
        icmp_code: byte(CTA_PROTO_ICMP_CODE).or_else(|| byte(CTA_PROTO_ICMPV6_CODE)).unwrap_or(0),
        icmp_id: number(CTA_PROTO_ICMP_ID).or_else(|| number(CTA_PROTO_ICMPV6_ID)).unwrap_or(0),
    })
}

/// Writes what [`identity`] reads.
pub(crate) fn write_identity(w: &mut Writer, flow: &Flow) {
    if flow.zone.id != 0 && !flow.zone.is_original_only {
        w.bytes(CTA_ZONE, &flow.zone.id.to_be_bytes());
    }
    let original = w.nest(CTA_TUPLE_ORIG);
    write_tuple(w, &flow.original);
    if flow.zone.is_original_only {
        w.bytes(CTA_TUPLE_ZONE, &flow.zone.id.to_be_bytes());
    }
    w.unnest(original);
    w.u32(CTA_ID, flow.id);
}

fn write_tuple(w: &mut Writer, tuple: &Tuple) {
    let ip = w.nest(CTA_TUPLE_IP);
    let kinds = if tuple.source.is_ipv4() { [CTA_IP_V4_SRC, CTA_IP_V4_DST] } else { [CTA_IP_V6_SRC, CTA_IP_V6_DST] };
    for (kind, address) in kinds.into_iter().zip([tuple.source, tuple.destination]) {
        match address {
            IpAddr::V4(v4) => w.bytes(kind, &v4.octets()),
            IpAddr::V6(v6) => w.bytes(kind, &v6.octets()),
        }
    }
    w.unnest(ip);
    let proto = w.nest(CTA_TUPLE_PROTO);
    w.bytes(CTA_PROTO_NUM, &[tuple.protocol.0]);
    let icmp = match tuple.protocol {
        Protocol::ICMP => Some([CTA_PROTO_ICMP_ID, CTA_PROTO_ICMP_TYPE, CTA_PROTO_ICMP_CODE]),
        Protocol::ICMPV6 => Some([CTA_PROTO_ICMPV6_ID, CTA_PROTO_ICMPV6_TYPE, CTA_PROTO_ICMPV6_CODE]),
        _ => None,
    };
    match icmp {
        Some([id, kind, code]) => {
            w.bytes(id, &tuple.icmp_id.to_be_bytes());
            w.bytes(kind, &[tuple.icmp_type]);
            w.bytes(code, &[tuple.icmp_code]);
        }
        // The kernel ignores ports of a protocol without (`nf_ct_generic`).
        None => {
            w.bytes(CTA_PROTO_SRC_PORT, &tuple.source_port.to_be_bytes());
            w.bytes(CTA_PROTO_DST_PORT, &tuple.destination_port.to_be_bytes());
        }
    }
    w.unnest(proto);
}

fn u8_of(bytes: &[u8]) -> Option<u8> {
    bytes.first().copied()
}

fn u16_be(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn address_v4(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from)
}

fn address_v6(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tortie_netlink::wire::Messages;

    use super::*;

    /// A listing as the kernel writes it, of a flow with these tuples and zone.
    fn listed(original: Tuple, reply: Tuple, zone: Zone) -> Option<Flow> {
        let mut w = Writer::default();
        let message = w.begin(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW, 0, 1, 2);
        let first = w.nest(CTA_TUPLE_ORIG);
        write_tuple(&mut w, &original);
        if zone.is_original_only {
            w.bytes(CTA_TUPLE_ZONE, &zone.id.to_be_bytes());
        }
        w.unnest(first);
        let second = w.nest(CTA_TUPLE_REPLY);
        write_tuple(&mut w, &reply);
        w.unnest(second);
        w.u32(CTA_STATUS, 0x18e);
        let info = w.nest(CTA_PROTOINFO);
        let tcp = w.nest(CTA_PROTOINFO_TCP);
        w.bytes(CTA_PROTOINFO_TCP_STATE, &[3]);
        w.unnest(tcp);
        w.unnest(info);
        w.u32(CTA_TIMEOUT, 431_999);
        w.u32(CTA_MARK, 7);
        w.u32(CTA_ID, 0x1234_5678);
        if zone.id != 0 && !zone.is_original_only {
            w.bytes(CTA_ZONE, &zone.id.to_be_bytes());
        }
        w.end(message);
        let bytes = w.into_bytes();
        flow(Messages(&bytes).next()?.attributes())
    }

    fn tcp(source: &str, destination: &str) -> Tuple {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Tuple {
            source,
            destination,
            protocol: Protocol::TCP,
            source_port: 40_000,
            destination_port: 443,
            icmp_type: 0,
            icmp_code: 0,
            icmp_id: 0,
        }
    }

    #[test]
    fn a_flow_is_read_as_the_kernel_writes_it() {
        let ping = Tuple {
            protocol: Protocol::ICMPV6,
            source_port: 0,
            destination_port: 0,
            icmp_type: 128,
            icmp_id: 9,
            ..tcp("fd00::1", "fd00::2")
        };
        for original in [tcp("192.0.2.1", "192.0.2.2"), tcp("fd00::1", "fd00::2"), ping] {
            for zone in
                [Zone::default(), Zone { id: 5, is_original_only: false }, Zone { id: 5, is_original_only: true }]
            {
                let flow = listed(original, original.reversed(), zone).unwrap();
                assert_eq!((flow.original, flow.reply, flow.zone), (original, original.reversed(), zone));
                assert_eq!((flow.status, flow.tcp_state, flow.timeout_s), (0x18e, Some(3), 431_999));
                assert_eq!((flow.mark, flow.id), (7, 0x1234_5678));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = flow(Attributes(&bytes));
        }
    }
}
