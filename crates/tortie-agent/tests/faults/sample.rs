//! Which of many points a run takes.

/// The points of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// Every point.
    All,
    /// Those that this seed draws.
    Seed(u64),
}

impl Sample {
    /// As the environment says.
    pub(crate) fn of_environment() -> Sample {
        match std::env::var("TORTIE_FAULTS").ok().as_deref() {
            None | Some("") => Sample::Seed(1),
            Some("all") => Sample::All,
            Some(seed) => Sample::Seed(seed.parse().expect("TORTIE_FAULTS is `all` or a number")),
        }
    }

    /// How many points are taken: `some`, or at most `all` where all are wanted.
    pub(crate) fn part(self, some: usize, all: usize) -> Part {
        match self {
            Sample::All => Part { count: all, seed: 1 },
            Sample::Seed(seed) => Part { count: some, seed },
        }
    }
}

/// A part of many points.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    count: usize,
    seed: u64,
}

impl Part {
    /// As many of the points as the part has, in an order drawn at random; other ones for another `salt`.
    pub(crate) fn of<T: Clone>(self, points: &[T], salt: u64) -> Vec<T> {
        let mut left = points.to_vec();
        let mut random = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95) | 1;
        let mut drawn = Vec::new();
        while drawn.len() < self.count && !left.is_empty() {
            // xorshift64.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            drawn.push(left.swap_remove((random % left.len() as u64) as usize));
        }
        drawn
    }
}
