//! Connection tracking over ctnetlink: lists flows and deletes them.
//!
//! Everything happens in the network namespace in which [`Flows`] was opened. It decides nothing about flows, makes none
//! and changes none; no other program is started.
#![forbid(unsafe_code)]

mod codec;
mod consts;
mod flows;
#[doc(hidden)]
pub mod fuzzing;

pub use flows::{DeleteError, Deleted, Flows, FlowsError};
