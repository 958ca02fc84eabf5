//! `datastore migrate` and `datastore migrate-policy-names`.

use std::path::Path;

use serde_json::{Value, json};
use tortie_api::print::to_yaml;
use tortie_api::{API_VERSION, Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::store::{Commit, Item, Select, Step};
use tortie_datastore::{Access, KvError, ResourceError, Store};

use super::error::{Error, Operation, of_store};
use super::flags::Given;
use super::input;
use super::resource::Resource;
use super::session::Session;
use super::write::write_one;
use crate::get::{list, strip};
use crate::go;

/// The kinds of an export, in its order.
const EXPORTED: [Kind; 12] = [
    Kind::Tier,
    Kind::GlobalNetworkPolicy,
    Kind::StagedGlobalNetworkPolicy,
    Kind::GlobalNetworkSet,
    Kind::HostEndpoint,
    Kind::KubeControllersConfiguration,
    Kind::NetworkPolicy,
    Kind::StagedNetworkPolicy,
    Kind::StagedKubernetesNetworkPolicy,
    Kind::NetworkSet,
    Kind::Node,
    Kind::FelixConfiguration,
];

/// Metadata of objects that an export leaves out.
const OF_STORE: &[&str] = &["uid", "resourceVersion", "creationTimestamp"];

/// What stands between the parts of an export.
const SEPARATOR: &str = "===\n";

pub(super) fn lock(given: &Given) -> Result<(), Error> {
    set_ready(given, false)?;
    println!("Datastore locked.");
    Ok(())
}

pub(super) fn unlock(given: &Given) -> Result<(), Error> {
    set_ready(given, true)?;
    println!("Datastore unlocked.");
    Ok(())
}

fn set_ready(given: &Given, is_ready: bool) -> Result<(), Error> {
    let session = Session::open_initialised(given)?;
    let what = if is_ready { "Error unlocking the datastore" } else { "Error locking the datastore" };
    session.resources().set_ready(is_ready).map_err(|error| failed(what)(of_store(error, Operation::Update)))
}

fn failed(what: &'static str) -> impl Fn(Error) -> Error {
    move |error| error.within(|error| Error::Migration(what, error))
}

pub(super) fn export(given: &Given) -> Result<(), Error> {
    let session = Session::open(given, Access::Read)?;
    let resources = session.resources();
    let refused = |error| of_store(error, Operation::Get);
    let information = resources.get(&ResourceKey::cluster_information());
    let information = information.map_err(|error| refused(error).within(Error::LockUnknown))?;
    if information.value["spec"]["datastoreReady"] != false {
        return Err(Error::NotLocked);
    }
    for kind in EXPORTED {
        let (objects, revision) = list(&resources, kind, None).map_err(refused)?;
        let items: Vec<Value> = objects
            .into_iter()
            .filter(|object| !object.key.name.starts_with("knp.default."))
            .filter_map(|object| go::shown(kind, &object.value).ok())
            .map(|mut object| {
                strip(&mut object, OF_STORE);
                Value::Object(object)
            })
            .collect();
        let metadata = json!({"resourceVersion": revision});
        let list =
            json!({"kind": format!("{kind}List"), "apiVersion": API_VERSION, "metadata": metadata, "items": items});
        print!("{}---\n", to_yaml(&list));
    }
    let information = go::shown(Kind::ClusterInformation, &information.value).map_err(Error::Stored)?;
    // Addresses are managed by others: that part is empty.
    print!("{SEPARATOR}{}\n{SEPARATOR}{{}}\n", go::to_json(&Value::Object(information)));
    Ok(())
}

pub(super) fn import(given: &Given) -> Result<(), Error> {
    let path = given.text("filename").ok_or(Error::RequiredFlag("filename"))?;
    let bytes = input::bytes(Path::new(path), false)?;
    let text = String::from_utf8_lossy(&bytes);
    let parts: Vec<&str> = text.split(SEPARATOR).collect();
    let &[objects, information, _] = parts.as_slice() else { return Err(Error::MigrationFile(path.to_owned())) };
    let information: Value = serde_json::from_str(information).map_err(|_| Error::MigrationFile(path.to_owned()))?;
    let read: Vec<Resource> = input::entries(objects)?.into_iter().map(Resource::of_entry).collect::<Result<_, _>>()?;
    let session = Session::open_initialised(given)?;
    require_empty(&session)?;
    let resources = session.resources();
    let locked = |error| failed("Error locking the datastore")(of_store(error, Operation::Update));
    resources.set_ready(false).map_err(locked)?;
    for resource in &read {
        write_imported(&session, resource).map_err(failed("Failed to import resources"))?;
    }
    write_information(&*session.store, &information["spec"]).map_err(failed("Failed to import cluster information"))?;
    println!(
        "Datastore information successfully imported. Please refer to the datastore migration documentation for next steps."
    );
    Ok(())
}

/// An object over what initialisation may have put there.
fn write_imported(session: &Session, resource: &Resource) -> Result<(), Error> {
    let (key, value) = (resource.key(), resource.valid()?.clone());
    let change = |mode| Change { mode, key: key.clone(), value: value.clone(), resource_version: None };
    match write_one(&session.resources(), change(Mode::Create), Operation::Create) {
        Err(Error::Exists(_)) => write_one(&session.resources(), change(Mode::Replace), Operation::Update),
        done => done,
    }
}

/// A store takes an import only when there is nothing in it that initialisation did not make.
fn require_empty(session: &Session) -> Result<(), Error> {
    let made = |kind: Kind, name: &str| match kind {
        Kind::Tier => tortie_api::defaults::is_fixed_tier(name),
        Kind::KubeControllersConfiguration | Kind::FelixConfiguration => name == "default",
        _ => false,
    };
    for kind in EXPORTED.into_iter().filter(|kind| *kind != Kind::Node) {
        let (objects, _) = session.resources().list(kind, None).map_err(|error| of_store(error, Operation::Get))?;
        if objects.iter().any(|object| !made(kind, &object.key.name)) {
            return Err(Error::NotEmpty(kind));
        }
    }
    Ok(())
}

/// What the old store was called stays its name; the new one stays locked.
fn write_information(store: &dyn Store, spec: &Value) -> Result<(), Error> {
    let before = one(store, &ResourceKey::cluster_information())?
        .ok_or_else(|| Error::Missing(ResourceKey::cluster_information()))?;
    let mut value = before.value.clone().map_err(Error::Stored)?;
    for name in ["clusterGUID", "clusterType", "calicoVersion"] {
        if let Some(text) = spec.get(name).filter(|text| text.is_string()) {
            value["spec"][name] = text.clone();
        }
    }
    commit(store, &[Step::Update { before, value }])
}

pub(super) fn names(given: &Given) -> Result<(), Error> {
    const PREFIX: &str = "default.";
    let session = Session::open(given, Access::Write)?;
    let store = &*session.store;
    let kinds = Kind::all().filter(|kind| kind.is_tiered_policy());
    let what: Vec<Select> = kinds.map(|kind| Select::Kind(kind, None)).collect();
    let lists = store.select(&what).map_err(stored)?;
    let mut count = 0;
    for before in lists.into_iter().flat_map(|list| list.items) {
        let Some(name) = before.at.name.strip_prefix(PREFIX).map(str::to_owned) else { continue };
        let Ok(value) = before.value.clone() else { continue };
        if value["metadata"]["name"] != name.as_str() {
            continue;
        }
        let key = ResourceKey { name, ..before.at.clone() };
        let create = one(store, &key)?.is_none().then_some(Step::Create { key, value });
        commit(store, &create.into_iter().chain([Step::Delete { before }]).collect::<Vec<_>>())?;
        count += 1;
    }
    println!("Policy name migration complete, migrated {count} policies.");
    Ok(())
}

fn one(store: &dyn Store, key: &ResourceKey) -> Result<Option<Item>, Error> {
    let lists = store.select(&[Select::Object(key.clone())]).map_err(stored)?;
    Ok(lists.into_iter().next().and_then(|mut list| list.items.pop()))
}

fn commit(store: &dyn Store, steps: &[Step]) -> Result<(), Error> {
    match store.commit(steps).map_err(stored)? {
        Commit::Done(_) => Ok(()),
        Commit::Refused { step } => Err(Error::Conflict(steps[step].at().clone())),
    }
}

fn stored(error: KvError) -> Error {
    of_store(ResourceError::Store(error), Operation::Get)
}
