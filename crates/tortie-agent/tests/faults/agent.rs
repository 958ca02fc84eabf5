//! The whole agent: what it does after a fault, and what it says of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use tortie_agent::{Boot, Config, Restored, restore};
use tortie_nftables::{CommitError, Kernel, Tap};
use tortie_rules::plan::Phase;
use tortie_testkit::sandbox::in_network_namespace;

use crate::host::Host;
use crate::judge::Judge;
use crate::netlink;
use crate::sample::Sample;
use crate::wire::{Sent, Wire, flush};
use crate::worlds::{Object, base, packets, ruleset, web};

/// Points that a run takes, where it does not take all.
const SAMPLE: usize = 24;
/// Points that a run of all takes: the whole agent is slow, and `netlink` takes every one.
const SAMPLE_OF_ALL: usize = 800;

/// Nothing in between.
pub(crate) struct Direct;

impl Tap for Direct {}

fn with_ports(ports: Value) -> Vec<Object> {
    let others = base().into_iter().filter(|object| object.1 != "web");
    others.chain([web(ports)]).collect()
}

/// One that happens once blames no object, whether the kernel was read just before or not.
#[test]
fn one_fault_of_any_message_blames_nobody_and_leaves_nothing_behind_e711_e712() {
    in_network_namespace(|| {
        let host = Host::new();
        let wire = Wire::default();
        let states = [with_ports(json!([80, 443])), with_ports(json!([80, 8080]))];
        host.store(&states[0], &[]);
        let agent = host.agent(Arc::new(wire.clone()), Arc::new(Direct));
        host.settled();
        host.wait_for("the first apply", &states[0]);

        let mut points = Vec::new();
        let mut other = Kernel::open().unwrap();
        for is_flushed in [false, true] {
            wire.arm(0, None, Box::new(|| {}));
            let wanted = if is_flushed {
                flush(&mut other);
                &states[0]
            } else {
                host.store(&states[1], &[]);
                &states[1]
            };
            host.wait_for("a clean run", wanted);
            host.settled();
            // Requests are left to `netlink`: some of them are those of whoever asks for the status.
            let sent = Sent { requests: 0, ..wire.disarm().0 };
            points.extend(netlink::points(&sent).into_iter().map(|point| (is_flushed, point)));
            host.store(&states[0], &[]);
            host.settled();
        }
        let mut present = 0;
        let sample = Sample::of_environment();
        let taken = sample.part(SAMPLE, SAMPLE_OF_ALL).of(&points, 100);
        for (is_flushed, (number, fault)) in &taken {
            let what = format!("flushed {is_flushed}, transaction {number}, {fault:?}");
            let (before, after) = (present, if *is_flushed { present } else { 1 - present });
            let settings = tortie_calc::Settings { node: "n1".to_owned(), ..Default::default() };
            let old = if *is_flushed { Default::default() } else { ruleset(&settings, &states[before]) };
            let judge = Judge::new(packets(), &old, &ruleset(&settings, &states[after]));
            agent.lines.take();
            let look = judge.clone();
            wire.arm(*number, Some(*fault), Box::new(move || look.look()));
            if *is_flushed {
                flush(&mut other);
            } else {
                host.store(&states[after], &[]);
            }
            host.wait_for(&what, &states[after]);
            let status = host.settled();
            judge.look();
            assert!(wire.disarm().1, "{what}: it did not happen");
            judge.result().0.unwrap_or_else(|complaint| panic!("{what}: {complaint}"));
            assert!(status["kernel"]["error"].is_null(), "{what}: {status}");
            assert_eq!(status["kernel"]["refused"], json!([]), "{what}: {status}");
            let lines = agent.lines.take();
            if let Some(cause) = fault.cause() {
                assert!(lines.contains(&cause), "{what}: `{cause}` is not named: {lines}");
            }
            present = after;
        }
        println!("{} of {} points", taken.len(), points.len());
        assert_eq!(taken.len(), if sample == Sample::All { SAMPLE_OF_ALL } else { SAMPLE });
    });
}

/// Loses what the kernel tells of changes, once.
#[derive(Default)]
struct Deaf(AtomicBool);

impl Tap for Deaf {
    fn receive(&self, kernel: &dyn Fn() -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
        let mut bytes = kernel()?;
        if self.0.swap(false, Ordering::SeqCst) {
            // All of the commit, which the kernel tells in several datagrams one after the other.
            while !ends_a_commit(&bytes) {
                match kernel() {
                    Ok(more) => bytes = more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                    Err(error) => return Err(error),
                }
            }
            return Err(io::Error::from_raw_os_error(nix::libc::ENOBUFS));
        }
        Ok(bytes)
    }
}

/// Whether a message of the datagram names the new generation (`NFT_MSG_NEWGEN` of `linux/netfilter/nf_tables.h`).
fn ends_a_commit(mut datagram: &[u8]) -> bool {
    const NEWGEN: u16 = 10 << 8 | 15;
    while let Some((header, _)) = datagram.split_first_chunk::<16>() {
        if u16::from_ne_bytes([header[4], header[5]]) == NEWGEN {
            return true;
        }
        let len = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        datagram = datagram.get(len.next_multiple_of(4).max(16)..).unwrap_or_default();
    }
    false
}

#[test]
fn lost_events_are_made_up_for_by_reading_and_said_e721() {
    in_network_namespace(|| {
        let host = Host::new();
        let deaf = Arc::new(Deaf::default());
        host.store(&base(), &[]);
        let agent = host.agent(Arc::new(Direct), deaf.clone());
        host.settled();
        let mut other = Kernel::open().unwrap();
        for _ in 0..10 {
            agent.lines.take();
            deaf.0.store(true, Ordering::SeqCst);
            flush(&mut other);
            host.wait_for("a repair", &base());
            host.settled();
            let lines = agent.lines.take();
            assert!(lines.contains("events of rulesets were lost"), "{lines}");
            assert!(!lines.contains("our table was changed by"), "nobody knows that: {lines}");
        }
        // What was heard and changed nothing is no repair.
        deaf.0.store(true, Ordering::SeqCst);
        let before = host.settled()["kernel"]["repairs"].clone();
        std::process::Command::new("nft").args(["add", "table", "ip", "others"]).status().unwrap();
        while deaf.0.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        while !agent.lines.take().contains("events of rulesets were lost") {
            std::thread::yield_now();
        }
        assert_eq!(host.settled()["kernel"]["repairs"], before);
    });
}

#[test]
fn a_failure_says_which_rules_are_in_force_e712() {
    in_network_namespace(|| {
        for (phase, words) in [(Phase::Turn, "the old rules stay"), (Phase::Remove, "the new rules are in force")] {
            let host = Host::new();
            let failing = Arc::new(AtomicUsize::new(0));
            let left = failing.clone();
            let fault: tortie_agent::Fault = Arc::new(move |transaction| {
                let is_due = transaction.phase == phase
                    && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                is_due.then(|| CommitError::RefusedWhole(io::Error::from_raw_os_error(nix::libc::EBUSY)))
            });
            host.store(&base(), &[]);
            let config = Config { fault: Some(fault), ..host.config(false) };
            let agent = host.agent_with(config, Arc::new(Direct), Arc::new(Direct));
            host.settled();
            // The second in a row is a failure.
            failing.store(2, Ordering::SeqCst);
            let edited = with_ports(json!([8080]));
            host.store(&edited, &[]);
            host.wait_for("the edit", &edited);
            host.settled();
            let lines = agent.lines.take();
            let error = lines.lines().find(|line| line.contains("next try in 100 ms")).unwrap_or_default();
            assert!(error.contains(words) && error.contains("Device or resource busy"), "{phase:?}: {lines}");
        }
    });
}

/// A backup is put into the place of the store while the agent runs, and the host follows it (datastore.md section 6.3).
#[test]
fn a_store_that_went_back_is_said_and_enforced() {
    in_network_namespace(|| {
        let host = Host::new();
        let (old, new) = (with_ports(json!([80])), with_ports(json!([8080])));
        host.store(&old, &[]);
        let agent = host.agent(Arc::new(Direct), Arc::new(Direct));
        host.settled();
        let backup = host.path().join("backup.db");
        host.backup(&backup);
        host.store(&new, &[]);
        host.wait_for("the edit", &new);
        for suffix in ["-wal", "-shm"] {
            std::fs::remove_file(host.path().join(format!("store.db{suffix}"))).unwrap();
        }
        std::fs::rename(&backup, host.path().join("store.db")).unwrap();
        host.wait_for("the backup", &old);
        let lines = agent.lines.take();
        assert!(lines.contains("the store went back from revision"), "{lines}");
    });
}

/// At boot nobody else would try again before the network is up.
#[test]
fn a_restore_that_fails_for_want_of_memory_tries_again_e708_e712() {
    in_network_namespace(|| {
        let host = Host::new();
        host.store(&base(), &[]);
        host.once().unwrap();
        let left = AtomicUsize::new(0);
        let failing = Arc::new(left);
        let answer = failing.clone();
        let fault: tortie_agent::Fault = Arc::new(move |_| {
            let is_due = answer.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
            is_due.then(|| CommitError::RefusedWhole(io::Error::from_raw_os_error(nix::libc::ENOMEM)))
        });
        let config = host.config(true);
        let boot = Boot {
            node: None,
            environment: &config.environment,
            file: &config.file,
            state_dir: &config.state_dir,
            fault: Some(fault),
        };
        let mut kernel = Kernel::open().unwrap();
        for (failures, is_done) in [(0, true), (3, true), (usize::MAX, false)] {
            flush(&mut kernel);
            failing.store(failures, Ordering::SeqCst);
            let done = restore(&boot, host.path());
            assert_eq!(matches!(done, Ok(Restored::StandsIn(_))), is_done, "{failures}: {done:?}");
            assert_eq!(host.lacks(&base()).is_empty(), is_done);
            if let Err(error) = done {
                assert!(error.to_string().contains("Cannot allocate memory"), "{error}");
            }
        }
    });
}

/// What was built for a turn that never came is not left lying when policy changes again.
#[test]
fn turns_that_fail_again_and_again_do_not_fill_the_kernel_e712() {
    in_network_namespace(|| {
        let host = Host::new();
        let is_failing = Arc::new(AtomicBool::new(false));
        let flag = is_failing.clone();
        let fault: tortie_agent::Fault = Arc::new(move |transaction| {
            let is_due = flag.load(Ordering::SeqCst) && transaction.phase == Phase::Turn;
            is_due.then(|| CommitError::RefusedWhole(io::Error::from_raw_os_error(nix::libc::ENOMEM)))
        });
        host.store(&base(), &[]);
        let agent =
            host.agent_with(Config { fault: Some(fault), ..host.config(false) }, Arc::new(Direct), Arc::new(Direct));
        host.settled();
        host.wait_for("the first apply", &base());
        let settings = tortie_calc::Settings { node: "n1".to_owned(), ..Default::default() };
        let mut kernel = Kernel::open().unwrap();
        is_failing.store(true, Ordering::SeqCst);
        let mut sizes = Vec::new();
        for port in 5000..5012 {
            let edited = with_ports(json!([port, 80]));
            let judge = Judge::new(packets(), &ruleset(&settings, &base()), &ruleset(&settings, &edited));
            agent.lines.take();
            host.store(&edited, &[]);
            host.wait_until("the failure", || agent.lines.peek().contains("next try in"));
            judge.look();
            judge.result().0.unwrap();
            let there = kernel.read().unwrap().ruleset.unwrap();
            sizes.push(there.chains.len() + there.sets.len());
        }
        println!("{sizes:?}");
        assert!(sizes[sizes.len() - 1] <= sizes[1], "{sizes:?}");
        is_failing.store(false, Ordering::SeqCst);
        host.wait_for("the end of the fault", &with_ports(json!([5011, 80])));
    });
}
