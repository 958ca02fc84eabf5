//! From changes to the steps of a commit, with what is stored beside them.

use serde_json::{Map, Value};
use tortie_api::defaults::is_fixed_tier;
use tortie_api::limits::STORED_LEN_MAX;
use tortie_api::{DEFAULT_TIER, Kind, ResourceKey};

use super::metadata::{keep_own_metadata, stamp, with_stored_metadata};
use super::{Change, Done, Mode, ResourceError, object, rules};
use crate::keys;
use crate::kv::KvError;
use crate::store::{FieldManager, Item, Select, Step, Store};

/// What deleting a node takes with it, where nodes are the store's own (section 2.8).
const OWNED_BY_NODES: [Kind; 3] = [Kind::HostEndpoint, Kind::WorkloadEndpoint, Kind::FelixConfiguration];

/// One change, ready to be committed.
pub(super) struct Prepared {
    pub(super) done: Done,
    pub(super) steps: Vec<Step>,
    /// The revision of an object that is not written.
    pub(super) revision: String,
}

impl Prepared {
    /// What became of the change, when its last step gave `revision`: a merge may change nothing.
    pub(super) fn done(&self, revision: Option<&str>) -> Done {
        match self.steps.last() {
            Some(Step::Merge { before: Some(item), .. }) if revision == Some(&item.revision) => Done::Unchanged,
            _ => self.done,
        }
    }
}

/// What a batch of changes depends on.
pub(super) struct Stored {
    /// The object of each change.
    found: Vec<Option<Item>>,
    /// The names of all tiers, when a policy is to be written.
    tiers: Vec<String>,
    /// All policies, when a tier is to be deleted.
    policies: Vec<Item>,
    /// What goes with nodes that are to be deleted.
    owned: Vec<Item>,
}

impl Stored {
    pub(super) fn read(store: &dyn Store, changes: &[Change]) -> Result<Self, KvError> {
        let all = |kind: Kind| Select::Kind(kind, None);
        let mut what: Vec<Select> = changes.iter().map(|change| Select::Object(change.key.clone())).collect();
        // Older versions kept policies at other keys; what is new never goes there.
        let may_be_legacy = |change: &&Change| matches!(change.mode, Mode::Replace | Mode::Delete);
        let legacy = |change: &Change| keys::legacy(&change.key);
        what.extend(changes.iter().filter(may_be_legacy).filter_map(legacy).map(Select::Object));
        let writes_policy = changes.iter().any(|c| c.mode != Mode::Delete && c.key.kind.is_tiered_policy());
        let deletes = |kind: Kind| changes.iter().any(|c| c.mode == Mode::Delete && c.key.kind == kind);
        if writes_policy {
            what.push(all(Kind::Tier));
        }
        let policy_kinds: Vec<Kind> = match deletes(Kind::Tier) {
            true => Kind::all().filter(|kind| kind.is_tiered_policy()).collect(),
            false => Vec::new(),
        };
        what.extend(policy_kinds.iter().copied().map(all));
        if deletes(Kind::Node) {
            what.extend(OWNED_BY_NODES.map(all));
        }

        let mut lists = store.select(&what)?.into_iter().map(|list| list.items);
        let mut one = || lists.next().and_then(|mut items| items.pop());
        let mut found: Vec<Option<Item>> = changes.iter().map(|_| one()).collect();
        for (change, found) in changes.iter().zip(&mut found) {
            if may_be_legacy(&change) && legacy(change).is_some() {
                let older = one();
                *found = found.take().or(older);
            }
        }
        let tiers = if writes_policy { lists.next().unwrap_or_default() } else { Vec::new() };
        let tiers = tiers.into_iter().map(|item| item.at.name).collect();
        let policies = lists.by_ref().take(policy_kinds.len()).flatten().collect();
        let nodes = changes.iter().filter(|c| c.mode == Mode::Delete && c.key.kind == Kind::Node);
        let nodes: Vec<&str> = nodes.map(|change| change.key.name.as_str()).collect();
        let owned = lists.flatten().filter(|item| belongs_to(item, &nodes)).collect();
        Ok(Self { found, tiers, policies, owned })
    }

    /// Checks the change at `position` of those read for; `all` are written with it.
    pub(super) fn prepare(
        &self,
        store: &dyn Store,
        manager: Option<&FieldManager>,
        position: usize,
        change: &Change,
        all: &[Change],
    ) -> Result<Prepared, ResourceError> {
        let Change { mode, key, resource_version, .. } = change;
        rules::refuse_unsupported(store, *mode, key)?;
        if let (Some(text), Mode::Create) = (resource_version, mode) {
            return Err(ResourceError::RevisionOnCreate(text.clone()));
        }
        let found = self.found[position].as_ref();
        if let (Some(expected), Some(item)) = (resource_version, found)
            && item.revision != *expected
        {
            return Err(wrong_revision(store, *mode, key, expected));
        }
        match mode {
            Mode::Delete => self.delete(key, found, all),
            _ => {
                self.check_tier(change, all)?;
                match manager.filter(|_| *mode == Mode::Apply) {
                    Some(manager) => merge(store, change, found, manager),
                    None => put(store, change, found),
                }
            }
        }
    }

    fn delete(&self, key: &ResourceKey, found: Option<&Item>, all: &[Change]) -> Result<Prepared, ResourceError> {
        let item = found.ok_or_else(|| ResourceError::DoesNotExist(key.clone()))?;
        let is_deleted = |at: &ResourceKey| all.iter().any(|c| c.mode == Mode::Delete && c.key == *at);
        if key.kind == Kind::Tier
            && self.policies.iter().any(|policy| tier_of(policy) == Some(&key.name) && !is_deleted(&policy.at))
        {
            let reason = "Cannot delete a non-empty tier";
            return Err(ResourceError::NotSupported { operation: "delete", id: key.clone(), reason });
        }
        let mut steps = vec![Step::Delete { before: item.clone() }];
        if key.kind == Kind::Node {
            let owned = self.owned.iter().filter(|owned| belongs_to(owned, &[&key.name]) && !is_deleted(&owned.at));
            steps.extend(owned.map(|owned| Step::Delete { before: owned.clone() }));
        }
        Ok(Prepared { done: Done::Deleted, steps, revision: String::new() })
    }

    /// The tier of a policy is there, or comes with it.
    fn check_tier(&self, change: &Change, all: &[Change]) -> Result<(), ResourceError> {
        let Change { key, value, .. } = change;
        if !key.kind.is_tiered_policy() {
            return Ok(());
        }
        let tier = value.get("spec").and_then(|spec| spec.get("tier")).and_then(Value::as_str).unwrap_or(DEFAULT_TIER);
        let is_made = |c: &Change| c.mode != Mode::Delete && c.key == ResourceKey::global(Kind::Tier, tier);
        if is_fixed_tier(tier) || self.tiers.iter().any(|name| name == tier) || all.iter().any(is_made) {
            return Ok(());
        }
        Err(ResourceError::NoTier { tier: ResourceKey::global(Kind::Tier, tier), policy: key.clone() })
    }
}

fn put(store: &dyn Store, change: &Change, found: Option<&Item>) -> Result<Prepared, ResourceError> {
    let Change { mode, key, value, resource_version } = change;
    let one = |done, step| Ok(Prepared { done, steps: vec![step], revision: String::new() });
    match found {
        Some(_) if *mode == Mode::Create => Err(ResourceError::AlreadyExists(key.clone())),
        None if *mode == Mode::Replace || resource_version.is_some() => Err(ResourceError::DoesNotExist(key.clone())),
        None => {
            let mut value = value.clone();
            keep_own_metadata(&mut value);
            stamp(&mut value);
            check_len(key, &value)?;
            one(Done::Created, Step::Create { key: key.clone(), value })
        }
        Some(item) => {
            let stored = object(item.clone())?.value;
            let value = with_stored_metadata(value, &stored);
            check_len(key, &value)?;
            if *mode == Mode::Apply && store.is_same(item, &value) {
                return Ok(Prepared { done: Done::Unchanged, steps: vec![], revision: item.revision.clone() });
            }
            one(Done::Configured, Step::Update { before: item.clone(), value })
        }
    }
}

/// What is applied in somebody's name always goes to the store: who manages a field may change though its value does not.
fn merge(
    store: &dyn Store,
    change: &Change,
    found: Option<&Item>,
    manager: &FieldManager,
) -> Result<Prepared, ResourceError> {
    let Change { key, value, resource_version, .. } = change;
    if let Err(reason) = store.merges(key) {
        return Err(ResourceError::NotSupported { operation: "server-side apply", id: key.clone(), reason });
    }
    if found.is_none() && resource_version.is_some() {
        return Err(ResourceError::DoesNotExist(key.clone()));
    }
    let mut value = value.clone();
    keep_own_metadata(&mut value);
    check_len(key, &value)?;
    let done = if found.is_some() { Done::Configured } else { Done::Created };
    let step = Step::Merge {
        key: key.clone(),
        before: found.cloned(),
        value,
        manager: manager.clone(),
        is_pinned: resource_version.is_some(),
    };
    Ok(Prepared { done, steps: vec![step], revision: String::new() })
}

/// Where revisions are numbers, text that is none cannot even be compared.
fn wrong_revision(store: &dyn Store, mode: Mode, key: &ResourceKey, text: &str) -> ResourceError {
    let is_text = !text.bytes().all(|byte| byte.is_ascii_digit()) || text.is_empty();
    match mode {
        // The reference compares the texts first for the others, and so never sees that it is no number.
        Mode::Delete if store.keys().is_some() && is_text => ResourceError::BadRevision(text.to_owned()),
        _ => ResourceError::Conflict(key.clone()),
    }
}

fn check_len(key: &ResourceKey, value: &Map<String, Value>) -> Result<(), ResourceError> {
    match keys::to_bytes(key.kind, value).len() {
        len if len > STORED_LEN_MAX => Err(ResourceError::TooLarge { id: key.clone(), len }),
        _ => Ok(()),
    }
}

fn belongs_to(item: &Item, nodes: &[&str]) -> bool {
    if item.at.kind == Kind::FelixConfiguration {
        return item.at.name.strip_prefix("node.").is_some_and(|node| nodes.contains(&node));
    }
    let node = item.value.as_ref().ok().and_then(|object| object["spec"].get("node")).and_then(Value::as_str);
    node.is_some_and(|node| nodes.contains(&node))
}

fn tier_of(policy: &Item) -> Option<&str> {
    let object = policy.value.as_ref().ok()?;
    Some(object["spec"].get("tier").and_then(Value::as_str).unwrap_or(DEFAULT_TIER))
}
