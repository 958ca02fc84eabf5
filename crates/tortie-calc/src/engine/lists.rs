//! The policies of one local endpoint, per class and direction, in evaluated order. A change moves what it changes.

use std::sync::Arc;

use tortie_api::model::{Policy, PolicyClass};

use super::changes::Change;
use super::locals::LocalNumber;
use super::policies::{Policies, PolicyNumber, Tiers};
use crate::policy::{ClassPolicy, Direction, EndpointPolicy, PolicyRules, TierEnd, TierPolicies};
use crate::select;

/// The lists, in the order of [`EndpointPolicy::classes`].
pub(super) const LISTS: [(PolicyClass, Direction); 7] = [
    (PolicyClass::Untracked, Direction::Ingress),
    (PolicyClass::PreDnat, Direction::Ingress),
    (PolicyClass::Normal, Direction::Ingress),
    (PolicyClass::NormalAndForward, Direction::Ingress),
    (PolicyClass::NormalAndForward, Direction::Egress),
    (PolicyClass::Untracked, Direction::Egress),
    (PolicyClass::Normal, Direction::Egress),
];

/// With more changes than this a list is put together anew.
const FEW: usize = 4;

/// What stands in each of [`LISTS`].
#[derive(Debug, Default)]
pub(super) struct Lists([Vec<PolicyNumber>; LISTS.len()]);

/// What lists are made of.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) policies: &'a Policies,
    pub(super) tiers: &'a Tiers,
}

/// One list of a local endpoint.
#[derive(Clone, Copy)]
struct Place<'a> {
    world: World<'a>,
    local: LocalNumber,
    list: usize,
}

impl Lists {
    /// Class, direction and policies of each list.
    pub(super) fn iter(&self) -> impl Iterator<Item = (PolicyClass, Direction, &[PolicyNumber])> {
        LISTS.into_iter().zip(&self.0).map(|((class, direction), numbers)| (class, direction, &numbers[..]))
    }

    /// Brings the lists up to date, and `built`, what is made of them, too; tells whether that changed. With `sorts_all`
    /// whatever is there may belong in another place, or `built` is still empty.
    pub(super) fn change(
        &mut self,
        local: LocalNumber,
        changes: &[Change],
        sorts_all: bool,
        world: World<'_>,
        mut built: Option<&mut Arc<EndpointPolicy>>,
    ) -> bool {
        let many = (sorts_all || changes.len() > FEW).then(|| Many::of(changes, local, world));
        let mut has_changed = false;
        for (list, numbers) in self.0.iter_mut().enumerate() {
            let place = Place { world, local, list };
            let Some(many) = &many else {
                for change in changes {
                    has_changed |= place.change_one(numbers, *change, built.as_deref_mut());
                }
                continue;
            };
            if many.take_out_and_in(list, numbers) || sorts_all {
                numbers.sort_unstable_by_key(|&number| world.policies.order.rank(number));
                has_changed |= built.as_deref_mut().is_some_and(|built| place.build(numbers, built));
            }
        }
        has_changed
    }
}

/// Policies that changed, and what they are now.
struct Many {
    /// In order.
    changed: Vec<PolicyNumber>,
    /// Those that select the endpoint, with their lists.
    selecting: Vec<(PolicyNumber, ListSet)>,
}

impl Many {
    fn of(changes: &[Change], local: LocalNumber, world: World<'_>) -> Many {
        let mut changed: Vec<PolicyNumber> = changes.iter().flat_map(|change| [change.old, change.new]).collect();
        changed.sort_unstable();
        changed.dedup();
        let now = changed.iter().map(|&number| (number, world.policies.get(number)));
        let selecting = now.filter(|(_, active)| active.selects(local)).map(|(number, active)| (number, active.lists));
        Many { selecting: selecting.collect(), changed }
    }

    /// Takes away what changed and adds what is in the list now, at its end; tells whether there was any.
    fn take_out_and_in(&self, list: usize, numbers: &mut Vec<PolicyNumber>) -> bool {
        let before = numbers.len();
        numbers.retain(|number| self.changed.binary_search(number).is_err());
        let kept = numbers.len();
        numbers.extend(self.selecting.iter().filter(|(_, lists)| lists.has(list)).map(|(number, _)| number));
        before != kept || numbers.len() != kept
    }
}

/// In which of [`LISTS`] a policy stands where it selects an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListSet(u8);

impl ListSet {
    pub(super) fn of(policy: &Policy) -> ListSet {
        let is_in = |(class, direction)| select::is_of_class(policy, class) && select::governs(policy, direction);
        ListSet((0..).zip(LISTS).filter(|(_, list)| is_in(*list)).fold(0, |set, (at, _)| set | 1 << at))
    }

    fn has(self, list: usize) -> bool {
        self.0 & 1 << list != 0
    }
}

impl<'a> Place<'a> {
    fn policy(&self, number: PolicyNumber) -> &'a Policy {
        self.world.policies.get(number).policy()
    }

    /// Whether a policy stands in this list.
    fn holds(&self, number: PolicyNumber) -> bool {
        let active = self.world.policies.get(number);
        active.lists.has(self.list) && active.selects(self.local)
    }

    fn rules(&self, number: PolicyNumber) -> &'a Arc<PolicyRules> {
        let rules = self.world.policies.get(number).rules(LISTS[self.list].1);
        rules.expect("rules of policies in lists are resolved")
    }

    fn build(&self, numbers: &[PolicyNumber], built: &mut Arc<EndpointPolicy>) -> bool {
        let mut now = ClassPolicy::default();
        for same in numbers.chunk_by(|&one, &other| self.policy(one).tier == self.policy(other).tier) {
            let policies = same.iter().map(|&number| self.rules(number).clone()).collect();
            now.tiers.push(self.tier(&self.policy(same[0]).tier, policies));
        }
        let has_changed = *built.classes()[self.list].2 != now;
        if has_changed {
            *self.class_mut(built) = now;
        }
        has_changed
    }

    fn tier(&self, name: &str, policies: Vec<Arc<PolicyRules>>) -> TierPolicies {
        let end = self.end(name, &policies);
        TierPolicies { name: name.to_owned(), end, policies }
    }

    fn end(&self, tier: &str, policies: &[Arc<PolicyRules>]) -> TierEnd {
        select::end(policies, self.world.tiers.get(tier), LISTS[self.list].0)
    }

    fn class_mut<'b>(&self, built: &'b mut Arc<EndpointPolicy>) -> &'b mut ClassPolicy {
        let (class, direction) = LISTS[self.list];
        Arc::make_mut(built).class_mut(class, direction)
    }

    fn find(&self, numbers: &[PolicyNumber], number: PolicyNumber) -> Option<usize> {
        let order = &self.world.policies.order;
        numbers.binary_search_by_key(&order.rank(number), |&other| order.rank(other)).ok()
    }

    fn change_one(
        &self,
        numbers: &mut Vec<PolicyNumber>,
        change: Change,
        built: Option<&mut Arc<EndpointPolicy>>,
    ) -> bool {
        // What was changed before in the same flush is there already.
        let from = self.find(numbers, change.old).or_else(|| self.find(numbers, change.new));
        let is_held = self.holds(change.new);
        let to = match from {
            Some(from) if is_held && numbers[from] == change.new => Some(from),
            _ => {
                from.map(|from| numbers.remove(from));
                let order = &self.world.policies.order;
                let to = numbers.partition_point(|&other| order.rank(other) < order.rank(change.new));
                is_held.then(|| numbers.insert(to, change.new));
                is_held.then_some(to)
            }
        };
        let Some(built) = built else { return false };
        let now = to.map(|to| (to, change.new));
        if let (Some(from), Some((to, number))) = (from, now)
            && from == to
        {
            let (tier, at) = place_of(built.classes()[self.list].2, from);
            let there = &built.classes()[self.list].2.tiers[tier];
            if there.name == self.policy(number).tier {
                let has_changed = !Arc::ptr_eq(&there.policies[at], self.rules(number));
                if has_changed {
                    self.class_mut(built).tiers[tier].policies[at] = self.rules(number).clone();
                }
                return has_changed;
            }
        }
        if let Some(from) = from {
            self.take_out(self.class_mut(built), from);
        }
        if let Some((to, number)) = now {
            self.put_in(self.class_mut(built), to, number);
        }
        from.is_some() || now.is_some()
    }

    fn take_out(&self, class: &mut ClassPolicy, from: usize) {
        let (tier, at) = place_of(class, from);
        let there = &mut class.tiers[tier];
        there.policies.remove(at);
        if there.policies.is_empty() {
            class.tiers.remove(tier);
        } else {
            there.end = self.end(&there.name, &there.policies);
        }
    }

    fn put_in(&self, class: &mut ClassPolicy, to: usize, number: PolicyNumber) {
        let (name, rules) = (&self.policy(number).tier, self.rules(number).clone());
        let mut first = 0;
        for tier in &mut class.tiers {
            let after = first + tier.policies.len();
            if tier.name == *name && (first..=after).contains(&to) {
                tier.policies.insert(to - first, rules);
                tier.end = self.end(name, &tier.policies);
                return;
            }
            first = after;
        }
        let tier = if to == 0 { 0 } else { place_of(class, to - 1).0 + 1 };
        class.tiers.insert(tier, self.tier(name, vec![rules]));
    }
}

/// The tier of the policy at a place in the whole list, and its place in the tier.
fn place_of(class: &ClassPolicy, mut at: usize) -> (usize, usize) {
    for (tier, policies) in class.tiers.iter().map(|tier| &tier.policies).enumerate() {
        if at < policies.len() {
            return (tier, at);
        }
        at -= policies.len();
    }
    unreachable!("lists hold what stands in their tiers")
}
