//! The kinds as Calico's command line knows them: their words and their columns (cli.md section 1.5).

use tortie_api::Kind;

use super::error::Error;

/// A column, and the template of its cells.
pub(super) type Column = (&'static str, &'static str);

/// One kind.
pub(super) struct Row {
    pub(super) kind: Kind,
    /// Words for it besides its name and plural.
    words: &'static [&'static str],
    /// Headings of `-o ps`.
    pub(super) narrow: &'static [&'static str],
    /// Headings of `-o wide`.
    pub(super) wide: &'static [&'static str],
    /// All columns that may be asked for, besides name and namespace.
    columns: &'static [Column],
}

const NAME: Column = ("NAME", "{{.ObjectMeta.Name}}");
const NAMESPACE: Column = ("NAMESPACE", "{{.ObjectMeta.Namespace}}");
const CLUSTER: &[&str] = &["NAME", "CLUSTERGUID", "CLUSTERTYPE", "CALICOVERSION", "DATASTOREREADY"];

const fn policy(kind: Kind, words: &'static [&'static str]) -> Row {
    Row {
        kind,
        words,
        narrow: &["NAME", "TIER"],
        wide: &["NAME", "TIER", "ORDER", "SELECTOR"],
        columns: &[("TIER", "{{.Spec.Tier}}"), ("ORDER", "{{.Spec.Order}}"), ("SELECTOR", "{{.Spec.Selector}}")],
    }
}

const fn networks(kind: Kind, words: &'static [&'static str]) -> Row {
    Row {
        kind,
        words,
        narrow: &["NAME"],
        wide: &["NAME", "NETS"],
        columns: &[("NETS", "{{joinAndTruncate .Spec.Nets \",\" 80}}")],
    }
}

/// A kind of which only names are shown.
const fn named(kind: Kind, words: &'static [&'static str]) -> Row {
    Row { kind, words, narrow: &["NAME"], wide: &["NAME"], columns: &[] }
}

const TABLE: &[Row] = &[
    Row {
        kind: Kind::HostEndpoint,
        words: &["hep", "heps"],
        narrow: &["NAME", "NODE"],
        wide: &["NAME", "NODE", "INTERFACE", "IPS", "PROFILES"],
        columns: &[
            ("NODE", "{{.Spec.Node}}"),
            ("INTERFACE", "{{.Spec.InterfaceName}}"),
            ("IPS", "{{join .Spec.ExpectedIPs \",\"}}"),
            ("PROFILES", "{{join .Spec.Profiles \",\"}}"),
        ],
    },
    policy(Kind::GlobalNetworkPolicy, &["gnp", "gnps"]),
    policy(Kind::StagedGlobalNetworkPolicy, &["sgnp", "sgnps"]),
    policy(Kind::NetworkPolicy, &["policy", "policies", "np", "pol", "pols"]),
    policy(Kind::StagedNetworkPolicy, &["stagedpolicy", "stagedpolicies", "snp", "spol", "spols"]),
    Row {
        kind: Kind::StagedKubernetesNetworkPolicy,
        words: &["stagedkubernetespolicy", "stagedkubernetespolicies", "sknp", "skpol", "skpols"],
        narrow: &["NAME"],
        wide: &["NAME", "PODSELECTOR"],
        columns: &[("PODSELECTOR", "{{.Spec.PodSelector}}")],
    },
    Row {
        kind: Kind::Tier,
        words: &[],
        narrow: &["NAME", "ORDER"],
        wide: &["NAME", "ORDER"],
        columns: &[("ORDER", "{{.Spec.Order}}")],
    },
    Row {
        kind: Kind::Profile,
        words: &["pro", "pros"],
        narrow: &["NAME"],
        wide: &["NAME", "LABELS"],
        columns: &[("LABELS", "{{join .Spec.LabelsToApply \",\"}}")],
    },
    networks(Kind::GlobalNetworkSet, &["gnetsets"]),
    networks(Kind::NetworkSet, &["netsets"]),
    Row {
        kind: Kind::Node,
        words: &["no", "nos"],
        narrow: &["NAME"],
        wide: &["NAME", "ASN", "IPV4", "IPV6"],
        columns: &[
            (
                "ASN",
                "{{if .Spec.BGP}}{{if .Spec.BGP.ASNumber}}{{.Spec.BGP.ASNumber}}{{else}}({{config \"asnumber\"}}){{end}}{{end}}",
            ),
            ("IPV4", "{{if .Spec.BGP}}{{.Spec.BGP.IPv4Address}}{{end}}"),
            ("IPV6", "{{if .Spec.BGP}}{{.Spec.BGP.IPv6Address}}{{end}}"),
        ],
    },
    Row {
        kind: Kind::WorkloadEndpoint,
        words: &["wep", "weps"],
        narrow: &["WORKLOAD", "NODE", "NETWORKS", "INTERFACE"],
        wide: &["NAME", "WORKLOAD", "NODE", "NETWORKS", "INTERFACE", "PROFILES", "NATS"],
        columns: &[
            ("NODE", "{{.Spec.Node}}"),
            ("ORCHESTRATOR", "{{.Spec.Orchestrator}}"),
            ("WORKLOAD", "{{if .Spec.Workload}}{{.Spec.Workload}}{{else}}{{.Spec.Pod}}{{end}}"),
            ("NETWORKS", "{{join .Spec.IPNetworks \",\"}}"),
            ("NATS", "{{join .Spec.IPNATs \",\"}}"),
            ("PROFILES", "{{join .Spec.Profiles \",\"}}"),
            ("INTERFACE", "{{.Spec.InterfaceName}}"),
        ],
    },
    named(Kind::FelixConfiguration, &["felixconfig", "felixconfigs"]),
    named(Kind::KubeControllersConfiguration, &["kubecontrollersconfig", "kubecontrollersconfigs"]),
    Row {
        kind: Kind::ClusterInformation,
        words: &["clusterinfo", "clusterinfos"],
        narrow: CLUSTER,
        wide: CLUSTER,
        columns: &[
            ("CLUSTERGUID", "{{.Spec.ClusterGUID}}"),
            ("CLUSTERTYPE", "{{.Spec.ClusterType}}"),
            ("CALICOVERSION", "{{.Spec.CalicoVersion}}"),
            ("DATASTOREREADY", "{{.Spec.DatastoreReady}}"),
        ],
    },
];

/// Kinds that Calico's own tool has besides, and its words for them.
const OTHERS: &[(&str, &[&str])] = &[
    ("BGPConfiguration", &["bgpconfiguration", "bgpconfigurations", "bgpconfig", "bgpconfigs"]),
    ("BGPFilter", &["bgpfilter", "bgpfilters"]),
    ("BGPPeer", &["bgppeer", "bgppeers", "bgpp", "bgpps", "bp", "bps"]),
    ("CalicoNodeStatus", &["caliconodestatus", "caliconodestatuses", "nodestatus", "nodestatuses"]),
    ("IPAMConfiguration", &["ipamconfiguration", "ipamconfigurations", "ipamconfig", "ipamconfigs"]),
    ("IPPool", &["ippool", "ippools", "ipp", "ipps", "pool", "pools"]),
    ("IPReservation", &["ipreservation", "ipreservations", "reservation", "reservations"]),
];

/// The row of a kind.
pub(super) fn row(kind: Kind) -> &'static Row {
    TABLE.iter().find(|row| row.kind == kind).expect("every kind has its row")
}

/// The kind of a word, in any case.
pub(super) fn kind(word: &str) -> Result<Kind, Error> {
    let lower = word.to_lowercase();
    let is_it = |row: &&Row| {
        row.kind.name().to_lowercase() == lower || row.kind.plural() == lower || row.words.contains(&lower.as_str())
    };
    TABLE.iter().find(is_it).map(|row| row.kind).ok_or_else(|| {
        let word = word.to_owned();
        match OTHERS.iter().find(|(_, words)| words.contains(&lower.as_str())) {
            Some((kind, _)) => Error::OtherKind { word, kind },
            None => Error::Kind(word),
        }
    })
}

impl Row {
    /// The column of a heading.
    pub(super) fn column(&self, heading: &str) -> Result<Column, Error> {
        let known = || {
            let namespace = self.kind.is_namespaced().then_some(NAMESPACE);
            std::iter::once(NAME).chain(namespace).chain(self.columns.iter().copied())
        };
        known().find(|(found, _)| *found == heading).ok_or_else(|| {
            let mut valid: Vec<&'static str> = known().map(|(heading, _)| heading).collect();
            valid.sort_unstable();
            Error::Heading { heading: heading.to_owned(), valid }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_row_and_every_heading_its_column() {
        for kind in Kind::all() {
            let row = row(kind);
            for heading in row.narrow.iter().chain(row.wide) {
                assert_eq!(row.column(heading).unwrap().0, *heading);
            }
            assert_eq!(row.column("NAMESPACE").is_ok(), kind.is_namespaced());
        }
    }

    #[test]
    fn words_are_those_of_calico_and_not_those_of_kubectl() {
        assert_eq!(kind("HEP").unwrap(), Kind::HostEndpoint);
        assert_eq!(kind("globalNetworkPolicies").unwrap(), Kind::GlobalNetworkPolicy);
        for word in ["gns", "cnp", "cgnp", "scnp", "kcc", "", "hep,gnp"] {
            assert!(kind(word).is_err(), "{word}");
        }
    }
}
