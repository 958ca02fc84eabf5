//! A world and one packet as a file that people read and tests replay.
//!
//! The first document says what is not a resource: settings, links, the packet, and for the kernel's road who sends it
//! and which flow was there before. The resources follow, as `tortie apply` takes them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tortie_api::facts::Link;
use tortie_api::model::{Protocol, Resource};
use tortie_api::packet::{ConnState, Dnat, Packet, Route, WayBack};
use tortie_api::print::to_yaml;
use tortie_api::yaml::from_yaml;
use tortie_api::{Kind, read_stored};
use tortie_testkit::generators::{HOST_ACTIONS, World};
use tortie_testkit::stored::stored;

use crate::lab::{Probe, Shape, Tuple, interface};

/// A world, a packet, and what was found.
#[derive(Clone, Debug)]
pub struct Case {
    /// What was found, for people.
    pub title: String,
    /// Everything that the verdict depends on.
    pub world: World,
    /// The packet as the reference and the interpreter judge it.
    pub packet: Packet,
    /// How the lab sends it, for the kernel's road.
    pub probe: Option<Probe>,
}

/// Why a file is no case.
#[derive(Debug, thiserror::Error)]
#[error("not a case: {0}")]
pub struct NotACase(String);

impl Case {
    /// The text of the file.
    pub fn to_text(&self) -> String {
        let head = Head {
            settings: SettingsText::of(&self.world),
            links: self.world.links.values().map(LinkText::of).collect(),
            packet: PacketText::of(&self.packet),
            probe: self.probe.as_ref().map(ProbeText::of),
        };
        let head = serde_json::to_value(head).expect("texts and numbers are JSON");
        let title: String = self.title.lines().map(|line| format!("# {line}").trim_end().to_owned() + "\n").collect();
        let documents = self.world.resources.iter().map(|resource| format!("---\n{}", to_yaml(&stored(resource))));
        title + &to_yaml(&head) + &documents.collect::<String>()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`NotACase`] with what is wrong.
    pub fn from_text(text: &str) -> Result<Case, NotACase> {
        let fail = |problem: &dyn std::fmt::Display| NotACase(problem.to_string());
        let documents =
            from_yaml(text).map_err(|problems| fail(&problems.first().map_or(String::new(), ToString::to_string)))?;
        let mut documents = documents.into_iter();
        let head = documents.next().ok_or_else(|| fail(&"the file is empty"))?;
        let head: Head = serde_json::from_value(head).map_err(|error| fail(&error))?;
        let mut world = head.settings.world()?;
        for document in documents {
            world.resources.push(resource(&document)?);
        }
        for link in &head.links {
            world.links.insert(link.name.clone(), link.link()?);
        }
        let title = text.lines().map_while(|line| line.strip_prefix('#')).map(|line| line.trim_start().to_owned());
        Ok(Case {
            title: title.collect::<Vec<_>>().join("\n"),
            world,
            packet: head.packet.packet()?,
            probe: head.probe.map(|probe| probe.probe()).transpose()?,
        })
    }
}

fn resource(document: &serde_json::Value) -> Result<Resource, NotACase> {
    let kind = document["kind"].as_str().unwrap_or_default();
    let kind = Kind::from_document(kind).ok_or_else(|| NotACase(format!("kind `{kind}` is not known")))?;
    match read_stored(kind, document) {
        Ok(stored) => Ok(stored.resource),
        Err(problems) => Err(NotACase(format!("{kind}: {}", problems[0]))),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    settings: SettingsText,
    #[serde(default)]
    links: Vec<LinkText>,
    packet: PacketText,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<ProbeText>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SettingsText {
    failsafe_inbound: Vec<FailsafeText>,
    failsafe_outbound: Vec<FailsafeText>,
    is_loopback_exempt: bool,
    drops_invalid: bool,
    allows_ipv6_essentials: bool,
    ignores_http: bool,
    interface_exclude: Vec<String>,
    endpoint_to_host_action: Option<String>,
    drops_unknown_workloads: bool,
    drops_unknown_beside_known_only: bool,
    polices_ipv6: bool,
    rejects: bool,
    filter_allow_returns: bool,
    mangle_allow_returns: bool,
    mark_mask: String,
    set_size_max: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FailsafeText {
    protocol: String,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    net: Option<IpNet>,
}

impl SettingsText {
    fn of(world: &World) -> SettingsText {
        let failsafes = |list: &[(Protocol, u16, Option<IpNet>)]| {
            let entry = |(protocol, port, net): &(Protocol, u16, Option<IpNet>)| FailsafeText {
                protocol: protocol.to_string(),
                port: *port,
                net: *net,
            };
            list.iter().map(entry).collect()
        };
        SettingsText {
            failsafe_inbound: failsafes(&world.failsafes[0]),
            failsafe_outbound: failsafes(&world.failsafes[1]),
            is_loopback_exempt: world.is_loopback_exempt,
            drops_invalid: world.drops_invalid,
            allows_ipv6_essentials: world.allows_ipv6_essentials,
            ignores_http: world.ignores_http,
            interface_exclude: world.interface_exclude.clone(),
            endpoint_to_host_action: world.endpoint_to_host_action.map(|at| HOST_ACTIONS[at].to_owned()),
            drops_unknown_workloads: world.drops_unknown_workloads,
            drops_unknown_beside_known_only: world.drops_unknown_beside_known_only,
            polices_ipv6: world.polices_ipv6,
            rejects: world.rejects,
            filter_allow_returns: world.filter_allow_returns,
            mangle_allow_returns: world.mangle_allow_returns,
            mark_mask: format!("{:#010x}", world.mark_mask),
            set_size_max: world.set_size_max,
        }
    }

    fn world(&self) -> Result<World, NotACase> {
        let failsafes = |list: &[FailsafeText]| -> Result<Vec<_>, NotACase> {
            list.iter().map(|entry| Ok((protocol(&entry.protocol)?, entry.port, entry.net))).collect()
        };
        let action = match &self.endpoint_to_host_action {
            None => None,
            Some(name) => Some(
                HOST_ACTIONS
                    .iter()
                    .position(|action| action == name)
                    .ok_or_else(|| NotACase(format!("action `{name}` is not known")))?,
            ),
        };
        let mask = self.mark_mask.trim_start_matches("0x");
        Ok(World {
            resources: Vec::new(),
            links: BTreeMap::new(),
            failsafes: [failsafes(&self.failsafe_inbound)?, failsafes(&self.failsafe_outbound)?],
            is_loopback_exempt: self.is_loopback_exempt,
            drops_invalid: self.drops_invalid,
            allows_ipv6_essentials: self.allows_ipv6_essentials,
            ignores_http: self.ignores_http,
            interface_exclude: self.interface_exclude.clone(),
            endpoint_to_host_action: action,
            drops_unknown_workloads: self.drops_unknown_workloads,
            drops_unknown_beside_known_only: self.drops_unknown_beside_known_only,
            polices_ipv6: self.polices_ipv6,
            rejects: self.rejects,
            filter_allow_returns: self.filter_allow_returns,
            mangle_allow_returns: self.mangle_allow_returns,
            mark_mask: u32::from_str_radix(mask, 16).map_err(|error| NotACase(format!("markMask: {error}")))?,
            set_size_max: self.set_size_max,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LinkText {
    name: String,
    index: u32,
    is_running: bool,
    addresses: Vec<String>,
}

impl LinkText {
    fn of(link: &Link) -> LinkText {
        LinkText {
            name: link.name.clone(),
            index: link.index,
            is_running: link.is_running,
            addresses: link.addresses.iter().map(ToString::to_string).collect(),
        }
    }

    fn link(&self) -> Result<Link, NotACase> {
        Ok(Link {
            index: self.index,
            name: self.name.clone(),
            is_running: self.is_running,
            controller: None,
            addresses: self.addresses.iter().map(|text| address(text)).collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PacketText {
    #[serde(skip_serializing_if = "Option::is_none")]
    in_interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_interface: Option<String>,
    source: String,
    destination: String,
    protocol: String,
    source_port: u16,
    destination_port: u16,
    icmp_type: u8,
    icmp_code: u8,
    hop_limit: u8,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dnat: Option<DnatText>,
    way_back: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DnatText {
    destination: String,
    destination_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_interface_before: Option<String>,
}

const STATES: [(&str, ConnState); 5] = [
    ("new", ConnState::New),
    ("established", ConnState::Established),
    ("related", ConnState::Related),
    ("invalid", ConnState::Invalid),
    ("untracked", ConnState::Untracked),
];
const WAYS_BACK: [(&str, WayBack); 3] = [
    ("same interface", WayBack::SameInterface),
    ("other interface", WayBack::OtherInterface),
    ("nowhere", WayBack::Nowhere),
];

impl PacketText {
    fn of(packet: &Packet) -> PacketText {
        let (in_interface, out_interface) = match packet.route.clone() {
            Route::Delivered { in_interface } => (Some(in_interface), None),
            Route::Generated { out_interface } => (None, Some(out_interface)),
            Route::Forwarded { in_interface, out_interface } => (Some(in_interface), Some(out_interface)),
        };
        PacketText {
            in_interface,
            out_interface,
            source: packet.source.to_string(),
            destination: packet.destination.to_string(),
            protocol: packet.protocol.to_string(),
            source_port: packet.source_port,
            destination_port: packet.destination_port,
            icmp_type: packet.icmp_type,
            icmp_code: packet.icmp_code,
            hop_limit: packet.hop_limit,
            state: name(&STATES, packet.state),
            dnat: packet.dnat.as_ref().map(|dnat| DnatText {
                destination: dnat.destination.to_string(),
                destination_port: dnat.destination_port,
                out_interface_before: dnat.out_interface_before.clone(),
            }),
            way_back: name(&WAYS_BACK, packet.way_back),
        }
    }

    fn packet(&self) -> Result<Packet, NotACase> {
        let route = match (self.in_interface.clone(), self.out_interface.clone()) {
            (Some(in_interface), None) => Route::Delivered { in_interface },
            (None, Some(out_interface)) => Route::Generated { out_interface },
            (Some(in_interface), Some(out_interface)) => Route::Forwarded { in_interface, out_interface },
            (None, None) => return Err(NotACase("the packet has no interface".to_owned())),
        };
        let dnat = match &self.dnat {
            None => None,
            Some(dnat) => Some(Dnat {
                destination: address(&dnat.destination)?,
                destination_port: dnat.destination_port,
                out_interface_before: dnat.out_interface_before.clone(),
            }),
        };
        Ok(Packet {
            route,
            source: address(&self.source)?,
            destination: address(&self.destination)?,
            protocol: protocol(&self.protocol)?,
            source_port: self.source_port,
            destination_port: self.destination_port,
            icmp_type: self.icmp_type,
            icmp_code: self.icmp_code,
            hop_limit: self.hop_limit,
            state: value(&STATES, &self.state)?,
            dnat,
            way_back: value(&WAYS_BACK, &self.way_back)?,
        })
    }
}

/// How the lab sends a packet; the packet is the one before any stage.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProbeText {
    packet: PacketText,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<FlowText>,
    has_options: bool,
    is_fragmented: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FlowText {
    protocol: String,
    source: String,
    source_port: u16,
    destination: String,
    destination_port: u16,
}

impl ProbeText {
    fn of(probe: &Probe) -> ProbeText {
        ProbeText {
            packet: PacketText::of(&probe.packet),
            from: probe.from.map(str::to_owned),
            flow: probe.flow.map(|flow| FlowText {
                protocol: flow.protocol.to_string(),
                source: flow.source.0.to_string(),
                source_port: flow.source.1,
                destination: flow.destination.0.to_string(),
                destination_port: flow.destination.1,
            }),
            has_options: probe.shape.has_options,
            is_fragmented: probe.shape.is_fragmented,
            about: probe.shape.about.map(|about| about.to_string()),
        }
    }

    fn probe(&self) -> Result<Probe, NotACase> {
        let from = match &self.from {
            None => None,
            Some(name) => Some(interface(name).ok_or_else(|| NotACase(format!("the lab has no interface `{name}`")))?),
        };
        let flow = match &self.flow {
            None => None,
            Some(flow) => Some(Tuple {
                protocol: protocol(&flow.protocol)?,
                source: (address(&flow.source)?, flow.source_port),
                destination: (address(&flow.destination)?, flow.destination_port),
            }),
        };
        let about = self.about.as_deref().map(address).transpose()?;
        let shape = Shape { number: 1, has_options: self.has_options, is_fragmented: self.is_fragmented, about };
        Ok(Probe { packet: self.packet.packet()?, from, flow, shape })
    }
}

fn name<T: PartialEq>(names: &[(&str, T)], value: T) -> String {
    names.iter().find(|(_, named)| *named == value).map(|(name, _)| (*name).to_owned()).unwrap_or_default()
}

fn value<T: Copy>(names: &[(&str, T)], text: &str) -> Result<T, NotACase> {
    let found = names.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| NotACase(format!("`{text}` is not known")))
}

fn address(text: &str) -> Result<IpAddr, NotACase> {
    text.parse().map_err(|_| NotACase(format!("`{text}` is not an address")))
}

fn protocol(text: &str) -> Result<Protocol, NotACase> {
    let named = Protocol::NAMES.iter().find(|(name, _)| *name == text).map(|(_, protocol)| *protocol);
    let numbered = || text.parse().ok().map(Protocol);
    named.or_else(numbered).ok_or_else(|| NotACase(format!("protocol `{text}` is not known")))
}
