//! One item, kept small: a cluster has hundreds of thousands.

use std::net::IpAddr;

use ipnet::IpNet;
use smallvec::SmallVec;
use tortie_api::model::{EndpointPort, Labels, Resource};
use tortie_api::{Kind, ResourceKey};
use tortie_selector::scope::NAMESPACE_LABEL;

use super::Hash;
use super::labelling::LabellingId;
use crate::policy::SetId;
use crate::sets::Member;
use crate::texts::{Text, Texts};

/// One item.
#[derive(Debug)]
pub(crate) struct Item {
    kind: Kind,
    namespace: Option<Text>,
    /// The name, and behind it the interface of a workload endpoint.
    names: Box<str>,
    /// How long the name is, in bytes.
    name_len: u32,
    /// Of a workload endpoint that names an interface (E-442).
    node: Option<Text>,
    pub(crate) labelling: LabellingId,
    /// Its place among the items of its labelling.
    pub(super) place: u32,
    /// Whether it was not there when changes were last taken.
    pub(super) is_new: bool,
    /// Of its key.
    pub(super) hash: Hash,
    pub(crate) body: Body,
}

/// What an item adds to sets.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Body {
    /// Networks it adds to the sets of selectors that it satisfies, masked.
    nets: Nets,
    /// Of endpoints, whose networks are addresses. Most have none.
    #[expect(clippy::box_collection, reason = "a thin pointer for what nearly no item has")]
    ports: Option<Box<Vec<EndpointPort>>>,
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
    fn of(mut nets: impl ExactSizeIterator<Item = IpNet>) -> Nets {
        match nets.len() {
            1 => nets.next().map_or(Nets::None, Nets::One),
            0 => Nets::None,
            _ => Nets::Many(nets.collect()),
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
            ports: (!ports.is_empty()).then(|| Box::new(ports.to_vec())),
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
                body: Body { nets: Nets::of(set.nets.iter().map(IpNet::trunc)), ports: None },
            }),
            _ => None,
        }
    }
}

impl Parts<'_> {
    /// The node and interface of a workload endpoint that names one.
    pub(super) fn workload(&self) -> Option<(&str, &str)> {
        self.workload
    }

    /// Holds the texts of labels, values and profiles, and puts them down in this order; gives how many labels there are.
    pub(super) fn words(&self, texts: &mut Texts, words: &mut SmallVec<[Text; 32]>) -> u32 {
        let of_namespace = self.namespace.as_ref().map(|(namespace, _)| (NAMESPACE_LABEL, *namespace));
        let own = self.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        let own = own.filter(|(label, _)| of_namespace.is_none() || *label != NAMESPACE_LABEL).chain(of_namespace);
        for (label, value) in own {
            words.extend([texts.hold(label), texts.hold(value)]);
        }
        let labels = u32::try_from(words.len() / 2).expect("a resource is not that large");
        let of_namespace = self.namespace.as_ref().map(|(_, profile)| profile);
        words.extend(self.profiles.iter().chain(of_namespace).map(|profile| texts.hold(profile)));
        labels
    }
}

impl Item {
    /// Holds the texts of its key and its node. Its place and its hash are not known yet.
    pub(super) fn new(key: &ResourceKey, parts: Parts<'_>, labelling: LabellingId, texts: &mut Texts) -> Item {
        let (node, interface) = parts.workload.unzip();
        let interface = interface.unwrap_or_default();
        let mut names = String::with_capacity(key.name.len() + interface.len());
        names.extend([key.name.as_str(), interface]);
        Item {
            kind: key.kind,
            namespace: key.namespace.as_deref().map(|namespace| texts.hold(namespace)),
            names: names.into_boxed_str(),
            name_len: u32::try_from(key.name.len()).expect("a name is not that long"),
            node: node.map(|node| texts.hold(node)),
            labelling,
            place: 0,
            is_new: false,
            hash: Hash::default(),
            body: parts.body,
        }
    }

    /// Gives the texts back that it holds.
    pub(super) fn release(&self, texts: &mut Texts) {
        self.namespace.into_iter().chain(self.node).for_each(|text| texts.release(text));
    }

    /// Kind, namespace and name.
    pub(super) fn key(&self) -> (Kind, Option<Text>, &str) {
        (self.kind, self.namespace, &self.names[..self.name_len as usize])
    }

    pub(super) fn resource_key(&self, texts: &Texts) -> ResourceKey {
        let (kind, namespace, name) = self.key();
        ResourceKey { kind, namespace: namespace.map(|text| texts.text(text).to_owned()), name: name.to_owned() }
    }

    /// The node and interface of a workload endpoint that names one.
    pub(crate) fn workload<'a>(&'a self, texts: &'a Texts) -> Option<(&'a str, &'a str)> {
        self.node.map(|node| (texts.text(node), &self.names[self.name_len as usize..]))
    }
}

impl Body {
    /// What it adds to a set whose selector its labels satisfy, in order.
    pub(crate) fn members(&self, id: &SetId) -> Vec<Member> {
        let nets = self.nets.as_slice();
        let mut members: Vec<Member> = match id {
            SetId::Selector(_) => nets.iter().copied().map(Member::Net).collect(),
            SetId::NamedPort { name, protocol, .. } => {
                let is_meant =
                    |port: &&EndpointPort| *port.name == **name && protocol.is_none_or(|p| p == port.protocol);
                let at = |port: &EndpointPort| {
                    let (protocol, number) = (port.protocol, port.port);
                    nets.iter().map(move |net| Member::Port(net.addr(), protocol, number)).collect::<Vec<_>>()
                };
                self.ports.iter().flat_map(|ports| ports.iter()).filter(is_meant).flat_map(at).collect()
            }
        };
        members.sort_unstable();
        members.dedup();
        members
    }
}
