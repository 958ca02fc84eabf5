//! Stores of resources: the trait, the syncer, the embedded store.
