//! The third road to a verdict: random worlds in the real kernel, judged by what becomes of real packets, against the
//! reference evaluator.
//!
//! `TORTIE_WORLDS=N` draws N worlds instead of the default, `TORTIE_PACKETS=N` sends N packets into each;
//! `TORTIE_SEED=S` begins with another one; `TORTIE_KEEP_GOING=1` tells every disagreement instead of the first.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;

use tortie_api::model::{Attachment, HostEndpoint, Meta, Policy, PolicyClass, Protocol, Resource};
use tortie_api::packet::{ConnState, Route, WayBack};
use tortie_nftables::Kernel;
use tortie_reference::{Judgement, Stage, Verdict};
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
            for packet in 0..packets {
                if packet == packets / 2 {
                    road.turn(draw::with_other_members(road.world.clone(), seed));
                }
                let probe = draw::probe(&mut random, road.sent + 1);
                road.send(seed, probe);
            }
            road.look_at_marks(seed);
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

/// Of so many packets one is looked for in the counters, which takes longer than all the rest.
const COUNTED_EVERY: u32 = 4;

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

/// Foreign hands set every bit of each packet's mark before any stage (E-404), and count the packets that come to the
/// end of a hook with another bit changed than those of `mask` (E-403).
fn marks(mask: u32) -> String {
    let mut text = "table inet marks {
        counter strange { }
        chain in { type filter hook prerouting priority -310; meta mark set 0xffffffff; }
        chain out { type filter hook output priority -310; meta mark set 0xffffffff; }\n"
        .to_owned();
    for hook in ["input", "forward", "postrouting"] {
        text += &format!("chain last-{hook} {{ type filter hook {hook} priority 310;\n");
        text += &format!("meta mark & {:#x} != {:#x} counter name strange; }}\n", !mask, !mask);
    }
    text + "}\n"
}

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

    /// The same for any world, with foreign hands on the mark or without.
    fn enter_world(&mut self, world: World, is_marked: bool) {
        let empty = "table inet marks { }\ndelete table inet marks\n";
        let marks = if is_marked { empty.to_owned() + &marks(world.mark_mask) } else { empty.to_owned() };
        lab::run("nft", &["-f", "-"], &marks);
        self.turn(world);
    }

    /// Turns the kernel to `world`, by as little as there is to change.
    fn turn(&mut self, world: World) {
        self.world = world;
        self.ruleset = compile(support::engine(&self.world, &self.world.resources, false).policy());
        let actual = self.kernel.read().unwrap();
        for transaction in plan(&self.ruleset, actual.ruleset.as_ref()).unwrap().transactions {
            self.kernel.commit(&transaction, None).unwrap();
        }
    }

    /// No bit that is not ours was changed (E-403).
    fn look_at_marks(&self, seed: u64) {
        if !seed.is_multiple_of(2) {
            let output = Command::new("nft").args(["list", "counter", "inet", "marks", "strange"]).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            assert!(text.contains("packets 0 bytes 0"), "seed {seed}: {text}");
        }
    }

    /// Sends one packet, and compares what became of it.
    fn send(&mut self, seed: u64, probe: Probe) {
        self.sent = probe.shape.number;
        let (legs, place) = probe.legs(&self.world);
        let is_counted = self.sent.is_multiple_of(COUNTED_EVERY);
        if is_counted {
            self.count();
        }
        let (arrived, is_answered) = self.transmit(&probe, place);
        let moved = is_counted.then(|| self.count());

        let judged: Vec<_> = legs.iter().map(|leg| support::judge(&self.world, leg)).collect();
        let dropped = judged.iter().position(|judged| judged.verdict == Verdict::Drop);
        let expected = if dropped.is_none() { vec![place] } else { vec![] };
        let last = dropped.unwrap_or(legs.len() - 1);
        let found = interpret(&self.ruleset, &legs[last]).unwrap();
        // What comes in by `lo` is tracked already, and S1 cannot take a known flow out of tracking: S3 knows it.
        let is_known = matches!(probe.packet.state, ConnState::Established | ConnState::Related) && last == 1;
        let has_counted = is_known || moved.as_ref().is_none_or(|moved| self.has_counted(found.origin.as_ref(), moved));
        let answer = dropped.and_then(|_| self.answer(&probe, &judged[last]));
        self.note(&probe, &judged[last], answer);
        if arrived != expected || !has_counted || answer.is_some_and(|answer| answer != is_answered) {
            self.disagreements += 1;
            let judged = &judged[last];
            let text = format!(
                "seed {seed}: arrived at {arrived:?}, not {expected:?}; answered {is_answered}, not {answer:?}\n{probe:?}\n\
                 legs {legs:?}\nreference {judged:#?}\nruleset {found:#?}\ncounted {moved:#?}"
            );
            assert!(number("TORTIE_KEEP_GOING", 0) == 1, "{text}");
            println!("{text}\n=====");
        }
    }

    /// Sends it to a host that knows no flow but the probe's, and tells where it came and whether it was answered.
    fn transmit(&mut self, probe: &Probe, place: Place) -> (Vec<Place>, bool) {
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
        self.lab.arrivals(&probe.packet, self.sent, bytes.len() - header_len)
    }

    /// Whether the counter of the deciding rule is among those that moved; known flows are an element of a map, which
    /// counts nothing.
    fn has_counted(&self, origin: Option<&Origin>, moved: &[String]) -> bool {
        let comment = origin.map(Origin::comment).unwrap_or_default();
        let has_counter = self.counters.keys().any(|(_, of)| *of == comment);
        !has_counter || origin == Some(&Origin::ConnState) || moved.contains(&comment)
    }

    fn note(&mut self, probe: &Probe, judged: &Judgement, answer: Option<bool>) {
        let what = judged.reason.as_ref().map_or("un-owned".to_owned(), |reason| {
            let by = format!("{:?}", reason.by);
            let by = by.split([' ', '(']).next().unwrap_or_default();
            format!("{:?} {by} {:?}", reason.stage, judged.verdict)
        });
        let state = format!("state {:?}", probe.packet.state);
        for what in [Some(what), Some(state), answer.map(|answer| format!("answered {answer}"))].into_iter().flatten() {
            *self.seen.entry(what).or_default() += 1;
        }
    }

    /// Whether the sender of a packet that was dropped gets an answer (E-610), as far as that is certain.
    fn answer(&self, probe: &Probe, judged: &Judgement) -> Option<bool> {
        let packet = &probe.packet;
        let stage = judged.reason.as_ref().map(|reason| reason.stage);
        // The host itself is told by an error of its socket.
        probe.from?;
        if !self.world.rejects || !matches!(stage, Some(Stage::S3 | Stage::S4 | Stage::S5)) {
            return Some(false);
        }
        // The answer belongs to the flow, if there is one, and so passes all stages but the untracked ones.
        let is_untracked = |policy: &Policy| policy.class == PolicyClass::Untracked && policy.governs_egress;
        let has_untracked =
            self.world.resources.iter().any(|resource| matches!(resource, Resource::Policy(p) if is_untracked(p)));
        let is_simple = matches!(packet.protocol, Protocol::TCP | Protocol::UDP) && packet.state == ConnState::New;
        let is_everybody = packet.destination.is_multicast() || packet.destination == Ipv4Addr::BROADCAST;
        let has_way = packet.way_back != WayBack::Nowhere;
        (is_simple && !has_untracked && !is_everybody && has_way).then_some(true)
    }

    /// Reads the counters, and tells the comments of those that moved since they were read before.
    fn count(&mut self) -> Vec<String> {
        let mut counters: BTreeMap<(String, String), u64> = BTreeMap::new();
        for counter in self.kernel.counters().unwrap() {
            *counters.entry((counter.chain.as_str().to_owned(), counter.comment)).or_default() += counter.packets;
        }
        let before = |key| self.counters.get(key).copied().unwrap_or(0);
        let moved =
            counters.iter().filter(|(key, packets)| **packets > before(key)).map(|((_, comment), _)| comment.clone());
        let moved = moved.collect();
        self.counters = counters;
        moved
    }
}
