//! HTTP/1.1 for the local API, health and metrics, with limits on what a client may take: memory, connections and time.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// Bytes of a request line and its headers.
const HEAD_LEN_MAX: usize = 16 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// Bytes that a connection holds of what it has not understood or sent yet.
const BUFFER_LEN_MAX: usize = 64 << 10;

/// What the clients of one server may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections at one time; more wait until one ends.
    pub(crate) connections: usize,
    /// How long a client may take to send a request line and its headers, also behind the request before.
    pub(crate) request: Duration,
    /// How long a client may take to receive an answer that does not fit into the buffers of its connection.
    pub(crate) answer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 64, request: Duration::from_secs(10), answer: Duration::from_secs(30) }
    }
}

/// Serves until `stop`, then until the requests that are under way have their answers.
pub(crate) async fn serve<L: Listener>(
    mut listener: L,
    app: Router,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
) {
    let mut stop = pin!(stop);
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = &mut stop => break,
            // Counted only; what went wrong was said by the connection.
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            (io, _) = listener.accept(), if connections.len() < limits.connections => {
                connections.spawn(connection(io, app.clone(), limits, stopped.clone()));
            }
        }
    }
    drop(listener);
    drop(stopping);
    while connections.join_next().await.is_some() {}
}

async fn connection<I>(io: I, app: Router, limits: Limits, mut stopped: watch::Receiver<()>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let io = TokioIo::new(Patient { io, patience: limits.answer, timer: None });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_LEN_MAX)
        .max_buf_size(BUFFER_LEN_MAX);
    let mut connection = pin!(builder.serve_connection(io, TowerToHyperService::new(app)));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // The sender is dropped when the server is to stop.
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

/// A stream whose peer must take in time what is sent to it. The time begins when the first byte has to wait, and ends when
/// all of them are gone: a peer that takes one byte now and then is not better than one that takes none.
struct Patient<I> {
    io: I,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<I> Patient<I> {
    fn unless_late<T>(&mut self, cx: &mut Context<'_>, sent: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if sent.is_ready() {
            return sent;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.unless_late(cx, sent)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_flush(cx);
        if sent.is_ready() {
            self.timer = None;
        }
        self.unless_late(cx, sent)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = Pin::new(&mut self.io).poll_shutdown(cx);
        self.unless_late(cx, sent)
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// Far longer than anything takes that is not to wait for it.
    const LONG: Duration = Duration::from_secs(600);
    const SHORT: Duration = Duration::from_millis(50);

    fn limits() -> Limits {
        Limits { connections: 2, request: LONG, answer: LONG }
    }

    /// A server of a short and of a very long answer, and what connects to it.
    fn start(limits: Limits) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let app =
            Router::new().route("/", get(|| async { "yes" })).route("/long", get(|| async { "x".repeat(64 << 20) }));
        tokio::spawn(serve(listener, app, limits, std::future::pending()));
        (folder, socket)
    }

    async fn send(stream: &mut UnixStream, text: &str) {
        // A server that has seen enough may have closed.
        let _ = stream.write_all(text.as_bytes()).await;
    }

    /// Everything until the server closes the connection.
    async fn rest(stream: &mut UnixStream) -> String {
        let mut bytes = Vec::new();
        // A connection that is reset has ended as well.
        let _ = stream.read_to_end(&mut bytes).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    async fn ask(socket: &std::path::Path, headers: &str) -> String {
        let mut stream = UnixStream::connect(socket).await.unwrap();
        send(&mut stream, &format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")).await;
        rest(&mut stream).await
    }

    #[tokio::test]
    async fn headers_are_limited_in_number_and_length() {
        let (_folder, socket) = start(limits());
        let many = |count: usize| (0..count).map(|number| format!("h{number}: x\r\n")).collect::<String>();
        // Two stand there already.
        let answer = ask(&socket, &many(HEADERS_MAX - 2)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = ask(&socket, &many(HEADERS_MAX - 1)).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        let head = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nh: \r\n\r\n".len();
        let long = |len: usize| format!("h: {}\r\n", "x".repeat(len - head));
        let answer = ask(&socket, &long(HEAD_LEN_MAX)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let answer = ask(&socket, &long(HEAD_LEN_MAX + 1)).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_send_its_request_is_left() {
        let (_folder, socket) = start(Limits { request: SHORT, ..limits() });
        for begun in ["", "GET /", "GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = UnixStream::connect(&socket).await.unwrap();
            send(&mut stream, begun).await;
            assert!(!rest(&mut stream).await.contains("yes"), "{begun}");
        }
        let mut idle = UnixStream::connect(&socket).await.unwrap();
        send(&mut idle, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
        let answer = rest(&mut idle).await;
        assert!(answer.ends_with("yes"), "answered, and left when nothing followed: {answer}");
    }

    #[tokio::test]
    async fn a_client_that_does_not_take_its_answer_is_left() {
        let (_folder, socket) = start(Limits { connections: 1, answer: SHORT, ..limits() });
        let mut slow = UnixStream::connect(&socket).await.unwrap();
        send(&mut slow, "GET /long HTTP/1.1\r\nhost: x\r\n\r\n").await;
        // The only connection is that of the slow client: the next one is served when it was left.
        assert!(ask(&socket, "").await.ends_with("yes"));
        assert!(rest(&mut slow).await.len() < 64 << 20);
    }

    #[tokio::test]
    async fn more_clients_than_the_limit_wait_until_one_leaves() {
        let (_folder, socket) = start(limits());
        let first = UnixStream::connect(&socket).await.unwrap();
        let _second = UnixStream::connect(&socket).await.unwrap();
        let third = socket.clone();
        let third = tokio::spawn(async move { ask(&third, "").await });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!third.is_finished());
        drop(first);
        assert!(third.await.unwrap().ends_with("yes"));
    }
}
