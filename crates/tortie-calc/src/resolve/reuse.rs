//! What stays itself when a policy is resolved again, so that those who know it see that it did not change.

use std::collections::HashMap;
use std::sync::Arc;

use tortie_api::model::{Policy, Rule};

use super::{Governed, Resolved, Resolver};
use crate::policy::ResolvedRule;
use crate::sets::Definition;

/// The rules of one direction as they were: where they came from, what became of them, and the sets they use, in order.
#[derive(Clone, Copy, Default)]
pub(super) struct Before<'a> {
    source: &'a [Arc<Rule>],
    rules: &'a [Arc<ResolvedRule>],
    sets: &'a [Arc<Definition>],
}

/// The rules of both directions of a policy as they were.
pub(super) fn before<'a>(source: &'a Policy, resolved: &'a Resolved<Governed>) -> [Before<'a>; 2] {
    let both = [(&resolved.ingress, &source.ingress), (&resolved.egress, &source.egress)];
    let mut sets = &resolved.sets[..];
    both.map(|(governed, source)| {
        let Some(resolved) = governed else { return Before::default() };
        let own;
        (own, sets) = sets.split_at(sets_of(&resolved.rules));
        Before::new(source, &resolved.rules, own)
    })
}

/// How many sets these rules use.
fn sets_of(rules: &[Arc<ResolvedRule>]) -> usize {
    rules.iter().map(|rule| rule.sets().count()).sum()
}

/// What is known already, if it is the same.
pub(super) fn kept<T: Eq>(new: T, known: Option<&Arc<T>>) -> Arc<T> {
    match known {
        Some(known) if **known == new => known.clone(),
        _ => Arc::new(new),
    }
}

impl<'a> Before<'a> {
    fn new(source: &'a [Arc<Rule>], rules: &'a [Arc<ResolvedRule>], sets: &'a [Arc<Definition>]) -> Self {
        Before { source, rules, sets }
    }

    /// Takes the first rules away.
    fn split_at(self, count: usize) -> (Before<'a>, Before<'a>) {
        let (source, rules) = (self.source.split_at(count), self.rules.split_at(count));
        let sets = self.sets.split_at(sets_of(rules.0));
        (Before::new(source.0, rules.0, sets.0), Before::new(source.1, rules.1, sets.1))
    }
}

impl Resolver {
    /// Resolves the rules of one direction, and adds the sets that they use. Rules at the ends that come from the same text
    /// are not resolved again; of the others those that say the same are kept, wherever they stood.
    pub(super) fn rules(
        &mut self,
        rules: &[Arc<Rule>],
        namespace: Option<&str>,
        before: Before<'_>,
        sets: &mut Vec<Arc<Definition>>,
    ) -> Vec<Arc<ResolvedRule>> {
        let is_same = |(one, other): &(&Arc<Rule>, &Arc<Rule>)| {
            let reads_same = !one.has_http || !self.rereads_http;
            reads_same && (Arc::ptr_eq(one, other) || one == other)
        };
        let first = rules.iter().zip(before.source).take_while(is_same).count();
        let (first, before) = before.split_at(first);
        let rules = &rules[first.rules.len()..];
        let last = rules.iter().rev().zip(before.source.iter().rev()).take_while(is_same).count();
        let (middle, last) = before.split_at(before.rules.len() - last);
        let rules = &rules[..rules.len() - last.rules.len()];

        let mut found = Vec::with_capacity(first.rules.len() + rules.len() + last.rules.len());
        found.extend_from_slice(first.rules);
        sets.extend_from_slice(first.sets);
        let mut known: HashMap<&ResolvedRule, Vec<&Arc<ResolvedRule>>> = HashMap::new();
        for rule in middle.rules.iter().rev() {
            known.entry(rule).or_default().push(rule);
        }
        for rule in rules {
            let rule = self.rule(rule, namespace, sets);
            let kept = known.get_mut(&rule).and_then(Vec::pop).cloned();
            found.push(kept.unwrap_or_else(|| Arc::new(rule)));
        }
        found.extend_from_slice(last.rules);
        sets.extend_from_slice(last.sets);
        found
    }
}
