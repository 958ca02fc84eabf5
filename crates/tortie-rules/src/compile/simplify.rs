//! Third pass: what no packet can reach goes away, and sections that are entered by falling into them only are joined.

use std::collections::BTreeMap;

use tortie_calc::policy::ResolvedRule;

use super::flatten::{FlatAction, Section, SectionEnd};

/// Keeps the verdict of every packet and the order of rules. The first section stays first.
pub fn simplify(mut sections: Vec<Section>) -> Vec<Section> {
    for section in &mut sections {
        cut_behind_decision(section);
    }
    join(sections)
}

/// A rule that matches everything and decides is the last one of its section.
fn cut_behind_decision(section: &mut Section) {
    let last = section.rules.iter().position(|flat| decides(&flat.action) && matches_all(&flat.rule));
    let Some(last) = last else { return };
    if let FlatAction::Continue(next) = section.rules[last].action {
        // `Pass` without criteria is the same as the end of the tier passing, less one jump.
        section.end = SectionEnd::Continue(next);
        section.rules.truncate(last);
    } else {
        section.rules.truncate(last + 1);
        section.end = SectionEnd::Unreachable;
    }
}

fn decides(action: &FlatAction) -> bool {
    match action {
        FlatAction::Accept | FlatAction::Drop | FlatAction::Continue(_) => true,
        FlatAction::Log(_) | FlatAction::Count { .. } | FlatAction::Table { .. } => false,
    }
}

fn matches_all(rule: &ResolvedRule) -> bool {
    rule.ip_version.is_none()
        && rule.protocol.is_none()
        && rule.not_protocol.is_none()
        && rule.icmp.is_none()
        && rule.not_icmp.is_none()
        && rule.source.is_any()
        && rule.destination.is_any()
        && rule.never.is_none()
}

/// Appends each section to the one that falls into it, unless `Pass` rules jump there too.
fn join(sections: Vec<Section>) -> Vec<Section> {
    let mut entered_by_pass = vec![false; sections.len()];
    let mut is_reached = vec![false; sections.len()];
    is_reached[0] = true;
    for (position, section) in sections.iter().enumerate() {
        if !is_reached[position] {
            continue;
        }
        for flat in &section.rules {
            for next in flat.action.targets() {
                entered_by_pass[*next] = true;
                is_reached[*next] = true;
            }
        }
        if let SectionEnd::Continue(next) = section.end {
            is_reached[next] = true;
        }
    }

    let mut heads: Vec<Section> = Vec::new();
    let mut position_of = BTreeMap::new();
    let mut open: Option<usize> = None;
    for (position, section) in sections.into_iter().enumerate().filter(|(p, _)| is_reached[*p]) {
        let falls_in =
            open.is_some_and(|head: usize| matches!(heads[head].end, SectionEnd::Continue(next) if next == position));
        match open {
            Some(head) if falls_in && !entered_by_pass[position] => {
                heads[head].rules.extend(section.rules);
                heads[head].end = section.end;
            }
            _ => {
                position_of.insert(position, heads.len());
                open = Some(heads.len());
                heads.push(section);
            }
        }
    }
    for section in &mut heads {
        for flat in &mut section.rules {
            flat.action.renumber(|next| position_of[&next]);
        }
        if let SectionEnd::Continue(next) = &mut section.end {
            *next = position_of[next];
        }
    }
    heads
}
