//! What is said of pairs of classes, as lookups.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{Emitter, Kind, Ports};
use crate::compile::classes::encode::Piece;
use crate::compile::classes::pairs::class_id;
use crate::compile::sets::SetPool;
use crate::ruleset::{ClassId, ClassOf, Element, End, Field, Rule};

/// Where the classes are that pairs are made of.
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
        let mut maps: BTreeMap<Kind, Vec<(Element, &Piece)>> = BTreeMap::new();
        let column_ids = pairs.column_ids();
        let mut row_ids = Vec::with_capacity(pairs.rows.len());
        for row in &pairs.rows {
            let mut row: Vec<(ClassId, &[Piece])> =
                row.iter().map(|(column, pieces)| (column_ids[column], pieces.as_slice())).collect();
            row.sort_unstable();
            let id = self.row_id(&row);
            for (column, pieces) in &row {
                for piece in *pieces {
                    for (kind, range) in ports.split(piece) {
                        let element = kind.element(&[id, *column], range);
                        maps.entry(kind).or_default().push((element, piece));
                    }
                }
            }
            row_ids.push(id);
        }
        let mut ends = [(self.address, self.map(PEERS)), (self.own, self.map(OWN))];
        if pairs.is_by_own {
            ends.reverse();
        }
        let [(address, classes), (other, other_classes)] = ends;
        for (kind, pieces) in maps {
            let name = self.map(&format!("pair-{}", kind.name()));
            let end = End::Class {
                address,
                classes: classes.clone(),
                other: Some(ClassOf { address: other, classes: other_classes.clone() }),
                key: kind.key(),
                map: name.clone(),
            };
            rules.push(self.ask(kind, end));
            let key = [vec![Field::Class, Field::Class], kind.key()].concat();
            pool.insert(name, self.verdicts(key, kind, pieces));
        }
        pool.insert(classes, self.holders(&pairs.row_spans, |row| row_ids[row]));
        pool.insert(other_classes, self.holders(&pairs.column_spans, |column| column_ids[&column]));
    }

    /// The number of a row: a hash of all that it says of any column.
    fn row_id(&self, row: &[(ClassId, &[Piece])]) -> ClassId {
        let mut hash = Sha256::new();
        for (column, pieces) in row {
            hash.update(format!("with {column:?}\n"));
            self.say(&mut hash, pieces);
        }
        class_id(hash)
    }
}
