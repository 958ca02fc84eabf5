//! Lists of rules by shape, for tests and benches.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, PortRange, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, EndpointPolicy, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd, TierPolicies,
};
use tortie_rules::plan::Op;

/// Rules and elements that an operation carries.
pub(crate) fn weight(op: &Op) -> usize {
    match op {
        Op::AddElements { elements, .. } => elements.len(),
        Op::DeleteElements { elements, .. } => elements.len(),
        _ => 1,
    }
}

/// The numbers of the sets at the ends of a rule: the source's, then the destination's.
pub(crate) type Ends = (Option<usize>, Option<usize>);

/// Rules between sets, a port each. Every other set at the destination has one address that all of these have.
pub(crate) fn both(size: usize, ends: fn(usize) -> Ends, is_changed: bool) -> HostPolicy {
    let mut sets = BTreeMap::new();
    let members = |first: usize, number: usize| {
        let (high, low) = (first + number / 256, number % 256);
        vec![format!("10.{high}.{low}.7/32"), format!("10.{high}.{low}.8/32"), format!("10.{high}.{low}.128/25")]
    };
    let mut of_end = |set: usize, members: &[String], port: u16| -> Option<SetId> {
        rule(&mut sets, set, members, Action::Allow, Protocol::TCP, (port, port)).source.set.clone()
    };
    let rules: Vec<Arc<ResolvedRule>> = (0..size)
        .map(|number| {
            let port = if is_changed && number == size / 2 { 9 } else { 1024 + (number % 30_000) as u16 };
            let (source, destination) = ends(number);
            let mut rule = ResolvedRule::any(Action::Allow);
            rule.protocol = Some(Protocol::TCP);
            rule.destination.ports = vec![PortRange::new(port, port).unwrap()];
            rule.source.set = source.and_then(|set| of_end(set, &members(64, set), port));
            rule.destination.set = destination.and_then(|set| {
                let host = (set % 2 == 0).then(|| "192.0.2.1/32".to_owned());
                of_end(100_000 + set, &members(128, set).into_iter().chain(host).collect::<Vec<_>>(), port)
            });
            Arc::new(rule)
        })
        .collect();
    host(rules.into_iter().enumerate().map(|(number, rule)| policy(number, vec![rule])).collect(), sets)
}

/// A rule from the members of a set, which is added to the others.
pub(crate) fn rule(
    sets: &mut BTreeMap<SetId, Arc<SetMembers>>,
    set: usize,
    members: &[String],
    action: Action,
    protocol: Protocol,
    ports: (u16, u16),
) -> Arc<ResolvedRule> {
    let id = SetId::Selector(format!("set == '{set}'").into());
    let members = members.iter().map(|net| net.parse::<IpNet>().unwrap());
    sets.entry(id.clone()).or_insert_with(|| Arc::new(SetMembers::Nets(members.collect())));
    let mut rule = ResolvedRule::any(action);
    rule.protocol = Some(protocol);
    rule.source.set = Some(id);
    rule.destination.ports = vec![PortRange::new(ports.0, ports.1).unwrap()];
    Arc::new(rule)
}

/// A policy of some rules.
pub(crate) fn policy(number: usize, rules: Vec<Arc<ResolvedRule>>) -> Arc<PolicyRules> {
    let name = format!("policy-{number}");
    let id = PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: None, name, tier: "default".to_owned() };
    Arc::new(PolicyRules { id, is_staged: false, rules })
}

/// A host with one endpoint and these policies inward.
pub(crate) fn host(policies: Vec<Arc<PolicyRules>>, sets: BTreeMap<SetId, Arc<SetMembers>>) -> HostPolicy {
    let tier = TierPolicies { name: "default".to_owned(), end: TierEnd::Deny, policies };
    let endpoint = EndpointPolicy {
        name: "host".to_owned(),
        normal_ingress: ClassPolicy { tiers: vec![tier] },
        ..EndpointPolicy::default()
    };
    let mut host = HostPolicy { sets, ..HostPolicy::default() };
    host.dispatch.interfaces.insert("eth0".to_owned(), "host".to_owned());
    host.endpoints.insert("host".to_owned(), Arc::new(endpoint));
    host
}
