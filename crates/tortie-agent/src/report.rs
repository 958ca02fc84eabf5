//! What the agent tells the store of itself: its report (D-14), that its host lives (E-628), and the states of its
//! endpoints (E-740, E-741). None of these keys is a resource, so none moves the revision that others wait for (D-14).
//!
//! A thread of its own writes them: the newest state counts, and the store may be slow or gone.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tortie_datastore::Store;
use tortie_datastore::kv::{Kv, KvError, Op, Txn};
pub use tortie_datastore::report::{AgentReport, ReportedInterface};
pub use tortie_datastore::store::REPORT_PREFIX;

use crate::watching::Reports;

/// How often a report is renewed where the host's own record is switched off (E-628).
const INTERVAL: Duration = Duration::from_secs(30);
/// How long it lives without being renewed.
const TTL: Duration = Duration::from_secs(90);
/// After how many delays the states in the store are read again (E-741).
const RECHECK_DELAYS: u32 = 180;
/// The least time between two attempts while the store does not take states.
const RETRY: Duration = Duration::from_secs(10);
/// Keys that one transaction may change: etcd refuses more than 128.
const OPS_MAX: usize = 100;

/// What the loop tells the reporter.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) report: AgentReport,
    /// State by endpoint; `None` before the first programming (E-741).
    pub(crate) endpoints: Option<BTreeMap<String, &'static str>>,
    pub(crate) settings: Reports,
}

/// Writes what it is told on a thread of its own.
pub(crate) struct Reporter {
    sender: Option<Sender<Told>>,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    pub(crate) fn start(store: Arc<dyn Store>) -> std::io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("reporter".to_owned())
            .spawn(move || Writer::new(&*store).run(&receiver))?;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    pub(crate) fn tell(&self, told: Told) {
        if let Some(sender) = &self.sender {
            // The thread ends with the sender only.
            let _ = sender.send(told);
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // Had it panicked, its thread has said so.
            let _ = thread.join();
        }
    }
}

struct Writer<'a> {
    store: &'a dyn Store,
    start: Instant,
    present: Option<Told>,
    /// When the report is due; changes make it due at once.
    report_at: Instant,
    /// When the host's record is due.
    record_at: Instant,
    has_record: bool,
    /// State keys that the store is known to hold; `None` when they must be read.
    held: Option<BTreeMap<String, Vec<u8>>>,
    /// The earliest moment for writing states.
    states_at: Instant,
    /// When the states in the store are read again.
    recheck_at: Instant,
}

impl<'a> Writer<'a> {
    fn new(store: &'a dyn Store) -> Self {
        let start = Instant::now();
        Self {
            store,
            start,
            present: None,
            report_at: start,
            record_at: start,
            has_record: false,
            held: None,
            states_at: start,
            recheck_at: start,
        }
    }

    fn run(mut self, receiver: &Receiver<Told>) {
        loop {
            let received = match self.next_wake() {
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => receiver.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match received {
                Ok(told) => self.take(receiver.try_iter().last().unwrap_or(told)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = Instant::now();
            if let Some(told) = self.present.clone() {
                self.beat(&told, now);
                self.states(&told, now);
            }
        }
    }

    fn take(&mut self, told: Told) {
        if !self.present.as_ref().is_some_and(|old| says_the_same(old, &told)) {
            self.report_at = Instant::now();
        }
        self.present = Some(told);
    }

    fn next_wake(&self) -> Option<Instant> {
        let told = self.present.as_ref()?;
        let states = match wanted(told).filter(|_| self.store.keys().is_some()) {
            None => None,
            Some(wanted) if self.held.as_ref() != Some(&wanted) => Some(self.states_at),
            Some(_) if told.settings.has_endpoints => Some(self.recheck_at),
            Some(_) => None,
        };
        let record = has_record(told).then_some(self.record_at);
        [Some(self.report_at), record, states].into_iter().flatten().min()
    }

    /// Writes report and host record, those that are due, in one transaction.
    fn beat(&mut self, told: &Told, now: Instant) {
        let interval = told.settings.interval.unwrap_or(INTERVAL).max(Duration::from_secs(1));
        let ttl = if told.settings.interval.is_some() { told.settings.ttl } else { TTL };
        let ttl = ttl.max(Duration::from_secs(1));
        let node = &told.report.node;
        let time = self::now();
        let is_record = has_record(told) && self.record_at <= now;
        if !is_record && self.report_at > now {
            return;
        }
        // One write for both, where both are renewed by time.
        self.report_at = now + interval;
        let report = AgentReport { time: time.clone(), ..told.report.clone() };
        let report = serde_json::to_vec(&report).expect("a report is plain data");
        let Some(keys) = self.store.keys() else {
            self.record_at = now + interval;
            return tell(self.store.report(node, &report, ttl));
        };
        let ttl = Some(ttl);
        let mut ops = vec![Op::Put { key: format!("{REPORT_PREFIX}{node}"), value: report, ttl }];
        if is_record {
            let value = host_record(&time, now - self.start, !self.has_record);
            let folder = format!("/calico/felix/v2/no-region/host/{node}");
            ops.push(Op::Put { key: format!("{folder}/status"), value: value.clone(), ttl });
            ops.push(Op::Put { key: format!("{folder}/last_reported_status"), value, ttl: None });
            self.record_at = now + interval;
        }
        let record = ops[1..].to_vec();
        let mut result = keys.txn(&Txn { compares: Vec::new(), ops });
        // The grants of existing installations know the record only (section 2.9).
        if is_record && result.as_ref().is_err_and(KvError::is_unauthorized) {
            result = keys.txn(&Txn { compares: Vec::new(), ops: record });
        }
        self.has_record |= is_record && result.is_ok();
        tell(result);
    }

    /// Writes the states that changed, not more often than the settings allow.
    fn states(&mut self, told: &Told, now: Instant) {
        let Some(keys) = self.store.keys() else { return };
        let Some(wanted) = wanted(told) else { return };
        if self.held.is_none() && !told.settings.has_endpoints {
            // Nothing was written by this process, so nothing of it is left.
            self.held = Some(BTreeMap::new());
        }
        let is_recheck = told.settings.has_endpoints && self.recheck_at <= now;
        if !is_recheck && (self.held.as_ref() == Some(&wanted) || self.states_at > now) {
            return;
        }
        if is_recheck {
            self.held = None;
            self.recheck_at = now + jittered(told.settings.endpoint_delay.max(Duration::from_secs(1)) * RECHECK_DELAYS);
        }
        let result = self.write_states(keys, &told.report.node, &wanted);
        let delay = jittered(told.settings.endpoint_delay);
        self.states_at = now + if result.is_ok() { delay } else { delay.max(RETRY) };
        if let Err(error) = result {
            self.held = None;
            tracing::debug!("cannot write the states of endpoints: {error}");
        }
    }

    fn write_states(&mut self, keys: &dyn Kv, node: &str, wanted: &BTreeMap<String, Vec<u8>>) -> Result<(), KvError> {
        let held = match self.held.take() {
            Some(held) => held,
            None => {
                let (entries, _) = keys.range(&endpoint_prefix(node))?;
                entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
            }
        };
        for ops in changes(&held, wanted).chunks(OPS_MAX) {
            keys.txn(&Txn { compares: Vec::new(), ops: ops.to_vec() })?;
        }
        self.held = Some(wanted.clone());
        Ok(())
    }
}

/// Reporting is optional (datastore.md section 2.9).
fn tell<T>(result: Result<T, KvError>) {
    if let Err(error) = result {
        tracing::debug!("cannot report to the store: {error}");
    }
}

/// Whether what is told needs no new report before the present one is renewed by time (D-14).
fn says_the_same(old: &Told, new: &Told) -> bool {
    // What is told has no time: the writer sets it.
    old.settings == new.settings && old.report == new.report
}

/// Whether the host's record is written: never before the first programming.
fn has_record(told: &Told) -> bool {
    told.settings.interval.is_some() && told.endpoints.is_some()
}

/// State keys as they should be; `None` while nothing is known.
fn wanted(told: &Told) -> Option<BTreeMap<String, Vec<u8>>> {
    let endpoints = told.endpoints.as_ref()?;
    if !told.settings.has_endpoints {
        return Some(BTreeMap::new());
    }
    let prefix = endpoint_prefix(&told.report.node);
    let entry = |(name, state): (&String, &&str)| {
        (format!("{prefix}{}", escaped(name)), format!("{{\"status\":\"{state}\"}}").into_bytes())
    };
    Some(endpoints.iter().map(entry).collect())
}

fn changes(held: &BTreeMap<String, Vec<u8>>, wanted: &BTreeMap<String, Vec<u8>>) -> Vec<Op> {
    let stale = held.keys().filter(|key| !wanted.contains_key(*key)).map(|key| Op::Delete { key: key.clone() });
    let new = wanted.iter().filter(|(key, value)| held.get(*key) != Some(value));
    stale.chain(new.map(|(key, value)| Op::Put { key: key.clone(), value: value.clone(), ttl: None })).collect()
}

fn endpoint_prefix(node: &str) -> String {
    format!("/calico/felix/v1/host/{node}/endpoint/")
}

/// A name as a segment of a status key (datastore.md section 2.7).
fn escaped(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f")
}

fn host_record(time: &str, uptime: Duration, is_first: bool) -> Vec<u8> {
    // The order of members is that of Calico's own agent.
    format!("{{\"time\":\"{time}\",\"uptime\":{},\"first_update\":{is_first}}}", uptime.as_secs_f64()).into_bytes()
}

/// Up to 10 % more or less, so that the agents of a fleet do not write in step.
fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    // 0.9 to 1.1 in steps of a thousandth.
    time.mul_f64(0.9 + (random % 201) as f64 / 1000.0)
}

/// The present time as RFC 3339, UTC, whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(endpoints: &[(&str, &'static str)], has_endpoints: bool) -> Told {
        Told {
            report: AgentReport { node: "n1".to_owned(), ..AgentReport::default() },
            endpoints: Some(endpoints.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()),
            settings: Reports { has_endpoints, ..Reports::default() },
        }
    }

    #[test]
    fn states_lie_where_calico_looks_for_them_e741() {
        let found = wanted(&told(&[("web.eth0", "up"), ("a%b", "error")], true)).unwrap();
        let expected = [
            ("/calico/felix/v1/host/n1/endpoint/a%25b", "{\"status\":\"error\"}"),
            ("/calico/felix/v1/host/n1/endpoint/web.eth0", "{\"status\":\"up\"}"),
        ];
        let expected = expected.map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
        assert_eq!(found, BTreeMap::from(expected));
        assert_eq!(wanted(&told(&[("a", "up")], false)), Some(BTreeMap::new()), "switched off");
        assert_eq!(wanted(&Told { endpoints: None, ..told(&[], true) }), None, "before the first programming");
    }

    #[test]
    fn only_what_changed_is_written_and_stale_keys_go_e741() {
        let map = |list: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            list.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
        };
        let ops = changes(&map(&[("a", "1"), ("b", "1"), ("c", "1")]), &map(&[("a", "1"), ("b", "2"), ("d", "1")]));
        let text: Vec<String> = ops
            .iter()
            .map(|op| match op {
                Op::Put { key, value, ttl: None } => format!("put {key}={}", String::from_utf8_lossy(value)),
                Op::Put { .. } => "put with a TTL".to_owned(),
                Op::Delete { key } => format!("delete {key}"),
            })
            .collect();
        assert_eq!(text, ["delete c", "put b=2", "put d=1"]);
    }

    #[test]
    fn a_report_is_due_when_what_it_says_changes_d14() {
        let old = told(&[("a", "up")], true);
        let changed = |change: &dyn Fn(&mut Told)| {
            let mut new = old.clone();
            change(&mut new);
            !says_the_same(&old, &new)
        };
        assert!(!changed(&|_| {}));
        assert!(!changed(&|new| new.endpoints = None), "states have keys of their own");
        assert!(changed(&|new| new.report.revision = Some(7)));
        assert!(changed(&|new| new.report.problems.push("x".to_owned())));
        let eth0 = || ReportedInterface { name: "eth0".to_owned(), addresses: vec!["10.0.0.1".parse().unwrap()] };
        assert!(changed(&|new| new.report.interfaces.push(eth0())), "E-815");
    }

    #[test]
    fn the_host_record_is_that_of_calico_e628() {
        let record = host_record("2026-08-01T00:00:00Z", Duration::from_millis(1500), true);
        assert_eq!(
            String::from_utf8(record).unwrap(),
            "{\"time\":\"2026-08-01T00:00:00Z\",\"uptime\":1.5,\"first_update\":true}"
        );
    }

    #[test]
    fn jitter_stays_within_a_tenth() {
        for _ in 0..1000 {
            let time = jittered(Duration::from_secs(100));
            assert!((90..=110).contains(&time.as_secs()), "{time:?}");
        }
    }
}
