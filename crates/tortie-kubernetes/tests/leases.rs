//! Leases and agents' reports on a real API server (D-14).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tortie_datastore::store::{Reported, Store as _};
use tortie_datastore::{KvError, kv::Watch};
use tortie_kubernetes::{Group, Kubernetes, Settings};
use tortie_testkit::apiserver::User;

use support::{PATIENCE, open, settings, shared};

const LONG: Duration = Duration::from_secs(600);

/// The administrator, with a namespace of its own for leases.
fn store_in(namespace: &str) -> std::sync::Arc<Kubernetes> {
    let made = shared().kubectl(&["get", "namespace", namespace], "").status.success();
    if !made {
        shared().kubectl_ok(&["create", "namespace", namespace], "");
    }
    let settings = settings(shared(), User::Admin, Some(Group::Native));
    open(&Settings { namespace: Some(namespace.to_owned()), ..settings })
}

#[test]
fn of_two_holders_one_has_the_lease() {
    let (one, two) = (store_in("two-holders"), store_in("two-holders"));
    assert!(one.lease("leader", "one", LONG).unwrap());
    assert!(!two.lease("leader", "two", LONG).unwrap());
    assert!(one.lease("leader", "one", LONG).unwrap(), "it is renewed");
    two.release("leader", "two").unwrap();
    assert!(!two.lease("leader", "two", LONG).unwrap(), "only its holder gives it back");
    one.release("leader", "one").unwrap();
    one.release("leader", "one").unwrap();
    assert!(two.lease("leader", "two", LONG).unwrap());
    assert!(!one.lease("leader", "one", LONG).unwrap());
    one.release("never-taken", "one").unwrap();
}

#[test]
fn of_many_at_once_one_gets_it() {
    let _first = store_in("at-once");
    let won: usize = std::thread::scope(|scope| {
        let take = |number: usize| scope.spawn(move || store_in("at-once").lease("x", &number.to_string(), LONG));
        let threads: Vec<_> = (0..6).map(take).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().unwrap().unwrap())).sum()
    });
    assert_eq!(won, 1);
}

#[test]
fn a_lease_that_is_not_renewed_is_free() {
    let (one, two) = (store_in("runs-out"), store_in("runs-out"));
    assert!(one.lease("leader", "one", Duration::from_secs(1)).unwrap());
    let begun = Instant::now();
    assert!(!two.lease("leader", "two", LONG).unwrap());
    while !two.lease("leader", "two", LONG).unwrap() {
        assert!(begun.elapsed() < PATIENCE, "it never runs out");
        std::thread::yield_now();
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(!one.lease("leader", "one", LONG).unwrap());
}

fn reports(store: &Kubernetes) -> (Watch, Receiver<Result<Reported, KvError>>) {
    let (sender, receiver) = channel();
    let sink = move |reported| match sender.send(reported) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    (store.watch_reports(Box::new(sink)).unwrap(), receiver)
}

fn next(receiver: &Receiver<Result<Reported, KvError>>) -> (String, Option<String>) {
    let reported = receiver.recv_timeout(PATIENCE).unwrap().unwrap();
    (reported.node, reported.report.map(|bytes| String::from_utf8(bytes).unwrap()))
}

#[test]
fn reports_are_told_renewed_and_run_out() {
    let store = store_in("reports");
    let told = |node: &str, report: Option<&str>| (node.to_owned(), report.map(str::to_owned));
    store.report("Node_1", b"{\"a\":1}", LONG).unwrap();
    let (watch, receiver) = reports(&store);
    assert_eq!(next(&receiver), told("Node_1", Some("{\"a\":1}")));
    store.report("Node_1", b"{\"a\":2}", LONG).unwrap();
    assert_eq!(next(&receiver), told("Node_1", Some("{\"a\":2}")));
    store.report("n2", b"{}", Duration::from_secs(1)).unwrap();
    assert_eq!(next(&receiver), told("n2", Some("{}")));
    assert_eq!(next(&receiver), told("n2", None), "its time ran out");
    store.report("n2", b"{}", LONG).unwrap();
    assert_eq!(next(&receiver), told("n2", Some("{}")));
    shared().kubectl_ok(&["delete", "lease", "tortie-agent-n2", "-n", "reports"], "");
    assert_eq!(next(&receiver), told("n2", None), "its lease was deleted");
    drop(watch);
    assert!(receiver.recv().is_err(), "nothing is told after the watch");

    let lease = shared().kubectl_ok(&["get", "lease", "-n", "reports", "-o", "json"], "");
    let lease: Value = serde_json::from_str(&lease).unwrap();
    assert_eq!(lease["items"][0]["spec"]["holderIdentity"], "Node_1");
    assert_eq!(lease["items"][0]["metadata"]["annotations"]["tortie.dev/report"], "{\"a\":2}");
}

#[test]
fn a_report_without_a_namespace_says_so() {
    let settings = settings(shared(), User::Admin, Some(Group::Native));
    let store = open(&Settings { namespace: Some("no-such-namespace".to_owned()), ..settings });
    let error = tortie_api::with_causes(&store.report("n1", b"{}", LONG).unwrap_err());
    assert!(error.contains("no-such-namespace"), "{error}");
}
