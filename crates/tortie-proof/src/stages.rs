//! The stages of enforcement.md section 4, each as the specification says it.

use std::rc::Rc;

use tortie_api::model::Family;
use tortie_calc::HostPolicy;
use tortie_calc::policy::{ClassPolicy, Direction, EndpointPolicy};
use tortie_calc::settings::HostAction;
use tortie_rules::ruleset::{Origin, ct_state};

use crate::diagram::Node;
use crate::list::Lists;
use crate::logic::{Logic, Made, Stop};
use crate::names;
use crate::outcome::Left;
use crate::place::Place;
use crate::program::{is_icmpv6, is_known_flow, is_state, is_translated};
use crate::space::Dimension;

/// What policy says at each base chain.
pub(crate) struct Stages<'a> {
    pub(crate) policy: &'a HostPolicy,
    pub(crate) lists: Lists<'a>,
    pub(crate) accept_bit: u32,
    translated_bit: u32,
}

/// One judgement of one endpoint: the numbers of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    S1,
    S2,
    S3,
    S4,
    S5,
    S6,
    S7,
    S8,
}

/// What was said of forwarded packets before S5.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Accepted,
    Undecided,
}

/// The program of an endpoint at a stage, where it has one.
type Programs<'a, 'b> =
    dyn FnMut(&mut Stages<'a>, &mut Logic<'_>, &'a EndpointPolicy) -> Result<Option<Node>, Stop> + 'b;

impl Stage {
    pub(crate) const fn direction(self) -> Direction {
        match self {
            Stage::S1 | Stage::S2 | Stage::S3 | Stage::S4 => Direction::Ingress,
            Stage::S5 | Stage::S6 | Stage::S7 | Stage::S8 => Direction::Egress,
        }
    }

    const fn interface(self) -> Dimension {
        match self.direction() {
            Direction::Ingress => Dimension::InInterface,
            Direction::Egress => Dimension::OutInterface,
        }
    }

    pub(crate) const fn class(self, endpoint: &EndpointPolicy) -> &ClassPolicy {
        match self {
            Stage::S1 => &endpoint.untracked_ingress,
            Stage::S2 => &endpoint.pre_dnat,
            Stage::S3 => &endpoint.normal_ingress,
            Stage::S4 => &endpoint.forward_ingress,
            Stage::S5 => &endpoint.forward_egress,
            Stage::S6 => &endpoint.untracked_egress,
            Stage::S7 | Stage::S8 => &endpoint.normal_egress,
        }
    }
}

/// The comment that stands for a reason.
pub(crate) fn text(origin: &Origin) -> Rc<str> {
    origin.comment().into()
}

impl<'a> Stages<'a> {
    pub(crate) fn new(policy: &'a HostPolicy) -> Self {
        // E-403: two bits of the mask, the lowest ones.
        let accept_bit = policy.settings.mark_mask.trailing_zeros();
        let rest = policy.settings.mark_mask & !(1u32.checked_shl(accept_bit).unwrap_or_default());
        Self { policy, lists: Lists::new(policy), accept_bit, translated_bit: rest.trailing_zeros() }
    }

    /// What policy says at a base chain.
    pub(crate) fn judge(&mut self, logic: &mut Logic<'_>, place: Place) -> Made {
        let said = match place {
            Place::RawPrerouting => self.raw(logic, Stage::S1)?,
            Place::ManglePrerouting => self.before_translation(logic)?,
            Place::Input => self.input(logic)?,
            Place::Forward => self.forward(logic)?,
            Place::RawOutput => self.raw(logic, Stage::S6)?,
            Place::Output => self.output(logic)?,
            Place::ManglePostrouting => self.after_translation(logic)?,
        };
        if self.policy.settings.polices_ipv6 {
            return Ok(said);
        }
        // E-618.
        let is_v6 = logic.is_family(Family::V6)?;
        let undecided = logic.undecided()?;
        logic.choose(is_v6, undecided, said)
    }

    fn wildcard(&self) -> Option<&'a EndpointPolicy> {
        let name = self.policy.dispatch.wildcard.as_ref()?;
        self.policy.endpoints.get(name).map(AsRef::as_ref)
    }

    fn named(&self) -> Vec<&'a EndpointPolicy> {
        let names = self.policy.dispatch.interfaces.values();
        names.filter_map(|name| self.policy.endpoints.get(name)).map(AsRef::as_ref).collect()
    }

    /// Whether an endpoint is asked by S1 or S6 (E-413, E-466); never the wildcard (E-415).
    fn is_raw(stage: Stage, endpoint: &EndpointPolicy) -> bool {
        !stage.class(endpoint).is_empty() || stage == Stage::S1 && endpoint.reverse_path.is_some()
    }

    /// Whether any endpoint could set ACCEPT at this stage, or could be asked to.
    pub(crate) fn has(&self, stage: Stage) -> bool {
        match stage {
            Stage::S2 => {
                let mut all = self.named();
                all.extend(self.wildcard());
                all.into_iter().any(|endpoint| !endpoint.pre_dnat.is_empty())
            }
            other => self.named().into_iter().any(|endpoint| Self::is_raw(other, endpoint)),
        }
    }

    /// The endpoint of an interface: that of its own, else the wildcard's where it has a say (E-108, E-112, E-121).
    fn dispatch(
        &mut self,
        logic: &mut Logic<'_>,
        interface: Dimension,
        other: Node,
        workload: Node,
        program: &mut Programs<'a, '_>,
    ) -> Made {
        let policy = self.policy;
        let wildcard = match self.wildcard() {
            Some(endpoint) => program(self, logic, endpoint)?.unwrap_or(other),
            None => other,
        };
        let exempt: Vec<_> = policy.dispatch.exempt.iter().map(|name| names::exact(name)).collect();
        let exempt = logic.pool.ranges(exempt);
        let is_exempt = logic.is_in(interface, exempt)?;
        let mut node = logic.choose(is_exempt, other, wildcard)?;
        let is_workload = self.is_workload(logic, interface)?;
        node = logic.choose(is_workload, workload, node)?;
        for (name, endpoint) in &policy.dispatch.interfaces {
            let Some(endpoint) = policy.endpoints.get(endpoint) else { continue };
            let Some(own) = program(self, logic, endpoint)? else { continue };
            let ranges = logic.pool.ranges([names::exact(name)]);
            let is_here = logic.is_in(interface, ranges)?;
            node = logic.choose(is_here, own, node)?;
        }
        Ok(node)
    }

    fn is_workload(&self, logic: &mut Logic<'_>, interface: Dimension) -> Made {
        let prefixes = self.policy.settings.interface_prefixes.iter().map(|prefix| names::prefix(prefix));
        let ranges = logic.pool.ranges(prefixes.collect::<Vec<_>>());
        logic.is_in(interface, ranges)
    }

    /// S1 or S6: state bits cleared (E-404), then untracked policy of the interface's own endpoint.
    fn raw(&mut self, logic: &mut Logic<'_>, stage: Stage) -> Made {
        let undecided = logic.undecided()?;
        // S1 clears what S2 sets, too.
        let is_needed = self.has(stage) || stage == Stage::S1 && self.has(Stage::S2);
        if !is_needed {
            return Ok(undecided);
        }
        let wildcard = self.policy.dispatch.wildcard.clone();
        let node = self.dispatch(logic, stage.interface(), undecided, undecided, &mut |stages, logic, endpoint| {
            if wildcard.as_ref() == Some(&endpoint.name) || !Self::is_raw(stage, endpoint) {
                return Ok(None);
            }
            stages.program(logic, stage, endpoint, None).map(Some)
        })?;
        logic.behind(node, Left { mask: 1 << self.accept_bit | 1 << self.translated_bit, ..Left::default() })
    }

    /// S2. An endpoint without such policy leaves the interface to the wildcard's (E-111).
    fn before_translation(&mut self, logic: &mut Logic<'_>) -> Made {
        let undecided = logic.undecided()?;
        if !self.has(Stage::S2) {
            return Ok(undecided);
        }
        let workload = match self.wildcard().filter(|endpoint| endpoint.pre_dnat.has_enforced()) {
            Some(endpoint) => self.program(logic, Stage::S2, endpoint, None)?,
            None => undecided,
        };
        let node =
            self.dispatch(logic, Dimension::InInterface, undecided, workload, &mut |stages, logic, endpoint| {
                if !endpoint.pre_dnat.has_enforced() {
                    return Ok(None);
                }
                stages.program(logic, Stage::S2, endpoint, None).map(Some)
            })?;
        // E-422.
        let is_accepted = logic.mark_bit(self.accept_bit)?;
        let is_known = is_known_flow(logic, Place::ManglePrerouting)?;
        let passes = logic.or(is_accepted, is_known)?;
        logic.choose(passes, undecided, node)
    }

    fn input(&mut self, logic: &mut Logic<'_>) -> Made {
        let undecided = logic.undecided()?;
        let workload = self.workload_to_host(logic)?;
        let node =
            self.dispatch(logic, Dimension::InInterface, undecided, workload, &mut |stages, logic, endpoint| {
                stages.program(logic, Stage::S3, endpoint, None).map(Some)
            })?;
        if self.judges_workloads() {
            return Ok(node);
        }
        // E-423.
        let known = self.accepted(logic, Stage::S3, text(&Origin::ConnState))?;
        let is_established = is_state(logic, Place::Input, &[ct_state::ESTABLISHED])?;
        logic.choose(is_established, known, node)
    }

    /// S4, then S5 (E-450). No forwarded packet is for S8 (E-407).
    fn forward(&mut self, logic: &mut Logic<'_>) -> Made {
        let undecided = logic.undecided()?;
        let has_endpoints = !self.policy.endpoints.is_empty();
        if !has_endpoints && !self.policy.drops_unknown_workloads() {
            return Ok(undecided);
        }
        let accepted = self.forward_out(logic, Before::Accepted)?;
        let left_alone = self.forward_out(logic, Before::Undecided)?;
        let after = Some((accepted, left_alone));
        let workload = match self.wildcard() {
            Some(endpoint) => self.program(logic, Stage::S4, endpoint, after)?,
            None => left_alone,
        };
        let node =
            self.dispatch(logic, Dimension::InInterface, left_alone, workload, &mut |stages, logic, endpoint| {
                stages.program(logic, Stage::S4, endpoint, after).map(Some)
            })?;
        logic.behind(node, Left { mask: 1 << self.translated_bit, ..Left::default() })
    }

    /// S5, and before it workloads that nobody knows (E-442).
    fn forward_out(&mut self, logic: &mut Logic<'_>, before: Before) -> Made {
        let other = match before {
            Before::Undecided => logic.undecided()?,
            // The last judge was S4, whose rule led here.
            Before::Accepted => self.accepted(logic, Stage::S5, "accepted by the in-interface".into())?,
        };
        let workload = match self.wildcard() {
            Some(endpoint) => self.program(logic, Stage::S5, endpoint, None)?,
            None => other,
        };
        let mut node =
            self.dispatch(logic, Dimension::OutInterface, other, workload, &mut |stages, logic, endpoint| {
                stages.program(logic, Stage::S5, endpoint, None).map(Some)
            })?;
        if self.policy.drops_unknown_workloads() {
            let drop = logic.decided(self.deny(Stage::S5), text(&Origin::Workload))?;
            for interface in [Dimension::InInterface, Dimension::OutInterface] {
                let is_unknown = self.is_unknown_workload(logic, interface)?;
                node = logic.choose(is_unknown, drop, node)?;
            }
        }
        Ok(node)
    }

    /// S7; what is translated is left to S8 (E-410, E-411). E-441: nothing is said of what goes to workloads.
    fn output(&mut self, logic: &mut Logic<'_>) -> Made {
        let undecided = logic.undecided()?;
        let node =
            self.dispatch(logic, Dimension::OutInterface, undecided, undecided, &mut |stages, logic, endpoint| {
                stages.program(logic, Stage::S7, endpoint, None).map(Some)
            })?;
        let bit = 1 << self.translated_bit;
        let for_later = logic.behind(undecided, Left { mask: bit, value: bit, is_no_track: false })?;
        let is_translated = is_translated(logic, Place::Output)?;
        logic.choose(is_translated, for_later, node)
    }

    /// S8: what S7 has left to it.
    fn after_translation(&mut self, logic: &mut Logic<'_>) -> Made {
        let undecided = logic.undecided()?;
        let node =
            self.dispatch(logic, Dimension::OutInterface, undecided, undecided, &mut |stages, logic, endpoint| {
                stages.program(logic, Stage::S8, endpoint, None).map(Some)
            })?;
        let is_left = logic.mark_bit(self.translated_bit)?;
        let is_translated = is_translated(logic, Place::ManglePostrouting)?;
        let is_judged = logic.and(is_left, is_translated)?;
        logic.choose(is_judged, node, undecided)
    }

    /// Whether what comes from workloads to the host is judged at all.
    fn judges_workloads(&self) -> bool {
        let action = self.policy.settings.endpoint_to_host_action;
        self.policy.drops_unknown_workloads() || matches!(action, Some(HostAction::Drop | HostAction::Accept))
    }

    /// What becomes of packets from workloads to the host (E-440, E-442).
    fn workload_to_host(&mut self, logic: &mut Logic<'_>) -> Made {
        let drops_unknown = self.policy.drops_unknown_workloads();
        let action = self.policy.settings.endpoint_to_host_action;
        let undecided = logic.undecided()?;
        if !self.judges_workloads() {
            return Ok(undecided);
        }
        let accept = self.accepted(logic, Stage::S3, text(&Origin::Workload))?;
        let drop = logic.decided(self.deny(Stage::S3), text(&Origin::Workload))?;
        let mut node = match action {
            Some(HostAction::Drop) => drop,
            Some(HostAction::Accept) => accept,
            Some(HostAction::Return) | None => undecided,
        };
        let known = self.accepted(logic, Stage::S3, text(&Origin::ConnState))?;
        let is_known = is_known_flow(logic, Place::Input)?;
        node = logic.choose(is_known, known, node)?;
        if drops_unknown {
            let is_unknown = self.is_unknown_workload(logic, Dimension::InInterface)?;
            node = logic.choose(is_unknown, drop, node)?;
        }
        let is_icmp = is_icmpv6(logic, &[130, 131, 132, 133, 135, 136])?;
        logic.choose(is_icmp, accept, node)
    }

    /// A workload interface without a workload endpoint.
    fn is_unknown_workload(&mut self, logic: &mut Logic<'_>, interface: Dimension) -> Made {
        let is_workload = self.is_workload(logic, interface)?;
        let known: Vec<_> = self.policy.workloads.iter().map(|name| names::exact(name)).collect();
        let known = logic.pool.ranges(known);
        let is_known = logic.is_in(interface, known)?;
        let is_unknown = logic.not(is_known)?;
        logic.and(is_workload, is_unknown)
    }
}
