//! Blocked sources as a static search tree, of one family: what is written into the kernel's map.
//!
//! Networks are merged into disjoint ranges. A boundary is the first address of a range, or the first behind it; an address
//! is blocked when an odd number of boundaries is not above it. Boundaries stand in order in the leaves, [`Bits::keys`] of
//! them in each, and a node above tells where its children begin: a B+ tree without pointers, whose levels follow one
//! another in the map. As each leaf has an even number of places, the last node alone tells odd from even.
//!
//! Keys are stored inverted. Then a place of zeros is a boundary behind all others, which the program never meets, and a
//! new map is an empty tree. Sources above all that (of all ones, no sender's) are left to the rules for it.

use crate::guard::Blocked;
use crate::nets::Net;

/// How wide the keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bits {
    /// Addresses of IPv4.
    B32,
    /// The upper halves of IPv6 addresses, where no network is longer than 64.
    B64,
    /// Whole addresses of IPv6.
    B128,
}

impl Bits {
    /// Keys of a node: it fills one line of a processor's cache, or two that are fetched together.
    pub const fn keys(self) -> usize {
        match self {
            Bits::B32 => 16,
            Bits::B64 | Bits::B128 => 8,
        }
    }

    /// Bytes of a key.
    pub const fn key_len(self) -> usize {
        match self {
            Bits::B32 => 4,
            Bits::B64 => 8,
            Bits::B128 => 16,
        }
    }

    /// Bytes of a node.
    pub const fn node_len(self) -> usize {
        self.keys() * self.key_len()
    }

    /// The least width in which `nets` have their boundaries.
    fn needed<N: Net>(nets: &[N]) -> Bits {
        match N::BITS {
            32 => Bits::B32,
            _ if nets.iter().all(|net| net.len() <= 64) => Bits::B64,
            _ => Bits::B128,
        }
    }

    /// What is not part of a key, of an address of `all` bits.
    const fn below(self, all: u32) -> u32 {
        all - 8 * self.key_len() as u32
    }

    /// The greatest key.
    const fn last(self) -> u128 {
        u128::MAX >> (128 - 8 * self.key_len())
    }

    /// The key as it is stored: inverted, in words of the host's order, the upper one first.
    fn put(self, key: u128, node: &mut Vec<u8>) {
        let inverted = !key & self.last();
        match self {
            Bits::B32 => node.extend((inverted as u32).to_ne_bytes()),
            Bits::B64 => node.extend((inverted as u64).to_ne_bytes()),
            Bits::B128 => {
                node.extend(((inverted >> 64) as u64).to_ne_bytes());
                node.extend((inverted as u64).to_ne_bytes());
            }
        }
    }
}

/// The form of a tree: it stands in the instructions, and in the sizes of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// How wide keys are.
    pub bits: Bits,
    /// The map has room for 2 to the power of it nodes.
    room: u32,
}

/// The forms of both families' trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// Of IPv4.
    pub v4: Shape,
    /// Of IPv6.
    pub v6: Shape,
}

impl Shapes {
    /// Those of trees for `blocked`, and for a quarter more.
    pub fn of(blocked: &Blocked) -> Shapes {
        Shapes { v4: Shape::of(&blocked.v4), v6: Shape::of(&blocked.v6) }
    }

    /// Whether trees for `blocked` have a place in these, and are neither much slower nor much larger for it.
    pub(crate) fn fit(&self, blocked: &Blocked) -> bool {
        self.v4.fits(&blocked.v4) && self.v6.fits(&blocked.v6)
    }
}

/// One level of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The index of its first node.
    pub first: usize,
    /// How many nodes there is room for.
    pub nodes: usize,
}

impl Shape {
    /// The smallest map.
    const ROOM_MIN: u32 = 7;
    /// A list that shrinks keeps its map until this power of two of it is to spare.
    const ROOM_SPARE: u32 = 4;
    /// Lists of IPv6 up to this length have room for whole addresses, so that programs do not come and go with the first
    /// and the last of them.
    const SHORT: usize = 256;

    /// The shape of a tree for `nets`, and for a quarter more.
    pub(crate) fn of<N: Net>(nets: &[N]) -> Shape {
        let bits = match Bits::needed(nets) {
            Bits::B64 if nets.len() <= Self::SHORT => Bits::B128,
            needed => needed,
        };
        // Each may be a range, with two boundaries.
        let boundaries = 2 * nets.len();
        let mut shape = Shape { bits, room: Self::ROOM_MIN };
        while shape.boundaries_max() < boundaries + boundaries / 4 {
            shape.room += 1;
        }
        shape
    }

    /// Whether a tree for `nets` has a place in this one, and is neither much slower nor much larger for it.
    pub(crate) fn fits<N: Net>(&self, nets: &[N]) -> bool {
        let needed = Bits::needed(nets);
        let is_wide_enough = self.bits == needed || self.bits > needed && nets.len() <= 2 * Self::SHORT;
        let has_room = 2 * nets.len() <= self.boundaries_max();
        is_wide_enough && has_room && self.room <= Shape::of(nets).room + Self::ROOM_SPARE
    }

    /// Nodes that the map has room for.
    pub fn nodes_max(&self) -> usize {
        1 << self.room
    }

    /// Boundaries that the leaves have room for.
    pub fn boundaries_max(&self) -> usize {
        self.levels().last().map_or(0, |leaves| leaves.nodes) * self.bits.keys()
    }

    /// The levels from the root to the leaves.
    pub fn levels(&self) -> Vec<Level> {
        let children = self.bits.keys() + 1;
        // A leaf needs a `1 / keys` of a node above it, and each level one more for what is left over.
        let mut nodes = (self.nodes_max() - self.room as usize) * (children - 1) / children;
        let mut sizes = vec![nodes];
        while nodes > 1 {
            nodes = nodes.div_ceil(children);
            sizes.push(nodes);
        }
        let mut first = 0;
        let level = |nodes: usize| {
            let level = Level { first, nodes };
            first += nodes;
            level
        };
        sizes.into_iter().rev().map(level).collect()
    }

    /// The nodes of the tree with these boundaries: for each level the index of its first node and the nodes that are in
    /// use, one behind the other.
    pub(crate) fn nodes(&self, boundaries: &[u128]) -> Vec<(usize, Vec<u8>)> {
        let keys = self.bits.keys();
        // How many boundaries stand below one child of the level's nodes.
        let mut below = 1;
        let mut written = Vec::new();
        for level in self.levels().into_iter().rev() {
            let mut nodes = Vec::with_capacity(boundaries.len() / below * self.bits.key_len() + self.bits.node_len());
            let begins = boundaries.iter().step_by(below).enumerate();
            // A leaf has a key for each boundary; a node above has one for each child but the first.
            let seen = begins.filter(|(child, _)| below == 1 || child % (keys + 1) != 0);
            seen.for_each(|(_, boundary)| self.bits.put(*boundary, &mut nodes));
            nodes.resize(nodes.len().next_multiple_of(self.bits.node_len()), 0);
            written.push((level.first, nodes));
            below *= if below == 1 { keys } else { keys + 1 };
        }
        written
    }
}

/// The boundaries of what `nets` cover, in order.
pub(crate) fn boundaries<N: Net>(bits: Bits, nets: &[N]) -> Vec<u128> {
    let mut ranges: Vec<(u128, u128)> = nets.iter().map(Net::range).collect();
    ranges.sort_unstable();
    // Those that overlap or touch are one.
    ranges.dedup_by(|(first, last), (_, before)| {
        let is_one = before.checked_add(1).is_none_or(|behind| *first <= behind);
        if is_one {
            *before = (*last).max(*before);
        }
        is_one
    });
    let below = bits.below(N::BITS);
    let mut boundaries = Vec::with_capacity(2 * ranges.len());
    for (first, last) in ranges {
        boundaries.push(first >> below);
        // Behind the last key there is nothing.
        boundaries.extend((last >> below < bits.last()).then(|| (last >> below) + 1));
    }
    boundaries
}

#[cfg(test)]
mod tests {
    use super::*;
    use tortie_testkit::generators::Random;

    const ALL: [Bits; 3] = [Bits::B32, Bits::B64, Bits::B128];

    /// A tree in memory, and how the program reads it.
    struct Tree {
        shape: Shape,
        map: Vec<u8>,
    }

    impl Tree {
        fn new(shape: Shape, boundaries: &[u128]) -> Tree {
            let mut map = vec![0; shape.nodes_max() * shape.bits.node_len()];
            for (first, nodes) in shape.nodes(boundaries) {
                let at = first * shape.bits.node_len();
                map[at..at + nodes.len()].copy_from_slice(&nodes);
            }
            Tree { shape, map }
        }

        fn reached(&self, node: usize, key: u128) -> usize {
            let len = self.shape.bits.node_len();
            let keys = self.map[node * len..(node + 1) * len].chunks(self.shape.bits.key_len());
            let number = |key: &[u8]| match self.shape.bits {
                Bits::B32 => u128::from(u32::from_ne_bytes(key.try_into().unwrap())),
                Bits::B64 => u128::from(u64::from_ne_bytes(key.try_into().unwrap())),
                Bits::B128 => {
                    let [upper, lower] = [0, 8].map(|at| u64::from_ne_bytes(key[at..at + 8].try_into().unwrap()));
                    u128::from(upper) << 64 | u128::from(lower)
                }
            };
            keys.filter(|stored| !number(stored) & self.shape.bits.last() <= key).count()
        }

        fn has(&self, key: u128) -> bool {
            let mut index = 0;
            let mut reached = 0;
            for level in self.shape.levels() {
                assert!(index < level.nodes, "a child that the level has not");
                reached = self.reached(level.first + index, key);
                index = index * (self.shape.bits.keys() + 1) + reached;
            }
            reached % 2 == 1
        }
    }

    #[test]
    fn levels_follow_one_another_within_the_map_and_have_a_node_for_each_child() {
        for bits in ALL {
            for room in Shape::ROOM_MIN..=24 {
                let shape = Shape { bits, room };
                let levels = shape.levels();
                assert_eq!(levels[0], Level { first: 0, nodes: 1 }, "{shape:?}");
                for pair in levels.windows(2) {
                    assert_eq!(pair[1].first, pair[0].first + pair[0].nodes, "{shape:?}");
                    assert!(pair[1].nodes <= pair[0].nodes * (bits.keys() + 1), "{shape:?}");
                }
                let last = levels[levels.len() - 1];
                assert!(last.first + last.nodes <= shape.nodes_max(), "{shape:?}");
                assert!(2 * shape.boundaries_max() > shape.nodes_max() * bits.keys(), "{shape:?} wastes half");
            }
        }
    }

    /// As many boundaries as fill a node, a level, all there is, and one less and one more.
    #[test]
    fn a_key_is_in_when_an_odd_number_of_boundaries_is_not_above_it() {
        let mut random = Random::new(1);
        for bits in ALL {
            let shape = Shape { bits, room: 11 };
            let (keys, children) = (bits.keys(), bits.keys() + 1);
            let full = [keys, keys * children, keys * children * children, shape.boundaries_max()];
            let counts = full.into_iter().flat_map(|full| [full - 1, full, full + 1]);
            for count in counts.chain([0, 1, 2, 3]).filter(|count| *count <= shape.boundaries_max()) {
                let mut any = || (u128::from(random.bits()) << 64 | u128::from(random.bits())) & (bits.last() - 1);
                // Some next to one another, and those at both ends.
                let mut boundaries: Vec<u128> = (0..2 * count).map(|_| any()).flat_map(|key| [key, key + 1]).collect();
                boundaries.extend([0, bits.last() - 1]);
                boundaries.sort_unstable();
                boundaries.dedup();
                if count % 2 == 0 {
                    boundaries.reverse();
                }
                boundaries.truncate(count);
                boundaries.sort_unstable();
                let tree = Tree::new(shape, &boundaries);
                let near = boundaries.iter().flat_map(|key| [key.saturating_sub(1), *key, key + 1]);
                // Of many boundaries some, with each of the three places in turn.
                let near = near.step_by(1 + 3 * (count / 3000));
                for key in near.chain([0, bits.last() - 1]).filter(|key| *key < bits.last()) {
                    let not_above = boundaries.partition_point(|boundary| *boundary <= key);
                    assert_eq!(tree.has(key), not_above % 2 == 1, "{bits:?}, {count} boundaries: {key:x}");
                }
            }
        }
    }

    #[test]
    fn boundaries_are_those_of_ranges_that_neither_overlap_nor_touch() {
        let v4 = |nets: &[&str]| {
            let nets: Vec<ipnet::Ipv4Net> = nets.iter().map(|net| net.parse().unwrap()).collect();
            boundaries(Bits::needed(&nets), &nets)
        };
        assert_eq!(v4(&["10.0.0.0/24", "10.0.1.0/24", "10.0.0.9/32"]), [0x0a00_0000, 0x0a00_0200]);
        assert_eq!(v4(&["255.255.255.255/32", "0.0.0.0/32"]), [0, 1, 0xffff_ffff]);
        assert_eq!((v4(&["0.0.0.0/0", "10.0.0.0/8"]), v4(&[])), (vec![0], vec![]));
        let v6 = |nets: &[&str]| {
            let nets: Vec<ipnet::Ipv6Net> = nets.iter().map(|net| net.parse().unwrap()).collect();
            (Bits::needed(&nets), boundaries(Bits::needed(&nets), &nets))
        };
        assert_eq!(v6(&["::/0", "2001:db8::/64"]), (Bits::B64, vec![0]));
        assert_eq!(v6(&["::2:0:0:0:0/64", "::3:0:0:0:0/64"]), (Bits::B64, vec![2, 4]));
        assert_eq!(v6(&["::/1", "::7/128"]), (Bits::B128, vec![0, 1 << 127]));
        assert_eq!(v6(&["::7/128", "ffff::/16"]), (Bits::B128, vec![7, 8, 0xffff << 112]));
    }

    #[test]
    fn there_is_room_for_what_a_shape_was_made_for_and_for_more() {
        for len in [0, 1, 900, 1000, 5000, 100_000] {
            let nets: Vec<ipnet::Ipv4Net> = (0..len).map(|n| std::net::Ipv4Addr::from(2 * n).into()).collect();
            let shape = Shape::of(&nets);
            assert!(shape.fits(&nets) && boundaries(shape.bits, &nets).len() <= shape.boundaries_max());
            let more: Vec<ipnet::Ipv4Net> = nets.iter().chain(&nets[..nets.len() / 5]).copied().collect();
            assert!(shape.fits(&more), "{len}");
            let fits_part = |part: usize| shape.fits(&nets[..nets.len() / part]);
            assert!(fits_part(4) && fits_part(100) == (len < 100_000), "{len}");
        }
        let v6 = |len: usize, prefix_len: u8| -> Vec<ipnet::Ipv6Net> {
            (0..len as u128).map(|n| ipnet::Ipv6Net::new((n << 64).into(), prefix_len).unwrap()).collect()
        };
        let (empty, short, long) = (Shape::of(&v6(0, 64)), Shape::of(&v6(200, 64)), Shape::of(&v6(2000, 64)));
        assert!([empty, short].iter().all(|shape| shape.fits(&v6(200, 128))), "a short list takes addresses as well");
        assert!(short.fits(&v6(300, 64)) && !short.fits(&v6(2000, 64)));
        assert!(long.fits(&v6(1000, 64)) && !long.fits(&v6(1000, 128)));
        let addresses = Shape::of(&v6(2000, 128));
        assert!(addresses.fits(&v6(1000, 128)) && !addresses.fits(&v6(1000, 64)), "slower than need be");
    }
}
