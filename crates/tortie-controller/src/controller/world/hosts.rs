//! Hosts whose agents report, and the nodes that they are to have (E-815).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::report::AgentReport;
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::store::Reported;

use crate::registration::{Registration, register};

#[derive(Default)]
pub(super) struct Hosts {
    /// By name; one that cannot be read is there, and nobody's business.
    nodes: BTreeMap<String, Result<Map<String, Value>, String>>,
    reports: BTreeMap<String, AgentReport>,
    /// Times of the reports of hosts whose node somebody deleted. Only a newer report makes a node again: the last one of
    /// an agent that has ended lives on for a while.
    deleted: BTreeMap<String, String>,
    dirty: BTreeSet<String>,
    problems: BTreeMap<String, String>,
}

impl Hosts {
    pub(super) fn set_node(&mut self, name: &str, node: Option<Result<Map<String, Value>, String>>) {
        match node {
            Some(node) => {
                self.nodes.insert(name.to_owned(), node);
            }
            None => {
                if self.nodes.remove(name).is_some()
                    && let Some(report) = self.reports.get(name)
                {
                    self.deleted.insert(name.to_owned(), report.time.clone());
                }
            }
        }
        self.check(name);
    }

    pub(super) fn report(&mut self, reported: Reported) {
        let Reported { node, report } = reported;
        // A host that is down for a while keeps its node: that its report has run out means nothing.
        let Some(bytes) = report else {
            self.reports.remove(&node);
            self.problems.remove(&node);
            self.deleted.remove(&node);
            return;
        };
        match serde_json::from_slice::<AgentReport>(&bytes) {
            Ok(report) => {
                self.reports.insert(node.clone(), report);
                self.check(&node);
            }
            Err(error) => {
                let problem = format!("the report of host `{node}` is not understood: {error}");
                self.problems.insert(node, problem);
            }
        }
    }

    pub(super) fn forget_reports(&mut self) {
        self.reports.clear();
        self.problems.clear();
    }

    pub(super) fn check(&mut self, name: &str) {
        self.dirty.insert(name.to_owned());
    }

    pub(super) fn check_all(&mut self) {
        self.dirty.extend(self.reports.keys().cloned());
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        self.problems.values().cloned()
    }

    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter_map(|name| self.change(&name)).collect()
    }

    fn change(&mut self, name: &str) -> Option<Change> {
        let report = self.reports.get(name)?;
        if self.deleted.get(name) == Some(&report.time) {
            return None;
        }
        self.deleted.remove(name);
        self.problems.remove(name);
        let node = match self.nodes.get(name) {
            None => None,
            Some(Ok(node)) => Some(node),
            Some(Err(_)) => return None,
        };
        let key = ResourceKey::global(Kind::Node, name);
        match register(name, report, node) {
            Ok(Registration::Nothing) => None,
            Ok(Registration::Create(value)) => Some(Change { mode: Mode::Create, key, value, resource_version: None }),
            Ok(Registration::Update { value, resource_version }) => {
                Some(Change { mode: Mode::Replace, key, value, resource_version })
            }
            Err(error) => {
                self.problems.insert(name.to_owned(), error.to_string());
                None
            }
        }
    }
}
