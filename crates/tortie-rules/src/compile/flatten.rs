//! First pass: tiers, policies and profiles become sections of first-match rules with `Pass` and tier ends resolved.

use std::sync::{Arc, LazyLock};

use tortie_api::Kind;
use tortie_api::model::{Action, Family};
use tortie_calc::Settings;
use tortie_calc::policy::{ClassPolicy, Direction, PolicyId, ProfileRules, ResolvedRule, TierEnd};

use super::classes::Table;
use crate::ruleset::Origin;

/// A run of rules that is entered at its top only.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// Rules, first match decides.
    pub rules: Vec<FlatRule>,
    /// What happens when none did.
    pub end: SectionEnd,
}

/// The end of a section that decided nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum SectionEnd {
    /// Drop, for this reason.
    Drop(Origin),
    /// Go on with the section of this position.
    Continue(usize),
    /// Never reached: the last rule matches everything and decides.
    Unreachable,
    /// Nothing of this class has a verdict on the packet (E-228, E-229).
    Undecided,
    /// Accept, because the endpoint has no forward policy (E-228).
    NoForwardPolicy,
}

/// A rule whose action is a place to go to.
#[derive(Clone, Debug, PartialEq)]
pub struct FlatRule {
    /// The criteria.
    pub rule: Arc<ResolvedRule>,
    /// What a match does.
    pub action: FlatAction,
    /// Where it comes from.
    pub origin: Origin,
}

/// What a matching rule does.
#[derive(Clone, Debug, PartialEq)]
pub enum FlatAction {
    /// Accept and stop.
    Accept,
    /// Drop and stop.
    Drop,
    /// Log with this prefix and go on.
    Log(String),
    /// Go on with the section of this position: `Pass` resolved.
    Continue(usize),
    /// Count what these rules of a staged policy would have decided, and go on (D-6).
    Count {
        /// Which policy.
        id: Arc<PolicyId>,
        /// Its rules.
        rules: Vec<FlatRule>,
    },
    /// What many rules do, resolved (C-9). It asks all packets, and goes on for those of which it has nothing to say.
    Table {
        /// What they do.
        table: Arc<Table>,
        /// The sections to which it sends packets.
        targets: Vec<usize>,
    },
}

impl FlatAction {
    /// The sections to which it sends packets.
    pub fn targets(&self) -> &[usize] {
        match self {
            FlatAction::Continue(next) => std::slice::from_ref(next),
            FlatAction::Table { targets, .. } => targets,
            FlatAction::Accept | FlatAction::Drop | FlatAction::Log(_) | FlatAction::Count { .. } => &[],
        }
    }

    /// Gives sections other positions.
    pub fn renumber(&mut self, position_of: impl Fn(usize) -> usize) {
        match self {
            FlatAction::Continue(next) => *next = position_of(*next),
            FlatAction::Table { targets, .. } => targets.iter_mut().for_each(|target| *target = position_of(*target)),
            FlatAction::Accept | FlatAction::Drop | FlatAction::Log(_) | FlatAction::Count { .. } => {}
        }
    }
}

/// Flattens one class of one endpoint and direction; `last` is what happens behind its tiers and profiles.
///
/// One section for each tier, then one for each profile, then the end (E-221..E-229). Staged policies have no verdict
/// and no log (E-206) and are counted only (D-6); their effect on tier ends is already in `TierEnd` (E-224). Rules that
/// can match nothing on a host, or do not exist in `family`, are left out (E-358, E-316).
pub fn flatten(
    class: &ClassPolicy,
    profiles: &[Arc<ProfileRules>],
    (direction, family): (Direction, Family),
    settings: &Settings,
    last: SectionEnd,
) -> Vec<Section> {
    let is_left = |rule: &ResolvedRule| rule.never.is_none() && rule.exists_in(family);
    let mut sections = Vec::with_capacity(class.tiers.len() + profiles.len() + 1);
    for tier in &class.tiers {
        let next = sections.len() + 1;
        let mut rules = Vec::new();
        for policy in &tier.policies {
            if !policy.is_staged && !policy.rules.iter().any(|rule| is_left(rule)) {
                continue;
            }
            let id = Arc::new(policy.id.clone());
            let of_policy =
                policy.rules.iter().enumerate().filter(|(_, rule)| is_left(rule)).map(|(position, rule)| {
                    let action = action(rule.action, next, || log_prefix(&settings.log_prefix, &id));
                    let is_staged = policy.is_staged;
                    let note = note(rule);
                    let origin = Origin::Policy { id: id.clone(), direction, rule: position, part: 0, is_staged, note };
                    FlatRule { rule: rule.clone(), action, origin }
                });
            if policy.is_staged {
                let origin = Origin::StagedNoMatch { id: id.clone(), direction };
                let action = FlatAction::Count { id: id.clone(), rules: of_policy.collect() };
                rules.push(FlatRule { rule: Arc::new(ResolvedRule::any(Action::Log)), action, origin });
            } else {
                rules.extend(of_policy);
            }
        }
        let end = match tier.end {
            TierEnd::Deny => SectionEnd::Drop(Origin::TierEnd { tier: Arc::from(tier.name.as_str()), direction }),
            TierEnd::Pass => SectionEnd::Continue(next),
        };
        sections.push(Section { rules, end });
    }
    for profile in profiles {
        let next = sections.len() + 1;
        let name: Arc<str> = Arc::from(profile.name.as_str());
        let Some(list) = &profile.rules else {
            // Nothing behind a missing profile is ever asked (E-230).
            sections.push(Section { rules: Vec::new(), end: SectionEnd::Drop(Origin::ProfileMissing { name }) });
            continue;
        };
        let prefix = PolicyId { kind: Kind::Profile, namespace: None, name: profile.name.clone(), tier: String::new() };
        let rules = list
            .iter()
            .enumerate()
            .filter(|(_, rule)| is_left(rule))
            .map(|(position, rule)| FlatRule {
                rule: rule.clone(),
                action: action(rule.action, next, || log_prefix(&settings.log_prefix, &prefix)),
                origin: Origin::Profile { name: name.clone(), direction, rule: position, part: 0, note: note(rule) },
            })
            .collect();
        sections.push(Section { rules, end: SectionEnd::Continue(next) });
    }
    sections.push(Section { rules: Vec::new(), end: last });
    sections
}

/// The annotations of a rule as one comment (E-359).
pub fn note(rule: &ResolvedRule) -> Arc<str> {
    /// That of nearly all rules.
    static NONE: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(""));
    if rule.annotations.is_empty() {
        return NONE.clone();
    }
    let pairs: Vec<String> = rule.annotations.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || " _@%+=:,./-".contains(c);
    let text: String = pairs.join(" ").chars().map(|c| if plain(c) { c } else { '_' }).collect();
    Arc::from(text)
}

fn action(action: Action, next: usize, prefix: impl FnOnce() -> String) -> FlatAction {
    match action {
        Action::Allow => FlatAction::Accept,
        Action::Deny => FlatAction::Drop,
        Action::Pass => FlatAction::Continue(next),
        Action::Log => FlatAction::Log(prefix()),
    }
}

/// Bytes that the kernel keeps of a prefix: `NF_LOG_PREFIXLEN` less the end.
const LOG_PREFIX_LEN_MAX: usize = 127;

/// The prefix of kernel log lines (E-355): `%t` tier, `%k` short kind, `%n` name, `%p` namespace and name; others stay.
/// Control characters become question marks.
fn log_prefix(pattern: &str, id: &PolicyId) -> String {
    let mut out = String::with_capacity(pattern.len() + 2);
    let mut chars = pattern.chars().peekable();
    // No more is kept than fits, however long the pattern is.
    while let Some(c) = chars.next().filter(|_| out.len() <= LOG_PREFIX_LEN_MAX) {
        let replaced = match (c, chars.peek()) {
            ('%', Some('t')) => Some(id.tier.clone()),
            ('%', Some('k')) => Some(short_kind(id.kind).to_owned()),
            ('%', Some('n')) => Some(id.name.clone()),
            ('%', Some('p')) => Some(match &id.namespace {
                Some(namespace) => format!("{namespace}/{}", id.name),
                None => id.name.clone(),
            }),
            _ => None,
        };
        match replaced {
            Some(text) => {
                chars.next();
                out.push_str(&text);
            }
            None => out.push(c),
        }
    }
    out.push_str(": ");
    // The kernel ends a prefix at a zero byte, so what it holds would differ from this for ever; and a line feed would
    // begin a line of the log that the kernel never wrote.
    let mut out = out.replace(char::is_control, "?");
    while out.len() > LOG_PREFIX_LEN_MAX {
        out.pop();
    }
    out
}

fn short_kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Profile => "pro",
        Kind::NetworkPolicy => "np",
        Kind::StagedNetworkPolicy => "snp",
        Kind::StagedGlobalNetworkPolicy => "sgnp",
        _ => "gnp",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: Option<&str>) -> PolicyId {
        PolicyId {
            kind: Kind::GlobalNetworkPolicy,
            namespace: namespace.map(str::to_owned),
            name: "web".to_owned(),
            tier: "sec".to_owned(),
        }
    }

    #[test]
    fn log_prefixes_take_their_specifiers_e355() {
        for (pattern, namespace, expected) in [
            ("calico-packet", None, "calico-packet: "),
            ("%t|%k|%n|%p", None, "sec|gnp|web|web: "),
            ("%p", Some("ns"), "ns/web: "),
            ("100% %x %", None, "100% %x %: "),
            ("a\0b\nc", None, "a?b?c: "),
        ] {
            assert_eq!(log_prefix(pattern, &id(namespace)), expected, "{pattern}");
        }
        assert_eq!(log_prefix(&"x".repeat(300), &id(None)).len(), 127);
    }
}
