//! Netlink of netfilter: messages and attributes as bytes, and the socket that carries them.
//!
//! Rules (`tortie-nftables`) and connection tracking (`tortie-flows`) share it. It knows no subsystem and no attribute of
//! one; links and addresses (`tortie-netmon`) speak another family and do not use it.
#![forbid(unsafe_code)]

pub mod consts;
pub mod socket;
mod tap;
pub mod wire;

pub use tap::Tap;
