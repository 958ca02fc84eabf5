//! Labels and profiles that items share: those of one deployment have the same ones.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use tortie_selector::IndexKey;

use super::{Hash, ItemId, push_empty};
use crate::index::LabelIndex;
use crate::numbers::Numbers;
use crate::texts::{ByNumber, Text, Texts};

/// The number of a labelling.
pub(crate) type LabellingId = u32;

/// Labels with their values and the names of profiles, with the items that have these and no others.
#[derive(Debug)]
pub(crate) struct Labelling {
    /// Labels with their values, then the names of profiles.
    words: Box<[Text]>,
    /// How many labels stand in `words`.
    labels: u32,
    /// Of both.
    hash: Hash,
    /// In no order; each item knows its place.
    pub(super) items: SmallVec<[ItemId; 4]>,
    /// The sets whose selector it satisfies, by number, in order.
    pub(crate) sets: SmallVec<[u32; 4]>,
}

/// All labellings of items.
#[derive(Debug, Default)]
pub(super) struct Labellings {
    slots: Vec<Option<Labelling>>,
    free: Vec<LabellingId>,
    /// By their words.
    ids: HashTable<LabellingId>,
    hasher: RandomState,
    /// By own labels.
    index: LabelIndex,
    /// Those that list a profile, whether or not it exists.
    by_profile: ByNumber<Numbers>,
    /// Those that lost their last item.
    idle: Vec<LabellingId>,
    /// Those whose sets have to be found again.
    pub(super) changed: Vec<LabellingId>,
}

impl Labelling {
    /// Own labels.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (Text, Text)> {
        self.words[..2 * self.labels as usize].chunks_exact(2).map(|pair| (pair[0], pair[1]))
    }

    pub(super) fn label(&self, name: Text) -> Option<Text> {
        self.labels().find(|(label, _)| *label == name).map(|(_, value)| value)
    }

    /// Profiles in order.
    pub(super) fn profiles(&self) -> impl Iterator<Item = Text> {
        self.words[2 * self.labels as usize..].iter().copied()
    }
}

impl Labellings {
    /// The labelling with these words, which are held once more; made if there is none.
    pub(super) fn take(&mut self, words: &[Text], labels: u32, texts: &mut Texts) -> LabellingId {
        let hash = Hash::of(&self.hasher, (words, labels));
        let slots = &self.slots;
        let is_same = |&id: &LabellingId| {
            slots[id as usize].as_ref().is_some_and(|there| *there.words == *words && there.labels == labels)
        };
        if let Some(&id) = self.ids.find(hash.wide(), is_same) {
            words.iter().for_each(|&text| texts.release(text));
            return id;
        }
        let labelling = Labelling { words: words.into(), labels, hash, items: SmallVec::new(), sets: SmallVec::new() };
        let id = self.free.pop().unwrap_or_else(|| push_empty(&mut self.slots));
        for (label, value) in labelling.labels() {
            self.index.insert(label, value, id);
        }
        for profile in labelling.profiles() {
            self.by_profile.entry(profile).or_default().insert(id);
        }
        self.slots[id as usize] = Some(labelling);
        let slots = &self.slots;
        self.ids.insert_unique(hash.wide(), id, |&id| slots[id as usize].as_ref().map_or(0, |there| there.hash.wide()));
        self.changed.push(id);
        id
    }

    /// Adds an item; gives its place.
    pub(super) fn add_item(&mut self, id: LabellingId, item: ItemId) -> u32 {
        let items = &mut self.get_mut(id).items;
        items.push(item);
        u32::try_from(items.len() - 1).expect("items have numbers")
    }

    /// Removes the item at a place; gives the one that has this place now.
    pub(super) fn remove_item(&mut self, id: LabellingId, place: u32) -> Option<ItemId> {
        let items = &mut self.get_mut(id).items;
        items.swap_remove(place as usize);
        let moved = items.get(place as usize).copied();
        if items.is_empty() {
            self.idle.push(id);
        }
        moved
    }

    /// Forgets those without an item.
    pub(super) fn forget_idle(&mut self, texts: &mut Texts) {
        for id in std::mem::take(&mut self.idle) {
            let Some(labelling) = self.slots[id as usize].take_if(|there| there.items.is_empty()) else { continue };
            for (label, value) in labelling.labels() {
                self.index.remove(label, value, id);
            }
            for profile in labelling.profiles() {
                // One that is listed twice is gone already.
                let Some(listed) = self.by_profile.get_mut(&profile) else { continue };
                listed.remove(id);
                if listed.is_empty() {
                    self.by_profile.remove(&profile);
                }
            }
            if let Ok(entry) = self.ids.find_entry(labelling.hash.wide(), |&other| other == id) {
                entry.remove();
            }
            labelling.words.iter().for_each(|&text| texts.release(text));
            self.free.push(id);
        }
    }

    /// The labels of a profile changed.
    pub(super) fn touch(&mut self, profile: Text) {
        self.changed.extend(self.by_profile.get(&profile).into_iter().flat_map(Numbers::iter));
    }

    pub(super) fn get(&self, id: LabellingId) -> &Labelling {
        self.slots[id as usize].as_ref().expect("labellings of items are there")
    }

    pub(super) fn get_mut(&mut self, id: LabellingId) -> &mut Labelling {
        self.slots[id as usize].as_mut().expect("labellings of items are there")
    }

    /// How many are at a key, or list one of these profiles.
    pub(super) fn count(&self, key: &IndexKey, profiles: impl Iterator<Item = Text>, texts: &Texts) -> usize {
        let listing: usize = profiles.map(|name| self.by_profile.get(&name).map_or(0, Numbers::len)).sum();
        listing + self.index.count(key, texts)
    }

    /// Adds those at a key, or that list one of these profiles, to `found`.
    pub(super) fn at(
        &self,
        key: &IndexKey,
        profiles: impl Iterator<Item = Text>,
        texts: &Texts,
        found: &mut Vec<LabellingId>,
    ) {
        found.extend(self.index.at(key, texts));
        for profile in profiles {
            found.extend(self.by_profile.get(&profile).into_iter().flat_map(Numbers::iter));
        }
    }

    /// All there are.
    pub(super) fn all(&self) -> impl Iterator<Item = LabellingId> {
        (0..).zip(&self.slots).filter(|(_, slot)| slot.is_some()).map(|(id, _)| id)
    }
}
