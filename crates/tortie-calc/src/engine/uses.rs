//! Which sets the rules in force use, counted by policy and profile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tortie_api::ResourceKey;

use super::{Delta, Dirty, Engine};
use crate::policy::SetId;
use crate::sets::Definition;

/// Whose rules use sets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Policy(ResourceKey),
    Profile(String),
}

/// The sets that are in use, and by whom.
#[derive(Debug, Default)]
pub(super) struct Uses {
    users: BTreeMap<User, Vec<SetId>>,
    sets: BTreeMap<SetId, (usize, Definition)>,
}

impl Uses {
    /// `user` uses these sets and no others; those of which the number of users changed are told in `changed`.
    fn set(&mut self, user: User, definitions: &[Definition], changed: &mut BTreeSet<SetId>) {
        let ids: Vec<SetId> = definitions.iter().map(|definition| definition.id.clone()).collect();
        for definition in definitions {
            self.sets.entry(definition.id.clone()).or_insert_with(|| (0, definition.clone())).0 += 1;
        }
        changed.extend(ids.iter().cloned());
        let before = if ids.is_empty() { self.users.remove(&user) } else { self.users.insert(user, ids) };
        for id in before.into_iter().flatten() {
            self.sets.get_mut(&id).expect("sets in use are counted").0 -= 1;
            changed.insert(id);
        }
    }
}

impl Engine {
    /// Adds the sets that are in use now, and removes those that are no more.
    pub(super) fn follow_uses(&mut self, dirty: &Dirty, delta: &mut Delta) {
        let mut uses = std::mem::take(&mut self.uses);
        let mut changed = BTreeSet::new();
        let policies: BTreeSet<&ResourceKey> = match dirty.all {
            true => self.policies.keys().chain(&dirty.moved).collect(),
            false => dirty.moved.iter().collect(),
        };
        for key in policies {
            uses.set(User::Policy(key.clone()), self.sets_of_policy(key), &mut changed);
        }
        if dirty.all {
            self.use_profiles(&mut uses, &mut changed);
        }
        for id in changed {
            if uses.sets[&id].0 == 0 {
                uses.sets.remove(&id);
                self.sets.remove(&id, &mut self.items);
                delta.set_members.remove(&id);
                if self.output.sets.remove(&id).is_some() {
                    delta.sets_removed.push(id);
                }
            } else if !self.sets.contains(&id) {
                let members = self.sets.add(uses.sets[&id].1.clone(), &mut self.items);
                self.output.sets.insert(id.clone(), Arc::new(members));
                delta.sets_added.push(id);
            }
        }
        self.uses = uses;
    }

    /// Those of a policy that selects an endpoint which governs something.
    fn sets_of_policy(&self, key: &ResourceKey) -> &[Definition] {
        let active = self.policies.get(key);
        let active = active.filter(|a| a.selects.iter().any(|name| self.output.endpoints.contains_key(name)));
        active.and_then(|active| active.rules.as_ref()).map_or(&[], |rules| &rules.sets)
    }

    fn use_profiles(&self, uses: &mut Uses, changed: &mut BTreeSet<SetId>) {
        let endpoints = self.output.endpoints.values();
        let listed: BTreeSet<&str> =
            endpoints.flat_map(|e| e.profiles_ingress.iter().map(|p| p.name.as_str())).collect();
        let former = uses.users.keys().filter_map(|user| match user {
            User::Profile(name) => Some(name.clone()),
            User::Policy(_) => None,
        });
        let former: Vec<String> = former.filter(|name| !listed.contains(name.as_str())).collect();
        for name in former {
            uses.set(User::Profile(name), &[], changed);
        }
        for name in listed {
            let sets = self.profiles.get(name).map_or(&[][..], |resolved| &resolved.sets);
            uses.set(User::Profile(name.to_owned()), sets, changed);
        }
    }
}
