//! The way of all packets through the base chains, on both sides at once.
//!
//! A base chain may differ for packets that never come to it: a bit of the mark that no earlier chain sets, a destination
//! that an earlier chain drops. Here the packets that come to each chain are known, with what earlier chains left with
//! them; so a difference is one that a packet meets, and that packet can be told.

use std::collections::{BTreeMap, HashMap};

use crate::diagram::Node;
use crate::logic::{FORWARDED, Logic, MARK, NO_TRACK, STATUS, Scope, Stop, TRANSLATED};
use crate::outcome::{Left, Outcome};
use crate::place::{Place, Way};
use crate::run::Runner;
use crate::space::{Dimension, Pool, Space};
use crate::stages::Stages;
use crate::witness::Witness;

/// Packets with which the same was left.
struct State {
    expected: Left,
    found: Left,
    /// Which packets, as the next base chain sees them.
    region: Node,
    /// The states before, and which of their packets came from there, as the base chain before saw them.
    from: Vec<(usize, Node)>,
}

/// A number that stands for no pair of outcomes.
const NONE: u32 = u32::MAX;

/// Looks for a packet on this way that meets a difference.
///
/// # Errors
/// [`Stop`] when no answer can be given.
pub(crate) fn search(
    stages: &mut Stages<'_>,
    runner: &mut Runner<'_>,
    pool: &mut Pool,
    space: &Space,
    way: Way,
    nodes_max: usize,
) -> Result<Option<Witness>, Stop> {
    let mut logic = Logic::new(pool, Scope::All(space), nodes_max);
    let start = State { expected: Left::default(), found: Left::default(), region: Node::TRUE, from: Vec::new() };
    let mut layers = vec![vec![start]];
    let mut untracked: Option<(usize, usize, Node)> = None;
    for (step, place) in way.places().iter().enumerate() {
        let expected = stages.judge(&mut logic, *place)?;
        let found = runner.judge(&mut logic, *place)?;
        let mut next: BTreeMap<(Left, Left), Vec<(usize, Node)>> = BTreeMap::new();
        let mut worst: Option<(u8, usize, Node)> = None;
        for (number, state) in layers[step].iter().enumerate() {
            let mut pairs = Pairs::default();
            let a = settle(&mut logic, expected, way, state.expected)?;
            let b = settle(&mut logic, found, way, state.found)?;
            let joined = logic.store.join(a, b, &mut |a, b| pairs.number(a, b))?;
            let none = logic.store.end(NONE)?;
            let joined = logic.choose(state.region, joined, none)?;
            for (kind, region) in kinds(&mut logic, joined, &pairs)? {
                match kind {
                    Kind::Ends => {}
                    Kind::Differs(rank) => {
                        if worst.as_ref().is_none_or(|(before, ..)| rank < *before) {
                            worst = Some((rank, number, region));
                        }
                    }
                    Kind::Passes(expected, found) => {
                        let left = (state.expected.then(expected), state.found.then(found));
                        if left.0.is_no_track != left.1.is_no_track && untracked.is_none() {
                            untracked = Some((step, number, region));
                        }
                        next.entry(left).or_default().push((number, region));
                    }
                }
            }
        }
        if let Some((_, number, region)) = worst {
            return trace(&mut logic, space, way, &layers, number, region).map(Some);
        }
        let Some(following) = way.places().get(step + 1) else { break };
        let mut layer = Vec::new();
        for ((expected, found), from) in next {
            let mut region = Node::FALSE;
            for (_, piece) in &from {
                region = logic.or(region, *piece)?;
            }
            let region = arrive(&mut logic, space, region, *place, *following, expected)?;
            layer.push(State { expected, found, region, from });
        }
        layers.push(layer);
    }
    match untracked {
        Some((step, number, region)) => {
            layers.truncate(step + 1);
            trace(&mut logic, space, way, &layers, number, region).map(Some)
        }
        None => Ok(None),
    }
}

/// What a pair of outcomes means for the way of a packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Both sides end it in the same way.
    Ends,
    /// Both sides let it pass, with this left.
    Passes(Left, Left),
    /// They differ, the more important the lower.
    Differs(u8),
}

/// The packets of each kind, from a diagram of pairs.
fn kinds(logic: &mut Logic<'_>, joined: Node, pairs: &Pairs) -> Result<Vec<(Kind, Node)>, Stop> {
    let mut list: Vec<Kind> = Vec::new();
    let outcomes = &logic.outcomes;
    // In one pass: there may be as many pairs as rules.
    let by_kind = logic.store.map(joined, &mut |pair| {
        if pair == NONE {
            return NONE;
        }
        let (a, b) = pairs.list[pair as usize];
        let (a, b) = (outcomes.get(a), outcomes.get(b));
        let kind = match a.shows_the_same(b) {
            false => Kind::Differs(rank(a, b)),
            true if a.decision.is_final() => Kind::Ends,
            true => Kind::Passes(a.left, b.left),
        };
        let known = list.iter().position(|other| *other == kind);
        known.unwrap_or_else(|| {
            list.push(kind);
            list.len() - 1
        }) as u32
    })?;
    let mut regions = Vec::with_capacity(list.len());
    for (number, kind) in list.into_iter().enumerate() {
        regions.push((kind, logic.store.is(by_kind, number as u32)?));
    }
    Ok(regions)
}

/// What people care about first: another verdict, then another reason.
fn rank(a: &Outcome, b: &Outcome) -> u8 {
    match () {
        () if a.decision.is_final() != b.decision.is_final() => 0,
        () if a.decision.is_final() == b.decision.is_final() && a.reason != b.reason => 1,
        () => 2,
    }
}

#[derive(Default)]
struct Pairs {
    list: Vec<(u32, u32)>,
    known: HashMap<(u32, u32), u32>,
}

impl Pairs {
    fn number(&mut self, a: u32, b: u32) -> u32 {
        *self.known.entry((a, b)).or_insert_with(|| {
            self.list.push((a, b));
            self.list.len() as u32 - 1
        })
    }
}

/// A base chain for packets with which this was left.
fn settle(logic: &mut Logic<'_>, node: Node, way: Way, left: Left) -> Result<Node, Stop> {
    let node = logic.given(node, left)?;
    let values = [(NO_TRACK, left.is_no_track), (FORWARDED, way == Way::Forwarded)].into();
    Ok(logic.store.assign(node, &values)?)
}

/// Whether the dimension may be another one at the next base chain, for a packet that is translated.
fn changes(before: Place, after: Place, dimension: Dimension) -> bool {
    match dimension {
        Dimension::Destination4 | Dimension::Destination6 | Dimension::DestinationPort => {
            before.is_before_translation() && !after.is_before_translation()
        }
        // The output hook still names the interface that was chosen before translation (E-410).
        Dimension::OutInterface => before == Place::Output,
        _ => false,
    }
}

/// Packets as the next base chain sees them.
fn arrive(
    logic: &mut Logic<'_>,
    space: &Space,
    region: Node,
    before: Place,
    after: Place,
    left: Left,
) -> Result<Node, Stop> {
    let is_translated = is_translated(logic, left)?;
    let is_free = |level| {
        let mut changed = Dimension::ALL.into_iter().filter(|dimension| changes(before, after, *dimension));
        changed.any(|dimension| space.is_of(dimension, level))
    };
    let translated = logic.and(region, is_translated)?;
    let translated = logic.store.some(translated, &is_free)?;
    logic.choose(is_translated, translated, region)
}

fn is_translated(logic: &mut Logic<'_>, left: Left) -> Result<Node, Stop> {
    let is_tracked = logic.is_tracked()?;
    let is_tracked = logic.store.assign(is_tracked, &[(NO_TRACK, left.is_no_track)].into())?;
    let has_bit = logic.store.variable(TRANSLATED)?;
    logic.and(is_tracked, has_bit)
}

/// One packet of a region of the last layer, back to where it came from.
fn trace(
    logic: &mut Logic<'_>,
    space: &Space,
    way: Way,
    layers: &[Vec<State>],
    number: usize,
    region: Node,
) -> Result<Witness, Stop> {
    let last = logic.store.pick(region).expect("the region is not empty");
    let (mut values, mut number) = (last.clone(), number);
    for step in (1..layers.len()).rev() {
        let (before, after) = (way.places()[step - 1], way.places()[step]);
        let state = &layers[step][number];
        let is_translated = is_translated(logic, state.expected)?;
        let mut every = full(space, &values);
        let is_translated = logic.store.assign(is_translated, &every)? == Node::TRUE;
        if is_translated {
            let changed: Vec<_> = Dimension::ALL.into_iter().filter(|d| changes(before, after, *d)).collect();
            every.retain(|level, _| !changed.iter().any(|dimension| space.is_of(*dimension, *level)));
        }
        for (origin, piece) in &state.from {
            let rest = logic.store.assign(*piece, &every)?;
            if let Some(picked) = logic.store.pick(rest) {
                values = every.iter().map(|(level, value)| (*level, *value)).chain(picked).collect();
                number = *origin;
                break;
            }
        }
    }
    let bits = |from: u32| {
        (0..32).filter(|bit| values.get(&(from + bit)).copied().unwrap_or_default()).fold(0, |all, bit| all | 1 << bit)
    };
    let (mark, status): (u32, u32) = (bits(MARK), bits(STATUS));
    let first = |dimension| space.value(dimension, &values);
    let last = |dimension| space.value(dimension, &last);
    Ok(Witness::new(way, &first, &last, mark, status))
}

/// Every variable with its value; those not given are false.
fn full(space: &Space, values: &BTreeMap<u32, bool>) -> BTreeMap<u32, bool> {
    let value = |level: u32| values.get(&level).copied().unwrap_or_default();
    (0..space.end()).map(|level| (level, value(level))).collect()
}
