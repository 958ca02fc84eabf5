//! `spec` and `status` of KubeControllersConfiguration.

use super::{Field, MapRule, NO_LIMIT, Text, Type, kept, optional};

const ON_OFF: Type = Type::Text(Text::OneOf(&["Enabled", "Disabled"]));
const FREE_DURATION: Type = Type::Text(Text::FreeDuration);
const PERIOD_ONLY: Type = Type::Object(&[kept(
    "reconcilerPeriod",
    FREE_DURATION,
    calicos!("How often the controller compares everything again."),
)]);

const TEMPLATE: Type = Type::Object(&[
    optional(
        "generateName",
        Type::Text(Text::Name),
        "The part of the endpoints' names that stands for the template, as in `NODE-NAME-auto-hep`. It must be given, \
         and be unique among the templates.",
    ),
    optional(
        "interfaceCIDRs",
        Type::List(&Type::Text(Text::LooseNet), NO_LIMIT),
        "Networks: the addresses of the node inside them become `expectedIPs`. Without `interfacePattern` a node gets \
         one endpoint for them, or none when it has no such address.",
    ),
    optional(
        "interfacePattern",
        Type::Text(Text::Regex),
        "A regular expression that may match anywhere in the name of an interface. Each interface that it matches gets \
         an endpoint of its own. At least one of this and `interfaceCIDRs` must be given.",
    ),
    optional(
        "nodeSelector",
        Type::Text(Text::Selector),
        "The nodes that the template is for, by their labels. Absent means all nodes.",
    ),
    optional("labels", Type::Map(MapRule::Labels), "Labels of the endpoints. They win over those that the node has."),
    optional(
        "annotations",
        Type::Map(MapRule::Annotations),
        "Annotations of the endpoints. Those of the node are not copied.",
    ),
]);

const NODE_CONTROLLER: Type = Type::Object(&[
    kept("reconcilerPeriod", FREE_DURATION, calicos!("How often the controller compares everything again.")),
    optional(
        "syncLabels",
        ON_OFF,
        "Whether nodes in a store of their own get the labels of the Kubernetes nodes that they are. Absent means \
         `Enabled`.",
    ),
    kept(
        "hostEndpoint",
        Type::Object(&[
            optional(
                "autoCreate",
                ON_OFF,
                "Whether host endpoints are made of nodes. Absent means `Disabled`, and then every endpoint that was \
                 made so is deleted.",
            ),
            optional(
                "createDefaultHostEndpoint",
                ON_OFF,
                "Whether each node gets an endpoint for all its interfaces, with the profile \
                 `projectcalico-default-allow`. Absent means `Enabled`; it counts only with `autoCreate: Enabled`.",
            ),
            optional(
                "templates",
                Type::List(&TEMPLATE, NO_LIMIT),
                "Endpoints for some interfaces or addresses, with labels of their own. They count only with \
                 `autoCreate: Enabled`.",
            ),
        ]),
        "The host endpoints that `tortie controller` makes of nodes.",
    ),
    kept(
        "leakGracePeriod",
        FREE_DURATION,
        calicos!(
            "How long an address may seem unused before it is taken back. Filled in as `15m0s` where \
                  `controllers.node` is given."
        ),
    ),
]);

pub(super) const SPEC: &[Field] = &[
    optional(
        "logSeverityScreen",
        Type::Text(Text::OneOf(&["None", "Debug", "Info", "Warning", "Error", "Fatal", "Panic"])),
        calicos!("The least severe lines that the controllers log."),
    ),
    optional("healthChecks", ON_OFF, calicos!("Whether the controllers check their own health.")).filled("Enabled"),
    kept("etcdV3CompactionPeriod", FREE_DURATION, calicos!("How often the controllers compact etcd; 0 is never.")),
    kept(
        "prometheusMetricsPort",
        Type::Int(0, 65535),
        calicos!("The TCP port at which the controllers serve metrics. Filled in as 9094; 0 is off."),
    ),
    kept(
        "controllers",
        Type::Object(&[
            kept(
                "node",
                NODE_CONTROLLER,
                "The controller that makes host endpoints of nodes and copies labels to them.",
            ),
            kept("policy", PERIOD_ONLY, calicos!("The controller that translates network policies of Kubernetes.")),
            kept(
                "workloadEndpoint",
                PERIOD_ONLY,
                calicos!("The controller that keeps the labels of workload endpoints as those of their pods."),
            ),
            kept("serviceAccount", PERIOD_ONLY, calicos!("The controller that makes profiles of service accounts.")),
            kept("namespace", PERIOD_ONLY, calicos!("The controller that makes profiles of namespaces.")),
            kept(
                "loadBalancer",
                Type::Object(&[optional(
                    "assignIPs",
                    Type::Text(Text::OneOf(&["AllServices", "RequestedServicesOnly"])),
                    calicos!("Which services get an address: all of them, or those that ask for one."),
                )
                .filled("AllServices")]),
                calicos!("The controller that gives addresses to services of type LoadBalancer."),
            ),
            kept(
                "migration",
                Type::Object(&[optional(
                    "policyNameMigrator",
                    ON_OFF,
                    calicos!("Whether policies that older releases stored get their present names."),
                )
                .filled("Enabled")]),
                calicos!("The controller that brings objects of older releases up to date."),
            ),
        ]),
        "Settings of the single controllers. Filled in as an empty object.",
    ),
    kept(
        "debugProfilePort",
        Type::Int(0, 65535),
        calicos!("The TCP port at which the controllers serve profiles of memory and CPU. Absent is off."),
    ),
];

/// What the controller was told and from where: free members, since another version may run than wrote this.
pub(super) const STATUS: &[Field] = &[
    optional("runningConfig", Type::Any, "The settings in force, in the shape of `spec`."),
    optional("environmentVars", Type::Map(MapRule::Free), "Variables of the controller's environment that count."),
];
