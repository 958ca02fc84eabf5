//! Stores of resources: the key-value contract, the embedded store, resources over a store, and the syncer.
//!
//! Bottom up:
//!
//! * [`kv`]: what a store is, in the shape of etcd: keys, one revision, transactions with compares, watches;
//! * [`embedded`]: that contract over one SQLite file that several processes share;
//! * [`keys`]: where a resource lies in a store, and what its bytes look like there;
//! * [`store`]: what a store of resources is, whatever lies behind;
//! * [`resources`]: create, update, apply, delete, get and list, alone or as one atomic batch, with the store's rules;
//! * [`syncer`]: one consistent snapshot, then every change, for an agent;
//! * [`report`]: what agents tell of themselves beside the resources;
//! * [`random`]: waits that spread many agents.
//!
//! Nothing here validates a `spec` or fills its defaults (that is `tortie-api`), calculates policy, or keeps the last
//! valid form of an object (D-11): values pass through as they were written.
#![forbid(unsafe_code)]

pub mod embedded;
pub mod keys;
pub mod kv;
pub mod random;
pub mod report;
pub mod resources;
mod sketch;
pub mod store;
pub mod syncer;

pub use embedded::{Access, Embedded};
pub use kv::{Kv, KvError, Revision};
pub use resources::{ResourceError, Resources};
pub use store::Store;
pub use syncer::{SyncEvent, Syncer};
