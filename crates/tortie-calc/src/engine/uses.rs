//! Which sets the rules in force use, counted by the rules that do.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Delta, Engine};
use crate::policy::SetId;
use crate::sets::Definition;

/// The sets that are in use.
#[derive(Debug, Default)]
pub(super) struct Uses {
    sets: HashMap<SetId, (usize, Arc<Definition>)>,
    /// Those of profiles that endpoints ask.
    profiles: BTreeMap<String, Vec<Arc<Definition>>>,
    /// Sets that came into use or went out of it since the last look.
    changed: BTreeSet<SetId>,
}

impl Uses {
    /// Someone uses `now` in place of `before`.
    pub(super) fn swap(&mut self, before: &[Arc<Definition>], now: &[Arc<Definition>]) {
        let is_same = |(one, other): &(&Arc<Definition>, &Arc<Definition>)| Arc::ptr_eq(one, other);
        let first = before.iter().zip(now).take_while(is_same).count();
        let (before, now) = (&before[first..], &now[first..]);
        let last = before.iter().rev().zip(now.iter().rev()).take_while(is_same).count();
        for definition in &now[..now.len() - last] {
            match self.sets.get_mut(&definition.id) {
                Some((count, _)) => *count += 1,
                None => {
                    self.sets.insert(definition.id.clone(), (1, definition.clone()));
                    self.changed.insert(definition.id.clone());
                }
            }
        }
        for definition in &before[..before.len() - last] {
            let (count, _) = self.sets.get_mut(&definition.id).expect("sets in use are counted");
            *count -= 1;
            if *count == 0 {
                self.sets.remove(&definition.id);
                self.changed.insert(definition.id.clone());
            }
        }
    }

    fn swap_profile(&mut self, name: &str, now: &[Arc<Definition>]) {
        let before = self.profiles.remove(name).unwrap_or_default();
        self.swap(&before, now);
        if !now.is_empty() {
            self.profiles.insert(name.to_owned(), now.to_vec());
        }
    }
}

impl Engine {
    /// Adds the sets that are in use now, and removes those that are no more.
    pub(super) fn follow_uses(&mut self, delta: &mut Delta) {
        for id in std::mem::take(&mut self.uses.changed) {
            match self.uses.sets.get(&id) {
                None => {
                    self.sets.remove(&id, &mut self.items);
                    delta.set_members.remove(&id);
                    if self.output.sets.remove(&id).is_some() {
                        delta.sets_removed.push(id);
                    }
                }
                Some((_, definition)) if !self.sets.contains(&id) => {
                    let members = self.sets.add(definition.clone(), &mut self.items);
                    self.output.sets.insert(id.clone(), Arc::new(members));
                    delta.sets_added.push(id);
                }
                Some(_) => {}
            }
        }
    }

    /// Counts the profiles that endpoints ask, and no others.
    pub(super) fn use_profiles(&mut self) {
        let endpoints = self.output.endpoints.values();
        let listed: BTreeSet<&str> =
            endpoints.flat_map(|e| e.profiles_ingress.iter().map(|p| p.name.as_str())).collect();
        let former: Vec<String> =
            self.uses.profiles.keys().filter(|name| !listed.contains(name.as_str())).cloned().collect();
        for name in former {
            self.uses.swap_profile(&name, &[]);
        }
        for name in listed {
            let sets = self.profiles.get(name).map_or(&[][..], |resolved| &resolved.sets);
            self.uses.swap_profile(name, sets);
        }
    }
}
