//! Networks of one family as lists: what is left of some when others are taken away.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tortie_api::model::Family;

/// What both families' networks have in common.
pub(crate) trait Net: Copy + Ord {
    const FAMILY: Family;
    /// Bits of an address.
    const BITS: u32;
    /// All addresses.
    fn all() -> Self;
    /// A network as a rule names it; `None` of the other family.
    fn of(net: &IpNet) -> Option<Self>;
    /// Bits of the prefix.
    fn len(&self) -> u8;
    /// The first and the last address, as numbers.
    fn range(&self) -> (u128, u128);
    /// The networks as few as possible, disjoint and in order.
    fn aggregated(nets: Vec<Self>) -> Vec<Self>;
    /// Whether every address of `other` is in it.
    fn holds(&self, other: &Self) -> bool;
    /// Its two halves; `None` of a single address.
    fn halves(&self) -> Option<[Self; 2]>;
}

macro_rules! net {
    ($net:ty, $family:ident, $bits:literal) => {
        impl Net for $net {
            const FAMILY: Family = Family::$family;
            const BITS: u32 = $bits;

            fn all() -> Self {
                Self::default()
            }

            fn of(net: &IpNet) -> Option<Self> {
                match net {
                    IpNet::$family(net) => Some(net.trunc()),
                    _ => None,
                }
            }

            fn len(&self) -> u8 {
                self.prefix_len()
            }

            fn range(&self) -> (u128, u128) {
                let [first, last] = [self.network(), self.broadcast()].map(|address| u128::from(address.to_bits()));
                (first, last)
            }

            fn aggregated(nets: Vec<Self>) -> Vec<Self> {
                <$net>::aggregate(&nets)
            }

            fn holds(&self, other: &Self) -> bool {
                self.contains(other)
            }

            fn halves(&self) -> Option<[Self; 2]> {
                let mut halves = self.subnets(self.prefix_len() + 1).ok()?;
                Some([halves.next()?, halves.next()?])
            }
        }
    };
}

net!(Ipv4Net, V4, 32);
net!(Ipv6Net, V6, 128);

/// Networks in order, disjoint: what one of them holds is found by halving.
#[derive(Clone, Debug)]
pub(crate) struct Disjoint<N>(Vec<N>);

impl<N: Net> Disjoint<N> {
    pub(crate) fn new(nets: Vec<N>) -> Self {
        Self(N::aggregated(nets))
    }

    /// Whether `net` is in one of them as a whole.
    fn covers(&self, net: &N) -> bool {
        // Networks nest or are disjoint, so only the last that begins before it can hold it.
        let after = self.0.partition_point(|known| known <= net);
        after.checked_sub(1).is_some_and(|last| self.0[last].holds(net))
    }

    /// Whether one of them is a part of `net`.
    fn cuts(&self, net: &N) -> bool {
        let first = self.0.partition_point(|known| known < net);
        self.0.get(first).is_some_and(|known| net.holds(known))
    }

    /// Appends to `left` what is left of `net` without these.
    pub(crate) fn take_from(&self, net: N, left: &mut Vec<N>) {
        if self.covers(&net) {
            return;
        }
        match self.cuts(&net).then(|| net.halves()).flatten() {
            Some(halves) => halves.into_iter().for_each(|half| self.take_from(half, left)),
            None => left.push(net),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(from: &[&str], taken: &[&str]) -> Vec<String> {
        let parse = |list: &[&str]| list.iter().map(|net| net.parse().unwrap()).collect::<Vec<Ipv4Net>>();
        let taken = Disjoint::new(parse(taken));
        let mut left = Vec::new();
        parse(from).into_iter().for_each(|net| taken.take_from(net, &mut left));
        left.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_taken_away_leaves_the_networks_around_it() {
        for (from, taken, expected) in [
            (&["10.0.0.0/8"][..], &[][..], &["10.0.0.0/8"][..]),
            (&["10.0.0.0/8"], &["10.0.0.0/8"], &[]),
            (&["10.0.0.0/8"], &["0.0.0.0/0"], &[]),
            (&["10.0.0.0/30"], &["10.0.0.1/32"], &["10.0.0.0/32", "10.0.0.2/31"]),
            (&["10.0.0.0/30"], &["10.0.0.0/32", "10.0.0.3/32"], &["10.0.0.1/32", "10.0.0.2/32"]),
            (&["10.0.0.0/24", "10.0.1.0/24"], &["10.0.1.0/24", "10.0.2.0/24"], &["10.0.0.0/24"]),
            (&["10.0.0.5/32", "10.0.0.6/32"], &["10.0.0.6/32"], &["10.0.0.5/32"]),
            (&["0.0.0.0/0"], &["128.0.0.0/1"], &["0.0.0.0/1"]),
        ] {
            assert_eq!(left(from, taken), expected, "{from:?} without {taken:?}");
        }
    }

    /// Every address of a small space, one by one.
    #[test]
    fn an_address_is_left_when_it_was_there_and_is_not_taken() {
        let mut random = tortie_testkit::generators::Random::new(1);
        for _ in 0..500 {
            let mut draw = |count: usize| -> Vec<Ipv4Net> {
                let mut net = || {
                    let address = std::net::Ipv4Addr::new(10, 0, 0, random.below(64) as u8);
                    Ipv4Net::new(address, 26 + random.below(7) as u8).unwrap().trunc()
                };
                (0..count).map(|_| net()).collect()
            };
            let (from, taken) = (draw(3), draw(3));
            let disjoint = Disjoint::new(taken.clone());
            let mut left = Vec::new();
            from.iter().for_each(|net| disjoint.take_from(*net, &mut left));
            for last in 0..64 {
                let address = std::net::Ipv4Addr::new(10, 0, 0, last);
                let is_in = |nets: &[Ipv4Net]| nets.iter().any(|net| net.contains(&address));
                assert_eq!(is_in(&left), is_in(&from) && !is_in(&taken), "{address}: {from:?} without {taken:?}");
            }
        }
    }
}
