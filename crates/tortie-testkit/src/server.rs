//! Servers of tests: a process that dies with the test program however that ends, and a folder that goes with it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::sandbox::die_with_parent;

/// How long a server may take to end once it was killed.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct Process {
    pid: Pid,
    ended: Mutex<Receiver<io::Result<ExitStatus>>>,
    has_ended: bool,
}

impl Process {
    /// Starts it; what it prints goes to `log`.
    ///
    /// # Errors
    /// As starting a process.
    pub fn start(mut command: Command, log: &Path) -> io::Result<Process> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let (told_pid, pid) = channel();
        let (told_end, ended) = channel();
        // The kernel ends the server when the thread that started it ends, so that thread waits for it.
        std::thread::Builder::new().name("server".to_owned()).spawn(move || {
            match die_with_parent(&mut command).spawn() {
                Err(error) => told_pid.send(Err(error)).unwrap_or_default(),
                Ok(mut child) => {
                    told_pid.send(Ok(child.id())).unwrap_or_default();
                    told_end.send(child.wait()).unwrap_or_default();
                }
            }
        })?;
        let pid = pid.recv().map_err(io::Error::other)??;
        let pid = Pid::from_raw(i32::try_from(pid).map_err(io::Error::other)?);
        Ok(Process { pid, ended: Mutex::new(ended), has_ended: false })
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.has_ended |= ended.try_recv().is_ok();
        self.has_ended
    }

    /// Stops it in the middle of whatever it does; it keeps its connections and answers nobody.
    ///
    /// # Panics
    /// When it does not stop in time.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        // The signal reaches one thread after the other.
        let deadline = Instant::now() + END_PATIENCE;
        while !self.is_stopped() {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::yield_now();
        }
    }

    /// Whether each of its threads is stopped, by `proc_pid_stat(5)`: the state follows the name, which is in parentheses.
    fn is_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid)) else { return true };
        threads.flatten().all(|thread| {
            // A thread that is gone does nothing either.
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['T', 't']))
        })
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        // A server that is gone already needs no signal.
        let _ = kill(self.pid, signal);
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Panics
    /// When it is not gone in time.
    pub fn kill(&mut self) {
        if !self.has_ended() {
            self.signal(Signal::SIGKILL);
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            ended.recv_timeout(END_PATIENCE).expect("a killed server ends").expect("its end can be waited for");
            self.has_ended = true;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.kill();
        } else {
            self.signal(Signal::SIGKILL);
        }
    }
}

/// A folder that is removed even when the test program is killed: a process of its own waits for that.
pub struct Folder {
    path: PathBuf,
    remover: Child,
    /// Closed to say that the folder is to go.
    life: Option<ChildStdin>,
}

/// Waits for the end of its input, then removes the folder; again while somebody still writes there.
const REMOVER: &str = r#"trap '' INT TERM HUP; read _; n=0
until rm -rf -- "$1" 2>/dev/null && [ ! -e "$1" ]; do n=$((n+1)); [ $n -lt 500 ] || exit 1; done"#;

impl Folder {
    /// Makes one in the place for temporary files.
    ///
    /// # Errors
    /// As making a folder and starting `sh`.
    pub fn new() -> io::Result<Folder> {
        let path = tempfile::Builder::new().prefix("tortie-server-").tempdir()?.keep();
        let mut command = Command::new("sh");
        command.args(["-c", REMOVER, "sh"]).arg(&path).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut remover = command.spawn()?;
        let life = remover.stdin.take();
        Ok(Folder { path, remover, life })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.life.take());
        // What it could not remove is seen by whoever looks for it; a destructor has nobody to tell.
        let _ = self.remover.wait();
    }
}

/// A port of the loopback address that nobody listens on. It lies below the ports that the kernel gives to clients, so that
/// it stays free while a server that had it is started again.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start.wrapping_mul(37) % COUNT + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT)
}
