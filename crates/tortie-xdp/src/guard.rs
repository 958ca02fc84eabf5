//! What of untracked policy may be dropped early (E-481, E-483).
//!
//! The rules of S1 are walked in order. A `Deny` that asks for nothing but the source blocks the addresses that it names,
//! less those of which an earlier rule had something to say:
//!
//! | earlier rule | takes its sources out of |
//! |---|---|
//! | `Allow` | everything behind it |
//! | `Pass` | the rest of its tier: the packet leaves it |
//! | `Log`, a staged policy | everything behind it: lines are written and counters counted as before |
//! | `Deny` with other criteria | nothing: whom it drops is dropped either way |
//!
//! "Its sources" are never fewer than the rule can match, and the sources of a blocking `Deny` never more. So each packet
//! from a blocked address that is no failsafe packet and no IPv6 essential is dropped by S1 as well.

use std::collections::BTreeMap;

use ipnet::{Ipv4Net, Ipv6Net};
use tortie_api::model::Action;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{EndpointPolicy, Peer, ResolvedRule, SetId, SetMembers};
use tortie_calc::settings::Failsafe;

use crate::nets::{Disjoint, Net};

/// Failsafe entries of both directions that a program may hold: each is a few instructions.
pub const FAILSAFES_MAX: usize = 512;

/// What is dropped before the network stack sees it, on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Whose packets are dropped.
    pub blocked: Blocked,
    /// What passes whatever its source (E-483, E-505).
    pub failsafes: Failsafes,
}

/// Blocked sources, sorted; they may overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Of IPv4.
    pub v4: Vec<Ipv4Net>,
    /// Of IPv6.
    pub v6: Vec<Ipv6Net>,
}

impl Blocked {
    /// How many addresses and networks there are.
    pub fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries that `other` has not.
    pub fn without(&self, other: &Blocked) -> Blocked {
        fn without<N: Copy + Ord>(these: &[N], others: &[N]) -> Vec<N> {
            these.iter().filter(|net| others.binary_search(net).is_err()).copied().collect()
        }
        Blocked { v4: without(&self.v4, &other.v4), v6: without(&self.v6, &other.v6) }
    }
}

/// The failsafe entries that S1 asks about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failsafes {
    /// By destination port.
    pub inbound: Vec<Failsafe>,
    /// By source port: answers to what this host asked (E-505).
    pub outbound: Vec<Failsafe>,
}

/// Why nothing is dropped early on an interface whose endpoint has untracked policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGuard {
    /// E-481.
    #[error("no untracked ingress rule denies by source address alone before another may accept the packet")]
    NothingToBlock,
    /// `maxIpsetSize` (E-622).
    #[error("{len} addresses and networks are denied, and a set holds at most {max} (`maxIpsetSize`)")]
    TooManyAddresses {
        /// How many there are, of one family.
        len: usize,
        /// How many there may be.
        max: usize,
    },
    /// [`FAILSAFES_MAX`].
    #[error("there are {len} failsafe ports, and a program holds at most {FAILSAFES_MAX}")]
    TooManyFailsafes {
        /// How many there are.
        len: usize,
    },
}

/// What may be dropped early on each interface that has an endpoint with untracked ingress policy (E-413, E-415).
pub fn guards(policy: &HostPolicy) -> BTreeMap<String, Result<Guard, NoGuard>> {
    let dispatch = &policy.dispatch;
    let judged = |name: &String| {
        let endpoint = policy.endpoints.get(name).filter(|_| dispatch.wildcard.as_ref() != Some(name))?;
        endpoint.untracked_ingress.has_enforced().then_some(endpoint)
    };
    let with_endpoint = dispatch.interfaces.iter().filter_map(|(interface, name)| Some((interface, judged(name)?)));
    with_endpoint.map(|(interface, endpoint)| (interface.clone(), guard(policy, endpoint))).collect()
}

fn guard(policy: &HostPolicy, endpoint: &EndpointPolicy) -> Result<Guard, NoGuard> {
    let settings = &policy.settings;
    let v4 = blocked(policy, endpoint);
    let v6 = if settings.polices_ipv6 { blocked(policy, endpoint) } else { None };
    if v4.is_none() && v6.is_none() {
        return Err(NoGuard::NothingToBlock);
    }
    let blocked = Blocked { v4: v4.unwrap_or_default(), v6: v6.unwrap_or_default() };
    let max = settings.set_size_max;
    if let Some(len) = [blocked.v4.len(), blocked.v6.len()].into_iter().find(|len| *len > max) {
        return Err(NoGuard::TooManyAddresses { len, max });
    }
    let failsafes =
        Failsafes { inbound: settings.failsafe_inbound.clone(), outbound: settings.failsafe_outbound.clone() };
    let len = failsafes.inbound.len() + failsafes.outbound.len();
    if len > FAILSAFES_MAX {
        return Err(NoGuard::TooManyFailsafes { len });
    }
    Ok(Guard { blocked, failsafes })
}

/// The sources that S1 drops for certain, sorted; `None` when no rule drops by source alone. A rule whose set has no
/// members now has a list, so that a program need not come and go with them: some cards start anew for it.
fn blocked<N: Net>(policy: &HostPolicy, endpoint: &EndpointPolicy) -> Option<Vec<N>> {
    let members = Members(&policy.sets);
    let mut found: Option<Vec<N>> = None;
    // Sources of which an earlier rule has something to say.
    let mut heard: Vec<N> = Vec::new();
    for tier in &endpoint.untracked_ingress.tiers {
        let mut passed: Vec<N> = Vec::new();
        for policy in &tier.policies {
            if policy.is_staged {
                // It counts every packet: what its rules say, or that none matches.
                return found.map(sorted);
            }
            for rule in policy.rules.iter().filter(|rule| rule.never.is_none() && rule.exists_in(N::FAMILY)) {
                match rule.action {
                    Action::Deny => {
                        let Some(denied) = members.denied(rule) else { continue };
                        let before = Disjoint::new([&heard[..], &passed].concat());
                        let left = found.get_or_insert_default();
                        denied.into_iter().for_each(|net| before.take_from(net, left));
                    }
                    Action::Pass => passed.extend(members.sources::<N>(&rule.source)),
                    Action::Allow | Action::Log => heard.extend(members.sources::<N>(&rule.source)),
                }
                if heard.contains(&N::all()) {
                    return found.map(sorted);
                }
            }
        }
    }
    found.map(sorted)
}

fn sorted<N: Net>(mut nets: Vec<N>) -> Vec<N> {
    nets.sort_unstable();
    nets.dedup();
    nets
}

/// The members of sets.
struct Members<'a>(&'a BTreeMap<SetId, std::sync::Arc<SetMembers>>);

impl Members<'_> {
    fn of<N: Net>(&self, id: &SetId) -> Vec<N> {
        match self.0.get(id).map(AsRef::as_ref) {
            Some(SetMembers::Nets(nets)) => nets.iter().filter_map(N::of).collect(),
            // A set of ports, or one without members.
            Some(SetMembers::Ports(_)) | None => Vec::new(),
        }
    }

    /// At least the sources that `peer` can match: criteria that narrow it further are left out.
    fn sources<N: Net>(&self, peer: &Peer) -> Vec<N> {
        match (&peer.nets[..], &peer.set) {
            ([], None) => vec![N::all()],
            ([], Some(set)) => self.of(set),
            (nets, _) => nets.iter().filter_map(N::of).collect(),
        }
    }

    /// The sources that a `Deny` drops whatever else the packet is; `None` when it asks for more than the source. A set
    /// with more members than the kernel takes makes it drop even more (E-351).
    fn denied<N: Net>(&self, rule: &ResolvedRule) -> Option<Vec<N>> {
        let Peer { nets, not_nets, set, not_set, .. } = &rule.source;
        let by_source_alone = ResolvedRule {
            ip_version: rule.ip_version,
            source: Peer {
                nets: nets.clone(),
                not_nets: not_nets.clone(),
                set: set.clone(),
                not_set: not_set.clone(),
                ..Peer::default()
            },
            annotations: rule.annotations.clone(),
            ..ResolvedRule::any(Action::Deny)
        };
        let has_both = !nets.is_empty() && set.is_some();
        if *rule != by_source_alone || has_both {
            return None;
        }
        let mut excepted: Vec<N> = not_nets.iter().filter_map(N::of).collect();
        excepted.extend(not_set.iter().flat_map(|set| self.of::<N>(set)));
        let excepted = Disjoint::new(excepted);
        let mut left = Vec::new();
        self.sources::<N>(&rule.source).into_iter().for_each(|net| excepted.take_from(net, &mut left));
        Some(left)
    }
}
