//! Second pass: runs of rules that ask addresses and one destination become a few lookups, whatever their number (C-9).
//!
//! The peer's address space is cut where a criterion begins or ends (`addresses`). Addresses that satisfy the same
//! criteria meet the same rules, so the rules are resolved ahead of time into a function of protocol and port
//! (`function`), tiers and `Pass` among them. What the function says beyond what it says for any address is kept in
//! maps under the number of a class (`encode`). A packet costs two lookups for each map that it has to ask.
//!
//! Rules that ask for the host's own address make classes of those as well, and what is said of both ends stands under the
//! pair of their classes (`pairs`).
//!
//! What a packet finds is decided in this order, each stage saying only what differs from the ones behind it: the pair of
//! classes, the class of the single address, the class of the networks it lies in, the class of the own address, what holds
//! for all addresses.

use std::sync::Arc;

use foldhash::HashSet;
use tortie_api::model::{Action, Family};
use tortie_calc::policy::{Direction, Peer, ResolvedRule, SetId};

use super::flatten::{FlatAction, FlatRule, Section, SectionEnd};
use super::sets::SetPool;
use crate::ruleset::Origin;
pub use table::Table;

mod addresses;
mod emit;
mod encode;
mod function;
mod pairs;
mod region;
mod said;
mod table;

pub(super) use emit::emit;

/// The criteria that an address satisfies, sorted.
type Signature = Arc<[u32]>;

/// When rules become classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Classes {
    /// Where they are estimated to be cheaper than the list (C-5).
    #[default]
    ByCost,
    /// Wherever they can.
    Always,
    /// Never.
    Never,
}

/// Large sets that stay out of tables, at most: each costs up to five lookups.
const LARGE_MAX: usize = 4;

/// Rules that a list has at least, to be worth classes: each costs one or two lookups, and classes cost four to six.
const RULES_MIN: usize = 8;

/// What a rule is to tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It stays in a list.
    List,
    /// It fits beside all others.
    Any,
    /// Which ends it asks for.
    Ends { peer: bool, own: bool },
}

impl Part {
    /// What two rules of one table are.
    fn and(self, other: Part) -> Part {
        match (self, other) {
            (Part::Any, one) | (one, Part::Any) => one,
            (one, other) if one == other => one,
            _ => Part::List,
        }
    }
}

/// Replaces runs of rules that can become classes by one rule with a [`Table`] each.
///
/// `sections` are those of [`super::flatten`]. With `in_parts` a section of which only a part can become classes is cut:
/// then packets go on to other sections than the next one.
pub(super) fn group(
    sections: &[Section],
    pool: &SetPool<'_>,
    (family, direction): (Family, Direction),
    when: Classes,
    in_parts: bool,
) -> Vec<Section> {
    let rules_min = match when {
        Classes::ByCost => RULES_MIN,
        Classes::Always => 1,
        Classes::Never => return sections.to_vec(),
    };
    let run_at = RunAt { rules_min, pool, family, direction };
    let large = large_sets(sections, pool, family);
    let part = |flat: &FlatRule| match part(flat, family, direction) {
        _ if !large.is_empty() && sets_of(&flat.rule).any(|id| large.contains(id)) => Part::List,
        part => part,
    };
    let together = |flat: &FlatRule| if part(flat) == Part::List { Part::List } else { Part::Any };
    if !in_parts {
        return run_at.tables(sections.to_vec(), together).0;
    }
    let (found, is_all) = run_at.tables(cut(sections, rules_min, together), together);
    if is_all {
        return found;
    }
    // Each of these has no more classes than there are addresses, or pairs that its rules name.
    let (apart, _) = run_at.tables(cut(sections, rules_min, part), part);
    if lists_in(&apart) < lists_in(&found) { apart } else { found }
}

/// Sets of more networks than a kernel changes quickly in one map: a few of them cost packets less as sets of their own, which
/// are cut into parts, than each change of their members would cost in a table.
fn large_sets<'a>(sections: &'a [Section], pool: &SetPool<'_>, family: Family) -> HashSet<&'a SetId> {
    let rules = sections.iter().flat_map(|section| &section.rules);
    let asked: HashSet<&SetId> = rules.flat_map(|flat| sets_of(&flat.rule)).collect();
    let large: HashSet<&SetId> = asked.into_iter().filter(|id| pool.has_many_networks(id, family)).collect();
    if large.len() > LARGE_MAX { HashSet::default() } else { large }
}

/// The sets of addresses that a rule asks for.
fn sets_of(rule: &ResolvedRule) -> impl Iterator<Item = &SetId> {
    [&rule.source, &rule.destination].into_iter().flat_map(|end| end.set.iter().chain(&end.not_set))
}

/// The rules that are in no table.
fn lists_in(sections: &[Section]) -> usize {
    let rules = sections.iter().flat_map(|section| &section.rules);
    rules.filter(|flat| !matches!(flat.action, FlatAction::Table { .. })).count()
}

/// What is known of all runs of a list.
#[derive(Clone, Copy)]
struct RunAt<'a, 'p> {
    rules_min: usize,
    pool: &'a SetPool<'p>,
    family: Family,
    direction: Direction,
}

impl RunAt<'_, '_> {
    /// Makes tables of runs of sections whose rules are of one part, and says whether none of them was too much work.
    fn tables(self, sections: Vec<Section>, part: impl Fn(&FlatRule) -> Part) -> (Vec<Section>, bool) {
        let entered_from = entered_from(&sections);
        // Sections that follow one another, and what all their rules are.
        let mut runs: Vec<(Part, Vec<Section>)> = Vec::new();
        let mut start = 0;
        for (position, section) in sections.into_iter().enumerate() {
            let of_section = section.rules.iter().map(&part).fold(Part::Any, Part::and);
            match runs.last_mut() {
                // A run is entered at its beginning only.
                Some((of_run, run)) if of_run.and(of_section) != Part::List && entered_from[position] >= start => {
                    *of_run = of_run.and(of_section);
                    run.push(section);
                }
                _ => {
                    runs.push((of_section, vec![section]));
                    start = position;
                }
            }
        }
        let mut first = 0;
        let mut is_all = true;
        let mut found: Vec<(usize, Section)> = Vec::new();
        for (part, run) in runs {
            let len = run.len();
            let is_worth = part != Part::List && self.rules(&run) >= self.rules_min;
            match is_worth.then(|| Table::of(&run, first, self.pool, self.family, self.direction)).flatten() {
                Some((table, targets)) => {
                    let end = run[len - 1].end.clone();
                    let end = match end {
                        // Rules of the last one may still send packets on, and nothing else comes to its end.
                        SectionEnd::Drop(_) => SectionEnd::Unreachable,
                        other => other,
                    };
                    let rule = Arc::new(ResolvedRule::any(Action::Log));
                    let action = FlatAction::Table { table: Arc::new(table), targets };
                    let origin = Origin::Frame("policy");
                    found.push((first, Section { rules: vec![FlatRule { rule, action, origin }], end }));
                }
                None => {
                    is_all &= !is_worth;
                    found.extend((first..).zip(run));
                }
            }
            first += len;
        }
        let starts: Vec<usize> = found.iter().map(|(start, _)| *start).collect();
        let found = renumber(found.into_iter().map(|(_, section)| section).collect(), |old| {
            starts.partition_point(|start| *start < old)
        });
        (found, is_all)
    }

    fn rules(self, run: &[Section]) -> usize {
        run.iter().flat_map(|section| &section.rules).filter(|flat| flat.rule.exists_in(self.family)).count()
    }
}

/// The first section from which each one is entered.
fn entered_from(sections: &[Section]) -> Vec<usize> {
    let mut found = vec![usize::MAX; sections.len()];
    for (position, section) in sections.iter().enumerate().rev() {
        for target in section.rules.iter().flat_map(|flat| flat.action.targets()) {
            found[*target] = position;
        }
        if let SectionEnd::Continue(next) = section.end {
            found[next] = position;
        }
    }
    found
}

/// Cuts sections where runs of at least `rules_min` rules of one part of tables begin and end.
fn cut(sections: &[Section], rules_min: usize, part: impl Fn(&FlatRule) -> Part) -> Vec<Section> {
    let mut starts = Vec::with_capacity(sections.len());
    let mut parts: Vec<(Vec<FlatRule>, Option<SectionEnd>)> = Vec::new();
    for section in sections {
        starts.push(parts.len());
        let mut rest: Vec<FlatRule> = Vec::new();
        for run in section.rules.chunk_by(|one, other| part(one) == part(other)) {
            if part(&run[0]) != Part::List && run.len() >= rules_min {
                if !rest.is_empty() {
                    parts.push((std::mem::take(&mut rest), None));
                }
                parts.push((run.to_vec(), None));
            } else {
                rest.extend_from_slice(run);
            }
        }
        if !rest.is_empty() || parts.len() == starts[starts.len() - 1] {
            parts.push((rest, None));
        }
        if let Some((_, end)) = parts.last_mut() {
            *end = Some(section.end.clone());
        }
    }
    // Ends and rules still count the sections there were; a part goes on with the one behind it.
    let first_of = |section: usize| starts[section];
    let cut = parts.into_iter().enumerate().map(|(position, (mut rules, end))| {
        rules.iter_mut().for_each(|flat| flat.action.renumber(first_of));
        let end = match end {
            Some(SectionEnd::Continue(next)) => SectionEnd::Continue(first_of(next)),
            Some(end) => end,
            None => SectionEnd::Continue(position + 1),
        };
        Section { rules, end }
    });
    cut.collect()
}

/// Sections with other positions of those they go on to.
fn renumber(mut sections: Vec<Section>, position_of: impl Fn(usize) -> usize) -> Vec<Section> {
    for section in &mut sections {
        section.rules.iter_mut().for_each(|flat| flat.action.renumber(&position_of));
        if let SectionEnd::Continue(next) = &mut section.end {
            *next = position_of(*next);
        }
    }
    sections
}

/// What the rule is to tables; one that does not exist in the family fits beside all others.
fn part(flat: &FlatRule, family: Family, direction: Direction) -> Part {
    if !flat.rule.exists_in(family) {
        return Part::Any;
    }
    let decides = matches!(flat.action, FlatAction::Accept | FlatAction::Drop | FlatAction::Continue(_));
    if !decides || !asks_numbers_only(&flat.rule) || !region::is_told(&flat.rule, family) {
        return Part::List;
    }
    let asks_address =
        |end: &Peer| !end.nets.is_empty() || !end.not_nets.is_empty() || end.set.is_some() || end.not_set.is_some();
    match peers(&flat.rule, direction) {
        (peer, own) if asks_address(peer) || asks_address(own) => {
            Part::Ends { peer: asks_address(peer), own: asks_address(own) }
        }
        _ => Part::Any,
    }
}

/// Whether the rule asks of ports the destination's alone, and no named ones.
fn asks_numbers_only(rule: &ResolvedRule) -> bool {
    let (source, destination) = (&rule.source, &rule.destination);
    let named = [&source.named_ports, &source.not_named_ports, &destination.named_ports, &destination.not_named_ports];
    named.into_iter().all(Vec::is_empty) && source.ports.is_empty() && source.not_ports.is_empty()
}

/// The other end and the host's own end of a packet.
fn peers(rule: &ResolvedRule, direction: Direction) -> (&Peer, &Peer) {
    match direction {
        Direction::Ingress => (&rule.source, &rule.destination),
        Direction::Egress => (&rule.destination, &rule.source),
    }
}
