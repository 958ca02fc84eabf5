//! Lints of agents' settings.

use serde_json::Value;

use super::world::World;
use super::{Lint, and_more};
use crate::model::{Attachment, FelixConfiguration, PolicyClass};
use crate::{DEFAULT_ALLOW_PROFILE, Kind, ResourceKey};

fn key(settings: &FelixConfiguration) -> ResourceKey {
    ResourceKey::global(Kind::FelixConfiguration, &settings.meta.name)
}

/// T-5: a wildcard endpoint that polices `lo` cuts what local programs say to each other (E-121).
pub(super) fn loopback(world: &World<'_>) -> Vec<Lint> {
    let is_wildcard = |attachment: &Attachment| *attachment == Attachment::AllInterfaces;
    let wildcards: Vec<_> = world.endpoints.iter().filter(|e| is_wildcard(&e.hep.attachment)).collect();
    let Some(first) = wildcards.first() else { return Vec::new() };
    let annotation = |settings: &FelixConfiguration, name: &str| {
        settings.meta.annotations.get(&format!("tortie.dev/{name}")).map(|value| value.to_lowercase())
    };
    let polices = |settings: &FelixConfiguration| match annotation(settings, "wildcardLoopback").as_deref() {
        None => annotation(settings, "compatibility").as_deref() == Some("strict"),
        Some(value) => value == "police",
    };
    let asked = world.settings.iter().filter(|settings| world.is_asked_settings(settings) && polices(settings));
    let message =
        format!("{} judges `lo` too: local health checks and databases", and_more(&first.key, wildcards.len()));
    let hint = "set `tortie.dev/wildcardLoopback: Exempt`, or allow what local programs say to each other";
    asked.map(|settings| Lint::new("T-5", key(settings), &message, hint).at("metadata.annotations")).collect()
}

/// E-510: without failsafe ports a policy can lock its author out.
///
/// An endpoint that lists the profile that allows everything is locked by an explicit rule only, and does not count.
pub(super) fn failsafes(world: &World<'_>) -> Vec<Lint> {
    let is_unknown = !world.is_complete && world.endpoints.is_empty();
    let is_closed = |profiles: &[String]| !profiles.iter().any(|name| name == DEFAULT_ALLOW_PROFILE);
    if !is_unknown && !world.endpoints.iter().any(|endpoint| is_closed(&endpoint.hep.profiles)) {
        return Vec::new();
    }
    let mut lints = Vec::new();
    for settings in world.settings.iter().filter(|settings| world.is_asked_settings(settings)) {
        for (name, what) in [
            ("failsafeInboundHostPorts", "no port is safe inward: a policy can cut your own SSH connection"),
            ("failsafeOutboundHostPorts", "no port is safe outward: a policy can cut DNS, DHCP and the store"),
        ] {
            if settings.values.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
                let hint = "list the ports that must stay open, or allow them in a policy before you apply this";
                lints.push(Lint::new("E-510", key(settings), what, hint).at(format!("spec.{name}")));
            }
        }
    }
    lints
}

/// T-25: some stages cannot answer a packet that they deny (E-610).
pub(super) fn reject(world: &World<'_>) -> Vec<Lint> {
    let is_early = |class| matches!(class, PolicyClass::Untracked | PolicyClass::PreDnat);
    let Some(policy) = world.policies.iter().find(|policy| is_early(policy.policy.class)) else { return Vec::new() };
    let mut lints = Vec::new();
    for settings in world.settings.iter().filter(|settings| world.is_asked_settings(settings)) {
        for name in ["nftablesFilterDenyAction", "iptablesFilterDenyAction"] {
            let action = settings.values.get(name).and_then(Value::as_str).unwrap_or_default();
            if action.eq_ignore_ascii_case("Reject") {
                let message = format!("what {} denies is dropped, not rejected: it is too early to answer", policy.key);
                let hint = "nothing to do: untracked and pre-DNAT denies are silent, all others are answered";
                lints.push(Lint::new("T-25", key(settings), message, hint).at(format!("spec.{name}")));
            }
        }
    }
    lints
}
