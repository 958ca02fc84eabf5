//! Every setting, as data: the resolver, the user's page and its test are made from these tables.

use super::value::Kind;

/// One setting that is read.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The name as resource or annotation write it; in environment and file it counts in any case.
    pub name: &'static str,
    /// Another name in environment and file, where Felix has one.
    pub local_name: Option<&'static str>,
    /// What it holds.
    pub kind: Kind,
    /// Its default as a file would write it; empty is none.
    pub default: &'static str,
    /// Whether the agent does not start with a bad value in environment or file (E-604).
    pub is_fatal: bool,
    /// Whether `none` is refused (E-603).
    pub refuses_none: bool,
    /// Whose it is.
    pub origin: Origin,
    /// What it changes.
    pub usage: Usage,
}

/// Whose setting it is, and so where the store has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A field of `spec` of FelixConfiguration.
    Felix,
    /// Annotation `tortie.dev/<name>` of a FelixConfiguration (D-12).
    Tortie,
}

/// What a setting changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Rules or verdicts: [`Settings`](super::Settings).
    Rules,
    /// How the agent runs: [`Operation`](super::Operation).
    Agent,
    /// Nothing: it is accepted, and what holds instead is told.
    Told,
}

const ALLOW: Kind = Kind::Word(&["Accept", "Return"]);
const DENY: Kind = Kind::Word(&["Drop", "Reject"]);
const SEVERITY: Kind = Kind::Word(&["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]);
const PORT: Kind = Kind::Number(0, 65_535);
const MASK: &str = "0xffff0000";

/// Every setting that is read, in the order of enforcement.md section 6 and the table of D-12.
pub const SETTINGS: &[Setting] = &[
    rules("interfacePrefix", Kind::Prefixes, "cali").fatal().not_none(),
    rules("interfaceExclude", Kind::Patterns, "kube-ipvs0"),
    rules(
        "failsafeInboundHostPorts",
        Kind::Failsafes,
        "tcp:22,udp:68,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
    )
    .fatal(),
    rules(
        "failsafeOutboundHostPorts",
        Kind::Failsafes,
        "udp:53,udp:67,tcp:179,tcp:2379,tcp:2380,tcp:5473,tcp:6443,tcp:6666,tcp:6667",
    )
    .fatal(),
    rules("nftablesFilterDenyAction", DENY, "Drop").fatal().not_none(),
    rules("iptablesFilterDenyAction", DENY, "Drop").fatal().not_none(),
    rules("nftablesFilterAllowAction", ALLOW, "Accept").fatal().not_none(),
    rules("iptablesFilterAllowAction", ALLOW, "Accept").fatal().not_none(),
    rules("nftablesMangleAllowAction", ALLOW, "Accept").fatal().not_none(),
    rules("iptablesMangleAllowAction", ALLOW, "Accept").fatal().not_none(),
    told("chainInsertMode", Kind::Word(&["Insert", "Append"]), "Insert").fatal().not_none(),
    rules("defaultEndpointToHostAction", Kind::Word(&["Drop", "Return", "Accept"]), "").fatal().not_none(),
    rules("disableConntrackInvalidCheck", Kind::Bool, "false"),
    rules("logPrefix", Kind::Text, "calico-packet"),
    rules("logActionRateLimit", Kind::Rate, ""),
    rules("logActionRateLimitBurst", Kind::Number(0, 9999), "5"),
    rules("nftablesMarkMask", Kind::Mask, MASK).fatal().not_none(),
    rules("iptablesMarkMask", Kind::Mask, MASK).fatal().not_none(),
    rules("ipv6Support", Kind::Bool, "true"),
    agent("nftablesRefreshInterval", Kind::Duration, "3m"),
    agent("iptablesRefreshInterval", Kind::Duration, "3m"),
    agent("ipsetsRefreshInterval", Kind::Duration, "1m30s"),
    agent("xdpRefreshInterval", Kind::Duration, "1m30s"),
    agent("interfaceRefreshInterval", Kind::Duration, "1m30s"),
    rules("maxIpsetSize", Kind::Number(1, u32::MAX as u64), "1048576").not_none(),
    agent("xdpEnabled", Kind::Bool, "true"),
    agent("genericXDPEnabled", Kind::Bool, "false"),
    told("bpfEnabled", Kind::Bool, "false"),
    told("nftablesMode", Kind::Word(&["Auto", "Enabled", "Disabled"]), "Auto"),
    told("iptablesBackend", Kind::Word(&["Auto", "Legacy", "NFT"]), "Auto"),
    agent("healthEnabled", Kind::Bool, "false"),
    agent("healthHost", Kind::Host, "localhost"),
    agent("healthPort", PORT, "9099"),
    agent("healthTimeoutOverrides", Kind::Timeouts, ""),
    agent("prometheusMetricsEnabled", Kind::Bool, "false"),
    agent("prometheusMetricsHost", Kind::Host, ""),
    agent("prometheusMetricsPort", PORT, "9091"),
    agent("prometheusMetricsCAFile", Kind::Text, ""),
    agent("prometheusMetricsCertFile", Kind::Text, ""),
    agent("prometheusMetricsKeyFile", Kind::Text, ""),
    agent(
        "prometheusMetricsClientAuth",
        Kind::Word(&["NoClientCert", "RequireAndVerifyClientCert", "RequireAnyClientCert", "VerifyClientCertIfGiven"]),
        "NoClientCert",
    ),
    agent("endpointReportingEnabled", Kind::Bool, "true"),
    agent("endpointReportingDelay", Kind::Duration, "1s").locally("EndpointReportingDelaySecs"),
    agent("reportingInterval", Kind::Duration, "30s").locally("ReportingIntervalSecs"),
    agent("reportingTTL", Kind::Duration, "1m30s").locally("ReportingTTLSecs"),
    agent("logSeverityScreen", SEVERITY, "Info"),
    agent("logSeverityFile", SEVERITY, "Info"),
    agent("logSeveritySys", SEVERITY, "Info"),
    agent("logFilePath", Kind::Text, ""),
    agent("dataplaneWatchdogTimeout", Kind::Duration, "1m30s"),
    told("ipForwarding", Kind::Word(&["Enabled", "Disabled"]), ""),
    rules("compatibility", Kind::Word(&["Safe", "Strict"]), "Safe").own(),
    rules("wildcardLoopback", Kind::Word(&["Exempt", "Police"]), "Exempt").own(),
    agent("invalidObjectPolicy", Kind::Word(&["Hold", "Calico"]), "Hold").own(),
    rules("httpRules", Kind::Word(&["NeverMatch", "IgnoreHTTP"]), "NeverMatch").own(),
    rules("unknownWorkloads", Kind::Word(&["Leave", "Drop"]), "Leave").own(),
    rules("ipv6Essentials", Kind::Word(&["Allow", "Off"]), "Allow").own(),
    agent("datastorePin", Kind::Word(&["Enabled", "Disabled"]), "Enabled").own(),
    agent("onTighten", Kind::Word(&["Keep", "Recheck"]), "Keep").own(),
    agent("bootPolicy", Kind::Word(&["Open", "FailsafeOnly"]), "Open").own(),
];

/// The settings that `compatibility: Strict` gives the second of their two values, unless one is set by itself (D-1).
pub const STRICT: [&str; 6] =
    ["wildcardLoopback", "invalidObjectPolicy", "httpRules", "unknownWorkloads", "ipv6Essentials", "datastorePin"];

/// Fields of FelixConfiguration that mean nothing to the protection of hosts: accepted, never used (E-621, E-631..E-634).
#[rustfmt::skip]
pub const NOT_APPLICABLE: &[&str] = &[
    "allowIPIPPacketsFromWorkloads", "allowVXLANPacketsFromWorkloads", "awsSrcDstCheck", "bpfAttachType",
    "bpfCTLBLogFilter", "bpfConnectTimeLoadBalancing", "bpfConnectTimeLoadBalancingEnabled", "bpfConntrackCleanupMode",
    "bpfConntrackLogLevel", "bpfConntrackTimeouts", "bpfDSROptoutCIDRs", "bpfDataIfacePattern",
    "bpfDisableGROForIfaces", "bpfDisableUnprivileged", "bpfEnforceRPF", "bpfExcludeCIDRsFromNAT",
    "bpfExportBufferSizeMB", "bpfExtToServiceConnmark", "bpfExternalServiceMode", "bpfForceTrackPacketsFromIfaces",
    "bpfHostConntrackBypass", "bpfHostNetworkedNATWithoutCTLB", "bpfJITHardening", "bpfKubeProxyEndpointSlicesEnabled",
    "bpfKubeProxyHealthzPort", "bpfKubeProxyIptablesCleanupEnabled", "bpfKubeProxyMinSyncPeriod", "bpfL3IfacePattern",
    "bpfLogFilters", "bpfLogLevel", "bpfMaglevMaxEndpointsPerService", "bpfMaglevMaxServices", "bpfMapSizeConntrack",
    "bpfMapSizeConntrackCleanupQueue", "bpfMapSizeConntrackScaling", "bpfMapSizeIPSets", "bpfMapSizeIfState",
    "bpfMapSizeNATAffinity", "bpfMapSizeNATBackend", "bpfMapSizeNATFrontend", "bpfMapSizePerCpuConntrack",
    "bpfMapSizeRoute", "bpfPSNATPorts", "bpfPolicyDebugEnabled", "bpfProfiling", "bpfRedirectToPeer", "cgroupV2Path",
    "dataplaneDriver", "debugDisableLogDropping", "debugHost", "debugMemoryProfilePath", "debugPort",
    "debugSimulateCalcGraphHangAfter", "debugSimulateDataplaneApplyDelay", "debugSimulateDataplaneHangAfter",
    "deviceRouteProtocol", "deviceRouteSourceAddress", "deviceRouteSourceAddressIPv6", "endpointStatusPathPrefix",
    "externalNodesList", "featureDetectOverride", "featureGates", "floatingIPs", "flowLogsCollectorDebugTrace",
    "flowLogsFlushInterval", "flowLogsGoldmaneServer", "flowLogsLocalReporter", "flowLogsPolicyEvaluationMode",
    "goGCThreshold", "goMaxProcs", "goMemoryLimitMB", "ipipEnabled", "ipipMTU", "iptablesLockFilePath",
    "iptablesLockProbeInterval", "iptablesLockTimeout", "iptablesNATOutgoingInterfaceFilter",
    "iptablesPostWriteCheckInterval", "istioAmbientMode", "istioDSCPMark", "kubeNodePortRanges",
    "liveMigrationRouteConvergenceTime", "logDebugFilenameRegex", "metadataAddr", "metadataPort", "mtuIfacePattern",
    "natOutgoingAddress", "natOutgoingExclusions", "natPortRange", "netlinkTimeout", "nftablesFlowTableOffload",
    "openstackRegion", "policySyncPathPrefix", "programClusterRoutes", "prometheusGoMetricsEnabled",
    "prometheusProcessMetricsEnabled", "prometheusWireGuardMetricsEnabled", "removeExternalRoutes", "requireMTUFile",
    "routeRefreshInterval", "routeSource", "routeSyncDisabled", "routeTableRange", "routeTableRanges",
    "serviceLoopPrevention", "sidecarAccelerationEnabled", "usageReportingEnabled", "usageReportingInitialDelay",
    "usageReportingInterval", "useInternalDataplaneDriver", "vxlanEnabled", "vxlanMTU", "vxlanMTUV6", "vxlanPort",
    "vxlanVNI", "windowsManageFirewallRules", "wireguardEnabled", "wireguardEnabledV6",
    "wireguardHostEncryptionEnabled", "wireguardInterfaceName", "wireguardInterfaceNameV6", "wireguardKeepAlive",
    "wireguardListeningPort", "wireguardListeningPortV6", "wireguardMTU", "wireguardMTUV6",
    "wireguardRoutingRulePriority", "wireguardThreadingEnabled", "workloadSourceSpoofing",
];

/// Names that Felix knows in environment and file only, and that mean nothing to the protection of hosts.
#[rustfmt::skip]
pub(super) const NOT_APPLICABLE_LOCAL: &[&str] = &[
    "CalicoVersion", "ClusterGUID", "ClusterType", "DebugBPFCgroupV2", "DebugCPUProfilePath", "DebugPanicAfter",
    "DebugSimulateDataRace", "ExternalNodesCIDRList", "IPv4ElevatedRoutePriority", "IPv4NormalRoutePriority",
    "IPv4VXLANTunnelAddr", "IPv6ElevatedRoutePriority", "IPv6NormalRoutePriority", "IPv6VXLANTunnelAddr",
    "IpInIpEnabled", "IpInIpMtu", "IpInIpTunnelAddr", "IptablesLockProbeIntervalMillis", "IptablesLockTimeoutSecs",
    "IptablesPostWriteCheckIntervalSecs", "NetlinkTimeoutSecs", "TyphaAddr", "TyphaCAFile", "TyphaCN", "TyphaCertFile",
    "TyphaK8sNamespace", "TyphaK8sServiceName", "TyphaKeyFile", "TyphaReadTimeout", "TyphaURISAN", "TyphaWriteTimeout",
    "UsageReportingInitialDelaySecs", "UsageReportingIntervalSecs", "VXLANTunnelMACAddr", "VXLANTunnelMACAddrV6",
    "Variant", "WireguardPersistentKeepAlive",
];

/// Names of environment and file that are read elsewhere: the node's name and the place of the store (E-605).
pub(super) const CONNECTION: &[&str] = &[
    "DatastoreType",
    "EtcdAddr",
    "EtcdCaFile",
    "EtcdCertFile",
    "EtcdEndpoints",
    "EtcdKeyFile",
    "EtcdScheme",
    "FelixHostname",
];

impl Setting {
    const fn fatal(self) -> Self {
        Self { is_fatal: true, ..self }
    }

    const fn not_none(self) -> Self {
        Self { refuses_none: true, ..self }
    }

    const fn locally(self, name: &'static str) -> Self {
        Self { local_name: Some(name), ..self }
    }

    /// A setting of D-12.
    const fn own(self) -> Self {
        Self { origin: Origin::Tortie, refuses_none: true, ..self }
    }
}

const fn setting(name: &'static str, kind: Kind, default: &'static str, usage: Usage) -> Setting {
    let origin = Origin::Felix;
    Setting { name, local_name: None, kind, default, is_fatal: false, refuses_none: false, origin, usage }
}

const fn rules(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    setting(name, kind, default, Usage::Rules)
}

const fn agent(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    setting(name, kind, default, Usage::Agent)
}

const fn told(name: &'static str, kind: Kind, default: &'static str) -> Setting {
    setting(name, kind, default, Usage::Told)
}

/// Whether environment or file may hold this name, in any case, without its prefix.
pub fn is_local_name(name: &str) -> bool {
    local_names().any(|known| known.eq_ignore_ascii_case(name))
}

/// All names that environment or file may hold.
pub(super) fn local_names() -> impl Iterator<Item = &'static str> {
    let read = SETTINGS.iter().flat_map(|setting| std::iter::once(setting.name).chain(setting.local_name));
    read.chain(NOT_APPLICABLE.iter().chain(NOT_APPLICABLE_LOCAL).chain(CONNECTION).copied())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tortie_api::Kind as Resource;
    use tortie_api::schema;

    use super::*;
    use crate::settings::value::Value;

    /// E-603: a field that is neither read nor known not to apply would be forgotten silently.
    #[test]
    fn every_field_of_the_resource_is_read_or_known_not_to_apply() {
        let fields = schema::spec(Resource::FelixConfiguration).iter().map(|field| field.name);
        let fields: BTreeSet<&str> = fields.filter(|name| *name != "nodeSelector").collect();
        let read = SETTINGS.iter().filter(|setting| setting.origin == Origin::Felix).map(|setting| setting.name);
        let known: Vec<&str> = read.chain(NOT_APPLICABLE.iter().copied()).collect();
        assert_eq!(known.iter().copied().collect::<BTreeSet<_>>(), fields);
        assert_eq!(known.len(), fields.len(), "no name stands twice");
    }

    /// What users read about a field is what this crate does with it.
    #[test]
    fn descriptions_say_which_fields_are_not_used_and_which_have_no_effect() {
        // These are read for the notes about them, and nothing else comes of it.
        let read_only = ["logSeveritySys"];
        for field in schema::spec(Resource::FelixConfiguration) {
            assert_eq!(field.is_unused(), NOT_APPLICABLE.contains(&field.name), "{}: {}", field.name, field.doc);
            let setting = SETTINGS.iter().find(|s| s.origin == Origin::Felix && s.name == field.name);
            let is_idle = read_only.contains(&field.name) || setting.is_some_and(|s| s.usage == Usage::Told);
            assert_eq!(field.doc.contains("No effect here: "), is_idle, "{}: {}", field.name, field.doc);
        }
    }

    #[test]
    fn the_table_of_d12_is_complete() {
        let own: Vec<_> = SETTINGS.iter().filter(|setting| setting.origin == Origin::Tortie).collect();
        assert_eq!(own.len(), 9);
        for setting in own {
            let Kind::Word([first, _]) = setting.kind else { panic!("{} has two values", setting.name) };
            assert_eq!(*first, setting.default, "{}: the default stands first", setting.name);
        }
        assert!(STRICT.iter().all(|name| SETTINGS.iter().any(|s| s.name == *name && s.origin == Origin::Tortie)));
    }

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for setting in SETTINGS.iter().filter(|setting| !setting.default.is_empty()) {
            assert!(Value::of_text(setting.kind, setting.default).is_ok(), "{}", setting.name);
        }
    }
}
