//! One item, kept small: a cluster has hundreds of thousands.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_api::model::{EndpointPort, Labels, Resource};
use tortie_selector::scope::NAMESPACE_LABEL;

use crate::policy::SetId;
use crate::sets::Member;
use crate::texts::{Text, Texts};

/// One item.
#[derive(Debug)]
pub(crate) struct Item {
    /// Labels with their values, then the names of profiles.
    words: Box<[Text]>,
    /// How many labels stand in `words`.
    labels: u32,
    pub(crate) body: Body,
    /// The node and interface of a workload endpoint that names one (E-442).
    workload: Option<(Text, Box<str>)>,
    /// The sets it is a member of, by number, in order.
    pub(crate) sets: Vec<u32>,
}

/// What an item adds to sets.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Body {
    /// Networks it adds to the sets of selectors that it satisfies, masked.
    nets: Nets,
    /// Of endpoints, whose networks are addresses. Most have none.
    ports: Box<[EndpointPort]>,
}

/// Most items have one network.
#[derive(Debug, Default, PartialEq)]
enum Nets {
    #[default]
    None,
    One(IpNet),
    Many(Box<[IpNet]>),
}

impl Nets {
    fn of(nets: impl Iterator<Item = IpNet>) -> Nets {
        let nets: Box<[IpNet]> = nets.collect();
        match *nets {
            [] => Nets::None,
            [one] => Nets::One(one),
            _ => Nets::Many(nets),
        }
    }

    fn as_slice(&self) -> &[IpNet] {
        match self {
            Nets::None => &[],
            Nets::One(net) => std::slice::from_ref(net),
            Nets::Many(nets) => nets,
        }
    }
}

/// What of a resource makes an item.
pub(crate) struct Parts<'a> {
    labels: &'a Labels,
    namespace: Option<(&'a str, String)>,
    profiles: &'a [String],
    workload: Option<(&'a str, &'a str)>,
    body: Body,
}

impl Parts<'_> {
    pub(crate) fn of(resource: &Resource) -> Option<Parts<'_>> {
        let endpoint = |addresses: &[IpAddr], ports: &[EndpointPort]| Body {
            nets: Nets::of(addresses.iter().map(|address| IpNet::from(*address))),
            ports: ports.into(),
        };
        match resource {
            Resource::HostEndpoint(hep) => Some(Parts {
                labels: &hep.meta.labels,
                namespace: None,
                profiles: &hep.profiles,
                workload: None,
                body: endpoint(&hep.expected_ips, &hep.ports),
            }),
            Resource::WorkloadEndpoint(wep) => Some(Parts {
                labels: &wep.meta.labels,
                namespace: None,
                profiles: &wep.profiles,
                workload: wep.interface.as_deref().map(|interface| (wep.node.as_str(), interface)),
                body: endpoint(&wep.addresses, &wep.ports),
            }),
            Resource::NetworkSet(set) => Some(Parts {
                labels: &set.meta.labels,
                namespace: set.meta.namespace.as_deref().map(|namespace| (namespace, format!("kns.{namespace}"))),
                profiles: &[],
                workload: None,
                body: Body { nets: Nets::of(set.nets.iter().map(IpNet::trunc)), ports: Box::default() },
            }),
            _ => None,
        }
    }
}

impl Item {
    /// Holds the texts of the labels and profiles.
    pub(crate) fn new(parts: Parts<'_>, texts: &mut Texts) -> Item {
        let of_namespace = parts.namespace.as_ref().map(|(namespace, _)| (NAMESPACE_LABEL, *namespace));
        let own = parts.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        let own = own.filter(|(label, _)| of_namespace.is_none() || *label != NAMESPACE_LABEL).chain(of_namespace);
        let mut words = Vec::with_capacity(2 * (parts.labels.len() + 1) + parts.profiles.len() + 1);
        for (label, value) in own {
            words.extend([texts.hold(label), texts.hold(value)]);
        }
        let labels = u32::try_from(words.len() / 2).expect("a resource is not that large");
        let of_namespace = parts.namespace.as_ref().map(|(_, profile)| profile);
        words.extend(parts.profiles.iter().chain(of_namespace).map(|profile| texts.hold(profile)));
        let workload = parts.workload.map(|(node, interface)| (texts.hold(node), interface.into()));
        Item { words: words.into_boxed_slice(), labels, body: parts.body, workload, sets: Vec::new() }
    }

    /// All texts that it holds.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Text> {
        self.words.iter().copied().chain(self.workload.as_ref().map(|(node, _)| *node))
    }

    /// The node and interface of a workload endpoint that names one.
    pub(crate) fn workload<'a>(&'a self, texts: &'a Texts) -> Option<(&'a str, &'a str)> {
        self.workload.as_ref().map(|(node, interface)| (texts.text(*node), &**interface))
    }

    /// Own labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (Text, Text)> {
        self.words[..2 * self.labels as usize].chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    pub(crate) fn label(&self, name: Text) -> Option<Text> {
        self.labels().find(|(label, _)| *label == name).map(|(_, value)| value)
    }

    /// Profiles in order.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = Text> {
        self.words[2 * self.labels as usize..].iter().copied()
    }
}

impl Body {
    /// What it adds to a set whose selector it satisfies, in order.
    pub(crate) fn members(&self, id: &SetId) -> Vec<Member> {
        let nets = self.nets.as_slice();
        let mut members: Vec<Member> = match id {
            SetId::Selector(_) => nets.iter().copied().map(Member::Net).collect(),
            SetId::NamedPort { name, protocol, .. } => {
                let named = self
                    .ports
                    .iter()
                    .filter(|port| *port.name == **name && protocol.is_none_or(|p| p == port.protocol));
                let at = |port: &EndpointPort| {
                    let (protocol, number) = (port.protocol, port.port);
                    nets.iter().map(move |net| Member::Port(net.addr(), protocol, number)).collect::<Vec<_>>()
                };
                named.flat_map(at).collect()
            }
        };
        members.sort_unstable();
        members.dedup();
        members
    }
}
