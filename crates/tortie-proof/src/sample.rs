//! Packets aimed at the edges of criteria, where a base chain is too big for a diagram.

use tortie_rules::ruleset::ct_status;

use crate::Budget;
use crate::logic::Stop;
use crate::place::{Place, Way};
use crate::run::Runner;
use crate::space::{Dimension, Pool, Space};
use crate::stages::Stages;
use crate::witness::{Parting, Witness, follow};

/// Tries packets that come to a base chain.
pub(crate) fn search(
    stages: &mut Stages<'_>,
    runner: &mut Runner<'_>,
    pool: &mut Pool,
    space: &Space,
    place: Place,
    budget: Budget,
) -> Result<Option<(Parting, Witness)>, Stop> {
    let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| way.places().contains(&place)).collect();
    let mut random = Random(budget.seed);
    for _ in 0..budget.packets {
        let way = ways[random.below(ways.len())];
        let witness = draw(&mut random, space, way);
        if let Some(parting) = follow(stages, runner, pool, &witness)? {
            return Ok(Some((parting, witness)));
        }
    }
    Ok(None)
}

/// A packet whose fields are members of classes: each of them begins where some criterion does, or behind its end.
fn draw(random: &mut Random, space: &Space, way: Way) -> Witness {
    let mut values = Vec::new();
    for _ in 0..2 {
        let member = |dimension: Dimension| {
            let members = &space.of(dimension).members;
            // The usual class half the time: what comes before policy ends most others.
            if random.below(2) == 0 { members[0] } else { members[random.below(members.len())] }
        };
        values.push(Dimension::ALL.map(member));
    }
    let place = |dimension: Dimension| Dimension::ALL.iter().position(|other| *other == dimension).unwrap_or_default();
    let is_translated = random.below(4) == 0;
    let (before, after) = (values[0], values[usize::from(is_translated)]);
    let first = |dimension: Dimension| before[place(dimension)];
    let last = |dimension: Dimension| match dimension {
        Dimension::Destination4 | Dimension::Destination6 | Dimension::DestinationPort | Dimension::OutInterface => {
            after[place(dimension)]
        }
        other => before[place(other)],
    };
    let mark = [0, 0, u32::MAX, random.bits() as u32][random.below(4)];
    Witness::new(way, &first, &last, mark, if is_translated { ct_status::DST_NAT } else { 0 })
}

/// SplitMix64 (Steele and others 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }
}
