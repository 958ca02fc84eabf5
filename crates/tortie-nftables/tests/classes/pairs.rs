//! Pairs of classes: those of both ends of a packet.

use super::*;

/// Of peers.
const NEAR: ClassId = ClassId(0x1111_1111_0000_0001);
const FAR: ClassId = ClassId(0x1111_1111_0000_0002);
/// Of the host's own addresses.
const ONE: ClassId = ClassId(0x2222_2222_0000_0001);
const TWO: ClassId = ClassId(0x2222_2222_0000_0002);

/// An element of a map by pair: classes, what follows them in the key, and the verdict.
type Entry<'a> = (ClassId, ClassId, &'a [u8], &'a [u8], Verdict, &'a str);

fn pair_map(key: &[Field], ranges: Ranges, list: &[Entry<'_>]) -> Arc<Set> {
    let mut set = Set {
        key: [&[Field::Class, Field::Class], key].concat(),
        ranges,
        holds: Holds::Verdicts,
        is_counted: true,
        ..Set::default()
    };
    for (peer, own, first, last, verdict, comment) in list {
        let value = |rest: &[u8]| [&peer.0.to_be_bytes()[..], &own.0.to_be_bytes(), rest].concat();
        let element = Element::range(value(first), value(last));
        set.elements.insert(element.clone(), Some(Data::Verdict(verdict.clone())));
        set.origins.insert(element, origin(comment));
    }
    Arc::new(set)
}

fn ports(protocol: u8, port: u16) -> [u8; 3] {
    let [high, low] = port.to_be_bytes();
    [protocol, high, low]
}

/// Asks for the classes of both ends of what is sent.
fn by_pair(chain: &str, [peer, own]: [Field; 2], key: &[Field], map: &str) -> Rule {
    let name = |what: &str| Name::new(format!("{chain}/{what}"));
    let other = Some(ClassOf { address: own, classes: name("pair-own") });
    let end = End::Class { address: peer, classes: name("pair-peers"), other, key: key.to_vec(), map: name(map) };
    Rule { statements: vec![], ..counted(vec![], end, "by pair") }
}

const KEYS: [(&str, &[Field]); 4] = [
    ("pair-ports", &[Field::L4Proto, Field::DestinationPort]),
    ("pair-port-ranges", &[Field::L4Proto, Field::DestinationPort]),
    ("pair-protocols", &[Field::L4Proto]),
    ("pair-any", &[]),
];

/// Two families behind one output hook, whose peers and own addresses have classes by hash and by range in turn.
fn pairs() -> Ruleset {
    let mut ruleset = Ruleset::default();
    let v4 = [
        classes(Field::SourceV4, Ranges::None, &[("192.0.2.1", NEAR), ("192.0.2.9", FAR)]),
        classes(Field::SourceV4, Ranges::OfKey, &[("192.0.2.20-192.0.2.22", ONE), ("192.0.2.30-192.0.2.32", TWO)]),
    ];
    let v6 = [
        classes(Field::SourceV6, Ranges::OfKey, &[("fd00::1", NEAR), ("fd00::2-fd00::3", FAR)]),
        classes(Field::SourceV6, Ranges::None, &[("fd00::4", ONE), ("fd00::5", TWO)]),
    ];
    let (http, low, high) = (ports(UDP, 80), ports(UDP, 100), ports(UDP, 199));
    let log = || Verdict::Goto(Name::new("log"));
    let maps = [
        pair_map(KEYS[0].1, Ranges::None, &[(NEAR, ONE, &http, &http, Verdict::Drop, "near one")]),
        pair_map(
            KEYS[1].1,
            Ranges::OfKey,
            &[
                (NEAR, ONE, &low, &high, log(), "near one range"),
                (FAR, ONE, &low, &high, Verdict::Accept, "far one range"),
                (FAR, TWO, &[0, 0, 0], &[255, 255, 255], Verdict::Drop, "far two range"),
            ],
        ),
        pair_map(KEYS[2].1, Ranges::None, &[(NEAR, TWO, &[6], &[6], Verdict::Drop, "near two TCP")]),
        pair_map(KEYS[3].1, Ranges::None, &[(NEAR, TWO, &[], &[], Verdict::Drop, "near two")]),
    ];
    for (chain, ends, [peers, own]) in [
        ("out4/h", [Field::DestinationV4, Field::SourceV4], v4),
        ("out6/h", [Field::DestinationV6, Field::SourceV6], v6),
    ] {
        let name = |what: &str| Name::new(format!("{chain}/{what}"));
        let mut rules: Vec<Rule> = KEYS.iter().map(|(map, key)| by_pair(chain, ends, key, map)).collect();
        rules.push(counted(vec![], End::Next, "missed"));
        ruleset.chains.insert(Name::new(chain), Arc::new(Chain { base: None, rules }));
        ruleset.sets.extend([(name("pair-peers"), peers), (name("pair-own"), own)]);
        ruleset.sets.extend(KEYS.iter().zip(&maps).map(|((what, _), map)| (name(what), map.clone())));
    }
    let jump =
        |number, to: &str, comment| counted(is_family(number), End::Verdict(Verdict::Jump(Name::new(to))), comment);
    let rules = vec![jump(2, "out4/h", "four"), jump(10, "out6/h", "six"), counted(vec![], End::Next, "behind")];
    let base = Some(BaseChain { hook: Hook::Output, priority: 0 });
    ruleset.chains.insert(Name::new("output"), Arc::new(Chain { base, rules }));
    let logged =
        vec![counted(vec![], End::Next, "logged"), counted(vec![], End::Verdict(Verdict::Drop), "logged drop")];
    ruleset.chains.insert(Name::new("log"), Arc::new(Chain { base: None, rules: logged }));
    ruleset
}

#[test]
fn pairs_are_read_back_as_they_were_written() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = pairs();
        let mut known = Ruleset::default();
        for transaction in plan(&desired, None).unwrap().transactions {
            kernel.commit(&transaction, None).unwrap();
            known.record(&transaction);
        }
        assert_same(&kernel.read().unwrap().ruleset.unwrap(), &known);
        assert_eq!(apply(&mut kernel, &desired), []);
    });
}

#[test]
fn packets_find_the_element_of_their_pair_c9() {
    in_network_namespace(|| {
        addresses();
        sh("for i in 20 32; do ip addr add 192.0.2.$i/32 dev lo 2>/dev/null || true; done");
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &pairs());
        let mut counts = Counts::of(&mut kernel);
        let missed = ["behind", "missed"];
        for (from, to, port, verdict, by) in [
            ("192.0.2.20", "192.0.2.1", 80, "dropped", &["near one"][..]),
            ("192.0.2.20", "192.0.2.1", 81, "sent", &missed),
            ("192.0.2.20", "192.0.2.1", 100, "dropped", &["logged", "logged drop", "near one range"]),
            ("192.0.2.20", "192.0.2.9", 199, "sent", &["far one range"]),
            ("192.0.2.20", "192.0.2.9", 200, "sent", &missed),
            ("192.0.2.32", "192.0.2.9", 1, "dropped", &["far two range"]),
            ("192.0.2.32", "192.0.2.9", 65_535, "dropped", &["far two range"]),
            ("192.0.2.32", "192.0.2.1", 80, "dropped", &["near two"]),
            // One end without a class, and both.
            ("192.0.2.32", "192.0.2.10", 80, "sent", &missed),
            ("192.0.2.10", "192.0.2.1", 80, "sent", &missed),
            ("192.0.2.10", "192.0.2.11", 80, "sent", &missed),
            // The ends are not the same the other way round.
            ("192.0.2.1", "192.0.2.20", 80, "sent", &missed),
            ("fd00::4", "fd00::1", 80, "dropped", &["near one"]),
            ("fd00::4", "fd00::3", 150, "sent", &["far one range"]),
            ("fd00::5", "fd00::2", 9, "dropped", &["far two range"]),
            ("fd00::5", "fd00::1", 80, "dropped", &["near two"]),
            ("fd00::1", "fd00::4", 80, "sent", &missed),
        ] {
            assert_eq!(send_from(from, to, port), verdict, "{from} {to} {port}");
            let mut moved = counts.moved(&mut kernel);
            if verdict == "sent" {
                moved.retain(|comment| by.contains(&comment.as_str()));
            }
            assert_eq!(moved, by, "{from} {to} {port}");
        }
    });
}

/// Classes change at both ends in one transaction only where a packet that asked one end before it and the other after it
/// finds what one of both policies says; else all is built anew.
#[test]
fn both_ends_turn_together_k4() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let mut desired = pairs();
        apply(&mut kernel, &desired);
        let own = |list| classes(Field::SourceV4, Ranges::OfKey, list);
        let peers = |list| classes(Field::SourceV4, Ranges::None, list);
        let (own_name, peers_name) = (Name::new("out4/h/pair-own"), Name::new("out4/h/pair-peers"));
        let more = [("192.0.2.20-192.0.2.23", ONE), ("192.0.2.30-192.0.2.32", TWO)];
        desired.sets.insert(own_name.clone(), own(&more));
        desired.sets.insert(peers_name.clone(), peers(&[("192.0.2.1", NEAR), ("192.0.2.2", NEAR), ("192.0.2.9", FAR)]));
        assert_eq!(apply(&mut kernel, &desired), [Phase::Members], "half of the new pair is as good as none");
        desired.sets.insert(own_name.clone(), own(&[("192.0.2.20-192.0.2.32", TWO)]));
        assert_eq!(apply(&mut kernel, &desired), [Phase::Members], "one end");
        desired.sets.insert(own_name, own(&more));
        desired.sets.insert(peers_name, peers(&[("192.0.2.1", FAR), ("192.0.2.9", NEAR)]));
        assert_eq!(apply(&mut kernel, &desired), [Phase::Build, Phase::Turn, Phase::Remove]);
        assert_eq!(apply(&mut kernel, &desired), []);
    });
}

#[test]
fn what_foreign_hands_do_to_pairs_is_repaired_e721() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = pairs();
        apply(&mut kernel, &desired);
        let shape = desired.sets["out4/h/pair-ports"].clone();
        let (set, there) = (Name::new("out4/h/pair-ports..1"), shape.elements.keys().next().unwrap().clone());
        let other = pair_map(KEYS[0].1, Ranges::None, &[(NEAR, ONE, &[6, 0, 80], &[6, 0, 80], Verdict::Drop, "other")]);
        let delete = || Op::DeleteElements { set: set.clone(), shape: shape.clone(), elements: vec![there.clone()] };
        let add = |shape: &Arc<Set>, element: &Element, verdict| Op::AddElements {
            set: set.clone(),
            shape: shape.clone(),
            elements: [(element.clone(), Some(Data::Verdict(verdict)))].into(),
        };
        for (what, ops) in [
            ("an element of a pair in use", vec![delete()]),
            ("a verdict of a pair in use", vec![delete(), add(&shape, &there, Verdict::Accept)]),
            ("one more", vec![add(&other, other.elements.keys().next().unwrap(), Verdict::Drop)]),
        ] {
            kernel.commit(&Transaction { phase: Phase::Build, ops }, None).unwrap();
            assert_ne!(apply(&mut kernel, &desired), [], "{what}");
            assert_eq!(apply(&mut kernel, &desired), [], "{what}");
        }
        // A set of the same name with bytes that are no key of ours.
        sh("nft add map inet tortie out4/h/pair-any..2 '{ type ether_addr : verdict; comment \"class . class\"; }'");
        apply(&mut kernel, &desired);
        assert_eq!(kernel.read().unwrap().ruleset.unwrap().sets.len(), desired.sets.len());
    });
}

#[test]
fn nft_prints_pairs_k12() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &pairs());
        let text = sh("nft list ruleset");
        for expected in [
            "comment \"class . class . inet_proto . inet_service\"",
            "comment \"class . class . inet_proto\"",
            "comment \"class . class\"",
            "11:11:11:11:00:00:00:01:22:22:22:22:00:00:00:01:11:00:00:00:00:50:00:00 counter packets 0 bytes 0 \
             comment \"near one\" : drop",
            "meta l4proto . th dport vmap @out4/h/pair-ports..1 comment \"by pair\"",
            "meta l4proto . th dport vmap @out6/h/pair-port-ranges..1 comment \"by pair\"",
            "vmap @out4/h/pair-protocols..1 comment \"by pair\"",
            "vmap @out6/h/pair-any..1 comment \"by pair\"",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
        }
        sh("nft -j list ruleset");
        for of in ["map inet tortie out4/h/pair-ports..1", "chain inet tortie out6/h..1", "table inet tortie", "maps"] {
            sh(&format!("nft list {of}"));
        }
    });
}
