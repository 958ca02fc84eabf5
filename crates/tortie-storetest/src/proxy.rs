//! Another address of a server, which can go away while the server stays.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Forwards connections until it is closed.
pub struct Proxy {
    address: SocketAddr,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    is_closed: Arc<AtomicBool>,
    is_held: Arc<AtomicBool>,
    forwarded: Arc<AtomicU64>,
}

/// Bytes that are forwarded at once.
const BUFFER_LEN: usize = 64 * 1024;

impl Proxy {
    /// One before a server.
    pub fn new(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let connections: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let is_closed = Arc::new(AtomicBool::new(false));
        let is_held = Arc::new(AtomicBool::new(false));
        let forwarded = Arc::new(AtomicU64::new(0));
        let (kept, closed, held) = (Arc::clone(&connections), Arc::clone(&is_closed), Arc::clone(&is_held));
        let counted = Arc::clone(&forwarded);
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
                forward(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&counted));
                forward(server, client, Arc::clone(&counted));
            }
        });
        Proxy { address, connections, is_closed, is_held, forwarded }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port of it.
    pub fn socket(&self) -> SocketAddr {
        self.address
    }

    /// The bytes that went through it, both ways.
    pub fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::SeqCst)
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

fn forward(mut from: TcpStream, mut to: TcpStream, forwarded: Arc<AtomicU64>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; BUFFER_LEN];
        // Either side may end whenever it likes; then the other one ends as well.
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            forwarded.fetch_add(len as u64, Ordering::SeqCst);
            if to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}
