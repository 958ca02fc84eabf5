//! The lookups that a table becomes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use foldhash::HashMap;

use sha2::{Digest, Sha256};
use tortie_api::model::{Family, PortRange};

use super::Table;
use super::addresses::Span;
use super::encode::{Level, Piece};
use super::function::{Act, Fate, FateId};
use super::pairs::class_id;
use super::region::{Point, Range};
use super::said::Said;
use crate::compile::flatten::SectionEnd;
use crate::compile::lower::{Place, byte, in_ports};
use crate::compile::parts::{decide, own_address, peer_address};
use crate::compile::sets::{SetPool, address_field, bytes};
use crate::ruleset::{Chain, ClassId, Data, Element, End, Field, Holds, Key, Name, Origin, Ranges, Rule, Set, Verdict};

mod pairs;

/// Pieces for all addresses that are as cheap as rules of their own.
const PLAIN_MAX: usize = 4;

/// How many exact elements there are for each range before both have maps of their own: a hash is asked in one step
/// whatever its size, ranges take one more each time their number doubles.
const EXACT_PER_RANGE: usize = 16;

/// Exact elements that a few ranges may become, for each exact one that is there, so that a hash holds all.
const WIDENED_PER_EXACT: u64 = 2;
const WIDENED_MIN: u64 = 256;

/// Bytes of a class in a key.
const CLASS_LEN: usize = Field::Class.width();

/// Appends the rules of a table whose maps have names that begin with `name`, and the chains that its elements lead to;
/// behind all sections stands `end`.
pub(in crate::compile) fn emit(
    (rules, chains): (&mut Vec<Rule>, &mut BTreeMap<Name, Chain>),
    pool: &mut SetPool<'_>,
    place: &Place<'_>,
    name: &Name,
    (table, targets): (&Table, &[usize]),
    end: &SectionEnd,
) {
    let mut words = HashMap::default();
    for piece in table.pieces() {
        words
            .entry(piece.fate)
            .or_insert_with(|| Word::of(table.fates.get(piece.fate), place, table, targets, end, chains));
    }
    let family = place.family;
    let direction = place.stage.direction();
    let (address, own) = (peer_address(direction, family), own_address(direction, family));
    let emitter = Emitter { table, words, name, family, address, own };
    emitter.pairs(rules, pool);
    emitter.classes(rules, pool);
    emitter.any(rules, pool);
}

/// A fate in the words of a ruleset.
struct Word {
    verdict: Verdict,
    /// Its rules, the one that decided first.
    origins: Arc<[Origin]>,
    /// A hash of all of it, of which numbers of classes are made.
    digest: [u8; 32],
}

impl Word {
    fn of(
        fate: &Fate,
        place: &Place<'_>,
        table: &Table,
        targets: &[usize],
        end: &SectionEnd,
        chains: &mut BTreeMap<Name, Chain>,
    ) -> Self {
        let (stage, settings) = (place.stage, place.settings);
        let mut said = |said: Said| {
            chains.extend(said.chain);
            said.verdict
        };
        let verdict = match (fate.act, end) {
            (Act::Accept, _) => said(Said::allow(place)),
            (Act::Drop, _) => said(Said::deny(stage, settings)),
            // Sections that are called are gone through one after the other.
            (Act::To(_), _) if place.is_called => Verdict::Return,
            (Act::To(target), _) => Verdict::Goto((place.name_of)(targets[target])),
            (Act::End, SectionEnd::NoForwardPolicy) => stage.pass(settings),
            (Act::End, _) => stage.undecided().map_or(Verdict::Return, Verdict::Goto),
        };
        let origins: Arc<[Origin]> =
            fate.rules.iter().rev().map(|rule| table.origins[*rule as usize].clone()).collect();
        let mut text = Hashed(Sha256::new());
        let whole =
            write!(text, "{verdict:?}").and_then(|()| origins.iter().try_for_each(|origin| write!(text, "\n{origin}")));
        whole.expect("a hash takes everything");
        Self { verdict, origins, digest: text.0.finalize().into() }
    }
}

/// A hash that text is written to.
struct Hashed(Sha256);

impl std::fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.update(text);
        Ok(())
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

    /// A point in the key, behind the classes.
    fn value(self, classes: &[ClassId], point: Point) -> Key {
        let [_, protocol, high, low] = point.to_be_bytes();
        let (bytes, len) = match self {
            Kind::Ports | Kind::PortRanges => ([protocol, high, low], 3),
            Kind::Icmp => ([high, low, 0], 2),
            Kind::Protocols => ([protocol, 0, 0], 1),
            Kind::Any => ([0; 3], 0),
        };
        let mut value = [0; 2 * CLASS_LEN + 3];
        let parts = classes.iter().map(|class| class.0.to_be_bytes());
        parts.zip(value.chunks_exact_mut(CLASS_LEN)).for_each(|(class, part)| part.copy_from_slice(&class));
        let at = classes.len() * CLASS_LEN;
        value[at..at + len].copy_from_slice(&bytes[..len]);
        Key::from(&value[..at + len])
    }

    fn element(self, classes: &[ClassId], range: Range) -> Element {
        let value = |point| self.value(classes, point);
        match self {
            Kind::Protocols | Kind::Any => Element::exact(value(range.0)),
            _ => Element::range(value(range.0), value(range.1)),
        }
    }
}

/// Some of the kinds: a bit for each.
#[derive(Clone, Copy, Default)]
struct Kinds(u8);

impl Kinds {
    fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    fn and(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
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
    fn split(self, piece: &Piece) -> impl Iterator<Item = (Kind, Range)> + use<> {
        let (range @ (first, last), is_exact) = (piece.range, self == Ports::Exact && piece.level == Level::Ports);
        let kind = match (piece.level, self) {
            (Level::Ports, Ports::Exact) => Kind::Ports,
            (Level::Ports, Ports::Both) if first == last => Kind::Ports,
            (Level::Ports, Ports::Both | Ports::Ranges) => Kind::PortRanges,
            (Level::Icmp, _) => Kind::Icmp,
            (Level::Protocol, _) => Kind::Protocols,
            (Level::Any, _) => Kind::Any,
        };
        let points = is_exact.then_some(first..=last).into_iter().flatten().map(|point| (point, point));
        points.chain((!is_exact).then_some(range)).map(move |range| (kind, range))
    }
}

/// Addresses with the positions of their classes.
struct Holders<'a> {
    what: &'static str,
    address: Field,
    spans: &'a [(Span, usize)],
}

struct Emitter<'a> {
    table: &'a Table,
    /// Those of all pieces.
    words: HashMap<FateId, Word>,
    name: &'a Name,
    family: Family,
    address: Field,
    /// The address of the host's own end.
    own: Field,
}

impl Emitter<'_> {
    /// The maps of addresses to classes, of classes to verdicts, and the rules that ask them.
    fn classes(&self, rules: &mut Vec<Rule>, pool: &mut SetPool<'_>) {
        let table = self.table;
        let ports = Ports::of(table.classes.iter().flatten());
        let mut maps: BTreeMap<Kind, Vec<(Element, &Piece)>> = BTreeMap::new();
        let mut kinds_of: Vec<Kinds> = Vec::with_capacity(table.classes.len());
        let mut ids = Vec::with_capacity(table.classes.len());
        for pieces in &table.classes {
            let id = self.id(pieces);
            let mut kinds = Kinds::default();
            for piece in pieces {
                for (kind, range) in ports.split(piece) {
                    maps.entry(kind).or_default().push((kind.element(&[id], range), piece));
                    kinds.insert(kind);
                }
            }
            kinds_of.push(kinds);
            ids.push(id);
        }
        let singles: Vec<(Span, usize)> = table.singles.iter().map(|(one, class)| ((*one, *one), *class)).collect();
        for (what, address, spans) in [
            ("addresses", self.address, &singles),
            ("networks", self.address, &table.spans),
            ("own-addresses", self.own, &table.own),
        ] {
            self.ask_by(rules, pool, Holders { what, address, spans }, &kinds_of, &ids);
        }
        for (kind, pieces) in maps {
            let key = [vec![Field::Class], kind.key()].concat();
            pool.insert(self.map(kind.name()), self.verdicts(key, kind, pieces));
        }
    }

    /// The map of addresses to classes, and the rules that ask by it for all that these classes say.
    fn ask_by(
        &self,
        rules: &mut Vec<Rule>,
        pool: &mut SetPool<'_>,
        holders: Holders<'_>,
        kinds_of: &[Kinds],
        ids: &[ClassId],
    ) {
        let Holders { what, address, spans } = holders;
        if spans.is_empty() {
            return;
        }
        let kinds = spans.iter().fold(Kinds::default(), |kinds, (_, class)| kinds.and(kinds_of[*class]));
        for kind in Kind::ALL.into_iter().filter(|kind| kinds.contains(*kind)) {
            let (classes, map) = (self.map(what), self.map(kind.name()));
            rules.push(self.ask(kind, End::Class { address, classes, other: None, key: kind.key(), map }));
        }
        pool.insert(self.map(what), self.holders(spans, |class| ids[class]));
    }

    /// The map of addresses to classes: a hash where all are single ones.
    fn holders(&self, spans: &[(Span, usize)], id: impl Fn(usize) -> ClassId) -> Set {
        let address = address_field(self.family);
        let value = |number: u128| bytes(number, address);
        let is_exact = spans.iter().all(|((first, last), _)| first == last);
        let elements = spans
            .iter()
            .map(|((first, last), class)| (Element::range(value(*first), value(*last)), Some(Data::Class(id(*class)))));
        Set {
            key: vec![address],
            ranges: if is_exact { Ranges::None } else { Ranges::OfKey },
            holds: Holds::Classes,
            elements: elements.collect(),
            ..Set::default()
        }
    }

    fn map(&self, what: &str) -> Name {
        Name::new(format!("{}/{what}", self.name))
    }

    /// What holds for all addresses: rules where they are few, else maps.
    fn any(&self, rules: &mut Vec<Rule>, pool: &mut SetPool<'_>) {
        let pieces = &self.table.any;
        let ports = Ports::of(pieces.iter());
        let mut by_kind: BTreeMap<Kind, Vec<(Range, &Piece)>> = BTreeMap::new();
        let is_few = pieces.iter().filter(|piece| piece.level == Level::Ports).count() <= PLAIN_MAX;
        for piece in pieces {
            let is_plain = is_few && piece.level == Level::Ports;
            let ports = if is_plain { Ports::Ranges } else { ports };
            for (kind, range) in ports.split(piece) {
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
            let pieces = pieces.into_iter().map(|(range, piece)| (kind.element(&[], range), piece)).collect();
            let map = self.verdicts(kind.key(), kind, pieces);
            // Not constant: it may lead to chains, which have instances.
            let name = self.map(&format!("all-{}", kind.name()));
            pool.insert(name.clone(), map);
            rules.push(self.ask(kind, End::Map { key: kind.key(), map: name }));
        }
    }

    /// A map of counted verdicts over `key`: what pieces say under elements.
    fn verdicts(&self, key: Vec<Field>, kind: Kind, mut pieces: Vec<(Element, &Piece)>) -> Set {
        pieces.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let key = key.into_iter().map(Field::as_key).collect();
        let words = || pieces.iter().map(|(element, piece)| (element, &self.words[&piece.fate]));
        let with_origins = words().filter(|(_, word)| !word.origins.is_empty());
        let origins = with_origins.map(|(element, word)| (element.clone(), word.origins.clone())).collect();
        let data = |word: &Word| Some(Data::Verdict(word.verdict.clone()));
        let elements = words().map(|(element, word)| (element.clone(), data(word))).collect();
        Set {
            key,
            ranges: kind.ranges(),
            holds: Holds::Verdicts,
            is_counted: true,
            elements,
            origins,
            ..Set::default()
        }
    }

    fn ask(&self, kind: Kind, end: End) -> Rule {
        // Bytes at the place of an ICMP type stand in packets of other protocols too.
        let matches =
            if kind == Kind::Icmp { vec![byte(Field::L4Proto, self.family.icmp().0, false)] } else { Vec::new() };
        Rule { matches, statements: Vec::new(), end, origin: Origin::Frame("policy") }
    }

    /// One piece as a rule, if one is enough.
    fn plain(&self, kind: Kind, range: Range, piece: &Piece) -> Option<Rule> {
        let Word { verdict, origins, .. } = &self.words[&piece.fate];
        let origin = origins.first().cloned().unwrap_or(Origin::Frame("policy"));
        let mut rule = decide(verdict.clone(), origin);
        let [_, protocol, high, low] = range.0.to_be_bytes();
        let [.., last_high, last_low] = range.1.to_be_bytes();
        if kind != Kind::Any {
            rule.matches.push(byte(Field::L4Proto, protocol, false));
        }
        match kind {
            Kind::Any | Kind::Protocols => {}
            Kind::Ports | Kind::PortRanges => {
                let (first, last) = (u16::from_be_bytes([high, low]), u16::from_be_bytes([last_high, last_low]));
                let ports = PortRange::new(first, last).ok()?;
                rule.matches.push(in_ports(Field::DestinationPort, ports, false));
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
        self.say(&mut hash, pieces);
        class_id(hash)
    }

    fn say(&self, hash: &mut Sha256, pieces: &[Piece]) {
        for piece in pieces {
            hash.update([piece.level as u8]);
            hash.update(piece.range.0.to_be_bytes());
            hash.update(piece.range.1.to_be_bytes());
            hash.update(self.words[&piece.fate].digest);
        }
    }
}
