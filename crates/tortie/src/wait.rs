//! `apply --wait`: waits until the hosts concerned report that they enforce the change (D-14).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use tortie_agent::{AgentReport, REPORT_PREFIX};
use tortie_api::Kind;
use tortie_api::model::{Policy, Resource};
use tortie_api::read_stored;
use tortie_datastore::kv::watch_receiver;
use tortie_datastore::resources::{Change, Object};
use tortie_datastore::{Access, Resources};
use tortie_selector::scope;

use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::store::{self, kv_failure, resource_failure};

pub(crate) fn for_hosts(global: &Global, changes: &[Change], patience: Duration) -> Result<(), Failure> {
    let kv = store::open(global, Access::Read)?;
    let resources = Resources::new(&*kv);
    let deadline = Instant::now() + patience;
    let revision = kv.resource_revision().map_err(|error| kv_failure(&error))?;
    let nodes = concerned(&resources, changes)?;
    if nodes.is_empty() {
        eprintln!("no host is concerned");
        return Ok(());
    }
    // The watch starts before the first look, so that no report is missed between the two.
    let (entries, seen) = kv.range(REPORT_PREFIX).map_err(|error| kv_failure(&error))?;
    let watch = watch_receiver(&*kv, &[REPORT_PREFIX], seen.next()).map_err(|error| kv_failure(&error))?;
    let mut reports: BTreeMap<String, AgentReport> = BTreeMap::new();
    for entry in entries {
        take(&mut reports, &entry.value);
    }
    loop {
        let behind: Vec<&String> = nodes
            .iter()
            .filter(|node| reports.get(*node).and_then(|report| report.revision).is_none_or(|r| r < revision.0))
            .collect();
        if behind.is_empty() {
            eprintln!("enforced on {} of {} hosts", nodes.len(), nodes.len());
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let mut messages =
                vec![format!("{} of {} hosts do not enforce revision {revision} yet", behind.len(), nodes.len())];
            for node in behind {
                messages.push(match reports.get(node) {
                    None => format!("{node}: unknown, its agent does not report"),
                    Some(report) if !report.problems.is_empty() => format!("{node}: {}", report.problems.join("; ")),
                    Some(report) => format!("{node}: at revision {}", report.revision.unwrap_or(0)),
                });
            }
            return Err(Failure { code: Code::NotReached, messages, hint: None });
        }
        if let Some(batch) = watch.next_batch(left).map_err(|error| kv_failure(&error))? {
            for event in batch.events {
                match event.value {
                    Some(value) => take(&mut reports, &value),
                    None => {
                        reports.remove(event.key.trim_start_matches(REPORT_PREFIX));
                    }
                }
            }
        }
    }
}

fn take(reports: &mut BTreeMap<String, AgentReport>, value: &[u8]) {
    match serde_json::from_slice::<AgentReport>(value) {
        Ok(report) => {
            reports.insert(report.node.clone(), report);
        }
        Err(error) => tracing::debug!("a report is not understood: {error}"),
    }
}

/// Nodes with a host endpoint that the change touches or selects.
fn concerned(resources: &Resources<'_>, changes: &[Change]) -> Result<BTreeSet<String>, Failure> {
    let list = |kind: Kind| resources.list(kind, None).map_err(|error| resource_failure(&error));
    let typed = |objects: Vec<Object>| -> Vec<Resource> {
        let read = |object: Object| read_stored(object.key.kind, &Value::Object(object.value)).ok();
        objects.into_iter().filter_map(read).map(|stored| stored.resource).collect()
    };
    let endpoints = typed(list(Kind::HostEndpoint)?.0);
    let profiles = typed(list(Kind::Profile)?.0);
    let mut nodes = BTreeSet::new();
    for change in changes {
        let resource =
            read_stored(change.key.kind, &Value::Object(change.value.clone())).ok().map(|stored| stored.resource);
        for endpoint in &endpoints {
            let Resource::HostEndpoint(hep) = endpoint else { continue };
            let is_concerned = match &resource {
                Some(Resource::HostEndpoint(changed)) => changed.meta.name == hep.meta.name,
                Some(Resource::Policy(policy)) => selects(policy, hep, &profiles),
                // Tiers, profiles, sets and settings may matter to every host.
                _ => change.key.kind != Kind::Node,
            };
            if is_concerned {
                nodes.insert(hep.node.clone());
            }
        }
    }
    Ok(nodes)
}

fn selects(policy: &Policy, hep: &tortie_api::model::HostEndpoint, profiles: &[Resource]) -> bool {
    if policy.meta.namespace.is_some() {
        return false;
    }
    let mut labels = hep.meta.labels.clone();
    for name in &hep.profiles {
        let profile = profiles.iter().find(|profile| profile.meta().name == *name);
        if let Some(Resource::Profile(profile)) = profile {
            for (key, value) in &profile.labels_to_apply {
                labels.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    let (namespaces, accounts) = (policy.namespace_selector.as_ref(), policy.service_account_selector.as_ref());
    scope::global_policy(&policy.selector, namespaces, accounts).matches(&labels)
}
