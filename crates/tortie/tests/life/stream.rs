//! Packets without pause: some that must pass, some that must not.
#![allow(dead_code, reason = "each program that includes this uses a part of it")]

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::host::{HOST, Host, Neighbour};

/// The port that policy allows.
pub(crate) const ALLOWED: u16 = 8055;
/// A port that nothing allows.
pub(crate) const DENIED: u16 = 8056;

/// How long an echo may take before its packet counts as lost.
const ECHO: Duration = Duration::from_secs(5);

/// What happened to the packets so far.
#[derive(Default)]
pub(crate) struct Counts {
    /// Packets to the allowed port that were answered.
    pub(crate) passed: AtomicU64,
    /// Those that were not.
    pub(crate) lost: AtomicU64,
    /// Packets sent to the denied port.
    pub(crate) denied: AtomicU64,
    /// Those of them that a process of the host received.
    pub(crate) leaked: AtomicU64,
    stop: AtomicBool,
}

impl Counts {
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Passed, lost, denied, leaked.
    pub(crate) fn get(&self) -> [u64; 4] {
        [&self.passed, &self.lost, &self.denied, &self.leaked].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Starts both streams from the neighbour: each packet a new flow, so that policy judges it, and the next one when the
/// one before was answered.
pub(crate) fn start(neighbour: &Neighbour) -> Arc<Counts> {
    let counts = Arc::new(Counts::default());
    listen(ALLOWED, &counts);
    listen(DENIED, &counts);
    let shared = counts.clone();
    neighbour.spawn(move || {
        while !shared.stop.load(Ordering::Relaxed) {
            send(&shared);
        }
    });
    counts
}

/// Echoes what comes to the allowed port, and counts what comes to the other one.
fn listen(port: u16, counts: &Arc<Counts>) {
    let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let counts = counts.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while !counts.stop.load(Ordering::Relaxed) {
            let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
            if port == DENIED {
                counts.leaked.fetch_add(1, Ordering::Relaxed);
            } else {
                // The link may be going down.
                let _ = socket.send_to(&buffer[..len], from);
            }
        }
    });
}

/// One packet of each kind.
fn send(counts: &Counts) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.send_to(b"denied", (HOST, DENIED)).is_ok() {
        counts.denied.fetch_add(1, Ordering::Relaxed);
    }
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(ECHO)).unwrap();
    let is_answered = socket.send_to(b"allowed", (HOST, ALLOWED)).is_ok() && socket.recv(&mut [0; 64]).is_ok();
    let count = if is_answered { &counts.passed } else { &counts.lost };
    count.fetch_add(1, Ordering::Relaxed);
}

/// Waits until some more packets of both kinds were sent.
pub(crate) fn some_more(host: &Host, counts: &Counts) {
    let before = counts.get();
    host.wait("traffic", || {
        let now = counts.get();
        now[0] + now[1] > before[0] + before[1] + 20 && now[2] > before[2] + 20
    });
}
