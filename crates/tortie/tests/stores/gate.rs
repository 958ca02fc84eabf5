//! A way to an API server on which single collections can be closed, and which knows what was asked for.
//!
//! `kubectl proxy` speaks to the server with the administrator's rights; before it stands a listener that reads the first
//! line of each request.

use std::io::{Read, Write, copy};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use tortie_testkit::apiserver::{ApiServer, User};
use tortie_testkit::sandbox::die_with_parent;

use crate::support::{Host, PATIENCE, Process, until};

/// What becomes of requests for the closed collections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// They are not answered until the gate is opened.
    Silent,
    /// Their connections end.
    Refusing,
}

#[derive(Default)]
struct State {
    /// The path of each request.
    asked: Vec<String>,
    /// How a collection is closed, and its path.
    closed: Option<(Closed, &'static str)>,
    /// Requests that were not answered at once.
    held: usize,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub(crate) struct Gate {
    shared: Arc<Shared>,
    kubeconfig: PathBuf,
    _proxy: Process,
}

impl Gate {
    /// One before a server; its files lie in a folder of the host.
    pub(crate) fn new(server: &ApiServer, host: &Host) -> Gate {
        let socket = host.folder.path().join("kubectl.sock");
        let proxy = proxy(server, &socket);
        until("kubectl proxy listens", || UnixStream::connect(&socket).ok());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let kubeconfig = host.folder.path().join("kubeconfig.gate");
        std::fs::write(&kubeconfig, kubeconfig_of(listener.local_addr().unwrap())).unwrap();
        let shared = Arc::<Shared>::default();
        let known = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (known, server) = (known.clone(), UnixStream::connect(&socket));
                // A proxy that has ended is told by the end of the connection.
                let (Ok(client), Ok(server)) = (client, server) else { return };
                std::thread::spawn(move || known.serve(client, server));
            }
        });
        Gate { shared, kubeconfig, _proxy: proxy }
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Whether a collection was ever asked for.
    pub(crate) fn was_asked(&self, path: &str) -> bool {
        self.shared.lock().asked.iter().any(|asked| asked == path)
    }

    pub(crate) fn close(&self, how: Closed, path: &'static str) {
        let mut state = self.shared.lock();
        (state.closed, state.held) = (Some((how, path)), 0);
    }

    pub(crate) fn open(&self) {
        self.shared.lock().closed = None;
        self.shared.changed.notify_all();
    }

    /// Waits until somebody stands before the closed gate.
    pub(crate) fn wait_held(&self) {
        let state = self.shared.lock();
        let waited = self.shared.changed.wait_timeout_while(state, PATIENCE, |state| state.held == 0).unwrap();
        assert!(!waited.1.timed_out(), "nobody asked for what is closed");
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Forwards a connection until either side ends it. A client sends no request before the last one was answered, so each
    /// begins with what is read at once.
    fn serve(&self, mut client: TcpStream, mut server: UnixStream) {
        let (mut answers, mut answered) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = copy(&mut answers, &mut answered);
            let _ = answered.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; 65536];
        while let Ok(len @ 1..) = client.read(&mut buffer) {
            if !self.passes(&buffer[..len]) || server.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    /// Whether what a client sends goes on; waits while its collection is silent.
    fn passes(&self, sent: &[u8]) -> bool {
        let text = String::from_utf8_lossy(sent);
        let Some(path) = text.strip_prefix("GET ").and_then(|rest| rest.split([' ', '?']).next()) else { return true };
        let mut state = self.lock();
        state.asked.push(path.to_owned());
        state.held += usize::from(state.is_closed(Closed::Silent, path));
        self.changed.notify_all();
        let state = self.changed.wait_while(state, |state| state.is_closed(Closed::Silent, path)).unwrap();
        !state.is_closed(Closed::Refusing, path)
    }
}

impl State {
    fn is_closed(&self, how: Closed, path: &str) -> bool {
        self.closed == Some((how, path))
    }
}

/// `kubectl proxy` at a socket.
fn proxy(server: &ApiServer, socket: &Path) -> Process {
    let mut command = server.kubectl_command(User::Admin);
    command.arg("proxy").arg("--unix-socket").arg(socket).stdout(Stdio::null());
    Process(die_with_parent(&mut command).spawn().unwrap())
}

fn kubeconfig_of(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1
kind: Config
current-context: gate
clusters: [{{name: gate, cluster: {{server: 'http://{address}'}}}}]
users: [{{name: gate, user: {{}}}}]
contexts: [{{name: gate, context: {{cluster: gate, user: gate}}}}]
"
    )
}
