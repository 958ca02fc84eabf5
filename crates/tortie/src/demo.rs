//! `demo`: a host and a client in namespaces of their own, a real agent, real packets (F-1..F-15 at work).
//!
//! The process moves into new network and mount namespaces before it does anything else, so it cannot touch the
//! caller's network. The client is a second process with a network namespace of its own. Both, the agent, the store and
//! every file vanish when this process ends, however it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use tortie_api::with_causes;
use tortie_nftables::{Counter, Kernel};
use tortie_testkit::probe::{Answer, Transport, echo_tcp, echo_udp, probe};
use tortie_testkit::sandbox::{Sandbox, SandboxError, die_with_parent, new_network_namespace};

use crate::args::DemoArgs;
use crate::exit::{Code, Failure};
use crate::{client, table};

const HOST: &str = "192.168.0.1";
const CLIENT: &str = "192.168.0.10";
/// How long a packet may stay without answer before it counts as dropped.
const PATIENCE: Duration = Duration::from_millis(400);
/// How long the agent may take for a change.
const SETTLE: Duration = Duration::from_secs(30);

/// What is sent before and after each step.
struct Shot {
    what: &'static str,
    transport: Transport,
    port: u16,
    is_outward: bool,
}

const SHOTS: &[Shot] = &[
    Shot { what: "client -> host, ssh (tcp 22)", transport: Transport::Tcp, port: 22, is_outward: false },
    Shot { what: "client -> host, web (tcp 8080)", transport: Transport::Tcp, port: 8080, is_outward: false },
    Shot { what: "client -> host, some-port (tcp 1234)", transport: Transport::Tcp, port: 1234, is_outward: false },
    Shot { what: "client -> host, another-port (udp 5432)", transport: Transport::Udp, port: 5432, is_outward: false },
    Shot { what: "host -> client, dns (udp 53)", transport: Transport::Udp, port: 53, is_outward: true },
    Shot { what: "host -> client, web (tcp 8080)", transport: Transport::Tcp, port: 8080, is_outward: true },
];

/// What is done, and why anybody would.
const STEPS: &[(&str, &str, Option<&str>)] = &[
    ("nothing", "no host endpoint: the host is open", None),
    (
        "sample",
        "a host endpoint without policy denies all but failsafe ports",
        Some(include_str!("../demo/1-sample.yaml")),
    ),
    ("+ web", "a policy opens one port to everybody", Some(include_str!("../demo/2-web.yaml"))),
    ("+ database", "another one opens named ports to a labelled set", Some(include_str!("../demo/3-database.yaml"))),
    ("+ lockdown", "a third one comes first, and closes the web", Some(include_str!("../demo/4-lockdown.yaml"))),
    (
        "+ profile1",
        "the endpoint's first profile appears and allows everything outward",
        Some(include_str!("../demo/5-egress.yaml")),
    ),
];

pub(crate) fn demo(args: &DemoArgs) -> Result<Code, Failure> {
    if let Some(role) = std::env::var_os("TORTIE_DEMO_ROLE") {
        return if role == "client" { play_client() } else { Err(Failure::new(Code::Usage, "unknown role")) };
    }
    let _sandbox = Sandbox::enter().map_err(|error| {
        let code = match error {
            SandboxError::NoUserNamespace(_) => Code::NotAuthorised,
            _ => Code::General,
        };
        Failure::new(code, error.to_string())
            .with_hint("run `tortie demo` as root: it works in namespaces of its own there too")
    })?;
    let mut stage = Stage::build()?;
    let mut columns: Vec<Vec<String>> = Vec::new();
    for (number, (name, why, yaml)) in STEPS.iter().enumerate() {
        println!("step {number}: {name} - {why}");
        if let Some(yaml) = yaml {
            if args.explain {
                yaml.lines().for_each(|line| println!("  | {line}"));
            }
            stage.apply(yaml)?;
        }
        stage.settle()?;
        let mut rows = Vec::new();
        for shot in SHOTS {
            let (answer, reason) = stage.shoot(shot)?;
            rows.push(vec![shot.what.to_owned(), word(answer).to_owned(), reason]);
        }
        columns.push(rows.iter().map(|row| row[1].clone()).collect());
        print!("{}", indented(&table::render(&["PROBE", "RESULT", "WHY"], &rows, false)));
        println!();
    }
    let mut headings = vec!["PROBE"];
    headings.extend(STEPS.iter().map(|(name, ..)| *name));
    let rows: Vec<Vec<String>> = SHOTS
        .iter()
        .enumerate()
        .map(|(row, shot)| {
            std::iter::once(shot.what.to_owned()).chain(columns.iter().map(|c| c[row].clone())).collect()
        })
        .collect();
    print!("{}", table::render(&headings, &rows, false));
    Ok(Code::Success)
}

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Passes => "passes",
        Answer::Silence => "dropped",
        Answer::Refused => "refused",
    }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Code::General, format!("{what}: {}", with_causes(error)))
}

/// The host, which is this process, the client and the agent.
struct Stage {
    program: PathBuf,
    folder: PathBuf,
    kernel: Kernel,
    agent: Child,
    client: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in [&mut self.agent, &mut self.client] {
            // It may have ended by itself; what is left dies with this process.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Stage {
    fn build() -> Result<Stage, Failure> {
        // Not the program's path: it may lie in a folder that the sandbox hides.
        let program = PathBuf::from("/proc/self/exe");
        let folder = PathBuf::from("/tmp/tortie-demo");
        std::fs::create_dir_all(&folder).map_err(|error| failed("cannot make a folder", &error))?;

        let mut command = Command::new(&program);
        command.arg("demo").env("TORTIE_DEMO_ROLE", "client").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client =
            die_with_parent(&mut command).spawn().map_err(|error| failed("cannot start the client", &error))?;
        let ask = client.stdin.take().expect("it is piped");
        let mut answers = BufReader::new(client.stdout.take().expect("it is piped"));
        expect(&mut answers, "ready")?;

        let pid = client.id();
        ip("link set lo up")?;
        ip(&format!("link add eth0 type veth peer name eth0 netns {pid}"))?;
        ip(&format!("addr add {HOST}/24 dev eth0"))?;
        ip("link set eth0 up")?;
        for shot in SHOTS.iter().filter(|shot| !shot.is_outward) {
            listen(shot.transport, format!("{HOST}:{}", shot.port))?;
        }
        let mut command = Command::new(&program);
        command
            .args(["agent", "--node", "myhost", "--log-level", "error", "--store"])
            .arg(format!("embedded:{}", folder.join("store.db").display()))
            .arg("--socket")
            .arg(socket(&folder))
            .stdin(Stdio::null());
        let agent = die_with_parent(&mut command).spawn().map_err(|error| failed("cannot start the agent", &error))?;
        let kernel = Kernel::open().map_err(|error| failed("cannot read counters", &error))?;
        let mut stage = Stage { program, folder, kernel, agent, client, ask, answers };
        stage.client_says("up")?;
        // Ready when both ends of the link are: the first probe must not be lost to that.
        await_running("eth0")?;
        Ok(stage)
    }

    /// Stores a document with the command line, as a user would.
    fn apply(&self, yaml: &str) -> Result<(), Failure> {
        let mut child = Command::new(&self.program)
            .args(["apply", "--quiet", "-f", "-", "--store"])
            .arg(format!("embedded:{}", self.folder.join("store.db").display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| failed("cannot start `tortie apply`", &error))?;
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(yaml.as_bytes()).map_err(|error| failed("cannot write to `tortie apply`", &error))?;
        drop(input);
        let status = child.wait().map_err(|error| failed("cannot wait for `tortie apply`", &error))?;
        if !status.success() {
            return Err(Failure::new(Code::General, format!("`tortie apply` failed ({status})")));
        }
        Ok(())
    }

    /// Waits until the agent enforces what is stored.
    fn settle(&mut self) -> Result<(), Failure> {
        let socket = socket(&self.folder);
        let mut attempts = 0;
        loop {
            if let Some(status) = self.agent.try_wait().map_err(|error| failed("cannot wait for the agent", &error))? {
                return Err(Failure::new(Code::General, format!("the agent ended ({status})")));
            }
            match client::status(&socket, Some(SETTLE), SETTLE + Duration::from_secs(2)) {
                Ok(_) => return Ok(()),
                // It may not have its socket yet.
                Err(failure) if failure.code == Code::Unreachable && attempts < 300 => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Sends one probe; the rule whose counter moved says why.
    fn shoot(&mut self, shot: &Shot) -> Result<(Answer, String), Failure> {
        let before = self.counters()?;
        let answer = if shot.is_outward {
            let to: SocketAddr = format!("{CLIENT}:{}", shot.port).parse().expect("an address and a port");
            probe(shot.transport, to, PATIENCE).map_err(|error| failed("cannot probe", &error))?
        } else {
            let transport = if shot.transport == Transport::Tcp { "tcp" } else { "udp" };
            match self.client_says(&format!("{transport} {HOST}:{}", shot.port))?.as_str() {
                "passes" => Answer::Passes,
                "dropped" => Answer::Silence,
                _ => Answer::Refused,
            }
        };
        let after = self.counters()?;
        Ok((answer, reason(&before, &after)))
    }

    fn counters(&mut self) -> Result<Vec<Counter>, Failure> {
        self.kernel.counters().map_err(|error| failed("cannot read counters", &error))
    }

    fn client_says(&mut self, request: &str) -> Result<String, Failure> {
        writeln!(self.ask, "{request}").map_err(|error| failed("the client is gone", &error))?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| failed("the client is gone", &error))?;
        Ok(line.trim().to_owned())
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("agent.sock")
}

/// The rules that counted a packet of this probe.
fn reason(before: &[Counter], after: &[Counter]) -> String {
    // The kernel itself sends neighbour discovery in between; all probes are IPv4.
    let is_background = |counter: &&Counter| counter.comment == "ipv6 essentials";
    let moved: Vec<&str> = after
        .iter()
        .filter(|now| !is_background(now))
        .filter(|now| {
            let old = before
                .iter()
                .find(|old| (&old.place, &old.element, &old.comment) == (&now.place, &now.element, &now.comment));
            now.packets > old.map_or(0, |old| old.packets)
        })
        .map(|now| now.comment.as_str())
        .collect();
    if moved.is_empty() { "no endpoint: not policed".to_owned() } else { moved.join(", ") }
}

fn listen(transport: Transport, at: String) -> Result<(), Failure> {
    let address: SocketAddr = at.parse().expect("an address and a port");
    match transport {
        Transport::Tcp => echo_tcp(address),
        Transport::Udp => echo_udp(address),
    }
    .map_err(|error| failed(&format!("cannot listen at {at}"), &error))
}

fn expect(answers: &mut BufReader<ChildStdout>, wanted: &str) -> Result<(), Failure> {
    let mut line = String::new();
    answers.read_line(&mut line).map_err(|error| failed("the client is gone", &error))?;
    if line.trim() == wanted {
        return Ok(());
    }
    Err(Failure::new(Code::General, format!("the client said `{}` instead of `{wanted}`", line.trim())))
}

fn ip(arguments: &str) -> Result<(), Failure> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|error| {
        Failure::new(Code::General, format!("cannot run `ip`: {error}")).with_hint("install Debian package iproute2")
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::new(Code::General, format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

/// Waits for the event that a link is running.
fn await_running(name: &'static str) -> Result<(), Failure> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let _monitor = tortie_netmon::Monitor::start(move |event| {
        // Nobody listens any more once it was running.
        let _ = sender.send(event);
    })
    .map_err(|error| failed("cannot watch links", &error))?;
    loop {
        match receiver.recv_timeout(SETTLE) {
            Ok(tortie_netmon::Event::Links(links)) if links.get(name).is_some_and(|link| link.is_running) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(_) => return Err(Failure::new(Code::General, format!("link {name} does not come up"))),
        }
    }
}

/// The other end: it does what its standard input says, one line each, and ends with it.
fn play_client() -> Result<Code, Failure> {
    new_network_namespace().map_err(|error| failed("cannot make a network namespace", &error))?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| failed("cannot read", &error))?;
        let answer = match line.split_once(' ') {
            None => {
                ip("link set lo up")?;
                ip(&format!("addr add {CLIENT}/24 dev eth0"))?;
                ip("link set eth0 up")?;
                for shot in SHOTS.iter().filter(|shot| shot.is_outward) {
                    listen(shot.transport, format!("{CLIENT}:{}", shot.port))?;
                }
                "up"
            }
            Some((transport, to)) => {
                let transport = if transport == "tcp" { Transport::Tcp } else { Transport::Udp };
                let to: SocketAddr =
                    to.parse().map_err(|_| Failure::new(Code::Usage, format!("`{to}` is no address")))?;
                word(probe(transport, to, PATIENCE).map_err(|error| failed("cannot probe", &error))?)
            }
        };
        println!("{answer}");
    }
    Ok(Code::Success)
}
