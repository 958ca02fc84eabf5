//! Two roads to one verdict: the reference evaluator, and the interpreter of the compiled ruleset. Each ruleset is proved as well, for every packet there is.
//!
//! `TORTIE_WORLDS=N` draws N worlds instead of the default; `TORTIE_SEED=S` begins with another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::Protocol;
use tortie_api::packet::{ConnState, Route};
use tortie_calc::{Engine, Settings};
use tortie_proof::{Budget, prove};
use tortie_reference::{By, Judgement, Stage};
use tortie_rules::interpret::Decision;
use tortie_rules::{compile, interpret};
use tortie_testkit::generators::{NODE, Random, World, packet, world};

mod support;

use support::{agrees, judge};

const PACKETS_A_WORLD: usize = 60;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn kind_of_reason(judged: &Judgement) -> &'static str {
    match judged.reason.as_ref().map(|reason| &reason.by) {
        None => "un-owned",
        Some(By::ConnState) => "connection state",
        Some(By::Failsafe) => "failsafe",
        Some(By::Ipv6Essentials) => "ipv6 essentials",
        Some(By::Policy { .. }) => "policy",
        Some(By::TierEnd(_)) => "end of tier",
        Some(By::Profile { .. }) => "profile",
        Some(By::ProfileMissing(_)) => "missing profile",
        Some(By::NoMatch) => "no match",
        Some(By::NoForwardPolicy) => "no forward policy",
        Some(By::AcceptedEarlier) => "accepted earlier",
        Some(By::Workload) => "workload",
        Some(By::ReversePath) => "reverse path",
    }
}

#[test]
fn reference_and_compiled_ruleset_agree_on_every_packet() {
    let (first, count) = (number("TORTIE_SEED", 1), number("TORTIE_WORLDS", 4_000));
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    let mut stages: BTreeMap<Stage, u64> = BTreeMap::new();
    for seed in first..first + count {
        let world = world(seed);
        let engine = support::engine(&world, &world.resources, false);
        let other = support::engine(&world, &world.resources, true);
        assert_eq!(engine.policy(), other.policy(), "seed {seed}: the order of updates matters");
        let ruleset = compile(engine.policy());
        let proof = prove(engine.policy(), &ruleset, Budget::default());
        let proof = proof.unwrap_or_else(|error| panic!("seed {seed}: {error}\nworld {world:#?}"));
        assert!(proof.is_complete(), "seed {seed}: {proof:?}");
        let mut random = Random::new(seed ^ 0x5eed);
        for _ in 0..PACKETS_A_WORLD {
            let packet = packet(&mut random);
            let judged = judge(&world, &packet);
            let found = interpret(&ruleset, &packet).unwrap();
            *reasons.entry(kind_of_reason(&judged)).or_default() += 1;
            if let Some(reason) = &judged.reason {
                *stages.entry(reason.stage).or_default() += 1;
            }
            assert!(
                agrees(&judged, &found),
                "seed {seed}\npacket {packet:#?}\nreference {judged:#?}\nruleset {found:#?}\nworld {world:#?}"
            );
        }
    }
    println!("{} packets in {count} worlds: {reasons:?}", count * PACKETS_A_WORLD as u64);
    println!("{stages:?}");
    // A generator that never reaches a reason would prove nothing about it.
    if count >= 1_000 {
        for reason in [
            "un-owned",
            "connection state",
            "failsafe",
            "ipv6 essentials",
            "policy",
            "end of tier",
            "profile",
            "missing profile",
            "no match",
            "no forward policy",
            "accepted earlier",
            "workload",
            "reverse path",
        ] {
            assert!(
                reasons.get(reason).is_some_and(|count| *count > 50),
                "{reason} was hardly ever reached: {reasons:?}"
            );
        }
        for stage in [Stage::S1, Stage::S2, Stage::S3, Stage::S4, Stage::S5, Stage::S6, Stage::S7, Stage::S8] {
            assert!(stages.get(&stage).is_some_and(|count| *count > 50), "{stage:?} hardly ever decided: {stages:?}");
        }
    }
}

/// From one world to the next, and the next, one object or all at once, back and forth: the state alone counts.
#[test]
fn whatever_the_path_the_policy_is_that_of_the_present_state() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let states: Vec<World> = (0..4).map(|step| world(seed * 10 + step)).collect();
        let mut walker = Engine::new(Settings { node: NODE.to_owned(), ..Settings::default() });
        let mut present: BTreeMap<_, Arc<tortie_api::model::Resource>> = BTreeMap::new();
        for step in [0, 1, 2, 3, 2, 1, 0, 2, 0] {
            let state = &states[step];
            let wanted: BTreeMap<_, _> = state.resources.iter().map(|r| (r.key(), Arc::new(r.clone()))).collect();
            let mut changes: Vec<_> =
                wanted.iter().map(|(key, resource)| (key.clone(), Some(resource.clone()))).collect();
            changes.extend(present.keys().filter(|key| !wanted.contains_key(*key)).map(|key| (key.clone(), None)));
            for last in (1..changes.len()).rev() {
                changes.swap(last, random.below(last + 1));
            }
            let is_squashed = random.one_in(2);
            for (key, resource) in changes {
                walker.update(key, resource);
                if !is_squashed {
                    walker.flush();
                }
            }
            walker.set_links(state.links.clone());
            walker.flush();
            present = wanted;

            let mut fresh = Engine::new(Settings { node: NODE.to_owned(), ..Settings::default() });
            fresh.set_links(state.links.clone());
            for (key, resource) in &present {
                fresh.update(key.clone(), Some(resource.clone()));
            }
            fresh.flush();
            assert_eq!(walker.policy(), fresh.policy(), "seed {seed}, state {step}");
            assert_eq!(walker.report(), fresh.report(), "seed {seed}, state {step}");
            assert!(walker.flush().is_empty(), "nothing is left to do");
        }
    }
}

#[test]
fn an_endpoint_without_policy_denies_and_its_failsafes_stay_open_b1_b2() {
    let mut world = world(1);
    let hep = tortie_api::model::HostEndpoint {
        meta: tortie_api::model::Meta { name: "h".to_owned(), ..Default::default() },
        node: NODE.to_owned(),
        attachment: tortie_api::model::Attachment::Named("eth0".to_owned()),
        expected_ips: vec![],
        profiles: vec![],
        ports: vec![],
    };
    world.resources = vec![tortie_api::model::Resource::HostEndpoint(hep)];
    world.failsafes = [vec![(Protocol::TCP, 22, None)], vec![]];
    (world.filter_allow_returns, world.polices_ipv6, world.drops_invalid) = (false, true, true);
    let ruleset = compile(support::engine(&world, &world.resources, false).policy());
    let mut sample = packet(&mut Random::new(7));
    sample.source = "192.0.2.9".parse().unwrap();
    sample.destination = "192.0.2.1".parse().unwrap();
    sample.protocol = Protocol::TCP;
    sample.state = ConnState::New;
    for (is_inward, port, expected) in
        [(true, 8055, Decision::Drop), (true, 22, Decision::Accept), (false, 22, Decision::Drop)]
    {
        let interface = "eth0".to_owned();
        sample.route = if is_inward {
            Route::Delivered { in_interface: interface }
        } else {
            Route::Generated { out_interface: interface }
        };
        sample.destination_port = port;
        let found = interpret(&ruleset, &sample).unwrap();
        let judged = judge(&world, &sample);
        assert_eq!(found.verdict, expected, "port {port}");
        assert!(agrees(&judged, &found), "port {port}: {judged:?}");
        let stage = if is_inward { Stage::S3 } else { Stage::S7 };
        assert_eq!(judged.reason.map(|reason| reason.stage), Some(stage), "port {port}");
    }
}
