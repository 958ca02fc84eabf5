//! Resources over a store: what may be written, by whom, and what the store adds (datastore.md section 1).

mod error;
mod init;
mod metadata;
mod prepare;
mod rules;

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey, is_built_in};

use self::prepare::{Prepared, Stored};
use crate::keys;
use crate::kv::KvError;
use crate::store::{Commit, FieldManager, Item, Select, Step, Store};

pub use error::ResourceError;

/// Times a write is tried again when somebody else changed the object meanwhile.
const TRIES: usize = 5;

/// How many boundaries between transactions a warning names.
const BOUNDARIES_SHOWN: usize = 5;

/// Resources of one store.
pub struct Resources<'a> {
    store: &'a dyn Store,
    manager: Option<FieldManager>,
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

/// A change that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What became of it.
    pub done: Done,
    /// The object's revision now; of a deletion that of the commit, where the store tells one.
    pub revision: String,
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

/// How steps are carried out.
type Commits<'a> = &'a dyn Fn(&[Step]) -> Result<Commit, KvError>;

/// One object's error among several.
pub type Failure = (ResourceKey, ResourceError);

impl<'a> Resources<'a> {
    /// Resources of `store`.
    pub fn new(store: &'a dyn Store) -> Self {
        Self { store, manager: None }
    }

    /// The same, where what is applied is merged in the name of this manager ([`Step::Merge`]). Values of such changes hold
    /// no defaults.
    #[must_use]
    pub fn in_the_name_of(self, manager: FieldManager) -> Self {
        Self { manager: Some(manager), ..self }
    }

    /// Reads one object; a policy is also found under the key of older versions.
    ///
    /// # Errors
    /// [`ResourceError::DoesNotExist`], [`ResourceError::Unparsable`], or the store's own.
    pub fn get(&self, key: &ResourceKey) -> Result<Object, ResourceError> {
        if is_built_in(key.kind, &key.name) {
            return Ok(built_in());
        }
        let found = match (self.find(key)?, keys::legacy(key)) {
            (None, Some(legacy)) => self.find(&legacy)?,
            (found, _) => found,
        };
        object(found.ok_or_else(|| ResourceError::DoesNotExist(key.clone()))?)
    }

    fn find(&self, key: &ResourceKey) -> Result<Option<Item>, KvError> {
        let lists = self.store.select(&[Select::Object(key.clone())])?;
        Ok(lists.into_iter().next().and_then(|mut list| list.items.pop()))
    }

    /// Reads all objects of a kind, of one namespace if given, sorted by key, and the revision of the list.
    ///
    /// Entries that are no objects are left out, as Calico's tools do.
    ///
    /// # Errors
    /// The store's own.
    pub fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<(Vec<Object>, String), ResourceError> {
        let lists = self.store.select(&[Select::Kind(kind, namespace.map(str::to_owned))])?;
        let list = lists.into_iter().next().unwrap_or_default();
        let mut objects: Vec<Object> = list.items.into_iter().filter_map(|item| object(item).ok()).collect();
        if kind == Kind::Profile {
            objects.push(built_in());
            objects.sort_by(|a, b| a.key.cmp(&b.key));
        }
        Ok((objects, list.revision))
    }

    /// Whether the store keeps older versions at all, for some time.
    pub fn keeps_history(&self) -> bool {
        self.store.keys().is_some()
    }

    /// Reads one object as it was written at a revision, where the store still has that.
    ///
    /// # Errors
    /// As [`Resources::get`].
    pub fn written_at(&self, key: &ResourceKey, revision: &str) -> Result<Option<Object>, ResourceError> {
        self.store.written_at(key, revision)?.map(object).transpose()
    }

    /// Carries out all changes, or none: one revision, one event for watchers where the store has transactions. More than one
    /// transaction takes are written in groups, in their order.
    ///
    /// # Errors
    /// Every change that is at fault, with its reason. Nothing was written then, but for [`ResourceError::Partial`].
    pub fn write(&self, changes: &[Change]) -> Result<Vec<Written>, Vec<Failure>> {
        self.carry_out(changes, &|steps| self.store.commit(steps))
    }

    /// Tries everything that [`Resources::write`] would do, and writes nothing.
    ///
    /// # Errors
    /// As [`Resources::write`], but for [`ResourceError::Partial`]. Revisions in the answer mean nothing.
    pub fn rehearse(&self, changes: &[Change]) -> Result<Vec<Written>, Vec<Failure>> {
        self.carry_out(changes, &|steps| self.store.rehearse(steps)).map_err(|failures| {
            let whole = |error| match error {
                ResourceError::Partial { cause, .. } => *cause,
                other => other,
            };
            failures.into_iter().map(|(key, error)| (key, whole(error))).collect()
        })
    }

    fn carry_out(&self, changes: &[Change], commit: Commits<'_>) -> Result<Vec<Written>, Vec<Failure>> {
        let mut written = Vec::with_capacity(changes.len());
        let mut tries = 0;
        while written.len() < changes.len() {
            let left = &changes[written.len()..];
            let before = written.len();
            match self.write_more(left, changes, &mut written, commit) {
                Ok(None) => {}
                // Somebody else wrote meanwhile: what they wrote counts for the next try.
                Ok(Some(_)) if written.len() > before => tries = 0,
                Ok(Some(_)) if tries + 1 < TRIES => tries += 1,
                Ok(Some(key)) => {
                    let failure = (key.clone(), ResourceError::Conflict(key));
                    return Err(partial(vec![failure], written.len(), changes.len()));
                }
                Err(failures) => return Err(partial(failures, written.len(), changes.len())),
            }
        }
        Ok(written)
    }

    /// Writes `left`, group by group; ends early with the key of a conflict.
    fn write_more(
        &self,
        left: &[Change],
        all: &[Change],
        written: &mut Vec<Written>,
        commit: Commits<'_>,
    ) -> Result<Option<ResourceKey>, Vec<Failure>> {
        let failed = |error: KvError| vec![(left[0].key.clone(), ResourceError::Store(error))];
        let stored = Stored::read(self.store, left).map_err(failed)?;
        let mut prepared = Vec::with_capacity(left.len());
        let mut failures = Vec::new();
        for (position, change) in left.iter().enumerate() {
            match stored.prepare(self.store, self.manager.as_ref(), position, change, all) {
                Ok(change) => prepared.push(change),
                Err(error) => failures.push((change.key.clone(), error)),
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        let bytes = |change: &Prepared| change.steps.iter().map(Step::len).sum();
        let groups = self.store.commit_limits().divide(prepared, |change| change.steps.len(), bytes);
        if groups.len() > 1 {
            tracing::warn!("{}", boundaries(left, &groups));
        }
        for group in groups {
            let steps: Vec<Step> = group.iter().flat_map(|change| change.steps.iter().cloned()).collect();
            let revisions = match steps.is_empty() {
                true => Vec::new(),
                false => match commit(&steps).map_err(failed)? {
                    Commit::Done(revisions) => revisions,
                    Commit::Refused { step } => return Ok(Some(steps[step].at().clone())),
                },
            };
            let mut revisions = revisions.into_iter();
            for change in group {
                let own = revisions.by_ref().take(change.steps.len()).last();
                let done = change.done(own.as_deref());
                written.push(Written { done, revision: own.unwrap_or(change.revision) });
            }
        }
        Ok(None)
    }
}

/// Where a batch that is more than one transaction takes is divided.
fn boundaries(changes: &[Change], groups: &[Vec<Prepared>]) -> String {
    let starts = groups.iter().scan(0, |at, group| {
        *at += group.len();
        Some(*at)
    });
    let first: Vec<String> = starts.filter_map(|at| changes.get(at)).map(|change| change.key.to_string()).collect();
    let more = first.len().saturating_sub(BOUNDARIES_SHOWN);
    let shown = first[..first.len() - more].join(", ");
    let more = if more > 0 { format!(" and {more} others") } else { String::new() };
    format!(
        "{} changes are more than one transaction takes: they are written in {} groups, new ones beginning with {shown}{more}; \
         what comes before such a boundary stays written when something after it fails",
        changes.len(),
        groups.len(),
    )
}

fn partial(failures: Vec<Failure>, done: usize, all: usize) -> Vec<Failure> {
    if done == 0 {
        return failures;
    }
    let wrap = |(key, cause)| (key, ResourceError::Partial { done, all, cause: Box::new(cause) });
    failures.into_iter().map(wrap).collect()
}

fn object(item: Item) -> Result<Object, ResourceError> {
    let key = item.at;
    match item.value {
        Ok(value) => Ok(Object { key, value }),
        Err(cause) => Err(ResourceError::Unparsable { key: keys::key(&key), cause }),
    }
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
