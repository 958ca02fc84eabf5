//! The engine: keyed updates in, host policy and what changed in it out.

mod needs;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tortie_api::facts::Links;
use tortie_api::model::{Action, Family, HostEndpoint, Meta, Policy, PolicyClass, Profile, Resource, Rule, Tier};
use tortie_api::{DEFAULT_ALLOW_PROFILE, Kind, REVERSE_PATH_ANNOTATION, ResourceKey};
use tortie_selector::Selector;

use crate::dispatch::{self, Resolution};
use crate::items::Items;
use crate::policy::{
    ClassPolicy, Direction, EndpointPolicy, HostPolicy, NeverMatches, PolicyRules, ProfileRules, ResolvedRule,
    ReversePath, SetId,
};
use crate::report::{EndpointReport, EndpointState, NotEnforced, PolicyReport, Reason, Report};
use crate::resolve::{self, Resolved};
use crate::select::{self, Selected};
use crate::sets::{MemberDelta, Sets};
use crate::settings::Settings;
use uses::Uses;

/// The calculation. Feed it with updates and call [`Engine::flush`]; the order of updates does not matter.
pub struct Engine {
    settings: Arc<Settings>,
    links: Links,
    local: BTreeMap<String, Arc<Resource>>,
    /// Host endpoints of other nodes: they become local when the node's name changes.
    remote: BTreeMap<String, Arc<Resource>>,
    policies: BTreeMap<ResourceKey, ActivePolicy>,
    /// The policies that select each local endpoint.
    selected_by: BTreeMap<String, BTreeSet<ResourceKey>>,
    tiers: BTreeMap<String, Arc<Resource>>,
    profiles: BTreeMap<String, Resolved<ProfileRules>>,
    /// How many workload endpoints of this node name an interface (E-442).
    here: BTreeMap<String, usize>,
    items: Items,
    sets: Sets,
    uses: Uses,
    /// Of the present local endpoints, links and settings.
    resolution: Resolution,
    dirty: Dirty,
    output: HostPolicy,
    report: Report,
    /// What the report says is not enforced, by the local endpoint for which it was found.
    not_enforced: BTreeMap<String, Vec<NotEnforced>>,
}

struct ActivePolicy {
    resource: Arc<Resource>,
    /// `None` for kinds that never select a host.
    selector: Option<Selector>,
    /// Resolved when the policy first selects a local endpoint.
    rules: Option<Resolved<PolicyRules>>,
    /// Local endpoints it selects.
    selects: BTreeSet<String>,
}

impl ActivePolicy {
    fn policy(&self) -> &Policy {
        match &*self.resource {
            Resource::Policy(policy) => policy,
            _ => unreachable!("only policies are kept here"),
        }
    }
}

#[derive(Default)]
struct Dirty {
    policies: BTreeSet<ResourceKey>,
    endpoints: BTreeSet<String>,
    /// Local endpoints that a policy selected which is gone or another one now.
    touched: BTreeSet<String>,
    /// Policies that are others now, or select others.
    moved: BTreeSet<ResourceKey>,
    /// Tiers, profiles, settings, links: everything local is put together again.
    all: bool,
    settings: bool,
    workloads: bool,
    any: bool,
}

/// What one flush changed in the output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Endpoints whose policy is new or another one.
    pub endpoints_changed: BTreeSet<String>,
    /// Endpoints that are gone.
    pub endpoints_removed: BTreeSet<String>,
    /// Whether another endpoint governs some interface.
    pub dispatch_changed: bool,
    /// Whether settings changed.
    pub settings_changed: bool,
    /// Whether other interfaces are those of this node's workload endpoints.
    pub workloads_changed: bool,
    /// Sets that rules use now.
    pub sets_added: Vec<SetId>,
    /// Sets that no rule uses any more.
    pub sets_removed: Vec<SetId>,
    /// How many members joined and left the sets that were there.
    pub set_members: BTreeMap<SetId, MemberDelta>,
}

impl Delta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Delta::default()
    }
}

impl Engine {
    /// An engine that knows no resources and no links.
    pub fn new(settings: Settings) -> Engine {
        let mut engine = Engine {
            settings: Arc::new(settings),
            links: Links::new(),
            local: BTreeMap::new(),
            remote: BTreeMap::new(),
            policies: BTreeMap::new(),
            selected_by: BTreeMap::new(),
            tiers: BTreeMap::new(),
            profiles: BTreeMap::new(),
            here: BTreeMap::new(),
            items: Items::default(),
            sets: Sets::default(),
            uses: Uses::default(),
            resolution: Resolution::default(),
            dirty: Dirty { all: true, settings: true, any: true, ..Dirty::default() },
            output: HostPolicy::default(),
            report: Report::default(),
            not_enforced: BTreeMap::new(),
        };
        engine.set_profile(DEFAULT_ALLOW_PROFILE, None);
        engine
    }

    /// Sets or removes one object.
    pub fn update(&mut self, key: ResourceKey, resource: Option<Arc<Resource>>) {
        self.dirty.any = true;
        if Items::contributes(key.kind) {
            self.count_interface(&key, false);
            self.items.set(&key, resource.as_deref());
            self.count_interface(&key, true);
        }
        match key.kind {
            Kind::HostEndpoint => self.set_endpoint(key.name, resource),
            Kind::Tier => {
                match resource {
                    Some(tier) => self.tiers.insert(key.name, tier),
                    None => self.tiers.remove(&key.name),
                };
                self.dirty.all = true;
            }
            Kind::Profile => self.set_profile(&key.name, resource),
            kind if kind.is_tiered_policy() => {
                self.dirty.moved.insert(key.clone());
                for name in self.policies.remove(&key).into_iter().flat_map(|before| before.selects) {
                    if let Some(selecting) = self.selected_by.get_mut(&name) {
                        selecting.remove(&key);
                    }
                    self.dirty.touched.insert(name);
                }
                if let Some(resource) = resource
                    && let Resource::Policy(policy) = &*resource
                    && !policy.is_staged_inactive
                {
                    let selector = select::effective(policy);
                    let active =
                        ActivePolicy { selector, rules: None, selects: BTreeSet::new(), resource: resource.clone() };
                    self.policies.insert(key.clone(), active);
                    self.dirty.policies.insert(key);
                }
            }
            _ => {}
        }
    }

    /// The links of the host.
    pub fn set_links(&mut self, links: Links) {
        if self.links != links {
            self.links = links;
            self.dirty.all = true;
            self.dirty.any = true;
        }
    }

    /// The settings in force.
    pub fn set_settings(&mut self, settings: Settings) {
        if *self.settings == settings {
            return;
        }
        let has_moved = self.settings.node != settings.node;
        let reads_http_otherwise = self.settings.ignores_http != settings.ignores_http;
        self.settings = Arc::new(settings);
        self.dirty.all = true;
        self.dirty.settings = true;
        self.dirty.any = true;
        if has_moved {
            self.here.clear();
            for interface in self.items.interfaces_on(&self.settings.node) {
                *self.here.entry(interface.to_owned()).or_default() += 1;
            }
            let mut endpoints = std::mem::take(&mut self.local);
            // Those that leave stop being selected.
            self.dirty.endpoints.extend(endpoints.keys().cloned());
            endpoints.append(&mut self.remote);
            for (name, resource) in endpoints {
                self.set_endpoint(name, Some(resource));
            }
        }
        if reads_http_otherwise {
            for policy in self.policies.values_mut() {
                policy.rules = None;
            }
            let names: Vec<String> = self.profiles.keys().cloned().collect();
            for name in names {
                self.resolve_profile(&name);
            }
        }
    }

    /// Counts the interface of a workload endpoint of this node that comes or goes.
    fn count_interface(&mut self, key: &ResourceKey, comes: bool) {
        if key.kind != Kind::WorkloadEndpoint {
            return;
        }
        let Some(interface) = self.items.interface_on(key, &self.settings.node) else { return };
        let count = self.here.entry(interface.to_owned()).or_default();
        *count = if comes { *count + 1 } else { *count - 1 };
        if *count == 0 {
            self.here.remove(interface);
        }
        self.dirty.workloads = true;
    }

    fn set_endpoint(&mut self, name: String, resource: Option<Arc<Resource>>) {
        let before = self.local.remove(&name);
        self.remote.remove(&name);
        let is_local = match (&resource, resource.as_deref()) {
            (Some(resource), Some(Resource::HostEndpoint(hep))) if hep.node == self.settings.node => {
                self.local.insert(name.clone(), resource.clone());
                true
            }
            (Some(resource), _) => {
                self.remote.insert(name.clone(), resource.clone());
                false
            }
            (None, _) => false,
        };
        if before.is_some() || is_local {
            let now = self.local.get(&name);
            self.dirty.all |= !before.zip(now).is_some_and(|(before, now)| is_where_it_was(&before, now));
            self.dirty.endpoints.insert(name);
        }
    }

    fn set_profile(&mut self, name: &str, resource: Option<Arc<Resource>>) {
        let resource = if name == DEFAULT_ALLOW_PROFILE { Some(Arc::new(default_allow())) } else { resource };
        self.items.set_profile(name, resource);
        self.resolve_profile(name);
        let lists = |resource: &Resource| match resource {
            Resource::HostEndpoint(hep) => hep.profiles.iter().any(|profile| profile == name),
            _ => false,
        };
        for (endpoint, _) in self.local.iter().filter(|(_, resource)| lists(resource)) {
            self.dirty.endpoints.insert(endpoint.clone());
            self.dirty.all = true;
        }
    }

    fn resolve_profile(&mut self, name: &str) {
        match self.items.profile(name) {
            Some(profile) => {
                let resolved = resolve::profile(profile, self.settings.ignores_http);
                self.profiles.insert(name.to_owned(), resolved);
            }
            None => {
                self.profiles.remove(name);
            }
        }
    }

    /// Takes all updates since the last call into account.
    pub fn flush(&mut self) -> Delta {
        if !self.dirty.any {
            return Delta::default();
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut delta = Delta { settings_changed: dirty.settings, ..Delta::default() };
        self.select(&mut dirty);
        let touches_local = !dirty.touched.is_empty();
        if dirty.all || touches_local {
            self.assemble(&dirty, &mut delta);
        }
        self.sets.update(&mut self.items, &mut self.output.sets, &mut delta.set_members);
        if dirty.all || !dirty.moved.is_empty() {
            self.follow_uses(&dirty, &mut delta);
        }
        if dirty.workloads || dirty.settings {
            let workloads = self.here.keys().cloned().collect();
            delta.workloads_changed = self.output.workloads != workloads;
            self.output.workloads = workloads;
        }
        self.output.settings = self.settings.clone();
        delta
    }

    /// The whole present output.
    pub fn policy(&self) -> &HostPolicy {
        &self.output
    }

    /// For each set that rules use, what each object adds to it, as text: addresses, or `address protocol:port`.
    pub fn contributions(&self) -> Vec<(&SetId, ResourceKey, Vec<String>)> {
        self.sets.contributions(&self.items)
    }

    /// What status tells of it.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Sets of rules with more members of one family than a set may have (E-351): what is meant, the family, how many.
    /// Rules that name them fail closed.
    pub fn sets_too_large(&self) -> Vec<(SetId, Family, usize)> {
        let max = self.settings.set_size_max;
        let large = self.output.sets.iter().filter(|(_, members)| members.len() > max);
        large
            .flat_map(|(id, members)| Family::BOTH.map(|family| (id.clone(), family, members.len_in(family))))
            .filter(|(.., len)| *len > max)
            .collect()
    }

    /// Brings the selections up to date, and tells which local endpoints they touch.
    fn select(&mut self, dirty: &mut Dirty) {
        for name in &dirty.endpoints {
            for key in self.selected_by.remove(name).into_iter().flatten() {
                if let Some(policy) = self.policies.get_mut(&key) {
                    policy.selects.remove(name);
                    if policy.selects.is_empty() {
                        policy.rules = None;
                    }
                }
                dirty.moved.insert(key);
            }
            dirty.touched.insert(name.clone());
        }
        let mut touch = |policy: &mut ActivePolicy, key: &ResourceKey, name: &String, items: &Items| {
            let endpoint = ResourceKey::global(Kind::HostEndpoint, name);
            let labels = items.effective(items.find(&endpoint).expect("local endpoints are items"));
            if policy.selector.as_ref().is_some_and(|selector| select::selects(selector, &labels)) {
                policy.selects.insert(name.clone());
                self.selected_by.entry(name.clone()).or_default().insert(key.clone());
                dirty.touched.insert(name.clone());
                dirty.moved.insert(key.clone());
            }
        };
        for key in &dirty.policies {
            let Some(policy) = self.policies.get_mut(key) else { continue };
            for name in self.local.keys() {
                touch(policy, key, name, &self.items);
            }
        }
        let endpoints: Vec<&String> = dirty.endpoints.iter().filter(|name| self.local.contains_key(*name)).collect();
        if !endpoints.is_empty() {
            for (key, policy) in self.policies.iter_mut().filter(|(key, _)| !dirty.policies.contains(*key)) {
                for name in &endpoints {
                    touch(policy, key, name, &self.items);
                }
            }
        }
        dirty.touched.retain(|name| self.local.contains_key(name));
    }

    /// Puts dispatch, endpoint policies and report together.
    fn assemble(&mut self, dirty: &Dirty, delta: &mut Delta) {
        let heps = self.local.values().map(|resource| match &**resource {
            Resource::HostEndpoint(hep) => hep,
            _ => unreachable!("only host endpoints are kept here"),
        });
        if dirty.all {
            let resolution = dispatch::resolve(heps.clone(), &self.links, &self.settings);
            delta.dispatch_changed = self.output.dispatch != resolution.dispatch;
            self.output.dispatch.clone_from(&resolution.dispatch);
            self.resolution = resolution;
        }
        let resolution = std::mem::take(&mut self.resolution);

        let all: Vec<ResourceKey> = if dirty.all { self.policies.keys().cloned().collect() } else { Vec::new() };
        for key in all.iter().chain(&dirty.moved) {
            let Some(policy) = self.policies.get_mut(key) else { continue };
            if !policy.selects.is_empty() && policy.rules.is_none() {
                policy.rules = Some(resolve::policy(policy.policy(), self.settings.ignores_http));
            }
        }
        let tiers: BTreeMap<String, &Tier> = self
            .tiers
            .iter()
            .filter_map(|(name, resource)| match &**resource {
                Resource::Tier(tier) => Some((name.clone(), tier)),
                _ => None,
            })
            .collect();

        let governing: BTreeSet<&String> =
            self.output.dispatch.interfaces.values().chain(self.output.dispatch.wildcard.as_ref()).collect();
        let mut endpoints = BTreeMap::new();
        let mut before = std::mem::take(&mut self.report);
        let mut not_enforced = std::mem::take(&mut self.not_enforced);
        not_enforced.retain(|name, _| self.local.contains_key(name));
        let mut report = Report::default();
        for hep in heps {
            let name = &hep.meta.name;
            if !dirty.all && !dirty.touched.contains(name) {
                let kept = self.output.endpoints.get(name).map(|endpoint| (name.clone(), endpoint.clone()));
                endpoints.extend(kept);
                report.endpoints.extend(before.endpoints.remove_entry(name));
                continue;
            }
            let built = self.endpoint(hep, &tiers);
            let state = resolution.states.get(name).cloned().unwrap_or(EndpointState::Unresolved);
            self.report_endpoint(hep, &built, state, &tiers, &mut report);
            not_enforced.insert(name.clone(), std::mem::take(&mut report.not_enforced));
            if let (Some(by), Some(endpoint)) = (resolution.shadowed.get(name), report.endpoints.get_mut(name)) {
                endpoint.shadowed_by.clone_from(by);
            }
            if !governing.contains(name) {
                continue;
            }
            let kept = self.output.endpoints.get(name).filter(|before| ***before == built).cloned();
            if kept.is_none() {
                delta.endpoints_changed.insert(name.clone());
            }
            endpoints.insert(name.clone(), kept.unwrap_or_else(|| Arc::new(built)));
        }
        delta.endpoints_removed =
            self.output.endpoints.keys().filter(|name| !endpoints.contains_key(*name)).cloned().collect();
        self.output.endpoints = endpoints;
        self.resolution = resolution;
        report.not_enforced = not_enforced.values().flatten().cloned().collect();
        self.not_enforced = not_enforced;
        report.not_enforced.sort();
        report.not_enforced.dedup();
        self.report = report;
    }

    fn endpoint(&self, hep: &HostEndpoint, tiers: &BTreeMap<String, &Tier>) -> EndpointPolicy {
        let mut policies: Vec<&Policy> = Vec::new();
        for key in self.selected_by.get(&hep.meta.name).into_iter().flatten() {
            policies.push(self.policies[key].policy());
        }
        select::sort(&mut policies, tiers);
        let class = |class: PolicyClass, direction: Direction| -> ClassPolicy {
            let selected: Vec<Selected<'_>> = policies
                .iter()
                .filter(|policy| select::is_of_class(policy, class) && select::governs(policy, direction))
                .map(|policy| Selected { policy, rules: self.rules_of(policy, direction) })
                .collect();
            select::group(&selected, tiers, class)
        };
        let profiles =
            |direction: Direction| hep.profiles.iter().map(|name| self.profile_rules(name, direction)).collect();
        EndpointPolicy {
            name: hep.meta.name.clone(),
            normal_ingress: class(PolicyClass::Normal, Direction::Ingress),
            normal_egress: class(PolicyClass::Normal, Direction::Egress),
            forward_ingress: class(PolicyClass::NormalAndForward, Direction::Ingress),
            forward_egress: class(PolicyClass::NormalAndForward, Direction::Egress),
            pre_dnat: class(PolicyClass::PreDnat, Direction::Ingress),
            untracked_ingress: class(PolicyClass::Untracked, Direction::Ingress),
            untracked_egress: class(PolicyClass::Untracked, Direction::Egress),
            reverse_path: reverse_path(hep),
            profiles_ingress: profiles(Direction::Ingress),
            profiles_egress: profiles(Direction::Egress),
        }
    }

    fn rules_of(&self, policy: &Policy, direction: Direction) -> Arc<PolicyRules> {
        let key = ResourceKey {
            kind: policy.kind.kind(),
            namespace: policy.meta.namespace.clone(),
            name: policy.meta.name.clone(),
        };
        let resolved = self.policies[&key].rules.as_ref().expect("rules of selecting policies are resolved");
        match direction {
            Direction::Ingress => resolved.ingress.clone(),
            Direction::Egress => resolved.egress.clone(),
        }
    }

    fn profile_rules(&self, name: &str, direction: Direction) -> Arc<ProfileRules> {
        match (self.profiles.get(name), direction) {
            (Some(resolved), Direction::Ingress) => resolved.ingress.clone(),
            (Some(resolved), Direction::Egress) => resolved.egress.clone(),
            (None, _) => Arc::new(ProfileRules { name: name.to_owned(), rules: None }),
        }
    }

    fn report_endpoint(
        &self,
        hep: &HostEndpoint,
        built: &EndpointPolicy,
        state: EndpointState,
        tiers: &BTreeMap<String, &Tier>,
        report: &mut Report,
    ) {
        let name = &hep.meta.name;
        let mut policies = Vec::new();
        for (class, direction, built) in built.classes() {
            for (rules, position) in built.tiers.iter().flat_map(|tier| &tier.policies).zip(1..) {
                let key = ResourceKey {
                    kind: rules.id.kind,
                    namespace: rules.id.namespace.clone(),
                    name: rules.id.name.clone(),
                };
                policies.push(PolicyReport {
                    id: rules.id.clone(),
                    class,
                    direction,
                    position,
                    order: self.policies.get(&key).and_then(|active| active.policy().order),
                    is_staged: rules.is_staged,
                });
                report.not_enforced.extend(never(&key, &rules.rules, direction));
            }
        }
        let mut not = |key: ResourceKey, reason: Reason| {
            report.not_enforced.push(NotEnforced { key, endpoint: Some(name.clone()), reason });
        };
        for key in self.selected_by.get(name).into_iter().flatten() {
            let policy = self.policies[key].policy();
            if policy.class == PolicyClass::Untracked && state == EndpointState::Wildcard {
                not(key.clone(), Reason::UntrackedOnWildcard);
            }
            if !tiers.contains_key(&policy.tier) {
                not(key.clone(), Reason::MissingTier { tier: policy.tier.clone() });
            }
        }
        let own = ResourceKey::global(Kind::HostEndpoint, name);
        if let Some(text) = hep.meta.annotations.get(REVERSE_PATH_ANNOTATION) {
            if built.reverse_path.is_none() {
                not(own.clone(), Reason::UnknownReversePath { value: text.clone() });
            } else if state == EndpointState::Wildcard {
                not(own.clone(), Reason::ReversePathOnWildcard);
            }
        }
        let mut profiles = Vec::new();
        for profile in &hep.profiles {
            let exists = self.profiles.contains_key(profile);
            profiles.push((profile.clone(), exists));
            if !exists {
                not(own.clone(), Reason::MissingProfile { profile: profile.clone() });
            }
        }
        report
            .endpoints
            .insert(name.clone(), EndpointReport { state, shadowed_by: BTreeMap::new(), policies, profiles });
    }
}

/// Whether a changed endpoint governs what it governed, and asks the same profiles.
fn is_where_it_was(before: &Resource, now: &Resource) -> bool {
    match (before, now) {
        (Resource::HostEndpoint(before), Resource::HostEndpoint(now)) => {
            (&before.attachment, &before.expected_ips, &before.profiles)
                == (&now.attachment, &now.expected_ips, &now.profiles)
        }
        _ => false,
    }
}

fn never<'a>(
    key: &'a ResourceKey,
    rules: &'a [Arc<ResolvedRule>],
    direction: Direction,
) -> impl Iterator<Item = NotEnforced> + 'a {
    rules.iter().enumerate().filter_map(move |(rule, resolved)| {
        let reason = match resolved.never? {
            NeverMatches::Http => Reason::Http { direction, rule },
            NeverMatches::Services => Reason::Services { direction, rule },
        };
        Some(NotEnforced { key: key.clone(), endpoint: None, reason })
    })
}

/// The annotation [`REVERSE_PATH_ANNOTATION`] of an endpoint, whose values are read in any case; another one is none.
fn reverse_path(hep: &HostEndpoint) -> Option<ReversePath> {
    match hep.meta.annotations.get(REVERSE_PATH_ANNOTATION)?.to_lowercase().as_str() {
        "strict" => Some(ReversePath::Strict),
        "loose" => Some(ReversePath::Loose),
        _ => None,
    }
}

/// The built-in profile (E-231).
fn default_allow() -> Resource {
    let allow = vec![Arc::new(Rule::any(Action::Allow))];
    Resource::Profile(Profile {
        meta: Meta { name: DEFAULT_ALLOW_PROFILE.to_owned(), ..Meta::default() },
        ingress: allow.clone(),
        egress: allow,
        labels_to_apply: Default::default(),
    })
}
