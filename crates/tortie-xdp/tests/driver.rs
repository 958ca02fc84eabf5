//! Programs on interfaces of a real kernel: attached, changed, repaired, taken over and removed.
#![allow(clippy::unwrap_used, reason = "a test that cannot make its namespace has failed")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ipnet::IpNet;
use support::MAC;
use tortie_api::model::Protocol;
use tortie_calc::settings::Failsafe;
use tortie_netmon::devices;
use tortie_testkit::peers::{BAD, OTHER, ip, try_ip, with_peers};
use tortie_xdp::{BPF_FS, Blocked, Driver, Failsafes, Filter, Guard, Guards, NoGuard, Problem, Shapes, State, XdpMode};

fn guard(nets: &[&str]) -> Guard {
    let mut blocked = Blocked::default();
    for net in nets {
        match net.parse::<IpNet>().or_else(|_| net.parse::<std::net::IpAddr>().map(IpNet::from)).unwrap() {
            IpNet::V4(net) => blocked.v4.push(net),
            IpNet::V6(net) => blocked.v6.push(net),
        }
    }
    blocked.v4.sort_unstable();
    blocked.v6.sort_unstable();
    Guard { blocked, failsafes: Failsafes::default() }
}

fn guards(nets: &[&str]) -> Guards {
    [("eth0".to_owned(), Ok(guard(nets)))].into()
}

fn driver() -> Driver {
    Driver::new(Path::new(BPF_FS)).unwrap()
}

fn names() -> BTreeMap<u32, String> {
    devices().unwrap().into_values().map(|device| (device.index, device.name)).collect()
}

/// Both steps of a change.
fn apply(driver: &mut Driver, guards: &Guards) -> State {
    let names = names();
    driver.before(guards, |index| names.get(&index).cloned());
    driver.after(guards, false).remove("eth0").unwrap()
}

/// The programs that the kernel tells of on `eth0`.
fn programs() -> Vec<(XdpMode, u32)> {
    devices().unwrap().into_values().find(|device| device.name == "eth0").unwrap().programs
}

fn pins() -> usize {
    std::fs::read_dir(Path::new(BPF_FS).join("tortie")).map_or(0, Iterator::count)
}

#[test]
fn a_program_follows_its_list_by_new_lists_and_by_turns_e481() {
    with_peers(|peers| {
        let mut driver = driver();
        let state = apply(&mut driver, &guards(&[BAD]));
        assert_eq!((state.mode, state.entries, state.problem), (Some(XdpMode::Driver), 1, None));
        let first = programs();
        assert!(!peers.passes(BAD) && peers.passes(OTHER));
        // An address and a network come, one goes.
        let state = apply(&mut driver, &guards(&["192.0.2.64/31", OTHER, "2001:db8::/32"]));
        assert_eq!((state.entries, state.drops, programs()), (3, 1, first.clone()), "the program stays");
        assert!(peers.passes(BAD) && !peers.passes(OTHER));
        // More than there is room for, and other failsafes: another program, and the counter goes on.
        let many: Vec<String> = (0..2000).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
        let mut list: Vec<&str> = many.iter().map(String::as_str).collect();
        list.push(BAD);
        let mut with_failsafe = guard(&list);
        with_failsafe.failsafes.outbound.push(Failsafe::any(Protocol::UDP, 53));
        let state = apply(&mut driver, &[("eth0".to_owned(), Ok(with_failsafe))].into());
        assert_eq!((state.mode, state.entries, state.drops), (Some(XdpMode::Driver), 2001, 2));
        assert_ne!(programs(), first);
        assert!(!peers.passes(BAD) && peers.passes_from_port(BAD, 53) && peers.passes(OTHER));
        assert_eq!(driver.drops().into_values().collect::<Vec<_>>(), [3]);
    });
}

/// Between the two steps a packet is dropped early only if the old rules and the new ones drop it.
#[test]
fn before_the_rules_change_nothing_is_blocked_that_they_will_accept_e480() {
    with_peers(|peers| {
        let mut driver = driver();
        let names = names();
        let before = |driver: &mut Driver, guards: &Guards| driver.before(guards, |index| names.get(&index).cloned());
        apply(&mut driver, &guards(&[BAD, OTHER]));
        // A part goes and another comes.
        before(&mut driver, &guards(&[OTHER, "192.0.2.1"]));
        assert!(peers.passes(BAD) && !peers.passes(OTHER));
        driver.after(&guards(&[OTHER]), false);
        // The instructions will change.
        let mut other_failsafes = guard(&[OTHER]);
        other_failsafes.failsafes.inbound.push(Failsafe::any(Protocol::UDP, 2000));
        let other_failsafes: Guards = [("eth0".to_owned(), Ok(other_failsafes))].into();
        before(&mut driver, &other_failsafes);
        assert!(peers.passes(OTHER), "held");
        // The rules could not be changed, and stay as they are.
        before(&mut driver, &guards(&[OTHER]));
        assert!(peers.passes(OTHER), "still held");
        driver.after(&guards(&[OTHER]), false);
        assert!(!peers.passes(OTHER), "let go");
        // Nothing is to be blocked any more.
        let nothing: Guards = [("eth0".to_owned(), Err(NoGuard::NothingToBlock))].into();
        before(&mut driver, &nothing);
        assert!(peers.passes(OTHER));
        let state = driver.after(&nothing, false).remove("eth0").unwrap();
        assert_eq!(state.problem, Some(Problem::NoGuard(NoGuard::NothingToBlock)));
        assert_eq!((programs(), pins()), (vec![], 0), "E-481: no program without a list");
    });
}

#[test]
fn what_was_removed_by_hand_is_there_again_after_the_next_look_e723() {
    with_peers(|peers| {
        let mut driver = driver();
        apply(&mut driver, &guards(&[BAD]));
        // The kernel itself refuses the usual way while a link holds the program.
        assert!(!try_ip("link set dev eth0 xdp off"));
        assert!(!peers.passes(BAD));
        let detach = Driver::new(Path::new(BPF_FS)).unwrap().remove_all().unwrap();
        assert_eq!((detach, programs()), (1, vec![]), "what somebody else removed");
        assert!(peers.passes(BAD));
        driver.doubt();
        let state = apply(&mut driver, &guards(&[BAD]));
        assert_eq!((state.mode, state.problem), (Some(XdpMode::Driver), None));
        assert!(!peers.passes(BAD));
    });
}

#[test]
fn lists_that_others_changed_are_right_after_the_next_look_e723() {
    with_peers(|peers| {
        let mut driver = driver();
        let guards = guards(&[BAD, "203.0.113.0/24"]);
        apply(&mut driver, &guards);
        let list = find_pin("list4");
        let bpftool = |arguments: &str| {
            let output = Command::new("bpftool").args(arguments.split_whitespace()).output();
            let output = output.expect("bpftool is needed: apt-get install bpftool");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        // A tree whose root says that everything stands in its last child, and then none at all.
        let dump = bpftool(&format!("map dump pinned {list}"));
        let id = dump.split_once("value: ").unwrap().1.split_whitespace().take(4);
        let id: Vec<u8> = id.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        let tree = u32::from_ne_bytes(id.try_into().unwrap());
        let everything = "255 ".repeat(64);
        for change in [
            format!("map update id {tree} key 0 0 0 0 value {everything}"),
            format!("map delete pinned {list} key 0 0 0 0"),
        ] {
            bpftool(&change);
            assert!(peers.passes(BAD), "{change}");
            driver.doubt();
            apply(&mut driver, &guards);
            assert!(!peers.passes(BAD) && peers.passes(OTHER), "{change}");
        }
    });
}

fn find_pin(name: &str) -> String {
    let folder = std::fs::read_dir(Path::new(BPF_FS).join("tortie")).unwrap().next().unwrap().unwrap();
    folder.path().join(name).display().to_string()
}

#[test]
fn another_process_takes_the_program_over_and_goes_on_with_it() {
    with_peers(|peers| {
        let mut first = driver();
        assert!(first.is_pinned());
        apply(&mut first, &guards(&[BAD]));
        assert!(!peers.passes(BAD));
        let before = programs();
        drop(first);
        assert_eq!(programs(), before, "the program outlives the process");
        assert!(!peers.passes(BAD));
        // Nothing is known of what it blocks, so it is held until the rules have changed.
        let (mut second, names) = (driver(), names());
        second.before(&guards(&[OTHER]), |index| names.get(&index).cloned());
        assert!(peers.passes(BAD) && peers.passes(OTHER));
        let state = second.after(&guards(&[OTHER]), false).remove("eth0").unwrap();
        assert_eq!((state.entries, state.drops, state.problem), (1, 2, None));
        assert_eq!(programs(), before);
        assert!(peers.passes(BAD) && !peers.passes(OTHER));
        // A process that ended while it held.
        second.before(&Guards::new(), |index| names.get(&index).cloned());
        drop(second);
        assert!(peers.passes(OTHER));
        apply(&mut driver(), &guards(&[OTHER]));
        assert!(!peers.passes(OTHER));
        assert_eq!(programs(), before);
    });
}

/// A process may end between any two steps of keeping a new program.
#[test]
fn what_was_half_kept_is_made_anew() {
    with_peers(|peers| {
        apply(&mut driver(), &guards(&[BAD]));
        std::fs::remove_file(find_pin("program")).unwrap();
        std::fs::remove_file(find_pin("list6")).unwrap();
        let state = apply(&mut driver(), &guards(&[OTHER]));
        assert_eq!((state.mode, state.problem), (Some(XdpMode::Driver), None));
        assert!(peers.passes(BAD) && !peers.passes(OTHER));
    });
}

#[test]
fn disabled_it_removes_what_a_former_process_left_e484_e707() {
    with_peers(|peers| {
        apply(&mut driver(), &guards(&[BAD]));
        assert!(!peers.passes(BAD));
        assert_eq!(driver().remove_all().unwrap(), 1);
        assert!(peers.passes(BAD));
        assert_eq!((programs(), pins()), (vec![], 0));
        assert_eq!(driver().remove_all().unwrap(), 0);
    });
}

#[test]
fn a_program_of_others_is_left_alone_e722() {
    with_peers(|peers| {
        // Any other program, attached as ip-link(8) does it: ours without pins is a stranger to the driver.
        let foreign = Filter::load(MAC, &Failsafes::default(), Shapes::of(&Blocked::default())).unwrap();
        let pin = Path::new(BPF_FS).join("foreign");
        foreign.pin(&pin).unwrap();
        ip(&format!("link set dev eth0 xdpdrv pinned {}", pin.display()));
        let before = programs();
        let mut driver = driver();
        for _ in 0..2 {
            let state = apply(&mut driver, &guards(&[BAD]));
            assert_eq!((state.mode, state.problem), (None, Some(Problem::Foreign(before[0].1))));
        }
        assert_eq!(driver.remove_all().unwrap(), 0);
        assert_eq!(programs(), before);
        assert!(peers.passes(BAD));
        // It goes, and the next look finds the place free.
        ip("link set dev eth0 xdpdrv off");
        driver.doubt();
        assert_eq!(apply(&mut driver, &guards(&[BAD])).problem, None);
        assert!(!peers.passes(BAD));
    });
}

#[test]
fn generic_mode_is_used_only_where_it_is_allowed_e484() {
    with_peers(|peers| {
        // A bridge has no XDP of its own.
        ip("link add g0 type bridge");
        ip("link set g0 up");
        let guards: Guards = [("g0".to_owned(), Ok(guard(&[BAD])))].into();
        let mut driver = driver();
        let state = |driver: &mut Driver, is_generic_enabled| driver.after(&guards, is_generic_enabled)["g0"].clone();
        let refused = state(&mut driver, false);
        assert!(matches!(refused.problem, Some(Problem::NoDriverMode(_))), "{refused:?}");
        assert_eq!(state(&mut driver, true).mode, Some(XdpMode::Generic));
        assert_eq!(state(&mut driver, true).problem, None);
        assert_eq!(state(&mut driver, false).mode, None);
        assert!(peers.passes(BAD));
    });
}

#[test]
fn frames_that_may_arrive_elsewhere_are_left_to_the_rules_e480() {
    with_peers(|peers| {
        let mut driver = driver();
        apply(&mut driver, &guards(&[BAD]));
        assert!(!peers.passes(BAD));
        ip("link add link eth0 name m0 type macvlan");
        let state = apply(&mut driver, &guards(&[BAD]));
        assert_eq!((state.mode, state.problem), (None, Some(Problem::IsShared(vec!["m0".to_owned()]))));
        assert!(peers.passes(BAD));
        ip("link del m0");
        assert_eq!(apply(&mut driver, &guards(&[BAD])).problem, None);
        ip("link add br0 type bridge");
        ip("link set eth0 master br0");
        assert_eq!(apply(&mut driver, &guards(&[BAD])).problem, Some(Problem::IsPort));
        let absent: Guards = [("e7".to_owned(), Ok(guard(&[BAD]))), ("lo".to_owned(), Ok(guard(&[BAD])))].into();
        let states = driver.after(&absent, false);
        assert_eq!(states["e7"].problem, Some(Problem::NoInterface));
        assert_eq!(states["lo"].problem, Some(Problem::NotEthernet));
    });
}

/// A name that another interface takes over.
#[test]
fn programs_follow_names_of_interfaces_e113() {
    with_peers(|peers| {
        let mut driver = driver();
        apply(&mut driver, &guards(&[BAD]));
        ip("link set eth0 down");
        ip("link set eth0 name d1");
        ip("link set d1 up");
        let state = apply(&mut driver, &guards(&[BAD]));
        assert_eq!(state.problem, Some(Problem::NoInterface));
        assert!(peers.passes(BAD));
        let renamed: Guards = [("d1".to_owned(), Ok(guard(&[BAD])))].into();
        assert_eq!(driver.after(&renamed, false)["d1"].problem, None);
        assert!(!peers.passes(BAD));
        // Another address of the card: the instructions change.
        ip("link set d1 address 02:00:00:00:00:55");
        peers.ip("neigh flush dev peer0");
        assert!(peers.passes(BAD), "until somebody looks");
        driver.after(&renamed, false);
        assert!(!peers.passes(BAD));
    });
}
