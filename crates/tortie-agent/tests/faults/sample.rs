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

    /// `count` of the points, or all of them; different ones for each `salt`.
    pub(crate) fn of<T: Clone>(self, points: &[T], count: usize, salt: u64) -> Vec<T> {
        let Sample::Seed(seed) = self else { return points.to_vec() };
        let mut left = points.to_vec();
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt.wrapping_mul(0xd134_2543_de82_ef95) | 1;
        let mut drawn = Vec::new();
        while drawn.len() < count && !left.is_empty() {
            // xorshift64.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            drawn.push(left.swap_remove((random % left.len() as u64) as usize));
        }
        drawn
    }
}
