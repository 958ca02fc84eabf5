//! Classes of addresses in the real kernel (C-9), each test in a network namespace of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;

use tortie_nftables::{Counter, Kernel};
use tortie_rules::Ruleset;
use tortie_rules::plan::{Op, Phase, Transaction, plan};
use tortie_rules::ruleset::{
    BaseChain, Chain, ClassId, ClassOf, Data, Element, End, Field, Holds, Hook, Match, Name, Origin, Ranges, Rule, Set,
    Statement, Verdict,
};
use tortie_testkit::sandbox::in_network_namespace;

mod pairs;

fn sh(script: &str) -> String {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

const OPEN: ClassId = ClassId(0x0123_4567_89ab_cdef);
const SHUT: ClassId = ClassId(0xfedc_ba98_7654_3210);
const MIXED: ClassId = ClassId(0x0123_4567_89ab_cdf0);
/// Of addresses under whose class nothing stands.
const EMPTY: ClassId = ClassId(7);

const PROTOCOLS: ClassId = ClassId(0x20);
const ANY: ClassId = ClassId(0x21);
const ANY_RANGE: ClassId = ClassId(0x2222_2222_ffff_ffff);

const UDP: u8 = 17;

fn address(text: &str) -> Vec<u8> {
    match text.parse().unwrap() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn origin(text: &str) -> Arc<[Origin]> {
    // What sent the packet on stays with us.
    Arc::new([Origin::Comment(text.into()), Origin::Comment("another".into())])
}

/// A set of addresses with their classes; `first-last` is a range.
fn classes(field: Field, ranges: Ranges, list: &[(&str, ClassId)]) -> Arc<Set> {
    let elements = list.iter().map(|(text, class)| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        (Element::range(address(first), address(last)), Some(Data::Class(*class)))
    });
    Arc::new(Set { key: vec![field], ranges, holds: Holds::Classes, elements: elements.collect(), ..Set::default() })
}

fn under(class: ClassId, protocol: u8, port: u16) -> Vec<u8> {
    let mut bytes = class.0.to_be_bytes().to_vec();
    bytes.push(protocol);
    bytes.extend(port.to_be_bytes());
    bytes
}

/// A counted map of verdicts by class, protocol and port. Each element has a comment.
fn map(ranges: Ranges, list: &[(ClassId, u16, u16, Verdict, &str)]) -> Arc<Set> {
    let mut set = Set {
        key: vec![Field::Class, Field::L4Proto, Field::SourcePort],
        ranges,
        holds: Holds::Verdicts,
        is_counted: true,
        ..Set::default()
    };
    for (class, first, last, verdict, comment) in list {
        let element = Element::range(under(*class, UDP, *first), under(*class, UDP, *last));
        set.elements.insert(element.clone(), Some(Data::Verdict(verdict.clone())));
        set.origins.insert(element, origin(comment));
    }
    Arc::new(set)
}

fn counted(matches: Vec<Match>, end: End, comment: &str) -> Rule {
    Rule { matches, statements: vec![Statement::Counter], end, origin: Origin::Comment(comment.into()) }
}

/// Asks for the class of an address, and the map under it by `key`.
fn by_class(address: Field, classes: &str, key: &[Field], map: &str) -> Rule {
    let end = End::Class { address, classes: Name::new(classes), other: None, key: key.to_vec(), map: Name::new(map) };
    Rule { statements: vec![], ..counted(vec![], end, "by class") }
}

/// A map of verdicts by class alone, or by class and a range of protocols.
fn short_map(key: &[Field], ranges: Ranges, first: &[u8], last: &[u8], comment: &str) -> Arc<Set> {
    let element = Element::range(first, last);
    Arc::new(Set {
        key: key.to_vec(),
        ranges,
        holds: Holds::Verdicts,
        is_counted: true,
        elements: [(element.clone(), Some(Data::Verdict(Verdict::Drop)))].into(),
        origins: [(element, origin(comment))].into(),
        ..Set::default()
    })
}

fn is_family(number: u8) -> Vec<Match> {
    vec![Match::Equals { field: Field::NfProto, invert: false, value: vec![number] }]
}

/// Two families, each with its classes, behind one output hook; what is not found is counted as `missed`.
fn ruleset(sets: [(&str, Arc<Set>); 4]) -> Ruleset {
    let mut ruleset = Ruleset::default();
    ruleset.sets.extend(sets.map(|(name, set)| (Name::new(name), set)));
    let with = |class: ClassId, more: &[u8]| [&class.0.to_be_bytes()[..], more].concat();
    for (name, set) in [
        (
            "out4/h/protocols",
            short_map(
                &[Field::Class, Field::L4Proto],
                Ranges::OfKey,
                &with(PROTOCOLS, &[16]),
                &with(PROTOCOLS, &[17]),
                "protocols",
            ),
        ),
        ("out4/h/any", short_map(&[Field::Class], Ranges::None, &with(ANY, &[]), &with(ANY, &[]), "any")),
        (
            "out4/h/any-range",
            short_map(&[Field::Class], Ranges::OfKey, &with(ANY_RANGE, &[]), &with(ANY_RANGE, &[]), "any range"),
        ),
    ] {
        ruleset.sets.insert(Name::new(name), set);
    }
    let base = |hook, rules| Arc::new(Chain { base: Some(BaseChain { hook, priority: 0 }), rules });
    let jump = |number, to: &str| {
        counted(is_family(number), End::Verdict(Verdict::Jump(Name::new(to))), if number == 2 { "four" } else { "six" })
    };
    let output = vec![jump(2, "out4/h"), jump(10, "out6/h"), counted(vec![], End::Next, "behind")];
    ruleset.chains.insert(Name::new("output"), base(Hook::Output, output));
    for (chain, field, classes, map) in [
        ("out4/h", Field::DestinationV4, "out4/h/classes", "out4/h/map"),
        ("out6/h", Field::DestinationV6, "out6/h/classes", "out6/h/map"),
    ] {
        let mut rules = vec![by_class(field, classes, &[Field::L4Proto, Field::DestinationPort], map)];
        if field == Field::DestinationV4 {
            rules.push(by_class(field, classes, &[Field::L4Proto], "out4/h/protocols"));
            rules.push(by_class(field, classes, &[], "out4/h/any"));
            rules.push(by_class(field, classes, &[], "out4/h/any-range"));
        }
        rules.push(counted(vec![], End::Next, "missed"));
        ruleset.chains.insert(Name::new(chain), Arc::new(Chain { base: None, rules }));
    }
    let logged =
        vec![counted(vec![], End::Next, "logged"), counted(vec![], End::Verdict(Verdict::Drop), "logged drop")];
    ruleset.chains.insert(Name::new("log"), Arc::new(Chain { base: None, rules: logged }));
    ruleset
}

fn everything() -> Ruleset {
    let log = Verdict::Goto(Name::new("log"));
    ruleset([
        (
            "out4/h/classes",
            classes(
                Field::SourceV4,
                Ranges::OfKey,
                &[
                    ("0.0.0.0-9.255.255.255", EMPTY),
                    ("192.0.2.1-192.0.2.9", OPEN),
                    ("192.0.2.10", SHUT),
                    ("192.0.2.11-192.0.2.20", MIXED),
                    ("192.0.2.21", EMPTY),
                    ("192.0.2.30", PROTOCOLS),
                    ("192.0.2.31", ANY),
                    ("192.0.2.32", ANY_RANGE),
                    ("192.0.2.200-255.255.255.255", SHUT),
                ],
            ),
        ),
        (
            "out4/h/map",
            map(
                Ranges::OfKey,
                &[
                    (OPEN, 0, 65_535, Verdict::Accept, "open"),
                    (SHUT, 0, 65_535, Verdict::Drop, "shut"),
                    (MIXED, 100, 199, Verdict::Drop, "mixed low"),
                    (MIXED, 200, 299, Verdict::Accept, "mixed high"),
                    (MIXED, 301, 301, log, "mixed log"),
                    (MIXED, 65_535, 65_535, Verdict::Drop, "mixed top"),
                ],
            ),
        ),
        (
            "out6/h/classes",
            classes(
                Field::SourceV6,
                Ranges::None,
                &[("fd00::1", OPEN), ("fd00::2", SHUT), ("fd00::3", MIXED), ("fd00::4", EMPTY)],
            ),
        ),
        (
            "out6/h/map",
            map(
                Ranges::None,
                &[
                    (OPEN, 100, 100, Verdict::Accept, "open"),
                    (SHUT, 100, 100, Verdict::Drop, "shut"),
                    (MIXED, 100, 100, Verdict::Accept, "mixed low"),
                    (MIXED, 101, 101, Verdict::Drop, "mixed high"),
                ],
            ),
        ),
    ])
}

fn apply(kernel: &mut Kernel, desired: &Ruleset) -> Vec<Phase> {
    let actual = kernel.read().unwrap();
    let transactions = plan(desired, actual.ruleset.as_ref()).unwrap().transactions;
    for transaction in &transactions {
        kernel.commit(transaction, None).unwrap_or_else(|error| panic!("{:?}: {error:?}", transaction.phase));
    }
    transactions.iter().map(|transaction| transaction.phase).collect()
}

/// Equal as a kernel can tell: origins have the same comments.
fn assert_same(read: &Ruleset, known: &Ruleset) {
    assert_eq!(read.sets.keys().collect::<Vec<_>>(), known.sets.keys().collect::<Vec<_>>());
    for (name, set) in &known.sets {
        let there = &read.sets[name];
        assert!(there.is_same_in_kernel(set), "{name}: {there:?} and {set:?}");
    }
    assert_eq!(read.chains.keys().collect::<Vec<_>>(), known.chains.keys().collect::<Vec<_>>());
    for (name, chain) in &known.chains {
        let there = &read.chains[name];
        assert_eq!((there.base, there.rules.len()), (chain.base, chain.rules.len()), "{name}");
        for (a, b) in there.rules.iter().zip(&chain.rules) {
            assert!(a.is_same_in_kernel(b), "{name}: {a:?} and {b:?}");
        }
    }
}

/// Packets by comment, since the last look.
struct Counts(BTreeMap<(Name, Option<Element>, String), u64>);

impl Counts {
    fn of(kernel: &mut Kernel) -> Self {
        let key = |counter: Counter| ((counter.place, counter.element, counter.comment), counter.packets);
        Self(kernel.counters().unwrap().into_iter().map(key).collect())
    }

    fn moved(&mut self, kernel: &mut Kernel) -> Vec<String> {
        let now = Self::of(kernel);
        let moved = now.0.iter().filter(|(key, packets)| self.0.get(key).copied().unwrap_or_default() < **packets);
        let mut moved: Vec<String> = moved.map(|((.., comment), _)| comment.clone()).collect();
        moved.retain(|comment| !matches!(comment.as_str(), "four" | "six"));
        moved.sort();
        *self = now;
        moved
    }
}

const TO: [&str; 18] = [
    "192.0.2.30",
    "192.0.2.31",
    "192.0.2.32",
    "192.0.2.1",
    "192.0.2.9",
    "192.0.2.10",
    "192.0.2.11",
    "192.0.2.20",
    "192.0.2.21",
    "192.0.2.22",
    "192.0.2.199",
    "192.0.2.200",
    "203.0.113.1",
    "fd00::1",
    "fd00::2",
    "fd00::3",
    "fd00::4",
    "fd00::5",
];

fn addresses() {
    let add =
        |address: &&str| format!("ip addr add {address}/{} dev lo nodad", if address.contains(':') { 128 } else { 32 });
    sh(&format!("ip link set lo up; {}", TO.iter().map(add).collect::<Vec<_>>().join("; ")));
}

/// What the kernel says to whoever sends: it drops in the output hook with an error.
fn send(to: &str, port: u16) -> &'static str {
    send_from(if to.contains(':') { "::1" } else { "127.0.0.1" }, to, port)
}

fn send_from(from: &str, to: &str, port: u16) -> &'static str {
    let to = SocketAddr::new(to.parse().unwrap(), port);
    let socket = UdpSocket::bind((from, 0)).unwrap();
    match socket.send_to(b"probe", to) {
        Ok(_) => "sent",
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => "dropped",
        Err(error) => panic!("{to}: {error}"),
    }
}

#[test]
fn classes_are_read_back_as_they_were_written() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = everything();
        let mut known = Ruleset::default();
        for transaction in plan(&desired, None).unwrap().transactions {
            kernel.commit(&transaction, None).unwrap();
            known.record(&transaction);
        }
        let read = kernel.read().unwrap().ruleset.unwrap();
        assert_same(&read, &known);
        assert_eq!(apply(&mut kernel, &desired), []);
        assert_eq!(plan(&desired, Some(&known)).unwrap().transactions, []);
    });
}

#[test]
fn packets_find_the_element_of_their_class_and_it_counts_them_c9() {
    in_network_namespace(|| {
        addresses();
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &everything());
        let mut counts = Counts::of(&mut kernel);
        let missed = ["behind", "missed"];
        for (to, port, verdict, by) in [
            // Both ends of ranges of addresses, and what lies beside them.
            ("192.0.2.1", 1, "sent", &["open"][..]),
            ("192.0.2.9", 65_535, "sent", &["open"]),
            ("192.0.2.10", 1, "dropped", &["shut"]),
            ("192.0.2.10", 65_535, "dropped", &["shut"]),
            ("192.0.2.22", 100, "sent", &missed),
            ("192.0.2.199", 100, "sent", &missed),
            ("192.0.2.200", 100, "dropped", &["shut"]),
            ("203.0.113.1", 9, "dropped", &["shut"]),
            // Both ends of ranges of ports.
            ("192.0.2.11", 99, "sent", &missed),
            ("192.0.2.11", 100, "dropped", &["mixed low"]),
            ("192.0.2.20", 199, "dropped", &["mixed low"]),
            ("192.0.2.20", 200, "sent", &["mixed high"]),
            ("192.0.2.20", 299, "sent", &["mixed high"]),
            ("192.0.2.20", 300, "sent", &missed),
            ("192.0.2.20", 301, "dropped", &["logged", "logged drop", "mixed log"]),
            ("192.0.2.20", 302, "sent", &missed),
            ("192.0.2.20", 65_534, "sent", &missed),
            ("192.0.2.20", 65_535, "dropped", &["mixed top"]),
            // A class under which nothing stands.
            ("192.0.2.21", 100, "sent", &missed),
            // Keys of other fields beside the class, and of none.
            ("192.0.2.30", 1, "dropped", &["protocols"]),
            ("192.0.2.31", 1, "dropped", &["any"]),
            ("192.0.2.32", 1, "dropped", &["any range"]),
            ("fd00::1", 100, "sent", &["open"]),
            ("fd00::1", 101, "sent", &missed),
            ("fd00::2", 100, "dropped", &["shut"]),
            ("fd00::3", 100, "sent", &["mixed low"]),
            ("fd00::3", 101, "dropped", &["mixed high"]),
            ("fd00::3", 102, "sent", &missed),
            ("fd00::4", 100, "sent", &missed),
            ("fd00::5", 100, "sent", &missed),
        ] {
            assert_eq!(send(to, port), verdict, "{to} {port}");
            // An unreachable port answers; that the answer is sent is counted by nobody else.
            let mut moved = counts.moved(&mut kernel);
            if verdict == "sent" {
                moved.retain(|comment| by.contains(&comment.as_str()));
            }
            assert_eq!(moved, by, "{to} {port}");
        }
        // Another protocol misses: what was sent is answered.
        for to in ["192.0.2.10:1", "192.0.2.30:1"] {
            let error = TcpStream::connect(to).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{to}");
        }
    });
}

#[test]
fn counters_stay_when_other_elements_come_and_go() {
    in_network_namespace(|| {
        addresses();
        let mut kernel = Kernel::open().unwrap();
        let mut desired = everything();
        apply(&mut kernel, &desired);
        let packets = |kernel: &mut Kernel, comment: &str| -> Vec<(u64, u64)> {
            let all = kernel.counters().unwrap().into_iter().filter(|counter| counter.comment == comment);
            all.filter(|counter| counter.place.logical() == "out4/h/map").map(|c| (c.packets, c.bytes)).collect()
        };
        for _ in 0..3 {
            assert_eq!(send("192.0.2.10", 5), "dropped");
        }
        // 20 bytes of IPv4, 8 of UDP, 5 of us.
        assert_eq!(packets(&mut kernel, "shut"), [(3, 3 * 33)]);
        let more = map(Ranges::OfKey, &[(EMPTY, 5, 5, Verdict::Drop, "no longer empty")]);
        let set = Arc::make_mut(desired.sets.get_mut("out4/h/map").unwrap());
        set.elements.extend(more.elements.clone());
        set.origins.extend(more.origins.clone());
        assert_eq!(apply(&mut kernel, &desired), [Phase::Build], "addresses that have the class may exist");
        assert_eq!(packets(&mut kernel, "shut"), [(3, 3 * 33)]);
        assert_eq!(packets(&mut kernel, "no longer empty"), [(0, 0)]);
        assert_eq!(send("192.0.2.21", 5), "dropped");
        assert_eq!(packets(&mut kernel, "no longer empty"), [(1, 33)]);
    });
}

/// One transaction moves an address, of a hash or of ranges; neighbours stay what they are.
#[test]
fn an_address_moves_from_class_to_class_in_one_transaction_c9() {
    in_network_namespace(|| {
        addresses();
        let mut kernel = Kernel::open().unwrap();
        let mut desired = everything();
        apply(&mut kernel, &desired);
        let v4: [&[(&str, ClassId)]; 5] = [
            &[("192.0.2.1-192.0.2.8", OPEN), ("192.0.2.9-192.0.2.10", SHUT)],
            &[("192.0.2.1-192.0.2.10", OPEN)],
            &[("192.0.2.1-192.0.2.9", SHUT), ("192.0.2.10-255.255.255.255", OPEN)],
            &[("0.0.0.0-255.255.255.255", SHUT)],
            &[("192.0.2.1", OPEN), ("192.0.2.9", OPEN), ("192.0.2.10", SHUT)],
        ];
        for (step, list) in v4.into_iter().enumerate() {
            let is_even = step % 2 == 0;
            let v6: &[_] = &[("fd00::1", if is_even { SHUT } else { OPEN }), ("fd00::2", SHUT)];
            desired.sets.insert(Name::new("out4/h/classes"), classes(Field::SourceV4, Ranges::OfKey, list));
            desired.sets.insert(Name::new("out6/h/classes"), classes(Field::SourceV6, Ranges::None, v6));
            assert_eq!(apply(&mut kernel, &desired), [Phase::Members], "{list:?}");
            assert_eq!(apply(&mut kernel, &desired), [], "{list:?}");
            let verdict = |text: &str| {
                let wanted = address(text);
                let sets = [&desired.sets["out4/h/classes"], &desired.sets["out6/h/classes"]];
                let mut all = sets.into_iter().flat_map(|set| &set.elements);
                let found =
                    all.find(|(e, _)| e.first.len() == wanted.len() && *e.first <= *wanted && *wanted <= *e.last);
                if found.is_some_and(|(_, data)| *data == Some(Data::Class(SHUT))) { "dropped" } else { "sent" }
            };
            for to in ["192.0.2.1", "192.0.2.9", "192.0.2.10", "fd00::1", "fd00::2"] {
                assert_eq!(send(to, 100), verdict(to), "{to} {list:?}");
            }
        }
    });
}

#[test]
fn elements_under_classes_come_and_go_in_place() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let mut desired = everything();
        apply(&mut kernel, &desired);
        // Of no address: what stands under these is exchanged at once.
        let (one, two) = (ClassId(0x1000), ClassId(0x1001));
        let (lowest, highest) = (ClassId(0), ClassId(u64::MAX));
        let kept = desired.sets.clone();
        /// A range of ports of a class, what becomes of it, and the comment.
        type Entry<'a> = (ClassId, u16, u16, Verdict, &'a str);
        let lists: [&[Entry<'_>]; 6] = [
            &[(one, 0, 65_535, Verdict::Drop, "all")],
            // Neighbours that touch, and both ends of a class.
            &[
                (one, 0, 0, Verdict::Drop, "a"),
                (one, 1, 65_534, Verdict::Accept, "b"),
                (one, 65_535, 65_535, Verdict::Drop, "c"),
            ],
            &[(one, 0, 65_535, Verdict::Drop, "d"), (two, 0, 65_535, Verdict::Accept, "e")],
            &[(lowest, 0, 0, Verdict::Drop, "first"), (highest, 65_535, 65_535, Verdict::Drop, "last")],
            &[(highest, 0, 65_535, Verdict::Drop, "all of the last")],
            &[],
        ];
        for list in lists {
            for (name, ranges) in [("out4/h/map", Ranges::OfKey), ("out6/h/map", Ranges::None)] {
                let is_fit = |first, last| ranges == Ranges::OfKey || first == last;
                let list: Vec<_> = list.iter().filter(|(_, first, last, ..)| is_fit(first, last)).cloned().collect();
                let mut set = map(ranges, &list);
                let added = Arc::make_mut(&mut set);
                added.elements.extend(kept[name].elements.clone());
                added.origins.extend(kept[name].origins.clone());
                desired.sets.insert(Name::new(name), set);
            }
            let phases = apply(&mut kernel, &desired);
            assert_eq!(phases, [Phase::Build], "{list:?}");
            assert_eq!(apply(&mut kernel, &desired), [], "{list:?}");
            let read = kernel.read().unwrap().ruleset.unwrap();
            for name in ["out4/h/map", "out6/h/map"] {
                let set = &read.sets[&Name::new(format!("{name}..1"))];
                assert!(set.elements.keys().eq(desired.sets[name].elements.keys()), "{set:?}");
                assert_eq!(set.origins.len(), set.elements.len());
            }
        }
    });
}

#[test]
fn long_lists_of_counted_elements_with_long_comments_fit_k10() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let long = "x".repeat(Origin::COMMENT_LEN_MAX);
        let chain = "y".repeat(Name::LEN_MAX - 4);
        let mut desired = everything();
        desired.chains.insert(Name::new(&chain), Arc::new(Chain::default()));
        let list: Vec<_> = (0..5_000u64)
            .map(|n| {
                (
                    ClassId(n / 10),
                    (n % 10 * 10) as u16,
                    (n % 10 * 10 + 5) as u16,
                    Verdict::Goto(Name::new(&chain)),
                    long.as_str(),
                )
            })
            .collect();
        desired.sets.insert(Name::new("out4/h/map"), map(Ranges::OfKey, &list));
        let addresses: Vec<_> =
            (0..5_000u32).map(|n| (std::net::Ipv4Addr::from_bits(n * 3).to_string(), ClassId(u64::from(n)))).collect();
        let addresses: Vec<_> = addresses.iter().map(|(address, class)| (address.as_str(), *class)).collect();
        desired.sets.insert(Name::new("out4/h/classes"), classes(Field::SourceV4, Ranges::OfKey, &addresses));
        apply(&mut kernel, &desired);
        assert_eq!(apply(&mut kernel, &desired), []);
        // Removals are lists, too.
        desired.sets.insert(Name::new("out4/h/map"), map(Ranges::OfKey, &list[..10]));
        apply(&mut kernel, &desired);
        assert_eq!(apply(&mut kernel, &desired), []);
    });
}

#[test]
fn what_foreign_hands_do_to_classes_is_repaired_e721() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        let desired = everything();
        apply(&mut kernel, &desired);
        let (low, high) = (under(SHUT, UDP, 0), under(SHUT, UDP, 65_535));
        let shape = desired.sets["out4/h/map"].clone();
        let set = Name::new("out4/h/map..1");
        let delete = |set: &Name, shape: &Arc<Set>, element: &Element| Op::DeleteElements {
            set: set.clone(),
            shape: shape.clone(),
            elements: vec![element.clone()],
        };
        let add = |set: &Name, shape: &Arc<Set>, element: Element, data: Data| Op::AddElements {
            set: set.clone(),
            shape: shape.clone(),
            elements: [(element, Some(data))].into(),
        };
        let whole = Element::range(low.clone(), high);
        let half = Element::range(low, under(SHUT, UDP, 5));
        let accept = || Data::Verdict(Verdict::Accept);
        let classes = (Name::new("out4/h/classes..1"), desired.sets["out4/h/classes"].clone());
        let one = Element::exact(address("192.0.2.10"));
        let repairs: [(&str, Vec<Op>); 5] = [
            (
                "a verdict of a class in use",
                vec![delete(&set, &shape, &whole), add(&set, &shape, whole.clone(), accept())],
            ),
            ("an element of a class in use", vec![delete(&set, &shape, &whole)]),
            ("an end of a range", vec![delete(&set, &shape, &whole), add(&set, &shape, half, accept())]),
            (
                "another class",
                vec![delete(&classes.0, &classes.1, &one), add(&classes.0, &classes.1, one.clone(), Data::Class(OPEN))],
            ),
            ("no class", vec![delete(&classes.0, &classes.1, &one)]),
        ];
        for (what, ops) in repairs {
            kernel.commit(&Transaction { phase: Phase::Build, ops }, None).unwrap();
            assert_ne!(apply(&mut kernel, &desired), [], "{what}");
            assert_eq!(apply(&mut kernel, &desired), [], "{what}");
        }
        // Sets of the same name and of another kind.
        for foreign in [
            "nft add element inet tortie out6/h/map..1 '{ 0x1 . 0x2 . tcp . 80 counter : accept }'",
            "nft add element inet tortie out6/h/map..1 '{ 0x98badcfe . 0x10325476 . tcp . 80 : accept }'",
            "nft insert rule inet tortie out4/h..1 ip daddr vmap '{ 192.0.2.10 : accept }' comment '\"by class\"'",
            "nft add element inet tortie out4/h/map..1 '{ 01:00:00:00:00:00:00:00:06:00:00:00:00:50:00:07 : accept }' || true",
        ] {
            sh(foreign);
            apply(&mut kernel, &desired);
            assert_eq!(apply(&mut kernel, &desired), [], "{foreign}");
            assert_eq!(kernel.read().unwrap().ruleset.unwrap().sets.len(), desired.sets.len(), "{foreign}");
        }
    });
}

/// Each version of `nft` dies of lookups by what another lookup found, and of ranges over several fields that it knows of.
#[test]
fn nft_prints_classes_k12() {
    in_network_namespace(|| {
        let mut kernel = Kernel::open().unwrap();
        apply(&mut kernel, &everything());
        let text = sh("nft list ruleset");
        for expected in [
            "type ipv4_addr : 00:00:00:00:00:00:00:00:00:00:00:00",
            "192.0.2.1-192.0.2.9 : 00:00:00:00:01:23:45:67:89:ab:cd:ef",
            "fd00::4 : 00:00:00:00:00:00:00:00:00:00:00:07",
            "comment \"class . inet_proto . inet_service\"",
            "01:23:45:67:89:ab:cd:f0:11:00:00:00:00:64:00:00-01:23:45:67:89:ab:cd:f0:11:00:00:00:00:c7:00:00 \
             counter packets 0 bytes 0 comment \"mixed low\" : drop",
            "type mark . mark . inet_proto . inet_service : verdict",
            "udp . 101 counter packets 0 bytes 0 comment \"mixed high\" : drop",
            "comment \"class . inet_proto\"",
            "comment \"class\"",
            "vmap @out4/h/map..1 comment \"by class\"",
            "vmap @out6/h/map..1 comment \"by class\"",
        ] {
            assert!(text.contains(expected), "`{expected}` is missing in\n{text}");
        }
        let json = sh("nft -j list ruleset");
        assert!(json.contains("\"comment\": \"mixed log\""), "{json}");
        for of in ["map inet tortie out4/h/map..1", "chain inet tortie out6/h..1", "table inet tortie", "maps"] {
            sh(&format!("nft list {of}"));
        }
    });
}
