//! What the loop tells of itself: it gathers what the pure views are made of.

use std::collections::HashSet;

use tortie_api::Kind;
use tortie_api::lint::{Lint, lint_host};
use tortie_api::model::{HostEndpoint, Resource};
use tortie_api::with_causes;
use tortie_calc::policy::SetId;
use tortie_calc::settings::InForce;
use tortie_nftables::{Counter, ForeignChain, ReadError};

use super::Loop;
use crate::metrics::{Cluster, Numbers};
use crate::observe::Foreign;
use crate::report::{AgentReport, Told};
use crate::status::{
    Counters, Failsafes, InvalidStatus, KernelStatus, LintStatus, RefusedStatus, SettingStatus, Status, StoreStatus,
};
use crate::view;

impl Loop {
    /// What other programs are told through the store.
    pub(super) fn tell(&self) {
        let is_known = self.kernel.revision.is_some();
        let links = self.links.as_ref().filter(|_| is_known);
        self.observe.reporter.tell(Told {
            report: AgentReport {
                node: self.config.node.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                revision: self.kernel.revision,
                kinds: self
                    .enforced_kinds
                    .iter()
                    .map(|(kind, text)| (kind.plural().to_owned(), text.clone()))
                    .collect(),
                time: String::new(),
                problems: self.problems(),
                interfaces: self.links.as_ref().map(view::reported_interfaces).unwrap_or_default(),
            },
            endpoints: links.map(|links| view::states(self.engine.states(), links)),
            settings: self.observe.settings().reports,
        });
    }

    fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.kernel.error.iter().cloned().collect();
        for (key, problem) in self.hold.problems() {
            problems.push(format!("{key} is invalid: {}", problem.messages.join("; ")));
        }
        for (key, refused) in self.hold.refused() {
            problems.push(format!("{key} is refused: {}", refused.message));
        }
        problems.extend(self.state_error.iter().map(|error| format!("saved state: {error}")));
        problems.extend(self.setting_texts());
        problems
    }

    fn refused(&self) -> Vec<RefusedStatus> {
        let refused = self.hold.refused().iter().map(|(key, refused)| RefusedStatus {
            object: key.to_string(),
            rule: refused.rule.clone(),
            message: refused.message.clone(),
            is_held: refused.is_held,
        });
        refused.collect()
    }

    /// Lints of what is in force; worked out again only after something changed.
    fn lints(&mut self) -> Vec<LintStatus> {
        if self.lints.is_none() {
            let resources = self.hold.in_force().map(AsRef::as_ref);
            let found = lint_host(&self.config.node, resources, self.links.as_ref());
            self.lints = Some(found.into_iter().map(lint_status).collect());
        }
        self.lints.clone().unwrap_or_default()
    }

    fn setting_texts(&self) -> impl Iterator<Item = String> {
        self.resolved.problems.iter().map(|p| format!("setting {} of {}: {}", p.name, p.source, p.message))
    }

    /// One line for `systemctl status`.
    pub(super) fn summary(&self) -> String {
        match (&self.kernel.error, self.kernel.revision) {
            (Some(error), _) => format!("cannot program: {error}"),
            (None, None) => format!("waiting; store {}", self.store.state),
            (None, Some(revision)) => {
                let endpoints = self.engine.states().len();
                format!("revision {revision} enforced, {endpoints} host endpoints; store {}", self.store.state)
            }
        }
    }

    pub(super) fn status(&mut self, with_counters: bool) -> Status {
        let mut warnings: Vec<String> = self.setting_texts().chain(self.observe.complaints()).collect();
        for (key, texts) in self.hold.warnings() {
            warnings.extend(texts.iter().map(|text| format!("{key}: {text}")));
        }
        let (chains, sets, rules) = self.programmer.size();
        let generation = self.programmer.generation();
        let foreign = self.foreign().unwrap_or_else(|error| {
            warnings.push(format!("other tables cannot be read: {error}"));
            Foreign::default()
        });
        warnings.extend(view::mark_collisions(self.engine.policy(), &foreign.mark_writers));
        let foreign = foreign.chains.iter().filter(|chain| chain.can_drop).map(chain_text).collect();
        let counters = match with_counters.then(|| self.read_counters()).transpose() {
            Ok(counters) => counters,
            Err(error) => {
                warnings.push(error);
                None
            }
        };

        let lints = self.lints();
        let (policy, report) = (self.engine.policy(), self.engine.report());
        let links = self.links.clone().unwrap_or_default();
        let mut interfaces = view::interfaces(policy, &links, self.observe.enforced.as_ref());
        self.early.tell(&links, &mut interfaces);
        warnings.extend(self.early.warnings());
        warnings.extend(view::too_large(&self.engine.sets_too_large(), policy.settings.set_size_max));
        warnings.extend(view::unpoliced_ipv6(policy, &links, &interfaces));
        let mut endpoints = view::endpoints(&report, policy, &links, self.local_endpoints());
        if let Some(counters) = &counters {
            let mut drops = view::invalid_drops(policy, counters);
            endpoints.iter_mut().for_each(|endpoint| endpoint.invalid_drops = drops.remove(&endpoint.name));
        }
        let invalid = self.hold.problems().iter().map(|(key, problem)| InvalidStatus {
            object: key.to_string(),
            messages: problem.messages.clone(),
            is_held: problem.is_held,
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: self.config.node.clone(),
            store: StoreStatus {
                is_stale: self.store.state != "in-sync",
                remarks: self.config.store.remarks(),
                ..self.store.clone()
            },
            kernel: KernelStatus {
                generation,
                chains,
                sets,
                rules,
                foreign,
                refused: self.refused(),
                state_error: self.state_error.clone(),
                ..self.kernel.clone()
            },
            interfaces,
            endpoints,
            failsafes: Failsafes {
                inbound: policy.settings.failsafe_inbound.iter().map(ToString::to_string).collect(),
                outbound: policy.settings.failsafe_outbound.iter().map(ToString::to_string).collect(),
            },
            settings: self.resolved.in_force.iter().map(setting).collect(),
            staged: counters.map(|counters| view::staged(policy, &counters)).unwrap_or_default(),
            not_enforced: view::not_enforced(&report).into_iter().chain(view::one_family(policy)).collect(),
            invalid: invalid.collect(),
            warnings,
            lints,
            notes: self.resolved.notes.iter().map(|n| format!("settings of {}: {}", n.source, n.message)).collect(),
        }
    }

    /// What other tables hold, read again only when some ruleset changed: metrics ask every few seconds.
    fn foreign(&mut self) -> Result<Foreign, String> {
        let kernel = self.programmer.kernel();
        let to_text = |error: ReadError| with_causes(&error);
        let generation = kernel.generation().map_err(to_text)?;
        if let Some((read_at, foreign)) = &self.observe.foreign
            && *read_at == generation
        {
            return Ok(foreign.clone());
        }
        let chains = kernel.foreign_chains().map_err(to_text)?;
        let foreign = Foreign { chains, mark_writers: kernel.mark_writers().map_err(to_text)? };
        self.observe.foreign = Some((generation, foreign.clone()));
        Ok(foreign)
    }

    pub(super) fn counters(&mut self) -> Result<Counters, String> {
        Ok(Counters { counters: view::counter_list(&self.read_counters()?, self.desired.as_ref()) })
    }

    fn read_counters(&mut self) -> Result<Vec<Counter>, String> {
        let read = self.programmer.kernel().counters();
        read.map_err(|error| format!("counters cannot be read: {}", with_causes(&error)))
    }

    pub(super) fn numbers(&mut self) -> Numbers {
        let sets = &self.engine.policy().sets;
        Numbers {
            selectors: sets.keys().filter(|id| matches!(id, SetId::Selector(_))).count(),
            totals: self.observe.totals,
            cluster: self.cluster(),
            is_ready: self.observe.is_ready(),
            status: self.status(true),
        }
    }

    fn local_endpoints(&self) -> impl Iterator<Item = &HostEndpoint> {
        self.hold.of_kind(Kind::HostEndpoint).filter_map(|resource| match &**resource {
            Resource::HostEndpoint(endpoint) if endpoint.node == self.config.node => Some(endpoint),
            _ => None,
        })
    }

    fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::default();
        let mut hosts: HashSet<&str> = HashSet::new();
        for resource in self.hold.in_force() {
            match &**resource {
                Resource::HostEndpoint(endpoint) => {
                    cluster.host_endpoints += 1;
                    hosts.insert(&endpoint.node);
                }
                Resource::WorkloadEndpoint(endpoint) => {
                    cluster.workload_endpoints += 1;
                    cluster.local_workloads += usize::from(endpoint.node == self.config.node);
                    hosts.insert(&endpoint.node);
                }
                Resource::Node(node) => {
                    hosts.insert(&node.meta.name);
                }
                Resource::Policy(_) => cluster.policies += 1,
                Resource::Profile(_) => cluster.profiles += 1,
                Resource::Tier(_) => cluster.tiers += 1,
                _ => {}
            }
        }
        cluster.hosts = hosts.len();
        cluster
    }
}

fn lint_status(lint: Lint) -> LintStatus {
    LintStatus {
        rule: lint.rule.to_owned(),
        object: lint.object.to_string(),
        path: lint.path,
        message: lint.message,
        hint: lint.hint,
    }
}

fn chain_text(c: &ForeignChain) -> String {
    let hook = format!("{:?}", c.hook).to_lowercase();
    format!("{} table {} chain {} (hook {hook}, priority {})", c.family, c.table, c.chain, c.priority)
}

fn setting(in_force: &InForce) -> SettingStatus {
    SettingStatus { name: in_force.name.to_owned(), value: in_force.value.clone(), source: in_force.source.to_string() }
}
