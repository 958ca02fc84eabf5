//! What the evaluator is given.

use ipnet::IpNet;
use tortie_api::facts::Links;
use tortie_api::model::{HostEndpoint, Labels, Policy, Profile, Protocol, Resource, Tier};

/// All resources, and one host.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The host's node name (E-101).
    pub node: &'a str,
    /// Every resource of the cluster, in any order.
    pub resources: &'a [Resource],
    /// The host's links.
    pub links: &'a Links,
    /// Settings in force on the host.
    pub settings: &'a Settings,
}

/// Settings, as far as they change verdicts (enforcement.md section 6).
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Prefixes of workload interfaces.
    pub interface_prefixes: Vec<String>,
    /// Interfaces that no endpoint governs, by exact name.
    pub interface_exclude: Vec<String>,
    /// E-121.
    pub is_loopback_exempt: bool,
    /// Section 5, inward.
    pub failsafe_inbound: Vec<Failsafe>,
    /// Section 5, outward.
    pub failsafe_outbound: Vec<Failsafe>,
    /// E-421.
    pub drops_invalid: bool,
    /// E-461, E-462.
    pub allows_ipv6_essentials: bool,
    /// E-358: `http` is ignored instead of matching nothing.
    pub ignores_http: bool,
    /// E-440; `None` is Return (E-442).
    pub endpoint_to_host_action: Option<HostAction>,
    /// Whether traffic of workload interfaces without a workload endpoint is dropped (E-442).
    pub drops_unknown_workloads: bool,
    /// Whether that counts only on a node that has workload endpoints.
    pub drops_unknown_beside_known_only: bool,
    /// E-618: whether IPv6 is policed at all.
    pub polices_ipv6: bool,
    /// E-611: whether an accept of S3, S4, S5 and S7 leaves the packet to the rules of others.
    pub filter_allow_returns: bool,
    /// E-612: the same for S2.
    pub mangle_allow_returns: bool,
    /// E-351: members that a set may have in one family.
    pub set_size_max: usize,
}

/// A failsafe entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Failsafe {
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Only for these peers.
    pub net: Option<IpNet>,
}

/// What happens to packets from workloads to the host (E-440).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostAction {
    /// Drop.
    Drop,
    /// Leave it to others.
    Return,
    /// Accept.
    Accept,
}

impl<'a> World<'a> {
    pub(crate) fn host_endpoints(&self) -> impl Iterator<Item = &'a HostEndpoint> {
        self.resources.iter().filter_map(|resource| match resource {
            Resource::HostEndpoint(hep) => Some(hep),
            _ => None,
        })
    }

    pub(crate) fn policies(&self) -> impl Iterator<Item = &'a Policy> {
        self.resources.iter().filter_map(|resource| match resource {
            Resource::Policy(policy) => Some(policy),
            _ => None,
        })
    }

    /// Whether traffic of workloads without a workload endpoint is dropped (E-442).
    pub(crate) fn drops_unknown_workloads(&self) -> bool {
        let has_known = || {
            self.resources.iter().any(|resource| match resource {
                Resource::WorkloadEndpoint(workload) => workload.node == self.node && workload.interface.is_some(),
                _ => false,
            })
        };
        self.settings.drops_unknown_workloads && (!self.settings.drops_unknown_beside_known_only || has_known())
    }

    /// Whether a workload endpoint of this node has the interface (E-442).
    pub(crate) fn is_known_workload(&self, interface: &str) -> bool {
        self.resources.iter().any(|resource| match resource {
            Resource::WorkloadEndpoint(workload) => {
                workload.node == self.node && workload.interface.as_deref() == Some(interface)
            }
            _ => false,
        })
    }

    pub(crate) fn tier(&self, name: &str) -> Option<&'a Tier> {
        self.resources.iter().find_map(|resource| match resource {
            Resource::Tier(tier) if tier.meta.name == name => Some(tier),
            _ => None,
        })
    }

    pub(crate) fn profile(&self, name: &str) -> Option<&'a Profile> {
        self.resources.iter().find_map(|resource| match resource {
            Resource::Profile(profile) if profile.meta.name == name => Some(profile),
            _ => None,
        })
    }

    /// Own labels; then, for labels it lacks, those of its profiles in order (E-202).
    pub(crate) fn labels(&self, own: &Labels, profiles: &[String]) -> Labels {
        let mut labels = own.clone();
        for profile in profiles.iter().filter_map(|name| self.profile(name)) {
            for (key, value) in &profile.labels_to_apply {
                labels.insert_missing(key, value);
            }
        }
        labels
    }
}
