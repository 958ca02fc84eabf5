//! Swaps under fire: `cargo bench -p tortie --bench fire -- [--changes N] [--seed S] [--one-transaction]` as root, or
//! `cargo xtask fire` with the same words.
//!
//! Ends with an error when a packet was lost or leaked. With `--one-transaction` it runs plans that break the laws instead,
//! and ends with an error when the rig sees no packet lost or leaked.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

#[path = "../tests/fire/chain_policy.rs"]
mod chain_policy;
#[path = "../tests/fire/frame.rs"]
mod frame;
#[path = "../tests/fire/gun.rs"]
mod gun;
#[path = "../tests/life/host.rs"]
mod host;
#[path = "../tests/fire/lane.rs"]
mod lane;
#[path = "../tests/fire/range.rs"]
mod range;
#[path = "../tests/fire/report.rs"]
mod report;
#[path = "../tests/fire/rig.rs"]
mod rig;
#[path = "../tests/fire/rules.rs"]
mod rules;
#[path = "../tests/fire/variants.rs"]
mod variants;
#[path = "../tests/fire/walk.rs"]
mod walk;
#[path = "../tests/fire/world.rs"]
mod world;

use std::process::ExitCode;
use std::sync::mpsc::channel;

use host::on_a_host;
use rig::Options;
use variants::Variant;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: u32| {
        let at = arguments.iter().position(|argument| argument == name);
        at.map_or(default, |at| arguments.get(at + 1).and_then(|text| text.parse().ok()).expect("a number"))
    };
    let seed = u64::from(number("--seed", 1));
    let is_broken = arguments.iter().any(|argument| argument == "--one-transaction");
    let changes = number("--changes", if is_broken { 1_000 } else { 10_000 });
    let variants = if is_broken { Variant::ALL.map(Some).to_vec() } else { vec![None] };
    let mut is_good = true;
    for variant in variants {
        let options = Options { changes, seed, kill_every: 50, variant, stops_when_seen: false };
        let (lost, leaked) = fire(options);
        is_good &= match variant {
            None => lost + leaked == 0,
            Some(variant) => variant.is_seen(lost, leaked),
        };
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs it, prints what was found, and gives how many packets were lost and how many leaked.
fn fire(options: Options) -> (u64, u64) {
    let (tell, told) = channel();
    on_a_host(move |host| {
        let report = rig::run(host, options);
        report.print(true);
        report.check_rig();
        tell.send((report.lost(), report.leaked())).unwrap();
    });
    told.recv().unwrap()
}
