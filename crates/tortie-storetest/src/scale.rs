//! A large world in each store, and what it costs to follow it: shared by the bench `stores` and the test `scale`.

mod backend;
mod follower;
mod world;

pub use backend::{Backend, Embedded, Etcd, Kubernetes, Traffic};
pub use follower::{Follower, Seen, Snapshot, run_follower};
pub use world::{Edit, Size, populate};
