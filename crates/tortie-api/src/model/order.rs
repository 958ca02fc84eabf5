//! The order in which tiers and policies are evaluated (enforcement.md section 2.2).

use std::cmp::Ordering;

use super::{Policy, Tier};

/// Compares policies by their place in evaluation: tiers by order and name (E-215), policies of a missing tier behind all
/// others (E-218), then order, and `name/namespace/kind`, within a tier (E-216).
///
/// `tier` gives a tier by its name, if there is one.
pub fn by_evaluation<'a>(a: &Policy, b: &Policy, tier: impl Fn(&str) -> Option<&'a Tier>) -> Ordering {
    let (tier_a, tier_b) = (tier(&a.tier), tier(&b.tier));
    tier_a
        .is_none()
        .cmp(&tier_b.is_none())
        .then_with(|| by_order(tier_a.and_then(|t| t.order), tier_b.and_then(|t| t.order)))
        .then_with(|| a.tier.cmp(&b.tier))
        .then_with(|| by_order(a.order, b.order))
        .then_with(|| tie_break(a).cmp(tie_break(b)))
}

/// `None` sorts after every number.
fn by_order(a: Option<f64>, b: Option<f64>) -> Ordering {
    let number = |order: Option<f64>| order.unwrap_or(f64::INFINITY);
    // Orders are never NaN. Infinity itself cannot be written in JSON, so nothing ties with `None` by accident.
    number(a).partial_cmp(&number(b)).unwrap_or(Ordering::Equal)
}

/// The bytes of `name/namespace/kind` (E-216).
fn tie_break(policy: &Policy) -> impl Iterator<Item = u8> {
    let namespace = policy.meta.namespace.as_deref().unwrap_or_default();
    let parts = [policy.meta.name.as_str(), "/", namespace, "/", policy.kind.kind().name()];
    parts.into_iter().flat_map(str::bytes)
}
