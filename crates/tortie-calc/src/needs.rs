//! Which kinds can matter to a host (datastore.md section 4.1): what nothing in force can need may be left unread.

use tortie_api::Kind;
use tortie_selector::scope::NAMESPACE_LABEL;
use tortie_selector::{Restriction, Selector};

use crate::policy::SetId;

/// The kinds that an agent may leave unread until something needs them.
pub const LAZY: [Kind; 3] = [Kind::NetworkSet, Kind::Profile, Kind::WorkloadEndpoint];

/// The kinds whose objects can be members of a set, or decide by their labels who is one.
pub(crate) fn of_set(id: &SetId, selector: Option<&Selector>) -> &'static [Kind] {
    match (id, selector) {
        (_, Some(selector)) if has_no_namespaced(selector) => &[],
        // Network sets have no ports.
        (SetId::NamedPort { .. }, Some(_)) => &[Kind::Profile, Kind::WorkloadEndpoint],
        (SetId::NamedPort { .. }, None) => &[Kind::WorkloadEndpoint],
        (SetId::Selector(_), _) => &LAZY,
    }
}

/// Whether a selector takes nothing that has a namespace: network sets and workload endpoints always show theirs.
fn has_no_namespaced(selector: &Selector) -> bool {
    selector.restrictions().is_none_or(|labels| labels.get(NAMESPACE_LABEL) == Some(&Restriction::Absent))
}
