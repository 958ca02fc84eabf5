//! What status tells of the calculation, worked out when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tortie_api::model::{HostEndpoint, PolicyClass};
use tortie_api::{Kind, REVERSE_PATH_ANNOTATION, ResourceKey};

use super::Engine;
use super::lists::LISTS;
use super::locals::{self, LocalNumber};
use super::policies::ActivePolicy;
use crate::policy::{Direction, NeverMatches, PolicyId, ResolvedRule};
use crate::report::{EndpointReport, EndpointState, NotEnforced, PolicyReport, Reason, Report};
use crate::select;

impl Engine {
    /// What status tells of it, as of the last flush. It is long where many policies select many endpoints: who asks for
    /// the states alone takes [`Engine::states`].
    pub fn report(&self) -> Report {
        let mut selecting: BTreeMap<LocalNumber, Vec<&ActivePolicy>> = BTreeMap::new();
        for (_, active) in self.policies.all() {
            for &local in &active.selects {
                selecting.entry(local).or_default().push(active);
            }
        }
        let mut not_enforced: BTreeSet<NotEnforced> = BTreeSet::new();
        let mut endpoints = BTreeMap::new();
        let is_known = |number| self.locals.get(number).labels.is_some();
        for (number, hep) in self.locals.all().filter(|(number, _)| is_known(*number)) {
            let policies = selecting.get(&number).map_or(&[][..], Vec::as_slice);
            for active in policies {
                not_enforced.extend(never(active));
            }
            not_enforced.extend(self.of_policies(hep, policies));
            not_enforced.extend(self.of_endpoint(hep));
            endpoints.insert(hep.meta.name.clone(), self.endpoint(number, hep));
        }
        Report { endpoints, not_enforced: not_enforced.into_iter().collect() }
    }

    /// What became of each local endpoint, as of the last flush.
    pub fn states(&self) -> impl ExactSizeIterator<Item = (&String, &EndpointState)> {
        self.resolution.states.iter()
    }

    fn endpoint(&self, number: LocalNumber, hep: &HostEndpoint) -> EndpointReport {
        let mut policies = Vec::new();
        for (class, direction, numbers) in self.locals.get(number).lists.iter() {
            for (&policy, position) in numbers.iter().zip(1..) {
                let active = self.policies.get(policy);
                let Some(rules) = active.rules(direction) else { continue };
                let order = active.policy().order;
                let (id, is_staged) = (rules.id.clone(), rules.is_staged);
                policies.push(PolicyReport { id, class, direction, position, order, is_staged });
            }
        }
        let exists = |profile: &String| (profile.clone(), self.profiles.contains_key(profile));
        EndpointReport {
            state: self.state(hep).clone(),
            shadowed_by: self.resolution.shadowed.get(&hep.meta.name).cloned().unwrap_or_default(),
            policies,
            profiles: hep.profiles.iter().map(exists).collect(),
        }
    }

    fn state(&self, hep: &HostEndpoint) -> &EndpointState {
        self.resolution.states.get(&hep.meta.name).unwrap_or(&EndpointState::Unresolved)
    }

    /// What of policies has no effect at an endpoint that they select.
    fn of_policies(&self, hep: &HostEndpoint, selecting: &[&ActivePolicy]) -> Vec<NotEnforced> {
        let mut found = Vec::new();
        let is_wildcard = *self.state(hep) == EndpointState::Wildcard;
        for policy in selecting.iter().map(|active| active.policy()) {
            let mut not = |reason| {
                let (kind, namespace, name) =
                    (policy.kind.kind(), policy.meta.namespace.clone(), policy.meta.name.clone());
                let key = ResourceKey { kind, namespace, name };
                found.push(NotEnforced { key, endpoint: Some(hep.meta.name.clone()), reason });
            };
            if policy.class == PolicyClass::Untracked && is_wildcard {
                not(Reason::UntrackedOnWildcard);
            }
            if !self.tiers.contains_key(&policy.tier) {
                not(Reason::MissingTier { tier: policy.tier.clone() });
            }
        }
        found
    }

    /// What of an endpoint has no effect.
    fn of_endpoint(&self, hep: &HostEndpoint) -> Vec<NotEnforced> {
        let name = &hep.meta.name;
        let own = ResourceKey::global(Kind::HostEndpoint, name);
        let not = |reason| NotEnforced { key: own.clone(), endpoint: Some(name.clone()), reason };
        let mut found = Vec::new();
        if let Some(text) = hep.meta.annotations.get(REVERSE_PATH_ANNOTATION) {
            if locals::reverse_path(hep).is_none() {
                found.push(not(Reason::UnknownReversePath { value: text.clone() }));
            } else if *self.state(hep) == EndpointState::Wildcard {
                found.push(not(Reason::ReversePathOnWildcard));
            }
        }
        let missing = hep.profiles.iter().filter(|profile| !self.profiles.contains_key(*profile));
        found.extend(missing.map(|profile| not(Reason::MissingProfile { profile: profile.clone() })));
        found
    }
}

/// Rules of a policy that match nothing.
fn never(active: &ActivePolicy) -> impl Iterator<Item = NotEnforced> {
    let is_listed = move |direction: &Direction| {
        let mut lists = LISTS.iter().filter(|(_, of)| of == direction);
        lists.any(|(class, _)| select::is_of_class(active.policy(), *class))
    };
    let directions = [Direction::Ingress, Direction::Egress].into_iter().filter(is_listed);
    let governed = directions.filter_map(|direction| Some((direction, active.rules(direction)?)));
    governed.flat_map(|(direction, of)| {
        of.rules.iter().enumerate().filter_map(move |(rule, resolved)| {
            let reason = reason(resolved, direction, rule)?;
            Some(NotEnforced { key: key(&of.id), endpoint: None, reason })
        })
    })
}

fn reason(resolved: &Arc<ResolvedRule>, direction: Direction, rule: usize) -> Option<Reason> {
    Some(match resolved.never? {
        NeverMatches::Http => Reason::Http { direction, rule },
        NeverMatches::Services => Reason::Services { direction, rule },
    })
}

fn key(id: &PolicyId) -> ResourceKey {
    ResourceKey { kind: id.kind, namespace: id.namespace.clone(), name: id.name.clone() }
}
