//! Fields from `bpfEnabled` on: the BPF data plane and flow logs.

use super::{BOOL, DURATION, INT, ON_OFF, PORT, TEXT, TEXTS};
use crate::schema::{Field, MapRule, Text, Type, kept, optional};

pub(super) const FIELDS: &[Field] = &[
    kept(
        "bpfEnabled",
        BOOL,
        "Whether Calico's agent uses BPF programs for its rules. No effect here: the rules are those of nftables.",
    ),
    kept("bpfDisableUnprivileged", BOOL, calicos!("Whether users without privileges are kept from BPF.")),
    optional(
        "bpfJITHardening",
        Type::Text(Text::OneOf(&["Auto", "Strict"])),
        calicos!(
            "Whether the kernel's hardening of BPF programs is lowered where it costs speed (`Auto`), or left as \
                  it is (`Strict`)."
        ),
    ),
    optional(
        "bpfLogLevel",
        Type::Text(Text::OneOfAnyCase(&["Off", "Info", "Debug"])),
        calicos!("How much BPF programs log."),
    ),
    optional(
        "bpfConntrackLogLevel",
        Type::Text(Text::OneOf(&["Off", "Debug"])),
        calicos!("How much the BPF program that cleans up connections logs."),
    ),
    optional(
        "bpfConntrackCleanupMode",
        Type::Text(Text::OneOf(&["Auto", "Userspace", "BPFProgram"])),
        calicos!("Who cleans up connections of the BPF data plane: the agent or a BPF program."),
    ),
    kept(
        "bpfConntrackTimeouts",
        Type::Map(MapRule::Free),
        calicos!("How long connections of the BPF data plane are kept, by state."),
    ),
    kept(
        "bpfLogFilters",
        Type::Map(MapRule::Free),
        calicos!("The packets that BPF programs log about: a filter expression by interface."),
    ),
    optional("bpfCTLBLogFilter", TEXT, calicos!("What BPF programs log about balancing at connect.")),
    optional(
        "bpfDataIfacePattern",
        Type::Text(Text::Regex),
        calicos!("The interfaces to the network that get BPF programs."),
    ),
    optional(
        "bpfL3IfacePattern",
        Type::Text(Text::Regex),
        calicos!("The tunnels of others that get BPF programs as well."),
    ),
    kept(
        "bpfConnectTimeLoadBalancingEnabled",
        BOOL,
        calicos!(
            "The old form of `bpfConnectTimeLoadBalancing`. Where it is given, that one and \
                  `bpfHostNetworkedNATWithoutCTLB` are filled in from it."
        ),
    ),
    optional(
        "bpfConnectTimeLoadBalancing",
        Type::Text(Text::OneOf(&["TCP", "Enabled", "Disabled"])),
        calicos!("For which services BPF programs choose the backend when a program connects. Filled in as `TCP`."),
    ),
    optional(
        "bpfHostNetworkedNATWithoutCTLB",
        ON_OFF,
        calicos!(
            "Whether BPF programs translate services for the host's own programs where balancing at connect does \
                  not. Filled in as `Enabled`."
        ),
    ),
    optional(
        "bpfExternalServiceMode",
        Type::Text(Text::OneOfAnyCase(&["Tunnel", "DSR"])),
        calicos!(
            "How answers of services go back to clients outside: through the tunnel, or directly from the host of \
                  the backend (`DSR`)."
        ),
    ),
    kept(
        "bpfDSROptoutCIDRs",
        TEXTS,
        calicos!("Networks of clients that get no direct answers where `bpfExternalServiceMode` is `DSR`."),
    ),
    kept("bpfExtToServiceConnmark", INT, calicos!("The mark of connections from outside to services on the host.")),
    kept("bpfKubeProxyIptablesCleanupEnabled", BOOL, calicos!("Whether the rules of kube-proxy are removed.")),
    kept("bpfKubeProxyMinSyncPeriod", DURATION, calicos!("The shortest time between two updates of services.")),
    kept(
        "bpfKubeProxyHealthzPort",
        PORT,
        calicos!("The TCP port at which the health of the built-in kube-proxy is served."),
    ),
    kept(
        "bpfKubeProxyEndpointSlicesEnabled",
        BOOL,
        calicos!("Without effect in Calico as well: endpoint slices are always used."),
    ),
    kept(
        "bpfPSNATPorts",
        Type::Text(Text::NumericPort),
        calicos!("The source ports that a connection is moved to when its own is taken."),
    ),
    kept("bpfMapSizeNATFrontend", INT, calicos!("How many ports of services fit in the BPF map.")),
    kept("bpfMapSizeNATBackend", INT, calicos!("How many backends of services fit in the BPF map.")),
    kept("bpfMapSizeNATAffinity", INT, calicos!("How many clients bound to their backend fit in the BPF map.")),
    kept("bpfMapSizeRoute", INT, calicos!("How many routes fit in the BPF map.")),
    kept("bpfMapSizeConntrack", INT, calicos!("How many connections fit in the BPF map.")),
    kept("bpfMapSizePerCpuConntrack", INT, calicos!("How many connections for each CPU fit in the BPF map.")),
    optional(
        "bpfMapSizeConntrackScaling",
        Type::Text(Text::OneOfAnyCase(&["Disabled", "DoubleIfFull"])),
        calicos!("Whether the BPF map of connections doubles when it is full."),
    ),
    kept(
        "bpfMapSizeConntrackCleanupQueue",
        INT,
        calicos!("How many connections that are to be cleaned up fit in the BPF map."),
    ),
    kept("bpfMapSizeIPSets", INT, calicos!("How many members of sets fit in the BPF map.")),
    kept("bpfMapSizeIfState", INT, calicos!("How many interfaces fit in the BPF map.")),
    kept(
        "bpfHostConntrackBypass",
        BOOL,
        calicos!("Whether packets of workloads and services bypass the kernel's own connection tracking."),
    ),
    optional(
        "bpfEnforceRPF",
        Type::Text(Text::OneOfAnyCase(&["Disabled", "Strict", "Loose"])),
        calicos!("How strictly BPF programs check that a packet came by the interface that leads back to its source."),
    ),
    kept(
        "bpfPolicyDebugEnabled",
        BOOL,
        calicos!("Whether details of the BPF programs of policies are kept for `calico-bpf`."),
    ),
    kept(
        "bpfForceTrackPacketsFromIfaces",
        TEXTS,
        calicos!("Interfaces whose packets do not bypass the kernel's own connection tracking."),
    ),
    optional(
        "bpfDisableGROForIfaces",
        Type::Text(Text::Regex),
        calicos!("Interfaces at which the kernel's joining of received packets (GRO) is switched off."),
    ),
    kept("bpfExcludeCIDRsFromNAT", TEXTS, calicos!("Networks of services that BPF programs do not translate.")),
    kept("bpfExportBufferSizeMB", INT, calicos!("The buffer for events of BPF programs, in MB.")),
    optional(
        "flowLogsPolicyEvaluationMode",
        Type::Text(Text::OneOf(&["None", "Continuous"])),
        calicos!("Whether flow logs tell again and again what present policies would do with running flows."),
    ),
    optional(
        "bpfRedirectToPeer",
        Type::Text(Text::OneOf(&["Enabled", "Disabled", "L2Only"])),
        calicos!("For which interfaces BPF programs hand packets straight to the workload's end of its interface."),
    ),
    optional(
        "bpfAttachType",
        Type::Text(Text::OneOf(&["TC", "TCX"])),
        calicos!("How BPF programs are attached to interfaces: by TC or TCX."),
    ),
    kept("flowLogsFlushInterval", DURATION, calicos!("How often flow logs are sent.")),
    kept(
        "flowLogsCollectorDebugTrace",
        BOOL,
        calicos!("Whether the collector of flow logs logs everything that it does."),
    ),
    optional("flowLogsGoldmaneServer", TEXT, calicos!("The server of Goldmane that flow logs are sent to.")),
    optional("flowLogsLocalReporter", ON_OFF, calicos!("Whether flows can be read from a socket on the host.")),
    optional("bpfProfiling", ON_OFF, calicos!("Whether the time that BPF programs take is measured.")),
    kept(
        "bpfMaglevMaxEndpointsPerService",
        INT,
        calicos!("How many backends a service with consistent hashing (Maglev) may have."),
    ),
    kept("bpfMaglevMaxServices", INT, calicos!("How many services with consistent hashing (Maglev) there may be.")),
];
