//! What is to be told about settings beside bad values: names that nobody knows, values without effect, values that
//! are worth a second look.

use tortie_api::model::FelixConfiguration;
use tortie_api::nearest;

use super::list::{NOT_APPLICABLE, NOT_APPLICABLE_LOCAL, Origin, SETTINGS, is_local_name, local_names};
use super::resolve::{Chosen, SettingNote, SettingProblem};
use super::sources::{Local, Sources, ValueSource, is_selecting, own_annotations};
use super::value::Value;

/// Values that writing a configuration fills in, with any tool (resources.md section 9): nobody chose them.
const FILLED: [(&str, &str); 4] = [
    ("floatingIPs", "Disabled"),
    ("nftablesFlowTableOffload", "Disabled"),
    ("bpfConnectTimeLoadBalancing", "TCP"),
    ("bpfHostNetworkedNATWithoutCTLB", "Enabled"),
];

/// Unknown names of one source that are compared with the known ones.
const HINTS_MAX: usize = 20;

/// Notes, in a fixed order; names that nobody knows become problems (E-603).
pub(super) fn notes(
    sources: &Sources<'_>,
    scopes: &[&FelixConfiguration],
    chosen: &Chosen,
    problems: &mut Vec<SettingProblem>,
) -> Vec<SettingNote> {
    let mut notes = Vec::new();
    for (local, source) in [(sources.environment, ValueSource::Environment), (sources.file, ValueSource::File)] {
        problems.extend(unknown_local(local, &source));
        let names = NOT_APPLICABLE.iter().chain(NOT_APPLICABLE_LOCAL);
        let names = names.filter(|name| local.get(&name.to_lowercase()).is_some_and(|text| !text.is_empty()));
        notes.extend(not_applicable(names.copied(), &source));
    }
    for configuration in scopes {
        let source = ValueSource::Stored(configuration.meta.name.clone());
        problems.extend(unknown_stored(configuration, &source));
        let names = NOT_APPLICABLE.iter().copied().filter(|name| is_chosen(configuration, name));
        notes.extend(not_applicable(names, &source));
    }
    for configuration in sources.stored {
        let name = &configuration.meta.name;
        if is_selecting(name) && configuration.node_selector.is_none() {
            let message = "it counts for no node: it has no `nodeSelector`".to_owned();
            notes.push(SettingNote { source: ValueSource::Stored(name.clone()).to_string(), message });
        }
    }
    notes.extend(without_effect(chosen));
    notes.extend(second_look(chosen));
    notes
}

fn unknown_local(local: &Local, source: &ValueSource) -> Vec<SettingProblem> {
    let lower: Vec<String> = local_names().map(str::to_lowercase).collect();
    let unknown = local.keys().filter(|name| !is_local_name(name)).enumerate();
    let problem = |(number, name): (usize, &String)| {
        unknown_name(name, source, nearest_of_few(number, name, lower.iter().map(String::as_str)))
    };
    unknown.map(problem).collect()
}

/// The name that was probably meant, for the first unknown ones of a source: comparing is slow, and where there are more,
/// none of them is a slip.
fn nearest_of_few<'a>(number: usize, name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    (number < HINTS_MAX).then(|| nearest(name, names)).flatten()
}

fn unknown_stored(configuration: &FelixConfiguration, source: &ValueSource) -> Vec<SettingProblem> {
    let known = |origin| SETTINGS.iter().filter(move |setting| setting.origin == origin).map(|setting| setting.name);
    let fields = || known(Origin::Felix).chain(NOT_APPLICABLE.iter().copied());
    let of_spec = configuration.values.keys().filter(|name| fields().all(|known| known != name.as_str()));
    let of_spec = of_spec.enumerate();
    let of_spec = of_spec.map(|(number, name)| unknown_name(name, source, nearest_of_few(number, name, fields())));
    let own = own_annotations(configuration).map(|(name, _)| name);
    // Commit-confirm is no setting (D-15).
    let own = own.filter(|name| *name != "confirm" && known(Origin::Tortie).all(|k| !k.eq_ignore_ascii_case(name)));
    let own = own.enumerate().map(|(number, name)| {
        let annotation = format!("tortie.dev/{name}");
        match fields().find(|field| field.eq_ignore_ascii_case(name)) {
            Some(field) => SettingProblem {
                message: format!("it is ignored: write it as `spec.{field}`"),
                ..unknown_name(&annotation, source, None)
            },
            None => unknown_name(&annotation, source, nearest_of_few(number, name, known(Origin::Tortie))),
        }
    });
    of_spec.chain(own).collect()
}

fn unknown_name(name: &str, source: &ValueSource, nearest: Option<&str>) -> SettingProblem {
    let hint = nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default();
    SettingProblem {
        name: name.to_owned(),
        source: source.to_string(),
        message: format!("no setting has this name, it is ignored{hint}"),
        is_fatal: false,
    }
}

/// Whether somebody chose a value, so that it is worth telling that it has no effect.
fn is_chosen(configuration: &FelixConfiguration, name: &str) -> bool {
    let value = configuration.values.get(name).filter(|value| !value.is_null() && value.as_str() != Some(""));
    value.is_some_and(|value| !FILLED.iter().any(|(n, filled)| *n == name && value.as_str() == Some(*filled)))
}

fn not_applicable<'a>(names: impl Iterator<Item = &'a str>, source: &ValueSource) -> Option<SettingNote> {
    let names: Vec<&str> = names.collect();
    let message = format!("not applicable to host protection: {}", names.join(", "));
    (!names.is_empty()).then(|| SettingNote { source: source.to_string(), message })
}

/// Settings that choose among data planes or speak of what there is not (E-613, E-624, E-629, E-632).
fn without_effect(chosen: &Chosen) -> Vec<SettingNote> {
    let says = |name: &str, words: &[&str]| {
        let (value, source) = chosen.get(name)?;
        let is_said = match value {
            Value::Word(word) => words.contains(word),
            Value::Bool(value) => *value,
            _ => false,
        };
        is_said.then(|| (format!("{name}: {value}"), source.to_string()))
    };
    [
        (says("chainInsertMode", &["Insert", "Append"]), "no effect: the rules stand in a table of their own"),
        (says("bpfEnabled", &[]), "no effect: the data plane in use is nftables"),
        (says("nftablesMode", &["Disabled"]), "no effect: the data plane in use is nftables"),
        (says("iptablesBackend", &["Legacy", "NFT"]), "no effect: the data plane in use is nftables, not iptables"),
        (
            says("logSeveritySys", &["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]),
            "no effect: the log goes to standard error and `logFilePath`",
        ),
        (says("ipForwarding", &["Enabled", "Disabled"]), "no effect: forwarding of the host is left as it is"),
    ]
    .into_iter()
    .filter_map(|(said, effect)| {
        let (said, source) = said?;
        Some(SettingNote { source, message: format!("{said} has {effect}") })
    })
    .collect()
}

/// Settings that open or close more than one may think (E-510, E-618).
fn second_look(chosen: &Chosen) -> Vec<SettingNote> {
    let mut notes = Vec::new();
    for (name, what) in [
        ("failsafeInboundHostPorts", "into this host: nothing but policy keeps SSH open"),
        ("failsafeOutboundHostPorts", "out of this host: nothing but policy keeps DNS, DHCP and the store open"),
    ] {
        if let Some((Value::Failsafes(list), source)) = chosen.get(name)
            && list.is_empty()
        {
            let message = format!("{name}: no failsafe port {what} (E-510)");
            notes.push(SettingNote { source: source.to_string(), message });
        }
    }
    if let Some((Value::Bool(false), source)) = chosen.get("ipv6Support") {
        let message = "ipv6Support: IPv6 is not policed, every IPv6 packet passes (E-618)".to_owned();
        notes.push(SettingNote { source: source.to_string(), message });
    }
    notes
}
