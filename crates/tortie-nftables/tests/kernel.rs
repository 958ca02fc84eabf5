//! The real kernel, each test in a network namespace of its own.
//!
//! A namespace belongs to the one thread that made it and has no name, so nothing is left behind however a test ends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use tortie_api::model::{Action, PortRange, Protocol};
use tortie_calc::HostPolicy;
use tortie_calc::policy::{
    ClassPolicy, Dispatch, EndpointPolicy, Peer, PolicyId, PolicyRules, ResolvedRule, SetId, SetMembers, TierEnd,
    TierPolicies,
};
use tortie_nftables::{CommitError, Events, Kernel};
use tortie_rules::Ruleset;
use tortie_rules::plan::{Op, Phase, Transaction, plan};
use tortie_rules::ruleset::{
    BaseChain, Chain, Data, Element, End, Field, Holds, Hook, Match, Name, Origin, Ranges, Rule, Set, Statement,
    Verdict, ct_state, ct_status,
};
use tortie_testkit::sandbox::in_network_namespace;

fn nft(arguments: &[&str]) -> String {
    let output = Command::new("nft").args(arguments).output().expect("nft is installed");
    assert!(output.status.success(), "nft {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("nft prints text")
}

fn apply(kernel: &mut Kernel, desired: &Ruleset) {
    let actual = kernel.read().unwrap();
    for transaction in plan(desired, actual.ruleset.as_ref()).unwrap().transactions {
        kernel.commit(&transaction, None).unwrap_or_else(|e| panic!("{:?}: {e}: {:?}", transaction.phase, e));
    }
}

fn rule(matches: Vec<Match>, end: End) -> Rule {
    Rule { matches, statements: vec![Statement::Counter], end, origin: Origin::Comment("a comment".into()) }
}

fn accept(matches: Vec<Match>) -> Rule {
    rule(matches, End::Verdict(Verdict::Accept))
}

fn equals(field: Field, value: &[u8]) -> Match {
    Match::Equals { field, invert: false, value: value.to_vec() }
}

fn plain_set(key: &[Field], ranges: Ranges, elements: Vec<Element>) -> Arc<Set> {
    let elements = elements.into_iter().map(|element| (element, None)).collect();
    Arc::new(Set { key: key.to_vec(), ranges, elements, ..Set::default() })
}

fn interface(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(16, 0);
    bytes
}

/// A ruleset with every shape that the compiler knows.
fn everything() -> Ruleset {
    let mut ruleset = Ruleset::default();
    let all_v4 = Element::range([0; 4], [0xff; 4]);
    let sets: [(&str, Arc<Set>); 9] = [
        (
            "s4/hash",
            plain_set(
                &[Field::SourceV4],
                Ranges::None,
                vec![Element::exact([10, 0, 0, 1]), Element::exact([10, 0, 0, 2])],
            ),
        ),
        (
            "s4/nets",
            plain_set(
                &[Field::SourceV4],
                Ranges::OfKey,
                vec![
                    Element::range([0, 0, 0, 0], [0, 0, 0, 255]),
                    Element::range([10, 0, 0, 0], [10, 255, 255, 255]),
                    Element::exact([11, 0, 0, 5]),
                    Element::range([240, 0, 0, 0], [255, 255, 255, 255]),
                ],
            ),
        ),
        ("s4/all", plain_set(&[Field::SourceV4], Ranges::OfKey, vec![all_v4])),
        ("s4/empty", plain_set(&[Field::SourceV4], Ranges::None, vec![])),
        ("s6/nets", plain_set(&[Field::SourceV6], Ranges::OfKey, vec![Element::range([0xfd; 16], [0xfe; 16])])),
        (
            "p4/http",
            plain_set(
                &[Field::SourceV4, Field::L4Proto, Field::SourcePort],
                Ranges::None,
                vec![Element::exact([10, 0, 0, 1, 6, 0x1f, 0x90])],
            ),
        ),
        (
            "s4/ports",
            plain_set(
                &[Field::SourcePort],
                Ranges::OfKey,
                vec![Element::range([0, 80], [0, 90]), Element::exact([1, 187])],
            ),
        ),
        ("s4/icmp", plain_set(&[Field::IcmpType], Ranges::None, vec![Element::exact([133]), Element::exact([134])])),
        (
            "s4/wide",
            plain_set(
                &[Field::SourceV4, Field::SourcePort],
                Ranges::OfFields,
                vec![Element::range([10, 0, 0, 0, 0, 1], [10, 0, 0, 255, 0, 99])],
            ),
        ),
    ];
    for (name, set) in sets {
        ruleset.sets.insert(Name::new(name), set);
    }
    let states = BTreeMap::from([
        (Element::exact(ct_state::ESTABLISHED.to_be_bytes()), Some(Data::Verdict(Verdict::Accept))),
        (Element::exact(ct_state::RELATED.to_be_bytes()), Some(Data::Verdict(Verdict::Accept))),
    ]);
    let constant = Set {
        key: vec![Field::CtState],
        holds: Holds::Verdicts,
        is_constant: true,
        elements: states,
        ..Set::default()
    };
    ruleset.sets.insert(Name::new("k/ct-state"), Arc::new(constant));
    let dispatch = BTreeMap::from([
        (Element::exact(interface("eth0")), Some(Data::Verdict(Verdict::Goto(Name::new("in/web.1"))))),
        (Element::exact(interface("lo")), Some(Data::Verdict(Verdict::Return))),
    ]);
    let map = Set { key: vec![Field::InInterface], holds: Holds::Verdicts, elements: dispatch, ..Set::default() };
    ruleset.sets.insert(Name::new("in-if"), Arc::new(map));

    let lookup = |key: &[Field], invert, set: &str| Match::Lookup { key: key.to_vec(), invert, set: Name::new(set) };
    let base = Chain {
        base: Some(BaseChain { hook: Hook::Input, priority: 0 }),
        rules: vec![
            Rule {
                matches: vec![Match::Masked {
                    field: Field::CtStatus,
                    mask: ct_status::DST_NAT.to_be_bytes().to_vec(),
                    invert: true,
                    value: vec![0; 4],
                }],
                ..rule(vec![], End::Verdict(Verdict::Return))
            },
            rule(vec![], End::Map { key: vec![Field::InInterface], map: Name::new("in-if") }),
        ],
    };
    ruleset.chains.insert(Name::new("input"), Arc::new(base));
    let program = Chain {
        base: None,
        rules: vec![
            rule(vec![], End::Map { key: vec![Field::CtState], map: Name::new("k/ct-state") }),
            rule(vec![equals(Field::CtState, &ct_state::INVALID.to_be_bytes())], End::Verdict(Verdict::Drop)),
            accept(vec![equals(Field::InInterface, b"cali")]),
            accept(vec![equals(Field::OutInterface, &interface("eth1"))]),
            accept(vec![equals(Field::Mark, &0x1020_3040u32.to_be_bytes())]),
            accept(vec![equals(Field::NfProto, &[2]), equals(Field::SourceV4, &[192, 0, 2, 1])]),
            accept(vec![
                equals(Field::NfProto, &[2]),
                Match::Masked {
                    field: Field::DestinationV4,
                    mask: vec![255, 0, 0, 0],
                    invert: true,
                    value: vec![10, 0, 0, 0],
                },
                lookup(&[Field::SourceV4], false, "s4/hash"),
                lookup(&[Field::DestinationV4], true, "s4/nets"),
                lookup(&[Field::SourceV4], false, "s4/all"),
                lookup(&[Field::SourceV4], false, "s4/empty"),
                lookup(&[Field::DestinationV4, Field::L4Proto, Field::DestinationPort], false, "p4/http"),
                lookup(&[Field::SourceV4, Field::DestinationPort], false, "s4/wide"),
            ]),
            accept(vec![
                equals(Field::L4Proto, &[6]),
                Match::Range { field: Field::DestinationPort, invert: true, first: vec![0, 80], last: vec![0, 90] },
                lookup(&[Field::SourcePort], false, "s4/ports"),
            ]),
            accept(vec![
                equals(Field::NfProto, &[10]),
                equals(Field::SourceV6, &[0xfd; 16]),
                lookup(&[Field::DestinationV6], false, "s6/nets"),
                equals(Field::HopLimit, &[255]),
            ]),
            accept(vec![
                equals(Field::L4Proto, &[58]),
                lookup(&[Field::IcmpType], false, "s4/icmp"),
                Match::Equals { field: Field::IcmpCode, invert: true, value: vec![3] },
            ]),
            Rule {
                statements: vec![Statement::Counter, Statement::Log { prefix: "calico-packet: ".to_owned() }],
                ..rule(vec![], End::Next)
            },
            Rule {
                statements: vec![
                    Statement::Counter,
                    Statement::Limit { packets: 7, unit_s: 3600, burst: 9 },
                    Statement::Log { prefix: "limited: ".to_owned() },
                ],
                ..rule(vec![], End::Next)
            },
            rule(vec![], End::Verdict(Verdict::Jump(Name::new("leaf")))),
            rule(vec![], End::Verdict(Verdict::Reject)),
        ],
    };
    ruleset.chains.insert(Name::new("in/web.1"), Arc::new(program));
    let raw = Chain {
        base: Some(BaseChain { hook: Hook::Prerouting, priority: -300 }),
        rules: vec![
            Rule {
                matches: vec![Match::Masked {
                    field: Field::Mark,
                    mask: 0x3_0000u32.to_be_bytes().to_vec(),
                    invert: true,
                    value: vec![0; 4],
                }],
                statements: vec![Statement::SetMark { mask: 0x3_0000, value: 0 }],
                ..rule(vec![], End::Next)
            },
            Rule {
                statements: vec![
                    Statement::Counter,
                    Statement::NoTrack,
                    Statement::SetMark { mask: 0x8000_0001, value: 0x8000_0000 },
                ],
                ..accept(vec![equals(Field::L4Proto, &[17])])
            },
        ],
    };
    ruleset.chains.insert(Name::new("raw-prerouting"), Arc::new(raw));
    ruleset.chains.insert(Name::new("leaf"), Arc::new(Chain { base: None, rules: vec![accept(vec![])] }));
    ruleset
}

/// Equal after a plan: nothing is left to do.
fn assert_settled(kernel: &mut Kernel, desired: &Ruleset) {
    let actual = kernel.read().unwrap();
    let left = plan(desired, actual.ruleset.as_ref()).unwrap();
    assert!(left.is_empty(), "the kernel holds something else: {left:#?}");
}

#[test]
fn every_shape_is_read_back_as_it_was_written() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        assert_eq!(kernel.read().unwrap().ruleset, None);
        let desired = everything();
        apply(&mut kernel, &desired);
        assert_settled(&mut kernel, &desired);
        let actual = kernel.read().unwrap().ruleset.unwrap();
        assert_eq!(actual.chains.len(), desired.chains.len());
        assert_eq!(actual.sets.len(), desired.sets.len());
    });
}

/// A host with a named and a wildcard endpoint, rules with sets of all kinds, and profiles.
fn a_host() -> HostPolicy {
    let peer = |set: &str| Peer { set: Some(SetId::Selector(set.into())), ..Peer::default() };
    let rule = |protocol, source: Peer, destination: Peer| {
        Arc::new(ResolvedRule {
            action: Action::Allow,
            ip_version: None,
            protocol: Some(protocol),
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source,
            destination,
            never: None,
            annotations: BTreeMap::new(),
        })
    };
    let port = SetId::NamedPort { name: "http".into(), protocol: None, selector: None };
    let named = Peer { named_ports: vec![port.clone()], ..Peer::default() };
    let ranges = Peer {
        ports: vec![PortRange::single(80), PortRange::new(8000, 8099).unwrap()],
        nets: vec!["10.0.0.0/8".parse().unwrap(), "192.0.2.0/24".parse().unwrap()],
        ..Peer::default()
    };
    let rules = vec![
        rule(Protocol::TCP, peer("a == \"b\""), named),
        rule(Protocol::UDP, peer("c == \"d\""), ranges),
        rule(Protocol::ICMPV6, Peer::default(), Peer::default()),
    ];
    let id = |name: &str| PolicyId {
        kind: tortie_api::Kind::GlobalNetworkPolicy,
        namespace: None,
        name: name.to_owned(),
        tier: "default".to_owned(),
    };
    let tier = || TierPolicies {
        name: "default".to_owned(),
        end: TierEnd::Deny,
        policies: vec![Arc::new(PolicyRules { id: id("web"), is_staged: false, rules: rules.clone() })],
    };
    let class = || ClassPolicy { tiers: vec![tier()] };
    let endpoint = |name: &str| {
        let endpoint = EndpointPolicy {
            name: name.to_owned(),
            normal_ingress: class(),
            normal_egress: class(),
            forward_ingress: ClassPolicy::default(),
            forward_egress: ClassPolicy::default(),
            pre_dnat: ClassPolicy::default(),
            untracked_ingress: ClassPolicy::default(),
            untracked_egress: ClassPolicy::default(),
            reverse_path: None,
            profiles_ingress: vec![],
            profiles_egress: vec![],
        };
        (name.to_owned(), Arc::new(endpoint))
    };
    let nets = |texts: &[&str]| SetMembers::Nets(texts.iter().map(|text| text.parse().unwrap()).collect());
    HostPolicy {
        dispatch: Dispatch {
            interfaces: BTreeMap::from([("eth0".to_owned(), "named".to_owned())]),
            wildcard: Some("any".to_owned()),
            exempt: ["lo".to_owned()].into(),
        },
        endpoints: BTreeMap::from([endpoint("named"), endpoint("any")]),
        sets: BTreeMap::from([
            (SetId::Selector("a == \"b\"".into()), Arc::new(nets(&["10.0.0.1/32", "2001:db8::1/128"]))),
            (SetId::Selector("c == \"d\"".into()), Arc::new(nets(&["10.0.0.0/8", "0.0.0.0/0", "2001:db8::/32"]))),
            (port, Arc::new(SetMembers::Ports([("10.0.0.1".parse().unwrap(), Protocol::TCP, 8080)].into()))),
        ]),
        workloads: Default::default(),
        settings: Arc::default(),
    }
}

#[test]
fn what_the_compiler_makes_is_read_back_and_nothing_is_left_to_do() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = tortie_rules::compile(&a_host());
        apply(&mut kernel, &desired);
        assert_settled(&mut kernel, &desired);
        nft(&["list", "table", "inet", "tortie"]);
    });
}

#[test]
fn nft_prints_names_and_reads_its_own_print_k12() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &everything());
        let text = nft(&["list", "table", "inet", "tortie"]);
        for expected in [
            "\"eth0\" : goto in/web.1..1",
            "type ifname : verdict",
            "10.0.0.0/8",
            "ct state vmap @k/ct-state",
            "established : accept",
            "iifname vmap @in-if",
            "iifname \"cali*\"",
            "meta mark 0x10203040",
            "ct status dnat",
            "ip daddr != 10.0.0.0/8",
            "log prefix \"calico-packet: \" level info",
            "comment \"a comment\"",
            "type ipv4_addr . inet_proto . inet_service",
            "10.0.0.1 . tcp . 8080",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
        }
        let file = std::env::temp_dir().join(format!("tortie-nft-{}.nft", std::process::id()));
        std::fs::write(&file, &text).unwrap();
        let checked = Command::new("nft").args(["-c", "-f"]).arg(&file).output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(checked.status.success(), "{}\n{text}", String::from_utf8_lossy(&checked.stderr));
    });
}

#[test]
fn a_changed_ruleset_settles_and_nothing_old_is_left() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let first = everything();
        apply(&mut kernel, &first);
        let mut second = first.clone();
        // A leaf changes: every chain above it is built anew and turned to.
        second.chains.insert(Name::new("leaf"), Arc::new(Chain { base: None, rules: vec![] }));
        // A set of a turned chain changes, one changes its shape.
        second.sets.insert(
            Name::new("s4/hash"),
            plain_set(&[Field::SourceV4], Ranges::None, vec![Element::exact([10, 0, 0, 3])]),
        );
        second.sets.insert(
            Name::new("s4/empty"),
            plain_set(&[Field::SourceV4], Ranges::OfKey, vec![Element::range([1; 4], [2; 4])]),
        );
        apply(&mut kernel, &second);
        assert_settled(&mut kernel, &second);
        let actual = kernel.read().unwrap().ruleset.unwrap();
        assert_eq!((actual.chains.len(), actual.sets.len()), (second.chains.len(), second.sets.len()));
        apply(&mut kernel, &first);
        assert_settled(&mut kernel, &first);
    });
}

#[test]
fn members_change_in_place_and_touching_ranges_are_merged_ones_k5() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let mut desired = everything();
        apply(&mut kernel, &desired);
        let sequences: [&[([u8; 4], [u8; 4])]; 5] = [
            &[([10, 0, 0, 0], [10, 0, 1, 255])],
            &[([10, 0, 0, 0], [10, 0, 0, 255]), ([10, 0, 2, 0], [10, 0, 2, 255])],
            &[([0, 0, 0, 0], [255, 255, 255, 255])],
            &[([255, 255, 255, 255], [255, 255, 255, 255])],
            &[],
        ];
        for ranges in sequences {
            let elements = ranges.iter().map(|(first, last)| Element::range(*first, *last)).collect();
            desired.sets.insert(Name::new("s4/nets"), plain_set(&[Field::SourceV4], Ranges::OfKey, elements));
            let actual = kernel.read().unwrap();
            let phases: Vec<Phase> =
                plan(&desired, actual.ruleset.as_ref()).unwrap().transactions.iter().map(|t| t.phase).collect();
            assert_eq!(phases, [Phase::Members], "{ranges:?}");
            apply(&mut kernel, &desired);
            assert_settled(&mut kernel, &desired);
        }
    });
}

#[test]
fn a_plan_for_an_old_generation_is_refused_k13() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let read = kernel.read().unwrap();
        nft(&["add", "table", "ip", "other"]);
        let transaction = Transaction { phase: Phase::Build, ops: vec![Op::AddTable] };
        match kernel.commit(&transaction, Some(read.generation)) {
            Err(CommitError::Raced { expected }) => assert_eq!(expected, read.generation),
            other => panic!("{other:?}"),
        }
        let now = kernel.read().unwrap().generation;
        kernel.commit(&transaction, Some(now)).unwrap();
    });
}

#[test]
fn a_refusal_names_the_operation_k11() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let chain = Name::new("a..1");
        let to = |target: &str| rule(vec![], End::Verdict(Verdict::Goto(Name::new(target))));
        let ops = vec![
            Op::AddTable,
            Op::AddChain { name: chain.clone(), base: None },
            Op::AddRule { chain: chain.clone(), rule: accept(vec![]) },
            Op::AddRule { chain: chain.clone(), rule: to("nowhere..1") },
            Op::AddRule { chain: chain.clone(), rule: accept(vec![]) },
        ];
        match kernel.commit(&Transaction { phase: Phase::Build, ops }, None) {
            Err(CommitError::Refused { op, total, source, .. }) => {
                assert_eq!((op, total), (3, 5));
                assert_eq!(source.raw_os_error(), Some(nix::libc::ENOENT));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(kernel.read().unwrap().ruleset, None, "a refused transaction leaves nothing");

        // Refused at the very end, when the kernel looks for circles: no single operation is at fault.
        let ops = vec![
            Op::AddTable,
            Op::AddChain { name: Name::new("input"), base: Some(BaseChain { hook: Hook::Input, priority: 0 }) },
            Op::AddChain { name: chain.clone(), base: None },
            Op::AddChain { name: Name::new("b..1"), base: None },
            Op::AddRule { chain: Name::new("input"), rule: to("a..1") },
            Op::AddRule { chain: chain.clone(), rule: to("b..1") },
            Op::AddRule { chain: Name::new("b..1"), rule: to("a..1") },
        ];
        let error = kernel.commit(&Transaction { phase: Phase::Build, ops }, None).unwrap_err();
        assert!(matches!(error, CommitError::Refused { .. } | CommitError::RefusedWhole(_)), "{error:?}");
        assert_eq!(kernel.read().unwrap().ruleset, None);
    });
}

#[test]
fn a_check_answers_as_a_commit_would_and_changes_nothing_e711() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let to = |target: &str| rule(vec![], End::Verdict(Verdict::Goto(Name::new(target))));
        let chains = |target: &str| {
            vec![
                Op::AddTable,
                Op::AddChain { name: Name::new("input"), base: Some(BaseChain { hook: Hook::Input, priority: 0 }) },
                Op::AddChain { name: Name::new("a..1"), base: None },
                Op::AddChain { name: Name::new("b..1"), base: None },
                Op::AddRule { chain: Name::new("input"), rule: to("a..1") },
                Op::AddRule { chain: Name::new("a..1"), rule: to("b..1") },
                Op::AddRule { chain: Name::new("b..1"), rule: to(target) },
                Op::AddChain { name: Name::new("c..1"), base: None },
            ]
        };
        let before = kernel.generation().unwrap();
        let well: Vec<Op> = chains("b..1").into_iter().filter(|op| *op != chains("b..1")[6]).collect();
        kernel.check(&well, Some(before)).unwrap();
        match kernel.check(&chains("nowhere..1"), Some(before)) {
            Err(CommitError::Refused { op: 6, total: 8, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!((kernel.read().unwrap().ruleset, kernel.generation().unwrap()), (None, before));
        // What only the validation at the end of a transaction finds, in a table that is there.
        kernel.commit(&Transaction { phase: Phase::Build, ops: vec![Op::AddTable] }, None).unwrap();
        let before = kernel.generation().unwrap();
        kernel.check(&well, Some(before)).unwrap();
        let error = kernel.check(&chains("a..1"), Some(before)).unwrap_err();
        assert!(matches!(error, CommitError::Refused { .. } | CommitError::RefusedWhole(_)), "{error:?}");
        assert_eq!((kernel.read().unwrap().ruleset, kernel.generation().unwrap()), (Some(Ruleset::default()), before));
        nft(&["add", "table", "ip", "other"]);
        let error = kernel.check(&well, Some(before)).unwrap_err();
        assert!(matches!(error, CommitError::Raced { .. }), "{error:?}");
    });
}

#[test]
fn large_transactions_fit_k10() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let mut desired = Ruleset::default();
        let elements = (0..100_000u32).map(|n| Element::exact((0x0a00_0000 + n * 2).to_be_bytes())).collect();
        desired.sets.insert(Name::new("s4/many"), plain_set(&[Field::SourceV4], Ranges::None, elements));
        let ranges = (0..20_000u32).map(|n| Element::range((n * 8).to_be_bytes(), (n * 8 + 3).to_be_bytes())).collect();
        desired.sets.insert(Name::new("s4/ranges"), plain_set(&[Field::SourceV4], Ranges::OfKey, ranges));
        let mut rules: Vec<Rule> = (0..10_000u16)
            .map(|n| accept(vec![equals(Field::L4Proto, &[6]), equals(Field::DestinationPort, &n.to_be_bytes())]))
            .collect();
        let lookup = |set: &str| Match::Lookup { key: vec![Field::SourceV4], invert: false, set: Name::new(set) };
        rules.push(accept(vec![lookup("s4/many"), lookup("s4/ranges")]));
        desired.chains.insert(Name::new("many"), Arc::new(Chain { base: None, rules }));
        apply(&mut kernel, &desired);
        assert_settled(&mut kernel, &desired);
    });
}

#[test]
fn a_set_of_ours_in_another_shape_is_made_anew_e720() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = tortie_rules::compile(&a_host());
        apply(&mut kernel, &desired);
        let foreign = "flush chain inet tortie input; delete map inet tortie in-if; \
                       add map inet tortie in-if { type ifname : verdict; flags interval; }; \
                       add rule inet tortie input iifname vmap @in-if comment \"interface\"";
        nft(&[foreign]);
        apply(&mut kernel, &desired);
        assert_settled(&mut kernel, &desired);
    });
}

#[test]
fn foreign_hands_are_seen_and_repaired_e721() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = everything();
        apply(&mut kernel, &desired);
        let mut events = Events::open().unwrap();
        for command in [
            &["flush", "ruleset"][..],
            &["add", "rule", "inet", "tortie", "leaf..1", "drop"],
            &["insert", "rule", "inet", "tortie", "input", "accept"],
            &["flush", "chain", "inet", "tortie", "in/web.1..1"],
            &["add", "element", "inet", "tortie", "s4/hash..1", "{ 9.9.9.9 }"],
            &["delete", "element", "inet", "tortie", "in-if", "{ \"eth0\" }"],
            &["add", "chain", "inet", "tortie", "mine"],
            &["add", "set", "inet", "tortie", "odd", "{ type ether_addr; }"],
        ] {
            nft(command);
            let author = events.drain().unwrap().into_iter().find(|event| event.touches_ours).unwrap();
            assert_eq!(author.author.map(|(_, name)| name).as_deref(), Some("nft"), "{command:?}");
            assert_ne!(author.port, kernel.port());
            let actual = kernel.read().unwrap();
            assert!(!plan(&desired, actual.ruleset.as_ref()).unwrap().is_empty(), "{command:?} is not seen");
            apply(&mut kernel, &desired);
            assert_settled(&mut kernel, &desired);
            let own = events.drain().unwrap();
            assert!(own.iter().all(|event| event.port == kernel.port()), "{own:?}");
            // Put back to instance 1 of everything for the next command.
            kernel.delete_table().unwrap();
            apply(&mut kernel, &desired);
            events.drain().unwrap();
        }
        nft(&["add", "table", "ip", "other"]);
        assert!(events.drain().unwrap().iter().all(|event| !event.touches_ours));
    });
}

#[test]
fn foreign_chains_that_may_drop_are_named_k16() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &everything());
        nft(&["add table ip fw; add chain ip fw in { type filter hook input priority 10; policy drop; }"]);
        nft(&["add table inet ok; add chain inet ok out { type filter hook output priority 5; policy accept; }"]);
        let found = kernel.foreign_chains().unwrap();
        let short: Vec<_> =
            found.iter().map(|c| (c.family, c.table.as_str(), c.hook, c.priority, c.can_drop)).collect();
        assert_eq!(short, [("inet", "ok", Hook::Output, 5, false), ("ip", "fw", Hook::Input, 10, true)]);
    });
}

#[test]
fn rules_that_write_marks_are_named_with_their_bits_t26() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &everything());
        nft(&["add table ip a; add chain ip a one; add rule ip a one meta mark set meta mark or 0x100"]);
        nft(&["add rule ip a one tcp dport 80 counter meta mark set mark and 0xfffffffe"]);
        nft(&["add chain ip a two; add rule ip a two meta mark set 0x1"]);
        nft(&["add table inet b; add chain inet b three; add rule inet b three meta mark set ct mark"]);
        nft(&["add chain inet b four; add rule inet b four meta mark 0x1 ct mark set meta mark accept"]);
        let found = kernel.mark_writers().unwrap();
        let short: Vec<_> = found.iter().map(|w| (w.family, w.table.as_str(), w.chain.as_str(), w.bits)).collect();
        assert_eq!(short, [("inet", "b", "three", u32::MAX), ("ip", "a", "one", 0x101), ("ip", "a", "two", u32::MAX)]);
    });
}

/// The kernel runs the expression of an element that it finds, and a limit there takes the match away.
#[test]
fn a_set_whose_elements_do_more_than_be_there_is_none_of_ours() {
    in_network_namespace(|| {
        nft(&["add table inet tortie; add set inet tortie plain { type ipv4_addr; }"]);
        nft(&["add set inet tortie odd { type ipv4_addr; limit rate 1/second; }"]);
        nft(&["add element inet tortie odd { 10.0.0.1 limit rate 1/second }"]);
        let ruleset = Kernel::open().unwrap().read().unwrap().ruleset.unwrap();
        assert_eq!(ruleset.sets["plain"].key, [Field::SourceV4]);
        assert!(ruleset.sets["odd"].key.is_empty(), "{:?}", ruleset.sets["odd"]);
    });
}

#[test]
fn the_table_is_removed_whether_or_not_it_is_there_e707() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        kernel.delete_table().unwrap();
        apply(&mut kernel, &everything());
        kernel.delete_table().unwrap();
        assert_eq!(kernel.read().unwrap().ruleset, None);
    });
}
