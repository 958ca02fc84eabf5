//! Random hosts, policies and packets, from a seed: the same seed always gives the same world.
//!
//! Labels, ports and addresses come from small alphabets, so that things meet; packets are aimed at what the drawn
//! rules speak of, and at the values just beside it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::REVERSE_PATH_ANNOTATION;
use tortie_api::facts::{Link, Links};
use tortie_api::model::{
    Action, Attachment, EndpointPort, Entity, Family, HostEndpoint, IcmpMatch, Labels, Meta, NetworkSet, Policy,
    PolicyClass, PolicyKind, Port, PortRange, Profile, Protocol, Resource, Rule, ServiceAccounts, Tier, TierAction,
    WorkloadEndpoint,
};
use tortie_api::packet::{ConnState, Dnat, Packet, Route, WayBack};
use tortie_selector::Selector;

mod aim;
mod spoil;

pub use spoil::spoiled;

/// The node whose host is judged.
pub const NODE: &str = "n1";

/// A random generator with 64 bits of state (SplitMix64, Steele and others 2014): good enough to draw worlds.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Everything one host is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct World {
    /// Resources of the cluster, in the order in which they were drawn.
    pub resources: Vec<Resource>,
    /// The host's links.
    pub links: Links,
    /// Failsafe entries: protocol, port, network; inward and outward.
    pub failsafes: [Vec<(Protocol, u16, Option<IpNet>)>; 2],
    /// E-121.
    pub is_loopback_exempt: bool,
    /// E-421.
    pub drops_invalid: bool,
    /// E-461.
    pub allows_ipv6_essentials: bool,
    /// E-358.
    pub ignores_http: bool,
    /// E-102.
    pub interface_exclude: Vec<String>,
    /// E-440: the position in [`HOST_ACTIONS`]; `None` is not set.
    pub endpoint_to_host_action: Option<usize>,
    /// E-442.
    pub drops_unknown_workloads: bool,
    /// Whether that counts only on a node with workload endpoints.
    pub drops_unknown_beside_known_only: bool,
    /// E-618.
    pub polices_ipv6: bool,
    /// E-610: whether a deny is answered.
    pub rejects: bool,
    /// E-611.
    pub filter_allow_returns: bool,
    /// E-612.
    pub mangle_allow_returns: bool,
    /// E-617.
    pub mark_mask: u32,
    /// E-351.
    pub set_size_max: usize,
}

/// What may become of packets from workloads to the host.
pub const HOST_ACTIONS: [&str; 3] = ["Drop", "Return", "Accept"];

const LABELS: &[&str] = &["a", "b", "c"];
const VALUES: &[&str] = &["x", "y"];
const TIERS: &[&str] = &["default", "t1", "t2", "missing"];
const PROFILES: &[&str] = &["p1", "p2", "none", "projectcalico-default-allow"];
/// The first one stands here more often, so that endpoints and packets meet on it.
const INTERFACES: &[&str] = &["eth0", "eth0", "eth0", "eth1", "lo", "cali1", "bond0", "kube-ipvs0"];
const PORTS: &[u16] = &[22, 53, 80, 443, 546, 547, 8000, 8099, 0, 65535];
const PORT_NAMES: &[&str] = &["http", "dns", "nobody"];
const PROTOCOLS: &[Protocol] =
    &[Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol::ICMP, Protocol::ICMPV6, Protocol(47), Protocol::UDPLITE];
const ADDRESSES: &[&str] = &[
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "192.0.2.1",
    "127.0.0.1",
    "255.255.255.255",
    "2001:db8::1",
    "2001:db8::2",
    "2001:db8:1::1",
    "fe80::1",
    "::1",
    "::",
    "ff02::1:2",
];
const NETS: &[&str] = &[
    "10.0.0.0/24",
    "10.0.0.0/8",
    "10.0.0.1/32",
    "10.0.0.2/32",
    "192.0.2.0/24",
    "0.0.0.0/0",
    "10.0.1.0/25",
    "2001:db8::/32",
    "2001:db8::1/128",
    "2001:db8:1::/48",
    "::/0",
    "fe80::/10",
];
const SELECTORS: &[&str] = &[
    "all()",
    "a == 'x'",
    "a != 'x'",
    "has(b)",
    "!has(b)",
    "a in {'x','y'} && !has(c)",
    "b == 'y' || c == 'x'",
    "!all()",
    "a not in {'y'}",
    "c starts with ''",
];
const ICMP_TYPES: &[u8] = &[0, 3, 8, 128, 130, 133, 135, 137, 143, 254];

fn address(random: &mut Random) -> IpAddr {
    random.pick(ADDRESSES).parse().expect("the table holds addresses")
}

fn net(random: &mut Random) -> IpNet {
    if !random.one_in(4) {
        return random.pick(NETS).parse().expect("the table holds networks");
    }
    let address = address(random);
    let len_max = if address.is_ipv4() { 32 } else { 128 };
    // Long prefixes more often: they tell neighbours apart.
    let len = len_max - random.below(len_max + 1).min(random.below(len_max + 1));
    IpNet::new(address, len as u8).expect("the length fits the family").trunc()
}

fn selector(random: &mut Random) -> Selector {
    let text: &&str = random.pick(SELECTORS);
    Selector::parse(text).expect("the table holds selectors")
}

fn labels(random: &mut Random) -> Labels {
    let mut labels = Labels::new();
    for _ in 0..random.below(3) {
        labels.insert((*random.pick(LABELS)).to_owned(), (*random.pick(VALUES)).to_owned());
    }
    labels
}

fn meta(random: &mut Random, name: String) -> Meta {
    Meta { name, labels: labels(random), ..Meta::default() }
}

fn some<T>(random: &mut Random, most: usize, mut one: impl FnMut(&mut Random) -> T) -> Vec<T> {
    (0..random.below(most + 1)).map(|_| one(random)).collect()
}

fn order(random: &mut Random) -> Option<f64> {
    *random.pick(&[None, Some(0.0), Some(-1.5), Some(10.0), Some(10.0)])
}

/// Draws a world.
pub fn world(seed: u64) -> World {
    let mut random = Random::new(seed);
    let random = &mut random;
    let mut resources = Vec::new();
    for name in TIERS.iter().filter(|name| **name != "missing") {
        if *name != "default" && random.one_in(3) {
            continue;
        }
        let default_action = *random.pick(&[TierAction::Deny, TierAction::Deny, TierAction::Pass]);
        // A stored tier without an order has the last of these (resources.md section 6).
        let order = Some(*random.pick(&[100.0, 200.0, 200.0, 1_000_000.0]));
        resources.push(Resource::Tier(Tier { meta: meta(random, (*name).to_owned()), order, default_action }));
    }
    for name in PROFILES.iter().take(2) {
        if random.one_in(4) {
            continue;
        }
        let profile = Profile {
            meta: meta(random, (*name).to_owned()),
            ingress: some(random, 3, |r| Arc::new(rule(r, false))),
            egress: some(random, 3, |r| Arc::new(rule(r, false))),
            labels_to_apply: labels(random),
        };
        resources.push(Resource::Profile(profile));
    }
    for number in 0..=random.below(5) {
        resources.push(Resource::HostEndpoint(host_endpoint(random, format!("h{number}"))));
    }
    if random.one_in(3) {
        let labels_to_apply = labels(random);
        let meta = Meta { name: "kns.ns".to_owned(), ..Meta::default() };
        resources.push(Resource::Profile(Profile { meta, ingress: vec![], egress: vec![], labels_to_apply }));
    }
    for number in 0..random.below(3) {
        let mut meta = meta(random, format!("s{number}"));
        meta.namespace = random.one_in(3).then(|| "ns".to_owned());
        resources.push(Resource::NetworkSet(NetworkSet { meta, nets: some(random, 4, net) }));
    }
    for number in 0..random.below(2) {
        let mut meta = meta(random, format!("w{number}"));
        meta.namespace = Some("ns".to_owned());
        meta.labels.insert("projectcalico.org/namespace".to_owned(), "ns".to_owned());
        meta.labels.insert("projectcalico.org/serviceaccount".to_owned(), "sa".to_owned());
        meta.labels.insert("projectcalico.org/orchestrator".to_owned(), String::new());
        resources.push(Resource::WorkloadEndpoint(WorkloadEndpoint {
            meta,
            node: NODE.to_owned(),
            interface: random.one_in(2).then(|| "cali1".to_owned()),
            profiles: vec!["kns.ns".to_owned()],
            addresses: some(random, 2, address),
            ports: some(random, 2, endpoint_port),
        }));
    }
    for number in 0..random.below(9) {
        resources.push(Resource::Policy(policy(random, format!("g{number}"))));
    }
    World {
        resources,
        links: links(random),
        failsafes: [some(random, 3, failsafe), some(random, 3, failsafe)],
        is_loopback_exempt: !random.one_in(3),
        drops_invalid: !random.one_in(5),
        allows_ipv6_essentials: !random.one_in(3),
        ignores_http: random.one_in(5),
        interface_exclude: random
            .pick(&[&["kube-ipvs0"][..], &["kube-ipvs0"], &[], &["cali1", "eth1"]])
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        endpoint_to_host_action: if random.one_in(2) { Some(random.below(HOST_ACTIONS.len())) } else { None },
        drops_unknown_workloads: random.one_in(4),
        drops_unknown_beside_known_only: random.one_in(2),
        polices_ipv6: !random.one_in(8),
        rejects: random.one_in(4),
        filter_allow_returns: random.one_in(6),
        mangle_allow_returns: random.one_in(6),
        mark_mask: *random.pick(&[0xffff_0000, 0x0000_0003, 0x8000_0001, 0x0010_1000]),
        set_size_max: *random.pick(&[1_048_576, 1_048_576, 1_048_576, 1, 2, 3]),
    }
}

/// A world with the policies of another one beside its own, and now and then with [`with_many_tiers`].
pub fn crowded(seed: u64) -> World {
    let mut world = if seed.is_multiple_of(15) { with_many_tiers(world(seed)) } else { world(seed) };
    for resource in self::world(!seed).resources {
        if let Resource::Policy(mut policy) = resource {
            policy.meta.name = policy.meta.name.replace('g', "other");
            world.resources.push(Resource::Policy(policy));
        }
    }
    world
}

/// A crowded world whose rules ask nothing but addresses, the protocol and the destination port, and decide or pass: the
/// compiler may make classes of all of them. In every other one rules ask for the host's own address as well.
pub fn peerwise(seed: u64) -> World {
    let mut world = crowded(seed);
    let mut random = Random::new(seed ^ 0xb07);
    let asks_both_ends = random.one_in(2);
    world.rejects = false;
    for resource in &mut world.resources {
        let (ingress, egress) = match resource {
            Resource::Policy(policy) => (&mut policy.ingress, &mut policy.egress),
            Resource::Profile(profile) => (&mut profile.ingress, &mut profile.egress),
            _ => continue,
        };
        for (rules, is_ingress) in [(ingress, true), (egress, false)] {
            for rule in rules {
                let rule = Arc::make_mut(rule);
                let is_number = |port: &&Port| matches!(port, Port::Range(_));
                let ports = |list: &[Port]| list.iter().filter(is_number).cloned().collect();
                let (asked, not_asked) = (ports(&rule.destination.ports), ports(&rule.destination.not_ports));
                for (end, is_own) in [(&mut rule.source, !is_ingress), (&mut rule.destination, is_ingress)] {
                    (end.ports, end.not_ports, end.services) = (Vec::new(), Vec::new(), None);
                    if is_own && !asks_both_ends {
                        *end = Entity::default();
                    } else if asks_both_ends && *end == Entity::default() && random.one_in(2) {
                        end.nets = some(&mut random, 3, net);
                    }
                }
                if rule.protocol.is_some_and(Protocol::has_ports) {
                    (rule.destination.ports, rule.destination.not_ports) = (asked, not_asked);
                }
                rule.has_http = false;
                if rule.action == Action::Log {
                    rule.action = Action::Pass;
                }
            }
        }
    }
    world
}

/// `world` with 40 more tiers: each passes UDP on at once and everything else at its end, and the last one allows.
pub fn with_many_tiers(mut world: World) -> World {
    let meta = |name: String| Meta { name, ..Meta::default() };
    for number in 0..40 {
        let tier = format!("tier{number}");
        let (order, default_action) = (Some(f64::from(number)), TierAction::Pass);
        world.resources.push(Resource::Tier(Tier { meta: meta(tier.clone()), order, default_action }));
        let action = if number == 39 { Action::Allow } else { Action::Pass };
        let rule = Rule { protocol: Some(Protocol::UDP), ..Rule::any(action) };
        for class in [PolicyClass::NormalAndForward, PolicyClass::PreDnat, PolicyClass::Untracked] {
            let rules = vec![Arc::new(rule.clone())];
            let is_pre_dnat = class == PolicyClass::PreDnat;
            world.resources.push(Resource::Policy(Policy {
                meta: meta(format!("{tier}.{class:?}").to_lowercase()),
                kind: PolicyKind::Global,
                tier: tier.clone(),
                order: None,
                selector: Selector::parse("all()").expect("a selector"),
                namespace_selector: None,
                service_account_selector: None,
                governs_ingress: true,
                governs_egress: !is_pre_dnat,
                ingress: rules.clone(),
                egress: if is_pre_dnat { Vec::new() } else { rules },
                class,
                is_staged_inactive: false,
            }));
        }
    }
    world
}

fn failsafe(random: &mut Random) -> (Protocol, u16, Option<IpNet>) {
    let protocol = *random.pick(&[Protocol::TCP, Protocol::UDP, Protocol::SCTP]);
    let net = if random.one_in(2) { Some(net(random)) } else { None };
    (protocol, *random.pick(PORTS), net)
}

fn links(random: &mut Random) -> Links {
    let mut links = Links::new();
    for (index, name) in INTERFACES.iter().enumerate() {
        if *name != "lo" && random.one_in(4) {
            continue;
        }
        let addresses: BTreeSet<IpAddr> = some(random, 2, address).into_iter().collect();
        let link = Link {
            index: index as u32 + 1,
            name: (*name).to_owned(),
            is_running: !random.one_in(3),
            controller: None,
            addresses,
        };
        links.insert(link.name.clone(), link);
    }
    links
}

fn endpoint_port(random: &mut Random) -> EndpointPort {
    EndpointPort {
        name: (*random.pick(&PORT_NAMES[..2])).to_owned(),
        protocol: *random.pick(&[Protocol::TCP, Protocol::UDP, Protocol::SCTP]),
        port: *random.pick(&PORTS[..5]),
    }
}

fn host_endpoint(random: &mut Random, name: String) -> HostEndpoint {
    let mut expected_ips: Vec<IpAddr> = Vec::new();
    for address in some(random, 3, address) {
        if !expected_ips.contains(&address) {
            expected_ips.push(address);
        }
    }
    let attachment = match random.below(4) {
        0 => Attachment::AllInterfaces,
        1 if !expected_ips.is_empty() => Attachment::ByAddress,
        // Now and then one that is not there (E-115).
        _ if random.one_in(12) => Attachment::Named("eth7".to_owned()),
        _ => Attachment::Named((*random.pick(INTERFACES)).to_owned()),
    };
    // One endpoint that packets meet is in most worlds.
    let is_first = name == "h0" && !random.one_in(3);
    let attachment = if is_first { Attachment::Named(INTERFACES[0].to_owned()) } else { attachment };
    let mut profiles: Vec<String> = some(random, 2, |r| (*r.pick(PROFILES)).to_owned());
    profiles.dedup();
    let mut meta = meta(random, name);
    if random.one_in(5) {
        let check = (*random.pick(&["Strict", "loose", "what"])).to_owned();
        meta.annotations.insert(REVERSE_PATH_ANNOTATION.to_owned(), check);
    }
    HostEndpoint {
        meta,
        node: if is_first { NODE.to_owned() } else { (*random.pick(&[NODE, NODE, NODE, "n2"])).to_owned() },
        attachment,
        expected_ips,
        profiles,
        ports: some(random, 2, endpoint_port),
    }
}

fn policy(random: &mut Random, name: String) -> Policy {
    let kind = *random.pick(&[
        PolicyKind::Global,
        PolicyKind::Global,
        PolicyKind::Global,
        PolicyKind::Global,
        PolicyKind::StagedGlobal,
        PolicyKind::Namespaced,
    ]);
    let mut meta = meta(random, name);
    let is_namespaced = kind == PolicyKind::Namespaced;
    meta.namespace = is_namespaced.then(|| "ns".to_owned());
    let class = if is_namespaced {
        PolicyClass::Normal
    } else {
        *random.pick(&[
            PolicyClass::Normal,
            PolicyClass::Normal,
            PolicyClass::Normal,
            PolicyClass::NormalAndForward,
            PolicyClass::NormalAndForward,
            PolicyClass::PreDnat,
            PolicyClass::Untracked,
        ])
    };
    let governs_ingress = !random.one_in(4) || class == PolicyClass::PreDnat;
    let governs_egress = class != PolicyClass::PreDnat && (!governs_ingress || !random.one_in(3));
    Policy {
        meta,
        kind,
        tier: (*random.pick(TIERS)).to_owned(),
        order: order(random),
        // Half of them apply everywhere, so that packets come to their rules.
        selector: if random.one_in(2) { Selector::all() } else { selector(random) },
        namespace_selector: random.one_in(16).then(|| selector(random)),
        service_account_selector: random.one_in(20).then(|| selector(random)),
        governs_ingress,
        governs_egress,
        ingress: some(random, 4, |r| Arc::new(rule(r, true))),
        egress: if class == PolicyClass::PreDnat { vec![] } else { some(random, 4, |r| Arc::new(rule(r, true))) },
        class,
        is_staged_inactive: kind == PolicyKind::StagedGlobal && random.one_in(3),
    }
}

fn rule(random: &mut Random, may_log: bool) -> Rule {
    let action = *random.pick(&[Action::Allow, Action::Allow, Action::Deny, Action::Pass, Action::Log]);
    let action = if action == Action::Log && !may_log { Action::Allow } else { action };
    let protocol = if random.one_in(2) { Some(*random.pick(PROTOCOLS)) } else { None };
    let is_icmp = matches!(protocol, Some(Protocol::ICMP | Protocol::ICMPV6));
    let icmp = |random: &mut Random| IcmpMatch {
        icmp_type: *random.pick(ICMP_TYPES),
        code: if random.one_in(2) { Some(*random.pick(&[0, 1, 255])) } else { None },
    };
    let of_protocol = match protocol {
        Some(Protocol::ICMP) => Some(Family::V4),
        Some(Protocol::ICMPV6) => Some(Family::V6),
        _ => None,
    };
    let ip_version = if random.one_in(6) { of_protocol.or(Some(*random.pick(&Family::BOTH))) } else { None };
    // A family that contradicts the protocol, negated or not, is refused (resources.md section 3).
    let not_protocol = if random.one_in(8) { Some(*random.pick(PROTOCOLS)) } else { None };
    let not_protocol = not_protocol.filter(|protocol| match *protocol {
        Protocol::ICMP => ip_version.is_none_or(|version| version == Family::V4),
        Protocol::ICMPV6 => ip_version.is_none_or(|version| version == Family::V6),
        _ => true,
    });
    let rule = Rule {
        action,
        ip_version,
        protocol,
        not_protocol,
        icmp: if is_icmp && random.one_in(2) { Some(icmp(random)) } else { None },
        not_icmp: if random.one_in(10) { Some(icmp(random)) } else { None },
        source: entity(random, protocol),
        destination: entity(random, protocol),
        has_http: action == Action::Allow && random.one_in(20),
        annotations: Default::default(),
    };
    if random.one_in(3) { plain(random, rule) } else { rule }
}

/// The rule with the criteria that most rules of people have, and no others: packets come through it to the next one.
fn plain(random: &mut Random, rule: Rule) -> Rule {
    let mut plain = Rule { protocol: rule.protocol, icmp: rule.icmp, ..Rule::any(rule.action) };
    match rule.protocol {
        Some(protocol) if protocol.has_ports() => {
            plain.destination.ports = (0..=random.below(2)).map(|_| port(random, Some(protocol))).collect();
            let named = || vec![Port::Named(PORT_NAMES[0].to_owned())];
            match random.below(8) {
                // E-329: the port of endpoints that a selector finds.
                0..=2 => {
                    plain.protocol = plain.protocol.filter(|_| random.one_in(3));
                    plain.destination.ports = named();
                    plain.destination.selector =
                        Some(if random.one_in(2) { Selector::all() } else { selector(random) });
                }
                // E-332: any port but that of the endpoints that the positive selector finds.
                3 => {
                    plain.destination.ports.clear();
                    plain.destination.not_ports = named();
                    plain.destination.selector = Some(Selector::all());
                    plain.destination.not_selector = Some(selector(random));
                }
                _ => {}
            }
        }
        None => {
            let mut net = net(random);
            while net.prefix_len() == 0 {
                net = self::net(random);
            }
            plain.source.nets = vec![net];
        }
        Some(Protocol::ICMP | Protocol::ICMPV6) if random.one_in(2) => {
            // Echo, which begins a flow as most types do not.
            let icmp_type = if plain.protocol == Some(Protocol::ICMP) { 8 } else { 128 };
            plain.icmp = Some(IcmpMatch { icmp_type, code: Some(*random.pick(&[0, 0, 1])) });
        }
        Some(_) => {}
    }
    plain
}

fn entity(random: &mut Random, protocol: Option<Protocol>) -> Entity {
    let mut entity = Entity::default();
    if random.one_in(2) {
        return entity;
    }
    if random.one_in(3) {
        entity.nets = some(random, 3, net);
    }
    if random.one_in(5) {
        entity.not_nets = some(random, 2, net);
    }
    let may_have_ports = protocol.is_none_or(Protocol::has_ports);
    if may_have_ports && random.one_in(2) {
        entity.ports = some(random, 3, |r| port(r, protocol));
    }
    if may_have_ports && random.one_in(5) {
        entity.not_ports = some(random, 2, |r| port(r, protocol));
    }
    if random.one_in(3) {
        entity.selector = Some(selector(random));
    }
    if random.one_in(5) {
        entity.not_selector = Some(selector(random));
    }
    if random.one_in(12) {
        let text = *random.pick(&["all()", "global()", "a == 'x'", "!has(a)"]);
        entity.namespace_selector = Selector::parse(text).ok();
    }
    if random.one_in(15) {
        let names = some(random, 1, |_| "sa".to_owned());
        entity.service_accounts = Some(ServiceAccounts { names, selector: None });
    }
    entity
}

fn port(random: &mut Random, protocol: Option<Protocol>) -> Port {
    if protocol.is_none() || random.one_in(3) {
        return Port::Named((*random.pick(PORT_NAMES)).to_owned());
    }
    let any = |random: &mut Random| if random.one_in(4) { near_port(random) } else { *random.pick(PORTS) };
    // Rules name no port 0; packets may have it.
    let (first, last) = (any(random).max(1), any(random).max(1));
    let range = if random.one_in(2) { PortRange::new(first.min(last), first.max(last)).ok() } else { None };
    Port::Range(range.unwrap_or(PortRange::single(first)))
}

/// Draws a packet that meets the world's host: for its own processes, from them, or through it.
pub fn packet(random: &mut Random) -> Packet {
    let interface = |random: &mut Random| (*random.pick(INTERFACES)).to_owned();
    let route = match random.below(3) {
        0 => Route::Delivered { in_interface: interface(random) },
        1 => Route::Generated { out_interface: interface(random) },
        _ => Route::Forwarded { in_interface: interface(random), out_interface: interface(random) },
    };
    let source = near(random);
    let mut destination = near(random);
    while destination.is_ipv4() != source.is_ipv4() {
        destination = near(random);
    }
    let protocol = *random.pick(PROTOCOLS);
    let dnat = random.one_in(4).then(|| {
        let mut translated = near(random);
        while translated.is_ipv4() != source.is_ipv4() {
            translated = near(random);
        }
        let is_generated = matches!(route, Route::Generated { .. });
        Dnat {
            destination: translated,
            destination_port: near_port(random),
            out_interface_before: (is_generated && random.one_in(2)).then(|| interface(random)),
        }
    });
    Packet {
        route,
        source,
        destination,
        protocol,
        source_port: near_port(random),
        destination_port: near_port(random),
        icmp_type: *random.pick(ICMP_TYPES),
        icmp_code: *random.pick(&[0, 1, 2, 255]),
        hop_limit: *random.pick(&[255, 64]),
        state: *random.pick(&[
            ConnState::New,
            ConnState::New,
            ConnState::New,
            ConnState::New,
            ConnState::Established,
            ConnState::Related,
            ConnState::Invalid,
            ConnState::Untracked,
        ]),
        dnat,
        way_back: *random.pick(&[WayBack::SameInterface, WayBack::OtherInterface, WayBack::Nowhere]),
    }
}

/// Draws a packet for a rule of the world, or a failsafe: its values meet the criteria at their edges, or lie just beside
/// them, and often one of them is another.
pub fn aimed(world: &World, random: &mut Random) -> Packet {
    let mut packet = packet(random);
    if random.one_in(8) {
        return packet;
    }
    if !random.one_in(8) {
        aim::at_an_endpoint(world, random, &mut packet);
    }
    if random.one_in(8) {
        aim::at_a_failsafe(world, random, &mut packet);
    } else {
        aim::at_a_rule(world, random, &mut packet);
    }
    match random.below(16) {
        0 => packet.protocol = *random.pick(PROTOCOLS),
        1 => packet.source_port = near_port(random),
        2 => packet.destination_port = near_port(random),
        3 => packet.icmp_type = packet.icmp_type.wrapping_add(1),
        4 => packet.icmp_code = packet.icmp_code.wrapping_add(1),
        _ => {}
    }
    packet
}

/// The first or last address of a network, or the one just outside.
fn edge(random: &mut Random, net: IpNet) -> IpAddr {
    let (edge, out) = if random.one_in(2) { (net.network(), -1) } else { (net.broadcast(), 1) };
    let step = if random.one_in(3) { out } else { 0 };
    match edge {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).wrapping_add_signed(step).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).wrapping_add_signed(i128::from(step)).into()),
    }
}

/// An address of the alphabet, an edge of a network, or the one beside it.
fn near(random: &mut Random) -> IpAddr {
    if random.one_in(2) {
        return address(random);
    }
    let net = net(random);
    edge(random, net)
}

fn near_port(random: &mut Random) -> u16 {
    let step = random.below(3) as i16 - 1;
    random.pick(PORTS).wrapping_add_signed(step)
}
