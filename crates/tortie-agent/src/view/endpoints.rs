//! Host endpoints: state, conflicts, policies in evaluated order (E-740, E-742, T-4).

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::facts::Links;
use tortie_api::model::HostEndpoint;
use tortie_calc::{EndpointReport, EndpointState, HostPolicy, NotEnforced, Reason, Report};

use super::{class_name, key_of};
use crate::status::{EndpointStatus, PolicyStatus};

/// Every local endpoint. `resources` are the local host endpoints in force.
pub(crate) fn endpoints<'a>(
    report: &Report,
    policy: &HostPolicy,
    links: &Links,
    resources: impl Iterator<Item = &'a HostEndpoint>,
) -> Vec<EndpointStatus> {
    let resources: BTreeMap<&str, &HostEndpoint> = resources.map(|hep| (hep.meta.name.as_str(), hep)).collect();
    let mut shadows: BTreeMap<&str, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for (name, endpoint) in &report.endpoints {
        for (interface, winner) in &endpoint.shadowed_by {
            shadows.entry(winner).or_default().entry(interface.clone()).or_default().push(name.clone());
        }
        if let EndpointState::InactiveWildcard { winner } = &endpoint.state {
            shadows.entry(winner).or_default().entry("*".to_owned()).or_default().push(name.clone());
        }
    }
    let to_status = |(name, endpoint): (&String, &EndpointReport)| {
        let (state, reason) = state(&endpoint.state, links);
        EndpointStatus {
            name: name.clone(),
            state: state.to_owned(),
            reason,
            interfaces: governed(endpoint).cloned().unwrap_or_default(),
            shadowed_by: endpoint.shadowed_by.clone(),
            shadows: shadows.get(name.as_str()).cloned().unwrap_or_default(),
            policies: policies(endpoint),
            profiles: profiles(endpoint),
            notes: notes(name, endpoint, &report.not_enforced, policy, links, resources.get(name.as_str()).copied()),
            invalid_drops: None,
        }
    };
    report.endpoints.iter().map(to_status).collect()
}

/// `up`, `down` or `error` of every local endpoint, as other programs read it (E-740, E-741).
pub(crate) fn states<'a>(
    states: impl Iterator<Item = (&'a String, &'a EndpointState)>,
    links: &Links,
) -> BTreeMap<String, &'static str> {
    states.map(|(name, of)| (name.clone(), state(of, links).0)).collect()
}

fn governed(endpoint: &EndpointReport) -> Option<&BTreeSet<String>> {
    match &endpoint.state {
        EndpointState::Governs { interfaces } => Some(interfaces),
        _ => None,
    }
}

fn state(state: &EndpointState, links: &Links) -> (&'static str, Option<String>) {
    match state {
        EndpointState::Governs { interfaces } => {
            let is_running = |name: &&String| links.get(*name).is_some_and(|link| link.is_running);
            match interfaces.iter().find(|name| !is_running(name)) {
                None => ("up", None),
                Some(name) => ("down", Some(format!("`{name}` is not running; its rules are in place"))),
            }
        }
        // Whatever its interfaces do (E-740).
        EndpointState::Wildcard => ("up", None),
        EndpointState::InactiveWildcard { winner } => ("error", Some(format!("`{winner}` is the active wildcard"))),
        EndpointState::Unresolved => ("error", Some("its interface does not exist; the rules wait for it".to_owned())),
        EndpointState::Shadowed { by } => {
            let list: Vec<String> = by.iter().map(|(interface, by)| format!("`{by}` on {interface}")).collect();
            ("error", Some(format!("shadowed by {}", list.join(", "))))
        }
        EndpointState::WorkloadInterface { interface } => {
            ("error", Some(format!("`{interface}` is an interface of a workload (E-116)")))
        }
        EndpointState::Excluded { interface } => ("error", Some(format!("`{interface}` is excluded by the settings"))),
    }
}

fn policies(endpoint: &EndpointReport) -> Vec<PolicyStatus> {
    let to_status = |policy: &tortie_calc::PolicyReport| PolicyStatus {
        policy: key_of(&policy.id).to_string(),
        tier: policy.id.tier.clone(),
        class: class_name(policy.class).to_owned(),
        direction: policy.direction.to_string(),
        position: policy.position,
        order: policy.order,
        is_staged: policy.is_staged,
    };
    endpoint.policies.iter().map(to_status).collect()
}

fn profiles(endpoint: &EndpointReport) -> Vec<String> {
    let missing = |exists: bool| if exists { "" } else { " (missing: denies everything)" };
    endpoint.profiles.iter().map(|(name, exists)| format!("{name}{}", missing(*exists))).collect()
}

fn notes(
    name: &str,
    endpoint: &EndpointReport,
    not_enforced: &[NotEnforced],
    policy: &HostPolicy,
    links: &Links,
    resource: Option<&HostEndpoint>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let interfaces = governed(endpoint);
    for name in interfaces.into_iter().flatten() {
        if links.get(name).is_some_and(|link| link.controller.is_some()) {
            notes.push(format!("`{name}` is a port of another interface: no packet is seen there (E-119)"));
        }
    }
    let has_pre_dnat = |name: &str| policy.endpoints.get(name).is_some_and(|endpoint| endpoint.pre_dnat.has_enforced());
    if let (Some(wildcard), true) = (&policy.dispatch.wildcard, interfaces.is_some())
        && has_pre_dnat(wildcard)
        && !has_pre_dnat(name)
    {
        notes.push(format!("preDNAT policies of wildcard `{wildcard}` apply on its interfaces (E-111)"));
    }
    for entry in not_enforced {
        if entry.endpoint.as_deref() == Some(name) && entry.reason == Reason::UntrackedOnWildcard {
            notes.push(format!("{} selects it without effect: no doNotTrack on a wildcard (E-415)", entry.key));
        }
    }
    if !endpoint.shadowed_by.is_empty() && interfaces.is_some() {
        let list: Vec<String> = endpoint.shadowed_by.iter().map(|(i, by)| format!("`{by}` on {i}")).collect();
        notes.push(format!("shadowed by {}", list.join(", ")));
    }
    if resource.is_some_and(|hep| hep.expected_ips.is_empty()) {
        notes.push("no expectedIPs: selectors and named ports of policies do not find this host (E-341)".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_api::facts::Link;
    use tortie_api::model::{Attachment, Meta, PolicyClass};
    use tortie_api::{Kind, ResourceKey};
    use tortie_calc::PolicyReport;
    use tortie_calc::policy::{ClassPolicy, Direction, EndpointPolicy, PolicyId, PolicyRules, TierEnd, TierPolicies};

    use super::*;
    use crate::view::bare;

    fn links() -> Links {
        let link = |name: &str, is_running: bool, controller: Option<u32>| {
            let link = Link { index: 1, name: name.to_owned(), is_running, controller, addresses: Default::default() };
            (name.to_owned(), link)
        };
        [link("eth0", true, None), link("eth1", false, None), link("port0", true, Some(9))].into()
    }

    fn endpoint(state: EndpointState) -> EndpointReport {
        EndpointReport { state, shadowed_by: BTreeMap::new(), policies: Vec::new(), profiles: Vec::new() }
    }

    fn governs(interfaces: &[&str]) -> EndpointState {
        EndpointState::Governs { interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect() }
    }

    fn views(endpoints: Vec<(&str, EndpointReport)>) -> Vec<EndpointStatus> {
        let report = Report {
            endpoints: endpoints.into_iter().map(|(name, endpoint)| (name.to_owned(), endpoint)).collect(),
            ..Report::default()
        };
        super::endpoints(&report, &HostPolicy::default(), &links(), std::iter::empty())
    }

    #[test]
    fn states_are_those_of_calico_e740() {
        let check = |state: EndpointState, expected: &str, reason: &str| {
            let view = views(vec![("a", endpoint(state.clone()))]).remove(0);
            assert_eq!(view.state, expected, "{state:?}");
            assert!(view.reason.unwrap_or_default().contains(reason), "{state:?}");
            let report = Report { endpoints: [("a".to_owned(), endpoint(state))].into(), ..Report::default() };
            let of = report.endpoints.iter().map(|(name, endpoint)| (name, &endpoint.state));
            assert_eq!(states(of, &links())["a"], expected);
        };
        check(governs(&["eth0"]), "up", "");
        check(governs(&["eth0", "eth1"]), "down", "`eth1` is not running");
        check(EndpointState::Wildcard, "up", "");
        check(EndpointState::InactiveWildcard { winner: "b".to_owned() }, "error", "`b` is the active wildcard");
        check(EndpointState::Unresolved, "error", "does not exist");
        let by = [("eth0".to_owned(), "b".to_owned())].into();
        check(EndpointState::Shadowed { by }, "error", "shadowed by `b` on eth0");
        check(EndpointState::WorkloadInterface { interface: "cali1".to_owned() }, "error", "interface of a workload");
        check(EndpointState::Excluded { interface: "kube-ipvs0".to_owned() }, "error", "excluded");
    }

    #[test]
    fn a_conflict_stands_on_both_sides_t4() {
        let by = BTreeMap::from([("eth0".to_owned(), "a".to_owned())]);
        let shadowed = EndpointReport { shadowed_by: by.clone(), ..endpoint(governs(&["eth1"])) };
        let list = views(vec![
            ("a", endpoint(governs(&["eth0"]))),
            ("b", shadowed),
            ("w", endpoint(EndpointState::Wildcard)),
            ("x", endpoint(EndpointState::InactiveWildcard { winner: "w".to_owned() })),
        ]);
        assert_eq!(list[0].shadows, BTreeMap::from([("eth0".to_owned(), vec!["b".to_owned()])]));
        assert_eq!(list[1].shadowed_by, by);
        assert!(list[1].notes.contains(&"shadowed by `a` on eth0".to_owned()), "{:?}", list[1].notes);
        assert_eq!(list[2].shadows, BTreeMap::from([("*".to_owned(), vec!["x".to_owned()])]));
    }

    #[test]
    fn what_may_surprise_is_noted_t2_e119_e415() {
        let view = views(vec![("a", endpoint(governs(&["port0"])))]).remove(0);
        assert!(view.notes[0].contains("`port0` is a port of another interface"), "{:?}", view.notes);

        let key = ResourceKey::global(Kind::GlobalNetworkPolicy, "fast");
        let not = NotEnforced { key, endpoint: Some("w".to_owned()), reason: Reason::UntrackedOnWildcard };
        let report =
            Report { endpoints: [("w".to_owned(), endpoint(EndpointState::Wildcard))].into(), not_enforced: vec![not] };
        let hep = HostEndpoint {
            meta: Meta { name: "w".to_owned(), ..Meta::default() },
            node: "n".to_owned(),
            attachment: Attachment::AllInterfaces,
            expected_ips: Vec::new(),
            profiles: Vec::new(),
            ports: Vec::new(),
        };
        let view = super::endpoints(&report, &HostPolicy::default(), &links(), [&hep].into_iter()).remove(0);
        assert!(view.notes[0].contains("GlobalNetworkPolicy(fast) selects it without effect"), "{:?}", view.notes);
        assert!(view.notes[1].contains("no expectedIPs"), "{:?}", view.notes);
    }

    #[test]
    fn pre_dnat_policies_of_the_wildcard_are_noted_on_a_named_endpoint_e111() {
        let class = |name: &str| {
            let id = PolicyId {
                kind: Kind::GlobalNetworkPolicy,
                namespace: None,
                name: name.to_owned(),
                tier: "t".to_owned(),
            };
            let policies = vec![Arc::new(PolicyRules { id, is_staged: false, rules: Vec::new() })];
            ClassPolicy { tiers: vec![TierPolicies { name: "t".to_owned(), end: TierEnd::Pass, policies }] }
        };
        let policy = |name: &str, pre_dnat: ClassPolicy| {
            let policy = EndpointPolicy { pre_dnat, ..bare(name) };
            (name.to_owned(), Arc::new(policy))
        };
        let mut host = HostPolicy {
            endpoints: [policy("a", ClassPolicy::default()), policy("b", class("p")), policy("w", class("p"))].into(),
            ..HostPolicy::default()
        };
        host.dispatch.wildcard = Some("w".to_owned());
        let report = Report {
            endpoints: [("a", governs(&["eth0"])), ("b", governs(&["eth0"])), ("w", EndpointState::Wildcard)]
                .map(|(name, state)| (name.to_owned(), endpoint(state)))
                .into(),
            ..Report::default()
        };
        let views = super::endpoints(&report, &host, &links(), std::iter::empty());
        let noted: Vec<bool> = views.iter().map(|view| view.notes.iter().any(|note| note.contains("E-111"))).collect();
        assert_eq!(noted, [true, false, false], "{views:?}");
    }

    #[test]
    fn policies_stand_in_evaluated_order_with_their_numbers_t20() {
        let id = PolicyId {
            kind: Kind::StagedGlobalNetworkPolicy,
            namespace: None,
            name: "p".to_owned(),
            tier: "t".to_owned(),
        };
        let policy = PolicyReport {
            id,
            class: PolicyClass::NormalAndForward,
            direction: Direction::Egress,
            position: 3,
            order: Some(-1.5),
            is_staged: true,
        };
        let report = EndpointReport {
            policies: vec![policy],
            profiles: vec![("gone".to_owned(), false)],
            ..endpoint(EndpointState::Wildcard)
        };
        let view = views(vec![("a", report)]).remove(0);
        let expected = PolicyStatus {
            policy: "StagedGlobalNetworkPolicy(p)".to_owned(),
            tier: "t".to_owned(),
            class: "forward".to_owned(),
            direction: "egress".to_owned(),
            position: 3,
            order: Some(-1.5),
            is_staged: true,
        };
        assert_eq!(view.policies, [expected]);
        assert_eq!(view.profiles, ["gone (missing: denies everything)"]);
    }
}
