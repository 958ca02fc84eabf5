//! What is wrong with settings of agents beyond their tags: rules of the whole of them.

use serde_json::Value;

use super::Lines;
use super::site::{Site, printed};

/// The settings as a whole.
fn spec<'a>(lines: &Lines<'a>) -> Site<'a> {
    Site::find(lines.kind, lines.raw, "spec")
}

/// A line about one of their fields.
fn tell(lines: &mut Lines<'_>, site: &Site<'_>, name: &str, value: &str, reason: &str) {
    let spec = spec(lines);
    lines.structure(&spec, site.order.get(1).copied().unwrap_or_default(), format!("{name} = '{value}' ({reason})"));
}

/// A network of nodes that are none of Calico's.
pub(super) fn external_net(lines: &mut Lines<'_>, site: &Site<'_>) {
    let is_net = tortie_api::check_text(tortie_api::schema::Text::LooseNet, site.text()).is_ok();
    let reason = if is_net { "has invalid IPv6 CIDR" } else { "has invalid CIDR(s)" };
    tell(lines, site, "ExternalNodesCIDRList", &site.printed(), reason);
}

/// A region, which is part of the name of a namespace.
pub(super) fn region(lines: &mut Lines<'_>, site: &Site<'_>) {
    const LEN_MAX: usize = 63 - "openstack-region-".len();
    let reason = if site.text().len() > LEN_MAX { "is too long" } else { "must be a valid DNS label" };
    tell(lines, site, "OpenstackRegion", site.text(), reason);
}

/// Whether a range of ports for nodes is a name.
pub(super) fn is_named_range(site: &Site<'_>) -> bool {
    let is_name = |text: &str| text.bytes().any(|b| !b.is_ascii_digit() && b != b':');
    site.path.starts_with("spec.kubeNodePortRanges") && site.value.and_then(Value::as_str).is_some_and(is_name)
}

/// A range of ports for nodes that is a name.
pub(super) fn node_port(lines: &mut Lines<'_>, site: &Site<'_>) {
    let list = Site::find(lines.kind, lines.raw, "spec.kubeNodePortRanges");
    tell(lines, site, "KubeNodePortRanges", &list.printed(), "node port ranges should not contain named ports");
}

/// The name of a reporter of health.
pub(super) fn health_name(lines: &mut Lines<'_>, site: &Site<'_>) {
    health(lines, site, "Name", "name should match regex ^[a-zA-Z0-9_ -]+$");
}

/// The time that a reporter of health has.
pub(super) fn health_timeout(lines: &mut Lines<'_>, site: &Site<'_>) {
    health(lines, site, "Timeout", "Timeout should not be negative");
}

fn health(lines: &mut Lines<'_>, site: &Site<'_>, field: &str, reason: &str) {
    let path = site.path.rsplit_once('.').map_or("", |(reporter, _)| reporter);
    let reporter = Site::find(lines.kind, lines.raw, path);
    let member = |name: &str| reporter.member(name).map(printed).unwrap_or_default();
    let value = format!("{{{} {}}}", member("name"), member("timeout"));
    let rank = usize::from(field == "Timeout");
    lines.structure(&reporter, rank, format!("HealthTimeoutOverride.{field} = '{value}' ({reason})"));
}
