//! An embedded store.

use std::process::Stdio;
use std::time::Instant;

use crate::ENABLED;
use crate::rig::obeys_the_lock;
use crate::support::{Host, PATIENCE, Process, in_namespace};
use serde_json::{Map, Value};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::Resources;
use tortie_datastore::kv::watch_receiver;
use tortie_datastore::kv::{Kv, Revision};
use tortie_testkit::sandbox::die_with_parent;

fn host() -> Host {
    Host::new()
}

fn start(host: &Host, arguments: &[&str]) -> Process {
    let mut command = host.command(&[&["controller", "--log-level", "warn"], arguments].concat());
    Process(die_with_parent(&mut command).stdin(Stdio::null()).spawn().unwrap())
}

fn node(name: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{bgp: {{ipv4Address: 10.0.0.1/24}}}}\n"
    )
}

/// Asks again after each change of the store, whatever key it is of, until there is an answer.
fn until<T>(host: &Host, what: &str, mut ask: impl FnMut(&dyn Kv) -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let store = host.store();
    let watch = watch_receiver(&store, &["/"], Revision(1)).unwrap();
    loop {
        if let Some(answer) = ask(&store) {
            return answer;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "in vain: {what}");
        watch.next(left);
    }
}

fn endpoint(host: &Host, name: &str) -> Map<String, Value> {
    let key = ResourceKey::global(Kind::HostEndpoint, name);
    until(host, &format!("there is an endpoint {name}"), |_| {
        Resources::new(&host.store()).get(&key).ok().map(|object| object.value)
    })
}

fn leader(kv: &dyn Kv) -> Option<Vec<u8>> {
    kv.get("/tortie/v1/leases/controller").unwrap().map(|entry| entry.value)
}

#[test]
fn another_controller_goes_on_when_one_is_killed() {
    let host = host();
    host.apply(ENABLED);
    let first = start(&host, &[]);
    let dead = until(&host, "the first one has the lease", leader);
    let _second = start(&host, &[]);
    // Killed, it gives nothing back.
    drop(first);
    host.apply(&node("n1"));
    endpoint(&host, "n1-auto-hep");
    assert_ne!(leader(&host.store()), Some(dead));
}

#[test]
fn once_says_by_its_exit_code_whether_everything_is_done() {
    let host = host();
    let (code, _, err) = host.tortie(&["controller", "--once"], "");
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("tortie datastore init"), "a missing store is not made anew (D-13): {err}");
    assert!(!host.folder.path().join("store.db").exists());

    host.apply(ENABLED);
    host.apply(&node("n1"));
    let (code, out, err) = host.tortie(&["controller", "--once"], "");
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    assert_eq!(endpoint(&host, "n1-auto-hep")["spec"]["interfaceName"], "*");

    let users = "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: n2-auto-hep}\nspec: {node: n2, interfaceName: eth0}\n";
    host.apply(users);
    host.apply(&node("n2"));
    let (code, _, err) = host.tortie(&["controller", "--once"], "");
    assert_eq!(code, 6, "{err}");
    assert!(err.contains("`n2-auto-hep` without the controller's label is there"), "{err}");
}

#[test]
fn a_locked_store_is_left_alone_and_followed_again_at_once() {
    let host = host();
    host.apply(ENABLED);
    obeys_the_lock(&host, &host, |name| host.apply(&node(name)));
}

#[test]
fn a_variable_that_means_nothing_is_fatal_e801() {
    let host = host();
    host.apply(ENABLED);
    let output = host.command(&["controller", "--once"]).env("AUTO_HOST_ENDPOINTS", "yes").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("AUTO_HOST_ENDPOINTS: `yes` is neither `enabled` nor `disabled`"), "{err}");
}

#[test]
fn a_host_whose_agent_reports_gets_an_endpoint_with_its_addresses_e815() {
    in_namespace(|host| {
        host.sh("ip address add 10.0.0.1/24 dev eth0");
        host.apply(ENABLED);
        let _controller = start(host, &["--standalone"]);
        let _agent = host.agent(&[]);
        let found = endpoint(host, "n1-auto-hep");
        assert_eq!(found["spec"]["node"], "n1");
        until(host, "the endpoint has the host's address", |_| {
            (endpoint(host, "n1-auto-hep")["spec"]["expectedIPs"][0] == "10.0.0.1").then_some(())
        });
        host.sh("ip address add 10.0.0.2/24 dev eth0");
        until(host, "the endpoint has both addresses", |_| {
            let found = endpoint(host, "n1-auto-hep");
            (found["spec"]["expectedIPs"] == serde_json::json!(["10.0.0.1", "10.0.0.2"])).then_some(())
        });
        host.settle();
        assert!(host.status().contains("n1-auto-hep"), "the agent enforces it");
    });
}
