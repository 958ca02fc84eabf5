//! Opens the store that flags, environment and files name (D-13, datastore.md section 2.9).

mod etcd;
mod fault;
mod kubernetes;
mod place;
mod values;
mod view;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tortie_api::with_causes;
use tortie_calc::settings::Local;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::{Access, Embedded, KvError, ResourceError, Store};
use tortie_etcd::Etcd;
use tortie_kubernetes::Kubernetes;

use self::place::Place;
use crate::args::{DryRun, Global};
use crate::exit::{Code, Failure};
use crate::late::{Late, initialise};

pub(crate) use fault::{ConfigFault, Mistake};
pub(crate) use values::FILE_LEN_MAX as CONFIG_FILE_LEN_MAX;
pub(crate) use view::{Kubeconfig, Setting, kubeconfig, settings};

/// How URLs of stores begin.
pub(crate) const SCHEMES: [&str; 5] = ["embedded:", "etcd://", "etcds://", "kubernetes", "config:"];

/// The configuration file that counts, if there is one; a named one need not exist.
pub(crate) fn config_file(global: &Global) -> Option<PathBuf> {
    place::of_command(global, global.store.as_deref()).file()
}

/// The configuration file that is the user's to write.
pub(crate) fn own_config_file(global: &Global) -> PathBuf {
    let own = place::named_file(global).or_else(|| place::users_file(global));
    own.unwrap_or_else(|| PathBuf::from(values::FILES[0]))
}

/// The fields of a configuration file.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    values::FIELDS.iter().map(|(field, _)| *field)
}

/// The variables of the environment that say something of a store.
pub(crate) fn variables() -> Vec<String> {
    fields().filter_map(values::variable).collect()
}

/// Checks the text of a configuration file.
///
/// # Errors
/// What a command that reads the file would say.
pub(crate) fn check_config(text: &str, file: &Path) -> Result<(), Failure> {
    let invalid = |mistake| Failure::from(ConfigFault::Invalid { path: file.to_owned(), mistake });
    values::Values::of_text(text).map(|_| ()).map_err(invalid)
}

/// Tells the store of a command line from others, for as long as the program's build is the same.
///
/// # Errors
/// That no store is named.
pub(crate) fn identity(global: &Global) -> Result<u64, Failure> {
    let mut hasher = DefaultHasher::new();
    named(global)?.hash(&mut hasher);
    // A path may be relative.
    std::env::current_dir().ok().hash(&mut hasher);
    Ok(hasher.finish())
}

/// Opens the store.
pub(crate) fn open(global: &Global, access: Access) -> Result<Arc<dyn Store>, Failure> {
    connect(global.timeout, &named(global)?, access)
}

/// A store that is written to, or where a change is only tried.
pub(crate) struct Opened {
    store: Arc<dyn Store>,
    /// Where it lies, when that is to vanish.
    _folder: Option<TempDir>,
}

impl Deref for Opened {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

/// Opens the store for a change. Where that is only tried, a store that would be made is made elsewhere, and goes again.
pub(crate) fn open_to_write(global: &Global, dry_run: Option<DryRun>) -> Result<Opened, Failure> {
    let place = named(global)?;
    if let (Place::Embedded(path, is_named), Some(_)) = (&place, dry_run)
        && !embedded_at(path, *is_named, Access::Read)?.file().exists()
    {
        if !global.quiet {
            let shown = path.display();
            eprintln!(
                "warning: store `{shown}` does not exist yet: this is tried on an empty one, and not whether it can be made"
            );
        }
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::new(Code::General, format!("cannot make a folder to try it in: {error}"))
                .with_hint("TMPDIR says where")
        })?;
        let store: Arc<dyn Store> = Arc::new(embedded_at(&folder.path().join("store.db"), true, Access::Write)?);
        initialise(&*store);
        return Ok(Opened { store, _folder: Some(folder) });
    }
    Ok(Opened { store: connect(global.timeout, &place, Access::Write)?, _folder: None })
}

/// Whether the store can merge in somebody's name.
pub(crate) fn check_merges(global: &Global) -> Result<(), Failure> {
    let other = match named(global)? {
        Place::Kubernetes(_) => return Ok(()),
        Place::Etcd(_) => "etcd",
        Place::Embedded(..) => "the embedded store",
    };
    let message =
        format!("{other} has no server-side apply: only a Kubernetes API server (`--store kubernetes`) has it");
    Err(Failure::new(Code::Usage, message).with_hint(
        "leave `--server-side` out; a document with its `resourceVersion` is never written over what others changed",
    ))
}

/// A store that was found and is not open yet.
pub(crate) struct Unopened(Place);

impl Unopened {
    /// The store that Calico's own command line would ask.
    pub(crate) fn of_calicoctl(config: Option<&Path>, context: Option<&str>) -> Result<Unopened, ConfigFault> {
        place::of_calicoctl(config, context).map(Unopened)
    }

    /// What configuration says of an etcd or a cluster.
    pub(crate) fn setting(&self, field: &str) -> Option<&str> {
        match &self.0 {
            Place::Etcd(values) | Place::Kubernetes(values) => values.get(field),
            Place::Embedded(..) => None,
        }
    }

    /// Whether it is a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.0, Place::Kubernetes(_))
    }

    /// Opens it.
    pub(crate) fn open(&self, access: Access) -> Result<Arc<dyn Store>, Failure> {
        connect(None, &self.0, access)
    }
}

/// Opens the store of this URL; how it is reached comes from the same environment and files.
pub(crate) fn open_url(global: &Global, url: &str, access: Access) -> Result<Arc<dyn Store>, Failure> {
    connect(global.timeout, &place::of_global(global, Some(url), [&Local::new(), &Local::new()])?, access)
}

/// Opens the cluster that stands beside the store, for its nodes (E-813).
pub(crate) fn open_cluster(global: &Global) -> Result<Arc<dyn Store>, Failure> {
    connect(global.timeout, &place::cluster(global)?, Access::Read)
}

fn named(global: &Global) -> Result<Place, Failure> {
    Ok(place::of_command(global, global.store.as_deref()).place()?)
}

fn connect(timeout: Option<Duration>, place: &Place, access: Access) -> Result<Arc<dyn Store>, Failure> {
    match place {
        Place::Embedded(path, is_named) => Ok(Arc::new(embedded_at(path, *is_named, access)?)),
        Place::Etcd(values) => {
            let settings = etcd::settings(values, timeout)?;
            Ok(Arc::new(Etcd::connect(&settings).map_err(|error| kv_failure(&error))?))
        }
        Place::Kubernetes(values) => {
            let settings = kubernetes::settings(values, timeout)?;
            Ok(Arc::new(Kubernetes::open(&settings).map_err(|error| kv_failure(&error))?))
        }
    }
}

/// Opens the store for an agent: one that cannot be opened now may be later, and what is enforced stays until then (E-703).
///
/// `is_known` is an agent that has saved what its store held: it does not take a missing one for an empty one (D-13).
/// `felix` are its settings of environment and file.
pub(crate) fn open_for_agent(global: &Global, felix: [&Local; 2], is_known: bool) -> Result<Arc<dyn Store>, Failure> {
    let place = place::of_global(global, global.store.as_deref(), felix)?;
    let (path, is_named) = match place {
        Place::Embedded(path, is_named) => (path, is_named),
        Place::Etcd(values) => {
            // Nothing waits for a server: what is enforced is kept meanwhile.
            let settings = etcd::settings(&values, global.timeout)?;
            return Ok(Arc::new(Late::new(settings.place(), Box::new(move || Etcd::connect(&settings)))));
        }
        place @ Place::Kubernetes(_) => return connect(global.timeout, &place, Access::Write),
    };
    match opened(&path, is_named, is_known) {
        Ok(store) => Ok(Arc::new(store)),
        Err(failure) => {
            tracing::error!("{}: trying again until it can be opened", failure.messages.join("; "));
            let place = path.display().to_string();
            Ok(Arc::new(Late::new(place, Box::new(move || known_or_made(&path, is_known)))))
        }
    }
}

/// Opens the store for an agent that programs once: now or not at all.
pub(crate) fn open_once(global: &Global, felix: [&Local; 2], is_known: bool) -> Result<Arc<dyn Store>, Failure> {
    match place::of_global(global, global.store.as_deref(), felix)? {
        Place::Embedded(path, is_named) => Ok(Arc::new(opened(&path, is_named, is_known)?)),
        other => connect(global.timeout, &other, Access::Write),
    }
}

/// Opens an embedded store for an agent.
fn opened(path: &Path, is_named: bool, is_known: bool) -> Result<Embedded, Failure> {
    if !is_known {
        make_folder(path, is_named)?;
    }
    known_or_made(path, is_known).map_err(|error| kv_failure(&error))
}

/// Opens an embedded store. One that is known is neither made nor initialised: who lost everything would be taken at its
/// word.
fn known_or_made(path: &Path, is_known: bool) -> Result<Embedded, KvError> {
    if is_known {
        return Embedded::open_known(path);
    }
    let store = Embedded::open(path, Access::Write)?;
    initialise(&store);
    Ok(store)
}

/// Opens the embedded store, for what only that has.
pub(crate) fn embedded(global: &Global, access: Access) -> Result<Embedded, Failure> {
    match named(global)? {
        Place::Embedded(path, is_named) => embedded_at(&path, is_named, access),
        Place::Etcd(_) => Err(Failure::new(Code::Usage, "etcd is not looked after by this command")
            .with_hint("use etcd's own tools: `etcdctl endpoint status`, `snapshot save`, `compaction`, `defrag`")),
        Place::Kubernetes(_) => Err(Failure::new(Code::Usage, "a cluster is not looked after by this command")
            .with_hint("use the tools of the cluster; `tortie datastore export` copies what Tortie reads")),
    }
}

/// Opens the store of a cluster, for what only that has.
pub(crate) fn kubernetes(global: &Global) -> Result<Kubernetes, Failure> {
    match named(global)? {
        Place::Kubernetes(values) => {
            Kubernetes::open(&kubernetes::settings(&values, global.timeout)?).map_err(|error| kv_failure(&error))
        }
        Place::Embedded(..) | Place::Etcd(_) => {
            Err(Failure::new(Code::Usage, "this store needs no definitions: only a Kubernetes API server does")
                .with_hint("name it with `--store kubernetes`, or leave `--crds` out"))
        }
    }
}

fn embedded_at(path: &Path, is_named: bool, access: Access) -> Result<Embedded, Failure> {
    if access == Access::Write {
        make_folder(path, is_named)?;
    }
    Embedded::open(path, access).map_err(|error| kv_failure(&error))
}

/// Makes the folder of a store that nobody named.
fn make_folder(path: &Path, is_named: bool) -> Result<(), Failure> {
    let Some(folder) = path.parent().filter(|_| !is_named) else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|error| {
        let code =
            if error.kind() == std::io::ErrorKind::PermissionDenied { Code::NotAuthorised } else { Code::General };
        Failure::new(code, format!("cannot make folder `{}`: {error}", folder.display()))
            .with_hint("run as root, or name a store of your own with `--store embedded:PATH`")
    })
}

/// The exit code of a store's error.
pub(crate) fn kv_code(error: &KvError) -> Code {
    match error.fault() {
        Some(FaultKind::PermissionDenied { .. } | FaultKind::Unauthenticated { .. }) => Code::NotAuthorised,
        Some(FaultKind::Busy { .. } | FaultKind::Unavailable | FaultKind::Untrusted) => Code::Unreachable,
        Some(FaultKind::BadSettings { .. } | FaultKind::TooLarge { .. } | FaultKind::Refused { .. }) => Code::Invalid,
        Some(FaultKind::FieldsOwned { .. }) => Code::Conflict,
        Some(FaultKind::HalfDone { .. }) => Code::Partial,
        _ => Code::General,
    }
}

pub(crate) fn kv_failure(error: &KvError) -> Failure {
    Failure::new(kv_code(error), with_causes(error))
}

/// The exit code of a resource's error.
pub(crate) fn resource_code(error: &ResourceError) -> Code {
    match error {
        ResourceError::AlreadyExists(_) | ResourceError::Conflict(_) => Code::Conflict,
        ResourceError::DoesNotExist(_) => Code::NotFound,
        ResourceError::NoTier { .. }
        | ResourceError::BadRevision(_)
        | ResourceError::RevisionOnCreate(_)
        | ResourceError::TooLarge { .. } => Code::Invalid,
        ResourceError::Partial { .. } => Code::Partial,
        // What may not be written is refused like any other bad input.
        ResourceError::NotSupported { operation, .. } if *operation != "delete" => Code::Invalid,
        ResourceError::NotSupported { .. } | ResourceError::Unparsable { .. } => Code::General,
        ResourceError::Store(error) => kv_code(error),
    }
}

pub(crate) fn resource_failure(error: &ResourceError) -> Failure {
    let failure = Failure::new(resource_code(error), with_causes(error));
    match error {
        ResourceError::NoTier { .. } => {
            failure.with_hint("create the tier first, or in the same file; `tortie get tiers` lists them")
        }
        ResourceError::Conflict(_) => {
            failure.with_hint("somebody changed it: get it again, and apply your change to that")
        }
        ResourceError::TooLarge { .. } => failure.with_hint("divide it into several objects"),
        _ => failure,
    }
}
