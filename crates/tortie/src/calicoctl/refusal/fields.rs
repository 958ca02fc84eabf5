//! What is wrong with single fields.

use serde_json::Value;
use tortie_api::schema::Text;
use tortie_api::{Fault, Kind, Problem};

use super::joint::{SERVICE_NAME_RANK, endpoint, rule_of};
use super::site::Site;
use super::{Lines, Pass, joint, names, settings};

/// Fields whose words are asked for by a tag as well.
const ONE_OF: &[&str] = &[
    "autoCreate",
    "awsSrcDstCheck",
    "bpfConnectTimeLoadBalancing",
    "bpfConntrackLogLevel",
    "bpfHostNetworkedNATWithoutCTLB",
    "healthChecks",
    "natOutgoingExclusions",
    "performanceHints",
    "policyNameMigrator",
    "syncLabels",
    "windowsManageFirewallRules",
];

/// A map of labels of a template of host endpoints stands there.
const TEMPLATE_LABELS: &str = ".labels.";

/// Lines about a field; whether nothing else needs to be said of the problem.
pub(super) fn tell(lines: &mut Lines<'_>, problem: &Problem, site: &Site<'_>) -> bool {
    match problem.fault {
        Fault::Name => names::name(lines, site),
        Fault::LabelKey if site.path.starts_with("spec.labelsToApply") => labels(lines, "spec.labelsToApply"),
        Fault::LabelValue if site.path.starts_with("spec.labelsToApply") => labels(lines, "spec.labelsToApply"),
        Fault::LabelKey | Fault::LabelValue
            if site.path.starts_with("spec.") && site.path.contains(TEMPLATE_LABELS) =>
        {
            let end = site.path.find(TEMPLATE_LABELS).map_or(0, |at| at + TEMPLATE_LABELS.len() - 1);
            labels(lines, &site.path[..end]);
        }
        Fault::LabelKey => names::key(lines, site, "Metadata.Labels (label)"),
        Fault::LabelValue => names::label_value(lines, site),
        Fault::AnnotationKey => names::key(lines, site, "Metadata.Annotations (key)"),
        Fault::AnnotationsLength(total) => names::annotations_length(lines, site, total),
        Fault::Length(limit) => length(lines, site, limit),
        Fault::Missing => {
            missing(lines, site);
            return true;
        }
        Fault::Bounds(min, max) => bounds(lines, site, min, max),
        Fault::Text(rule) => return text(lines, site, rule),
        _ => {}
    }
    false
}

/// A map of labels is refused as a whole.
fn labels(lines: &mut Lines<'_>, path: &str) {
    let site = Site::find(lines.kind, lines.raw, path);
    lines.tag(&site, "labels");
}

fn length(lines: &mut Lines<'_>, site: &Site<'_>, limit: usize) {
    lines.schema(site, &format!("must have at most {limit} items"));
}

fn missing(lines: &mut Lines<'_>, site: &Site<'_>) {
    let (parent, leaf) = site.path.rsplit_once('.').unwrap_or(("", &site.path));
    let parent_site = Site::find(lines.kind, lines.raw, parent);
    match (lines.kind, leaf) {
        // Its name is asked for.
        (_, "metadata") => {}
        (Kind::HostEndpoint, "node") => endpoint(lines),
        (_, "action") => lines.schema(site, &supported(&["Allow", "Deny", "Log", "Pass"])),
        (_, "name") if parent.ends_with(".services") => {
            let entity = Site::find(lines.kind, lines.raw, parent.trim_end_matches(".services"));
            let reason = "no such key: name evaluating rule: services must specify a service name";
            lines.rule(&entity, SERVICE_NAME_RANK, reason);
        }
        (Kind::HostEndpoint, "protocol") => {
            lines.field(site, "Protocol", "0", "protocol number invalid");
            port_protocol(lines, &parent_site, "0");
        }
        (Kind::HostEndpoint, "port") => bounds_with(lines, site, "0", "gt", Some("greater than or equal to 1")),
        (Kind::HostEndpoint, "name") => lines.tag(site, "portName"),
        _ => lines.schema(site, "Required value"),
    }
}

fn port_protocol(lines: &mut Lines<'_>, port: &Site<'_>, value: &str) {
    let reason = "EndpointPort protocol does not support ports.";
    lines.structure(port, 0, format!("EndpointPort.Protocol = '{value}' ({reason})"));
}

fn bounds(lines: &mut Lines<'_>, site: &Site<'_>, min: i64, max: i64) {
    let number = site.value.and_then(Value::as_i64).unwrap_or_default();
    let leaf = site.path.rsplit('.').next().unwrap_or_default();
    if leaf == "ipVersion" {
        return lines.schema(site, &supported(&["4", "6"]));
    }
    // Some types have their bounds in the schema as well.
    let is_in_schema = (lines.kind == Kind::HostEndpoint && leaf == "port") || rule_of(&site.path).is_some();
    let (tag, words) = match number < min {
        true if leaf == "port" => ("gt", format!("greater than or equal to {min}")),
        true => ("gte", format!("greater than or equal to {min}")),
        false => ("lte", format!("less than or equal to {max}")),
    };
    bounds_with(lines, site, &number.to_string(), tag, is_in_schema.then_some(words.as_str()));
}

fn bounds_with(lines: &mut Lines<'_>, site: &Site<'_>, value: &str, tag: &str, words: Option<&str>) {
    let name = &site.go_name;
    lines.field(site, name, value, &format!("Reason: failed to validate Field: {name} because of Tag: {tag} "));
    if let Some(words) = words {
        lines.schema(site, &format!("{} in body should be {words}", site.path));
    }
}

fn supported(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("supported values: {}", words.join(", "))
}

fn pattern(lines: &mut Lines<'_>, site: &Site<'_>, pattern: &str) {
    lines.schema(site, &format!("{} in body should match '{pattern}'", site.path));
}

/// A text against its rule.
fn text(lines: &mut Lines<'_>, site: &Site<'_>, rule: Text) -> bool {
    let is_in_rule = rule_of(&site.path).is_some();
    match rule {
        Text::Any(limit) => lines.schema(site, &format!("may not be more than {limit} bytes")),
        Text::OneOf(words) => one_of(lines, site, words),
        Text::OneOfAnyCase(words) => any_case(lines, site, words),
        Text::Name => name(lines, site),
        Text::TierName => lines.tag(site, "name"),
        Text::Interface => {
            lines.tag(site, "interface");
            if site.text().len() > 15 {
                lines.schema(site, "may not be more than 15 bytes");
            }
        }
        Text::Address => lines.tag(site, "ip"),
        Text::AddressV4 | Text::AddressV6 => address(lines, site, rule == Text::AddressV4),
        Text::StrictNet if is_in_rule => joint::nets(lines, &site.path),
        Text::StrictNet => lines.tag(site, "net"),
        Text::LooseNet if site.path.contains(".interfaceCIDRs[") => {
            let list = site.path.split(".interfaceCIDRs[").next().unwrap_or_default();
            let list = Site::find(lines.kind, lines.raw, &format!("{list}.interfaceCIDRs"));
            lines.tag(&list, "cidrs");
        }
        Text::LooseNet => lines.tag(site, "cidr"),
        Text::Mac => lines.tag(site, "mac"),
        Text::LooseNetV4 if site.path.starts_with("spec.externalNodesList") => settings::external_net(lines, site),
        Text::LooseNetV4 => lines.tag(site, "cidrv4"),
        Text::LooseNetV6 => lines.tag(site, "cidrv6"),
        Text::Selector | Text::ScopedSelector | Text::NamespaceSelector => selector(lines, site, rule),
        Text::Protocol => protocol(lines, site),
        Text::PortProtocol => {
            let is_known = tortie_api::check_text(Text::Protocol, &site.printed()).is_ok();
            if !is_known {
                protocol(lines, site);
            }
            let port = Site::find(lines.kind, lines.raw, site.path.trim_end_matches(".protocol"));
            if !joint::has_ports(&site.printed()) {
                port_protocol(lines, &port, &site.printed());
            }
        }
        Text::NumericPort if settings::is_named_range(site) => settings::node_port(lines, site),
        Text::Port | Text::NumericPort => port(lines, site),
        Text::PortName => lines.tag(site, "portName"),
        Text::Duration if site.path.ends_with(".timeout") && site.text().starts_with('-') => {
            settings::health_timeout(lines, site);
        }
        Text::Duration | Text::FreeDuration => pattern(lines, site, r"^([0-9]+(\\.[0-9]+)?(ms|s|m|h))*$"),
        Text::Regex => lines.tag(site, "regexp"),
        Text::LogPrefix => pattern(lines, site, "^([a-zA-Z0-9%: /_-])*$"),
        Text::MetricsHost => lines.tag(site, "prometheusHost"),
        Text::HttpPath => joint::http_paths(lines, &site.path),
        Text::RateLimit => pattern(lines, site, r"^[1-9]\d{0,3}/(?:second|minute|hour|day)$"),
        Text::Region => settings::region(lines, site),
        Text::HealthName => settings::health_name(lines, site),
        Text::FailsafeProtocol | Text::AsNumber => return false,
    }
    true
}

fn one_of(lines: &mut Lines<'_>, site: &Site<'_>, words: &[&str]) {
    let leaf = site.path.rsplit('.').next().unwrap_or_default();
    let leaf = leaf.split('[').next().unwrap_or_default();
    if lines.kind == Kind::Tier && leaf == "defaultAction" {
        return joint::tier_action(lines, site);
    }
    if leaf == "createDefaultHostEndpoint" {
        return lines.tag(site, leaf);
    }
    if ONE_OF.contains(&leaf) {
        lines.tag(site, "oneof");
    }
    if site.path == "spec.iptablesBackend" {
        // The one field with both, the words of the pattern by the alphabet.
        let mut sorted = words.to_vec();
        sorted.sort_unstable();
        any_case(lines, site, &sorted);
    }
    lines.push(Pass::Schema, &site.order, 1, format!("{} ({})", site.path, supported(words)));
}

/// A name, which has its length in the schema.
fn name(lines: &mut Lines<'_>, site: &Site<'_>) {
    const LEN_MAX: usize = 253;
    if !names::is_dotted(site.text()) {
        lines.tag(site, "name");
    }
    if site.text().len() > LEN_MAX {
        lines.schema(site, &format!("may not be more than {LEN_MAX} bytes"));
    }
}

fn any_case(lines: &mut Lines<'_>, site: &Site<'_>, words: &[&str]) {
    pattern(lines, site, &format!("^(?i)({})?$", words.join("|")));
}

fn address(lines: &mut Lines<'_>, site: &Site<'_>, is_v4: bool) {
    let spec = Site::find(lines.kind, lines.raw, "spec");
    let (tag, word) = if is_v4 { ("ipv4", "IPv4") } else { ("ipv6", "IPv6") };
    let is_ruled = |leaf: &&str| *leaf == "natOutgoingAddress" || leaf.starts_with("deviceRouteSourceAddress");
    match site.path.strip_prefix("spec.").filter(is_ruled) {
        Some(leaf) => lines.rule(&spec, 0, &format!("{leaf} must be a valid {word} address")),
        None => lines.tag(site, tag),
    }
}

fn selector(lines: &mut Lines<'_>, site: &Site<'_>, rule: Text) {
    const ELSEWHERE: &str = "global() can only be used in an EntityRule namespaceSelector";
    let text = site.text();
    let is_global = text.contains("global(") && tortie_api::check_text(Text::Selector, text).is_ok();
    match (is_global, rule) {
        (true, Text::NamespaceSelector) => {
            let reason = "global() cannot be combined with other selectors";
            lines.field(site, "NamespaceSelector field", text, reason);
        }
        (true, _) if rule_of(&site.path).is_some() => {
            let entity = site.path.rsplit_once('.').map_or("", |(entity, _)| entity);
            let entity = Site::find(lines.kind, lines.raw, entity);
            lines.rule(&entity, joint::ENTITY_GLOBAL_RANK, ELSEWHERE);
        }
        (true, _) => {
            let spec = Site::find(lines.kind, lines.raw, "spec");
            lines.rule(&spec, joint::GLOBAL_RANK, ELSEWHERE);
        }
        (false, _) => {
            lines.tag(site, "selector");
            if text.len() > 1024 {
                lines.schema(site, "may not be more than 1024 bytes");
            }
        }
    }
}

fn protocol(lines: &mut Lines<'_>, site: &Site<'_>) {
    let word = if site.value.is_some_and(Value::is_number) { "number" } else { "name" };
    lines.field(site, "Protocol", &site.printed(), &format!("protocol {word} invalid"));
    if let Some(rule) = rule_of(&site.path) {
        joint::ports(lines, &rule);
    }
}

fn port(lines: &mut Lines<'_>, site: &Site<'_>) {
    let text = site.printed();
    let is_range = text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    match is_range {
        true => {
            let reason = "port range invalid, port number must be between 1 and 65535";
            lines.field(site, "Port", text.split(':').next().unwrap_or_default(), reason);
        }
        false => {
            let reason = "Reason: failed to validate Field: PortName because of Tag: portName ";
            lines.field(site, "PortName", &text, reason);
        }
    }
}
