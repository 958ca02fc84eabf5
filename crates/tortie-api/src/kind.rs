//! The kinds of resource: names, plurals, aliases and scope (resources.md section 1.1, cli.md section 1.5).

use std::fmt;
use std::str::FromStr;

/// One kind of the `projectcalico.org/v3` group that Tortie stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Interfaces of a host.
    HostEndpoint,
    /// A policy of the whole cluster; the only kind that selects host endpoints.
    GlobalNetworkPolicy,
    /// A policy of one namespace; never selects a host endpoint (E-205).
    NetworkPolicy,
    /// A global policy that is counted, never enforced (D-6).
    StagedGlobalNetworkPolicy,
    /// A namespaced policy that is never enforced.
    StagedNetworkPolicy,
    /// A Kubernetes policy that is never enforced.
    StagedKubernetesNetworkPolicy,
    /// A group of policies with an order and an action at its end.
    Tier,
    /// Rules and labels that endpoints take on by name.
    Profile,
    /// Named networks of the whole cluster.
    GlobalNetworkSet,
    /// Named networks of one namespace.
    NetworkSet,
    /// A host, as Calico stores it.
    Node,
    /// A pod, container or virtual machine; read for its labels and addresses only (D-5).
    WorkloadEndpoint,
    /// Settings of agents.
    FelixConfiguration,
    /// Settings of the controller.
    KubeControllersConfiguration,
    /// Identity and ready flag of the store.
    ClusterInformation,
}

struct Info {
    kind: Kind,
    name: &'static str,
    plural: &'static str,
    namespaced: bool,
    short_names: &'static [&'static str],
    aliases: &'static [&'static str],
}

impl Info {
    fn words(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.short_names.iter().chain(self.aliases).copied()
    }
}

const TABLE: &[Info] = &[
    Info {
        kind: Kind::HostEndpoint,
        name: "HostEndpoint",
        plural: "hostendpoints",
        namespaced: false,
        short_names: &["hep", "heps"],
        aliases: &[],
    },
    Info {
        kind: Kind::GlobalNetworkPolicy,
        name: "GlobalNetworkPolicy",
        plural: "globalnetworkpolicies",
        namespaced: false,
        short_names: &["gnp", "cgnp"],
        aliases: &["gnps"],
    },
    Info {
        kind: Kind::NetworkPolicy,
        name: "NetworkPolicy",
        plural: "networkpolicies",
        namespaced: true,
        short_names: &["cnp", "caliconetworkpolicy"],
        aliases: &["np", "policy", "policies", "pol", "pols"],
    },
    Info {
        kind: Kind::StagedGlobalNetworkPolicy,
        name: "StagedGlobalNetworkPolicy",
        plural: "stagedglobalnetworkpolicies",
        namespaced: false,
        short_names: &["sgnp"],
        aliases: &["sgnps"],
    },
    Info {
        kind: Kind::StagedNetworkPolicy,
        name: "StagedNetworkPolicy",
        plural: "stagednetworkpolicies",
        namespaced: true,
        short_names: &["scnp", "snp"],
        aliases: &["stagedpolicy", "stagedpolicies", "spol", "spols"],
    },
    Info {
        kind: Kind::StagedKubernetesNetworkPolicy,
        name: "StagedKubernetesNetworkPolicy",
        plural: "stagedkubernetesnetworkpolicies",
        namespaced: true,
        short_names: &["sknp"],
        aliases: &["stagedkubernetespolicy", "stagedkubernetespolicies", "skpol", "skpols"],
    },
    Info { kind: Kind::Tier, name: "Tier", plural: "tiers", namespaced: false, short_names: &[], aliases: &[] },
    Info {
        kind: Kind::Profile,
        name: "Profile",
        plural: "profiles",
        namespaced: false,
        short_names: &[],
        aliases: &["pro", "pros"],
    },
    Info {
        kind: Kind::GlobalNetworkSet,
        name: "GlobalNetworkSet",
        plural: "globalnetworksets",
        namespaced: false,
        short_names: &["gns"],
        aliases: &["gnetsets"],
    },
    Info {
        kind: Kind::NetworkSet,
        name: "NetworkSet",
        plural: "networksets",
        namespaced: true,
        short_names: &[],
        aliases: &["netsets"],
    },
    Info {
        kind: Kind::Node,
        name: "Node",
        plural: "nodes",
        namespaced: false,
        short_names: &[],
        aliases: &["no", "nos"],
    },
    Info {
        kind: Kind::WorkloadEndpoint,
        name: "WorkloadEndpoint",
        plural: "workloadendpoints",
        namespaced: true,
        short_names: &[],
        aliases: &["wep", "weps"],
    },
    Info {
        kind: Kind::FelixConfiguration,
        name: "FelixConfiguration",
        plural: "felixconfigurations",
        namespaced: false,
        short_names: &[],
        aliases: &["felixconfig", "felixconfigs"],
    },
    Info {
        kind: Kind::KubeControllersConfiguration,
        name: "KubeControllersConfiguration",
        plural: "kubecontrollersconfigurations",
        namespaced: false,
        short_names: &["kcc", "kccs"],
        aliases: &["kubecontrollersconfig", "kubecontrollersconfigs"],
    },
    Info {
        kind: Kind::ClusterInformation,
        name: "ClusterInformation",
        plural: "clusterinformations",
        namespaced: false,
        short_names: &["clusterinfo", "clusterinfos"],
        aliases: &[],
    },
];

/// Kinds of the group that exist in Calico and are none of Tortie's business (resources.md section 1.1).
pub const OUT_OF_SCOPE: &[&str] = &[
    "IPPool",
    "IPReservation",
    "IPAMConfiguration",
    "IPAMBlock",
    "IPAMHandle",
    "BlockAffinity",
    "BGPPeer",
    "BGPConfiguration",
    "BGPFilter",
    "CalicoNodeStatus",
    "LiveMigration",
];

impl Kind {
    /// Every kind, in the order of resources.md section 1.1.
    pub fn all() -> impl Iterator<Item = Kind> {
        TABLE.iter().map(|i| i.kind)
    }

    fn info(self) -> &'static Info {
        TABLE.iter().find(|i| i.kind == self).expect("every kind has its row")
    }

    /// The name as documents write it, for instance `HostEndpoint`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The plural of store keys and URLs, for instance `hostendpoints`.
    pub fn plural(self) -> &'static str {
        self.info().plural
    }

    /// Short names that `kubectl` takes too: those of the definition in the `projectcalico.org` group.
    pub fn short_names(self) -> &'static [&'static str] {
        self.info().short_names
    }

    /// All words that the command line takes besides name and plural, short names first.
    pub fn aliases(self) -> impl Iterator<Item = &'static str> {
        self.info().words()
    }

    /// Whether objects of this kind live in a namespace.
    pub fn is_namespaced(self) -> bool {
        self.info().namespaced
    }

    /// Whether this is one of the four policy kinds that name a tier.
    pub fn is_tiered_policy(self) -> bool {
        matches!(
            self,
            Kind::GlobalNetworkPolicy
                | Kind::NetworkPolicy
                | Kind::StagedGlobalNetworkPolicy
                | Kind::StagedNetworkPolicy
        )
    }

    /// The kind of a document's `kind:` field, which is case-sensitive.
    pub fn from_document(name: &str) -> Option<Kind> {
        TABLE.iter().find(|i| i.name == name).map(|i| i.kind)
    }

    /// The kind for the plural of a store key.
    pub fn from_plural(plural: &str) -> Option<Kind> {
        TABLE.iter().find(|i| i.plural == plural).map(|i| i.kind)
    }
}

/// A word that names no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("resource type '{word}' is not supported")]
pub struct UnknownKind {
    /// The user's own word.
    pub word: String,
}

/// Reads a kind as a user types it on the command line: name, plural or alias, in any case.
impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let lower = word.to_ascii_lowercase();
        TABLE
            .iter()
            .find(|i| i.name.to_ascii_lowercase() == lower || i.plural == lower || i.words().any(|word| word == lower))
            .map(|i| i.kind)
            .ok_or_else(|| UnknownKind { word: word.to_owned() })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_plurals_and_aliases_lead_to_one_kind_each() {
        let mut seen = std::collections::BTreeMap::new();
        for kind in Kind::all() {
            assert_eq!(Kind::from_document(kind.name()), Some(kind));
            assert_eq!(Kind::from_plural(kind.plural()), Some(kind));
            for word in [kind.name(), kind.plural()].into_iter().chain(kind.aliases()) {
                assert_eq!(word.parse::<Kind>(), Ok(kind));
                assert_eq!(word.to_uppercase().parse::<Kind>(), Ok(kind));
                let before = seen.insert(word.to_ascii_lowercase(), kind);
                assert!(before.is_none() || before == Some(kind), "{word} names two kinds");
            }
        }
        assert!("hepp".parse::<Kind>().is_err());
        assert_eq!(Kind::from_document("hostendpoint"), None);
    }
}
