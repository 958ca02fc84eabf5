//! Faults of the world around the real binary: full and read-only disks, a killed `apply`, and nobody who takes what is
//! printed. What is enforced stays, what comes back counts, and the message names the cause (design.md section 7).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod disk;
mod durable;
#[path = "../life/host.rs"]
mod host;
mod killed;
mod output;
mod store;
