//! Fields from `kubeNodePortRanges` on: address translation, device routes, debugging, nftables.

use super::{ALLOW, BOOL, DENY, DURATION, INT, MARK, ON_OFF, PORT, TEXT};
use crate::schema::{Field, NO_LIMIT, Text, Type, kept, optional};

pub(super) const FIELDS: &[Field] = &[
    kept(
        "kubeNodePortRanges",
        Type::List(&Type::Text(Text::NumericPort), 7),
        calicos!("The ports of Kubernetes services on nodes, where kube-proxy uses IPVS."),
    ),
    optional(
        "policySyncPathPrefix",
        TEXT,
        calicos!("The folder for the sockets by which other programs learn of policies."),
    ),
    kept(
        "usageReportingEnabled",
        BOOL,
        calicos!("Whether the version and the size of the cluster are reported to the makers of Calico."),
    ),
    kept("usageReportingInitialDelay", DURATION, calicos!("How long to wait before the first report of usage.")),
    kept("usageReportingInterval", DURATION, calicos!("How often usage is reported.")),
    kept(
        "natPortRange",
        Type::Text(Text::NumericPort),
        calicos!("The source ports that outgoing connections of workloads are translated to."),
    ),
    optional(
        "natOutgoingAddress",
        Type::Text(Text::AddressV4),
        calicos!(
            "The source address that outgoing connections of workloads are translated to. Absent means that of \
                  the interface they leave by."
        ),
    ),
    optional(
        "natOutgoingExclusions",
        Type::Text(Text::OneOf(&["IPPoolsOnly", "IPPoolsAndHostIPs"])),
        calicos!(
            "The destinations that need no translation of the source: IP pools, or the addresses of hosts as \
                  well."
        ),
    ),
    optional(
        "deviceRouteSourceAddress",
        Type::Text(Text::AddressV4),
        calicos!("The IPv4 source address in routes to workloads."),
    ),
    optional(
        "deviceRouteSourceAddressIPv6",
        Type::Text(Text::AddressV6),
        calicos!("The IPv6 source address in routes to workloads."),
    ),
    kept("deviceRouteProtocol", INT, calicos!("The number by which the kernel knows routes of the agent.")),
    kept("removeExternalRoutes", BOOL, calicos!("Whether routes to workloads that others made are removed.")),
    optional("programClusterRoutes", ON_OFF, calicos!("Whether the agent itself makes the routes between hosts.")),
    optional(
        "ipForwarding",
        ON_OFF,
        "Whether the agent lets the host forward packets. No effect here: forwarding of the host is left as it is.",
    ),
    kept(
        "externalNodesList",
        Type::List(&Type::Text(Text::LooseNetV4), NO_LIMIT),
        calicos!("Networks of hosts outside the cluster that may send tunnelled packets."),
    ),
    optional("debugMemoryProfilePath", TEXT, calicos!("The file for profiles of memory.")),
    kept(
        "debugDisableLogDropping",
        BOOL,
        calicos!("Whether log lines are waited for when they come too fast, in place of being dropped."),
    ),
    kept(
        "debugSimulateCalcGraphHangAfter",
        DURATION,
        calicos!("For tests: after this time the calculation stands still."),
    ),
    kept(
        "debugSimulateDataplaneHangAfter",
        DURATION,
        calicos!("For tests: after this time the programming of the host stands still."),
    ),
    kept(
        "debugSimulateDataplaneApplyDelay",
        DURATION,
        calicos!("For tests: how long each programming of the host is held up."),
    ),
    optional("debugHost", TEXT, calicos!("The address or name at which profiles of memory and CPU are served.")),
    kept("debugPort", PORT, calicos!("The TCP port at which profiles of memory and CPU are served. Absent is off.")),
    optional(
        "iptablesNATOutgoingInterfaceFilter",
        TEXT,
        calicos!("The interfaces at which the source of outgoing connections of workloads is translated."),
    ),
    kept(
        "sidecarAccelerationEnabled",
        BOOL,
        calicos!("Whether traffic between a workload and its sidecar takes a short cut, which is an experiment."),
    ),
    kept(
        "xdpEnabled",
        BOOL,
        "Whether packets that untracked policy denies by their source alone are dropped early, by XDP.",
    ),
    kept("genericXDPEnabled", BOOL, "Whether network cards without XDP use the kernel's slower form of it."),
    optional(
        "nftablesMode",
        Type::Text(Text::OneOf(&["Disabled", "Enabled", "Auto"])),
        "Whether Calico's agent uses nftables. No effect here: the rules are those of nftables, always.",
    )
    .filled("Auto"),
    kept(
        "nftablesRefreshInterval",
        DURATION,
        "How often all rules are read from the kernel again, and repaired; 0 is never. Sets are read with them, so \
         that the shorter one of this and `ipsetsRefreshInterval` counts.",
    ),
    optional(
        "nftablesFilterAllowAction",
        ALLOW,
        "What an allow does to packets for, from and through the host: `Accept` accepts them, `Return` lets later \
         rules of others decide.",
    ),
    optional(
        "nftablesMangleAllowAction",
        ALLOW,
        "What an allow of a pre-DNAT policy does: `Accept` accepts the packet at that stage, `Return` lets later rules \
         of others decide.",
    ),
    optional(
        "nftablesFilterDenyAction",
        DENY,
        "What a deny does: `Drop` is silent, `Reject` answers with an error where the kernel can, and drops elsewhere.",
    ),
    kept(
        "nftablesMarkMask",
        MARK,
        "The bits of the packet mark that Tortie may use, two at least. Other bits are left alone.",
    ),
    optional(
        "nftablesFlowTableOffload",
        Type::Text(Text::OneOf(&["All", "Disabled"])),
        calicos!("Whether established connections that are forwarded take a short cut in the kernel."),
    )
    .filled("Disabled"),
];
