//! What the kernel counted, told by the origin of each rule.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::Action;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{Direction, PolicyId, PolicyRules};
use tortie_nftables::Counter;
use tortie_rules::Ruleset;
use tortie_rules::compile::flatten::note;
use tortie_rules::compile::names::endpoint_chain;
use tortie_rules::compile::stage::Stage;
use tortie_rules::ruleset::{Name, Origin};

use super::key_of;
use crate::status::{CounterStatus, StagedStatus, StagedVerdict, Traffic};

/// What every rule counted, for `GET /v1/counters`: by chain or map, and by comment.
///
/// An element of a map counts for the rule that decides and, as `programmed` says, for those that sent the packet on to it
/// (C-7): each has what it would have counted in a list of its own.
pub(crate) fn counter_list(counters: &[Counter], programmed: Option<&Ruleset>) -> Vec<CounterStatus> {
    let mut by_rule: BTreeMap<(&Name, Cow<'_, str>), Traffic> = BTreeMap::new();
    for counter in counters {
        add(by_rule.entry((&counter.place, Cow::from(&counter.comment))).or_default(), counter);
        for origin in sent_on(counter, programmed) {
            add(by_rule.entry((&counter.place, Cow::from(origin.comment()))).or_default(), counter);
        }
    }
    let to_status = |((chain, comment), traffic): ((&Name, Cow<'_, str>), Traffic)| CounterStatus {
        chain: chain.to_string(),
        comment: comment.into_owned(),
        traffic,
    };
    by_rule.into_iter().map(to_status).collect()
}

/// The rules that sent on what an element counted.
fn sent_on<'a>(counter: &Counter, programmed: Option<&'a Ruleset>) -> &'a [Origin] {
    let set = |ruleset: &'a Ruleset| ruleset.sets.get(counter.place.logical());
    let origins = programmed.and_then(set).zip(counter.element.as_ref());
    let origins = origins.and_then(|(set, element)| set.origins.get(element));
    origins.and_then(|origins| origins.split_first()).map_or(&[], |(_, others)| others)
}

/// Packets dropped for their connection state (E-421), by endpoint (T-13).
pub(crate) fn invalid_drops(policy: &HostPolicy, counters: &[Counter]) -> BTreeMap<String, Traffic> {
    let comment = Origin::ConnState.comment();
    let mut by_chain: BTreeMap<&str, Traffic> = BTreeMap::new();
    for counter in counters.iter().filter(|counter| counter.comment == comment) {
        if let Some((_, rest)) = counter.place.logical().split_once('/') {
            add(by_chain.entry(rest).or_default(), counter);
        }
    }
    let drops_of = |name: &String| {
        // The chains of all stages name the endpoint alike, after the first `/`.
        let chain = endpoint_chain(Stage::LocalIn, None, name, 0);
        let rest = chain.as_str().split_once('/').map_or("", |(_, rest)| rest);
        (name.clone(), by_chain.get(rest).copied().unwrap_or_default())
    };
    policy.endpoints.keys().map(drops_of).collect()
}

/// What the staged policies in force would have done (D-6), in order of their names.
pub(crate) fn staged(policy: &HostPolicy, counters: &[Counter]) -> Vec<StagedStatus> {
    let mut by_comment: BTreeMap<&str, Traffic> = BTreeMap::new();
    for counter in counters {
        add(by_comment.entry(&counter.comment).or_default(), counter);
    }
    let mut policies: BTreeMap<(&PolicyId, Direction), &Arc<PolicyRules>> = BTreeMap::new();
    for endpoint in policy.endpoints.values() {
        for (_, direction, class) in endpoint.classes() {
            for rules in class.tiers.iter().flat_map(|tier| &tier.policies).filter(|rules| rules.is_staged) {
                policies.insert((&rules.id, direction), rules);
            }
        }
    }
    let to_status = |((id, direction), rules): ((&PolicyId, Direction), &Arc<PolicyRules>)| {
        let mut verdicts: Vec<StagedVerdict> = rules
            .rules
            .iter()
            .enumerate()
            .map(|(rule, resolved)| StagedVerdict {
                rule: Some(rule),
                verdict: action_name(resolved.action).to_owned(),
                traffic: rule_traffic(id, direction, rule, &note(resolved), &by_comment),
            })
            .collect();
        let end = Origin::StagedNoMatch { id: Arc::new(id.clone()), direction };
        verdicts.push(StagedVerdict {
            rule: None,
            verdict: "no match".to_owned(),
            traffic: by_comment.get(end.comment().as_str()).copied().unwrap_or_default(),
        });
        StagedStatus {
            policy: key_of(id).to_string(),
            tier: id.tier.clone(),
            direction: direction.to_string(),
            verdicts,
        }
    };
    policies.into_iter().map(to_status).collect()
}

/// All kernel rules that one rule became: its parts have numbers without gaps.
fn rule_traffic(
    id: &PolicyId,
    direction: Direction,
    rule: usize,
    note: &Arc<str>,
    by_comment: &BTreeMap<&str, Traffic>,
) -> Traffic {
    let id = Arc::new(id.clone());
    let mut sum = Traffic::default();
    for part in 0.. {
        let origin = Origin::Policy { id: id.clone(), direction, rule, part, is_staged: true, note: note.clone() };
        let Some(traffic) = by_comment.get(origin.comment().as_str()) else { break };
        sum.packets += traffic.packets;
        sum.bytes += traffic.bytes;
    }
    sum
}

fn add(traffic: &mut Traffic, counter: &Counter) {
    traffic.packets += counter.packets;
    traffic.bytes += counter.bytes;
}

fn action_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "Allow",
        Action::Deny => "Deny",
        Action::Log => "Log",
        Action::Pass => "Pass",
    }
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;
    use tortie_calc::policy::{ClassPolicy, EndpointPolicy, ResolvedRule, TierEnd, TierPolicies};

    use tortie_rules::ruleset::{Element, Set};

    use super::*;
    use crate::view::bare;

    fn counter(chain: &str, comment: &str, packets: u64) -> Counter {
        Counter { place: Name::new(chain), element: None, comment: comment.to_owned(), packets, bytes: packets * 100 }
    }

    fn host(endpoint: &str, policy: &str) -> HostPolicy {
        let rule = |action| Arc::new(ResolvedRule::any(action));
        let id = |kind| PolicyId { kind, namespace: None, name: policy.to_owned(), tier: "t".to_owned() };
        let rules = |kind, is_staged| {
            Arc::new(PolicyRules { id: id(kind), is_staged, rules: vec![rule(Action::Allow), rule(Action::Deny)] })
        };
        let policies = vec![rules(Kind::GlobalNetworkPolicy, false), rules(Kind::StagedGlobalNetworkPolicy, true)];
        let ingress = ClassPolicy { tiers: vec![TierPolicies { name: "t".to_owned(), end: TierEnd::Deny, policies }] };
        let policy = EndpointPolicy { normal_ingress: ingress.clone(), forward_ingress: ingress, ..bare(endpoint) };
        HostPolicy { endpoints: [(endpoint.to_owned(), Arc::new(policy))].into(), ..HostPolicy::default() }
    }

    #[test]
    fn an_element_counts_for_all_rules_it_stands_for_c7() {
        let element = |port| Element::exact(vec![17, port]);
        let origin = |text: &str| Origin::Comment(text.into());
        let origins = [
            (element(1), Arc::from([origin("decides"), origin("passes")])),
            (element(2), Arc::from([origin("decides")])),
        ];
        let map = Set { origins: origins.into(), ..Set::default() };
        let programmed = Ruleset { sets: [(Name::new("in4/a"), Arc::new(map))].into(), ..Ruleset::default() };
        let of = |port, packets| Counter { element: Some(element(port)), ..counter("in4/a..3", "decides", packets) };
        let counters = [of(1, 1), of(2, 2), counter("in4/a..3", "passes", 4), counter("in4/b..1", "decides", 8)];
        let found = |programmed| -> Vec<(String, String, u64)> {
            let list = counter_list(&counters, programmed);
            list.into_iter().map(|c| (c.chain, c.comment, c.traffic.packets)).collect()
        };
        let row = |chain: &str, comment: &str, packets| (chain.to_owned(), comment.to_owned(), packets);
        let other = row("in4/b..1", "decides", 8);
        assert_eq!(
            found(Some(&programmed)),
            [row("in4/a..3", "decides", 3), row("in4/a..3", "passes", 5), other.clone()]
        );
        assert_eq!(found(None), [row("in4/a..3", "decides", 3), row("in4/a..3", "passes", 4), other]);
    }

    #[test]
    fn staged_verdicts_are_summed_over_stages_families_and_parts_d6() {
        let counters = [
            counter("in4/a..1", "policy StagedGlobalNetworkPolicy p ingress[0]", 1),
            counter("in6/a..1", "policy StagedGlobalNetworkPolicy p ingress[0]", 2),
            counter("fwd4/a..3", "policy StagedGlobalNetworkPolicy p ingress[0]/1", 4),
            counter("in4/a..1", "policy StagedGlobalNetworkPolicy p ingress: no match", 8),
            // Of others.
            counter("in4/a..1", "policy GlobalNetworkPolicy p ingress[0]", 16),
            counter("in4/a..1", "policy StagedGlobalNetworkPolicy p ingress[10]", 32),
        ];
        let list = staged(&host("a", "p"), &counters);
        assert_eq!(list.len(), 1, "once, though two classes hold it: {list:?}");
        assert_eq!((list[0].policy.as_str(), list[0].direction.as_str()), ("StagedGlobalNetworkPolicy(p)", "ingress"));
        let found: Vec<_> =
            list[0].verdicts.iter().map(|v| (v.rule, v.verdict.as_str(), v.traffic.packets, v.traffic.bytes)).collect();
        assert_eq!(
            found,
            [(Some(0), "Allow", 7, 700), (Some(1), "Deny", 0, 0), (None, "no match", 8, 800)],
            "{list:?}"
        );
    }

    #[test]
    fn long_names_are_found_by_their_shortened_comments() {
        let name = "n".repeat(200);
        let policy = host("a", &name);
        let id = PolicyId {
            kind: Kind::StagedGlobalNetworkPolicy,
            namespace: None,
            name: name.clone(),
            tier: "t".to_owned(),
        };
        let origin = Origin::Policy {
            id: id.into(),
            direction: Direction::Ingress,
            rule: 1,
            part: 0,
            is_staged: true,
            note: "".into(),
        };
        let list = staged(&policy, &[counter("in4/a..1", &origin.comment(), 3)]);
        assert_eq!(list[0].verdicts[1].traffic.packets, 3);
    }

    #[test]
    fn invalid_packets_are_counted_for_each_endpoint_t13() {
        let long = "x".repeat(120);
        let mut policy = host("a", "p");
        policy.endpoints.extend(host(&long, "p").endpoints);
        policy.endpoints.extend(host("b", "p").endpoints);
        let chain = format!("{}..7", endpoint_chain(Stage::ForwardOut, None, &long, 0));
        let counters = [
            counter("in/a..1", "connection state", 1),
            counter("out/a..2", "connection state", 2),
            counter("in/a..1", "failsafe ingress", 4),
            counter(&chain, "connection state", 8),
        ];
        let drops = invalid_drops(&policy, &counters);
        let packets: Vec<u64> = ["a", "b", &long].iter().map(|name| drops[*name].packets).collect();
        assert_eq!(packets, [3, 0, 8]);
    }
}
