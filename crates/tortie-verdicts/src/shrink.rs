//! From a disagreement in a large world to the least that still shows it.

use std::sync::Arc;

use tortie_api::model::{Attachment, Entity, Policy, PolicyClass, Resource, Rule};
use tortie_api::packet::{ConnState, Packet, WayBack};
use tortie_testkit::generators::World;

/// One simplification; where it does not apply it changes nothing.
type Edit<T> = Box<dyn Fn(&mut T)>;

/// Makes `world` and `probe` as small as possible while `fails` says that they still disagree.
///
/// `simpler` are the simplifications of the probe. `fails` must hold of what is given.
pub fn shrink<P: Clone + PartialEq>(
    mut world: World,
    mut probe: P,
    simpler: &[fn(&mut P)],
    mut fails: impl FnMut(&World, &P) -> bool,
) -> (World, P) {
    // Halves of the resources first, then smaller parts, as delta debugging does (Zeller and Hildebrandt 2002).
    let mut len = world.resources.len().div_ceil(2);
    while len > 0 {
        let mut from = 0;
        while from < world.resources.len() {
            let mut less = world.clone();
            less.resources.drain(from..(from + len).min(world.resources.len()));
            if fails(&less, &probe) {
                world = less;
            } else {
                from += len;
            }
        }
        len /= 2;
    }
    loop {
        let mut has_changed = false;
        for edit in edits(&world) {
            let mut less = world.clone();
            edit(&mut less);
            if !is_same(&less, &world) && fails(&less, &probe) {
                world = less;
                has_changed = true;
            }
        }
        for edit in simpler {
            let mut less = probe.clone();
            edit(&mut less);
            if less != probe && fails(&world, &less) {
                probe = less;
                has_changed = true;
            }
        }
        if !has_changed {
            return (world, probe);
        }
    }
}

fn is_same(a: &World, b: &World) -> bool {
    format!("{a:?}") == format!("{b:?}")
}

/// Simplifications of a packet that no lab has to send.
pub const OF_A_PACKET: &[fn(&mut Packet)] = &[
    |packet| packet.dnat = None,
    |packet| packet.state = ConnState::New,
    |packet| packet.way_back = WayBack::SameInterface,
    |packet| packet.hop_limit = 64,
    |packet| packet.icmp_type = 8,
    |packet| packet.icmp_code = 0,
    |packet| packet.source_port = 40000,
    |packet| packet.destination_port = 40000,
    |packet| {
        if let Some(dnat) = &mut packet.dnat {
            dnat.out_interface_before = None;
        }
    },
];

/// Everything that can be taken out of `world`, roughly from the largest to the smallest.
fn edits(world: &World) -> Vec<Edit<World>> {
    let mut edits: Vec<Edit<World>> = vec![
        Box::new(|world| world.failsafes = [vec![], vec![]]),
        Box::new(|world| world.is_loopback_exempt = true),
        Box::new(|world| world.drops_invalid = true),
        Box::new(|world| world.allows_ipv6_essentials = true),
        Box::new(|world| world.ignores_http = false),
        Box::new(|world| world.interface_exclude.clear()),
        Box::new(|world| world.endpoint_to_host_action = None),
        Box::new(|world| world.drops_unknown_workloads = false),
        Box::new(|world| world.drops_unknown_beside_known_only = false),
        Box::new(|world| world.polices_ipv6 = true),
        Box::new(|world| world.rejects = false),
        Box::new(|world| world.filter_allow_returns = false),
        Box::new(|world| world.mangle_allow_returns = false),
        Box::new(|world| world.mark_mask = 0xffff_0000),
        Box::new(|world| world.set_size_max = 1 << 20),
        Box::new(|world| world.links.clear()),
    ];
    for side in 0..2 {
        for at in 0..world.failsafes[side].len() {
            edits.push(Box::new(move |world| remove(&mut world.failsafes[side], at)));
        }
    }
    for name in world.links.keys() {
        let (gone, bare) = (name.clone(), name.clone());
        edits.push(Box::new(move |world| drop(world.links.remove(&gone))));
        edits.push(Box::new(move |world| {
            if let Some(link) = world.links.get_mut(&bare) {
                link.addresses.clear();
            }
        }));
    }
    for at in 0..world.resources.len() {
        edits.push(Box::new(move |world| remove(&mut world.resources, at)));
        for edit in of_resource(&world.resources[at]) {
            edits.push(Box::new(move |world| {
                if let Some(resource) = world.resources.get_mut(at) {
                    edit(resource);
                }
            }));
        }
    }
    edits
}

fn remove<T>(list: &mut Vec<T>, at: usize) {
    if at < list.len() {
        list.remove(at);
    }
}

fn of_resource(resource: &Resource) -> Vec<Edit<Resource>> {
    fn on<T: 'static>(of: fn(&mut Resource) -> Option<&mut T>, edit: impl Fn(&mut T) + 'static) -> Edit<Resource> {
        Box::new(move |resource| {
            if let Some(part) = of(resource) {
                edit(part);
            }
        })
    }
    match resource {
        Resource::Policy(policy) => {
            let mut edits = vec![
                on(policy_of, |policy| policy.meta.labels.clear()),
                on(policy_of, |policy| policy.order = None),
                on(policy_of, |policy| policy.tier = "default".to_owned()),
                on(policy_of, |policy| policy.namespace_selector = None),
                on(policy_of, |policy| policy.service_account_selector = None),
                on(policy_of, |policy| policy.selector = tortie_selector::Selector::all()),
                on(policy_of, |policy| policy.class = PolicyClass::Normal),
                on(policy_of, |policy| policy.governs_egress &= !policy.governs_ingress),
                on(policy_of, |policy| policy.governs_ingress &= !policy.governs_egress),
                on(policy_of, |policy| policy.ingress.clear()),
                on(policy_of, |policy| policy.egress.clear()),
            ];
            for (list, len) in [(0, policy.ingress.len()), (1, policy.egress.len())] {
                for at in 0..len {
                    edits.push(on(policy_of, move |policy| remove(rules_of(policy, list), at)));
                    for edit in of_rule() {
                        edits.push(on(policy_of, move |policy| {
                            if let Some(rule) = rules_of(policy, list).get_mut(at) {
                                edit(Arc::make_mut(rule));
                            }
                        }));
                    }
                }
            }
            edits
        }
        Resource::HostEndpoint(_) => vec![
            on(endpoint_of, |endpoint| endpoint.meta.labels.clear()),
            on(endpoint_of, |endpoint| endpoint.meta.annotations.clear()),
            on(endpoint_of, |endpoint| endpoint.profiles.clear()),
            on(endpoint_of, |endpoint| remove(&mut endpoint.profiles, 0)),
            on(endpoint_of, |endpoint| endpoint.ports.clear()),
            on(endpoint_of, |endpoint| remove(&mut endpoint.ports, 0)),
            on(endpoint_of, |endpoint| {
                if endpoint.attachment != Attachment::ByAddress {
                    endpoint.expected_ips.clear();
                }
            }),
            on(endpoint_of, |endpoint| {
                if endpoint.expected_ips.len() > 1 {
                    remove(&mut endpoint.expected_ips, 0);
                }
            }),
        ],
        Resource::Profile(profile) => {
            let mut edits = vec![
                on(profile_of, |profile| profile.meta.labels.clear()),
                on(profile_of, |profile| profile.labels_to_apply.clear()),
                on(profile_of, |profile| profile.ingress.clear()),
                on(profile_of, |profile| profile.egress.clear()),
            ];
            for (list, len) in [(0, profile.ingress.len()), (1, profile.egress.len())] {
                for at in 0..len {
                    let rules = move |profile: &mut tortie_api::model::Profile| match list {
                        0 => std::mem::take(&mut profile.ingress),
                        _ => std::mem::take(&mut profile.egress),
                    };
                    for edit in of_rule().into_iter().map(Some).chain([None]) {
                        edits.push(on(profile_of, move |profile| {
                            let mut rules = rules(profile);
                            match (&edit, rules.get_mut(at)) {
                                (Some(edit), Some(rule)) => edit(Arc::make_mut(rule)),
                                (None, Some(_)) => remove(&mut rules, at),
                                _ => {}
                            }
                            *(if list == 0 { &mut profile.ingress } else { &mut profile.egress }) = rules;
                        }));
                    }
                }
            }
            edits
        }
        Resource::NetworkSet(set) => {
            let mut edits = vec![on(set_of, |set| set.meta.labels.clear())];
            edits.extend((0..set.nets.len()).map(|at| on(set_of, move |set| remove(&mut set.nets, at))));
            edits
        }
        Resource::Tier(_) => vec![
            on(tier_of, |tier| tier.meta.labels.clear()),
            on(tier_of, |tier| tier.order = Some(100.0)),
            on(tier_of, |tier| tier.default_action = tortie_api::model::TierAction::Deny),
        ],
        Resource::WorkloadEndpoint(_) => vec![
            on(workload_of, |workload| remove(&mut workload.addresses, 0)),
            on(workload_of, |workload| remove(&mut workload.ports, 0)),
            on(workload_of, |workload| workload.profiles.clear()),
            on(workload_of, |workload| workload.interface = None),
        ],
        _ => vec![],
    }
}

macro_rules! part {
    ($name:ident, $kind:ident) => {
        fn $name(resource: &mut Resource) -> Option<&mut tortie_api::model::$kind> {
            match resource {
                Resource::$kind(part) => Some(part),
                _ => None,
            }
        }
    };
}

part!(policy_of, Policy);
part!(endpoint_of, HostEndpoint);
part!(profile_of, Profile);
part!(set_of, NetworkSet);
part!(tier_of, Tier);
part!(workload_of, WorkloadEndpoint);

fn rules_of(policy: &mut Policy, list: usize) -> &mut Vec<Arc<Rule>> {
    if list == 0 { &mut policy.ingress } else { &mut policy.egress }
}

fn of_rule() -> Vec<Edit<Rule>> {
    let mut edits: Vec<Edit<Rule>> = vec![
        Box::new(|rule| rule.ip_version = None),
        Box::new(|rule| rule.icmp = None),
        Box::new(|rule| rule.not_icmp = None),
        Box::new(|rule| rule.not_protocol = None),
        Box::new(|rule| rule.has_http = false),
        Box::new(|rule| {
            // Numeric ports and ICMP types say nothing without their protocol.
            let is_bare = rule.icmp.is_none() && is_without_ports(&rule.source) && is_without_ports(&rule.destination);
            if is_bare {
                rule.protocol = None;
            }
        }),
        Box::new(|rule| rule.source = Entity::default()),
        Box::new(|rule| rule.destination = Entity::default()),
    ];
    for end in [0, 1] {
        let entity = move |rule: &mut Rule, edit: &dyn Fn(&mut Entity)| {
            edit(if end == 0 { &mut rule.source } else { &mut rule.destination });
        };
        let all: [fn(&mut Entity); 12] = [
            |entity| entity.nets.clear(),
            |entity| entity.not_nets.clear(),
            |entity| entity.ports.clear(),
            |entity| entity.not_ports.clear(),
            |entity| entity.selector = None,
            |entity| entity.not_selector = None,
            |entity| entity.namespace_selector = None,
            |entity| entity.service_accounts = None,
            |entity| remove(&mut entity.nets, 0),
            |entity| entity.nets.truncate(1),
            |entity| remove(&mut entity.ports, 0),
            |entity| entity.ports.truncate(1),
        ];
        edits.extend(all.map(|edit| -> Edit<Rule> { Box::new(move |rule| entity(rule, &edit)) }));
    }
    edits
}

fn is_without_ports(entity: &Entity) -> bool {
    entity.ports.is_empty() && entity.not_ports.is_empty()
}
