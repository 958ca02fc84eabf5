//! Things with labels and addresses: what selectors of rules and named ports range over (E-330, E-341).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::{EndpointPort, Labels, Profile, Resource};
use tortie_api::{Kind, ResourceKey};
use tortie_selector::scope::NAMESPACE_LABEL;

/// Host endpoints, workload endpoints and network sets of the whole cluster, and the profiles they list.
#[derive(Debug, Default)]
pub(crate) struct Items {
    items: BTreeMap<ResourceKey, Item>,
    profiles: BTreeMap<String, Arc<Resource>>,
    /// Items that list a profile, whether or not it exists.
    by_profile: BTreeMap<String, BTreeSet<ResourceKey>>,
}

/// One item.
#[derive(Debug)]
pub(crate) struct Item {
    own: Labels,
    profiles: Vec<String>,
    /// Networks it adds to the sets of selectors that it satisfies.
    pub(crate) nets: Vec<IpNet>,
    /// What it adds to the sets of named ports.
    pub(crate) ports: Vec<(IpAddr, EndpointPort)>,
}

impl Item {
    fn of(resource: &Resource) -> Option<Item> {
        let endpoint = |own: &Labels, profiles: &[String], addresses: &[IpAddr], ports: &[EndpointPort]| Item {
            own: own.clone(),
            profiles: profiles.to_vec(),
            nets: addresses.iter().map(|address| IpNet::from(*address)).collect(),
            ports: addresses.iter().flat_map(|a| ports.iter().map(|port| (*a, port.clone()))).collect(),
        };
        match resource {
            Resource::HostEndpoint(hep) => {
                Some(endpoint(&hep.meta.labels, &hep.profiles, &hep.expected_ips, &hep.ports))
            }
            Resource::WorkloadEndpoint(wep) => {
                Some(endpoint(&wep.meta.labels, &wep.profiles, &wep.addresses, &wep.ports))
            }
            Resource::NetworkSet(set) => {
                let mut own = set.meta.labels.clone();
                let mut profiles = Vec::new();
                if let Some(namespace) = &set.meta.namespace {
                    own.insert(NAMESPACE_LABEL.to_owned(), namespace.clone());
                    profiles.push(format!("kns.{namespace}"));
                }
                Some(Item { own, profiles, nets: set.nets.clone(), ports: Vec::new() })
            }
            _ => None,
        }
    }
}

/// Own labels, then those of profiles in order (E-202).
pub(crate) struct Effective<'a> {
    own: &'a Labels,
    inherited: Vec<&'a Labels>,
}

impl tortie_selector::Labels for Effective<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let own = BTreeMap::get(self.own, name);
        own.or_else(|| self.inherited.iter().find_map(|labels| BTreeMap::get(labels, name))).map(String::as_str)
    }
}

impl Items {
    pub(crate) fn contributes(kind: Kind) -> bool {
        matches!(kind, Kind::HostEndpoint | Kind::WorkloadEndpoint | Kind::GlobalNetworkSet | Kind::NetworkSet)
    }

    pub(crate) fn set(&mut self, key: &ResourceKey, resource: Option<&Resource>) {
        if let Some(old) = self.items.remove(key) {
            for profile in &old.profiles {
                if let Some(listed) = self.by_profile.get_mut(profile) {
                    listed.remove(key);
                    if listed.is_empty() {
                        self.by_profile.remove(profile);
                    }
                }
            }
        }
        if let Some(item) = resource.and_then(Item::of) {
            for profile in &item.profiles {
                self.by_profile.entry(profile.clone()).or_default().insert(key.clone());
            }
            self.items.insert(key.clone(), item);
        }
    }

    pub(crate) fn set_profile(&mut self, name: &str, profile: Option<Arc<Resource>>) {
        match profile {
            Some(profile) => self.profiles.insert(name.to_owned(), profile),
            None => self.profiles.remove(name),
        };
    }

    pub(crate) fn profile(&self, name: &str) -> Option<&Profile> {
        match self.profiles.get(name).map(Arc::as_ref) {
            Some(Resource::Profile(profile)) => Some(profile),
            _ => None,
        }
    }

    /// Items that take labels from this profile.
    pub(crate) fn listing(&self, profile: &str) -> impl Iterator<Item = &ResourceKey> {
        self.by_profile.get(profile).into_iter().flatten()
    }

    pub(crate) fn get(&self, key: &ResourceKey) -> Option<(&Item, Effective<'_>)> {
        self.items.get(key).map(|item| (item, self.effective(item)))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&ResourceKey, &Item, Effective<'_>)> {
        self.items.iter().map(|(key, item)| (key, item, self.effective(item)))
    }

    fn effective<'a>(&'a self, item: &'a Item) -> Effective<'a> {
        let inherited = item
            .profiles
            .iter()
            .filter_map(|name| self.profile(name))
            .map(|profile| &profile.labels_to_apply)
            .collect();
        Effective { own: &item.own, inherited }
    }
}
