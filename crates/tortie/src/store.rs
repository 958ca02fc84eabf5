//! Opens the store that flags and environment name (D-13, datastore.md section 2.9).

use std::path::PathBuf;
use std::sync::Arc;

use tortie_api::with_causes;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::{Access, Embedded, KvError, ResourceError, Store};

use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::late::{Late, initialise};

/// Where the embedded store lies when nothing names another place.
const DEFAULT_PATH: &str = "/var/lib/tortie/store.db";

/// Opens the store.
pub(crate) fn open(global: &Global, access: Access) -> Result<Arc<dyn Store>, Failure> {
    Ok(Arc::new(embedded(global, access)?))
}

/// Opens the store for an agent: one that cannot be opened now may be later, and what is enforced stays until then (E-703).
///
/// `is_known` is an agent that has saved what its store held: it does not take a missing one for an empty one (D-13).
pub(crate) fn open_for_agent(global: &Global, is_known: bool) -> Result<Arc<dyn Store>, Failure> {
    let path = path(global.store.as_deref())?;
    let opened = if is_known { open_known(global) } else { open(global, Access::Write) };
    match opened {
        Ok(store) => {
            initialise(&*store);
            Ok(store)
        }
        Err(failure) => {
            tracing::error!("{}: trying again until it can be opened", failure.messages.join("; "));
            let place = path.display().to_string();
            let open = move || match is_known {
                true => Embedded::open_known(&path),
                false => Embedded::open(&path, Access::Write),
            };
            Ok(Arc::new(Late::new(place, Box::new(open))))
        }
    }
}

/// Opens a store that was there before.
pub(crate) fn open_known(global: &Global) -> Result<Arc<dyn Store>, Failure> {
    let path = path(global.store.as_deref())?;
    let known = Embedded::open_known(&path).map_err(|error| kv_failure(&error))?;
    Ok(Arc::new(known))
}

/// Opens the embedded store.
pub(crate) fn embedded(global: &Global, access: Access) -> Result<Embedded, Failure> {
    let path = path(global.store.as_deref())?;
    if access == Access::Write
        && global.store.is_none()
        && let Some(folder) = path.parent()
    {
        std::fs::create_dir_all(folder).map_err(|error| {
            let code =
                if error.kind() == std::io::ErrorKind::PermissionDenied { Code::NotAuthorised } else { Code::General };
            Failure::new(code, format!("cannot make folder `{}`: {error}", folder.display()))
                .with_hint("run as root, or name a store of your own with `--store embedded:PATH`")
        })?;
    }
    Embedded::open(&path, access).map_err(|error| kv_failure(&error))
}

fn path(url: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(url) = url.filter(|url| !url.is_empty()) else { return Ok(PathBuf::from(DEFAULT_PATH)) };
    if let Some(path) = url.strip_prefix("embedded:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            return Err(
                Failure::new(Code::Usage, "`--store embedded:` names no file").with_hint("write `embedded:PATH`")
            );
        }
        return Ok(PathBuf::from(path));
    }
    let scheme = url.split(':').next().unwrap_or_default();
    if ["etcd", "etcds", "kubernetes", "config"].contains(&scheme) {
        let message = format!("store `{url}`: this version knows the embedded store only");
        return Err(Failure::new(Code::Usage, message).with_hint("write `--store embedded:PATH`"));
    }
    if url.contains("://") {
        return Err(Failure::new(Code::Usage, format!("`{url}` is not a store")).with_hint("write `embedded:PATH`"));
    }
    Ok(PathBuf::from(url))
}

/// The exit code of a store's error.
pub(crate) fn kv_code(error: &KvError) -> Code {
    match error.fault() {
        Some(FaultKind::PermissionDenied { .. }) => Code::NotAuthorised,
        Some(FaultKind::Busy { .. } | FaultKind::Unavailable) => Code::Unreachable,
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
