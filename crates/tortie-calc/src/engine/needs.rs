//! What the present state needs (datastore.md section 4.1).

use std::collections::BTreeSet;

use tortie_api::model::{HostEndpoint, Resource};
use tortie_api::{DEFAULT_ALLOW_PROFILE, Kind};

use super::Engine;
use crate::needs::LAZY;

impl Engine {
    /// Those of [`LAZY`] that can matter to what is in force, as of the last flush. Without any object of the others the
    /// calculation gives the same rules, and the same answer here.
    pub fn needs(&self) -> BTreeSet<Kind> {
        // Rules come from such a profile, and labels, by which more policies may select the endpoint.
        if self.locals.all().any(|(_, endpoint)| names_profile(endpoint)) {
            return BTreeSet::from(LAZY);
        }
        let mut needs = BTreeSet::new();
        // E-442: which of this node's workload interfaces are known.
        if self.settings.drops_unknown_workloads {
            needs.insert(Kind::WorkloadEndpoint);
        }
        let mut has_selector = false;
        for definition in self.policies.all().flat_map(|(_, active)| active.sets()) {
            needs.extend(definition.needs);
            has_selector |= definition.selector.is_some();
        }
        // Labels of other hosts' endpoints.
        if has_selector && !needs.contains(&Kind::Profile) && self.remote.values().any(|other| is_named_by(other)) {
            needs.insert(Kind::Profile);
        }
        needs
    }
}

fn is_named_by(resource: &Resource) -> bool {
    matches!(resource, Resource::HostEndpoint(hep) if names_profile(hep))
}

/// Whether a host endpoint takes rules or labels from a profile that is stored.
fn names_profile(endpoint: &HostEndpoint) -> bool {
    endpoint.profiles.iter().any(|name| name != DEFAULT_ALLOW_PROFILE)
}
