//! Policies in their typed form.

use std::sync::Arc;

use tortie_api::model::{Meta, Policy, PolicyClass, PolicyKind, Rule};
use tortie_selector::Selector;

/// A global policy of the default tier that governs ingress.
pub(crate) fn policy(name: String, selector: Selector, ingress: Vec<Arc<Rule>>) -> Policy {
    Policy {
        meta: Meta { name, ..Meta::default() },
        kind: PolicyKind::Global,
        tier: "default".to_owned(),
        order: None,
        selector,
        namespace_selector: None,
        service_account_selector: None,
        governs_ingress: true,
        governs_egress: false,
        ingress,
        egress: Vec::new(),
        class: PolicyClass::Normal,
        is_staged_inactive: false,
    }
}
