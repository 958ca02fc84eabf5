//! What is left unread changes nothing (datastore.md section 4): over random worlds, and one case for each reason.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;

use tortie_api::Kind;
use tortie_api::model::{
    Action, Attachment, Entity, HostEndpoint, Meta, Policy, PolicyKind, Port, Resource, Rule, ServiceAccounts,
};
use tortie_calc::{Engine, LAZY, Settings};
use tortie_rules::compile;
use tortie_selector::Selector;
use tortie_testkit::generators::{NODE, Random, World, world};
use tortie_verdicts::roads;

/// Worlds that are drawn.
const WORLDS: u64 = 2000;

/// The calculation of a world's host without the lazy kinds that are not `read`, and how many objects that leaves out.
fn reading(world: &World, read: &BTreeSet<Kind>) -> (Engine, usize) {
    let is_read = |resource: &&Resource| {
        let kind = resource.key().kind;
        !LAZY.contains(&kind) || read.contains(&kind)
    };
    let resources: Vec<Resource> = world.resources.iter().filter(is_read).cloned().collect();
    let left_out = world.resources.len() - resources.len();
    (roads::engine(world, &resources, false), left_out)
}

/// Worlds are drawn with more profiles and selectors than most hosts have; some of them lose a part.
fn thinned(seed: u64) -> World {
    let mut world = world(seed);
    let mut random = Random::new(seed ^ 0x1a2f);
    let (has_profiles, has_global_rules) = (random.one_in(3), random.one_in(2));
    world.drops_unknown_workloads &= random.one_in(2);
    for resource in &mut world.resources {
        match resource {
            Resource::HostEndpoint(hep) if !has_profiles && (hep.node == NODE || random.one_in(2)) => {
                hep.profiles.retain(|name| name == tortie_api::DEFAULT_ALLOW_PROFILE);
            }
            Resource::Policy(policy) if has_global_rules => {
                for rule in policy.ingress.iter_mut().chain(&mut policy.egress) {
                    let rule = Arc::make_mut(rule);
                    let entities = [&mut rule.source, &mut rule.destination];
                    entities.into_iter().for_each(|entity| keep_to_global(entity, &mut random));
                }
            }
            _ => {}
        }
    }
    world
}

fn keep_to_global(entity: &mut Entity, random: &mut Random) {
    if !random.one_in(20) {
        entity.ports.retain(|port| matches!(port, Port::Range(_)));
        entity.not_ports.retain(|port| matches!(port, Port::Range(_)));
    }
    if (entity.selector.is_some() || entity.not_selector.is_some()) && !random.one_in(20) {
        entity.namespace_selector = Selector::parse("global()").ok();
        entity.service_accounts = None;
    }
}

#[test]
fn without_what_it_does_not_need_a_host_has_the_same_rules() {
    let (mut thinner, mut partly, mut with_sets) = (0, 0, 0);
    for seed in 0..WORLDS {
        let world = thinned(seed);
        let (whole, _) = reading(&world, &LAZY.into());
        let (lean, left_out) = reading(&world, &whole.needs());
        assert_eq!(lean.needs(), whole.needs(), "seed {seed}: what is read does not change what is needed");
        assert_eq!(compile(lean.policy()), compile(whole.policy()), "seed {seed}");
        assert_eq!(lean.policy().sets, whole.policy().sets, "seed {seed}");
        assert_eq!(lean.policy().endpoints, whole.policy().endpoints, "seed {seed}");
        assert_eq!(lean.policy().dispatch, whole.policy().dispatch, "seed {seed}");
        assert_eq!(lean.report(), whole.report(), "seed {seed}");
        assert_eq!(lean.sets_too_large(), whole.sets_too_large(), "seed {seed}");
        thinner += usize::from(left_out > 0);
        partly += usize::from(left_out > 0 && !whole.needs().is_empty());
        with_sets += usize::from(left_out > 0 && lean.policy().sets.values().any(|members| !members.is_empty()));
    }
    println!("{thinner} worlds with something left out, {partly} of them not all, {with_sets} with members of sets");
    assert!(thinner > 500 && partly > 50 && with_sets > 50, "{thinner} {partly} {with_sets}: the test says nothing");
}

#[test]
fn what_is_needed_is_known_after_the_first_reading() {
    let mut widened = 0;
    for seed in 0..WORLDS {
        let world = thinned(seed);
        let (first, _) = reading(&world, &BTreeSet::new());
        let (second, _) = reading(&world, &first.needs());
        assert_eq!(second.needs(), first.needs(), "seed {seed}: two rounds at most");
        let (whole, _) = reading(&world, &LAZY.into());
        assert_eq!(compile(second.policy()), compile(whole.policy()), "seed {seed}");
        widened += usize::from(!first.needs().is_empty());
    }
    assert!(widened > 500, "{widened}: the test says nothing");
}

/// A host endpoint with these profiles.
fn endpoint(name: &str, node: &str, profiles: &[&str]) -> Resource {
    Resource::HostEndpoint(HostEndpoint {
        meta: Meta { name: name.to_owned(), ..Meta::default() },
        node: node.to_owned(),
        attachment: Attachment::Named("eth0".to_owned()),
        expected_ips: Vec::new(),
        profiles: profiles.iter().map(|name| (*name).to_owned()).collect(),
        ports: Vec::new(),
    })
}

/// What a host needs with these objects and settings.
fn needs(resources: &[Resource], settings: Settings) -> Vec<&'static str> {
    let mut engine = Engine::new(Settings { node: NODE.to_owned(), ..settings });
    for resource in resources {
        engine.update(resource.key(), Some(Arc::new(resource.clone())));
    }
    engine.flush();
    engine.needs().into_iter().map(Kind::plural).collect()
}

/// What a host needs for a rule with this source.
fn for_source(source: Entity) -> Vec<&'static str> {
    let rule = Rule { source, ..Rule::any(Action::Allow) };
    let drawn = world(1).resources.into_iter().find_map(|resource| match resource {
        Resource::Policy(policy) if policy.kind == PolicyKind::Global => Some(policy),
        _ => None,
    });
    let policy = Policy {
        selector: Selector::all(),
        namespace_selector: None,
        service_account_selector: None,
        ingress: vec![Arc::new(rule)],
        egress: Vec::new(),
        governs_ingress: true,
        governs_egress: false,
        ..drawn.expect("the world has a policy")
    };
    let policies = [endpoint("h", NODE, &[]), Resource::Policy(policy.clone())];
    let elsewhere = [endpoint("h", "other", &[]), Resource::Policy(policy)];
    assert!(needs(&elsewhere, Settings::default()).is_empty(), "it selects no endpoint of this node");
    needs(&policies, Settings::default())
}

const ALL: [&str; 3] = ["profiles", "networksets", "workloadendpoints"];

#[test]
fn rules_need_what_their_selectors_and_ports_may_mean() {
    let parse = |text: &str| Selector::parse(text).ok();
    let named = || vec![Port::Named("http".to_owned())];
    let sorted = |mut needs: Vec<&'static str>| {
        needs.sort_unstable();
        needs
    };
    let check = |source: Entity, expected: &[&'static str]| {
        assert_eq!(sorted(for_source(source)), sorted(expected.to_vec()));
    };
    let none = Entity::default;
    check(none(), &[]);
    check(Entity { nets: vec!["10.0.0.0/8".parse().unwrap()], ..none() }, &[]);
    check(Entity { selector: parse("role == 'db'"), ..none() }, &ALL);
    check(Entity { not_selector: parse("role == 'db'"), ..none() }, &ALL);
    let global = Entity { namespace_selector: parse("global()"), ..none() };
    check(global.clone(), &[]);
    check(Entity { selector: parse("role == 'db'"), ..global.clone() }, &[]);
    check(Entity { selector: parse("role == 'db'"), not_selector: parse("a == 'b'"), ..global.clone() }, &[]);
    check(Entity { ports: named(), ..global }, &[]);
    check(Entity { selector: parse("!has(projectcalico.org/namespace)"), ..none() }, &[]);
    check(Entity { namespace_selector: parse("all()"), ..none() }, &ALL);
    check(Entity { namespace_selector: parse("team == 'a'"), ..none() }, &ALL);
    let accounts = ServiceAccounts { names: Vec::new(), selector: parse("x == 'y'") };
    check(Entity { service_accounts: Some(accounts), ..none() }, &ALL);
    check(Entity { ports: named(), ..none() }, &["workloadendpoints"]);
    check(Entity { not_ports: named(), ..none() }, &["workloadendpoints"]);
    // E-332: what the selectors take together is nothing, and the negated port asks the positive one alone.
    let role = Entity { selector: parse("role == 'db'"), not_selector: parse("all()"), ..none() };
    check(role.clone(), &[]);
    check(Entity { not_ports: named(), ..role }, &["profiles", "workloadendpoints"]);
    check(Entity { selector: parse("role == 'db'"), ports: named(), ..none() }, &ALL);
}

#[test]
fn endpoints_need_the_profiles_that_they_name_and_settings_the_workloads_of_the_node_e442() {
    let default = || Settings::default();
    assert!(needs(&[endpoint("h", NODE, &[tortie_api::DEFAULT_ALLOW_PROFILE])], default()).is_empty());
    assert_eq!(needs(&[endpoint("h", NODE, &["kns.shop"])], default()).len(), LAZY.len());
    assert!(needs(&[endpoint("h", "other", &["kns.shop"])], default()).is_empty(), "no rule reads its labels");
    let drops = Settings { drops_unknown_workloads: true, ..default() };
    assert_eq!(needs(&[], drops), ["workloadendpoints"]);
}
