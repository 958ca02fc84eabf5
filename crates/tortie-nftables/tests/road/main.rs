//! The third road to a verdict: random worlds in the real kernel, judged by what becomes of real packets, against the
//! reference evaluator.
//!
//! `TORTIE_WORLDS=N` draws N worlds instead of the default, `TORTIE_PACKETS=N` sends N packets into each;
//! `TORTIE_SEED=S` begins with another one; `TORTIE_KEEP_GOING=1` tells every disagreement instead of the first.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use tortie_api::model::{Attachment, HostEndpoint, Meta, Resource};
use tortie_api::packet::{ConnState, Route};
use tortie_nftables::Kernel;
use tortie_reference::Verdict;
use tortie_rules::ruleset::Origin;
use tortie_rules::{Ruleset, compile, interpret, plan};
use tortie_testkit::generators::{NODE, Random, World};
use tortie_testkit::sandbox::in_network_namespace;

mod bytes;
mod conntrack;
mod draw;
mod lab;
#[path = "../../../tortie-testkit/tests/support/mod.rs"]
mod support;

use conntrack::Conntrack;
use draw::Probe;
use lab::{Lab, Place};

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn the_kernel_does_with_every_packet_what_the_reference_says() {
    in_network_namespace(|| {
        let (first, count) = (number("TORTIE_SEED", 1), number("TORTIE_WORLDS", 60));
        let packets = number("TORTIE_PACKETS", 30);
        let mut road = Road::build();
        for seed in first..first + count {
            road.enter(seed);
            let mut random = Random::new(seed ^ 0x0a0d);
            for _ in 0..packets {
                let probe = draw::probe(&mut random, road.sent + 1);
                road.send(seed, probe);
            }
        }
        println!("{} packets in {count} worlds: {:#?}", count * packets, road.seen);
        assert_eq!(road.disagreements, 0);
    });
}

/// Forwarded packets are not for S8 to judge, whatever bits others set in their mark where S1 has no chain to clear them.
#[test]
fn foreign_bits_of_the_mark_make_no_forwarded_packet_a_local_one_e407() {
    in_network_namespace(|| {
        let mut road = Road::build();
        let mut world = draw::lab_world(1);
        let meta = Meta { name: "h".to_owned(), ..Meta::default() };
        let attachment = Attachment::Named("eth0".to_owned());
        let (node, expected_ips, profiles, ports) = (NODE.to_owned(), vec![], vec![], vec![]);
        let hep = HostEndpoint { meta, node, attachment, expected_ips, profiles, ports };
        world.resources = vec![Resource::HostEndpoint(hep)];
        (world.drops_unknown_workloads, world.filter_allow_returns) = (false, false);
        for is_marked in [false, true] {
            road.enter_world(world.clone(), is_marked);
            let mut random = Random::new(1);
            let mut translated = 0;
            while translated < 20 {
                let probe = draw::probe(&mut random, road.sent + 1);
                let (legs, place) = probe.legs(&world);
                if matches!(legs[0].route, Route::Forwarded { .. }) && legs[0].dnat.is_some() {
                    translated += u32::from(place == Place::Left("eth0"));
                    road.send(0, probe);
                }
            }
        }
        assert_eq!(road.disagreements, 0);
    });
}

/// The lab, and the world that is in force in it.
struct Road {
    lab: Lab,
    kernel: Kernel,
    conntrack: Conntrack,
    world: World,
    ruleset: Ruleset,
    /// Packets by their number.
    sent: u32,
    counters: BTreeMap<(String, String), u64>,
    /// Packets by stage and reason.
    seen: BTreeMap<String, u64>,
    disagreements: u64,
}

/// Whether foreign hands set every bit of each packet's mark before any stage (E-404).
const MARKED: &str = "table inet marks {
    chain in { type filter hook prerouting priority -310; meta mark set 0xffffffff; }
    chain out { type filter hook output priority -310; meta mark set 0xffffffff; }
}";

impl Road {
    fn build() -> Road {
        Road {
            lab: Lab::build(&draw::dnat()),
            kernel: Kernel::open().unwrap(),
            conntrack: Conntrack::open(),
            world: draw::lab_world(0),
            ruleset: Ruleset::default(),
            sent: 0,
            counters: BTreeMap::new(),
            seen: BTreeMap::new(),
            disagreements: 0,
        }
    }

    /// Turns the kernel to the world `seed`, from whichever it holds.
    fn enter(&mut self, seed: u64) {
        self.enter_world(draw::lab_world(seed), !seed.is_multiple_of(2));
    }

    /// Turns the kernel to `world`, with foreign hands on the mark or without.
    fn enter_world(&mut self, world: World, is_marked: bool) {
        self.world = world;
        let empty = "table inet marks { }\ndelete table inet marks\n";
        let marks = if is_marked { format!("{empty}{MARKED}") } else { empty.to_owned() };
        lab::run("nft", &["-f", "-"], &marks);
        self.ruleset = compile(support::engine(&self.world, &self.world.resources, false).policy());
        let actual = self.kernel.read().unwrap();
        for transaction in plan(&self.ruleset, actual.ruleset.as_ref()).unwrap().transactions {
            self.kernel.commit(&transaction, None).unwrap();
        }
        self.count();
    }

    /// Sends one packet, and compares what became of it.
    fn send(&mut self, seed: u64, probe: Probe) {
        self.sent = probe.shape.number;
        let (legs, place) = probe.legs(&self.world);
        let (bytes, header_len) = bytes::bytes(&probe.packet, probe.shape);
        self.conntrack.flush();
        if let Some(flow) = probe.flow {
            self.conntrack.create(flow);
        }
        match probe.from {
            Some(interface) if place == Place::Local && probe.shape.is_fragmented => {
                for fragment in bytes::fragments(&bytes, header_len) {
                    self.lab.send_from(interface, &fragment);
                }
            }
            Some(interface) => self.lab.send_from(interface, &bytes),
            None => self.lab.send_local(probe.packet.destination, &bytes),
        }
        let arrived = self.lab.arrivals(&probe.packet, self.sent, bytes.len() - header_len);
        let moved = self.count();

        let judged: Vec<_> = legs.iter().map(|leg| support::judge(&self.world, leg)).collect();
        let passes = judged.iter().all(|judged| judged.verdict != Verdict::Drop);
        let expected: Vec<Place> = if passes { vec![place] } else { vec![] };
        let last = judged.iter().position(|judged| judged.verdict == Verdict::Drop).unwrap_or(legs.len() - 1);
        let found = interpret(&self.ruleset, &legs[last]).unwrap();
        let comment = found.origin.as_ref().map(Origin::comment).unwrap_or_default();
        // What comes in by `lo` is tracked already, and S1 cannot take a known flow out of tracking: S3 knows it.
        let is_known = matches!(probe.packet.state, ConnState::Established | ConnState::Related) && last == 1;
        // Known flows are an element of a map, which counts nothing.
        let is_counted =
            !is_known && found.origin != Some(Origin::ConnState) && self.counters.keys().any(|(_, of)| *of == comment);
        let has_moved = !is_counted || moved.iter().any(|(_, of)| *of == comment);
        let reason = judged[last].reason.as_ref();
        let what = reason.map_or("un-owned".to_owned(), |reason| {
            let by = format!("{:?}", reason.by);
            format!("{:?} {} {:?}", reason.stage, by.split([' ', '(']).next().unwrap_or_default(), judged[last].verdict)
        });
        *self.seen.entry(what).or_default() += 1;
        *self.seen.entry(format!("state {:?}", probe.packet.state)).or_default() += 1;
        if arrived != expected || !has_moved {
            self.disagreements += 1;
            let text = self.tell(seed, &probe, &legs, &arrived, &expected);
            let text = format!("{text}\nreference {:#?}\nruleset {found:#?}\ncounted {moved:#?}", judged[last]);
            assert!(number("TORTIE_KEEP_GOING", 0) == 1, "{text}");
            println!("{text}\n=====");
        }
    }

    fn tell(
        &self,
        seed: u64,
        probe: &Probe,
        legs: &[tortie_api::packet::Packet],
        arrived: &[Place],
        expected: &[Place],
    ) -> String {
        format!("seed {seed}: arrived at {arrived:?}, not {expected:?}\n{probe:?}\nlegs {legs:?}")
    }

    /// Reads the counters, and tells chain and comment of those that moved since they were read before.
    fn count(&mut self) -> Vec<(String, String)> {
        let mut counters: BTreeMap<(String, String), u64> = BTreeMap::new();
        for counter in self.kernel.counters().unwrap() {
            *counters.entry((counter.chain.as_str().to_owned(), counter.comment)).or_default() += counter.packets;
        }
        let before = |key| self.counters.get(key).copied().unwrap_or(0);
        let moved = counters.iter().filter(|(key, packets)| **packets > before(key)).map(|(key, _)| key.clone());
        let moved = moved.collect();
        self.counters = counters;
        moved
    }
}
