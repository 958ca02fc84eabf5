//! Faults between the agent and the kernel: every message of an apply is refused, cut, or its answer lost or late, the
//! generation moves, listings are torn, events are lost, and the process is killed between any two messages. The host is
//! never open, never locked out, converges, and the message names the cause (design.md section 7).
//!
//! A run takes a sample of all points. `TORTIE_FAULTS=all` takes every one, `TORTIE_FAULTS=N` the sample of another seed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod agent;
mod early;
mod host;
mod judge;
mod kill;
mod log;
mod netlink;
mod sample;
#[path = "../support/mod.rs"]
mod support;
mod wire;
mod worlds;
