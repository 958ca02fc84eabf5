//! How fast a change reaches the kernel, and what an idle agent costs: `cargo bench -p tortie --bench latency` as root.
//!
//! A real agent runs in a network namespace of its own, on an embedded store in a temporary folder, with 100 policies. The
//! baseline of the same run is the durable write of the store alone.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run has nothing to say")]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tortie_api::{Kind, ResourceKey};
use tortie_datastore::resources::{Change, Mode};
use tortie_datastore::{Access, Embedded, Resources};
use tortie_nftables::Events;

const POLICIES: usize = 100;
const CHANGES: usize = 200;
const IDLE: Duration = Duration::from_secs(20);

fn main() {
    let bench = std::thread::spawn(|| {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("this bench needs root");
        run();
    });
    bench.join().unwrap();
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn policy(number: usize, port: usize) -> Change {
    let name = format!("p{number}");
    let value = json!({
        "metadata": {"name": name},
        "spec": {
            "tier": "default", "order": number, "selector": "role == 'web'", "types": ["Ingress"],
            "ingress": [{"action": "Allow", "protocol": "TCP", "destination": {"ports": [port]}}],
        },
    });
    change(Kind::GlobalNetworkPolicy, &name, value)
}

fn change(kind: Kind, name: &str, value: Value) -> Change {
    let value: Map<String, Value> = value.as_object().unwrap().clone();
    Change { mode: Mode::Apply, key: ResourceKey::global(kind, name), value, resource_version: None }
}

fn run() {
    for arguments in
        ["link set lo up", "link add eth0 type veth peer name peer0", "link set eth0 up", "link set peer0 up"]
    {
        let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path(), Access::Write).unwrap());
    let resources = Resources::new(&*store);
    resources.ensure_initialised().unwrap();
    let hep =
        json!({"metadata": {"name": "h", "labels": {"role": "web"}}, "spec": {"node": "n1", "interfaceName": "eth0"}});
    let mut changes = vec![change(Kind::HostEndpoint, "h", hep)];
    changes.extend((0..POLICIES).map(|number| policy(number, 1000 + number)));
    resources.write(&changes).unwrap();

    let mut events = Events::open().unwrap();
    let start = Instant::now();
    let agent = Agent(
        Command::new(env!("CARGO_BIN_EXE_tortie"))
            .args(["agent", "--node", "n1", "--log-level", "error", "--store"])
            .arg(format!("embedded:{}", folder.path().display()))
            .arg("--socket")
            .arg(folder.path().join("agent.sock"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let first = turn(&mut events, start, 2);
    println!("start of the agent to first programming, {POLICIES} policies: {:.1} ms", ms(first));
    quiet(&mut events);

    // Another file on the same disk: what a durable write costs by itself.
    let other = tempfile::tempdir().unwrap();
    let baseline = Embedded::open(other.path(), Access::Write).unwrap();
    let plain = Resources::new(&baseline);
    plain.ensure_initialised().unwrap();

    let (mut alone, mut enforced) = (Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let start = Instant::now();
        plain.write(&[policy(number % POLICIES, 20_000 + number)]).unwrap();
        alone.push(start.elapsed());

        let start = Instant::now();
        resources.write(&[policy(number % POLICIES, 20_000 + number)]).unwrap();
        // Build, then turn: the second transaction is the moment at which the rule is in force.
        enforced.push(turn(&mut events, start, 2));
        quiet(&mut events);
    }
    let ratio = |at: f64| {
        percentile(&mut enforced.clone(), at).as_secs_f64() / percentile(&mut alone.clone(), at).as_secs_f64()
    };
    for (name, times) in [("durable write alone", &alone), ("write to rule in the kernel", &enforced)] {
        let mut times = times.clone();
        let (p50, p99) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        println!("{name}, {CHANGES} one-rule changes: p50 {:.2} ms, p99 {:.2} ms", ms(p50), ms(p99));
    }
    println!("ratio of the two: p50 {:.1}, p99 {:.1}", ratio(0.5), ratio(0.99));

    let before = cpu(agent.0.id());
    std::thread::sleep(IDLE);
    let used = cpu(agent.0.id()) - before;
    println!(
        "idle agent: {:.1} MB resident, {:.3} % of a core over {} s",
        resident(agent.0.id()),
        used / IDLE.as_secs_f64() * 100.0,
        IDLE.as_secs()
    );
    let size = std::fs::metadata(env!("CARGO_BIN_EXE_tortie")).unwrap().len();
    println!("binary: {:.1} MB", size as f64 / 1e6);
}

/// Waits until our table was changed `count` times; the time since `start`.
fn turn(events: &mut Events, start: Instant, count: usize) -> Duration {
    let mut seen = 0;
    loop {
        seen += events.drain().unwrap().iter().filter(|event| event.touches_ours).count();
        if seen >= count {
            return start.elapsed();
        }
        assert!(start.elapsed() < Duration::from_secs(30), "nothing happens");
        std::hint::spin_loop();
    }
}

/// Waits until nothing was changed for a while.
fn quiet(events: &mut Events) {
    let mut since = Instant::now();
    while since.elapsed() < Duration::from_millis(40) {
        if !events.drain().unwrap().is_empty() {
            since = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn percentile(times: &mut [Duration], at: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * at).round() as usize]
}

/// Seconds of processor time (`utime` and `stime` of proc(5), in ticks of 10 ms).
fn cpu(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Resident memory in MB.
fn resident(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
