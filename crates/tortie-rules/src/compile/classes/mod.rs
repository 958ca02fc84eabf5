//! Second pass: runs of rules that ask the peer's address and one destination become a few lookups, whatever their number
//! (C-9).
//!
//! The peer's address space is cut where a criterion begins or ends (`addresses`). Addresses that satisfy the same
//! criteria meet the same rules, so the rules are resolved ahead of time into a function of protocol and port
//! (`function`), tiers and `Pass` among them. What the function says beyond what it says for any address is kept in
//! maps under the number of a class (`encode`). A packet costs two lookups for each map that it has to ask.
//!
//! What a packet finds is decided in this order, each stage saying only what differs from the ones behind it: the class
//! of the single address, the class of the networks it lies in, what holds for all addresses.

use std::sync::Arc;

use tortie_api::model::{Action, Family};
use tortie_calc::policy::{Direction, Peer, ResolvedRule};

use super::flatten::{FlatAction, FlatRule, Section, SectionEnd};
use super::sets::SetPool;
use crate::ruleset::Origin;
pub use table::Table;

mod addresses;
mod emit;
mod encode;
mod function;
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

/// Rules that a list has at least, to be worth classes: each costs one or two lookups, and classes cost four to six.
const RULES_MIN: usize = 8;

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
    let can_be_class = |flat: &FlatRule| can_be_class(flat, family, direction);
    let cut = if in_parts { cut(sections, rules_min, can_be_class) } else { sections.to_vec() };
    let entered_from = entered_from(&cut);
    // Sections that follow one another, and whether all their rules can become classes.
    let mut runs: Vec<(bool, Vec<Section>)> = Vec::new();
    let mut start = 0;
    for (position, section) in cut.into_iter().enumerate() {
        let is_plain = section.rules.iter().all(can_be_class);
        match runs.last_mut() {
            // A run is entered at its beginning only.
            Some((true, run)) if is_plain && entered_from[position] >= start => run.push(section),
            _ => {
                runs.push((is_plain, vec![section]));
                start = position;
            }
        }
    }
    let mut first = 0;
    let mut found: Vec<(usize, Section)> = Vec::new();
    for (is_plain, run) in runs {
        let len = run.len();
        let rules = run.iter().flat_map(|section| &section.rules).filter(|flat| flat.rule.exists_in(family)).count();
        let is_worth = is_plain && rules >= rules_min;
        match is_worth.then(|| Table::of(&run, first, pool, family, direction)).flatten() {
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
            None => found.extend((first..).zip(run)),
        }
        first += len;
    }
    let starts: Vec<usize> = found.iter().map(|(start, _)| *start).collect();
    renumber(found.into_iter().map(|(_, section)| section).collect(), |old| {
        starts.partition_point(|start| *start < old)
    })
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

/// Cuts sections where runs of at least `rules_min` rules that can become classes begin and end.
fn cut(sections: &[Section], rules_min: usize, can_be_class: impl Fn(&FlatRule) -> bool) -> Vec<Section> {
    let mut starts = Vec::with_capacity(sections.len());
    let mut parts: Vec<(Vec<FlatRule>, Option<SectionEnd>)> = Vec::new();
    for section in sections {
        starts.push(parts.len());
        let mut rest: Vec<FlatRule> = Vec::new();
        for run in section.rules.chunk_by(|one, other| can_be_class(one) == can_be_class(other)) {
            if can_be_class(&run[0]) && run.len() >= rules_min {
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

/// Whether the rule can become a part of classes; one that does not exist in the family can.
fn can_be_class(flat: &FlatRule, family: Family, direction: Direction) -> bool {
    let decides = matches!(flat.action, FlatAction::Accept | FlatAction::Drop | FlatAction::Continue(_));
    let asks_what_classes_tell = || asks_the_peer_only(&flat.rule, direction) && region::is_told(&flat.rule, family);
    !flat.rule.exists_in(family) || decides && asks_what_classes_tell()
}

/// Whether the rule asks the peer's address and the destination port, and nothing else of the two ends.
fn asks_the_peer_only(rule: &ResolvedRule, direction: Direction) -> bool {
    let (peer, own) = peers(rule, direction);
    let asks_address =
        |end: &Peer| !end.nets.is_empty() || !end.not_nets.is_empty() || end.set.is_some() || end.not_set.is_some();
    let named = [&peer.named_ports, &peer.not_named_ports, &own.named_ports, &own.not_named_ports];
    !asks_address(own)
        && named.into_iter().all(Vec::is_empty)
        && rule.source.ports.is_empty()
        && rule.source.not_ports.is_empty()
}

/// The other end and the host's own end of a packet.
fn peers(rule: &ResolvedRule, direction: Direction) -> (&Peer, &Peer) {
    match direction {
        Direction::Ingress => (&rule.source, &rule.destination),
        Direction::Egress => (&rule.destination, &rule.source),
    }
}
