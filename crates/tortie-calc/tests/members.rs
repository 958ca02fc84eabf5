//! Who is a member of which set, and which policies select what: by indexes, against plain evaluation of everything and
//! against a calculation from scratch (E-202, E-340..E-342; design.md section 2).
#![allow(clippy::unwrap_used, reason = "a test that cannot make its world has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::facts::Links;
use tortie_api::model::{
    Action, Attachment, EndpointPort, Entity, HostEndpoint, Labels, Meta, NetworkSet, Policy, PolicyClass, PolicyKind,
    Port, Profile, Protocol, Resource, Rule, Tier, TierAction, WorkloadEndpoint,
};
use tortie_api::{Kind, ResourceKey};
use tortie_calc::policy::{SetId, SetMembers};
use tortie_calc::{Engine, Settings};
use tortie_selector::Selector;

#[path = "support/random.rs"]
mod random;

use random::Random;

const WORLDS: u64 = 60;
const STEPS: usize = 120;
const NODES: [&str; 2] = ["here", "there"];
const NAMESPACES: [&str; 3] = ["red", "green", "blue"];

impl Random {
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn labels(&mut self, names: &[&str]) -> Labels {
        let mut labels = Labels::new();
        for _ in 0..self.below(3) {
            labels.insert(self.pick(names).to_owned(), self.pick(&["x", "y", ""]).to_owned());
        }
        labels
    }

    fn selector(&mut self, depth: usize) -> Selector {
        let label = self.pick(&["a", "b", "c", "pcns.a", "projectcalico.org/namespace"]);
        let value = self.pick(&["x", "y", "red"]);
        match self.below(if depth == 0 { 8 } else { 12 }) {
            0 => Selector::all(),
            1 => Selector::has(label),
            2 => Selector::not_has(label),
            3 => Selector::is_in(label, ["x", "green"]),
            4 => Selector::equals(label, value).not(),
            5..=7 => Selector::equals(label, value),
            8 => Selector::parse(&format!("{} || {}", self.selector(depth - 1), self.selector(depth - 1))).unwrap(),
            9 => self.selector(depth - 1).not(),
            _ => self.selector(depth - 1).and(&self.selector(depth - 1)),
        }
    }

    fn profiles(&mut self) -> Vec<String> {
        (0..self.below(3)).map(|_| format!("kns.{}", self.pick(&NAMESPACES))).collect()
    }

    fn ports(&mut self) -> Vec<EndpointPort> {
        let port = |random: &mut Random| EndpointPort {
            name: random.pick(&["http", "dns"]).to_owned(),
            protocol: random.pick(&[Protocol::TCP, Protocol::UDP]),
            port: random.pick(&[53, 80]),
        };
        (0..self.below(3)).map(|_| port(self)).collect()
    }

    fn address(&mut self) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + u32::try_from(self.below(12)).unwrap()).into()
    }

    /// An object, with the state that it comes to.
    fn change(&mut self) -> (ResourceKey, Option<Resource>) {
        let name = format!("n{}", self.below(5));
        let meta = Meta { name: name.clone(), labels: self.labels(&["a", "b", "c"]), ..Meta::default() };
        let resource = match self.below(8) {
            0 => Resource::HostEndpoint(HostEndpoint {
                meta,
                node: self.pick(&NODES).to_owned(),
                attachment: if self.one_in(4) {
                    Attachment::AllInterfaces
                } else {
                    Attachment::Named(self.pick(&["eth0", "eth1"]).to_owned())
                },
                expected_ips: vec![self.address()],
                profiles: self.profiles(),
                ports: self.ports(),
            }),
            1 | 2 => {
                let namespace = self.pick(&NAMESPACES);
                let mut meta = Meta { namespace: Some(namespace.to_owned()), ..meta };
                meta.labels.insert("projectcalico.org/namespace".to_owned(), namespace.to_owned());
                Resource::WorkloadEndpoint(WorkloadEndpoint {
                    meta,
                    node: self.pick(&NODES).to_owned(),
                    interface: self.one_in(2).then(|| format!("cali{}", self.below(3))),
                    profiles: vec![format!("kns.{namespace}")],
                    addresses: (0..self.below(3)).map(|_| self.address()).collect(),
                    ports: self.ports(),
                })
            }
            3 => {
                let namespace = self.one_in(2).then(|| self.pick(&NAMESPACES).to_owned());
                let nets = (0..self.below(4)).map(|_| IpNet::from(self.address())).collect();
                Resource::NetworkSet(NetworkSet { meta: Meta { namespace, ..meta }, nets })
            }
            4 => {
                let name = format!("kns.{}", self.pick(&NAMESPACES));
                let labels_to_apply = self.labels(&["a", "b", "pcns.a"]);
                let ingress = if self.one_in(3) { vec![self.rule()] } else { Vec::new() };
                Resource::Profile(Profile { meta: Meta { name, ..meta }, ingress, egress: Vec::new(), labels_to_apply })
            }
            5 if self.one_in(3) => Resource::Tier(Tier {
                meta: Meta { name: self.pick(&["default", "first"]).to_owned(), ..meta },
                order: Some(f64::from(u32::try_from(self.below(3)).unwrap())),
                default_action: self.pick(&[TierAction::Deny, TierAction::Pass]),
            }),
            _ => Resource::Policy(self.policy(meta)),
        };
        (resource.key(), (!self.one_in(4)).then_some(resource))
    }

    fn policy(&mut self, meta: Meta) -> Policy {
        Policy {
            meta,
            kind: self.pick(&[PolicyKind::Global, PolicyKind::Global, PolicyKind::StagedGlobal]),
            tier: self.pick(&["default", "first"]).to_owned(),
            order: self.one_in(2).then(|| f64::from(u32::try_from(self.below(3)).unwrap())),
            selector: self.selector(1),
            namespace_selector: None,
            service_account_selector: None,
            governs_ingress: true,
            governs_egress: self.one_in(2),
            ingress: (0..self.below(3)).map(|_| self.rule()).collect(),
            egress: (0..self.below(2)).map(|_| self.rule()).collect(),
            class: self.pick(&[PolicyClass::Normal, PolicyClass::NormalAndForward, PolicyClass::Untracked]),
            is_staged_inactive: self.one_in(8),
        }
    }

    fn rule(&mut self) -> Arc<Rule> {
        let mut rule = Rule::any(self.pick(&[Action::Allow, Action::Deny]));
        rule.source = Entity {
            selector: self.one_in(2).then(|| self.selector(2)),
            not_selector: self.one_in(4).then(|| self.selector(1)),
            namespace_selector: self.one_in(4).then(|| Selector::equals("a", "x")),
            ..Entity::default()
        };
        if self.one_in(3) {
            rule.protocol = Some(self.pick(&[Protocol::TCP, Protocol::UDP]));
            rule.destination.ports = vec![Port::Named(self.pick(&["http", "dns"]).to_owned())];
            rule.destination.selector = self.one_in(2).then(|| self.selector(1));
        }
        Arc::new(rule)
    }
}

/// What is stored, kept as plainly as can be.
#[derive(Default)]
struct World {
    resources: BTreeMap<ResourceKey, Arc<Resource>>,
    node: String,
}

impl World {
    fn settings(&self) -> Settings {
        Settings { node: self.node.clone(), ..Settings::default() }
    }

    fn calculated(&self, reversed: bool) -> Engine {
        let mut engine = Engine::new(self.settings());
        engine.set_links(Links::new());
        let mut updates: Vec<_> = self.resources.iter().collect();
        if reversed {
            updates.reverse();
        }
        for (key, resource) in updates {
            engine.update(key.clone(), Some(resource.clone()));
        }
        engine.flush();
        engine
    }

    /// Own labels, then those of profiles in order (E-202).
    fn labels(&self, own: &Labels, profiles: &[String]) -> Labels {
        let mut labels = own.clone();
        for profile in profiles {
            if let Some(Resource::Profile(profile)) =
                self.resources.get(&ResourceKey::global(Kind::Profile, profile)).map(Arc::as_ref)
            {
                for (label, value) in &profile.labels_to_apply {
                    labels.insert_missing(label, value);
                }
            }
        }
        labels
    }

    /// Labels, networks and named ports of all objects that have some.
    fn objects(&self) -> impl Iterator<Item = (Labels, Vec<IpNet>, &[EndpointPort])> {
        let nets = |addresses: &[IpAddr]| addresses.iter().map(|address| IpNet::from(*address)).collect();
        self.resources.values().filter_map(move |resource| match &**resource {
            Resource::HostEndpoint(hep) => {
                Some((self.labels(&hep.meta.labels, &hep.profiles), nets(&hep.expected_ips), &hep.ports[..]))
            }
            Resource::WorkloadEndpoint(wep) => {
                Some((self.labels(&wep.meta.labels, &wep.profiles), nets(&wep.addresses), &wep.ports[..]))
            }
            Resource::NetworkSet(set) => {
                let mut own = set.meta.labels.clone();
                let mut profiles = Vec::new();
                if let Some(namespace) = &set.meta.namespace {
                    own.insert("projectcalico.org/namespace".to_owned(), namespace.clone());
                    profiles.push(format!("kns.{namespace}"));
                }
                Some((self.labels(&own, &profiles), set.nets.clone(), &[][..]))
            }
            _ => None,
        })
    }

    fn members(&self, id: &SetId) -> SetMembers {
        let selector = match id {
            SetId::Selector(text) => Some(text),
            SetId::NamedPort { selector, .. } => selector.as_ref(),
        };
        let selector = selector.map(|text| Selector::parse(text).unwrap());
        let selected = self.objects().filter(|(labels, ..)| selector.as_ref().is_none_or(|s| s.matches(labels)));
        match id {
            SetId::Selector(_) => SetMembers::Nets(selected.flat_map(|(_, nets, _)| nets).collect()),
            SetId::NamedPort { name, protocol, .. } => {
                let mut members = BTreeSet::new();
                for (_, nets, ports) in selected {
                    let is_meant = |port: &&EndpointPort| {
                        *port.name == **name && protocol.is_none_or(|protocol| protocol == port.protocol)
                    };
                    for port in ports.iter().filter(is_meant) {
                        members.extend(nets.iter().map(|net| (net.addr(), port.protocol, port.port)));
                    }
                }
                SetMembers::Ports(members)
            }
        }
    }
}

#[test]
fn indexes_find_what_plain_evaluation_finds_whatever_came_before() {
    let (mut sets, mut members, mut moved) = (0, 0, 0);
    for seed in 0..WORLDS {
        let mut random = Random(seed);
        let mut world = World { node: "here".to_owned(), ..World::default() };
        let mut engine = Engine::new(world.settings());
        for step in 0..STEPS {
            for _ in 0..=random.below(4) {
                let (key, resource) = random.change();
                let resource = resource.map(Arc::new);
                match &resource {
                    Some(resource) => world.resources.insert(key.clone(), resource.clone()),
                    None => world.resources.remove(&key),
                };
                engine.update(key, resource);
            }
            if random.one_in(20) {
                world.node = random.pick(&NODES).to_owned();
                engine.set_settings(world.settings());
                moved += 1;
            }
            engine.flush();
            for (id, found) in &engine.policy().sets {
                assert_eq!(**found, world.members(id), "seed {seed}, step {step}, {id:?}");
                (sets, members) = (sets + 1, members + found.len());
            }
            let fresh = world.calculated(step % 2 == 0);
            assert_eq!(engine.policy(), fresh.policy(), "seed {seed}, step {step}");
            assert_eq!(engine.report(), fresh.report(), "seed {seed}, step {step}");
            assert_eq!(engine.contributions(), fresh.contributions(), "seed {seed}, step {step}");
            assert_eq!(engine.needs(), fresh.needs(), "seed {seed}, step {step}");
        }
    }
    assert!(sets > 10_000 && members > 20_000 && moved > 100, "{sets} sets, {members} members, {moved} moves");
}
