//! Clusters in the shapes of the benchmark of Calico's calculation graph.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::{
    Action, Attachment, HostEndpoint, Labels, Meta, NetworkSet, Profile, Resource, Rule, Tier, TierAction,
    WorkloadEndpoint,
};
use tortie_selector::Selector;

use crate::policies;

pub(crate) const NODE: &str = "here";
const NAMESPACES: usize = 100;
const PORTION: usize = 1000;
/// Rules of each policy that reads labels of endpoints.
const RULES: usize = 5;
/// The label that one policy reads.
const LONE: &str = "example.org/lone";
/// Labels that policies read; each endpoint has one of them.
const MARKERS: usize = 29;
/// How many networks the sets have, in turn.
const SET_SIZES: [usize; 10] = [1, 1, 1, 1, 2, 3, 4, 5, 100, 1000];

/// How much of everything there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Workload endpoints of other nodes.
    pub(crate) endpoints: usize,
    /// Host endpoints here.
    pub(crate) local: usize,
    /// Policies that select a part of the endpoints, with rules for parts of the endpoints.
    pub(crate) policies: usize,
    /// Network sets, each with a policy of its own that selects all endpoints.
    pub(crate) sets: usize,
}

impl Shape {
    pub(crate) const ALL: [(&str, Shape); 3] = [
        ("endpoints", Shape { endpoints: 250_000, local: 200, policies: 10_000, sets: 0 }),
        ("sets-1000", Shape { endpoints: 10_000, local: 200, policies: 0, sets: 1_000 }),
        ("sets-10000", Shape { endpoints: 10_000, local: 200, policies: 0, sets: 10_000 }),
    ];

    /// A tenth of the cluster, the same host.
    pub(crate) fn tenth(&self) -> Shape {
        Shape { endpoints: self.endpoints / 10, policies: self.policies / 10, sets: self.sets / 10, ..*self }
    }

    /// What its text says.
    pub(crate) fn parse(text: &str) -> Option<Shape> {
        let numbers: Vec<usize> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect();
        let [endpoints, local, policies, sets] = numbers[..] else { return None };
        Some(Shape { endpoints, local, policies, sets })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { endpoints, local, policies, sets } = self;
        write!(f, "{endpoints} endpoints elsewhere, {local} here, {policies} policies, {sets} sets with a policy each")
    }
}

/// A cluster, of which each object is made when it is asked for.
pub(crate) struct World {
    shape: Shape,
}

impl World {
    pub(crate) fn new(shape: Shape) -> World {
        World { shape }
    }

    /// All objects, some at a time.
    pub(crate) fn portions(&self) -> impl Iterator<Item = Box<dyn Iterator<Item = Resource> + '_>> {
        let Shape { endpoints, local, policies, sets } = self.shape;
        let first: Box<dyn Iterator<Item = Resource>> =
            Box::new(std::iter::once(tier()).chain((0..NAMESPACES).map(profile)));
        std::iter::once(first)
            .chain(in_portions(policies, policy))
            .chain(in_portions(endpoints, workload))
            .chain(in_portions(sets, |n| network_set(n, 0)))
            .chain(in_portions(sets, |n| set_policy(n, Action::Allow)))
            .chain(in_portions(local, |n| host(n, marker(n))))
    }

    /// A workload gets another marker.
    pub(crate) fn remote_label(&self, number: usize) -> Resource {
        let of = number * 7 % self.shape.endpoints;
        let Resource::WorkloadEndpoint(mut workload) = workload(of) else { unreachable!("it is one") };
        workload.meta.labels.remove(&marker(of));
        workload.meta.labels.insert(marker(of + 1 + number % 3), "true".to_owned());
        Resource::WorkloadEndpoint(workload)
    }

    /// A host endpoint gets another marker.
    pub(crate) fn local_label(&self, number: usize) -> Resource {
        host(number % self.shape.local, marker(number % self.shape.local + 1 + number / self.shape.local))
    }

    /// A policy that selects no endpoint yet.
    pub(crate) fn lone_policy(&self) -> Resource {
        let rules = vec![allow_from(Selector::has(&marker(0)), Action::Allow)];
        selecting("lone".to_owned(), Selector::has(LONE), rules)
    }

    /// A host endpoint gets or loses the label of [`World::lone_policy`].
    pub(crate) fn lone_label(&self, number: usize) -> Resource {
        let of = number / 2 % self.shape.local;
        let Resource::HostEndpoint(mut host) = host(of, marker(of)) else { unreachable!("it is one") };
        if number.is_multiple_of(2) {
            host.meta.labels.insert(LONE.to_owned(), "true".to_owned());
        }
        Resource::HostEndpoint(host)
    }

    /// A policy has another action in a rule.
    pub(crate) fn policy_rule(&self, number: usize) -> Resource {
        let of = number * 7 % self.shape.policies.max(self.shape.sets);
        if self.shape.policies == 0 {
            return set_policy(of, Action::Deny);
        }
        let Resource::Policy(mut policy) = policy(of) else { unreachable!("it is one") };
        Arc::make_mut(&mut policy.ingress[0]).action = Action::Deny;
        Resource::Policy(policy)
    }

    /// A network set has a network more, or a workload another address.
    pub(crate) fn set_member(&self, number: usize) -> Resource {
        if self.shape.sets > 0 {
            return network_set(number * 7 % self.shape.sets, 1);
        }
        let Resource::WorkloadEndpoint(mut workload) = workload(number * 11 % self.shape.endpoints) else {
            unreachable!("it is one")
        };
        workload.addresses = vec![address(0x0b00_0000 + number)];
        Resource::WorkloadEndpoint(workload)
    }
}

fn in_portions<'a>(
    count: usize,
    make: impl Fn(usize) -> Resource + Copy + 'a,
) -> impl Iterator<Item = Box<dyn Iterator<Item = Resource> + 'a>> {
    (0..count).step_by(PORTION).map(move |first| {
        let portion: Box<dyn Iterator<Item = Resource>> = Box::new((first..count.min(first + PORTION)).map(make));
        portion
    })
}

fn meta(name: String, labels: Labels) -> Meta {
    Meta { name, labels, ..Meta::default() }
}

fn marker(number: usize) -> String {
    format!("example.org/marker-{}", number % MARKERS)
}

fn labels(number: usize, marker: String) -> Labels {
    let mut labels = Labels::from([(marker, "true".to_owned())]);
    labels.extend([10, 11, 20, 30, 40].map(|part| (format!("one-in-{part}"), format!("value-{}", number % part))));
    labels
}

fn address(number: usize) -> IpAddr {
    Ipv4Addr::from(u32::try_from(number).unwrap()).into()
}

fn tier() -> Resource {
    let meta = meta("default".to_owned(), Labels::new());
    Resource::Tier(Tier { meta, order: Some(1e6), default_action: TierAction::Deny })
}

fn profile(number: usize) -> Resource {
    let name = format!("namespace-{number}");
    Resource::Profile(Profile {
        meta: meta(format!("kns.{name}"), Labels::new()),
        ingress: Vec::new(),
        egress: Vec::new(),
        labels_to_apply: Labels::from([("pcns.projectcalico.org/name".to_owned(), name)]),
    })
}

fn workload(number: usize) -> Resource {
    let namespace = format!("namespace-{}", number % NAMESPACES);
    let name = format!("node--{}-k8s-wep--{number}-eth0", number / 30);
    Resource::WorkloadEndpoint(WorkloadEndpoint {
        meta: Meta { namespace: Some(namespace.clone()), ..meta(name, labels(number, marker(number))) },
        node: format!("node-{}", number / 30),
        interface: Some(format!("cali{number:011x}")),
        profiles: vec![format!("kns.{namespace}")],
        addresses: vec![address(0x0a00_0001 + number)],
        ports: Vec::new(),
    })
}

fn host(number: usize, marker: String) -> Resource {
    Resource::HostEndpoint(HostEndpoint {
        meta: meta(format!("here-{number}"), labels(number, marker)),
        node: NODE.to_owned(),
        attachment: Attachment::Named(format!("eth{number}")),
        expected_ips: vec![address(0xc0a8_0001 + number)],
        profiles: Vec::new(),
        ports: Vec::new(),
    })
}

fn policy(number: usize) -> Resource {
    let rules = (number..number + RULES).map(|n| allow_from(Selector::has(&marker(n)), Action::Allow)).collect();
    selecting(format!("policy-{number}"), Selector::has(&marker(number)), rules)
}

fn set_policy(number: usize, action: Action) -> Resource {
    let from = Selector::equals("network-set-name", &set_name(number));
    selecting(format!("set-policy-{number}"), Selector::all(), vec![allow_from(from, action)])
}

fn allow_from(selector: Selector, action: Action) -> Arc<Rule> {
    let mut rule = Rule::any(action);
    rule.source.selector = Some(selector);
    Arc::new(rule)
}

fn selecting(name: String, selector: Selector, ingress: Vec<Arc<Rule>>) -> Resource {
    Resource::Policy(policies::policy(name, selector, ingress))
}

fn set_name(number: usize) -> String {
    format!("network-set-{number}")
}

fn network_set(number: usize, more: usize) -> Resource {
    let size = SET_SIZES[number % SET_SIZES.len()] + more;
    let nets = (0..size).map(|n| IpNet::from(address(0x1400_0000 + number * 1024 + n))).collect();
    let labels = Labels::from([("network-set-name".to_owned(), set_name(number))]);
    Resource::NetworkSet(NetworkSet { meta: meta(set_name(number), labels), nets })
}
