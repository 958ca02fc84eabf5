//! What worlds and packets exercise: the rules of the specification, the passes of the compiler, and the reasons of
//! verdicts. A generator that never comes to something proves nothing about it.

use tortie_api::model::{
    Action, Attachment, Family, HostEndpoint, Policy, PolicyClass, PolicyKind, Port, Resource, Rule, TierAction,
};
use tortie_api::packet::{ConnState, Packet, Route, WayBack};
use tortie_reference::{By, Judgement, Stage, Verdict};
use tortie_rules::Ruleset;
use tortie_rules::ruleset::{self, End, Holds, Origin, Ranges};
use tortie_testkit::generators::{NODE, World};

/// What a world must have, or a packet must have met.
pub struct Feature<Test> {
    /// The rules of the specification, or the pass of the compiler.
    pub of: &'static str,
    /// In words.
    pub what: &'static str,
    /// Whether it is there.
    pub is_met: Test,
}

/// A world and what was compiled from it.
pub struct Drawn<'a> {
    /// The world.
    pub world: &'a World,
    /// Its ruleset.
    pub ruleset: &'a Ruleset,
}

/// A packet that was judged.
pub struct Judged<'a> {
    /// The world.
    pub world: &'a World,
    /// The packet.
    pub packet: &'a Packet,
    /// The reference's judgement.
    pub judged: &'a Judgement,
}

macro_rules! features {
    ($name:ident, $doc:literal, $on:ty, $($of:literal $what:literal $is_met:expr;)*) => {
        #[doc = $doc]
        pub const $name: &[Feature<$on>] = &[$(Feature { of: $of, what: $what, is_met: $is_met }),*];
    };
}

features! { OF_WORLDS, "Features of worlds.", fn(&Drawn<'_>) -> bool,
    "E-101" "an endpoint of another node" |drawn| drawn.endpoints().any(|hep| hep.node != NODE);
    "E-102" "an endpoint on an excluded interface" |drawn| drawn.local().any(|hep| {
        matches!(&hep.attachment, Attachment::Named(name) if drawn.world.interface_exclude.contains(name))
    });
    "E-105" "an endpoint found by address" |drawn| drawn.local().any(|hep| {
        hep.attachment == Attachment::ByAddress
            && drawn.world.links.values().any(|link| hep.expected_ips.iter().any(|ip| link.addresses.contains(ip)))
    });
    "E-106" "two endpoints on one interface" |drawn| {
        let mut names: Vec<_> = drawn.local().map(|hep| format!("{:?}", hep.attachment)).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        names.len() < count
    };
    "E-107" "several wildcards" |drawn| {
        drawn.local().filter(|hep| hep.attachment == Attachment::AllInterfaces).count() > 1
    };
    "E-115" "an endpoint on an interface that is not there" |drawn| drawn.local().any(|hep| {
        matches!(&hep.attachment, Attachment::Named(name) if !drawn.world.links.contains_key(name))
    });
    "E-116" "an endpoint on a workload interface" |drawn| drawn.local().any(|hep| {
        matches!(&hep.attachment, Attachment::Named(name) if name.starts_with("cali"))
    });
    "E-202" "labels from a profile" |drawn| drawn.local().any(|hep| {
        hep.profiles.iter().any(|name| drawn.world.resources.iter().any(|resource| {
            matches!(resource, Resource::Profile(p) if p.meta.name == *name && !p.labels_to_apply.is_empty())
        }))
    });
    "E-204" "a namespace selector of a global policy" |drawn| drawn.policies().any(|policy| {
        policy.kind == PolicyKind::Global && policy.namespace_selector.is_some()
    });
    "E-205" "a namespaced policy" |drawn| drawn.policies().any(|policy| policy.kind == PolicyKind::Namespaced);
    "E-206" "a staged policy" |drawn| drawn.policies().any(|policy| policy.kind.is_staged());
    "E-215" "tiers of equal order" |drawn| {
        let orders = drawn.world.resources.iter().filter_map(|resource| match resource {
            Resource::Tier(tier) => Some(format!("{:?}", tier.order)),
            _ => None,
        });
        let mut orders: Vec<_> = orders.collect();
        let count = orders.len();
        orders.sort();
        orders.dedup();
        orders.len() < count
    };
    "E-216" "policies of equal order in one tier" |drawn| {
        let mut orders: Vec<_> = drawn.policies().map(|policy| format!("{} {:?}", policy.tier, policy.order)).collect();
        let count = orders.len();
        orders.sort();
        orders.dedup();
        orders.len() < count
    };
    "E-218" "a policy of a missing tier" |drawn| drawn.policies().any(|policy| policy.tier == "missing");
    "E-342" "one address in several sets" |drawn| {
        let mut nets: Vec<_> = drawn.world.resources.iter().flat_map(|resource| match resource {
            Resource::NetworkSet(set) => set.nets.iter().map(ToString::to_string).collect(),
            _ => vec![],
        }).collect();
        let count = nets.len();
        nets.sort();
        nets.dedup();
        nets.len() < count
    };
    "E-348" "a network of length zero in a set" |drawn| drawn.world.resources.iter().any(|resource| {
        matches!(resource, Resource::NetworkSet(set) if set.nets.iter().any(|net| net.prefix_len() == 0))
    });
    "E-403" "every mark mask" |drawn| drawn.world.mark_mask != 0xffff_0000;
    "E-610" "rejects" |drawn| drawn.world.rejects;
    "pass flatten" "several sections" |drawn| drawn.has_rule(|origin| matches!(origin, Origin::TierEnd { .. }));
    "pass simplify" "an endpoint's chain without what nobody reaches" |drawn| {
        let count = |world: &World| -> usize {
            let lists = world.resources.iter().map(|resource| match resource {
                Resource::Policy(policy) => policy.ingress.len() + policy.egress.len(),
                _ => 0,
            });
            lists.sum()
        };
        let mut found: Vec<String> = drawn.rules().filter_map(|rule| match &rule.origin {
            Origin::Policy { id, direction, rule, .. } => Some(format!("{id} {direction} {rule}")),
            _ => None,
        }).collect();
        found.sort();
        found.dedup();
        found.len() < count(drawn.world)
    };
    "pass classes" "classes of single addresses" |drawn| drawn.asks("/addresses");
    "pass classes" "classes of networks" |drawn| drawn.asks("/networks");
    "pass classes" "a class with single ports" |drawn| drawn.asks("/ports");
    "pass classes" "a class with ranges of ports" |drawn| drawn.asks("/port-ranges");
    "pass classes" "a class with types of ICMP" |drawn| drawn.asks("/icmp");
    "pass classes" "a class with whole protocols" |drawn| drawn.asks("/protocols");
    "pass classes" "a class with everything" |drawn| drawn.asks("/any");
    "pass classes" "a class of own addresses" |drawn| drawn.asks("/own-addresses");
    "pass classes" "a pair of classes" |drawn| drawn.asks("/pair-own");
    "pass classes" "a pair of classes with single ports" |drawn| drawn.asks("/pair-ports");
    "pass classes" "a pair of classes with ranges of ports" |drawn| drawn.asks("/pair-port-ranges");
    "pass classes" "a pair of classes with types of ICMP" |drawn| drawn.asks("/pair-icmp");
    "pass classes" "a pair of classes with whole protocols" |drawn| drawn.asks("/pair-protocols");
    "pass classes" "a pair of classes with everything" |drawn| drawn.asks("/pair-any");
    "pass classes" "a packet that another rule sent on" |drawn| {
        drawn.ruleset.sets.values().flat_map(|set| set.origins.values()).any(|origins| origins.len() > 1)
    };
    "pass classes" "an element that leads to a mark" |drawn| drawn.has_told(|rule| !rule.statements.is_empty());
    "pass classes" "an element that leads to an answer" |drawn| drawn.has_told(|rule| rule.end == End::Verdict(ruleset::Verdict::Reject));
    "pass classes" "a section that tells by a mark what an element allows" |drawn| {
        drawn.has_told(|rule| rule.end == End::Verdict(ruleset::Verdict::Return))
    };
    "pass classes" "a list that is a table in part" |drawn| drawn.ruleset.chains.iter().any(|(name, chain)| {
        let is_class = |rule: &ruleset::Rule| matches!(rule.end, End::Class { .. });
        chain.rules.iter().any(is_class) && name.as_str().matches('/').count() > 1
    });
    "pass lower" "one rule as several" |drawn| drawn.has_rule(|origin| {
        matches!(origin, Origin::Policy { part, .. } | Origin::Profile { part, .. } if *part > 0)
    });
    "pass lower" "a set of ranges" |drawn| drawn.ruleset.sets.values().any(|set| set.ranges != Ranges::None);
    "pass lower" "a set of several fields" |drawn| drawn.ruleset.sets.values().any(|set| set.key.len() > 1 && set.holds == Holds::Nothing);
    "pass overflow" "a set with more members than allowed" |drawn| drawn.world.set_size_max < 10;
    "pass program" "failsafes" |drawn| drawn.has_rule(|origin| matches!(origin, Origin::Failsafe(_)));
    "pass program" "IPv6 essentials" |drawn| drawn.has_rule(|origin| *origin == Origin::Ipv6Essentials);
    "pass frame" "dispatch by map" |drawn| drawn.rules().any(|rule| matches!(rule.end, End::Map { .. }));
    "pass frame" "more sections than the kernel follows" |drawn| drawn.world.resources.iter().any(|resource| {
        matches!(resource, Resource::Tier(tier) if tier.meta.name == "tier39")
    });
    "pass workload" "rules for workloads" |drawn| drawn.has_rule(|origin| *origin == Origin::Workload);
}

features! { OF_PACKETS, "Features of packets.", fn(&Judged<'_>) -> bool,
    "E-104" "an endpoint by name decides" |judged| judged.is_by_endpoint(|at| matches!(at, Attachment::Named(_)));
    "E-108" "a wildcard decides" |judged| judged.is_by_endpoint(|at| *at == Attachment::AllInterfaces);
    "E-110" "nobody decides" |judged| judged.judged.reason.is_none();
    "E-121" "by lo" |judged| judged.is_on("lo");
    "E-206" "a staged policy stands where the verdict falls" |judged| {
        judged.by_policy().is_some() && judged.policies().any(|policy| policy.kind == PolicyKind::StagedGlobal)
    };
    "E-210" "egress" |judged| matches!(judged.stage(), Some(Stage::S5 | Stage::S6 | Stage::S7 | Stage::S8));
    "E-219" "a tier passes at its end" |judged| judged.by_policy().is_some() && judged.world.resources.iter().any(
        |resource| matches!(resource, Resource::Tier(tier) if tier.default_action == TierAction::Pass)
    );
    "E-222" "Allow decides" |judged| judged.rule_is(|rule| rule.action == Action::Allow);
    "E-222" "Deny decides" |judged| judged.rule_is(|rule| rule.action == Action::Deny);
    "E-223" "the end of a tier drops" |judged| judged.is_by(|by| matches!(by, By::TierEnd(_)));
    "E-218" "the end of a missing tier drops" |judged| judged.is_by(|by| matches!(by, By::TierEnd(t) if t == "missing"));
    "E-225" "a profile decides" |judged| judged.is_by(|by| matches!(by, By::Profile { .. }));
    "E-226" "nothing matches" |judged| judged.is_by(|by| *by == By::NoMatch);
    "E-228/452" "no forward policy" |judged| judged.is_by(|by| *by == By::NoForwardPolicy);
    "E-230" "a missing profile denies" |judged| judged.is_by(|by| matches!(by, By::ProfileMissing(_)));
    "E-231" "the built-in profile" |judged| judged.is_by(|by| {
        matches!(by, By::Profile { name, .. } if name == "projectcalico-default-allow")
    });
    "E-301" "a rule of several criteria" |judged| judged.rule_is(|rule| {
        let ends = [&rule.source, &rule.destination];
        let nets = ends.iter().filter(|end| !end.nets.is_empty()).count();
        let sets = ends.iter().filter(|end| end.selector.is_some()).count();
        nets + sets + usize::from(rule.protocol.is_some()) > 1
    });
    "E-310" "a protocol" |judged| judged.rule_is(|rule| rule.protocol.is_some());
    "E-311" "a negated protocol" |judged| judged.rule_is(|rule| rule.not_protocol.is_some());
    "E-312" "ICMP type and code" |judged| judged.rule_is(|rule| rule.icmp.is_some_and(|icmp| icmp.code.is_some()));
    "E-313" "negated ICMP" |judged| judged.rule_is(|rule| rule.not_icmp.is_some());
    "E-315" "ipVersion" |judged| judged.rule_is(|rule| rule.ip_version.is_some());
    "E-316/317" "networks of both families" |judged| judged.rule_is(|rule| {
        [&rule.source, &rule.destination].iter().any(|end| {
            Family::BOTH.iter().all(|family| end.nets.iter().any(|net| Family::of_net(*net) == *family))
        })
    });
    "E-319" "networks" |judged| judged.rule_is(|rule| !rule.source.nets.is_empty() || !rule.destination.nets.is_empty());
    "E-318" "negated networks" |judged| judged.rule_is(|rule| {
        !rule.source.not_nets.is_empty() || !rule.destination.not_nets.is_empty()
    });
    "E-325" "numeric ports" |judged| judged.rule_is(|rule| has_port(rule, |port| matches!(port, Port::Range(_))));
    "E-327/330" "named ports" |judged| judged.rule_is(|rule| has_port(rule, |port| matches!(port, Port::Named(_))));
    "E-329" "named ports with a selector" |judged| judged.rule_is(|rule| {
        [&rule.source, &rule.destination].iter().any(|end| {
            end.selector.is_some() && end.ports.iter().any(|port| matches!(port, Port::Named(_)))
        })
    });
    "E-332/333" "negated ports" |judged| judged.rule_is(|rule| {
        !rule.source.not_ports.is_empty() || !rule.destination.not_ports.is_empty()
    });
    "E-340..343" "a selector" |judged| judged.rule_is(|rule| {
        rule.source.selector.is_some() || rule.destination.selector.is_some()
    });
    "E-344/345" "a negated selector" |judged| judged.rule_is(|rule| {
        rule.source.not_selector.is_some() || rule.destination.not_selector.is_some()
    });
    "E-346" "a namespace selector" |judged| judged.rule_is(|rule| {
        rule.source.namespace_selector.is_some() || rule.destination.namespace_selector.is_some()
    });
    "E-347" "service accounts" |judged| judged.rule_is(|rule| {
        rule.source.service_accounts.is_some() || rule.destination.service_accounts.is_some()
    });
    "E-355" "log lines" |judged| judged.judged.logs > 0;
    "E-357" "a log line of an untracked policy" |judged| {
        judged.judged.logs > 0 && matches!(judged.stage(), Some(Stage::S1 | Stage::S6))
    };
    "E-405" "accepted by an earlier stage" |judged| judged.is_by(|by| *by == By::AcceptedEarlier);
    "E-410" "translated, and judged after it" |judged| judged.stage() == Some(Stage::S8);
    "E-414" "untracked policy decides" |judged| {
        judged.by_policy().is_some() && matches!(judged.stage(), Some(Stage::S1 | Stage::S6))
    };
    "E-417" "an untracked packet at a tracked stage" |judged| {
        judged.packet.state == ConnState::Untracked && judged.stage() == Some(Stage::S3)
    };
    "E-420" "a known flow" |judged| judged.is_by(|by| *by == By::ConnState) && judged.judged.verdict == Verdict::Accept;
    "E-421" "an invalid packet is dropped" |judged| {
        judged.is_by(|by| *by == By::ConnState) && judged.judged.verdict == Verdict::Drop
    };
    "E-422" "a known flow at S2" |judged| {
        judged.packet.state == ConnState::Established && judged.policies().any(|p| p.class == PolicyClass::PreDnat)
    };
    "E-430" "pre-DNAT policy decides" |judged| judged.by_policy().is_some() && judged.stage() == Some(Stage::S2);
    "E-440" "from a workload to the host" |judged| judged.is_by(|by| *by == By::Workload);
    "E-441" "to a workload" |judged| {
        matches!(&judged.packet.route, Route::Generated { out_interface } if out_interface.starts_with("cali"))
    };
    "E-450/451" "through two endpoints" |judged| judged.stage() == Some(Stage::S5) && judged.by_policy().is_some();
    "E-453" "forward policy decides on arrival" |judged| judged.stage() == Some(Stage::S4) && judged.by_policy().is_some();
    "E-461/462" "IPv6 essentials" |judged| judged.is_by(|by| *by == By::Ipv6Essentials);
    "E-466" "no way back" |judged| judged.is_by(|by| *by == By::ReversePath);
    "E-466" "another way back" |judged| judged.packet.way_back == WayBack::OtherInterface;
    "E-503/504" "a failsafe" |judged| judged.is_by(|by| *by == By::Failsafe);
    "E-618" "IPv6 that is not policed" |judged| judged.packet.source.is_ipv6() && !judged.world.polices_ipv6;
}

fn has_port(rule: &Rule, is_it: fn(&Port) -> bool) -> bool {
    rule.source.ports.iter().chain(&rule.destination.ports).any(is_it)
}

impl Drawn<'_> {
    fn endpoints(&self) -> impl Iterator<Item = &HostEndpoint> {
        self.world.resources.iter().filter_map(|resource| match resource {
            Resource::HostEndpoint(endpoint) => Some(endpoint),
            _ => None,
        })
    }

    fn local(&self) -> impl Iterator<Item = &HostEndpoint> {
        self.endpoints().filter(|endpoint| endpoint.node == NODE)
    }

    fn policies(&self) -> impl Iterator<Item = &Policy> {
        policies(self.world)
    }

    fn rules(&self) -> impl Iterator<Item = &tortie_rules::ruleset::Rule> {
        self.ruleset.chains.values().flat_map(|chain| &chain.rules)
    }

    /// Whether a map of this kind is asked for a class, or for what it says.
    fn asks(&self, kind: &str) -> bool {
        self.rules().any(|rule| match &rule.end {
            End::Class { classes, other, map, .. } => {
                let other = other.as_ref().map(|other| &other.classes);
                [classes, map].into_iter().chain(other).any(|name| name.as_str().ends_with(kind))
            }
            _ => false,
        })
    }

    /// Whether elements lead to a rule that does more than a verdict says.
    fn has_told(&self, is_it: impl Fn(&ruleset::Rule) -> bool) -> bool {
        self.rules().any(|rule| rule.origin == Origin::AsTold && is_it(rule))
    }

    fn has_rule(&self, is_it: impl Fn(&Origin) -> bool) -> bool {
        self.rules().any(|rule| is_it(&rule.origin))
    }
}

fn policies(world: &World) -> impl Iterator<Item = &Policy> {
    world.resources.iter().filter_map(|resource| match resource {
        Resource::Policy(policy) => Some(policy),
        _ => None,
    })
}

impl Judged<'_> {
    fn policies(&self) -> impl Iterator<Item = &Policy> {
        policies(self.world)
    }

    fn stage(&self) -> Option<Stage> {
        self.judged.reason.as_ref().map(|reason| reason.stage)
    }

    fn is_by(&self, is_it: impl Fn(&By) -> bool) -> bool {
        self.judged.reason.as_ref().is_some_and(|reason| is_it(&reason.by))
    }

    fn is_on(&self, interface: &str) -> bool {
        match &self.packet.route {
            Route::Delivered { in_interface } => in_interface == interface,
            Route::Generated { out_interface } => out_interface == interface,
            Route::Forwarded { in_interface, out_interface } => in_interface == interface || out_interface == interface,
        }
    }

    /// Whether something is decided on an interface to which an endpoint of this sort belongs.
    fn is_by_endpoint(&self, is_it: fn(&Attachment) -> bool) -> bool {
        self.judged.reason.is_some()
            && self.world.resources.iter().any(|resource| match resource {
                Resource::HostEndpoint(endpoint) if endpoint.node == NODE && is_it(&endpoint.attachment) => {
                    match &endpoint.attachment {
                        Attachment::Named(name) => self.is_on(name),
                        _ => true,
                    }
                }
                _ => false,
            })
    }

    fn by_policy(&self) -> Option<&Policy> {
        let By::Policy { kind, name, namespace, .. } = &self.judged.reason.as_ref()?.by else { return None };
        self.policies()
            .find(|policy| policy.kind == *kind && policy.meta.name == *name && policy.meta.namespace == *namespace)
    }

    /// Whether the rule that decided is such a one.
    fn rule_is(&self, is_it: fn(&Rule) -> bool) -> bool {
        let Some(By::Policy { rule, .. }) = self.judged.reason.as_ref().map(|reason| &reason.by) else { return false };
        let Some(policy) = self.by_policy() else { return false };
        let is_egress = matches!(self.stage(), Some(Stage::S5 | Stage::S6 | Stage::S7 | Stage::S8));
        let rules = if is_egress { &policy.egress } else { &policy.ingress };
        rules.get(*rule).is_some_and(|rule| is_it(rule))
    }
}
