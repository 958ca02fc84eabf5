//! The roads to a verdict, from a drawn world.

use std::sync::Arc;

use ipnet::IpNet;
use tortie_api::model::{Protocol, Resource};
use tortie_api::packet::Packet;
use tortie_calc::settings::{AllowAction, DenyAction, Failsafe, HostAction, InterfacePattern};
use tortie_calc::{Engine, Settings};
use tortie_reference::{By, Judgement, Stage, Verdict};
use tortie_rules::interpret::{Decision, Outcome};
use tortie_rules::ruleset::Origin;
use tortie_rules::{Classes, Ruleset, compile_with};
use tortie_testkit::generators::{NODE, World};

/// The settings of `world` as the calculation takes them.
pub fn settings(world: &World) -> Settings {
    let failsafes = |list: &[(Protocol, u16, Option<IpNet>)]| -> Vec<Failsafe> {
        list.iter().map(|(protocol, port, net)| Failsafe { protocol: *protocol, port: *port, net: *net }).collect()
    };
    let allow = |returns: bool| if returns { AllowAction::Return } else { AllowAction::Accept };
    let actions = [HostAction::Drop, HostAction::Return, HostAction::Accept];
    Settings {
        node: NODE.to_owned(),
        is_loopback_exempt: world.is_loopback_exempt,
        drops_invalid: world.drops_invalid,
        allows_ipv6_essentials: world.allows_ipv6_essentials,
        ignores_http: world.ignores_http,
        failsafe_inbound: failsafes(&world.failsafes[0]),
        failsafe_outbound: failsafes(&world.failsafes[1]),
        interface_exclude: world.interface_exclude.iter().cloned().map(InterfacePattern::Exact).collect(),
        endpoint_to_host_action: world.endpoint_to_host_action.map(|position| actions[position]),
        drops_unknown_workloads: world.drops_unknown_workloads,
        drops_unknown_beside_known_only: world.drops_unknown_beside_known_only,
        polices_ipv6: world.polices_ipv6,
        deny_action: if world.rejects { DenyAction::Reject } else { DenyAction::Drop },
        filter_allow_action: allow(world.filter_allow_returns),
        mangle_allow_action: allow(world.mangle_allow_returns),
        mark_mask: world.mark_mask,
        set_size_max: world.set_size_max,
        ..Settings::default()
    }
}

/// The calculation of `world`'s host over `resources`, given in order at once, or backwards one by one.
pub fn engine(world: &World, resources: &[Resource], is_backwards: bool) -> Engine {
    let mut engine = Engine::new(settings(world));
    engine.set_links(world.links.clone());
    let mut resources: Vec<_> = resources.iter().collect();
    if is_backwards {
        resources.reverse();
    }
    for resource in resources {
        engine.update(resource.key(), Some(Arc::new(resource.clone())));
        if is_backwards {
            engine.flush();
        }
    }
    engine.flush();
    engine
}

/// Both ends of what the compiler may choose: lists as they are, and classes wherever they can be (C-1, C-9).
pub const FORMS: [Classes; 2] = [Classes::Never, Classes::Always];

/// The form for what is done once with `seed`.
pub fn form(seed: u64) -> Classes {
    FORMS[(seed % 2) as usize]
}

/// The ruleset of `world`'s host.
pub fn ruleset(world: &World, form: Classes) -> Ruleset {
    compile_with(engine(world, &world.resources, false).policy(), form)
}

/// The verdict of the reference.
pub fn judge(world: &World, packet: &Packet) -> Judgement {
    let settings = reference_settings(world);
    let reference =
        tortie_reference::World { node: NODE, resources: &world.resources, links: &world.links, settings: &settings };
    tortie_reference::judge(&reference, packet)
}

fn reference_settings(world: &World) -> tortie_reference::Settings {
    let failsafes = |list: &[(Protocol, u16, Option<IpNet>)]| {
        let entry = |(protocol, port, net): &(Protocol, u16, Option<IpNet>)| tortie_reference::Failsafe {
            protocol: *protocol,
            port: *port,
            net: *net,
        };
        list.iter().map(entry).collect()
    };
    use tortie_reference::HostAction::{Accept, Drop, Return};
    tortie_reference::Settings {
        interface_prefixes: vec!["cali".to_owned()],
        interface_exclude: world.interface_exclude.clone(),
        is_loopback_exempt: world.is_loopback_exempt,
        failsafe_inbound: failsafes(&world.failsafes[0]),
        failsafe_outbound: failsafes(&world.failsafes[1]),
        drops_invalid: world.drops_invalid,
        allows_ipv6_essentials: world.allows_ipv6_essentials,
        ignores_http: world.ignores_http,
        endpoint_to_host_action: world.endpoint_to_host_action.map(|position| [Drop, Return, Accept][position]),
        drops_unknown_workloads: world.drops_unknown_workloads,
        drops_unknown_beside_known_only: world.drops_unknown_beside_known_only,
        polices_ipv6: world.polices_ipv6,
        filter_allow_returns: world.filter_allow_returns,
        mangle_allow_returns: world.mangle_allow_returns,
        set_size_max: world.set_size_max,
    }
}

/// Whether the ruleset says the same, at the same stage and for the same reason.
pub fn agrees(judged: &Judgement, found: &Outcome) -> bool {
    let is_same_verdict = matches!(
        (judged.verdict, found.verdict),
        (Verdict::Accept, Decision::Accept) | (Verdict::Drop, Decision::Drop) | (Verdict::Unowned, Decision::Unowned)
    );
    let is_same_stage = match (&judged.reason, &found.base) {
        (None, None) => true,
        (Some(reason), Some(base)) => base_chain(reason.stage) == base.as_str(),
        _ => false,
    };
    let is_same_reason = match (judged.reason.as_ref().map(|reason| &reason.by), &found.origin) {
        (None, None) => true,
        // Known flows of a base chain's map have no rule of their own.
        (Some(By::ConnState), Some(Origin::ConnState))
        | (Some(By::Failsafe), Some(Origin::Failsafe(_)))
        | (Some(By::Ipv6Essentials), Some(Origin::Ipv6Essentials))
        // What is forwarded is no neighbour discovery: where all passes anyway, nothing asks for it.
        | (Some(By::Ipv6Essentials), Some(Origin::NoForwardPolicy))
        | (Some(By::NoForwardPolicy), Some(Origin::NoForwardPolicy))
        | (Some(By::AcceptedEarlier), Some(Origin::AcceptedEarlier))
        | (Some(By::ReversePath), Some(Origin::ReversePath))
        | (Some(By::Workload), Some(Origin::Workload))
        | (Some(By::NoMatch), Some(Origin::NoMatch(_))) => true,
        // Accepted by the in-interface, and the out-interface has no endpoint.
        (Some(_), Some(Origin::Frame("accepted by the in-interface"))) => {
            judged.reason.as_ref().is_some_and(|reason| reason.stage == Stage::S4)
        }
        (Some(By::Policy { name, rule, .. }), Some(Origin::Policy { id, rule: found, .. })) => {
            *name == id.name && rule == found
        }
        (Some(By::TierEnd(name)), Some(Origin::TierEnd { tier, .. })) => **name == **tier,
        (Some(By::Profile { name, rule }), Some(Origin::Profile { name: found, rule: position, .. })) => {
            **name == **found && rule == position
        }
        (Some(By::ProfileMissing(name)), Some(Origin::ProfileMissing { name: found })) => **name == **found,
        _ => false,
    };
    is_same_verdict && is_same_stage && is_same_reason && judged.logs == found.log.len()
}

fn base_chain(stage: Stage) -> &'static str {
    match stage {
        Stage::S1 => "raw-prerouting",
        Stage::S2 => "mangle-prerouting",
        Stage::S3 => "input",
        Stage::S4 | Stage::S5 => "forward",
        Stage::S6 => "raw-output",
        Stage::S7 => "output",
        Stage::S8 => "mangle-postrouting",
    }
}
