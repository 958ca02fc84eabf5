//! Takes everything out of one store, and brings it into another, while agents see either nothing or all of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tortie_api::defaults::is_fixed_tier;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::kv::TxnLimits;
use tortie_datastore::resources::Mode;
use tortie_datastore::store::{Commit, Item, Select, Step};
use tortie_datastore::{Resources, Store};

use super::parcel::Parcel;
use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::input::rank;
use crate::store::{kv_failure, resource_failure};

/// How many objects are written at once where the store sets no limit.
const GROUP_LEN: usize = 500;
/// How many names a message lists.
const NAMED_MAX: usize = 10;

/// Whether agents may follow the store at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Yes,
    No,
    /// As the store said before; a new one as the imported ClusterInformation says.
    AsBefore,
}

/// How objects are brought in.
pub(super) struct Wanted {
    pub(super) skips_existing: bool,
    pub(super) is_dry_run: bool,
    pub(super) ready: Ready,
}

/// What was brought in.
pub(super) struct Summary {
    written: usize,
    skipped: usize,
    is_dry_run: bool,
}

impl Summary {
    pub(super) fn print(&self, past: &str) {
        let skipped = if self.skipped > 0 { format!(", {} were there already", self.skipped) } else { String::new() };
        match self.is_dry_run {
            true => println!("{} objects would be {past}{skipped}", self.written),
            false => println!("{} objects are {past}{skipped}", self.written),
        }
    }
}

/// Everything that a store holds and another could, in order of dependency. What is no object is told and left out.
pub(super) fn take_out(store: &dyn Store) -> Result<Vec<Parcel>, Failure> {
    let what: Vec<Select> = Kind::all().map(|kind| Select::Kind(kind, None)).collect();
    let lists = store.select(&what).map_err(|error| kv_failure(&error))?;
    let mut parcels: BTreeMap<(u8, ResourceKey), Parcel> = BTreeMap::new();
    for Item { at, value, .. } in lists.into_iter().flat_map(|list| list.items) {
        // What the store makes of objects of others comes from them again.
        if store.refuses(Mode::Create, &at).is_some() {
            continue;
        }
        match value.and_then(Parcel::new) {
            Ok(parcel) => {
                let place = (rank(parcel.key.kind), parcel.key.clone());
                // Of a policy at its key and one at the key of older versions the former counts (section 2.4).
                if at == parcel.key || !parcels.contains_key(&place) {
                    parcels.insert(place, parcel);
                }
            }
            Err(problem) => eprintln!("warning: {at} is left out: {problem}"),
        }
    }
    Ok(parcels.into_values().collect())
}

/// Whether agents may follow the store; one that was never initialised counts as one they may.
pub(super) fn is_ready(store: &dyn Store) -> Result<bool, Failure> {
    let found =
        store.select(&[Select::Object(ResourceKey::cluster_information())]).map_err(|error| kv_failure(&error))?;
    let item = found.into_iter().flat_map(|list| list.items).next();
    Ok(item.is_none_or(|item| item.value.is_ok_and(|value| value["spec"]["datastoreReady"] == true)))
}

/// Writes all of it. While it takes more than one transaction the store is locked.
pub(super) fn bring_in(
    global: &Global,
    store: &dyn Store,
    parcels: Vec<Parcel>,
    wanted: &Wanted,
) -> Result<Summary, Failure> {
    let mut parcels = without_refused(store, parcels);
    parcels.sort_by(|a, b| (rank(a.key.kind), &a.key).cmp(&(rank(b.key.kind), &b.key)));
    if let Some(pair) = parcels.windows(2).find(|pair| pair[0].key == pair[1].key) {
        return Err(Failure::new(Code::Invalid, format!("{} is given twice; nothing was written", pair[0].key)));
    }
    let there = existing(store, &parcels)?;
    let (information, parcels): (Vec<_>, Vec<_>) =
        parcels.into_iter().partition(|parcel| parcel.key == ResourceKey::cluster_information());
    // Tiers that every store has are written over.
    let is_fixed = |key: &ResourceKey| key.kind == Kind::Tier && is_fixed_tier(&key.name);
    let (present, absent): (Vec<_>, Vec<_>) =
        parcels.into_iter().partition(|parcel| there.contains_key(&parcel.key) && !is_fixed(&parcel.key));
    if !present.is_empty() && !wanted.skips_existing {
        return Err(conflict(&present));
    }
    let summary = Summary { written: absent.len(), skipped: present.len(), is_dry_run: wanted.is_dry_run };
    if wanted.is_dry_run {
        return Ok(summary);
    }
    let resources = Resources::new(store);
    let information = information.into_iter().next();
    let is_new = !there.contains_key(&ResourceKey::cluster_information());
    let was_ready = match (&information, is_new) {
        (Some(information), true) => information.value["spec"]["datastoreReady"] != false,
        _ => is_ready(store)?,
    };
    if let (Some(mut information), true) = (information, is_new) {
        // Saved states know their store by this identity, so it moves with what it names.
        if let Some(spec) = information.value.get_mut("spec").and_then(Value::as_object_mut) {
            spec.insert("datastoreReady".to_owned(), json!(false));
        }
        write_group(store, vec![Step::Create { key: information.key, value: information.value }])?;
    }
    resources.ensure_initialised().map_err(|error| resource_failure(&error))?;
    // Initialisation has made the tiers that every store has.
    let there = existing(store, &absent)?;
    let groups = limits(store).divide(steps(absent, &there), |_| 1, Step::len);
    let is_locking = is_new || groups.len() > 1;
    if is_locking {
        resources.set_ready(false).map_err(|error| resource_failure(&error))?;
    }
    write_groups(global, store, groups).map_err(|failure| match is_locking {
        true => failure.with_hint(
            "the store stays locked, agents keep what they enforce: run it again with `--skip-exists`, or `tortie unlock`",
        ),
        false => failure,
    })?;
    let is_ready = match wanted.ready {
        Ready::Yes => true,
        Ready::No => false,
        Ready::AsBefore => was_ready,
    };
    if is_locking || is_ready != was_ready {
        resources.set_ready(is_ready).map_err(|error| resource_failure(&error))?;
    }
    Ok(summary)
}

fn without_refused(store: &dyn Store, parcels: Vec<Parcel>) -> Vec<Parcel> {
    let mut refused: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    let mut kept = Vec::new();
    for mut parcel in parcels {
        match store.refuses(Mode::Create, &parcel.key) {
            Some(reason) => refused.entry(reason).or_default().push(parcel.key.to_string()),
            None => {
                if store.keys().is_none()
                    && let Some(metadata) = parcel.value.get_mut("metadata").and_then(Value::as_object_mut)
                {
                    // Owners are of the other store: this one would remove what they owned.
                    metadata.remove("ownerReferences");
                    metadata.remove("finalizers");
                }
                kept.push(parcel);
            }
        }
    }
    for (reason, names) in refused {
        eprintln!("warning: {} left out: {reason}", listed(&names));
    }
    kept
}

fn existing(store: &dyn Store, parcels: &[Parcel]) -> Result<BTreeMap<ResourceKey, Item>, Failure> {
    let mut kinds: BTreeSet<Kind> = parcels.iter().map(|parcel| parcel.key.kind).collect();
    kinds.insert(Kind::ClusterInformation);
    let what: Vec<Select> = kinds.into_iter().map(|kind| Select::Kind(kind, None)).collect();
    let lists = store.select(&what).map_err(|error| kv_failure(&error))?;
    Ok(lists.into_iter().flat_map(|list| list.items).map(|item| (item.at.clone(), item)).collect())
}

fn conflict(present: &[Parcel]) -> Failure {
    let names: Vec<String> = present.iter().map(|parcel| parcel.key.to_string()).collect();
    let message = format!("resource already exists: {}; nothing was written", listed(&names));
    Failure::new(Code::Conflict, message).with_hint("`--skip-exists` leaves those as they are")
}

fn listed(names: &[String]) -> String {
    match names.len() {
        0..=NAMED_MAX => names.join(", "),
        len => format!("{} and {} more", names[..NAMED_MAX].join(", "), len - NAMED_MAX),
    }
}

fn steps(parcels: Vec<Parcel>, there: &BTreeMap<ResourceKey, Item>) -> impl Iterator<Item = Step> {
    parcels.into_iter().map(|Parcel { key, value }| match there.get(&key) {
        Some(before) => Step::Update { before: before.clone(), value },
        None => Step::Create { key, value },
    })
}

fn write_groups(global: &Global, store: &dyn Store, groups: Vec<Vec<Step>>) -> Result<(), Failure> {
    let bar = global.progress("imported", groups.iter().map(Vec::len).sum());
    for group in groups {
        let len = group.len();
        write_group(store, group)?;
        bar.step(len);
    }
    Ok(())
}

/// What is written at once: as much as a transaction takes, where there are some.
fn limits(store: &dyn Store) -> TxnLimits {
    let TxnLimits { ops, bytes } = store.commit_limits();
    TxnLimits { ops: if store.is_atomic() { ops.min(GROUP_LEN) } else { 1 }, bytes }
}

fn write_group(store: &dyn Store, steps: Vec<Step>) -> Result<(), Failure> {
    match store.commit(&steps).map_err(|error| kv_failure(&error))? {
        Commit::Done(_) => Ok(()),
        Commit::Refused { step } => {
            let message = format!("update conflict: {}: somebody else writes to the store", steps[step].at());
            Err(Failure::new(Code::Conflict, message))
        }
    }
}
