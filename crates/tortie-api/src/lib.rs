//! `projectcalico.org/v3` resources: kinds, keys, typed objects, decoding with positions, defaults and validation.
//!
//! Two forms of one resource live here. The *stored form* is the JSON object that the store holds, as
//! `docs/spec/datastore.md` section 2.2 says. The *typed form* ([`model`]) is what calculation, compiler and the
//! reference evaluator work on: parsed once, so that nobody behind it parses text again.
//!
//! This crate does no I/O, reads no clock and knows nothing of stores or kernels.
#![forbid(unsafe_code)]

mod causes;
mod checks;
pub mod crd;
mod decode;
pub mod defaults;
pub mod facts;
pub mod flow;
pub mod key;
pub mod kind;
pub mod limits;
pub mod lint;
pub mod model;
pub mod packet;
pub mod print;
mod problem;
mod scalar;
pub mod schema;
mod selector_hint;
mod shape;
mod source;
mod stored;
mod validate;
pub mod yaml;

pub use causes::with_causes;
pub use checks::{check_text, format_duration, is_label, is_name, nearest, parse_duration};
pub use decode::{Decoded, Document, Entry, decode, entries, identify};
pub use key::ResourceKey;
pub use kind::Kind;
pub use problem::{Fault, Joint, Position, Problem, Severity};
pub use selector_hint::selector_hint;
pub use stored::{Stored, read_stored};
pub use validate::{check_name, is_built_in};

/// The one `apiVersion` of every resource.
pub const API_VERSION: &str = "projectcalico.org/v3";

/// The name of the tier a policy is in when it names none (E-217).
pub const DEFAULT_TIER: &str = "default";

/// The annotation of a host endpoint that asks for a reverse-path check: `Strict` or `Loose` (E-466).
pub const REVERSE_PATH_ANNOTATION: &str = "tortie.dev/reversePath";

/// The built-in profile that allows everything in both directions (E-231).
pub const DEFAULT_ALLOW_PROFILE: &str = "projectcalico-default-allow";
