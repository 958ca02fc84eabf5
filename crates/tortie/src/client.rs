//! Asks the agent on this host: HTTP over its Unix socket (D-13).

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tortie_agent::Status;

use crate::exit::{Code, Failure};

/// Bytes of an answer: far more than any status has.
const ANSWER_LEN_MAX: usize = 64 << 20;

/// The agent's status; with `wait`, as soon as the present revision and links are in the kernel.
pub(crate) fn status(socket: &Path, wait: Option<Duration>, patience: Duration) -> Result<Status, Failure> {
    ask(socket, wait, patience, "/v1/status")
}

/// The same with what the kernel counted.
pub(crate) fn status_with_counters(
    socket: &Path,
    wait: Option<Duration>,
    patience: Duration,
) -> Result<Status, Failure> {
    ask(socket, wait, patience, "/v1/status?counters=true")
}

/// The status of an agent that has saved what is in force before it answers.
pub(crate) fn saved(socket: &Path, patience: Duration) -> Result<Status, Failure> {
    ask(socket, None, patience, "/v1/status?save=true")
}

fn ask(socket: &Path, wait: Option<Duration>, patience: Duration, path: &str) -> Result<Status, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::General, format!("cannot start: {error}")))?;
    let path = match wait {
        Some(wait) => {
            format!("{path}{}wait={}", if path.contains('?') { '&' } else { '?' }, wait.as_secs_f64())
        }
        None => path.to_owned(),
    };
    let late = Failure::new(
        if wait.is_some() { Code::NotReached } else { Code::Unreachable },
        "the agent did not answer in time",
    );
    runtime.block_on(async { tokio::time::timeout(patience, request(socket, &path)).await.unwrap_or(Err(late)) })
}

async fn request(socket: &Path, path: &str) -> Result<Status, Failure> {
    let broken = |error: hyper::Error| Failure::new(Code::Unreachable, format!("the agent broke off: {error}"));
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        let shown = socket.display();
        match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                Failure::new(Code::NotAuthorised, format!("not allowed to ask the agent at `{shown}`"))
                    .with_hint("run as root, or join group `tortie`")
            }
            _ => Failure::new(Code::Unreachable, format!("no agent answers at `{shown}`: {error}"))
                .with_hint("is it running? `tortie agent` starts one; `--socket` names another place"),
        }
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("connection to the agent: {error}");
        }
    });
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::new(Code::General, error.to_string()))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let code = response.status();
    let body = Limited::new(response.into_body(), ANSWER_LEN_MAX).collect().await;
    let body =
        body.map_err(|error| Failure::new(Code::Unreachable, format!("the agent broke off: {error}")))?.to_bytes();
    if code.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| Failure::new(Code::General, format!("the agent's answer is not understood: {error}")));
    }
    let failure: tortie_agent::status::Failure = serde_json::from_slice(&body).unwrap_or_default();
    let exit = match code.as_u16() {
        504 => Code::NotReached,
        502 | 503 => Code::Unreachable,
        _ => Code::General,
    };
    Err(Failure::new(exit, failure.error))
}
