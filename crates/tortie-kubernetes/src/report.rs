//! Agents' reports: an annotation of a Lease for each node (D-14).

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tortie_api::is_name;
use tortie_datastore::KvError;
use tortie_datastore::kv::FaultKind;
use tortie_datastore::store::{ReportSink, Reported};

use crate::failure::Failure;
use crate::lease::{RESOURCE, is_written, now, object, path, path_of, seconds};
use crate::list::Want;
use crate::server::{Ask, Server};
use crate::stream::{Event, Stream};

/// The annotation with the report.
const REPORT: &str = "tortie.dev/report";
/// What the names of the leases begin with.
const PREFIX: &str = "tortie-agent-";
/// The label that finds them.
const LABEL: (&str, &str) = ("app.kubernetes.io/name", "tortie-agent");
/// What is being done, in messages.
const WRITE: &str = "write the report";
/// The same.
const WATCH: &str = "watch the reports";
/// Times a report is written again when somebody else changed the lease meanwhile.
const TRIES: usize = 5;
/// How long nobody looks when no report can run out.
const LONG: Duration = Duration::from_secs(3600);

/// The name of a node's lease. A node name that Kubernetes does not take gets a hash, so that no two nodes share one.
fn lease_name(node: &str) -> String {
    let name = format!("{PREFIX}{node}");
    if is_name(&name) {
        return name;
    }
    let is_plain = |character: &char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let plain: String = node.to_ascii_lowercase().chars().filter(is_plain).take(100).collect();
    let hash = Sha256::digest(node.as_bytes());
    let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{PREFIX}{plain}-{hash}").replace("--", "-")
}

/// Writes an agent's report.
pub(crate) async fn write(server: &Server, node: &str, report: &[u8], ttl: Duration) -> Result<(), KvError> {
    let told = |failure, verb| server.told(failure, WRITE, verb, RESOURCE.to_owned());
    let fault = |message: &str| KvError::Fault {
        store: server.place.clone(),
        action: WRITE,
        kind: FaultKind::Refused { message: message.to_owned() },
        cause: None,
    };
    let text = std::str::from_utf8(report).map_err(|_| fault("a report is text"))?;
    let namespace = server.settings.lease_namespace();
    let name = lease_name(node);
    for _ in 0..TRIES {
        let (mut lease, verb) = match server.fetch(&Ask::get(path_of(&namespace, &name))).await {
            Ok(lease) => (lease, "update"),
            Err(failure) if failure.is_code(404) => (object(&namespace, &name, json!({})), "create"),
            Err(failure) => return Err(told(failure, "get")),
        };
        lease["metadata"]["labels"][LABEL.0] = json!(LABEL.1);
        lease["metadata"]["annotations"][REPORT] = json!(text);
        lease["spec"]["holderIdentity"] = json!(node);
        lease["spec"]["leaseDurationSeconds"] = json!(seconds(ttl));
        lease["spec"]["renewTime"] = json!(now());
        let ask = match verb {
            "create" => Ask::send(Method::POST, path(&namespace), lease),
            _ => Ask::send(Method::PUT, path_of(&namespace, &name), lease),
        };
        if is_written(server.fetch(&ask).await).map_err(|failure| told(failure, verb))? {
            return Ok(());
        }
    }
    Err(fault("somebody else writes the lease of this node all the time; look for a second agent of its name"))
}

/// One node's report as it is known here.
struct Known {
    node: String,
    /// When it runs out; `None` when that was told.
    until: Option<Instant>,
}

/// Follows all reports.
pub(crate) struct Reports {
    server: Arc<Server>,
    sink: ReportSink,
    known: BTreeMap<String, Known>,
}

impl Reports {
    pub(crate) fn new(server: Arc<Server>, sink: ReportSink) -> Reports {
        Reports { server, sink, known: BTreeMap::new() }
    }

    fn ask(&self) -> Ask {
        let selector = format!("{}={}", LABEL.0, LABEL.1);
        Ask::get(path(&self.server.settings.lease_namespace())).with("labelSelector", selector)
    }

    fn told(&self, failure: Failure, verb: &'static str) -> KvError {
        self.server.told(failure, WATCH, verb, RESOURCE.to_owned())
    }

    /// Tells the reports that are there; gives the revision to go on from, or nothing when no more are wanted.
    pub(crate) async fn list(&mut self) -> Result<Option<String>, KvError> {
        let listed =
            self.server.list_all(self.ask(), Want::Fresh, &Some).await.map_err(|failure| self.told(failure, "list"))?;
        let mut before = std::mem::take(&mut self.known);
        for lease in &listed.objects {
            before.remove(lease["metadata"]["name"].as_str().unwrap_or_default());
            if self.tell(lease, true).is_break() {
                return Ok(None);
            }
        }
        for gone in before.into_values().filter(|known| known.until.is_some()) {
            if (self.sink)(Ok(Reported { node: gone.node, report: None })).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(listed.revision))
    }

    /// Tells every change until no more are wanted, `stop` comes, or something goes wrong, which is told last.
    pub(crate) async fn follow(mut self, mut revision: String, mut stop: oneshot::Receiver<()>) {
        let error = loop {
            let done = tokio::select! {
                _ = &mut stop => return,
                done = self.watch(&mut revision) => done,
            };
            match done {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return,
                Err(failure) if failure.is_expired() => match self.list().await {
                    Ok(Some(listed)) => revision = listed,
                    Ok(None) => return,
                    Err(error) => break error,
                },
                Err(failure) => match failure.repeat_after() {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => break self.told(failure, "watch"),
                },
            }
        };
        let _ended = (self.sink)(Err(error));
    }

    async fn watch(&mut self, revision: &mut String) -> Result<ControlFlow<()>, Failure> {
        let server = self.server.clone();
        let mut stream: Stream = server.watch(self.ask(), revision).await?;
        loop {
            let next = self.known.values().filter_map(|known| known.until).min();
            let wait = next.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
            let event = tokio::select! {
                event = stream.next() => event?,
                () = tokio::time::sleep(wait) => {
                    if self.run_out(Instant::now()).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    continue;
                }
            };
            let flow = match event {
                None => return Ok(ControlFlow::Continue(())),
                Some(Event::Bookmark(newer)) => {
                    *revision = newer;
                    continue;
                }
                Some(Event::Put(lease)) => {
                    revision_of(&lease, revision);
                    self.tell(&lease, false)
                }
                Some(Event::Gone(lease)) => {
                    revision_of(&lease, revision);
                    self.gone(lease["metadata"]["name"].as_str().unwrap_or_default())
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
    }

    /// Tells one report. Of a list it may have run out already, by its writer's clock.
    fn tell(&mut self, lease: &Value, is_listed: bool) -> ControlFlow<()> {
        let name = lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let node = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let Some(report) = lease["metadata"]["annotations"][REPORT].as_str().filter(|_| !node.is_empty()) else {
            return self.gone(&name);
        };
        let ttl = Duration::from_secs(lease["spec"]["leaseDurationSeconds"].as_u64().unwrap_or_default());
        let left = if is_listed { left(lease, ttl) } else { ttl };
        if left.is_zero() {
            return self.gone(&name);
        }
        self.known.insert(name, Known { node: node.to_owned(), until: Some(Instant::now() + left) });
        (self.sink)(Ok(Reported { node: node.to_owned(), report: Some(report.as_bytes().to_vec()) }))
    }

    fn gone(&mut self, name: &str) -> ControlFlow<()> {
        match self.known.remove(name).filter(|known| known.until.is_some()) {
            Some(known) => (self.sink)(Ok(Reported { node: known.node, report: None })),
            None => ControlFlow::Continue(()),
        }
    }

    /// Tells the reports that have run out.
    fn run_out(&mut self, at: Instant) -> ControlFlow<()> {
        for known in self.known.values_mut().filter(|known| known.until.is_some_and(|until| until <= at)) {
            known.until = None;
            (self.sink)(Ok(Reported { node: known.node.clone(), report: None }))?;
        }
        ControlFlow::Continue(())
    }
}

fn revision_of(object: &Value, revision: &mut String) {
    if let Some(newer) = object["metadata"]["resourceVersion"].as_str() {
        newer.clone_into(revision);
    }
}

/// The time that a report has left, by the clock of who wrote it; all of it where that clock is ahead of ours.
fn left(lease: &Value, ttl: Duration) -> Duration {
    let renewed = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let Some(renewed) = renewed else { return Duration::ZERO };
    let age = Timestamp::now().duration_since(renewed);
    match Duration::try_from(age) {
        Ok(age) => ttl.saturating_sub(age),
        Err(_) => ttl,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_lease_of_its_own() {
        assert_eq!(lease_name("node-1.example"), "tortie-agent-node-1.example");
        let (upper, under) = (lease_name("Node_1"), lease_name("node1"));
        assert_ne!(upper, under);
        for node in ["Node_1", "", "ä", &"x".repeat(300), "-", "a b/c"] {
            assert!(is_name(&lease_name(node)), "{}", lease_name(node));
        }
        assert_ne!(lease_name("A"), lease_name("a"));
    }

    #[test]
    fn an_old_report_has_no_time_left() {
        let lease = |renewed: &str| json!({"spec": {"renewTime": renewed}});
        let ttl = Duration::from_secs(90);
        assert_eq!(left(&lease("2020-01-01T00:00:00.000000Z"), ttl), Duration::ZERO);
        assert_eq!(left(&lease("2999-01-01T00:00:00.000000Z"), ttl), ttl);
        assert_eq!(left(&json!({}), ttl), Duration::ZERO);
        assert!(left(&lease(&now()), ttl) > Duration::from_secs(60));
    }
}
