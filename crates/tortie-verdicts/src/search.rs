//! Draws worlds and packets, takes every road, and keeps count.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tortie_api::packet::Packet;
use tortie_api::read_stored;
use tortie_proof::{Budget, Disagreement, prove};
use tortie_reference::Judgement;
use tortie_rules::{compile_with, interpret};
use tortie_testkit::generators::{Random, World, aimed, crowded, peerwise, spoiled, world};
use tortie_testkit::stored::stored;

use crate::case::Case;
use crate::features::{Drawn, Judged, OF_PACKETS, OF_WORLDS};
use crate::lab::{Probe, Road, lab_world, probe, with_other_members};
use crate::roads;
use crate::shrink::{OF_A_PACKET, shrink};

/// Packets for each world without the kernel.
const PACKETS_A_WORLD: u64 = 60;
/// Packets for each world in the kernel: to turn it is most of the work.
const PACKETS_A_LAB_WORLD: u64 = 100;
/// Of so many packets one is looked for in the kernel's counters.
const COUNTED_EVERY: u64 = 8;

/// What to draw.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// The same seed always draws the same worlds and packets.
    pub seed: u64,
    /// The number of the first world.
    pub first: u64,
    /// How many packets, at least.
    pub packets: u64,
    /// One world by its own seed, instead of those that the numbers give.
    pub only: Option<u64>,
}

/// What was drawn, and what it came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Packets judged.
    pub packets: u64,
    /// Worlds drawn.
    pub worlds: u64,
    /// Packets by stage, reason and verdict.
    pub reasons: BTreeMap<String, u64>,
    /// Worlds and packets by feature.
    pub features: BTreeMap<String, u64>,
}

/// Roads that part.
#[derive(Clone, Debug)]
pub struct Found {
    /// The world's seed.
    pub world_seed: u64,
    /// The case, made small; none where no packet shows it.
    pub case: Option<Box<Case>>,
    /// How they part.
    pub text: String,
}

impl Search {
    /// The seed of a world by its number.
    pub fn world_seed(&self, number: u64) -> u64 {
        if let Some(seed) = self.only {
            return seed;
        }
        Random::new(self.seed ^ number.wrapping_mul(0xd134_2543_de82_ef95)).bits()
    }
}

impl Tally {
    /// Adds what another one counted.
    pub fn add(&mut self, other: Tally) {
        self.packets += other.packets;
        self.worlds += other.worlds;
        for (mine, others) in [(&mut self.reasons, other.reasons), (&mut self.features, other.features)] {
            for (what, count) in others {
                *mine.entry(what).or_default() += count;
            }
        }
    }

    fn note_world(&mut self, drawn: &Drawn<'_>) {
        self.worlds += 1;
        for feature in OF_WORLDS.iter().filter(|feature| (feature.is_met)(drawn)) {
            *self.features.entry(format!("{}: {}", feature.of, feature.what)).or_default() += 1;
        }
    }

    fn note_packet(&mut self, world: &World, packet: &Packet, judged: &Judgement) {
        self.packets += 1;
        *self.reasons.entry(reason(judged)).or_default() += 1;
        let judged = Judged { world, packet, judged };
        for feature in OF_PACKETS.iter().filter(|feature| (feature.is_met)(&judged)) {
            *self.features.entry(format!("{}: {}", feature.of, feature.what)).or_default() += 1;
        }
    }

    /// Features that nothing drawn has.
    pub fn missing(&self) -> Vec<String> {
        let worlds = OF_WORLDS.iter().map(|feature| (feature.of, feature.what));
        let packets = OF_PACKETS.iter().map(|feature| (feature.of, feature.what));
        let all = worlds.chain(packets).map(|(of, what)| format!("{of}: {what}"));
        all.filter(|what| !self.features.contains_key(what)).collect()
    }
}

/// Stage, reason and verdict in words.
fn reason(judged: &Judgement) -> String {
    match &judged.reason {
        None => "un-owned".to_owned(),
        Some(reason) => {
            let by = format!("{:?}", reason.by);
            let by = by.split([' ', '(']).next().unwrap_or_default();
            format!("{:?} {by} {:?}", reason.stage, judged.verdict)
        }
    }
}

/// Reference and interpreter over random worlds, on as many threads as there are `jobs`, until there is a disagreement.
pub fn without_kernel(search: Search, jobs: usize) -> (Tally, Vec<Found>) {
    let worlds = search.packets.div_ceil(PACKETS_A_WORLD);
    let (next, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let (tally, found) = (Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                let mut mine = Tally::default();
                while !is_over.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= worlds {
                        break;
                    }
                    let seed = search.world_seed(search.first + number);
                    if let Err(one) = two_roads(seed, &mut mine) {
                        is_over.store(true, Ordering::Relaxed);
                        found.lock().expect("no thread panics with it").push(one);
                    }
                }
                tally.lock().expect("no thread panics with it").add(mine);
            });
        }
    });
    (tally.into_inner().expect("all threads ended"), found.into_inner().expect("all threads ended"))
}

/// One world, and all its packets.
fn two_roads(seed: u64, tally: &mut Tally) -> Result<(), Found> {
    let world = match seed % 3 {
        0 => crowded(seed),
        1 => peerwise(seed),
        _ => world(seed),
    };
    let mut random = Random::new(seed ^ 0x5eed);
    let fail = |text: String| Found { world_seed: seed, case: None, text };
    stored_form(&world, &mut random).map_err(fail)?;
    let engine = roads::engine(&world, &world.resources, false);
    if seed.is_multiple_of(8) {
        let other = roads::engine(&world, &world.resources, true);
        if engine.policy() != other.policy() {
            return Err(fail("the order of updates matters".to_owned()));
        }
    }
    let rulesets = roads::FORMS.map(|form| compile_with(engine.policy(), form));
    for ruleset in &rulesets {
        match prove(engine.policy(), ruleset, Budget::default()) {
            Ok(proof) if proof.is_complete() => {}
            Ok(proof) => {
                return Err(fail(format!("a world as small as this is over the budget of the proof: {proof:?}")));
            }
            Err(_) => return Err(smallest_unproved(seed, world)),
        }
        tally.note_world(&Drawn { world: &world, ruleset });
    }
    for _ in 0..PACKETS_A_WORLD {
        let packet = aimed(&world, &mut random);
        let judged = roads::judge(&world, &packet);
        tally.note_packet(&world, &packet, &judged);
        for ruleset in &rulesets {
            let found = interpret(ruleset, &packet).map_err(|error| fail(error.to_string()))?;
            if !roads::agrees(&judged, &found) {
                return Err(smallest(seed, world, packet));
            }
        }
    }
    Ok(())
}

/// How reference and ruleset part over a packet.
pub fn part(world: &World, packet: &Packet) -> Option<String> {
    let engine = roads::engine(world, &world.resources, false);
    let judged = roads::judge(world, packet);
    roads::FORMS.into_iter().find_map(|form| match interpret(&compile_with(engine.policy(), form), packet) {
        Ok(found) if roads::agrees(&judged, &found) => None,
        Ok(found) => Some(format!("classes: {form:?}\nreference: {judged:?}\nruleset: {found:?}")),
        Err(error) => Some(error.to_string()),
    })
}

fn smallest(seed: u64, world: World, packet: Packet) -> Found {
    let (world, packet) = shrink(world, packet, OF_A_PACKET, |world, packet| part(world, packet).is_some());
    let text = part(&world, &packet).unwrap_or_default();
    let case = Case { title: format!("world {seed}\n{text}"), world, packet, probe: None };
    Found { world_seed: seed, case: Some(Box::new(case)), text }
}

/// The packet that shows that a ruleset does not do what policy says.
fn unproved(world: &World) -> Option<(String, Option<Packet>)> {
    let engine = roads::engine(world, &world.resources, false);
    let disagreement = roads::FORMS
        .into_iter()
        .find_map(|form| prove(engine.policy(), &compile_with(engine.policy(), form), Budget::default()).err())?;
    let packet = match &disagreement {
        Disagreement::Differs(difference) => Some(difference.witness.packet.clone()),
        Disagreement::Broken { .. } => None,
    };
    Some((disagreement.to_string(), packet))
}

fn smallest_unproved(seed: u64, world: World) -> Found {
    let (world, ()) = shrink(world, (), &[], |world, ()| unproved(world).is_some());
    let (text, packet) = unproved(&world).unwrap_or_default();
    let case = packet.map(|packet| {
        let title = format!("world {seed}\n{text}");
        Box::new(Case { title, world, packet, probe: None })
    });
    Found { world_seed: seed, case, text }
}

/// Every resource reads as it was written, and one that was spoiled is refused as a whole (E-305).
fn stored_form(world: &World, random: &mut Random) -> Result<(), String> {
    for resource in &world.resources {
        let value = stored(resource);
        match read_stored(resource.kind(), &value) {
            Ok(read) if read.resource == *resource => {}
            other => return Err(format!("{value} is read as {other:?}, not {resource:?}")),
        }
    }
    if world.resources.is_empty() {
        return Ok(());
    }
    let resource = random.pick(&world.resources);
    let value = spoiled(&stored(resource), random);
    if read_stored(resource.kind(), &value).is_ok() {
        return Err(format!("{value} has no defined meaning, and is taken (E-305)"));
    }
    Ok(())
}

/// All three roads, in the present network namespace, which must be a new one; stops at the first disagreement.
pub fn with_kernel(search: Search) -> (Tally, Vec<Found>) {
    let mut tally = Tally::default();
    let mut road = Road::build();
    for number in 0..search.packets.div_ceil(PACKETS_A_LAB_WORLD) {
        let seed = search.world_seed(search.first + number);
        let is_marked = !seed.is_multiple_of(2);
        road.form = roads::form(seed);
        road.enter(lab_world(seed), is_marked);
        tally.note_world(&Drawn { world: road.world(), ruleset: road.ruleset() });
        let mut random = Random::new(seed ^ 0x0a0d);
        for packet in 0..PACKETS_A_LAB_WORLD {
            if packet == PACKETS_A_LAB_WORLD / 2 {
                let other = with_other_members(road.world().clone(), seed);
                road.turn(other);
            }
            let probe = probe(road.world(), &mut random);
            let sent = road.send(&probe, packet % COUNTED_EVERY == 0);
            tally.note_packet(road.world(), &sent.leg, &sent.judged);
            if let Some(answer) = sent.answer {
                *tally.reasons.entry(format!("dropped, answered: {answer}")).or_default() += 1;
            }
            if let Some(text) = sent.disagreement {
                return (tally, vec![smallest_in_kernel(&mut road, seed, is_marked, probe, text)]);
            }
            // To ask takes a process, so it is asked of each packet only where the world is known.
            let is_last = packet + 1 == PACKETS_A_LAB_WORLD;
            if is_marked && (is_last || search.only.is_some()) && road.has_strange_marks() {
                let text = format!("a bit of the mark that is not ours was changed (E-403), last by {probe:?}");
                return (tally, vec![Found { world_seed: seed, case: None, text }]);
            }
        }
    }
    (tally, Vec::new())
}

/// Whether the kernel does with the case's packet what the other roads say.
///
/// # Errors
/// How they part.
pub fn replay_in_kernel(road: &mut Road, world: &World, probe: &Probe) -> Result<(), String> {
    for is_marked in [false, true] {
        road.enter(world.clone(), is_marked);
        if let Some(text) = road.send(probe, true).disagreement {
            return Err(text);
        }
    }
    Ok(())
}

fn smallest_in_kernel(road: &mut Road, seed: u64, is_marked: bool, probe: Probe, text: String) -> Found {
    let world = road.world().clone();
    let mut fails = |world: &World, probe: &Probe| {
        road.enter(world.clone(), is_marked);
        road.send(probe, true).disagreement.is_some()
    };
    if !fails(&world, &probe) {
        let text = format!("seen once, when other worlds and packets came before:\n{text}\n{probe:?}");
        return Found { world_seed: seed, case: None, text };
    }
    let simpler: &[fn(&mut Probe)] =
        &[|probe| probe.shape.has_options = false, |probe| probe.shape.is_fragmented = false];
    let (world, probe) = shrink(world, probe, simpler, fails);
    road.enter(world.clone(), is_marked);
    let sent = road.send(&probe, true);
    let text = sent.disagreement.unwrap_or(text);
    let title = format!("world {seed}, foreign marks: {is_marked}\n{text}");
    Found { world_seed: seed, case: Some(Box::new(Case { title, world, packet: sent.leg, probe: Some(probe) })), text }
}
