//! What is stored and does not act as its author may think.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_api::facts::Links;
use tortie_api::model::Family;
use tortie_calc::policy::{Direction, HostPolicy, ResolvedRule, SetId};
use tortie_calc::{Reason, Report};
use tortie_nftables::MarkWriter;

use super::key_of;
use crate::status::{InterfaceStatus, NotEnforcedStatus};

/// What has no effect, with the reason (T-12, E-111, E-358, E-415).
pub(crate) fn not_enforced(report: &Report) -> Vec<NotEnforcedStatus> {
    report
        .not_enforced
        .iter()
        .map(|entry| NotEnforcedStatus {
            object: entry.key.to_string(),
            endpoint: entry.endpoint.clone(),
            reason: reason_text(&entry.reason),
        })
        .collect()
}

fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::UntrackedOnWildcard => "untracked policy never applies to a wildcard endpoint (E-415)".to_owned(),
        Reason::Http { direction, rule } => {
            format!("{direction} rule {rule} has `http`, which a host cannot check: it matches nothing (E-358)")
        }
        Reason::Services { direction, rule } => {
            format!("{direction} rule {rule} has `services`, and there is no Kubernetes data: it matches nothing")
        }
        Reason::UnknownReversePath { value } => {
            format!(
                "annotation `tortie.dev/reversePath: {value}` is neither Strict nor Loose: nothing is checked (E-466)"
            )
        }
        Reason::ReversePathOnWildcard => {
            "a reverse-path check belongs to one interface, never to a wildcard endpoint (E-466)".to_owned()
        }
        Reason::MissingProfile { profile } => {
            format!("profile `{profile}` does not exist: at its place everything is denied (E-230)")
        }
        Reason::MissingTier { tier } => {
            format!("tier `{tier}` does not exist: the policy comes after all others, default Deny (E-218)")
        }
    }
}

/// Rules that are absent in one family only because their `notNets` name no network of it (E-316, T-18).
pub(crate) fn one_family(policy: &HostPolicy) -> Vec<NotEnforcedStatus> {
    let families: &[Family] = if policy.settings.polices_ipv6 { &Family::BOTH } else { &[Family::V4] };
    let mut found = BTreeSet::new();
    for endpoint in policy.endpoints.values() {
        for (_, direction, class) in endpoint.classes() {
            for rules in class.tiers.iter().flat_map(|tier| &tier.policies) {
                for (position, rule) in rules.rules.iter().enumerate() {
                    for family in families.iter().filter(|family| is_lost_by_not_nets(rule, **family)) {
                        found.insert((key_of(&rules.id), direction, position, *family));
                    }
                }
            }
        }
    }
    let to_status = |(key, direction, position, family): (tortie_api::ResourceKey, Direction, usize, Family)| {
        let family = family_name(family);
        let reason =
            format!("{direction} rule {position} matches no {family} packet: its `notNets` name none of it (E-316)");
        NotEnforcedStatus { object: key.to_string(), endpoint: None, reason }
    };
    found.into_iter().map(to_status).collect()
}

fn is_lost_by_not_nets(rule: &ResolvedRule, family: Family) -> bool {
    if rule.exists_in(family) {
        return false;
    }
    let mut without = rule.clone();
    without.source.not_nets.clear();
    without.destination.not_nets.clear();
    without.exists_in(family)
}

/// Governed interfaces whose global IPv6 addresses nobody polices, because `ipv6Support` is false (E-618).
pub(crate) fn unpoliced_ipv6(policy: &HostPolicy, links: &Links, interfaces: &[InterfaceStatus]) -> Option<String> {
    if policy.settings.polices_ipv6 {
        return None;
    }
    let is_open = |interface: &&InterfaceStatus| {
        let addresses = links.get(&interface.name).map(|link| &link.addresses);
        interface.endpoint.is_some() && addresses.into_iter().flatten().any(is_global_v6)
    };
    let open: Vec<&str> = interfaces.iter().filter(is_open).map(|interface| interface.name.as_str()).collect();
    (!open.is_empty()).then(|| {
        format!(
            "IPv6 is not policed (`ipv6Support: false`), and {} can be reached by IPv6: it is open",
            open.join(", ")
        )
    })
}

/// Rules of others that write bits of the mark which are ours (T-26). They matter only where something is enforced.
pub(crate) fn mark_collisions(policy: &HostPolicy, writers: &[MarkWriter]) -> Vec<String> {
    let mask = policy.settings.mark_mask;
    let is_collision = |writer: &&MarkWriter| !policy.endpoints.is_empty() && writer.bits & mask != 0;
    let to_text = |writer: &MarkWriter| {
        format!(
            "rules of {} table {} chain {} write mark bits {:#x}, which are ours: give one of the two other bits \
             (`nftablesMarkMask`)",
            writer.family,
            writer.table,
            writer.chain,
            writer.bits & mask
        )
    };
    writers.iter().filter(is_collision).map(to_text).collect()
}

/// Sets with more members than `maxIpsetSize` allows (E-351).
pub(crate) fn too_large(sets: &[(SetId, Family, usize)], max: usize) -> Vec<String> {
    let to_text = |(id, family, len): &(SetId, Family, usize)| {
        let what = match id {
            SetId::Selector(selector) => format!("selector `{selector}`"),
            SetId::NamedPort { name, .. } => format!("named port `{name}`"),
        };
        let family = family_name(*family);
        format!(
            "{what} has {len} {family} members, and `maxIpsetSize` is {max}: rules that name it fail closed (E-351)"
        )
    };
    sets.iter().map(to_text).collect()
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// `2000::/3` and the unique local `fc00::/7`: what other hosts can reach.
fn is_global_v6(address: &IpAddr) -> bool {
    let IpAddr::V6(address) = address else { return false };
    let first = address.segments()[0];
    first & 0xe000 == 0x2000 || first & 0xfe00 == 0xfc00
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tortie_api::Kind;
    use tortie_api::facts::Link;
    use tortie_api::model::Action;
    use tortie_calc::Settings;
    use tortie_calc::policy::{ClassPolicy, EndpointPolicy, Peer, PolicyId, PolicyRules, TierEnd, TierPolicies};

    use super::*;
    use crate::view::bare;

    fn rule(source: Peer, ip_version: Option<Family>) -> ResolvedRule {
        ResolvedRule { ip_version, source, ..ResolvedRule::any(Action::Deny) }
    }

    fn host(rules: Vec<ResolvedRule>) -> HostPolicy {
        let id = PolicyId {
            kind: Kind::GlobalNetworkPolicy,
            namespace: None,
            name: "p".to_owned(),
            tier: "default".to_owned(),
        };
        let rules = PolicyRules { id, is_staged: false, rules: rules.into_iter().map(Arc::new).collect() };
        let tier = TierPolicies { name: "default".to_owned(), end: TierEnd::Deny, policies: vec![Arc::new(rules)] };
        let endpoint = EndpointPolicy { pre_dnat: ClassPolicy { tiers: vec![tier] }, ..bare("a") };
        HostPolicy { endpoints: [("a".to_owned(), Arc::new(endpoint))].into(), ..HostPolicy::default() }
    }

    #[test]
    fn a_rule_that_not_nets_take_out_of_a_family_is_shown_t18_e316() {
        let not = |texts: &[&str]| Peer {
            not_nets: texts.iter().map(|text| text.parse().unwrap()).collect(),
            ..Peer::default()
        };
        let check = |rule: ResolvedRule, expected: &[&str]| {
            let found: Vec<String> = one_family(&host(vec![rule])).into_iter().map(|entry| entry.reason).collect();
            assert_eq!(found.len(), expected.len(), "{found:?}");
            assert!(found.iter().zip(expected).all(|(text, part)| text.contains(part)), "{found:?}");
        };
        check(rule(Peer::default(), None), &[]);
        check(rule(not(&["10.0.0.0/8"]), None), &["ingress rule 0 matches no IPv6 packet"]);
        check(rule(not(&["fd00::/8"]), None), &["matches no IPv4 packet"]);
        check(rule(not(&["10.0.0.0/8", "fd00::/8"]), None), &[]);
        check(rule(not(&["10.0.0.0/8"]), Some(Family::V4)), &[]);
        // Only meant for one family by its `nets`.
        check(rule(Peer { nets: vec!["10.0.0.0/8".parse().unwrap()], ..not(&["10.1.0.0/16"]) }, None), &[]);
        let mut v4_only = host(vec![rule(not(&["10.0.0.0/8"]), None)]);
        v4_only.settings = Arc::new(Settings { polices_ipv6: false, ..Settings::default() });
        assert_eq!(one_family(&v4_only), []);
    }

    #[test]
    fn others_that_write_our_mark_bits_are_named_t26() {
        let writer = |bits| MarkWriter { family: "ip", table: "kube".to_owned(), chain: "mark".to_owned(), bits };
        let policy = host(Vec::new());
        assert_eq!(mark_collisions(&policy, &[writer(0x4000)]), Vec::<String>::new(), "not ours");
        assert_eq!(mark_collisions(&HostPolicy::default(), &[writer(u32::MAX)]), Vec::<String>::new(), "no endpoint");
        let found = mark_collisions(&policy, &[writer(0x1_4000)]);
        assert!(found.len() == 1 && found[0].contains("ip table kube chain mark write mark bits 0x10000"), "{found:?}");
    }

    #[test]
    fn sets_that_are_too_large_are_named_e351() {
        let port = SetId::NamedPort { name: "http".into(), protocol: None, selector: None };
        let sets = [(SetId::Selector("has(a)".into()), Family::V4, 7), (port, Family::V6, 6)];
        assert_eq!(
            too_large(&sets, 5),
            [
                "selector `has(a)` has 7 IPv4 members, and `maxIpsetSize` is 5: rules that name it fail closed (E-351)",
                "named port `http` has 6 IPv6 members, and `maxIpsetSize` is 5: rules that name it fail closed (E-351)",
            ]
        );
    }

    #[test]
    fn open_ipv6_is_said_loudly_e618() {
        let links = |address: &str| -> Links {
            let addresses = [address.parse().unwrap()].into();
            let link = Link { index: 1, name: "eth0".to_owned(), is_running: true, controller: None, addresses };
            [("eth0".to_owned(), link)].into()
        };
        let interface = |endpoint: Option<&str>| InterfaceStatus {
            name: "eth0".to_owned(),
            endpoint: endpoint.map(str::to_owned),
            ..InterfaceStatus::default()
        };
        let policy = |polices_ipv6| HostPolicy {
            settings: Arc::new(Settings { polices_ipv6, ..Settings::default() }),
            ..HostPolicy::default()
        };
        let check = |polices, address: &str, endpoint: Option<&str>, expected: bool| {
            let found = unpoliced_ipv6(&policy(polices), &links(address), &[interface(endpoint)]);
            assert_eq!(found.is_some(), expected, "{polices} {address} {endpoint:?}");
        };
        check(false, "2001:db8::1", Some("a"), true);
        check(false, "fd00::1", Some("a"), true);
        check(false, "fe80::1", Some("a"), false);
        check(false, "192.0.2.1", Some("a"), false);
        check(false, "2001:db8::1", None, false);
        check(true, "2001:db8::1", Some("a"), false);
    }
}
