//! Status for people: short, also on a host with hundreds of interfaces.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tortie_agent::Status;
use tortie_agent::status::{EndpointStatus, InterfaceStatus, LintStatus, PolicyStatus, StagedStatus};

use crate::table;

/// With more rows than this, those that differ in their names only become one.
const ROWS_MAX: usize = 20;
/// Names that a folded row shows.
const NAMES_MAX: usize = 3;

/// Lints that tables, `not enforced` or `notes` tell as well.
const TOLD_ELSEWHERE: [&str; 10] = ["E-111", "T-2", "T-4", "T-6", "T-12", "T-18", "T-23", "E-116", "E-119", "E-230"];

/// The whole text.
pub(crate) fn render(status: &Status, is_bold: bool) -> String {
    let mut out = head(status);
    let mut table = |headings: &[&str], rows: Vec<Vec<String>>| {
        if !rows.is_empty() {
            out.push('\n');
            out.push_str(&table::render(headings, &fold(rows), is_bold));
        }
    };
    let headings = ["INTERFACE", "LINK", "PROTECTED", "HOST ENDPOINT", "ADDRESSES"];
    table(&headings, interfaces(&status.interfaces));
    table(&["EARLY DROPS", "MODE", "ENTRIES", "PACKETS", "WHY NOT"], early_drops(&status.interfaces));
    let headings = ["HOST ENDPOINT", "STATE", "INTERFACES", "INVALID DROPS", "PROFILES"];
    table(&headings, endpoints(&status.endpoints));
    table(&["HOST ENDPOINT", "CLASS", "#", "ORDER", "TIER", "POLICY"], policies(&status.endpoints));
    table(&["STAGED", "DIRECTION", "RULE", "WOULD", "PACKETS", "BYTES"], staged(&status.staged));
    sections(status, &mut out);
    out
}

/// The lines about the agent as a whole.
fn head(status: &Status) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{name:<12}{value}");
    };
    line("node", format!("{} (tortie {})", status.node, status.version));
    let store = &status.store;
    let stale = store.stale_since.as_ref().map(|since| format!(", stale since {since}")).unwrap_or_default();
    line("store", format!("{} {}, revision {}{stale}", store.place, store.state, store.revision));
    if let Some(message) = &store.message {
        line("", message.clone());
    }
    store.remarks.iter().for_each(|remark| line("", remark.clone()));
    let kernel = &status.kernel;
    match kernel.revision {
        Some(revision) => line(
            "kernel",
            format!("revision {revision}, {} chains, {} rules, {} sets", kernel.chains, kernel.rules, kernel.sets),
        ),
        None => line("kernel", "nothing programmed yet".to_owned()),
    }
    if let Some(what) = &kernel.stand_in {
        line("stale", format!("in place of the store: {what}"));
    }
    if let Some(error) = &kernel.state_error {
        line("saved state", error.clone());
    }
    for refused in &kernel.refused {
        let rule = refused.rule.as_ref().map(|rule| format!(" {rule}")).unwrap_or_default();
        let held = if refused.is_held { "its last good form stays in force" } else { "it counts as missing" };
        line("refused", format!("{}{rule} ({held}): {}", refused.object, refused.message));
    }
    if let Some(at) = &kernel.last_apply {
        let transactions = kernel.last_apply_transactions;
        let (took, generation) = (kernel.last_apply_us, kernel.last_apply_generation);
        line("last change", format!("{at}, {took} us, {transactions} transactions, generation {generation}"));
    }
    if kernel.repairs > 0 {
        let author = kernel.last_repair_author.as_deref().unwrap_or("somebody");
        line("repairs", format!("{}, the last one after {author}", kernel.repairs));
    }
    if let Some(error) = &kernel.error {
        line("error", error.clone());
    }
    line("failsafes", format!("in {}; out {}", list(&status.failsafes.inbound), list(&status.failsafes.outbound)));
    for setting in &status.settings {
        line("setting", format!("{} = {} ({})", setting.name, setting.value, setting.source));
    }
    for foreign in &kernel.foreign {
        line("may drop", foreign.clone());
    }
    out
}

fn interfaces(interfaces: &[InterfaceStatus]) -> Vec<Vec<String>> {
    let is_folded = interfaces.len() > ROWS_MAX;
    let mut governed: BTreeMap<&str, usize> = BTreeMap::new();
    for endpoint in interfaces.iter().filter_map(|interface| interface.endpoint.as_deref()) {
        *governed.entry(endpoint).or_default() += 1;
    }
    let to_row = |interface: &InterfaceStatus| {
        let classes = &interface.classes;
        let mut endpoint = match (&interface.endpoint, &interface.note) {
            (Some(endpoint), _) if is_folded && governed[endpoint.as_str()] == 1 => "(one each)".to_owned(),
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(note)) => format!("({note})"),
            (None, None) => "-".to_owned(),
        };
        for (class, other) in [("forward", &classes.forward), ("preDNAT", &classes.pre_dnat)] {
            if let Some(other) = other.as_ref().filter(|other| Some(*other) != interface.endpoint.as_ref()) {
                let _ = write!(endpoint, "; {class}: {other}");
            }
        }
        let protected = match (interface.protected, interface.note.as_deref()) {
            (true, _) => "yes",
            (false, Some("workload")) => "-",
            (false, _) => "no",
        };
        vec![
            interface.name.clone(),
            if interface.is_running { "running" } else { "down" }.to_owned(),
            protected.to_owned(),
            endpoint,
            if is_folded { String::new() } else { interface.addresses.join(",") },
        ]
    };
    interfaces.iter().map(to_row).collect()
}

fn early_drops(interfaces: &[InterfaceStatus]) -> Vec<Vec<String>> {
    let to_row = |interface: &InterfaceStatus| {
        let early = interface.early_drop.as_ref()?;
        let mode = early.mode.as_deref().unwrap_or("off");
        let reason = early.reason.clone().unwrap_or_default();
        let (entries, packets) = (early.entries.to_string(), early.dropped_packets.to_string());
        Some(vec![interface.name.clone(), mode.to_owned(), entries, packets, reason])
    };
    interfaces.iter().filter_map(to_row).collect()
}

fn endpoints(endpoints: &[EndpointStatus]) -> Vec<Vec<String>> {
    let is_folded = endpoints.len() > ROWS_MAX;
    let to_row = |endpoint: &EndpointStatus| {
        let interfaces = match &endpoint.reason {
            Some(reason) => reason.clone(),
            None if is_folded => format!("{} each", endpoint.interfaces.len()),
            None if endpoint.interfaces.is_empty() => "*".to_owned(),
            None => endpoint.interfaces.iter().cloned().collect::<Vec<_>>().join(","),
        };
        let drops = endpoint.invalid_drops.map_or_else(|| "-".to_owned(), |traffic| traffic.packets.to_string());
        vec![endpoint.name.clone(), endpoint.state.clone(), interfaces, drops, list(&endpoint.profiles)]
    };
    endpoints.iter().map(to_row).collect()
}

/// One row for each policy; endpoints with the same policies share their rows.
fn policies(endpoints: &[EndpointStatus]) -> Vec<Vec<String>> {
    let mut groups: Vec<(Vec<&str>, &[PolicyStatus])> = Vec::new();
    for endpoint in endpoints.iter().filter(|endpoint| !endpoint.policies.is_empty()) {
        match groups.iter_mut().find(|(_, policies)| *policies == endpoint.policies) {
            Some((names, _)) => names.push(&endpoint.name),
            None => groups.push((vec![&endpoint.name], &endpoint.policies)),
        }
    }
    let mut rows = Vec::new();
    for (names, policies) in groups {
        let names = short(&names);
        for policy in policies {
            let staged = if policy.is_staged { " (staged)" } else { "" };
            rows.push(vec![
                names.clone(),
                format!("{} {}", policy.class, policy.direction),
                policy.position.to_string(),
                policy.order.map_or_else(|| "-".to_owned(), |order| order.to_string()),
                policy.tier.clone(),
                format!("{}{staged}", policy.policy),
            ]);
        }
    }
    rows
}

fn staged(list: &[StagedStatus]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for staged in list {
        for verdict in &staged.verdicts {
            rows.push(vec![
                staged.policy.clone(),
                staged.direction.clone(),
                verdict.rule.map_or_else(|| "end".to_owned(), |rule| rule.to_string()),
                verdict.verdict.clone(),
                verdict.traffic.packets.to_string(),
                verdict.traffic.bytes.to_string(),
            ]);
        }
    }
    rows
}

fn sections(status: &Status, out: &mut String) {
    let mut section = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            let _ = writeln!(out, "\n{title}");
            lines.iter().for_each(|text| {
                let _ = writeln!(out, "  {text}");
            });
        }
    };
    let not_enforced = status.not_enforced.iter().map(|entry| {
        let on = entry.endpoint.as_ref().map(|endpoint| format!(" on {endpoint}")).unwrap_or_default();
        format!("{}{on}: {}", entry.object, entry.reason)
    });
    section("not enforced:", not_enforced.collect());
    let invalid = status.invalid.iter().map(|entry| {
        let held = if entry.is_held { "its last valid form stays in force" } else { "it counts as missing" };
        format!("{} ({held}): {}", entry.object, entry.messages.join("; "))
    });
    section("invalid in the store:", invalid.collect());
    section("notes:", notes(&status.endpoints).into_iter().chain(status.notes.iter().cloned()).collect());
    section("warnings:", status.warnings.clone());
    section("worth knowing:", lints(&status.lints));
}

/// Lints of which no other part of the text speaks, each rule once.
fn lints(lints: &[LintStatus]) -> Vec<String> {
    let mut by_rule: BTreeMap<&str, Vec<&LintStatus>> = BTreeMap::new();
    for lint in lints.iter().filter(|lint| !TOLD_ELSEWHERE.contains(&lint.rule.as_str())) {
        by_rule.entry(&lint.rule).or_default().push(lint);
    }
    let text = |(rule, lints): (&str, Vec<&LintStatus>)| {
        let lint = lints[0];
        let path = if lint.path.is_empty() { String::new() } else { format!("{}: ", lint.path) };
        let more = if lints.len() > 1 { format!(" (and {} more)", lints.len() - 1) } else { String::new() };
        format!("{rule}: {}: {path}{}{more}; {}", lint.object, lint.message, lint.hint)
    };
    by_rule.into_iter().map(text).collect()
}

/// What is to be known about endpoints; the same note of several endpoints is one line.
fn notes(endpoints: &[EndpointStatus]) -> Vec<String> {
    let mut by_text: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for endpoint in endpoints {
        let conflicts = endpoint.shadows.iter().map(|(interface, others)| {
            let others: Vec<&str> = others.iter().map(String::as_str).collect();
            format!("governs {interface}, which {} would match too (E-106)", short(&others))
        });
        for text in endpoint.notes.iter().cloned().chain(conflicts) {
            by_text.entry(text).or_default().push(&endpoint.name);
        }
    }
    by_text.into_iter().map(|(text, names)| format!("{}: {text}", short(&names))).collect()
}

/// Rows that differ in their first cell only become one, when there are many.
fn fold(rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    if rows.len() <= ROWS_MAX {
        return rows;
    }
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for mut row in rows {
        let name = row.remove(0);
        match groups.iter_mut().find(|(_, rest)| *rest == row) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], row)),
        }
    }
    let to_row = |(names, rest): (Vec<String>, Vec<String>)| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        std::iter::once(short(&names)).chain(rest).collect()
    };
    groups.into_iter().map(to_row).collect()
}

/// The first few of many names.
fn short(names: &[&str]) -> String {
    if names.len() <= NAMES_MAX {
        return names.join(", ");
    }
    format!("{} (+{})", names[..NAMES_MAX].join(", "), names.len() - NAMES_MAX)
}

fn list(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

#[cfg(test)]
mod tests {
    use tortie_agent::status::{ClassEndpoints, EarlyDropStatus, StagedVerdict, Traffic};

    use super::*;

    fn interface(name: &str, endpoint: Option<&str>, note: Option<&str>) -> InterfaceStatus {
        InterfaceStatus {
            name: name.to_owned(),
            is_running: true,
            endpoint: endpoint.map(str::to_owned),
            classes: ClassEndpoints {
                normal: endpoint.map(str::to_owned),
                forward: endpoint.map(str::to_owned),
                ..ClassEndpoints::default()
            },
            protected: endpoint.is_some(),
            note: note.map(str::to_owned),
            addresses: vec!["192.0.2.1".to_owned()],
            early_drop: None,
        }
    }

    #[test]
    fn early_drops_are_told_where_untracked_policy_is_e480() {
        let early = |mode: Option<&str>, reason: Option<&str>| EarlyDropStatus {
            mode: mode.map(str::to_owned),
            entries: 3,
            dropped_packets: 7,
            reason: reason.map(str::to_owned),
        };
        let mut status = Status { interfaces: vec![interface("eth0", Some("h"), None)], ..Status::default() };
        assert_eq!(rows(&status, "EARLY DROPS"), [""; 0]);
        status.interfaces[0].early_drop = Some(early(Some("driver"), None));
        status.interfaces.push(interface("eth1", Some("h"), None));
        status.interfaces[1].early_drop = Some(early(None, Some("no such driver")));
        assert_eq!(rows(&status, "EARLY DROPS"), ["eth0 driver 3 7", "eth1 off 3 7 no such driver"]);
    }

    /// The rows of one table, cells separated by single spaces.
    fn rows(status: &Status, heading: &str) -> Vec<String> {
        let text = render(status, false);
        let lines = text.lines().skip_while(|line| !line.starts_with(heading)).skip(1).take_while(|l| !l.is_empty());
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn each_interface_says_whether_it_is_protected_and_by_whom_t3_t6() {
        let mut named = interface("eth0", Some("a"), None);
        named.classes.pre_dnat = Some("w".to_owned());
        let mut workload = interface("cali1", None, Some("workload"));
        workload.classes.forward = Some("w".to_owned());
        let interfaces = vec![named, workload, interface("eth1", None, None), interface("lo", None, Some("exempt"))];
        let status = Status { interfaces, ..Status::default() };
        assert_eq!(
            rows(&status, "INTERFACE"),
            [
                "eth0 running yes a; preDNAT: w 192.0.2.1",
                "cali1 running - (workload); forward: w 192.0.2.1",
                "eth1 running no - 192.0.2.1",
                "lo running no (exempt) 192.0.2.1",
            ]
        );
    }

    #[test]
    fn two_hundred_interfaces_are_a_few_lines() {
        let mut interfaces: Vec<_> = (0..150).map(|n| interface(&format!("eth{n}"), Some("w"), None)).collect();
        interfaces.extend((0..49).map(|n| interface(&format!("vlan{n}"), Some(&format!("own{n}")), None)));
        interfaces.push(interface("lo", None, Some("exempt")));
        let endpoint = |n: usize| EndpointStatus {
            name: format!("own{n}"),
            state: "up".to_owned(),
            interfaces: [format!("vlan{n}")].into(),
            notes: vec!["no expectedIPs".to_owned()],
            policies: vec![PolicyStatus { policy: "P(x)".to_owned(), position: 1, ..PolicyStatus::default() }],
            ..EndpointStatus::default()
        };
        let status = Status { interfaces, endpoints: (0..49).map(endpoint).collect(), ..Status::default() };
        assert_eq!(
            rows(&status, "INTERFACE"),
            [
                "eth0, eth1, eth2 (+147) running yes w",
                "vlan0, vlan1, vlan2 (+46) running yes (one each)",
                "lo running no (exempt)",
            ]
        );
        let text = render(&status, false);
        assert!(text.contains("own0, own1, own2 (+46)"), "{text}");
        assert!(text.lines().count() < 25, "{text}");
    }

    #[test]
    fn policies_show_place_and_order_and_staged_ones_their_verdicts_t20_d6() {
        let policy = |policy: &str, position, order, is_staged| PolicyStatus {
            policy: policy.to_owned(),
            tier: "default".to_owned(),
            class: "normal".to_owned(),
            direction: "ingress".to_owned(),
            position,
            order,
            is_staged,
        };
        let endpoint = |name: &str| EndpointStatus {
            name: name.to_owned(),
            state: "up".to_owned(),
            policies: vec![
                policy("GlobalNetworkPolicy(web)", 1, Some(1.5), false),
                policy("StagedGlobalNetworkPolicy(next)", 2, None, true),
            ],
            ..EndpointStatus::default()
        };
        let verdict = |rule, verdict: &str, packets| StagedVerdict {
            rule,
            verdict: verdict.to_owned(),
            traffic: Traffic { packets, bytes: 60 * packets },
        };
        let staged = StagedStatus {
            policy: "StagedGlobalNetworkPolicy(next)".to_owned(),
            tier: "default".to_owned(),
            direction: "ingress".to_owned(),
            verdicts: vec![verdict(Some(0), "Deny", 2), verdict(None, "no match", 1)],
        };
        let status =
            Status { endpoints: vec![endpoint("a"), endpoint("b")], staged: vec![staged], ..Status::default() };
        let text = render(&status, false);
        let has = |row: &str| {
            let found = text.lines().any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") == row);
            assert!(found, "`{row}` is missing in\n{text}");
        };
        has("HOST ENDPOINT CLASS # ORDER TIER POLICY");
        has("a, b normal ingress 1 1.5 default GlobalNetworkPolicy(web)");
        has("a, b normal ingress 2 - default StagedGlobalNetworkPolicy(next) (staged)");
        has("StagedGlobalNetworkPolicy(next) ingress 0 Deny 2 120");
        has("StagedGlobalNetworkPolicy(next) ingress end no match 1 60");
    }

    #[test]
    fn a_conflict_is_shown_on_the_winner_too_t4() {
        let endpoint = EndpointStatus {
            name: "a".to_owned(),
            shadows: [("eth0".to_owned(), vec!["b".to_owned()])].into(),
            ..EndpointStatus::default()
        };
        let text = render(&Status { endpoints: vec![endpoint], ..Status::default() }, false);
        assert!(text.contains("a: governs eth0, which b would match too (E-106)"), "{text}");
    }
}
