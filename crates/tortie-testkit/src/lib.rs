//! Namespaces, probes and random worlds for tests and the demo.
//!
//! It knows nothing of policy, stores or rulesets. Nothing here ever changes the network namespace of its caller: a
//! program enters a [`sandbox`] of its own first.

pub mod generators;
pub mod probe;
pub mod sandbox;
pub mod stored;
