//! Backend-neutral rules: what the kernel has to hold, as data.
//!
//! [`compile()`] turns a [`tortie_calc::HostPolicy`] into a [`Ruleset`] by small passes, [`plan()`] says what must be told
//! to a kernel that holds something else, [`interpret()`] runs a packet through a ruleset as the kernel would, and
//! [`recheck`] finds the flows that a ruleset denies. All are pure functions. This crate knows no netlink, does no I/O and reads no clock.
#![forbid(unsafe_code)]

pub mod compile;
pub mod interpret;
mod key;
pub mod plan;
pub mod recheck;
pub mod ruleset;

pub use compile::classes::Classes;
pub use compile::{Compiler, compile, compile_with};
pub use interpret::interpret;
pub use plan::{Plan, plan};
pub use ruleset::Ruleset;
