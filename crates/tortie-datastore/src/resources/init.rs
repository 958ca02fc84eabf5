//! Making a store what every store is (datastore.md section 2.8).

use serde_json::{Map, Value, json};
use tortie_api::defaults::FIXED_TIERS;
use tortie_api::{Kind, ResourceKey};
use uuid::Uuid;

use super::metadata::stamp;
use super::{ResourceError, Resources};
use crate::store::{Commit, Item, Select, Step};

impl Resources<'_> {
    /// Makes ClusterInformation and the fixed tiers where they are missing, and fills what ClusterInformation lacks. An
    /// explicit `datastoreReady: false` stays.
    ///
    /// # Errors
    /// The store's own; a tier that may not be made is none.
    pub fn ensure_initialised(&self) -> Result<(), ResourceError> {
        let cluster = ResourceKey::cluster_information();
        let tiers = FIXED_TIERS.map(|(name, ..)| ResourceKey::global(Kind::Tier, name));
        let what: Vec<Select> = std::iter::once(&cluster).chain(&tiers).cloned().map(Select::Object).collect();
        let mut found = self.store.select(&what)?.into_iter().map(|mut list| list.items.pop());
        let mut steps: Vec<Step> = self.cluster_step(cluster, found.next().flatten()).into_iter().collect();
        for ((_, order, action), key) in FIXED_TIERS.into_iter().zip(tiers) {
            if found.next().flatten().is_none() {
                let spec = json!({"order": order, "defaultAction": action});
                steps.push(Step::Create { value: fresh(&key, spec, Some(json!({}))), key });
            }
        }
        if steps.is_empty() {
            return Ok(());
        }
        match self.store.commit(&steps) {
            // Somebody else may have made some of them meanwhile, or only some may be made by this user.
            Ok(Commit::Refused { .. }) => self.one_by_one(&steps),
            Err(error) if error.is_unauthorized() => self.one_by_one(&steps),
            done => Ok(done.map(|_| ())?),
        }
    }

    fn one_by_one(&self, steps: &[Step]) -> Result<(), ResourceError> {
        for step in steps {
            let is_needed = step.at().kind == Kind::ClusterInformation;
            match self.store.commit(std::slice::from_ref(step)) {
                Err(error) if is_needed || !error.is_unauthorized() => return Err(error.into()),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn cluster_step(&self, key: ResourceKey, found: Option<Item>) -> Option<Step> {
        let guid = || json!(Uuid::new_v4().simple().to_string());
        let Some(before) = found else {
            let mut spec = json!({"clusterGUID": guid(), "datastoreReady": true});
            if let Some(word) = self.store.cluster_type() {
                spec["clusterType"] = json!(word);
            }
            return Some(Step::Create { value: fresh(&key, spec, None), key });
        };
        // One that cannot be read is not written over.
        let mut value = before.value.clone().ok()?;
        let spec = value.get_mut("spec")?.as_object_mut()?;
        let is_empty = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().is_empty();
        let mut is_changed = false;
        if is_empty(spec.get("clusterGUID")) {
            spec.insert("clusterGUID".to_owned(), guid());
            is_changed = true;
        }
        if spec.get("datastoreReady").is_none_or(Value::is_null) {
            spec.insert("datastoreReady".to_owned(), json!(true));
            is_changed = true;
        }
        if let Some(word) = self.store.cluster_type() {
            let types = spec.get("clusterType").and_then(Value::as_str).unwrap_or_default();
            let mut types: Vec<&str> = types.split(',').filter(|part| !part.is_empty()).collect();
            if !types.contains(&word) {
                types.push(word);
                let types = types.join(",");
                spec.insert("clusterType".to_owned(), json!(types));
                is_changed = true;
            }
        }
        is_changed.then_some(Step::Update { before, value })
    }

    /// Sets the flag that lets agents follow the store (section 2.8).
    ///
    /// # Errors
    /// [`ResourceError::DoesNotExist`] before initialisation, [`ResourceError::Conflict`], or the store's own.
    pub fn set_ready(&self, is_ready: bool) -> Result<(), ResourceError> {
        let key = ResourceKey::cluster_information();
        for _ in 0..super::TRIES {
            let before = self.find(&key)?.ok_or_else(|| ResourceError::DoesNotExist(key.clone()))?;
            let mut value = super::object(before.clone())?.value;
            match value.get_mut("spec").and_then(Value::as_object_mut) {
                Some(spec) => spec.insert("datastoreReady".to_owned(), json!(is_ready)),
                None => value.insert("spec".to_owned(), json!({"datastoreReady": is_ready})),
            };
            if let Commit::Done(_) = self.store.commit(&[Step::Update { before, value }])? {
                return Ok(());
            }
        }
        Err(ResourceError::Conflict(key))
    }
}

fn fresh(key: &ResourceKey, spec: Value, status: Option<Value>) -> Map<String, Value> {
    let mut value = Map::new();
    value.insert("metadata".to_owned(), json!({"name": key.name}));
    value.insert("spec".to_owned(), spec);
    if let Some(status) = status {
        value.insert("status".to_owned(), status);
    }
    stamp(&mut value);
    value
}
