//! What the loop tells of itself.

use tortie_api::facts::Links;
use tortie_api::model::PolicyClass;
use tortie_calc::settings::Failsafe;
use tortie_calc::{EndpointState, Reason};

use super::Loop;
use crate::status::{
    EndpointStatus, Failsafes, InterfaceStatus, InvalidStatus, KernelStatus, NotEnforcedStatus, Status,
};

impl Loop {
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.kernel.error.iter().cloned().collect();
        for (key, problem) in self.hold.problems() {
            problems.push(format!("{key} is invalid: {}", problem.messages.join("; ")));
        }
        problems
            .extend(self.setting_problems.iter().map(|p| format!("setting {} of {}: {}", p.name, p.source, p.message)));
        problems
    }

    pub(super) fn status(&mut self) -> Status {
        let report = self.engine.report().clone();
        let policy = self.engine.policy();
        let dispatch = policy.dispatch.clone();
        let settings = policy.settings.clone();
        let links = self.links.clone().unwrap_or_default();
        let interfaces = links
            .values()
            .map(|link| {
                let named = dispatch.interfaces.get(&link.name);
                let is_workload = settings.is_workload_interface(&link.name);
                let is_exempt = dispatch.exempt.contains(&link.name);
                let endpoint = named.or(dispatch.wildcard.as_ref().filter(|_| !is_workload && !is_exempt));
                let note = match (endpoint, is_workload, is_exempt) {
                    (None, true, _) => Some("workload"),
                    (None, _, true) => Some("exempt"),
                    _ => None,
                };
                InterfaceStatus {
                    name: link.name.clone(),
                    is_running: link.is_running,
                    addresses: link.addresses.iter().map(ToString::to_string).collect(),
                    endpoint: endpoint.cloned(),
                    note: note.map(str::to_owned),
                }
            })
            .collect();
        let endpoints =
            report.endpoints.iter().map(|(name, endpoint)| endpoint_status(name, endpoint, &links)).collect();
        let not_enforced = report
            .not_enforced
            .iter()
            .filter(|entry| entry.reason != Reason::Class(PolicyClass::Normal))
            .map(|entry| NotEnforcedStatus {
                object: entry.key.to_string(),
                endpoint: entry.endpoint.clone(),
                reason: reason_text(&entry.reason),
            })
            .collect();
        let invalid = self.hold.problems().iter().map(|(key, problem)| InvalidStatus {
            object: key.to_string(),
            messages: problem.messages.clone(),
            is_held: problem.is_held,
        });
        let invalid = invalid.collect();
        let mut warnings: Vec<String> = self
            .setting_problems
            .iter()
            .map(|problem| format!("setting {} of {}: {}", problem.name, problem.source, problem.message))
            .collect();
        for (key, texts) in self.hold.warnings() {
            warnings.extend(texts.iter().map(|text| format!("{key}: {text}")));
        }
        let failsafes = Failsafes {
            inbound: settings.failsafe_inbound.iter().map(failsafe_text).collect(),
            outbound: settings.failsafe_outbound.iter().map(failsafe_text).collect(),
        };
        let (chains, sets, rules) = self.programmer.size();
        let foreign = match self.programmer.kernel().foreign_chains() {
            Ok(chains) => chains
                .into_iter()
                .filter(|chain| chain.can_drop)
                .map(|c| {
                    format!("{} table {} chain {} ({:?}, priority {})", c.family, c.table, c.chain, c.hook, c.priority)
                })
                .collect(),
            Err(error) => {
                warnings.push(format!("other tables cannot be read: {error}"));
                Vec::new()
            }
        };
        let generation = self.programmer.generation();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.config.node.clone(),
            store: self.store.clone(),
            kernel: KernelStatus { generation, chains, sets, rules, foreign, ..self.kernel.clone() },
            interfaces,
            endpoints,
            failsafes,
            not_enforced,
            invalid,
            warnings,
        }
    }
}

fn endpoint_status(name: &str, endpoint: &tortie_calc::EndpointReport, links: &Links) -> EndpointStatus {
    use tortie_calc::policy::Direction;
    let mut status = EndpointStatus { name: name.to_owned(), ..EndpointStatus::default() };
    let (state, reason) = match &endpoint.state {
        EndpointState::Governs { interfaces } => {
            status.interfaces.clone_from(interfaces);
            let is_running = interfaces.iter().all(|name| links.get(name).is_some_and(|link| link.is_running));
            let enslaved =
                interfaces.iter().find(|name| links.get(*name).is_some_and(|link| link.controller.is_some()));
            let note = enslaved.map(|name| format!("{name} is a port of another interface: no packet is seen there"));
            (if is_running { "up" } else { "down" }, note)
        }
        EndpointState::Wildcard => ("up", None),
        EndpointState::InactiveWildcard { winner } => ("error", Some(format!("`{winner}` is the active wildcard"))),
        EndpointState::Unresolved => ("error", Some("its interface does not exist; the rules wait for it".to_owned())),
        EndpointState::Shadowed { by } => {
            let list: Vec<String> = by.iter().map(|(interface, by)| format!("`{by}` on {interface}")).collect();
            ("error", Some(format!("shadowed by {}", list.join(", "))))
        }
        EndpointState::WorkloadInterface { interface } => {
            ("error", Some(format!("`{interface}` is an interface of a workload")))
        }
        EndpointState::Excluded { interface } => ("error", Some(format!("`{interface}` is excluded by the settings"))),
    };
    state.clone_into(&mut status.state);
    status.reason = reason;
    for policy in &endpoint.policies {
        let staged = if policy.is_staged { " (staged)" } else { "" };
        let text = format!("{}: {}{staged}", policy.id.tier, policy.id);
        match policy.direction {
            Direction::Ingress => status.ingress.push(text),
            Direction::Egress => status.egress.push(text),
        }
    }
    let missing = |exists: bool| if exists { "" } else { " (missing: denies everything)" };
    status.profiles = endpoint.profiles.iter().map(|(name, exists)| format!("{name}{}", missing(*exists))).collect();
    status
}

fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Class(PolicyClass::PreDnat) => "preDNAT policies are not enforced by this version".to_owned(),
        Reason::Class(PolicyClass::Untracked) => "doNotTrack policies are not enforced by this version".to_owned(),
        Reason::Class(_) => {
            "applyOnForward: enforced for local traffic, not for forwarded traffic by this version".to_owned()
        }
        Reason::UntrackedOnWildcard => "untracked policy never applies to a wildcard endpoint (E-415)".to_owned(),
        Reason::Http { direction, rule } => {
            format!("{direction} rule {rule} has `http`, which a host cannot check: it matches nothing (E-358)")
        }
        Reason::Services { direction, rule } => {
            format!("{direction} rule {rule} has `services`, and there is no Kubernetes data: it matches nothing")
        }
        Reason::MissingProfile { profile } => {
            format!("profile `{profile}` does not exist: at its place everything is denied (E-230)")
        }
        Reason::MissingTier { tier } => {
            format!("tier `{tier}` does not exist: the policy comes after all others, default Deny (E-218)")
        }
    }
}

fn failsafe_text(failsafe: &Failsafe) -> String {
    let protocol = failsafe.protocol.to_string().to_lowercase();
    match failsafe.net {
        Some(net) if net.addr().is_ipv6() => format!("{protocol}:[{net}]:{}", failsafe.port),
        Some(net) => format!("{protocol}:{net}:{}", failsafe.port),
        None => format!("{protocol}:{}", failsafe.port),
    }
}
