//! Fields from `logPrefix` on: logs, tunnels, reports, health, metrics, failsafe ports.

use super::{BOOL, DURATION, FAILSAFES, HEALTH_OVERRIDES, INT, MARK, PORT, SEVERITY, TEXT};
use crate::schema::{Field, Text, Type, kept, optional};

pub(super) const FIELDS: &[Field] = &[
    optional(
        "logPrefix",
        Type::Text(Text::LogPrefix),
        "How lines that `Log` rules write to the kernel's log begin. `%t` stands for the tier, `%k` for the kind, `%n` \
         for the name, `%p` for namespace and name of the policy.",
    ),
    optional(
        "logActionRateLimit",
        Type::Text(Text::RateLimit),
        "How many lines a `Log` rule may write, such as `10/minute`: 1 to 9999 in a second, minute, hour or day. It \
         never changes a verdict. Absent means no limit.",
    ),
    kept(
        "logActionRateLimitBurst",
        Type::Int(0, 9999),
        "How many lines a `Log` rule may write at once where `logActionRateLimit` limits them.",
    ),
    optional("logFilePath", TEXT, "The file that the agent logs to, besides standard error. Absent means none."),
    optional("logSeverityFile", SEVERITY, "The least severe lines that go to `logFilePath`."),
    optional("logSeverityScreen", SEVERITY, "The least severe lines that the agent logs to standard error."),
    optional(
        "logSeveritySys",
        SEVERITY,
        "The least severe lines that go to syslog. No effect here: under systemd, standard error is the journal.",
    ),
    optional(
        "logDebugFilenameRegex",
        Type::Text(Text::Regex),
        calicos!("The files of source code whose debug lines are logged."),
    ),
    kept("ipipEnabled", BOOL, calicos!("Whether the IP-in-IP device is set up, whatever the IP pools say.")),
    kept("ipipMTU", INT, calicos!("The MTU of the IP-in-IP device, in bytes.")),
    kept("vxlanEnabled", BOOL, calicos!("Whether the VXLAN device for IPv4 is set up, whatever the IP pools say.")),
    kept("vxlanMTU", INT, calicos!("The MTU of the VXLAN device for IPv4, in bytes.")),
    kept("vxlanMTUV6", INT, calicos!("The MTU of the VXLAN device for IPv6, in bytes.")),
    kept("vxlanPort", INT, calicos!("The UDP port of VXLAN.")),
    kept("vxlanVNI", INT, calicos!("The number of the VXLAN network.")),
    kept("allowVXLANPacketsFromWorkloads", BOOL, calicos!("Whether workloads may send packets in VXLAN.")),
    kept("allowIPIPPacketsFromWorkloads", BOOL, calicos!("Whether workloads may send packets in IP-in-IP.")),
    kept("reportingInterval", DURATION, "How often the host says in the store that it lives; 0 is never."),
    kept("reportingTTL", DURATION, "How long what `reportingInterval` writes stays true."),
    kept(
        "endpointReportingEnabled",
        BOOL,
        "Whether the agent writes the states of host endpoints to the store. Calico's agent does not unless told to.",
    ),
    kept("endpointReportingDelay", DURATION, "How long a report of endpoints' states waits for more of them."),
    optional("endpointStatusPathPrefix", TEXT, calicos!("The folder for files that tell the states of endpoints.")),
    kept("iptablesMarkMask", MARK, "Counts as `nftablesMarkMask` where that one is not set."),
    kept(
        "disableConntrackInvalidCheck",
        BOOL,
        "With `true` packets of an invalid connection state are judged like others; without it they are denied, before \
         failsafe ports are looked at.",
    ),
    kept("healthEnabled", BOOL, "Whether the agent serves `/readiness` and `/liveness` over HTTP."),
    optional(
        "healthHost",
        TEXT,
        "The address or name at which `/readiness` and `/liveness` are served; `none` stands for all addresses.",
    ),
    kept("healthPort", PORT, "The TCP port at which `/readiness` and `/liveness` are served."),
    optional(
        "healthTimeoutOverrides",
        HEALTH_OVERRIDES,
        "How long parts of the agent may take before it counts as not live, in place of the built-in limits.",
    ),
    kept("prometheusMetricsEnabled", BOOL, "Whether the agent serves metrics for Prometheus."),
    optional(
        "prometheusMetricsHost",
        Type::Text(Text::MetricsHost),
        "The address or name at which metrics are served. Absent means all addresses.",
    ),
    kept("prometheusMetricsPort", PORT, "The TCP port at which metrics are served."),
    kept("prometheusGoMetricsEnabled", BOOL, calicos!("Whether the metrics tell of the Go runtime.")),
    kept("prometheusProcessMetricsEnabled", BOOL, calicos!("Whether the metrics tell of the process.")),
    kept("prometheusWireGuardMetricsEnabled", BOOL, calicos!("Whether the metrics tell of WireGuard.")),
    optional(
        "prometheusMetricsCAFile",
        TEXT,
        "The file of authorities, in PEM, that the certificates of those who ask for metrics are checked against.",
    ),
    optional(
        "prometheusMetricsCertFile",
        TEXT,
        "The file of the certificate, in PEM, that metrics are served with. Together with `prometheusMetricsKeyFile` \
         it means TLS.",
    ),
    optional("prometheusMetricsKeyFile", TEXT, "The file of the key, in PEM, of `prometheusMetricsCertFile`."),
    optional(
        "prometheusMetricsClientAuth",
        Type::Text(Text::OneOf(&[
            "RequireAndVerifyClientCert",
            "RequireAnyClientCert",
            "VerifyClientCertIfGiven",
            "NoClientCert",
        ])),
        "Whether those who ask for metrics must show a certificate, and whether it is verified.",
    ),
    kept(
        "failsafeInboundHostPorts",
        FAILSAFES,
        "Ports into the host that no policy closes, on every interface that a host endpoint governs. A list takes the \
         place of the built-in one; an empty list closes all of them to what policy does not allow.",
    ),
    kept(
        "failsafeOutboundHostPorts",
        FAILSAFES,
        "Ports of others that no policy keeps the host from, on every interface that a host endpoint governs. A list \
         takes the place of the built-in one; an empty list leaves all of them to policy.",
    ),
];
