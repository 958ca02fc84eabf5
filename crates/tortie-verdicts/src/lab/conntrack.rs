//! Flows of connection tracking, made and forgotten at will (`linux/netfilter/nfnetlink_conntrack.h`).

use std::net::IpAddr;

use nix::libc::{AF_INET, AF_INET6};
use tortie_api::model::Protocol;
use tortie_netlink::consts::{NLM_F_CREATE, NLM_F_EXCL};
use tortie_netlink::socket::Netlink;
use tortie_netlink::wire::Writer;

const NFNL_SUBSYS_CTNETLINK: u16 = 1;
const IPCTNL_MSG_CT_NEW: u16 = 0;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_TIMEOUT: u16 = 7;
const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const TCP_CONNTRACK_ESTABLISHED: u8 = 3;
/// `IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED`.
const BOTH_WAYS: u32 = 2 | 4 | 8;

/// One direction of a flow of TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Address and port of the sender.
    pub source: (IpAddr, u16),
    /// Address and port of the receiver.
    pub destination: (IpAddr, u16),
}

impl Tuple {
    pub(crate) fn reversed(self) -> Tuple {
        Tuple { source: self.destination, destination: self.source, ..self }
    }
}

/// Connection tracking of the present network namespace.
pub(crate) struct Conntrack(Netlink);

impl Conntrack {
    pub(crate) fn open() -> Conntrack {
        Conntrack(Netlink::open().expect("netfilter answers over netlink"))
    }

    /// Forgets every flow.
    pub(crate) fn flush(&mut self) {
        let request = |sequence, flags| message(IPCTNL_MSG_CT_DELETE, flags, sequence, 0, |_| {});
        self.0.acknowledge(request).expect("flows can be deleted");
    }

    /// Makes a flow that saw packets both ways; `original` is its first direction.
    pub(crate) fn create(&mut self, original: Tuple) {
        let family = if original.source.0.is_ipv4() { AF_INET } else { AF_INET6 };
        let content = |writer: &mut Writer| {
            for (kind, tuple) in [(CTA_TUPLE_ORIG, original), (CTA_TUPLE_REPLY, original.reversed())] {
                write_tuple(writer, kind, tuple);
            }
            writer.u32(CTA_STATUS, BOTH_WAYS);
            writer.u32(CTA_TIMEOUT, 600);
            if original.protocol == Protocol::TCP {
                let info = writer.nest(CTA_PROTOINFO);
                let tcp = writer.nest(CTA_PROTOINFO_TCP);
                writer.bytes(CTA_PROTOINFO_TCP_STATE, &[TCP_CONNTRACK_ESTABLISHED]);
                writer.unnest(tcp);
                writer.unnest(info);
            }
        };
        let request = |sequence, flags| {
            message(IPCTNL_MSG_CT_NEW, flags | NLM_F_CREATE | NLM_F_EXCL, sequence, family as u8, content)
        };
        self.0.acknowledge(request).unwrap_or_else(|error| panic!("cannot make flow {original:?}: {error}"));
    }
}

fn message(number: u16, flags: u16, sequence: u32, family: u8, content: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    let open = writer.begin(NFNL_SUBSYS_CTNETLINK, number, flags, sequence, family);
    content(&mut writer);
    writer.end(open);
    writer.into_bytes()
}

fn write_tuple(writer: &mut Writer, kind: u16, tuple: Tuple) {
    let open = writer.nest(kind);
    let ip = writer.nest(CTA_TUPLE_IP);
    // `CTA_IP_V4_SRC` and `_DST` are 1 and 2, those of IPv6 3 and 4.
    for (number, (address, _)) in [(1, tuple.source), (2, tuple.destination)] {
        match address {
            IpAddr::V4(v4) => writer.bytes(number, &v4.octets()),
            IpAddr::V6(v6) => writer.bytes(number + 2, &v6.octets()),
        }
    }
    writer.unnest(ip);
    let proto = writer.nest(CTA_TUPLE_PROTO);
    // `CTA_PROTO_NUM`, `_SRC_PORT`, `_DST_PORT`.
    writer.bytes(1, &[tuple.protocol.0]);
    writer.bytes(2, &tuple.source.1.to_be_bytes());
    writer.bytes(3, &tuple.destination.1.to_be_bytes());
    writer.unnest(proto);
    writer.unnest(open);
}
