//! Sets that rules use, with the objects behind each member (T-27).

use std::collections::BTreeMap;

use tortie_api::ResourceKey;
use tortie_calc::HostPolicy;
use tortie_calc::policy::SetId;

use crate::status::SetStatus;

/// Every set of `policy`, empty ones too: a selector that finds nobody is what people look for here.
pub(crate) fn sets<'a>(
    policy: &'a HostPolicy,
    contributions: impl IntoIterator<Item = (&'a SetId, ResourceKey, Vec<String>)>,
) -> Vec<SetStatus> {
    let mut sets: BTreeMap<&SetId, SetStatus> = policy.sets.keys().map(|id| (id, head(id))).collect();
    for (id, key, members) in contributions {
        let set = sets.entry(id).or_insert_with(|| head(id));
        for member in members {
            set.members.entry(member).or_default().push(key.to_string());
        }
    }
    sets.into_values().collect()
}

fn head(id: &SetId) -> SetStatus {
    match id {
        SetId::Selector(selector) => SetStatus { selector: Some(selector.to_string()), ..SetStatus::default() },
        SetId::NamedPort { name, protocol, selector } => SetStatus {
            selector: selector.as_ref().map(ToString::to_string),
            port: Some(name.to_string()),
            protocol: protocol.map(|protocol| protocol.to_string()),
            ..SetStatus::default()
        },
    }
}
