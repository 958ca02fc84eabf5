//! The process is killed between any two messages to the kernel, and a new one starts (A-6, E-706, E-709).
//!
//! The process is this test program once more, which runs an agent and kills itself at one point.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tortie_agent::{Agent, Programmer};
use tortie_calc::Settings;
use tortie_nftables::{Kernel, Tap};
use tortie_rules::Ruleset;
use tortie_testkit::sandbox::{die_with_parent, in_network_namespace};

use crate::host::Host;
use crate::judge::Judge;
use crate::sample::Sample;
use crate::wire::flush;
use crate::worlds::{Object, base, before_dnat, endpoint, forwarded, net_set, packets, ruleset, untracked, web};

/// The name of the test, by which the program calls itself.
const NAME: &str = "kill::killed_between_any_two_messages_the_host_is_whole_and_the_next_start_converges_a6_e706_e709";
/// The folder of the host, for the process that is killed.
const FOLDER: &str = "TORTIE_FAULTS_FOLDER";
/// The point at which it kills itself.
const POINT: &str = "TORTIE_FAULTS_POINT";
/// Points of one transition that a run takes, where it does not take all.
const SAMPLE: usize = 2;

/// Kills the process before or after a datagram is sent: point 0 is before the first, point 1 behind it, and so on.
struct Killer {
    point: usize,
    sent: AtomicUsize,
}

impl Killer {
    fn pass(&self, point: usize) {
        if point == self.point {
            kill(Pid::this(), Signal::SIGKILL).unwrap();
        }
    }
}

impl Tap for Killer {
    fn send(&self, datagram: &[u8], kernel: &dyn Fn(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        self.pass(2 * number);
        kernel(datagram)?;
        self.pass(2 * number + 1);
        Ok(())
    }
}

struct Direct;

impl Tap for Direct {}

/// The process that is killed; gives the number of points that it passed.
fn child(folder: &str, point: usize) -> usize {
    let host = Host::at(Path::new(folder));
    let killer = Arc::new(Killer { point, sent: AtomicUsize::new(0) });
    let mut agent = Agent::prepare(host.config(true)).unwrap();
    agent.set_taps(killer.clone(), Arc::new(Direct));
    agent.run().unwrap();
    2 * killer.sent.load(Ordering::SeqCst)
}

/// Runs the process; the number of points when it was not killed.
fn run_child(host: &Host, point: usize) -> Option<usize> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(FOLDER, host.path()).env(POINT, point.to_string());
    let output = die_with_parent(&mut command).output().unwrap();
    if output.status.signal() == Some(Signal::SIGKILL as i32) {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let points = text.lines().find_map(|line| line.strip_prefix("points: ")).expect("it says how many");
    Some(points.parse().unwrap())
}

/// What is stored before and after, and whether somebody removes our table before the start.
fn transitions() -> Vec<(&'static str, Vec<Object>, Vec<Object>, bool)> {
    let base = base();
    let with = |objects: Vec<Object>| {
        let old = base.iter().filter(|old| objects.iter().all(|new| (new.0, new.1) != (old.0, old.1)));
        old.cloned().chain(objects.clone()).collect::<Vec<_>>()
    };
    let stages = with(vec![untracked(), before_dnat(), forwarded()]);
    vec![
        ("first apply", Vec::new(), base.clone(), true),
        ("policy edited", base.clone(), with(vec![web(json!([8080]))]), false),
        ("set grown with rules", base.clone(), with(vec![net_set(300), web(json!([80, "8000:8099"]))]), false),
        ("endpoint added", base.clone(), with(vec![endpoint("other", "eth1")]), false),
        ("stages come", base.clone(), stages.clone(), false),
        ("stages go", stages, base.clone(), false),
        ("everything goes", base.clone(), Vec::new(), false),
        ("flushed", base.clone(), base, true),
    ]
}

#[test]
fn killed_between_any_two_messages_the_host_is_whole_and_the_next_start_converges_a6_e706_e709() {
    if let (Ok(folder), Ok(point)) = (std::env::var(FOLDER), std::env::var(POINT)) {
        println!("\npoints: {}", child(&folder, point.parse().unwrap()));
        return;
    }
    in_network_namespace(|| {
        let sample = Sample::of_environment();
        let settings = Settings { node: "n1".to_owned(), ..Settings::default() };
        let mut other = Kernel::open().unwrap();
        let mut programmer = Programmer::new(Kernel::open().unwrap(), None);
        let (mut planned, mut taken) = (0, 0);
        let start = Instant::now();
        for (salt, (name, before, after, is_flushed)) in transitions().into_iter().enumerate() {
            let host = Host::new();
            let (old, new) = (ruleset(&settings, &before), ruleset(&settings, &after));
            let seen_old = if is_flushed { Ruleset::default() } else { old.clone() };
            let mut begin = || {
                programmer.forget();
                programmer.program(&old).unwrap();
                if is_flushed {
                    flush(&mut other);
                }
            };
            host.store(&after, &[]);
            begin();
            let count = run_child(&host, usize::MAX).unwrap();
            // Generation, table, generation again, at least one transaction, and before and behind each of them.
            assert!(count >= 2 * 4, "{name}: {count}");
            let points: Vec<usize> = (0..count).collect();
            planned += count;
            for point in sample.part(SAMPLE, usize::MAX).of(&points, 200 + salt as u64) {
                begin();
                let judge = Judge::new(packets(), &seen_old, &new);
                assert_eq!(run_child(&host, point), None, "{name}: nothing was killed at point {point}");
                judge.look();
                host.once().unwrap();
                judge.look();
                judge.result().0.unwrap_or_else(|complaint| panic!("{name}, killed at {point}: {complaint}"));
                assert_eq!(host.lacks(&after), "", "{name}, killed at {point}");
                taken += 1;
            }
        }
        println!("{taken} of {planned} points, in {:?}", start.elapsed());
        assert_eq!(taken, if sample == Sample::All { planned } else { SAMPLE * transitions().len() });
    });
}
