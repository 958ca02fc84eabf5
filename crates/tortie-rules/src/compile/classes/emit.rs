//! The lookups that a table becomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tortie_api::model::Family;
use tortie_calc::policy::Direction;

use super::Table;
use super::encode::{Level, Piece};
use super::function::{Act, Fate};
use super::region::{Point, Range};
use crate::compile::flatten::SectionEnd;
use crate::compile::lower::{Place, byte};
use crate::compile::parts::decide;
use crate::compile::sets::{SetPool, address_field, bytes};
use crate::ruleset::{ClassId, Data, Element, End, Field, Holds, Match, Name, Origin, Ranges, Rule, Set, Verdict};

/// Pieces for all addresses that are as cheap as rules of their own.
const PLAIN_MAX: usize = 4;

/// How many exact elements there are for each range before both have maps of their own: a hash is asked in one step
/// whatever its size, ranges take one more each time their number doubles.
const EXACT_PER_RANGE: usize = 16;

/// Exact elements that a few ranges may become, for each exact one that is there, so that a hash holds all.
const WIDENED_PER_EXACT: u64 = 2;
const WIDENED_MIN: u64 = 256;

/// Appends the rules of a table whose maps have names that begin with `name`; behind all sections stands `end`.
pub(in crate::compile) fn emit(
    rules: &mut Vec<Rule>,
    pool: &mut SetPool<'_>,
    place: &Place<'_>,
    name: &Name,
    (table, targets): (&Table, &[usize]),
    end: &SectionEnd,
) {
    let said = Saying { table, targets, place, end };
    let emitter = Emitter { said, name, address: peer_address(place), icmp: icmp_of(place.family) };
    emitter.classes(rules, pool);
    emitter.any(rules, pool);
}

fn peer_address(place: &Place<'_>) -> Field {
    match (place.stage.direction(), place.family) {
        (Direction::Ingress, Family::V4) => Field::SourceV4,
        (Direction::Ingress, Family::V6) => Field::SourceV6,
        (Direction::Egress, Family::V4) => Field::DestinationV4,
        (Direction::Egress, Family::V6) => Field::DestinationV6,
    }
}

const fn icmp_of(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 58,
    }
}

/// What fates are in the words of a ruleset.
struct Saying<'a> {
    table: &'a Table,
    targets: &'a [usize],
    place: &'a Place<'a>,
    end: &'a SectionEnd,
}

impl Saying<'_> {
    fn fate(&self, piece: &Piece) -> &Fate {
        self.table.fates.get(piece.fate)
    }

    fn verdict(&self, fate: &Fate) -> Verdict {
        let (stage, settings) = (self.place.stage, self.place.settings);
        match (fate.act, self.end) {
            (Act::Accept, _) => stage.allow(settings).1,
            (Act::Drop, _) => stage.deny(settings),
            // Sections that are called are gone through one after the other.
            (Act::To(_), _) if self.place.is_called => Verdict::Return,
            (Act::To(target), _) => Verdict::Goto((self.place.name_of)(self.targets[target])),
            (Act::End, SectionEnd::NoForwardPolicy) => stage.pass(settings),
            (Act::End, _) => stage.undecided().map_or(Verdict::Return, Verdict::Goto),
        }
    }

    /// The rules of a fate, the one that decided first.
    fn origins(&self, fate: &Fate) -> Arc<[Origin]> {
        fate.rules.iter().rev().map(|rule| self.table.origins[*rule as usize].clone()).collect()
    }
}

/// The maps of one kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Single ports.
    Ports,
    /// Ranges of ports, and single ones among them.
    PortRanges,
    /// ICMP types and codes.
    Icmp,
    /// Whole protocols.
    Protocols,
    /// Everything.
    Any,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Ports, Kind::PortRanges, Kind::Icmp, Kind::Protocols, Kind::Any];

    const fn name(self) -> &'static str {
        match self {
            Kind::Ports => "ports",
            Kind::PortRanges => "port-ranges",
            Kind::Icmp => "icmp",
            Kind::Protocols => "protocols",
            Kind::Any => "any",
        }
    }

    /// What is asked beside the class.
    fn key(self) -> Vec<Field> {
        match self {
            Kind::Ports | Kind::PortRanges => vec![Field::L4Proto, Field::DestinationPort],
            Kind::Icmp => vec![Field::IcmpType, Field::IcmpCode],
            Kind::Protocols => vec![Field::L4Proto],
            Kind::Any => Vec::new(),
        }
    }

    const fn ranges(self) -> Ranges {
        match self {
            Kind::PortRanges | Kind::Icmp => Ranges::OfKey,
            Kind::Ports | Kind::Protocols | Kind::Any => Ranges::None,
        }
    }

    /// The bytes of a point in the key.
    fn bytes(self, point: Point) -> Vec<u8> {
        let [_, protocol, high, low] = point.to_be_bytes();
        match self {
            Kind::Ports | Kind::PortRanges => vec![protocol, high, low],
            Kind::Icmp => vec![high, low],
            Kind::Protocols => vec![protocol],
            Kind::Any => Vec::new(),
        }
    }

    fn element(self, class: Option<ClassId>, range: Range) -> Element {
        let class = class.map_or(Vec::new(), |class| class.0.to_be_bytes().to_vec());
        let value = |point| [class.clone(), self.bytes(point)].concat();
        match self {
            Kind::Protocols | Kind::Any => Element::exact(value(range.0)),
            _ => Element::range(value(range.0), value(range.1)),
        }
    }
}

/// How pieces about ports are held.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// All as exact elements.
    Exact,
    /// Single ports as exact elements, the others as ranges.
    Both,
    /// All as ranges.
    Ranges,
}

impl Ports {
    fn of<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Self {
        let (mut exact, mut ranges, mut widened) = (0usize, 0usize, 0u64);
        for piece in pieces.filter(|piece| piece.level == Level::Ports) {
            match u64::from(piece.range.1 - piece.range.0) + 1 {
                1 => exact += 1,
                len => {
                    ranges += 1;
                    widened += len;
                }
            }
        }
        if widened <= WIDENED_MIN.max(exact as u64 * WIDENED_PER_EXACT) {
            Ports::Exact
        } else if exact > EXACT_PER_RANGE * ranges {
            Ports::Both
        } else {
            Ports::Ranges
        }
    }

    /// The elements of a piece: of which map, and which points.
    fn split(self, piece: &Piece) -> Vec<(Kind, Range)> {
        let (first, last) = piece.range;
        match (piece.level, self) {
            (Level::Ports, Ports::Exact) => (first..=last).map(|point| (Kind::Ports, (point, point))).collect(),
            (Level::Ports, Ports::Both) if first == last => vec![(Kind::Ports, piece.range)],
            (Level::Ports, Ports::Both | Ports::Ranges) => vec![(Kind::PortRanges, piece.range)],
            (Level::Icmp, _) => vec![(Kind::Icmp, piece.range)],
            (Level::Protocol, _) => vec![(Kind::Protocols, piece.range)],
            (Level::Any, _) => vec![(Kind::Any, piece.range)],
        }
    }
}

/// Addresses with the positions of their classes.
struct Holders {
    what: &'static str,
    ranges: Ranges,
    elements: Vec<(Element, usize)>,
}

struct Emitter<'a> {
    said: Saying<'a>,
    name: &'a Name,
    address: Field,
    icmp: u8,
}

impl Emitter<'_> {
    /// The maps of addresses to classes, of classes to verdicts, and the rules that ask them.
    fn classes(&self, rules: &mut Vec<Rule>, pool: &mut SetPool<'_>) {
        let table = self.said.table;
        let ports = Ports::of(table.classes.iter().flatten());
        let mut maps: BTreeMap<Kind, Set> = BTreeMap::new();
        let mut kinds_of: Vec<BTreeSet<Kind>> = Vec::with_capacity(table.classes.len());
        let mut ids = Vec::with_capacity(table.classes.len());
        for pieces in &table.classes {
            let id = self.id(pieces);
            let mut kinds = BTreeSet::new();
            for piece in pieces {
                for (kind, range) in ports.split(piece) {
                    let key = || [vec![Field::Class], kind.key()].concat();
                    let map = maps.entry(kind).or_insert_with(|| verdicts(key(), kind));
                    self.add(map, kind.element(Some(id), range), piece);
                    kinds.insert(kind);
                }
            }
            kinds_of.push(kinds);
            ids.push(id);
        }
        let address = address_field(self.said.place.family);
        let value = |number: u128| bytes(number, address);
        let singles = table.singles.iter().map(|(single, class)| (Element::exact(value(*single)), *class)).collect();
        self.ask_by(
            rules,
            pool,
            Holders { what: "addresses", ranges: Ranges::None, elements: singles },
            &kinds_of,
            &ids,
        );
        let spans = table.spans.iter();
        let spans = spans.map(|((first, last), class)| (Element::range(value(*first), value(*last)), *class)).collect();
        self.ask_by(rules, pool, Holders { what: "networks", ranges: Ranges::OfKey, elements: spans }, &kinds_of, &ids);
        for (kind, map) in maps {
            pool.insert(self.map(kind.name()), map);
        }
    }

    /// The map of addresses to classes, and the rules that ask by it for all that these classes say.
    fn ask_by(
        &self,
        rules: &mut Vec<Rule>,
        pool: &mut SetPool<'_>,
        holders: Holders,
        kinds_of: &[BTreeSet<Kind>],
        ids: &[ClassId],
    ) {
        let Holders { what, ranges, elements } = holders;
        if elements.is_empty() {
            return;
        }
        let kinds: BTreeSet<Kind> = elements.iter().flat_map(|(_, class)| &kinds_of[*class]).copied().collect();
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
            let (classes, map) = (self.map(what), self.map(kind.name()));
            rules.push(self.ask(kind, End::Class { address: self.address, classes, key: kind.key(), map }));
        }
        let elements = elements.into_iter().map(|(element, class)| (element, Some(Data::Class(ids[class])))).collect();
        let key = vec![address_field(self.said.place.family)];
        pool.insert(self.map(what), Set { key, ranges, holds: Holds::Classes, elements, ..Set::default() });
    }

    fn map(&self, what: &str) -> Name {
        Name::new(format!("{}/{what}", self.name))
    }

    /// What holds for all addresses: rules where they are few, else maps.
    fn any(&self, rules: &mut Vec<Rule>, pool: &mut SetPool<'_>) {
        let pieces = &self.said.table.any;
        let ports = Ports::of(pieces.iter());
        let mut by_kind: BTreeMap<Kind, Vec<(Range, &Piece)>> = BTreeMap::new();
        let is_few = pieces.iter().filter(|piece| piece.level == Level::Ports).count() <= PLAIN_MAX;
        for piece in pieces {
            let split = if is_few && piece.level == Level::Ports {
                vec![(Kind::PortRanges, piece.range)]
            } else {
                ports.split(piece)
            };
            for (kind, range) in split {
                by_kind.entry(kind).or_default().push((range, piece));
            }
        }
        for (kind, pieces) in by_kind {
            let plain: Option<Vec<Rule>> =
                pieces.iter().map(|(range, piece)| self.plain(kind, *range, piece)).collect();
            if let Some(plain) = plain.filter(|plain| plain.len() <= PLAIN_MAX) {
                rules.extend(plain);
                continue;
            }
            let mut map = verdicts(kind.key(), kind);
            for (range, piece) in pieces {
                self.add(&mut map, kind.element(None, range), piece);
            }
            // Not constant: it may lead to chains, which have instances.
            let name = self.map(&format!("all-{}", kind.name()));
            pool.insert(name.clone(), map);
            rules.push(self.ask(kind, End::Map { key: kind.key(), map: name }));
        }
    }

    /// Adds what a piece says under `element`.
    fn add(&self, map: &mut Set, element: Element, piece: &Piece) {
        let fate = self.said.fate(piece);
        let origins = self.said.origins(fate);
        if !origins.is_empty() {
            map.origins.insert(element.clone(), origins);
        }
        map.elements.insert(element, Some(Data::Verdict(self.said.verdict(fate))));
    }

    fn ask(&self, kind: Kind, end: End) -> Rule {
        // Bytes at the place of an ICMP type stand in packets of other protocols too.
        let matches = if kind == Kind::Icmp { vec![byte(Field::L4Proto, self.icmp, false)] } else { Vec::new() };
        Rule { matches, statements: Vec::new(), end, origin: Origin::Frame("policy") }
    }

    /// One piece as a rule, if one is enough.
    fn plain(&self, kind: Kind, range: Range, piece: &Piece) -> Option<Rule> {
        let fate = self.said.fate(piece);
        let origin = self.said.origins(fate).first().cloned().unwrap_or(Origin::Frame("policy"));
        let mut rule = decide(self.said.verdict(fate), origin);
        let [_, protocol, high, low] = range.0.to_be_bytes();
        let [.., last_high, last_low] = range.1.to_be_bytes();
        if kind != Kind::Any {
            rule.matches.push(byte(Field::L4Proto, protocol, false));
        }
        match kind {
            Kind::Any | Kind::Protocols => {}
            Kind::Ports | Kind::PortRanges => {
                let (field, first, last) = (Field::DestinationPort, vec![high, low], vec![last_high, last_low]);
                rule.matches.push(if first == last {
                    Match::Equals { field, invert: false, value: first }
                } else {
                    Match::Range { field, invert: false, first, last }
                });
            }
            Kind::Icmp if high != last_high => return None,
            Kind::Icmp => {
                rule.matches.push(byte(Field::IcmpType, high, false));
                match (low, last_low) {
                    (0, u8::MAX) => {}
                    (code, last) if code == last => rule.matches.push(byte(Field::IcmpCode, code, false)),
                    _ => return None,
                }
            }
        }
        Some(rule)
    }

    /// The number of a class: a hash of all that it says. Two classes that say the same have the same number.
    fn id(&self, pieces: &[Piece]) -> ClassId {
        let mut hash = Sha256::new();
        for piece in pieces {
            let fate = self.said.fate(piece);
            let comments: Vec<String> = self.said.origins(fate).iter().map(Origin::comment).collect();
            let verdict = self.said.verdict(fate);
            hash.update(format!("{:?} {:?} {verdict:?} {comments:?}\n", piece.level, piece.range));
        }
        let hash = hash.finalize();
        ClassId(hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// An empty map of counted verdicts over `key`.
fn verdicts(key: Vec<Field>, kind: Kind) -> Set {
    let key = key.into_iter().map(Field::as_key).collect();
    Set { key, ranges: kind.ranges(), holds: Holds::Verdicts, is_counted: true, ..Set::default() }
}
