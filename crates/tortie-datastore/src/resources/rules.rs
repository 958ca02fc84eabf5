//! What may be done to which object, in every store (datastore.md section 1).

use tortie_api::defaults::is_fixed_tier;
use tortie_api::{Kind, ResourceKey, is_built_in};

use super::{Mode, ResourceError};
use crate::store::Store;

pub(super) fn refuse_unsupported(store: &dyn Store, mode: Mode, key: &ResourceKey) -> Result<(), ResourceError> {
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
        Kind::Tier if mode == Mode::Delete && is_fixed_tier(&key.name) => refuse("delete", "this tier is always there"),
        _ => match store.refuses(mode, key) {
            None => Ok(()),
            Some(reason) => refuse(verb(mode), reason),
        },
    }
}

fn verb(mode: Mode) -> &'static str {
    match mode {
        Mode::Create => "create",
        Mode::Replace => "replace",
        Mode::Apply => "apply",
        Mode::Delete => "delete",
    }
}
