//! Kills the agent at random moments: `cargo bench -p tortie --bench kill -- [KILLS]` as root.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

#[path = "../tests/life/host.rs"]
mod host;
#[path = "../tests/life/kill.rs"]
mod kill;
#[path = "../tests/life/stream.rs"]
mod stream;

use host::on_a_host;

/// Where the random moments begin.
const SEED: u64 = 4;

fn main() {
    let count = count(200);
    on_a_host(move |host| {
        let report = kill::run(host, count, SEED);
        report.print();
        assert_eq!((report.lost, report.leaked), (0, 0));
    });
}

/// The number that the command line names.
fn count(default: usize) -> usize {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default)
}
