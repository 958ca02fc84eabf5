//! nf_tables over netlink: what plans say, told to the kernel, and read back (K-1).
//!
//! [`Kernel`] commits transactions and reads our table as a [`tortie_rules::Ruleset`]; [`Events`] tells when somebody
//! changed a ruleset. Everything happens in the network namespace in which the handle was opened. Nothing outside the
//! table `inet tortie` is ever touched (K-15). No other program is started.
#![forbid(unsafe_code)]

mod consts;
mod decode;
mod dump;
mod encode;
mod events;
mod foreign;
#[doc(hidden)]
pub mod fuzzing;
mod kernel;

use tortie_netlink::{socket, wire};

pub use decode::DecodeError;
pub use events::{Event, Events};
pub use foreign::{ForeignChain, MarkWriter};
pub use kernel::{Actual, CommitError, Counter, Kernel, OpenError, ReadError, next_generation};
pub use tortie_netlink::Tap;
