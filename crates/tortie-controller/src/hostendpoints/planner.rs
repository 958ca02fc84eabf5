//! The plan, piece by piece: each change of a node or an endpoint costs what it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};
use tortie_api::model::{AutoHostEndpoint, Node};

use super::Action;
use super::endpoint::{Endpoint, is_owned};
use super::findings::{Finding, Findings};
use super::make::{Claim, Made, make};
use super::name::endpoint_name;
use super::settings::Settings;
use crate::resource_version;

/// A node of the store.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeState {
    /// As it was read.
    Known(Box<Node>),
    /// It is there and cannot be read, with the reason. Its endpoints stay as they are.
    Unreadable(String),
}

/// Settings, nodes and endpoints, and the names of endpoints about which something may have to be done.
///
/// What it asks for depends on what it was told, never on the order.
pub struct Planner {
    settings: Settings,
    nodes: BTreeMap<String, NodeState>,
    /// By name of endpoint, then node: two nodes may want one name.
    claims: HashMap<String, BTreeMap<String, Claim>>,
    /// Names that more than one node claims.
    contested: BTreeSet<String>,
    /// Names that a node claims.
    claimed: HashMap<String, Vec<String>>,
    present: HashMap<String, Present>,
    /// Names of owned endpoints by the node they say.
    owned: HashMap<String, BTreeSet<String>>,
    dirty: BTreeSet<String>,
    problems: BTreeMap<String, Vec<Finding>>,
    warnings: BTreeMap<String, Vec<Finding>>,
    taken: BTreeMap<String, String>,
}

/// An endpoint of the store.
struct Present {
    is_owned: bool,
    resource_version: Option<String>,
    /// `None` when it cannot be read.
    endpoint: Option<Endpoint>,
}

impl Present {
    fn node(&self) -> &str {
        self.endpoint.as_ref().map(|endpoint| endpoint.node.as_str()).unwrap_or_default()
    }
}

impl Planner {
    /// A planner that knows nothing but settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            nodes: BTreeMap::new(),
            claims: HashMap::new(),
            contested: BTreeSet::new(),
            claimed: HashMap::new(),
            present: HashMap::new(),
            owned: HashMap::new(),
            dirty: BTreeSet::new(),
            problems: BTreeMap::new(),
            warnings: BTreeMap::new(),
            taken: BTreeMap::new(),
        }
    }

    /// Other settings: every node is made anew.
    pub fn set_settings(&mut self, settings: Settings) {
        if self.settings == settings {
            return;
        }
        self.settings = settings;
        let nodes: Vec<String> = self.nodes.keys().cloned().collect();
        nodes.iter().for_each(|node| self.make(node));
        self.check_all();
    }

    /// A node as it is now; `None` when it is gone.
    pub fn set_node(&mut self, name: &str, node: Option<NodeState>) {
        if self.nodes.get(name) == node.as_ref() {
            return;
        }
        match node {
            Some(node) => self.nodes.insert(name.to_owned(), node),
            None => self.nodes.remove(name),
        };
        self.make(name);
        self.dirty.extend(self.owned.get(name).into_iter().flatten().cloned());
    }

    /// A host endpoint as users see it, whosever it is; `None` when it is gone.
    pub fn set_endpoint(&mut self, name: &str, endpoint: Option<&Map<String, Value>>) {
        if let Some(before) = self.present.remove(name) {
            let node = before.node();
            if let Some(names) = self.owned.get_mut(node) {
                names.remove(name);
                if names.is_empty() {
                    self.owned.remove(node);
                }
            }
        }
        if let Some(object) = endpoint {
            let present = Present {
                is_owned: is_owned(object),
                resource_version: resource_version(object),
                endpoint: Endpoint::read(object),
            };
            if present.is_owned {
                self.owned.entry(present.node().to_owned()).or_default().insert(name.to_owned());
            }
            self.present.insert(name.to_owned(), present);
        }
        self.dirty.insert(name.to_owned());
    }

    /// Has one name looked at again.
    pub fn check(&mut self, name: &str) {
        self.dirty.insert(name.to_owned());
    }

    /// Has everything looked at again (the full pass of E-812).
    pub fn check_all(&mut self) {
        self.dirty.extend(self.claims.keys().chain(self.present.keys()).cloned());
    }

    /// What is to be done about all names that changed or are to be looked at, by name.
    pub fn take_actions(&mut self) -> BTreeMap<String, Action> {
        let mut actions = BTreeMap::new();
        for name in std::mem::take(&mut self.dirty) {
            if let Some(action) = self.action(&name) {
                actions.insert(name, action);
            }
        }
        actions
    }

    /// What people are to be told, as of the last [`Planner::take_actions`].
    pub fn findings(&self) -> Findings {
        let mut findings = Findings { taken: self.taken.clone(), ..Findings::default() };
        for template in self.settings.auto.iter().flat_map(|auto| &auto.templates) {
            for problem in template.rule.as_ref().err().into_iter().flatten() {
                let template = Some(template.name.clone()).filter(|name| !name.is_empty());
                let message = format!("{}: {}", problem.path, problem.message);
                findings.problems.push(Finding { template, message, node: None });
            }
        }
        findings.problems.extend(self.problems.values().flatten().cloned());
        findings.warnings.extend(self.warnings.values().flatten().cloned());
        findings.problems.extend(self.contested.iter().flat_map(|name| self.collisions(name)));
        findings.problems.sort();
        findings.warnings.sort();
        findings
    }

    /// Makes the endpoints of one node anew.
    fn make(&mut self, node: &str) {
        for name in self.claimed.remove(node).unwrap_or_default() {
            if let Some(claims) = self.claims.get_mut(&name) {
                claims.remove(node);
                if claims.len() < 2 {
                    self.contested.remove(&name);
                }
                if claims.is_empty() {
                    self.claims.remove(&name);
                }
            }
            self.dirty.insert(name);
        }
        let made = match (&self.settings.auto, self.nodes.get(node)) {
            (Some(auto), Some(NodeState::Known(known))) => make(auto, self.settings.names, known),
            (_, Some(NodeState::Unreadable(why))) => unreadable(node, why),
            (None, _) | (_, None) => Made::default(),
        };
        put(&mut self.problems, node, made.problems);
        put(&mut self.warnings, node, made.warnings);
        for claim in made.endpoints {
            self.dirty.insert(claim.name.clone());
            self.claimed.entry(node.to_owned()).or_default().push(claim.name.clone());
            let claims = self.claims.entry(claim.name.clone()).or_default();
            if !claims.is_empty() {
                self.contested.insert(claim.name.clone());
            }
            claims.insert(node.to_owned(), claim);
        }
    }

    fn action(&mut self, name: &str) -> Option<Action> {
        self.taken.remove(name);
        let present = self.present.get(name);
        let Some((node, claim)) = self.winner(name) else {
            let present = present.filter(|present| present.is_owned && !self.is_held(name, present))?;
            return Some(Action::Delete { resource_version: present.resource_version.clone() });
        };
        match present {
            None => Some(Action::Create { value: claim.endpoint.to_object(name) }),
            Some(present) if !present.is_owned => {
                let node = node.clone();
                self.taken.insert(name.to_owned(), node);
                None
            }
            Some(present) if present.endpoint.as_ref() == Some(&claim.endpoint) => None,
            Some(present) => Some(Action::Update {
                value: claim.endpoint.to_object(name),
                resource_version: present.resource_version.clone(),
            }),
        }
    }

    /// The node that has a name several may claim: the one that has it already, else the first by name.
    fn winner(&self, name: &str) -> Option<(&String, &Claim)> {
        let claims = self.claims.get(name)?;
        let holder = self.present.get(name).filter(|present| present.is_owned).map(Present::node);
        holder.and_then(|node| claims.get_key_value(node)).or_else(|| claims.first_key_value())
    }

    /// What the nodes that do not have a name, and want it, are told.
    fn collisions(&self, name: &str) -> Vec<Finding> {
        let (Some((winner, _)), Some(claims)) = (self.winner(name), self.claims.get(name)) else { return Vec::new() };
        let losers = claims.iter().filter(|(node, _)| *node != winner);
        let finding = |(node, claim): (&String, &Claim)| Finding {
            template: claim.template.clone(),
            message: format!("host endpoint `{name}` belongs to node `{winner}`, whose name gives the same"),
            node: Some(node.clone()),
        };
        losers.map(finding).collect()
    }

    /// Whether an owned endpoint that nothing asks for stays, because what could ask for it cannot be read: to delete it
    /// would open its host.
    fn is_held(&self, name: &str, present: &Present) -> bool {
        let Some(auto) = &self.settings.auto else { return true };
        let Some(endpoint) = present.endpoint.as_ref().filter(|_| auto.is_enabled) else { return false };
        match self.nodes.get(&endpoint.node) {
            None => false,
            Some(NodeState::Unreadable(_)) => true,
            Some(NodeState::Known(_)) => is_of_bad_template(auto, name, endpoint),
        }
    }
}

/// Whether an endpoint is one that a template made before it became bad (E-814).
fn is_of_bad_template(auto: &AutoHostEndpoint, name: &str, endpoint: &Endpoint) -> bool {
    let interface = Some(endpoint.interface.as_str()).filter(|interface| !interface.is_empty());
    let bad = auto.templates.iter().filter(|template| template.rule.is_err() && !template.name.is_empty());
    bad.map(|template| endpoint_name(&endpoint.node, Some(&template.name), interface)).any(|made| made == name)
}

fn unreadable(node: &str, why: &str) -> Made {
    let message = format!("the node cannot be read, its endpoints stay as they are: {why}");
    let problem = Finding { template: None, message, node: Some(node.to_owned()) };
    Made { problems: vec![problem], ..Made::default() }
}

fn put(map: &mut BTreeMap<String, Vec<Finding>>, node: &str, findings: Vec<Finding>) {
    if findings.is_empty() {
        map.remove(node);
    } else {
        map.insert(node.to_owned(), findings);
    }
}
