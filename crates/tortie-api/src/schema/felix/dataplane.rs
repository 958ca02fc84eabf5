//! Fields from `useInternalDataplaneDriver` on: the data plane, iptables, interfaces, actions.

use super::{ALLOW, BOOL, DENY, DURATION, INT, PORT, TEXT};
use crate::schema::{Field, Text, Type, kept, optional};

pub(super) const FIELDS: &[Field] = &[
    kept(
        "useInternalDataplaneDriver",
        BOOL,
        calicos!("Whether the agent programs the host itself, and does not leave that to another program."),
    ),
    optional(
        "dataplaneDriver",
        TEXT,
        calicos!("The program that programs the host where `useInternalDataplaneDriver` is `false`."),
    ),
    kept(
        "dataplaneWatchdogTimeout",
        DURATION,
        "How long programming the kernel once may take before the agent counts as not live. It is 20 s at least.",
    ),
    kept("ipv6Support", BOOL, "Whether IPv6 is policed. With `false` every IPv6 packet passes."),
    kept("routeRefreshInterval", DURATION, calicos!("How often routes are compared with the kernel again.")),
    kept(
        "interfaceRefreshInterval",
        DURATION,
        "How often links and addresses of the host are listed again; 0 is never. Changes are followed at once in any \
         case.",
    ),
    kept("iptablesRefreshInterval", DURATION, "Counts as `nftablesRefreshInterval` where that one is not set."),
    kept(
        "iptablesPostWriteCheckInterval",
        DURATION,
        calicos!("How long after a write the rules of iptables are read again."),
    ),
    optional("iptablesLockFilePath", TEXT, calicos!("The lock file of iptables.")),
    kept("iptablesLockTimeout", DURATION, calicos!("How long to wait for the lock of iptables.")),
    kept("iptablesLockProbeInterval", DURATION, calicos!("How often to try for the lock of iptables.")),
    optional(
        "featureDetectOverride",
        TEXT,
        calicos!(
            "Features of the host that are taken to be there or not, whatever is found: `name=true` or \
                  `name=false`, joined by commas."
        ),
    ),
    optional(
        "featureGates",
        TEXT,
        calicos!("Features of Calico that are not finished yet, switched on or off by `name=value`, joined by commas."),
    ),
    kept(
        "ipsetsRefreshInterval",
        DURATION,
        "How often all sets are read from the kernel again, and repaired; 0 is never. Rules are read with them, so \
         that the shorter one of this and `nftablesRefreshInterval` counts.",
    ),
    kept(
        "maxIpsetSize",
        INT,
        "How many members a set in the kernel may have, 1 at least. A rule that would need a larger one fails closed.",
    ),
    optional(
        "iptablesBackend",
        Type::Text(Text::OneOf(&["Legacy", "NFT", "Auto"])),
        "Which iptables Calico's agent uses. No effect here: the rules are those of nftables.",
    ),
    kept(
        "xdpRefreshInterval",
        DURATION,
        "How often XDP programs and their maps are compared with what they should be, and repaired. 0 is never.",
    ),
    kept("netlinkTimeout", DURATION, calicos!("How long to wait for answers of the kernel.")),
    optional(
        "metadataAddr",
        TEXT,
        calicos!(
            "The address or name of the server that answers virtual machines on 169.254.169.254; `none` for no \
                  such server."
        ),
    ),
    kept("metadataPort", PORT, calicos!("The TCP port of the server of `metadataAddr`.")),
    optional(
        "openstackRegion",
        Type::Text(Text::Region),
        calicos!("The region that the host belongs to in OpenStack."),
    ),
    optional(
        "interfacePrefix",
        TEXT,
        "How the names of workloads' interfaces begin, by commas. An interface that begins so is never a host \
         endpoint's.",
    ),
    optional(
        "interfaceExclude",
        TEXT,
        "Interfaces that no host endpoint governs, by commas: names, or regular expressions between two `/`, which may \
         match anywhere in a name.",
    ),
    optional(
        "chainInsertMode",
        Type::Text(Text::OneOfAnyCase(&["Insert", "Append"])),
        "Where rules stand in the chains of iptables. No effect here: Tortie's rules stand in a table of their own.",
    ),
    optional(
        "defaultEndpointToHostAction",
        Type::Text(Text::OneOfAnyCase(&["Drop", "Accept", "Return"])),
        "What becomes of packets from workloads of this host to the host itself: `Drop`, `Accept`, or `Return` to the \
         rules of other programs. Absent means `Return`, or `Drop` where unknown workloads are dropped.",
    ),
    optional("iptablesFilterAllowAction", ALLOW, "Counts as `nftablesFilterAllowAction` where that one is not set."),
    optional("iptablesMangleAllowAction", ALLOW, "Counts as `nftablesMangleAllowAction` where that one is not set."),
    optional("iptablesFilterDenyAction", DENY, "Counts as `nftablesFilterDenyAction` where that one is not set."),
];
