//! The harness itself, and everything that it ever found. `cargo xtask verdicts` draws new worlds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use tortie_api::model::{Attachment, HostEndpoint, Meta, Resource};
use tortie_api::packet::Route;
use tortie_reference::By;
use tortie_testkit::generators::{NODE, Random, aimed, crowded};
use tortie_testkit::sandbox::in_network_namespace;
use tortie_verdicts::lab::{Place, Road, lab_world, probe};
use tortie_verdicts::order::walk;
use tortie_verdicts::search::{part, replay_in_kernel};
use tortie_verdicts::{Case, OF_A_PACKET, roads, shrink};

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let case =
            Case::from_text(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, case)
    };
    let mut cases: Vec<_> = files.map(|path| read(&path)).collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    cases
}

#[test]
fn reference_and_ruleset_agree_on_every_case() {
    let cases = cases();
    assert!(cases.len() >= 84, "cases are never removed: {}", cases.len());
    for (name, case) in cases {
        assert_eq!(part(&case.world, &case.packet), None, "{name}");
    }
}

#[test]
fn the_kernel_agrees_on_every_case_that_it_can_be_sent() {
    in_network_namespace(|| {
        let mut road = Road::build();
        let cases: Vec<_> =
            cases().into_iter().filter_map(|(name, case)| Some((name, case.world, case.probe?))).collect();
        assert!(cases.len() >= 18, "cases are never removed: {}", cases.len());
        for (name, world, probe) in cases {
            replay_in_kernel(&mut road, &world, &probe).unwrap_or_else(|text| panic!("{name}: {text}"));
        }
    });
}

#[test]
fn a_case_is_read_as_it_was_written() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (world, packet) = match seed % 2 {
            0 => (crowded(seed), aimed(&crowded(seed), &mut random)),
            _ => (lab_world(seed), probe(&lab_world(seed), &mut random).packet),
        };
        let probe = (seed % 2 == 1).then(|| probe(&world, &mut random));
        let case = Case { title: format!("world {seed}\nsecond line"), world, packet, probe };
        let text = case.to_text();
        let read = Case::from_text(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!(read.title, case.title);
        assert_eq!(read.world, case.world, "seed {seed}");
        assert_eq!(read.packet, case.packet, "seed {seed}");
        let without_number = |probe: &tortie_verdicts::lab::Probe| {
            let mut probe = probe.clone();
            probe.shape.number = 0;
            probe
        };
        assert_eq!(read.probe.as_ref().map(without_number), case.probe.as_ref().map(without_number), "seed {seed}");
    }
    for bad in ["", "a: [", "settings: {}", "settings: 1\n---\nkind: Tier"] {
        assert!(Case::from_text(bad).is_err(), "{bad}");
    }
}

/// What is left of a world says why the packet is dropped, and nothing else.
#[test]
fn a_world_is_made_as_small_as_it_can_be() {
    let is_by_rule = |world: &_, packet: &_| {
        matches!(roads::judge(world, packet).reason.map(|reason| reason.by), Some(By::Policy { .. }))
    };
    let mut random = Random::new(3);
    let mut found = 0;
    for seed in 0.. {
        let world = crowded(seed);
        let packet = aimed(&world, &mut random);
        if !is_by_rule(&world, &packet) {
            continue;
        }
        let (small, packet) = shrink(world, packet, OF_A_PACKET, is_by_rule);
        assert!(is_by_rule(&small, &packet), "seed {seed}: it still shows it");
        // The endpoint and the policy; and where the packet is known by a set, what is in it.
        assert!(small.resources.len() <= 3, "seed {seed}: {:#?}", small.resources);
        let rules: usize = small
            .resources
            .iter()
            .map(|resource| match resource {
                Resource::Policy(policy) => policy.ingress.len() + policy.egress.len(),
                _ => 0,
            })
            .sum();
        // One rule decides; what is forwarded may have to pass another one before.
        let rules_max = if matches!(packet.route, Route::Forwarded { .. }) { 2 } else { 1 };
        assert!((1..=rules_max).contains(&rules), "seed {seed}: {:#?}", small.resources);
        found += 1;
        if found == 10 {
            break;
        }
    }
}

#[test]
fn any_path_of_updates_ends_in_the_policy_of_its_end() {
    for seed in 100..104 {
        let walked = walk(seed, 1_000, false).unwrap_or_else(|text| panic!("{text}"));
        assert!(walked.looks > 100 && walked.restarts > 2, "{walked:?}");
    }
}

#[test]
fn any_path_of_updates_leads_the_kernel_to_the_ruleset_of_its_end() {
    in_network_namespace(|| {
        let walked = walk(200, 600, true).unwrap_or_else(|text| panic!("{text}"));
        assert!(walked.transactions > 100 && walked.reads > 20 && walked.restarts > 2, "{walked:?}");
    });
}

/// Forwarded packets are not for S8 to judge, whatever bits others set in their mark where S1 has no chain to clear them.
#[test]
fn foreign_bits_of_the_mark_make_no_forwarded_packet_a_local_one_e407() {
    in_network_namespace(|| {
        let mut road = Road::build();
        let mut world = lab_world(1);
        let meta = Meta { name: "h".to_owned(), ..Meta::default() };
        let attachment = Attachment::Named("eth0".to_owned());
        let (node, expected_ips, profiles, ports) = (NODE.to_owned(), vec![], vec![], vec![]);
        let hep = HostEndpoint { meta, node, attachment, expected_ips, profiles, ports };
        world.resources = vec![Resource::HostEndpoint(hep)];
        (world.drops_unknown_workloads, world.filter_allow_returns) = (false, false);
        for is_marked in [false, true] {
            road.enter(world.clone(), is_marked);
            let mut random = Random::new(1);
            let mut translated = 0;
            while translated < 20 {
                let probe = probe(&world, &mut random);
                let (legs, place) = probe.legs(&world);
                if matches!(legs[0].route, Route::Forwarded { .. }) && legs[0].dnat.is_some() {
                    translated += u32::from(place == Place::Left("eth0"));
                    assert_eq!(road.send(&probe, false).disagreement, None);
                }
            }
        }
    });
}
