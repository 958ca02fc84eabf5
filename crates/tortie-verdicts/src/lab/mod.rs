//! The third road: a host in a network namespace, a world in its kernel, and real packets.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;

use tortie_api::model::{Policy, PolicyClass, Protocol, Resource};
use tortie_api::packet::{ConnState, Packet, WayBack};
use tortie_nftables::Kernel;
use tortie_reference::{Judgement, Stage, Verdict};
use tortie_rules::interpret::Outcome;
use tortie_rules::ruleset::Origin;
use tortie_rules::{Classes, Ruleset, interpret, plan};
use tortie_testkit::generators::World;

mod bytes;
mod conntrack;
mod draw;
mod host;

pub use bytes::Shape;
pub use conntrack::Tuple;
pub use draw::{Probe, lab_world, probe, with_other_members};
pub use host::{Place, interface};

use crate::roads;
use conntrack::Conntrack;
use host::Lab;

/// The host, and the world that is in force in its kernel.
pub struct Road {
    lab: Lab,
    kernel: Kernel,
    conntrack: Conntrack,
    world: World,
    /// What the compiler is told.
    pub form: Classes,
    ruleset: Ruleset,
    /// Packets by their number.
    sent: u32,
    counters: BTreeMap<(String, String), u64>,
}

/// What became of one packet.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The reference's judgement of the leg that decided.
    pub judged: Judgement,
    /// The packet in that leg.
    pub leg: Packet,
    /// What the interpreter says of it.
    pub found: Outcome,
    /// Whether its sender must be answered, where that is certain.
    pub answer: Option<bool>,
    /// How the roads disagree, for people.
    pub disagreement: Option<String>,
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
    /// Makes the host in the present network namespace, which must be a new one.
    pub fn build() -> Road {
        Road {
            lab: Lab::build(&draw::dnat()),
            kernel: Kernel::open().expect("nf_tables answers over netlink"),
            conntrack: Conntrack::open(),
            world: lab_world(0),
            form: Classes::default(),
            ruleset: Ruleset::default(),
            sent: 0,
            counters: BTreeMap::new(),
        }
    }

    /// Turns the kernel to `world`, from whichever it holds, with foreign hands on the mark or without.
    pub fn enter(&mut self, world: World, is_marked: bool) {
        // While it turns nothing is counted: the kernel's own packets may come at any time, and meet the old world's mask.
        host::run("nft", &["-f", "-"], "table inet marks { }\ndelete table inet marks\n");
        self.turn(world);
        if is_marked {
            host::run("nft", &["-f", "-"], &marks(self.world.mark_mask));
        }
    }

    /// Turns the kernel to `world`, by as little as there is to change.
    pub fn turn(&mut self, world: World) {
        self.world = world;
        self.ruleset = roads::ruleset(&self.world, self.form);
        let actual = self.kernel.read().expect("the table can be read");
        let plan = plan(&self.ruleset, actual.ruleset.as_ref()).expect("a ruleset can be planned");
        for transaction in plan.transactions {
            let done = self.kernel.commit(&transaction, None);
            done.unwrap_or_else(|error| panic!("the kernel refuses what was compiled: {error:?}\n{transaction:#?}"));
        }
    }

    /// The world in force.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// What the kernel was turned to.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Whether a bit that is not ours was changed since foreign hands came (E-403).
    pub fn has_strange_marks(&self) -> bool {
        let list = ["list", "counter", "inet", "marks", "strange"];
        let output = Command::new("nft").args(list).output().expect("nft is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success() && !text.contains("packets 0 bytes 0")
    }

    /// Sends one packet, and compares what became of it. With `is_counted` the counters must show the reason too, which
    /// takes longer than all the rest.
    pub fn send(&mut self, probe: &Probe, is_counted: bool) -> Sent {
        self.sent += 1;
        let mut probe = probe.clone();
        probe.shape.number = self.sent;
        let (legs, place) = probe.legs(&self.world);
        if is_counted {
            self.count();
        }
        let (arrived, is_answered) = self.transmit(&probe, place);
        let moved = is_counted.then(|| self.count());

        let judged: Vec<_> = legs.iter().map(|leg| roads::judge(&self.world, leg)).collect();
        let dropped = judged.iter().position(|judged| judged.verdict == Verdict::Drop);
        let expected = if dropped.is_none() { vec![place] } else { vec![] };
        let last = dropped.unwrap_or(legs.len() - 1);
        let found = interpret(&self.ruleset, &legs[last]).expect("a compiled ruleset refers to what it holds");
        // What comes in by `lo` is tracked already, and S1 cannot take a known flow out of tracking: S3 knows it.
        let is_known = matches!(probe.packet.state, ConnState::Established | ConnState::Related) && last == 1;
        let has_counted = is_known || moved.as_ref().is_none_or(|moved| self.has_counted(found.origin.as_ref(), moved));
        let answer = dropped.and_then(|_| self.answer(&probe, &judged[last]));
        let is_same_answer = answer.is_none_or(|answer| answer == is_answered);
        let has_agreed = is_known || roads::agrees(&judged[last], &found);
        let disagreement = (arrived != expected || !has_counted || !is_same_answer || !has_agreed).then(|| {
            format!(
                "arrived at {arrived:?}, not {expected:?}; answered {is_answered}, not {answer:?}; moved {moved:?}\n\
                 reference: {:?}\nruleset: {found:?}",
                judged[last],
            )
        });
        Sent { judged: judged[last].clone(), leg: legs[last].clone(), found, answer, disagreement }
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
        // What no rule decided counts where a map holds it, for nobody.
        let Some(comment) = origin.map(Origin::comment) else { return true };
        let has_counter = self.counters.keys().any(|(_, of)| *of == comment);
        !has_counter || origin == Some(&Origin::ConnState) || moved.contains(&comment)
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
        // What is not tracked has no flow to which the answer could belong: egress policy judges it (E-416).
        let has_untracked = has_untracked || draw::is_untracked(&self.world, packet);
        let is_simple = matches!(packet.protocol, Protocol::TCP | Protocol::UDP) && packet.state == ConnState::New;
        let is_everybody = packet.destination.is_multicast() || packet.destination == Ipv4Addr::BROADCAST;
        let has_way = packet.way_back != WayBack::Nowhere;
        (is_simple && !has_untracked && !is_everybody && has_way).then_some(true)
    }

    /// Reads the counters, and tells the comments of those that moved since they were read before.
    fn count(&mut self) -> Vec<String> {
        let mut counters: BTreeMap<(String, String), u64> = BTreeMap::new();
        for counter in self.kernel.counters().expect("counters can be read") {
            *counters.entry((counter.place.as_str().to_owned(), counter.comment)).or_default() += counter.packets;
        }
        let before = |key| self.counters.get(key).copied().unwrap_or(0);
        let moved =
            counters.iter().filter(|(key, packets)| **packets > before(key)).map(|((_, comment), _)| comment.clone());
        let moved = moved.collect();
        self.counters = counters;
        moved
    }
}
