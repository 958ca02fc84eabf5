//! Names of objects that are not there, and which one was probably meant.

use tortie_api::{Kind, ResourceKey, nearest, with_causes};
use tortie_datastore::{ResourceError, Resources};

use crate::exit::Failure;
use crate::store::resource_failure;

/// The failure with what was probably meant, where it is about an object that is not there.
pub(crate) fn failure(resources: &Resources<'_>, error: &ResourceError) -> Failure {
    let missing = match error {
        ResourceError::DoesNotExist(key) => key,
        ResourceError::NoTier { tier, .. } => tier,
        _ => return resource_failure(error),
    };
    let failure = resource_failure(error);
    match hint(resources, std::slice::from_ref(missing)) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

/// What was probably meant by the names of objects that are not there.
pub(crate) fn hint(resources: &Resources<'_>, missing: &[ResourceKey]) -> Option<String> {
    let found: Vec<String> = missing.iter().filter_map(|key| one(resources, key)).collect();
    (!found.is_empty()).then(|| found.join("; "))
}

fn one(resources: &Resources<'_>, missing: &ResourceKey) -> Option<String> {
    let names = names(resources, missing.kind);
    let same = names.iter().find(|(_, name)| *name == missing.name);
    if let Some((namespace, name)) = same.filter(|(namespace, _)| *namespace != missing.namespace) {
        return Some(format!(
            "`{name}` is in namespace `{namespace}`: add `-n {namespace}`",
            namespace = namespace.as_deref()?
        ));
    }
    let beside = names.iter().filter(|(namespace, _)| *namespace == missing.namespace);
    let near = nearest(&missing.name, beside.map(|(_, name)| name.as_str()))?;
    Some(format!("did you mean `{near}`?"))
}

/// Namespaces and names of all objects of a kind.
fn names(resources: &Resources<'_>, kind: Kind) -> Vec<(Option<String>, String)> {
    match resources.list(kind, None) {
        Ok((objects, _)) => objects.into_iter().map(|object| (object.key.namespace, object.key.name)).collect(),
        Err(error) => {
            // The failure itself is told in any case.
            tracing::debug!("cannot look for what was meant: {}", with_causes(&error));
            Vec::new()
        }
    }
}
