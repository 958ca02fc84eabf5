//! Definitions and admission policies on a server that has none, and on one that has some (datastore.md section 3.7).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{change, endpoint, on, open, policy, settings, write};
use tortie_api::crd::{self, Definition, definitions};
use tortie_datastore::Store as _;
use tortie_datastore::resources::Mode;
use tortie_kubernetes::{Group, Installed, Outcome};
use tortie_testkit::apiserver::{ApiServer, User};

/// More than a busy machine needs.
const WITHIN: Duration = Duration::from_secs(60);

fn with(outcome: Outcome, installed: &[Installed]) -> Vec<&str> {
    installed.iter().filter(|one| one.outcome == outcome).map(|one| one.name.as_str()).collect()
}

#[test]
fn what_is_missing_is_installed_and_can_be_written_at_once() {
    let server = ApiServer::start(&[]);
    let store = open(&settings(&server, User::Admin, None));
    assert!(store.remarks().is_empty(), "nothing is known yet, and nobody waits for it");
    let before = store.group().unwrap();
    assert!(before.is_vacant && before.group == Group::Native, "{before:?}");

    let mut wanted = definitions(crd::Group::Native);
    let total = wanted.len();
    let object =
        json!({"apiVersion": "admissionregistration.k8s.io/v9", "kind": "Later", "metadata": {"name": "later"}});
    wanted.push(Definition { kind: "Later", name: "later".to_owned(), object });
    let installed = store.install(&wanted, WITHIN).unwrap();
    assert_eq!(with(Outcome::Created, &installed).len(), total);
    assert_eq!(with(Outcome::Unknown, &installed), ["later"], "what the server does not know is no obstacle");
    let after = store.group().unwrap();
    assert!(!after.is_vacant && !after.why.contains("neither"), "{after:?}");
    assert_eq!(store.remarks(), [format!("API group projectcalico.org/v3: {}", after.why)]);

    // Without any pause, through the admission policies that need the definitions.
    let changes = [
        change(Mode::Create, &endpoint("a"), on("n1")),
        change(Mode::Create, &policy("web"), json!({"selector": "all()"})),
    ];
    write(&store, &changes).unwrap();
    let again = store.install(&wanted, WITHIN).unwrap();
    assert_eq!(with(Outcome::Present, &again).len(), total);

    // One whose names another has: that is told, and in time.
    let mut twice = definitions(crd::Group::Native).remove(0);
    let plural = "others";
    twice.name = format!("{plural}.projectcalico.org");
    twice.object["metadata"]["name"] = json!(twice.name);
    twice.object["spec"]["names"]["plural"] = json!(plural);
    let error = store.install(&[twice], Duration::from_secs(1)).unwrap_err();
    let error = tortie_api::with_causes(&error);
    assert!(error.contains("others.projectcalico.org") && error.contains("already in use"), "{error}");
}

#[test]
fn who_may_not_install_is_told_which_right_it_takes() {
    let server = ApiServer::shared();
    let store = open(&settings(server, User::Nobody, None));
    let error = store.install(&definitions(crd::Group::Classic), WITHIN).unwrap_err();
    let error = tortie_api::with_causes(&error);
    assert!(error.contains("may not `get` `customresourcedefinitions.apiextensions.k8s.io`"), "{error}");
}
