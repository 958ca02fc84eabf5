//! Things with labels and addresses: what selectors of rules and named ports range over (E-330, E-341).

mod item;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tortie_api::model::{Labels, Profile, Resource};
use tortie_api::{Kind, ResourceKey};
use tortie_selector::{IndexKey, Selector};

use crate::index::LabelIndex;
use crate::texts::{Text, Texts};
pub(crate) use item::{Body, Item, Parts};

/// The number of an item.
pub(crate) type ItemId = u32;

/// Host endpoints, workload endpoints and network sets of the whole cluster, and the profiles they list.
///
/// INVARIANT: an item's number is its own until [`Items::take_changed`] has told that it is gone.
#[derive(Debug, Default)]
pub(crate) struct Items {
    texts: Texts,
    ids: HashMap<ItemKey, ItemId>,
    slots: Vec<Option<Item>>,
    free: Vec<ItemId>,
    /// By own labels.
    index: LabelIndex,
    /// By the text of their names.
    profiles: HashMap<Text, Arc<Resource>>,
    /// Profiles by the labels that they give.
    profile_index: LabelIndex,
    /// Items that list a profile, whether or not it exists.
    by_profile: HashMap<Text, BTreeSet<ItemId>>,
    changed: BTreeMap<ItemId, Before>,
    /// Those whose numbers are free when the changes are taken.
    gone: Vec<(ItemKey, ItemId)>,
}

/// What an item was when its changes were last taken.
#[derive(Debug)]
pub(crate) enum Before {
    /// It was not there.
    Absent,
    /// It was the same; its profiles changed.
    Same,
    /// Something else.
    Was(Box<Was>),
}

/// What a changed item was.
#[derive(Debug)]
pub(crate) struct Was {
    pub(crate) body: Body,
    pub(crate) sets: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct ItemKey {
    kind: Kind,
    namespace: Option<Box<str>>,
    name: Box<str>,
}

/// Own labels, then those of profiles in order (E-202).
pub(crate) struct Effective<'a> {
    items: &'a Items,
    item: &'a Item,
}

impl tortie_selector::Labels for Effective<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        // Labels of items and of profiles are held: nobody has one that is unknown.
        let label = self.items.texts.find(name)?;
        match self.item.label(label) {
            Some(value) => Some(self.items.texts.text(value)),
            None => self.profiles().find_map(|profile| profile.labels_to_apply.get(name)).map(String::as_str),
        }
    }
}

impl<'a> Effective<'a> {
    /// All labels and values; where several give a label, all of them.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (items, item) = (self.items, self.item);
        let own = item.labels().map(|(label, value)| (items.texts.text(label), items.texts.text(value)));
        let inherited = self.profiles().flat_map(|profile| &profile.labels_to_apply);
        own.chain(inherited.map(|(label, value)| (label.as_str(), value.as_str())))
    }

    fn profiles(&self) -> impl Iterator<Item = &'a Profile> {
        let items = self.items;
        self.item.profiles().filter_map(|name| items.profiles.get(&name)).filter_map(|resource| as_profile(resource))
    }
}

impl Items {
    pub(crate) fn contributes(kind: Kind) -> bool {
        matches!(kind, Kind::HostEndpoint | Kind::WorkloadEndpoint | Kind::GlobalNetworkSet | Kind::NetworkSet)
    }

    pub(crate) fn set(&mut self, key: &ResourceKey, resource: Option<&Resource>) {
        let parts = resource.and_then(Parts::of);
        let key = ItemKey::of(key);
        let id = match (self.ids.get(&key), &parts) {
            (Some(&id), _) => id,
            (None, None) => return,
            (None, Some(_)) => self.number(key.clone()),
        };
        // The new one first, so that texts of both stay.
        let item = parts.map(|parts| Item::new(parts, &mut self.texts));
        if let Some(before) = self.slots[id as usize].take() {
            self.unlink(id, before);
        }
        match item {
            Some(item) => self.link(id, item),
            None => self.gone.push((key, id)),
        }
    }

    fn number(&mut self, key: ItemKey) -> ItemId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            ItemId::try_from(self.slots.len() - 1).expect("memory ends before numbers do")
        });
        self.ids.insert(key, id);
        self.changed.insert(id, Before::Absent);
        id
    }

    fn link(&mut self, id: ItemId, item: Item) {
        for (label, value) in item.labels() {
            self.index.insert(label, value, id);
        }
        for profile in item.profiles() {
            self.by_profile.entry(profile).or_default().insert(id);
        }
        self.slots[id as usize] = Some(item);
        self.changed.entry(id).or_insert(Before::Absent);
    }

    fn unlink(&mut self, id: ItemId, item: Item) {
        for (label, value) in item.labels() {
            self.index.remove(label, value, id);
        }
        for profile in item.profiles() {
            // One that is listed twice is gone already.
            let Some(listed) = self.by_profile.get_mut(&profile) else { continue };
            listed.remove(&id);
            if listed.is_empty() {
                self.by_profile.remove(&profile);
            }
        }
        item.texts().for_each(|text| self.texts.release(text));
        let was = |item: Item| Before::Was(Box::new(Was { body: item.body, sets: item.sets }));
        match self.changed.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(was(item));
            }
            Entry::Occupied(mut entry) if matches!(entry.get(), Before::Same) => {
                entry.insert(was(item));
            }
            Entry::Occupied(_) => {}
        }
    }

    pub(crate) fn set_profile(&mut self, name: &str, profile: Option<Arc<Resource>>) {
        let labels = |profile: Option<&Arc<Resource>>| match profile.and_then(|resource| as_profile(resource)) {
            Some(profile) => profile.labels_to_apply.clone(),
            None => Labels::new(),
        };
        let name = self.texts.hold(name);
        let now = labels(profile.as_ref());
        let before = match profile {
            Some(profile) => self.profiles.insert(name, profile),
            None => self.profiles.remove(&name),
        };
        let is_known = before.is_some();
        let before = labels(before.as_ref());
        if before != now {
            for (label, value) in &now {
                let (label, value) = (self.texts.hold(label), self.texts.hold(value));
                self.profile_index.insert(label, value, name);
            }
            for (label, value) in before.iter().filter(|(label, value)| now.get(*label) != Some(*value)) {
                let (label, value) = (self.texts.hold(label), self.texts.hold(value));
                self.profile_index.remove(label, value, name);
                self.texts.release(label);
                self.texts.release(value);
            }
            // What was held for the former labels.
            for text in before.iter().flat_map(|(label, value)| [label, value]) {
                let held = self.texts.find(text).expect("texts of labels are held");
                self.texts.release(held);
            }
            for &id in self.by_profile.get(&name).into_iter().flatten() {
                self.changed.entry(id).or_insert(Before::Same);
            }
        }
        // A profile holds its name once.
        if is_known {
            self.texts.release(name);
        }
        if !self.profiles.contains_key(&name) {
            self.texts.release(name);
        }
    }

    pub(crate) fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(&self.texts.find(name)?).and_then(|resource| as_profile(resource))
    }

    pub(crate) fn find(&self, key: &ResourceKey) -> Option<&Item> {
        self.get(*self.ids.get(&ItemKey::of(key))?)
    }

    pub(crate) fn get(&self, id: ItemId) -> Option<&Item> {
        self.slots[id as usize].as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: ItemId) -> Option<&mut Item> {
        self.slots[id as usize].as_mut()
    }

    /// The interface of a workload endpoint of this node, if it names one (E-442).
    pub(crate) fn interface_on(&self, key: &ResourceKey, node: &str) -> Option<&str> {
        self.find(key)?.workload(&self.texts).filter(|(of, _)| *of == node).map(|(_, interface)| interface)
    }

    /// The interfaces of all workload endpoints of this node.
    pub(crate) fn interfaces_on(&self, node: &str) -> impl Iterator<Item = &str> {
        let workloads = self.slots.iter().flatten().filter_map(|item| item.workload(&self.texts));
        workloads.filter(move |(of, _)| *of == node).map(|(_, interface)| interface)
    }

    /// All items with their keys, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ResourceKey, &Item)> {
        self.ids.iter().filter_map(|(key, &id)| Some((key.key(), self.get(id)?)))
    }

    pub(crate) fn effective<'a>(&'a self, item: &'a Item) -> Effective<'a> {
        Effective { items: self, item }
    }

    /// Where the fewest items are among which are all that the selector selects.
    pub(crate) fn index_keys(&self, selector: Option<&Selector>) -> Option<Vec<IndexKey>> {
        let weight = |key: &IndexKey| {
            let profiles = self.profile_index.at(key, &self.texts);
            let listing: usize = profiles.map(|name| self.by_profile.get(&name).map_or(0, BTreeSet::len)).sum();
            listing + self.index.count(key, &self.texts)
        };
        selector?.index_keys(&weight)
    }

    /// All items at these keys, in order; all there are without keys.
    pub(crate) fn at(&self, keys: Option<&[IndexKey]>) -> Vec<ItemId> {
        let Some(keys) = keys else {
            return (0..).zip(&self.slots).filter(|(_, slot)| slot.is_some()).map(|(id, _)| id).collect();
        };
        let mut found = Vec::new();
        for key in keys {
            found.extend(self.index.at(key, &self.texts));
            for profile in self.profile_index.at(key, &self.texts) {
                found.extend(self.by_profile.get(&profile).into_iter().flatten());
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What changed since the last call, with what it was.
    pub(crate) fn take_changed(&mut self) -> BTreeMap<ItemId, Before> {
        for (key, id) in std::mem::take(&mut self.gone) {
            if self.slots[id as usize].is_none() && self.ids.get(&key) == Some(&id) {
                self.ids.remove(&key);
                self.free.push(id);
            }
        }
        std::mem::take(&mut self.changed)
    }
}

impl ItemKey {
    fn of(key: &ResourceKey) -> ItemKey {
        let namespace = key.namespace.as_deref().map(Box::from);
        ItemKey { kind: key.kind, namespace, name: key.name.as_str().into() }
    }

    fn key(&self) -> ResourceKey {
        let namespace = self.namespace.as_deref().map(str::to_owned);
        ResourceKey { kind: self.kind, namespace, name: self.name.to_string() }
    }
}

fn as_profile(resource: &Resource) -> Option<&Profile> {
    match resource {
        Resource::Profile(profile) => Some(profile),
        _ => None,
    }
}
