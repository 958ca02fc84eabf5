//! Which host endpoint governs an interface (enforcement.md section 1).

use tortie_api::model::{Attachment, HostEndpoint, PolicyClass};

use crate::judge::selects;
use crate::world::World;

impl<'a> World<'a> {
    pub(crate) fn is_workload(&self, interface: &str) -> bool {
        self.settings.interface_prefixes.iter().any(|prefix| interface.starts_with(prefix.as_str()))
    }

    fn is_candidate(&self, interface: &str) -> bool {
        !self.is_workload(interface) && !self.settings.interface_exclude.iter().any(|name| name == interface)
    }

    /// E-104, E-105: by exact name, or by any of its addresses.
    fn matches(&self, hep: &HostEndpoint, interface: &str) -> bool {
        match &hep.attachment {
            Attachment::AllInterfaces => false,
            Attachment::Named(name) => name == interface,
            Attachment::ByAddress => self
                .links
                .get(interface)
                .is_some_and(|link| hep.expected_ips.iter().any(|address| link.addresses.contains(address))),
        }
    }

    /// The named endpoint of an interface: the smallest name wins (E-106).
    pub(crate) fn named(&self, interface: &str) -> Option<&'a HostEndpoint> {
        if !self.is_candidate(interface) {
            return None;
        }
        self.host_endpoints()
            .filter(|hep| hep.node == self.node && self.matches(hep, interface))
            .min_by(|a, b| a.meta.name.cmp(&b.meta.name))
    }

    /// The active wildcard endpoint: the smallest name wins (E-107).
    pub(crate) fn wildcard(&self) -> Option<&'a HostEndpoint> {
        self.host_endpoints()
            .filter(|hep| hep.node == self.node && hep.attachment == Attachment::AllInterfaces)
            .min_by(|a, b| a.meta.name.cmp(&b.meta.name))
    }

    /// The endpoint that judges local traffic of an interface: named, else wildcard (E-108, E-112, E-121).
    pub(crate) fn governing(&self, interface: &str) -> Option<&'a HostEndpoint> {
        if self.is_workload(interface) {
            return None;
        }
        self.named(interface).or_else(|| self.wildcard_for(interface))
    }

    /// The endpoint that judges forwarded traffic of an interface: the wildcard's also on workload interfaces (E-112).
    pub(crate) fn forwarding(&self, interface: &str) -> Option<&'a HostEndpoint> {
        if self.is_workload(interface) { self.wildcard() } else { self.governing(interface) }
    }

    /// Pre-DNAT looks only at endpoints that have such a policy; a named one without falls through (E-111).
    pub(crate) fn pre_dnat(&self, interface: &str) -> Option<&'a HostEndpoint> {
        let has_policy = |hep: &HostEndpoint| {
            self.policies().any(|policy| {
                policy.class == PolicyClass::PreDnat && !policy.kind.is_staged() && selects(self, policy, hep)
            })
        };
        let named = self.named(interface).filter(|hep| has_policy(hep));
        let any = if self.is_workload(interface) { self.wildcard() } else { self.wildcard_for(interface) };
        named.or_else(|| any.filter(|hep| has_policy(hep)))
    }

    fn wildcard_for(&self, interface: &str) -> Option<&'a HostEndpoint> {
        let is_exempt = interface == "lo" && self.settings.is_loopback_exempt;
        if is_exempt || !self.is_candidate(interface) { None } else { self.wildcard() }
    }
}
