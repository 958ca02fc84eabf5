//! Fields from `routeSource` on: routes, WireGuard, the runtime, and `nodeSelector`.

use super::{BOOL, DURATION, INT, ON_OFF, PORT, ROUTE_TABLE_RANGE, ROUTE_TABLE_RANGES, TEXT};
use crate::schema::{Field, Text, Type, kept, optional};

pub(super) const FIELDS: &[Field] = &[
    optional(
        "routeSource",
        Type::Text(Text::OneOfAnyCase(&["WorkloadIPs", "CalicoIPAM"])),
        calicos!("What routes are made from: address management (`CalicoIPAM`) or the addresses of workloads."),
    ),
    kept("routeTableRanges", ROUTE_TABLE_RANGES, calicos!("Numbers of the routing tables that the agent may use.")),
    kept(
        "routeTableRange",
        ROUTE_TABLE_RANGE,
        calicos!("The old form of `routeTableRanges`, with which it cannot stand together."),
    ),
    kept("routeSyncDisabled", BOOL, calicos!("Whether routes are left alone.")),
    kept("wireguardEnabled", BOOL, calicos!("Whether IPv4 packets between hosts are encrypted by WireGuard.")),
    kept("wireguardEnabledV6", BOOL, calicos!("Whether IPv6 packets between hosts are encrypted by WireGuard.")),
    kept("wireguardThreadingEnabled", BOOL, calicos!("Whether WireGuard works in threads of the kernel.")),
    kept("wireguardListeningPort", PORT, calicos!("The UDP port of WireGuard for IPv4.")),
    kept("wireguardListeningPortV6", PORT, calicos!("The UDP port of WireGuard for IPv6.")),
    kept("wireguardRoutingRulePriority", INT, calicos!("The priority of the routing rule for WireGuard.")),
    optional(
        "wireguardInterfaceName",
        Type::Text(Text::Interface),
        calicos!("The name of the WireGuard device for IPv4."),
    ),
    optional(
        "wireguardInterfaceNameV6",
        Type::Text(Text::Interface),
        calicos!("The name of the WireGuard device for IPv6."),
    ),
    kept("wireguardMTU", INT, calicos!("The MTU of the WireGuard device for IPv4, in bytes.")),
    kept("wireguardMTUV6", INT, calicos!("The MTU of the WireGuard device for IPv6, in bytes.")),
    kept(
        "wireguardHostEncryptionEnabled",
        BOOL,
        calicos!("Whether packets from host to host are encrypted by WireGuard, too."),
    ),
    kept(
        "wireguardKeepAlive",
        DURATION,
        calicos!("How often WireGuard sends a packet when there is no other; 0 is never."),
    ),
    optional(
        "awsSrcDstCheck",
        Type::Text(Text::OneOf(&["DoNothing", "Enable", "Disable"])),
        calicos!(
            "Whether the check of source and destination of an AWS instance is switched on, off or left as it is."
        ),
    ),
    optional(
        "serviceLoopPrevention",
        Type::Text(Text::OneOfAnyCase(&["Drop", "Reject", "Disabled"])),
        calicos!("What becomes of packets to addresses of services that no service has."),
    ),
    optional(
        "workloadSourceSpoofing",
        Type::Text(Text::OneOfAnyCase(&["Disabled", "Any"])),
        calicos!("Whether workloads may ask to send from addresses that are not theirs."),
    ),
    optional(
        "mtuIfacePattern",
        Type::Text(Text::Regex),
        calicos!("The interfaces from which the MTU of the host is worked out."),
    ),
    optional(
        "floatingIPs",
        ON_OFF,
        calicos!("Whether floating addresses of workloads are set up. Filled in as `Disabled`."),
    ),
    optional(
        "windowsManageFirewallRules",
        ON_OFF,
        calicos!("Whether the firewall of Windows is opened for the agent's metrics."),
    ),
    kept(
        "goGCThreshold",
        INT,
        calicos!("How many percent the memory of the Go runtime may grow before garbage is collected."),
    ),
    kept(
        "goMemoryLimitMB",
        INT,
        calicos!("The memory that the Go runtime tries to stay under, in MB; -1 for no limit."),
    ),
    kept("goMaxProcs", INT, calicos!("How many CPUs the Go runtime uses at once; -1 for those that there are.")),
    kept("requireMTUFile", BOOL, calicos!("Whether the agent waits for the file that tells the MTU.")),
    optional("cgroupV2Path", TEXT, calicos!("Where the second version of control groups is mounted.")),
    optional("istioAmbientMode", ON_OFF, calicos!("Whether the host is set up for Istio's ambient mode.")),
    kept("istioDSCPMark", Type::IntOrText, calicos!("The DSCP value that marks packets of Istio's ambient mode.")),
    kept(
        "liveMigrationRouteConvergenceTime",
        DURATION,
        calicos!("How long after a live migration the route to the new place is preferred."),
    ),
    kept(
        "nodeSelector",
        Type::Text(Text::Selector),
        "The nodes that the configuration is for, by their labels. Refused on `default` and `node.NAME`; an object of \
         another name counts for no node without it.",
    ),
];
