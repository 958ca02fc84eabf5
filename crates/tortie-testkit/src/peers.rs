//! A host and its peers: two network namespaces joined by a link, and a bpf file system of the host's own. All of it
//! vanishes with its threads.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, gettid};

use crate::sandbox::{in_network_namespace, new_network_namespace};

/// The host's address, on `eth0`.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// A peer whose packets always come in: they tell that nothing is on its way any more.
pub const GOOD: &str = "192.0.2.7";
/// Another peer.
pub const BAD: &str = "192.0.2.66";
/// And one more.
pub const OTHER: &str = "192.0.2.67";
/// The port at which the host listens.
pub const PORT: u16 = 2000;
/// Longest wait for a packet that comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// The peers, from the host's end.
pub struct Peers {
    namespace: Pid,
    socket: UdpSocket,
    send: Sender<(IpAddr, u16)>,
}

/// Runs `work` on a thread in the host's namespaces.
///
/// # Panics
/// When the kernel refuses a namespace or the file system, and when `work` does.
pub fn with_peers(work: impl FnOnce(&Peers) + Send + 'static) {
    in_network_namespace(move || {
        mount_bpf();
        let (send, sends) = channel();
        let (namespace, thread) = peers(sends);
        ip("link set lo up");
        ip("link add eth0 type veth peer name peer0");
        ip(&format!("link set peer0 netns {namespace}"));
        ip(&format!("addr add {HOST}/24 dev eth0"));
        ip("link set eth0 up");
        let socket = UdpSocket::bind((HOST, PORT)).expect("the address is there");
        socket.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
        let peers = Peers { namespace, socket, send };
        for address in [GOOD, BAD, OTHER] {
            peers.ip(&format!("addr add {address}/24 dev peer0"));
        }
        peers.ip("link set peer0 up");
        // The neighbours find each other first.
        peers.send(GOOD, 1000);
        peers.until_good();
        work(&peers);
        drop(peers);
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A thread in the peers' namespace, which sends what it is told to.
fn peers(sends: Receiver<(IpAddr, u16)>) -> (Pid, JoinHandle<()>) {
    let (ready, is_ready) = channel();
    let thread = std::thread::spawn(move || {
        new_network_namespace().expect("kernel tests need root: they make network namespaces of their own");
        ready.send(gettid()).expect("somebody waits for it");
        // Each is kept: one that was closed may be held by a process that another test starts just now.
        let mut sockets = BTreeMap::new();
        for (source, port) in sends {
            let bind = || UdpSocket::bind(SocketAddr::new(source, port)).expect("peers have their addresses");
            let socket = sockets.entry((source, port)).or_insert_with(bind);
            socket.send_to(b"tortie", (HOST, PORT)).expect("the host is a neighbour");
        }
    });
    (is_ready.recv().expect("the namespace is there"), thread)
}

/// An empty bpf file system at its usual place, for this thread and what it starts alone.
fn mount_bpf() {
    unshare(CloneFlags::CLONE_NEWNS).expect("kernel tests need root: they make mount namespaces of their own");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of its own");
    mount(Some("bpf"), "/sys/fs/bpf", Some("bpf"), MsFlags::empty(), none).expect("a kernel with a bpf file system");
}

/// Runs ip(8) on the host.
///
/// # Panics
/// When it fails.
pub fn ip(arguments: &str) {
    assert!(try_ip(arguments), "ip {arguments}");
}

/// Runs ip(8) on the host: whether it succeeds.
///
/// # Panics
/// When there is no ip(8).
pub fn try_ip(arguments: &str) -> bool {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    output.status.success()
}

impl Peers {
    /// Runs ip(8) in the peers' namespace.
    ///
    /// # Panics
    /// When it fails.
    pub fn ip(&self, arguments: &str) {
        let file = format!("--net=/proc/{}/ns/net", self.namespace);
        let status = Command::new("nsenter").arg(file).arg("ip").args(arguments.split(' ')).status();
        assert!(status.expect("util-linux is installed").success(), "ip {arguments}");
    }

    /// Whether a UDP packet of `source` from port 1000 comes in at the host.
    ///
    /// # Panics
    /// When one of [`GOOD`], which is sent behind it, does not come in.
    pub fn passes(&self, source: &str) -> bool {
        self.passes_from_port(source, 1000)
    }

    /// The same from another port.
    ///
    /// # Panics
    /// As [`Peers::passes`].
    pub fn passes_from_port(&self, source: &str, port: u16) -> bool {
        self.send(source, port);
        self.send(GOOD, 1001);
        self.until_good() > 0
    }

    fn send(&self, source: &str, port: u16) {
        let source = source.parse().expect("an address");
        self.send.send((source, port)).expect("the peers' thread lives");
    }

    /// How many packets come in before the next one of the good peer.
    fn until_good(&self) -> usize {
        let mut before = 0;
        loop {
            let (_, from) = self.socket.recv_from(&mut [0; 16]).expect("packets of the good peer come in");
            if from.ip().to_string() == GOOD {
                return before;
            }
            before += 1;
        }
    }
}
