//! An agent in this process, and what it answers.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Everything happens sooner; only a broken build waits this long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An agent on a thread of its own, which ends with this value.
pub(crate) struct AgentThread {
    stop: Box<dyn Fn() + Send>,
    thread: Option<JoinHandle<()>>,
}

impl AgentThread {
    /// `run` returns after `stop` was called.
    pub(crate) fn start(stop: impl Fn() + Send + 'static, run: impl FnOnce() + Send + 'static) -> AgentThread {
        // A thread inherits the network namespace of the one that starts it.
        AgentThread { stop: Box::new(stop), thread: Some(std::thread::spawn(run)) }
    }
}

impl Drop for AgentThread {
    fn drop(&mut self) {
        (self.stop)();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// The status once everything stored is dealt with.
pub(crate) fn settled(socket: &Path) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask(socket, "/v1/status?wait=30") {
            Ok(status) => return status,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn ask(socket: &Path, path: &str) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(body.to_owned()));
    }
    serde_json::from_str(body).map_err(io::Error::other)
}
