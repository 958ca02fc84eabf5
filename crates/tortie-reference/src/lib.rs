//! The slow, obvious evaluator of `docs/spec/enforcement.md` appendix A: resources and one packet in, verdict and reason
//! out, for all classes of policy.
//!
//! It is written from the specification alone and shares nothing with the engine and the compiler but the typed
//! resources and the meaning of one plain selector. There are no indexes, no caches and no sets here: every question is
//! answered by looking at all objects. Read it from [`judge()`] downwards.
#![forbid(unsafe_code)]

mod endpoints;
mod judge;
mod matching;
mod world;

pub use judge::{By, Judgement, Reason, Stage, Verdict, judge};
pub use world::{Failsafe, HostAction, Settings, World};
