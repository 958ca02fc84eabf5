//! Incremental calculation: resources and host facts in, [`HostPolicy`] and its changes out.
//!
//! The output depends on the present input only, never on the order in which it came. This crate does no I/O, reads no
//! clock, keeps no "last good answer" (that memory stands in front of it, D-11) and knows nothing of nftables.
#![forbid(unsafe_code)]

mod dispatch;
mod engine;
mod index;
mod items;
mod needs;
mod numbers;
pub mod policy;
mod report;
mod resolve;
mod select;
mod sets;
pub mod settings;
mod texts;

pub use engine::{Delta, Engine};
pub use needs::LAZY;
pub use policy::HostPolicy;
pub use report::{EndpointReport, EndpointState, NotEnforced, PolicyReport, Reason, Report};
pub use sets::MemberDelta;
pub use settings::Settings;
