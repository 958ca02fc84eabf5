//! How fast foreign flushes are repaired: `cargo bench -p tortie --bench selfheal -- [FLUSHES]` as root.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

#[path = "../tests/life/host.rs"]
mod host;
#[path = "../tests/life/selfheal.rs"]
mod selfheal;
#[path = "../tests/life/stream.rs"]
mod stream;

use host::on_a_host;

/// Policies of the endpoint.
const POLICIES: usize = 100;

fn main() {
    let count = count(1000);
    on_a_host(move |host| {
        let report = selfheal::run(host, count, POLICIES);
        report.print();
        assert_eq!(report.lost, 0);
    });
}

/// The number that the command line names.
fn count(default: usize) -> usize {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default)
}
