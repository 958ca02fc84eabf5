//! Rules that ask for both ends' addresses, or for the host's own alone (C-9, C-10).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use tortie_calc::HostPolicy;
use tortie_calc::policy::SetMembers;
use tortie_rules::plan::{Phase, Plan, plan};
use tortie_rules::ruleset::{Chain, End, Name};
use tortie_rules::{Ruleset, compile};

mod shapes;

use shapes::{Ends, both, weight};

/// A list in words, and the ends of its rules by their number.
type Shape = (&'static str, fn(usize) -> Ends);

const SHAPES: [Shape; 6] = [
    ("from a set to a set", |number| (Some(number), Some(number))),
    ("to one set", |number| (Some(number), Some(0))),
    ("from one set", |number| (Some(0), Some(number))),
    ("from everywhere", |number| (None, Some(number))),
    ("from sets and everywhere", |number| ((number % 2 == 0).then_some(number), Some(number))),
    ("between few sets", |number| (Some(number % 20), Some(number * 7 % 20))),
];

/// The chains of the endpoint's policy for IPv4.
fn chains(ruleset: &Ruleset) -> Vec<&Chain> {
    let of_policy = |name: &&Name| name.as_str().starts_with("in4/");
    ruleset.chains.iter().filter(|(name, _)| of_policy(name)).map(|(_, chain)| chain.as_ref()).collect()
}

fn rules(ruleset: &Ruleset) -> usize {
    chains(ruleset).iter().map(|chain| chain.rules.len()).sum()
}

fn elements(ruleset: &Ruleset) -> usize {
    ruleset.sets.values().map(|set| set.elements.len()).sum()
}

/// What a kernel holds after a plan for `desired`.
fn programmed(desired: &Ruleset) -> Ruleset {
    let mut kernel = Ruleset::default();
    plan(desired, None).unwrap().transactions.iter().for_each(|transaction| kernel.record(transaction));
    kernel
}

/// What leads from one state to the other, and how many rules and elements it carries.
fn change(before: &HostPolicy, after: &HostPolicy) -> (Plan, usize) {
    let plan = plan(&compile(after), Some(&programmed(&compile(before)))).unwrap();
    let carried = plan.transactions.iter().flat_map(|transaction| &transaction.ops).map(weight).sum();
    (plan, carried)
}

fn phases(plan: &Plan) -> BTreeSet<Phase> {
    plan.transactions.iter().map(|transaction| transaction.phase).collect()
}

#[test]
fn rules_and_elements_do_not_multiply_c10() {
    for (what, ends) in SHAPES {
        let [few, many] = [100, 1000].map(|size| compile(&both(size, ends, false)));
        assert_eq!(rules(&few), rules(&many), "{what}: each packet asks the same");
        assert!(rules(&many) <= 12, "{what}: {} rules", rules(&many));
        assert!(elements(&many) <= 10_000, "{what}: {} elements", elements(&many));
    }
}

#[test]
fn a_rule_that_changes_touches_what_it_says_c10() {
    for (what, ends) in SHAPES.into_iter().take(2) {
        let (plan, carried) = change(&both(1000, ends, false), &both(1000, ends, true));
        assert!(!phases(&plan).contains(&Phase::Turn), "{what}: {:?}", phases(&plan));
        assert!((1..=20).contains(&carried), "{what}: {carried}");
    }
}

#[test]
fn a_rule_that_comes_adds_what_it_says_c10() {
    for (what, ends) in SHAPES.into_iter().take(2) {
        let (plan, carried) = change(&both(1000, ends, false), &both(1001, ends, false));
        assert!(!phases(&plan).contains(&Phase::Turn), "{what}: {:?}", phases(&plan));
        assert!((1..=30).contains(&carried), "{what}: {carried}");
    }
}

#[test]
fn a_member_that_joins_a_set_at_either_end_is_few_elements_c9() {
    let before = both(1000, |number| (Some(number), Some(number)), false);
    for set in [7, 100_007] {
        let mut after = before.clone();
        let id = after.sets.keys().find(|id| format!("{id:?}").contains(&format!("'{set}'"))).unwrap().clone();
        let Some(SetMembers::Nets(nets)) = after.sets.get(&id).map(Arc::as_ref) else { panic!("no networks") };
        let joined = nets.iter().copied().chain(["10.250.0.1/32".parse().unwrap()]).collect();
        after.sets.insert(id, Arc::new(SetMembers::Nets(joined)));
        let (plan, carried) = change(&before, &after);
        assert!(!phases(&plan).contains(&Phase::Turn), "{set}: {:?}", phases(&plan));
        assert!((1..=6).contains(&carried), "{set}: {carried}");
    }
}

/// A rule about one end alone.
fn one_end(number: usize, is_source: bool) -> Ends {
    if is_source { (Some(number), None) } else { (None, Some(number)) }
}

/// Rules about one end in front of those about the other are a table each where the pairs would be too many, and where
/// they alternate they stay a list.
#[test]
fn pairs_that_would_be_too_many_are_none_c10() {
    let has_pair = |ruleset: &Ruleset| {
        chains(ruleset)
            .iter()
            .flat_map(|chain| &chain.rules)
            .any(|rule| matches!(rule.end, End::Class { other: Some(_), .. }))
    };
    let few = compile(&both(40, |number| (Some(number), Some(number)), false));
    assert!(has_pair(&few));
    let apart = compile(&both(1600, |number| one_end(number, number < 800), false));
    assert!(!has_pair(&apart) && rules(&apart) <= 12, "{}", rules(&apart));
    let in_turn = compile(&both(1600, |number| one_end(number, number % 2 == 0), false));
    assert!(!has_pair(&in_turn) && rules(&in_turn) >= 1600, "{}", rules(&in_turn));
}
