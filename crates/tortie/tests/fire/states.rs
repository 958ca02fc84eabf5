//! What the rig takes for granted: each state of the walk gives every lane its verdict, whatever the knobs.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::facts::{Link, Links};
use tortie_api::model::{Protocol, Resource};
use tortie_api::packet::{ConnState, Packet, Route, WayBack};
use tortie_api::{Kind, read_stored};
use tortie_reference::{Failsafe, Settings, Verdict, World, judge};

use crate::lane::{Flow, Lane, Stage};
use crate::walk::Walk;
use crate::world::Objects;

/// The links of the rig.
fn links() -> Links {
    let link = |(index, (name, addresses)): (u32, (&str, &[&str]))| {
        let addresses: BTreeSet<_> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let link = Link { index, name: name.to_owned(), is_running: true, controller: None, addresses };
        (name.to_owned(), link)
    };
    let all: [(&str, &[&str]); 3] = [
        ("lo", &["127.0.0.1", "::1"]),
        ("eth0", &["192.0.2.1", "2001:db8:1::1"]),
        ("eth1", &["198.51.100.1", "2001:db8:2::1"]),
    ];
    (1..).zip(all).map(link).collect()
}

/// A packet of `lane` as the evaluators see it.
fn packet(lane: &Lane, number: u64) -> Packet {
    let (source, destination) = lane.addresses(number);
    let (eth0, eth1) = ("eth0".to_owned(), "eth1".to_owned());
    Packet {
        route: match lane.stage {
            stage if stage.is_outward() => Route::Generated { out_interface: eth0 },
            Stage::Forward => Route::Forwarded { in_interface: eth0, out_interface: eth1 },
            _ => Route::Delivered { in_interface: eth0 },
        },
        source,
        destination,
        protocol: lane.protocol(),
        source_port: lane.source_port(number),
        destination_port: lane.port(),
        icmp_type: 0,
        icmp_code: 0,
        hop_limit: 64,
        state: if lane.flow == Flow::Known { ConnState::Established } else { ConnState::New },
        dnat: None,
        way_back: WayBack::SameInterface,
    }
}

fn settings(objects: &Objects) -> Settings {
    let spec = objects.get(&(Kind::FelixConfiguration, "default".to_owned())).map(|felix| &felix["spec"]);
    let is = |name: &str, value: &str| spec.is_some_and(|spec| spec[name] == value);
    Settings {
        interface_prefixes: vec!["cali".to_owned()],
        interface_exclude: vec![],
        is_loopback_exempt: true,
        failsafe_inbound: vec![Failsafe { protocol: Protocol::TCP, port: 22, net: None }],
        failsafe_outbound: vec![],
        drops_invalid: true,
        allows_ipv6_essentials: true,
        ignores_http: false,
        endpoint_to_host_action: None,
        drops_unknown_workloads: false,
        drops_unknown_beside_known_only: true,
        polices_ipv6: true,
        filter_allow_returns: is("nftablesFilterAllowAction", "Return"),
        mangle_allow_returns: is("nftablesMangleAllowAction", "Return"),
        set_size_max: 1 << 20,
    }
}

/// Reads all objects, as the agent does: nothing may be invalid, or it would not be enforced.
fn resources(objects: &Objects, known: &mut BTreeMap<String, Resource>) -> Vec<Resource> {
    let read = |((kind, name), value): (&(Kind, String), &serde_json::Value)| {
        let read =
            || read_stored(*kind, value).unwrap_or_else(|problems| panic!("{kind} {name}: {problems:?}")).resource;
        known.entry(format!("{kind:?} {value}")).or_insert_with(read).clone()
    };
    objects.iter().map(read).collect()
}

#[test]
fn every_state_of_the_walk_gives_every_lane_its_verdict() {
    let (links, mut known) = (links(), BTreeMap::new());
    let mut whats = BTreeSet::new();
    for seed in 1..3 {
        let mut walk = Walk::new(seed);
        walk.knobs.is_opening = false;
        for step in 0..40 {
            let objects = walk.knobs.objects();
            let (resources, settings) = (resources(&objects, &mut known), settings(&objects));
            let world = World { node: "n1", resources: &resources, links: &links, settings: &settings };
            for lane in Lane::all() {
                let judged = judge(&world, &packet(&lane, step));
                // Nobody else has rules here: what is left to others passes.
                let passes = judged.verdict != Verdict::Drop;
                assert_eq!(passes, lane.must_pass, "seed {seed}, step {step}: {}: {judged:?}", lane.name());
            }
            // Thousands of members would only make the reference slow.
            walk.knobs.members.iter_mut().for_each(|members| members.others %= 50);
            whats.insert(walk.step().what);
            // Each way to write the deciding rules is met, at every stage.
            walk.knobs.policies.iter_mut().flat_map(|policy| &mut policy.blocks).for_each(|block| block.form = step);
        }
    }
    assert!(whats.len() > 15, "the walk hardly goes anywhere: {whats:?}");
}
