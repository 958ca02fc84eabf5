//! Values by name become the two typed structs.

use std::path::PathBuf;
use std::time::Duration;

use super::operation::{
    BootPolicy, ClientAuth, Health, InvalidObjectPolicy, Log, OnTighten, Operation, Prometheus, Severity, Xdp,
};
use super::resolve::Chosen;
use super::sources::ValueSource;
use super::value::Value;
use super::{AllowAction, DenyAction, HostAction, LogRate, Settings};

/// The shortest limit of the programming watchdog (E-751).
const WATCHDOG_MIN: Duration = Duration::from_secs(20);

pub(super) fn assemble(node: &str, chosen: &Chosen) -> (Settings, Operation) {
    let get = Getter(chosen);
    (settings(node, &get), operation(&get))
}

fn settings(node: &str, get: &Getter<'_>) -> Settings {
    let allow = |rest: &str| match get.word(&get.0.either(rest)) {
        "Return" => AllowAction::Return,
        _ => AllowAction::Accept,
    };
    let drops_unknown_workloads = get.word("unknownWorkloads") == "Drop";
    let defaults = Settings::default();
    Settings {
        node: node.to_owned(),
        interface_prefixes: match get.0.value("interfacePrefix") {
            Some(Value::Prefixes(list)) => list,
            _ => defaults.interface_prefixes,
        },
        interface_exclude: match get.0.value("interfaceExclude") {
            Some(Value::Patterns(list)) => list,
            _ => defaults.interface_exclude,
        },
        is_loopback_exempt: get.word("wildcardLoopback") != "Police",
        failsafe_inbound: match get.0.value("failsafeInboundHostPorts") {
            Some(Value::Failsafes(list)) => list,
            _ => defaults.failsafe_inbound,
        },
        failsafe_outbound: match get.0.value("failsafeOutboundHostPorts") {
            Some(Value::Failsafes(list)) => list,
            _ => defaults.failsafe_outbound,
        },
        endpoint_to_host_action: match get.word("defaultEndpointToHostAction") {
            "Accept" => Some(HostAction::Accept),
            "Return" => Some(HostAction::Return),
            "Drop" => Some(HostAction::Drop),
            _ => drops_unknown_workloads.then_some(HostAction::Drop),
        },
        drops_invalid: !get.bool("disableConntrackInvalidCheck"),
        allows_ipv6_essentials: get.word("ipv6Essentials") != "Off",
        ignores_http: get.word("httpRules") == "IgnoreHTTP",
        log_prefix: get.text("logPrefix"),
        log_rate: match get.0.value("logActionRateLimit") {
            Some(Value::Rate(Some((lines, unit_s, _)))) => {
                Some(LogRate { lines, unit_s, burst: get.number("logActionRateLimitBurst") })
            }
            _ => None,
        },
        deny_action: match get.word(&get.0.either("FilterDenyAction")) {
            "Reject" => DenyAction::Reject,
            _ => DenyAction::Drop,
        },
        filter_allow_action: allow("FilterAllowAction"),
        mangle_allow_action: allow("MangleAllowAction"),
        mark_mask: match get.0.value(&get.0.either("MarkMask")) {
            Some(Value::Mask(mask)) => mask,
            _ => defaults.mark_mask,
        },
        polices_ipv6: get.bool("ipv6Support"),
        drops_unknown_workloads,
        drops_unknown_beside_known_only: drops_unknown_workloads && get.is_of_strict("unknownWorkloads"),
        set_size_max: get.number("maxIpsetSize"),
    }
}

fn operation(get: &Getter<'_>) -> Operation {
    let severity = |name: &str| match get.word(name) {
        "Trace" => Some(Severity::Trace),
        "Debug" => Some(Severity::Debug),
        "Info" => Some(Severity::Info),
        "Warning" => Some(Severity::Warning),
        "Error" => Some(Severity::Error),
        "Fatal" => Some(Severity::Fatal),
        _ => None,
    };
    let defaults = Operation::default();
    Operation {
        table_refresh: get.interval(&get.0.either("RefreshInterval")),
        set_refresh: get.interval("ipsetsRefreshInterval"),
        xdp_refresh: get.interval("xdpRefreshInterval"),
        interface_refresh: get.interval("interfaceRefreshInterval"),
        on_tighten: match get.word("onTighten") {
            "Recheck" => OnTighten::Recheck,
            _ => OnTighten::Keep,
        },
        boot_policy: match get.word("bootPolicy") {
            "FailsafeOnly" => BootPolicy::FailsafeOnly,
            _ => BootPolicy::Open,
        },
        pins_datastore: get.word("datastorePin") != "Disabled",
        invalid_object_policy: match get.word("invalidObjectPolicy") {
            "Calico" => InvalidObjectPolicy::Calico,
            _ => InvalidObjectPolicy::Hold,
        },
        health: Health {
            is_enabled: get.bool("healthEnabled"),
            host: get.text("healthHost"),
            port: get.number("healthPort"),
            timeouts: match get.0.value("healthTimeoutOverrides") {
                Some(Value::Timeouts(map)) => map,
                _ => defaults.health.timeouts,
            },
        },
        prometheus: Prometheus {
            is_enabled: get.bool("prometheusMetricsEnabled"),
            host: get.text("prometheusMetricsHost"),
            port: get.number("prometheusMetricsPort"),
            ca_file: get.path("prometheusMetricsCAFile"),
            cert_file: get.path("prometheusMetricsCertFile"),
            key_file: get.path("prometheusMetricsKeyFile"),
            client_auth: match get.word("prometheusMetricsClientAuth") {
                "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
                "RequireAnyClientCert" => ClientAuth::RequireAny,
                "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
                _ => ClientAuth::None,
            },
        },
        reports_endpoints: get.bool("endpointReportingEnabled"),
        endpoint_report_delay: get.duration("endpointReportingDelay"),
        report_interval: get.interval("reportingInterval"),
        report_ttl: get.duration("reportingTTL"),
        log: Log {
            screen: severity("logSeverityScreen"),
            file: severity("logSeverityFile"),
            syslog: severity("logSeveritySys"),
            file_path: get.path("logFilePath"),
        },
        dataplane_watchdog_timeout: get.duration("dataplaneWatchdogTimeout").max(WATCHDOG_MIN),
        xdp: Xdp { is_enabled: get.bool("xdpEnabled"), is_generic_enabled: get.bool("genericXDPEnabled") },
    }
}

/// Values in force with their types; the zero value where a setting has neither value nor default.
struct Getter<'a>(&'a Chosen);

impl Getter<'_> {
    /// Whether the value is what `compatibility: Strict` means, and was not set by itself.
    fn is_of_strict(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some((_, ValueSource::Strict)))
    }

    fn bool(&self, name: &str) -> bool {
        matches!(self.0.value(name), Some(Value::Bool(true)))
    }

    fn word(&self, name: &str) -> &'static str {
        match self.0.value(name) {
            Some(Value::Word(word)) => word,
            _ => "",
        }
    }

    /// The bounds of a setting's kind keep it within `T`.
    fn number<T: TryFrom<u64> + Default>(&self, name: &str) -> T {
        match self.0.value(name) {
            Some(Value::Number(number)) => T::try_from(number).unwrap_or_default(),
            _ => T::default(),
        }
    }

    fn duration(&self, name: &str) -> Duration {
        match self.0.value(name) {
            Some(Value::Duration(duration)) => duration,
            _ => Duration::ZERO,
        }
    }

    /// Zero is never (E-619).
    fn interval(&self, name: &str) -> Option<Duration> {
        Some(self.duration(name)).filter(|duration| !duration.is_zero())
    }

    fn text(&self, name: &str) -> String {
        match self.0.value(name) {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        }
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
    }
}
