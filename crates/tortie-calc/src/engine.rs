//! The engine: keyed updates in, host policy and what changed in it out.

mod changes;
mod lists;
mod locals;
mod needs;
mod order;
mod policies;
mod report;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tortie_api::facts::Links;
use tortie_api::model::{Action, Family, HostEndpoint, Labels, Meta, Profile, Resource, Rule};
use tortie_api::{DEFAULT_ALLOW_PROFILE, Kind, ResourceKey};

use crate::dispatch::{self, Resolution};
use crate::items::Items;
use crate::policy::{Direction, EndpointPolicy, HostPolicy, ProfileRules, SetId};
use crate::resolve::{Resolved, Resolver};
use crate::sets::{MemberDelta, Sets};
use crate::settings::Settings;
use changes::Changes;
use lists::World;
use locals::{LocalNumber, Locals};
use policies::{Policies, Tiers};
use uses::Uses;

/// The calculation. Feed it with updates and call [`Engine::flush`]; the order of updates does not matter.
pub struct Engine {
    settings: Arc<Settings>,
    links: Links,
    locals: Locals,
    /// Host endpoints of other nodes: they become local when the node's name changes.
    remote: BTreeMap<String, Arc<Resource>>,
    policies: Policies,
    tiers: Tiers,
    profiles: BTreeMap<String, Resolved<Arc<ProfileRules>>>,
    resolver: Resolver,
    /// How many workload endpoints of this node name an interface (E-442).
    here: BTreeMap<String, usize>,
    items: Items,
    sets: Sets,
    uses: Uses,
    /// Of the present local endpoints, links and settings.
    resolution: Resolution,
    dirty: Dirty,
    output: HostPolicy,
}

#[derive(Default)]
struct Dirty {
    policies: BTreeMap<ResourceKey, Option<Arc<Resource>>>,
    /// Local endpoints that are others now, or have other profiles.
    locals: BTreeSet<LocalNumber>,
    /// Links, settings, attachments: which endpoint governs what is found anew.
    dispatch: bool,
    /// All policies are sorted again.
    tiers: bool,
    /// Rules with `http` are read otherwise.
    http: bool,
    profiles: bool,
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
            resolver: Resolver::new(settings.ignores_http),
            settings: Arc::new(settings),
            links: Links::new(),
            locals: Locals::default(),
            remote: BTreeMap::new(),
            policies: Policies::default(),
            tiers: Tiers::new(),
            profiles: BTreeMap::new(),
            here: BTreeMap::new(),
            items: Items::default(),
            sets: Sets::default(),
            uses: Uses::default(),
            resolution: Resolution::default(),
            dirty: Dirty { dispatch: true, settings: true, any: true, ..Dirty::default() },
            output: HostPolicy::default(),
        };
        engine.set_profile(DEFAULT_ALLOW_PROFILE, None);
        engine
    }

    /// Sets or removes one object.
    pub fn update(&mut self, key: ResourceKey, resource: Option<Arc<Resource>>) {
        self.dirty.any = true;
        if Items::contributes(key.kind) {
            let [went, came] = self.items.set(&key, resource.as_deref(), &self.settings.node);
            went.into_iter().for_each(|interface| self.count_interface(interface, false));
            came.into_iter().for_each(|interface| self.count_interface(interface, true));
        }
        match key.kind {
            Kind::HostEndpoint => self.set_endpoint(key.name, resource),
            Kind::Tier => {
                match resource.as_deref() {
                    Some(Resource::Tier(tier)) => self.tiers.insert(key.name, tier.clone()),
                    _ => self.tiers.remove(&key.name),
                };
                self.dirty.tiers = true;
            }
            Kind::Profile => self.set_profile(&key.name, resource),
            kind if kind.is_tiered_policy() => _ = self.dirty.policies.insert(key, resource),
            _ => {}
        }
    }

    /// The links of the host.
    pub fn set_links(&mut self, links: Links) {
        if self.links != links {
            self.links = links;
            self.dirty.dispatch = true;
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
        self.dirty.dispatch = true;
        self.dirty.settings = true;
        self.dirty.any = true;
        if has_moved {
            self.move_to_node();
        }
        if reads_http_otherwise {
            self.resolver.ignores_http = self.settings.ignores_http;
            self.dirty.http = true;
            let names: Vec<String> = self.profiles.keys().cloned().collect();
            names.iter().for_each(|name| self.resolve_profile(name));
            self.dirty.locals.extend(self.locals.all().map(|(number, _)| number));
        }
    }

    /// Takes the endpoints of the node that this is now for local ones.
    fn move_to_node(&mut self) {
        self.here.clear();
        for interface in self.items.interfaces_on(&self.settings.node) {
            *self.here.entry(interface.to_owned()).or_default() += 1;
        }
        let mut endpoints = std::mem::take(&mut self.remote);
        for (name, number) in self.locals.names() {
            endpoints.extend(self.locals.get(number).resource.clone().map(|resource| (name.clone(), resource)));
        }
        for (name, resource) in endpoints {
            self.set_endpoint(name, Some(resource));
        }
    }

    /// Counts the interface of a workload endpoint of this node that comes or goes.
    fn count_interface(&mut self, interface: String, comes: bool) {
        let count = self.here.entry(interface.clone()).or_default();
        *count = if comes { *count + 1 } else { *count - 1 };
        if *count == 0 {
            self.here.remove(&interface);
        }
        self.dirty.workloads = true;
    }

    fn set_endpoint(&mut self, name: String, resource: Option<Arc<Resource>>) {
        self.remote.remove(&name);
        let node = &self.settings.node;
        let is_local = matches!(resource.as_deref(), Some(Resource::HostEndpoint(hep)) if hep.node == *node);
        let number = if is_local { Some(self.locals.number(&name)) } else { self.locals.find(&name) };
        if let Some(number) = number {
            let local = self.locals.get_mut(number);
            let before = std::mem::replace(&mut local.resource, resource.clone().filter(|_| is_local));
            let is_where_it_was = match (before.as_deref(), local.endpoint()) {
                (Some(Resource::HostEndpoint(before)), Some(now)) => locals::is_where_it_was(before, now),
                _ => false,
            };
            self.dirty.dispatch |= !is_where_it_was;
            self.dirty.locals.insert(number);
        }
        if let Some(resource) = resource.filter(|_| !is_local) {
            self.remote.insert(name, resource);
        }
    }

    fn set_profile(&mut self, name: &str, resource: Option<Arc<Resource>>) {
        let resource = if name == DEFAULT_ALLOW_PROFILE { Some(Arc::new(default_allow())) } else { resource };
        self.items.set_profile(name, resource);
        self.resolve_profile(name);
        let locals = self.locals.all();
        let listing = locals.filter(|(_, endpoint)| endpoint.profiles.iter().any(|profile| profile == name));
        self.dirty.locals.extend(listing.map(|(number, _)| number));
    }

    fn resolve_profile(&mut self, name: &str) {
        self.dirty.profiles = true;
        match self.items.profile(name) {
            Some(profile) => {
                let resolved = self.resolver.profile(profile);
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
        let changes = self.select(&mut dirty);
        self.resolve(&dirty, &changes);
        self.policies.sort(&self.tiers, dirty.tiers);
        let started = if dirty.dispatch { self.dispatch(&mut delta) } else { BTreeSet::new() };
        self.assemble(&dirty, &changes, &started, &mut delta);
        self.count_uses(&dirty, &changes);
        self.forget_gone(&dirty);
        self.sets.update(&mut self.items, &mut self.output.sets, &mut delta.set_members);
        self.follow_uses(&mut delta);
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

    /// Brings the selections up to date, and tells what that touches.
    fn select(&mut self, dirty: &mut Dirty) -> Changes {
        let mut changes = Changes::default();
        for (key, resource) in std::mem::take(&mut dirty.policies) {
            self.policies.set(key, resource, &self.tiers, self.locals.known(), &mut changes);
        }
        for &number in &dirty.locals {
            let local = self.locals.get_mut(number);
            let before = local.labels.take();
            let Some(endpoint) = local.endpoint() else {
                self.policies.deselect(number, &mut changes);
                continue;
            };
            let key = ResourceKey::global(Kind::HostEndpoint, &endpoint.meta.name);
            let item = self.items.find(&key).expect("local endpoints are items");
            let mut labels = Labels::new();
            for (label, value) in self.items.effective(item.labelling).pairs() {
                labels.insert_missing(label, value);
            }
            self.policies.select(number, before.as_ref(), &labels, &mut changes);
            local.labels = Some(labels);
        }
        changes
    }

    /// Resolves the rules of policies that changed, or whose selection did.
    fn resolve(&mut self, dirty: &Dirty, changes: &Changes) {
        self.resolver.rereads_http = dirty.http;
        let all: Vec<_> = if dirty.http { self.policies.all().map(|(number, _)| number).collect() } else { Vec::new() };
        for &number in all.iter().chain(&changes.policies) {
            self.policies.slot(number).resolve(&mut self.resolver, &mut self.uses);
        }
    }

    /// Finds which endpoint governs what; gives those that did not govern anything before.
    fn dispatch(&mut self, delta: &mut Delta) -> BTreeSet<LocalNumber> {
        let endpoints = self.locals.all().map(|(_, endpoint)| endpoint);
        self.resolution = dispatch::resolve(endpoints, &self.links, &self.settings);
        let now = &self.resolution.dispatch;
        delta.dispatch_changed = self.output.dispatch != *now;
        self.output.dispatch.clone_from(now);
        let governing: BTreeSet<&String> = now.interfaces.values().chain(&now.wildcard).collect();
        let mut started = BTreeSet::new();
        let names: Vec<(String, LocalNumber)> = self.locals.names().map(|(name, n)| (name.clone(), n)).collect();
        for (name, number) in names {
            let local = self.locals.get_mut(number);
            let governed = std::mem::replace(&mut local.governs, governing.contains(&name));
            match (governed, local.governs) {
                (false, true) => _ = started.insert(number),
                (true, false) => {
                    self.output.endpoints.remove(&name);
                    delta.endpoints_removed.insert(name);
                }
                _ => {}
            }
        }
        started
    }

    /// Brings lists and policies of the touched local endpoints up to date.
    fn assemble(&mut self, dirty: &Dirty, changes: &Changes, started: &BTreeSet<LocalNumber>, delta: &mut Delta) {
        let sorts_all = dirty.tiers || dirty.http;
        let all = self.locals.all().map(|(number, _)| number).filter(|_| sorts_all);
        let touched: BTreeSet<LocalNumber> = all
            .chain(changes.by_local.keys().copied())
            .chain(started.iter().copied())
            .chain(dirty.locals.iter().copied())
            .collect();
        for number in touched {
            let changes = changes.by_local.get(&number).map_or(&[][..], Vec::as_slice);
            let mut lists = std::mem::take(&mut self.locals.get_mut(number).lists);
            let world = World { policies: &self.policies, tiers: &self.tiers };
            let local = self.locals.get(number);
            let Some(endpoint) = local.endpoint() else { continue };
            let is_new = started.contains(&number);
            if is_new {
                let built = EndpointPolicy { name: endpoint.meta.name.clone(), ..EndpointPolicy::default() };
                self.output.endpoints.insert(endpoint.meta.name.clone(), Arc::new(built));
            }
            let mut built = match local.governs {
                true => self.output.endpoints.get_mut(&endpoint.meta.name),
                false => None,
            };
            let mut has_changed = is_new;
            has_changed |= lists.change(number, changes, sorts_all || is_new, world, built.as_deref_mut());
            if let Some(built) = built.filter(|_| is_new || dirty.locals.contains(&number)) {
                has_changed |= set_own(endpoint, built, &self.profiles);
            }
            if has_changed {
                delta.endpoints_changed.insert(endpoint.meta.name.clone());
            }
            self.locals.get_mut(number).lists = lists;
        }
    }

    /// Counts the sets of policies that select an endpoint which governs something.
    fn count_uses(&mut self, dirty: &Dirty, changes: &Changes) {
        let all: Vec<_> =
            if dirty.dispatch { self.policies.all().map(|(number, _)| number).collect() } else { Vec::new() };
        for &number in all.iter().chain(&changes.policies) {
            let active = self.policies.slot(number);
            let counts = active.rules.is_some() && active.selects.iter().any(|&local| self.locals.get(local).governs);
            match (active.is_counted, counts) {
                (false, true) => self.uses.swap(&[], active.sets()),
                (true, false) => self.uses.swap(active.sets(), &[]),
                _ => {}
            }
            active.is_counted = counts;
        }
        if dirty.dispatch || dirty.profiles {
            self.use_profiles();
        }
    }

    fn forget_gone(&mut self, dirty: &Dirty) {
        self.policies.forget_gone();
        let gone = dirty.locals.iter().filter(|&&number| self.locals.get(number).resource.is_none());
        let gone: Vec<LocalNumber> = gone.copied().collect();
        gone.into_iter().for_each(|number| self.locals.forget(number));
    }
}

/// Takes what an endpoint says itself into its policy; tells whether that changed.
fn set_own(
    endpoint: &HostEndpoint,
    built: &mut Arc<EndpointPolicy>,
    profiles: &BTreeMap<String, Resolved<Arc<ProfileRules>>>,
) -> bool {
    let rules = |direction| -> Vec<Arc<ProfileRules>> {
        endpoint.profiles.iter().map(|name| profile_rules(profiles, name, direction)).collect()
    };
    let reverse_path = locals::reverse_path(endpoint);
    let (ingress, egress) = (rules(Direction::Ingress), rules(Direction::Egress));
    let is_same =
        built.reverse_path == reverse_path && built.profiles_ingress == ingress && built.profiles_egress == egress;
    if !is_same {
        let built = Arc::make_mut(built);
        built.reverse_path = reverse_path;
        (built.profiles_ingress, built.profiles_egress) = (ingress, egress);
    }
    !is_same
}

fn profile_rules(
    profiles: &BTreeMap<String, Resolved<Arc<ProfileRules>>>,
    name: &str,
    direction: Direction,
) -> Arc<ProfileRules> {
    match (profiles.get(name), direction) {
        (Some(resolved), Direction::Ingress) => resolved.ingress.clone(),
        (Some(resolved), Direction::Egress) => resolved.egress.clone(),
        (None, _) => Arc::new(ProfileRules { name: name.to_owned(), rules: None }),
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
