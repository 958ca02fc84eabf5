//! The real kernel, each test in a network namespace of its own that vanishes with its thread.

use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tortie_api::facts::Links;
use tortie_netmon::{Event, Monitor, list_now};
use tortie_testkit::sandbox::in_network_namespace;

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Waits until the monitor tells of a table that is as it should be.
fn await_links(events: &Receiver<Event>, what: &str, is_right: impl Fn(&Links) -> bool) {
    loop {
        match events.recv_timeout(Duration::from_secs(30)) {
            Ok(Event::Links(links)) if is_right(&links) => return,
            Ok(Event::Links(_)) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn links_and_addresses_that_come_go_and_are_renamed_e113() {
    in_network_namespace(|| {
        let (sender, events) = channel();
        let _monitor = Monitor::start(move |event| sender.send(event).unwrap_or_default()).unwrap();
        await_links(&events, "first", |links| links.contains_key("lo"));
        ip("link add d0 type veth peer name p0");
        ip("link set p0 up");
        await_links(&events, "added", |links| links.get("d0").is_some_and(|link| !link.is_running));
        ip("addr add 192.0.2.1/24 dev d0");
        ip("addr add 192.0.2.2/24 dev d0");
        ip("-6 addr add 2001:db8::1/64 dev d0 nodad");
        let wanted = ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|text| text.parse().unwrap());
        await_links(&events, "addresses", |links| wanted.iter().all(|address| links["d0"].addresses.contains(address)));
        ip("link set d0 up");
        await_links(&events, "up", |links| links["d0"].is_running);
        ip("addr del 192.0.2.2/24 dev d0");
        await_links(&events, "address gone", |links| !links["d0"].addresses.contains(&wanted[1]));
        ip("link set d0 down");
        ip("link set d0 name d1");
        await_links(&events, "renamed", |links| links.contains_key("d1") && !links.contains_key("d0"));
        ip("link add br0 type bridge");
        ip("link set d1 master br0");
        await_links(&events, "enslaved", |links| links["d1"].controller == links.get("br0").map(|link| link.index));
        ip("link del d1");
        await_links(&events, "deleted", |links| !links.contains_key("d1"));
    });
}

#[test]
fn a_flood_of_changes_ends_in_the_right_table_e724() {
    in_network_namespace(|| {
        let (sender, events) = channel();
        let _monitor = Monitor::start(move |event| sender.send(event).unwrap_or_default()).unwrap();
        let script: String = (0..2000).map(|n| format!("addr add 10.{}.{}.1/32 dev lo\n", n / 250, n % 250)).collect();
        let file = std::env::temp_dir().join(format!("tortie-netmon-{}.ip", std::process::id()));
        std::fs::write(&file, script).unwrap();
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        await_links(&events, "flood", |links| links["lo"].addresses.len() >= 2000);
        assert!(list_now().unwrap()["lo"].addresses.len() >= 2000);
    });
}

#[test]
fn the_table_is_delivered_again_when_asked_for_e620() {
    in_network_namespace(|| {
        let (sender, events) = channel();
        let monitor = Monitor::start(move |event| sender.send(event).unwrap_or_default()).unwrap();
        await_links(&events, "first", |links| links.contains_key("lo"));
        for _ in 0..3 {
            monitor.list_again();
            await_links(&events, "nothing changed", |links| links.contains_key("lo"));
        }
        assert!(events.try_recv().is_err(), "once each");
    });
}
