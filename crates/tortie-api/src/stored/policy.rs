//! Policies and rules as an agent reads them.

use std::sync::Arc;

use serde_json::Value;
use tortie_selector::Selector;

use super::place::{Member, Place};
use super::{Object, Reader};
use crate::checks;
use crate::model::{
    Action, Entity, Family, IcmpMatch, Meta, Policy, PolicyClass, PolicyKind, Port, Protocol, Rule, ServiceAccounts,
    ServiceRef,
};
use crate::{DEFAULT_TIER, Kind};

impl Reader {
    pub(super) fn policy(&mut self, kind: Kind, meta: Meta, spec: &Object) -> Option<Policy> {
        let kind = match kind {
            Kind::GlobalNetworkPolicy => PolicyKind::Global,
            Kind::NetworkPolicy => PolicyKind::Namespaced,
            Kind::StagedGlobalNetworkPolicy => PolicyKind::StagedGlobal,
            _ => PolicyKind::StagedNamespaced,
        };
        let tier = self.text(spec, "tier", "spec.tier")?.filter(|tier| !tier.is_empty()).unwrap_or(DEFAULT_TIER);
        let order = self.number(spec, "order", "spec.order")?;
        let (governs_ingress, governs_egress) = self.types(spec)?;
        let (untracked, pre_dnat) =
            (self.bool(spec, "doNotTrack", "spec.doNotTrack")?, self.bool(spec, "preDNAT", "spec.preDNAT")?);
        let forward = self.bool(spec, "applyOnForward", "spec.applyOnForward")?;
        let ingress = self.rules("spec.ingress", spec, "ingress")?;
        let egress = self.rules("spec.egress", spec, "egress")?;
        if untracked && pre_dnat {
            self.error("spec.preDNAT", "`preDNAT` and `doNotTrack` exclude each other");
        }
        if (untracked || pre_dnat) && !forward {
            self.error("spec.applyOnForward", "`preDNAT` and `doNotTrack` need `applyOnForward: true`");
        }
        let has_types = spec.get("types").and_then(Value::as_array).is_some_and(|types| !types.is_empty());
        if pre_dnat && (!egress.is_empty() || governs_egress && has_types) {
            self.error("spec.egress", "a `preDNAT` policy governs ingress only");
        }
        let class = match (untracked, pre_dnat, forward) {
            (true, ..) => PolicyClass::Untracked,
            (_, true, _) => PolicyClass::PreDnat,
            (.., true) => PolicyClass::NormalAndForward,
            _ => PolicyClass::Normal,
        };
        let staged_action = self.text(spec, "stagedAction", "spec.stagedAction")?.unwrap_or_default();
        Some(Policy {
            meta,
            kind,
            tier: tier.to_owned(),
            order,
            selector: self.scoped_selector(spec, "selector")?.unwrap_or_else(Selector::all),
            namespace_selector: self.scoped_selector(spec, "namespaceSelector")?,
            service_account_selector: self.scoped_selector(spec, "serviceAccountSelector")?,
            governs_ingress,
            governs_egress: governs_egress && class != PolicyClass::PreDnat,
            ingress,
            egress,
            class,
            is_staged_inactive: kind.is_staged() && !["", "Set"].contains(&staged_action),
        })
    }

    /// A policy without types governs both directions (E-209).
    fn types(&mut self, spec: &Object) -> Option<(bool, bool)> {
        let types = self.texts(spec, "types", "spec.types")?;
        let mut governs = (types.is_empty(), types.is_empty());
        for (path, word) in types {
            match word {
                "Ingress" => governs.0 = true,
                "Egress" => governs.1 = true,
                other => self.error(path, format!("`{other}` is neither Ingress nor Egress")),
            }
        }
        Some(governs)
    }

    /// A selector in which `global()` has no meaning.
    fn scoped_selector(&mut self, spec: &Object, name: &'static str) -> Option<Option<Selector>> {
        let path = Member("spec", name);
        let selector = self.selector(spec, name, path)?;
        if selector.as_ref().is_some_and(Selector::contains_global) {
            self.error(path, "`global()` is not allowed here");
        }
        Some(selector)
    }

    pub(super) fn rules(&mut self, path: impl Place, spec: &Object, name: &'static str) -> Option<Vec<Arc<Rule>>> {
        let items = self.list(spec, name, path)?;
        let mut rules = Vec::with_capacity(items.len());
        for (path, item) in items {
            let Some(rule) = item.as_object() else {
                self.error(path, "a rule is an object");
                return None;
            };
            rules.push(Arc::new(self.rule(path, rule)?));
        }
        Some(rules)
    }

    fn rule(&mut self, path: impl Place, rule: &Object) -> Option<Rule> {
        let action = match self.text(rule, "action", Member(path, "action"))?.unwrap_or_default() {
            "Allow" => Action::Allow,
            "Deny" => Action::Deny,
            "Log" => Action::Log,
            "Pass" => Action::Pass,
            other => {
                self.error(Member(path, "action"), format!("`{other}` is not an action"));
                return None;
            }
        };
        let ip_version = match rule.get("ipVersion") {
            None | Some(Value::Null) => None,
            Some(value) => match value.as_i64() {
                Some(4) => Some(Family::V4),
                Some(6) => Some(Family::V6),
                _ => {
                    self.error(Member(path, "ipVersion"), "`ipVersion` is 4 or 6");
                    return None;
                }
            },
        };
        let protocol = self.protocol(rule, "protocol", Member(path, "protocol"))?;
        let not_protocol = self.protocol(rule, "notProtocol", Member(path, "notProtocol"))?;
        for protocol in [protocol, not_protocol].into_iter().flatten() {
            let family = match protocol {
                Protocol::ICMP => Family::V4,
                Protocol::ICMPV6 => Family::V6,
                _ => continue,
            };
            if ip_version.is_some_and(|version| version != family) {
                self.error(Member(path, "ipVersion"), "`ipVersion` contradicts the protocol");
            }
        }
        let icmp = self.icmp(rule, "icmp", path)?;
        let not_icmp = self.icmp(rule, "notICMP", path)?;
        if icmp.is_some() && !matches!(protocol, Some(Protocol::ICMP | Protocol::ICMPV6)) {
            self.error(Member(path, "icmp"), "`icmp` needs protocol ICMP or ICMPv6");
        }
        let source = self.entity(rule, "source", path, protocol)?;
        let destination = self.entity(rule, "destination", path, protocol)?;
        let metadata = self.object(rule, "metadata", Member(path, "metadata"))?;
        let annotations = match metadata {
            Some(metadata) => self.texts_map(metadata, "annotations", Member(path, "metadata.annotations"))?,
            None => Default::default(),
        };
        let has_http = self.object(rule, "http", Member(path, "http"))?.is_some();
        Some(Rule {
            action,
            ip_version,
            protocol,
            not_protocol,
            icmp,
            not_icmp,
            source,
            destination,
            has_http,
            annotations,
        })
    }

    fn icmp(&mut self, rule: &Object, name: &'static str, path: impl Place) -> Option<Option<IcmpMatch>> {
        let path = Member(path, name);
        let Some(icmp) = self.object(rule, name, path)? else { return Some(None) };
        let byte = |member: &str| match icmp.get(member) {
            None | Some(Value::Null) => Some(None),
            Some(value) => value.as_u64().and_then(|number| u8::try_from(number).ok()).map(Some),
        };
        match (byte("type"), byte("code")) {
            (Some(None), Some(None)) => Some(None),
            (Some(Some(icmp_type)), Some(code)) if icmp_type < 255 => Some(Some(IcmpMatch { icmp_type, code })),
            _ => {
                self.error(path, "an ICMP match needs a type of 0 to 254 and takes a code of 0 to 255");
                None
            }
        }
    }

    fn entity(
        &mut self,
        rule: &Object,
        name: &'static str,
        path: impl Place,
        protocol: Option<Protocol>,
    ) -> Option<Entity> {
        let path = Member(path, name);
        let Some(entity) = self.object(rule, name, path)? else { return Some(Entity::default()) };
        let nets = self.nets(entity, "nets", path)?;
        let not_nets = self.nets(entity, "notNets", path)?;
        let ports = self.ports(entity, "ports", path, protocol)?;
        let not_ports = self.ports(entity, "notPorts", path, protocol)?;
        let selector = self.selector(entity, "selector", Member(path, "selector"))?;
        let not_selector = self.selector(entity, "notSelector", Member(path, "notSelector"))?;
        let namespace_selector = self.selector(entity, "namespaceSelector", Member(path, "namespaceSelector"))?;
        if selector.as_ref().is_some_and(Selector::contains_global) {
            self.error(Member(path, "selector"), "`global()` is not allowed here");
        }
        if namespace_selector.as_ref().is_some_and(|s| s.contains_global() && s.canonical() != "global()") {
            self.error(Member(path, "namespaceSelector"), "`global()` cannot be joined with anything else");
        }
        let service_accounts = match self.object(entity, "serviceAccounts", Member(path, "serviceAccounts"))? {
            None => None,
            Some(accounts) => {
                let inner = Member(path, "serviceAccounts");
                let names = self.texts(accounts, "names", Member(inner, "names"))?;
                let names = names.into_iter().map(|(_, name)| name.to_owned()).collect();
                let selector = self.selector(accounts, "selector", Member(inner, "selector"))?;
                Some(ServiceAccounts { names, selector })
            }
        };
        let services = match self.object(entity, "services", Member(path, "services"))? {
            None => None,
            Some(services) => {
                let inner = Member(path, "services");
                let name = self.text(services, "name", Member(inner, "name"))?.unwrap_or_default().to_owned();
                let namespace = self.text(services, "namespace", Member(inner, "namespace"))?;
                Some(ServiceRef { name, namespace: namespace.filter(|n| !n.is_empty()).map(str::to_owned) })
            }
        };
        Some(Entity {
            nets,
            not_nets,
            ports,
            not_ports,
            selector,
            not_selector,
            namespace_selector,
            service_accounts,
            services,
        })
    }

    /// Networks, masked (E-319). One that does not parse makes the object invalid in every mode (E-305).
    fn nets(&mut self, entity: &Object, name: &'static str, path: impl Place) -> Option<Vec<ipnet::IpNet>> {
        let texts = self.texts(entity, name, Member(path, name))?;
        let mut nets = Vec::with_capacity(texts.len());
        for (path, text) in texts {
            match checks::loose_net(text) {
                Ok(net) => nets.push(net.trunc()),
                Err(refusal) => {
                    self.error(path, refusal.message);
                    return None;
                }
            }
        }
        Some(nets)
    }

    fn ports(
        &mut self,
        entity: &Object,
        name: &'static str,
        path: impl Place,
        protocol: Option<Protocol>,
    ) -> Option<Vec<Port>> {
        let items = self.list(entity, name, Member(path, name))?;
        let mut ports = Vec::with_capacity(items.len());
        for (path, item) in items {
            let port = match item {
                Value::String(text) => checks::port(text),
                Value::Number(number) => checks::port(&number.to_string()),
                _ => checks::refuse("a port is a number, a range or a name"),
            };
            match port {
                Ok(Port::Range(_)) if protocol.is_none() => self.error(path, "a numeric port needs a protocol"),
                Ok(_) if protocol.is_some_and(|protocol| !protocol.has_ports()) => {
                    self.error(path, "the rule's protocol has no ports");
                }
                Ok(port) => ports.push(port),
                Err(refusal) => self.error(path, refusal.message),
            }
        }
        Some(ports)
    }
}
