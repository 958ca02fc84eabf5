//! Servers of health and metrics, which start, move and stop as the settings say (E-606). A place that cannot be had is a
//! warning on status and is tried again; it never ends the agent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener as _;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::event::{Event, Request};
use crate::health::{Answer, Board};
use crate::http::{self, Limits};
use crate::metrics;
use crate::tls::{Tls, TlsListener};
use crate::watching::{Place, Watching};

/// How long a place that cannot be had is left before it is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long requests of a server that stops may still take.
const LAST_REQUESTS: Duration = Duration::from_secs(1);
/// How long the loop may take to give its numbers.
const MEASURE_PATIENCE: Duration = Duration::from_secs(10);

/// Why servers do not run, by their names; shared with status.
#[derive(Clone, Default)]
pub(crate) struct Complaints(Arc<Mutex<BTreeMap<&'static str, String>>>);

impl Complaints {
    fn set(&self, name: &'static str, text: Option<String>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => {
                if list.get(name) != Some(&text) {
                    tracing::warn!("{text}");
                }
                list.insert(name, text);
            }
            None => {
                list.remove(name);
            }
        }
    }

    /// The present ones.
    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// What the servers need.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) settings: watch::Receiver<Watching>,
    pub(crate) board: Board,
    pub(crate) complaints: Complaints,
    pub(crate) events: Sender<Event>,
}

/// Serves `/readiness` and `/liveness` (E-750).
pub(crate) async fn health(served: Served) {
    let app = Router::new()
        .route("/readiness", get(|State(served): State<Served>| async move { health_answer(served.board.readiness()) }))
        .route("/liveness", get(|State(served): State<Served>| async move { health_answer(served.board.liveness()) }))
        .with_state(served.clone());
    follow("health", served, app, |settings| Some((settings.health.clone()?, None))).await;
}

/// Serves `/metrics` (E-626).
pub(crate) async fn metrics(served: Served) {
    let app = Router::new().route("/metrics", get(metrics_answer)).with_state(served.clone());
    follow("metrics", served, app, |settings| Some((settings.metrics.clone()?, settings.metrics_tls.clone()))).await;
}

fn health_answer(answer: Answer) -> Response {
    let code = if answer.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(answer)).into_response()
}

async fn metrics_answer(State(served): State<Served>) -> Response {
    let (reply, answer) = oneshot::channel();
    let is_sent = served.events.send(Event::Request(Request::Measure(reply))).is_ok();
    match tokio::time::timeout(MEASURE_PATIENCE, answer).await {
        Ok(Ok(numbers)) if is_sent => {
            ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render(&numbers)).into_response()
        }
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the agent's loop does not answer\n").into_response(),
    }
}

/// Serves `app` where the settings say, for as long as they are watched.
async fn follow(
    name: &'static str,
    served: Served,
    app: Router,
    place: impl Fn(&Watching) -> Option<(Place, Option<Tls>)>,
) {
    let Served { mut settings, complaints, .. } = served;
    loop {
        let wanted = place(&settings.borrow_and_update());
        let is_alive = match &wanted {
            None => {
                complaints.set(name, None);
                settings.changed().await.is_ok()
            }
            Some((at, tls)) => match listen(at, tls.as_ref()).await {
                Ok(listener) => {
                    complaints.set(name, None);
                    serve_until_moved(name, listener, app.clone(), &mut settings, |now| place(now) != wanted).await
                }
                Err(error) => {
                    complaints.set(name, Some(format!("{name} cannot be served at {}: {error}", at.shown())));
                    tokio::select! {
                        () = tokio::time::sleep(RETRY) => true,
                        changed = settings.changed() => changed.is_ok(),
                    }
                }
            },
        };
        if !is_alive {
            return;
        }
    }
}

/// Serves until the settings name another place; says whether they are still watched.
async fn serve_until_moved(
    name: &'static str,
    listener: Listening,
    app: Router,
    settings: &mut watch::Receiver<Watching>,
    has_moved: impl Fn(&Watching) -> bool,
) -> bool {
    let (at, how) = match &listener {
        Listening::Plain(listener) => (listener.local_addr(), ""),
        Listening::Tls(listener) => (listener.local_addr(), " by TLS"),
    };
    if let Ok(at) = at {
        tracing::info!("{name} is served at {at}{how}");
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        // A dropped sender stops as well.
        let _ = stopped.await;
    };
    let mut server = tokio::spawn(async move {
        match listener {
            Listening::Plain(listener) => http::serve(listener, app, Limits::default(), stopped).await,
            Listening::Tls(listener) => http::serve(listener, app, Limits::default(), stopped).await,
        }
    });
    let is_alive = loop {
        tokio::select! {
            changed = settings.changed() => match changed {
                Ok(()) if has_moved(&settings.borrow_and_update()) => break true,
                Ok(()) => {}
                Err(_) => break false,
            },
            ended = &mut server => {
                tracing::warn!("{name} is served no more: {ended:?}");
                return true;
            }
        }
    };
    // The server may have ended by itself.
    let _ = stop.send(());
    if tokio::time::timeout(LAST_REQUESTS, &mut server).await.is_err() {
        server.abort();
    }
    is_alive
}

impl Place {
    fn shown(&self) -> String {
        let host = if self.host.is_empty() { "*" } else { &self.host };
        if host.contains(':') { format!("[{host}]:{}", self.port) } else { format!("{host}:{}", self.port) }
    }
}

/// Connections in the clear, or by TLS.
enum Listening {
    Plain(TcpListener),
    Tls(TlsListener),
}

/// Listens as the settings say. Certificates are read first: a place is not held for nothing.
async fn listen(place: &Place, tls: Option<&Tls>) -> Result<Listening, String> {
    let acceptor = tls.map(Tls::acceptor).transpose()?;
    let listener = bind(place).await.map_err(|error| error.to_string())?;
    Ok(match acceptor {
        Some(acceptor) => Listening::Tls(TlsListener::new(listener, acceptor)),
        None => Listening::Plain(listener),
    })
}

/// Listens at the first address of a host name that can be had, IPv4 first; without a host at all addresses.
async fn bind(place: &Place) -> std::io::Result<TcpListener> {
    if place.host.is_empty() {
        // Both families by one socket, where there is IPv6.
        return match TcpListener::bind(("::", place.port)).await {
            Ok(listener) => Ok(listener),
            Err(_) => TcpListener::bind(("0.0.0.0", place.port)).await,
        };
    }
    let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((place.host.as_str(), place.port)).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    let mut result = Err(std::io::Error::new(std::io::ErrorKind::NotFound, "the host name has no address"));
    for address in addresses {
        result = TcpListener::bind(address).await;
        if result.is_ok() {
            break;
        }
    }
    result
}
