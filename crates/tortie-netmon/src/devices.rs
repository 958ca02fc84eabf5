//! Links as devices: their hardware addresses, and who takes their frames before the host's stack does.

use std::collections::BTreeMap;
use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp};

use crate::Lister;

/// The hardware address of an Ethernet device.
pub type Mac = [u8; 6];

/// One link of the host's network namespace as a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// The kernel's index.
    pub index: u32,
    /// The present name.
    pub name: String,
    /// The hardware address; `None` when the device is not Ethernet.
    pub mac: Option<Mac>,
    /// The bridge, bond or VRF it is a port of: what arrives is seen as arriving there.
    pub controller: Option<u32>,
    /// The names of VLANs and others that share its frames (`IFLA_LINK`): what arrives may be seen as arriving there.
    pub sharers: Vec<String>,
    /// The numbers of the XDP programs on it.
    pub programs: Vec<(XdpMode, u32)>,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before memory for the packet is taken.
    Driver,
    /// In the kernel, whatever the driver; slower.
    Generic,
    /// In the card.
    Hardware,
}

/// All devices of the present network namespace, by index.
///
/// # Errors
/// When the kernel does not answer.
pub fn devices() -> io::Result<BTreeMap<u32, Device>> {
    let messages = Lister::open()?.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(table(&messages))
}

fn table(messages: &[RouteNetlinkMessage]) -> BTreeMap<u32, Device> {
    let mut devices = BTreeMap::new();
    let mut shared: Vec<(u32, String)> = Vec::new();
    for message in messages {
        let RouteNetlinkMessage::NewLink(link) = message else { continue };
        let device = device(link);
        if let Some(below) = below(link) {
            shared.push((below, device.name.clone()));
        }
        devices.insert(device.index, device);
    }
    for (below, name) in shared {
        if let Some(device) = devices.get_mut(&below) {
            device.sharers.push(name);
        }
    }
    devices
}

fn device(link: &LinkMessage) -> Device {
    let mut device = Device { index: link.header.index, ..Device::default() };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Controller(index) if *index != 0 => device.controller = Some(*index),
            LinkAttribute::Address(address) if link.header.link_layer_type == LinkLayerType::Ether => {
                device.mac = address[..].try_into().ok();
            }
            LinkAttribute::Xdp(list) => device.programs = list.iter().filter_map(program).collect(),
            _ => {}
        }
    }
    device
}

fn program(attribute: &LinkXdp) -> Option<(XdpMode, u32)> {
    match attribute {
        LinkXdp::DrvProgId(id) => Some((XdpMode::Driver, *id)),
        LinkXdp::SkbProgId(id) => Some((XdpMode::Generic, *id)),
        LinkXdp::HwProgId(id) => Some((XdpMode::Hardware, *id)),
        _ => None,
    }
}

/// The device of this namespace whose frames a link shares. Tunnels have one below them too, whose frames the stack sees
/// first, and `veth` has its peer there.
fn below(link: &LinkMessage) -> Option<u32> {
    let shares = link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(list) => list.iter().any(|info| {
            use InfoKind::{IpVlan, IpVtap, MacSec, MacVlan, MacVtap, Vlan};
            matches!(info, LinkInfo::Kind(Vlan | MacVlan | MacVtap | IpVlan | IpVtap | MacSec))
        }),
        _ => false,
    });
    let is_elsewhere = link.attributes.iter().any(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_)));
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Link(index) if shares && !is_elsewhere => Some(*index),
        _ => None,
    })
}
