//! Settings of those who watch the agent: health, metrics and reports (E-625..E-628, E-630).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tortie_api::model::FelixConfiguration;
use tortie_calc::settings::Local;

use crate::health::{CALCULATION_LIMIT, Limits};

/// The least limit of programming (E-751).
const PROGRAMMING_LIMIT_MIN: Duration = Duration::from_secs(20);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// An address or host name; empty is all addresses.
    pub(crate) host: String,
    /// The TCP port.
    pub(crate) port: u16,
}

/// What is served and reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watching {
    /// `/readiness` and `/liveness`; `None` is off.
    pub(crate) health: Option<Place>,
    /// `/metrics`; `None` is off.
    pub(crate) metrics: Option<Place>,
    /// Whether metrics are to be served by TLS, which this version cannot.
    pub(crate) metrics_want_tls: bool,
    /// When the agent counts as not live.
    pub(crate) limits: Limits,
    /// What is written to the store.
    pub(crate) reports: Reports,
}

/// What is written to the store, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reports {
    /// States of endpoints (E-741).
    pub(crate) has_endpoints: bool,
    /// The least time between two writes of states.
    pub(crate) endpoint_delay: Duration,
    /// How often the host says that it lives; `None` is never.
    pub(crate) interval: Option<Duration>,
    /// How long that stays true without renewal.
    pub(crate) ttl: Duration,
}

impl Default for Reports {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { has_endpoints: true, endpoint_delay: seconds(1), interval: Some(seconds(30)), ttl: seconds(90) }
    }
}

impl Watching {
    /// What environment, file and stored configurations say, in this order; a value that is not understood is the default.
    pub(crate) fn read(local: &[&Local], stored: &[&FelixConfiguration], node: &str) -> Watching {
        let scopes = [format!("node.{node}"), "default".to_owned()];
        let find = |name: &str| -> Option<Value> {
            let lower = name.to_lowercase();
            let text = local.iter().find_map(|source| source.get(&lower)).filter(|text| !text.is_empty());
            text.map(|text| Value::from(text.as_str())).or_else(|| {
                let mut scopes = scopes.iter().filter_map(|scope| stored.iter().find(|c| c.meta.name == *scope));
                scopes.find_map(|configuration| configuration.values.get(name).cloned())
            })
        };
        let text = |name: &str| match find(name)? {
            Value::String(text) => Some(text),
            value => Some(value.to_string()),
        };
        let is_true = |name: &str, default: bool| text(name).map_or(default, |text| text.eq_ignore_ascii_case("true"));
        let port = |name: &str, default: u16| text(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let time = |names: [&str; 2], default: u64| {
            let text = names.iter().find_map(|name| text(name));
            let seconds = text.and_then(|text| text.trim_end_matches('s').parse::<f64>().ok());
            seconds.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or(Duration::from_secs(default))
        };
        let place = |name: &str, host: &str, default_port: u16| {
            is_true(&format!("{name}Enabled"), false).then(|| Place {
                host: text(&format!("{name}Host")).unwrap_or_else(|| host.to_owned()),
                port: port(&format!("{name}Port"), default_port),
            })
        };
        let interval = time(["reportingIntervalSecs", "reportingInterval"], 30);
        Watching {
            health: place("health", "localhost", 9099),
            metrics: place("prometheusMetrics", "", 9091),
            metrics_want_tls: ["CertFile", "KeyFile", "CAFile"]
                .iter()
                .any(|file| text(&format!("prometheusMetrics{file}")).is_some()),
            limits: limits(time(["dataplaneWatchdogTimeout", ""], 90), &BTreeMap::new()),
            reports: Reports {
                has_endpoints: is_true("endpointReportingEnabled", true),
                endpoint_delay: time(["endpointReportingDelaySecs", "endpointReportingDelay"], 1),
                interval: (!interval.is_zero()).then_some(interval),
                ttl: time(["reportingTTLSecs", "reportingTTL"], 90),
            },
        }
    }
}

/// Limits as the settings change them. Names are those of Felix's components; a time of zero is no limit.
pub(crate) fn limits(watchdog: Duration, overrides: &BTreeMap<String, Duration>) -> Limits {
    let of = |name: &str, built_in: Duration| {
        let chosen = overrides.get(name).copied().unwrap_or(built_in);
        (!chosen.is_zero()).then_some(chosen)
    };
    Limits {
        calculation: of("CalculationGraph", CALCULATION_LIMIT),
        programming: of("InternalDataplaneMainLoop", watchdog.max(PROGRAMMING_LIMIT_MIN)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_settings_e630_e751() {
        let check = |watchdog_s: u64, overrides: &[(&str, u64)], expected: (Option<u64>, Option<u64>)| {
            let overrides = overrides.iter().map(|(name, s)| ((*name).to_owned(), Duration::from_secs(*s))).collect();
            let limits = limits(Duration::from_secs(watchdog_s), &overrides);
            let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs());
            assert_eq!((seconds(limits.calculation), seconds(limits.programming)), expected);
        };
        check(90, &[], (Some(30), Some(90)));
        check(5, &[], (Some(30), Some(20)));
        check(90, &[("InternalDataplaneMainLoop", 5), ("CalculationGraph", 0)], (None, Some(5)));
        check(90, &[("FelixStartup", 5)], (Some(30), Some(90)));
        assert_eq!(limits(Duration::from_secs(90), &BTreeMap::new()), Limits::default());
    }
}
