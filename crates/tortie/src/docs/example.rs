//! One document of each kind, for people to begin with.

use tortie_api::Kind;

/// A document that `tortie validate` finds nothing in.
pub(super) fn of(kind: Kind) -> &'static str {
    match kind {
        Kind::HostEndpoint => include_str!("examples/hostendpoints.yaml"),
        Kind::GlobalNetworkPolicy => include_str!("examples/globalnetworkpolicies.yaml"),
        Kind::NetworkPolicy => include_str!("examples/networkpolicies.yaml"),
        Kind::StagedGlobalNetworkPolicy => include_str!("examples/stagedglobalnetworkpolicies.yaml"),
        Kind::StagedNetworkPolicy => include_str!("examples/stagednetworkpolicies.yaml"),
        Kind::StagedKubernetesNetworkPolicy => include_str!("examples/stagedkubernetesnetworkpolicies.yaml"),
        Kind::Tier => include_str!("examples/tiers.yaml"),
        Kind::Profile => include_str!("examples/profiles.yaml"),
        Kind::GlobalNetworkSet => include_str!("examples/globalnetworksets.yaml"),
        Kind::NetworkSet => include_str!("examples/networksets.yaml"),
        Kind::Node => include_str!("examples/nodes.yaml"),
        Kind::WorkloadEndpoint => include_str!("examples/workloadendpoints.yaml"),
        Kind::FelixConfiguration => include_str!("examples/felixconfigurations.yaml"),
        Kind::KubeControllersConfiguration => include_str!("examples/kubecontrollersconfigurations.yaml"),
        Kind::ClusterInformation => include_str!("examples/clusterinformations.yaml"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_is_of_its_kind_and_nothing_is_wrong_with_it() {
        for kind in Kind::all() {
            let decoded = tortie_api::decode(of(kind));
            assert!(decoded.problems.is_empty(), "{kind}: {:?}", decoded.problems);
            let kinds: Vec<Kind> = decoded.documents.iter().map(|document| document.kind).collect();
            assert_eq!(kinds, [kind]);
        }
    }
}
