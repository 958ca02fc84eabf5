//! What is known of the store, and the changes that it asks for. No clock, and no store.

mod cluster;
mod hosts;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tortie_api::model::Resource;
use tortie_api::{Kind, Problem, ResourceKey, read_stored};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::store::Reported;
use tortie_datastore::syncer::Update;

use self::cluster::Cluster;
use self::hosts::Hosts;
use crate::hostendpoints::{Action, Environment, Names, NodeState, Planner, Settings};
use crate::resource_version;
use crate::status::{status, with_status};

pub(super) struct World {
    environment: Environment,
    names: Names,
    planner: Planner,
    settings: Settings,
    /// The object of the settings, as users see it.
    configuration: Option<Map<String, Value>>,
    /// What is wrong with it, when it cannot be read.
    invalid: Vec<String>,
    /// Whether the settings in force are those of an object.
    is_configured: bool,
    /// With `--standalone`.
    hosts: Option<Hosts>,
    /// Where labels of a cluster's nodes are wanted.
    cluster: Option<Cluster>,
    /// What people are to be told.
    problems: Vec<String>,
    warnings: Vec<String>,
    has_news: bool,
    is_status_due: bool,
    /// Settings and problems of which the status was written: it is not written again only because somebody else writes
    /// it, or two controllers of different make would never end.
    status_of: Option<(Value, Vec<String>)>,
}

impl World {
    pub(super) fn new(environment: Environment, names: Names, is_standalone: bool, has_cluster: bool) -> Self {
        let settings = Settings::new(None, &environment, names);
        let cluster = has_cluster.then(|| Cluster::new(settings.syncs_labels));
        Self {
            environment,
            names,
            planner: Planner::new(settings.clone()),
            settings,
            configuration: None,
            invalid: Vec::new(),
            is_configured: false,
            hosts: is_standalone.then(Hosts::default),
            cluster,
            problems: Vec::new(),
            warnings: Vec::new(),
            has_news: true,
            is_status_due: true,
            status_of: None,
        }
    }

    /// An object of the store as it is now.
    pub(super) fn update(&mut self, update: Update) {
        let (value, key) = (update.object(), update.key);
        match key.kind {
            Kind::HostEndpoint => {
                let value = value.map(readable);
                self.planner.set_endpoint(&key.name, value.as_ref());
            }
            Kind::Node => {
                let state = value.as_ref().map(node_state);
                if let Some(cluster) = &mut self.cluster {
                    let object = value.as_ref().and_then(|value| value.as_ref().ok());
                    cluster.set_node(&key.name, state.as_ref().zip(object));
                }
                self.planner.set_node(&key.name, state);
                if let Some(hosts) = &mut self.hosts {
                    hosts.set_node(&key.name, value);
                }
            }
            Kind::KubeControllersConfiguration if key.name == "default" => self.configure(value),
            _ => return,
        }
        self.has_news = true;
    }

    /// Other settings. Those that cannot be read leave the last valid ones in force (D-11).
    fn configure(&mut self, value: Option<Result<Map<String, Value>, String>>) {
        self.is_status_due = true;
        self.invalid = Vec::new();
        let read = match &value {
            None => Ok(None),
            Some(Ok(object)) => read_stored(Kind::KubeControllersConfiguration, &Value::Object(object.clone()))
                .map(Some)
                .map_err(|problems| problems.iter().map(sentence).collect()),
            Some(Err(why)) => Err(vec![why.clone()]),
        };
        self.configuration = value.and_then(Result::ok);
        match read.map(|found| found.map(|stored| stored.resource)) {
            Ok(Some(Resource::KubeControllersConfiguration(read))) => {
                self.is_configured = true;
                self.set_settings(Settings::new(Some(&read), &self.environment, self.names));
            }
            Ok(_) => {
                self.is_configured = false;
                self.set_settings(Settings::new(None, &self.environment, self.names));
            }
            Err(why) => {
                self.invalid = why;
                if !self.is_configured {
                    self.set_settings(Settings::unreadable(&self.environment, self.names));
                }
            }
        }
    }

    fn set_settings(&mut self, settings: Settings) {
        self.settings = settings.clone();
        self.cluster.iter_mut().for_each(|cluster| cluster.enable(settings.syncs_labels));
        self.planner.set_settings(settings);
    }

    /// Nodes of the cluster as they are now; all of them with `is_snapshot`.
    pub(super) fn update_cluster(&mut self, updates: Vec<Update>, is_snapshot: bool) {
        let Some(cluster) = &mut self.cluster else { return };
        for update in updates.iter().filter(|update| update.key.kind == Kind::Node) {
            self.has_news |= cluster.set_labels(&update.key.name, update.object().as_ref().map(node_state));
        }
        if is_snapshot {
            cluster.read();
            cluster.check_all();
            self.has_news = true;
        }
    }

    /// The cluster cannot be read: labels stay as they are, and everything else goes on.
    pub(super) fn lose_cluster(&mut self, why: String) {
        self.cluster.iter_mut().for_each(|cluster| cluster.lose(why.clone()));
        self.has_news = true;
    }

    /// Whether labels are to come that nobody has read yet.
    pub(super) fn awaits_cluster(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.is_enabled() && cluster.is_unread())
    }

    /// An agent's report.
    pub(super) fn report(&mut self, reported: Reported) {
        if let Some(hosts) = &mut self.hosts {
            hosts.report(reported);
            self.has_news = true;
        }
    }

    /// Reports are about to be told anew.
    pub(super) fn forget_reports(&mut self) {
        if let Some(hosts) = &mut self.hosts {
            hosts.forget_reports();
        }
    }

    /// Has one object looked at again.
    pub(super) fn check(&mut self, key: &ResourceKey) {
        match key.kind {
            Kind::HostEndpoint => self.planner.check(&key.name),
            Kind::Node => {
                self.hosts.iter_mut().for_each(|hosts| hosts.check(&key.name));
                self.cluster.iter_mut().for_each(|cluster| cluster.check(&key.name));
            }
            _ => {
                self.status_of = None;
                self.is_status_due = true;
            }
        }
    }

    /// Has everything looked at again.
    pub(super) fn check_all(&mut self) {
        self.planner.check_all();
        self.hosts.iter_mut().for_each(Hosts::check_all);
        self.cluster.iter_mut().for_each(Cluster::check_all);
        self.status_of = None;
        self.is_status_due = true;
        self.has_news = true;
    }

    /// What is to be written about all that changed or is to be looked at. What is pending comes when the store has
    /// delivered it.
    pub(super) fn take_changes(&mut self, is_pending: impl Fn(&ResourceKey) -> bool) -> Vec<Change> {
        let mut changes = self.hosts.as_mut().map(Hosts::take_changes).unwrap_or_default();
        let labels = self.cluster.as_mut().map(Cluster::take_changes).unwrap_or_default();
        // A node that its host changes as well is looked at again as soon as the store has that change.
        let is_new = |label: &Change| changes.iter().all(|change| change.key != label.key);
        let labels: Vec<Change> = labels.into_iter().filter(is_new).collect();
        changes.extend(labels);
        let actions = self.planner.take_actions();
        changes.extend(actions.into_iter().map(|(name, action)| change(&name, action)));
        if std::mem::take(&mut self.has_news) {
            self.gather();
        }
        changes.extend(self.status_change(&is_pending));
        changes.retain(|change| !is_pending(&change.key));
        changes
    }

    fn gather(&mut self) {
        let findings = self.planner.findings();
        let key = ResourceKey::global(Kind::KubeControllersConfiguration, "default");
        let invalid = self.invalid.iter().map(|why| format!("{key} is invalid, and changes nothing: {why}"));
        let mut problems: Vec<String> = invalid.chain(findings.problems()).collect();
        problems.extend(self.hosts.iter().flat_map(Hosts::problems));
        problems.extend(self.cluster.iter().flat_map(Cluster::problems));
        if problems != self.problems {
            self.problems = problems;
            self.is_status_due = true;
        }
        self.warnings = findings.warnings();
    }

    /// What cannot be done, one sentence each.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Everything that people are to be told.
    pub(super) fn sentences(&self) -> BTreeSet<String> {
        self.problems.iter().chain(&self.warnings).cloned().collect()
    }

    fn status_change(&mut self, is_pending: impl Fn(&ResourceKey) -> bool) -> Option<Change> {
        let key = ResourceKey::global(Kind::KubeControllersConfiguration, "default");
        if !self.is_status_due || is_pending(&key) {
            return None;
        }
        self.is_status_due = false;
        let stored = self.configuration.as_ref()?;
        // Of an object that cannot be read only the problems are written.
        let status = match self.invalid.is_empty() {
            true => {
                let syncs_labels = self.cluster.as_ref().is_some_and(Cluster::is_enabled);
                status(Some(stored), &self.settings, &self.environment, syncs_labels)?
            }
            false => stored.get("status").cloned().unwrap_or_else(|| json!({})),
        };
        let value = with_status(stored, &status, &self.problems)?;
        let of = Some((stored.get("spec").cloned().unwrap_or_default(), self.problems.clone()));
        if self.status_of == of {
            return None;
        }
        self.status_of = of;
        Some(Change { mode: Mode::Replace, key, resource_version: resource_version(stored), value })
    }
}

/// A value that is no object has no label, and so is nobody's business here.
fn readable(value: Result<Map<String, Value>, String>) -> Map<String, Value> {
    value.unwrap_or_default()
}

fn node_state(value: &Result<Map<String, Value>, String>) -> NodeState {
    let object = match value {
        Ok(object) => Value::Object(object.clone()),
        Err(why) => return NodeState::Unreadable(why.clone()),
    };
    match read_stored(Kind::Node, &object) {
        Ok(stored) => match stored.resource {
            Resource::Node(node) => NodeState::Known(Box::new(node)),
            other => NodeState::Unreadable(format!("it was read as a {}", other.kind())),
        },
        Err(problems) => NodeState::Unreadable(problems.iter().map(sentence).collect::<Vec<_>>().join("; ")),
    }
}

fn sentence(problem: &Problem) -> String {
    match problem.path.as_str() {
        "" => problem.message.clone(),
        path => format!("{path}: {}", problem.message),
    }
}

fn change(name: &str, action: Action) -> Change {
    let key = ResourceKey::global(Kind::HostEndpoint, name);
    match action {
        Action::Create { value } => Change { mode: Mode::Create, key, value, resource_version: None },
        Action::Update { value, resource_version } => Change { mode: Mode::Replace, key, value, resource_version },
        Action::Delete { resource_version } => Change { mode: Mode::Delete, key, value: Map::new(), resource_version },
    }
}
