//! Objects in force: those of the store, except where the last valid form of one that became invalid is kept (D-11).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tortie_api::model::Resource;
use tortie_api::read_stored;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::syncer::Update;

/// What is wrong with a stored object, and what is in force instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredProblem {
    /// One sentence for each mistake.
    pub(crate) messages: Vec<String>,
    /// Whether the last valid form stays in force.
    pub(crate) is_held: bool,
}

/// The step between store and calculation.
#[derive(Default)]
pub(crate) struct Hold {
    in_force: BTreeMap<ResourceKey, Arc<Resource>>,
    problems: BTreeMap<ResourceKey, StoredProblem>,
    warnings: BTreeMap<ResourceKey, Vec<String>>,
}

impl Hold {
    /// Takes a stored object; gives what the calculation is to be told, if anything.
    ///
    /// With `holds` an invalid object leaves its last valid form in force, else it counts as missing (`Strict`).
    pub(crate) fn update(&mut self, update: Update, holds: bool) -> Option<(ResourceKey, Option<Arc<Resource>>)> {
        let key = update.key;
        self.warnings.remove(&key);
        let read = match update.value {
            None => {
                self.problems.remove(&key);
                self.in_force.remove(&key);
                return Some((key, None));
            }
            Some(Err(cause)) => Err(vec![cause]),
            Some(Ok(object)) => read_stored(key.kind, &Value::Object(object))
                .map_err(|problems| problems.iter().map(ToString::to_string).collect()),
        };
        match read {
            Ok(stored) => {
                self.problems.remove(&key);
                if !stored.warnings.is_empty() {
                    let texts = stored.warnings.iter().map(ToString::to_string).collect();
                    self.warnings.insert(key.clone(), texts);
                }
                let resource = Arc::new(stored.resource);
                self.in_force.insert(key.clone(), resource.clone());
                Some((key, Some(resource)))
            }
            Err(messages) => {
                let is_held = holds && self.in_force.contains_key(&key);
                for message in &messages {
                    let what = if is_held { "its last valid form stays in force" } else { "it counts as missing" };
                    tracing::warn!("{key} in the store is invalid, {what}: {message}");
                }
                self.problems.insert(key.clone(), StoredProblem { messages, is_held });
                if is_held {
                    return None;
                }
                self.in_force.remove(&key);
                Some((key, None))
            }
        }
    }

    /// Lets go of what is held, when that is no longer wanted; gives what counts as missing from now on.
    ///
    /// Configurations are held in every mode (D-12).
    pub(crate) fn release(&mut self) -> Vec<ResourceKey> {
        let mut released = Vec::new();
        for (key, problem) in &mut self.problems {
            if problem.is_held && key.kind != Kind::FelixConfiguration {
                problem.is_held = false;
                self.in_force.remove(key);
                released.push(key.clone());
            }
        }
        released
    }

    /// Objects in force of one kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Resource>> {
        self.in_force.iter().filter(move |(key, _)| key.kind == kind).map(|(_, resource)| resource)
    }

    /// All objects in force.
    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.in_force.values()
    }

    /// Invalid objects.
    pub(crate) fn problems(&self) -> &BTreeMap<ResourceKey, StoredProblem> {
        &self.problems
    }

    /// Objects of which some entries are left out.
    pub(crate) fn warnings(&self) -> &BTreeMap<ResourceKey, Vec<String>> {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(spec: Option<Value>) -> Update {
        let key = ResourceKey::global(Kind::HostEndpoint, "a");
        let object = spec.map(|spec| json!({"metadata": {"name": "a"}, "spec": spec}));
        Update { key, value: object.map(|object| Ok(object.as_object().unwrap().clone())) }
    }

    #[test]
    fn an_invalid_form_leaves_the_last_valid_one_in_force_d11() {
        let mut hold = Hold::default();
        let valid = json!({"node": "n", "interfaceName": "eth0"});
        let invalid = json!({"interfaceName": "eth0"});
        assert!(matches!(hold.update(update(Some(invalid.clone())), true), Some((_, None))), "none known");
        assert!(matches!(hold.update(update(Some(valid.clone())), true), Some((_, Some(_)))));
        assert!(hold.problems().is_empty());
        assert!(hold.update(update(Some(invalid.clone())), true).is_none(), "held");
        assert!(hold.problems().values().all(|problem| problem.is_held));
        assert!(matches!(hold.update(update(None), true), Some((_, None))), "a real delete");
        assert!(hold.problems().is_empty());
        hold.update(update(Some(valid)), false);
        assert!(matches!(hold.update(update(Some(invalid)), false), Some((_, None))), "Strict");
    }
    #[test]
    fn what_is_held_goes_when_the_mode_changes_but_for_configurations_d1_d12() {
        let mut hold = Hold::default();
        let of = |kind: Kind, spec: Value| {
            let object = json!({"metadata": {"name": "a"}, "spec": spec});
            Update { key: ResourceKey::global(kind, "a"), value: Some(Ok(object.as_object().unwrap().clone())) }
        };
        for (kind, valid, invalid) in [
            (Kind::HostEndpoint, json!({"node": "n", "interfaceName": "eth0"}), json!({})),
            (Kind::FelixConfiguration, json!({"nodeSelector": "all()"}), json!({"nodeSelector": "a =="})),
        ] {
            hold.update(of(kind, valid), true);
            assert!(hold.update(of(kind, invalid), true).is_none(), "{kind:?}");
        }
        assert_eq!(hold.release(), [ResourceKey::global(Kind::HostEndpoint, "a")]);
        assert_eq!(hold.release(), []);
        assert_eq!(hold.of_kind(Kind::HostEndpoint).count(), 0);
        assert_eq!(hold.of_kind(Kind::FelixConfiguration).count(), 1);
        assert_eq!(hold.problems().values().filter(|problem| problem.is_held).count(), 1);
    }
}
