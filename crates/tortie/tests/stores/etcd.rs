//! etcd (datastore.md sections 2 and 5, E-467, E-703, E-704).

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tortie_testkit::etcd::{Etcd, Options, PASSWORD, Version};

use crate::support::{Host, Process, in_namespace, until};
use crate::{enforced, objects, rules, wait_saved, wait_state};

/// An agent that enforces port 8001, on a server of its own.
fn on_etcd(version: Version, test: impl FnOnce(&Host, &mut Etcd) + Send + 'static) {
    in_namespace(move |host| {
        let mut etcd = Etcd::start(Options::plain(version));
        let host = host.on(&[("ETCD_ENDPOINTS", &etcd.address())]);
        host.apply(&objects(8001));
        test(&host, &mut etcd);
    });
}

#[test]
fn the_agent_follows_etcd_and_its_host_record_is_that_of_calico_e628() {
    for version in [Version::Debian, Version::Recent] {
        on_etcd(version, |host, etcd| {
            let _agent = host.agent(&[]);
            host.settle();
            assert!(rules(host).contains("8001"));
            let (code, _, err) = host.tortie(&["apply", "-f", "-", "--wait=60s"], &objects(8002));
            assert_eq!(code, 0, "{err}");
            assert!(err.contains("enforced on 1 of 1 hosts"), "{err}");
            assert!(rules(host).contains("8002"));
            let record = until("the host's record", || {
                let text = etcd.control(&["get", "--print-value-only", "/calico/felix/v2/no-region/host/n1/status"]);
                serde_json::from_str::<Value>(text.trim()).ok()
            });
            assert!(record["uptime"].is_number() && record["first_update"].is_boolean(), "{record}");
        });
    }
}

#[test]
fn what_is_enforced_stays_until_a_whole_snapshot_is_there_e703_e704() {
    on_etcd(Version::Recent, |host, etcd| {
        let (_agent, before) = enforced(host);
        etcd.save("old");
        etcd.restart();
        host.apply(&objects(8002));
        host.settle();
        let changed = rules(host);
        assert_ne!(changed, before);

        // Away, and back.
        etcd.kill();
        wait_state(host, "lost");
        assert_eq!(rules(host), changed);
        etcd.restart();
        host.settle();
        assert_eq!(rules(host), changed);

        // Back without anything: a store that lost what it held.
        etcd.save("new");
        etcd.wipe();
        until("the loss is told", || {
            let message = host.state()["store"]["message"].as_str().unwrap_or_default().to_owned();
            message.contains("holds nothing, and held something before").then_some(())
        });
        assert_eq!(rules(host), changed);

        // Back as it was, then an older backup: what it says is whole, and counts.
        etcd.restore("new");
        host.settle();
        assert_eq!(rules(host), changed);
        etcd.restore("old");
        host.settle();
        assert_eq!(rules(host), before);
    });
}

#[test]
fn an_agent_that_starts_without_its_store_restores_what_it_saved_e708() {
    on_etcd(Version::Recent, |host, etcd| {
        let (agent, before) = enforced(host);
        wait_saved(host, "8001");
        drop(agent);
        etcd.kill();
        host.sh("nft delete table inet tortie");
        let _agent = host.agent(&[]);
        wait_state(host, "lost");
        until("the saved state stands in", || host.table().contains("8001").then_some(()));
        etcd.restart();
        host.settle();
        assert_eq!(rules(host), before);
    });
}

#[test]
fn changes_that_are_compacted_away_under_an_agent_reach_it() {
    on_etcd(Version::Recent, |host, etcd| {
        let agent = host.agent(&[]);
        host.settle();
        let pid = agent.0.id();
        host.sh(&format!("kill -STOP {pid}"));
        for port in 9000..9050 {
            host.apply(&objects(port));
        }
        let header = etcd.control(&["get", "/calico/x", "-w", "json"]);
        let header: Value = serde_json::from_str(&header).unwrap();
        etcd.compact(header["header"]["revision"].as_u64().unwrap());
        host.sh(&format!("kill -CONT {pid}"));
        host.settle();
        assert!(rules(host).contains("9049"));
    });
}

#[test]
fn an_agent_with_the_role_of_existing_installations_works_and_only_its_report_is_missing() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options { has_users: true, ..Options::plain(Version::Debian) });
        let as_user = |user: &str| {
            host.on(&[("ETCD_ENDPOINTS", &etcd.address()), ("ETCD_USERNAME", user), ("ETCD_PASSWORD", PASSWORD)])
        };
        let (root, host) = (as_user("root"), as_user("agent"));
        root.apply(&objects(8001));
        let _agent = host.agent(&[]);
        host.settle();
        assert!(rules(&host).contains("8001"));
        let key = "/calico/felix/v2/no-region/host/n1/status";
        until("the host's record", || etcd.control(&["get", key]).contains("uptime").then_some(()));
        let (code, _, err) = root.tortie(&["apply", "-f", "-", "--wait=1s"], &objects(8002));
        assert!(code == 11 && err.contains("n1: unknown, its agent does not report"), "{code} {err}");
        // What it may not do is told as that.
        let (code, _, err) = host.tortie(&["apply", "-f", "-"], &objects(8003));
        assert_eq!(code, 8, "{err}");
        let (code, _, err) = as_user("nobody").tortie(&["get", "hep"], "");
        assert!(code == 8 && err.contains("nobody"), "{code} {err}");
    });
}

#[test]
fn an_existing_configuration_file_of_calico_is_enough() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options { has_tls: true, ..Options::plain(Version::Recent) });
        let client = etcd.client_certificate();
        let write = |name: &str, text: &str| {
            let path = host.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let ca = write("ca.pem", &etcd.authority().certificate());
        let (certificate, key) = (write("client.pem", &client.certificate), write("client.key", &client.key));
        let address = etcd.address();
        let config = write(
            "calicoctl.cfg",
            &format!(
                "apiVersion: projectcalico.org/v3\nkind: CalicoAPIConfig\nmetadata:\nspec:\n  datastoreType: etcdv3\n  etcdEndpoints: {address}\n  etcdCACertFile: {ca}\n  etcdCertFile: {certificate}\n  etcdKeyFile: {key}\n"
            ),
        );
        let store = format!("config:{config}");
        let host = host.on(&[("TORTIE_STORE", &store)]);
        host.apply(&objects(8001));
        let _agent = host.agent(&[]);
        host.settle();
        assert!(rules(&host).contains("8001"));
        let (code, out, _) = host.on(&[("LC_ALL", "C")]).tortie(&["--config", &config, "get", "hep"], "");
        assert!(code == 0 && out.contains("n1-eth0"), "{out}");
        // Without the certificates of the file nobody is let in.
        let bare = host.on(&[("ETCD_ENDPOINTS", &address), ("ETCD_CA_CERT_FILE", &ca)]);
        let (code, _, err) = bare.tortie(&["get", "hep"], "");
        assert_eq!(code, 8, "{err}");
    });
}

/// An agent that was there before the store was initialised knows the store again: what was last valid stays (D-11).
#[test]
fn a_store_that_was_initialised_under_an_agent_is_known_again_d11() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options::plain(Version::Recent));
        let host = host.on(&[("ETCD_ENDPOINTS", &etcd.address())]);
        let agent = host.agent(&[]);
        host.settle();
        host.apply(&objects(8001));
        host.settle();
        let before = rules(&host);
        let folder = "/calico/resources/v3/projectcalico.org";
        for key in ["hostendpoints/n1-eth0", "globalnetworkpolicies/web"] {
            etcd.control(&["put", &format!("{folder}/{key}"), "{\"spec\": {\"selector\": \"has(role\"}}"]);
        }
        host.settle();
        assert_eq!(rules(&host), before);
        drop(agent);
        let _agent = host.agent(&[]);
        host.settle();
        assert_eq!(rules(&host), before);
    });
}

/// No failsafe opens it.
const PORT: u16 = 12379;

/// A neighbour at 192.0.2.2, behind `eth0`, with a port that leads to the server.
struct Neighbour {
    /// Holds its network namespace.
    holder: Process,
    relay: Process,
    _gate: Process,
    socket: String,
}

impl Neighbour {
    fn new(host: &Host, etcd: &Etcd) -> Self {
        let socket = host.folder.path().join("etcd.sock").display().to_string();
        let to = etcd.address().replace("http://", "TCP:");
        let gate = process("socat", &[&format!("UNIX-LISTEN:{socket},fork"), &to]);
        let holder = process("unshare", &["-n", "sleep", "infinity"]);
        let pid = holder.0.id();
        let own = host.sh("readlink /proc/self/ns/net");
        until("a namespace of its own", || {
            let theirs = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (theirs.to_string_lossy() != own.trim()).then_some(())
        });
        host.sh(&format!(
            "ip addr add 192.0.2.1/24 dev eth0; ip link set peer0 netns {pid}
             nsenter -t {pid} -n sh -ec 'ip addr add 192.0.2.2/24 dev peer0; ip link set peer0 up'"
        ));
        let relay = Self::relay(pid, &socket);
        Self { holder, relay, _gate: gate, socket }
    }

    fn relay(pid: u32, socket: &str) -> Process {
        let listen = format!("TCP-LISTEN:{PORT},fork,reuseaddr");
        process("nsenter", &["-t", &pid.to_string(), "-n", "socat", &listen, &format!("UNIX-CONNECT:{socket}")])
    }

    /// Ends all connections, each of which has a process; new ones are taken.
    fn begin_anew(&mut self) {
        let group = Pid::from_raw(self.relay.0.id().cast_signed());
        killpg(group, Signal::SIGKILL).unwrap();
        self.relay.0.wait().unwrap();
        self.relay = Self::relay(self.holder.0.id(), &self.socket);
    }
}

fn process(program: &str, arguments: &[&str]) -> Process {
    Process(Command::new(program).args(arguments).stdin(Stdio::null()).process_group(0).spawn().unwrap())
}

/// A policy that lets nothing out, and one object after it that shows whether the agent still follows.
const NOTHING_OUT: &str = "
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: nothing-out}
spec: {selector: all(), types: [Egress]}
";

/// The store is behind the interface that the policy closes, at a port that no failsafe opens.
#[test]
fn no_policy_cuts_an_agent_off_from_its_store_e467() {
    in_namespace(|host| {
        let etcd = Etcd::start(Options::plain(Version::Recent));
        let local = host.on(&[("ETCD_ENDPOINTS", &etcd.address())]);
        let mut neighbour = Neighbour::new(&local, &etcd);
        let far = local.on(&[("ETCD_ENDPOINTS", &format!("http://192.0.2.2:{PORT}"))]);
        local.apply(&objects(8001));
        let agent = far.agent(&[]);
        far.settle();
        local.apply(NOTHING_OUT);
        far.settle();
        neighbour.begin_anew();
        local.apply(&objects(8002));
        far.settle();
        assert!(rules(&far).contains("8002"), "a new connection passes as well");
        assert!(rules(&far).contains("192.0.2.2"));
        drop(agent);

        // Without the favour the same policy cuts it off: that is what the favour is for.
        let agent = far.agent(&[("TORTIE_DATASTOREPIN", "Disabled")]);
        far.settle();
        assert!(!rules(&far).contains("192.0.2.2"));
        neighbour.begin_anew();
        wait_state(&far, "lost");
        drop(agent);
    });
}
