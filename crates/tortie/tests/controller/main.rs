//! `tortie controller`: the real binary on each kind of store (enforcement.md section 8).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod embedded;
mod etcd;
mod kubernetes;
mod labels;
mod rig;

const ENABLED: &str = "
apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: {name: default}
spec: {controllers: {node: {hostEndpoint: {autoCreate: Enabled}}}}
";
