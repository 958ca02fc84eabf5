//! Sets with more members than the kernel is to hold (E-351, `maxIpsetSize`).
//!
//! A set that holds a part of its members only would be wrong in silence. Instead the rules that name it fail closed: a
//! `Deny` matches as if the criterion were absent, any other rule matches nothing. The calculation reports such sets.

use std::borrow::Cow;

use tortie_api::model::{Action, Family};
use tortie_calc::policy::{Peer, ResolvedRule, SetId};

/// The rule as it stands in a family in which some sets are too large; `None` when it matches nothing.
pub(super) fn close<'a>(
    rule: &'a ResolvedRule,
    family: Family,
    is_too_large: &dyn Fn(&SetId, Family) -> bool,
) -> Option<Cow<'a, ResolvedRule>> {
    let too_large = |id: &SetId| is_too_large(id, family);
    if ![&rule.source, &rule.destination].into_iter().any(|peer| peer.sets().any(too_large)) {
        return Some(Cow::Borrowed(rule));
    }
    if rule.action != Action::Deny {
        return None;
    }
    let mut rule = rule.clone();
    for peer in [&mut rule.source, &mut rule.destination] {
        widen(peer, &too_large);
    }
    Some(Cow::Owned(rule))
}

fn widen(peer: &mut Peer, too_large: &dyn Fn(&SetId) -> bool) {
    peer.set = peer.set.take().filter(|id| !too_large(id));
    peer.not_set = peer.not_set.take().filter(|id| !too_large(id));
    peer.not_named_ports.retain(|id| !too_large(id));
    if peer.named_ports.iter().any(too_large) {
        // One entry that may match anything makes the whole list match anything.
        peer.named_ports.clear();
        peer.ports.clear();
    }
}
