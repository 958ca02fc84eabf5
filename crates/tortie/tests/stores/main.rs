//! The agent and the command line on stores across a network, with real servers and a real kernel.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod apply;
mod etcd;
mod gate;
mod kubernetes;
mod lazy;

use support::{Host, Process, until};

/// Our rules without counters, and without the numbers that tell one build of a chain from the next.
fn rules(host: &Host) -> String {
    let table = host.table();
    assert!(table.contains("table inet tortie"), "no rules");
    let plain = |line: &str| {
        let mut parts = line.split("..");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| text + part.trim_start_matches(|c: char| c.is_ascii_digit()))
    };
    let mut lines: Vec<String> = table.lines().map(plain).collect();
    lines.sort();
    lines.join("\n")
}

/// An agent that has enforced what is stored, and its rules.
fn enforced(host: &Host) -> (Process, String) {
    let agent = host.agent(&[]);
    host.settle();
    (agent, rules(host))
}

fn wait_state(host: &Host, state: &str) {
    until(&format!("the store is {state}"), || (host.state()["store"]["state"] == state).then_some(()));
}

/// Waits until the agent has saved a state that names `what`: it does so after it has said that all is in force, and one that
/// is killed before has saved nothing (datastore.md section 6.3).
fn wait_saved(host: &Host, what: &str) {
    let saved = host.folder.path().join("agent.sock.state/state.jsonl");
    until("the state is saved", || std::fs::read_to_string(&saved).ok()?.contains(what).then_some(()));
}

/// A host endpoint with one policy; `port` is what it lets in.
fn objects(port: u16) -> String {
    format!(
        "apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {{name: n1-eth0, labels: {{role: web}}}}
spec: {{node: n1, interfaceName: eth0, expectedIPs: [192.0.2.1]}}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {{name: web}}
spec:
  selector: role == 'web'
  ingress:
  - {{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}
"
    )
}
