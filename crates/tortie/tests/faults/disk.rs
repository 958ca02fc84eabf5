//! Full and read-only disks under the store, the saved state and the log.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::host::{Host, Process, allow_udp, endpoint, on_a_host, policy, sh};

/// A small disk in memory, seen by the present thread and what it starts.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path, size_kib: usize) -> Disk {
        std::fs::create_dir_all(folder).unwrap();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        sh("mount --make-rprivate /");
        sh(&format!("mount -t tmpfs -o size={size_kib}k,mode=0700 none {}", folder.display()));
        Disk(folder.to_owned())
    }

    /// Leaves no byte free.
    fn fill(&self) {
        let file = self.0.join("filler");
        sh(&format!("dd if=/dev/zero of={} bs=4k status=none 2>/dev/null || true", file.display()));
        assert!(std::fs::write(self.0.join("one-more"), "x".repeat(5000)).is_err(), "it is full");
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
        let _ = std::fs::remove_file(self.0.join("one-more"));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        sh(&format!("umount -l {}", self.0.display()));
    }
}

fn with_link(host: &Host) {
    host.sh("ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up");
    host.store(&endpoint("h", "interfaceName: eth0"));
    host.store(&allow_udp("web", "8055"));
}

/// A policy too large for what is left of a disk.
fn large() -> String {
    let rules: Vec<String> = (0..400)
        .map(|n| format!("{{action: Allow, protocol: UDP, source: {{nets: [10.1.{}.{}/32]}}}}", n / 200, n % 200))
        .collect();
    policy("large", &format!("{{selector: \"role == 'web'\", ingress: [{}]}}", rules.join(", ")))
}

#[test]
fn a_full_disk_under_the_store_is_named_and_what_is_enforced_stays() {
    on_a_host(|host| {
        let disk = Disk::mount(host.folder.path(), 2_000);
        with_link(host);
        let agent = host.agent();
        let before = host.lines();
        disk.fill();
        let (code, _, err) = host.tortie(&["apply", "-f", "-"], &large());
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("store.db") && err.contains("the disk is full; nothing was changed"), "{err}");
        assert_eq!(host.lines(), before);
        // Foreign hands are repaired all the same.
        host.sh("nft delete table inet tortie");
        host.wait("a repair", || host.lines() == before);
        // A start reads what is there.
        agent.kill();
        host.sh("nft delete table inet tortie");
        let agent = host.agent();
        assert_eq!(host.lines(), before);
        disk.free();
        host.apply(&large());
        assert!(host.table().contains("GlobalNetworkPolicy large"));
        agent.stop();
    });
}

#[test]
fn a_read_only_disk_under_the_store_is_named_and_what_is_enforced_stays() {
    on_a_host(|host| {
        with_link(host);
        let disk = Disk::mount(&host.path("disk"), 4_000);
        host.sh(&format!("cd {}; mv store.db* disk; ln -s disk/store.db store.db", host.folder.path().display()));
        host.agent().stop();
        let before = host.lines();
        assert!(!before.is_empty());
        let remount = |mode: &str| sh(&format!("mount -o remount,{mode} {}", disk.0.display()));
        remount("ro");
        let (code, _, err) = host.tortie(&["apply", "-f", "-"], &large());
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("disk/store.db") && err.contains("it is read-only here"), "{err}");
        let (code, out, err) = host.tortie(&["get", "globalnetworkpolicies", "-o", "name"], "");
        assert!(code == 0 && out.contains("globalnetworkpolicies/web"), "{code} {out} {err}");
        let agent = host.start(&[]);
        host.wait_status("lost", |status| status["store"]["message"].as_str().is_some_and(|t| t.contains("read-only")));
        assert_eq!(host.lines(), before);
        // Nobody's rules: the saved ones come.
        host.sh("nft delete table inet tortie");
        host.wait("a stand-in", || host.lines() == before);
        remount("rw");
        host.apply(&large());
        assert!(host.table().contains("GlobalNetworkPolicy large"));
        agent.stop();
    });
}

#[test]
fn a_full_disk_under_the_saved_state_is_named_and_leaves_the_old_one() {
    on_a_host(|host| {
        let disk = Disk::mount(&host.path("agent.sock.state"), 200);
        with_link(host);
        host.agent().stop();
        let file = host.path("agent.sock.state/state.jsonl");
        let saved = std::fs::read(&file).unwrap();
        let agent = host.agent();
        disk.fill();
        host.store(&large());
        host.settle();
        // What is held must be saved, and cannot be.
        host.put_raw("globalnetworkpolicies/web", r#"{"metadata":{"name":"web"},"spec":{"order":"rubbish"}}"#);
        host.settle();
        host.wait_status("the error", |status| {
            status["kernel"]["state_error"]
                .as_str()
                .is_some_and(|text| text.contains("state.jsonl.new") && text.contains("No space left on device"))
        });
        assert_eq!(host.status()["invalid"][0]["is_held"], json!(true));
        assert!(host.table().contains("8055") && host.table().contains("GlobalNetworkPolicy large"));
        let now = std::fs::read(&file).unwrap();
        assert!(now.starts_with(b"{\"format\"") && now.len() >= saved.len() / 2, "a whole one");
        assert!(!host.path("agent.sock.state/state.jsonl.new").exists(), "half a file takes what little room there is");
        disk.free();
        agent.stop();
        assert!(std::fs::read_to_string(&file).unwrap().contains("\"large\""), "written at the end");
    });
}

#[test]
fn a_full_disk_under_the_log_stops_nothing() {
    on_a_host(|host| {
        let disk = Disk::mount(&host.path("logs"), 64);
        with_link(host);
        disk.fill();
        let log = disk.0.join("agent.log");
        let mut command = host.command(&["agent", "--node", "n1"]);
        command.env("TORTIE_logFilePath", &log).env("TORTIE_logSeverityFile", "Debug");
        command.stdin(Stdio::null()).stderr(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let mut agent = Process(command.spawn().unwrap());
        host.settle();
        for port in 9000..9010 {
            host.apply(&allow_udp("web", &port.to_string()));
        }
        assert!(host.table().contains("9009"));
        assert!(agent.0.try_wait().unwrap().is_none(), "it runs");
        disk.free();
        host.apply(&allow_udp("web", "9011"));
        host.wait("a line in the log", || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("programmed")));
    });
}

/// The lock and the socket are all that an agent must be able to make.
#[test]
fn an_agent_that_cannot_make_its_socket_says_where() {
    on_a_host(|host| {
        with_link(host);
        let output = Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(["agent", "--node", "n1", "--socket", "/proc/no/agent.sock", "--store"])
            .arg(host.path("store.db"))
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && err.contains("`/proc/no/agent.sock`"), "{err}");
    });
}
