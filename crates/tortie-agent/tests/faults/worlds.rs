//! Transitions of policy, as rulesets, and the packets that tell their states apart.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tortie_api::facts::{Link, Links};
use tortie_api::model::Protocol;
use tortie_api::packet::{ConnState, Packet, Route, WayBack};
use tortie_api::{Kind, ResourceKey, read_stored};
use tortie_calc::{Engine, Settings};
use tortie_rules::compile::cut;
use tortie_rules::{Ruleset, compile};

/// One object: kind, name, labels and `spec`.
pub(crate) type Object = (Kind, &'static str, Value, Value);

/// One change of what is wanted.
pub(crate) struct Transition {
    pub(crate) name: &'static str,
    pub(crate) before: Ruleset,
    pub(crate) after: Ruleset,
    /// Whether somebody removes our table before it.
    pub(crate) is_flush: bool,
}

impl Transition {
    /// Whether a process that has read nothing is the only one for which there is anything to do.
    pub(crate) fn is_fresh_only(&self) -> bool {
        self.before.chains.is_empty() || self.is_flush && self.before == self.after
    }
}

/// All of them, and each backwards.
pub(crate) fn transitions() -> Vec<Transition> {
    let base = base();
    let more = |objects: Vec<Object>| [base.clone(), objects].concat();
    let instead = |object: Object| {
        let others = base.iter().filter(|old| (old.0, old.1) != (object.0, object.1)).cloned();
        others.chain([object.clone()]).collect::<Vec<_>>()
    };
    let plain = Settings { node: "n1".to_owned(), ..Settings::default() };
    let start = ruleset(&plain, &base);
    let recheck = |mut ruleset: Ruleset| {
        cut::add(&mut ruleset);
        ruleset
    };
    let strict = Settings { drops_invalid: false, is_loopback_exempt: false, ..plain.clone() };
    let pairs = [
        ("first apply", Ruleset::default(), start.clone()),
        ("policy edited", start.clone(), ruleset(&plain, &instead(web(json!([80, 8080]))))),
        ("set grown", start.clone(), ruleset(&plain, &instead(net_set(600)))),
        (
            "set grown with rules",
            start.clone(),
            ruleset(&plain, &[instead(net_set(40)), vec![web(json!([443, "8000:8099"]))]].concat()),
        ),
        ("endpoint added", start.clone(), ruleset(&plain, &more(vec![endpoint("other", "eth1")]))),
        ("stages come", start.clone(), ruleset(&plain, &more(vec![untracked(), before_dnat(), forwarded()]))),
        ("settings", start.clone(), recheck(ruleset(&strict, &base))),
    ];
    let mut transitions = Vec::new();
    for (name, before, after) in pairs {
        let backwards = Transition { name, before: after.clone(), after: before.clone(), is_flush: false };
        transitions.push(Transition { name, before, after, is_flush: false });
        transitions.push(backwards);
    }
    let edited = ruleset(&plain, &instead(web(json!([8080]))));
    transitions.push(Transition { name: "flushed", before: start.clone(), after: start.clone(), is_flush: true });
    transitions.push(Transition { name: "flushed and edited", before: start, after: edited, is_flush: true });
    transitions
}

/// Two endpoints, one of them with policy both ways.
pub(crate) fn base() -> Vec<Object> {
    let deny = json!({"action": "Deny", "protocol": "UDP", "destination": {"ports": [8080]}});
    let wall =
        json!({"tier": "default", "order": 5, "selector": "role == 'web'", "types": ["Ingress"], "ingress": [deny]});
    let out = json!({
        "tier": "default", "order": 20, "selector": "role == 'web'", "types": ["Egress"],
        "egress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [443]}}],
    });
    vec![
        endpoint("h", "eth0"),
        net_set(3),
        (Kind::GlobalNetworkPolicy, "wall", json!({}), wall),
        web(json!([80, 443])),
        (Kind::GlobalNetworkPolicy, "out", json!({}), out),
    ]
}

pub(crate) fn endpoint(name: &'static str, interface: &str) -> Object {
    (Kind::HostEndpoint, name, json!({"role": "web"}), json!({"node": "n1", "interfaceName": interface}))
}

/// The networks of `10.N.0.0/16`, N from 1 on.
pub(crate) fn net_set(count: usize) -> Object {
    let nets: Vec<String> = (1..=count).map(|n| format!("10.{}.{}.0/24", n / 200 + 1, n % 200)).collect();
    (Kind::GlobalNetworkSet, "a", json!({"net": "a"}), json!({"nets": nets}))
}

/// Lets the set in, to TCP `ports`.
pub(crate) fn web(ports: Value) -> Object {
    let allow = json!({
        "action": "Allow", "protocol": "TCP", "source": {"selector": "net == 'a'"}, "destination": {"ports": ports},
    });
    let spec = json!({
        "tier": "default", "order": 10, "selector": "role == 'web'", "types": ["Ingress"], "ingress": [allow],
    });
    (Kind::GlobalNetworkPolicy, "web", json!({}), spec)
}

pub(crate) fn untracked() -> Object {
    let rules = json!([{"action": "Deny", "protocol": "UDP", "destination": {"ports": [9]}}]);
    let spec = json!({
        "tier": "default", "order": 1, "selector": "role == 'web'", "doNotTrack": true, "applyOnForward": true,
        "types": ["Ingress", "Egress"], "ingress": rules, "egress": rules,
    });
    (Kind::GlobalNetworkPolicy, "untracked", json!({}), spec)
}

pub(crate) fn before_dnat() -> Object {
    let spec = json!({
        "tier": "default", "order": 2, "selector": "role == 'web'", "preDNAT": true, "applyOnForward": true,
        "types": ["Ingress"], "ingress": [{"action": "Deny", "protocol": "TCP", "destination": {"ports": [8443]}}],
    });
    (Kind::GlobalNetworkPolicy, "before-dnat", json!({}), spec)
}

pub(crate) fn forwarded() -> Object {
    let allow = json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}});
    let spec = json!({
        "tier": "default", "order": 3, "selector": "role == 'web'", "applyOnForward": true, "types": ["Ingress"],
        "ingress": [allow],
    });
    (Kind::GlobalNetworkPolicy, "forwarded", json!({}), spec)
}

/// The objects, compiled for their host.
pub(crate) fn ruleset(settings: &Settings, objects: &[Object]) -> Ruleset {
    let mut engine = Engine::new(settings.clone());
    engine.set_links(links());
    for (kind, name, labels, spec) in objects {
        let object = json!({"metadata": {"name": name, "labels": labels}, "spec": spec});
        let stored = read_stored(*kind, &object).unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        engine.update(ResourceKey::global(*kind, *name), Some(Arc::new(stored.resource)));
    }
    engine.flush();
    compile(engine.policy())
}

fn links() -> Links {
    let link = |index: u32, name: &str| {
        let addresses: BTreeSet<IpAddr> = [format!("192.0.2.{index}").parse().unwrap()].into();
        (name.to_owned(), Link { index, name: name.to_owned(), is_running: true, controller: None, addresses })
    };
    [link(1, "lo"), link(2, "eth0"), link(3, "eth1")].into()
}

/// Packets aimed at what the transitions change, and at what none of them does.
pub(crate) fn packets() -> Vec<Packet> {
    let address = |text: &str| -> IpAddr { text.parse().unwrap() };
    // In the set from the beginning, in the grown one only, and in neither.
    let peers = [
        ("10.1.1.7", "192.0.2.2"),
        ("10.1.30.7", "192.0.2.2"),
        ("203.0.113.5", "192.0.2.2"),
        ("2001:db8::5", "2001:db8::2"),
    ];
    let ports = [(Protocol::TCP, &[22, 80, 443, 8080, 8443, 25][..]), (Protocol::UDP, &[9, 53, 8080][..])];
    let routes = |name: &str| {
        let other = if name == "eth0" { "eth1" } else { "eth0" };
        [
            Route::Delivered { in_interface: name.to_owned() },
            Route::Generated { out_interface: name.to_owned() },
            Route::Forwarded { in_interface: name.to_owned(), out_interface: other.to_owned() },
        ]
    };
    let mut packets = Vec::new();
    for route in ["eth0", "eth1"].into_iter().flat_map(routes) {
        for (peer, host) in peers {
            for (protocol, port) in
                ports.iter().flat_map(|(protocol, ports)| ports.iter().map(|port| (*protocol, *port)))
            {
                let is_out = matches!(route, Route::Generated { .. });
                let (source, destination) = if is_out { (host, peer) } else { (peer, host) };
                packets.push(Packet {
                    route: route.clone(),
                    source: address(source),
                    destination: address(destination),
                    protocol,
                    source_port: 40_000,
                    destination_port: port,
                    icmp_type: 0,
                    icmp_code: 0,
                    hop_limit: 64,
                    state: ConnState::New,
                    dnat: None,
                    way_back: WayBack::SameInterface,
                });
            }
        }
    }
    let established =
        packets.iter().step_by(7).map(|packet| Packet { state: ConnState::Established, ..packet.clone() });
    let established: Vec<Packet> = established.collect();
    packets.extend(established);
    packets
}
