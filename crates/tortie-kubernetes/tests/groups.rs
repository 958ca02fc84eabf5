//! Objects in the API group that is not in use (datastore.md section 3.1).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tortie_datastore::resources::Mode;
use tortie_datastore::{Resources, Store as _};
use tortie_kubernetes::{Group, Kubernetes, Settings};
use tortie_testkit::apiserver::{ApiServer, User, until};

use support::{GROUPS, Mirror, agent_kinds, change, endpoint, on, open, settings, word, write};

/// A store that looks beside its group all the time.
fn store(server: &ApiServer, user: User, group: Option<Group>) -> Arc<Kubernetes> {
    let mut settings: Settings = settings(server, user, group);
    settings.waits.absent = Duration::from_millis(100);
    open(&settings)
}

/// Waits until the store, which nobody asks to look, tells so much of its groups.
fn until_remarks(store: &Kubernetes, len: usize) -> Vec<String> {
    until(&format!("{len} remarks"), || store.remarks().len() == len);
    store.remarks()
}

#[test]
fn objects_in_the_group_that_is_not_in_use_are_told() {
    let server = ApiServer::start(&[]);
    server.apply_lax_definitions(word(Group::Native));
    let native = store(&server, User::Admin, Some(Group::Native));
    write(&native, &[change(Mode::Create, &endpoint("beside"), on("n1"))]).unwrap();
    assert_eq!(native.warnings().unwrap(), [""; 0], "there is no other group");

    server.apply_lax_definitions(word(Group::Classic));
    for group in GROUPS {
        Resources::new(&*store(&server, User::Admin, Some(group))).ensure_initialised().unwrap();
    }
    assert_eq!(native.warnings().unwrap(), [""; 0], "nobody misses what every initialisation makes");
    let classic = store(&server, User::Admin, None);
    let told = classic.warnings().unwrap();
    let part = "API group projectcalico.org/v3 holds objects too, HostEndpoint `beside` is one";
    assert!(told.len() == 1 && told[0].contains(part) && told[0].contains("calicoAPIGroup"), "{told:?}");
    let nobody = store(&server, User::Nobody, Some(Group::Classic));
    assert_eq!(nobody.warnings().unwrap(), [""; 0], "who may not read is no reason to fail");

    // Whoever follows the store looks by itself.
    let mut mirror = Mirror::start(&classic, agent_kinds());
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    assert_eq!(until_remarks(&classic, 2)[1..], told);
    write(&native, &[change(Mode::Delete, &endpoint("beside"), Value::Null)]).unwrap();
    assert!(until_remarks(&classic, 1)[0].contains("has both groups"));
    assert_eq!(classic.warnings().unwrap(), [""; 0]);
}
