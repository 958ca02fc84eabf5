//! Two network namespaces joined by a link, and a bpf file system of their own. All of it vanishes with its threads.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};
use tortie_testkit::sandbox::{in_network_namespace, new_network_namespace};
use tortie_xdp::BPF_FS;

/// The host's address, on `d0`.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Peers, behind `p0` of the other namespace.
pub(crate) const GOOD: &str = "192.0.2.7";
pub(crate) const BAD: &str = "192.0.2.66";
pub(crate) const OTHER: &str = "192.0.2.67";
/// Longest wait for a packet that comes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    output.status.success()
}

/// The host's end.
pub(crate) struct Lab {
    peer: Pid,
    socket: UdpSocket,
    send: Sender<(IpAddr, u16)>,
}

/// Runs `work` in the host's namespace.
pub(crate) fn in_lab(work: impl FnOnce(&Lab) + Send + 'static) {
    in_network_namespace(move || {
        mount_bpf();
        let (send, sends) = channel::<(IpAddr, u16)>();
        let (ready, is_ready) = channel();
        let peer = std::thread::spawn(move || {
            new_network_namespace().expect("kernel tests need root");
            ready.send(gettid()).unwrap();
            // Each is sent by a socket of its own address.
            for (source, port) in sends {
                let socket = UdpSocket::bind(SocketAddr::new(source, port)).unwrap();
                socket.send_to(b"tortie", (HOST, 2000)).unwrap();
            }
        });
        let thread = is_ready.recv().unwrap();
        assert!(ip("link add d0 type veth peer name p0"));
        assert!(ip(&format!("link set p0 netns {thread}")));
        assert!(ip(&format!("addr add {HOST}/24 dev d0")) && ip("link set d0 up"));
        let socket = UdpSocket::bind((HOST, 2000)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let lab = Lab { peer: thread, socket, send };
        for address in [GOOD, BAD, OTHER] {
            lab.peer_ip(&format!("addr add {address}/24 dev p0"));
        }
        lab.peer_ip("link set p0 up");
        // The neighbours find each other first.
        lab.send(GOOD, 1000);
        lab.await_from(GOOD);
        work(&lab);
        drop(lab);
        peer.join().unwrap();
    });
}

/// An empty bpf file system at its usual place, for this thread alone.
fn mount_bpf() {
    unshare(CloneFlags::CLONE_NEWNS).expect("kernel tests need root");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("bpf"), Path::new(BPF_FS), Some("bpf"), MsFlags::empty(), none)
        .expect("a kernel with a bpf file system");
}

impl Lab {
    /// Runs ip(8) in the peers' namespace.
    pub(crate) fn peer_ip(&self, arguments: &str) {
        let file = format!("--net=/proc/{}/ns/net", self.peer);
        let status = Command::new("nsenter").arg(file).arg("ip").args(arguments.split(' ')).status();
        assert!(status.expect("util-linux is installed").success(), "ip {arguments}");
    }

    fn send(&self, source: &str, port: u16) {
        self.send.send((source.parse().unwrap(), port)).unwrap();
    }

    fn await_from(&self, source: &str) -> Vec<String> {
        let mut before = Vec::new();
        loop {
            let (_, from) = self.socket.recv_from(&mut [0; 16]).expect("the packet comes");
            if from.ip().to_string() == source {
                return before;
            }
            before.push(from.ip().to_string());
        }
    }

    /// Whether a packet of `source` comes in. One of a good peer is sent behind it, and tells when there is no more to
    /// wait for.
    pub(crate) fn passes(&self, source: &str) -> bool {
        self.passes_from_port(source, 1000)
    }

    pub(crate) fn passes_from_port(&self, source: &str, port: u16) -> bool {
        self.send(source, port);
        self.send(GOOD, 1001);
        let before = self.await_from(GOOD);
        assert!(before.len() <= 1, "{before:?}");
        !before.is_empty()
    }
}
