//! Rules that join fields (resources.md sections 1.3 to 11), on objects in stored form.
//!
//! Types, limits and single texts have been checked by the tables of [`crate::schema`] before; what they refused is
//! missing here, so each rule looks at what is there only.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::checks::{self, is_free_name, is_label, is_name};
use crate::defaults::FIXED_TIERS;
use crate::model::{Family, Protocol};
use crate::problem::{Fault, Joint, Problem};
use crate::shape::join;
use crate::{DEFAULT_ALLOW_PROFILE, Kind};

mod policy;
mod settings;

type Object = Map<String, Value>;

/// All problems of one object, warnings among them.
pub(crate) fn validate(kind: Kind, object: &Object) -> Vec<Problem> {
    let mut problems = Vec::new();
    let empty = Object::new();
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let spec = object.get("spec").and_then(Value::as_object).unwrap_or(&empty);
    self::metadata(kind, metadata, &mut problems);
    match kind {
        Kind::HostEndpoint => host_endpoint(spec, &mut problems),
        Kind::GlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::StagedNetworkPolicy => policy::policy(kind, spec, &mut problems),
        Kind::Profile => policy::profile(spec, &mut problems),
        Kind::Tier => tier(text(metadata, "name"), spec, &mut problems),
        Kind::GlobalNetworkSet | Kind::NetworkSet => network_set(metadata, spec, &mut problems),
        Kind::Node => node(spec, &mut problems),
        Kind::WorkloadEndpoint => workload_endpoint(spec, &mut problems),
        Kind::FelixConfiguration => settings::felix(text(metadata, "name"), spec, &mut problems),
        Kind::KubeControllersConfiguration => settings::kube_controllers(metadata, spec, &mut problems),
        Kind::ClusterInformation => only_default(metadata, &mut problems),
        Kind::StagedKubernetesNetworkPolicy => {}
    }
    problems
}

fn text<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Object, name: &str) -> &'a [Value] {
    object.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn texts<'a>(object: &'a Object, name: &str) -> impl Iterator<Item = (usize, &'a str)> {
    list(object, name).iter().enumerate().filter_map(|(number, value)| Some((number, value.as_str()?)))
}

fn is_true(object: &Object, name: &str) -> bool {
    object.get(name) == Some(&Value::Bool(true))
}

fn metadata(kind: Kind, metadata: &Object, problems: &mut Vec<Problem>) {
    let name = text(metadata, "name");
    let path = "metadata.name";
    if !text(metadata, "generateName").is_empty() {
        let hint = "give a name in metadata.name";
        problems.push(Problem::error("metadata.generateName", "generated names are not supported").with_hint(hint));
    }
    if name.is_empty() {
        problems.push(Problem::error(path, "the object has no name").of(Fault::Name));
    } else if let Err(message) = check_name(kind, name) {
        let mut problem = Problem::error(path, message).of(Fault::Name);
        let other = name.to_lowercase().replace('_', "-");
        if check_name(kind, &other).is_ok() {
            problem = problem.with_hint(format!("did you mean `{other}`?"));
        }
        problems.push(problem);
    } else if kind == Kind::HostEndpoint && !is_name(name) {
        let message = format!("name `{name}` is not portable to Kubernetes or to Calico's own agent");
        problems.push(Problem::warning(path, message).with_hint("use lower-case letters, digits, `-` and `.`"));
    }
    if kind == Kind::HostEndpoint {
        // Selectors of namespaces and service accounts would take the host for a workload (selectors.md section 7).
        let labels = metadata.get("labels").and_then(Value::as_object).into_iter().flatten();
        for (label, _) in labels.filter(|(label, _)| ["pcns.", "pcsa."].iter().any(|prefix| label.starts_with(prefix)))
        {
            let message = format!("label `{label}` is how workloads carry labels of their namespace or account");
            let problem = Problem::warning(format!("metadata.labels.{label}"), message);
            problems.push(problem.with_hint("give hosts labels without `pcns.` and `pcsa.`"));
        }
    }
    if !kind.is_namespaced() && !text(metadata, "namespace").is_empty() {
        let message = format!("namespace should not be specified: {kind} is not a namespaced resource");
        problems.push(Problem::error("metadata.namespace", message).of(Fault::Namespace));
    }
    // An API server is stricter; stores of Calico's tools hold names in capitals too.
    let namespace = text(metadata, "namespace");
    if kind.is_namespaced() && !namespace.is_empty() && !is_free_name(namespace) {
        let problem = Problem::error("metadata.namespace", format!("`{namespace}` is not the name of a namespace"));
        problems.push(problem.of(Fault::Namespace));
    }
}

/// Whether a name is one that objects of a kind may have (resources.md sections 1.3 and 4.1, D-2). Kubernetes takes fewer.
///
/// # Errors
/// A sentence that says which names are.
pub fn check_name(kind: Kind, name: &str) -> Result<(), String> {
    let is_good = match kind {
        Kind::HostEndpoint => is_free_name(name),
        Kind::Tier => name.len() <= 63 && is_label(name),
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => is_name(name) && name.matches('.').count() <= 1,
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => {
            let special = ["knp.default.", "ossg.default."].iter().find_map(|prefix| name.strip_prefix(prefix));
            is_name(name) && (name.matches('.').count() <= 1 || special.is_some_and(|rest| !rest.is_empty()))
        }
        _ => is_name(name),
    };
    if is_good {
        return Ok(());
    }
    let rule = match kind {
        Kind::HostEndpoint => "letters, digits, `-`, `_` and single dots, a letter or digit at each end",
        Kind::Tier => "at most 63 lower-case letters, digits and `-`, no dot",
        Kind::GlobalNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy
        | Kind::NetworkPolicy
        | Kind::StagedNetworkPolicy => "lower-case letters, digits and `-`, at most one dot",
        _ => "lower-case letters, digits, `-` and `.`, a letter or digit at each end",
    };
    Err(format!("`{name}` is not a name of a {kind}: {rule}"))
}

fn host_endpoint(spec: &Object, problems: &mut Vec<Problem>) {
    let interface = text(spec, "interfaceName");
    if interface.is_empty() && list(spec, "expectedIPs").is_empty() && spec.contains_key("node") {
        let problem = Problem::error("spec", "at least one of `interfaceName` and `expectedIPs` must be given");
        let hint = "write `interfaceName: \"*\"` to stand for all interfaces of the host";
        problems.push(problem.breaks(Joint::NoAttachment).with_hint(hint));
    }
    for name in ["expectedIPs", "profiles"] {
        let mut seen = BTreeSet::new();
        for (number, value) in texts(spec, name) {
            if !seen.insert(value) {
                let path = format!("spec.{name}[{number}]");
                problems.push(Problem::warning(path, format!("`{value}` is given twice; the first one counts")));
            }
        }
    }
}

fn tier(name: &str, spec: &Object, problems: &mut Vec<Problem>) {
    let Some((_, order, action)) = FIXED_TIERS.into_iter().find(|(fixed, ..)| *fixed == name) else { return };
    if spec.get("order").and_then(Value::as_f64) != Some(order as f64) {
        let problem = Problem::error("spec.order", format!("the order of tier `{name}` is always {order}"));
        problems.push(problem.breaks(Joint::TierOrder));
    }
    if text(spec, "defaultAction") != action {
        let message = format!("the default action of tier `{name}` is always {action}");
        problems.push(Problem::error("spec.defaultAction", message).breaks(Joint::TierAction));
    }
}

fn network_set(metadata: &Object, spec: &Object, problems: &mut Vec<Problem>) {
    let labels = metadata.get("labels").and_then(Value::as_object);
    if labels.is_some_and(|labels| labels.contains_key("projectcalico.org/namespace")) {
        let message = "label `projectcalico.org/namespace` is reserved: it is derived from the namespace";
        let problem = Problem::error("metadata.labels.projectcalico.org/namespace", message);
        problems.push(problem.breaks(Joint::ReservedLabel));
    }
    for (number, net) in texts(spec, "nets") {
        if net.is_empty() {
            problems.push(Problem::error(format!("spec.nets[{number}]"), "an empty entry is no network"));
        }
    }
}

fn node(spec: &Object, problems: &mut Vec<Problem>) {
    if spec.get("bgp").and_then(Value::as_object).is_some_and(Map::is_empty) {
        let problem = Problem::error("spec.bgp", "`bgp` is there, yet empty");
        problems.push(problem.breaks(Joint::EmptyBgp).with_hint("leave it out"));
    }
}

fn workload_endpoint(spec: &Object, problems: &mut Vec<Problem>) {
    if text(spec, "interfaceName").is_empty() {
        problems.push(Problem::error("spec.interfaceName", "`interfaceName` is missing"));
    }
    for (number, net) in texts(spec, "ipNetworks") {
        if checks::loose_net(net).is_ok_and(|net| net.prefix_len() != net.max_prefix_len()) {
            let message = format!("`{net}` is not a single address");
            problems.push(Problem::error(format!("spec.ipNetworks[{number}]"), message));
        }
    }
    for (number, port) in list(spec, "ports").iter().enumerate().filter_map(|(n, p)| Some((n, p.as_object()?))) {
        let has_host_port = port.get("hostPort").and_then(Value::as_i64).is_some_and(|port| port > 0);
        if text(port, "name").is_empty() && !has_host_port {
            problems
                .push(Problem::error(format!("spec.ports[{number}].name"), "a port without `hostPort` needs a name"));
        }
    }
}

fn only_default(metadata: &Object, problems: &mut Vec<Problem>) {
    let name = text(metadata, "name");
    if !name.is_empty() && name != "default" {
        let problem = Problem::error("metadata.name", "the only object of this kind is named `default`");
        problems.push(problem.breaks(Joint::OnlyDefault));
    }
}

/// Whether a name is that of the built-in profile, which is never stored.
pub fn is_built_in(kind: Kind, name: &str) -> bool {
    kind == Kind::Profile && name == DEFAULT_ALLOW_PROFILE
}

/// A stored protocol, for rules that join it with other fields.
fn protocol(object: &Object, name: &str) -> Option<Protocol> {
    match object.get(name)? {
        Value::String(text) => checks::stored_protocol(text).ok(),
        Value::Number(number) => number.as_u64().and_then(|number| u8::try_from(number).ok()).map(Protocol),
        _ => None,
    }
}

fn family_word(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// The path of an entry of a list.
fn entry(path: &str, name: &str, number: usize) -> String {
    format!("{}[{number}]", join(path, name))
}
