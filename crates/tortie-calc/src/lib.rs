//! Incremental calculation: resources and host facts in, [`HostPolicy`] and its changes out.
//!
//! The output depends on the present input only, never on the order in which it came. This crate does no I/O, reads no
//! clock, keeps no "last good answer" (that memory stands in front of it, D-11) and knows nothing of nftables.
#![forbid(unsafe_code)]

pub mod policy;
pub mod settings;

pub use policy::HostPolicy;
pub use settings::Settings;
