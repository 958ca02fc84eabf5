//! What is said of pairs of classes: that of the peer, and that of the host's own address.
//!
//! The own addresses are cut by the criteria on them as the peers' are. A peer has a row: what is said of each class of own
//! addresses that neither the class of the peer nor that of the own address says by itself. Most pairs have nothing to
//! say, so only those are looked at of which a rule that the peer meets and no other does speaks.

use std::collections::BTreeSet;

use foldhash::{HashMap, HashMapExt};
use sha2::{Digest, Sha256};

use super::Signature;
use super::addresses::{Addresses, Span};
use super::encode::Piece;
use super::function::Function;
use super::region::Range;
use super::table::{Listed, Maker, Run, Table};
use crate::compile::sets::merge;
use crate::ruleset::ClassId;

/// Work that one pair is, and each thing that is said of it: it becomes an element of its own.
const PAIR_WORK: usize = 16;

/// What is said of both ends of packets: of one end's classes with each of the other's.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Pairs {
    /// Rows, by position: what they say of the column of this position.
    pub(super) rows: Vec<Vec<(usize, Vec<Piece>)>>,
    /// Whether rows are those of own addresses, and columns those of peers.
    pub(super) is_by_own: bool,
    /// The rows of addresses.
    pub(super) row_spans: Vec<(Span, usize)>,
    /// The columns of addresses.
    pub(super) column_spans: Vec<(Span, usize)>,
}

impl Pairs {
    /// All pieces.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.rows.iter().flatten().flat_map(|(_, pieces)| pieces)
    }

    /// The same with rows and columns exchanged where a change of what one pair says touches less then: all that stands in
    /// its row.
    fn turned(self) -> Self {
        let mut in_columns: Vec<usize> = Vec::new();
        for (column, _) in self.rows.iter().flatten() {
            in_columns.resize(in_columns.len().max(column + 1), 0);
            in_columns[*column] += 1;
        }
        let by_column: usize = in_columns.iter().map(|len| len * len).sum();
        if by_column >= self.rows.iter().map(|row| row.len() * row.len()).sum() {
            return self;
        }
        let mut rows: Vec<Vec<(usize, Vec<Piece>)>> = in_columns.into_iter().map(Vec::with_capacity).collect();
        for (number, row) in self.rows.into_iter().enumerate() {
            row.into_iter().for_each(|(column, pieces)| rows[column].push((number, pieces)));
        }
        let (row_spans, column_spans) = (self.column_spans, self.row_spans);
        Pairs { rows, is_by_own: !self.is_by_own, row_spans, column_spans }
    }

    /// The numbers of columns. One says which addresses these are, and nothing of what is said of them: the lowest of them
    /// stands for all.
    pub(super) fn column_ids(&self) -> HashMap<usize, ClassId> {
        let mut lowest: HashMap<usize, u128> = HashMap::new();
        for ((first, _), column) in &self.column_spans {
            let lowest = lowest.entry(*column).or_insert(*first);
            *lowest = (*lowest).min(*first);
        }
        let id = |address: u128| class_id(Sha256::new().chain_update(format!("from {address:x}")));
        lowest.into_iter().map(|(column, address)| (column, id(address))).collect()
    }
}

/// The rules of a run that ask for own addresses, or not for some of the peers.
#[derive(Default)]
pub(super) struct Index {
    /// Those that must have a criterion at both ends, by the first of the peer.
    by_peer: HashMap<u32, Vec<usize>>,
    /// The same, by the first of the own end.
    by_own: HashMap<u32, Vec<usize>>,
    /// Those that must have one at the own end alone.
    of_own_alone: HashMap<u32, Vec<usize>>,
    /// All that ask for own addresses, and not for a criterion of the peer.
    any_peer: Vec<usize>,
    /// Those of all peers but some, by the criteria of these.
    but: HashMap<u32, Vec<usize>>,
}

impl Index {
    pub(super) fn add(&mut self, position: usize, rule: &Listed) {
        let put = |index: &mut HashMap<u32, Vec<usize>>, criterion: u32| {
            index.entry(criterion).or_default().push(position);
        };
        match (rule.peer.with.first(), rule.own.with.first()) {
            (Some(peer), Some(own)) => {
                put(&mut self.by_peer, *peer);
                put(&mut self.by_own, *own);
            }
            (None, Some(own)) => put(&mut self.of_own_alone, *own),
            (_, None) => {}
        }
        if rule.peer.with.is_empty() {
            rule.peer.without.iter().for_each(|criterion| put(&mut self.but, *criterion));
            if !rule.own.with.is_empty() || !rule.own.without.is_empty() {
                self.any_peer.push(position);
            }
        }
    }

    /// Rules that must have a criterion at both ends and may match packets between these signatures: by the end at which
    /// fewer do.
    fn of_both(&self, signature: &[u32], own: &[u32]) -> Vec<usize> {
        let len = |index, signature| -> usize { met(index, signature).map(Vec::len).sum() };
        let of_peer = len(&self.by_peer, signature);
        let is_by_peer = !own.is_empty() && (of_peer <= own.len() || of_peer < len(&self.by_own, own));
        let both = if is_by_peer { met(&self.by_peer, signature) } else { met(&self.by_own, own) };
        both.flatten().copied().collect()
    }

    /// Rules that must have a criterion at the own end alone, and may match packets of this signature there.
    fn of_alone(&self, own: &[u32]) -> Vec<usize> {
        met(&self.of_own_alone, own).flatten().copied().collect()
    }
}

/// What an index has under the criteria of a signature, which may be longer than the index.
fn met<'a>(index: &'a HashMap<u32, Vec<usize>>, signature: &'a [u32]) -> Box<dyn Iterator<Item = &'a Vec<usize>> + 'a> {
    if index.len() < signature.len() {
        let holds = |criterion: &u32| signature.binary_search(criterion).is_ok();
        return Box::new(index.iter().filter(move |(criterion, _)| holds(criterion)).map(|(_, rules)| rules));
    }
    Box::new(signature.iter().filter_map(|criterion| index.get(criterion)))
}

/// The classes of own addresses.
struct Own {
    signatures: Vec<Signature>,
    /// Those that satisfy a criterion.
    with: HashMap<u32, Vec<usize>>,
    /// Those of which a rule speaks whoever the peer is.
    of_any_peer: BTreeSet<usize>,
}

impl Own {
    fn of(addresses: &Addresses, run: &Run) -> Self {
        let distinct: BTreeSet<&Signature> = addresses.spans.values().chain(addresses.singles.values()).collect();
        let signatures: Vec<Signature> = distinct.into_iter().cloned().collect();
        let mut with: HashMap<u32, Vec<usize>> = HashMap::new();
        for (position, signature) in signatures.iter().enumerate() {
            signature.iter().for_each(|criterion| with.entry(*criterion).or_default().push(position));
        }
        let mut own = Self { signatures, with, of_any_peer: BTreeSet::new() };
        let mut of_any_peer = BTreeSet::new();
        for position in &run.of_own.any_peer {
            own.spoken_of(&run.listed[*position], &mut of_any_peer);
        }
        own.of_any_peer = of_any_peer;
        own
    }

    /// The spans of own addresses that satisfy a criterion.
    fn spans(&self, addresses: &Addresses) -> Vec<(Span, usize)> {
        let singles = addresses.singles.iter().map(|(address, signature)| ((*address, *address), signature));
        let spans = addresses.spans.iter().map(|(span, signature)| (*span, signature)).chain(singles);
        spans.filter_map(|(span, signature)| Some((span, self.signatures.binary_search(signature).ok()?))).collect()
    }

    /// Adds the classes whose packets a rule treats in another way than those of all other own addresses. Whether it
    /// speaks of all others too.
    fn spoken_of(&self, rule: &Listed, found: &mut BTreeSet<usize>) -> bool {
        let criteria = match rule.own.with.first() {
            Some(first) => std::slice::from_ref(first),
            None => rule.own.without.as_slice(),
        };
        found.extend(criteria.iter().filter_map(|criterion| self.with.get(criterion)).flatten());
        rule.own.with.is_empty()
    }

    /// The classes with which a peer may be another pair than the two are alone. `says_alone` is whether the peer's
    /// class says something of all own addresses.
    fn met_by(&self, run: &Run, signature: &Signature, says_alone: bool) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut speaks_of_all = says_alone;
        let of = |index| met(index, signature).flatten().copied().collect::<Vec<usize>>();
        let asking = [of(&run.asking), of(&run.of_own.by_peer)].concat();
        let asking = asking.into_iter().filter(|position| run.listed[*position].peer.fits(signature));
        for position in asking.chain(of(&run.of_own.but)) {
            speaks_of_all |= self.spoken_of(&run.listed[position], &mut found);
        }
        if speaks_of_all {
            found.extend(&self.of_any_peer);
        }
        found
    }
}

/// Adds to a table of peers what it has to say of own addresses; `None` when that would take too much.
pub(super) fn make(
    maker: &mut Maker<'_>,
    table: &mut Table,
    peers: &Addresses,
    own_addresses: &Addresses,
) -> Option<()> {
    let own = Own::of(own_addresses, maker.run);
    if own.signatures.is_empty() {
        return Some(());
    }
    let alone = alone(maker, table, &own)?;
    let own_spans = own.spans(own_addresses);
    table.own = own_spans.iter().filter_map(|(span, number)| Some((*span, alone[*number].class?))).collect();

    let holders = holders(peers);
    let mut met: HashMap<&Key, Met> = HashMap::new();
    for (_, key) in &holders {
        if !met.contains_key(key) {
            let met_by = Met::by(key, maker, table, &own);
            maker.spend(met_by.own.len() * PAIR_WORK)?;
            met.insert(key, met_by);
        }
    }
    let mut rows = Vec::new();
    let mut row_of: HashMap<&Key, Option<usize>> = HashMap::new();
    for (_, key) in &holders {
        if !row_of.contains_key(key) {
            let row = row(&key.0, &met[key], maker, &own, &alone)?;
            row_of.insert(key, (!row.is_empty()).then_some(rows.len()));
            rows.extend(Some(row).filter(|row| !row.is_empty()));
        }
    }
    let row_spans = holders.iter().filter_map(|(span, key)| Some((*span, row_of[key]?))).collect();
    let spoken_of: BTreeSet<usize> = rows.iter().flatten().map(|(number, _)| *number).collect();
    let column_spans = own_spans.into_iter().filter(|(_, number)| spoken_of.contains(number)).collect();
    table.pairs = Pairs { rows, is_by_own: false, row_spans, column_spans }.turned();
    Some(())
}

/// The signatures of peers, and of what stands around them.
type Key = (Signature, Signature);

/// All peers that satisfy a criterion, none of them twice.
fn holders(peers: &Addresses) -> Vec<(Span, Key)> {
    let nothing = Signature::from([]);
    let of_spans = peers.spans.iter().flat_map(|(span, signature)| {
        let key = (signature.clone(), nothing.clone());
        without(*span, peers).map(move |part| (part, key.clone()))
    });
    let of_singles = peers.singles.iter().map(|(address, signature)| {
        ((*address, *address), (signature.clone(), Signature::from(peers.around(*address))))
    });
    of_spans.chain(of_singles).collect()
}

/// A span without the single addresses that are looked for before it.
fn without(span: Span, peers: &Addresses) -> impl Iterator<Item = Span> {
    let inside: Vec<u128> = peers.singles.range(span.0..=span.1).map(|(address, _)| *address).collect();
    let firsts = std::iter::once(Some(span.0)).chain(inside.clone().into_iter().map(|address| address.checked_add(1)));
    let lasts = inside.into_iter().map(|address| address.checked_sub(1)).chain([Some(span.1)]);
    firsts.zip(lasts).filter_map(|(first, last)| first.zip(last)).filter(|(first, last)| first <= last)
}

/// What becomes of packets of all peers but those of a class, by class of the own address.
struct Alone {
    /// The rules that ask for the own address alone.
    rules: Vec<usize>,
    function: Function,
    /// The class that says it.
    class: Option<usize>,
}

fn alone(maker: &mut Maker<'_>, table: &mut Table, own: &Own) -> Option<Vec<Alone>> {
    let any = maker.function(&Signature::from([]))?;
    let of = |signature: &Signature| {
        let rules = maker.run.of_own.of_alone(signature);
        let function = maker.resolve(&[], signature, rules.clone())?;
        let class = maker.says(table, &function, &any)?;
        Some(Alone { rules, function, class })
    };
    own.signatures.iter().map(of).collect()
}

/// The classes of own addresses that peers have to be looked at with.
struct Met {
    own: BTreeSet<usize>,
    /// Where the class of the peer says something whatever the own address is.
    said: Vec<Range>,
}

impl Met {
    fn by((signature, around): &Key, maker: &Maker<'_>, table: &Table, own: &Own) -> Self {
        let of_around = maker.said(table, around, &Signature::from([]));
        let said: Vec<Range> = merge([maker.said(table, signature, around), of_around].concat());
        Self { own: own.met_by(maker.run, signature, !said.is_empty()), said }
    }
}

/// What is said of peers with this signature and each class of own addresses that they meet.
fn row(
    signature: &Signature,
    met: &Met,
    maker: &mut Maker<'_>,
    own: &Own,
    alone: &[Alone],
) -> Option<Vec<(usize, Vec<Piece>)>> {
    let peer_alone = maker.function(signature)?;
    let mut row = Vec::new();
    for number in &met.own {
        let (own, alone) = (&own.signatures[*number], &alone[*number]);
        let of_own = [maker.run.of_own.of_both(signature, own), alone.rules.clone()].concat();
        let function = maker.resolve(signature, own, of_own)?;
        // What both classes would say: first that of the peer is asked.
        let behind = Function::first_of(&peer_alone, &met.said, &alone.function);
        let pieces = maker.tracked.pieces(&function, Some(&behind));
        maker.spend(pieces.len() * PAIR_WORK)?;
        if !pieces.is_empty() {
            row.push((*number, pieces));
        }
    }
    Some(row)
}

/// The first 64 bits of a hash.
pub(super) fn class_id(hash: Sha256) -> ClassId {
    ClassId(hash.finalize().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kernel takes no range with another one inside it.
    #[test]
    fn single_addresses_are_no_part_of_the_ranges_around_them() {
        let peers = |singles: &[u128]| Addresses {
            singles: singles.iter().map(|single| (*single, Signature::from([1]))).collect(),
            ..Addresses::default()
        };
        let parts = |singles: &[u128]| -> Vec<Span> { without((10, 20), &peers(singles)).collect() };
        assert_eq!(parts(&[]), [(10, 20)]);
        assert_eq!(parts(&[9, 21]), [(10, 20)]);
        assert_eq!(parts(&[10, 15, 20]), [(11, 14), (16, 19)]);
        assert_eq!(parts(&[12, 13]), [(10, 11), (14, 20)]);
        let whole: Vec<Span> = without((0, u128::MAX), &peers(&[0, u128::MAX])).collect();
        assert_eq!(whole, [(1, u128::MAX - 1)]);
    }
}
