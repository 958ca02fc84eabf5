//! `apply --wait`: waits until the hosts concerned report that they enforce the change (D-14).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::Value;
use tortie_agent::AgentReport;
use tortie_api::Kind;
use tortie_api::model::{Policy, Resource};
use tortie_api::read_stored;
use tortie_datastore::resources::{Change, Done, Mode, Object, Written};
use tortie_datastore::store::Reported;
use tortie_datastore::{Access, Resources};
use tortie_selector::scope;

use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::store::{self, kv_failure, resource_failure};

/// The newest revision of each kind of which something is to be deleted. Where a store tells no revision of a deletion, that is
/// the first one after these.
pub(crate) fn before_deletions(global: &Global, changes: &[Change]) -> Result<BTreeMap<Kind, u64>, Failure> {
    let mut newest = BTreeMap::new();
    let deletions: BTreeSet<Kind> =
        changes.iter().filter(|change| change.mode == Mode::Delete).map(|change| change.key.kind).collect();
    if deletions.is_empty() {
        return Ok(newest);
    }
    let store = store::open(global, Access::Read)?;
    for kind in deletions {
        let (objects, _) = Resources::new(&*store).list(kind, None).map_err(|error| resource_failure(&error))?;
        let revision = |object: &Object| object.value["metadata"]["resourceVersion"].as_str()?.parse::<u64>().ok();
        newest.insert(kind, objects.iter().filter_map(revision).max().unwrap_or(0));
    }
    Ok(newest)
}

/// `before` is what [`before_deletions`] gave ahead of the change.
pub(crate) fn for_hosts(
    global: &Global,
    changes: &[Change],
    written: &[Written],
    before: &BTreeMap<Kind, u64>,
    patience: Duration,
) -> Result<(), Failure> {
    let store = store::open(global, Access::Read)?;
    let resources = Resources::new(&*store);
    let deadline = Instant::now() + patience;
    let target = Target::new(changes, written, before);
    let nodes = concerned(&resources, changes)?;
    if nodes.is_empty() {
        eprintln!("no host is concerned");
        return Ok(());
    }
    let (sender, receiver) = channel();
    let sink = move |reported| match sender.send(reported) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let _watch = store.watch_reports(Box::new(sink)).map_err(|error| kv_failure(&error))?;
    let mut reports: BTreeMap<String, AgentReport> = BTreeMap::new();
    let bar = global.waiting("hosts", nodes.len());
    loop {
        for reported in receiver.try_iter() {
            take(&mut reports, reported.map_err(|error| kv_failure(&error))?);
        }
        let is_behind = |node: &&String| !reports.get(*node).is_some_and(|report| target.is_reached(report));
        let behind: Vec<&String> = nodes.iter().filter(is_behind).collect();
        bar.reach(nodes.len() - behind.len());
        if behind.is_empty() {
            drop(bar);
            eprintln!("enforced on {} of {} hosts", nodes.len(), nodes.len());
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let mut messages = vec![format!("{} of {} hosts do not enforce {target} yet", behind.len(), nodes.len())];
            for node in behind {
                messages.push(match reports.get(node) {
                    None => format!("{node}: unknown, its agent does not report"),
                    Some(report) if !report.problems.is_empty() => format!("{node}: {}", report.problems.join("; ")),
                    Some(report) => format!("{node}: at revision {}", report.revision.unwrap_or(0)),
                });
            }
            return Err(Failure { code: Code::NotReached, messages, hint: None });
        }
        if let Ok(reported) = receiver.recv_timeout(left) {
            take(&mut reports, reported.map_err(|error| kv_failure(&error))?);
        }
    }
}

fn take(reports: &mut BTreeMap<String, AgentReport>, reported: Reported) {
    let Some(bytes) = reported.report else {
        reports.remove(&reported.node);
        return;
    };
    match serde_json::from_slice::<AgentReport>(&bytes) {
        Ok(report) => {
            reports.insert(report.node.clone(), report);
        }
        Err(error) => tracing::debug!("the report of {} is not understood: {error}", reported.node),
    }
}

/// What hosts must have reached: the newest revision written of each kind.
struct Target(BTreeMap<Kind, u64>);

impl Target {
    fn new(changes: &[Change], written: &[Written], before: &BTreeMap<Kind, u64>) -> Self {
        let mut newest = BTreeMap::new();
        for (change, written) in changes.iter().zip(written) {
            // Objects of one kind have revisions that are numbers, and grow (Kubernetes: from 1.35 on by promise).
            let told = written.revision.parse().ok();
            let of_deletion =
                || before.get(&change.key.kind).filter(|_| written.done == Done::Deleted).map(|last| last + 1);
            let revision = told.or_else(of_deletion).unwrap_or(0);
            let kept: &mut u64 = newest.entry(change.key.kind).or_default();
            *kept = revision.max(*kept);
        }
        Self(newest)
    }

    fn is_reached(&self, report: &AgentReport) -> bool {
        self.0.iter().all(|(kind, target)| match report.kinds.is_empty() {
            true => report.revision.is_some_and(|revision| revision >= *target),
            false => {
                let is_new = |text: &String| text.parse::<u64>().is_ok_and(|reached| reached >= *target);
                // A kind that an agent does not read is one that nothing it enforces needs (datastore.md section 4).
                report.revision.is_some() && report.kinds.get(kind.plural()).is_none_or(is_new)
            }
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "revision {}", self.0.values().max().unwrap_or(&0))
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
                labels.insert_missing(key, value);
            }
        }
    }
    let (namespaces, accounts) = (policy.namespace_selector.as_ref(), policy.service_account_selector.as_ref());
    scope::global_policy(&policy.selector, namespaces, accounts).matches(&labels)
}
