//! What is said of pairs of classes, as lookups.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Emitter, Kind, Ports, verdicts};
use crate::compile::classes::encode::Piece;
use crate::compile::classes::pairs::class_id;
use crate::compile::sets::SetPool;
use crate::ruleset::{ClassId, ClassOf, End, Field, Rule, Set};

/// Where the classes are that stand at the beginning of a pair, and at its end.
const PEERS: &str = "pair-peers";
const OWN: &str = "pair-own";

impl Emitter<'_> {
    /// The maps of both ends' addresses to classes, of pairs of classes to verdicts, and the rules that ask them.
    pub(super) fn pairs(&self, rules: &mut Vec<Rule>, pool: &mut SetPool<'_>) {
        let pairs = &self.table.pairs;
        if pairs.rows.is_empty() {
            return;
        }
        let ports = Ports::of(pairs.pieces());
        let mut maps: BTreeMap<Kind, Set> = BTreeMap::new();
        let mut ids = Vec::with_capacity(pairs.rows.len());
        for row in &pairs.rows {
            let mut row: Vec<(ClassId, &[Piece])> =
                row.iter().map(|(own, pieces)| (pairs.own_ids[*own], pieces.as_slice())).collect();
            row.sort_unstable();
            let id = self.row_id(&row);
            for (own, pieces) in &row {
                for piece in *pieces {
                    for (kind, range) in ports.split(piece) {
                        let key = || [vec![Field::Class, Field::Class], kind.key()].concat();
                        let map = maps.entry(kind).or_insert_with(|| verdicts(key(), kind));
                        self.add(map, kind.element(&[id, *own], range), piece);
                    }
                }
            }
            ids.push(id);
        }
        for (kind, map) in maps {
            let name = self.map(&format!("pair-{}", kind.name()));
            let end = End::Class {
                address: self.address,
                classes: self.map(PEERS),
                own: Some(ClassOf { address: self.own, classes: self.map(OWN) }),
                key: kind.key(),
                map: name.clone(),
            };
            rules.push(self.ask(kind, end));
            pool.insert(name, map);
        }
        pool.insert(self.map(PEERS), self.holders(&pairs.peers, &ids));
        pool.insert(self.map(OWN), self.holders(&pairs.own, &pairs.own_ids));
    }

    /// The number of a peer's class in pairs: a hash of all that is said of it and any class of own addresses.
    fn row_id(&self, row: &[(ClassId, &[Piece])]) -> ClassId {
        let mut hash = Sha256::new();
        for (own, pieces) in row {
            hash.update(format!("with {own:?}\n"));
            self.say(&mut hash, pieces);
        }
        class_id(hash)
    }
}
