//! The agent is killed at random moments while policy changes, under traffic (A-6, E-706, E-709).

use std::time::Duration;

use serde_json::json;
use tortie_api::Kind;

use crate::host::{Host, Random, allow_udp, change, endpoint, write};
use crate::stream;

/// The longest an agent lives, in microseconds: several times that from its start to its first programming.
const LIFE_MAX_US: u64 = 200_000;

/// What was found.
pub(crate) struct Report {
    pub(crate) kills: usize,
    pub(crate) changes: u64,
    pub(crate) passed: u64,
    pub(crate) lost: u64,
    pub(crate) denied: u64,
    pub(crate) leaked: u64,
}

impl Report {
    pub(crate) fn print(&self) {
        let Report { kills, changes, passed, lost, denied, leaked } = self;
        println!("{kills} kills among {changes} changes of policy");
        println!(
            "of {} packets that must pass {lost} were lost; of {denied} that must not {leaked} leaked",
            passed + lost
        );
    }
}

/// Starts and kills the agent `count` times.
pub(crate) fn run(host: &Host, count: usize, seed: u64) -> Report {
    let neighbour = host.neighbour();
    host.store(&endpoint("h", "interfaceName: eth0"));
    host.store(&allow_udp("web", "8055"));
    let first = host.agent();
    let counts = stream::start(&neighbour);
    stream::some_more(host, &counts);
    first.kill();

    let store = host.embedded();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let changes = std::thread::spawn(move || {
        let mut number = 0;
        // Each state allows the one port and not the other: by other rules, with other sets, in another order.
        while stopped.recv_timeout(Duration::from_millis(3)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            number += 1;
            let port = 10_000 + number % 20_000;
            let rule = |ports| json!({"action": "Allow", "protocol": "UDP", "source": {"selector": "net == 'a'"}, "destination": {"ports": ports}});
            let nets: Vec<String> =
                (0..number % 50).map(|n| format!("10.{n}.0.0/16")).chain(["192.0.2.0/24".to_owned()]).collect();
            let mut set = change(Kind::GlobalNetworkSet, "a", json!({"nets": nets}));
            set.value["metadata"]["labels"] = json!({"net": "a"});
            let web = json!({
                "tier": "default", "order": number % 7, "selector": "role == 'web'", "types": ["Ingress"],
                "ingress": [rule(json!([port])), rule(json!([8055, port]))],
            });
            let wall = json!({
                "tier": "default", "order": 100, "selector": "role == 'web'", "types": ["Ingress"],
                "ingress": [{"action": "Deny", "protocol": "UDP", "destination": {"ports": [8056, port]}}],
            });
            write(
                &store,
                &[set, change(Kind::GlobalNetworkPolicy, "web", web), change(Kind::GlobalNetworkPolicy, "wall", wall)],
            );
        }
        number
    });

    let mut random = Random(seed);
    for _ in 0..count {
        let agent = host.start(&[]);
        std::thread::sleep(Duration::from_micros(random.below(LIFE_MAX_US)));
        agent.kill();
    }
    drop(stop);
    let changes = changes.join().unwrap();
    // The next start converges.
    let _agent = host.agent();
    stream::some_more(host, &counts);
    counts.stop();
    let [passed, lost, denied, leaked] = counts.get();
    Report { kills: count, changes, passed, lost, denied, leaked }
}
