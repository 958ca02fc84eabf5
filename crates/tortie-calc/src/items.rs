//! Things with labels and addresses: what selectors of rules and named ports range over (E-330, E-341).

mod item;
mod labelling;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;
use tortie_api::model::{Labels, Profile, Resource};
use tortie_api::{Kind, ResourceKey};
use tortie_selector::{IndexKey, Selector};

use crate::index::LabelIndex;
use crate::texts::{Text, Texts};
pub(crate) use item::{Body, Item, Parts};
use labelling::Labellings;
pub(crate) use labelling::{Labelling, LabellingId};

/// The number of an item.
pub(crate) type ItemId = u32;

/// Host endpoints, workload endpoints and network sets of the whole cluster, and the profiles they list.
///
/// INVARIANT: an item's number is its own until [`Items::take_changed`] has told that it is gone.
#[derive(Debug, Default)]
pub(crate) struct Items {
    texts: Texts,
    /// By their keys.
    ids: HashTable<ItemId>,
    hasher: RandomState,
    slots: Vec<Option<Item>>,
    free: Vec<ItemId>,
    labellings: Labellings,
    /// By the text of their names.
    profiles: HashMap<Text, Arc<Resource>>,
    /// Profiles by the labels that they give.
    profile_index: LabelIndex,
    /// New numbers since changes were last taken.
    added: Vec<ItemId>,
    /// What others were then that are something else now.
    changed: HashMap<ItemId, Was>,
    /// Those that are gone, whose numbers are free when the changes are taken.
    gone: BTreeMap<ResourceKey, ItemId>,
}

/// What an item was when changes were last taken.
#[derive(Debug)]
pub(crate) struct Was {
    pub(crate) body: Body,
    pub(crate) labelling: LabellingId,
}

/// What changed.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Items that are new, in order.
    pub(crate) added: Vec<ItemId>,
    /// Items that were something else, in order.
    pub(crate) items: Vec<(ItemId, Was)>,
    /// Those that are new, or list a profile whose labels changed, in order.
    pub(crate) labellings: Vec<LabellingId>,
}

/// Own labels, then those of profiles in order (E-202).
pub(crate) struct Effective<'a> {
    items: &'a Items,
    labelling: &'a Labelling,
}

impl tortie_selector::Labels for Effective<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        // Labels of items and of profiles are held: nobody has one that is unknown.
        let label = self.items.texts.find(name)?;
        match self.labelling.label(label) {
            Some(value) => Some(self.items.texts.text(value)),
            None => self.profiles().find_map(|profile| profile.labels_to_apply.get(name)).map(String::as_str),
        }
    }
}

impl<'a> Effective<'a> {
    /// All labels and values; where several give a label, all of them.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (items, labelling) = (self.items, self.labelling);
        let own = labelling.labels().map(|(label, value)| (items.texts.text(label), items.texts.text(value)));
        let inherited = self.profiles().flat_map(|profile| &profile.labels_to_apply);
        own.chain(inherited.map(|(label, value)| (label.as_str(), value.as_str())))
    }

    fn profiles(&self) -> impl Iterator<Item = &'a Profile> {
        let items = self.items;
        self.labelling
            .profiles()
            .filter_map(|name| items.profiles.get(&name))
            .filter_map(|resource| as_profile(resource))
    }
}

impl Items {
    pub(crate) fn contributes(kind: Kind) -> bool {
        matches!(kind, Kind::HostEndpoint | Kind::WorkloadEndpoint | Kind::GlobalNetworkSet | Kind::NetworkSet)
    }

    /// Takes an object or that it is gone; gives the interface of a workload endpoint of `node` that goes by this, and the
    /// one that comes (E-442).
    pub(crate) fn set(&mut self, key: &ResourceKey, resource: Option<&Resource>, node: &str) -> [Option<String>; 2] {
        let here = |(of, interface): (&str, &str)| (of == node).then(|| interface.to_owned());
        let parts = resource.and_then(Parts::of);
        let known = self.number(key);
        let went = known.and_then(|id| self.get(id)?.workload(&self.texts)).and_then(here);
        let came = parts.as_ref().and_then(Parts::workload).and_then(here);
        // The new one first, so that texts of both stay.
        let item = parts.map(|parts| {
            let mut words = SmallVec::new();
            let labels = parts.words(&mut self.texts, &mut words);
            let labelling = self.labellings.take(&words, labels, &mut self.texts);
            Item::new(key, parts, labelling, &mut self.texts)
        });
        if let Some(id) = known {
            self.unlink(id, item.is_none().then_some(key));
        }
        if let Some(item) = item {
            let id = known.or_else(|| self.gone.remove(key)).unwrap_or_else(|| self.new_number());
            self.link(id, item, known.is_none());
        }
        [went, came]
    }

    fn new_number(&mut self) -> ItemId {
        let id = self.free.pop().unwrap_or_else(|| push_empty(&mut self.slots));
        self.added.push(id);
        id
    }

    /// The number of the item that is there with a key.
    fn number(&self, key: &ResourceKey) -> Option<ItemId> {
        let namespace = match &key.namespace {
            // Texts of keys are held: nobody has one that is unknown.
            Some(namespace) => Some(self.texts.find(namespace)?),
            None => None,
        };
        let key = (key.kind, namespace, key.name.as_str());
        let is_it = |&id: &ItemId| self.get(id).is_some_and(|item| item.key() == key);
        self.ids.find(Hash::of(&self.hasher, key).wide(), is_it).copied()
    }

    fn link(&mut self, id: ItemId, mut item: Item, has_new_key: bool) {
        item.place = self.labellings.add_item(item.labelling, id);
        item.is_new = !self.changed.contains_key(&id);
        item.hash = Hash::of(&self.hasher, item.key());
        let hash = item.hash.wide();
        self.slots[id as usize] = Some(item);
        if has_new_key {
            let slots = &self.slots;
            self.ids.insert_unique(hash, id, |&id| slots[id as usize].as_ref().map_or(0, |item| item.hash.wide()));
        }
    }

    /// Takes an item away; its key is given if it is gone, and not about to be replaced.
    fn unlink(&mut self, id: ItemId, gone: Option<&ResourceKey>) {
        let item = self.slots[id as usize].take().expect("numbers are those of items");
        if let Some(key) = gone {
            if let Ok(entry) = self.ids.find_entry(item.hash.wide(), |&other| other == id) {
                entry.remove();
            }
            self.gone.insert(key.clone(), id);
        }
        if let Some(moved) = self.labellings.remove_item(item.labelling, item.place) {
            self.slots[moved as usize].as_mut().expect("labellings list items").place = item.place;
        }
        item.release(&mut self.texts);
        if !item.is_new {
            self.changed.entry(id).or_insert(Was { body: item.body, labelling: item.labelling });
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
                self.profile_index.insert(label, value, name.get());
            }
            for (label, value) in before.iter().filter(|(label, value)| now.get(label) != Some(*value)) {
                let (label, value) = (self.texts.hold(label), self.texts.hold(value));
                self.profile_index.remove(label, value, name.get());
                self.texts.release(label);
                self.texts.release(value);
            }
            // What was held for the former labels.
            for text in before.iter().flat_map(|(label, value)| [label, value]) {
                let held = self.texts.find(text).expect("texts of labels are held");
                self.texts.release(held);
            }
            self.labellings.touch(name);
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
        self.get(self.number(key)?)
    }

    pub(crate) fn get(&self, id: ItemId) -> Option<&Item> {
        self.slots[id as usize].as_ref()
    }

    pub(crate) fn labelling(&self, id: LabellingId) -> &Labelling {
        self.labellings.get(id)
    }

    pub(crate) fn labelling_mut(&mut self, id: LabellingId) -> &mut Labelling {
        self.labellings.get_mut(id)
    }

    /// The items of a labelling.
    pub(crate) fn of(&self, labelling: LabellingId) -> impl Iterator<Item = (ItemId, &Item)> {
        let items = self.labellings.get(labelling).items.iter();
        items.filter_map(|&id| Some((id, self.get(id)?)))
    }

    /// The interfaces of all workload endpoints of this node.
    pub(crate) fn interfaces_on(&self, node: &str) -> impl Iterator<Item = &str> {
        let workloads = self.slots.iter().flatten().filter_map(|item| item.workload(&self.texts));
        workloads.filter(move |(of, _)| *of == node).map(|(_, interface)| interface)
    }

    /// All items with their keys, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (ResourceKey, &Item)> {
        self.slots.iter().flatten().map(|item| (item.resource_key(&self.texts), item))
    }

    pub(crate) fn effective(&self, labelling: LabellingId) -> Effective<'_> {
        Effective { items: self, labelling: self.labellings.get(labelling) }
    }

    /// The names of profiles that give what is at a key.
    fn giving(&self, key: &IndexKey) -> impl Iterator<Item = Text> {
        self.profile_index.at(key, &self.texts).filter_map(Text::new)
    }

    /// Where the fewest labellings are among which are all that the selector selects.
    pub(crate) fn index_keys(&self, selector: Option<&Selector>) -> Option<Vec<IndexKey>> {
        let weight = |key: &IndexKey| {
            let profiles = self.giving(key);
            self.labellings.count(key, profiles, &self.texts)
        };
        selector?.index_keys(&weight)
    }

    /// All labellings at these keys; all there are without keys.
    pub(crate) fn at(&self, keys: Option<&[IndexKey]>) -> Vec<LabellingId> {
        let Some(keys) = keys else { return self.labellings.all().collect() };
        let mut found = Vec::new();
        for key in keys {
            let profiles = self.giving(key);
            self.labellings.at(key, profiles, &self.texts, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What changed since the last call, with what it was. Labellings that it names stay until [`Items::forget_idle`].
    pub(crate) fn take_changed(&mut self) -> Changed {
        self.free.extend(std::mem::take(&mut self.gone).into_values());
        let mut labellings = std::mem::take(&mut self.labellings.changed);
        labellings.sort_unstable();
        labellings.dedup();
        let mut items: Vec<_> = std::mem::take(&mut self.changed).into_iter().collect();
        items.sort_unstable_by_key(|(id, _)| *id);
        let mut added = std::mem::take(&mut self.added);
        added.sort_unstable();
        for &id in &added {
            if let Some(item) = &mut self.slots[id as usize] {
                item.is_new = false;
            }
        }
        Changed { added, items, labellings }
    }

    /// Forgets labellings that no item has.
    pub(crate) fn forget_idle(&mut self) {
        self.labellings.forget_idle(&mut self.texts);
    }
}

/// The hash of what stands at a number, kept there so that a table that grows does not work it out again.
#[derive(Clone, Copy, Debug, Default)]
struct Hash(u32);

impl Hash {
    fn of(hasher: &impl BuildHasher, key: impl std::hash::Hash) -> Hash {
        let [a, b, c, d, ..] = hasher.hash_one(key).to_le_bytes();
        Hash(u32::from_le_bytes([a, b, c, d]))
    }

    /// As tables want it: they look at the first bits and at the last ones.
    fn wide(self) -> u64 {
        u64::from(self.0) << 32 | u64::from(self.0)
    }
}

/// Adds an empty slot and gives its number. What is there grows by an eighth, and not to the double.
fn push_empty<T>(slots: &mut Vec<Option<T>>) -> u32 {
    if slots.len() == slots.capacity() {
        slots.reserve_exact(slots.len() / 8 + 16);
    }
    slots.push(None);
    u32::try_from(slots.len() - 1).expect("memory ends before numbers do")
}

fn as_profile(resource: &Resource) -> Option<&Profile> {
    match resource {
        Resource::Profile(profile) => Some(profile),
        _ => None,
    }
}
