//! Nodes of a cluster, and the nodes of the store that are to have their labels (E-813).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use tortie_api::model::Labels;
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};

use crate::hostendpoints::NodeState;
use crate::labels::sync_labels;
use crate::resource_version;

/// Whether it is known which labels the cluster has.
enum Standing {
    /// Not yet.
    Unread,
    /// All of them, as they are.
    Read,
    /// No longer, and why.
    Lost(String),
}

pub(super) struct Cluster {
    standing: Standing,
    /// Whether the settings in force want labels to be synced.
    is_enabled: bool,
    /// Labels of the cluster's nodes by name, or why they cannot be read.
    labels: BTreeMap<String, Result<Labels, String>>,
    /// Nodes of the store by name, those that name one of the cluster.
    nodes: BTreeMap<String, Named>,
    dirty: BTreeSet<String>,
    problems: BTreeMap<String, String>,
}

/// A node of the store that names one of the cluster.
struct Named {
    kubernetes_name: String,
    labels: Labels,
    annotations: Labels,
    object: Map<String, Value>,
}

impl Cluster {
    pub(super) fn new(is_enabled: bool) -> Self {
        Self {
            standing: Standing::Unread,
            is_enabled,
            labels: BTreeMap::new(),
            nodes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            problems: BTreeMap::new(),
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    pub(super) fn enable(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }

    /// Whether it is still to be seen what the cluster has.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self.standing, Standing::Unread)
    }

    /// The cluster's nodes were read completely.
    pub(super) fn read(&mut self) {
        self.standing = Standing::Read;
    }

    /// The cluster cannot be read.
    pub(super) fn lose(&mut self, why: String) {
        self.standing = Standing::Lost(why);
    }

    /// A node of the cluster; whether anything follows from it. Most of its updates say only that it is alive.
    pub(super) fn set_labels(&mut self, name: &str, node: Option<NodeState>) -> bool {
        let labels = node.map(|node| match node {
            NodeState::Known(node) => Ok(node.meta.labels),
            NodeState::Unreadable(why) => Err(why),
        });
        if self.labels.get(name) == labels.as_ref() {
            return false;
        }
        match labels {
            Some(labels) => self.labels.insert(name.to_owned(), labels),
            None => self.labels.remove(name),
        };
        let named = self.nodes.iter().filter(|(_, node)| node.kubernetes_name == name);
        self.dirty.extend(named.map(|(name, _)| name.clone()));
        true
    }

    /// A node of the store. One that cannot be read stays as it is.
    pub(super) fn set_node(&mut self, name: &str, node: Option<(&NodeState, &Map<String, Value>)>) {
        let named = node.and_then(|(state, object)| {
            let NodeState::Known(node) = state else { return None };
            Some(Named {
                kubernetes_name: node.kubernetes_name.clone()?,
                labels: node.meta.labels.clone(),
                annotations: node.meta.annotations.clone(),
                object: object.clone(),
            })
        });
        match named {
            Some(named) => self.nodes.insert(name.to_owned(), named),
            None => self.nodes.remove(name),
        };
        self.check(name);
    }

    pub(super) fn check(&mut self, name: &str) {
        self.dirty.insert(name.to_owned());
    }

    pub(super) fn check_all(&mut self) {
        self.dirty.extend(self.nodes.keys().cloned());
    }

    pub(super) fn problems(&self) -> Vec<String> {
        if !self.is_enabled {
            return Vec::new();
        }
        let lost = match &self.standing {
            Standing::Lost(why) => Some(format!("labels stay as they are, the cluster's nodes cannot be read: {why}")),
            Standing::Unread | Standing::Read => None,
        };
        lost.into_iter().chain(self.problems.values().cloned()).collect()
    }

    /// Changes of the nodes whose labels are to be others. Before all nodes of the cluster are known there are none, and
    /// what is to be looked at waits.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        if !self.is_enabled || !matches!(self.standing, Standing::Read) {
            return Vec::new();
        }
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter_map(|name| self.change(&name)).collect()
    }

    fn change(&mut self, name: &str) -> Option<Change> {
        self.problems.remove(name);
        let node = self.nodes.get(name)?;
        // A node that is gone from the cluster, or not there yet, keeps what it has.
        let labels = match self.labels.get(&node.kubernetes_name)? {
            Ok(labels) => labels,
            Err(why) => {
                let kubernetes_name = &node.kubernetes_name;
                let problem =
                    format!("node `{name}` keeps its labels: the cluster's `{kubernetes_name}` cannot be read: {why}");
                self.problems.insert(name.to_owned(), problem);
                return None;
            }
        };
        match sync_labels(labels, &node.labels, &node.annotations) {
            Ok(None) => None,
            Ok(Some(synced)) => {
                let mut value = node.object.clone();
                let metadata = value.entry("metadata").or_insert_with(|| json!({}));
                metadata["labels"] = json!(synced.labels);
                metadata["annotations"] = json!(synced.annotations);
                let key = ResourceKey::global(Kind::Node, name);
                let resource_version = resource_version(&node.object);
                Some(Change { mode: Mode::Replace, key, value, resource_version })
            }
            Err(error) => {
                self.problems.insert(name.to_owned(), format!("node `{name}` keeps its labels: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
