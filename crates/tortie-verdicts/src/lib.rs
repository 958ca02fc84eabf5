//! Three roads to each verdict, over random worlds and packets aimed at what the worlds speak of:
//!
//! 1. the *reference*: `tortie-reference` judges the packet by resources alone;
//! 2. the *ruleset*: calculation and compiler, then the interpreter of nf_tables' shapes;
//! 3. the *kernel*: the same ruleset in a network namespace, and a real packet on its way through it.
//!
//! They share the typed resources and nothing else, and must agree on the verdict, the stage, the reason and the log
//! lines of every packet. What disagrees is made small ([`shrink()`]) and written as a [`Case`] that tests replay.
//!
//! Not compared, because the lab cannot make it: translated packets of known flows, forwarded fragments, source NAT,
//! VRFs; and in IPv6, ICMPv6 redirects outside of flows, on which kernels do not agree.

pub mod case;
pub mod features;
pub mod lab;
pub mod order;
pub mod roads;
pub mod search;
mod shrink;

pub use case::Case;
pub use shrink::{OF_A_PACKET, shrink};
