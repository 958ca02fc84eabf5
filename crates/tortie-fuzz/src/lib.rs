//! What must hold for every input, one function for each way by which bytes of others come into the program
//! (docs/fuzzing.md).
//!
//! A function takes any bytes and panics when a promise is broken: no panic of the code under test, the same answer
//! twice, and what was printed reads as what it was printed from. `fuzz/` gives them bytes from libFuzzer; the test of
//! this crate gives them those of `fuzz/corpus` and `fuzz/regressions`, and counts the memory they take.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a broken promise is a panic")]

mod agent;
mod netlink;
mod policy;
mod resources;
mod selector;
mod settings;
mod store;

pub use agent::{answer, local_api, saved_state};
pub use netlink::{flows, links, nftables};
pub use policy::policy;
pub use resources::{resources, stored};
pub use selector::selector;
pub use settings::settings;
pub use store::store;

/// Bytes that any input may take beside what its own length allows.
pub const MEMORY_BASE: usize = 32 << 20;

/// One target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its folder in `fuzz/corpus` and of its program in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// What it does with an input.
    pub run: fn(&[u8]),
    /// Bytes of memory that one byte of input may take at one time, above [`MEMORY_BASE`].
    pub memory_per_byte: usize,
}

/// All targets, by name.
pub const TARGETS: &[Target] = &[
    Target { name: "agent_answer", run: answer, memory_per_byte: 200 },
    Target { name: "flows", run: flows, memory_per_byte: 200 },
    Target { name: "links", run: links, memory_per_byte: 500 },
    Target { name: "local_api", run: local_api, memory_per_byte: 200 },
    Target { name: "nftables", run: nftables, memory_per_byte: 500 },
    Target { name: "policy", run: policy, memory_per_byte: 5000 },
    Target { name: "resources", run: resources, memory_per_byte: 2000 },
    Target { name: "saved_state", run: saved_state, memory_per_byte: 500 },
    Target { name: "selector", run: selector, memory_per_byte: 500 },
    Target { name: "settings", run: settings, memory_per_byte: 2000 },
    Target { name: "store", run: store, memory_per_byte: 500 },
    Target { name: "stored", run: stored, memory_per_byte: 500 },
];
