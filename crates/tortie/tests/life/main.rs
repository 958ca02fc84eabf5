//! The life cycle of the agent with the real binary and the real kernel, each test in network namespaces that vanish with
//! its threads (enforcement.md sections 7.1 and 7.2).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod appear;
mod host;
mod kill;
mod links;
mod repair;
mod selfheal;
mod state;
mod stream;

use host::on_a_host;

#[test]
fn foreign_flushes_are_repaired_every_time_e721() {
    on_a_host(|host| {
        let report = selfheal::run(host, 20, 5);
        report.print();
        assert_eq!((report.times.len(), report.lost), (20, 0));
        assert!(report.repairs >= 20, "{}", report.repairs);
    });
}

#[test]
fn killed_at_any_moment_the_host_is_neither_open_nor_locked_out_a6() {
    on_a_host(|host| {
        let report = kill::run(host, 15, 1);
        report.print();
        assert!(report.passed > 0 && report.denied > 0 && report.changes > 0);
        assert_eq!((report.lost, report.leaked), (0, 0));
    });
}

#[test]
fn an_interface_is_protected_before_its_first_packet_e115() {
    on_a_host(|host| {
        let report = appear::run(host, 10);
        report.print();
        assert!(report.times == 10 && report.sent > 0);
        assert_eq!(report.leaked, 0);
    });
}
