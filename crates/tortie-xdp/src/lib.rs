//! Untracked denies before the kernel's network stack: XDP (E-480..E-484).
//!
//! [`guards`] says what of the calculated policy may be dropped early, without I/O. [`program()`] assembles the program that
//! does it, [`Filter`] is one in the kernel, and [`Driver`] puts programs on interfaces, keeps them right and removes them.
//! Nothing here gives a verdict that the rules of S1 do not give too, and nothing here replaces a rule.
#![deny(unsafe_code)]

pub mod asm;
mod attached;
mod bpf;
mod driver;
mod filter;
mod guard;
mod nets;
mod pins;
mod program;
mod search;
mod tree;

pub use driver::{Driver, Guards, Problem, State};
pub use filter::{Filter, FilterError};
pub use guard::{Blocked, FAILSAFES_MAX, Failsafes, Guard, NoGuard, guards};
pub use pins::BPF_FS;
pub use program::{MapName, XDP_DROP, XDP_PASS, program};
pub use tortie_netmon::XdpMode;
pub use tree::Shapes;
