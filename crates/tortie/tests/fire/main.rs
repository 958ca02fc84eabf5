//! Swaps under fire, in short: what `cargo xtask fire` runs for longer, and proof that the rig sees a gap.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod chain_policy;
mod frame;
mod gun;
#[path = "../life/host.rs"]
mod host;
mod lane;
mod range;
mod report;
mod rig;
mod rules;
mod states;
mod variants;
mod walk;
mod world;

use host::on_a_host;
use rig::Options;
use variants::Variant;

#[test]
fn swaps_neither_lose_nor_leak_d10_a6() {
    on_a_host(|host| {
        let report =
            rig::run(host, Options { changes: 60, seed: 1, kill_every: 8, variant: None, stops_when_seen: false });
        report.print(false);
        report.check_rig();
        assert!(report.swaps > 30 && report.kills > 0, "hardly anything happened");
        assert_eq!((report.lost(), report.leaked()), (0, 0));
    });
}

#[test]
fn the_rig_sees_what_one_transaction_loses_k4() {
    see(Variant::OneTransaction);
}

#[test]
fn the_rig_sees_what_changes_in_place_lose_k4() {
    see(Variant::InPlace);
}

#[test]
fn the_rig_sees_what_a_new_base_chain_leaks_k3() {
    see(Variant::ChainPolicy);
}

/// A few changes show it; that none of so many does cannot be chance.
fn see(variant: Variant) {
    on_a_host(move |host| {
        let options =
            Options { changes: 1_000, seed: 1, kill_every: 50, variant: Some(variant), stops_when_seen: true };
        let report = rig::run(host, options);
        report.print(false);
        report.check_rig();
        assert!(variant.is_seen(report.lost(), report.leaked()), "{variant:?}");
    });
}
