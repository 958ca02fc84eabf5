//! An interface appears under fire: `cargo bench -p tortie --bench appear -- [TIMES]` as root.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

#[path = "../tests/life/appear.rs"]
mod appear;
#[path = "../tests/life/host.rs"]
mod host;
#[path = "../tests/life/stream.rs"]
mod stream;

use host::on_a_host;

fn main() {
    let count = count(200);
    on_a_host(move |host| {
        let report = appear::run(host, count);
        report.print();
        assert_eq!(report.leaked, 0);
    });
}

/// The number that the command line names.
fn count(default: usize) -> usize {
    std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(default)
}
