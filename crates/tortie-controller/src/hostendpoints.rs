//! Which host endpoints are to be there, and what is to be done about those that are (E-801..E-814).
//!
//! [`plan()`] is the whole answer. [`Planner`] gives the same one piece by piece: what one node changes costs the same
//! however many other nodes there are.

mod endpoint;
mod findings;
mod make;
mod name;
mod planner;
mod settings;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use endpoint::{CREATED_BY, CREATED_BY_VALUE, is_owned};
pub use findings::{Finding, Findings};
pub use name::{Names, endpoint_name};
pub use planner::{NodeState, Planner};
pub use settings::{Environment, EnvironmentError, Settings};

/// What is to be done about one host endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// It is missing.
    Create {
        /// The whole object.
        value: Map<String, Value>,
    },
    /// It is owned, and not as it is to be (E-810).
    Update {
        /// The whole object; who writes it keeps uid and time of creation.
        value: Map<String, Value>,
        /// The revision that was looked at: the write is to fail on any other.
        resource_version: Option<String>,
    },
    /// It is owned, and nothing asks for it any more (E-811).
    Delete {
        /// The revision that was looked at.
        resource_version: Option<String>,
    },
}

/// What is to be done, and what people are to be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By name of endpoint.
    pub actions: BTreeMap<String, Action>,
    /// What could not be done.
    pub findings: Findings,
}

/// The plan for everything at once.
///
/// `nodes` and `endpoints` are complete: what is in neither is taken for gone. `endpoints` are all host endpoints by
/// name, as users see them, those of users among them.
pub fn plan(
    settings: &Settings,
    nodes: &BTreeMap<String, NodeState>,
    endpoints: &BTreeMap<String, Map<String, Value>>,
) -> Plan {
    let mut planner = Planner::new(settings.clone());
    for (name, node) in nodes {
        planner.set_node(name, Some(node.clone()));
    }
    for (name, endpoint) in endpoints {
        planner.set_endpoint(name, Some(endpoint));
    }
    let actions = planner.take_actions();
    Plan { actions, findings: planner.findings() }
}
