//! Rules of policies and profiles with selectors and port names turned into sets (enforcement.md section 3).

mod reuse;

use std::collections::HashMap;
use std::sync::Arc;

use tortie_api::model::{Entity, Policy, PolicyKind, Port, Profile, Protocol, Rule};
use tortie_selector::Selector;
use tortie_selector::scope::{self, RuleScope};

use crate::policy::{NeverMatches, Peer, PolicyId, PolicyRules, ProfileRules, ResolvedRule, SetId};
use crate::sets::Definition;
use reuse::{Before, kept};

/// The rules of one policy or profile, both directions, and the sets they use.
#[derive(Debug)]
pub(crate) struct Resolved<R> {
    pub(crate) ingress: R,
    pub(crate) egress: R,
    /// Sets of the rules of both directions, in order; a rule that matches nothing has none.
    pub(crate) sets: Vec<Arc<Definition>>,
}

/// The rules of a direction that a policy governs: those of another one are dead (E-210).
pub(crate) type Governed = Option<Arc<PolicyRules>>;

/// Turns rules into resolved ones, and knows the sets of selectors that it met: rules that ask for the same share one text.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    selectors: HashMap<Selector, Arc<Definition>>,
    /// How many selectors may be known before those without a user are looked for.
    selectors_max: usize,
    /// Whether `http` of a rule is no criterion.
    pub(crate) ignores_http: bool,
    /// Whether it was otherwise when what is known was resolved.
    pub(crate) rereads_http: bool,
}

/// Fewer selectors are not worth a look.
const SELECTORS_MIN: usize = 1024;

impl Resolver {
    pub(crate) fn new(ignores_http: bool) -> Resolver {
        Resolver { ignores_http, ..Resolver::default() }
    }

    /// What did not change since `before` was resolved stays itself: the list of a direction, and each rule in it.
    pub(crate) fn policy(
        &mut self,
        policy: &Policy,
        before: Option<(&Policy, &Resolved<Governed>)>,
    ) -> Resolved<Governed> {
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
        let [before_in, before_out] = match before {
            Some((source, resolved)) => reuse::before(source, resolved),
            None => Default::default(),
        };
        let mut sets = Vec::new();
        let mut list = |governs, rules, before: Before<'_>, known: Option<&Governed>| -> Governed {
            let rules = if governs { self.rules(rules, namespace, before, &mut sets) } else { return None };
            let rules = PolicyRules { id: id.clone(), is_staged: policy.kind.is_staged(), rules };
            Some(kept(rules, known.and_then(Option::as_ref)))
        };
        let (known_in, known_out) = before.map(|(_, resolved)| (&resolved.ingress, &resolved.egress)).unzip();
        let ingress = list(policy.governs_ingress, &policy.ingress, before_in, known_in);
        let egress = list(policy.governs_egress, &policy.egress, before_out, known_out);
        sets.shrink_to_fit();
        Resolved { ingress, egress, sets }
    }

    pub(crate) fn profile(&mut self, profile: &Profile) -> Resolved<Arc<ProfileRules>> {
        let mut sets = Vec::new();
        let mut list = |rules: &[Arc<Rule>]| {
            let rules = self.rules(rules, None, Before::default(), &mut sets);
            Arc::new(ProfileRules { name: profile.meta.name.clone(), rules: Some(rules) })
        };
        let ingress = list(&profile.ingress);
        let egress = list(&profile.egress);
        Resolved { ingress, egress, sets }
    }

    fn rule(&mut self, rule: &Rule, namespace: Option<&str>, sets: &mut Vec<Arc<Definition>>) -> ResolvedRule {
        let never = if rule.has_http && !self.ignores_http {
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
            source: self.peer(&rule.source, rule.protocol, namespace, sets),
            destination: self.peer(&rule.destination, rule.protocol, namespace, sets),
            never,
            annotations: rule.annotations.clone(),
        }
    }

    fn peer(
        &mut self,
        entity: &Entity,
        protocol: Option<Protocol>,
        namespace: Option<&str>,
        sets: &mut Vec<Arc<Definition>>,
    ) -> Peer {
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
            (None, Some(negative)) => Some(self.selector_set(negative, sets)),
            _ => None,
        };
        let set = matching.as_ref().map(|selector| self.selector_set(selector, sets));

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

    fn selector_set(&mut self, selector: &Selector, sets: &mut Vec<Arc<Definition>>) -> SetId {
        let definition = match self.selectors.get(selector) {
            Some(known) => known.clone(),
            None => {
                self.forget_unused();
                let id = SetId::Selector(selector.canonical().into());
                let definition = Arc::new(Definition::new(id, Some(selector.clone())));
                self.selectors.insert(selector.clone(), definition.clone());
                definition
            }
        };
        let id = definition.id.clone();
        sets.push(definition);
        id
    }

    /// Looks for selectors that no rule asks for any more each time that their number has doubled.
    fn forget_unused(&mut self) {
        if self.selectors.len() >= self.selectors_max.max(SELECTORS_MIN) {
            self.selectors.retain(|_, definition| Arc::strong_count(definition) > 1);
            self.selectors_max = 2 * self.selectors.len();
        }
    }
}

fn port_set(
    name: &str,
    protocol: Option<Protocol>,
    selector: Option<&Selector>,
    sets: &mut Vec<Arc<Definition>>,
) -> SetId {
    let text = selector.map(|selector| selector.canonical().into());
    let id = SetId::NamedPort { name: name.into(), protocol, selector: text };
    sets.push(Arc::new(Definition::new(id.clone(), selector.cloned())));
    id
}
