//! Policies, profiles and their rules (resources.md sections 3 to 5).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, entry, family_word, is_true, list, protocol, text, texts};
use crate::Kind;
use crate::checks;
use crate::model::{Family, Protocol};
use crate::problem::{Joint, Problem};
use crate::shape::join;

#[derive(Clone, Copy, PartialEq)]
enum Owner {
    GlobalPolicy,
    NamespacedPolicy,
    Profile,
}

pub(super) fn policy(kind: Kind, spec: &Object, problems: &mut Vec<Problem>) {
    let is_global = matches!(kind, Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy);
    for name in ["types", "performanceHints"] {
        let mut seen = BTreeSet::new();
        for (number, word) in texts(spec, name) {
            if !seen.insert(word) {
                let problem = Problem::error(entry("spec", name, number), format!("`{word}` is repeated"));
                problems.push(problem.breaks(Joint::Repeated));
            }
        }
    }
    let (untracked, pre_dnat) = (is_true(spec, "doNotTrack"), is_true(spec, "preDNAT"));
    if untracked && pre_dnat {
        let problem = Problem::error("spec.preDNAT", "`preDNAT` and `doNotTrack` exclude each other");
        problems.push(problem.breaks(Joint::PreDnatUntracked));
    }
    for (name, is_set) in [("doNotTrack", untracked), ("preDNAT", pre_dnat)] {
        if is_set && !is_true(spec, "applyOnForward") {
            let problem = Problem::error(join("spec", name), format!("`{name}: true` needs `applyOnForward: true`"));
            let hint = "such a policy sees forwarded traffic too: say so with `applyOnForward: true`";
            problems.push(problem.breaks(Joint::NotOnForward).with_hint(hint));
        }
    }
    if pre_dnat {
        if !list(spec, "egress").is_empty() {
            let problem = Problem::error("spec.egress", "a `preDNAT` policy has no egress rules");
            problems.push(problem.breaks(Joint::PreDnatEgress));
        }
        if texts(spec, "types").any(|(_, word)| word == "Egress") {
            let problem = Problem::error("spec.types", "a `preDNAT` policy governs ingress only");
            problems.push(problem.breaks(Joint::PreDnatTypes));
        }
    }
    if text(spec, "stagedAction") == "Delete" {
        for name in spec.keys().filter(|name| !["stagedAction", "tier"].contains(&name.as_str())) {
            let problem = Problem::error(join("spec", name), format!("`stagedAction: Delete` takes no `{name}`"));
            problems.push(problem.breaks(Joint::StagedDelete));
        }
    } else if list(spec, "ingress").is_empty() && list(spec, "egress").is_empty() && is_inferred(spec) {
        let problem = Problem::warning("spec", "the policy has no rules and no `types`: it governs ingress only");
        problems.push(problem.with_hint("list `types` to say what it denies (T-21)"));
    }
    let owner = if is_global { Owner::GlobalPolicy } else { Owner::NamespacedPolicy };
    rules(owner, spec, problems);
}

/// Whether `types` can only have been inferred: Ingress alone.
fn is_inferred(spec: &Object) -> bool {
    !spec.contains_key("types")
}

pub(super) fn profile(spec: &Object, problems: &mut Vec<Problem>) {
    rules(Owner::Profile, spec, problems);
}

fn rules(owner: Owner, spec: &Object, problems: &mut Vec<Problem>) {
    for direction in ["ingress", "egress"] {
        for (number, rule) in list(spec, direction).iter().enumerate() {
            if let Some(rule) = rule.as_object() {
                Rule { owner, direction, path: entry("spec", direction, number), rule }.check(problems);
            }
        }
    }
}

struct Rule<'a> {
    owner: Owner,
    direction: &'static str,
    path: String,
    rule: &'a Object,
}

impl Rule<'_> {
    fn check(&self, problems: &mut Vec<Problem>) {
        let version = self.rule.get("ipVersion").and_then(Value::as_i64);
        if version == Some(5) {
            let problem = Problem::error(join(&self.path, "ipVersion"), "`ipVersion` is 4 or 6");
            problems.push(problem.breaks(Joint::IpVersion));
        }
        let version = match version {
            Some(4) => Some(Family::V4),
            Some(6) => Some(Family::V6),
            _ => None,
        };
        self.protocols(version, problems);
        self.icmp(problems);
        self.http(problems);
        self.families(version, problems);
        for end in ["source", "destination"] {
            if let Some(entity) = self.rule.get(end).and_then(Value::as_object) {
                self.entity(end, entity, problems);
            }
        }
        if self.owner == Owner::Profile && text(self.rule, "action") == "Pass" {
            let message = "`Pass` in a profile ends this profile only: the next one is asked";
            problems.push(Problem::warning(join(&self.path, "action"), message));
        }
    }

    fn protocols(&self, version: Option<Family>, problems: &mut Vec<Problem>) {
        for name in ["protocol", "notProtocol"] {
            let family = match protocol(self.rule, name) {
                Some(Protocol::ICMP) => Family::V4,
                Some(Protocol::ICMPV6) => Family::V6,
                _ => continue,
            };
            if version.is_some_and(|version| version != family) {
                let message = format!("this protocol is {} only, and `ipVersion` says otherwise", family_word(family));
                problems.push(Problem::error(join(&self.path, name), message).breaks(Joint::ProtocolVersion));
            }
        }
    }

    fn icmp(&self, problems: &mut Vec<Problem>) {
        let is_icmp = matches!(protocol(self.rule, "protocol"), Some(Protocol::ICMP | Protocol::ICMPV6));
        if self.rule.contains_key("icmp") && !is_icmp {
            let problem =
                Problem::error(join(&self.path, "icmp"), "`icmp` needs `protocol: ICMP` or `protocol: ICMPv6`");
            problems.push(problem.breaks(Joint::IcmpProtocol));
        }
        for name in ["icmp", "notICMP"] {
            let Some(icmp) = self.rule.get(name).and_then(Value::as_object) else { continue };
            if icmp.contains_key("code") && !icmp.contains_key("type") {
                let path = join(&join(&self.path, name), "code");
                problems.push(Problem::error(path, "a `code` needs a `type`").breaks(Joint::IcmpCode));
            }
        }
    }

    fn http(&self, problems: &mut Vec<Problem>) {
        let Some(http) = self.rule.get("http").and_then(Value::as_object) else { return };
        let path = join(&self.path, "http");
        let mut seen = BTreeSet::new();
        for (number, method) in texts(http, "methods") {
            if !seen.insert(method) {
                let problem = Problem::error(entry(&path, "methods", number), format!("`{method}` is repeated"));
                problems.push(problem.breaks(Joint::HttpMethods));
            }
        }
        for (number, item) in list(http, "paths").iter().enumerate() {
            let members = item
                .as_object()
                .map_or(0, |item| ["exact", "prefix"].iter().filter(|m| item.contains_key(**m)).count());
            if members != 1 {
                let message = "a path is exactly one of `exact` and `prefix`";
                problems.push(Problem::error(entry(&path, "paths", number), message).breaks(Joint::HttpPath));
            }
        }
        if text(self.rule, "action") != "Allow" {
            let problem = Problem::error(&path, "`http` is allowed in Allow rules only");
            problems.push(problem.breaks(Joint::HttpAction));
        }
        if self.rule.contains_key("protocol") && protocol(self.rule, "protocol") != Some(Protocol::TCP) {
            problems.push(Problem::error(&path, "`http` needs `protocol: TCP`").breaks(Joint::HttpProtocol));
        }
        if self.direction == "egress" && self.owner != Owner::Profile {
            problems.push(Problem::error(&path, "`http` is not allowed in egress rules").breaks(Joint::HttpEgress));
        }
    }

    /// All networks of a rule are of one family (resources.md section 3).
    fn families(&self, version: Option<Family>, problems: &mut Vec<Problem>) {
        let mut expected = version;
        for end in ["source", "destination"] {
            let Some(entity) = self.rule.get(end).and_then(Value::as_object) else { continue };
            for name in ["nets", "notNets"] {
                for (number, net) in texts(entity, name) {
                    let Ok(net) = checks::loose_net(net) else { continue };
                    let family = Family::of_net(net);
                    if expected.is_some_and(|expected| expected != family) {
                        let message = format!("`{net}` is {}, and the rest of the rule is not", family_word(family));
                        let problem = Problem::error(entry(&join(&self.path, end), name, number), message);
                        problems.push(problem.breaks(Joint::Families).with_hint("write one rule for each family"));
                    }
                    expected = expected.or(Some(family));
                }
            }
        }
    }

    fn entity(&self, end: &str, entity: &Object, problems: &mut Vec<Problem>) {
        let path = join(&self.path, end);
        for (number, net) in texts(entity, "notNets") {
            if checks::loose_net(net).is_ok_and(checks::is_everything) {
                let message = format!("`{net}` is everything: the rule could match nothing");
                let problem = Problem::error(entry(&path, "notNets", number), message);
                problems.push(problem.breaks(Joint::NegatedEverything));
            }
        }
        self.ports(&path, entity, problems);
        self.services(end, &path, entity, problems);
        if entity.contains_key("serviceAccounts") {
            let message = "`serviceAccounts` mean workloads of Kubernetes: without its data they match nothing";
            problems.push(Problem::warning(join(&path, "serviceAccounts"), message));
        }
    }

    fn ports(&self, path: &str, entity: &Object, problems: &mut Vec<Problem>) {
        let has_protocol = self.rule.contains_key("protocol");
        let protocol = protocol(self.rule, "protocol");
        for name in ["ports", "notPorts"] {
            let ports = list(entity, name);
            if ports.is_empty() {
                continue;
            }
            if has_protocol && protocol.is_some_and(|protocol| !protocol.has_ports()) {
                let problem = Problem::error(join(path, name), "the rule's protocol has no ports");
                problems.push(problem.breaks(Joint::PortsProtocol).with_hint("use TCP, UDP or SCTP"));
            }
            if !has_protocol {
                let numeric = ports
                    .iter()
                    .position(|port| port.is_number() || port.as_str().is_some_and(|port| port.contains(':')));
                if let Some(number) = numeric {
                    let problem = Problem::error(entry(path, name, number), "a numeric port needs a `protocol`");
                    let hint = "add `protocol: TCP`, `UDP` or `SCTP` to the rule";
                    problems.push(problem.breaks(Joint::PortsNumeric).with_hint(hint));
                }
            }
        }
    }

    fn services(&self, end: &str, path: &str, entity: &Object, problems: &mut Vec<Problem>) {
        let Some(services) = entity.get("services").and_then(Value::as_object) else { return };
        let inner = join(path, "services");
        let mut exclusive = vec!["selector", "notSelector", "namespaceSelector", "nets", "notNets", "serviceAccounts"];
        if end == "destination" {
            exclusive.extend(["ports", "notPorts"]);
        }
        for name in exclusive.into_iter().filter(|name| entity.contains_key(*name)) {
            let problem = Problem::error(&inner, format!("`services` and `{name}` exclude each other"));
            problems.push(problem.breaks(Joint::ServicesExclusive));
        }
        if self.owner == Owner::GlobalPolicy && text(services, "namespace").is_empty() {
            let problem = Problem::error(&inner, "in a global policy `services` needs a `namespace`");
            problems.push(problem.breaks(Joint::ServicesNamespace));
        }
        let is_misplaced =
            (self.direction, end) == ("ingress", "destination") || (self.direction, end) == ("egress", "source");
        if is_misplaced && self.owner != Owner::Profile {
            let message = format!("`services` is not allowed in the {end} of an {} rule", self.direction);
            problems.push(Problem::error(&inner, message).breaks(Joint::ServicesPlace));
        }
        let problem = Problem::warning(&inner, "without Kubernetes data `services` match nothing on hosts");
        problems.push(problem);
    }
}
