//! The interface of a named endpoint appears again and again, and its neighbour sends without pause (E-115).

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::host::{Host, Neighbour, allow_udp, endpoint, sh};
use crate::stream::{ALLOWED, DENIED};

/// What was found.
pub(crate) struct Report {
    pub(crate) times: usize,
    /// Packets of the denied kind: sent after their link was up, and come through.
    pub(crate) sent: u64,
    pub(crate) leaked: u64,
}

impl Report {
    pub(crate) fn print(&self) {
        let Report { times, sent, leaked } = self;
        println!("the interface appeared {times} times: of {sent} packets that must not pass {leaked} came through");
    }
}

/// Makes, addresses and raises the interface `count` times, and removes it when an allowed packet came through.
pub(crate) fn run(host: &Host, count: usize) -> Report {
    host.store(&endpoint("h", "interfaceName: hot0"));
    host.store(&allow_udp("web", "8055"));
    let _agent = host.agent();
    let neighbour = host.neighbour();
    let (sent, leaked, answered) = (counter(), counter(), counter());
    let stop = Arc::new(AtomicBool::new(false));
    listen(DENIED, &leaked, &stop);
    listen(ALLOWED, &answered, &stop);
    send(&neighbour, &sent, &stop);
    for number in 0..count {
        let before = answered.load(Ordering::Relaxed);
        sh(&format!(
            "ip link add hot0 type veth peer name hot0 netns {}; ip addr add 198.51.100.1/24 dev hot0; ip link set hot0 up",
            neighbour.thread
        ));
        host.wait(&format!("appearance {number}"), || answered.load(Ordering::Relaxed) > before);
        sh("ip link del hot0");
    }
    stop.store(true, Ordering::Relaxed);
    Report { times: count, sent: sent.load(Ordering::Relaxed), leaked: leaked.load(Ordering::Relaxed) }
}

fn counter() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(0))
}

/// Counts the datagrams that come to `port`.
fn listen(port: u16, count: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) {
    let socket = UdpSocket::bind(("0.0.0.0", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (count, stop) = (count.clone(), stop.clone());
    std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if socket.recv(&mut [0; 64]).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

/// The neighbour gives its end an address whenever there is one, and sends both kinds all the time. It sends to every
/// station, so that it needs no answer to find the host.
fn send(neighbour: &Neighbour, sent: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) {
    let (sent, stop) = (sent.clone(), stop.clone());
    neighbour.spawn(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let mut ready = None;
        while !stop.load(Ordering::Relaxed) {
            // A link of the same name with another index is another link.
            let Ok(index) = nix::net::if_::if_nametoindex("hot0") else { continue };
            if ready != Some(index) {
                let script = "ip addr add 198.51.100.2/24 dev hot0; ip link set hot0 up; \
                              ip neigh replace 198.51.100.1 lladdr ff:ff:ff:ff:ff:ff dev hot0 nud permanent";
                // It may have gone again meanwhile.
                let made = std::process::Command::new("sh").args(["-ec", script]).output().unwrap();
                if made.status.success() {
                    ready = Some(index);
                }
                continue;
            }
            if socket.send_to(b"denied", ("198.51.100.1", DENIED)).is_ok() {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            let _ = socket.send_to(b"allowed", ("198.51.100.1", ALLOWED));
        }
    });
}
