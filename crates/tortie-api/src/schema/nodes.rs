//! `spec` of Node and WorkloadEndpoint.

use super::{Field, NO_LIMIT, Text, Type, kept, optional, required};

const ANY_TEXT: Type = Type::Text(Text::Any(NO_LIMIT));
const MAC: Type = Type::Text(Text::Mac);
const NAME: Type = Type::Text(Text::Name);
const TEXTS: Type = Type::List(&ANY_TEXT, NO_LIMIT);

pub(super) const NODE: &[Field] = &[
    kept(
        "bgp",
        Type::Object(&[
            optional(
                "asNumber",
                Type::Text(Text::AsNumber),
                calicos!("The autonomous system of the host: one number, or two joined by a dot."),
            ),
            optional(
                "ipv4Address",
                Type::Text(Text::LooseNetV4),
                "The host's IPv4 address, with or without a prefix length. It is among the `expectedIPs` of an \
                 automatic host endpoint.",
            ),
            optional(
                "ipv6Address",
                Type::Text(Text::LooseNetV6),
                "The host's IPv6 address, with or without a prefix length. It is among the `expectedIPs` of an \
                 automatic host endpoint.",
            ),
            optional(
                "ipv4IPIPTunnelAddr",
                Type::Text(Text::AddressV4),
                "The address of the host's IP-in-IP device. It is among the `expectedIPs` of an automatic host \
                 endpoint.",
            ),
            optional(
                "routeReflectorClusterID",
                Type::Text(Text::AddressV4),
                calicos!("The cluster of route reflectors that the host belongs to, as one of them."),
            ),
        ]),
        "Addresses of the host, and what BGP needs to know of it.",
    ),
    optional(
        "ipv4VXLANTunnelAddr",
        Type::Text(Text::AddressV4),
        "The address of the host's VXLAN device for IPv4. It is among the `expectedIPs` of an automatic host endpoint.",
    ),
    optional("vxlanTunnelMACAddr", MAC, calicos!("The hardware address of the host's VXLAN device for IPv4.")),
    optional(
        "ipv6VXLANTunnelAddr",
        Type::Text(Text::AddressV6),
        "The address of the host's VXLAN device for IPv6. It is among the `expectedIPs` of an automatic host endpoint.",
    ),
    optional("vxlanTunnelMACAddrV6", MAC, calicos!("The hardware address of the host's VXLAN device for IPv6.")),
    optional(
        "orchRefs",
        Type::List(
            &Type::Object(&[
                optional("nodeName", ANY_TEXT, "The name of the host in the other system."),
                required("orchestrator", ANY_TEXT, "The other system, for instance `k8s`."),
            ]),
            NO_LIMIT,
        ),
        "What other systems call the host. An entry of `k8s` names the Kubernetes node that it is.",
    ),
    kept(
        "wireguard",
        Type::Object(&[
            optional(
                "interfaceIPv4Address",
                Type::Text(Text::AddressV4),
                "The address of the WireGuard device for IPv4. It is among the `expectedIPs` of an automatic host \
                 endpoint.",
            ),
            optional(
                "interfaceIPv6Address",
                Type::Text(Text::AddressV6),
                "The address of the WireGuard device for IPv6. It is among the `expectedIPs` of an automatic host \
                 endpoint.",
            ),
        ]),
        "Addresses of the host's WireGuard devices.",
    ),
    optional(
        "addresses",
        Type::List(
            &Type::Object(&[
                required(
                    "address",
                    ANY_TEXT,
                    "The address, with or without a prefix length. What is no address is skipped.",
                ),
                optional("type", ANY_TEXT, "`CalicoNodeIP`, `InternalIP` or `ExternalIP`."),
            ]),
            NO_LIMIT,
        ),
        "Addresses of the host by type. Those of type `InternalIP` are among the `expectedIPs` of an automatic host \
         endpoint, those of other types are not.",
    ),
    optional(
        "interfaces",
        Type::List(
            &Type::Object(&[
                optional("name", ANY_TEXT, "The name of the interface."),
                optional("addresses", TEXTS, "The addresses of the interface."),
            ]),
            NO_LIMIT,
        ),
        "The host's interfaces with their addresses. Templates for automatic host endpoints go by their names, and the \
         addresses are among the `expectedIPs`.",
    ),
];

const WORKLOAD_PORT: &[Field] = &[
    optional("name", ANY_TEXT, "The name by which rules refer to the port. A port without a name is ignored."),
    required("protocol", Type::Text(Text::PortProtocol), "The protocol of the port: TCP, UDP or SCTP, or its number."),
    required("port", Type::Int(1, 65535), "The number of the port."),
    optional("hostPort", Type::Int(0, 65535), calicos!("The port of the host that leads to this one.")),
    optional("hostIP", ANY_TEXT, calicos!("The address of the host at which `hostPort` leads to this port.")),
];

pub(super) const WORKLOAD_ENDPOINT: &[Field] = &[
    optional(
        "orchestrator",
        ANY_TEXT,
        "What runs the workload: `k8s`, `cni`, `libnetwork`, `openstack` or another word. Selectors see it as the \
         label `projectcalico.org/orchestrator`.",
    ),
    optional(
        "workload",
        ANY_TEXT,
        "The workload that the endpoint belongs to; for some orchestrators a part of the object's name.",
    ),
    optional("node", ANY_TEXT, "The name of the host that the workload runs on; a part of the object's name."),
    optional(
        "containerID",
        ANY_TEXT,
        "The container, where the orchestrator is `cni`; then a part of the object's name.",
    ),
    optional("pod", ANY_TEXT, "The pod, where the orchestrator is `k8s`; then a part of the object's name."),
    optional("endpoint", ANY_TEXT, "Which interface of the workload this is; the last part of the object's name."),
    optional(
        "serviceAccountName",
        ANY_TEXT,
        "The service account of the pod. Selectors see it as the label `projectcalico.org/serviceaccount`.",
    ),
    optional(
        "ipNetworks",
        Type::List(&Type::Text(Text::LooseNet), NO_LIMIT),
        "The addresses of the workload, which selectors of rules stand for. Networks of more than one address are \
         ignored.",
    ),
    optional(
        "ipNATs",
        Type::List(&Type::Any, NO_LIMIT),
        calicos!("Addresses that are translated to those of the workload."),
    ),
    optional("ipv4Gateway", ANY_TEXT, calicos!("The IPv4 gateway that the workload was given.")),
    optional("ipv6Gateway", ANY_TEXT, calicos!("The IPv6 gateway that the workload was given.")),
    optional(
        "profiles",
        Type::List(&NAME, NO_LIMIT),
        "Profiles whose labels the workload takes on; where two have one label, the one listed first wins.",
    ),
    optional("interfaceName", Type::Text(Text::Interface), "The host's end of the interface of the workload."),
    optional("mac", ANY_TEXT, calicos!("The hardware address of the interface of the workload.")),
    optional(
        "ports",
        Type::List(&Type::Object(WORKLOAD_PORT), NO_LIMIT),
        "Named ports, which rules may use in place of numbers.",
    ),
    optional(
        "allowSpoofedSourcePrefixes",
        TEXTS,
        calicos!("Networks that the workload may send from though they are not its own."),
    ),
    optional("qosControls", Type::Any, calicos!("Limits of bandwidth, packet rate and connections of the workload.")),
];
