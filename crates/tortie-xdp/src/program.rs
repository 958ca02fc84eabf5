//! The program of one interface: which frames are dropped before the network stack sees them.
//!
//! ```text
//! Ethernet: to this interface's own address?       no ─▶ pass   (others are not this host's to judge)
//! up to two tags, each of VLAN 0?                  no ─▶ pass   (other VLANs are other interfaces)
//! IPv4, whole and no fragment; IPv6, no extension  no ─▶ pass
//! source in the tree of the blocked?               no ─▶ pass
//! failsafe port with a source in its net, IPv6 essential, ports cut off?  yes ─▶ pass (E-483, E-505, E-461)
//! held?                                            yes ─▶ pass
//! count, drop
//! ```
//!
//! Whatever it does not understand passes: S1 judges it as if there were no program (E-480). Failsafe ports and the
//! interface's address stand in the instructions, so that one turn of the program changes them together.

use ipnet::IpNet;
use tortie_api::model::{Family, Protocol};
use tortie_calc::settings::Failsafe;
use tortie_netmon::Mac;

use crate::asm::{Alu, AssembleError, Assembled, Assembler, Helper, If, Label, Reg, Width};
use crate::guard::Failsafes;
use crate::search;
use crate::tree::{Shape, Shapes};
use Reg::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use Width::{Byte, Double, Half, Word};

/// The maps of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MapName {
    /// One element: the array of nodes of the tree of blocked IPv4 sources.
    List4,
    /// The same of IPv6.
    List6,
    /// One number: not 0 while nothing is to be dropped.
    Hold,
    /// Dropped frames of each processor.
    Drops,
}

impl MapName {
    /// All of them.
    pub const ALL: [MapName; 4] = [MapName::List4, MapName::List6, MapName::Hold, MapName::Drops];

    /// Its name in the kernel and as a file.
    pub const fn as_str(self) -> &'static str {
        match self {
            MapName::List4 => "list4",
            MapName::List6 => "list6",
            MapName::Hold => "hold",
            MapName::Drops => "drops",
        }
    }
}

/// `XDP_DROP` of `linux/bpf.h`.
pub const XDP_DROP: u32 = 1;
/// `XDP_PASS`.
pub const XDP_PASS: u32 = 2;

/// Bytes of an Ethernet header, of a VLAN tag, of an IPv4 header without options and with most, of an IPv6 header.
const ETHERNET_LEN: i32 = 14;
const TAG_LEN: i32 = 4;
const IPV4_LEN: i32 = 20;
const IPV4_LEN_MAX: i32 = 60;
const IPV6_LEN: i32 = 40;
/// Bytes of both ports.
const PORTS_LEN: i32 = 4;

/// VLAN tags that are looked behind.
const TAGS_MAX: usize = 2;

/// IPv6 next headers behind which the upper layer stands: hop-by-hop, routing, fragment, authentication, destination
/// options (`ipv6_ext_hdr` and `ipv6_find_hdr` of the kernel).
const EXTENSIONS: [u8; 5] = [0, 43, 44, 51, 60];

/// Types of ICMPv6 that are essential (E-461): MLD 130-132 and neighbour discovery 133-137 are one range, and 143.
const ESSENTIAL_TYPES: [std::ops::RangeInclusive<u8>; 2] = [130..=137, 143..=143];

/// Where answers of DHCPv6 go (E-462).
const DHCPV6_CLIENT_PORT: u16 = 546;

pub(crate) type Asm = Assembler<MapName>;

/// The program of the interface with the address `mac`, for trees of these shapes.
///
/// # Errors
/// [`AssembleError`] when there are so many failsafes that jumps do not reach over them.
pub fn program(mac: Mac, failsafes: &Failsafes, shapes: Shapes) -> Result<Assembled<MapName>, AssembleError> {
    let mut asm = Asm::new();
    let [pass, drop, v6] = [(); 3].map(|()| asm.label());
    ethernet(&mut asm, mac, pass);
    tags(&mut asm, pass);
    asm.jump_if(If::Equal, R5, network_order(0x86dd), v6);
    asm.jump_if(If::NotEqual, R5, network_order(0x0800), pass);
    ipv4(&mut asm, shapes.v4, pass);
    exempt(&mut asm, Family::V4, failsafes, pass);
    asm.jump(drop);
    asm.place(v6);
    ipv6(&mut asm, shapes.v6, pass);
    exempt(&mut asm, Family::V6, failsafes, pass);
    asm.place(drop);
    unless_held(&mut asm, pass);
    count(&mut asm);
    asm.alu(Alu::Move, R0, XDP_DROP as i32);
    asm.exit();
    asm.place(pass);
    asm.alu(Alu::Move, R0, XDP_PASS as i32);
    asm.exit();
    asm.finish()
}

/// A number of two bytes as it is loaded from a frame.
fn network_order(number: u16) -> i32 {
    i32::from(u16::from_ne_bytes(number.to_be_bytes()))
}

/// Goes to `label` unless `len` bytes from `at` on are in the frame, whose end is in `R8`.
fn need(asm: &mut Asm, at: Reg, len: i32, label: Label) {
    asm.alu_by(Alu::Move, R1, at);
    asm.alu(Alu::Add, R1, len);
    asm.jump_if_by(If::Greater, R1, R8, label);
}

/// Leaves the network header in `R7`, the end of the frame in `R8` and the type in `R5`.
fn ethernet(asm: &mut Asm, mac: Mac, pass: Label) {
    // `struct xdp_md` begins with `data` and `data_end`.
    asm.load(Word, R7, R1, 0);
    asm.load(Word, R8, R1, 4);
    need(asm, R7, ETHERNET_LEN, pass);
    let [a, b, c, d, e, f] = mac;
    asm.load(Word, R2, R7, 0);
    asm.jump_if(If::NotEqual, R2, i32::from_ne_bytes([a, b, c, d]), pass);
    asm.load(Half, R2, R7, 4);
    asm.jump_if(If::NotEqual, R2, i32::from(u16::from_ne_bytes([e, f])), pass);
    asm.load(Half, R5, R7, 12);
    asm.alu(Alu::Add, R7, ETHERNET_LEN);
}

/// Steps over tags of IEEE 802.1Q and 802.1ad. VLAN 0 is a priority without a VLAN; the kernel takes such a frame for the
/// interface itself (`__netif_receive_skb_core`).
fn tags(asm: &mut Asm, pass: Label) {
    let untagged = asm.label();
    for _ in 0..TAGS_MAX {
        let tagged = asm.label();
        asm.jump_if(If::Equal, R5, network_order(0x8100), tagged);
        asm.jump_if(If::NotEqual, R5, network_order(0x88a8), untagged);
        asm.place(tagged);
        need(asm, R7, TAG_LEN, pass);
        asm.load(Half, R2, R7, 0);
        asm.alu32(Alu::And, R2, network_order(0x0fff));
        asm.jump_if(If::NotEqual, R2, 0, pass);
        asm.load(Half, R5, R7, 2);
        asm.alu(Alu::Add, R7, TAG_LEN);
    }
    asm.place(untagged);
}

/// Where the source stands in the header, and on the stack for failsafes with a net.
const AT_SOURCE4: i16 = 12;
const AT_SOURCE6: i16 = 8;
const SOURCE4: i16 = -4;
const SOURCE6: i16 = -16;

/// Goes on when the source is blocked, with the protocol in `R9` and the length of the header in `R6`.
fn ipv4(asm: &mut Asm, shape: Shape, pass: Label) {
    need(asm, R7, IPV4_LEN, pass);
    asm.load(Byte, R2, R7, 0);
    asm.alu32(Alu::ShiftRight, R2, 4);
    asm.jump_if(If::NotEqual, R2, 4, pass);
    // More fragments, or an offset: the rules see the whole packet (E-412).
    asm.load(Half, R2, R7, 6);
    asm.alu32(Alu::And, R2, network_order(0x3fff));
    asm.jump_if(If::NotEqual, R2, 0, pass);
    search::blocked(asm, MapName::List4, shape, AT_SOURCE4, pass);
    asm.load(Byte, R6, R7, 0);
    asm.alu32(Alu::And, R6, 0x0f);
    asm.alu32(Alu::ShiftLeft, R6, 2);
    asm.jump_if(If::Less, R6, IPV4_LEN, pass);
    asm.load(Byte, R9, R7, 9);
}

/// Goes on when the source is blocked, with the protocol in `R9`.
fn ipv6(asm: &mut Asm, shape: Shape, pass: Label) {
    need(asm, R7, IPV6_LEN, pass);
    asm.load(Byte, R2, R7, 0);
    asm.alu32(Alu::ShiftRight, R2, 4);
    asm.jump_if(If::NotEqual, R2, 6, pass);
    asm.load(Byte, R2, R7, 6);
    for extension in EXTENSIONS {
        asm.jump_if(If::Equal, R2, i32::from(extension), pass);
    }
    search::blocked(asm, MapName::List6, shape, AT_SOURCE6, pass);
    asm.load(Byte, R9, R7, 6);
}

/// Where the index of an array's element stands on the stack. At no multiple of eight: there the kernel would follow the
/// number, and put a barrier behind each store for those who have not CAP_PERFMON.
pub(crate) const KEY: i16 = -20;

/// Leaves the address of the value with the index at [`KEY`], of the map in `R1`, in `R0`.
pub(crate) fn lookup(asm: &mut Asm, absent: Label) {
    asm.alu_by(Alu::Move, R2, R10);
    asm.alu(Alu::Add, R2, i32::from(KEY));
    asm.call(Helper::MapLookup);
    asm.jump_if64(If::Equal, R0, 0, absent);
}

/// Goes to `pass` for what S1 leaves alone whatever its source.
fn exempt(asm: &mut Asm, family: Family, failsafes: &Failsafes, pass: Label) {
    let done = asm.label();
    keep_source(asm, family, failsafes);
    if family == Family::V6 {
        essential_types(asm, pass, done);
    }
    let with_ports = asm.label();
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
        asm.jump_if(If::Equal, R9, i32::from(protocol.0), with_ports);
    }
    asm.jump(done);
    asm.place(with_ports);
    match family {
        Family::V4 => skip_header(asm, pass),
        Family::V6 => asm.alu(Alu::Add, R7, IPV6_LEN),
    }
    need(asm, R7, PORTS_LEN, pass);
    asm.load(Half, R3, R7, 0);
    asm.load(Half, R4, R7, 2);
    for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
        let next = asm.label();
        asm.jump_if(If::NotEqual, R9, i32::from(protocol.0), next);
        if (family, protocol) == (Family::V6, Protocol::UDP) {
            asm.jump_if(If::Equal, R4, network_order(DHCPV6_CLIENT_PORT), pass);
        }
        for (port, list) in [(R4, &failsafes.inbound), (R3, &failsafes.outbound)] {
            for failsafe in list.iter().filter(|failsafe| failsafe.protocol == protocol) {
                exempt_port(asm, family, port, failsafe, pass);
            }
        }
        asm.jump(done);
        asm.place(next);
    }
    asm.place(done);
}

/// Copies the source to the stack where an entry asks for it.
fn keep_source(asm: &mut Asm, family: Family, failsafes: &Failsafes) {
    let nets = failsafes.inbound.iter().chain(&failsafes.outbound).filter_map(|failsafe| failsafe.net);
    if !nets.into_iter().any(|net| Family::of_net(net) == family) {
        return;
    }
    let (from, to, len) = match family {
        Family::V4 => (AT_SOURCE4, SOURCE4, 4),
        Family::V6 => (AT_SOURCE6, SOURCE6, 16),
    };
    for offset in (0..len).step_by(4) {
        asm.load(Word, R2, R7, from + offset);
        asm.store(Word, R10, to + offset, R2);
    }
}

/// Steps over an IPv4 header of the length in `R6`, by numbers: the kernel lets nobody add a register to a packet's address
/// who has not CAP_PERFMON too.
fn skip_header(asm: &mut Asm, pass: Label) {
    let done = asm.label();
    for len in (IPV4_LEN..=IPV4_LEN_MAX).step_by(4) {
        let other = asm.label();
        asm.jump_if(If::NotEqual, R6, len, other);
        asm.alu(Alu::Add, R7, len);
        asm.jump(done);
        asm.place(other);
    }
    asm.jump(pass);
    asm.place(done);
}

fn essential_types(asm: &mut Asm, pass: Label, done: Label) {
    let other = asm.label();
    asm.jump_if(If::NotEqual, R9, i32::from(Protocol::ICMPV6.0), other);
    need(asm, R7, IPV6_LEN + 1, pass);
    asm.load(Byte, R2, R7, IPV6_LEN as i16);
    for types in ESSENTIAL_TYPES {
        let outside = asm.label();
        asm.jump_if(If::Less, R2, i32::from(*types.start()), outside);
        asm.jump_if(If::Greater, R2, i32::from(*types.end()), outside);
        asm.jump(pass);
        asm.place(outside);
    }
    asm.jump(done);
    asm.place(other);
}

/// Goes to `pass` when the port in `port` is that of the entry and the source is in its net (E-503, E-504).
fn exempt_port(asm: &mut Asm, family: Family, port: Reg, failsafe: &Failsafe, pass: Label) {
    let number = network_order(failsafe.port);
    let (words, source) = match failsafe.net {
        None => return asm.jump_if(If::Equal, port, number, pass),
        Some(net) if Family::of_net(net) != family => return,
        Some(net) => match net.trunc() {
            IpNet::V4(net) => (words(&net.network().octets(), &net.netmask().octets()), SOURCE4),
            IpNet::V6(net) => (words(&net.network().octets(), &net.netmask().octets()), SOURCE6),
        },
    };
    let other = asm.label();
    asm.jump_if(If::NotEqual, port, number, other);
    for (offset, (value, mask)) in (source..).step_by(4).zip(words) {
        if mask != 0 {
            asm.load(Word, R2, R10, offset);
            asm.alu32(Alu::And, R2, mask);
            asm.jump_if(If::NotEqual, R2, value, other);
        }
    }
    asm.jump(pass);
    asm.place(other);
}

/// An address and its mask in words as they are loaded from the stack.
fn words(address: &[u8], mask: &[u8]) -> Vec<(i32, i32)> {
    let (addresses, masks) = (address.as_chunks().0, mask.as_chunks().0);
    addresses.iter().zip(masks).map(|(a, m)| (i32::from_ne_bytes(*a), i32::from_ne_bytes(*m))).collect()
}

/// Leaves the address of the one value of an array in `R0`.
fn first(asm: &mut Asm, map: MapName, absent: Label) {
    asm.store_number(Word, R10, KEY, 0);
    asm.load_map(R1, map);
    lookup(asm, absent);
}

fn unless_held(asm: &mut Asm, pass: Label) {
    first(asm, MapName::Hold, pass);
    asm.load(Word, R2, R0, 0);
    asm.jump_if(If::NotEqual, R2, 0, pass);
}

fn count(asm: &mut Asm) {
    let absent = asm.label();
    first(asm, MapName::Drops, absent);
    asm.load(Double, R2, R0, 0);
    asm.alu(Alu::Add, R2, 1);
    asm.store(Double, R0, 0, R2);
    asm.place(absent);
}
