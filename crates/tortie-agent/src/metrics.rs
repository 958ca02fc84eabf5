//! Metrics in Prometheus' text format: a pure function of numbers.
//!
//! Written by hand and not by a library, because the names are Calico's: its counters have no `_total`, and its times are
//! summaries, which the libraries for Rust cannot write.

use std::fmt::Write as _;
use std::time::Duration;

use crate::status::{Status, Traffic};

/// What the text is (exposition format 0.0.4).
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that the metrics are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// Status with counters.
    pub(crate) status: Status,
    /// What the loop has done since it started.
    pub(crate) totals: Totals,
    /// What the store holds.
    pub(crate) cluster: Cluster,
    /// Sets of selectors that rules of this host use.
    pub(crate) selectors: usize,
    /// Whether the agent is ready.
    pub(crate) is_ready: bool,
}

/// Sums since the process started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    /// Calculations.
    pub(crate) calculations: Times,
    /// Programmings that changed something or were the first.
    pub(crate) applies: Times,
    /// Snapshots of the store that were read.
    pub(crate) resyncs: u64,
}

/// How often something was done, and how long it took together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) count: u64,
    pub(crate) sum: Duration,
}

impl Times {
    pub(crate) fn add(&mut self, took: Duration) {
        self.count += 1;
        self.sum += took;
    }
}

/// Objects of the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cluster {
    pub(crate) host_endpoints: usize,
    pub(crate) workload_endpoints: usize,
    pub(crate) hosts: usize,
    pub(crate) policies: usize,
    pub(crate) profiles: usize,
    pub(crate) tiers: usize,
    /// Workload endpoints of this node.
    pub(crate) local_workloads: usize,
}

/// The text. Names and meanings are in `docs/status-and-metrics.md`.
pub(crate) fn render(numbers: &Numbers) -> String {
    let mut text = Text::default();
    calico(&mut text, numbers);
    store_and_kernel(&mut text, numbers);
    protection(&mut text, &numbers.status);
    text.out
}

/// Metrics under Calico's own names, where the meaning is the same.
fn calico(text: &mut Text, numbers: &Numbers) {
    let Numbers { status, totals, cluster, .. } = numbers;
    let policies: std::collections::BTreeSet<&str> =
        status.endpoints.iter().flat_map(|endpoint| &endpoint.policies).map(|p| p.policy.as_str()).collect();
    let local = status.endpoints.len() + cluster.local_workloads;
    for (name, help, value) in [
        ("felix_active_local_endpoints", "Number of active endpoints (workload and host) on this host.", local),
        ("felix_active_local_policies", "Number of policies that match an endpoint of this host.", policies.len()),
        ("felix_active_local_selectors", "Number of rule selectors in use on this host.", numbers.selectors),
        ("felix_cluster_num_host_endpoints", "Total number of host endpoints.", cluster.host_endpoints),
        ("felix_cluster_num_workload_endpoints", "Total number of workload endpoints.", cluster.workload_endpoints),
        ("felix_cluster_num_hosts", "Total number of hosts.", cluster.hosts),
        ("felix_cluster_num_policies", "Total number of policies.", cluster.policies),
        ("felix_cluster_num_profiles", "Total number of profiles.", cluster.profiles),
        ("felix_cluster_num_tiers", "Total number of tiers.", cluster.tiers),
    ] {
        text.head(name, "gauge", help);
        text.sample(name, &[], value as f64);
    }
    let name = "felix_ipsets_total";
    text.head(name, "gauge", "Number of sets and maps in the kernel.");
    text.sample(name, &[], status.kernel.sets as f64);
    let name = "felix_resync_state";
    text.head(name, "gauge", "State of the store: 1 waiting for it to be ready, 2 reading it, 3 in sync.");
    let state = match status.store.state.as_str() {
        "in-sync" => 3.0,
        "connecting" => 2.0,
        _ => 1.0,
    };
    text.sample(name, &[], state);
    let name = "felix_resyncs_started";
    text.head(name, "counter", "Number of times the store was read as a whole.");
    text.sample(name, &[], totals.resyncs as f64);
    let name = "felix_int_dataplane_failures";
    text.head(name, "counter", "Number of times programming failed and will be tried again.");
    text.sample(name, &[], status.kernel.failures as f64);
    text.summary("felix_int_dataplane_apply_time_seconds", "Time that it took to program a change.", &totals.applies);
    text.summary("felix_calc_graph_update_time_seconds", "Time that it took to calculate.", &totals.calculations);
}

fn store_and_kernel(text: &mut Text, numbers: &Numbers) {
    let Numbers { status, .. } = numbers;
    let kernel = &status.kernel;
    let name = "tortie_build_info";
    text.head(name, "gauge", "1, with the version as label.");
    text.sample(name, &[("version", &status.version)], 1.0);
    let name = "tortie_store_state";
    text.head(name, "gauge", "1 for the state of the store, 0 for the others.");
    for state in ["connecting", "in-sync", "locked", "lost"] {
        text.sample(name, &[("state", state)], flag(status.store.state == state));
    }
    let held = status.invalid.iter().filter(|invalid| invalid.is_held).count();
    for (name, help, value) in [
        ("tortie_ready", "1 when everything was enforced once.", flag(numbers.is_ready)),
        ("tortie_store_revision", "The newest revision that was read.", status.store.revision as f64),
        ("tortie_kernel_revision", "The revision that is enforced, 0 before.", kernel.revision.unwrap_or(0) as f64),
        ("tortie_kernel_chains", "Chains in the kernel.", kernel.chains as f64),
        ("tortie_kernel_rules", "Rules in the kernel.", kernel.rules as f64),
        ("tortie_kernel_failing", "1 while the kernel does not hold what is wanted.", flag(kernel.error.is_some())),
        ("tortie_foreign_chains", "Chains of other tables that may drop.", kernel.foreign.len() as f64),
        ("tortie_invalid_objects", "Objects in the store that are invalid.", status.invalid.len() as f64),
        ("tortie_held_objects", "Of them, those whose last valid form is in force.", held as f64),
        ("tortie_not_enforced", "Entries under `not enforced` on status.", status.not_enforced.len() as f64),
        ("tortie_warnings", "Entries under `warnings` on status.", status.warnings.len() as f64),
    ] {
        text.head(name, "gauge", help);
        text.sample(name, &[], value);
    }
    for (name, help, value) in [
        ("tortie_applies_total", "Programmings that changed something.", kernel.applies),
        ("tortie_transactions_total", "Kernel transactions.", kernel.transactions),
        ("tortie_repairs_total", "Times foreign hands changed our table and it was repaired.", kernel.repairs),
    ] {
        text.head(name, "counter", help);
        text.sample(name, &[], value as f64);
    }
}

fn protection(text: &mut Text, status: &Status) {
    let name = "tortie_interface_protected";
    text.head(name, "gauge", "1 when rules for local traffic of the interface are in the kernel.");
    for interface in &status.interfaces {
        text.sample(name, &[("interface", &interface.name)], flag(interface.protected));
    }
    early_drops(text, status);
    let name = "tortie_endpoint_state";
    text.head(name, "gauge", "1 for the state of the host endpoint, 0 for the others.");
    for endpoint in &status.endpoints {
        for state in ["up", "down", "error"] {
            text.sample(name, &[("endpoint", &endpoint.name), ("state", state)], flag(endpoint.state == state));
        }
    }
    let name = "tortie_invalid_dropped_packets";
    text.head(name, "counter", "Packets dropped for their connection state since the rules were made.");
    for endpoint in &status.endpoints {
        if let Some(traffic) = endpoint.invalid_drops {
            text.sample(name, &[("endpoint", &endpoint.name)], traffic.packets as f64);
        }
    }
    type Read = fn(&Traffic) -> u64;
    for (name, help, read) in [
        ("tortie_staged_packets", "Packets by what a staged policy would have done.", (|t| t.packets) as Read),
        ("tortie_staged_bytes", "Bytes by what a staged policy would have done.", |t| t.bytes),
    ] {
        text.head(name, "counter", help);
        for staged in &status.staged {
            for verdict in &staged.verdicts {
                let rule = verdict.rule.map_or_else(|| "end".to_owned(), |rule| rule.to_string());
                let labels = [
                    ("policy", staged.policy.as_str()),
                    ("direction", &staged.direction),
                    ("rule", &rule),
                    ("verdict", &verdict.verdict),
                ];
                text.sample(name, &labels, read(&verdict.traffic) as f64);
            }
        }
    }
}

/// E-480..E-484, of interfaces on which untracked policy judges what arrives.
fn early_drops(text: &mut Text, status: &Status) {
    let early = || status.interfaces.iter().filter_map(|interface| Some((interface, interface.early_drop.as_ref()?)));
    let name = "tortie_early_drop_attached";
    text.head(name, "gauge", "1 when an XDP program drops early on the interface, 0 when the rules judge alone.");
    for (interface, early) in early() {
        let mode = early.mode.as_deref().unwrap_or("off");
        text.sample(name, &[("interface", &interface.name), ("mode", mode)], flag(early.mode.is_some()));
    }
    let name = "tortie_early_drop_entries";
    text.head(name, "gauge", "Addresses and networks that are dropped early.");
    for (interface, early) in early() {
        text.sample(name, &[("interface", &interface.name)], early.entries as f64);
    }
    let name = "tortie_early_dropped_packets";
    text.head(name, "counter", "Packets dropped early since the program is attached; no rule counts them.");
    for (interface, early) in early() {
        text.sample(name, &[("interface", &interface.name)], early.dropped_packets as f64);
    }
}

/// A yes or no as a sample.
fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

#[derive(Default)]
struct Text {
    out: String,
}

// Writing to a string cannot fail.
impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.out.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{}{label}=\"{text}\"", if number == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn summary(&mut self, name: &str, help: &str, times: &Times) {
        self.head(name, "summary", help);
        self.sample(&format!("{name}_sum"), &[], times.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &[], times.count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{EarlyDropStatus, EndpointStatus, InterfaceStatus, StagedStatus, StagedVerdict};

    fn numbers() -> Numbers {
        let mut numbers = Numbers::default();
        numbers.status.store.state = "in-sync".to_owned();
        numbers.status.kernel.repairs = 3;
        numbers.status.kernel.failures = 2;
        let early_drop =
            Some(EarlyDropStatus { mode: Some("driver".to_owned()), entries: 9, dropped_packets: 8, reason: None });
        numbers.status.interfaces = vec![
            InterfaceStatus { name: "eth0".to_owned(), protected: true, early_drop, ..InterfaceStatus::default() },
            InterfaceStatus { name: "odd\"\\name".to_owned(), ..InterfaceStatus::default() },
        ];
        numbers.status.endpoints = vec![EndpointStatus {
            name: "web".to_owned(),
            state: "down".to_owned(),
            invalid_drops: Some(Traffic { packets: 7, bytes: 700 }),
            ..EndpointStatus::default()
        }];
        let verdict = |rule, verdict: &str, packets| StagedVerdict {
            rule,
            verdict: verdict.to_owned(),
            traffic: Traffic { packets, bytes: packets * 10 },
        };
        numbers.status.staged = vec![StagedStatus {
            policy: "StagedGlobalNetworkPolicy(p)".to_owned(),
            tier: "default".to_owned(),
            direction: "ingress".to_owned(),
            verdicts: vec![verdict(Some(0), "Deny", 5), verdict(None, "no match", 6)],
        }];
        numbers.totals.applies.add(Duration::from_millis(1500));
        numbers.totals.applies.add(Duration::from_millis(500));
        numbers.cluster.host_endpoints = 4;
        numbers
    }

    #[test]
    fn each_number_has_its_line() {
        let text = render(&numbers());
        let has = |line: &str| assert!(text.lines().any(|found| found == line), "`{line}` is missing in\n{text}");
        has("felix_cluster_num_host_endpoints 4");
        has("felix_resync_state 3");
        has("# TYPE felix_int_dataplane_failures counter");
        has("felix_int_dataplane_failures 2");
        has("# TYPE felix_int_dataplane_apply_time_seconds summary");
        has("felix_int_dataplane_apply_time_seconds_sum 2");
        has("felix_int_dataplane_apply_time_seconds_count 2");
        has("tortie_repairs_total 3");
        has("tortie_store_state{state=\"in-sync\"} 1");
        has("tortie_store_state{state=\"lost\"} 0");
        has("tortie_interface_protected{interface=\"eth0\"} 1");
        has("tortie_interface_protected{interface=\"odd\\\"\\\\name\"} 0");
        has("tortie_early_drop_attached{interface=\"eth0\",mode=\"driver\"} 1");
        has("tortie_early_drop_entries{interface=\"eth0\"} 9");
        has("tortie_early_dropped_packets{interface=\"eth0\"} 8");
        has("tortie_endpoint_state{endpoint=\"web\",state=\"down\"} 1");
        has("tortie_endpoint_state{endpoint=\"web\",state=\"up\"} 0");
        has("tortie_invalid_dropped_packets{endpoint=\"web\"} 7");
        has(
            "tortie_staged_packets{policy=\"StagedGlobalNetworkPolicy(p)\",direction=\"ingress\",rule=\"0\",verdict=\"Deny\"} 5",
        );
        has(
            "tortie_staged_bytes{policy=\"StagedGlobalNetworkPolicy(p)\",direction=\"ingress\",rule=\"end\",verdict=\"no match\"} 60",
        );
    }

    /// Prometheus refuses a whole scrape for one name that is described twice, or samples that stand apart.
    #[test]
    fn every_metric_is_described_once_and_before_its_samples() {
        let text = render(&numbers());
        let mut seen = std::collections::BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(seen.insert(current.clone()), "{current} twice");
            } else if !line.starts_with('#') {
                let name = line.split(['{', ' ']).next().unwrap();
                let base = name.strip_suffix("_sum").or(name.strip_suffix("_count")).unwrap_or(name);
                assert!(name == current || base == current, "{name} stands under {current}");
                assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
            }
        }
    }

    /// The documentation names exactly what is served.
    #[test]
    fn every_metric_is_documented() {
        let docs = include_str!("../../../docs/status-and-metrics.md");
        let text = render(&numbers());
        let served: std::collections::BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for name in &served {
            assert!(docs.contains(&format!("`{name}`")), "`{name}` is not documented");
        }
        for word in docs.split('`').filter(|word| word.starts_with("felix_") || word.starts_with("tortie_")) {
            let name = word.split(['{', ' ']).next().unwrap();
            assert!(served.contains(name), "`{name}` is documented and not served");
        }
    }
}
