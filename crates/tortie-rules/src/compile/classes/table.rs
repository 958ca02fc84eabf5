//! The resolved form of a run of sections: what happens to packets of each class of addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt};
use ipnet::IpNet;
use tortie_api::model::Family;
use tortie_calc::policy::{Direction, Peer, SetId};

use super::addresses::{self, Addresses, Span};
use super::function::{Act, Fate, Fates, Function, Step, first_match};
use super::pairs::{self, Pairs};
use super::region::{Range, region};
use super::{Signature, encode, peers};
use crate::compile::flatten::{FlatAction, FlatRule, Section, SectionEnd};
use crate::compile::overflow;
use crate::compile::sets::{SetPool, merge, spans_of};
use crate::ruleset::Origin;

/// Numbers that the classes of one list may take while they are calculated (C-10): about a second's work. A list beyond
/// it stays a list.
const WORK_MAX: usize = 8_000_000;

/// Single addresses that are worth a hash of their own, and how many of them there may be for each network: fewer of
/// them are spans among the others, which saves a lookup.
const SINGLES_MIN: usize = 16;
const SPANS_PER_SINGLE: usize = 4;

/// What rules with addresses and the destination port as criteria do.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The rules and ends, by number.
    pub(super) origins: Vec<Origin>,
    pub(super) fates: Fates,
    /// What happens to the packets of all addresses that have no class, and of those with one where it says nothing.
    pub(super) any: Vec<encode::Piece>,
    /// Classes, by position: what they say that what stands behind them does not.
    pub(super) classes: Vec<Vec<encode::Piece>>,
    /// The classes of single addresses. They stand before those of spans.
    pub(super) singles: Vec<(u128, usize)>,
    /// The classes of spans.
    pub(super) spans: Vec<(Span, usize)>,
    /// The classes of the host's own addresses, asked where that of the peer says nothing.
    pub(super) own: Vec<(Span, usize)>,
    /// What is said of both ends, before all else.
    pub(super) pairs: Pairs,
}

/// A criterion on an address.
#[derive(PartialEq, Eq, Hash)]
enum Criterion {
    Nets(Vec<IpNet>),
    Set(SetId),
}

/// What a rule asks of an address.
#[derive(Default)]
pub(super) struct Asked {
    /// Criteria that must hold.
    pub(super) with: Vec<u32>,
    /// Criteria that must not.
    pub(super) without: Vec<u32>,
}

impl Asked {
    /// Whether addresses that satisfy these criteria are asked for.
    pub(super) fn fits(&self, signature: &[u32]) -> bool {
        let holds = |criterion: &u32| signature.binary_search(criterion).is_ok();
        self.with.iter().all(holds) && !self.without.iter().any(holds)
    }

    fn is_any(&self) -> bool {
        self.with.is_empty() && self.without.is_empty()
    }
}

/// A rule of the run.
pub(super) struct Listed {
    section: usize,
    region: Vec<Range>,
    step: Step,
    pub(super) peer: Asked,
    /// Of the host's own end.
    pub(super) own: Asked,
}

/// What is known of a run before any class.
pub(super) struct Run {
    pub(super) listed: Vec<Listed>,
    /// What the end of each section does.
    ends: Vec<RunEnd>,
    /// The position of the first section.
    first: usize,
    /// The rules that ask for a criterion of the peer first, by its number; those that ask for one of the own end are not
    /// among them.
    pub(super) asking: HashMap<u32, Vec<usize>>,
    /// The rules that ask for none.
    asking_nothing: Vec<usize>,
    /// The rules about the own end.
    pub(super) of_own: pairs::Index,
    /// What stands at positions outside of the run, as far as the run goes there.
    outside: BTreeMap<usize, Function>,
}

/// What the end of a section does.
enum RunEnd {
    /// This to all packets.
    Constant(Function),
    /// Go on with the section of this position.
    To(usize),
}

impl Table {
    /// Resolves a run of sections that begins at position `first`, and says to which positions it sends packets; `None`
    /// when that would take too much.
    pub(super) fn of(
        sections: &[Section],
        first: usize,
        pool: &SetPool<'_>,
        family: Family,
        direction: Direction,
    ) -> Option<(Table, Vec<usize>)> {
        let mut origins = Vec::new();
        let mut fates = Fates::default();
        let mut criteria = [Criteria::of_family(family), Criteria::of_family(family)];
        let mut run = Run::at(first);
        let mut tracked = encode::Tracked::new(family);
        let inside = first..first + sections.len();
        for (section, of_section) in sections.iter().enumerate() {
            for flat in &of_section.rules {
                let rule = list(flat, section, pool, &mut criteria, direction, &mut origins, &mut fates);
                run.listed.extend(rule.inspect(|_| tracked.add(&flat.rule)));
            }
            run.ends.push(match &of_section.end {
                SectionEnd::Drop(origin) => {
                    let fate = decided(Act::Drop, origin, &mut origins, &mut fates);
                    RunEnd::Constant(Function::constant(fate))
                }
                SectionEnd::Continue(next) => RunEnd::To(*next),
                SectionEnd::Unreachable | SectionEnd::Undecided | SectionEnd::NoForwardPolicy => {
                    let fate = fates.id(Fate { act: Act::End, rules: Vec::new() });
                    RunEnd::Constant(Function::constant(fate))
                }
            });
        }
        let passed =
            run.listed.iter().filter_map(|rule| if let Step::Pass(_, to) = rule.step { Some(to) } else { None });
        let ended = run.ends.iter().filter_map(|end| if let RunEnd::To(to) = end { Some(*to) } else { None });
        let outside: BTreeSet<usize> = passed.chain(ended).filter(|to| !inside.contains(to)).collect();
        for to in outside {
            let fate = fates.id(Fate { act: Act::To(to), rules: Vec::new() });
            run.outside.insert(to, Function::constant(fate));
        }
        run.index();

        let [peer, own] = &criteria;
        let mut addresses = addresses::cut(&peer.spans, WORK_MAX)?;
        let singles = addresses.singles.len();
        if singles < SINGLES_MIN && !addresses.spans.is_empty() || singles * SPANS_PER_SINGLE < addresses.spans.len() {
            addresses.fold();
        }
        let mut own_addresses = addresses::cut(&own.spans, WORK_MAX)?;
        if !own_addresses.spans.is_empty() {
            own_addresses.fold();
        }
        let mut maker = Maker { run: &run, fates, tracked, known: HashMap::new(), classes: HashMap::new(), work: 0 };
        let mut table = maker.classes(&addresses)?;
        pairs::make(&mut maker, &mut table, &addresses, &own_addresses)?;
        table.origins = origins;
        table.fates = maker.fates;
        let targets = table.number_targets();
        Some((table, targets))
    }

    /// All pieces.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &encode::Piece> {
        self.pairs.pieces().chain(self.classes.iter().flatten()).chain(&self.any)
    }

    /// The positions that its pieces speak of, each of which becomes the number of its place in this list.
    fn number_targets(&mut self) -> Vec<usize> {
        let acts = self.pieces().map(|piece| self.fates.get(piece.fate).act);
        let targets: BTreeSet<usize> =
            acts.filter_map(|act| if let Act::To(position) = act { Some(position) } else { None }).collect();
        let targets: Vec<usize> = targets.into_iter().collect();
        self.fates.renumber(|position| targets.binary_search(&position).ok());
        targets
    }
}

fn decided(act: Act, origin: &Origin, origins: &mut Vec<Origin>, fates: &mut Fates) -> u32 {
    origins.push(origin.clone());
    fates.add(Fate { act, rules: vec![origins.len() as u32 - 1] })
}

/// A rule as it stands in the family of the criteria; `None` where it matches nothing there.
fn list(
    flat: &FlatRule,
    section: usize,
    pool: &SetPool<'_>,
    criteria: &mut [Criteria; 2],
    direction: Direction,
    origins: &mut Vec<Origin>,
    fates: &mut Fates,
) -> Option<Listed> {
    let family = criteria[0].family;
    if !flat.rule.exists_in(family) {
        return None;
    }
    let rule = overflow::close(&flat.rule, family, &|id, family| pool.is_too_large(id, family))?;
    let region = region(&rule, family);
    let step = match flat.action {
        FlatAction::Accept => Step::Decide(decided(Act::Accept, &flat.origin, origins, fates)),
        FlatAction::Drop => Step::Decide(decided(Act::Drop, &flat.origin, origins, fates)),
        FlatAction::Continue(next) => {
            origins.push(flat.origin.clone());
            Step::Pass(origins.len() as u32 - 1, next)
        }
        FlatAction::Log(_) | FlatAction::Count { .. } | FlatAction::Table { .. } => return None,
    };
    let (peer, own) = peers(&rule, direction);
    let [peer, own] = [criteria[0].of(peer, pool), criteria[1].of(own, pool)];
    Some(Listed { section, region, step, peer, own })
}

/// Criteria by number, with the addresses that satisfy them.
struct Criteria {
    family: Family,
    numbers: HashMap<Criterion, u32>,
    spans: Vec<Vec<Span>>,
}

impl Criteria {
    fn of_family(family: Family) -> Self {
        Self { family, numbers: HashMap::new(), spans: Vec::new() }
    }

    /// The criteria of an end of a packet.
    fn of(&mut self, peer: &Peer, pool: &SetPool<'_>) -> Asked {
        let family = self.family;
        let mut nets = |nets: &[IpNet]| {
            let nets: Vec<IpNet> = nets.iter().filter(|net| Family::of_net(**net) == family).copied().collect();
            (!nets.is_empty()).then(|| self.number(Criterion::Nets(nets), pool))
        };
        let (with, without) = (nets(&peer.nets), nets(&peer.not_nets));
        let mut set = |id: &Option<SetId>| id.clone().map(|id| self.number(Criterion::Set(id), pool));
        let (with_set, without_set) = (set(&peer.set), set(&peer.not_set));
        let [with, without] = [(with, with_set), (without, without_set)]
            .map(|(nets, set)| nets.into_iter().chain(set).collect::<Vec<u32>>());
        Asked { with, without }
    }

    fn number(&mut self, criterion: Criterion, pool: &SetPool<'_>) -> u32 {
        let next = self.spans.len() as u32;
        *self.numbers.entry(criterion).or_insert_with_key(|criterion| {
            // A network that lies in another one of the same criterion says nothing.
            self.spans.push(match criterion {
                Criterion::Nets(nets) => merge(spans_of(self.family, nets.iter().copied())),
                Criterion::Set(id) => pool.spans(id, self.family),
            });
            next
        })
    }
}

impl Run {
    fn at(first: usize) -> Self {
        Self {
            listed: Vec::new(),
            ends: Vec::new(),
            first,
            asking: HashMap::new(),
            asking_nothing: Vec::new(),
            of_own: pairs::Index::default(),
            outside: BTreeMap::new(),
        }
    }

    /// What the last section goes on to for packets that no rule takes: what is asked behind the table.
    fn behind(&self) -> &Function {
        match self.ends.last().expect("a run has a section") {
            RunEnd::Constant(function) => function,
            RunEnd::To(to) => &self.outside[to],
        }
    }

    fn index(&mut self) {
        for (position, rule) in self.listed.iter().enumerate() {
            if !rule.own.is_any() || !rule.peer.without.is_empty() {
                self.of_own.add(position, rule);
            }
            match rule.peer.with.first() {
                // Packets to any other of the own addresses never meet it.
                _ if !rule.own.with.is_empty() => {}
                Some(criterion) => self.asking.entry(*criterion).or_default().push(position),
                None => self.asking_nothing.push(position),
            }
        }
    }

    /// The rules that match packets between addresses with these signatures, in order, and how many were looked at;
    /// `of_own` are those among them that must have a criterion at the own end, and maybe others.
    fn rules_of(&self, signature: &[u32], own: &[u32], of_own: Vec<usize>) -> (Vec<usize>, usize) {
        let asking = signature.iter().filter_map(|criterion| self.asking.get(criterion)).flatten();
        let mut rules = of_own;
        rules.extend(asking.chain(&self.asking_nothing));
        let candidates = rules.len();
        rules.retain(|position| {
            let rule = &self.listed[*position];
            rule.peer.fits(signature) && rule.own.fits(own)
        });
        rules.sort_unstable();
        (rules, candidates)
    }
}

/// Makes the functions of signatures, each once.
pub(super) struct Maker<'a> {
    pub(super) run: &'a Run,
    fates: Fates,
    pub(super) tracked: encode::Tracked,
    /// Of packets between peers with a signature and own addresses that satisfy no criterion.
    known: HashMap<Signature, Arc<Function>>,
    /// The numbers of classes, by the signatures of peers and of what stands around them.
    classes: HashMap<(Signature, Signature), Option<usize>>,
    work: usize,
}

impl Maker<'_> {
    fn classes(&mut self, addresses: &Addresses) -> Option<Table> {
        let nothing = Signature::from([]);
        let any = self.function(&nothing)?;
        // What the end of the last section drops is said by the table itself.
        let is_drop = |fate| self.fates.get(fate).act == Act::Drop;
        let behind = Some(self.run.behind()).filter(|behind| !behind.steps().any(|(_, fate)| is_drop(fate)));
        let mut table = Table {
            origins: Vec::new(),
            fates: Fates::default(),
            any: self.tracked.pieces(&any, behind),
            classes: Vec::new(),
            singles: Vec::new(),
            spans: Vec::new(),
            own: Vec::new(),
            pairs: Pairs::default(),
        };
        for (span, signature) in &addresses.spans {
            let class = self.class(&mut table, signature, &nothing)?;
            table.spans.extend(class.map(|class| (*span, class)));
        }
        for (address, signature) in &addresses.singles {
            let around = Signature::from(addresses.around(*address));
            let class = self.class(&mut table, signature, &around)?;
            table.singles.extend(class.map(|class| (*address, class)));
        }
        Some(table)
    }

    /// The number of the class of addresses with `signature` that are looked for under `around` where it says nothing;
    /// `None` inside when it has nothing to say.
    #[expect(clippy::option_option, reason = "the outer one is the end of all work")]
    fn class(&mut self, table: &mut Table, signature: &Signature, around: &Signature) -> Option<Option<usize>> {
        let key = (signature.clone(), around.clone());
        if let Some(known) = self.classes.get(&key) {
            return Some(*known);
        }
        let (function, behind) = (self.function(signature)?, self.function(around)?);
        let class = self.says(table, &function, &behind)?;
        self.classes.insert(key, class);
        Some(class)
    }

    /// The number of a new class that says what `function` says beyond `behind`; `None` inside when that is nothing.
    #[expect(clippy::option_option, reason = "the outer one is the end of all work")]
    pub(super) fn says(&mut self, table: &mut Table, function: &Function, behind: &Function) -> Option<Option<usize>> {
        let pieces = self.tracked.pieces(function, Some(behind));
        self.spend(pieces.len())?;
        Some((!pieces.is_empty()).then(|| {
            table.classes.push(pieces);
            table.classes.len() - 1
        }))
    }

    /// Where the class of addresses with `signature` says something, if they have one.
    pub(super) fn said(&self, table: &Table, signature: &Signature, around: &Signature) -> Vec<Range> {
        let class = self.classes.get(&(signature.clone(), around.clone())).copied().flatten();
        class.map_or(Vec::new(), |class| table.classes[class].iter().map(|piece| piece.range).collect())
    }

    /// Counts work; `None` when it is too much.
    pub(super) fn spend(&mut self, work: usize) -> Option<()> {
        self.work += work;
        (self.work <= WORK_MAX).then_some(())
    }

    /// What happens to packets of peers with this signature where no rule asks for the own address.
    pub(super) fn function(&mut self, signature: &Signature) -> Option<Arc<Function>> {
        if let Some(known) = self.known.get(signature) {
            return Some(known.clone());
        }
        let function = Arc::new(self.resolve(signature, &[], Vec::new())?);
        self.known.insert(signature.clone(), function.clone());
        Some(function)
    }

    /// What happens to packets between addresses with these signatures; `of_own` as in [`Run::rules_of`].
    pub(super) fn resolve(&mut self, signature: &[u32], own: &[u32], of_own: Vec<usize>) -> Option<Function> {
        let run = self.run;
        let (rules, candidates) = run.rules_of(signature, own, of_own);
        self.spend(candidates + run.ends.len())?;
        let mut rest = &rules[..];
        // The functions of the sections from the last one on.
        let mut functions: Vec<Function> = Vec::with_capacity(run.ends.len());
        for (section, end) in run.ends.iter().enumerate().rev() {
            let from = rest.partition_point(|position| run.listed[*position].section < section);
            let of_section = rest[from..].iter().map(|position| {
                let rule = &run.listed[*position];
                (rule.region.as_slice(), rule.step)
            });
            let last = run.first + run.ends.len() - 1;
            let at = |to: usize| run.outside.get(&to).unwrap_or_else(|| &functions[last - to]);
            let end = match end {
                RunEnd::Constant(function) => function,
                RunEnd::To(to) => at(*to),
            };
            let function = first_match(of_section, at, end, &mut self.fates);
            functions.push(function);
            rest = &rest[..from];
        }
        Some(functions.pop().expect("a run has a section"))
    }
}
