//! The cases of every store (datastore.md sections 1, 2.6, 7.1 and 8), on each of them.

use tortie_storetest::{EmbeddedStore, EtcdStore, kv_suite, writer};
use tortie_testkit::etcd::Version;

kv_suite!(embedded, EmbeddedStore::new());
kv_suite!(etcd_3_4, EtcdStore::new(Version::Debian));
kv_suite!(etcd_recent, EtcdStore::new(Version::Recent));

/// Does nothing by itself: cases run it in processes of their own.
#[test]
fn writes_until_killed() {
    writer::run();
}
