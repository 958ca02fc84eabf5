//! Every honoured setting, from the store in its own type and from the environment as Felix writes it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_api::model::Protocol;
use tortie_calc::Settings;
use tortie_calc::settings::operation::{
    BootPolicy, ClientAuth, Health, InvalidObjectPolicy, Log, OnTighten, Prometheus, Severity, Xdp,
};
use tortie_calc::settings::{
    AllowAction, DenyAction, Failsafe, HostAction, InterfacePattern, LogRate, Operation, SETTINGS, Usage,
};

use crate::{defaults, secs, world};

/// What a setting changes.
type Change = fn(&mut Settings, &mut Operation);

/// Name, value of the store, text of the environment, and what both change.
fn rows() -> Vec<(&'static str, Value, &'static str, Change)> {
    vec![
        ("interfacePrefix", json!("tap,cali"), "tap, cali", |s, _| {
            s.interface_prefixes = vec!["tap".to_owned(), "cali".to_owned()];
        }),
        ("interfaceExclude", json!("a,/^b/"), "a,/^b/", |s, _| {
            s.interface_exclude =
                vec![InterfacePattern::Exact("a".to_owned()), InterfacePattern::Regex("^b".to_owned())];
        }),
        ("failsafeInboundHostPorts", json!([{"port": 1}]), "1", |s, _| {
            s.failsafe_inbound = vec![Failsafe::any(Protocol::TCP, 1)];
        }),
        ("failsafeOutboundHostPorts", json!([{"port": 1, "protocol": "udp"}]), "udp:1", |s, _| {
            s.failsafe_outbound = vec![Failsafe::any(Protocol::UDP, 1)];
        }),
        ("nftablesFilterDenyAction", json!("Reject"), "REJECT", |s, _| s.deny_action = DenyAction::Reject),
        ("iptablesFilterDenyAction", json!("Reject"), "REJECT", |s, _| s.deny_action = DenyAction::Reject),
        ("nftablesFilterAllowAction", json!("Return"), "RETURN", |s, _| s.filter_allow_action = AllowAction::Return),
        ("iptablesFilterAllowAction", json!("Return"), "RETURN", |s, _| s.filter_allow_action = AllowAction::Return),
        ("nftablesMangleAllowAction", json!("Return"), "RETURN", |s, _| s.mangle_allow_action = AllowAction::Return),
        ("iptablesMangleAllowAction", json!("Return"), "RETURN", |s, _| s.mangle_allow_action = AllowAction::Return),
        ("defaultEndpointToHostAction", json!("Accept"), "ACCEPT", |s, _| {
            s.endpoint_to_host_action = Some(HostAction::Accept);
        }),
        ("disableConntrackInvalidCheck", json!(true), "yes", |s, _| s.drops_invalid = false),
        ("logPrefix", json!("x %t"), "x %t", |s, _| s.log_prefix = "x %t".to_owned()),
        ("logActionRateLimit", json!("7/day"), "7/day", |s, _| {
            s.log_rate = Some(LogRate { lines: 7, unit_s: 86_400, burst: 5 });
        }),
        // It changes something only beside a rate, see below.
        ("logActionRateLimitBurst", json!(6), "6", |_, _| {}),
        ("nftablesMarkMask", json!(768), "0x300", |s, _| s.mark_mask = 0x300),
        ("iptablesMarkMask", json!(768), "0x300", |s, _| s.mark_mask = 0x300),
        ("ipv6Support", json!(false), "false", |s, _| s.polices_ipv6 = false),
        ("nftablesRefreshInterval", json!("7s"), "7", |_, o| o.table_refresh = secs(7)),
        ("iptablesRefreshInterval", json!("7s"), "7", |_, o| o.table_refresh = secs(7)),
        ("ipsetsRefreshInterval", json!("7s"), "7", |_, o| o.set_refresh = secs(7)),
        ("xdpRefreshInterval", json!("7s"), "7", |_, o| o.xdp_refresh = secs(7)),
        ("interfaceRefreshInterval", json!("7s"), "7", |_, o| o.interface_refresh = secs(7)),
        ("maxIpsetSize", json!(9), "9", |s, _| s.set_size_max = 9),
        ("xdpEnabled", json!(false), "f", |_, o| o.xdp.is_enabled = false),
        ("genericXDPEnabled", json!(true), "1", |_, o| o.xdp.is_generic_enabled = true),
        ("healthEnabled", json!(true), "t", |_, o| o.health.is_enabled = true),
        ("healthHost", json!("::1"), "::1", |_, o| o.health.host = "::1".to_owned()),
        ("healthPort", json!(1), "1", |_, o| o.health.port = 1),
        ("healthTimeoutOverrides", json!([{"name": "a", "timeout": "2s"}]), "a=2s", |_, o| {
            o.health.timeouts.insert("a".to_owned(), Duration::from_secs(2));
        }),
        ("prometheusMetricsEnabled", json!(true), "true", |_, o| o.prometheus.is_enabled = true),
        ("prometheusMetricsHost", json!("h"), "h", |_, o| o.prometheus.host = "h".to_owned()),
        ("prometheusMetricsPort", json!(1), "1", |_, o| o.prometheus.port = 1),
        ("prometheusMetricsCAFile", json!("/f"), "/f", |_, o| o.prometheus.ca_file = Some("/f".into())),
        ("prometheusMetricsCertFile", json!("/f"), "/f", |_, o| o.prometheus.cert_file = Some("/f".into())),
        ("prometheusMetricsKeyFile", json!("/f"), "/f", |_, o| o.prometheus.key_file = Some("/f".into())),
        ("prometheusMetricsClientAuth", json!("RequireAnyClientCert"), "requireanyclientcert", |_, o| {
            o.prometheus.client_auth = ClientAuth::RequireAny;
        }),
        ("endpointReportingEnabled", json!(false), "no", |_, o| o.reports_endpoints = false),
        ("endpointReportingDelay", json!("250ms"), "0.25", |_, o| o.endpoint_report_delay = Duration::from_millis(250)),
        ("reportingInterval", json!("7s"), "7", |_, o| o.report_interval = secs(7)),
        ("reportingTTL", json!("7s"), "7", |_, o| o.report_ttl = Duration::from_secs(7)),
        ("logSeverityScreen", json!("Debug"), "DEBUG", |_, o| o.log.screen = Some(Severity::Debug)),
        ("logSeverityFile", json!("Error"), "error", |_, o| o.log.file = Some(Severity::Error)),
        ("logSeveritySys", json!("Fatal"), "fatal", |_, o| o.log.syslog = Some(Severity::Fatal)),
        ("logFilePath", json!("/f"), "/f", |_, o| o.log.file_path = Some("/f".into())),
        ("dataplaneWatchdogTimeout", json!("1m"), "60", |_, o| o.dataplane_watchdog_timeout = Duration::from_secs(60)),
        ("compatibility", json!("Safe"), "safe", |_, _| {}),
        ("wildcardLoopback", json!("Police"), "police", |s, _| s.is_loopback_exempt = false),
        ("invalidObjectPolicy", json!("Calico"), "CALICO", |_, o| {
            o.invalid_object_policy = InvalidObjectPolicy::Calico;
        }),
        ("httpRules", json!("IgnoreHTTP"), "ignorehttp", |s, _| s.ignores_http = true),
        ("unknownWorkloads", json!("Drop"), "drop", |s, _| {
            s.drops_unknown_workloads = true;
            s.endpoint_to_host_action = Some(HostAction::Drop);
        }),
        ("ipv6Essentials", json!("Off"), "off", |s, _| s.allows_ipv6_essentials = false),
        ("datastorePin", json!("Disabled"), "disabled", |_, o| o.pins_datastore = false),
        ("onTighten", json!("Recheck"), "recheck", |_, o| o.on_tighten = OnTighten::Recheck),
        ("bootPolicy", json!("FailsafeOnly"), "failsafeonly", |_, o| o.boot_policy = BootPolicy::FailsafeOnly),
    ]
}

#[test]
fn every_setting_reaches_its_field_e607_to_e630() {
    let rows = rows();
    let honoured = SETTINGS.iter().filter(|setting| setting.usage != Usage::Told);
    assert_eq!(
        rows.iter().map(|row| row.0).collect::<Vec<_>>(),
        honoured.map(|setting| setting.name).collect::<Vec<_>>(),
        "a row for each"
    );
    for (name, json, text, change) in rows {
        let setting = SETTINGS.iter().find(|setting| setting.name == name).unwrap();
        let mut expected = defaults();
        change(&mut expected.0, &mut expected.1);
        let local_name = setting.local_name.unwrap_or(name);
        for (place, world) in [
            ("the store", world().in_store(setting, &json)),
            ("the environment", world().environment(local_name, text)),
            ("the file", world().file(name, text)),
        ] {
            let resolved = world.resolve();
            assert_eq!((resolved.settings, resolved.operation), expected, "{name} of {place}");
            assert_eq!(resolved.problems, [], "{name} of {place}");
        }
    }
}

#[test]
fn the_burst_stands_beside_a_rate_e356() {
    for (burst, expected) in [(json!(null), 5), (json!(0), 0), (json!(9999), 9999), (json!(10_000), 5)] {
        let spec = json!({"logActionRateLimit": "1/second", "logActionRateLimitBurst": burst});
        let rate = LogRate { lines: 1, unit_s: 1, burst: expected };
        assert_eq!(world().spec(spec).resolve().settings.log_rate, Some(rate), "{burst}");
    }
}

#[test]
fn both_spellings_of_a_name_and_both_forms_of_a_duration_count_locally() {
    for (name, text) in [("ReportingIntervalSecs", "5"), ("REPORTINGINTERVAL", "5s"), ("reportingInterval", "5.0")] {
        assert_eq!(world().file(name, text).resolve().operation.report_interval, secs(5), "{name}");
    }
}

#[test]
fn defaults_are_those_of_the_specification() {
    let expected = Operation {
        table_refresh: secs(180),
        set_refresh: secs(90),
        xdp_refresh: secs(90),
        interface_refresh: secs(90),
        on_tighten: OnTighten::Keep,
        boot_policy: BootPolicy::Open,
        pins_datastore: true,
        invalid_object_policy: InvalidObjectPolicy::Hold,
        health: Health { is_enabled: false, host: "localhost".to_owned(), port: 9099, timeouts: BTreeMap::new() },
        prometheus: Prometheus {
            is_enabled: false,
            host: String::new(),
            port: 9091,
            ca_file: None,
            cert_file: None,
            key_file: None,
            client_auth: ClientAuth::None,
        },
        reports_endpoints: true,
        endpoint_report_delay: Duration::from_secs(1),
        report_interval: secs(30),
        report_ttl: Duration::from_secs(90),
        log: Log {
            screen: Some(Severity::Info),
            file: Some(Severity::Info),
            syslog: Some(Severity::Info),
            file_path: None,
        },
        dataplane_watchdog_timeout: Duration::from_secs(90),
        xdp: Xdp { is_enabled: true, is_generic_enabled: false },
    };
    assert_eq!(Operation::default(), expected);
    let settings = Settings::default();
    assert_eq!((settings.mark_mask, settings.set_size_max), (0xffff_0000, 1_048_576));
}
