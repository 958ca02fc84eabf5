//! Which policies apply to an endpoint, and in what order (enforcement.md section 2).

use std::sync::Arc;

use tortie_api::model::{Policy, PolicyClass, PolicyKind, Tier, TierAction};
use tortie_selector::scope;
use tortie_selector::{Labels, Selector};

use crate::policy::{Direction, PolicyRules, TierEnd};

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

/// What the end of a tier with these policies means (E-221..E-224).
pub(crate) fn end(policies: &[Arc<PolicyRules>], tier: Option<&Tier>, class: PolicyClass) -> TierEnd {
    let action = tier.map_or(TierAction::Deny, |tier| tier.default_action);
    let is_judging = matches!(class, PolicyClass::Normal | PolicyClass::NormalAndForward);
    if is_judging && action != TierAction::Pass && policies.iter().any(|rules| !rules.is_staged) {
        return TierEnd::Deny;
    }
    TierEnd::Pass
}
