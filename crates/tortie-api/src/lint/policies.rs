//! Lints of policies and what they select.

use super::world::{Endpoint, World};
use super::{Lint, and_more};
use crate::model::{Action, PolicyClass, Rule};

/// T-12: untracked policies do nothing on a wildcard endpoint (E-415).
pub(super) fn ignored_untracked(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for policy in world.policies.iter().filter(|policy| policy.policy.class == PolicyClass::Untracked) {
        let wildcards: Vec<&Endpoint<'_>> = world.selected(policy).into_iter().filter(|e| e.is_wildcard()).collect();
        if let Some(first) = wildcards.first() {
            let names = and_more(&first.key, wildcards.len());
            let message = format!("it is untracked, and ignored on wildcard endpoint {names}: it denies nothing there");
            let hint = "make an endpoint for each interface, or use `preDNAT` in place of `doNotTrack`";
            let lint = Lint::new("T-12", policy.key.clone(), message, hint).at("spec.doNotTrack");
            lints.push(lint.refused_by_strict());
        }
    }
    lints
}

/// T-7: whoever denies everything to the host may think of what the host forwards as well.
///
/// Only a policy that denies all ingress says so; the usual list of what is allowed does not, and gets no lint.
pub(super) fn open_forwarding(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for policy in world.policies.iter().filter(|policy| policy.policy.class == PolicyClass::Normal) {
        let is_bare = |rule: &Rule| *rule == Rule::any(rule.action);
        let rules = &policy.policy.ingress;
        let allows = rules.iter().any(|rule| matches!(rule.action, Action::Allow | Action::Pass));
        let denies_all = rules.is_empty() || rules.iter().any(|rule| rule.action == Action::Deny && is_bare(rule));
        if !policy.policy.governs_ingress || allows || !denies_all {
            continue;
        }
        let is_open = |endpoint: &Endpoint<'_>| {
            let is_forward = |other: &&super::world::GlobalPolicy<'_>| {
                other.policy.class == PolicyClass::NormalAndForward && endpoint.is_meant_by(&other.selector)
            };
            !world.policies.iter().any(|other| is_forward(&other))
        };
        let open: Vec<&Endpoint<'_>> = world.selected(policy).into_iter().filter(|e| is_open(e)).collect();
        if let Some(first) = open.first() {
            let names = and_more(&first.key, open.len());
            let message = format!("it denies local traffic only: what goes through {names} to others stays open");
            let hint = "add `applyOnForward: true` if containers and node ports are meant as well";
            lints.push(Lint::new("T-7", policy.key.clone(), message, hint).at("spec.applyOnForward"));
        }
    }
    lints
}

/// T-8: on a wildcard endpoint forwarded traffic is that of workloads too (E-456).
pub(super) fn wildcard_forwarding(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for policy in world.policies.iter().filter(|policy| policy.policy.class == PolicyClass::NormalAndForward) {
        let wildcards: Vec<&Endpoint<'_>> = world.selected(policy).into_iter().filter(|e| e.is_wildcard()).collect();
        if let Some(first) = wildcards.first() {
            let names = and_more(&first.key, wildcards.len());
            let message = format!("on wildcard endpoint {names} it judges pod-to-pod and tunnel traffic, both ways");
            let hint = "allow what workloads need, ingress and egress, or select named endpoints only";
            lints.push(Lint::new("T-8", policy.key.clone(), message, hint).at("spec.applyOnForward"));
        }
    }
    lints
}

/// T-19: hosts among what a policy selects, though it speaks of workloads (E-204).
pub(super) fn hosts_by_accident(world: &World<'_>) -> Vec<Lint> {
    let mut lints = Vec::new();
    for policy in &world.policies {
        let hosts = world.selected(policy);
        let Some(first) = hosts.first() else { continue };
        let names = and_more(&first.key, hosts.len());
        let scoped = [
            ("namespaceSelector", &policy.policy.namespace_selector),
            ("serviceAccountSelector", &policy.policy.service_account_selector),
        ];
        if let Some((field, _)) = scoped.into_iter().find(|(_, selector)| selector.is_some()) {
            let message = format!("a negative `{field}` is true for hosts as well: it selects {names}");
            let hint = "add `has(projectcalico.org/namespace)` to `spec.selector` if only workloads are meant";
            lints.push(Lint::new("T-19", policy.key.clone(), message, hint).at(format!("spec.{field}")));
            continue;
        }
        let pods = world.workloads.iter().filter(|(_, labels)| policy.selector.matches(labels)).count();
        if pods > 0 {
            let message = format!("it selects hosts and workloads alike: {names}, and {pods} workload endpoints");
            let hint = "hosts and pods share one name space of labels: give the hosts a label of their own";
            lints.push(Lint::new("T-19", policy.key.clone(), message, hint).at("spec.selector"));
        }
    }
    lints
}
