//! The API server of tests: it starts, obeys, forgets nobody's rights, and leaves nothing behind.

use serde_json::json;
use tortie_testkit::apiserver::{ApiServer, User};

#[test]
fn rights_are_what_was_granted() {
    let server = ApiServer::shared();
    let can = |user| {
        let mut command = server.kubectl_command(user);
        command.args(["auth", "can-i", "list", "nodes"]).output().expect("kubectl runs").status.success()
    };
    assert!(can(User::Admin));
    assert!(!can(User::Agent));
    server.grant(User::Agent, "nodes", &json!([{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]));
    assert!(can(User::Agent));
    assert!(!can(User::Nobody));
    server.revoke("nodes");
    assert!(!can(User::Agent));
}

#[test]
fn a_server_that_stops_keeps_its_data_and_one_that_is_dropped_leaves_nothing() {
    let server = ApiServer::start(&["--args", "--watch-cache=false"]);
    server.apply_lax_definitions("native");
    server.kubectl_ok(&["create", "namespace", "kept"], "");
    server.kill();
    assert!(!server.kubectl(&["get", "namespace", "kept"], "").status.success());
    server.start_again();
    server.compact();
    server.pause();
    let silent = server.kubectl(&["--request-timeout", "1s", "get", "namespace", "kept"], "");
    assert!(!silent.status.success(), "a paused server answers nothing");
    server.resume();
    server.kubectl_ok(&["get", "namespace", "kept"], "");
    server.kubectl_ok(&["get", "hep"], "");

    let state = server.state().to_owned();
    assert!(server.url().starts_with("https://127.0.0.1:") && server.authority().is_file());
    drop(server);
    assert!(!state.exists(), "{} is left behind", state.display());
}
