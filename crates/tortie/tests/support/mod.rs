//! The real binary in a network namespace that vanishes with its thread.
#![allow(dead_code, reason = "each test program uses its part")]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tortie_datastore::{Access, Embedded};
use tortie_testkit::sandbox::in_network_namespace;

/// Everything below happens sooner; only a broken build waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn in_namespace(test: impl FnOnce(&Host) + Send + 'static) {
    in_network_namespace(move || {
        let host = Host::new();
        host.sh(
            "ip link set lo up; ip link add eth0 type veth peer name peer0; ip link set eth0 up; ip link set peer0 up",
        );
        test(&host);
    });
}

pub(crate) struct Host {
    pub(crate) folder: TempDir,
    /// Variables that name a store, in place of an embedded one.
    pub(crate) reach: Vec<(String, String)>,
}

/// A process that ends with its test.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Host {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), reach: Vec::new() }
    }

    pub(crate) fn sh(&self, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).output().unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        command.args(arguments).arg("--socket").arg(self.folder.path().join("agent.sock"));
        if self.reach.is_empty() {
            command.arg("--store").arg(format!("embedded:{}", self.folder.path().join("store.db").display()));
        }
        command.envs(self.reach.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The same host on another store.
    pub(crate) fn on(&self, reach: &[(&str, &str)]) -> Host {
        let reach = reach.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Host { folder: tempfile::tempdir().unwrap(), reach }
    }

    /// The status in the form of programs; null while no agent answers.
    pub(crate) fn state(&self) -> serde_json::Value {
        let (_, out, _) = self.tortie(&["status", "-o", "json"], "");
        serde_json::from_str(&out).unwrap_or_default()
    }

    /// Starts an agent; it may not be there yet.
    pub(crate) fn agent(&self, variables: &[(&str, &str)]) -> Process {
        let mut command = self.command(&["agent", "--node", "n1", "--log-level", "error"]);
        Process(command.envs(variables.iter().copied()).stdin(Stdio::null()).spawn().unwrap())
    }

    pub(crate) fn tortie(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.command(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }

    pub(crate) fn apply(&self, input: &str) {
        let (code, _, err) = self.tortie(&["apply", "-f", "-"], input);
        assert_eq!(code, 0, "{err}");
    }

    /// Waits for the event that everything stored is enforced.
    pub(crate) fn settle(&self) {
        until("the agent enforces what is stored", || {
            let (code, _, err) = self.tortie(&["status", "--wait", "--timeout", "30s"], "");
            assert!(code == 0 || code == 7, "exit code {code}: {err}");
            (code == 0).then_some(())
        });
    }

    pub(crate) fn status(&self) -> String {
        let (code, out, err) = self.tortie(&["status"], "");
        assert_eq!(code, 0, "{err}");
        out
    }

    /// The ruleset without counters: the kernel itself sends packets now and then.
    pub(crate) fn table(&self) -> String {
        self.sh("nft --stateless list ruleset")
    }

    pub(crate) fn store(&self) -> Embedded {
        Embedded::open(&self.folder.path().join("store.db"), Access::Read).unwrap()
    }
}

/// Asks again until there is an answer.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
