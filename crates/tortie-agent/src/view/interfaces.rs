//! Which endpoint serves which class of policy on which interface (T-3, T-6).

use tortie_api::facts::Links;
use tortie_calc::policy::{Dispatch, EndpointPolicy, HostPolicy};
use tortie_calc::settings::Settings;

use crate::status::{ClassEndpoints, InterfaceStatus};

/// Every link. `enforced` is the dispatch that the kernel is known to hold, `None` before the first programming.
pub(crate) fn interfaces(policy: &HostPolicy, links: &Links, enforced: Option<&Dispatch>) -> Vec<InterfaceStatus> {
    let settings = &policy.settings;
    let to_status = |link: &tortie_api::facts::Link| {
        let classes = classes(policy, &link.name);
        let note = match &classes.normal {
            Some(_) => None,
            None if settings.is_workload_interface(&link.name) => Some("workload"),
            None if policy.dispatch.exempt.contains(&link.name) => Some("exempt"),
            None => None,
        };
        InterfaceStatus {
            name: link.name.clone(),
            is_running: link.is_running,
            addresses: link.addresses.iter().map(ToString::to_string).collect(),
            endpoint: classes.normal.clone(),
            protected: enforced.is_some_and(|dispatch| normal(dispatch, settings, &link.name).is_some()),
            classes,
            note: note.map(str::to_owned),
            early_drop: None,
        }
    };
    links.values().map(to_status).collect()
}

fn classes(policy: &HostPolicy, interface: &str) -> ClassEndpoints {
    let dispatch = &policy.dispatch;
    let is_untracked = |e: &EndpointPolicy| e.untracked_ingress.has_enforced() || e.untracked_egress.has_enforced();
    let has = |endpoint: &&String, class: fn(&EndpointPolicy) -> bool| {
        policy.endpoints.get(*endpoint).is_some_and(|policy| class(policy))
    };
    let named = dispatch.interfaces.get(interface);
    // Workload interfaces are in its scope for these two classes (E-112).
    let wildcard = dispatch.wildcard.as_ref().filter(|_| !dispatch.exempt.contains(interface));
    // A named endpoint without such policies leaves them to the wildcard (E-111).
    let pre_dnat = [named, wildcard].into_iter().flatten().find(|name| has(name, |e| e.pre_dnat.has_enforced()));
    ClassEndpoints {
        normal: normal(dispatch, &policy.settings, interface).cloned(),
        forward: named.or(wildcard).cloned(),
        pre_dnat: pre_dnat.cloned(),
        // Never a wildcard (E-415).
        untracked: named.filter(|name| has(name, is_untracked)).cloned(),
    }
}

/// The endpoint for local traffic (E-108, E-112, E-121).
fn normal<'a>(dispatch: &'a Dispatch, settings: &Settings, interface: &str) -> Option<&'a String> {
    let is_in_scope = !settings.is_workload_interface(interface) && !dispatch.exempt.contains(interface);
    dispatch.interfaces.get(interface).or(dispatch.wildcard.as_ref().filter(|_| is_in_scope))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_api::Kind;
    use tortie_api::facts::Link;
    use tortie_calc::policy::{ClassPolicy, PolicyId, PolicyRules, TierEnd, TierPolicies};

    use super::*;
    use crate::view::bare;

    fn links(names: &[&str]) -> Links {
        let link = |name: &&str| Link {
            index: 1,
            name: (*name).to_owned(),
            is_running: true,
            controller: None,
            addresses: Default::default(),
        };
        names.iter().map(|name| ((*name).to_owned(), link(name))).collect()
    }

    fn endpoint(name: &str, has_pre_dnat: bool, has_untracked: bool) -> (String, Arc<EndpointPolicy>) {
        // Staged policies alone serve nobody.
        let class = |has: bool| {
            let kind = if has { Kind::GlobalNetworkPolicy } else { Kind::StagedGlobalNetworkPolicy };
            let id = PolicyId { kind, namespace: None, name: "p".to_owned(), tier: "default".to_owned() };
            let policies = vec![Arc::new(PolicyRules { id, is_staged: !has, rules: Vec::new() })];
            ClassPolicy { tiers: vec![TierPolicies { name: "default".to_owned(), end: TierEnd::Pass, policies }] }
        };
        let policy =
            EndpointPolicy { pre_dnat: class(has_pre_dnat), untracked_egress: class(has_untracked), ..bare(name) };
        (name.to_owned(), Arc::new(policy))
    }

    /// `normal forward preDNAT untracked note protected` of one interface, `-` for none.
    fn row(policy: &HostPolicy, interface: &str, enforced: Option<&Dispatch>) -> String {
        let status = interfaces(policy, &links(&[interface]), enforced).remove(0);
        let text = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
        let classes = &status.classes;
        assert_eq!(status.endpoint, classes.normal);
        [&classes.normal, &classes.forward, &classes.pre_dnat, &classes.untracked, &status.note].map(text).join(" ")
            + if status.protected { " protected" } else { " open" }
    }

    #[test]
    fn each_class_has_its_own_endpoint_e108_e111_e112_e121_e415() {
        let mut policy = HostPolicy::default();
        policy.dispatch.interfaces = [("eth0".to_owned(), "a".to_owned()), ("eth1".to_owned(), "b".to_owned())].into();
        policy.dispatch.wildcard = Some("w".to_owned());
        policy.dispatch.exempt = ["lo".to_owned()].into();
        policy.endpoints =
            [endpoint("a", false, true), endpoint("b", true, false), endpoint("w", true, true)].into_iter().collect();
        let dispatch = policy.dispatch.clone();
        let check = |interface: &str, expected: &str| {
            assert_eq!(row(&policy, interface, Some(&dispatch)), expected, "{interface}");
        };
        check("eth0", "a a w a - protected");
        check("eth1", "b b b - - protected");
        check("eth2", "w w w - - protected");
        check("lo", "- - - - exempt open");
        check("cali1", "- w w - workload open");
    }

    #[test]
    fn an_interface_is_protected_by_what_the_kernel_holds_t3() {
        let mut policy = HostPolicy::default();
        assert_eq!(row(&policy, "eth0", Some(&Dispatch::default())), "- - - - - open", "no endpoint");
        policy.dispatch.interfaces = [("eth0".to_owned(), "a".to_owned())].into();
        policy.endpoints = [endpoint("a", false, false)].into_iter().collect();
        assert_eq!(row(&policy, "eth0", None), "a a - - - open", "nothing is programmed yet");
        assert_eq!(row(&policy, "eth0", Some(&Dispatch::default())), "a a - - - open", "programming failed");
        assert_eq!(row(&policy, "eth0", Some(&policy.dispatch)), "a a - - - protected");
    }
}
