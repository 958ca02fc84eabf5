//! Namespaces, probes, random worlds and real servers for tests and the demo.
//!
//! It knows nothing of policy, stores or rulesets. Nothing here ever changes the network namespace of its caller: a
//! program enters a [`sandbox`] of its own first.

pub mod apiserver;
#[cfg(feature = "servers")]
pub mod certificates;
#[cfg(feature = "servers")]
pub mod etcd;
pub mod generators;
pub mod peers;
pub mod probe;
pub mod sandbox;
#[cfg(feature = "servers")]
pub mod server;
pub mod stored;
