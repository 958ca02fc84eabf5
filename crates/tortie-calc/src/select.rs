//! Which policies apply to an endpoint, and in what order (enforcement.md section 2).

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::{Policy, PolicyClass, PolicyKind, Tier, TierAction};
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

/// `None` sorts after every number.
fn by_order(a: Option<f64>, b: Option<f64>) -> Ordering {
    let number = |order: Option<f64>| order.unwrap_or(f64::INFINITY);
    // Orders are never NaN. Infinity itself cannot be written in JSON, so nothing ties with `None` by accident.
    number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal)
}

/// Sorts policies as they are evaluated: tiers (E-215, E-218), then order and name within a tier (E-216).
pub(crate) fn sort(policies: &mut [&Policy], tiers: &BTreeMap<String, &Tier>) {
    let tier = |policy: &Policy| tiers.get(&policy.tier).copied();
    policies.sort_by(|a, b| {
        let (tier_a, tier_b) = (tier(a), tier(b));
        tier_a
            .is_none()
            .cmp(&tier_b.is_none())
            .then_with(|| by_order(tier_a.and_then(|t| t.order), tier_b.and_then(|t| t.order)))
            .then_with(|| a.tier.cmp(&b.tier))
            .then_with(|| by_order(a.order, b.order))
            .then_with(|| tie_break(a).cmp(&tie_break(b)))
    });
}

/// `name/namespace/kind` (E-216).
fn tie_break(policy: &Policy) -> String {
    let namespace = policy.meta.namespace.as_deref().unwrap_or_default();
    format!("{}/{namespace}/{}", policy.meta.name, policy.kind.kind())
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
