//! The objects that lints look at, joined as the agent joins them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tortie_selector::{Selector, scope};

use crate::ResourceKey;
use crate::model::{
    Attachment, FelixConfiguration, HostEndpoint, Labels, Policy, PolicyClass, PolicyKind, Profile, Resource, Rule,
    Tier, WorkloadEndpoint, by_evaluation,
};

/// Which objects the reader asked about.
pub(super) enum Focus {
    /// Objects that are about to be written.
    Written(BTreeSet<ResourceKey>),
    /// What concerns the endpoints of one node.
    Node(String),
}

/// A host endpoint with all its labels.
pub(super) struct Endpoint<'a> {
    pub(super) hep: &'a HostEndpoint,
    pub(super) key: ResourceKey,
    /// Its own and those of its profiles (E-202).
    labels: Labels,
}

impl Endpoint<'_> {
    pub(super) fn is_wildcard(&self) -> bool {
        self.hep.attachment == Attachment::AllInterfaces
    }

    pub(super) fn is_meant_by(&self, selector: &Selector) -> bool {
        selector.matches(&self.labels)
    }
}

/// A global policy that is enforced.
pub(super) struct GlobalPolicy<'a> {
    pub(super) policy: &'a Policy,
    pub(super) key: ResourceKey,
    /// Over endpoints of all kinds (E-204).
    pub(super) selector: Selector,
}

impl GlobalPolicy<'_> {
    /// Whether it judges traffic of local processes (E-212).
    pub(super) fn is_normal(&self) -> bool {
        matches!(self.policy.class, PolicyClass::Normal | PolicyClass::NormalAndForward)
    }

    /// The rules of both directions that it governs, with their paths; rules of the other are dead (E-210).
    pub(super) fn rules(&self) -> impl Iterator<Item = (Direction, String, &Rule)> {
        let governs = |direction| match direction {
            Direction::Ingress => self.policy.governs_ingress,
            Direction::Egress => self.policy.governs_egress,
        };
        let lists = [(Direction::Ingress, &self.policy.ingress), (Direction::Egress, &self.policy.egress)];
        lists
            .into_iter()
            .filter(move |(direction, _)| governs(*direction))
            .flat_map(|(direction, list)| with_paths(direction, list).map(move |(path, rule)| (direction, path, rule)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl Direction {
    pub(super) fn word(self) -> &'static str {
        match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        }
    }
}

pub(super) fn with_paths(direction: Direction, rules: &[Arc<Rule>]) -> impl Iterator<Item = (String, &Rule)> {
    let path = move |number: usize| format!("spec.{}[{number}]", direction.word());
    rules.iter().enumerate().map(move |(number, rule)| (path(number), &**rule))
}

/// INVARIANT of cost: nothing walks all policies times all endpoints, or endpoints in pairs. What was not asked about is
/// only met by what was (design.md section 2: 250,000 endpoints, 10,000 policies).
pub(super) struct World<'a> {
    focus: Focus,
    /// Positions in `endpoints` of those that the reader asked about.
    asked: Vec<usize>,
    /// Positions in `policies` of those that the reader asked about.
    asked_policies: Vec<usize>,
    /// Whether all objects of the store are here.
    pub(super) is_complete: bool,
    /// By name; of one node only, when one was asked about.
    pub(super) endpoints: Vec<Endpoint<'a>>,
    /// In the order of evaluation (E-215, E-216).
    pub(super) policies: Vec<GlobalPolicy<'a>>,
    pub(super) tiers: BTreeMap<&'a str, &'a Tier>,
    pub(super) profiles: BTreeMap<&'a str, &'a Profile>,
    /// Labels of workloads; of one node only, when one was asked about.
    pub(super) workloads: Vec<(&'a WorkloadEndpoint, Labels)>,
    pub(super) settings: Vec<&'a FelixConfiguration>,
}

impl<'a> World<'a> {
    pub(super) fn new(resources: &[&'a Resource], focus: Focus, is_complete: bool) -> Self {
        let mut world = World {
            focus,
            asked: Vec::new(),
            asked_policies: Vec::new(),
            is_complete,
            endpoints: Vec::new(),
            policies: Vec::new(),
            tiers: BTreeMap::new(),
            profiles: BTreeMap::new(),
            workloads: Vec::new(),
            settings: Vec::new(),
        };
        for resource in resources {
            match resource {
                Resource::Tier(tier) => _ = world.tiers.insert(&tier.meta.name, tier),
                Resource::Profile(profile) => _ = world.profiles.insert(&profile.meta.name, profile),
                Resource::FelixConfiguration(settings) => world.settings.push(settings),
                Resource::Policy(policy) if policy.kind == PolicyKind::Global => {
                    let selector = scope::global_policy(
                        &policy.selector,
                        policy.namespace_selector.as_ref(),
                        policy.service_account_selector.as_ref(),
                    );
                    world.policies.push(GlobalPolicy { policy, key: resource.key(), selector });
                }
                _ => {}
            }
        }
        for resource in resources {
            match resource {
                Resource::HostEndpoint(hep) if world.is_of_asked_node(&hep.node) => {
                    let labels = world.labels(&hep.meta.labels, &hep.profiles);
                    world.endpoints.push(Endpoint { hep, key: resource.key(), labels });
                }
                Resource::WorkloadEndpoint(workload) if world.is_of_asked_node(&workload.node) => {
                    let labels = world.labels(&workload.meta.labels, &workload.profiles);
                    world.workloads.push((workload, labels));
                }
                _ => {}
            }
        }
        world.endpoints.sort_by(|a, b| a.key.cmp(&b.key));
        world.asked = (0..world.endpoints.len()).filter(|at| world.is_asked_endpoint(&world.endpoints[*at])).collect();
        let tiers = &world.tiers;
        world.policies.sort_by(|a, b| by_evaluation(a.policy, b.policy, |name| tiers.get(name).copied()));
        world.asked_policies =
            (0..world.policies.len()).filter(|at| world.is_asked(&world.policies[*at].key)).collect();
        world
    }

    /// Own labels win, then the first profile that has one (E-202).
    fn labels(&self, own: &Labels, profiles: &[String]) -> Labels {
        let mut labels = own.clone();
        for profile in profiles.iter().filter_map(|name| self.profiles.get(name.as_str())) {
            for (name, value) in &profile.labels_to_apply {
                labels.insert_missing(name, value);
            }
        }
        labels
    }

    /// Whether an object is one that the reader asked about.
    pub(super) fn is_asked(&self, key: &ResourceKey) -> bool {
        matches!(&self.focus, Focus::Written(keys) if keys.contains(key))
    }

    fn is_of_asked_node(&self, node: &str) -> bool {
        match &self.focus {
            Focus::Written(_) => true,
            Focus::Node(asked) => asked == node,
        }
    }

    pub(super) fn is_asked_endpoint(&self, endpoint: &Endpoint<'_>) -> bool {
        match &self.focus {
            Focus::Written(keys) => keys.contains(&endpoint.key),
            Focus::Node(node) => endpoint.hep.node == *node,
        }
    }

    /// Endpoints that the reader asked about.
    pub(super) fn asked(&self) -> impl Iterator<Item = &Endpoint<'a>> {
        self.asked.iter().map(|at| &self.endpoints[*at])
    }

    /// The policies that may concern an endpoint in a way that was asked about.
    pub(super) fn policies_for(&self, endpoint: &Endpoint<'_>) -> impl Iterator<Item = &GlobalPolicy<'a>> {
        let is_asked = self.is_asked_endpoint(endpoint);
        let (all, some) = if is_asked { (&self.policies[..], &[][..]) } else { (&[][..], &self.asked_policies[..]) };
        all.iter().chain(some.iter().map(|at| &self.policies[*at]))
    }

    /// Endpoints that a policy selects, as far as policy or endpoint was asked about.
    pub(super) fn selected(&self, policy: &GlobalPolicy<'_>) -> Vec<&Endpoint<'a>> {
        let is_meant = |endpoint: &&Endpoint<'a>| endpoint.is_meant_by(&policy.selector);
        if self.is_asked(&policy.key) {
            self.endpoints.iter().filter(is_meant).collect()
        } else {
            self.asked().filter(is_meant).collect()
        }
    }

    /// Whether rules of this policy are to be looked at: it was asked about, or it is in force on the node asked about,
    /// and hosts are among what it selects as far as anybody knows.
    pub(super) fn has_rules_to_check(&self, policy: &GlobalPolicy<'_>) -> bool {
        match &self.focus {
            Focus::Written(keys) => keys.contains(&policy.key) && self.may_select_hosts(policy),
            Focus::Node(_) => !self.selected(policy).is_empty(),
        }
    }

    /// Files that hold no endpoint say nothing about which ones there are.
    pub(super) fn may_select_hosts(&self, policy: &GlobalPolicy<'_>) -> bool {
        let is_unknown = !self.is_complete && self.endpoints.is_empty();
        is_unknown || self.endpoints.iter().any(|endpoint| endpoint.is_meant_by(&policy.selector))
    }

    /// Profiles whose rules are to be looked at.
    pub(super) fn profiles_to_check(&self) -> impl Iterator<Item = &'a Profile> {
        let is_wanted = |profile: &&Profile| {
            let key = ResourceKey::global(crate::Kind::Profile, &profile.meta.name);
            let is_listed = |endpoint: &Endpoint<'_>| endpoint.hep.profiles.contains(&profile.meta.name);
            self.is_asked(&key) || matches!(self.focus, Focus::Node(_)) && self.asked().any(is_listed)
        };
        self.profiles.values().copied().filter(is_wanted)
    }

    /// Whether settings are to be looked at: those written, or any that the node may use.
    pub(super) fn is_asked_settings(&self, settings: &FelixConfiguration) -> bool {
        let key = ResourceKey::global(crate::Kind::FelixConfiguration, &settings.meta.name);
        match &self.focus {
            Focus::Written(keys) => keys.contains(&key),
            Focus::Node(node) => settings
                .meta
                .name
                .strip_prefix("node.")
                .map_or(settings.meta.name == "default" || settings.node_selector.is_some(), |name| name == node),
        }
    }

    /// Prefixes of workload interfaces as the settings `default` give them (E-102).
    pub(super) fn interface_prefixes(&self) -> Vec<&'a str> {
        let default = self.settings.iter().find(|settings| settings.meta.name == "default");
        let text = default.and_then(|settings| settings.values.get("interfacePrefix")?.as_str()).unwrap_or("cali");
        text.split(',').map(str::trim).filter(|prefix| !prefix.is_empty()).collect()
    }
}
