//! The settings in force: those of the store, or of the environment over them (E-801).

use std::collections::BTreeMap;

use tortie_api::model::{AutoHostEndpoint, KubeControllersConfiguration};

use super::name::Names;

const AUTO_HOST_ENDPOINTS: &str = "AUTO_HOST_ENDPOINTS";

/// What the environment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `AUTO_HOST_ENDPOINTS`: whether default endpoints are made; none of the store's settings counts then.
    pub(crate) is_enabled: Option<bool>,
    /// The variables that count, as they were given.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A variable with a value that means nothing. Whoever set it meant something, so the controller does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: `{value}` is neither `enabled` nor `disabled`")]
pub struct EnvironmentError {
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

impl Environment {
    /// Reads the variables that count; the others are passed over.
    ///
    /// # Errors
    /// [`EnvironmentError`] for a value other than `enabled` and `disabled`, in any case (E-801); the empty one among them.
    pub fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, EnvironmentError> {
        let mut environment = Self::default();
        for (name, value) in variables {
            if name != AUTO_HOST_ENDPOINTS {
                continue;
            }
            environment.is_enabled = Some(match value.to_lowercase().as_str() {
                "enabled" => true,
                "disabled" => false,
                _ => return Err(EnvironmentError { name: AUTO_HOST_ENDPOINTS, value }),
            });
            environment.variables.insert(name, value);
        }
        Ok(environment)
    }
}

/// The settings in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `None` while they are not known: then everything stays as it is.
    pub(crate) auto: Option<AutoHostEndpoint>,
    pub(crate) names: Names,
    /// Whether labels of a cluster's nodes are synced (E-813), where there is a cluster beside the store.
    pub(crate) syncs_labels: bool,
}

impl Settings {
    /// The settings of store and environment; without an object in the store its defaults count.
    pub fn new(configuration: Option<&KubeControllersConfiguration>, environment: &Environment, names: Names) -> Self {
        let of_store = || configuration.map(|found| found.host_endpoint.clone()).unwrap_or_default();
        let auto = match environment.is_enabled {
            Some(is_enabled) => AutoHostEndpoint { is_enabled, ..AutoHostEndpoint::default() },
            None => of_store(),
        };
        let syncs_labels = configuration.is_none_or(|found| found.syncs_labels);
        Self { auto: Some(auto), names, syncs_labels }
    }

    /// The settings when the object in the store cannot be read: those of the environment, or none, and then everything
    /// stays as it is. To take it for an empty one would delete every endpoint, and open every host.
    pub fn unreadable(environment: &Environment, names: Names) -> Self {
        let auto = environment.is_enabled.and_then(|_| Self::new(None, environment, names).auto);
        Self { auto, names, syncs_labels: false }
    }
}
