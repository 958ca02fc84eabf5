//! The embedded store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod resources {
    use std::sync::Arc;

    use tortie_datastore::{Access, Embedded, Kv, keys};
    use tortie_storetest::resource_cases;
    use tortie_storetest::resources::World;

    fn world(_case: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(folder.path(), Access::Write).unwrap());
        let spoiled = store.clone();
        World {
            store,
            prefix: "x".to_owned(),
            spoil: Box::new(move |key| {
                spoiled.put(&keys::key(key), b"{", None).unwrap();
            }),
            keep: Box::new(folder),
        }
    }

    resource_cases!(world);
}
