//! Lints: what valid resources do that their author may not expect (enforcement.md section 9).
//!
//! A mistake of one document is a [`crate::Problem`] and has a place in its text. A lint looks at objects together: the
//! endpoint and the policies that select it, a rule and the rules before it. It says nothing of what is fine, and where
//! it cannot prove a trap from what it is shown it says nothing either.
//!
//! No I/O: the caller brings the objects.

use std::collections::BTreeSet;
use std::fmt;

use crate::ResourceKey;
use crate::facts::Links;
use crate::model::Resource;

mod endpoints;
mod policies;
mod rules;
mod settings;
mod shadow;
mod untracked;
mod world;

use world::{Focus, World};

/// One thing that a user should know before it hurts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// The rule or trap of the specification, for instance `T-12`.
    pub rule: &'static str,
    /// Whether `--strict` refuses the object for it (E-358, E-415).
    pub is_refused_by_strict: bool,
    /// The object it is about.
    pub object: ResourceKey,
    /// The field, for instance `spec.ingress[2].source`; empty for the object as a whole.
    pub path: String,
    /// One sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl Lint {
    fn new(rule: &'static str, object: ResourceKey, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), hint.into());
        Self { rule, is_refused_by_strict: false, object, path: String::new(), message, hint }
    }

    fn at(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    fn refused_by_strict(mut self) -> Self {
        self.is_refused_by_strict = true;
        self
    }
}

/// `HostEndpoint(h): spec.node: message`, without the hint.
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.object)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Lints of objects that are about to be written, and of what they do to others.
///
/// `stored` are all other objects, older forms of `written` among them; `None` when there is no store to ask. Without
/// it nothing is said that another object could make untrue.
pub fn lint(written: &[Resource], stored: Option<&[Resource]>) -> Vec<Lint> {
    let keys: BTreeSet<ResourceKey> = written.iter().map(Resource::key).collect();
    let others = stored.unwrap_or_default().iter().filter(|resource| !keys.contains(&resource.key()));
    let all: Vec<&Resource> = written.iter().chain(others).collect();
    found(&World::new(&all, Focus::Written(keys), stored.is_some()))
}

/// Lints of everything in force that concerns the host endpoints of one node.
///
/// With the host's links, ports of bonds and bridges are told as well (E-119).
pub fn lint_host<'a>(
    node: &str,
    resources: impl IntoIterator<Item = &'a Resource>,
    links: Option<&Links>,
) -> Vec<Lint> {
    let all: Vec<&Resource> = resources.into_iter().collect();
    let world = World::new(&all, Focus::Node(node.to_owned()), true);
    let mut lints = found(&world);
    lints.extend(links.into_iter().flat_map(|links| endpoints::enslaved(&world, links)));
    lints
}

/// All lints, in the order of their checks; each check goes through objects by name or in order of evaluation.
fn found(world: &World<'_>) -> Vec<Lint> {
    let checks = [
        endpoints::closed,
        endpoints::missing_profiles,
        endpoints::without_addresses,
        endpoints::shadowed,
        endpoints::workload_interfaces,
        endpoints::borrowed_pre_dnat,
        policies::ignored_untracked,
        policies::open_forwarding,
        policies::wildcard_forwarding,
        policies::hosts_by_accident,
        untracked::one_way,
        rules::http,
        rules::one_family,
        rules::node_ports,
        shadow::shadowed,
        settings::loopback,
        settings::failsafes,
        settings::reject,
    ];
    checks.iter().flat_map(|check| check(world)).collect()
}

/// `HostEndpoint(a)`, `HostEndpoint(a) and 3 more`.
fn and_more(first: impl fmt::Display, all: usize) -> String {
    if all > 1 { format!("{first} and {} more", all - 1) } else { first.to_string() }
}
