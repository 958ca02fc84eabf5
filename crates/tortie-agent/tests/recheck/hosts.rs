//! Two hosts on a wire, connections between them, and the policy of one.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tortie_agent::{Counts, Recheck};
use tortie_api::{Stored, decode, read_stored};
use tortie_calc::{Engine, Settings};
use tortie_flows::Flows;
use tortie_netmon::list_now;
use tortie_nftables::Kernel;
use tortie_rules::compile::cut;
use tortie_rules::{Ruleset, compile, plan};
use tortie_testkit::sandbox::{in_network_namespace, new_network_namespace};

/// Long enough for a packet that comes, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const HERE: [&str; 2] = ["192.0.2.1", "fd00::1"];
pub(crate) const PEER: [&str; 2] = ["192.0.2.2", "fd00::2"];

pub(crate) fn sh(script: &str) {
    let output = Command::new("sh").args(["-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

type Job = Box<dyn FnOnce() + Send>;

/// Another host: what it is told to do happens in its network namespace, which ends with the last of its jobs.
pub(crate) struct Peer(Sender<Job>);

impl Peer {
    /// A host at the other end of the interface `name` of this one, which is `eth0` there.
    pub(crate) fn behind(name: &str, here: [&str; 2], there: [&str; 2]) -> Peer {
        let (sender, jobs) = channel::<Job>();
        let (ready, is_ready) = channel();
        std::thread::spawn(move || {
            new_network_namespace().unwrap();
            ready.send(nix::unistd::gettid()).unwrap();
            jobs.into_iter().for_each(|job| job());
        });
        let peer = Peer(sender);
        let tid = is_ready.recv().unwrap();
        let configure = |name: &str, [v4, v6]: [&str; 2]| {
            format!("ip addr add {v4}/24 dev {name}; ip -6 addr add {v6}/64 dev {name} nodad; ip link set {name} up")
        };
        sh(&format!("ip link add {name} type veth peer name eth0 netns {tid}; {}", configure(name, here)));
        // The kernel makes routes of new IPv6 addresses and links a little later.
        let await_route = |address: &str, words: &str| {
            format!(
                "timeout 30 sh -c 'until ip -6 route get {address} | grep -q \"{words}\"; do sleep 0.01; done' 2>/dev/null"
            )
        };
        let script = [
            "ip link set lo up".to_owned(),
            configure("eth0", there),
            await_route(there[1], "^local"),
            await_route(here[1], "dev eth0"),
            format!("ip route add default via {}; ip -6 route add default via {}", here[0], here[1]),
        ];
        peer.run(move || sh(&script.join("\n")));
        sh(&await_route(here[1], "^local"));
        sh(&await_route(there[1], &format!("dev {name}")));
        peer
    }

    pub(crate) fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        self.0.send(Box::new(move || sender.send(work()).unwrap())).unwrap();
        receiver.recv().unwrap()
    }
}

/// A protected host with `eth0`, and a peer on the same wire.
pub(crate) struct Host {
    pub(crate) kernel: Kernel,
    pub(crate) engine: Engine,
    pub(crate) ruleset: Ruleset,
    pub(crate) recheck: Recheck,
    pub(crate) is_rechecking: bool,
    pub(crate) peer: Peer,
}

pub(crate) fn in_two_hosts(is_rechecking: bool, test: impl FnOnce(&mut Host) + Send + 'static) {
    in_network_namespace(move || {
        sh("ip link set lo up");
        let peer = Peer::behind("eth0", HERE, PEER);
        let mut engine = Engine::new(Settings { node: "n1".to_owned(), ..Settings::default() });
        engine.set_links(list_now().unwrap());
        let mut host = Host {
            kernel: Kernel::open().unwrap(),
            engine,
            ruleset: Ruleset::default(),
            recheck: Recheck::default(),
            is_rechecking,
            peer,
        };
        test(&mut host);
    });
}

/// The endpoint, and what it lets in and out.
pub(crate) fn resources(ingress: &str, egress: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {{name: h}}\n\
         spec: {{node: n1, interfaceName: eth0}}\n---\n\
         apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: web}}\n\
         spec: {{selector: all(), types: [Ingress, Egress], ingress: [{ingress}], egress: [{egress}]}}\n"
    )
}

pub(crate) const ALLOW: &str = "{action: Allow}";

/// Allows one destination port.
pub(crate) fn allow_tcp(port: u16) -> String {
    format!("{{action: Allow, protocol: TCP, destination: {{ports: [{port}]}}}}")
}

impl Host {
    /// Makes this the policy of the host, as the agent does, and rechecks.
    pub(crate) fn apply(&mut self, ingress: &str, egress: &str) -> Counts {
        self.apply_yaml(&resources(ingress, egress))
    }

    pub(crate) fn apply_yaml(&mut self, yaml: &str) -> Counts {
        let decoded = decode(yaml);
        assert!(!decoded.has_errors(), "{:?}", decoded.problems);
        for document in decoded.documents {
            let Stored { resource, .. } = read_stored(document.kind, &Value::Object(document.value)).unwrap();
            self.engine.update(resource.key(), Some(Arc::new(resource)));
        }
        self.engine.flush();
        self.ruleset = compile(self.engine.policy());
        if self.is_rechecking {
            cut::add(&mut self.ruleset);
        }
        let actual = self.kernel.read().unwrap();
        for transaction in plan(&self.ruleset, actual.ruleset.as_ref()).unwrap().transactions {
            self.kernel.commit(&transaction, None).unwrap();
        }
        self.recheck()
    }

    pub(crate) fn recheck(&mut self) -> Counts {
        self.recheck.run(&mut self.kernel, &self.ruleset, &list_now().unwrap()).unwrap()
    }

    /// Packets that were dropped so far because their tuple is held, or before that by the policy `early`.
    pub(crate) fn dropped_packets(&mut self) -> u64 {
        let counters = self.kernel.counters().unwrap();
        let held = counters.iter().filter(|counter| {
            counter.comment == "cut when policy tightened" || counter.comment.contains("GlobalNetworkPolicy early")
        });
        held.map(|counter| counter.packets).sum()
    }

    /// Waits until packets of held tuples were dropped more often than `before`.
    pub(crate) fn await_dropped_packets(&mut self, before: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.dropped_packets() <= before {
            assert!(Instant::now() < deadline, "nothing was dropped");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A connection: the end of this host, and that of the peer.
pub(crate) struct Connection {
    pub(crate) here: TcpStream,
    pub(crate) peer: TcpStream,
}

impl Connection {
    /// The peer connects to a port of this host, maybe one that is translated to `listening`.
    pub(crate) fn from_peer(host: &Host, address: &str, port: u16, listening: u16) -> Connection {
        let address: IpAddr = address.parse().unwrap();
        let listener = TcpListener::bind((address, listening)).unwrap();
        let peer = host.peer.run(move || TcpStream::connect((address, port)).unwrap());
        Connection::new(listener.accept().unwrap().0, peer)
    }

    /// This host connects to a port of the peer.
    pub(crate) fn to_peer(host: &Host, address: &str, port: u16) -> Connection {
        let to = SocketAddr::new(address.parse().unwrap(), port);
        let listener = host.peer.run(move || TcpListener::bind(to).unwrap());
        let here = TcpStream::connect(to).unwrap();
        Connection::new(here, listener.accept().unwrap().0)
    }

    pub(crate) fn new(here: TcpStream, peer: TcpStream) -> Connection {
        for stream in [&here, &peer] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let this = Connection { here, peer };
        this.assert_alive();
        this
    }

    pub(crate) fn assert_alive(&self) {
        for (mut from, mut to) in [(&self.here, &self.peer), (&self.peer, &self.here)] {
            from.write_all(b"alive").unwrap();
            let mut bytes = [0; 5];
            to.read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"alive");
        }
    }

    /// Both ends try to speak; what they send is dropped, and nothing arrives.
    pub(crate) fn assert_dead(&self, host: &mut Host) {
        for (mut from, mut to) in [(&self.peer, &self.here), (&self.here, &self.peer)] {
            let before = host.dropped_packets();
            // TCP takes it, and sends it again and again.
            from.write_all(b"dead?").unwrap();
            host.await_dropped_packets(before);
            to.set_nonblocking(true).unwrap();
            let result = to.read(&mut [0; 8]);
            to.set_nonblocking(false).unwrap();
            assert!(matches!(&result, Err(error) if error.kind() == ErrorKind::WouldBlock), "{result:?}");
        }
    }
}

/// A further policy, behind other documents.
pub(crate) fn policy(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// Flows of which one end has this port.
pub(crate) fn flows_of(port: u16) -> usize {
    let flows = Flows::open().unwrap().list().unwrap();
    flows.iter().filter(|flow| [flow.original.destination_port, flow.original.source_port].contains(&port)).count()
}
