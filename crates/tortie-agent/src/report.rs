//! What the agent tells the store of itself (D-14): one small key that goes away when the agent does.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tortie_datastore::Kv;

/// Reports lie at this prefix and the node's name.
pub const REPORT_PREFIX: &str = "/tortie/v1/agents/";
/// How often a report is renewed (E-628).
const INTERVAL: Duration = Duration::from_secs(30);
/// How long it lives without being renewed.
const TTL: Duration = Duration::from_secs(90);

/// One agent's report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentReport {
    /// The node.
    pub node: String,
    /// Version of the program.
    pub version: String,
    /// The revision that is enforced; absent before the first programming.
    pub revision: Option<u64>,
    /// When this was written, RFC 3339 UTC.
    pub time: String,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// Writes reports on a thread of its own: the newest one counts, and the store may be slow or gone.
pub(crate) struct Reporter {
    sender: Option<Sender<AgentReport>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    pub(crate) fn start(kv: Arc<dyn Kv>) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("reporter".to_owned()).spawn(move || run(&*kv, &receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub(crate) fn tell(&self, report: AgentReport) {
        if let Some(sender) = &self.sender {
            // The thread ends with the sender only.
            let _ = sender.send(report);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(kv: &dyn Kv, receiver: &Receiver<AgentReport>) {
    let mut present: Option<AgentReport> = None;
    loop {
        match receiver.recv_timeout(INTERVAL) {
            Ok(report) => {
                let newest = receiver.try_iter().last().unwrap_or(report);
                let is_same = |old: &AgentReport| {
                    (&old.node, old.revision, &old.problems) == (&newest.node, newest.revision, &newest.problems)
                };
                if present.as_ref().is_some_and(is_same) {
                    continue;
                }
                present = Some(newest);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let Some(report) = &mut present else { continue };
        report.time = now();
        let key = format!("{REPORT_PREFIX}{}", report.node);
        let value = serde_json::to_vec(report).expect("a report is plain data");
        if let Err(error) = kv.put(&key, &value, Some(TTL)) {
            // Reporting is optional (datastore.md section 2.9).
            tracing::debug!("cannot report to the store: {error}");
        }
    }
}

/// The present time as RFC 3339, UTC, whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// An error with its causes, in one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
