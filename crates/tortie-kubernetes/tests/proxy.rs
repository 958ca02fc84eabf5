//! A server that only a proxy reaches, as kubectl's users have it (datastore.md section 3.6, E-467).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::io::{Read, Write, copy};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tortie_api::{Kind, with_causes};
use tortie_datastore::store::{Select, Store as _};
use tortie_kubernetes::{Group, Kubernetes, Proxies, Settings};
use tortie_testkit::apiserver::User;

use support::{Mirror, agent_kinds, open, settings, shared};

/// The name by which the proxies know the server, and nobody else does; its certificate has it.
const NAME: &str = "kubernetes.default.svc";

/// A proxy to the shared server alone.
struct Proxy {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Proxy {
    /// One that is asked by `handshake`.
    fn new(handshake: fn(&mut TcpStream)) -> Proxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = connections.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    handshake(&mut client);
                    let server = TcpStream::connect(shared().url().strip_prefix("https://").unwrap()).unwrap();
                    forward(client.try_clone().unwrap(), server.try_clone().unwrap());
                    forward(server, client);
                });
            }
        });
        Proxy { address, connections }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // Either end may go away.
        let _ = copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// The method CONNECT, for somebody with a password.
fn connect(client: &mut TcpStream) {
    let (mut head, mut byte) = (String::new(), [0]);
    while !head.ends_with("\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.push(char::from(byte[0]));
    }
    assert!(head.starts_with(&format!("CONNECT {NAME}:443 ")), "{head}");
    // `me:secret`.
    assert!(head.to_lowercase().contains("proxy-authorization: basic bwu6c2vjcmv0"), "{head}");
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
}

/// SOCKS 5 without a password (RFC 1928): the name is the proxy's to look up.
fn socks(client: &mut TcpStream) {
    let mut take = |len: usize| {
        let mut bytes = vec![0; len];
        client.read_exact(&mut bytes).unwrap();
        bytes
    };
    let methods = take(2)[1];
    assert!(take(usize::from(methods)).contains(&0));
    client.write_all(&[5, 0]).unwrap();
    let mut request = vec![0; 5 + NAME.len() + 2];
    client.read_exact(&mut request).unwrap();
    assert_eq!(request[..4], [5, 1, 0, 3], "it asks for a name");
    assert_eq!(&request[5..5 + NAME.len()], NAME.as_bytes());
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).unwrap();
}

/// The settings of the administrator, whose kubeconfig has other words for the server.
fn on(server: &str) -> Settings {
    let settings = settings(shared(), User::Admin, Some(Group::Native));
    let text = std::fs::read_to_string(settings.kubeconfig.as_ref().unwrap()).unwrap();
    let own = format!("server: \"{}\"", shared().url());
    assert!(text.contains(&own), "{text}");
    Settings { kubeconfig_inline: Some(text.replace(&own, server)), proxies: Proxies::default(), ..settings }
}

/// Reads and follows the server.
fn follows(settings: &Settings, proxy: &Proxy) {
    let store = open(settings);
    store.select(&[Select::Kind(Kind::Tier, None)]).unwrap();
    assert_eq!(store.peers(), [proxy.address], "what is connected to stays open");
    let mut mirror = Mirror::start(&store, agent_kinds());
    mirror.until("a snapshot", |mirror| mirror.snapshots == 1);
    assert!(proxy.connections.load(Ordering::SeqCst) > 0);
}

#[test]
fn the_proxy_of_a_kubeconfig_is_used_whatever_the_environment_says() {
    let proxy = Proxy::new(connect);
    let url = format!("http://me:secret@{}", proxy.address);
    let settings = on(&format!("server: \"https://{NAME}\", proxy-url: \"{url}\""));
    let proxies = Proxies { https: Some("http://127.0.0.1:1".to_owned()), no: Some("*".to_owned()) };
    follows(&Settings { proxies, ..settings }, &proxy);

    let proxy = Proxy::new(socks);
    follows(&on(&format!("server: \"https://{NAME}\", proxy-url: \"socks5://{}\"", proxy.address)), &proxy);
}

#[test]
fn the_proxy_of_the_environment_is_used_for_what_is_not_excepted() {
    let proxy = Proxy::new(connect);
    let proxies = |no: &str| {
        let https = format!("me:secret@{}", proxy.address);
        Proxies { https: Some(https), no: Some(no.to_owned()) }
    };
    let settings = on(&format!("server: \"https://{NAME}\""));
    follows(&Settings { proxies: proxies("example"), ..settings.clone() }, &proxy);
    let connections = proxy.connections.load(Ordering::SeqCst);
    let past = open(&Settings { proxies: proxies("default.svc"), ..settings });
    past.select(&[Select::Kind(Kind::Tier, None)]).unwrap_err();
    // This host is reached without one, as with kubectl.
    let near = on(&format!("server: \"{}\"", shared().url()));
    open(&Settings { proxies: proxies(""), ..near }).select(&[Select::Kind(Kind::Tier, None)]).unwrap();
    assert_eq!(proxy.connections.load(Ordering::SeqCst), connections);
}

#[test]
fn a_proxy_that_is_none_is_refused_at_once() {
    let settings = on(&format!("server: \"https://{NAME}\", proxy-url: \"ftp://proxy\""));
    let Err(error) = Kubernetes::open(&settings) else { panic!("there is no such proxy") };
    let told = with_causes(&error);
    assert!(told.contains("proxy-url names no proxy: `ftp://proxy`"), "{told}");
}
