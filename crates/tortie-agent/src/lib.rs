//! The agent: one loop that joins the store and the kernel to the calculation.
//!
//! Everything that can wake the agent is one event of a closed list. Readers of store, links and kernel run on threads of their
//! own and never wait for the kernel; the loop takes all that has gathered, calculates once and programs once. Nothing
//! is programmed before the first full snapshot and the first list of links (E-701), and rules outlive the process
//! (E-706). The agent decides nothing about policy: that is `tortie-calc`, and what the kernel holds is `tortie-rules`.
#![forbid(unsafe_code)]

mod agent;
mod api;
pub mod bounded;
mod early;
mod event;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod hold;
mod http;
mod in_force;
mod isolate;
mod lock;
mod metrics;
mod notify;
mod observe;
mod program;
mod recheck;
mod report;
mod restore;
mod saved;
mod saver;
mod serve;
pub mod status;
mod text;
mod tls;
mod view;
mod watching;

pub use agent::{Agent, AgentError, Config, SetLog, settings_of_environment};
pub use in_force::{InForce, InForceError, in_force};
pub use lock::{LockError, NamespaceLock};
pub use program::{Blame, Fault, Outcome, Planner, ProgramError, Programmer};
pub use recheck::{Counts, Recheck, RecheckError};
pub use report::{AgentReport, REPORT_PREFIX, ReportedInterface};
pub use restore::{Boot, Restored, restore};
pub use saved::{SavedError, forget_state, has_saved_state};
pub use status::Status;

/// Settings that whoever runs an agent follows for it.
pub mod settings {
    pub use tortie_calc::settings::operation::{Log, Severity};
}
