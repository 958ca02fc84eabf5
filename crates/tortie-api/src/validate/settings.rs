//! FelixConfiguration and KubeControllersConfiguration (resources.md sections 9 and 10).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Object, entry, list, only_default, text};
use crate::checks;
use crate::problem::{Joint, Problem};

pub(super) fn felix(name: &str, spec: &Object, problems: &mut Vec<Problem>) {
    if (name == "default" || name.starts_with("node.")) && spec.contains_key("nodeSelector") {
        let problem = Problem::error("spec.nodeSelector", format!("`nodeSelector` is not allowed on `{name}`"));
        problems.push(problem.breaks(Joint::NodeSelector).with_hint("it belongs to objects of other names"));
    }
    for list_name in ["failsafeInboundHostPorts", "failsafeOutboundHostPorts"] {
        for (number, item) in list(spec, list_name).iter().enumerate().filter_map(|(n, i)| Some((n, i.as_object()?))) {
            let path = entry("spec", list_name, number);
            let protocol = text(item, "protocol");
            if !["", "tcp", "udp", "sctp"].contains(&protocol.to_lowercase().as_str()) {
                let message =
                    format!("`{protocol}` is no protocol of a failsafe: agents use their built-in list as well");
                problems.push(Problem::warning(format!("{path}.protocol"), message).with_hint("use tcp, udp or sctp"));
            }
            let net = text(item, "net");
            if !net.is_empty() && checks::loose_net(net).is_err() {
                let message = format!("`{net}` is not a network: agents use their built-in list as well");
                problems.push(Problem::warning(format!("{path}.net"), message));
            }
        }
    }
    for mask_name in ["nftablesMarkMask", "iptablesMarkMask"] {
        // An agent needs two bits of the mark; the reference's stops with fewer (E-617).
        if let Some(mask) = spec.get(mask_name).and_then(Value::as_u64).filter(|mask| mask.count_ones() < 2) {
            let problem = Problem::error(format!("spec.{mask_name}"), format!("{mask} has too few bits"));
            problems.push(problem.with_hint("set two at least; the default is 4294901760 (0xffff0000)"));
        }
    }
    route_tables(spec, problems);
}

fn route_tables(spec: &Object, problems: &mut Vec<Problem>) {
    let bounds = |range: &Value| Some((range.get("min")?.as_i64()?, range.get("max")?.as_i64()?));
    if spec.contains_key("routeTableRange") && spec.contains_key("routeTableRanges") {
        let message = "`routeTableRange` and `routeTableRanges` exclude each other";
        problems.push(Problem::error("spec.routeTableRange", message).breaks(Joint::RouteTables));
    }
    if let Some((min, max)) = spec.get("routeTableRange").and_then(bounds)
        && !(1 <= min && min <= max && max <= 250)
    {
        let problem = Problem::error("spec.routeTableRange", "a range needs 1 <= min <= max <= 250");
        problems.push(problem.breaks(Joint::RouteTableRange));
    }
    let mut total = 0i64;
    for (number, range) in list(spec, "routeTableRanges").iter().enumerate() {
        let Some((min, max)) = bounds(range) else { continue };
        if min < 1 || max < min {
            let path = entry("spec", "routeTableRanges", number);
            problems.push(Problem::error(path, "a range needs 1 <= min <= max").breaks(Joint::RouteTableRange));
        }
        total = total.saturating_add(max.saturating_sub(min).saturating_add(1));
    }
    if total > 65_535 {
        let problem = Problem::error("spec.routeTableRanges", format!("{total} tables in all, at most 65535"));
        problems.push(problem.breaks(Joint::RouteTablesTotal));
    }
}

pub(super) fn kube_controllers(metadata: &Object, spec: &Object, problems: &mut Vec<Problem>) {
    only_default(metadata, problems);
    let templates = spec
        .get("controllers")
        .and_then(|controllers| controllers.get("node")?.get("hostEndpoint")?.get("templates")?.as_array())
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut names = BTreeSet::new();
    for (number, template) in templates.iter().enumerate().filter_map(|(n, t)| Some((n, t.as_object()?))) {
        let path = entry("spec.controllers.node.hostEndpoint", "templates", number);
        let name = text(template, "generateName");
        if name.is_empty() {
            let problem = Problem::error(format!("{path}.generateName"), "`generateName` is missing");
            problems.push(problem.breaks(Joint::TemplateName));
        } else if !names.insert(name) {
            let problem = Problem::error(format!("{path}.generateName"), format!("`{name}` is used twice"));
            problems.push(problem.breaks(Joint::TemplateRepeated));
        }
        if list(template, "interfaceCIDRs").is_empty() && text(template, "interfacePattern").is_empty() {
            let message = "at least one of `interfaceCIDRs` and `interfacePattern` must be given";
            problems.push(Problem::error(path, message).breaks(Joint::TemplateInterfaces));
        }
    }
}
