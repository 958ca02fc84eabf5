//! What is calculated and what the kernel counted, as status shows it: pure functions, one file for each part.

mod counters;
mod endpoints;
mod interfaces;
mod reported;
mod sets;
mod warnings;

pub(crate) use counters::{counter_list, invalid_drops, staged};
pub(crate) use endpoints::{endpoints, states};
pub(crate) use interfaces::interfaces;
pub(crate) use reported::interfaces as reported_interfaces;
pub(crate) use sets::sets;
pub(crate) use warnings::{mark_collisions, not_enforced, one_family, too_large, unpoliced_ipv6};

use tortie_api::ResourceKey;
use tortie_api::model::PolicyClass;
use tortie_calc::policy::PolicyId;

/// `Kind(name)`, as every list of status names an object.
pub(crate) fn key_of(id: &PolicyId) -> ResourceKey {
    ResourceKey { kind: id.kind, namespace: id.namespace.clone(), name: id.name.clone() }
}

/// The name of a class in status, metrics and documents.
pub(crate) fn class_name(class: PolicyClass) -> &'static str {
    match class {
        PolicyClass::Normal => "normal",
        PolicyClass::NormalAndForward => "forward",
        PolicyClass::PreDnat => "preDNAT",
        PolicyClass::Untracked => "untracked",
    }
}

/// An endpoint without any policy.
#[cfg(test)]
fn bare(name: &str) -> tortie_calc::policy::EndpointPolicy {
    tortie_calc::policy::EndpointPolicy { name: name.to_owned(), ..Default::default() }
}
