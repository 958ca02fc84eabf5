//! What becomes of the traffic of workloads, as far as a host judges it (E-440, E-442, D-5).

use tortie_api::model::{Family, Protocol};
use tortie_calc::settings::HostAction;

use super::frame::Layout;
use super::lower::protocol_is;
use super::parts::{NFPROTO, decide, icmp_types, insert, insert_map, interface_key, is_family, known_flows};
use super::sets::SetPool;
use super::stage::Stage;
use crate::ruleset::{Element, Field, Match, Name, Origin, Rule, Ruleset, Set, Verdict};

/// Calls [`UNKNOWN_WORKLOADS`] for every packet. A map, so that the chain can turn without a change of its callers.
pub(super) const WORKLOADS_ANY: &str = "workloads-any";

/// Judges traffic from workloads to the host (E-440).
pub(super) const WORKLOAD_TO_HOST: &str = "workload-to-host";

/// Drops forwarded traffic of workloads nobody knows (E-442).
const UNKNOWN_WORKLOADS: &str = "unknown-workloads";

impl Layout<'_> {
    /// Whether packets from workloads to the host are judged at all (E-440, E-442).
    pub(super) fn judges_workloads(&self) -> bool {
        let settings = &self.policy.settings;
        self.policy.drops_unknown_workloads()
            || matches!(settings.endpoint_to_host_action, Some(HostAction::Drop | HostAction::Accept))
    }

    pub(super) fn workloads(&self, ruleset: &mut Ruleset, pool: &mut SetPool<'_>) {
        let settings = &self.policy.settings;
        let prefixes = &settings.interface_prefixes;
        let deny = Stage::LocalIn.deny(settings);
        // Few, so the set is constant: it turns with everything else that changes.
        let known = self.policy.workloads.iter().map(|name| (Element::exact(interface_key(name)), None)).collect();
        let known = Set { key: vec![Field::InInterface], elements: known, ..Set::default() };
        let known = self.policy.drops_unknown_workloads().then(|| pool.constant("workloads", known));
        let is_unknown = |field| {
            let set = known.clone().expect("made where it is asked for");
            Match::Lookup { key: vec![field], invert: true, set }
        };
        if self.policy.drops_unknown_workloads() {
            let mut rules = Vec::new();
            for field in [Field::InInterface, Field::OutInterface] {
                for prefix in prefixes {
                    let of_prefix = Match::Equals { field, invert: false, value: prefix.as_bytes().to_vec() };
                    let matches = vec![of_prefix, is_unknown(field)];
                    rules.push(Rule { matches, ..decide(deny.clone(), Origin::Workload) });
                }
            }
            insert(ruleset, UNKNOWN_WORKLOADS, rules);
            let jump = Verdict::Jump(Name::new(UNKNOWN_WORKLOADS));
            let any = NFPROTO.map(|(_, number)| (Element::exact([number]), jump.clone())).into();
            insert_map(ruleset, &Name::new(WORKLOADS_ANY), Field::NfProto, any);
        }
        if !self.judges_workloads() {
            return;
        }
        let accept = Stage::LocalIn.accept(settings);
        // E-440: neighbour discovery and multicast listeners, then the workload's own policy, then the action.
        let types = icmp_types(pool, "workload-icmpv6", &[130, 131, 132, 133, 135, 136]);
        let matches = vec![is_family(Family::V6), protocol_is(Protocol::ICMPV6, false), types];
        let mut rules = vec![Rule { matches, ..decide(accept.clone(), Origin::Workload) }];
        if self.policy.drops_unknown_workloads() {
            let matches = vec![is_unknown(Field::InInterface)];
            rules.push(Rule { matches, ..decide(deny.clone(), Origin::Workload) });
        }
        // Answers to what the host itself has opened, which is always allowed (E-441), and known flows (E-420).
        rules.push(known_flows(accept.clone()));
        match settings.endpoint_to_host_action {
            Some(HostAction::Drop) => rules.push(decide(deny, Origin::Workload)),
            Some(HostAction::Accept) => rules.push(decide(accept, Origin::Workload)),
            Some(HostAction::Return) | None => {}
        }
        insert(ruleset, WORKLOAD_TO_HOST, rules);
    }
}
