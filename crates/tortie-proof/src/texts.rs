//! What policy is called in comments and log lines.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tortie_api::Kind;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{Direction, Peer, PolicyId, ResolvedRule};
use tortie_rules::ruleset::Origin;

/// The text of the first part of a rule, by that of any other part.
pub(crate) struct Comments(pub(crate) HashMap<String, Rc<str>>);

impl Comments {
    /// The comment of a rule, which says the same of all parts that one rule of policy became.
    pub(crate) fn reason(&self, origin: &Origin) -> Rc<str> {
        let mut origin = origin.clone();
        if let Origin::Policy { part, .. } | Origin::Profile { part, .. } = &mut origin {
            *part = 0;
        }
        let comment = origin.comment();
        match &origin {
            Origin::Comment(_) => self.0.get(&comment).cloned().unwrap_or_else(|| comment.into()),
            _ => comment.into(),
        }
    }
}

/// Every text under which a rule of policy can stand as a comment in a kernel, with that of its first part.
pub(crate) fn comments(policy: &HostPolicy) -> HashMap<String, Rc<str>> {
    let mut all = HashMap::new();
    let mut add = |origin: Origin, rule: &ResolvedRule| {
        let first: Rc<str> = origin.comment().into();
        for number in 1..parts_max(rule) {
            let mut origin = origin.clone();
            if let Origin::Policy { part, .. } | Origin::Profile { part, .. } = &mut origin {
                *part = number;
            }
            all.insert(origin.comment(), first.clone());
        }
    };
    for endpoint in policy.endpoints.values() {
        for (_, direction, class) in endpoint.classes() {
            for policy in class.tiers.iter().flat_map(|tier| &tier.policies) {
                let id = Arc::new(policy.id.clone());
                for (rule, resolved) in policy.rules.iter().enumerate() {
                    let (id, note, is_staged) = (id.clone(), note(resolved), policy.is_staged);
                    add(Origin::Policy { id, direction, rule, part: 0, is_staged, note }, resolved);
                }
            }
        }
        for (direction, profiles) in
            [(Direction::Ingress, &endpoint.profiles_ingress), (Direction::Egress, &endpoint.profiles_egress)]
        {
            for profile in profiles {
                for (rule, resolved) in profile.rules.iter().flatten().enumerate() {
                    let (name, note) = (Arc::from(profile.name.as_str()), note(resolved));
                    add(Origin::Profile { name, direction, rule, part: 0, note }, resolved);
                }
            }
        }
    }
    all
}

/// More kernel rules than any rule becomes: one for each way to fulfil its criteria.
fn parts_max(rule: &ResolvedRule) -> usize {
    let ports = |peer: &Peer| (1 + peer.named_ports.len()) * 2;
    ports(&rule.source) * ports(&rule.destination) * 3
}

/// The annotations of a rule as part of a comment (E-359).
pub(crate) fn note(rule: &ResolvedRule) -> Arc<str> {
    let mut text = String::new();
    for (key, value) in &rule.annotations {
        if !text.is_empty() {
            text.push(' ');
        }
        for c in key.chars().chain(['=']).chain(value.chars()) {
            text.push(if c.is_ascii_alphanumeric() || "_ @%+=:,./-".contains(c) { c } else { '_' });
        }
    }
    text.into()
}

/// The prefix of a log line (E-355).
pub(crate) fn log_prefix(pattern: &str, id: &PolicyId) -> String {
    let kind = match id.kind {
        Kind::Profile => "pro",
        Kind::NetworkPolicy => "np",
        _ => "gnp",
    };
    let path = match &id.namespace {
        Some(namespace) => format!("{namespace}/{}", id.name),
        None => id.name.clone(),
    };
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        let specifiers = [("%t", id.tier.as_str()), ("%k", kind), ("%n", id.name.as_str()), ("%p", path.as_str())];
        match specifiers.into_iter().find(|(specifier, _)| rest.starts_with(specifier)) {
            Some((specifier, value)) => {
                text.push_str(value);
                rest = &rest[specifier.len()..];
            }
            None => {
                text.push('%');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text.push_str(": ");
    text.truncate(LOG_PREFIX_LEN_MAX);
    text
}

/// What the kernel keeps of a prefix (E-355).
const LOG_PREFIX_LEN_MAX: usize = 127;
