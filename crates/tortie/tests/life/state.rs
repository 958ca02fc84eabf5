//! The saved state: restart, boot, store gone or locked, clean (E-701..E-709, D-11, datastore.md section 6.3).

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tortie_testkit::probe::{Answer, Transport, echo_tcp, probe};
use tortie_testkit::sandbox::new_network_namespace;

use crate::host::{Host, allow_udp, endpoint, on_a_host};

const WEB: &str = "globalnetworkpolicies/web";
/// What Calico's tools would never write, and other programs do.
const BAD: &str =
    r#"{"metadata":{"name":"web"},"spec":{"ingress":[{"action":"Allow","source":{"nets":["10.0.0.0/33"]}}]}}"#;

fn with_links(test: impl FnOnce(&Host) + Send + 'static) {
    on_a_host(|host| {
        host.sh("ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up");
        host.store(&endpoint("h", "interfaceName: eth0"));
        host.store(&allow_udp("web", "8055"));
        test(host);
    });
}

fn restore(host: &Host, variables: &[(&str, &str)]) -> String {
    let output =
        host.command(&["agent", "--restore", "--log-level", "error"]).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn remove_table(host: &Host) {
    host.sh("nft delete table inet tortie");
}

/// Moves the store away; gives what brings it back.
fn hide_store(host: &Host) -> impl FnOnce() + use<> {
    let (folder, away) = (host.folder.path().to_owned(), host.path("away"));
    let all = |from: &Path, to: &Path| {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with("store.db") {
                std::fs::rename(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    all(&folder, &away);
    move || all(&away, &folder)
}

fn set_ready(host: &Host, is_ready: bool) {
    let key = "/calico/resources/v3/projectcalico.org/clusterinformations/default";
    let store = host.embedded();
    let entry = tortie_datastore::Kv::get(&store, key).unwrap().unwrap();
    let mut value: Value = serde_json::from_slice(&entry.value).unwrap();
    value["spec"]["datastoreReady"] = json!(is_ready);
    tortie_datastore::Kv::put(&store, key, value.to_string().as_bytes(), None).unwrap();
}

#[test]
fn the_saved_state_is_restored_into_an_empty_kernel_only_e708() {
    with_links(|host| {
        assert!(restore(host, &[]).contains("nothing restored, the host stays open: there is no saved state"));
        let agent = host.agent();
        let before = host.lines();
        assert!(restore_is_refused(host), "an agent runs");
        agent.stop();
        let file = host.path("agent.sock.state/state.jsonl");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(restore(host, &[]), "there are rules of Tortie already: left alone\n");
        remove_table(host);
        // Neither the store nor the interface is there before networking.
        let bring_back = hide_store(host);
        host.sh("ip link del eth0");
        assert!(restore(host, &[]).contains("restored: saved state of 2"));
        assert_eq!(host.lines(), before);
        bring_back();
        let _agent = host.agent();
        assert_eq!(host.lines(), before, "the agent goes on from there");
    });
}

fn restore_is_refused(host: &Host) -> bool {
    let (code, _, err) = host.tortie(&["agent", "--restore"], "");
    code == 1 && err.contains("another agent runs")
}

#[test]
fn a_state_that_must_not_be_used_is_said_and_never_fatal() {
    with_links(|host| {
        host.agent().stop();
        let file = host.path("agent.sock.state/state.jsonl");
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..whole.len() - 1]).unwrap();
        remove_table(host);
        let out = restore(host, &[]);
        assert!(out.contains("nothing restored, the host stays open") && out.contains("damaged"), "{out}");
        // That of another node.
        std::fs::write(&file, &whole).unwrap();
        let (code, out, err) = host.tortie(&["agent", "--restore", "--node", "n2"], "");
        assert!(code == 0 && out.contains("the saved state is that of node `n1`"), "{code} {out} {err}");
        std::fs::write(&file, "rubbish").unwrap();
        let _agent = host.agent();
        assert!(!host.lines().is_empty());
        host.wait("a new state", || std::fs::read(&file).is_ok_and(|now| now.starts_with(b"{\"format\"")));
        host.wait_status("the error to go", |status| status["kernel"]["state_error"].is_null());
    });
}

#[test]
fn a_state_that_cannot_be_written_is_said_and_the_rest_goes_on() {
    with_links(|host| {
        std::fs::write(host.path("agent.sock.state"), "no folder").unwrap();
        let _agent = host.agent();
        assert!(host.table().contains("8055"));
        host.wait_status("the error", |status| {
            status["kernel"]["state_error"].as_str().is_some_and(|text| text.contains("cannot make"))
        });
        let (_, text, _) = host.tortie(&["status"], "");
        assert!(text.contains("saved state") && text.contains("agent.sock.state"), "{text}");
        host.put_raw(WEB, BAD);
        host.settle();
        assert!(host.table().contains("8055") && host.status()["invalid"][0]["is_held"] == true);
    });
}

#[test]
fn without_a_saved_state_boot_policy_decides_e708() {
    on_a_host(|host| {
        let neighbour = host.neighbour();
        for port in [22, 8080] {
            echo_tcp(SocketAddr::from(([0, 0, 0, 0], port))).unwrap();
        }
        let ask = move |port: u16, patience_ms: u64| {
            neighbour.run(move || {
                let to = SocketAddr::from(([192, 0, 2, 1], port));
                probe(Transport::Tcp, to, Duration::from_millis(patience_ms)).unwrap()
            })
        };
        assert!(restore(host, &[("FELIX_BootPolicy", "Open")]).contains("the host stays open"));
        assert_eq!(host.table(), "");
        assert_eq!((ask(22, 20_000), ask(8080, 20_000)), (Answer::Passes, Answer::Passes));
        let out = restore(host, &[("TORTIE_bootPolicy", "FailsafeOnly")]);
        assert!(
            out.contains("restored: bootPolicy FailsafeOnly: failsafe ports only, because there is no saved"),
            "{out}"
        );
        assert_eq!((ask(22, 20_000), ask(8080, 300)), (Answer::Passes, Answer::Silence));
        // The first agent that reads the store opens the host, which has no endpoints.
        let _agent = host.agent();
        assert_eq!(ask(8080, 20_000), Answer::Passes);
    });
}

#[test]
fn while_the_store_is_away_the_saved_state_stands_in_and_is_kept_e703_e708() {
    with_links(|host| {
        host.agent().stop();
        let before = host.lines();
        let bring_back = hide_store(host);
        std::fs::write(
            host.path("store.db"),
            "this is no store, and longer than its header would be, so that nobody takes it for an empty one",
        )
        .unwrap();
        // Rules that are there stay untouched, whatever they are (E-702).
        host.sh("nft add chain inet tortie by-hand");
        let touched = host.lines();
        let agent = host.start(&[]);
        host.wait_status("lost", |status| status["store"]["state"] == "lost");
        assert_eq!(host.lines(), touched);
        agent.kill();
        remove_table(host);
        let agent = host.start(&[]);
        host.wait_status("a stand-in", |status| {
            status["kernel"]["stand_in"].as_str().is_some_and(|text| text.starts_with("saved state of 2"))
        });
        assert_eq!(host.lines(), before);
        // It is kept like any other rules.
        remove_table(host);
        host.wait("a repair", || host.lines() == before);
        std::fs::remove_file(host.path("store.db")).unwrap();
        bring_back();
        host.settle();
        assert!(host.status()["kernel"]["stand_in"].is_null());
        assert_eq!(host.lines(), before);
        drop(agent);
    });
}

#[test]
fn a_locked_store_moves_nothing_and_an_empty_kernel_is_filled_e701_e702_e703() {
    with_links(|host| {
        let agent = host.agent();
        let before = host.lines();
        set_ready(host, false);
        host.wait_status("locked", |status| status["store"]["state"] == "locked");
        host.store(&allow_udp("web", "9999"));
        agent.stop();
        let agent = host.start(&[]);
        host.wait_status("locked", |status| status["store"]["state"] == "locked");
        assert_eq!(host.lines(), before);
        assert!(host.status()["kernel"]["stand_in"].is_null());
        // Nobody's rules any more: the saved ones come, not those of the locked store.
        remove_table(host);
        host.wait("a stand-in", || host.lines() == before);
        assert!(host.status()["kernel"]["stand_in"].is_string());
        set_ready(host, true);
        host.settle();
        assert!(host.table().contains("9999") && host.status()["kernel"]["stand_in"].is_null());
        drop(agent);
    });
}

#[test]
fn a_store_that_is_lost_later_changes_nothing_and_what_comes_back_counts_e704_e705() {
    with_links(|host| {
        let _agent = host.agent();
        let before = host.lines();
        let bring_back = hide_store(host);
        host.wait_status("lost", |status| status["store"]["state"] == "lost");
        assert_eq!(host.lines(), before);
        // Links are followed and foreign hands repaired all the same.
        remove_table(host);
        host.wait("a repair", || host.lines() == before);
        bring_back();
        host.wait_status("in sync", |status| status["store"]["state"] == "in-sync");
        host.apply(&allow_udp("web", "9999"));
        assert!(host.table().contains("9999"));
    });
}

#[test]
fn a_restart_is_the_same_as_a_start_d11() {
    with_links(|host| {
        let agent = host.agent();
        // Newer than the state that was written after the first reading.
        host.apply(&allow_udp("web", "9998"));
        let before = host.lines();
        let is_held = |host: &Host| {
            let status = host.status();
            let invalid = &status["invalid"][0];
            assert_eq!(invalid["object"], "GlobalNetworkPolicy(web)", "{status}");
            invalid["is_held"] == true
        };
        // Invalid while the agent runs, which is killed as soon as it enforces that revision.
        host.put_raw(WEB, BAD);
        host.settle();
        agent.kill();
        // With an empty kernel, so that it cannot be what lay there.
        remove_table(host);
        let agent = host.agent();
        assert!(is_held(host));
        assert_eq!(host.lines(), before);
        // Valid, then invalid while no agent runs.
        host.apply(&allow_udp("web", "9999"));
        agent.stop();
        let before = host.lines();
        host.put_raw(WEB, BAD);
        let agent = host.agent();
        assert!(is_held(host));
        assert_eq!(host.lines(), before);
        // Strict mode knows no history.
        agent.stop();
        let strict = host.start(&[("TORTIE_compatibility", "Strict")]);
        host.settle();
        assert!(!is_held(host) && !host.table().contains("GlobalNetworkPolicy web"));
        strict.stop();
    });
}

#[test]
fn the_state_of_another_store_is_not_used() {
    with_links(|host| {
        host.agent().stop();
        drop(hide_store(host));
        host.store(&endpoint("h", "interfaceName: eth0"));
        host.put_raw(WEB, BAD);
        let _agent = host.agent();
        let status = host.status();
        assert_eq!(status["invalid"][0]["is_held"], false, "{status}");
        assert!(!host.table().contains("GlobalNetworkPolicy web"));
    });
}

#[test]
fn the_last_valid_value_of_a_setting_is_known_after_a_restart_d12() {
    with_links(|host| {
        let configuration = |action: &str| {
            host.put_raw(
                "felixconfigurations/default",
                &json!({"metadata": {"name": "default"}, "spec": {"defaultEndpointToHostAction": action}}).to_string(),
            );
        };
        let agent = host.agent();
        let built_in = host.lines();
        configuration("Accept");
        host.settle();
        let accepting = host.lines();
        assert_ne!(accepting, built_in);
        agent.stop();
        configuration("rubbish");
        let _agent = host.agent();
        assert_eq!(host.lines(), accepting);
    });
}

#[test]
fn another_store_in_the_place_of_the_first_is_read_as_a_whole_and_has_no_history_here() {
    with_links(|host| {
        let _agent = host.agent();
        assert!(host.table().contains("8055"));
        // The same keys at the same revisions, with other contents.
        let other = tempfile::tempdir().unwrap();
        let apply = |text: &str| {
            let yaml = other.path().join("text.yaml");
            std::fs::write(&yaml, text).unwrap();
            host.sh(&format!(
                "{} apply -q -f {} --store embedded:{}",
                env!("CARGO_BIN_EXE_tortie"),
                yaml.display(),
                other.path().join("store.db").display()
            ));
        };
        apply(&endpoint("h", "interfaceName: eth0"));
        apply(&allow_udp("web", "9999"));
        drop(hide_store(host));
        host.wait_status("lost", |status| status["store"]["state"] == "lost");
        host.sh(&format!("mv {}/store.db* {}", other.path().display(), host.folder.path().display()));
        host.wait("the other store", || host.table().contains("9999") && !host.table().contains("8055"));
        host.settle();
        host.put_raw(WEB, BAD);
        host.settle();
        assert_eq!(host.status()["invalid"][0]["is_held"], true, "its own history counts");
    });
}

#[test]
fn clean_needs_the_agent_stopped_and_leaves_nothing_for_the_next_boot_e707() {
    with_links(|host| {
        let agent = host.agent();
        let (code, _, err) = host.tortie(&["clean"], "");
        assert!(code == 1 && err.contains("an agent runs here") && err.contains("stop the agent first"), "{err}");
        assert!(!host.lines().is_empty());
        agent.stop();
        let (code, out, err) = host.tortie(&["clean"], "");
        assert!(code == 0 && out.contains("removed the saved state in"), "{code} {out} {err}");
        assert_eq!(host.table(), "");
        assert!(restore(host, &[]).contains("there is no saved state"));
        assert_eq!(host.table(), "");
        let (code, out, err) = host.tortie(&["clean"], "");
        assert!(code == 0 && out.contains("there is no table inet tortie here"), "once more: {code} {out} {err}");
    });
}

/// Who cleans in the wrong namespace neither believes that the host is open now, nor loses what the next boot needs.
#[test]
fn clean_in_another_namespace_leaves_the_state_of_a_running_agent_alone_e707() {
    with_links(|host| {
        let agent = host.agent();
        let mut command = host.command(&["clean"]);
        // The thread's namespace ends with it.
        let elsewhere = std::thread::spawn(move || {
            new_network_namespace().unwrap();
            command.output().unwrap()
        });
        let output = elsewhere.join().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && err.contains("runs in another network namespace"), "{err}");
        agent.stop();
        remove_table(host);
        assert!(restore(host, &[]).contains("restored: saved state"));
    });
}

#[test]
fn a_second_agent_is_refused_whatever_its_folders_are_d13() {
    with_links(|host| {
        let _agent = host.agent();
        let (a, b) = (host.path("b.sock"), host.path("elsewhere"));
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(["agent", "--node", "n1", "--store"])
            .arg(format!("embedded:{}", host.path("b.db").display()))
            .arg("--socket")
            .arg(a)
            .arg("--state-dir")
            .arg(&b)
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && err.contains("another agent runs in this network namespace"),
            "{err}"
        );
        assert!(!b.exists(), "and has left nothing");
    });
}
