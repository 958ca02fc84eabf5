//! Early drops as a user meets them: the real binary, the real kernel, real packets (E-480..E-484).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::Value;
use tortie_netmon::{XdpMode, devices};
use tortie_testkit::peers::{BAD, OTHER, Peers, ip, try_ip, with_peers};
use tortie_xdp::{BPF_FS, Blocked, Driver, Failsafes, Filter, Shapes};

mod support;

use support::{Host, until};

/// An endpoint that accepts everything, unless a source is in the set `banned`.
const WORLD: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {role: web}}
spec: {node: n1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: open}
spec: {selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: banned}
spec:
  selector: role == 'web'
  doNotTrack: true
  applyOnForward: true
  types: [Ingress]
  ingress: [{action: Deny, source: {selector: list == 'banned'}}]
";

fn banned(nets: &[&str]) -> String {
    let nets: String = nets.iter().map(|net| format!("{net},")).collect();
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: banned, labels: {{list: banned}}}}\n\
         spec: {{nets: [{nets}]}}\n"
    )
}

fn felix(spec: &str) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {{name: default}}\nspec: {spec}\n")
}

fn change(host: &Host, input: &str) {
    host.apply(input);
    host.settle();
}

/// What the agent tells of `eth0`.
fn early(host: &Host) -> Value {
    let state = host.state();
    let interfaces = state["interfaces"].as_array().unwrap();
    interfaces.iter().find(|interface| interface["name"] == "eth0").unwrap()["early_drop"].clone()
}

fn dropped(host: &Host) -> u64 {
    early(host)["dropped_packets"].as_u64().unwrap()
}

fn programs() -> Vec<(XdpMode, u32)> {
    devices().unwrap().into_values().find(|device| device.name == "eth0").unwrap().programs
}

/// What comes in of what the policy speaks of, and of what it does not.
fn verdicts(peers: &Peers) -> Vec<bool> {
    let sources = [BAD, OTHER].into_iter().flat_map(|source| [53, 1000, 179].map(|port| (source, port)));
    sources.map(|(source, port)| peers.passes_from_port(source, port)).collect()
}

#[test]
fn the_agent_drops_early_what_untracked_policy_denies_and_follows_its_set_e481_e484() {
    with_peers(|peers| {
        let host = Host::new();
        let _agent = host.agent(&[]);
        change(&host, &[WORLD, "---\n", &banned(&[&format!("{BAD}/32"), "203.0.113.0/24", "2001:db8::/32"])].concat());
        let told = early(&host);
        assert_eq!(
            (told["mode"].as_str(), &told["entries"], &told["reason"]),
            (Some("driver"), &3.into(), &Value::Null)
        );
        assert!(!peers.passes(BAD) && peers.passes(OTHER));
        assert_eq!(dropped(&host), 1);
        let status = host.status();
        assert!(status.contains("EARLY DROPS") && status.contains("driver"), "{status}");
        // The failsafe port of answers from DNS servers (E-505).
        assert!(peers.passes_from_port(BAD, 53));

        let program = programs();
        change(&host, &banned(&[&format!("{OTHER}/32"), "203.0.113.0/24"]));
        assert!(peers.passes(BAD) && !peers.passes(OTHER));
        assert_eq!((programs(), dropped(&host)), (program, 2), "the program stays, and the counter goes on");

        // Without untracked policy there is no program (E-481), and nothing is told.
        let (code, _, err) = host.tortie(&["delete", "gnp", "banned"], "");
        assert_eq!(code, 0, "{err}");
        host.settle();
        assert_eq!((programs(), early(&host)), (vec![], Value::Null));
        assert!(peers.passes(OTHER));
    });
}

#[test]
fn a_packet_has_the_same_verdict_with_early_drops_and_without_e480() {
    with_peers(|peers| {
        let host = Host::new();
        let _agent = host.agent(&[]);
        let allow_first = "---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: let-in}
spec:
  order: 1
  selector: role == 'web'
  doNotTrack: true
  applyOnForward: true
  types: [Ingress]
  ingress: [{action: Allow, source: {nets: [192.0.2.67/32]}}]
";
        let sets =
            [banned(&[]), banned(&[&format!("{BAD}/32")]), banned(&["192.0.2.64/26"]), banned(&["192.0.2.66/31"])];
        let mut seen = Vec::new();
        change(&host, &[WORLD, "---\n", &sets[0]].concat());
        for with_allow in [false, true] {
            if with_allow {
                change(&host, allow_first);
            }
            for set in &sets {
                change(&host, set);
                change(&host, &felix("{xdpEnabled: true}"));
                let before = dropped_or_none(&host);
                let early = verdicts(peers);
                let is_early = dropped_or_none(&host) > before;
                change(&host, &felix("{xdpEnabled: false}"));
                assert_eq!(programs(), [], "E-484: removed where it is disabled");
                assert_eq!(early, verdicts(peers), "{set} with {with_allow}");
                assert_eq!(is_early, early.contains(&false), "what is dropped is dropped early");
                seen.push(early);
            }
        }
        assert!(seen.iter().any(|verdicts| verdicts.iter().all(|passes| *passes)));
        assert!(seen.iter().any(|verdicts| !verdicts[1] && !verdicts[4] && verdicts[0]), "both are denied: {seen:?}");
        assert!(seen.iter().any(|verdicts| !verdicts[1] && verdicts[4]), "one is let in: {seen:?}");
    });
}

fn dropped_or_none(host: &Host) -> u64 {
    early(host)["dropped_packets"].as_u64().unwrap_or_default()
}

#[test]
fn programs_outlive_the_agent_and_are_taken_over_repaired_and_cleaned_e723_e707() {
    with_peers(|peers| {
        let host = Host::new();
        let agent = host.agent(&[]);
        let world = [WORLD, "---\n", &banned(&[&format!("{BAD}/32")]), "---\n", &felix("{xdpRefreshInterval: 1s}")];
        change(&host, &world.concat());
        let before = programs();
        assert_eq!(before.len(), 1);
        drop(agent);
        assert_eq!(programs(), before, "a killed agent leaves it in place");
        assert!(!peers.passes(BAD));

        let agent = host.agent(&[]);
        host.settle();
        assert_eq!((programs(), dropped(&host)), (before.clone(), 1), "the next one takes it over");
        // ip(8) cannot take it off; whoever can is noticed at the next look.
        assert!(!try_ip("link set dev eth0 xdp off"));
        assert_eq!(Driver::new(Path::new(BPF_FS)).unwrap().remove_all().unwrap(), 1);
        let after = until("it is there again", || Some(programs()).filter(|programs| !programs.is_empty()));
        assert_ne!(after, before);
        // The rules drop the packet as well, so the counter tells; and whoever answers has kept the program by then.
        until("its list is there again", || (!peers.passes(BAD) && dropped(&host) > 0).then_some(()));

        drop(agent);
        let (code, out, err) = host.tortie(&["clean"], "");
        assert_eq!(code, 0, "{err}");
        assert!(out.contains("removed the XDP programs of 1 interfaces"), "{out}");
        assert_eq!(programs(), []);
        assert!(peers.passes(BAD));
    });
}

#[test]
fn a_program_of_others_stays_and_the_rules_judge_alone_e722() {
    with_peers(|peers| {
        let host = Host::new();
        let pin = Path::new(BPF_FS).join("foreign");
        let shapes = Shapes::of(&Blocked::default());
        Filter::load([2, 0, 0, 0, 0, 1], &Failsafes::default(), shapes).unwrap().pin(&pin).unwrap();
        ip(&format!("link set dev eth0 xdpdrv pinned {}", pin.display()));
        let before = programs();
        let agent = host.agent(&[]);
        change(&host, &[WORLD, "---\n", &banned(&[&format!("{BAD}/32")])].concat());
        assert!(!peers.passes(BAD) && peers.passes(OTHER));
        assert_eq!(programs(), before);
        assert_eq!(early(&host)["mode"], Value::Null);
        let status = host.status();
        assert!(status.contains("no early drops on eth0: another XDP program is attached"), "{status}");
        drop(agent);
        assert_eq!(host.tortie(&["clean"], "").0, 0);
        assert_eq!(programs(), before);
        assert!(peers.passes(BAD));
    });
}
