//! Lists of blocked sources in the kernel against a walk through all their networks (`BPF_PROG_TEST_RUN`).
#![allow(clippy::unwrap_used, reason = "a test that cannot load its program has failed")]

mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::{Ipv4Net, Ipv6Net};
use support::frames::{Frame, ip, ports};
use support::{MAC, model};
use tortie_testkit::generators::Random;
use tortie_xdp::{Blocked, Failsafes, Filter, Guard, Shapes, XDP_DROP};

/// More than this many networks are not walked through for each of their addresses.
const WALKED_MAX: usize = 600;

fn frame(source: IpAddr) -> Vec<u8> {
    let destination = if source.is_ipv4() { "192.0.2.1" } else { "2001:db8::1" };
    Frame::of(ip(source, destination.parse().unwrap(), 17, &ports(1, 2))).bytes()
}

fn load(blocked: &Blocked) -> (Filter, Shapes) {
    let shapes = Shapes::of(blocked);
    let filter = Filter::load(MAC, &Failsafes::default(), shapes);
    (filter.expect("tests of programs need root, and a kernel with XDP"), shapes)
}

fn is_dropped(filter: &Filter, source: IpAddr) -> bool {
    filter.run(&frame(source), 1).unwrap().0 == XDP_DROP
}

/// A network near one of `known` (inside, around, beside it, the same), or somewhere.
fn near(random: &mut Random, known: Option<(u128, u128)>, any: u128, step: u128) -> u128 {
    match (known, random.below(4)) {
        (None, _) | (_, 0) => any,
        (Some((first, _)), 1) => first.wrapping_sub(1),
        (Some((_, last)), 2) => last.wrapping_add(1),
        (Some((first, _)), _) => first ^ (random.below(4) as u128 * step),
    }
}

fn draw(random: &mut Random, count: usize, len_max: u8) -> Blocked {
    let mut blocked = Blocked::default();
    // Wide networks leave little to others: only short lists have some.
    let is_wide = |random: &mut Random| count < 50 && random.one_in(10);
    for _ in 0..count {
        let any = u128::from(random.bits()) << 64 | u128::from(random.bits());
        let known = (!blocked.v4.is_empty()).then(|| *random.pick(&blocked.v4));
        let known = known.map(|net| (net.network().to_bits().into(), net.broadcast().to_bits().into()));
        let lens: &[u8] = if is_wide(random) { &[0, 1, 2, 8] } else { &[16, 20, 24, 24, 25, 30, 31, 32, 32, 32] };
        let address = near(random, known, any, 1) as u32;
        blocked.v4.push(Ipv4Net::new(address.into(), *random.pick(lens)).unwrap().trunc());
        let known = (!blocked.v6.is_empty()).then(|| *random.pick(&blocked.v6));
        let known = known.map(|net| (net.network().to_bits(), net.broadcast().to_bits()));
        let lens: &[u8] =
            if is_wide(random) { &[0, 1, 2, 32] } else { &[48, 56, 62, 63, 64, 64, 65, 96, 126, 127, 128, 128] };
        let address = near(random, known, any, 1 << (128 - len_max));
        blocked.v6.push(Ipv6Net::new(address.into(), (*random.pick(lens)).min(len_max)).unwrap().trunc());
    }
    if random.one_in(3) {
        blocked.v4.extend([Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].map(Ipv4Net::from));
        let ends = [u128::MIN, u128::MAX].map(|end| Ipv6Net::new(end.into(), len_max).unwrap().trunc());
        blocked.v6.extend(ends);
    }
    blocked.v4.sort_unstable();
    blocked.v4.dedup();
    blocked.v6.sort_unstable();
    blocked.v6.dedup();
    blocked
}

/// The ends of networks, what is beside them, and addresses in them; of long lists some.
fn probes(random: &mut Random, blocked: &Blocked) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    for _ in 0..blocked.v4.len().min(WALKED_MAX) {
        let net = *random.pick(&blocked.v4);
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        let inside = first + (random.bits() % (u64::from(last - first) + 1)) as u32;
        let all = [first.wrapping_sub(1), first, inside, last, last.wrapping_add(1)];
        found.extend(all.map(|address| IpAddr::from(Ipv4Addr::from_bits(address))));
    }
    for _ in 0..blocked.v6.len().min(WALKED_MAX) {
        let net = *random.pick(&blocked.v6);
        let (first, last) = (net.network().to_bits(), net.broadcast().to_bits());
        let inside = first + u128::from(random.bits()).min(last - first);
        let all = [first.wrapping_sub(1), first, inside, last, last.wrapping_add(1)];
        found.extend(all.map(|address| IpAddr::from(Ipv6Addr::from_bits(address))));
    }
    let ends = ["0.0.0.0", "255.255.255.254", "255.255.255.255", "::", "ffff:ffff:ffff:fffe:ffff:ffff:ffff:ffff"];
    found.extend(ends.map(|address| address.parse::<IpAddr>().unwrap()));
    found.push(Ipv6Addr::from_bits(u128::MAX).into());
    found
}

/// Lists as long as fill nodes and levels, and a little shorter and longer, with networks that nest, overlap and touch.
#[test]
fn drawn_lists_block_what_their_networks_hold_e482() {
    let mut random = Random::new(482);
    let (mut dropped, mut passed) = (0, 0);
    let lens = [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 35, 36, 37, 40, 41, 136, 137, 323, 324, 325, 500, 3000];
    for len in lens.into_iter().chain([300; 10]) {
        for len_max in [64, 128] {
            let blocked = draw(&mut random, len, len_max);
            let guard = Guard { blocked, failsafes: Failsafes::default() };
            let (filter, shapes) = load(&guard.blocked);
            filter.block(shapes, &guard.blocked, None).unwrap();
            for source in probes(&mut random, &guard.blocked) {
                let is_dropped = is_dropped(&filter, source);
                assert_eq!(is_dropped, model::drops(MAC, &guard, &frame(source)), "{source}: {:?}", guard.blocked);
                *(if is_dropped { &mut dropped } else { &mut passed }) += 1;
            }
        }
    }
    assert!(dropped > 20_000 && passed > 10_000, "{dropped} dropped, {passed} passed");
}

/// Every second address of a long list: a tree with all its levels full.
#[test]
fn each_address_of_a_long_list_is_found_and_none_between_them() {
    const LEN: u32 = 100_000;
    let v4: Vec<Ipv4Net> = (0..LEN).map(|n| Ipv4Addr::from(0x0a00_0001 + 2 * n).into()).collect();
    for len in [64, 128] {
        let v6 = |n: u32| Ipv6Addr::from((0x2001_0db8 << 96) + ((1 + 2 * u128::from(n)) << (128 - len)));
        let nets = (0..LEN).map(|n| Ipv6Net::new(v6(n), len).unwrap()).collect();
        let blocked = Blocked { v4: v4.clone(), v6: nets };
        let (filter, shapes) = load(&blocked);
        filter.block(shapes, &blocked, None).unwrap();
        for n in (0..LEN).step_by(7).chain([LEN - 1]) {
            let v4 = 0x0a00_0001 + 2 * n;
            let beside = v6(n).to_bits() + (1 << (128 - len));
            let all = [v4, v4 + 1].map(|address| IpAddr::from(Ipv4Addr::from(address))).into_iter();
            let all = all.chain([v6(n), Ipv6Addr::from(beside)].map(IpAddr::from));
            let found: Vec<bool> = all.map(|source| is_dropped(&filter, source)).collect();
            assert_eq!(found, [true, false, true, false], "{n} of /{len}");
        }
    }
}

/// A source of both lists, at other places of the trees, is dropped all the time.
#[test]
fn a_packet_meets_the_old_list_or_the_new_one_as_a_whole_e480() {
    let both: IpAddr = "10.128.0.1".parse().unwrap();
    let list = |first: u32, count: u32| {
        let mut v4: Vec<Ipv4Net> = (0..count).map(|n| Ipv4Addr::from(first + 2 * n).into()).collect();
        v4.push("10.128.0.0/24".parse().unwrap());
        v4.sort_unstable();
        Blocked { v4, v6: Vec::new() }
    };
    let lists = [list(0x0100_0000, 3000), list(0x0b00_0000, 20), list(0x0900_0000, 1000)];
    let (filter, shapes) = load(&lists[0]);
    filter.block(shapes, &lists[0], None).unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert!(is_dropped(&filter, both), "after {sent}");
                sent += 1;
            }
            sent
        });
        for round in 0..300 {
            filter.block(shapes, &lists[(round + 1) % 3], Some(&lists[round % 3])).unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        assert!(sender.join().unwrap() > 300);
    });
}

/// Only the family that differs is written.
#[test]
fn a_new_list_takes_the_place_of_the_old_one() {
    let of = |v4: &[&str], v6: &[&str]| Blocked {
        v4: v4.iter().map(|net| net.parse().unwrap()).collect(),
        v6: v6.iter().map(|net| net.parse().unwrap()).collect(),
    };
    let lists = [
        of(&["10.0.0.0/8"], &["2001:db8::/32"]),
        of(&["10.0.0.0/8"], &[]),
        of(&["10.0.0.0/16", "11.0.0.1/32"], &[]),
        of(&[], &["2001:db8::/32"]),
    ];
    let sources = ["10.1.0.1", "10.0.0.1", "11.0.0.1", "2001:db8::7"].map(|source| source.parse::<IpAddr>().unwrap());
    let (filter, shapes) = load(&lists[0]);
    let found = |filter: &Filter| sources.map(|source| is_dropped(filter, source));
    assert_eq!(found(&filter), [false; 4], "nothing yet");
    let mut known = None;
    for (list, expected) in lists.iter().zip([
        [true, true, false, true],
        [true, true, false, false],
        [false, true, true, false],
        [false, false, false, true],
    ]) {
        filter.block(shapes, list, known).unwrap();
        assert_eq!(found(&filter), expected, "{list:?}");
        known = Some(list);
    }
}
