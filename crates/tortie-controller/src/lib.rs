//! Automatic host endpoints: from nodes and settings to the endpoints that are to be there (enforcement.md section 8).
//!
//! * [`hostendpoints`]: what is to be created, changed and deleted, as data;
//! * [`labels`]: labels of Kubernetes nodes on Calico's nodes (E-813);
//! * [`registration`]: nodes of hosts whose agents report (E-815);
//! * [`status`]: what `KubeControllersConfiguration` says of the settings in force.
//!
//! All of these are functions of their inputs: no clock, no store, no order of arrival. [`Controller`] is the loop that
//! watches a store and carries their plans out. Nothing here decides about policy.
#![forbid(unsafe_code)]

mod controller;
pub mod hostendpoints;
pub mod labels;
pub mod registration;
pub mod status;

pub use controller::{Config, Controller, ControllerError, LEASE, Timing, holder};

/// The revision of an object as users see it.
fn resource_version(object: &serde_json::Map<String, serde_json::Value>) -> Option<String> {
    object.get("metadata")?.get("resourceVersion")?.as_str().map(str::to_owned)
}
