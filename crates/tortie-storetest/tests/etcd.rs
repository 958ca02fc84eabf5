//! Resources on etcd.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use tortie_datastore::{Kv, keys};
use tortie_storetest::EtcdStore;
use tortie_storetest::resources::World;
use tortie_testkit::etcd::Version;

fn world(version: Version) -> World {
    let server = EtcdStore::new(version);
    let store = Arc::new(server.connect());
    let spoiled = store.clone();
    World {
        store,
        prefix: "x".to_owned(),
        spoil: Box::new(move |key| {
            spoiled.put(&keys::key(key), b"{", None).unwrap();
        }),
        keep: Box::new(server),
    }
}

mod etcd_3_4 {
    use super::*;

    tortie_storetest::resource_cases!(|_case| world(Version::Debian));
}

mod etcd_recent {
    use super::*;

    tortie_storetest::resource_cases!(|_case| world(Version::Recent));
}
