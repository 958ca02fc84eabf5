//! Two roads to one verdict: the reference evaluator, and the interpreter of the compiled ruleset. Each ruleset is proved as
//! well, for every packet there is. `cargo xtask verdicts` draws as many worlds as there is time for.
//!
//! `TORTIE_PACKETS=N` judges N packets instead of the default.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_api::model::Protocol;
use tortie_api::packet::{ConnState, Route};
use tortie_calc::{Engine, Settings};
use tortie_reference::Stage;
use tortie_rules::interpret;
use tortie_rules::interpret::Decision;
use tortie_testkit::generators::{NODE, Random, World, packet, world};
use tortie_verdicts::roads::{self, agrees, judge};
use tortie_verdicts::search::{Search, without_kernel};

#[test]
fn reference_and_compiled_ruleset_agree_on_every_packet() {
    let packets = std::env::var("TORTIE_PACKETS").ok().and_then(|text| text.parse().ok()).unwrap_or(120_000);
    let (tally, found) = without_kernel(Search { seed: 1, first: 0, packets, only: None }, 2);
    let told: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(tally.packets >= packets, "{tally:?}");
    assert_eq!(tally.missing(), Vec::<String>::new(), "a generator that never comes to something proves nothing of it");
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
    let ruleset = roads::ruleset(&world, tortie_rules::Classes::default());
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

/// Established packets pass before dispatch, whatever their interface, where nothing of workloads is judged.
#[test]
fn established_packets_pass_the_input_chain_before_dispatch_e423() {
    let mut world = world(3);
    world.resources.clear();
    (world.filter_allow_returns, world.polices_ipv6) = (false, true);
    let mut sample = packet(&mut Random::new(7));
    sample.route = Route::Delivered { in_interface: "eth7".to_owned() };
    (sample.state, sample.dnat) = (ConnState::Established, None);
    for (judges_workloads, expected) in [(false, Decision::Accept), (true, Decision::Unowned)] {
        world.drops_unknown_workloads = judges_workloads;
        world.drops_unknown_beside_known_only = false;
        world.endpoint_to_host_action = None;
        let found = interpret(&roads::ruleset(&world, tortie_rules::Classes::default()), &sample).unwrap();
        assert_eq!(found.verdict, expected);
        assert!(roads::agrees(&roads::judge(&world, &sample), &found), "{found:?}");
    }
}
