//! Real packets, each with an end in time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The echo came back.
    Passes,
    /// Nothing came back in time.
    Silence,
    /// The other side, or somebody on the way, refused.
    Refused,
}

/// The transport of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Connect, send, and read the echo.
    Tcp,
    /// Send, and read the echo.
    Udp,
}

/// Sends one probe and waits for its echo.
///
/// # Errors
/// When no socket can be made; an unanswered probe is no error.
pub fn probe(transport: Transport, to: SocketAddr, patience: Duration) -> io::Result<Answer> {
    let result = match transport {
        Transport::Tcp => tcp(to, patience),
        Transport::Udp => udp(to, patience),
    };
    match result {
        Ok(()) => Ok(Answer::Passes),
        Err(error) => match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Ok(Answer::Silence),
            // A dropped outgoing packet is reported to its sender at once.
            io::ErrorKind::PermissionDenied => Ok(Answer::Silence),
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Ok(Answer::Refused),
            _ => Err(error),
        },
    }
}

const PING: &[u8] = b"tortie";

fn tcp(to: SocketAddr, patience: Duration) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(PING)?;
    stream.read_exact(&mut [0; PING.len()])
}

fn udp(to: SocketAddr, patience: Duration) -> io::Result<()> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(patience))?;
    socket.send(PING)?;
    socket.recv(&mut [0; PING.len()]).map(|_| ())
}

/// Answers every TCP connection to `at` with what it sends, on a thread that lives as long as the process.
///
/// # Errors
/// When the address cannot be bound.
pub fn echo_tcp(at: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(at)?;
    std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut buffer = [0; 64];
            if let Ok(len) = stream.read(&mut buffer) {
                // The client may have gone.
                let _ = stream.write_all(&buffer[..len]);
            }
        }
    })?;
    Ok(())
}

/// Answers every datagram to `at` with itself, on a thread that lives as long as the process.
///
/// # Errors
/// When the address cannot be bound.
pub fn echo_udp(at: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(at)?;
    std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_passes_and_a_closed_port_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(probe(Transport::Tcp, at, Duration::from_secs(5)).unwrap(), Answer::Refused);
        echo_tcp(at).unwrap();
        assert_eq!(probe(Transport::Tcp, at, Duration::from_secs(5)).unwrap(), Answer::Passes);
        echo_udp(at).unwrap();
        assert_eq!(probe(Transport::Udp, at, Duration::from_secs(5)).unwrap(), Answer::Passes);
    }
}
