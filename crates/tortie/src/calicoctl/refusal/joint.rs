//! Rules that join several fields.

use serde_json::Value;
use tortie_api::schema::Text;
use tortie_api::{Joint, Kind, check_text};

use super::site::{Site, printed};
use super::{LAST, Lines, Pass};

/// Ranks of rules of a policy and of its entities that are told elsewhere.
pub(super) const GLOBAL_RANK: usize = 4;
pub(super) const ENTITY_GLOBAL_RANK: usize = 0;
pub(super) const SERVICE_NAME_RANK: usize = 3;

/// Lines about a rule that is broken; whether nothing else needs to be said of it.
pub(super) fn tell(lines: &mut Lines<'_>, joint: Joint, site: &Site<'_>) -> bool {
    let at = |path: &str, lines: &Lines<'_>| Site::find(lines.kind, lines.raw, path).path;
    let spec = at("spec", lines);
    match joint {
        Joint::NoAttachment => endpoint(lines),
        Joint::PreDnatUntracked => rule(lines, &spec, 0, "preDNAT and doNotTrack cannot both be true"),
        Joint::PreDnatEgress => rule(lines, &spec, 1, "preDNAT policy cannot have any egress rules"),
        Joint::PreDnatTypes => rule(lines, &spec, 2, "preDNAT policy cannot have 'Egress' type"),
        Joint::NotOnForward => {
            rule(lines, &spec, 3, "applyOnForward must be true if either preDNAT or doNotTrack is true");
        }
        Joint::Repeated => repeated(lines, site),
        Joint::StagedDelete => {
            let reason = match lines.kind {
                Kind::StagedKubernetesNetworkPolicy => "Spec fields should all be zero-value if stagedAction is Delete",
                _ => "Spec fields, except Tier, should all be zero-value if stagedAction is Delete",
            };
            lines.whole(4, format!("{}Spec ({reason})", lines.kind));
        }
        Joint::NodeSelector => {
            let reason = "nodeSelector must not be set on the 'default' or per-node ('node.*') FelixConfiguration";
            rule(lines, "", 0, reason);
        }
        Joint::RouteTableRange if site.path == "spec.routeTableRange" => {
            let reason = "must be a range of route table indices within 1..250";
            lines.field(site, "RouteTableRange", &site.value.map(range).unwrap_or_default(), reason);
            lines.rule(site, 0, reason);
        }
        Joint::TemplateName | Joint::TemplateRepeated | Joint::TemplateInterfaces => templates(lines),
        Joint::TierOrder => tier_order(lines),
        Joint::TierAction => tier_action(lines, &Site::find(lines.kind, lines.raw, "spec.defaultAction")),
        Joint::EmptyBgp => {
            // One with fields that are refused is not empty.
            let is_empty = site.value.and_then(Value::as_object).is_none_or(|bgp| bgp.values().all(Value::is_null));
            if is_empty {
                lines.push(Pass::Structs, &site.order, 0, "BGP (Spec.BGP should not be empty)".to_owned());
            }
        }
        Joint::ReservedLabel => {
            let key = site.key.clone().unwrap_or_default();
            let text = format!("Metadata.Labels (label) = '{key}' ({key} is not a valid label name)");
            lines.whole(0, text);
        }
        Joint::RouteTables => rule(lines, &spec, 0, "routeTableRange and routeTableRanges cannot both be set"),
        Joint::RouteTableRange => route_tables(lines, site),
        Joint::RouteTablesTotal => {
            let spec = Site::find(lines.kind, lines.raw, "spec");
            let ranges = site.value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let ranges: Vec<String> = ranges.iter().map(range).collect();
            let text = format!("RouteTableRanges = '[{}]' (targets too many tables)", ranges.join(" "));
            lines.structure(&spec, LAST, text);
        }
        Joint::OnlyDefault => return false,
        _ => return in_rule(lines, joint, site),
    }
    true
}

/// A range of tables as Go prints it.
fn range(value: &Value) -> String {
    let bound = |name: &str| value.get(name).map(printed).unwrap_or_default();
    format!("{{{} {}}}", bound("min"), bound("max"))
}

/// One of several ranges of tables.
fn route_tables(lines: &mut Lines<'_>, site: &Site<'_>) {
    let bound = |name: &str| site.member(name).and_then(Value::as_i64).unwrap_or_default();
    let value = site.value.map(range).unwrap_or_default();
    let reasons = [
        (bound("min") > bound("max"), "min value cannot be greater than max value"),
        (bound("min") <= 0, "cannot target indices < 1"),
    ];
    for (_, reason) in reasons.into_iter().filter(|(is_it, _)| *is_it) {
        lines.field(site, "RouteTableRange", &value, reason);
    }
}

fn rule(lines: &mut Lines<'_>, path: &str, rank: usize, reason: &str) {
    let site = Site::find(lines.kind, lines.raw, path);
    lines.rule(&site, rank, reason);
}

/// What every host endpoint has.
pub(super) fn endpoint(lines: &mut Lines<'_>) {
    let spec = Site::find(lines.kind, lines.raw, "spec");
    if !spec.has("interfaceName") && !spec.has("expectedIPs") {
        lines.rule(&spec, 0, "at least one of interfaceName or expectedIPs must be specified");
    }
    if !spec.has("node") {
        lines.rule(&spec, 1, "node must be specified");
    }
}

fn repeated(lines: &mut Lines<'_>, site: &Site<'_>) {
    let path = site.path.split('[').next().unwrap_or_default();
    let list = Site::find(lines.kind, lines.raw, path);
    if path != "spec.types" {
        return lines.tag(&list, "unique");
    }
    let kind = if lines.kind.is_namespaced() { Kind::NetworkPolicy } else { Kind::GlobalNetworkPolicy };
    let reason = format!("'{}' type specified more than once", site.text());
    lines.whole(5, format!("{kind}Spec.Types = '{}' ({reason})", list.printed()));
    if list.value.and_then(Value::as_array).is_some_and(|types| types.len() > 2) {
        lines.schema(&list, "must have at most 2 items");
    }
}

/// The first template that is none.
fn templates(lines: &mut Lines<'_>) {
    let place = "KubeControllersConfiguration.Node.HostEndpoint.Templates";
    let site = Site::find(lines.kind, lines.raw, "spec.controllers.node.hostEndpoint");
    let list = site.member("templates").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut names = Vec::new();
    for template in list {
        let name = template.get("generateName").and_then(Value::as_str).unwrap_or_default();
        let is_empty = |field: &str| match template.get(field) {
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::String(text)) => text.is_empty(),
            _ => true,
        };
        let text = if name.is_empty() {
            format!("{place} (Template name must be specified)")
        } else if names.contains(&name) {
            format!("{place}.{name} (Template name must be unique)")
        } else if is_empty("interfaceCIDRs") && is_empty("interfacePattern") {
            format!("{place}.{name} (InterfaceCIDRs or InterfacePattern must be specified)")
        } else {
            names.push(name);
            continue;
        };
        return lines.whole(0, text);
    }
}

/// The name of a tier.
fn tier_name(lines: &Lines<'_>) -> String {
    Site::find(lines.kind, lines.raw, "metadata.name").text().to_owned()
}

fn tier_order(lines: &mut Lines<'_>) {
    let name = tier_name(lines);
    let fixed = tortie_api::defaults::FIXED_TIERS.iter().find(|(fixed, ..)| *fixed == name);
    let order = fixed.map_or(0, |(_, order, _)| *order);
    rule(lines, "", 1, &format!("{name} tier order must be {order}"));
}

/// What is wrong with the default action of a tier.
pub(super) fn tier_action(lines: &mut Lines<'_>, site: &Site<'_>) {
    let (name, action) = (tier_name(lines), site.text());
    let fixed = tortie_api::defaults::FIXED_TIERS.iter().find(|(fixed, ..)| *fixed == name);
    if let Some((.., wanted)) = fixed.filter(|(.., wanted)| *wanted != action) {
        rule(lines, "", 0, &format!("The '{name}' tier must have default action '{wanted}'"));
    }
    if site.value.is_none() || ["Pass", "Deny"].contains(&action) {
        return;
    }
    lines.tag(site, "oneof");
    let is_action = ["Allow", "Log"].contains(&action);
    if !is_action {
        lines.schema(site, "supported values: \"Allow\", \"Deny\", \"Log\", \"Pass\"");
    }
    let path = &site.path;
    lines.push(Pass::Schema, &site.order, 1, format!("{path} (supported values: \"Pass\", \"Deny\")"));
    let none = if is_action { "" } else { ". None validated" };
    let text = format!("Tier (\"{path}\" must validate all the schemas (allOf){none})");
    lines.push(Pass::Schema, &site.order, 2, text);
}

/// The path of the rule that a path leads into.
pub(super) fn rule_of(path: &str) -> Option<String> {
    let behind = path.strip_prefix("spec.ingress[").or_else(|| path.strip_prefix("spec.egress["))?;
    let end = path.len() - behind.len() + behind.find(']')? + 1;
    Some(path[..end].to_owned())
}

/// Rules of rules.
fn in_rule(lines: &mut Lines<'_>, joint: Joint, site: &Site<'_>) -> bool {
    let Some(path) = rule_of(&site.path) else { return false };
    let of_rule = Site::find(lines.kind, lines.raw, &path);
    match joint {
        Joint::IpVersion => lines.schema(site, "supported values: \"4\", \"6\""),
        Joint::ProtocolVersion => match site.printed().as_str() {
            "ICMPv6" | "58" => lines.rule(&of_rule, 5, "protocol ICMPv6 requires ipVersion 6"),
            _ => lines.rule(&of_rule, 4, "protocol ICMP requires ipVersion 4"),
        },
        Joint::IcmpProtocol => lines.rule(&of_rule, 3, "ICMP fields require protocol to be ICMP or ICMPv6"),
        Joint::IcmpCode => {
            rule(lines, site.path.trim_end_matches(".code"), 0, "ICMP code specified without an ICMP type");
        }
        Joint::HttpAction => lines.rule(&of_rule, 1, "HTTP match is only valid on Allow rules"),
        Joint::HttpProtocol => lines.rule(&of_rule, 0, "rules with HTTP match must have protocol TCP or unset"),
        Joint::HttpEgress => {
            let place = if lines.kind.is_namespaced() { "egress rule" } else { "egress rules" };
            lines.whole(6, format!("HTTP (not allowed in {place})"));
        }
        Joint::HttpMethods => {
            let methods = Site::find(lines.kind, lines.raw, &format!("{path}.http.methods"));
            let printed = methods.printed();
            lines.field(&methods, "Methods", &printed, &format!("Invalid methods (duplicates): {printed}"));
        }
        Joint::HttpPath => http_paths(lines, &site.path),
        Joint::Families | Joint::NegatedEverything => nets(lines, &site.path),
        Joint::PortsProtocol | Joint::PortsNumeric => ports(lines, &path),
        Joint::ServicesExclusive => services(lines, &of_rule, site),
        Joint::ServicesNamespace => {
            // Where services may not stand at all that is said instead.
            if !is_misplaced(&site.path) {
                let rank = if site.path.starts_with("spec.egress") { 8 } else { 9 };
                lines.whole(rank, "Namespace = '' (must specify a namespace)".to_owned());
            }
        }
        Joint::ServicesPlace => {
            let ingress = site.path.starts_with("spec.ingress");
            let (rank, place) = if ingress { (7, "ingress rule destination") } else { (6, "egress rule source") };
            lines.whole(rank, format!("Services (not allowed in {place})"));
        }
        _ => return false,
    }
    true
}

fn is_misplaced(path: &str) -> bool {
    path.starts_with("spec.ingress") && path.contains(".destination")
        || path.starts_with("spec.egress") && path.contains(".source")
}

fn services(lines: &mut Lines<'_>, of_rule: &Site<'_>, site: &Site<'_>) {
    // Its place among the rules of an entity, its name, and the fields.
    const EXCLUDED: [(usize, &str, &[&str]); 4] = [
        (1, "NamespaceSelector", &["namespaceSelector"]),
        (2, "ServiceAccounts", &["serviceAccounts"]),
        (4, "Selector/NotSelector", &["selector", "notSelector"]),
        (5, "Nets/NotNets", &["nets", "notNets"]),
    ];
    let entity = Site::find(lines.kind, lines.raw, site.path.trim_end_matches(".services"));
    for (rank, words, names) in EXCLUDED {
        if names.iter().any(|name| entity.has(name)) {
            lines.rule(&entity, rank, &format!("cannot specify {words} and Services on the same rule"));
        }
    }
    if entity.path.ends_with(".destination") && (entity.has("ports") || entity.has("notPorts")) {
        lines.rule(of_rule, 2, "ports and notPorts cannot be specified with services");
    }
}

/// The paths of the HTTP match around a path: the first that is wrong.
pub(super) fn http_paths(lines: &mut Lines<'_>, path: &str) {
    let Some(rule) = rule_of(path) else { return };
    let site = Site::find(lines.kind, lines.raw, &format!("{rule}.http.paths"));
    let list = site.value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |item: &Value, name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let items: Vec<(String, String)> = list.iter().map(|item| (text(item, "exact"), text(item, "prefix"))).collect();
    let shown: Vec<String> = items.iter().map(|(exact, prefix)| format!("{{{exact} {prefix}}}")).collect();
    let shown = format!("[{}]", shown.join(" "));
    for (exact, prefix) in &items {
        let path = if exact.is_empty() { prefix } else { exact };
        let reason = if !exact.is_empty() && !prefix.is_empty() {
            "Invalid path match. Both 'exact' and 'prefix' are set".to_owned()
        } else if path.is_empty() {
            "Invalid path match. Either 'exact' or 'prefix' must be set".to_owned()
        } else if !path.starts_with('/') || path.contains(['?', ' ', '#']) {
            format!("Invalid path {path}. (must start with `/` and not contain `?` or `#`")
        } else {
            continue;
        };
        return lines.field(&site, "Paths", &shown, &reason);
    }
}

/// The networks of the rule around a path, all four lists in one go.
pub(super) fn nets(lines: &mut Lines<'_>, path: &str) {
    let Some(path) = rule_of(path) else { return };
    let rule = Site::find(lines.kind, lines.raw, &path);
    let version = rule.member("ipVersion").and_then(Value::as_i64);
    let source = Site::find(lines.kind, lines.raw, &format!("{path}.source"));
    let (mut seen_v4, mut seen_v6) = (false, false);
    let mut rank = 0;
    for end in ["source", "destination"] {
        let entity = Site::find(lines.kind, lines.raw, &format!("{path}.{end}"));
        for (name, go_name) in [("nets", "Nets"), ("notNets", "NotNets")] {
            let field = format!("{}.{go_name}", if end == "source" { "Source" } else { "Destination" });
            let list = entity.texts(name);
            let (mut has_v4, mut has_v6) = (false, false);
            for (number, net) in list.iter().enumerate() {
                let item = Site::find(lines.kind, lines.raw, &format!("{}.{name}[{number}]", entity.path));
                rank += 1;
                let is_net = net.contains('/') && check_text(Text::LooseNet, net).is_ok();
                // An address by itself keeps the tag, and what it names is no network all the same.
                if check_text(Text::LooseNet, net).is_err() || is_net && check_text(Text::StrictNet, net).is_err() {
                    lines.tag(&item, "net");
                }
                if !is_net {
                    lines.structure(&rule, rank, format!("{field} = '{net}' (invalid CIDR)"));
                    continue;
                }
                let is_v6 = net.contains(':');
                (has_v4, has_v6) = (has_v4 || !is_v6, has_v6 || is_v6);
                // Go compares those of IPv4 by their text.
                if name == "notNets" && if is_v6 { is_all_v6(net) } else { *net == "0.0.0.0/0" } {
                    let reason = "catch-all CIDR in negation creates logical contradiction (matches no traffic)";
                    lines.structure(&rule, rank, format!("{field} = '{net}' ({reason})"));
                }
            }
            rank += 1;
            if has_v4 && version.is_some_and(|v| v != 4) || has_v6 && version.is_some_and(|v| v != 6) {
                let value = source.member("nets").map_or("[]".to_owned(), printed);
                let reason = "rule IP version doesn't match CIDR version";
                lines.structure(&rule, rank, format!("{field} = '{value}' ({reason})"));
            }
            rank += 1;
            if has_v4 && (has_v6 || seen_v6) || has_v6 && seen_v4 {
                let reason = "rule contains both IPv4 and IPv6 CIDRs";
                lines.structure(&rule, rank, format!("{field} = '[{}]' ({reason})", list.join(" ")));
            }
            (seen_v4, seen_v6) = (seen_v4 || has_v4, seen_v6 || has_v6);
        }
    }
}

/// Whether a network of IPv6 has no prefix at all.
fn is_all_v6(net: &str) -> bool {
    net.rsplit_once('/').is_some_and(|(_, len)| len.parse() == Ok(0))
}

/// Whether Calico's tools know ports of a protocol; they do of three names in either case.
pub(super) fn has_ports(protocol: &str) -> bool {
    match protocol.parse::<u8>() {
        Ok(number) => [6, 17, 132].contains(&number),
        Err(_) => ["TCP", "UDP", "SCTP", "tcp", "udp", "sctp"].contains(&protocol),
    }
}

/// A port of a rule as it is printed: leading zeros are gone, and a range of one is a number.
fn port(value: &Value) -> String {
    let text = printed(value);
    match text.split_once(':').map(|(min, max)| (min.parse::<u16>(), max.parse::<u16>())) {
        Some((Ok(min), Ok(max))) if min == max => min.to_string(),
        Some((Ok(min), Ok(max))) => format!("{min}:{max}"),
        _ => text.parse::<u16>().map_or(text, |number| number.to_string()),
    }
}

/// The ports of a rule whose protocol has none.
pub(super) fn ports(lines: &mut Lines<'_>, path: &str) {
    const BEHIND_NETS: usize = 1_000_000;
    let rule = Site::find(lines.kind, lines.raw, path);
    let protocol = rule.member("protocol").map(printed);
    if protocol.as_deref().is_some_and(has_ports) {
        return;
    }
    let mut rank = BEHIND_NETS;
    for (end, field) in [("source", "Source"), ("destination", "Destination")] {
        let entity = Site::find(lines.kind, lines.raw, &format!("{path}.{end}"));
        for (name, go_name) in [("ports", "Ports"), ("notPorts", "NotPorts")] {
            let list = entity.member(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let is_numeric = |port: &Value| printed(port).bytes().all(|b| b.is_ascii_digit() || b == b':');
            let reason = match protocol {
                Some(_) if !list.is_empty() => "rules that specify ports must set protocol to TCP or UDP or SCTP",
                None if list.iter().any(is_numeric) => {
                    "rules with numeric port or port range must set protocol to TCP or UDP or SCTP"
                }
                _ => continue,
            };
            rank += 1;
            let ports: Vec<String> = list.iter().map(port).collect();
            lines.structure(&rule, rank, format!("{field}.{go_name} = '[{}]' ({reason})", ports.join(" ")));
        }
    }
}
