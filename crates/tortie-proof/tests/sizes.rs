//! Hosts of any size, budgets that end, and mistakes that no packet can meet.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_api::model::{Action, PortRange, Protocol};
use tortie_calc::policy::{
    ClassPolicy, Dispatch, EndpointPolicy, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd,
    TierPolicies,
};
use tortie_calc::{HostPolicy, Settings};
use tortie_proof::{Budget, Decision, Disagreement, How, prove};
use tortie_rules::ruleset::{Chain, End, Field, Match, Name, Origin, Rule, Ruleset, Verdict};
use tortie_rules::{compile, interpret};

/// A host with one endpoint on `eth0`, whose ingress policy is one list.
fn host(rules: Vec<ResolvedRule>, sets: BTreeMap<SetId, Arc<SetMembers>>) -> HostPolicy {
    let id = PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: None, name: "p".into(), tier: "default".into() };
    let rules = PolicyRules { id, is_staged: false, rules: rules.into_iter().map(Arc::new).collect() };
    let tier = TierPolicies { name: "default".into(), end: TierEnd::Deny, policies: vec![Arc::new(rules)] };
    let endpoint = EndpointPolicy {
        name: "h".into(),
        normal_ingress: ClassPolicy { tiers: vec![tier] },
        ..EndpointPolicy::default()
    };
    HostPolicy {
        dispatch: Dispatch { interfaces: [("eth0".into(), "h".into())].into(), ..Dispatch::default() },
        endpoints: [("h".into(), Arc::new(endpoint))].into(),
        sets,
        workloads: BTreeSet::new(),
        settings: Arc::new(Settings::default()),
    }
}

fn to_port(action: Action, port: u16) -> ResolvedRule {
    let mut rule = ResolvedRule { protocol: Some(Protocol::TCP), ..ResolvedRule::any(action) };
    rule.destination.ports = vec![PortRange::single(port)];
    rule
}

/// 1,000 rules that ask ten sets of 10,000 members each, networks and ports.
fn huge() -> HostPolicy {
    let id = |number: usize| SetId::Selector(format!("s == '{number}'").into());
    let members = |number: usize| {
        let net = |member: usize| -> IpNet {
            // Every third one shared with the next set.
            let owner = if member.is_multiple_of(3) { (number + 1) % 10 } else { number };
            let bits = 0x0a00_0000 + (owner as u32) * 0x10_0000 + member as u32 * 7;
            IpNet::new(std::net::Ipv4Addr::from_bits(bits).into(), if member.is_multiple_of(5) { 31 } else { 32 })
                .unwrap()
                .trunc()
        };
        Arc::new(SetMembers::Nets((0..10_000).map(net).collect()))
    };
    let rule = |number: usize| {
        let action = if number.is_multiple_of(4) { Action::Deny } else { Action::Allow };
        let mut rule = to_port(action, (number * 13 % 60_000) as u16 + 1_000);
        match number % 3 {
            0 => rule.source.set = Some(id(number % 10)),
            1 => rule.source.not_set = Some(id(number % 10)),
            _ => rule.source.nets = vec![format!("10.{}.{}.0/24", number % 12, number % 251).parse().unwrap()],
        }
        rule
    };
    host((0..1_000).map(rule).collect(), (0..10).map(|number| (id(number), members(number))).collect())
}

fn change(ruleset: &Ruleset, chain: &str, change: impl FnOnce(&mut Chain)) -> Ruleset {
    let mut wrong = ruleset.clone();
    let (name, found) = ruleset.chains.get_key_value(chain).unwrap();
    let mut found = found.as_ref().clone();
    change(&mut found);
    wrong.chains.insert(name.clone(), Arc::new(found));
    wrong
}

#[test]
fn a_huge_world_is_proved_and_one_wrong_member_of_it_is_found() {
    let policy = huge();
    let right = compile(&policy);
    let elements: usize = right.sets.values().map(|set| set.elements.len()).sum();
    assert!(elements > 50_000, "{elements}");
    let proof = prove(&policy, &right, Budget::default()).unwrap();
    assert!(proof.is_complete(), "{proof:?}");
    assert!(proof.nodes() < 500_000, "{}", proof.nodes());

    let mut wrong = right.clone();
    let (name, set) = right.sets.iter().max_by_key(|(_, set)| set.elements.len()).unwrap();
    let mut set = set.as_ref().clone();
    let gone = set.elements.keys().nth(3_333).unwrap().clone();
    set.elements.remove(&gone);
    wrong.sets.insert(name.clone(), Arc::new(set));
    let Err(Disagreement::Differs(difference)) = prove(&policy, &wrong, Budget::default()) else {
        panic!("not found");
    };
    let packet = &difference.witness.packet;
    assert_ne!(interpret(&right, packet).unwrap(), interpret(&wrong, packet).unwrap(), "{difference:?}");
    assert_eq!(difference.chain, "input");
}

#[test]
fn what_is_over_the_budget_is_sampled_and_says_so() {
    let policy = huge();
    let right = compile(&policy);
    let budget = Budget { nodes: 2_000, packets: 100, seed: 7 };
    let proof = prove(&policy, &right, budget).unwrap();
    assert!(!proof.is_complete());
    for chain in &proof.chains {
        match (&chain.how, chain.chain) {
            (How::Sampled { why, packets: 100, seed: 7 }, "input") => {
                assert_eq!(why, "its diagrams are over the budget of 2000 nodes");
            }
            (How::Complete, chain) if chain != "input" => {}
            other => panic!("{other:?}"),
        }
        assert!(chain.nodes <= 2_000, "{chain:?}");
    }
    // A mistake that most packets meet is found all the same, always at the same one.
    let wrong = change(&right, "in4/h", |chain| chain.rules.clear());
    let first = prove(&policy, &wrong, budget).unwrap_err();
    assert!(matches!(&first, Disagreement::Differs(difference) if difference.chain == "input"), "{first}");
    assert_eq!(prove(&policy, &wrong, budget).unwrap_err(), first);
}

#[test]
fn a_mistake_that_no_packet_meets_is_none() {
    let policy = host(vec![to_port(Action::Allow, 80), to_port(Action::Deny, 443), to_port(Action::Log, 443)], {
        BTreeMap::new()
    });
    let right = compile(&policy);
    let drop = |what| Rule {
        matches: vec![],
        statements: vec![],
        end: End::Verdict(Verdict::Drop),
        origin: Origin::Frame(what),
    };
    let is_same = |wrong: &Ruleset, what: &str| {
        assert_ne!(*wrong, right, "{what}");
        let proof = prove(&policy, wrong, Budget::default()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(proof.is_complete(), "{what}");
    };
    is_same(&change(&right, "in4/h", |chain| chain.rules.swap(0, 1)), "rules for two ports in another order");
    is_same(&change(&right, "in4/h", drop_log), "a log behind a deny of the same is never written");
    is_same(&change(&right, "in4/h", |chain| chain.rules.push(drop("late"))), "a rule behind the end of the tier");
    let mut wrong = right.clone();
    wrong.chains.insert(Name::new("nobody"), Arc::new(Chain { base: None, rules: vec![drop("nobody")] }));
    is_same(&wrong, "a chain that nobody calls");

    // The same at another place is one.
    let wrong = change(&right, "in4/h", |chain| chain.rules.insert(0, drop("early")));
    let Err(Disagreement::Differs(found)) = prove(&policy, &wrong, Budget::default()) else { panic!("not found") };
    assert_eq!((found.expected.decision, found.found.decision), (Decision::Accept, Decision::Drop), "{found:?}");
    assert_eq!(found.found.reason.as_deref(), Some("early"));
    assert_eq!(found.expected.reason.as_deref(), Some("policy GlobalNetworkPolicy p ingress[0]"));
    assert_eq!(
        Disagreement::Differs(found).to_string(),
        "chain `input` (S3) does not do what policy says\n  \
         packet:  TCP 192.0.2.1:40000 -> 198.51.100.1:80, arriving on eth0 for this host, state New\n  \
         policy:  accept by `policy GlobalNetworkPolicy p ingress[0]`\n  ruleset: drop by `early`"
    );
}

fn drop_log(chain: &mut Chain) {
    let is_log = |rule: &Rule| rule.end == End::Next;
    assert!(chain.rules.iter().any(is_log), "{chain:?}");
    chain.rules.retain(|rule| !is_log(rule));
}

#[test]
fn a_ruleset_that_cannot_be_run_says_why() {
    let policy = host(vec![to_port(Action::Allow, 80)], BTreeMap::new());
    let right = compile(&policy);
    let broken = |wrong: &Ruleset, words: &str| {
        let error = prove(&policy, wrong, Budget::default()).unwrap_err();
        assert!(matches!(error, Disagreement::Broken { .. }) && error.to_string().contains(words), "{error}");
    };
    let mut wrong = right.clone();
    wrong.chains.remove("in4/h");
    broken(&wrong, "chain `in4/h` is called and does not exist");
    let mut wrong = right.clone();
    wrong.sets.remove("in-if");
    broken(&wrong, "set `in-if` is looked up and does not exist");
    let goto = |target: &str| Rule {
        matches: vec![],
        statements: vec![],
        end: End::Verdict(Verdict::Goto(Name::new(target))),
        origin: Origin::Frame("round"),
    };
    broken(&change(&right, "in4/h", |chain| chain.rules.insert(0, goto("in/h"))), "in a circle");
    let mut wrong = right.clone();
    let stranger = Chain { base: right.chains["input"].base, rules: vec![goto("in4/h")] };
    wrong.chains.insert(Name::new("input2"), Arc::new(stranger));
    broken(&wrong, "`input2`");
}

/// A rule for packets with some bits of the mark.
fn drop_marked(bits: u32) -> Rule {
    let bits = bits.to_be_bytes().to_vec();
    Rule {
        matches: vec![Match::Masked { field: Field::Mark, mask: bits, invert: true, value: vec![0; 4] }],
        statements: vec![],
        end: End::Verdict(Verdict::Drop),
        origin: Origin::Frame("marked"),
    }
}

/// The second bit of the default mask says that S8 is to judge; S1 clears it, and nothing before S3 sets it (E-404).
#[test]
fn a_difference_that_no_packet_comes_to_is_told_from_one_that_it_meets_e404() {
    let mut policy = host(vec![to_port(Action::Allow, 80)], BTreeMap::new());
    let with_mark = |policy: &HostPolicy| {
        change(&compile(policy), "input", |chain| chain.rules.insert(0, drop_marked(0x0002_0000)))
    };
    // Without S1 the bit may come from foreign hands.
    let error = prove(&policy, &with_mark(&policy), Budget::default()).unwrap_err();
    let Disagreement::Differs(difference) = &error else { panic!("{error}") };
    assert_eq!((difference.chain, difference.witness.mark), ("input", 0x0002_0000), "{error}");

    let mut endpoint = policy.endpoints["h"].as_ref().clone();
    endpoint.pre_dnat = endpoint.normal_ingress.clone();
    policy.endpoints.insert("h".into(), Arc::new(endpoint));
    let proof = prove(&policy, &with_mark(&policy), Budget::default()).unwrap_or_else(|error| panic!("{error}"));
    let reached: Vec<_> = proof.chains.iter().filter(|chain| chain.how == How::Reached).collect();
    assert!(proof.is_complete() && reached.len() == 1 && reached[0].chain == "input", "{proof:?}");

    // A budget that is enough for each chain, and not for the way: then nobody knows.
    let enough = proof.chains.iter().map(|chain| chain.nodes).max().unwrap();
    let found = (enough..10 * enough).find(|nodes| {
        let budget = Budget { nodes: *nodes, packets: 5, seed: 1 };
        prove(&policy, &with_mark(&policy), budget).unwrap().is_complete()
    });
    assert!(found.is_some(), "{enough} nodes are enough for each chain");
}

#[test]
fn a_mask_that_is_no_prefix_is_sampled_and_says_so() {
    let policy = host(vec![to_port(Action::Allow, 80)], BTreeMap::new());
    let odd = Rule {
        matches: vec![Match::Masked {
            field: Field::SourceV4,
            mask: vec![255, 0, 255, 0],
            invert: false,
            value: vec![10, 0, 7, 0],
        }],
        ..drop_marked(0)
    };
    let wrong = change(&compile(&policy), "in4/h", |chain| chain.rules.insert(0, odd));
    let proof = prove(&policy, &wrong, Budget { packets: 50, ..Budget::default() }).unwrap();
    let input = proof.chains.iter().find(|chain| chain.chain == "input").unwrap();
    let How::Sampled { why, .. } = &input.how else { panic!("{input:?}") };
    assert_eq!(why, "a mask of an address that is no prefix");
}
