//! The agent and the command line on stores across a network, with real servers and a real kernel.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod etcd;

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
