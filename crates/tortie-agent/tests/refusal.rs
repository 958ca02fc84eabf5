//! What the kernel refuses affects itself only (E-711), and failures are retried without haste (E-712).
//!
//! Agents run in this process, in network namespaces of their own, on the real kernel; only refusals are made up.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tortie_agent::{Agent, Config, Fault};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources};
use tortie_nftables::{CommitError, Kernel};
use tortie_rules::plan::{Op, Transaction};
use tortie_rules::ruleset::{Element, Field, Match, Origin, Rule};
use tortie_testkit::sandbox::in_network_namespace;

mod support;

use support::{AgentThread, PATIENCE};

/// What the kernel is said not to take.
#[derive(Default)]
struct Refusals {
    /// Parts of rules, each as its comment and ` to PORT`.
    words: Vec<&'static str>,
    /// Whether the kernel names the operation, or refuses the transaction as a whole.
    is_named: bool,
    /// Fails so many times for want of memory.
    memory: usize,
    /// Times something was sent to the kernel.
    tries: usize,
}

struct Host {
    folder: TempDir,
    store: Arc<Embedded>,
    refusals: Arc<Mutex<Refusals>>,
}

struct Running {
    _thread: AgentThread,
    /// The number of the loop's thread.
    number: i32,
}

impl Running {
    /// Processor time of the loop (`utime` and `stime` of proc(5), in ticks of 10 ms).
    fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/self/task/{}/stat", self.number)).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        Duration::from_millis(10 * (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()))
    }
}

fn on_a_host(test: impl FnOnce(&Host) + Send + 'static) {
    in_network_namespace(|| {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Embedded::open(&folder.path().join("store.db"), Access::Write).unwrap());
        Resources::new(&*store).ensure_initialised().unwrap();
        let host = Host { folder, store, refusals: Arc::default() };
        let labels = json!({"role": "web"});
        host.write(&[change(Kind::HostEndpoint, "h", labels, json!({"node": "n1", "interfaceName": "eth0"}))]);
        test(&host);
    });
}

fn change(kind: Kind, name: &str, labels: Value, spec: Value) -> Change {
    let value: Map<String, Value> =
        json!({"metadata": {"name": name, "labels": labels}, "spec": spec}).as_object().unwrap().clone();
    Change { mode: Mode::Apply, key: ResourceKey::global(kind, name), value, resource_version: None }
}

/// A policy of two rules, the second for `port`.
fn policy(name: &str, port: u16) -> Change {
    let rule = |port: u16| json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}});
    let spec = json!({
        "tier": "default", "selector": "role == 'web'", "types": ["Ingress"], "ingress": [rule(1), rule(port)],
    });
    change(Kind::GlobalNetworkPolicy, name, json!({}), spec)
}

impl Host {
    fn write(&self, changes: &[Change]) {
        Resources::new(&*self.store).write(changes).unwrap();
    }

    fn refuse(&self, words: &[&'static str], is_named: bool) {
        let mut refusals = self.refusals.lock().unwrap();
        *refusals = Refusals { words: words.to_vec(), is_named, ..Refusals::default() };
    }

    fn tries(&self) -> usize {
        self.refusals.lock().unwrap().tries
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    fn agent(&self) -> Running {
        let refusals = self.refusals.clone();
        let fault: Fault = Arc::new(move |transaction| refusals.lock().unwrap().answer(transaction));
        let agent = Agent::prepare(Config {
            node: "n1".to_owned(),
            store: self.store.clone(),
            socket: self.socket(),
            environment: Default::default(),
            file: Default::default(),
            state_dir: self.folder.path().join("state"),
            is_once: false,
            set_log: Box::new(|_| Ok(())),
            fault: Some(fault),
            planner: None,
        })
        .unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = AgentThread::start(agent.stopper(), move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            agent.run().unwrap();
        });
        Running { _thread: thread, number: told.recv().unwrap() }
    }

    /// The status once everything stored is dealt with.
    fn settled(&self) -> Value {
        support::settled(&self.socket())
    }

    /// Objects that are refused, each with its rule and whether an older form is in force.
    fn refused(&self) -> Vec<(String, Option<String>, bool)> {
        let status = self.settled();
        let list = status["kernel"]["refused"].as_array().unwrap();
        list.iter()
            .map(|one| {
                assert!(one["message"].as_str().unwrap().contains("the kernel refused"), "{one}");
                let rule = one["rule"].as_str().map(str::to_owned);
                (one["object"].as_str().unwrap().to_owned(), rule, one["is_held"] == true)
            })
            .collect()
    }

    /// The ports that each policy lets in, as the kernel has it.
    fn ports(&self) -> Vec<(String, u16)> {
        let ruleset = Kernel::open().unwrap().read().unwrap().ruleset.unwrap_or_default();
        let mut found = Vec::new();
        let rules = ruleset.chains.values().flat_map(|chain| &chain.rules);
        let rules = rules.map(|rule| (rule.origin.comment(), port(rule)));
        let elements = ruleset.sets.values().flat_map(|set| &set.origins);
        let elements = elements.map(|(element, origins)| (origins[0].comment(), Some(port_of(element))));
        for (text, port) in rules.chain(elements) {
            let Some(name) = text.strip_prefix("policy GlobalNetworkPolicy ") else { continue };
            let Some(name) = name.strip_suffix(" ingress[1]") else { continue };
            found.push((name.to_owned(), port.unwrap()));
        }
        found.sort();
        found.dedup();
        found
    }
}

fn port(rule: &Rule) -> Option<u16> {
    rule.matches.iter().find_map(|criterion| match criterion {
        Match::Equals { field: Field::DestinationPort, value, .. } => Some(u16::from_be_bytes([value[0], value[1]])),
        _ => None,
    })
}

/// The port at the end of a key.
fn port_of(element: &Element) -> u16 {
    u16::from_be_bytes(*element.first.last_chunk().unwrap())
}

impl Refusals {
    fn answer(&mut self, transaction: &Transaction) -> Option<CommitError> {
        self.tries += 1;
        if self.memory > 0 {
            self.memory -= 1;
            return Some(CommitError::RefusedWhole(io::Error::from_raw_os_error(nix::libc::ENOMEM)));
        }
        let is_refused = |origin: &Origin, port: u16| {
            let text = format!("{} to {port}", origin.comment());
            self.words.iter().any(|word| text.contains(word))
        };
        let op = transaction.ops.iter().position(|op| match op {
            Op::AddRule { rule, .. } => is_refused(&rule.origin, port(rule).unwrap_or_default()),
            Op::AddElements { shape, elements, .. } => elements.keys().any(|element| {
                shape.origins.get(element).is_some_and(|origins| is_refused(&origins[0], port_of(element)))
            }),
            _ => false,
        })?;
        let source = io::Error::from_raw_os_error(nix::libc::EINVAL);
        Some(match self.is_named {
            true => CommitError::Refused { op, total: transaction.ops.len(), text: None, source },
            false => CommitError::RefusedWhole(source),
        })
    }
}

fn ports(list: &[(&str, u16)]) -> Vec<(String, u16)> {
    list.iter().map(|(name, port)| ((*name).to_owned(), *port)).collect()
}

#[test]
fn an_object_that_is_refused_keeps_its_last_good_form_and_the_rest_is_applied_e711() {
    for is_named in [true, false] {
        on_a_host(move |host| {
            let agent = host.agent();
            host.write(&[policy("a", 10), policy("b", 20)]);
            assert!(host.refused().is_empty());
            assert_eq!(host.ports(), ports(&[("a", 10), ("b", 20)]));

            // One of three changes of one batch, and one of them is new.
            host.refuse(&["GlobalNetworkPolicy b ingress[1] to 21"], is_named);
            host.write(&[policy("a", 11), policy("b", 21), policy("c", 31)]);
            let rule = is_named.then(|| "ingress[1]".to_owned());
            assert_eq!(host.refused(), [("GlobalNetworkPolicy(b)".to_owned(), rule.clone(), true)]);
            assert_eq!(host.ports(), ports(&[("a", 11), ("b", 20), ("c", 31)]));
            // What comes later does not wait behind it.
            host.write(&[policy("a", 12)]);
            assert_eq!(host.refused().len(), 1);
            assert_eq!(host.ports(), ports(&[("a", 12), ("b", 20), ("c", 31)]));

            // A restart, even with an empty kernel, is the same: the old form was saved.
            drop(agent);
            Kernel::open().unwrap().delete_table().unwrap();
            let agent = host.agent();
            assert_eq!(host.refused(), [("GlobalNetworkPolicy(b)".to_owned(), rule.clone(), true)]);
            assert_eq!(host.ports(), ports(&[("a", 12), ("b", 20), ("c", 31)]));
            host.refuse(&["GlobalNetworkPolicy b ingress[1] to 22"], is_named);
            host.write(&[policy("b", 22)]);
            assert_eq!(host.refused(), [("GlobalNetworkPolicy(b)".to_owned(), rule, true)]);
            assert_eq!(host.ports(), ports(&[("a", 12), ("b", 20), ("c", 31)]));
            // Once it changes it is tried again.
            host.refuse(&[], is_named);
            host.write(&[policy("b", 23)]);
            assert!(host.refused().is_empty());
            assert_eq!(host.ports(), ports(&[("a", 12), ("b", 23), ("c", 31)]));
            drop(agent);
        });
    }
}

#[test]
fn a_new_object_that_is_refused_counts_as_missing_d11() {
    for is_named in [true, false] {
        on_a_host(move |host| {
            host.refuse(&["GlobalNetworkPolicy bad"], is_named);
            host.write(&[policy("bad", 1), policy("good", 2)]);
            let _agent = host.agent();
            let rule = is_named.then(|| "ingress[0]".to_owned());
            assert_eq!(host.refused(), [("GlobalNetworkPolicy(bad)".to_owned(), rule, false)]);
            assert_eq!(host.ports(), ports(&[("good", 2)]));
        });
    }
}

#[test]
fn an_old_form_that_is_not_taken_any_more_counts_as_missing_too() {
    on_a_host(|host| {
        let _agent = host.agent();
        host.write(&[policy("a", 10), policy("b", 20)]);
        host.settled();
        host.refuse(&["GlobalNetworkPolicy b"], true);
        host.write(&[policy("a", 11), policy("b", 21)]);
        assert_eq!(host.refused(), [("GlobalNetworkPolicy(b)".to_owned(), Some("ingress[0]".to_owned()), false)]);
        assert_eq!(host.ports(), ports(&[("a", 11)]));
    });
}

#[test]
fn several_offenders_among_many_are_found_with_few_questions_e711() {
    on_a_host(|host| {
        let _agent = host.agent();
        host.settled();
        let names: Vec<String> = (0..64).map(|n| format!("p{n:02}")).collect();
        host.refuse(&["GlobalNetworkPolicy p05", "GlobalNetworkPolicy p33", "GlobalNetworkPolicy p34"], false);
        let policies = names.iter().zip(1000..).map(|(name, port)| policy(name, port));
        host.write(&policies.collect::<Vec<_>>());
        let refused: Vec<String> = host.refused().into_iter().map(|(object, ..)| object).collect();
        assert_eq!(refused, ["GlobalNetworkPolicy(p05)", "GlobalNetworkPolicy(p33)", "GlobalNetworkPolicy(p34)"]);
        assert_eq!(host.ports().len(), 61);
        // Twice each doubling for each offender, and a handful to begin and to end with.
        assert!(host.tries() <= 2 * 6 * 3 + 8, "{}", host.tries());
    });
}

#[test]
fn a_failure_that_passes_blames_nobody_and_is_retried_with_growing_pauses_e712() {
    on_a_host(|host| {
        host.write(&[policy("a", 10)]);
        host.refusals.lock().unwrap().memory = 5;
        let start = Instant::now();
        let agent = host.agent();
        assert!(host.refused().is_empty());
        assert_eq!(host.ports(), ports(&[("a", 10)]));
        // It sleeps in the pauses.
        assert!(agent.cpu() < Duration::from_millis(250), "{:?}", agent.cpu());
        // 100, 200, 400, 800 and 1600 ms at least; nothing in between.
        assert!(start.elapsed() >= Duration::from_millis(3100), "{:?}", start.elapsed());
        assert!(host.settled()["kernel"]["error"].is_null());
    });
}

#[test]
fn an_event_ends_the_pause_of_a_failure_e712() {
    on_a_host(|host| {
        host.refusals.lock().unwrap().memory = usize::MAX;
        let _agent = host.agent();
        // The pauses alone would take two minutes, longer than anybody is waited for.
        let deadline = Instant::now() + PATIENCE;
        for number in 0..16 {
            let before = host.tries();
            host.write(&[policy("a", 100 + number)]);
            while host.tries() == before {
                assert!(Instant::now() < deadline, "change {number} waits");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        host.refusals.lock().unwrap().memory = 0;
        host.write(&[policy("a", 10)]);
        host.settled();
        assert_eq!(host.ports(), ports(&[("a", 10)]));
    });
}
