//! Resources and the syncer (datastore.md sections 1 and 5) over each store.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use tortie_datastore::{Kv, Store, keys};
use tortie_storetest::resources::World;

/// A world of its own: values that are no JSON are put straight under their keys.
fn world<K: Kv + Clone + 'static>(store: K, keep: impl Send + 'static) -> World {
    let spoiled = store.clone();
    let store: Arc<dyn Store> = Arc::new(store);
    World {
        store,
        prefix: "x".to_owned(),
        spoil: Box::new(move |key| _ = spoiled.put(&keys::key(key), b"{", None).unwrap()),
        keep: Box::new(Mutex::new(keep)),
    }
}

mod embedded {
    use tortie_datastore::{Access, Embedded};
    use tortie_storetest::resources::World;
    use tortie_storetest::{resource_cases, spoiled_cases};

    fn world(_case: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        super::world(Embedded::open(folder.path(), Access::Write).unwrap(), folder)
    }

    resource_cases!(world);
    spoiled_cases!(world);
}

mod etcd_3_4 {
    use tortie_storetest::resources::World;
    use tortie_storetest::{EtcdStore, resource_cases, spoiled_cases};
    use tortie_testkit::etcd::Version;

    fn world(_case: &str) -> World {
        let etcd = EtcdStore::new(Version::Debian);
        super::world(etcd.connect(), etcd)
    }

    resource_cases!(world);
    spoiled_cases!(world);
}

mod etcd_recent {
    use tortie_storetest::resources::World;
    use tortie_storetest::{EtcdStore, resource_cases, spoiled_cases};
    use tortie_testkit::etcd::Version;

    fn world(_case: &str) -> World {
        let etcd = EtcdStore::new(Version::Recent);
        super::world(etcd.connect(), etcd)
    }

    resource_cases!(world);
    spoiled_cases!(world);
}
