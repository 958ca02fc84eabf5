//! Which host endpoint governs which interface (enforcement.md section 1).

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use tortie_api::facts::Links;
use tortie_api::model::{Attachment, HostEndpoint};

use crate::policy::Dispatch;
use crate::report::EndpointState;
use crate::settings::{InterfacePattern, Settings};

/// The dispatch, and what became of each local endpoint.
#[derive(Default)]
pub(crate) struct Resolution {
    pub(crate) dispatch: Dispatch,
    pub(crate) states: BTreeMap<String, EndpointState>,
    /// Endpoint to the interfaces that it matches and another one governs, with that one.
    pub(crate) shadowed: BTreeMap<String, BTreeMap<String, String>>,
}

/// Resolves the local endpoints, which come in byte order of their names: the first one that matches wins (E-106).
pub(crate) fn resolve<'a>(
    endpoints: impl Iterator<Item = &'a HostEndpoint> + Clone,
    links: &Links,
    settings: &Settings,
) -> Resolution {
    let exclude = Exclude::of(settings);
    let is_candidate = |name: &str| !settings.is_workload_interface(name) && !exclude.contains(name);

    let mut dispatch = Dispatch::default();
    let mut shadowed: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut states = BTreeMap::new();
    for endpoint in endpoints.clone() {
        let name = &endpoint.meta.name;
        let interfaces: Vec<&str> = match &endpoint.attachment {
            Attachment::AllInterfaces => {
                let state = match &dispatch.wildcard {
                    None => {
                        dispatch.wildcard = Some(name.clone());
                        EndpointState::Wildcard
                    }
                    Some(winner) => EndpointState::InactiveWildcard { winner: winner.clone() },
                };
                states.insert(name.clone(), state);
                continue;
            }
            Attachment::Named(interface) if settings.is_workload_interface(interface) => {
                states.insert(name.clone(), EndpointState::WorkloadInterface { interface: interface.clone() });
                continue;
            }
            Attachment::Named(interface) if exclude.contains(interface) => {
                states.insert(name.clone(), EndpointState::Excluded { interface: interface.clone() });
                continue;
            }
            // E-115: by name, whether or not the interface is there yet.
            Attachment::Named(interface) => vec![interface],
            Attachment::ByAddress => links
                .values()
                .filter(|link| is_candidate(&link.name))
                .filter(|link| endpoint.expected_ips.iter().any(|address| link.addresses.contains(address)))
                .map(|link| link.name.as_str())
                .collect(),
        };
        for interface in interfaces {
            match dispatch.interfaces.get(interface) {
                None => {
                    dispatch.interfaces.insert(interface.to_owned(), name.clone());
                }
                Some(winner) => {
                    shadowed.entry(name.clone()).or_default().insert(interface.to_owned(), winner.clone());
                }
            }
        }
    }
    for endpoint in endpoints.filter(|endpoint| endpoint.attachment != Attachment::AllInterfaces) {
        let name = &endpoint.meta.name;
        let governed: BTreeSet<String> = dispatch
            .interfaces
            .iter()
            .filter(|(interface, winner)| *winner == name && links.contains_key(*interface))
            .map(|(interface, _)| interface.clone())
            .collect();
        states.entry(name.clone()).or_insert_with(|| match shadowed.get(name) {
            _ if !governed.is_empty() => EndpointState::Governs { interfaces: governed },
            Some(by) => EndpointState::Shadowed { by: by.clone() },
            None => EndpointState::Unresolved,
        });
    }
    dispatch.exempt = links.keys().filter(|name| exclude.contains(name)).cloned().collect();
    dispatch.exempt.extend(exclude.exact.iter().cloned());
    if settings.is_loopback_exempt {
        dispatch.exempt.insert("lo".to_owned());
    }
    // A workload interface is one whatever `interfaceExclude` says: the wildcard has a say there (E-112, E-440).
    dispatch.exempt.retain(|name| !settings.is_workload_interface(name));
    Resolution { dispatch, states, shadowed }
}

struct Exclude {
    exact: BTreeSet<String>,
    patterns: Vec<Regex>,
}

impl Exclude {
    fn of(settings: &Settings) -> Self {
        let mut exclude = Exclude { exact: BTreeSet::new(), patterns: Vec::new() };
        for pattern in &settings.interface_exclude {
            match pattern {
                InterfacePattern::Exact(name) => {
                    exclude.exact.insert(name.clone());
                }
                InterfacePattern::Regex(text) => {
                    exclude.patterns.push(Regex::new(text).expect("patterns are checked when they are read"));
                }
            }
        }
        exclude
    }

    fn contains(&self, name: &str) -> bool {
        self.exact.contains(name) || self.patterns.iter().any(|pattern| pattern.is_match(name))
    }
}
