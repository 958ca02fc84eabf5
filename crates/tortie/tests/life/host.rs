//! A host in a network namespace of its own, with the real binary, and a neighbour in another one.
#![allow(dead_code, reason = "each program that includes this uses a part of it")]

use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources};
use tortie_testkit::sandbox::{in_network_namespace, new_network_namespace};

#[path = "../support/mod.rs"]
mod support;

pub(crate) use support::{PATIENCE, Process};

/// The host's address on `eth0`, where its neighbour is.
pub(crate) const HOST: &str = "192.0.2.1";

/// Runs `test` with a host in a network namespace of its own, which has no links but `lo`.
pub(crate) fn on_a_host(test: impl FnOnce(&Host) + Send + 'static) {
    in_network_namespace(move || {
        let host = Host(support::Host::new());
        host.sh("ip link set lo up");
        test(&host);
    });
}

/// What every host of a test can do, and what the life of an agent is watched by.
pub(crate) struct Host(support::Host);

impl Deref for Host {
    type Target = support::Host;

    fn deref(&self) -> &support::Host {
        &self.0
    }
}

/// An agent that ends with its test.
pub(crate) struct Agent(Process);

impl Agent {
    pub(crate) fn kill(mut self) {
        self.0.0.kill().unwrap();
        self.0.0.wait().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.0.id()).unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.0.0.wait().unwrap().success());
    }
}

impl Host {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an agent and does not wait for anything.
    pub(crate) fn start(&self, variables: &[(&str, &str)]) -> Agent {
        let mut command = self.command(&["agent", "--node", "n1", "--log-level", "off"]);
        Agent(Process(command.envs(variables.iter().copied()).stdin(Stdio::null()).spawn().unwrap()))
    }

    /// Starts an agent and waits until everything stored is enforced.
    pub(crate) fn agent(&self) -> Agent {
        let agent = self.start(&[]);
        self.settle();
        agent
    }

    /// Waits for the event that everything stored is enforced.
    pub(crate) fn settle(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, _, err) = self.tortie(&["status", "--wait", "--timeout", "30s"], "");
            if code == 0 {
                return;
            }
            // The agent may not have its socket yet.
            assert!(code == 7 && Instant::now() < deadline, "exit code {code}: {err}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stores what a file says; no agent is asked.
    pub(crate) fn store(&self, input: &str) {
        let (code, _, err) = self.tortie(&["apply", "-q", "-f", "-"], input);
        assert_eq!(code, 0, "{err}");
    }

    pub(crate) fn apply(&self, input: &str) {
        self.store(input);
        self.settle();
    }

    /// The store, as another program sees it.
    pub(crate) fn embedded(&self) -> Embedded {
        Embedded::open(&self.path("store.db"), Access::Write).unwrap()
    }

    /// Writes bytes straight into the store, as other programs do.
    pub(crate) fn put_raw(&self, key: &str, value: &str) {
        let key = format!("{}{key}", tortie_datastore::kv::RESOURCE_PREFIX);
        tortie_datastore::Kv::put(&self.embedded(), &key, value.as_bytes(), None).unwrap();
    }

    /// Our table without counters, sorted, and without the numbers of instances; empty when there is none.
    pub(crate) fn lines(&self) -> Vec<String> {
        let table = self.sh("nft --stateless list table inet tortie 2>/dev/null || true");
        let plain = |line: &str| {
            line.split("..").map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit())).collect::<String>()
        };
        let mut lines: Vec<String> = table.lines().map(plain).collect();
        lines.sort();
        lines
    }

    pub(crate) fn table(&self) -> String {
        self.sh("nft --stateless list table inet tortie 2>/dev/null || true")
    }

    /// What the agent says of itself.
    pub(crate) fn status(&self) -> Value {
        let (code, out, err) = self.tortie(&["status", "-o", "json"], "");
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }

    /// Waits until `is_so`; what is waited for comes by an event, which nobody outside can hear of otherwise.
    pub(crate) fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what} does not happen: {}", self.table());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until an agent answers and its status is as wanted.
    pub(crate) fn wait_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) {
        self.wait(what, || {
            let (code, out, _) = self.tortie(&["status", "-o", "json"], "");
            code == 0 && is_so(&serde_json::from_str(&out).unwrap())
        });
    }

    /// Joins the host's `eth0` to a neighbour.
    pub(crate) fn neighbour(&self) -> Neighbour {
        let neighbour = Neighbour::start();
        self.sh(&format!(
            "ip link add eth0 type veth peer name eth0 netns {}; ip addr add {HOST}/24 dev eth0; ip link set eth0 up",
            neighbour.thread
        ));
        neighbour.run(|| sh("ip link set lo up; ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up"));
        self.wait("the link", || {
            std::fs::read_to_string("/sys/class/net/eth0/operstate").is_ok_and(|state| state.trim() == "up")
                || self.sh("ip -o link show eth0").contains("LOWER_UP")
        });
        neighbour
    }
}

pub(crate) fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
pub(crate) struct Neighbour {
    /// The thread's number, by which `ip` finds its namespace.
    pub(crate) thread: i32,
    work: Sender<Work>,
}

impl Neighbour {
    pub(crate) fn start() -> Neighbour {
        let (work, receiver) = channel::<Work>();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            new_network_namespace().unwrap();
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            for work in receiver {
                work();
            }
        });
        Neighbour { thread: told.recv().unwrap(), work }
    }

    /// Starts something in the neighbour's namespace.
    pub(crate) fn spawn(&self, work: impl FnOnce() + Send + 'static) {
        self.work.send(Box::new(work)).unwrap();
    }

    /// Does something in the neighbour's namespace, and waits for it.
    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        self.spawn(move || {
            let _ = tell.send(work());
        });
        told.recv().expect("the neighbour's work ends without panic")
    }
}

pub(crate) fn endpoint(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: {name}, labels: {{role: web}}}}\n\
         spec: {{node: n1, {spec}}}\n---\n"
    )
}

pub(crate) fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )
}

/// A policy that lets UDP to `ports` in.
pub(crate) fn allow_udp(name: &str, ports: &str) -> String {
    policy(
        name,
        &format!(
            "{{selector: \"role == 'web'\", ingress: [{{action: Allow, protocol: UDP, destination: {{ports: [{ports}]}}}}]}}"
        ),
    )
}

/// A change of the store, for those who write fast.
pub(crate) fn change(kind: Kind, name: &str, spec: Value) -> Change {
    let value: Map<String, Value> = json!({"metadata": {"name": name}, "spec": spec}).as_object().unwrap().clone();
    Change { mode: Mode::Apply, key: ResourceKey::global(kind, name), value, resource_version: None }
}

pub(crate) fn write(store: &Embedded, changes: &[Change]) {
    Resources::new(store).write(changes).unwrap();
}

/// Numbers that look random and are the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `bound` (xorshift64).
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

pub(crate) fn percentile(times: &mut [Duration], at: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * at).round() as usize]
}
