//! `apply` is killed at any moment: all of it is stored, or nothing (datastore.md section 7.1 rule 5).

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tortie_api::Kind;
use tortie_datastore::Resources;

use crate::host::{Random, allow_udp, on_a_host};

/// Policies of one file.
const POLICIES: usize = 30;

#[test]
fn an_apply_that_is_killed_stores_all_or_nothing() {
    on_a_host(|host| {
        host.store("apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\nspec: {order: 1}\n");
        let file = |round: usize| -> String {
            (0..POLICIES).map(|n| allow_udp(&format!("p{n}"), &(1000 + round).to_string())).collect()
        };
        let start = Instant::now();
        host.store(&file(0));
        // The longest that it is let live: shorter after one that was done, longer after one that was not.
        let mut life_us = start.elapsed().as_micros() as u64;
        let store = host.embedded();
        let ports = || {
            let (objects, _) = Resources::new(&store).list(Kind::GlobalNetworkPolicy, None).unwrap();
            let port = |value: &serde_json::Value| value["spec"]["ingress"][0]["destination"]["ports"][0].clone();
            let mut ports: Vec<_> =
                objects.iter().map(|object| port(&serde_json::Value::Object(object.value.clone()))).collect();
            assert_eq!(ports.len(), POLICIES);
            ports.dedup();
            ports
        };
        let (mut random, mut old, mut done, mut undone) = (Random(3), ports(), 0, 0);
        for round in 1..20 {
            let mut command = host.command(&["apply", "-q", "--atomic", "-f", "-"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(file(round).as_bytes()).unwrap();
            std::thread::sleep(Duration::from_micros(random.below(life_us.max(1000))));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            let now = ports();
            assert_eq!(now.len(), 1, "round {round}: half of it is stored: {now:?}");
            assert!(now == [serde_json::json!(1000 + round)] || now == old, "round {round}: {now:?}");
            assert!(!status.success() || now != old, "round {round}: it said that it had stored it");
            if now == old {
                undone += 1;
                life_us = life_us * 3 / 2;
            } else {
                done += 1;
                life_us = life_us * 2 / 3;
            }
            old = now;
        }
        println!("{done} stored, {undone} not");
        assert!(done > 0 && undone > 0, "{done} {undone}");
    });
}
