//! The policies that can select a host endpoint, by number.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tortie_api::ResourceKey;
use tortie_api::model::{Labels, Policy, Resource, Tier, by_evaluation};
use tortie_selector::Selector;

use super::changes::{Change, Changes};
use super::lists::ListSet;
use super::locals::LocalNumber;
use super::order::Order;
use super::uses::Uses;
use crate::index::SelectorIndex;
use crate::policy::{Direction, PolicyRules};
use crate::resolve::{Governed, Resolved, Resolver};
use crate::select;
use crate::sets::Definition;

/// The number of a policy. It is another one when the policy's place, class or directions change.
pub(super) type PolicyNumber = u32;

/// Tiers by name.
pub(super) type Tiers = BTreeMap<String, Tier>;

/// Policies and what they select.
#[derive(Default)]
pub(super) struct Policies {
    numbers: HashMap<ResourceKey, PolicyNumber>,
    slots: Vec<Option<ActivePolicy>>,
    free: Vec<PolicyNumber>,
    pub(super) order: Order,
    /// By the labels that their selectors read.
    reading: SelectorIndex,
    /// Those that select an endpoint without labels.
    unlabelled: BTreeSet<PolicyNumber>,
    /// Those without a place in the order.
    added: Vec<PolicyNumber>,
    /// Those that are no more, and keep their place until [`Policies::forget_gone`].
    gone: Vec<PolicyNumber>,
}

/// One policy.
pub(super) struct ActivePolicy {
    resource: Arc<Resource>,
    selector: Selector,
    /// The same as long as its number is.
    pub(super) lists: ListSet,
    /// Local endpoints that it selects, in order.
    pub(super) selects: Vec<LocalNumber>,
    /// Resolved while it selects a local endpoint, with what they were resolved from.
    pub(super) rules: Option<(Arc<Resource>, Resolved<Governed>)>,
    /// Whether the sets of `rules` are counted as used.
    pub(super) is_counted: bool,
    is_gone: bool,
}

impl ActivePolicy {
    pub(super) fn policy(&self) -> &Policy {
        as_policy(&self.resource)
    }

    /// The sets of its rules.
    pub(super) fn sets(&self) -> &[Arc<Definition>] {
        self.rules.as_ref().map_or(&[], |(_, rules)| &rules.sets)
    }

    pub(super) fn selects(&self, local: LocalNumber) -> bool {
        !self.is_gone && self.selects.binary_search(&local).is_ok()
    }

    /// Resolves its rules if they are needed and not those of the present resource, and forgets those that are not needed.
    pub(super) fn resolve(&mut self, resolver: &mut Resolver, uses: &mut Uses) {
        let is_needed = !self.is_gone && !self.selects.is_empty();
        let is_present = |source| Arc::ptr_eq(source, &self.resource) && !resolver.rereads_http;
        if is_needed && self.rules.as_ref().is_some_and(|(source, _)| is_present(source)) {
            return;
        }
        let before = self.rules.take();
        if is_needed {
            let known = before.as_ref().map(|(source, rules)| (as_policy(source), rules));
            self.rules = Some((self.resource.clone(), resolver.policy(self.policy(), known)));
        }
        if self.is_counted {
            uses.swap(before.as_ref().map_or(&[], |(_, rules)| &rules.sets), self.sets());
            self.is_counted = self.rules.is_some();
        }
    }

    /// Its rules for a direction that it governs.
    pub(super) fn rules(&self, direction: Direction) -> Option<&Arc<PolicyRules>> {
        let (_, rules) = self.rules.as_ref()?;
        match direction {
            Direction::Ingress => rules.ingress.as_ref(),
            Direction::Egress => rules.egress.as_ref(),
        }
    }

    /// Takes a selection that may have changed; tells whether it did.
    fn select(&mut self, local: LocalNumber, now: bool) -> bool {
        match (self.selects.binary_search(&local), now) {
            (Ok(at), false) => {
                self.selects.remove(at);
                true
            }
            (Err(at), true) => {
                self.selects.insert(at, local);
                true
            }
            _ => false,
        }
    }
}

impl Policies {
    /// Takes a policy, or that it is gone. `known` are the local endpoints whose selections are up to date, with their
    /// labels.
    pub(super) fn set<'a>(
        &mut self,
        key: ResourceKey,
        resource: Option<Arc<Resource>>,
        tiers: &Tiers,
        known: impl Iterator<Item = (LocalNumber, &'a Labels)>,
        changes: &mut Changes,
    ) {
        let active = resource.and_then(|resource| match &*resource {
            Resource::Policy(policy) if !policy.is_staged_inactive => Some((select::effective(policy)?, resource)),
            _ => None,
        });
        match (self.numbers.get(&key).copied(), active) {
            (None, None) => {}
            (None, Some((selector, resource))) => {
                let number = self.add(key, selector, resource);
                self.select_among(number, known);
                changes.add(Change::of(number), &self.get(number).selects);
            }
            (Some(old), None) => {
                self.numbers.remove(&key);
                self.retire(old);
                changes.add(Change::of(old), &self.get(old).selects);
            }
            (Some(old), Some((selector, resource))) => {
                let new = self.replace(key, old, resource, tiers);
                let change = Change { old, new };
                changes.add(change, &self.get(new).selects);
                if self.get(new).selector != selector {
                    self.unindex(new);
                    self.slot(new).selector = selector;
                    self.index(new);
                    self.select_among(new, known);
                    changes.add(change, &self.get(new).selects);
                }
            }
        }
    }

    /// Takes another form of a policy with the former selector; gives its number, which is the former one where the policy
    /// stays where it is in the same lists.
    fn replace(&mut self, key: ResourceKey, old: PolicyNumber, resource: Arc<Resource>, tiers: &Tiers) -> PolicyNumber {
        let before = std::mem::replace(&mut self.slot(old).resource, resource);
        if is_in_same_lists(as_policy(&before), self.get(old).policy()) && self.is_in_place(old, tiers) {
            return old;
        }
        let slot = self.slot(old);
        let resource = std::mem::replace(&mut slot.resource, before);
        let (rules, selects, selector) = (slot.rules.take(), slot.selects.clone(), slot.selector.clone());
        let is_counted = std::mem::take(&mut slot.is_counted);
        self.retire(old);
        let new = self.add(key, selector, resource);
        let slot = self.slot(new);
        (slot.rules, slot.selects, slot.is_counted) = (rules, selects, is_counted);
        new
    }

    fn retire(&mut self, number: PolicyNumber) {
        self.unindex(number);
        self.slot(number).is_gone = true;
        self.gone.push(number);
    }

    fn add(&mut self, key: ResourceKey, selector: Selector, resource: Arc<Resource>) -> PolicyNumber {
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            PolicyNumber::try_from(self.slots.len() - 1).expect("memory ends before numbers do")
        });
        self.numbers.insert(key, number);
        self.slots[number as usize] = Some(ActivePolicy {
            lists: ListSet::of(as_policy(&resource)),
            resource,
            selector,
            selects: Vec::new(),
            rules: None,
            is_counted: false,
            is_gone: false,
        });
        self.index(number);
        self.added.push(number);
        number
    }

    fn index(&mut self, number: PolicyNumber) {
        let selector = &self.get(number).selector;
        let (reads, takes_unlabelled) = (selector.reads(), select::selects(selector, &Labels::new()));
        self.reading.insert(number, Some(&reads));
        if takes_unlabelled {
            self.unlabelled.insert(number);
        }
    }

    fn unindex(&mut self, number: PolicyNumber) {
        let reads = self.get(number).selector.reads();
        self.reading.remove(number, Some(&reads));
        self.unlabelled.remove(&number);
    }

    fn select_among<'a>(&mut self, number: PolicyNumber, known: impl Iterator<Item = (LocalNumber, &'a Labels)>) {
        let slot = self.slot(number);
        slot.selects = known.filter(|(_, labels)| select::selects(&slot.selector, labels)).map(|(of, _)| of).collect();
        slot.selects.sort_unstable();
    }

    /// An endpoint has other labels, or had none because it was not known.
    pub(super) fn select(&mut self, local: LocalNumber, before: Option<&Labels>, now: &Labels, changes: &mut Changes) {
        let mut changed = Vec::new();
        if before.is_none() {
            changed.extend(&self.unlabelled);
            changed.iter().for_each(|&number| _ = self.slot(number).select(local, true));
        }
        let none = Labels::new();
        let before = before.unwrap_or(&none);
        let pairs = differing(before, now).chain(differing(now, before));
        for number in self.reading.candidates(pairs) {
            let slot = self.slot(number);
            if slot.select(local, select::selects(&slot.selector, now)) {
                changed.push(number);
            }
        }
        changed.into_iter().for_each(|number| changes.add(Change::of(number), &[local]));
    }

    /// A local endpoint is gone.
    pub(super) fn deselect(&mut self, local: LocalNumber, changes: &mut Changes) {
        for (number, slot) in (0..).zip(&mut self.slots) {
            if slot.as_mut().is_some_and(|slot| slot.select(local, false)) {
                changes.add(Change::of(number), &[local]);
            }
        }
    }

    /// Gives a place to policies that have none; to all of them where tiers changed.
    pub(super) fn sort(&mut self, tiers: &Tiers, sorts_all: bool) {
        let added = std::mem::take(&mut self.added);
        let mut order = std::mem::take(&mut self.order);
        let compare = |one, other| self.compare(one, other, tiers);
        order.insert(&added, compare);
        if sorts_all {
            order.sort(compare);
        }
        self.order = order;
    }

    fn is_in_place(&self, number: PolicyNumber, tiers: &Tiers) -> bool {
        self.order.is_in_place(number, |a, b| self.compare(a, b, tiers))
    }

    fn compare(&self, one: PolicyNumber, other: PolicyNumber, tiers: &Tiers) -> Ordering {
        by_evaluation(self.get(one).policy(), self.get(other).policy(), |name| tiers.get(name)).then(one.cmp(&other))
    }

    /// Frees the numbers of those that are no more.
    pub(super) fn forget_gone(&mut self) {
        for number in std::mem::take(&mut self.gone) {
            self.order.remove(number);
            self.slots[number as usize] = None;
            self.free.push(number);
        }
    }

    /// All of them, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = (PolicyNumber, &ActivePolicy)> {
        (0..).zip(&self.slots).filter_map(|(number, slot)| Some((number, slot.as_ref()?)))
    }

    pub(super) fn get(&self, number: PolicyNumber) -> &ActivePolicy {
        self.slots[number as usize].as_ref().expect("numbers are those of policies")
    }

    pub(super) fn slot(&mut self, number: PolicyNumber) -> &mut ActivePolicy {
        self.slots[number as usize].as_mut().expect("numbers are those of policies")
    }
}

/// Labels that the other has not, or with another value.
fn differing<'a>(one: &'a Labels, other: &'a Labels) -> impl Iterator<Item = (&'a str, &'a str)> {
    let pairs = one.iter().filter(|(label, value)| other.get(label) != Some(*value));
    pairs.map(|(label, value)| (label.as_str(), value.as_str()))
}

/// Whether a policy stands in the same lists as before, if its place in them is the same.
fn is_in_same_lists(before: &Policy, now: &Policy) -> bool {
    ListSet::of(before) == ListSet::of(now) && before.tier == now.tier
}

fn as_policy(resource: &Resource) -> &Policy {
    match resource {
        Resource::Policy(policy) => policy,
        _ => unreachable!("only policies are kept here"),
    }
}
