//! Resources over a store: what may be written, by whom, and what the store adds (datastore.md section 1).

use serde_json::{Map, Value, json};
use tortie_api::limits::STORED_LEN_MAX;
use tortie_api::{DEFAULT_TIER, Kind, ResourceKey, is_built_in};
use uuid::Uuid;

use crate::keys;
use crate::kv::{Compare, Entry, Kv, KvError, Op, Revision, Span, Txn, TxnOutcome};

/// Times a write is tried again when somebody else changed the object meanwhile.
const TRIES: usize = 5;

/// Tiers that are always there, with order and default action (datastore.md section 2.8).
const FIXED_TIERS: [(&str, i64, &str); 3] =
    [("default", 1_000_000, "Deny"), ("kube-admin", 1_000, "Pass"), ("kube-baseline", 10_000_000, "Pass")];

/// Resources of one store.
pub struct Resources<'a> {
    kv: &'a dyn Kv,
}

/// One object as users see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The key it was found under.
    pub key: ResourceKey,
    /// The object; `metadata.resourceVersion` is its revision.
    pub value: Map<String, Value>,
}

/// How an object is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It must not exist.
    Create,
    /// It must exist.
    Replace,
    /// Either; an object that would not change is not written.
    Apply,
    /// It is to go.
    Delete,
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// How.
    pub mode: Mode,
    /// Which object.
    pub key: ResourceKey,
    /// The object in stored form with defaults; empty for a deletion.
    pub value: Map<String, Value>,
    /// The revision that the stored object must have, when the user named one.
    pub resource_version: Option<String>,
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is new.
    Created,
    /// It was written over an older form.
    Configured,
    /// It was the same already, and nothing was written.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// Why resources could not be read or written. The texts up to the first colon are those of Calico's tools.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// An object of this name is there.
    #[error("resource already exists: {0}")]
    AlreadyExists(ResourceKey),
    /// There is no such object.
    #[error("resource does not exist: {0}")]
    DoesNotExist(ResourceKey),
    /// The tier of a policy does not exist.
    #[error("resource does not exist: {tier}: {policy} names it as its tier")]
    NoTier {
        /// The missing tier.
        tier: ResourceKey,
        /// The policy.
        policy: ResourceKey,
    },
    /// The object was changed by somebody else.
    #[error("update conflict: {0}")]
    Conflict(ResourceKey),
    /// This cannot be done to this object.
    #[error("operation {operation} is not supported on {id}: {reason}")]
    NotSupported {
        /// The verb.
        operation: &'static str,
        /// The object.
        id: ResourceKey,
        /// Why.
        reason: &'static str,
    },
    /// A revision that is no number.
    #[error("error with field ResourceVersion = '{0}'")]
    BadRevision(String),
    /// A revision was given where none may be.
    #[error("error with field Metadata.ResourceVersion = '{0}' (field must not be set for a Create request)")]
    RevisionOnCreate(String),
    /// What lies in the store is no object.
    #[error("failed to parse datastore entry key={key}: {cause}")]
    Unparsable {
        /// The store's key.
        key: String,
        /// Why.
        cause: String,
    },
    /// An object that no reader would take.
    #[error("object too large: {id} has {len} bytes in the store, at most {STORED_LEN_MAX} are read")]
    TooLarge {
        /// The object.
        id: ResourceKey,
        /// Its length.
        len: usize,
    },
    /// The store itself.
    #[error(transparent)]
    Store(#[from] KvError),
}

/// One object's error among several.
pub type Failure = (ResourceKey, ResourceError);

impl<'a> Resources<'a> {
    /// Resources of `kv`.
    pub fn new(kv: &'a dyn Kv) -> Self {
        Self { kv }
    }

    /// Reads one object; a policy is also found under the key of older versions.
    ///
    /// # Errors
    /// [`ResourceError::DoesNotExist`], [`ResourceError::Unparsable`], or the store's own.
    pub fn get(&self, key: &ResourceKey) -> Result<Object, ResourceError> {
        if is_built_in(key.kind, &key.name) {
            return Ok(built_in());
        }
        let entry = match (self.kv.get(&keys::key(key))?, keys::legacy(key)) {
            (None, Some(legacy)) => self.kv.get(&keys::key(&legacy))?,
            (found, _) => found,
        };
        object(&entry.ok_or_else(|| ResourceError::DoesNotExist(key.clone()))?)
    }

    /// Reads all objects of a kind, of one namespace if given, sorted by key, and the revision of the list.
    ///
    /// Entries that are no objects are left out, as Calico's tools do.
    ///
    /// # Errors
    /// The store's own.
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<(Vec<Object>, Revision), ResourceError> {
        let (entries, revision) = self.kv.range(&keys::prefix(kind, namespace))?;
        let mut objects: Vec<Object> = entries
            .iter()
            .filter(|entry| keys::parse(&entry.key).is_some_and(|key| key.kind == kind))
            .filter_map(|entry| object(entry).ok())
            .collect();
        if kind == Kind::Profile {
            objects.push(built_in());
            objects.sort_by(|a, b| a.key.cmp(&b.key));
        }
        Ok((objects, revision))
    }

    /// Makes ClusterInformation and the fixed tiers where they are missing (datastore.md section 2.8).
    ///
    /// # Errors
    /// The store's own.
    pub fn ensure_initialised(&self) -> Result<(), ResourceError> {
        let cluster = ResourceKey::global(Kind::ClusterInformation, "default");
        let mut missing = Vec::new();
        let guid = Uuid::new_v4().simple().to_string();
        let spec = json!({"clusterGUID": guid, "datastoreReady": true});
        missing.push((cluster, spec, None));
        for (name, order, action) in FIXED_TIERS {
            let spec = json!({"order": order, "defaultAction": action});
            missing.push((ResourceKey::global(Kind::Tier, name), spec, Some(json!({}))));
        }
        let spans: Vec<Span> = missing.iter().map(|(key, ..)| Span::Key(keys::key(key))).collect();
        let found = self.kv.read(&spans)?;
        let mut txn = Txn::default();
        for ((key, spec, status), entries) in missing.into_iter().zip(found.spans) {
            if !entries.is_empty() {
                continue;
            }
            let mut value = Map::new();
            value.insert("metadata".to_owned(), json!({"name": key.name}));
            value.insert("spec".to_owned(), spec);
            if let Some(status) = status {
                value.insert("status".to_owned(), status);
            }
            stamp(&mut value);
            txn.compares.push(Compare::Absent(keys::key(&key)));
            txn.ops.push(put(&key, &value)?);
        }
        if !txn.ops.is_empty() {
            // Somebody else may have made them meanwhile: that is as good.
            self.kv.txn(&txn)?;
        }
        Ok(())
    }

    /// Carries out all changes in one transaction, or none: one revision, one event for watchers.
    ///
    /// # Errors
    /// Every change that is at fault, with its reason; nothing was written then.
    pub fn write(&self, changes: &[Change]) -> Result<Vec<Done>, Vec<Failure>> {
        let whole = |error: KvError| {
            let key = changes.first().map_or_else(|| ResourceKey::global(Kind::Tier, ""), |change| change.key.clone());
            vec![(key, ResourceError::Store(error))]
        };
        for attempt in 1..=TRIES {
            let read = self.read_for(changes).map_err(whole)?;
            let mut txn = Txn::default();
            let mut done = Vec::with_capacity(changes.len());
            let mut failures = Vec::new();
            for (change, found) in changes.iter().zip(&read.found) {
                match prepare(change, found, &read, changes, &mut txn) {
                    Ok(what) => done.push(what),
                    Err(error) => failures.push((change.key.clone(), error)),
                }
            }
            if !failures.is_empty() {
                return Err(failures);
            }
            if txn.ops.is_empty() {
                return Ok(done);
            }
            match self.kv.txn(&txn).map_err(whole)? {
                TxnOutcome::Committed { .. } => return Ok(done),
                TxnOutcome::Failed { compare, .. } if attempt == TRIES => {
                    let key = conflicting(&txn.compares[compare], changes);
                    return Err(vec![(key.clone(), ResourceError::Conflict(key))]);
                }
                TxnOutcome::Failed { .. } => {}
            }
        }
        unreachable!("the last try returns")
    }

    fn read_for(&self, changes: &[Change]) -> Result<Read, KvError> {
        let mut spans = Vec::new();
        for change in changes {
            spans.push(Span::Key(keys::key(&change.key)));
            let legacy = keys::legacy(&change.key).unwrap_or_else(|| change.key.clone());
            spans.push(Span::Key(keys::key(&legacy)));
        }
        spans.push(Span::Prefix(keys::prefix(Kind::Tier, None)));
        let deletes_tier = changes.iter().any(|change| change.mode == Mode::Delete && change.key.kind == Kind::Tier);
        let policy_kinds: Vec<Kind> =
            if deletes_tier { Kind::all().filter(|k| k.is_tiered_policy()).collect() } else { vec![] };
        spans.extend(policy_kinds.iter().map(|kind| Span::Prefix(keys::prefix(*kind, None))));
        let deleted_nodes: Vec<String> = changes
            .iter()
            .filter(|change| change.mode == Mode::Delete && change.key.kind == Kind::Node)
            .map(|change| change.key.name.clone())
            .collect();
        let owned_kinds = if deleted_nodes.is_empty() {
            vec![]
        } else {
            vec![Kind::HostEndpoint, Kind::WorkloadEndpoint, Kind::FelixConfiguration]
        };
        spans.extend(owned_kinds.iter().map(|kind| Span::Prefix(keys::prefix(*kind, None))));

        let mut lists = self.kv.read(&spans)?.spans.into_iter();
        let mut found = Vec::new();
        for change in changes {
            let own = lists.next().and_then(|mut entries| entries.pop());
            let legacy = lists.next().and_then(|mut entries| entries.pop());
            let may_be_legacy = change.mode != Mode::Create && change.mode != Mode::Apply;
            found.push(own.or(legacy.filter(|_| may_be_legacy)));
        }
        let tiers = lists.next().unwrap_or_default();
        let tiers = tiers.iter().filter_map(|entry| keys::parse(&entry.key)).map(|key| key.name).collect();
        let policies = lists.by_ref().take(policy_kinds.len()).flatten().collect();
        let owned = lists.flatten().filter(|entry| belongs_to(entry, &deleted_nodes)).collect();
        Ok(Read { found, tiers, policies, owned })
    }
}

/// What a batch of changes depends on, from one snapshot.
struct Read {
    found: Vec<Option<Entry>>,
    tiers: Vec<String>,
    /// All policies, when a tier is to be deleted.
    policies: Vec<Entry>,
    /// What goes with nodes that are to be deleted.
    owned: Vec<Entry>,
}

fn belongs_to(entry: &Entry, nodes: &[String]) -> bool {
    let Some(key) = keys::parse(&entry.key) else { return false };
    if key.kind == Kind::FelixConfiguration {
        return key.name.strip_prefix("node.").is_some_and(|node| nodes.iter().any(|n| n == node));
    }
    let node = keys::from_bytes(key.kind, &entry.value, entry.mod_rev)
        .ok()
        .and_then(|object| object["spec"].get("node").and_then(Value::as_str).map(str::to_owned));
    node.is_some_and(|node| nodes.contains(&node))
}

/// Checks one change and adds it to the transaction.
fn prepare(
    change: &Change,
    found: &Option<Entry>,
    read: &Read,
    changes: &[Change],
    txn: &mut Txn,
) -> Result<Done, ResourceError> {
    let Change { mode, key, value, resource_version } = change;
    refuse_unsupported(*mode, key)?;
    let expected = match resource_version {
        Some(text) if *mode == Mode::Create => return Err(ResourceError::RevisionOnCreate(text.clone())),
        Some(text) => Some(text.parse::<Revision>().map_err(|_| match mode {
            // The reference compares the texts first, and so never sees that it is no number.
            Mode::Apply | Mode::Replace => ResourceError::Conflict(key.clone()),
            _ => ResourceError::BadRevision(text.clone()),
        })?),
        None => None,
    };
    if let (Some(expected), Some(entry)) = (expected, found)
        && entry.mod_rev != expected
    {
        return Err(ResourceError::Conflict(key.clone()));
    }
    if *mode == Mode::Delete {
        let entry = found.as_ref().ok_or_else(|| ResourceError::DoesNotExist(key.clone()))?;
        if key.kind == Kind::Tier {
            let is_used = |name: &Entry| policy_tier(name).as_deref() == Some(key.name.as_str());
            let goes_too =
                |name: &Entry| changes.iter().any(|c| c.mode == Mode::Delete && keys::key(&c.key) == name.key);
            if read.policies.iter().any(|policy| is_used(policy) && !goes_too(policy)) {
                let reason = "Cannot delete a non-empty tier";
                return Err(ResourceError::NotSupported { operation: "delete", id: key.clone(), reason });
            }
        }
        delete(entry, txn);
        if key.kind == Kind::Node {
            read.owned.iter().for_each(|owned| delete(owned, txn));
        }
        return Ok(Done::Deleted);
    }

    if key.kind.is_tiered_policy() {
        let tier = value["spec"].get("tier").and_then(Value::as_str).unwrap_or(DEFAULT_TIER);
        let is_made = |c: &Change| c.mode != Mode::Delete && c.key == ResourceKey::global(Kind::Tier, tier);
        let exists = read.tiers.iter().any(|name| name == tier) || FIXED_TIERS.iter().any(|(name, ..)| *name == tier);
        if !exists && !changes.iter().any(is_made) {
            let tier = ResourceKey::global(Kind::Tier, tier);
            return Err(ResourceError::NoTier { tier, policy: key.clone() });
        }
    }
    match found {
        Some(_) if *mode == Mode::Create => Err(ResourceError::AlreadyExists(key.clone())),
        None if *mode == Mode::Replace || expected.is_some() => Err(ResourceError::DoesNotExist(key.clone())),
        None => {
            let mut value = value.clone();
            keep_own_metadata(&mut value);
            stamp(&mut value);
            txn.compares.push(Compare::Absent(keys::key(key)));
            txn.ops.push(put(key, &value)?);
            Ok(Done::Created)
        }
        Some(entry) => {
            let stored = object(entry)?.value;
            let value = with_stored_metadata(value, &stored);
            let bytes = to_bytes(key, &value)?;
            if *mode == Mode::Apply && is_same(&bytes, &entry.value) {
                return Ok(Done::Unchanged);
            }
            txn.compares.push(Compare::Unchanged(entry.key.clone(), entry.mod_rev));
            txn.ops.push(Op::Put { key: entry.key.clone(), value: bytes, ttl: None });
            Ok(Done::Configured)
        }
    }
}

fn refuse_unsupported(mode: Mode, key: &ResourceKey) -> Result<(), ResourceError> {
    let refuse = |operation, reason| Err(ResourceError::NotSupported { operation, id: key.clone(), reason });
    match key.kind {
        _ if is_built_in(key.kind, &key.name) => match mode {
            Mode::Create => Err(ResourceError::AlreadyExists(key.clone())),
            Mode::Delete => refuse("delete", "the built-in profile is always there"),
            Mode::Apply | Mode::Replace => refuse("update", "the built-in profile never changes"),
        },
        Kind::ClusterInformation => match mode {
            Mode::Delete => refuse("delete", "it is written by initialisation and by agents only"),
            _ => refuse("create or apply", "it is written by initialisation and by agents only"),
        },
        Kind::WorkloadEndpoint if mode != Mode::Delete => {
            refuse("create or apply", "workload endpoints are written by the network plugin")
        }
        Kind::NetworkPolicy if key.name.starts_with("knp.default.") => {
            refuse("create or apply", "kubernetes network policies must be managed through the kubernetes API")
        }
        Kind::Tier if mode == Mode::Delete && FIXED_TIERS.iter().any(|(name, ..)| *name == key.name) => {
            refuse("delete", "this tier is always there")
        }
        _ => Ok(()),
    }
}

fn policy_tier(entry: &Entry) -> Option<String> {
    let key = keys::parse(&entry.key)?;
    let object = keys::from_bytes(key.kind, &entry.value, entry.mod_rev).ok()?;
    Some(object["spec"].get("tier").and_then(Value::as_str).unwrap_or(DEFAULT_TIER).to_owned())
}

fn delete(entry: &Entry, txn: &mut Txn) {
    if txn.ops.iter().any(|op| op.key() == entry.key) {
        return;
    }
    txn.compares.push(Compare::Unchanged(entry.key.clone(), entry.mod_rev));
    txn.ops.push(Op::Delete { key: entry.key.clone() });
}

fn put(key: &ResourceKey, value: &Map<String, Value>) -> Result<Op, ResourceError> {
    Ok(Op::Put { key: keys::key(key), value: to_bytes(key, value)?, ttl: None })
}

fn to_bytes(key: &ResourceKey, value: &Map<String, Value>) -> Result<Vec<u8>, ResourceError> {
    let bytes = keys::to_bytes(key.kind, value);
    match bytes.len() {
        len if len > STORED_LEN_MAX => Err(ResourceError::TooLarge { id: key.clone(), len }),
        _ => Ok(bytes),
    }
}

/// On create only name, namespace, labels and annotations of the document count (cli.md section 1.3).
fn keep_own_metadata(value: &mut Map<String, Value>) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| ["name", "namespace", "labels", "annotations"].contains(&name.as_str()));
    }
}

/// On update labels and annotations come from the document, everything else of the metadata from the store.
fn with_stored_metadata(value: &Map<String, Value>, stored: &Map<String, Value>) -> Map<String, Value> {
    let mut value = value.clone();
    let mut metadata = stored.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    for name in ["labels", "annotations"] {
        metadata.remove(name);
        if let Some(given) = value["metadata"].get(name) {
            metadata.insert(name.to_owned(), given.clone());
        }
    }
    value.insert("metadata".to_owned(), Value::Object(metadata));
    value
}

/// Gives a new object its identity and time of creation.
fn stamp(value: &mut Map<String, Value>) {
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("uid".to_owned(), json!(Uuid::new_v4().to_string()));
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        metadata.insert("creationTimestamp".to_owned(), json!(now));
    }
}

fn is_same(a: &[u8], b: &[u8]) -> bool {
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    matches!((parse(a), parse(b)), (Some(a), Some(b)) if a == b)
}

fn object(entry: &Entry) -> Result<Object, ResourceError> {
    let unparsable = |cause: String| ResourceError::Unparsable { key: entry.key.clone(), cause };
    let key = keys::parse(&entry.key).ok_or_else(|| unparsable("not the key of a resource".to_owned()))?;
    let value = keys::from_bytes(key.kind, &entry.value, entry.mod_rev).map_err(unparsable)?;
    Ok(Object { key, value })
}

fn conflicting(compare: &Compare, changes: &[Change]) -> ResourceKey {
    let (Compare::Absent(text) | Compare::Present(text) | Compare::Unchanged(text, _) | Compare::NoPutSince(text, _)) =
        compare;
    keys::parse(text).unwrap_or_else(|| changes[0].key.clone())
}

/// The built-in profile: always there, never stored, revision 1 (datastore.md section 1).
fn built_in() -> Object {
    let key = ResourceKey::global(Kind::Profile, tortie_api::DEFAULT_ALLOW_PROFILE);
    let value = json!({
        "apiVersion": tortie_api::API_VERSION,
        "kind": "Profile",
        "metadata": {"name": key.name, "resourceVersion": "1"},
        "spec": {"ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]},
    });
    let Value::Object(value) = value else { unreachable!("it is written as an object") };
    Object { key, value }
}
