//! What can go wrong with resources.

use tortie_api::ResourceKey;
use tortie_api::limits::STORED_LEN_MAX;

use crate::kv::KvError;

/// Why resources could not be read or written. The texts up to the first colon are those of Calico's tools.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// An object of this name is there.
    #[error("resource already exists: {0}")]
    AlreadyExists(ResourceKey),
    /// There is no such object.
    #[error("resource does not exist: {0}")]
    DoesNotExist(ResourceKey),
    /// The tier of a policy does not exist.
    #[error("resource does not exist: {tier}: {policy} names it as its tier")]
    NoTier {
        /// The missing tier.
        tier: ResourceKey,
        /// The policy.
        policy: ResourceKey,
    },
    /// The object was changed by somebody else.
    #[error("update conflict: {0}")]
    Conflict(ResourceKey),
    /// This cannot be done to this object.
    #[error("operation {operation} is not supported on {id}: {reason}")]
    NotSupported {
        /// The verb.
        operation: &'static str,
        /// The object.
        id: ResourceKey,
        /// Why.
        reason: &'static str,
    },
    /// A revision that is no number.
    #[error("error with field ResourceVersion = '{0}'")]
    BadRevision(String),
    /// A revision was given where none may be.
    #[error("error with field Metadata.ResourceVersion = '{0}' (field must not be set for a Create request)")]
    RevisionOnCreate(String),
    /// What lies in the store is no object.
    #[error("failed to parse datastore entry key={key}: {cause}")]
    Unparsable {
        /// The store's key.
        key: String,
        /// Why.
        cause: String,
    },
    /// An object that no reader would take.
    #[error("object too large: {id} has {len} bytes in the store, at most {STORED_LEN_MAX} are read")]
    TooLarge {
        /// The object.
        id: ResourceKey,
        /// Its length.
        len: usize,
    },
    /// Some of the changes were made before others failed, as a store without transactions over all of them may have it.
    #[error("{done} of {all} objects were written before this one failed: {cause}")]
    Partial {
        /// The number of objects written.
        done: usize,
        /// The number that was to be written.
        all: usize,
        /// Why it ended there.
        #[source]
        cause: Box<ResourceError>,
    },
    /// The store itself.
    #[error(transparent)]
    Store(#[from] KvError),
}
