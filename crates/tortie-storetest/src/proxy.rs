//! Another address of a server, which can go away while the server stays.

use std::io::{ErrorKind, copy};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections until it is closed.
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    is_closed: Arc<AtomicBool>,
    is_held: Arc<AtomicBool>,
}

impl Proxy {
    /// One before a server.
    pub fn new(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let is_closed = Arc::new(AtomicBool::new(false));
        let is_held = Arc::new(AtomicBool::new(false));
        let (kept, closed, held) = (Arc::clone(&connections), Arc::clone(&is_closed), Arc::clone(&is_held));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let client = client.unwrap();
                if held.load(Ordering::SeqCst) {
                    continue;
                }
                // A server that is away is told by the end of the connection.
                let Ok(server) = TcpStream::connect(server) else { continue };
                kept.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                forward(client.try_clone().unwrap(), server.try_clone().unwrap());
                forward(server, client);
            }
        });
        Proxy { address, connections, is_closed, is_held }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether anybody is connected through it.
    pub fn is_used(&self) -> bool {
        !self.connections.lock().unwrap().is_empty()
    }

    /// Cuts every connection, and takes no more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Wakes the listener, which then ends.
        drop(TcpStream::connect(self.address));
        self.cut();
    }

    /// Cuts every connection, and lets nobody through until [`Proxy::release`].
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Lets connections through again.
    pub fn release(&self) {
        self.is_held.store(false, Ordering::SeqCst);
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for connection in self.connections.lock().unwrap().drain(..) {
            match connection.shutdown(Shutdown::Both) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::NotConnected, "{error}"),
            }
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        // Either side may end whenever it likes; then the other one ends as well.
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}
