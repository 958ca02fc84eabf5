//! Which sources of untracked policy may be dropped early: one rule of the table after the other (E-481, E-483).
#![allow(clippy::unwrap_used, reason = "a test that cannot make its policy has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::Kind;
use tortie_api::model::{Action, Family, PortRange, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, EndpointPolicy, NeverMatches, Peer, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd,
    TierPolicies,
};
use tortie_calc::settings::Failsafe;
use tortie_xdp::{FAILSAFES_MAX, Guard, NoGuard, guards};

/// A rule: action, and sources; `@` before a name is a set, `!` before either takes it out.
fn rule(action: Action, sources: &[&str]) -> ResolvedRule {
    let mut peer = Peer::default();
    for source in sources {
        match source.strip_prefix('!').map_or((false, *source), |rest| (true, rest)) {
            (false, text) if text.starts_with('@') => peer.set = Some(set(text)),
            (true, text) if text.starts_with('@') => peer.not_set = Some(set(text)),
            (false, text) => peer.nets.push(text.parse().unwrap()),
            (true, text) => peer.not_nets.push(text.parse().unwrap()),
        }
    }
    ResolvedRule { source: peer, ..ResolvedRule::any(action) }
}

fn set(text: &str) -> SetId {
    SetId::Selector(Arc::from(&text[1..]))
}

fn allow(sources: &[&str]) -> ResolvedRule {
    rule(Action::Allow, sources)
}

fn deny(sources: &[&str]) -> ResolvedRule {
    rule(Action::Deny, sources)
}

fn policy(is_staged: bool, rules: Vec<ResolvedRule>) -> Arc<PolicyRules> {
    let id =
        PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: None, name: "p".to_owned(), tier: "default".to_owned() };
    Arc::new(PolicyRules { id, is_staged, rules: rules.into_iter().map(Arc::new).collect() })
}

/// Tiers of one policy each, on an endpoint of `eth0`.
fn host(tiers: Vec<Vec<ResolvedRule>>) -> HostPolicy {
    host_of(tiers.into_iter().map(|rules| vec![policy(false, rules)]).collect())
}

fn host_of(tiers: Vec<Vec<Arc<PolicyRules>>>) -> HostPolicy {
    let tier = |policies| TierPolicies { name: "default".to_owned(), end: TierEnd::Pass, policies };
    let untracked_ingress = ClassPolicy { tiers: tiers.into_iter().map(tier).collect() };
    let endpoint = EndpointPolicy { name: "h".to_owned(), untracked_ingress, ..EndpointPolicy::default() };
    let members = |nets: &[&str]| Arc::new(SetMembers::Nets(nets.iter().map(|net| net.parse().unwrap()).collect()));
    let mut policy = HostPolicy {
        endpoints: BTreeMap::from([("h".to_owned(), Arc::new(endpoint))]),
        sets: BTreeMap::from([
            (set("@bad"), members(&["10.0.0.1/32", "10.1.0.0/16", "2001:db8::1/128"])),
            (set("@good"), members(&["10.0.0.1/32", "10.1.128.0/17"])),
            (set("@empty"), members(&[])),
        ]),
        ..HostPolicy::default()
    };
    policy.dispatch.interfaces.insert("eth0".to_owned(), "h".to_owned());
    policy
}

fn of(policy: &HostPolicy) -> Result<Guard, NoGuard> {
    guards(policy).remove("eth0").unwrap()
}

/// What is blocked, IPv4 first.
fn blocked(policy: &HostPolicy) -> Vec<String> {
    let blocked = of(policy).unwrap().blocked;
    let v4 = blocked.v4.iter().map(ToString::to_string);
    v4.chain(blocked.v6.iter().map(ToString::to_string)).collect()
}

const BAD: [&str; 3] = ["10.0.0.1/32", "10.1.0.0/16", "2001:db8::1/128"];

#[test]
fn a_deny_that_asks_for_nothing_but_its_source_blocks_it_wherever_it_stands_e481() {
    for (what, tiers, expected) in [
        ("the first rule", vec![vec![deny(&["@bad"])]], &BAD[..]),
        ("a list of networks", vec![vec![deny(&["192.0.2.7/24"])]], &["192.0.2.0/24"]),
        ("all but some", vec![vec![deny(&["@bad", "!10.1.0.0/17"])]], &["10.0.0.1/32", "10.1.128.0/17"]),
        ("all but a set", vec![vec![deny(&["@bad", "!@good"])]], &["10.1.0.0/17", "2001:db8::1/128"]),
        ("everything", vec![vec![deny(&[])]], &["0.0.0.0/0", "::/0"]),
        (
            "behind another one",
            vec![vec![deny(&["192.0.2.1/32"]), deny(&["@bad"])]],
            &["10.0.0.1/32", "10.1.0.0/16", "192.0.2.1/32", "2001:db8::1/128"],
        ),
        ("in a later tier", vec![vec![], vec![deny(&["192.0.2.1/32"])]], &["192.0.2.1/32"]),
        ("an empty set", vec![vec![deny(&["@empty"])]], &[]),
    ] {
        assert_eq!(blocked(&host(tiers)), expected, "{what}");
    }
}

#[test]
fn what_an_earlier_rule_may_accept_is_not_blocked_e483() {
    let tcp = |rule: ResolvedRule| ResolvedRule { protocol: Some(Protocol::TCP), ..rule };
    for (what, tiers, expected) in [
        (
            "an allow of some of it",
            vec![vec![allow(&["@good"]), deny(&["@bad"])]],
            &["10.1.0.0/17", "2001:db8::1/128"][..],
        ),
        (
            "of some of it, if it is TCP",
            vec![vec![tcp(allow(&["10.1.0.0/16"])), deny(&["@bad"])]],
            &["10.0.0.1/32", "2001:db8::1/128"],
        ),
        (
            "in an earlier tier",
            vec![vec![allow(&["@good"])], vec![deny(&["@bad"])]],
            &["10.1.0.0/17", "2001:db8::1/128"],
        ),
        ("behind it", vec![vec![deny(&["@bad"]), allow(&[])]], &BAD),
        (
            "a pass in its tier",
            vec![vec![rule(Action::Pass, &["@good"]), deny(&["@bad"])]],
            &["10.1.0.0/17", "2001:db8::1/128"],
        ),
        ("a pass in an earlier tier", vec![vec![rule(Action::Pass, &[])], vec![deny(&["@bad"])]], &BAD),
        (
            "a log, whose lines are written",
            vec![vec![rule(Action::Log, &["10.0.0.0/8"]), deny(&["@bad"])]],
            &["2001:db8::1/128"],
        ),
        ("a deny of something else", vec![vec![tcp(deny(&[])), deny(&["@bad"])]], &BAD),
    ] {
        assert_eq!(blocked(&host(tiers)), expected, "{what}");
    }
}

#[test]
fn without_such_a_rule_there_is_no_list_e481() {
    let with = |change: fn(&mut ResolvedRule)| {
        let mut rule = deny(&["@bad"]);
        change(&mut rule);
        vec![vec![rule]]
    };
    for (what, tiers) in [
        ("no rule", vec![vec![]]),
        ("an allow of all before it", vec![vec![allow(&[]), deny(&["@bad"])]]),
        ("a protocol", with(|rule| rule.protocol = Some(Protocol::UDP))),
        ("not a protocol", with(|rule| rule.not_protocol = Some(Protocol::UDP))),
        ("a destination", with(|rule| rule.destination.nets.push("192.0.2.0/24".parse().unwrap()))),
        ("a port", with(|rule| rule.source.ports.push(PortRange::new(1, 2).unwrap()))),
        ("networks of a set", vec![vec![deny(&["@bad", "10.0.0.0/8"])]]),
        ("one that never matches", with(|rule| rule.never = Some(NeverMatches::Http))),
    ] {
        assert_eq!(of(&host(tiers)), Err(NoGuard::NothingToBlock), "{what}");
    }
    let staged = |is_staged| host_of(vec![vec![policy(is_staged, vec![]), policy(false, vec![deny(&["@bad"])])]]);
    assert_eq!(blocked(&staged(false)), BAD);
    assert_eq!(of(&staged(true)), Err(NoGuard::NothingToBlock), "a staged policy counts all packets (D-6)");
}

#[test]
fn families_that_are_not_policed_or_not_meant_are_not_blocked_e483() {
    let mut only_v6 = deny(&["@bad"]);
    only_v6.ip_version = Some(Family::V6);
    assert_eq!(blocked(&host(vec![vec![only_v6]])), ["2001:db8::1/128"]);
    let mut policy = host(vec![vec![deny(&["@bad"])]]);
    Arc::make_mut(&mut policy.settings).polices_ipv6 = false;
    assert_eq!(blocked(&policy), ["10.0.0.1/32", "10.1.0.0/16"]);
}

#[test]
fn wildcards_and_lists_that_are_too_long_have_none_e415_e622() {
    let mut policy = host(vec![vec![deny(&["@bad"])]]);
    policy.dispatch.wildcard = Some("h".to_owned());
    assert!(guards(&policy).is_empty());
    let mut policy = host(vec![vec![deny(&["@bad"])]]);
    Arc::make_mut(&mut policy.settings).set_size_max = 1;
    assert_eq!(of(&policy), Err(NoGuard::TooManyAddresses { len: 2, max: 1 }));
    let mut policy = host(vec![vec![deny(&["@bad"])]]);
    let many = vec![Failsafe::any(Protocol::TCP, 1); FAILSAFES_MAX];
    Arc::make_mut(&mut policy.settings).failsafe_inbound = many;
    let len = FAILSAFES_MAX + policy.settings.failsafe_outbound.len();
    assert_eq!(of(&policy), Err(NoGuard::TooManyFailsafes { len }));
}

#[test]
fn failsafes_of_both_directions_go_with_it_e482_e505() {
    let policy = host(vec![vec![deny(&["@bad"])]]);
    let failsafes = of(&policy).unwrap().failsafes;
    assert_eq!(failsafes.inbound, policy.settings.failsafe_inbound);
    assert_eq!(failsafes.outbound, policy.settings.failsafe_outbound);
}
