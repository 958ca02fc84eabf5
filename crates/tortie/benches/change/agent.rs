//! An agent, what it says of its programming, and what it uses of the machine.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Everything below happens sooner; only a broken build waits this long.
const PATIENCE: Duration = Duration::from_secs(120);

/// One programming, as the agent logs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Programmed {
    /// Of what.
    pub(crate) revision: u64,
    /// When the new rules were in force.
    pub(crate) in_force: Instant,
    /// What its transactions took in the kernel.
    pub(crate) kernel: Duration,
}

/// A running agent; dropping it ends it.
pub(crate) struct Agent {
    process: Child,
    programmed: Receiver<Programmed>,
    /// The last one that was counted.
    counted: Cell<Option<Programmed>>,
    /// When it was started.
    pub(crate) started: Instant,
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Agent {
    pub(crate) fn start(folder: &std::path::Path, store: &str) -> Agent {
        let started = Instant::now();
        // Whatever ends the bench ends the agent.
        let mut process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                env!("CARGO_BIN_EXE_tortie"),
                "agent",
                "--node",
                "n1",
                "--log-level",
                "info",
                "--store",
                store,
                "--socket",
            ])
            .arg(folder.join("agent.sock"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, programmed) = channel();
        let lines = process.stderr.take().unwrap();
        std::thread::spawn(move || read(lines, &tell));
        Agent { process, programmed, counted: Cell::new(None), started }
    }

    /// Waits until what was written up to `revision` is in force; gives the programming that brought it.
    pub(crate) fn wait(&self, revision: u64) -> Programmed {
        if let Some(found) = self.counted.take().filter(|found| found.revision >= revision) {
            return found;
        }
        loop {
            match self.programmed.recv_timeout(PATIENCE) {
                Ok(found) if found.revision >= revision => return found,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => panic!("revision {revision} is not in force after {PATIENCE:?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the agent has ended"),
            }
        }
    }

    /// Resident memory now and at its highest, in MB (`VmRSS` and `VmHWM` of proc(5)).
    pub(crate) fn memory(&self) -> (f64, f64) {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let field = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Processor time so far (`utime` and `stime` of proc(5), in ticks of 10 ms).
    pub(crate) fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// How often it programmed the kernel since this was last asked.
    pub(crate) fn times_programmed(&self) -> usize {
        self.programmed.try_iter().inspect(|found| self.counted.set(Some(*found))).count()
    }
}

fn read(lines: ChildStderr, tell: &Sender<Programmed>) {
    for line in BufReader::new(lines).lines().map_while(Result::ok) {
        let now = Instant::now();
        let found = programmed(&line, now);
        if found.is_none() && (line.contains("WARN") || line.contains("ERROR")) {
            eprintln!("{line}");
        }
        // When nobody receives, the part has ended.
        if found.is_some_and(|found| tell.send(found).is_err()) {
            return;
        }
    }
}

/// `programmed revision R in T transactions and A us: in force after B us, C us in the kernel`
fn programmed(line: &str, now: Instant) -> Option<Programmed> {
    let text = &line[line.find("programmed revision")?..];
    let numbers: Vec<u64> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let [revision, _, all, in_force, kernel] = numbers[..] else { return None };
    let after = Duration::from_micros(all - in_force);
    Some(Programmed { revision, in_force: now - after, kernel: Duration::from_micros(kernel) })
}
