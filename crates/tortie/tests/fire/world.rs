//! What the store holds: a function of a few knobs, which the walk turns one by one.
//!
//! **Why each state gives every lane the same verdict.** Rules that decide about a lane match its own destination port
//! ([`Lane::port`](crate::lane::Lane::port)) or, for named ports, a name that only its own endpoint carries; so rules of
//! different lanes commute, and it does not matter in which policy, tier or order they stand, as long as the rules of one
//! lane stay together in order (one [`Block`]). Tiers before the last pass what they do not decide; the last one always
//! holds the policy `wall`, so what nothing allows is denied. Everything else ([`Junk`]) asks for a port from 20,000 on,
//! for a protocol that no lane uses, or for a source in 10.0.0.0/8, where no lane comes from. Sets keep the members that
//! lanes need ([`Members`]). `walk` has a test that asks the reference evaluator about every lane after every change.
//!
//! **And each two states one after the other**, because a packet may meet its first stage before a swap and a later
//! stage after it: where a stage of its own (S1, S2, S6) decides about a lane, it does so before and after, or the normal
//! class decides likewise as well ([`Cover`]), and between the two the walk waits until the agent has followed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tortie_api::Kind;

use crate::lane::{FAR, HOST, Shape, Stage, peer, port};
use crate::rules::{self, Junk};

/// Objects of the store, by kind and name.
pub(crate) type Objects = BTreeMap<(Kind, String), Value>;

/// A class of policy (E-212).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Normal,
    Forward,
    Untracked,
    PreDnat,
}

impl Class {
    pub(crate) const ALL: [Class; 4] = [Class::Normal, Class::Forward, Class::Untracked, Class::PreDnat];

    /// The stages of lanes that its policies decide about.
    pub(crate) const fn stages(self) -> &'static [Stage] {
        match self {
            Class::Normal => &[Stage::LocalIn, Stage::LocalOut],
            Class::Forward => &[Stage::Forward],
            Class::Untracked => &[Stage::UntrackedIn, Stage::UntrackedOut],
            Class::PreDnat => &[Stage::PreDnat],
        }
    }
}

/// The rules of one lane: they stay together, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) stage: Stage,
    pub(crate) shape: Shape,
    pub(crate) must_pass: bool,
    /// Which of several ways says it.
    pub(crate) form: u64,
}

/// One policy.
#[derive(Clone, Debug)]
pub(crate) struct PolicyKnob {
    pub(crate) class: Class,
    pub(crate) number: usize,
    /// A number of [`Knobs::tiers`], or none for the last tier.
    pub(crate) tier: Option<usize>,
    pub(crate) order: i64,
    pub(crate) blocks: Vec<Block>,
    /// Each with the position of the rule before which it stands.
    pub(crate) junk: Vec<(usize, Junk)>,
    pub(crate) is_staged: bool,
    pub(crate) selector: u64,
}

/// Which policy decides about the lanes of a class with a stage of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    /// The class alone: the normal one says the contrary.
    Stage,
    /// The class and the normal one, which say the same.
    Both,
    /// The normal class alone: the stage has no base chain.
    Normal,
}

/// The members of one selector of network sets.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    pub(crate) shape: Shape,
    pub(crate) must_pass: bool,
    /// Network sets that share the members.
    pub(crate) parts: u64,
    /// The one of them that holds what lanes need.
    pub(crate) holder: u64,
    /// Which networks cover what lanes need.
    pub(crate) cover: u64,
    /// How many others there are, and which.
    pub(crate) others: u64,
    pub(crate) salt: u64,
    /// Whether a hash set holds a network as well: it becomes an interval set.
    pub(crate) is_mixed: bool,
}

/// All that the walk can turn.
#[derive(Clone, Debug)]
pub(crate) struct Knobs {
    pub(crate) policies: Vec<PolicyKnob>,
    /// The order of each tier but the last.
    pub(crate) tiers: BTreeMap<usize, i64>,
    pub(crate) untracked: Cover,
    pub(crate) pre_dnat: Cover,
    pub(crate) members: Vec<Members>,
    /// Others with named ports.
    pub(crate) named: u64,
    pub(crate) named_salt: u64,
    /// Who governs `eth0`, and who `eth1`.
    pub(crate) near: u64,
    pub(crate) far: u64,
    /// Whether the role is a label of a profile.
    pub(crate) by_profile: bool,
    pub(crate) has_wildcard: bool,
    /// Endpoints of interfaces that no lane uses.
    pub(crate) beside: u64,
    pub(crate) settings: BTreeMap<&'static str, Value>,
    /// Whether the known flows may begin.
    pub(crate) is_opening: bool,
}

impl Knobs {
    /// What the store is to hold.
    pub(crate) fn objects(&self) -> Objects {
        let mut objects = Objects::new();
        self.endpoints(&mut objects);
        self.policies(&mut objects);
        for members in &self.members {
            members.add_to(&mut objects);
        }
        self.named_ports(&mut objects);
        if !self.settings.is_empty() {
            let spec: serde_json::Map<String, Value> =
                self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            add(&mut objects, Kind::FelixConfiguration, "default", json!({}), Value::Object(spec));
        }
        objects
    }

    fn endpoints(&self, objects: &mut Objects) {
        let labels = if self.by_profile { json!({}) } else { json!({"role": "web"}) };
        let profiles = if self.by_profile { json!(["web"]) } else { json!([]) };
        if self.by_profile {
            add(objects, Kind::Profile, "web", json!({}), json!({"labelsToApply": {"role": "web"}}));
        }
        let mut endpoint = |name: &str, attachment: Value| {
            let mut spec = json!({"node": "n1", "profiles": profiles});
            spec.as_object_mut().unwrap().extend(attachment.as_object().unwrap().clone());
            add(objects, Kind::HostEndpoint, name, labels.clone(), spec);
        };
        let named = |interface: &str| json!({"interfaceName": interface});
        // The smallest name governs (E-106).
        match self.near % 4 {
            0 => endpoint("h", named("eth0")),
            1 => {
                endpoint("h", named("eth0"));
                endpoint("a", named("eth0"));
            }
            2 => endpoint("a-renamed", named("eth0")),
            _ => endpoint("h", json!({"expectedIPs": ["192.0.2.1"]})),
        }
        match self.far % 4 {
            0 => endpoint("k", named("eth1")),
            1 => endpoint("k", json!({"expectedIPs": ["198.51.100.1"]})),
            2 => {
                endpoint("k", named("eth1"));
                endpoint("b", json!({"expectedIPs": ["198.51.100.1"]}));
            }
            // The wildcard governs it.
            _ => {}
        }
        if self.has_wildcard || self.far % 4 == 3 {
            endpoint("w", named("*"));
        }
        for number in 0..self.beside {
            endpoint(&format!("x{number}"), named(&format!("j{number}")));
        }
    }

    fn policies(&self, objects: &mut Objects) {
        for (number, order) in &self.tiers {
            let spec = json!({"order": order, "defaultAction": "Pass"});
            add(objects, Kind::Tier, &format!("t{number}"), json!({}), spec);
        }
        let is_there = |policy: &&PolicyKnob| match policy.class {
            Class::Untracked => self.untracked != Cover::Normal,
            Class::PreDnat => self.pre_dnat != Cover::Normal,
            _ => true,
        };
        for policy in self.policies.iter().filter(is_there) {
            let name = policy.name();
            let kind = match policy.is_staged {
                true => Kind::StagedGlobalNetworkPolicy,
                false => Kind::GlobalNetworkPolicy,
            };
            add(objects, kind, &name, json!({}), rules::policy(policy));
        }
        for (name, cover, class) in
            [("untracked", self.untracked, Class::Untracked), ("pre-dnat", self.pre_dnat, Class::PreDnat)]
        {
            add(objects, Kind::GlobalNetworkPolicy, &format!("cover-{name}"), json!({}), rules::cover(cover, class));
        }
        let wall = json!({
            "tier": "default", "order": 1_000_000, "selector": "role == 'web'", "types": ["Ingress", "Egress"],
            "applyOnForward": true, "ingress": [], "egress": [],
        });
        add(objects, Kind::GlobalNetworkPolicy, "wall", json!({}), wall);
        if self.is_opening {
            let rule = json!({"action": "Allow", "protocol": "UDP", "destination": {"ports": [7008]}});
            let spec = json!({
                "tier": "default", "order": 1, "selector": "role == 'web'", "types": ["Ingress"], "ingress": [rule],
            });
            add(objects, Kind::GlobalNetworkPolicy, "opening", json!({}), spec);
        }
    }

    /// Named ports: those that lanes need, and others. They belong to another node, so that they are members only.
    fn named_ports(&self, objects: &mut Objects) {
        for stage in Stage::ALL {
            let addresses: Vec<String> = match stage {
                Stage::LocalOut | Stage::UntrackedOut => {
                    [false, true].map(|is_v6| peer(Shape::Named, true, is_v6, 0).to_string()).to_vec()
                }
                Stage::Forward => vec![FAR.0.to_string(), FAR.1.to_string()],
                _ => vec![HOST.0.to_string(), HOST.1.to_string()],
            };
            for must_pass in [true, false] {
                let mut ports = Vec::new();
                for protocol in ["UDP", "TCP"] {
                    ports.push(json!({
                        "name": rules::port_name(stage, must_pass), "protocol": protocol,
                        "port": port(stage, Shape::Named, must_pass),
                    }));
                }
                let name = format!("ports-{}", rules::port_name(stage, must_pass));
                let spec = json!({"node": "n2", "expectedIPs": addresses, "ports": ports});
                add(objects, Kind::HostEndpoint, &name, json!({}), spec);
            }
        }
        for number in 0..self.named {
            let mut addresses = Vec::new();
            for host in 0..20 {
                let value = mix(self.named_salt, number * 20 + host);
                addresses.push(format!("10.{}.{}.{}", value % 200, (value >> 8) % 256, (value >> 16) % 256));
                addresses.push(format!("fd10::{:x}:{:x}", value % 0xffff, (value >> 16) % 0xffff));
            }
            let all = Stage::ALL.into_iter().flat_map(|stage| [true, false].map(|pass| (stage, pass)));
            let ports: Vec<Value> = all
                .map(|(stage, pass)| json!({"name": rules::port_name(stage, pass), "protocol": "UDP", "port": port(stage, Shape::Named, pass)}))
                .collect();
            let spec = json!({"node": "n2", "expectedIPs": addresses, "ports": ports});
            add(objects, Kind::HostEndpoint, &format!("ports-x{number}"), json!({}), spec);
        }
    }
}

impl PolicyKnob {
    pub(crate) fn name(&self) -> String {
        let class = format!("{:?}", self.class).to_lowercase();
        match self.tier {
            Some(tier) => format!("t{tier}.{class}-{}", self.number),
            None => format!("{class}-{}", self.number),
        }
    }
}

impl Members {
    /// The value of the label by which rules find these sets.
    pub(crate) fn label(shape: Shape, must_pass: bool) -> String {
        let verdict = if must_pass { "pass" } else { "never" };
        format!("{}-{verdict}", format!("{shape:?}").to_lowercase())
    }

    fn add_to(&self, objects: &mut Objects) {
        let label = Members::label(self.shape, self.must_pass);
        for part in 0..self.parts {
            let mut nets: Vec<String> = if part == self.holder % self.parts { self.needed() } else { Vec::new() };
            nets.extend((0..self.others).filter(|other| other % self.parts == part).flat_map(|n| self.other(n)));
            if self.is_mixed && part == 0 {
                nets.extend(["10.250.0.0/16".to_owned(), "fd10:250::/32".to_owned()]);
            }
            nets.sort();
            nets.dedup();
            let labels = json!({"fire": label, format!("fire-{label}"): "yes"});
            add(objects, Kind::GlobalNetworkSet, &format!("{label}-{part}"), labels, json!({"nets": nets}));
        }
    }

    /// What the lanes need. Each choice covers all their addresses.
    fn needed(&self) -> Vec<String> {
        if self.shape == Shape::Hash {
            let families = [false, true].into_iter();
            let hosts = |is_v6| (0..8).map(move |n| peer(Shape::Hash, self.must_pass, is_v6, n).to_string());
            return families.flat_map(hosts).collect();
        }
        let block: u8 = if self.must_pass { 20 } else { 24 };
        let nets: &[&str] = match self.cover % 8 {
            0 => &["172.B.5.0/24", "fd00:B:5::/64"],
            1 => &["172.B.5.0/25", "172.B.5.128/25", "fd00:B:5::/65", "fd00:B:5:0:8000::/65"],
            2 => &["172.B.4.0/23", "fd00:B:4::/47"],
            3 => &["172.B.0.0/16", "fd00:B::/32"],
            4 => &["172.B.5.0/24", "172.B.6.0/24", "fd00:B:5::/48", "fd00:B:6::/48"],
            5 => &["172.B.4.0/24", "172.B.5.0/24", "fd00:B:4::/48", "fd00:B:5::/48"],
            6 => &["172.B.0.0/16", "172.B.5.64/26", "172.B.5.3", "fd00:B::/32", "fd00:B:5::3"],
            _ => &["172.B.5.0/26", "172.B.5.64/26", "172.B.5.128/25", "172.B.7.0/24", "fd00:B:5::/96", "fd00:B:7::/48"],
        };
        let written = |net: &&str| match net.contains(':') {
            true => net.replace('B', &format!("{block:x}")),
            false => net.replace('B', &format!("{block}")),
        };
        nets.iter().map(written).collect()
    }

    /// One of the members that no lane needs.
    fn other(&self, number: u64) -> [String; 2] {
        let value = mix(self.salt, number);
        let (a, b, c) = (value % 200, (value >> 8) % 256, (value >> 16) % 256);
        if self.shape == Shape::Hash {
            return [format!("10.{a}.{b}.{c}"), format!("fd10:{a:x}::{b:x}:{c:x}")];
        }
        let bits = 18 + (value >> 32) % 12;
        [format!("10.{a}.{b}.0/{}", bits.min(24)), format!("fd10:{a:x}:{b:x}::/{}", 30 + bits)]
    }
}

pub(crate) fn add(objects: &mut Objects, kind: Kind, name: &str, labels: Value, spec: Value) {
    let metadata = json!({"name": name, "labels": labels});
    objects.insert((kind, name.to_owned()), json!({"metadata": metadata, "spec": spec}));
}

/// A number that looks random, the same for the same two (splitmix64).
pub(crate) fn mix(salt: u64, number: u64) -> u64 {
    let mut value = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number.wrapping_mul(0xbf58_476d_1ce4_e5b9));
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
