//! The loop on a real store: every test waits for what happens there.

mod endpoints;
mod hosts;
mod labels;
mod leaders;
mod rig;
