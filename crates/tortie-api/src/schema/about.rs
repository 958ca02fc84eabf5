//! What each kind is for, in words for users.

use crate::Kind;

/// One sentence.
pub fn summary(kind: Kind) -> &'static str {
    match kind {
        Kind::HostEndpoint => "One or all interfaces of a host, whose traffic is governed by policy.",
        Kind::GlobalNetworkPolicy => "Rules for the host endpoints and workloads that its selector matches.",
        Kind::NetworkPolicy => "Rules for workloads of one namespace.",
        Kind::StagedGlobalNetworkPolicy => "A global network policy to try out: it is counted and never enforced.",
        Kind::StagedNetworkPolicy => "A network policy to try out, for workloads of one namespace; never enforced.",
        Kind::StagedKubernetesNetworkPolicy => "A network policy of Kubernetes to try out; kept and never enforced.",
        Kind::Tier => "A group of policies that is asked before or after others as a whole.",
        Kind::Profile => "Labels and rules that endpoints take on by naming it.",
        Kind::GlobalNetworkSet => "Networks that rules of all policies can select by labels.",
        Kind::NetworkSet => "Networks that rules can select by labels, in one namespace.",
        Kind::Node => "A host of the cluster, with its addresses and labels.",
        Kind::WorkloadEndpoint => {
            "The interface of a pod, container or virtual machine; rules can select its addresses."
        }
        Kind::FelixConfiguration => "Settings of agents: of all, of some by their labels, or of one.",
        Kind::KubeControllersConfiguration => "Settings of the controller that makes host endpoints of nodes.",
        Kind::ClusterInformation => "The identity of the store, and whether agents follow it.",
    }
}

/// What else there is to know, after [`summary`].
pub fn description(kind: Kind) -> &'static str {
    match kind {
        Kind::HostEndpoint => {
            "It governs what enters and leaves the host by them; interfaces without one are left alone. Without any \
             policy or profile everything but failsafe ports, established connections and what IPv6 needs is denied."
        }
        Kind::GlobalNetworkPolicy => {
            "Tiers are asked by their order, in each the policies that apply by theirs, in each the rules as they \
             stand; the first that matches decides. It is the only kind of policy that applies to host endpoints."
        }
        Kind::NetworkPolicy => {
            "It never applies to a host endpoint. Tortie keeps it; whoever enforces policy for workloads enforces it."
        }
        Kind::StagedGlobalNetworkPolicy => {
            "`tortie status` tells how many packets each rule would have decided. A tier in which only staged policies \
             apply is passed."
        }
        Kind::StagedNetworkPolicy => "It never applies to a host endpoint. Tortie keeps it for others.",
        Kind::StagedKubernetesNetworkPolicy => {
            "Beside `stagedAction` it has the fields of a NetworkPolicy of Kubernetes, which are checked for names and \
             types only."
        }
        Kind::Tier => {
            "`kube-admin`, `default` and `kube-baseline` are always there. A tier with policies cannot be deleted. A \
             tier in which no policy applies to an endpoint is passed for that endpoint, whatever its default action."
        }
        Kind::Profile => {
            "`projectcalico-default-allow`, which allows everything, is always there. Profiles are asked where no tier \
             decided, for traffic of the host itself, never for what it forwards. With a Kubernetes store they are \
             made of namespaces and service accounts, and are read only."
        }
        Kind::GlobalNetworkSet => {
            "It has no namespace: in rules of namespaced policies it takes `namespaceSelector: global()` to select it."
        }
        Kind::NetworkSet => {
            "Rules of policies in its namespace can select it, and rules of global policies. The label \
             `projectcalico.org/namespace` is its own and cannot be given."
        }
        Kind::Node => {
            "Automatic host endpoints are made of nodes. With a Kubernetes store they are the cluster's own; deleting \
             one elsewhere deletes its host endpoints, too."
        }
        Kind::WorkloadEndpoint => {
            "Tortie reads them and programs none of their interfaces. They are made by whoever runs the workloads, or \
             of pods; the command line cannot write them."
        }
        Kind::FelixConfiguration => {
            "`default` is for all hosts; an object with `nodeSelector` is for the nodes whose labels match, `node.NAME` \
             for one, and environment and file of a host win over all. Each field is taken from the nearest. Tortie's \
             own settings are annotations `tortie.dev/NAME`. A change is in force at once."
        }
        Kind::KubeControllersConfiguration => "There is one object, named `default`. `tortie controller` obeys it.",
        Kind::ClusterInformation => {
            "There is one object, named `default`, made with the store. The command line shows it and cannot write it; \
             `tortie lock` and `tortie unlock` set its flag."
        }
    }
}
