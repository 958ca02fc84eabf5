//! Interfaces whose names say that they are workloads'.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use tortie_api::model::{Attachment, HostEndpoint, Meta, Resource};
use tortie_calc::settings::HostAction;
use tortie_calc::{Engine, Settings};
use tortie_proof::{Budget, prove};
use tortie_rules::compile;

/// `kube-ipvs0` is excluded by default; with this prefix it is a workload's all the same (E-102, E-440).
#[test]
fn an_excluded_name_with_a_workload_prefix_is_a_workload_e440() {
    let mut engine = Engine::new(Settings {
        node: "n".to_owned(),
        interface_prefixes: vec!["cali".to_owned(), "kube".to_owned()],
        endpoint_to_host_action: Some(HostAction::Drop),
        ..Settings::default()
    });
    let endpoint = Resource::HostEndpoint(HostEndpoint {
        meta: Meta { name: "h".to_owned(), ..Meta::default() },
        node: "n".to_owned(),
        attachment: Attachment::AllInterfaces,
        expected_ips: vec![],
        profiles: vec![],
        ports: vec![],
    });
    engine.update(endpoint.key(), Some(Arc::new(endpoint)));
    engine.flush();
    assert_eq!(engine.policy().dispatch.exempt, ["lo".to_owned()].into(), "workloads are not listed");
    let proof = prove(engine.policy(), &compile(engine.policy()), Budget::default());
    assert!(proof.unwrap_or_else(|error| panic!("{error}")).is_complete());
}
