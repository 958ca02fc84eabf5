//! Rules of policies and profiles with selectors and port names turned into sets (enforcement.md section 3).

use std::sync::Arc;

use tortie_api::model::{Entity, Policy, PolicyKind, Port, Profile, Protocol, Rule};
use tortie_selector::Selector;
use tortie_selector::scope::{self, RuleScope};

use crate::policy::{NeverMatches, Peer, PolicyId, PolicyRules, ProfileRules, ResolvedRule, SetId};
use crate::sets::Definition;

/// The rules of one policy or profile, both directions, and the sets they use.
#[derive(Debug)]
pub(crate) struct Resolved<R> {
    pub(crate) ingress: Arc<R>,
    pub(crate) egress: Arc<R>,
    /// Sets of the directions that count.
    pub(crate) sets: Vec<Definition>,
}

pub(crate) fn policy(policy: &Policy, ignores_http: bool) -> Resolved<PolicyRules> {
    let id = PolicyId {
        kind: policy.kind.kind(),
        namespace: policy.meta.namespace.clone(),
        name: policy.meta.name.clone(),
        tier: policy.tier.clone(),
    };
    let namespace = match policy.kind {
        PolicyKind::Namespaced | PolicyKind::StagedNamespaced => policy.meta.namespace.as_deref(),
        PolicyKind::Global | PolicyKind::StagedGlobal => None,
    };
    let mut sets = Vec::new();
    let mut list = |rules: &[Arc<Rule>], governs: bool| {
        // Rules of a direction that the policy does not govern are dead (E-210).
        let rules = if governs { rules } else { &[] };
        let rules = rules.iter().map(|r| Arc::new(rule(r, namespace, ignores_http, &mut sets))).collect();
        Arc::new(PolicyRules { id: id.clone(), is_staged: policy.kind.is_staged(), rules })
    };
    let ingress = list(&policy.ingress, policy.governs_ingress);
    let egress = list(&policy.egress, policy.governs_egress);
    Resolved { ingress, egress, sets }
}

pub(crate) fn profile(profile: &Profile, ignores_http: bool) -> Resolved<ProfileRules> {
    let mut sets = Vec::new();
    let mut list = |rules: &[Arc<Rule>]| {
        let rules = rules.iter().map(|r| Arc::new(rule(r, None, ignores_http, &mut sets))).collect();
        Arc::new(ProfileRules { name: profile.meta.name.clone(), rules: Some(rules) })
    };
    let ingress = list(&profile.ingress);
    let egress = list(&profile.egress);
    Resolved { ingress, egress, sets }
}

fn rule(rule: &Rule, namespace: Option<&str>, ignores_http: bool, sets: &mut Vec<Definition>) -> ResolvedRule {
    let never = if rule.has_http && !ignores_http {
        Some(NeverMatches::Http)
    } else if rule.source.services.is_some() || rule.destination.services.is_some() {
        Some(NeverMatches::Services)
    } else {
        None
    };
    // A rule that matches nothing needs no sets.
    let mut unused = Vec::new();
    let sets = if never.is_some() { &mut unused } else { sets };
    ResolvedRule {
        action: rule.action,
        ip_version: rule.ip_version,
        protocol: rule.protocol,
        not_protocol: rule.not_protocol,
        icmp: rule.icmp,
        not_icmp: rule.not_icmp,
        source: peer(&rule.source, rule.protocol, namespace, sets),
        destination: peer(&rule.destination, rule.protocol, namespace, sets),
        never,
        annotations: rule.annotations.clone(),
    }
}

fn peer(entity: &Entity, protocol: Option<Protocol>, namespace: Option<&str>, sets: &mut Vec<Definition>) -> Peer {
    let accounts = entity.service_accounts.as_ref();
    let positive = scope::rule(&RuleScope {
        policy_namespace: namespace,
        selector: entity.selector.as_ref(),
        has_not_selector: entity.not_selector.is_some(),
        namespace_selector: entity.namespace_selector.as_ref(),
        service_account_names: accounts.map(|a| a.names.as_slice()).unwrap_or_default(),
        service_account_selector: accounts.and_then(|a| a.selector.as_ref()),
    });
    // Both together: known items that satisfy one and not the other (E-345).
    let matching = match (&positive, &entity.not_selector) {
        (Some(positive), Some(negative)) => Some(positive.and(&negative.not())),
        (Some(positive), None) => Some(positive.clone()),
        (None, _) => None,
    };
    let not_set = match (&positive, &entity.not_selector) {
        (None, Some(negative)) => Some(selector_set(negative, sets)),
        _ => None,
    };
    let set = matching.as_ref().map(|selector| selector_set(selector, sets));

    let mut peer =
        Peer { nets: entity.nets.clone(), not_nets: entity.not_nets.clone(), set, not_set, ..Peer::default() };
    for port in &entity.ports {
        match port {
            Port::Range(range) => peer.ports.push(*range),
            // E-329: with a positive selector only its endpoints count.
            Port::Named(name) => peer.named_ports.push(port_set(name, protocol, matching.as_ref(), sets)),
        }
    }
    for port in &entity.not_ports {
        match port {
            Port::Range(range) => peer.not_ports.push(*range),
            // E-332: the positive selector alone.
            Port::Named(name) => peer.not_named_ports.push(port_set(name, protocol, positive.as_ref(), sets)),
        }
    }
    peer
}

fn selector_set(selector: &Selector, sets: &mut Vec<Definition>) -> SetId {
    let id = SetId::Selector(selector.canonical().into());
    sets.push(Definition::new(id.clone(), Some(selector.clone())));
    id
}

fn port_set(name: &str, protocol: Option<Protocol>, selector: Option<&Selector>, sets: &mut Vec<Definition>) -> SetId {
    let text = selector.map(|selector| selector.canonical().into());
    let id = SetId::NamedPort { name: name.into(), protocol, selector: text };
    sets.push(Definition::new(id.clone(), selector.cloned()));
    id
}
