//! Settings of those who watch the agent: health, metrics and reports (E-625..E-628, E-630).

use std::collections::BTreeMap;
use std::time::Duration;

use tortie_calc::settings::Operation;

use crate::health::{CALCULATION_LIMIT, Limits};
use crate::tls::Tls;

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
    /// By what they are encrypted, if they are.
    pub(crate) metrics_tls: Option<Tls>,
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
    pub(crate) fn of(operation: &Operation) -> Watching {
        let (health, prometheus) = (&operation.health, &operation.prometheus);
        let place = |is_enabled: bool, host: &str, port: u16| is_enabled.then(|| Place { host: host.to_owned(), port });
        Watching {
            health: place(health.is_enabled, &health.host, health.port),
            metrics: place(prometheus.is_enabled, &prometheus.host, prometheus.port),
            metrics_tls: Tls::of(prometheus),
            limits: limits(operation.dataplane_watchdog_timeout, &health.timeouts),
            reports: Reports {
                has_endpoints: operation.reports_endpoints,
                endpoint_delay: operation.endpoint_report_delay,
                interval: operation.report_interval,
                ttl: operation.report_ttl,
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
        let built_in = Operation::default();
        assert_eq!(Watching::of(&built_in), Watching::default());
    }
}
