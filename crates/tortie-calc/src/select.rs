//! Which policies apply to an endpoint, and in what order (enforcement.md section 2).

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::{Policy, PolicyClass, PolicyKind, Tier, TierAction, by_evaluation};
use tortie_selector::scope;
use tortie_selector::{Labels, Selector};

use crate::policy::{ClassPolicy, Direction, PolicyRules, TierEnd, TierPolicies};

/// The effective selector of a policy over host endpoints, or `None` for kinds that never select one (E-204, E-205).
pub(crate) fn effective(policy: &Policy) -> Option<Selector> {
    match policy.kind {
        PolicyKind::Global | PolicyKind::StagedGlobal => Some(scope::global_policy(
            &policy.selector,
            policy.namespace_selector.as_ref(),
            policy.service_account_selector.as_ref(),
        )),
        PolicyKind::Namespaced | PolicyKind::StagedNamespaced => None,
    }
}

/// Whether the effective selector takes an endpoint with these labels.
pub(crate) fn selects(selector: &Selector, labels: &impl Labels) -> bool {
    selector.matches(labels)
}

/// A policy that selects an endpoint, with its rules for one direction.
#[derive(Clone)]
pub(crate) struct Selected<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) rules: Arc<PolicyRules>,
}

/// Sorts policies as they are evaluated.
pub(crate) fn sort(policies: &mut [&Policy], tiers: &BTreeMap<String, &Tier>) {
    policies.sort_by(|a, b| by_evaluation(a, b, |name| tiers.get(name).copied()));
}

/// The classes in which a policy is evaluated (E-212).
pub(crate) fn is_of_class(policy: &Policy, class: PolicyClass) -> bool {
    match class {
        PolicyClass::Normal => matches!(policy.class, PolicyClass::Normal | PolicyClass::NormalAndForward),
        other => policy.class == other,
    }
}

pub(crate) fn governs(policy: &Policy, direction: Direction) -> bool {
    match direction {
        Direction::Ingress => policy.governs_ingress,
        Direction::Egress => policy.governs_egress,
    }
}

/// Groups sorted policies of one class and direction by tier, with what the end of each tier means (E-221..E-224).
pub(crate) fn group(selected: &[Selected<'_>], tiers: &BTreeMap<String, &Tier>, class: PolicyClass) -> ClassPolicy {
    let mut grouped: Vec<TierPolicies> = Vec::new();
    for Selected { policy, rules } in selected {
        if grouped.last().is_none_or(|tier| tier.name != policy.tier) {
            grouped.push(TierPolicies { name: policy.tier.clone(), end: TierEnd::Pass, policies: Vec::new() });
        }
        let tier = grouped.last_mut().expect("one was pushed");
        let action = tiers.get(&policy.tier).map_or(TierAction::Deny, |tier| tier.default_action);
        let is_judging = matches!(class, PolicyClass::Normal | PolicyClass::NormalAndForward);
        if is_judging && !rules.is_staged && action != TierAction::Pass {
            tier.end = TierEnd::Deny;
        }
        tier.policies.push(rules.clone());
    }
    ClassPolicy { tiers: grouped }
}
