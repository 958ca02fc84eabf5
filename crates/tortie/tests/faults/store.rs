//! What a store may hold, and where it may go, while an agent runs.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_datastore::Kv;
use tortie_datastore::kv::{Op, RESOURCE_PREFIX, Txn};
use tortie_testkit::probe::{Answer, Transport, echo_tcp, probe};

use crate::host::{Host, allow_udp, endpoint, on_a_host, policy};

/// Objects of each kind that has a say in what is enforced, all of them in use.
const OBJECTS: &str = "
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: first}
spec: {order: 1, defaultAction: Pass}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: first.wall}
spec: {tier: first, selector: \"role == 'web'\", ingress: [{action: Deny, protocol: TCP, source: {selector: \"net == 'a'\"}}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkSet
metadata: {name: a, labels: {net: a}}
spec: {nets: [10.7.0.0/16]}
---
apiVersion: projectcalico.org/v3
kind: Profile
metadata: {name: p}
spec: {ingress: [{action: Allow, protocol: SCTP}]}
---
apiVersion: projectcalico.org/v3
kind: FelixConfiguration
metadata: {name: default}
spec: {failsafeInboundHostPorts: [{protocol: tcp, port: 2222}]}
---
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: h, labels: {role: web}}
spec: {node: n1, interfaceName: eth0, profiles: [p]}
---
";

/// The keys of those objects, behind the prefix of resources.
const KEYS: [&str; 6] = [
    "tiers/first",
    "globalnetworkpolicies/first.wall",
    "globalnetworksets/a",
    "profiles/p",
    "felixconfigurations/default",
    "hostendpoints/h",
];

/// Bytes without meaning: no text, no JSON, no object, and objects that say nothing valid.
fn without_meaning() -> Vec<Vec<u8>> {
    let specs = [json!({"order": "x", "node": 5, "interfaceName": [], "nets": 3, "ingress": 1})];
    let objects =
        specs.into_iter().map(|spec| json!({"metadata": {"name": "?"}, "spec": spec}).to_string().into_bytes());
    [&b"\xff\xfe\x00"[..], b"", b"{", b"[]", b"null"].into_iter().map(<[u8]>::to_vec).chain(objects).collect()
}

fn with_links(host: &Host) {
    host.sh("ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up");
    host.store(OBJECTS);
}

#[test]
fn bytes_without_meaning_leave_the_last_valid_form_of_each_kind_d11() {
    on_a_host(|host| {
        with_links(host);
        let agent = host.agent();
        let before = host.lines();
        for words in ["first.wall", "10.7.0.0/16", "SCTP", "2222"].map(str::to_lowercase) {
            let table = host.table().to_lowercase();
            assert!(table.contains(&words) || words == "sctp" && table.contains("132"), "{words}: {table}");
        }
        let store = host.embedded();
        for key in KEYS {
            let full = format!("{RESOURCE_PREFIX}{key}");
            let valid = store.get(&full).unwrap().unwrap().value;
            // Settings are valid or not one by one (D-12); nothing in the last form is one.
            let count = if key.starts_with("felix") { 5 } else { usize::MAX };
            for bytes in without_meaning().into_iter().take(count) {
                store.put(&full, &bytes, None).unwrap();
                host.settle();
                let shown = String::from_utf8_lossy(&bytes).into_owned();
                assert_eq!(host.lines(), before, "{key}: {shown}");
                let status = host.status();
                let name = key.rsplit('/').next().unwrap();
                let told = |list: &Value| list.as_array().unwrap().iter().any(|one| one.to_string().contains(name));
                let is_told = told(&status["invalid"]);
                assert!(is_told, "{key}: {shown}: {status}");
            }
            store.put(&full, &valid, None).unwrap();
            host.settle();
            assert_eq!(host.status()["invalid"], json!([]), "{key}");
        }
        assert_eq!(host.lines(), before);
        agent.stop();
    });
}

/// All six at once, then a start with an empty kernel: the same.
#[test]
fn a_start_over_a_store_without_meaning_enforces_what_was_saved_d11_e708() {
    on_a_host(|host| {
        with_links(host);
        host.agent().stop();
        let before = host.lines();
        for key in KEYS {
            host.put_raw(key, "no object at all");
        }
        host.sh("nft delete table inet tortie");
        let agent = host.agent();
        assert_eq!(host.lines(), before);
        let invalid = host.status()["invalid"].as_array().unwrap().len();
        assert_eq!(invalid, KEYS.len());
        agent.stop();
    });
}

/// The folder of the store goes away with everything in it, and comes back; real packets judge.
#[test]
fn a_folder_that_is_removed_and_comes_back_neither_opens_nor_locks_out_e704() {
    on_a_host(|host| {
        let neighbour = host.neighbour();
        for port in [22, 8080, 9090] {
            echo_tcp(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        }
        let ask = move |port: u16, patience_ms: u64| {
            let to = SocketAddr::from(([192, 0, 2, 1], port));
            neighbour.run(move || probe(Transport::Tcp, to, Duration::from_millis(patience_ms)).unwrap())
        };
        let is_whole = || {
            assert_eq!((ask(22, 20_000), ask(8080, 20_000)), (Answer::Passes, Answer::Passes), "locked out");
            assert_eq!(ask(9090, 200), Answer::Silence, "open");
        };
        host.store(&endpoint("h", "interfaceName: eth0"));
        let allow =
            "{selector: \"role == 'web'\", ingress: [{action: Allow, protocol: TCP, destination: {ports: [8080]}}]}";
        host.store(&policy("web", allow));
        let folder = host.path("stores");
        std::fs::create_dir(&folder).unwrap();
        host.sh(&format!("cd {}; mv store.db* stores; ln -s stores/store.db store.db", host.folder.path().display()));
        let agent = host.agent();
        is_whole();
        let copy = host.path("copy");
        host.sh(&format!("cp -a {} {}", folder.display(), copy.display()));
        std::fs::remove_dir_all(&folder).unwrap();
        host.wait_status("the loss", |status| {
            let message = status["store"]["message"].as_str().unwrap_or_default();
            message.contains("stores/store.db") && message.contains("was removed while in use")
        });
        is_whole();
        host.sh("nft delete table inet tortie");
        host.wait("a repair", || !host.lines().is_empty());
        is_whole();
        std::fs::rename(&copy, &folder).unwrap();
        host.settle();
        host.apply(&allow_udp("more", "8055"));
        assert!(host.table().contains("8055"));
        is_whole();
        agent.stop();
    });
}

/// Whoever removes the store while no agent runs does not open the host with the next start.
#[test]
fn an_agent_that_knew_a_store_does_not_make_an_empty_one_in_its_place_d13_e703() {
    on_a_host(|host| {
        with_links(host);
        host.agent().stop();
        let before = host.lines();
        assert!(!before.is_empty());
        let away = host.path("away");
        std::fs::create_dir(&away).unwrap();
        host.sh(&format!("mv {}/store.db* {}", host.folder.path().display(), away.display()));
        let is_told = |status: &Value| {
            let message = status["store"]["message"].as_str().unwrap_or_default();
            message.contains("store.db") && message.contains("it is missing") && message.contains("datastore init")
        };
        let agent = host.start(&[]);
        host.wait_status("the loss", is_told);
        assert_eq!(host.lines(), before);
        assert!(!host.path("store.db").exists());
        // Nobody's rules: the saved ones come.
        host.sh("nft delete table inet tortie");
        host.wait("a stand-in", || host.lines() == before);
        agent.stop();
        let (code, _, err) = host.tortie(&["agent", "--once", "--node", "n1"], "");
        assert!(code == 1 && err.contains("it is missing"), "{code} {err}");
        let agent = host.start(&[]);
        host.wait_status("the loss", is_told);
        host.sh(&format!("mv {}/store.db* {}", away.display(), host.folder.path().display()));
        host.apply(&allow_udp("more", "8055"));
        assert!(host.table().contains("8055"));
        // Who wants an empty one says so.
        host.sh(&format!("rm {}/store.db*", host.folder.path().display()));
        host.wait_status("the loss", |status| status["store"]["state"] == "lost");
        let (code, _, err) = host.tortie(&["datastore", "init"], "");
        assert_eq!(code, 0, "{err}");
        host.settle();
        assert!(!host.table().contains("8055"));
        agent.stop();
    });
}

/// A store that is there and holds nothing any more is one that lost what it held, whether an agent runs or comes.
#[test]
fn an_agent_that_knew_a_store_does_not_take_it_at_its_word_when_it_is_empty_e703() {
    on_a_host(|host| {
        with_links(host);
        let agent = host.agent();
        let before = host.lines();
        let store = host.embedded();
        let ops = store.range("").unwrap().0.into_iter().map(|entry| Op::Delete { key: entry.key }).collect();
        store.txn(&Txn { compares: vec![], ops }).unwrap();
        let is_told = |status: &Value| {
            status["store"]["message"].as_str().unwrap_or_default().contains("holds nothing, and held something before")
        };
        host.wait_status("the loss", is_told);
        assert_eq!(host.lines(), before);
        agent.stop();
        let agent = host.start(&[]);
        host.wait_status("the loss", is_told);
        assert_eq!(host.lines(), before);
        assert_eq!(store.range(RESOURCE_PREFIX).unwrap().0, [], "nobody but a person makes it anew");
        let (code, _, err) = host.tortie(&["datastore", "init"], "");
        assert_eq!(code, 0, "{err}");
        host.settle();
        assert_ne!(host.lines(), before);
        agent.stop();
    });
}
