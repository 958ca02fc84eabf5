//! What it costs to follow a large world in each store: `cargo bench -p tortie-storetest --bench stores --
//! [embedded|etcd|kubernetes] [--small]`.
//!
//! 10,000 host endpoints, 2,000 global policies and 500 network sets of 50 networks each. The baseline of the same run is
//! to read the same bytes without our syncer.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tortie_datastore::Store;
use tortie_storetest::scale::{
    Backend, Edit, Embedded, Etcd, Follower, Kubernetes, Size, Snapshot, populate, run_follower,
};

const CHANGES: usize = 200;
const IDLE: Duration = Duration::from_secs(10);
const STORES: [&str; 3] = ["embedded", "etcd", "kubernetes"];

fn main() {
    if run_follower() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let is_small = words.iter().any(|word| word == "--small");
    let named: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--small").collect();
    if let Some(other) = named.iter().find(|word| !STORES.contains(word)) {
        panic!("`{other}` is no store: name some of {STORES:?}, or none for all, and `--small`");
    }
    let size = if is_small { Size::SMALL } else { Size::FULL };
    let tortie = program();
    for name in STORES.into_iter().filter(|name| named.is_empty() || named.contains(name)) {
        let backend: Box<dyn Backend> = match name {
            "embedded" => Box::new(Embedded::new()),
            "etcd" => Box::new(Etcd::new()),
            _ => Box::new(Kubernetes::new()),
        };
        run(&*backend, size, &tortie);
    }
}

/// The real command, built as this bench is.
fn program() -> PathBuf {
    let arguments = ["build", "--release", "--quiet", "--package", "tortie"];
    let status = Command::new(env!("CARGO")).args(arguments).status().unwrap();
    assert!(status.success(), "cargo {arguments:?}");
    let mut folder = std::env::current_exe().unwrap();
    // Of `target/release/deps/stores-…`.
    folder.pop();
    folder.pop();
    folder.join("tortie")
}

fn run(backend: &dyn Backend, size: Size, tortie: &Path) {
    println!("\n{}: {} endpoints, {} policies, {} sets", backend.name(), size.endpoints, size.policies, size.sets);
    let start = Instant::now();
    populate(&*backend.open(), size, &|done| progress(done, size.len()));
    report("written in", &seconds(start.elapsed()));
    backend.settle(size);

    let start = Instant::now();
    let bytes = backend.plain_read();
    let plain = start.elapsed();
    report("plain read (baseline)", &format!("{}, {}", seconds(plain), megabytes(bytes as u64)));

    let before = backend.traffic(std::process::id());
    let follower = Follower::start(&backend.place());
    let snapshot = follower.snapshot();
    let all = backend.traffic(follower.pid());
    // A process counts its own reads from its beginning.
    let traffic = if backend.name() == "embedded" { all } else { all.since(before) };
    tell_snapshot(&snapshot, size, plain);
    report("  requests or reads", &format!("{}, {}", traffic.requests, megabytes(traffic.bytes)));

    changes(backend, size, &follower);
    // What was there to do is done: only what a watch takes is left.
    let before = backend.traffic(follower.pid());
    let told = follower.within(IDLE);
    let idle = backend.traffic(follower.pid()).since(before);
    assert_eq!(told, None, "nothing was changed");
    report("idle 10 s", &format!("{} requests or reads, {} bytes", idle.requests, idle.bytes));
    drop(follower);
    transfer(backend, size, tortie);
}

fn tell_snapshot(snapshot: &Snapshot, size: Size, plain: Duration) {
    let found = Size { endpoints: snapshot.endpoints, policies: snapshot.policies, sets: snapshot.sets };
    assert_eq!(found, size, "the snapshot is whole");
    let ratio = snapshot.time.as_secs_f64() / plain.as_secs_f64();
    report(
        "first snapshot",
        &format!("{} for {} objects, {ratio:.1} x plain", seconds(snapshot.time), snapshot.updates),
    );
    let memory = [
        ("before", snapshot.before_kib),
        ("with all objects", snapshot.held_kib),
        ("without", snapshot.after_kib),
        ("peak", snapshot.peak_kib),
    ];
    let memory = memory.map(|(name, kib)| format!("{name} {:.1} MB", kib as f64 / 1024.0));
    report("  resident memory", &memory.join(", "));
}

fn changes(backend: &dyn Backend, size: Size, follower: &Follower) {
    let store = backend.open();
    let before = backend.traffic(follower.pid());
    let mut times: Vec<f64> = (0..CHANGES).map(|number| change(&*store, size, number, follower)).collect();
    let traffic = backend.traffic(follower.pid()).since(before);
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    report("200 changes, write returned to delivered", &format!("p50 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.99)));
    report("  bytes for each", &(traffic.bytes / CHANGES as u64).to_string());
}

/// Milliseconds from the end of a write until it was delivered: less than none, if that came first.
fn change(store: &dyn Store, size: Size, number: usize, follower: &Follower) -> f64 {
    let edit = Edit::prepare(store, size, number);
    let key = edit.key.to_string();
    edit.make(store);
    let written = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i128;
    let seen = follower.next();
    assert_eq!(seen.objects, [key], "change {number}");
    (seen.at_ns - written) as f64 / 1e6
}

/// Out of the store and into another one, by the real command.
fn transfer(backend: &dyn Backend, size: Size, tortie: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.yaml"), folder.path().join("second.yaml"));
    let path = |file: &Path| file.to_str().unwrap().to_owned();
    let (time, output) = timed(piped(backend, tortie, &["export", "-o", &path(&first)]));
    assert!(!text(&output.stderr).contains("exported"), "no progress in a pipe: {}", text(&output.stderr));
    report("export", &format!("{}, {}", seconds(time), megabytes(std::fs::metadata(&first).unwrap().len())));
    let (_, output) = timed(on_a_terminal(backend, tortie, &["export", "-o", &path(&second)]));
    tell_progress(size, "exported", &output);
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "two exports are the same");

    let another = backend.another();
    let (time, output) = timed(on_a_terminal(&*another, tortie, &["import", "-f", &path(&first)]));
    tell_progress(size, "imported", &output);
    report("import", &seconds(time));
    let (_, output) = timed(piped(&*another, tortie, &["export", "-o", &path(&folder.path().join("third.yaml"))]));
    assert!(text(&output.stdout).contains(&format!("{} objects", size_of_export(&first))), "all of it is there");
}

/// The documents of an export.
fn size_of_export(file: &Path) -> usize {
    std::fs::read_to_string(file).unwrap().lines().filter(|line| *line == "---").count()
}

/// A line of progress has how many there are of how many; the last line that a command prints has not.
fn tell_progress(size: Size, past: &str, output: &Output) {
    let shown = text(&output.stdout);
    let line = shown.split(['\r', '\n']).rfind(|line| line.contains(&format!("{past}, ")));
    match line {
        Some(line) => {
            let (bar, counts) = line.rsplit_once(['░', '█']).unwrap();
            let width = bar.chars().filter(|character| "░█".contains(*character)).count() + 1;
            report(&format!("  progress on a terminal, {past}"), &format!("a bar of {width} characters,{counts}"));
        }
        // A small world is there before anything is drawn.
        None => assert!(size == Size::SMALL, "no progress on a terminal: {shown}"),
    }
}

fn piped(backend: &dyn Backend, tortie: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tortie);
    command.arg("datastore").args(arguments);
    backend.point(&mut command);
    command
}

/// The same on a pseudo-terminal, by script(1).
fn on_a_terminal(backend: &dyn Backend, tortie: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("script");
    let line = format!("stty cols 100; {} datastore {}", tortie.display(), arguments.join(" "));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    backend.point(&mut command);
    command
}

fn timed(mut command: Command) -> (Duration, Output) {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let time = start.elapsed();
    assert!(output.status.success(), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    (time, output)
}

fn progress(done: usize, all: usize) {
    let mut error = std::io::stderr();
    if error.is_terminal() && (done.is_multiple_of(100) || done == all) {
        // A terminal that went away is no reason to end.
        let _ = write!(error, "\r{done}/{all} written{}", if done == all { "\n" } else { "" });
    }
}

fn report(what: &str, found: &str) {
    println!("{what:<42} {found}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.2} MB", bytes as f64 / 1e6)
}
